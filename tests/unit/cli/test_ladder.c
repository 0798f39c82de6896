/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ladder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect(struct ladder *ladder, enum lockd_session_state state, int64_t remaining, int64_t now,
		   enum ladder_action action, int64_t wake) {
	int64_t got_wake = -7;

	assert_int_equal(ladder_step(ladder, state, remaining, now, &got_wake), action);
	assert_int_equal(got_wake, wake);
}

static void test_ladder__rests_while_the_lease_is_safe(void **state) {
	struct ladder ladder = {.kill_after_ms = 2000};

	(void)state;
	expect(&ladder, LOCKD_SAFE, 8000, 0, LADDER_NONE, 6000);
	expect(&ladder, LOCKD_SAFE, 4850, 3150, LADDER_NONE, 2850);
	expect(&ladder, LOCKD_SAFE, 8000, 3333, LADDER_NONE, 6000);
}

static void test_ladder__warns_once_and_takes_it_back(void **state) {
	struct ladder ladder = {.kill_after_ms = 2000};

	(void)state;
	expect(&ladder, LOCKD_JEOPARDY, 4800, 0, LADDER_WARN, 2800);
	expect(&ladder, LOCKD_JEOPARDY, 4000, 800, LADDER_NONE, 2000);
	expect(&ladder, LOCKD_SAFE, 8000, 900, LADDER_SAFE, 6000);
	expect(&ladder, LOCKD_SAFE, 8000, 900, LADDER_NONE, 6000);
	expect(&ladder, LOCKD_JEOPARDY, 4800, 5000, LADDER_WARN, 2800);
}

static void test_ladder__stops_before_the_lease_ends_and_kills_at_its_end(void **state) {
	struct ladder ladder = {.kill_after_ms = 2000};

	(void)state;
	expect(&ladder, LOCKD_JEOPARDY, 4800, 0, LADDER_WARN, 2800);
	expect(&ladder, LOCKD_JEOPARDY, 2000, 2800, LADDER_TERM, 2000);
	expect(&ladder, LOCKD_JEOPARDY, 500, 4300, LADDER_NONE, 500);
	expect(&ladder, LOCKD_EXPIRED, 0, 4800, LADDER_KILL, LADDER_NO_WAKE);
	expect(&ladder, LOCKD_EXPIRED, 0, 4801, LADDER_NONE, LADDER_NO_WAKE);
}

static void test_ladder__kills_at_the_end_of_the_lease_though_told_late(void **state) {
	struct ladder ladder = {.kill_after_ms = 2000};

	(void)state;
	expect(&ladder, LOCKD_JEOPARDY, 300, 4500, LADDER_TERM, 300);
	expect(&ladder, LOCKD_EXPIRED, 0, 4800, LADDER_KILL, LADDER_NO_WAKE);
}

static void test_ladder__stops_at_once_when_the_loss_comes_unannounced(void **state) {
	struct ladder ladder = {.kill_after_ms = 2000};

	(void)state;
	expect(&ladder, LOCKD_EXPIRED, 0, 100, LADDER_TERM, 2000);
	expect(&ladder, LOCKD_EXPIRED, 0, 2099, LADDER_NONE, 1);
	expect(&ladder, LOCKD_EXPIRED, 0, 2100, LADDER_KILL, LADDER_NO_WAKE);
}

static void test_ladder__believes_the_clock_rather_than_the_state(void **state) {
	struct ladder ladder = {.kill_after_ms = 2000};

	(void)state;
	expect(&ladder, LOCKD_SAFE, 0, 0, LADDER_TERM, 2000);
}

static void test_ladder__does_not_wait_for_the_warning(void **state) {
	struct ladder ladder = {.kill_after_ms = 3000};

	(void)state;
	expect(&ladder, LOCKD_SAFE, 3001, 0, LADDER_NONE, 1);
	expect(&ladder, LOCKD_SAFE, 3000, 1, LADDER_TERM, 3000);
}

static void test_ladder__never_turns_back_once_it_stops(void **state) {
	struct ladder ladder = {.kill_after_ms = 2000};

	(void)state;
	expect(&ladder, LOCKD_JEOPARDY, 2000, 0, LADDER_TERM, 2000);
	expect(&ladder, LOCKD_SAFE, 8000, 100, LADDER_NONE, 1900);
	expect(&ladder, LOCKD_SAFE, 6100, 2000, LADDER_KILL, LADDER_NO_WAKE);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ladder__rests_while_the_lease_is_safe),
		cmocka_unit_test(test_ladder__warns_once_and_takes_it_back),
		cmocka_unit_test(test_ladder__stops_before_the_lease_ends_and_kills_at_its_end),
		cmocka_unit_test(test_ladder__kills_at_the_end_of_the_lease_though_told_late),
		cmocka_unit_test(test_ladder__stops_at_once_when_the_loss_comes_unannounced),
		cmocka_unit_test(test_ladder__believes_the_clock_rather_than_the_state),
		cmocka_unit_test(test_ladder__does_not_wait_for_the_warning),
		cmocka_unit_test(test_ladder__never_turns_back_once_it_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
