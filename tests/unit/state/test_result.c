/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

static void test_result__other_content_is_a_mismatch(void **test) {
	struct replica replica;
	state_session_id session;
	uint64_t token;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	token = replica_token(&replica, "lock");
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 1), LOCKD_MISMATCH);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock2", 0), LOCKD_MISMATCH);
	assert_int_equal(replica_release(&replica, session, 1, "lock", token), LOCKD_MISMATCH);
	assert_int_equal(replica_cancel(&replica, session, 1, 2), LOCKD_MISMATCH);
	assert_int_equal(replica_close(&replica, session, 1), LOCKD_MISMATCH);
	assert_int_equal(replica_token(&replica, "lock"), token);
	/* None of them has replaced the result. */
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	replica_deinit(&replica);
}

static void test_result__window_ends_64_above_the_floor(void **test) {
	struct replica replica;
	state_session_id session;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 65, "lock", 0), LOCKD_WINDOW);
	assert_int_equal(replica_acquire(&replica, session, UINT64_MAX, "lock", 0), LOCKD_WINDOW);
	assert_int_equal(replica_token(&replica, "lock"), 0);
	assert_int_equal(replica_acquire(&replica, session, 64, "lock", 0), LOCKD_OK);
	replica.floor = 2;
	assert_int_equal(replica_acquire(&replica, session, 65, "lock", 0), LOCKD_HELD);
	replica_deinit(&replica);
}

static void test_result__refused_by_the_window_stays_refused(void **test) {
	struct replica replica;
	state_session_id session;
	struct script script;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	script_acquire(&script, session, 70, "lock", 0, "");
	script.command.floor = 3;
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_WINDOW);
	/* The floor rises meanwhile; a second copy of the refused command must not run after all. */
	replica.floor = 50;
	assert_int_equal(replica_acquire(&replica, session, 50, "other", 0), LOCKD_OK);
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_WINDOW);
	assert_int_equal(replica_token(&replica, "lock"), 0);
	replica_deinit(&replica);
}

static void test_result__below_the_floor_is_stale(void **test) {
	struct replica replica;
	struct state_result result;
	state_session_id session;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 1, "a", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, session, 2, "b", 0), LOCKD_OK);
	replica.floor = 2;
	assert_int_equal(replica_acquire(&replica, session, 3, "c", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, session, 1, "a", 0), LOCKD_STALE);
	assert_false(state_get_result(replica.state, session, 1, &result));
	assert_true(state_get_result(replica.state, session, 2, &result));
	assert_int_equal(result.status, LOCKD_OK);
	replica_deinit(&replica);
}

static void test_result__floor_never_falls_nor_passes_its_own_command(void **test) {
	struct replica replica;
	struct state_session described;
	state_session_id session;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	replica.floor = 1000;
	assert_int_equal(replica_acquire(&replica, session, 9, "a", 0), LOCKD_OK);
	assert_true(state_get_session(replica.state, session, &described));
	assert_int_equal(described.floor, 9);
	replica.floor = 4;
	assert_int_equal(replica_acquire(&replica, session, 10, "b", 0), LOCKD_OK);
	assert_true(state_get_session(replica.state, session, &described));
	assert_int_equal(described.floor, 9);
	replica_deinit(&replica);
}

static void test_result__floor_never_passes_a_waiting_seat(void **test) {
	struct replica replica;
	struct state_session described;
	state_session_id holder, waiter;

	(void)test;
	replica_init(&replica);
	holder = replica_open(&replica, 1);
	waiter = replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, holder, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, waiter, 2, "lock", 500), LOCKD_QUEUED);
	replica.floor = 7;
	assert_int_equal(replica_acquire(&replica, waiter, 7, "other", 0), LOCKD_OK);
	assert_true(state_get_session(replica.state, waiter, &described));
	assert_int_equal(described.floor, 2);
	assert_int_equal(replica_acquire(&replica, waiter, 2, "lock", 500), LOCKD_QUEUED);
	replica_timer(&replica, waiter, 2);
	assert_int_equal(replica_acquire(&replica, waiter, 8, "third", 0), LOCKD_OK);
	assert_true(state_get_session(replica.state, waiter, &described));
	assert_int_equal(described.floor, 7);
	replica_deinit(&replica);
}

