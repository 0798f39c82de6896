/* SPDX-License-Identifier: Apache-2.0 */
/* The leader's timers of sessions. Time enters the state machine only as commands: LATE for every quarter of the TTL
 * that a session is silent, EXPIRE for all of it. A leader that takes over gives each session what those marks leave of
 * its TTL, so leader changes can neither shorten a lease nor extend it without end.
 *
 * All times are on the session clock: the monotonic clock less the pauses of this process, in which keep-alives may
 * have been waiting in the socket unread. */
#ifndef LOCKD_NODE_LEASE_H
#define LOCKD_NODE_LEASE_H

#include "lease_table.h"

struct replica;

enum {
	/* Silent sessions that are marked at once, and the rows with which no further one is ended along with them. The
	 * next ones follow when these are applied, so that requests pass between them. */
	LEASE_SESSIONS_AT_ONCE = 512,
	LEASE_ROWS_AT_ONCE = 2048,
};

struct leases {
	struct lease_table table;
	size_t looked;    /* the block at which the next look for silent ones begins */
	raft_usec paused; /* all pauses of this process so far */
	uint64_t marking; /* ticket of the last EXPIRE or LATE, 0: none */
	bool unproved;    /* after a pause: nobody expires before leadership is proved again, by its lease … */
	uint64_t round;   /* … or by this round; 0: not started yet */
};

raft_usec leases_clock(const struct replica *replica);

/* The leader has applied its no-op: one lease for each session of the state. */
void leases_take_over(struct replica *replica);
void leases_clear(struct leases *leases);

struct lease *lease_find(const struct leases *leases, state_session_id session);
void lease_open(struct replica *replica, state_session_id session);
void lease_end(struct replica *replica, state_session_id session);
/* A sign of life that arrived at that time restarts the timer. */
void lease_hear(struct lease *lease, raft_usec arrived);
/* Whether a LATE or EXPIRE may still take effect on it, or a RENEWED is not applied yet: an acknowledgement must wait.
 */
bool lease_is_marked(const struct lease *lease, uint64_t applied);
/* A RENEWED with that ticket will stand behind the mark. */
void lease_renew(struct leases *leases, struct lease *lease, raft_usec arrived, uint64_t ticket);

/* Proposes marks for the silent ones. */
void leases_mark(struct replica *replica);
/* Monotonic time before which no mark is due; false: none will be. */
bool leases_due(const struct replica *replica, raft_usec *ret);

/* This process did not run for that long. */
void leases_pause(struct leases *leases, raft_usec gap);
bool leases_want_round(const struct leases *leases);
void leases_assign_round(struct leases *leases, uint64_t round);
void leases_prove(struct leases *leases, uint64_t proved_round);
/* The lease of leadership is valid by a clock that was read after the pause. */
void leases_trust(struct leases *leases);

#endif
