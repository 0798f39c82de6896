/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of members (dissertation §4.3, the paper §6). A request says what shall be; the leader compares that with the
 * latest committed configuration and takes the next step towards it, again and again until both are the same:
 *
 *   nodes that are no members yet       → a configuration with them as learners
 *   learners that shall vote            → wait until they have caught up
 *   voters that come or go              → the joint configuration, once a majority of the voters to be is in contact
 *   a committed joint configuration     → leave it. Every leader does, whoever began the change
 *
 * So nothing about a change is kept but the request itself: what has been reached stands in the log, and a request that
 * is sent again to another leader goes on from there.
 *
 * Waiting for learners and for contact is bounded here. An entry that has been proposed waits like every other one: it
 * is committed, or its majority falls silent and check-quorum ends the leadership. */
#ifndef LOCKD_NODE_MEMBERSHIP_H
#define LOCKD_NODE_MEMBERSHIP_H

#include "client.h"

struct configuration;
struct replica;

enum {
	/* A learner that has not caught up after this many rounds never will under this load (dissertation §4.2.1). */
	MEMBERSHIP_ROUNDS_MAX = 10,
	/* Longest election time-outs without an answer, after which a learner counts as gone. */
	MEMBERSHIP_SILENCE_ELECTIONS = 10,
};

struct membership {
	uint8_t *body; /* packed client.Request, owned; NULL: nobody asks for a change */
	size_t n;
	struct asker asker;
	raft_usec began; /* mono, when its first step was looked at; 0: not yet */
	/* Where the learners stood when they were first waited for. */
	struct membership_wait {
		uint32_t node, rounds;
		raft_usec since;
	} waits[RAFT_MEMBERS_MAX];
	size_t n_waits;
};

void membership_deinit(struct replica *replica);

/* ChangeMembers. The body is copied; at most one at a time. */
void membership_begin(struct replica *replica, const struct asker *asker, const uint8_t *body, size_t n);
bool membership_is_busy(const struct replica *replica);
/* Leader: the member has answered within the longest election time-out; or is this node. */
bool membership_hears(const struct replica *replica, uint32_t node);
/* Leader: proposes the configuration. 0, or the outcome of RAFT_PROPOSE; all but RAFT_E_MISFIT are worth another try.
 */
int membership_propose(struct replica *replica, const struct configuration *to);
/* Leader: takes the next step if the last one is committed. */
void membership_advance(struct replica *replica);
/* Leadership has ended: what was begun may go on elsewhere, or not. */
void membership_resign(struct replica *replica);

#endif
