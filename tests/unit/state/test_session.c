/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include <string.h>

static void test_session__that_is_unknown_has_expired(void **test) {
	struct replica replica;
	struct state_session session;

	(void)test;
	replica_init(&replica);
	assert_int_equal(replica_acquire(&replica, 77, 1, "lock", 0), LOCKD_SESSION_EXPIRED);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->session, 77);
	assert_int_equal(replica_close(&replica, 77, 1), LOCKD_SESSION_EXPIRED);
	replica_expire(&replica, 77);
	assert_int_equal(replica.n, 0);
	assert_false(state_get_session(replica.state, 77, &session));
	assert_false(state_next_session(replica.state, 0, &session));
	replica_deinit(&replica);
}

static void test_session__beyond_the_limit_is_refused(void **test) {
	const uint8_t nonce[16] = {3};
	struct replica replica;
	struct script script;
	state_session_id first;

	(void)test;
	replica_init_narrow(&replica);
	first = replica_open(&replica, 1);
	replica_open(&replica, 2);
	script_open(&script, nonce, 10000);
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_LIMIT);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->session, 0);
	/* A copy of an OPEN that succeeded is no further session. */
	assert_int_equal(replica_open(&replica, 1), first);
	assert_int_equal(replica_close(&replica, first, 1), LOCKD_OK);
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_OK);
	replica_deinit(&replica);
}

static void test_session__opens_once_per_nonce(void **test) {
	const uint8_t nonce[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	struct replica replica;
	state_session_id first, second, third;

	(void)test;
	replica_init(&replica);
	first = replica_open(&replica, 1);
	assert_int_equal(replica_only(&replica, STATE_OPENED)->session, first);
	assert_int_equal(first, replica.index << 16);
	assert_int_equal(state_find_nonce(replica.state, nonce), first);
	assert_int_equal(replica_open(&replica, 1), first);
	assert_int_equal(replica_count(&replica, STATE_OPENED), 0);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->revision, first);
	second = replica_open(&replica, 2);
	assert_true(second > first);

	/* The nonce is free again once its session has ended; the id never. */
	assert_int_equal(replica_close(&replica, first, 1), LOCKD_OK);
	assert_int_equal(state_find_nonce(replica.state, nonce), 0);
	third = replica_open(&replica, 1);
	assert_true(third > second);
	replica_deinit(&replica);
}

static void test_session__keeps_what_it_was_opened_with(void **test) {
	struct replica replica;
	struct state_session session;
	state_session_id first, second;

	(void)test;
	replica_init(&replica);
	first = replica_open(&replica, 1);
	second = replica_open(&replica, 2);
	assert_true(state_next_session(replica.state, 0, &session));
	assert_int_equal(session.id, first);
	assert_int_equal(session.epoch, REPLICA_EPOCH);
	assert_int_equal(session.group, REPLICA_GROUP);
	assert_int_equal(session.ttl_ms, 10000);
	assert_int_equal(session.pid, 42);
	assert_int_equal(session.floor, 1);
	assert_int_equal(session.quarters, 0);
	assert_int_equal(session.owner.n, 5);
	assert_memory_equal(session.owner.bytes, "owner", 5);
	assert_memory_equal(session.host.bytes, "host", 4);
	assert_memory_equal(session.label.bytes, "label", 5);
	assert_true(state_next_session(replica.state, first, &session));
	assert_int_equal(session.id, second);
	assert_false(state_next_session(replica.state, second, &session));
	replica_deinit(&replica);
}

static void test_session__close_gives_up_locks_and_seats(void **test) {
	struct replica replica;
	struct state_session described;
	state_session_id a, b;

	(void)test;
	replica_init(&replica);
	a = replica_open(&replica, 1);
	b = replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, a, 1, "a", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, b, 1, "b", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, b, 2, "a", 900), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&replica, a, 2, "b", 900), LOCKD_QUEUED);
	assert_true(state_get_session(replica.state, a, &described));
	assert_int_equal(described.held, 1);
	assert_int_equal(described.waiting, 1);

	assert_int_equal(replica_close(&replica, a, 3), LOCKD_OK);
	replica_resolved(&replica, a, 2, LOCKD_SESSION_EXPIRED);
	replica_resolved(&replica, b, 2, LOCKD_OK);
	assert_int_equal(replica_only(&replica, STATE_ENDED)->session, a);
	assert_int_equal(replica_holder(&replica, "a"), b);
	assert_int_equal(replica_holder(&replica, "b"), b);
	assert_int_equal(state_get_counts(replica.state).seats, 0);
	assert_int_equal(replica_close(&replica, a, 3), LOCKD_SESSION_EXPIRED);
	replica_deinit(&replica);
}

