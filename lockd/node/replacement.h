/* SPDX-License-Identifier: Apache-2.0 */
/* Swapping the store of a member whose data folder was found damaged (docs/adr/0010). The node comes back with an empty
 * store and calls: its HELLO names the stores in whose place that one stands. If the configuration names one of them,
 * the leader gives the member its new store, unasked:
 *
 *   a voter   → the joint configuration in which its old store is LOST; whoever leads by then leaves it (membership.c)
 *   a learner → the configuration with its new store
 *
 * Nothing is kept of it but a line for the log: a leader that comes later is called by the same node with the same
 * words.
 *
 * One swap at a time, and none while an administrator's request is being carried out; a request that comes during a
 * swap waits for its end. So whoever comes first is finished first: a damaged node whose removal has been asked for is
 * removed. */
#ifndef LOCKD_NODE_REPLACEMENT_H
#define LOCKD_NODE_REPLACEMENT_H

#include "lockd/node/node.h"

struct replica;

struct replacement {
	raft_usec since; /* mono, of this leadership */
	uint32_t node;   /* is being given its new store; 0: nobody */
};

/* This node has become the leader. */
void replacement_begin(struct replica *replica);
/* Leader: begins a swap that is due, tells of one that is done. */
void replacement_advance(struct replica *replica);

#endif
