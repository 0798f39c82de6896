/* SPDX-License-Identifier: Apache-2.0 */
/* A stage for scenarios: a few cores of `struct raft` under virtual time, with a network and disks that do as the
 * script says. Nothing happens by chance unless the script asks for it (stage->prng).
 *
 * Nodes are S1…Sn, founded with the same configuration at index 1 in term 1. After every step of every node the
 * invariants I1–I7 of the question book are checked (invariants.h), and raft_check(). The story is told as it goes. */
#ifndef TESTS_SCENARIOS_STAGE_H
#define TESTS_SCENARIOS_STAGE_H

#include "tests/scenarios/invariants.h"
#include "tests/sim/prng.h"

#include <raft/raft.h>

enum {
	MS = 1000,             /* in microseconds */
	STAGE_APPEND_MAX = 16, /* entries of one append */
	STAGE_RULES_MAX = 32,
	STAGE_SAVES_MAX = 32,
	STAGE_PROPOSALS_MAX = 2048,
};

/* Masks of message types, for rules. */
#define STAGE_TYPE(type) (1u << (type))
#define STAGE_HEARTBEATS (STAGE_TYPE(RAFT_HEARTBEAT))
#define STAGE_APPENDS (STAGE_TYPE(RAFT_APPEND))
#define STAGE_LEADERS (STAGE_HEARTBEATS | STAGE_APPENDS)
#define STAGE_ALL UINT32_MAX

/* How much of a story is told by itself; each level includes those before it. */
enum stage_tell {
	STAGE_TELL_NOTHING,
	STAGE_TELL_DEEDS,    /* of the script: cut, crash, heal … */
	STAGE_TELL_ROLES,    /* who stands, leads, commits as a leader */
	STAGE_TELL_MESSAGES, /* all but heartbeats, which are counted */
};

struct stage_entry {
	raft_term term;
	uint8_t type;
	char text[STAGE_TEXT_BYTES]; /* two entries are the same only if this agrees */
	const struct raft_configuration *configuration;
};

struct stage_log {
	struct stage_entry *entries; /* by index, [0] unused */
	size_t size;
	raft_index last;
};

struct stage_message {
	struct raft_message message;
	struct stage_entry entries[STAGE_APPEND_MAX];
	uint64_t after_seq;
	raft_usec due;
	uint64_t order;
};

struct stage_save {
	struct raft_save save;
	struct stage_entry *entries;
	raft_usec due;
};

/* What a node that was asked for it said about one proposal. */
enum stage_outcome {
	STAGE_PENDING,
	STAGE_OK,      /* applied where it was proposed */
	STAGE_LOST,    /* another entry was committed at its index */
	STAGE_UNKNOWN, /* the node crashed before it knew */
};

struct stage_proposal {
	uint32_t node; /* that took it */
	raft_term term;
	raft_index index;
	enum stage_outcome outcome;
};

struct stage_node {
	struct raft *raft; /* NULL: down */
	struct raft_status status;
	struct raft_effects fx; /* both of the last step */
	struct stage_log log;   /* volatile: saves under way included */
	raft_index applied;
	uint64_t saved_seq;

	/* What a crash leaves. */
	raft_term disk_term;
	uint32_t disk_vote;
	struct stage_log disk;

	struct stage_save saves[STAGE_SAVES_MAX];
	uint32_t n_saves;
	raft_usec disk_delay;       /* UINT64_MAX: frozen, only stage_flush() makes durable */
	struct stage_message *held; /* until their save is durable */
	size_t n_held, held_size;

	/* The local clock shows offset + now × ppm / 10⁶. */
	raft_usec offset;
	uint64_t ppm;

	bool lossy; /* its disk has lost what the node had acknowledged */
	uint64_t seed;
	uint32_t elections_won, refusals; /* times it came to lead; appends it refused */
};

enum stage_rule_kind { STAGE_RULE_HOLD, STAGE_RULE_DROP, STAGE_RULE_DELAY };