static void test_session__expire_wakes_waiters_in_order_but_none_that_ends_too(void **test) {
	struct replica replica;
	state_session_id a, b, c, d;
	uint64_t ended[4];
	struct script script;

	(void)test;
	replica_init(&replica);
	a = replica_open(&replica, 1);
	b = replica_open(&replica, 2);
	c = replica_open(&replica, 3);
	d = replica_open(&replica, 4);
	assert_int_equal(replica_acquire(&replica, a, 2, "y", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, a, 1, "x", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, b, 1, "x", 900), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&replica, c, 1, "x", 900), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&replica, d, 1, "x", 900), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&replica, d, 2, "y", 900), LOCKD_QUEUED);

	/* Twice named and unknown ones do no harm. */
	ended[0] = a;
	ended[1] = 99;
	ended[2] = b;
	ended[3] = a;
	script_expire(&script, replica.term, ended, 4);
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_count(&replica, STATE_ENDED), 2);
	assert_int_equal(replica_count(&replica, STATE_RESOLVED), 3);
	assert_int_equal(replica_count(&replica, STATE_CHANGED), 2);
	replica_resolved(&replica, b, 1, LOCKD_SESSION_EXPIRED);
	replica_resolved(&replica, c, 1, LOCKD_OK);
	replica_resolved(&replica, d, 2, LOCKD_OK);
	assert_int_equal(replica_holder(&replica, "x"), c);
	assert_int_equal(replica_holder(&replica, "y"), d);
	replica_expire(&replica, c);
	replica_resolved(&replica, d, 1, LOCKD_OK);
	replica_deinit(&replica);
}

static uint32_t quarters_of(const struct replica *replica, state_session_id id) {
	struct state_session session;

	assert_true(state_get_session(replica->state, id, &session));
	return session.quarters;
}

static void late(struct replica *replica, uint64_t id, uint32_t quarters) {
	struct script script;

	script_late(&script, replica->term, &id, &quarters, 1);
	replica_apply(replica, &script, 1);
}

static void test_session__silence_grows_until_it_is_heard_again(void **test) {
	struct replica replica;
	struct script script;
	uint64_t ids[2];

	(void)test;
	replica_init(&replica);
	ids[0] = replica_open(&replica, 1);
	ids[1] = 99;
	late(&replica, 99, 1);
	assert_int_equal(replica.n, 0);
	late(&replica, ids[0], 0);
	assert_int_equal(replica.n, 0);
	late(&replica, ids[0], 4);
	assert_int_equal(replica.n, 0);

	late(&replica, ids[0], 2);
	assert_int_equal(replica_only(&replica, STATE_MARKED)->quarters, 2);
	late(&replica, ids[0], 1);
	assert_int_equal(replica_only(&replica, STATE_MARKED)->quarters, 2);
	assert_int_equal(quarters_of(&replica, ids[0]), 2);
	late(&replica, ids[0], 3);
	assert_int_equal(quarters_of(&replica, ids[0]), 3);

	script_renewed(&script, replica.term, ids, 2);
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_MARKED)->session, ids[0]);
	assert_int_equal(replica_only(&replica, STATE_MARKED)->quarters, 0);
	assert_int_equal(quarters_of(&replica, ids[0]), 0);
	/* Also when there was nothing to take back: somebody waits for it. */
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_count(&replica, STATE_MARKED), 1);
	replica_deinit(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session__that_is_unknown_has_expired),
		cmocka_unit_test(test_session__beyond_the_limit_is_refused),
		cmocka_unit_test(test_session__opens_once_per_nonce),
		cmocka_unit_test(test_session__keeps_what_it_was_opened_with),
		cmocka_unit_test(test_session__close_gives_up_locks_and_seats),
		cmocka_unit_test(test_session__expire_wakes_waiters_in_order_but_none_that_ends_too),
		cmocka_unit_test(test_session__silence_grows_until_it_is_heard_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
