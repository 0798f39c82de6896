/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

struct queue {
	struct replica replica;
	state_session_id holder, first, second;
	uint64_t token;
};

/* `holder` holds "lock" by its sequence 1; `first` and `second` wait for it by theirs. */
static void queue_init(struct queue *queue) {
	replica_init(&queue->replica);
	queue->holder = replica_open(&queue->replica, 1);
	queue->first = replica_open(&queue->replica, 2);
	queue->second = replica_open(&queue->replica, 3);
	assert_int_equal(replica_acquire(&queue->replica, queue->holder, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&queue->replica, queue->first, 1, "lock", 700), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&queue->replica, queue->second, 1, "lock", 800), LOCKD_QUEUED);
	queue->token = replica_token(&queue->replica, "lock");
}

static void test_seat__timer_is_void_when_nobody_waits(void **test) {
	struct queue q;

	(void)test;
	queue_init(&q);
	replica_timer(&q.replica, q.holder, 1);
	assert_int_equal(q.replica.n, 0);
	replica_timer(&q.replica, q.first, 2);
	assert_int_equal(q.replica.n, 0);
	replica_timer(&q.replica, 12345, 1);
	assert_int_equal(q.replica.n, 0);
	assert_int_equal(replica_release(&q.replica, q.holder, 2, "lock", q.token), LOCKD_OK);
	/* Granted meanwhile: the wait is over for good. */
	replica_timer(&q.replica, q.first, 1);
	assert_int_equal(q.replica.n, 0);
	assert_int_equal(replica_holder(&q.replica, "lock"), q.first);
	replica_deinit(&q.replica);
}

static void test_seat__timer_ends_the_wait(void **test) {
	struct queue q;
	const struct state_outcome *resolved;

	(void)test;
	queue_init(&q);
	replica_timer(&q.replica, q.first, 1);
	resolved = replica_only(&q.replica, STATE_RESOLVED);
	assert_int_equal(resolved->session, q.first);
	assert_int_equal(resolved->sequence, 1);
	assert_int_equal(resolved->status, LOCKD_WAIT_EXPIRED);
	assert_int_equal(resolved->revision, q.replica.index << 16);
	/* A late copy of the request gets the same. */
	assert_int_equal(replica_acquire(&q.replica, q.first, 1, "lock", 700), LOCKD_WAIT_EXPIRED);
	assert_int_equal(replica_release(&q.replica, q.holder, 2, "lock", q.token), LOCKD_OK);
	replica_resolved(&q.replica, q.second, 1, LOCKD_OK);
	replica_deinit(&q.replica);
}

static void test_seat__cancel_beyond_the_window_is_refused(void **test) {
	struct queue q;

	(void)test;
	queue_init(&q);
	assert_int_equal(replica_cancel(&q.replica, q.first, 2, 65), LOCKD_WINDOW);
	assert_int_equal(replica_cancel(&q.replica, q.first, 2, 64), LOCKD_OK);
	replica_deinit(&q.replica);
}

static void test_seat__cancel_of_a_waiting_request_removes_it(void **test) {
	struct queue q;

	(void)test;
	queue_init(&q);
	assert_int_equal(replica_cancel(&q.replica, q.first, 2, 1), LOCKD_OK);
	replica_resolved(&q.replica, q.first, 1, LOCKD_CANCELLED);
	assert_int_equal(replica_acquire(&q.replica, q.first, 1, "lock", 700), LOCKD_CANCELLED);
	assert_int_equal(replica_cancel(&q.replica, q.first, 2, 1), LOCKD_OK);
	assert_int_equal(replica_release(&q.replica, q.holder, 2, "lock", q.token), LOCKD_OK);
	replica_resolved(&q.replica, q.second, 1, LOCKD_OK);
	replica_deinit(&q.replica);
}

static void test_seat__cancel_of_a_granted_request_releases(void **test) {
	struct queue q;

	(void)test;
	queue_init(&q);
	assert_int_equal(replica_cancel(&q.replica, q.holder, 2, 1), LOCKD_OK);
	replica_resolved(&q.replica, q.first, 1, LOCKD_OK);
	assert_int_equal(replica_holder(&q.replica, "lock"), q.first);
	assert_int_equal(replica_acquire(&q.replica, q.holder, 1, "lock", 0), LOCKD_CANCELLED);
	assert_int_equal(replica_release(&q.replica, q.holder, 3, "lock", q.token), LOCKD_NOT_HOLDER);
	replica_deinit(&q.replica);
}

