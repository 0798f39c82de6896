/* SPDX-License-Identifier: Apache-2.0 */
#include "panic.h"
#include "raft/src/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct raft_limits limits = {.inflight = 3, .inflight_bytes = 1000};
static struct raft__inflight inflight[3];

enum { LAST = 100, BASE = 10 };

static struct raft__progress probing_at(raft_index next) {
	struct raft__progress progress = {.inflight = inflight};

	raft__progress_init(&progress, &(struct raft_member){.node = 2}, next);
	return progress;
}

static struct raft__progress matched_at(raft_index match) {
	struct raft__progress progress = probing_at(match + 1);

	raft__progress_matched(&progress, &limits, match, BASE);
	return progress;
}

static void check(const struct raft__progress *progress) {
	raft__progress_check(progress, &limits, BASE, LAST);
}

static void test_progress__ignores_answers_to_older_probes(void **state) {
	struct raft__progress progress = probing_at(51);

	(void)state;
	raft__progress_sent(&progress, &limits, 0, 0, 1);
	raft__progress_rejected(&progress, 70, 20, BASE);
	assert_int_equal(progress.next, 51);
	assert_true(progress.probing);
	raft__progress_rejected(&progress, 50, 20, BASE);
	assert_int_equal(progress.next, 21);
	assert_false(progress.probing);
	check(&progress);
}

static void test_progress__never_goes_back_behind_match(void **state) {
	struct raft__progress progress = matched_at(50);

	(void)state;
	raft__progress_sent(&progress, &limits, 5, 10, 1);
	raft__progress_rejected(&progress, 40, 30, BASE);
	assert_int_equal(progress.state, RAFT__REPLICATE);
	raft__progress_rejected(&progress, 52, 12, BASE);
	assert_int_equal(progress.state, RAFT__PROBE);
	assert_int_equal(progress.next, 51);
	raft__progress_matched(&progress, &limits, 20, BASE);
	assert_int_equal(progress.match, 50);
	check(&progress);
}

/* A hint that does not help must still move the probe. */
static void test_progress__a_rejection_always_moves_next_down(void **state) {
	struct raft__progress progress = probing_at(51);

	(void)state;
	raft__progress_rejected(&progress, 50, 99, BASE);
	assert_int_equal(progress.next, 50);
}

static void test_progress__sends_one_probe_at_a_time(void **state) {
	struct raft__progress progress = probing_at(51);

	(void)state;
	assert_true(raft__progress_ready(&progress, &limits, LAST));
	raft__progress_sent(&progress, &limits, 5, 10, 7);
	assert_false(raft__progress_ready(&progress, &limits, LAST));
	raft__progress_heard(&progress, 7, 0, BASE);
	assert_false(raft__progress_ready(&progress, &limits, LAST));
	raft__progress_heard(&progress, 8, 0, BASE);
	assert_true(raft__progress_ready(&progress, &limits, LAST));
}

static void test_progress__pipeline_ends_at_either_limit(void **state) {
	struct raft__progress progress = matched_at(50);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(raft__progress_ready(&progress, &limits, LAST));
		raft__progress_sent(&progress, &limits, 2, 10, 1);
	}
	assert_false(raft__progress_ready(&progress, &limits, LAST));
	raft__progress_matched(&progress, &limits, 54, BASE);
	assert_int_equal(progress.n, 1);
	raft__progress_sent(&progress, &limits, 2, 995, 1);
	assert_false(raft__progress_ready(&progress, &limits, LAST));
	check(&progress);
	raft__progress_matched(&progress, &limits, 58, BASE);
	assert_int_equal(progress.bytes, 0);
	check(&progress);
}

static void test_progress__resends_what_was_lost_but_not_what_waits_for_a_disk(void **state) {
	struct raft__progress progress = matched_at(50);

	(void)state;
	raft__progress_sent(&progress, &limits, 5, 10, 7);
	raft__progress_heard(&progress, 8, 55, BASE);
	assert_int_equal(progress.state, RAFT__REPLICATE);
	raft__progress_heard(&progress, 7, 50, BASE);
	assert_int_equal(progress.state, RAFT__REPLICATE);
	raft__progress_heard(&progress, 8, 50, BASE);
	assert_int_equal(progress.state, RAFT__PROBE);
	assert_int_equal(progress.next, 51);
	check(&progress);
}

static void test_progress__waits_for_a_snapshot_below_the_log(void **state) {
	struct raft__progress progress = probing_at(51);

	(void)state;
	raft__progress_rejected(&progress, 50, 4, BASE);
	assert_int_equal(progress.state, RAFT__SNAPSHOT);
	assert_false(raft__progress_ready(&progress, &limits, LAST));
	raft__progress_matched(&progress, &limits, 6, BASE);
	assert_int_equal(progress.state, RAFT__SNAPSHOT);
	check(&progress);
	raft__progress_transferred(&progress, 9, BASE);
	assert_int_equal(progress.state, RAFT__SNAPSHOT);
	raft__progress_transferred(&progress, 30, BASE);
	assert_int_equal(progress.state, RAFT__PROBE);
	assert_int_equal(progress.next, 31);
	check(&progress);
}

