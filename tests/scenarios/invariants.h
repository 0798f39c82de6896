/* SPDX-License-Identifier: Apache-2.0 */
/* INV of the question book, over all nodes of a stage and all their lives:
 *   I1  at most one leader per term
 *   I2  log matching
 *   I3  every committed entry is in the log of every later leader
 *   I4  what is committed or applied at an index is the same everywhere
 *   I5  commit, applied and term of a life, the durable (term, vote) of all lives never go back
 *   I6  no node has two votes in one term
 *   I7  no message speaks of a term, vote or log position that its sender could lose in a crash
 *   I8  a committed entry is on the disks of a majority of the configuration that it was committed under
 *   I9  a leader's commit index rests on an entry of its own term
 *   I13 while a leader has a lease, nobody leads a later term
 * The last three are not in the book's list: I8 and I9 catch at once what I3 and I4 show only when the right nodes
 * crash later, and I13 stands for all stale reads; I10 to I12 are the simulator's. */
#ifndef TESTS_SCENARIOS_INVARIANTS_H
#define TESTS_SCENARIOS_INVARIANTS_H

#include <raft/raft.h>

struct stage;

/* Of a stage; here, since its record of them is part of it. */
enum { STAGE_NODES_MAX = 8, STAGE_TEXT_BYTES = 16 };

struct invariants_entry {
	raft_term term, previous_term;
	char text[STAGE_TEXT_BYTES];
};

/* What ever stood at one index. */
struct invariants_place {
	struct invariants_entry *entries;
	size_t n, size;
	raft_term committed;      /* 0: not yet */
	raft_term committed_term; /* of the node that was first to know */
};

struct invariants_node {
	raft_term term;
	raft_index commit, applied;
	raft_term led; /* the term it led before the step; 0: none */
	uint32_t *votes;
	size_t votes_size; /* by term: whom it voted for, durably or by word */
	raft_term durable_term;
	uint32_t durable_vote;
};

struct invariants {
	struct invariants_place *places;
	size_t places_size;
	raft_index commit; /* highest anywhere */
	uint32_t *leaders;
	size_t leaders_size;                               /* by term */
	struct invariants_node nodes[STAGE_NODES_MAX + 1]; /* by number */
};

void invariants_deinit(struct stage *stage);

void invariants_boot(struct stage *stage, uint32_t node);
void invariants_step(struct stage *stage, uint32_t node);
/* Entry `index` of the volatile log is put in place. */
void invariants_entry(struct stage *stage, uint32_t node, raft_index index);
void invariants_truncate(struct stage *stage, uint32_t node, raft_index from);
void invariants_applied(struct stage *stage, uint32_t node, raft_index index);
void invariants_durable(struct stage *stage, uint32_t node);
void invariants_leave(struct stage *stage, uint32_t node, const struct raft_message *message);

/* Term of the entry that is committed at an index; 0: none is. */
raft_term invariants_committed(const struct stage *stage, raft_index index);

#endif
