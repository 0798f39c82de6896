/* SPDX-License-Identifier: Apache-2.0 */
/* Rows come back in the order of their kinds, so that whatever a row names is there already. A record is the world's:
 * what it says is checked before it is believed, and whatever the hash cannot show (rows that contradict each other,
 * made by somebody who can compute it) must not make an assertion fail later. */
#include "machine.h"
#include "memory.h"

#include "api/record.pb-c.h"
#include "api/slot.h"

#include <errno.h>
#include <lockd/status.h>

static int restore_counter(struct state *state, state_row_id id, const Record__Slot *r, struct row **ret_row) {
	struct counter *counter;

	if (r->slot >= LIMIT_SLOTS || r->counter == 0 || r->counter > INT64_MAX)
		return -EBADMSG;
	counter = &state->counters[r->slot];
	if (counter->last)
		return -EBADMSG;
	counter->last = r->counter;
	*ret_row = &counter->row;
	return row_restore(state, STATE_SLOT, id, &counter->row);
}

static bool restore_session_is_valid(const Record__Session *r) {
	return r->opened > 0 && r->nonce.len == LIMIT_NONCE_BYTES && r->owner.len <= LIMIT_OWNER_BYTES_MAX &&
	       r->host.len <= LIMIT_HOST_BYTES_MAX && r->label.len <= LIMIT_LABEL_BYTES_MAX && r->floor > 0 &&
	       r->late_quarters <= 3;
}

static int restore_session(struct state *state, state_row_id id, const Record__Session *r, struct row **ret_row) {
	struct session *session;

	if (!restore_session_is_valid(r))
		return -EBADMSG;
	session = session_new(r->nonce.data, text_of(r->owner), text_of(r->host), text_of(r->label));
	session->id = r->opened;
	session->epoch = r->epoch;
	session->group = r->group;
	session->ttl_ms = r->ttl_ms;
	session->pid = r->pid;
	session->floor = r->floor;
	session->late_quarters = r->late_quarters;
	if (!session_insert(state, session)) {
		free(session);
		return -EBADMSG;
	}
	*ret_row = &session->row;
	return row_restore(state, STATE_SESSION, id, &session->row);
}

static int restore_lock(struct state *state, state_row_id id, const Record__Lock *r, struct row **ret_row) {
	struct session *holder = session_find(state, r->holder);
	struct lock *lock;

	if (!holder || r->sequence == 0 || r->name.len == 0 || r->name.len > LIMIT_NAME_BYTES_MAX ||
	    r->value.len > LIMIT_VALUE_BYTES_MAX)
		return -EBADMSG;
	if (r->token == 0 || r->token > state->counters[slot_of_name(r->name.data, r->name.len)].last)
		return -EBADMSG;

	lock = lock_new(state, text_of(r->name));
	lock->holder = holder;
	lock->sequence = r->sequence;
	lock->token = r->token;
	lock->granted = r->granted;
	lock_set_value(lock, value_copy(text_of(r->value)));
	if (!lock_insert(state, lock)) {
		free(lock->value);
		free(lock);
		return -EBADMSG;
	}
	*ret_row = &lock->row;
	return row_restore(state, STATE_LOCK, id, &lock->row);
}

static int restore_seat(struct state *state, state_row_id id, const Record__Seat *r, struct row **ret_row) {
	struct session *session = session_find(state, r->session);
	struct lock *lock = lock_find(state, text_of(r->name));
	struct seat *seat;

	if (!session || !lock || r->sequence < session->floor || r->value.len > LIMIT_VALUE_BYTES_MAX)
		return -EBADMSG;
	if (lock_held_as(session, r->sequence))
		return -EBADMSG;

	seat = memory_new(sizeof(*seat));
	seat->lock = lock;
	seat->session = session;
	seat->sequence = r->sequence;
	seat->enqueued = r->enqueued;
	seat->wait_ms = r->wait_ms;
	seat->value = value_copy(text_of(r->value));
	if (!seat_insert(state, seat)) {
		value_free(seat->value);
		free(seat);
		return -EBADMSG;
	}
	*ret_row = &seat->row;
	return row_restore(state, STATE_SEAT, id, &seat->row);
}

