/* SPDX-License-Identifier: Apache-2.0 */
/* The audit: everything that README.md says always holds between two entries, recounted from the rows. */
#include "machine.h"

#include "api/slot.h"

#include <assert.h>
#include <lockd/status.h>

static void check_results(const struct session *session) {
	struct result *result, *previous = NULL;
	uint32_t queued = 0;

	RB_FOREACH (result, result_tree, (struct result_tree *)&session->results) {
		assert(result->session == session);
		assert(!previous || previous->sequence < result->sequence);
		assert(result->sequence >= session->floor);
		assert(result->sequence - session->floor < LIMIT_SEQUENCE_WINDOW);
		assert((result->status == LOCKD_QUEUED) == (seat_find(session, result->sequence) != NULL));
		queued += result->status == LOCKD_QUEUED;
		previous = result;
	}
	assert(queued == session->n_waiting);
}

static void check_session(const struct state *state, const struct session *session) {
	struct lock *lock;
	struct seat *seat;
	uint32_t n_held = 0, n_waiting = 0;

	assert(!session->ending);
	assert(session_find(state, session->id) == session);
	assert(state_find_nonce(state, session->nonce) == session->id);
	RB_FOREACH (lock, lock_sequence, (struct lock_sequence *)&session->held) {
		assert(lock->holder == session);
		assert(lock_find(state, lock_name(lock)) == lock);
		n_held++;
	}
	RB_FOREACH (seat, seat_sequence, (struct seat_sequence *)&session->seats) {
		assert(seat->session == session);
		assert(lock_find(state, lock_name(seat->lock)) == seat->lock);
		n_waiting++;
	}
	assert(n_held == session->n_held);
	assert(session->newest == RB_MAX(lock_sequence, (struct lock_sequence *)&session->held));
	assert(n_waiting == session->n_waiting);
	check_results(session);
}

static uint32_t check_sessions(const struct state *state) {
	struct session *session, *previous = NULL;
	uint32_t n = 0;

	RB_FOREACH (session, session_ids, (struct session_ids *)&state->sessions) {
		assert(!previous || previous->id < session->id);
		check_session(state, session);
		previous = session;
		n++;
	}
	return n;
}

static uint32_t check_queue(const struct lock *lock) {
	struct seat *seat, *previous = NULL;
	uint32_t n = 0;

	RB_FOREACH (seat, seat_queue, (struct seat_queue *)&lock->queue) {
		assert(seat->lock == lock);
		assert(!previous || previous->enqueued < seat->enqueued);
		assert(seat_find(seat->session, seat->sequence) == seat);
		previous = seat;
		n++;
	}
	assert(n == lock->n_waiting);
	return n;
}

static void check_locks(const struct state *state) {
	struct lock *lock;
	uint32_t n_locks = 0, n_seats = 0, n_seats_all = 0;
	struct seat *seat;

	RB_FOREACH (lock, lock_names, (struct lock_names *)&state->locks) {
		assert(lock->holder);
		assert(session_find(state, lock->holder->id) == lock->holder);
		assert(lock_held_as(lock->holder, lock->sequence) == lock);
		assert(lock->token > 0);
		assert(lock->token <= state->counters[slot_of_name(lock->name, lock->name_n)].last);
		n_seats += check_queue(lock);
		n_locks++;
	}
	RB_FOREACH (seat, seat_all, (struct seat_all *)&state->seats)
		n_seats_all++;
	assert(n_locks == state->tables[STATE_LOCK].n_rows);
	assert(n_seats == state->tables[STATE_SEAT].n_rows);
	assert(n_seats_all == n_seats);
}

/* Adds the part of a settled row to *hash. */
static void check_part(const struct row *row, struct state_hash *hash) {
	struct state_hash part = row_hash(row);

	assert(part.low == row->hash.low);
	assert(part.high == row->hash.high);
	*hash = hash_add(*hash, part);
}

/* Adds the parts of all settled rows of a kind to *hash, and counts the ids that wait for settling. */
static void check_table(const struct state *state, enum state_row_kind kind, struct state_hash *hash,
			size_t *n_unsettled) {
	const struct row_table *table = &state->tables[kind];
	uint32_t n_rows = 0, n_free = 0;

	for (uint32_t local = 0; local < table->n_cells; local++) {
		const struct row_cell *cell = &table->cells[local];
		*n_unsettled += cell->unsettled;
		if (!cell->row)
			continue;
		assert(row_kind(cell->row->id) == kind);
		assert(row_cell(state, cell->row->id) == cell);
		if (!cell->unsettled)
			check_part(cell->row, hash);
		n_rows++;
	}
	for (uint32_t next = table->free_first; next; next = table->cells[next - 1].free_next) {
		assert(!table->cells[next - 1].row);
		n_free++;
	}
	assert(n_rows == table->n_rows);
	assert(n_rows + n_free == table->n_cells);
}

/* The sum that stands in the state is that of the settled rows; the others wait in the queue, each once. */
static void check_hash(const struct state *state) {
	struct state_hash hash = {0};
	size_t n_unsettled = 0;

	for (int kind = STATE_SLOT; kind < STATE_ROW_KINDS; kind++)
		check_table(state, (enum state_row_kind)kind, &hash, &n_unsettled);
	assert(hash.low == state->hash.low);
	assert(hash.high == state->hash.high);
	assert(state->unsettled.n == n_unsettled);
	for (size_t i = 0; i < state->unsettled.n; i++)
		assert(row_cell(state, state->unsettled.ids[i])->unsettled);
}

static void check_marks(const struct state *state) {
	const struct row_list *dirty = &state->lists[state->side];

	for (size_t i = 0; i < dirty->n; i++)
		assert(row_cell(state, dirty->rows[i].id)->mark[state->side] == i + 1);
	if (!state->cutting)
		assert(state->lists[!state->side].n == 0);
}

void state_check(const struct state *state) {
	uint32_t n_counters = 0, n_sessions;

	n_sessions = check_sessions(state);
	assert(n_sessions == state->tables[STATE_SESSION].n_rows);
	assert(n_sessions == state->roster.n);
	check_locks(state);
	for (uint32_t slot = 0; slot < LIMIT_SLOTS; slot++)
		n_counters += state->counters[slot].last > 0;
	assert(n_counters == state->tables[STATE_SLOT].n_rows);

	check_hash(state);
	check_marks(state);
}