static void test_progress__an_answer_from_behind_the_base_ends_the_wait(void **state) {
	struct raft__progress progress = probing_at(51);

	(void)state;
	raft__progress_compacted(&progress, 60);
	assert_int_equal(progress.state, RAFT__SNAPSHOT);
	raft__progress_matched(&progress, &limits, 60, 60);
	assert_int_equal(progress.state, RAFT__REPLICATE);
	assert_int_equal(progress.next, 61);
}

/* ---- Catching up (dissertation §4.2.1) ------------------------------------------------------------------------------
 */

enum { QUICK = 400 };

static bool caught_up(const struct raft__progress *progress, raft_usec now) {
	return raft__progress_caught_up(progress, now, QUICK);
}

/* A round ends when the member has what the log held when the round began, and the next goes for what has come since.
 */
static void test_progress__rounds_of_catching_up_get_shorter(void **state) {
	struct raft__progress progress = probing_at(LAST + 1);

	(void)state;
	raft__progress_catch_up(&progress, 50, 1000, QUICK);
	assert_false(caught_up(&progress, 1000));
	progress.match = 49;
	raft__progress_catch_up(&progress, 80, 1900, QUICK);
	assert_int_equal(progress.goals, 0);
	progress.match = 50;
	raft__progress_catch_up(&progress, 80, 2000, QUICK);
	assert_int_equal(progress.goals, 1);
	assert_false(caught_up(&progress, 2000));
	progress.match = 80;
	raft__progress_catch_up(&progress, 90, 2400, QUICK);
	assert_int_equal(progress.goals, 2);
	assert_true(caught_up(&progress, 2400));
	check(&progress);
}

static void test_progress__long_round_ends_being_caught_up(void **state) {
	struct raft__progress progress = probing_at(LAST + 1);

	(void)state;
	raft__progress_catch_up(&progress, 50, 1000, QUICK);
	progress.match = 50;
	raft__progress_catch_up(&progress, 50, 1100, QUICK);
	assert_true(caught_up(&progress, 1100));
	/* With nothing to do it stays caught up, and nothing counts as a round. */
	raft__progress_catch_up(&progress, 50, 9000, QUICK);
	assert_true(caught_up(&progress, 9000));
	assert_int_equal(progress.goals, 1);
	/* Silent for too long. */
	raft__progress_catch_up(&progress, 60, 9000, QUICK);
	assert_true(caught_up(&progress, 9400));
	assert_false(caught_up(&progress, 9401));
	progress.match = 60;
	raft__progress_catch_up(&progress, 70, 9500, QUICK);
	assert_int_equal(progress.goals, 2);
	assert_false(caught_up(&progress, 9500));
	/* Once it has all there is, however late: in a log that rests no shorter round would ever come. */
	progress.match = 70;
	raft__progress_catch_up(&progress, 70, 99000, QUICK);
	assert_true(caught_up(&progress, 99000));
}

static void test_progress__heals_a_next_that_cannot_be_right(void **state) {
	const raft_index wrong[] = {0, 1, 50, LAST + 2, LAST + 1000, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct raft__progress progress = matched_at(50);

		progress.next = wrong[i];
		assert_false(raft__progress_ready(&progress, &limits, LAST));
		raft__progress_heal(&progress, BASE, LAST);
		assert_int_equal(progress.next, 51);
		assert_int_equal(progress.match, 50);
		assert_true(raft__progress_ready(&progress, &limits, LAST));
		check(&progress);
	}
}

static void test_progress__leaves_a_next_that_may_be_right(void **state) {
	struct raft__progress progress = matched_at(50);

	(void)state;
	raft__progress_sent(&progress, &limits, 5, 10, 1);
	raft__progress_heal(&progress, BASE, LAST);
	assert_int_equal(progress.next, 56);
	assert_int_equal(progress.n, 1);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_progress__heals_a_next_that_cannot_be_right),
		cmocka_unit_test(test_progress__leaves_a_next_that_may_be_right),
		cmocka_unit_test(test_progress__ignores_answers_to_older_probes),
		cmocka_unit_test(test_progress__never_goes_back_behind_match),
		cmocka_unit_test(test_progress__a_rejection_always_moves_next_down),
		cmocka_unit_test(test_progress__sends_one_probe_at_a_time),
		cmocka_unit_test(test_progress__pipeline_ends_at_either_limit),
		cmocka_unit_test(test_progress__resends_what_was_lost_but_not_what_waits_for_a_disk),
		cmocka_unit_test(test_progress__waits_for_a_snapshot_below_the_log),
		cmocka_unit_test(test_progress__an_answer_from_behind_the_base_ends_the_wait),
		cmocka_unit_test(test_progress__rounds_of_catching_up_get_shorter),
		cmocka_unit_test(test_progress__long_round_ends_being_caught_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
