/* SPDX-License-Identifier: Apache-2.0 */
#include "panic.h"
#include "raft/src/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct raft__history_item items[4];

static struct raft__history history_of(raft_index a, raft_index b, raft_index c) {
	const raft_index indices[] = {a, b, c};
	struct raft__history history;

	raft__history_init(&history, items, 4);
	for (int i = 0; i < 3; i++)
		raft__history_push(&history, indices[i],
				   &(struct raft_configuration){.promise_ms = (uint32_t)indices[i]});
	return history;
}

static void test_history__refuses_an_older_one(void **state) {
	struct raft__history history = history_of(1, 5, 9);

	(void)state;
	assert_panics(raft__history_push(&history, 9, &(struct raft_configuration){0}));
}

static void test_history__rolls_back_with_the_log(void **state) {
	struct raft__history history = history_of(1, 5, 9);

	(void)state;
	raft__history_truncate(&history, 6);
	assert_int_equal(raft__history_latest(&history)->configuration.promise_ms, 5);
	raft__history_truncate(&history, 1);
	assert_null(raft__history_latest(&history));
}

static void test_history__compaction_keeps_what_is_in_force_at_the_base(void **state) {
	struct raft__history history = history_of(1, 5, 9);

	(void)state;
	raft__history_compact(&history, 4);
	assert_int_equal(raft__history_at(&history, 4)->index, 1);
	raft__history_compact(&history, 7);
	assert_int_equal(history.n, 2);
	assert_int_equal(raft__history_at(&history, 7)->index, 5);
	assert_null(raft__history_at(&history, 4));
}

/* An uncommitted configuration at 5 was never part of the snapshot up to 8, whose own is that of index 2. Keeping the
 * one with the larger index would bring it back to life. */
static void test_history__snapshot_supersedes_larger_indices_below_it(void **state) {
	struct raft__history history = history_of(1, 5, 9);

	(void)state;
	raft__history_install(&history, 8, &(struct raft_configuration){.promise_ms = 2}, 2);
	assert_int_equal(history.n, 2);
	assert_int_equal(raft__history_at(&history, 8)->configuration.promise_ms, 2);
	assert_int_equal(raft__history_latest(&history)->index, 9);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history__refuses_an_older_one),
		cmocka_unit_test(test_history__rolls_back_with_the_log),
		cmocka_unit_test(test_history__compaction_keeps_what_is_in_force_at_the_base),
		cmocka_unit_test(test_history__snapshot_supersedes_larger_indices_below_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
