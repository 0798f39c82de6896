/* SPDX-License-Identifier: Apache-2.0 */
/* Seats: who waits for which lock, in the order of coming. A seat leaves its queue by a grant (lock_pass()), a CANCEL,
 * the end of its wait or the end of its session, and its result changes in the same command. */
#include "machine.h"
#include "memory.h"

#include "api/slot.h"

#include <lockd/status.h>
#include <string.h>

static int seat_compare_enqueued(const struct seat *a, const struct seat *b) {
	return (a->enqueued > b->enqueued) - (a->enqueued < b->enqueued);
}

static int seat_compare_sequence(const struct seat *a, const struct seat *b) {
	return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

RB_GENERATE(seat_queue, seat, in_queue, seat_compare_enqueued)
RB_GENERATE(seat_all, seat, in_state, seat_compare_enqueued)
RB_GENERATE(seat_sequence, seat, in_session, seat_compare_sequence)

struct seat *seat_find(const struct session *session, uint64_t sequence) {
	struct seat key;

	key.sequence = sequence;
	return RB_FIND(seat_sequence, (struct seat_sequence *)&session->seats, &key);
}

struct seat *seat_first(const struct lock *lock) {
	return RB_MIN(seat_queue, (struct seat_queue *)&lock->queue);
}

/* false: revision or sequence are taken. */
bool seat_insert(struct state *state, struct seat *seat) {
	if (RB_INSERT(seat_all, &state->seats, seat))
		return false;
	if (RB_INSERT(seat_sequence, &seat->session->seats, seat)) {
		RB_REMOVE(seat_all, &state->seats, seat);
		return false;
	}
	RB_INSERT(seat_queue, &seat->lock->queue, seat);
	seat->lock->n_waiting++;
	seat->session->n_waiting++;
	return true;
}

void seat_append(struct state *state, struct lock *lock, struct session *session, uint64_t sequence, uint32_t wait_ms,
		 struct state_text value) {
	struct seat *seat = memory_new(sizeof(*seat));
	bool inserted;

	seat->lock = lock;
	seat->session = session;
	seat->sequence = sequence;
	seat->enqueued = state->revision;
	seat->wait_ms = wait_ms;
	seat->value = value_copy(value);
	inserted = seat_insert(state, seat);
	assert(inserted);
	row_add(state, STATE_SEAT, &seat->row);
}

/* The seat is gone; its value belongs to the caller. */
struct state_text seat_leave(struct state *state, struct seat *seat) {
	struct state_text value = seat->value;

	RB_REMOVE(seat_queue, &seat->lock->queue, seat);
	RB_REMOVE(seat_all, &state->seats, seat);
	RB_REMOVE(seat_sequence, &seat->session->seats, seat);
	seat->lock->n_waiting--;
	seat->session->n_waiting--;
	row_remove(state, &seat->row);
	free(seat);
	return value;
}

/* It leaves without the lock. */
void seat_end(struct state *state, struct seat *seat, int status) {
	struct result *result = result_find(seat->session, seat->sequence);

	value_free(seat_leave(state, seat));
	result_set(state, result, status, 0);
	outcome_resolve(state, result);
}

/* Whatever came or will come of the target, afterwards it neither holds nor waits. A target that has not been seen
 * leaves a result that answers any request: the Acquire may still be on its way. */
void seat_cancel(struct state *state, struct session *session, uint64_t sequence, uint64_t digest, uint64_t target) {
	struct seat *seat = seat_find(session, target);
	struct lock *lock = lock_held_as(session, target);
	struct result *result = result_find(session, target);

	if (target >= session->floor && target - session->floor >= LIMIT_SEQUENCE_WINDOW) {
		outcome_answer(state, session->id, sequence, LOCKD_WINDOW, state->revision);
		return;
	}
	outcome_answer_result(state, result_add(state, session, sequence, digest, LOCKD_OK, 0, 0));

	if (seat)
		seat_end(state, seat, LOCKD_CANCELLED);
	else if (lock)
		lock_pass(state, lock);
	if (lock && result)
		result_set(state, result, LOCKD_CANCELLED, 0);
	if (!result && target >= session->floor)
		result_add(state, session, target, RESULT_DIGEST_ANY, LOCKD_CANCELLED, 0, 0);
}

void seat_expire(struct state *state, const Command__Timer *timer) {
	struct session *session = session_find(state, timer->opened);
	struct seat *seat = session ? seat_find(session, timer->sequence) : NULL;

	if (seat)
		seat_end(state, seat, LOCKD_WAIT_EXPIRED);
}

static void seat_describe(const struct seat *seat, struct state_seat *ret) {
	*ret = (struct state_seat){
		.name = lock_name(seat->lock),
		.session = seat->session->id,
		.sequence = seat->sequence,
		.enqueued = seat->enqueued,
		.wait_ms = seat->wait_ms,
	};
}

bool state_next_waiter(const struct state *state, const void *name, size_t n, state_revision after,
		       struct state_seat *ret) {
	struct lock *lock = lock_find(state, (struct state_text){name, (uint32_t)n});
	const struct seat *seat;
	struct seat key;

	if (!lock || after == UINT64_MAX)
		return false;
	key.enqueued = after + 1;
	seat = RB_NFIND(seat_queue, &lock->queue, &key);
	if (!seat)
		return false;
	seat_describe(seat, ret);
	return true;
}

bool state_next_seat(const struct state *state, state_revision after, struct state_seat *ret) {
	const struct seat *seat;
	struct seat key;

	if (after == UINT64_MAX)
		return false;
	key.enqueued = after + 1;
	seat = RB_NFIND(seat_all, (struct seat_all *)&state->seats, &key);
	if (!seat)
		return false;
	seat_describe(seat, ret);
	return true;
}
