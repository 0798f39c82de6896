/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include "api/limits.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>

/* Where the session clock begins: no silence reaches back behind that, however young the machine's own clock is. */
static const raft_usec LEASES_CLOCK_BASE = (raft_usec)LIMIT_TTL_MS_MAX * 1000;

static int lease_compare_session(const struct lease *a, const struct lease *b) {
	return a->session < b->session ? -1 : a->session > b->session;
}

static int lease_compare_due(const struct lease *a, const struct lease *b) {
	if (a->due != b->due)
		return a->due < b->due ? -1 : 1;
	return lease_compare_session(a, b);
}

RB_GENERATE_INTERNAL(leases_by_session, lease, by_session, lease_compare_session, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(leases_by_due, lease, by_due, lease_compare_due, __attribute__((unused)) static)

raft_usec leases_clock(const struct replica *replica) {
	return LEASES_CLOCK_BASE + replica->node->clocks.mono - replica->leases.paused;
}

static void lease_unschedule(struct leases *leases, struct lease *lease) {
	if (lease->due > 0)
		RB_REMOVE(leases_by_due, &leases->by_due, lease);
	lease->due = 0;
}

static void lease_schedule(struct leases *leases, struct lease *lease) {
	lease_unschedule(leases, lease);
	if (lease->quarters == LEASE_QUARTERS)
		return;
	lease->due = lease->heard + lease->ttl_us * (lease->quarters + 1u) / LEASE_QUARTERS;
	RB_INSERT(leases_by_due, &leases->by_due, lease);
}

/* ---- Which sessions there are -------------------------------------------------------------------------------------
 */

/* A session that was silent for some quarters under the leader before keeps only the rest of its TTL. */
static void lease_new(struct replica *replica, const struct state_session *session) {
	struct lease *lease = memory_new(sizeof *lease);
	raft_usec silent;

	lease->session = session->id;
	lease->epoch = session->epoch;
	lease->group = session->group;
	lease->ttl_us = (raft_usec)session->ttl_ms * 1000;
	lease->quarters = (uint8_t)session->quarters;
	silent = lease->ttl_us * session->quarters / LEASE_QUARTERS;
	lease->heard = leases_clock(replica) - silent;
	RB_INSERT(leases_by_session, &replica->leases.by_session, lease);
	lease_schedule(&replica->leases, lease);
}

void leases_take_over(struct replica *replica) {
	struct state_session session = {0};

	leases_clear(&replica->leases);
	while (state_next_session(replica->state, session.id, &session))
		lease_new(replica, &session);
}

static void lease_free(struct leases *leases, struct lease *lease) {
	lease_unschedule(leases, lease);
	RB_REMOVE(leases_by_session, &leases->by_session, lease);
	free(lease);
}

/* The session clock goes on: keep-alives that arrived before the take-over carry its readings. */
void leases_clear(struct leases *leases) {
	raft_usec paused = leases->paused;

	while (!RB_EMPTY(&leases->by_session))
		lease_free(leases, RB_ROOT(&leases->by_session));
	*leases = (struct leases){.paused = paused};
}

struct lease *lease_find(struct leases *leases, state_session_id session) {
	struct lease key = {.session = session};

	return RB_FIND(leases_by_session, &leases->by_session, &key);
}

void lease_open(struct replica *replica, state_session_id session) {
	struct state_session found;

	/* An entry may open a session and end it again. */
	if (state_get_session(replica->state, session, &found) && !lease_find(&replica->leases, session))
		lease_new(replica, &found);
}

void lease_end(struct replica *replica, state_session_id session) {
	struct lease *lease = lease_find(&replica->leases, session);

	if (lease)
		lease_free(&replica->leases, lease);
}

/* ---- Signs of life ------------------------------------------------------------------------------------------------
 */

void lease_hear(struct leases *leases, struct lease *lease, raft_usec arrived) {
	if (arrived <= lease->heard)
		return;
	lease->heard = arrived;
	lease_schedule(leases, lease);
}

bool lease_is_marked(const struct lease *lease, uint64_t applied) {
	return lease->quarters > 0 || lease->renewal > applied;
}

void lease_renew(struct leases *leases, struct lease *lease, raft_usec arrived, uint64_t ticket) {
	lease->quarters = 0;
	lease->renewal = ticket;
	if (arrived > lease->heard)
		lease->heard = arrived;
	lease_schedule(leases, lease);
}

/* ---- Silence ------------------------------------------------------------------------------------------------------
 */

_Static_assert((int)LEASE_SESSIONS_AT_ONCE <= (int)LIMIT_SESSIONS_PER_COMMAND, "one command names them all");

struct lease_marks {
	uint64_t expired[LEASE_SESSIONS_AT_ONCE], late[LEASE_SESSIONS_AT_ONCE];
	uint32_t quarters[LEASE_SESSIONS_AT_ONCE];
	size_t n_expired, n_late;
	uint64_t rows; /* that go with the expired ones */
};

static void lease_propose_expire(struct replica *replica, struct lease_marks *marks) {
	Command__Command command = COMMAND__COMMAND__INIT;
	Command__Expire expire = COMMAND__EXPIRE__INIT;

	if (marks->n_expired == 0)
		return;
	expire.term = replica->status.term;
	expire.n_opened = marks->n_expired;
	expire.opened = marks->expired;
	command.body_case = COMMAND__COMMAND__BODY_EXPIRE;
	command.expire = &expire;
	replica->leases.marking = pending_push_own(replica, &command);
}

static void lease_propose_late(struct replica *replica, struct lease_marks *marks) {
	Command__Command command = COMMAND__COMMAND__INIT;
	Command__Late late = COMMAND__LATE__INIT;

	if (marks->n_late == 0)
		return;
	late.term = replica->status.term;
	late.n_opened = late.n_quarters = marks->n_late;
	late.opened = marks->late;
	late.quarters = marks->quarters;
	command.body_case = COMMAND__COMMAND__BODY_LATE;
	command.late = &late;
	replica->leases.marking = pending_push_own(replica, &command);
}

static bool lease_marks_are_full(const struct lease_marks *marks) {
	return marks->n_expired + marks->n_late == LEASE_SESSIONS_AT_ONCE || marks->rows >= LEASE_ROWS_AT_ONCE;
}

static uint64_t lease_count_rows(const struct replica *replica, state_session_id id) {
	struct state_session session;

	return state_get_session(replica->state, id, &session) ? (uint64_t)1 + session.held + session.waiting : 0;
}

/* The next silent session; false: no more, or no more for now. */
static bool lease_collect(struct replica *replica, raft_usec now, struct lease_marks *marks) {
	struct leases *leases = &replica->leases;
	struct lease *lease = RB_MIN(leases_by_due, &leases->by_due);
	raft_usec quarters;

	if (!lease || lease->due > now || lease_marks_are_full(marks))
		return false;

	/* A TTL is a whole number of milliseconds, so quarters are exact. */
	quarters = (now - lease->heard) * LEASE_QUARTERS / lease->ttl_us;
	assert(quarters > lease->quarters);
	if (quarters >= LEASE_QUARTERS) {
		lease->quarters = LEASE_QUARTERS;
		marks->expired[marks->n_expired++] = lease->session;
		marks->rows += lease_count_rows(replica, lease->session);
	} else {
		lease->quarters = (uint8_t)quarters;
		marks->late[marks->n_late] = lease->session;
		marks->quarters[marks->n_late++] = lease->quarters;
	}
	lease_schedule(leases, lease);
	return true;
}

void leases_mark(struct replica *replica) {
	struct lease_marks *marks;
	raft_usec due;

	if (!leases_due(replica, &due) || due > replica->node->clocks.mono)
		return;

	marks = turn_alloc(&replica->node->turn, sizeof *marks);
	marks->n_expired = marks->n_late = marks->rows = 0;
	while (lease_collect(replica, leases_clock(replica), marks))
		;
	lease_propose_expire(replica, marks);
	replica->node->tally.expired += marks->n_expired;
	lease_propose_late(replica, marks);
}

bool leases_due(const struct replica *replica, raft_usec *ret) {
	const struct leases *leases = &replica->leases;
	const struct lease *first = RB_MIN(leases_by_due, (struct leases_by_due *)&leases->by_due);

	/* While the disk holds up what is applied, keep-alives wait unread as well. */
	if (!first || !replica->ready || leases->unproved || leases->marking > replica->pendings.applied ||
	    leadership_disk_is_late(replica))
		return false;
	*ret = first->due + leases->paused - LEASES_CLOCK_BASE;
	return true;
}

/* ---- Pauses of this process ---------------------------------------------------------------------------------------
 */

void leases_pause(struct leases *leases, raft_usec gap) {
	leases->paused += gap;
	leases->unproved = true;
	leases->round = 0;
}

bool leases_want_round(const struct leases *leases) {
	return leases->unproved && leases->round == 0;
}

void leases_assign_round(struct leases *leases, uint64_t round) {
	if (leases_want_round(leases))
		leases->round = round;
}

void leases_prove(struct leases *leases, uint64_t proved_round) {
	if (leases->unproved && leases->round > 0 && leases->round <= proved_round)
		leases->unproved = false;
}

void leases_trust(struct leases *leases) {
	leases->unproved = false;
}
