/* SPDX-License-Identifier: Apache-2.0 */
/* Every row that an entry changes is packed for the state hash, so this is written by hand: field by field in order of
 * number, without what is zero, which are the bytes that protobuf makes of a record.Record. */
#include "record.h"

#include "api/record.pb-c.h"
#include "api/varint.h"

#include <assert.h>
#include <string.h>

/* Rows are found through their first member. */
static_assert(offsetof(struct counter, row) == 0, "a counter begins with its row");
static_assert(offsetof(struct session, row) == 0, "a session begins with its row");
static_assert(offsetof(struct lock, row) == 0, "a lock begins with its row");
static_assert(offsetof(struct seat, row) == 0, "a seat begins with its row");
static_assert(offsetof(struct result, row) == 0, "a result begins with its row");

/* A row's kind is the number of its field in the oneof. */
static_assert((int)STATE_SLOT == RECORD__RECORD__ROW_SLOT, "slots");
static_assert((int)STATE_SESSION == RECORD__RECORD__ROW_SESSION, "sessions");
static_assert((int)STATE_LOCK == RECORD__RECORD__ROW_LOCK, "locks");
static_assert((int)STATE_SEAT == RECORD__RECORD__ROW_SEAT, "seats");
static_assert((int)STATE_RESULT == RECORD__RECORD__ROW_RESULT, "results");

/* Tags take one byte here as well. */
static uint8_t *record_text(uint8_t *out, unsigned field, struct state_text text) {
	if (text.n == 0)
		return out;
	*out++ = (uint8_t)(field << VARINT_KIND_BITS | VARINT_KIND_SIZED);
	out = varint_put(out, text.n);
	memcpy(out, text.bytes, text.n);
	return out + text.n;
}

static uint8_t *record_of_counter(const struct counter *counter, uint8_t *out) {
	out = varint_put_field(out, 1, counter->slot);
	return varint_put_field(out, 2, counter->last);
}

static uint8_t *record_of_session(const struct session *session, uint8_t *out) {
	out = varint_put_field(out, 1, session->id);
	out = record_text(out, 2, (struct state_text){session->nonce, sizeof(session->nonce)});
	out = varint_put_field(out, 3, session->ttl_ms);
	out = record_text(out, 4, session->owner);
	out = record_text(out, 5, session->host);
	out = varint_put_field(out, 6, session->pid);
	out = record_text(out, 7, session->label);
	out = varint_put_field(out, 8, session->floor);
	out = varint_put_field(out, 9, session->late_quarters);
	out = varint_put_field(out, 10, session->epoch);
	return varint_put_field(out, 11, session->group);
}

static uint8_t *record_of_lock(const struct lock *lock, uint8_t *out) {
	assert(lock->holder);
	out = record_text(out, 1, lock_name(lock));
	out = varint_put_field(out, 2, lock->holder->id);
	out = varint_put_field(out, 3, lock->sequence);
	out = varint_put_field(out, 4, lock->token);
	out = varint_put_field(out, 5, lock->granted);
	return record_text(out, 6, lock_value(lock));
}

static uint8_t *record_of_seat(const struct seat *seat, uint8_t *out) {
	out = record_text(out, 1, lock_name(seat->lock));
	out = varint_put_field(out, 2, seat->session->id);
	out = varint_put_field(out, 3, seat->sequence);
	out = varint_put_field(out, 4, seat->enqueued);
	out = varint_put_field(out, 5, seat->wait_ms);
	return record_text(out, 6, seat->value);
}

static uint8_t *record_of_result(const struct result *result, uint8_t *out) {
	out = varint_put_field(out, 1, result->session->id);
	out = varint_put_field(out, 2, result->sequence);
	out = varint_put_field(out, 3, result->digest);
	out = varint_put_field(out, 4, (uint32_t)result->status);
	out = varint_put_field(out, 5, result->token);
	out = varint_put_field(out, 6, result->revision);
	return varint_put_field(out, 7, result->slot);
}

static uint8_t *record_of_row(const struct row *row, uint8_t *out) {
	switch (row_kind(row->id)) {
	case STATE_SLOT: return record_of_counter((const struct counter *)row, out);
	case STATE_SESSION: return record_of_session((const struct session *)row, out);
	case STATE_LOCK: return record_of_lock((const struct lock *)row, out);
	case STATE_SEAT: return record_of_seat((const struct seat *)row, out);
	case STATE_RESULT: return record_of_result((const struct result *)row, out);
	}
	assert(!"a row of no kind");
	return out;
}

size_t record_pack(const struct row *row, uint8_t *out) {
	uint8_t *length = out + 1, *end;

	*out = (uint8_t)((unsigned)row_kind(row->id) << VARINT_KIND_BITS | VARINT_KIND_SIZED);
	end = varint_put_length(length, record_of_row(row, length + 1));
	assert((size_t)(end - out) <= RECORD_BYTES_MAX);
	return (size_t)(end - out);
}
