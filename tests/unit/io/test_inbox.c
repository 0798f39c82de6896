/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-over to the loop: order, bound, wake-up. */
#include "lockd/io/inbox.h"

#include "lockd/io/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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
	inbox_take(&inbox, deadline, &list, &overfull);
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
	inbox_take(&inbox, 0, &list, &overfull);
	assert_true(overfull);

	assert_true(inbox_post(&inbox, &items[0]));
	inbox_take(&inbox, 0, &list, &overfull);
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
	inbox_take(&inbox, UINT64_MAX, &list, &overfull);
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
	inbox_take(&inbox, clock_mono() + 60000000, &list, &overfull);
	assert_ptr_equal(STAILQ_FIRST(&list), &item);
	pthread_join(thread, NULL);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_inbox__returns_empty_handed_at_the_deadline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__tells_who_posts_beyond_the_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__hands_over_everything_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_inbox__wakes_a_sleeping_loop, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
