/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of the buckets is what went in, within the error that the header states. */
#include "bench/load/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct latency latency, other;

static int empty(void **state) {
	(void)state;
	memset(&latency, 0, sizeof latency);
	memset(&other, 0, sizeof other);
	return 0;
}

static void test_latency__is_null_when_empty(void **state) {
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_int_equal(latency_quantile_ns(&latency, 0.5), 0);
	latency_print_us(&latency, "x_us", out);
	fclose(out);
	assert_string_equal(text, "\"x_us\": null");
	free(text);
}

static void test_latency__keeps_small_values_exactly(void **state) {
	(void)state;
	for (int64_t ns = 0; ns < 256; ns++)
		latency_add(&latency, ns);
	for (int i = 1; i <= 256; i++)
		assert_int_equal(latency_quantile_ns(&latency, i / 256.0), i - 1);
}

/* One value, of which the median is read back, at and beside each power of two. */
static void test_latency__is_off_by_half_a_bucket_at_most(void **state) {
	for (unsigned bit = 8; bit < LATENCY_RANGE_BITS; bit++) {
		for (int beside = -1; beside <= 1; beside++) {
			uint64_t ns = (UINT64_C(1) << bit) + (uint64_t)(int64_t)beside, read, off;

			empty(state);
			latency_add(&latency, (int64_t)ns);
			latency_add(&latency, INT64_C(1) << LATENCY_RANGE_BITS); /* so that the maximum caps nothing */
			read = latency_quantile_ns(&latency, 0.5);
			off = read > ns ? read - ns : ns - read;
			assert_in_range(off * 256, 0, ns);
		}
	}
}

static void test_latency__counts_what_is_out_of_range(void **state) {
	(void)state;
	latency_add(&latency, -5);
	latency_add(&latency, INT64_MAX);
	assert_int_equal(latency.count, 2);
	assert_int_equal(latency_quantile_ns(&latency, 0.5), 0);
	assert_int_equal(latency_quantile_ns(&latency, 1), INT64_MAX);
}

static void test_latency__never_reads_above_the_maximum(void **state) {
	(void)state;
	latency_add(&latency, 1000001);
	assert_int_equal(latency_quantile_ns(&latency, 0.99) <= 1000001, 1);
	assert_int_equal(latency.max_ns, 1000001);
}

static void test_latency__merges(void **state) {
	(void)state;
	for (int i = 0; i < 99; i++)
		latency_add(&latency, 100);
	latency_add(&other, 200);
	latency_merge(&latency, &other);
	assert_int_equal(latency.count, 100);
	assert_int_equal(latency_quantile_ns(&latency, 0.99), 100);
	assert_int_equal(latency_quantile_ns(&latency, 1), 200);
	assert_int_equal(latency.max_ns, 200);
}

static void test_latency__prints_microseconds(void **state) {
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	for (int i = 0; i < 10; i++)
		latency_add(&latency, 250);
	latency_add(&latency, 1234567);
	latency_print_us(&latency, "x_us", out);
	fclose(out);
	assert_non_null(strstr(text, "\"x_us\": {\"p50\": 0.25, \"p90\": 0.25, \"p99\": 123"));
	assert_non_null(strstr(text, "\"max\": 1234.57}"));
	free(text);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_latency__is_null_when_empty, empty),
		cmocka_unit_test_setup(test_latency__keeps_small_values_exactly, empty),
		cmocka_unit_test_setup(test_latency__is_off_by_half_a_bucket_at_most, empty),
		cmocka_unit_test_setup(test_latency__counts_what_is_out_of_range, empty),
		cmocka_unit_test_setup(test_latency__never_reads_above_the_maximum, empty),
		cmocka_unit_test_setup(test_latency__merges, empty),
		cmocka_unit_test_setup(test_latency__prints_microseconds, empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
