/* SPDX-License-Identifier: Apache-2.0 */
/* Observers of locks. An observation begins with the state of affairs or with the changes behind a revision that the
 * client has seen, from the history; afterwards every change of the lock is pushed in order. What the history has lost
 * shows as one explicit gap. */
#ifndef LOCKD_NODE_WATCH_H
#define LOCKD_NODE_WATCH_H

#include "client.h"
#include "lockd/state/state.h"

#include <bsd/sys/tree.h>

struct replica;

struct watch {
	RB_ENTRY(watch) by_name, by_id;
	node_connection connection;
	uint64_t id; /* frame id of the Observe */
	size_t n;
	uint8_t *name; /* stands behind the struct; a key of a search borrows it */
};

RB_HEAD(watches_by_name, watch);
RB_HEAD(watches_by_id, watch);

struct watches {
	struct watches_by_name by_name;
	struct watches_by_id by_id;
	size_t n;
};

/* Its proof has come: answers it and begins to push. */
void watch_observe(struct replica *replica, const struct asker *asker, const Client__Observe *observe);
/* The lock has another holder. */
void watches_push(struct replica *replica, const struct state_outcome *outcome);
/* Ends an observation; false: there is none. */
bool watch_unobserve(struct replica *replica, node_connection connection, uint64_t id);
void watches_forget_connection(struct replica *replica, node_connection connection);
/* Leadership has ended: every observer hears NOT_LEADER and resumes at the next leader. */
void watches_resign(struct replica *replica);
void watches_clear(struct watches *watches);

#endif