struct stage_rule {
	enum stage_rule_kind kind;
	uint32_t from, to, types; /* 0: any node */
	raft_usec delay;
};

struct stage_setup {
	uint32_t nodes;
	uint32_t voters; /* bit i: node i; 0: all */
	uint64_t seed;
	enum stage_tell tell;
	bool patient;            /* followers do not stand for election by themselves; the script says who does */
	raft_usec latency, disk; /* 0: 1 ms each */
	uint32_t promise_ms;     /* 0: 200 ms */
	bool leader_lease;
};

struct stage {
	uint32_t n;
	raft_usec now;
	struct prng prng;
	enum stage_tell tell;
	uint32_t tell_about; /* messages from and to this node only; 0: all */
	bool patient;
	raft_usec latency;
	uint32_t drop_ppm, repeat_ppm; /* by chance */
	raft_usec jitter;              /* latencies and saves take up to this much longer, by chance */
	uint32_t append_max;           /* entries of one append; at most STAGE_APPEND_MAX */
	struct raft_timing timing;
	struct raft_limits limits;
	uint32_t promise_ms, drift_ppm;
	bool leader_lease;
	const struct raft_configuration *founding;
	uint32_t
		learners; /* bit i: configurations that are made from now on name node i as a learner unless it votes */

	struct stage_node nodes[STAGE_NODES_MAX];
	bool cut[STAGE_NODES_MAX + 1][STAGE_NODES_MAX + 1]; /* [from][to] */
	struct stage_rule rules[STAGE_RULES_MAX];
	uint32_t n_rules;
	struct stage_message *queue; /* on their way */
	size_t n_queue, queue_size;
	struct stage_message *kept; /* by rules, until stage_release() */
	size_t n_kept, kept_size;
	uint64_t order;

	struct stage_proposal proposals[STAGE_PROPOSALS_MAX];
	uint32_t n_proposals;
	struct raft_configuration **configurations; /* of entries, kept to the end */
	size_t n_configurations, configurations_size;

	struct invariants invariants;
	const char *tolerated; /* an invariant that may break on the way to the one that is meant to */
	const char *forgiven;  /* the invariant that is meant to break here; nothing happens after it did */
	bool over;
	bool unchecked;        /* no raft_check(): the script has spoiled the state of a core */
	bool promises_ignored; /* nobody is bound by a promise: Raft as in the paper */
	uint64_t steps, heartbeats;
	/* Called after every step, every message that leaves and every save that becomes durable, for conditions of the
	 * scenario's own. It may crash the node. */
	void (*watch)(struct stage *stage, uint32_t node);
	void *watch_data;
};

/* ---- Life ----------------------------------------------------------------------------------------------------------
 */

struct stage *stage_new(const struct stage_setup *setup);
void stage_free(struct stage *stage);
struct stage_node *stage_node(struct stage *stage, uint32_t node);

/* Replaces the disk of a node: (term, vote), and the founding entry followed by one entry for each digit, of the term
 * that the digit says. The node restarts from it, its promises expired. Equal digits at equal indexes are equal
 * entries. */
void stage_rewrite(struct stage *stage, uint32_t node, raft_term term, uint32_t vote, const char *terms);

/* ---- Verbs of the script -------------------------------------------------------------------------------------------
 */

/* One step, with everything the embedder owes. */
int stage_step(struct stage *stage, uint32_t node, const struct raft_event *event);
void stage_run(struct stage *stage, raft_usec duration);
/* Until `done` says so; false if it does not within `limit`. */
bool stage_run_until(struct stage *stage, bool (*done)(struct stage *stage), raft_usec limit);
/* The node asks for votes until it leads; until it has committed its no-op too. Both fail the scenario otherwise. */
void stage_stand(struct stage *stage, uint32_t node);
void stage_elect(struct stage *stage, uint32_t node);
/* The first leader that has committed its no-op; 0 if there is none within `limit`. */
uint32_t stage_await_leader(struct stage *stage, raft_usec limit);
/* The node asks for pre-votes at once, promises are honoured. */
void stage_campaign(struct stage *stage, uint32_t node);
/* The number of the proposal, or −1 with the outcome of raft_step() in *ret (may be NULL). */
int stage_propose(struct stage *stage, uint32_t node, int *ret);
/* Likewise; the masks say who votes in the new half, who in the old one. */
int stage_change(struct stage *stage, uint32_t node, uint32_t voters, uint32_t outgoing, int *ret);

