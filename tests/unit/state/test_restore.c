/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include "api/limits.h"
#include "api/record.pb-c.h"
#include "api/slot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t nonce[16] = {3};

struct draft {
	Record__Record record;
	union {
		Record__Slot slot;
		Record__Session session;
		Record__Lock lock;
		Record__Seat seat;
		Record__Result result;
	} body;
};

static ProtobufCBinaryData text(const char *bytes) {
	return (ProtobufCBinaryData){.len = strlen(bytes), .data = (uint8_t *)bytes};
}

static void draft_slot(struct draft *draft, uint32_t slot, uint64_t counter) {
	record__record__init(&draft->record);
	record__slot__init(&draft->body.slot);
	draft->body.slot.slot = slot;
	draft->body.slot.counter = counter;
	draft->record.row_case = RECORD__RECORD__ROW_SLOT;
	draft->record.slot = &draft->body.slot;
}

static void draft_session(struct draft *draft, uint64_t opened) {
	record__record__init(&draft->record);
	record__session__init(&draft->body.session);
	draft->body.session.opened = opened;
	draft->body.session.nonce = (ProtobufCBinaryData){.len = sizeof(nonce), .data = (uint8_t *)nonce};
	draft->body.session.ttl_ms = 10000;
	draft->body.session.floor = 1;
	draft->record.row_case = RECORD__RECORD__ROW_SESSION;
	draft->record.session = &draft->body.session;
}

static void draft_lock(struct draft *draft, const char *name, uint64_t holder, uint64_t sequence, uint64_t token) {
	record__record__init(&draft->record);
	record__lock__init(&draft->body.lock);
	draft->body.lock.name = text(name);
	draft->body.lock.holder = holder;
	draft->body.lock.sequence = sequence;
	draft->body.lock.token = token;
	draft->body.lock.granted = 5 << 16;
	draft->record.row_case = RECORD__RECORD__ROW_LOCK;
	draft->record.lock = &draft->body.lock;
}

static void draft_seat(struct draft *draft, const char *name, uint64_t session, uint64_t sequence, uint64_t enqueued) {
	record__record__init(&draft->record);
	record__seat__init(&draft->body.seat);
	draft->body.seat.name = text(name);
	draft->body.seat.session = session;
	draft->body.seat.sequence = sequence;
	draft->body.seat.enqueued = enqueued;
	draft->record.row_case = RECORD__RECORD__ROW_SEAT;
	draft->record.seat = &draft->body.seat;
}

static void draft_result(struct draft *draft, uint64_t session, uint64_t sequence, uint32_t status) {
	record__record__init(&draft->record);
	record__result__init(&draft->body.result);
	draft->body.result.session = session;
	draft->body.result.sequence = sequence;
	draft->body.result.status = status;
	draft->record.row_case = RECORD__RECORD__ROW_RESULT;
	draft->record.result = &draft->body.result;
}

static int restore_as(struct state *state, state_row_id id, const struct draft *draft) {
	uint8_t bytes[1024];
	state_row_id ret = 0;
	size_t n = record__record__pack(&draft->record, bytes);

	assert_true(n <= sizeof(bytes));
	return state_restore(state, id, bytes, n, &ret);
}

static int restore(struct state *state, const struct draft *draft) {
	return restore_as(state, 0, draft);
}

static struct state *fresh(void) {
	return state_new(&(struct state_config){.group = 1, .epoch = 1});
}

/* A slot, session 100 and a lock that it holds by sequence 1 under token 9. */
static struct state *with_lock(void) {
	struct state *state = fresh();
	struct draft draft;

	draft_slot(&draft, slot_of_name("lock", 4), 9);
	assert_int_equal(restore(state, &draft), 0);
	draft_session(&draft, 100);
	assert_int_equal(restore(state, &draft), 0);
	draft_lock(&draft, "lock", 100, 1, 9);
	assert_int_equal(restore(state, &draft), 0);
	return state;
}

static void test_restore__rejects_what_is_no_record(void **test) {
	struct state *state = fresh();
	state_row_id id = 0;

	(void)test;
	assert_int_equal(state_restore(state, 0, "\xff", 1, &id), -EBADMSG);
	assert_int_equal(state_restore(state, 0, "", 0, &id), -EBADMSG);
	assert_int_equal(state_restore(state, 0, "\x0a\x04\x08\x01\x48\x01", 6, &id), -EBADMSG);
	assert_int_equal(state_restore(state, 0, "\x0a\x04\x08\x01\x10\x01\x78\x01", 8, &id), -EBADMSG);
	assert_int_equal(id, 0);
	state_free(state);
}

