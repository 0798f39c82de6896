/* SPDX-License-Identifier: Apache-2.0 */
/* Records are packed by hand, and read and hashed by others: they must be what protobuf makes of the same fields. */
#include "replica.h"

#include "api/record.pb-c.h"
#include "lockd/state/record.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 500 };

static uint64_t next(uint64_t *seed) {
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Zero now and then, and of any length in bits. */
static uint64_t number(uint64_t *seed) {
	uint64_t bits = next(seed) % 65;

	return bits == 0 ? 0 : next(seed) >> (64 - bits);
}

/* `n` letters of memory that all texts share. */
static struct state_text text(uint64_t *seed, size_t max) {
	static uint8_t letters[LIMIT_VALUE_BYTES_MAX];
	size_t n = next(seed) % 2 ? next(seed) % (max + 1) : next(seed) % 8;

	memset(letters, 'a', sizeof letters);
	return (struct state_text){.bytes = letters, .n = (uint32_t)(n < max ? n : max)};
}

static ProtobufCBinaryData data_of(struct state_text text) {
	return (ProtobufCBinaryData){.len = text.n, .data = (uint8_t *)text.bytes};
}

static state_row_id id_of(enum state_row_kind kind) {
	return (state_row_id)kind << 40;
}

/* protobuf-c itself, not what the generated functions call. */
static void expect(const struct row *row, const Record__Record *record) {
	static uint8_t ours[RECORD_BYTES_MAX], theirs[RECORD_BYTES_MAX];
	size_t n = record_pack(row, ours);

	assert_int_equal(n, protobuf_c_message_get_packed_size(&record->base));
	assert_int_equal(n, protobuf_c_message_pack(&record->base, theirs));
	assert_memory_equal(ours, theirs, n);
}

static struct lock *make_lock(uint64_t *seed, struct session *holder) {
	struct state_text name = text(seed, LIMIT_NAME_BYTES_MAX), value = text(seed, LIMIT_VALUE_BYTES_MAX);
	static struct state state; /* of which lock_new() asks the empty pools only */
	struct lock *lock = lock_new(&state, name);

	lock->row.id = id_of(STATE_LOCK);
	lock->holder = holder;
	lock->sequence = number(seed);
	lock->token = number(seed);
	lock->granted = number(seed);
	lock_set_value(lock, value);
	return lock;
}

static void test_record__of_a_counter(void **test) {
	uint64_t seed = 1;

	(void)test;
	for (int round = 0; round < ROUNDS; round++) {
		struct counter counter = {
			.row.id = id_of(STATE_SLOT), .slot = (uint32_t)number(&seed), .last = number(&seed)};
		Record__Slot slot = RECORD__SLOT__INIT;
		Record__Record record = RECORD__RECORD__INIT;

		slot.slot = counter.slot;
		slot.counter = counter.last;
		record.row_case = RECORD__RECORD__ROW_SLOT;
		record.slot = &slot;
		expect(&counter.row, &record);
	}
}

static void test_record__of_a_session(void **test) {
	uint64_t seed = 2;

	(void)test;
	for (int round = 0; round < ROUNDS; round++) {
		struct session session = {.row.id = id_of(STATE_SESSION),
					  .id = number(&seed),
					  .epoch = (uint32_t)number(&seed),
					  .group = (uint32_t)number(&seed),
					  .ttl_ms = (uint32_t)number(&seed),
					  .pid = (uint32_t)number(&seed),
					  .owner = text(&seed, LIMIT_OWNER_BYTES_MAX),
					  .host = text(&seed, LIMIT_HOST_BYTES_MAX),
					  .label = text(&seed, LIMIT_LABEL_BYTES_MAX),
					  .floor = number(&seed),
					  .late_quarters = (uint32_t)number(&seed) % 4};
		Record__Session row = RECORD__SESSION__INIT;
		Record__Record record = RECORD__RECORD__INIT;

		row.opened = session.id;
		row.nonce = data_of((struct state_text){session.nonce, sizeof session.nonce});
		row.ttl_ms = session.ttl_ms;
		row.owner = data_of(session.owner);
		row.host = data_of(session.host);
		row.pid = session.pid;
		row.label = data_of(session.label);
		row.floor = session.floor;
		row.late_quarters = session.late_quarters;
		row.epoch = session.epoch;
		row.group = session.group;
		record.row_case = RECORD__RECORD__ROW_SESSION;
		record.session = &row;
		expect(&session.row, &record);
	}
}

static void test_record__of_a_lock_and_its_seat(void **test) {
	uint64_t seed = 3;

	(void)test;
	for (int round = 0; round < ROUNDS; round++) {
		struct session session = {.id = number(&seed)};
		struct lock *lock = make_lock(&seed, &session);
		struct seat seat = {.row.id = id_of(STATE_SEAT),
				    .lock = lock,
				    .session = &session,
				    .sequence = number(&seed),
				    .enqueued = number(&seed),
				    .wait_ms = (uint32_t)number(&seed),
				    .value = text(&seed, LIMIT_VALUE_BYTES_MAX)};
		Record__Lock lock_row = RECORD__LOCK__INIT;
		Record__Seat seat_row = RECORD__SEAT__INIT;
		Record__Record record = RECORD__RECORD__INIT;

		lock_row.name = seat_row.name = data_of(lock_name(lock));
		lock_row.holder = seat_row.session = session.id;
		lock_row.sequence = lock->sequence;
		lock_row.token = lock->token;
		lock_row.granted = lock->granted;
		lock_row.value = data_of(lock_value(lock));
		record.row_case = RECORD__RECORD__ROW_LOCK;
		record.lock = &lock_row;
		expect(&lock->row, &record);

		seat_row.sequence = seat.sequence;
		seat_row.enqueued = seat.enqueued;
		seat_row.wait_ms = seat.wait_ms;
		seat_row.value = data_of(seat.value);
		record.row_case = RECORD__RECORD__ROW_SEAT;
		record.seat = &seat_row;
		expect(&seat.row, &record);
		free(lock);
	}
}

static void test_record__of_a_result(void **test) {
	uint64_t seed = 4;

	(void)test;
	for (int round = 0; round < ROUNDS; round++) {
		struct session session = {.id = number(&seed)};
		struct result result = {.row.id = id_of(STATE_RESULT),
					.session = &session,
					.sequence = number(&seed),
					.digest = number(&seed),
					.status = (int)(number(&seed) % 64),
					.token = number(&seed),
					.revision = number(&seed),
					.slot = (uint32_t)number(&seed)};
		Record__Result row = RECORD__RESULT__INIT;
		Record__Record record = RECORD__RECORD__INIT;

		row.session = session.id;
		row.sequence = result.sequence;
		row.digest = result.digest;
		row.status = (uint32_t)result.status;
		row.token = result.token;
		row.revision = result.revision;
		row.slot = result.slot;
		record.row_case = RECORD__RECORD__ROW_RESULT;
		record.result = &row;
		expect(&result.row, &record);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record__of_a_counter),
		cmocka_unit_test(test_record__of_a_session),
		cmocka_unit_test(test_record__of_a_lock_and_its_seat),
		cmocka_unit_test(test_record__of_a_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
