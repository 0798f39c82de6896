/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_clock__gives_no_lease_when_clocks_may_stand_still(void **test) {
	(void)test;
	assert_int_equal(lockd__clock_lease_us(5000, 10000, 1000000), 5000);
	assert_int_equal(lockd__clock_lease_us(5000, 10000, 4000000), 5000);
}

static void test_clock__counts_a_lease_from_its_sending(void **test) {
	(void)test;
	/* 10 s · 0.9 / 1.1 − 10 ms */
	assert_int_equal(lockd__clock_lease_us(0, 10000, 100000), 8181818 - 10000);
	assert_int_equal(lockd__clock_lease_us(777, 10000, 100000), 777 + 8181818 - 10000);
	assert_int_equal(lockd__clock_lease_us(0, 3000, 0), 3000000 - 10000);
	/* A day at 10 % does not overflow. */
	assert_int_equal(lockd__clock_lease_us(0, 86400000, 100000), 70690909090 - 10000);
}

static void test_clock__never_reaches_the_end_of_forever(void **test) {
	(void)test;
	assert_true(lockd__clock_deadline_us(123, -1) == LOCKD__NEVER);
	assert_int_equal(lockd__clock_deadline_us(123, 0), 123);
	assert_int_equal(lockd__clock_deadline_us(123, 2), 2123);
}

static void test_clock__wait_ends_at_its_deadline(void **test) {
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond;
	int64_t deadline_us;

	(void)test;
	assert_int_equal(lockd__clock_cond_init(&cond), 0);
	pthread_mutex_lock(&mutex);
	deadline_us = lockd__clock_us() + 20000;
	while (lockd__clock_us() < deadline_us)
		lockd__clock_wait(&cond, &mutex, deadline_us);
	/* In the past: returns at once. */
	lockd__clock_wait(&cond, &mutex, deadline_us);
	pthread_mutex_unlock(&mutex);
	assert_in_range(lockd__clock_us() - deadline_us, 0, 2000000);
	pthread_cond_destroy(&cond);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock__gives_no_lease_when_clocks_may_stand_still),
		cmocka_unit_test(test_clock__counts_a_lease_from_its_sending),
		cmocka_unit_test(test_clock__never_reaches_the_end_of_forever),
		cmocka_unit_test(test_clock__wait_ends_at_its_deadline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
