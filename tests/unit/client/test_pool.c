/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

static void test_pool__pieces_are_aligned_zeroed_and_apart(void **test) {
	struct lockd__pool pool = {0};
	unsigned char *pieces[300];

	(void)test;
	for (size_t i = 0; i < 300; i++) {
		pieces[i] = lockd__pool_alloc(&pool, 100 + i);
		assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < 100 + i; j++)
			assert_int_equal(pieces[i][j], 0);
		memset(pieces[i], (int)i, 100 + i);
	}
	for (size_t i = 0; i < 300; i++)
		assert_int_equal(pieces[i][99 + i], i % 256);
	assert_int_equal(pool.failed, 0);
	lockd__pool_deinit(&pool);
}

static void test_pool__holds_what_is_larger_than_a_block(void **test) {
	struct lockd__pool pool = {0};
	char *large = lockd__pool_alloc(&pool, 1 << 20);

	(void)test;
	assert_non_null(large);
	memset(large, 1, 1 << 20);
	lockd__pool_deinit(&pool);
}

static void test_pool__terminates_texts(void **test) {
	struct lockd__pool pool = {0};

	(void)test;
	assert_string_equal(lockd__pool_text(&pool, &(ProtobufCBinaryData){.len = 2, .data = (uint8_t *)"abc"}), "ab");
	assert_string_equal(lockd__pool_text(&pool, &(ProtobufCBinaryData){0}), "");
	lockd__pool_deinit(&pool);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool__pieces_are_aligned_zeroed_and_apart),
		cmocka_unit_test(test_pool__holds_what_is_larger_than_a_block),
		cmocka_unit_test(test_pool__terminates_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
