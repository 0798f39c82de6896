/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas that applied the same entries must have the same state. One that has not, through a flipped bit or a bug,
 * must stop before it answers anybody else, and must not take the others with it.
 *
 * Behind every entry whose index is a multiple of the interval each replica remembers its state hash. The leader asks
 * for one such index with its heartbeats; whoever remembers it answers with its hash. What a majority of the voters
 * says, of both halves while the configuration is joint, the leader puts into the log as a Verdict, and every replica
 * that remembers another hash stops, the leader like any other: its own hash is one vote, no more. If no hash has a
 * majority, nobody knows who is right: that is told, and nothing is done.
 *
 * The memory is short and ends with the process or with a snapshot: who does not remember says nothing and is not
 * judged. Nothing of this happens before machine version STATE_MACHINE_VERSION_VERDICT. */
#ifndef LOCKD_NODE_AUDIT_H
#define LOCKD_NODE_AUDIT_H

#include "lockd/state/state.h"

#include "lockd/node/node.h"

struct replica;

enum {
	/* Indices remembered. A follower that lags by more than these cannot answer. */
	AUDIT_MARKS_MAX = 8,
	AUDIT_HASH_BYTES = 16,
};

struct audit {
	struct audit_mark {
		raft_index index;
		struct state_hash hash;
	} marks[AUDIT_MARKS_MAX]; /* a ring in order of index */
	size_t first, n;
	raft_index question; /* leader: asked for; follower: what its leader asks for; 0: nothing */
	raft_index settled;  /* up to here a verdict was applied, or this leader needs none any more */
	struct audit_answer {
		uint32_t node; /* 0: unused */
		struct state_hash hash;
	} answers[RAFT_MEMBERS_MAX]; /* leader: to the question */
};

/* An entry has been applied. */
void audit_note(struct replica *replica);
/* The state comes from somewhere else: nothing is known of how it was before. */
void audit_forget(struct replica *replica);
/* A Verdict has been applied. */
void audit_judge(struct replica *replica, const struct state_outcome *outcome);

/* This node has become the leader. */
void audit_begin(struct replica *replica);
/* What a heartbeat asks, and what its reply answers. */
void audit_hear_question(struct replica *replica, raft_index index);
void audit_hear_answer(struct replica *replica, uint32_t node, raft_index index, struct state_hash hash);
/* Follower: what is remembered behind the entry that is asked for; false: nothing. */
bool audit_answer(const struct replica *replica, raft_index *ret_index, struct state_hash *ret_hash);
/* Leader: counts the answers, and asks for the next index. */
void audit_advance(struct replica *replica);

#endif
