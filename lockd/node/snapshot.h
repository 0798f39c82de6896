/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: a leader asks the driver to send its last durable checkpoint to a follower that needs trimmed entries; a
 * follower builds the received state aside, lets the core decide, and swaps it in once the save that installs it is
 * durable. */
#ifndef LOCKD_NODE_SNAPSHOT_H
#define LOCKD_NODE_SNAPSHOT_H

#include "lockd/node/node.h"

enum {
	/* The next transfer to a peer begins no sooner than this after the last one has ended: each one copies a
	 * checkpoint, and a peer that is down or refuses what it got says so within a millisecond. */
	SNAPSHOT_RETRY_US = 500 * 1000,
};

struct replica;
struct state;
struct staged;

struct snapshot {
	struct staged *staged; /* received, on its way to the disk; NULL: none */
	/* Sent, until the follower has passed it. */
	struct snapshot_transfer {
		uint32_t peer; /* 0: free */
		bool ended;    /* well: the peer has it and is about to pass it */
		raft_index index;
		raft_usec retry_at; /* mono; 0: it is under way */
	} transfers[RAFT_MEMBERS_MAX];
};

void snapshot_deinit(struct snapshot *snapshot);

/* Leader: starts the transfers that the core asks for. */
void snapshots_send(struct replica *replica);
/* The driver's report. */
void snapshot_sent(struct replica *replica, const struct node_event *event);
/* Leadership has ended: no follower is waited for. */
void snapshots_resign(struct replica *replica);
/* Entries above this index must stay for followers that are about to pass a snapshot. */
raft_index snapshot_hold(struct replica *replica);

/* A whole snapshot has been received. */
void snapshot_stage(struct replica *replica, const struct node_event *event);
/* Fills the parts of the save that install what is staged. */
void snapshot_save(struct replica *replica, struct node_save *save);
/* It is durable: the staged state takes the place of the old one. */
void snapshot_install(struct replica *replica);

#endif