void stage_cut(struct stage *stage, uint32_t a, uint32_t b);
void stage_cut_one_way(struct stage *stage, uint32_t from, uint32_t to);
void stage_isolate(struct stage *stage, uint32_t node);
/* No message passes between nodes of different masks (bit i: node i). */
void stage_partition(struct stage *stage, uint32_t mask_a, uint32_t mask_b);
void stage_heal(struct stage *stage);
void stage_crash(struct stage *stage, uint32_t node);
void stage_restart(struct stage *stage, uint32_t node);

/* Rules for messages that leave from here on; 0 stands for any node. */
void stage_hold(struct stage *stage, uint32_t from, uint32_t to, uint32_t types);
void stage_drop(struct stage *stage, uint32_t from, uint32_t to, uint32_t types);
void stage_delay(struct stage *stage, uint32_t from, uint32_t to, uint32_t types, raft_usec delay);
/* Forgets all rules; what they kept goes out, or is lost. */
void stage_release(struct stage *stage);
void stage_discard(struct stage *stage);
/* What rules have kept of these types is lost. */
void stage_discard_types(struct stage *stage, uint32_t types);

void stage_freeze_disk(struct stage *stage, uint32_t node);
void stage_flush(struct stage *stage, uint32_t node);
void stage_thaw_disk(struct stage *stage, uint32_t node);

/* A message made by the script arrives at once. */
void stage_deliver(struct stage *stage, const struct raft_message *message);

/* ---- Between the stage's own files ---------------------------------------------------------------------------------
 */

/* telling.c: a message as it arrives; what a step has changed. */
void stage_tell_message(struct stage *stage, const struct stage_message *message);
void stage_tell_step(struct stage *stage, uint32_t node, const struct raft_status *before, raft_index last_before);
void stage_tell_heartbeats(struct stage *stage);
void stage_tell_change(struct stage *stage, uint32_t node, uint32_t voters, uint32_t outgoing);

/* network.c: a message leaves its sender; the earliest due time, and the message that is due first. */
void stage_post(struct stage *stage, const struct stage_message *message);
raft_usec stage_network_due(const struct stage *stage);
bool stage_take(struct stage *stage, struct stage_message *ret);

/* ---- Questions -----------------------------------------------------------------------------------------------------
 */

/* Leader of the highest term among those up; 0: none. */
uint32_t stage_leader(struct stage *stage);
raft_term stage_term(struct stage *stage, uint32_t node);
/* The local clock of a node; whether a leader may answer reads by its lease now. */
raft_usec stage_clock(struct stage *stage, uint32_t node);
bool stage_has_lease(struct stage *stage, uint32_t node);
/* The highest term of any node that is up. */
raft_term stage_term_max(struct stage *stage);
/* All nodes that are up hold the same log, committed and applied to its end. */
bool stage_converged(struct stage *stage);
/* How many proposals to that node (0: any) came out so. */
uint32_t stage_count(struct stage *stage, uint32_t node, enum stage_outcome outcome);
/* A table of the logs: a column per index, in it the term; what is committed is marked. */
void stage_show_logs(struct stage *stage);

/* ---- Expectations --------------------------------------------------------------------------------------------------
 */

/* Fails the scenario: "VIOLATION expected NAME: …". */
void stage_expect(struct stage *stage, bool holds, const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Fails it without a stage. */
_Noreturn void stage_fail(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lines of the story at the present time; only if the stage tells as much as `level`. */
void stage_tell(struct stage *stage, enum stage_tell level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