static bool restore_status_is_stored(uint32_t status) {
	switch (status) {
	case LOCKD_OK:
	case LOCKD_QUEUED:
	case LOCKD_HELD:
	case LOCKD_WAIT_EXPIRED:
	case LOCKD_CANCELLED:
	case LOCKD_NOT_HOLDER:
	case LOCKD_LIMIT: return true;
	default: return false;
	}
}

static int restore_result(struct state *state, state_row_id id, const Record__Result *r, struct row **ret_row) {
	struct session *session = session_find(state, r->session);
	struct result *result;

	if (!session || r->sequence < session->floor || r->sequence - session->floor >= LIMIT_SEQUENCE_WINDOW ||
	    !restore_status_is_stored(r->status))
		return -EBADMSG;
	if ((r->status == LOCKD_QUEUED) != (seat_find(session, r->sequence) != NULL))
		return -EBADMSG;

	result = memory_new(sizeof(*result));
	result->session = session;
	result->sequence = r->sequence;
	result->digest = r->digest;
	result->status = (int)r->status;
	result->token = r->token;
	result->revision = r->revision;
	result->slot = r->slot;
	if (!result_insert(result)) {
		free(result);
		return -EBADMSG;
	}
	*ret_row = &result->row;
	return row_restore(state, STATE_RESULT, id, &result->row);
}

static int restore_record(struct state *state, state_row_id id, const Record__Record *record, struct row **ret_row) {
	const ProtobufCMessage *body = (const ProtobufCMessage *)record->slot;

	if (record->row_case == RECORD__RECORD__ROW__NOT_SET)
		return -EBADMSG;
	if (record->base.n_unknown_fields > 0 || body->n_unknown_fields > 0)
		return -EBADMSG;
	switch (record->row_case) {
	case RECORD__RECORD__ROW_SLOT: return restore_counter(state, id, record->slot, ret_row);
	case RECORD__RECORD__ROW_SESSION: return restore_session(state, id, record->session, ret_row);
	case RECORD__RECORD__ROW_LOCK: return restore_lock(state, id, record->lock, ret_row);
	case RECORD__RECORD__ROW_SEAT: return restore_seat(state, id, record->seat, ret_row);
	case RECORD__RECORD__ROW_RESULT: return restore_result(state, id, record->result, ret_row);
	default: return -EBADMSG;
	}
}

int state_restore(struct state *state, state_row_id id, const void *record, size_t n, state_row_id *ret_id) {
	Record__Record *decoded;
	struct row *row;
	int r;

	assert(state->index == 0);
	r = arena_reset(&state->arena, n);
	assert(r == 0 && "out of memory");
	decoded = record__record__unpack(&state->arena.allocator, n, record);
	if (!decoded)
		return -EBADMSG;
	r = restore_record(state, id, decoded, &row);
	if (r < 0)
		return r;
	*ret_id = row->id;
	return 0;
}

int state_restored(struct state *state, const struct state_cut *cut) {
	struct state_hash hash;
	struct seat *seat;
	uint64_t rows = 0;

	assert(state->index == 0);
	assert(cut->machine_version >= 1);
	assert(cut->machine_version <= state->config.machine_version_max);
	RB_FOREACH (seat, seat_all, &state->seats)
		if (!result_find(seat->session, seat->sequence))
			return -EBADMSG;
	for (int kind = STATE_SLOT; kind < STATE_ROW_KINDS; kind++)
		rows += state->tables[kind].n_rows;
	hash = state_get_hash(state);
	if (rows != cut->rows || hash.low != cut->hash.low || hash.high != cut->hash.high)
		return -EBADMSG;

	row_restored(state);
	state->index = cut->index;
	state->term = cut->term;
	state->version = cut->machine_version;
	history_begin(&state->history, cut->index << 16 | 0xffff);
	return 0;
}
