/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lockd/state/pool.h"

enum { BYTES = 40 };

static void test_pool__hands_out_what_was_given_back(void **test) {
	struct pool pool = {0};
	void *a = pool_take(&pool, BYTES), *b = pool_take(&pool, BYTES);

	(void)test;
	assert_ptr_not_equal(a, b);
	pool_give(&pool, a, BYTES);
	pool_give(&pool, b, BYTES);
	assert_int_equal(pool.n, 2);
	assert_ptr_equal(pool_take(&pool, BYTES), b);
	assert_ptr_equal(pool_take(&pool, BYTES), a);
	assert_int_equal(pool.n, 0);
	memset(a, 0xff, BYTES);
	memset(b, 0xff, BYTES);
	free(a);
	free(b);
}

static void test_pool__keeps_no_more_than_its_bound(void **test) {
	struct pool pool = {0};
	void *blocks[POOL_BLOCKS_MAX + 10];
	const size_t n = sizeof blocks / sizeof *blocks;

	(void)test;
	for (size_t i = 0; i < n; i++)
		blocks[i] = pool_take(&pool, BYTES);
	for (size_t i = 0; i < n; i++)
		pool_give(&pool, blocks[i], BYTES);
	assert_int_equal(pool.n, POOL_BLOCKS_MAX);
	pool_deinit(&pool, BYTES);
	assert_int_equal(pool.n, 0);
	assert_null(pool.first);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool__hands_out_what_was_given_back),
		cmocka_unit_test(test_pool__keeps_no_more_than_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