static void test_seat__cancel_releases_what_was_granted_below_the_floor(void **test) {
	struct queue q;

	(void)test;
	queue_init(&q);
	q.replica.floor = 5;
	assert_int_equal(replica_cancel(&q.replica, q.holder, 5, 1), LOCKD_OK);
	assert_int_equal(replica_holder(&q.replica, "lock"), q.first);
	/* No result is made for it: it is forgotten, and a late copy is stale. */
	assert_int_equal(replica_acquire(&q.replica, q.holder, 1, "lock", 0), LOCKD_STALE);
	replica_deinit(&q.replica);
}

static void test_seat__cancel_of_a_finished_request_changes_nothing(void **test) {
	struct queue q;

	(void)test;
	queue_init(&q);
	assert_int_equal(replica_acquire(&q.replica, q.second, 2, "lock", 0), LOCKD_HELD);
	assert_int_equal(replica_cancel(&q.replica, q.second, 3, 2), LOCKD_OK);
	assert_int_equal(replica_count(&q.replica, STATE_RESOLVED), 0);
	assert_int_equal(replica_acquire(&q.replica, q.second, 2, "lock", 0), LOCKD_HELD);
	/* Released long ago: the same name in other hands is not touched. */
	assert_int_equal(replica_release(&q.replica, q.holder, 2, "lock", q.token), LOCKD_OK);
	assert_int_equal(replica_cancel(&q.replica, q.holder, 3, 1), LOCKD_OK);
	assert_int_equal(replica_holder(&q.replica, "lock"), q.first);
	assert_int_equal(replica_acquire(&q.replica, q.holder, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_holder(&q.replica, "lock"), q.first);
	replica_deinit(&q.replica);
}

static void test_seat__cancel_that_comes_first_wins_over_any_content(void **test) {
	struct queue q;

	(void)test;
	queue_init(&q);
	assert_int_equal(replica_cancel(&q.replica, q.first, 3, 2), LOCKD_OK);
	assert_int_equal(replica_count(&q.replica, STATE_RESOLVED), 0);
	assert_int_equal(replica_acquire(&q.replica, q.first, 2, "free", 0), LOCKD_CANCELLED);
	assert_int_equal(replica_acquire(&q.replica, q.first, 2, "lock", 900), LOCKD_CANCELLED);
	assert_int_equal(replica_token(&q.replica, "free"), 0);
	replica_deinit(&q.replica);
}

static void test_seat__queries_walk_in_order_of_coming(void **test) {
	struct queue q;
	struct state_seat seat;

	(void)test;
	queue_init(&q);
	assert_int_equal(replica_acquire(&q.replica, q.second, 2, "another", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&q.replica, q.first, 2, "another", 900), LOCKD_QUEUED);

	assert_false(state_next_waiter(q.replica.state, "no lock", 7, 0, &seat));
	assert_true(state_next_waiter(q.replica.state, "lock", 4, 0, &seat));
	assert_int_equal(seat.session, q.first);
	assert_int_equal(seat.wait_ms, 700);
	assert_true(state_next_waiter(q.replica.state, "lock", 4, seat.enqueued, &seat));
	assert_int_equal(seat.session, q.second);
	assert_false(state_next_waiter(q.replica.state, "lock", 4, seat.enqueued, &seat));

	assert_true(state_next_seat(q.replica.state, seat.enqueued, &seat));
	assert_int_equal(seat.session, q.first);
	assert_int_equal(seat.sequence, 2);
	assert_memory_equal(seat.name.bytes, "another", 7);
	assert_false(state_next_seat(q.replica.state, seat.enqueued, &seat));
	replica_deinit(&q.replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seat__timer_is_void_when_nobody_waits),
		cmocka_unit_test(test_seat__timer_ends_the_wait),
		cmocka_unit_test(test_seat__cancel_beyond_the_window_is_refused),
		cmocka_unit_test(test_seat__cancel_of_a_waiting_request_removes_it),
		cmocka_unit_test(test_seat__cancel_of_a_granted_request_releases),
		cmocka_unit_test(test_seat__cancel_releases_what_was_granted_below_the_floor),
		cmocka_unit_test(test_seat__cancel_of_a_finished_request_changes_nothing),
		cmocka_unit_test(test_seat__cancel_that_comes_first_wins_over_any_content),
		cmocka_unit_test(test_seat__queries_walk_in_order_of_coming),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
