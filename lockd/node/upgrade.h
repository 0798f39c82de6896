/* SPDX-License-Identifier: Apache-2.0 */
/* Rolling upgrades. Every message of a node names the latest machine version that it knows. Once every member of the
 * latest configuration, learners and both halves of a joint one included, has named a later version than the present
 * one under this leader, the leader raises the machine to it with a logged command: from there on the log may hold what
 * that version brought. A node that knows less stops at that command; it cannot be one of those members. */
#ifndef LOCKD_NODE_UPGRADE_H
#define LOCKD_NODE_UPGRADE_H

#include "lockd/node/node.h"

struct replica;

struct upgrade {
	/* What members said to this leader. Not kept from before: since then they may have been restarted with an older
	 * program. */
	struct upgrade_word {
		uint32_t node; /* 0: unused */
		struct raft_uuid store;
		uint32_t version;
	} words[RAFT_MEMBERS_MAX];
	uint32_t proposed; /* in this term; 0: nothing */
};

/* This node has become the leader. */
void upgrade_begin(struct replica *replica);
/* Leader: a message of that store says so. */
void upgrade_hear(struct replica *replica, uint32_t node, const struct node_uuid *store, uint32_t version);
/* Leader: proposes the version that all members know, if it is a later one. */
void upgrade_advance(struct replica *replica);

/* Writes why an entry, for which state_apply() gave `r`, ends this process. */
void upgrade_explain(const struct replica *replica, raft_index index, int r, char *text, size_t n);
/* Likewise for an entry that is a configuration of a later version. */
void upgrade_explain_configuration(const struct replica *replica, raft_index index, char *text, size_t n);
/* Whether a checkpoint under that version can be used here; false with the reason in `text`. */
bool upgrade_check_checkpoint(const struct replica *replica, uint32_t version, char *text, size_t n);

#endif
