/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-over to the loop: order, bound, wake-up; and which thread runs the turns. */
#include "lockd/io/inbox.h"

#include "lockd/io/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct inbox inbox;

static int set_up(void **state) {
	(void)state;
	inbox_init(&inbox, 100);
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	inbox_deinit(&inbox);
	return 0;
}

static void test_inbox__returns_empty_handed_at_the_deadline(void **state) {
	raft_usec deadline = clock_mono() + 2000;
	struct inbox_list list;
	bool overfull = true;

	(void)state;
	inbox_wait(&inbox, deadline);
	inbox_take(&inbox, &list, &overfull);
	assert_true(STAILQ_EMPTY(&list));
	assert_false(overfull);
	assert_true(clock_mono() >= deadline);
}

static void test_inbox__tells_who_posts_beyond_the_bound(void **state) {
	struct inbox_item items[3] = {{.bytes = 60}, {.bytes = 40}, {.bytes = 1}};
	struct inbox_list list;
	bool overfull;

	(void)state;
	assert_true(inbox_post(&inbox, &items[0]));
	assert_true(inbox_post(&inbox, &items[1]));
	assert_false(inbox_post(&inbox, &items[2]));
	inbox_wait(&inbox, 0);
	inbox_take(&inbox, &list, &overfull);
	assert_true(overfull);

	assert_true(inbox_post(&inbox, &items[0]));
	inbox_wait(&inbox, 0);
	inbox_take(&inbox, &list, &overfull);
	assert_false(overfull);
}

static void test_inbox__hands_over_everything_in_order(void **state) {
	struct inbox_item items[3] = {{.kind = INBOX_STOP}};
	struct inbox_list list;
	bool overfull;
	int i = 0;

	(void)state;
	for (i = 0; i < 3; i++)
		inbox_post(&inbox, &items[i]);
	inbox_wait(&inbox, UINT64_MAX);
	inbox_take(&inbox, &list, &overfull);
	for (i = 0; !STAILQ_EMPTY(&list); i++) {
		assert_ptr_equal(STAILQ_FIRST(&list), &items[i]);
		STAILQ_REMOVE_HEAD(&list, next);
	}
	assert_int_equal(i, 3);
}

static void *post_one(void *item) {
	inbox_post(&inbox, item);
	return NULL;
}

static void test_inbox__wakes_a_sleeping_loop(void **state) {
	struct inbox_item item = {.kind = INBOX_STOP};
	struct inbox_list list;
	pthread_t thread;
	bool overfull;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, post_one, &item), 0);
	inbox_wait(&inbox, clock_mono() + 60000000);
	inbox_take(&inbox, &list, &overfull);
	assert_ptr_equal(STAILQ_FIRST(&list), &item);
	pthread_join(thread, NULL);
}

/* ---- Who runs the turns --------------------------------------------------------------------------------------------
 */

/* What the turns of a test see and do. Under inbox.lock as far as two threads touch it: the inbox orders turns. */
static struct {
	pthread_t threads[8];                /* that ran the n-th turn */
	size_t items[8];                     /* it took */
	unsigned n, last;                    /* turns so far; the last one's number */
	struct inbox_item *posted_meanwhile; /* by the first turn */
	raft_usec deadline;                  /* that each turn names */
	pthread_mutex_t lock;
	pthread_cond_t changed;
} turns;

static bool count_turn(void *arg, raft_usec *ret_deadline) {
	struct inbox_item *item;
	struct inbox_list list;
	bool overfull, going;

	assert_ptr_equal(arg, &turns);
	inbox_take(&inbox, &list, &overfull);
	pthread_mutex_lock(&turns.lock);
	turns.threads[turns.n] = pthread_self();
	STAILQ_FOREACH (item, &list, next)
		turns.items[turns.n]++;
	if (turns.posted_meanwhile && turns.n == 1) {
		inbox_post(&inbox, turns.posted_meanwhile);
		turns.posted_meanwhile = NULL;
	}
	*ret_deadline = turns.deadline;
	going = ++turns.n < turns.last;
	pthread_cond_broadcast(&turns.changed);
	pthread_mutex_unlock(&turns.lock);
	return going;
}

static void *attend(void *arg) {
	inbox_attend(&inbox, count_turn, arg);
	return NULL;
}

