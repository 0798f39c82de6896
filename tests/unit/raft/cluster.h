/* SPDX-License-Identifier: Apache-2.0 */
/* A whole cluster of cores in memory: virtual time, a network that can delay, lose, repeat and cut, disks that finish
 * their saves late and forget the unfinished ones in a crash, clocks that drift within ρ, machines that sleep.
 *
 * After every step the invariants of the paper (figure 3) are checked against a record of everything ever elected and
 * committed, the leader lease against every election and every commit, and each read index against what was committed
 * when it was asked for. Everything follows from the seed. */
#ifndef TESTS_UNIT_RAFT_CLUSTER_H
#define TESTS_UNIT_RAFT_CLUSTER_H

#include <raft/raft.h>

enum {
	CLUSTER_NODES_MAX = 7,
	CLUSTER_LOG_MAX = 6000,
	CLUSTER_TERMS_MAX = 4096,
	CLUSTER_MESSAGES_MAX = 4096,
	CLUSTER_SAVES_MAX = 64,
	CLUSTER_HELD_MAX = 1024,
	CLUSTER_APPEND_MAX = 8,
	CLUSTER_QUESTIONS_MAX = 64,
};

enum { MS = 1000 };

struct cluster_entry {
	raft_term term;
	uint8_t type;
	uint64_t id; /* of the proposal; two entries are the same only if this agrees */
	const struct raft_configuration *configuration;
};

struct cluster_snapshot {
	raft_index index, configuration_index;
	raft_term index_term;
	struct raft_configuration configuration;
};

struct cluster_save {
	struct raft_save save;
	struct cluster_entry *entries;
	struct cluster_snapshot snapshot;
	raft_usec due;
};

struct cluster_message {
	struct raft_message message;
	struct cluster_entry entries[CLUSTER_APPEND_MAX];
	bool is_snapshot;
	struct cluster_snapshot snapshot;
	uint64_t after_seq;
	raft_usec due;
};

struct cluster_question {
	uint64_t number;
	raft_index committed; /* when it was asked */
};

struct cluster_node {
	struct raft *raft;
	bool up;
	struct raft_effects fx; /* of the last step */
	struct cluster_entry log[CLUSTER_LOG_MAX];
	raft_index last, applied;
	uint64_t saved_seq;

	/* What a crash leaves. */
	raft_term disk_term;
	uint32_t disk_vote;
	struct cluster_entry disk[CLUSTER_LOG_MAX];
	raft_index disk_last;
	struct cluster_snapshot base;
	uint32_t promise_ms;

	struct cluster_save saves[CLUSTER_SAVES_MAX];
	uint32_t n_saves;
	struct cluster_message *held;
	uint32_t n_held;
	struct cluster_snapshot staged;
	uint32_t transfers; /* bit per node a snapshot is on its way to */

	/* Drift: the local clock shows offset + now × ppm / 10⁶; the monotonic one lacks the time that was slept. */
	raft_usec offset, slept;
	uint64_t ppm;
	bool asleep;                      /* not up, but all of its memory is there */
	raft_usec wakes_at, asleep_since; /* global, local */
	raft_usec lease_until;            /* local clock, as the core says */
	struct cluster_question questions[CLUSTER_QUESTIONS_MAX];
};

struct cluster {
	uint32_t n;
	raft_usec now;
	uint64_t random;
	struct cluster_node nodes[CLUSTER_NODES_MAX];
	struct raft_timing timing;
	struct raft_limits limits;
	uint32_t promise_ms, drift_ppm;
	struct raft_configuration founding;

	bool cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];  /* [from][to] */
	bool mute[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1]; /* nothing leaves, what is under way arrives */
	raft_usec latency_min, latency_max, disk_min, disk_max;
	uint32_t lose_per_mille, repeat_per_mille;
	raft_usec straggle_max; /* how late a repeated message may come */
	bool manual_disk;       /* saves wait for cluster_flush() */

	struct cluster_message *messages;
	uint32_t n_messages;

	uint64_t next_id;
	uint32_t leader_of[CLUSTER_TERMS_MAX];
	bool asked_in[CLUSTER_TERMS_MAX]; /* somebody campaigned because the leader wished it */
	uint32_t vote_of[CLUSTER_TERMS_MAX][CLUSTER_NODES_MAX + 1]; /* every vote that ever left a node */
	struct cluster_entry committed[CLUSTER_LOG_MAX];
	raft_term committed_in[CLUSTER_LOG_MAX]; /* or before: the term of whoever applied it first */
	raft_index n_committed;
	uint32_t elections, asked_elections;      /* the latter at the wish of the leader before */
	uint32_t answers;                         /* to questions for a read index */
	uint32_t refusals[CLUSTER_NODES_MAX + 1]; /* appends that did not match, by follower */
};

/* Nodes 1…n, all of them founded; the first `voters` of them are members. */
struct cluster *cluster_new(uint32_t n, uint64_t seed);
struct cluster *cluster_new_with(uint32_t n, uint32_t voters, uint64_t seed);
void cluster_free(struct cluster *cluster);

/* A configuration whose members are the bits of the masks (bit i: node i). */
struct raft_configuration cluster_configuration(const struct cluster *cluster, uint32_t voters, uint32_t outgoing,
						uint32_t learners);

struct cluster_node *cluster_node(struct cluster *cluster, uint32_t node);
uint64_t cluster_random(struct cluster *cluster, uint64_t below);

/* One step of a node, with everything the embedder owes. The outcome of raft_step(). */
int cluster_step(struct cluster *cluster, uint32_t node, const struct raft_event *event);

/* Lets time pass, delivering and saving whatever falls due. */
void cluster_run(struct cluster *cluster, raft_usec duration);

/* Runs until somebody leads whom a majority follows; the leader. Fails after `limit`. */
uint32_t cluster_elect(struct cluster *cluster, raft_usec limit);

/* Present leader of the highest term, or 0. */
uint32_t cluster_leader(struct cluster *cluster);
int cluster_propose(struct cluster *cluster, uint32_t node, const struct raft_configuration *configuration);
/* Asks the leader for a read index. */
int cluster_ask(struct cluster *cluster, uint32_t node);
void cluster_flush(struct cluster *cluster, uint32_t node);

void cluster_isolate(struct cluster *cluster, uint32_t node);
void cluster_cut(struct cluster *cluster, uint32_t a, uint32_t b);
void cluster_heal(struct cluster *cluster);
void cluster_crash(struct cluster *cluster, uint32_t node);
void cluster_restart(struct cluster *cluster, uint32_t node);

/* The machine of a node that is up sleeps: nothing happens on it, its boot clock goes on and its monotonic one does
 * not; what is sent to it arrives when it wakes. */
void cluster_sleep(struct cluster *cluster, uint32_t node, raft_usec duration);
void cluster_wake(struct cluster *cluster, uint32_t node);

/* Restarts a node in `term` with the founding entry and one entry per digit behind it. */
void cluster_rewrite(struct cluster *cluster, uint32_t node, raft_term term, const char *terms);
void cluster_compact(struct cluster *cluster, uint32_t node, raft_index index);

/* The clocks of a node that is up. */
struct raft_clocks cluster_clocks(const struct cluster *cluster, const struct cluster_node *node);
struct raft_status cluster_status(struct cluster *cluster, uint32_t node);

#endif
