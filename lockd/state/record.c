/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include "api/record.pb-c.h"

#include <assert.h>

/* Rows are found through their first member. */
static_assert(offsetof(struct counter, row) == 0, "a counter begins with its row");
static_assert(offsetof(struct session, row) == 0, "a session begins with its row");
static_assert(offsetof(struct lock, row) == 0, "a lock begins with its row");
static_assert(offsetof(struct seat, row) == 0, "a seat begins with its row");
static_assert(offsetof(struct result, row) == 0, "a result begins with its row");

struct record_image {
	Record__Record record;
	union {
		Record__Slot slot;
		Record__Session session;
		Record__Lock lock;
		Record__Seat seat;
		Record__Result result;
	} body;
};

static ProtobufCBinaryData record_bytes(struct state_text text) {
	return (ProtobufCBinaryData){.len = text.n, .data = (uint8_t *)text.bytes};
}

static void record_of_counter(const struct counter *counter, struct record_image *image) {
	Record__Slot *r = &image->body.slot;

	record__slot__init(r);
	r->slot = counter->slot;
	r->counter = counter->last;
	image->record.row_case = RECORD__RECORD__ROW_SLOT;
	image->record.slot = r;
}

static void record_of_session(const struct session *session, struct record_image *image) {
	Record__Session *r = &image->body.session;

	record__session__init(r);
	r->opened = session->id;
	r->nonce = record_bytes((struct state_text){session->nonce, sizeof(session->nonce)});
	r->ttl_ms = session->ttl_ms;
	r->owner = record_bytes(session->owner);
	r->host = record_bytes(session->host);
	r->pid = session->pid;
	r->label = record_bytes(session->label);
	r->floor = session->floor;
	r->late_quarters = session->late_quarters;
	r->epoch = session->epoch;
	r->group = session->group;
	image->record.row_case = RECORD__RECORD__ROW_SESSION;
	image->record.session = r;
}

static void record_of_lock(const struct lock *lock, struct record_image *image) {
	Record__Lock *r = &image->body.lock;

	assert(lock->holder);
	record__lock__init(r);
	r->name = record_bytes(lock_name(lock));
	r->holder = lock->holder->id;
	r->sequence = lock->sequence;
	r->token = lock->token;
	r->granted = lock->granted;
	r->value = record_bytes(lock_value(lock));
	image->record.row_case = RECORD__RECORD__ROW_LOCK;
	image->record.lock = r;
}

static void record_of_seat(const struct seat *seat, struct record_image *image) {
	Record__Seat *r = &image->body.seat;

	record__seat__init(r);
	r->name = record_bytes(lock_name(seat->lock));
	r->session = seat->session->id;
	r->sequence = seat->sequence;
	r->enqueued = seat->enqueued;
	r->wait_ms = seat->wait_ms;
	r->value = record_bytes(seat->value);
	image->record.row_case = RECORD__RECORD__ROW_SEAT;
	image->record.seat = r;
}

static void record_of_result(const struct result *result, struct record_image *image) {
	Record__Result *r = &image->body.result;

	record__result__init(r);
	r->session = result->session->id;
	r->sequence = result->sequence;
	r->digest = result->digest;
	r->status = (uint32_t)result->status;
	r->token = result->token;
	r->revision = result->revision;
	r->slot = result->slot;
	image->record.row_case = RECORD__RECORD__ROW_RESULT;
	image->record.result = r;
}

size_t record_pack(const struct row *row, uint8_t *out) {
	struct record_image image;
	size_t n;

	record__record__init(&image.record);
	switch (row_kind(row->id)) {
	case STATE_SLOT: record_of_counter((const struct counter *)row, &image); break;
	case STATE_SESSION: record_of_session((const struct session *)row, &image); break;
	case STATE_LOCK: record_of_lock((const struct lock *)row, &image); break;
	case STATE_SEAT: record_of_seat((const struct seat *)row, &image); break;
	case STATE_RESULT: record_of_result((const struct result *)row, &image); break;
	}
	n = record__record__pack(&image.record, out);
	assert(n > 0);
	assert(n <= RECORD_BYTES_MAX);
	return n;
}
