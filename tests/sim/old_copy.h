/* SPDX-License-Identifier: Apache-2.0 */
/* A data folder that is put back to an older copy of itself. Whatever others have heard that it has forgotten, they
 * must tell it before it votes, and it stops; the machine is then installed anew and the administrator replaces the
 * node.
 *
 * That is promised while all others live on and can be reached (docs/adr/0008): the fault waits for such a time, mends
 * what is broken, and keeps other faults away until the matter is settled. A node that led in the term of its copy is
 * left alone: what a leader counts on its own disk is known to nobody else. */
#ifndef TESTS_SIM_OLD_COPY_H
#define TESTS_SIM_OLD_COPY_H

#include "tests/sim/disk.h"
#include "tests/sim/plan.h"

enum old_copy_stage {
	OLD_COPY_NONE,
	OLD_COPY_KEPT,     /* the node goes on, and others hear it */
	OLD_COPY_RETURNED, /* it has been started from the copy */
	OLD_COPY_FOUND,    /* it was told so, and is about to stop */
};

/* What a host has heard of the node since the copy was made. */
struct old_copy_heard {
	raft_term term, vote_term, match_term;
	raft_index match;
};

struct old_copy {
	struct prng prng;
	enum old_copy_stage stage;
	uint64_t returned; /* so many have been put back */
	uint32_t node;
	struct node_uuid store;
	struct disk disk;
	uint64_t boots[SIM_NODES_MAX]; /* of all hosts, when it was made */
	struct old_copy_heard heard[SIM_NODES_MAX];
	struct node_uuid lost;      /* the store that was put back last … */
	raft_index lost_last;       /* … what its log had reached … */
	struct node_hard lost_hard; /* … and its last vote, which may still be on its way */
};

struct sim;

void old_copy_start(struct sim *sim, struct prng prng);
void old_copy_deinit(struct old_copy *old_copy);
/* The host is about to take these events. */
void old_copy_hear(struct sim *sim, uint32_t host, const struct node_event *event);
/* The host finds that the node's disk has forgotten something. */
void old_copy_tell(struct sim *sim, uint32_t host, uint32_t node, const char *fault);
/* An entry that stood on a disk which was put back since: it may be counted, since that disk has no vote any more. */
bool old_copy_had(const struct sim *sim, const struct raft_member *member, raft_index index);
/* Its last vote counts as well: it was durable when it was told. */
bool old_copy_voted(const struct sim *sim, const struct raft_member *member, raft_term term, uint32_t candidate);

#endif
