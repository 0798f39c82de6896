/* SPDX-License-Identifier: Apache-2.0 */
#include "seat.h"

#include "memory.h"
#include "replica.h"

#include <lockd/status.h>

static int seat_compare_key(const struct seat *a, const struct seat *b) {
	if (a->session != b->session)
		return a->session < b->session ? -1 : 1;
	return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

static int seat_compare_due(const struct seat *a, const struct seat *b) {
	if (a->due != b->due)
		return a->due < b->due ? -1 : 1;
	return seat_compare_key(a, b);
}

RB_GENERATE_INTERNAL(seats_by_key, seat, by_key, seat_compare_key, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(seats_by_due, seat, by_due, seat_compare_due, __attribute__((unused)) static)

/* ---- Which seats there are ----------------------------------------------------------------------------------------
 */

static void seat_unschedule(struct seats *seats, struct seat *seat) {
	if (seat->due > 0)
		RB_REMOVE(seats_by_due, &seats->by_due, seat);
	seat->due = 0;
}

static struct seat *seat_find(struct seats *seats, state_session_id session, uint64_t sequence) {
	struct seat key = {.session = session, .sequence = sequence};

	return RB_FIND(seats_by_key, &seats->by_key, &key);
}

/* Finds it or makes it, with its full wait ahead. */
static struct seat *seat_have(struct replica *replica, state_session_id session, uint64_t sequence, uint32_t wait_ms) {
	struct seats *seats = &replica->seats;
	struct seat *seat = seat_find(seats, session, sequence);

	if (seat)
		return seat;
	seat = memory_new(sizeof *seat);
	seat->session = session;
	seat->sequence = sequence;
	seat->seats = seats;
	RB_INSERT(seats_by_key, &seats->by_key, seat);
	if (wait_ms != STATE_WAIT_FOREVER) {
		seat->due = replica->node->clocks.mono + (raft_usec)wait_ms * 1000;
		RB_INSERT(seats_by_due, &seats->by_due, seat);
	}
	return seat;
}

static void seat_leave_client(struct seat *seat) {
	if (!seat->client)
		return;
	LIST_REMOVE(seat, of_client);
	seat->client = NULL;
	seat->seats->asked--;
}

static void seat_free(struct seats *seats, struct seat *seat) {
	seat_leave_client(seat);
	seat_unschedule(seats, seat);
	RB_REMOVE(seats_by_key, &seats->by_key, seat);
	free(seat);
}

void seats_take_over(struct replica *replica) {
	struct state_seat seat = {0};

	while (state_next_seat(replica->state, seat.enqueued, &seat))
		(void)seat_have(replica, seat.session, seat.sequence, seat.wait_ms);
}

void seats_clear(struct seats *seats) {
	while (!RB_EMPTY(&seats->by_key))
		seat_free(seats, RB_ROOT(&seats->by_key));
}

void seats_resign(struct replica *replica) {
	struct seat *seat;

	RB_FOREACH (seat, seats_by_key, &replica->seats.by_key) {
		if (seat->client)
			client_reply_status(replica->node, seat->client->connection, seat->id, LOCKD_LEADER_CHANGED,
					    NULL);
	}
	seats_clear(&replica->seats);
}

/* ---- Who asks -----------------------------------------------------------------------------------------------------
 */

void seat_wait(struct replica *replica, const struct asker *asker, const struct state_outcome *outcome) {
	struct client *client = client_find(replica->node, asker->connection);
	struct seats *seats = &replica->seats;
	struct seat *seat = seat_have(replica, outcome->session, outcome->sequence, outcome->wait_ms);

	/* QUEUED tells the earlier one the truth: the seat waits. The outcome goes to whoever asked last. */
	if (client && seat->client)
		client_reply_status(replica->node, seat->client->connection, seat->id, LOCKD_QUEUED, NULL);
	if (!client)
		return;
	seat_leave_client(seat);
	seat->client = client;
	seat->id = asker->id;
	LIST_INSERT_HEAD(&client->seats, seat, of_client);
	seats->asked++;
}

void seat_resolve(struct replica *replica, const struct state_outcome *outcome) {
	struct seat *seat = seat_find(&replica->seats, outcome->session, outcome->sequence);

	if (!seat)
		return;
	if (seat->client) {
		struct asker asker = {.connection = seat->client->connection, .id = seat->id};

		client_reply_outcome(replica->node, &asker, outcome);
	}
	seat_free(&replica->seats, seat);
}

void seats_end_session(struct replica *replica, state_session_id session) {
	struct seat key = {.session = session}, *seat;

	while ((seat = RB_NFIND(seats_by_key, &replica->seats.by_key, &key)) && seat->session == session) {
		if (seat->client)
			client_reply_status(replica->node, seat->client->connection, seat->id, LOCKD_SESSION_EXPIRED,
					    NULL);
		seat_free(&replica->seats, seat);
	}
}

void seats_forget_client(struct client *client) {
	while (!LIST_EMPTY(&client->seats))
		seat_leave_client(LIST_FIRST(&client->seats));
}

/* ---- Until when ---------------------------------------------------------------------------------------------------
 */

static uint64_t seat_propose_timer(struct replica *replica, const struct seat *seat) {
	Command__Command command = COMMAND__COMMAND__INIT;
	Command__Timer timer = COMMAND__TIMER__INIT;

	timer.term = replica->status.term;
	timer.opened = seat->session;
	timer.sequence = seat->sequence;
	command.body_case = COMMAND__COMMAND__BODY_TIMER;
	command.timer = &timer;
	return pending_push_own(replica, &command);
}

void seats_expire(struct replica *replica) {
	struct seats *seats = &replica->seats;
	uint64_t ticket = seats->timing;
	raft_usec due;

	for (int i = 0; i < SEAT_TIMERS_PER_TURN && seats_due(replica, &due) && due <= replica->node->clocks.mono;
	     i++) {
		struct seat *seat = RB_MIN(seats_by_due, &seats->by_due);

		ticket = seat_propose_timer(replica, seat);
		seat_unschedule(seats, seat);
	}
	seats->timing = ticket;
}

bool seats_due(const struct replica *replica, raft_usec *ret) {
	const struct seat *first = RB_MIN(seats_by_due, (struct seats_by_due *)&replica->seats.by_due);

	if (!first || replica->seats.timing > replica->pendings.applied)
		return false;
	*ret = first->due;
	return true;
}
