/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that every thread adds to. */
#include "lockd/io/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { THREADS = 4, ADDITIONS = 20000 };

/* What has been counted since the one before: the counters are those of the whole process. */
static struct metrics metrics_since(const struct metrics *before) {
	struct metrics now;

	metrics_read(&now);
	for (int i = 0; i < METRICS_COUNTERS; i++)
		now.counters[i] -= before->counters[i];
	for (int i = 0; i < METRICS_TIMINGS; i++) {
		for (int j = 0; j <= METRICS_BOUNDS; j++)
			now.timings[i].buckets[j] -= before->timings[i].buckets[j];
		now.timings[i].sum -= before->timings[i].sum;
	}
	return now;
}

static void test_metrics__adds_to_that_counter_alone(void **state) {
	struct metrics before, since;

	(void)state;
	metrics_read(&before);
	metrics_add(METRICS_SNAPSHOTS_SENT, 3);
	metrics_add(METRICS_SNAPSHOTS_SENT, 4);
	since = metrics_since(&before);
	for (int i = 0; i < METRICS_COUNTERS; i++)
		assert_int_equal(since.counters[i], i == METRICS_SNAPSHOTS_SENT ? 7 : 0);
}

static void test_metrics__puts_a_duration_into_the_first_bucket_that_holds_it(void **state) {
	static const struct {
		raft_usec duration;
		int bucket;
	} cases[] = {
		{0, 0},       {100, 0},      {101, 1},       {250, 1},       {251, 2},
		{999999, 12}, {1000000, 12}, {10000000, 15}, {10000001, 16}, {UINT64_MAX / 2, 16},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct metrics before, since;

		metrics_read(&before);
		metrics_time(METRICS_CHECKPOINT, cases[i].duration);
		since = metrics_since(&before);
		for (int j = 0; j <= METRICS_BOUNDS; j++)
			assert_int_equal(since.timings[METRICS_CHECKPOINT].buckets[j], j == cases[i].bucket);
		assert_int_equal(since.timings[METRICS_CHECKPOINT].sum, cases[i].duration);
		assert_int_equal(since.timings[METRICS_STORE_WRITE].sum, 0);
	}
}

static void test_metrics__has_bounds_that_rise(void **state) {
	(void)state;
	assert_int_equal(metrics_bounds[0], 100);
	assert_int_equal(metrics_bounds[METRICS_BOUNDS - 1], 10 * 1000 * 1000);
	for (int i = 1; i < METRICS_BOUNDS; i++)
		assert_true(metrics_bounds[i - 1] < metrics_bounds[i]);
}

static void *add_many(void *arg) {
	(void)arg;
	for (int i = 0; i < ADDITIONS; i++) {
		metrics_add(METRICS_BYTES_SENT, 2);
		metrics_time(METRICS_STORE_WRITE, 100);
	}
	return NULL;
}

static void test_metrics__loses_nothing_that_threads_add_at_once(void **state) {
	pthread_t threads[THREADS];
	struct metrics before, since;

	(void)state;
	metrics_read(&before);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	since = metrics_since(&before);
	assert_int_equal(since.counters[METRICS_BYTES_SENT], 2 * THREADS * ADDITIONS);
	assert_int_equal(since.timings[METRICS_STORE_WRITE].buckets[0], THREADS * ADDITIONS);
	assert_int_equal(since.timings[METRICS_STORE_WRITE].sum, 100 * THREADS * ADDITIONS);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metrics__adds_to_that_counter_alone),
		cmocka_unit_test(test_metrics__puts_a_duration_into_the_first_bucket_that_holds_it),
		cmocka_unit_test(test_metrics__has_bounds_that_rise),
		cmocka_unit_test(test_metrics__loses_nothing_that_threads_add_at_once),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
