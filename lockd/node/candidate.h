/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates: blank nodes that have called and are no members. Whoever adds one names its id only; which data folder it
 * has and where it is reached it has said itself. One that stands in the place of a member's store is added by itself
 * (replacement.c). */
#ifndef LOCKD_NODE_CANDIDATE_H
#define LOCKD_NODE_CANDIDATE_H

#include "api/limits.h"
#include "lockd/node/node.h"

struct candidate {
	struct node_address address; /* owned */
	struct node_uuid store;
	raft_usec met;                                    /* mono, its last call */
	struct node_uuid replaces[LIMIT_PAST_STORES_MAX]; /* the latest first */
	size_t n_replaces;
};

struct candidates {
	struct candidate items[LIMIT_CANDIDATES_MAX];
	size_t n;
};

void candidates_deinit(struct candidates *candidates);
/* NODE_PEER_MET. */
void candidate_meet(struct node *node, const struct node_met *met);
/* Those that the configuration names are members, except where it names a store whose place they have taken. */
void candidates_forget_members(struct node *node, const struct raft_configuration *configuration);
/* Whether its store stands in the place of the member's. */
bool candidate_replaces(const struct candidate *candidate, const struct raft_member *member);
/* NULL: no such node has called. */
const struct candidate *candidate_find(const struct candidates *candidates, uint32_t node);

#endif