static void test_restore__rejects_impossible_ids(void **test) {
	struct state *state = fresh();
	struct draft draft;

	(void)test;
	draft_slot(&draft, 1, 5);
	assert_int_equal(restore_as(state, (state_row_id)STATE_SESSION << 40, &draft), -EBADMSG);
	state = (state_free(state), fresh());
	assert_int_equal(restore_as(state, ((state_row_id)STATE_SLOT << 40) + LIMIT_SLOTS, &draft), -EBADMSG);
	state = (state_free(state), fresh());
	assert_int_equal(restore_as(state, (state_row_id)STATE_SLOT << 40, &draft), 0);
	draft_slot(&draft, 2, 5);
	assert_int_equal(restore_as(state, (state_row_id)STATE_SLOT << 40, &draft), -EBADMSG);
	state_free(state);
}

static void test_restore__rejects_rows_that_contradict_others(void **test) {
	struct state *state = with_lock();
	struct draft draft;

	(void)test;
	draft_slot(&draft, slot_of_name("lock", 4), 10);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_slot(&draft, LIMIT_SLOTS, 10);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_session(&draft, 100);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_session(&draft, 101);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_lock(&draft, "lock", 100, 2, 9);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_lock(&draft, "{lock}2", 100, 1, 9);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_lock(&draft, "{lock}2", 77, 2, 9);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_lock(&draft, "{lock}2", 100, 2, 10);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_lock(&draft, "", 100, 2, 9);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_seat(&draft, "free", 100, 2, 6 << 16);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_seat(&draft, "lock", 77, 2, 6 << 16);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_seat(&draft, "lock", 100, 1, 6 << 16);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_result(&draft, 77, 2, LOCKD_HELD);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_result(&draft, 100, 2, LOCKD_QUEUED);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_result(&draft, 100, 2, LOCKD_BUSY);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_result(&draft, 100, 0, LOCKD_HELD);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_result(&draft, 100, 65, LOCKD_HELD);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	state_free(state);
}

static void test_restore__rejects_a_seat_without_its_result(void **test) {
	struct state *state = with_lock();
	struct state_cut cut = {.index = 9, .term = 2, .rows = 4, .machine_version = 1};
	struct draft draft;

	(void)test;
	draft_seat(&draft, "lock", 100, 2, 6 << 16);
	assert_int_equal(restore(state, &draft), 0);
	draft_seat(&draft, "lock", 100, 3, 6 << 16);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	draft_result(&draft, 100, 2, LOCKD_HELD);
	assert_int_equal(restore(state, &draft), -EBADMSG);
	cut.hash = state_get_hash(state);
	assert_int_equal(state_restored(state, &cut), -EBADMSG);
	state_free(state);
}

static void test_restore__rejects_another_hash_or_count(void **test) {
	struct state *state = with_lock();
	struct state_cut cut = {.index = 9, .term = 2, .rows = 3, .machine_version = 1};

	(void)test;
	assert_int_equal(state_restored(state, &cut), -EBADMSG);
	/* The count is compared as well: a sum of hashes cannot show an absent row by itself. */
	cut.hash = state_get_hash(state);
	cut.rows = 4;
	assert_int_equal(state_restored(state, &cut), -EBADMSG);
	cut.rows = 3;
	assert_int_equal(state_restored(state, &cut), 0);
	assert_int_equal(state_applied(state), 9);
	assert_int_equal(state_applied_term(state), 2);
	state_check(state);
	state_free(state);
}

static void test_restore__gives_the_same_machine(void **test) {
	struct replica replica, copy;
	state_session_id a, b;
	struct state_seat seat;
	enum replica_ids ids[] = {REPLICA_KEEP_IDS, REPLICA_CHOOSE_IDS};

	(void)test;
	replica_init(&replica);
	replica_expire(&replica, replica_open(&replica, 9));
	a = replica_open(&replica, 1);
	b = replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, a, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, b, 1, "lock", 900), LOCKD_QUEUED);
	for (size_t i = 0; i < 2; i++) {
		replica_copy(&replica, ids[i], &copy);
		/* Answers, queues and tokens go on where they were. */
		assert_int_equal(replica_acquire(&copy, b, 1, "lock", 900), LOCKD_QUEUED);
		assert_true(state_next_waiter(copy.state, "lock", 4, 0, &seat));
		assert_int_equal(seat.session, b);
		assert_int_equal(replica_release(&copy, a, 2, "lock", replica_token(&replica, "lock")), LOCKD_OK);
		assert_int_equal(replica_resolved(&copy, b, 1, LOCKD_OK)->token, replica_token(&replica, "lock") + 1);
		replica_deinit(&copy);
	}
	replica_deinit(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restore__rejects_what_is_no_record),
		cmocka_unit_test(test_restore__rejects_impossible_ids),
		cmocka_unit_test(test_restore__rejects_rows_that_contradict_others),
		cmocka_unit_test(test_restore__rejects_a_seat_without_its_result),
		cmocka_unit_test(test_restore__rejects_another_hash_or_count),
		cmocka_unit_test(test_restore__gives_the_same_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
