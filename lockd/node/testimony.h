/* SPDX-License-Identifier: Apache-2.0 */
/* What other stores have said that their disks must hold. A data folder that was put back to an older copy of itself
 * looks sound to the node that opens it; only the others can know that it had voted, or acknowledged entries, since
 * (Q15 of docs/ANSWERS.md: such a node may not rejoin).
 *
 * Everything but a pre-vote leaves a node only when its disk can stand by it. So the first HELLO of a new process is
 * held against what the process before it has said; later ones of the same process say nothing new. The memory is that
 * of this process: what nobody alive remembers goes unnoticed, and is covered as long as no more than f disks are lost
 * or put back. */
#ifndef LOCKD_NODE_TESTIMONY_H
#define LOCKD_NODE_TESTIMONY_H

#include "lockd/node/node.h"

struct testimony {
	uint32_t node; /* 0: unused */
	struct node_uuid store;
	uint64_t boot_count, boot; /* of its latest process */
	raft_term term;            /* the highest it has spoken of */
	raft_term vote_term;       /* the last one in which it voted for us; 0: none */
	raft_term match_term;      /* as a follower of that term … */
	raft_index match;          /* … it has acknowledged so much of the log */
};

struct testimonies {
	struct testimony all[RAFT_MEMBERS_MAX];
};

/* A message of the default group from a node that was greeted, and the store that it came from. */
void testimony_hear(struct node *node, const struct node_uuid *store, const struct raft_message *message);

#endif
