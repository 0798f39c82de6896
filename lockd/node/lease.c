/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include "api/limits.h"
#include "replica.h"

#include <assert.h>

/* Where the session clock begins: no silence reaches back behind that, however young the machine's own clock is. */
static const raft_usec LEASES_CLOCK_BASE = (raft_usec)LIMIT_TTL_MS_MAX * 1000;

raft_usec leases_clock(const struct replica *replica) {
	return LEASES_CLOCK_BASE + replica->node->clocks.mono - replica->leases.paused;
}

/* ---- Which sessions there are -------------------------------------------------------------------------------------
 */

/* A session that was silent for some quarters under the leader before keeps only the rest of its TTL. */
static void lease_new(struct replica *replica, const struct state_session *session) {
	struct lease *lease = lease_table_add(&replica->leases.table, session->id);
	raft_usec silent;

	lease->epoch = session->epoch;
	lease->group = session->group;
	lease->ttl_us = (raft_usec)session->ttl_ms * 1000;
	lease->quarters = (uint8_t)session->quarters;
	silent = lease->ttl_us * session->quarters / LEASE_QUARTERS;
	lease->heard = leases_clock(replica) - silent;
	lease_table_schedule(&replica->leases.table, lease);
}

void leases_take_over(struct replica *replica) {
	struct state_session session = {0};

	leases_clear(&replica->leases);
	while (state_next_session(replica->state, session.id, &session))
		lease_new(replica, &session);
}

/* The session clock goes on: keep-alives that arrived before the take-over carry its readings. */
void leases_clear(struct leases *leases) {
	raft_usec paused = leases->paused;

	lease_table_clear(&leases->table);
	*leases = (struct leases){.paused = paused};
}

struct lease *lease_find(const struct leases *leases, state_session_id session) {
	return lease_table_find(&leases->table, session);
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
		lease_table_remove(&replica->leases.table, lease);
}

/* ---- Signs of life ------------------------------------------------------------------------------------------------
 */

void lease_hear(struct lease *lease, raft_usec arrived) {
	if (arrived > lease->heard)
		lease->heard = arrived;
}

bool lease_is_marked(const struct lease *lease, uint64_t applied) {
	return lease->quarters > 0 || lease->renewal > applied;
}

void lease_renew(struct leases *leases, struct lease *lease, raft_usec arrived, uint64_t ticket) {
	lease->quarters = 0;
	lease->renewal = ticket;
	lease_hear(lease, arrived);
	lease_table_schedule(&leases->table, lease);
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

/* It is due. */
static void lease_mark(const struct replica *replica, struct lease *lease, raft_usec now, struct lease_marks *marks) {
	/* A TTL is a whole number of milliseconds, so quarters are exact. */
	raft_usec quarters = (now - lease->heard) * LEASE_QUARTERS / lease->ttl_us;

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
}

/* Marks those of a block that are due, as many as there is room for, and learns when the next one is. */
static void leases_mark_block(const struct replica *replica, struct lease_block *block, raft_usec now,
			      struct lease_marks *marks) {
	raft_usec next = LEASE_NEVER;

	for (size_t i = 0; i < LEASE_BLOCK_LEASES; i++) {
		struct lease *lease = &block->leases[i];

		if (lease->session == 0)
			continue;
		if (lease_due(lease) <= now && !lease_marks_are_full(marks))
			lease_mark(replica, lease, now, marks);
		if (lease_due(lease) < next)
			next = lease_due(lease);
	}
	block->due = next;
}

/* Goes on where there was no more room the last time: the first blocks must not keep the last ones from their turn. */
static void leases_collect(struct replica *replica, raft_usec now, struct lease_marks *marks) {
	struct leases *leases = &replica->leases;
	struct lease_table *table = &leases->table;

	for (size_t n = table->n_blocks; n > 0 && !lease_marks_are_full(marks); n--) {
		size_t at = leases->looked++ % table->n_blocks;

		if (table->blocks[at].due <= now)
			leases_mark_block(replica, &table->blocks[at], now, marks);
	}
	lease_table_settle(table);
}

void leases_mark(struct replica *replica) {
	struct lease_marks *marks;
	raft_usec due;

	if (!leases_due(replica, &due) || due > replica->node->clocks.mono)
		return;

	marks = turn_alloc(&replica->node->turn, sizeof *marks);
	marks->n_expired = marks->n_late = marks->rows = 0;
	leases_collect(replica, leases_clock(replica), marks);
	lease_propose_expire(replica, marks);
	replica->node->tally.expired += marks->n_expired;
	lease_propose_late(replica, marks);
}

bool leases_due(const struct replica *replica, raft_usec *ret) {
	const struct leases *leases = &replica->leases;
	const struct lease_table *table = &leases->table;

	/* While the disk holds up what is applied, keep-alives wait unread as well. */
	if (table->n == 0 || table->due == LEASE_NEVER || !replica->ready || leases->unproved ||
	    leases->marking > replica->pendings.applied || leadership_disk_is_late(replica))
		return false;
	*ret = table->due + leases->paused - LEASES_CLOCK_BASE;
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