/* The thread of the loop has run its first turn. */
static pthread_t attend_for(unsigned n_turns) {
	pthread_t thread;

	turns.n = 0;
	turns.last = n_turns;
	memset(turns.items, 0, sizeof turns.items);
	pthread_mutex_init(&turns.lock, NULL);
	pthread_cond_init(&turns.changed, NULL);
	assert_int_equal(pthread_create(&thread, NULL, attend, &turns), 0);
	pthread_mutex_lock(&turns.lock);
	while (turns.n == 0)
		pthread_cond_wait(&turns.changed, &turns.lock);
	pthread_mutex_unlock(&turns.lock);
	return thread;
}

/* Behind the first turn its thread may still be on the way to its bed, and would run the next turn itself. */
static void await_sleep(void) {
	bool asleep = false;

	while (!asleep) {
		pthread_mutex_lock(&inbox.lock);
		asleep = inbox.sleeping;
		pthread_mutex_unlock(&inbox.lock);
	}
}

static void test_inbox__lets_who_brings_work_run_the_turn(void **state) {
	struct inbox_item items[2] = {{.kind = INBOX_STOP}};
	pthread_t loop;

	(void)state;
	turns.deadline = UINT64_MAX;
	loop = attend_for(2);
	await_sleep();
	inbox_leave(&inbox, &items[0]);
	inbox_leave(&inbox, &items[1]);
	inbox_serve(&inbox, 1);
	pthread_join(loop, NULL); /* which the last turn has woken */
	assert_true(pthread_equal(turns.threads[0], loop));
	assert_true(pthread_equal(turns.threads[1], pthread_self()));
	assert_int_equal(turns.items[1], 2);
}

static void test_inbox__takes_along_what_comes_during_a_turn(void **state) {
	struct inbox_item items[2] = {{.kind = INBOX_STOP}};
	pthread_t loop;

	(void)state;
	turns.deadline = UINT64_MAX;
	turns.posted_meanwhile = &items[1];
	loop = attend_for(3);
	await_sleep();
	inbox_leave(&inbox, &items[0]);
	inbox_serve(&inbox, 2);
	pthread_join(loop, NULL);
	assert_true(pthread_equal(turns.threads[2], pthread_self()));
	assert_int_equal(turns.items[2], 1);
}

static void test_inbox__leaves_the_rest_to_the_loops_thread(void **state) {
	struct inbox_item items[2] = {{.kind = INBOX_STOP}};
	pthread_t loop;

	(void)state;
	turns.deadline = UINT64_MAX;
	turns.posted_meanwhile = &items[1];
	loop = attend_for(3);
	await_sleep();
	inbox_leave(&inbox, &items[0]);
	inbox_serve(&inbox, 1);
	pthread_join(loop, NULL);
	assert_true(pthread_equal(turns.threads[1], pthread_self()));
	assert_true(pthread_equal(turns.threads[2], loop));
	assert_int_equal(turns.items[2], 1);
}

static void test_inbox__runs_a_turn_at_the_deadline(void **state) {
	pthread_t loop;

	(void)state;
	turns.deadline = clock_mono() + 2000;
	loop = attend_for(2);
	pthread_join(loop, NULL);
	assert_true(clock_mono() >= turns.deadline);
	assert_int_equal(turns.items[1], 0);
}

static void test_inbox__keeps_a_deadline_that_was_named_elsewhere(void **state) {
	struct inbox_item item = {.kind = INBOX_STOP};
	pthread_t loop;

	(void)state;
	turns.deadline = UINT64_MAX;
	loop = attend_for(3);
	await_sleep();
	turns.deadline = clock_mono() + 2000;
	inbox_leave(&inbox, &item);
	inbox_serve(&inbox, 1);
	pthread_join(loop, NULL);
	assert_true(clock_mono() >= turns.deadline);
	assert_true(pthread_equal(turns.threads[2], loop));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_inbox__returns_empty_handed_at_the_deadline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__tells_who_posts_beyond_the_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__hands_over_everything_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__wakes_a_sleeping_loop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__lets_who_brings_work_run_the_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__takes_along_what_comes_during_a_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__leaves_the_rest_to_the_loops_thread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__runs_a_turn_at_the_deadline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__keeps_a_deadline_that_was_named_elsewhere, set_up,
						tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