static void test_result__copy_gets_the_first_answer(void **test) {
	struct replica replica;
	struct state_outcome first;
	const struct state_outcome *again;
	state_session_id a, b;

	(void)test;
	replica_init(&replica);
	a = replica_open(&replica, 1);
	b = replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, a, 1, "lock", 0), LOCKD_OK);
	first = *replica_only(&replica, STATE_ANSWERED);
	assert_int_equal(replica_acquire(&replica, a, 1, "lock", 0), LOCKD_OK);
	again = replica_only(&replica, STATE_ANSWERED);
	assert_int_equal(again->token, first.token);
	assert_int_equal(again->revision, first.revision);
	assert_int_equal(replica_count(&replica, STATE_CHANGED), 0);

	assert_int_equal(replica_acquire(&replica, b, 1, "lock", 600), LOCKD_QUEUED);
	first = *replica_only(&replica, STATE_ANSWERED);
	assert_int_equal(first.wait_ms, 600);
	assert_int_equal(replica_acquire(&replica, b, 1, "lock", 600), LOCKD_QUEUED);
	again = replica_only(&replica, STATE_ANSWERED);
	assert_int_equal(again->wait_ms, 600);
	assert_int_equal(again->revision, first.revision);
	assert_int_equal(state_get_counts(replica.state).seats, 1);

	/* Released once; the copy of the release does not take the next holder's lock. */
	assert_int_equal(replica_release(&replica, a, 2, "lock", replica_token(&replica, "lock")), LOCKD_OK);
	first = *replica_resolved(&replica, b, 1, LOCKD_OK);
	assert_int_equal(replica_release(&replica, a, 2, "lock", first.token), LOCKD_MISMATCH);
	assert_int_equal(replica_acquire(&replica, b, 1, "lock", 600), LOCKD_OK);
	again = replica_only(&replica, STATE_ANSWERED);
	assert_int_equal(again->token, first.token);
	assert_int_equal(again->revision, first.revision);
	assert_int_equal(again->wait_ms, 0);
	replica_deinit(&replica);
}

static void test_result__refusals_are_kept(void **test) {
	struct replica replica;
	state_session_id a, b;
	uint64_t token;

	(void)test;
	replica_init(&replica);
	a = replica_open(&replica, 1);
	b = replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, a, 1, "lock", 0), LOCKD_OK);
	token = replica_token(&replica, "lock");
	assert_int_equal(replica_acquire(&replica, b, 1, "lock", 0), LOCKD_HELD);
	assert_int_equal(replica_release(&replica, b, 2, "lock", token), LOCKD_NOT_HOLDER);
	assert_int_equal(replica_release(&replica, a, 2, "lock", token), LOCKD_OK);
	/* Free by then, but the copy of a try that was refused does not take it. */
	assert_int_equal(replica_acquire(&replica, b, 1, "lock", 0), LOCKD_HELD);
	assert_int_equal(replica_release(&replica, b, 2, "lock", token), LOCKD_NOT_HOLDER);
	assert_int_equal(replica_release(&replica, a, 2, "lock", token), LOCKD_OK);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->token, token);
	assert_int_equal(replica_token(&replica, "lock"), 0);
	replica_deinit(&replica);
}

static void test_result__dies_with_its_session(void **test) {
	struct replica replica;
	state_session_id session;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	replica_expire(&replica, session);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_SESSION_EXPIRED);
	assert_int_equal(state_get_counts(replica.state).results, 0);
	replica_deinit(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_result__other_content_is_a_mismatch),
		cmocka_unit_test(test_result__window_ends_64_above_the_floor),
		cmocka_unit_test(test_result__refused_by_the_window_stays_refused),
		cmocka_unit_test(test_result__below_the_floor_is_stale),
		cmocka_unit_test(test_result__floor_never_falls_nor_passes_its_own_command),
		cmocka_unit_test(test_result__floor_never_passes_a_waiting_seat),
		cmocka_unit_test(test_result__copy_gets_the_first_answer),
		cmocka_unit_test(test_result__refusals_are_kept),
		cmocka_unit_test(test_result__dies_with_its_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
