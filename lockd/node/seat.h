/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting seats on the leader: who asks for the outcome, and until when the seat wants to wait. The seat itself is part
 * of the replicated state; a new leader starts every wait anew, and learns who asks when the client sends its request
 * again. */
#ifndef LOCKD_NODE_SEAT_H
#define LOCKD_NODE_SEAT_H

#include "client.h"
#include "lockd/state/state.h"

#include <bsd/sys/tree.h>

struct replica;
struct seats;

enum {
	/* TIMERs that one turn proposes; further ones follow when these are applied, so that requests pass between
	 * them. */
	SEAT_TIMERS_PER_TURN = 1024,
};

struct seat {
	RB_ENTRY(seat) by_key, by_due;
	state_session_id session;
	uint64_t sequence;
	raft_usec due; /* monotonic; 0: waits without limit, or its TIMER is on the way */
	struct seats *seats;
	struct client *client; /* the requester; NULL: nobody asks at the moment */
	LIST_ENTRY(seat) of_client;
	uint64_t id; /* of the requester's frame */
};

RB_HEAD(seats_by_key, seat);
RB_HEAD(seats_by_due, seat);

struct seats {
	struct seats_by_key by_key;
	struct seats_by_due by_due;
	uint64_t asked;  /* seats with a requester */
	uint64_t timing; /* ticket of the last TIMER, 0: none */
};

/* The leader has applied its no-op: all seats of the state begin their wait again. */
void seats_take_over(struct replica *replica);
/* Leadership has ended: every requester hears LEADER_CHANGED and asks the next leader. */
void seats_resign(struct replica *replica);
void seats_clear(struct seats *seats);

/* A request was answered QUEUED: it takes the place of an earlier requester of the same seat. */
void seat_wait(struct replica *replica, const struct asker *asker, const struct state_outcome *outcome);
/* The seat has its result. */
void seat_resolve(struct replica *replica, const struct state_outcome *outcome);
/* The session has ended, and its seats with it. */
void seats_end_session(struct replica *replica, state_session_id session);
/* The connection has gone: nobody asks for its seats any more. */
void seats_forget_client(struct client *client);

/* Proposes TIMERs for seats whose wait is over. */
void seats_expire(struct replica *replica);
/* Monotonic time of the next one; false: none. */
bool seats_due(const struct replica *replica, raft_usec *ret);

#endif
