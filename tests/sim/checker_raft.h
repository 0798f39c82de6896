/* SPDX-License-Identifier: Apache-2.0 */
/* Raft's invariants over all nodes at once, checked after every step: I1–I7 of the question book, that a committed
 * entry stands on a majority of disks and a leader on a majority of durable votes, in both halves of a joint
 * configuration, that configurations change one after the other, that nobody is disturbed by removed nodes, and that a
 * store which stands in the place of a lost one (P10) speaks for itself alone. */
#ifndef TESTS_SIM_CHECKER_RAFT_H
#define TESTS_SIM_CHECKER_RAFT_H

#include "api/arena.h"
#include "lockd/node/node.h"
#include "lockd/state/state.h"
#include "tests/sim/disk.h"
#include "tests/sim/plan.h"

struct sim;

struct checker_entry {
	raft_term term, previous_term;
	uint64_t checksum;
};

/* All entries that ever stood at one index, one per term. */
struct checker_place {
	struct checker_entry *entries;
	size_t n, size;
	raft_term committed;      /* 0: not yet */
	raft_term committed_term; /* term of the node that was first to know */
	bool hashed;
	struct state_hash hash; /* of the state behind it */
};

struct checker_node {
	uint32_t *votes; /* by term: whom it voted for, as far as durable or told */
	size_t votes_size;
	raft_term term;
	raft_index commit, applied;
	raft_index commit_before; /* of the latest step; what is truncated in it lies behind */
	raft_term *terms;         /* by index: of its log, saves under way included */
	size_t terms_size;
	raft_term led;                     /* the term it led at the end of the step before; 0: none */
	raft_term durable_term;            /* never regresses, also across crashes */
	struct raft_configuration members; /* the latest one at the end of the step before */
	raft_index members_index;
	bool damaged;                   /* its store was, and it has not been taken back */
	sim_usec booted_at, removed_at; /* removed: the committed configuration names it no more; 0: it does */
	raft_index removed_by;          /* the first such configuration */
};

/* A store that was found damaged, with what it had said: its votes and acknowledgements may be on their way, and those
 * that have arrived count. */
struct checker_lost {
	struct node_uuid store;
	uint32_t *votes;
	size_t votes_size;
	struct disk disk;
};

struct checker_raft {
	struct checker_place *places; /* by index */
	size_t places_size;
	raft_index commit; /* highest anywhere */
	uint32_t *leaders; /* by term */
	size_t leaders_size;
	bool *transferred; /* by term: its leader's votes were asked for by the leader before */
	size_t transferred_size;
	struct checker_node nodes[SIM_NODES_MAX];
	struct checker_lost *lost;
	size_t n_lost, lost_size;
	struct raft_configuration members; /* the latest committed one; n 0: none yet */
	raft_index members_index;
	struct arena arena;
};

void checker_raft_init(struct sim *sim);
void checker_raft_deinit(struct sim *sim);

/* It is no member, of what is committed or on its way to be. */
bool checker_raft_is_out(struct sim *sim, uint32_t node);
/* The node is another one from now on. */
void checker_raft_wipe(struct sim *sim, uint32_t node);
/* Its store is found damaged: nobody will speak for it any more. Before the disk is emptied. */
void checker_raft_lose(struct sim *sim, uint32_t node);
/* The store that has this vote is there, and what stands in its place is not counted for it. */
bool checker_raft_speaks(struct sim *sim, const struct raft_member *member, uint8_t role);
/* Its disk was put back to an older state. Unless somebody has heard of what is `forgotten`, it may promise all that
 * again. */
void checker_raft_put_back(struct sim *sim, uint32_t node, bool forgotten);
/* NULL: it is no member of the latest committed configuration, or with another store. */
const struct raft_member *checker_raft_member(struct sim *sim, uint32_t node);
void checker_raft_boot(struct sim *sim, uint32_t node);
void checker_raft_crash(struct sim *sim, uint32_t node);
void checker_raft_step(struct sim *sim, uint32_t node);
void checker_raft_save(struct sim *sim, uint32_t node, const struct node_save *save);
/* The term of the node that was first to know that entry committed. */
raft_term checker_raft_committed_in(struct sim *sim, raft_index index);
/* The node's vote has become durable, or is told to a candidate: `how`. */
void checker_raft_vote(struct sim *sim, uint32_t node, raft_term term, uint32_t vote, const char *how);
/* The disk of the node has just made saves durable. */
void checker_raft_saved(struct sim *sim, uint32_t node);
/* True: only a leader says that. */
bool checker_raft_frame(struct sim *sim, uint32_t node, const struct node_peer_frame *frame);

#endif
