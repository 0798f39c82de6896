/* SPDX-License-Identifier: Apache-2.0 */
/* How many lines a stranger can cause. */
#include "lockd/io/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SECOND = 1000000 };

static void test_throttle__holds_back_what_is_too_much(void **state) {
	struct throttle throttle = {0};
	unsigned held = 99;

	(void)state;
	for (int i = 0; i < THROTTLE_PER_SECOND; i++) {
		assert_true(throttle_pass(&throttle, 5 * SECOND + i, &held));
		assert_int_equal(held, 0);
	}
	held = 99;
	assert_false(throttle_pass(&throttle, 6 * SECOND - 1, &held));
	assert_int_equal(held, 99); /* untouched */
}

static void test_throttle__counts_what_it_held_back(void **state) {
	struct throttle throttle = {0};
	unsigned held, passed = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		passed += throttle_pass(&throttle, 5 * SECOND, &held);
	assert_int_equal(passed, THROTTLE_PER_SECOND);
	assert_true(throttle_pass(&throttle, 6 * SECOND, &held));
	assert_int_equal(held, 1000 - THROTTLE_PER_SECOND);
	assert_true(throttle_pass(&throttle, 6 * SECOND, &held));
	assert_int_equal(held, 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_throttle__holds_back_what_is_too_much),
		cmocka_unit_test(test_throttle__counts_what_it_held_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
