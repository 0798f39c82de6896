/* SPDX-License-Identifier: Apache-2.0 */
#include "lockd/io/blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { LARGEST = BLOCKS_BYTES_MIN << BLOCKS_SIZES };

static void *take(struct blocks *blocks, size_t bytes) {
	void *memory = blocks_take(blocks, bytes);

	assert_non_null(memory);
	memset(memory, 0xa5, bytes);
	return memory;
}

static void test_blocks__hands_out_again_what_was_given_back_last(void **state) {
	struct blocks blocks;
	void *first, *second;

	(void)state;
	blocks_init(&blocks);
	first = take(&blocks, 1500);
	second = take(&blocks, 2000);
	blocks_give(&blocks, first);
	blocks_give(&blocks, second);
	assert_ptr_equal(take(&blocks, BLOCKS_BYTES_MIN), second);
	assert_ptr_equal(take(&blocks, 2048), first);
	assert_int_equal(blocks.bytes_kept, 0);
	blocks_give(&blocks, first);
	blocks_give(&blocks, second);
	blocks_deinit(&blocks);
}

static void test_blocks__hands_out_none_that_is_too_small(void **state) {
	struct blocks blocks;

	(void)state;
	blocks_init(&blocks);
	for (size_t bytes = 1; bytes <= 2 * LARGEST; bytes += bytes < 8 ? 1 : bytes / 8) {
		assert_true(blocks_room(bytes) >= bytes);
		assert_true(blocks_room(bytes) <= 2 * bytes + 32);
		blocks_give(&blocks, take(&blocks, bytes));
	}
	blocks_deinit(&blocks);
}

static void test_blocks__keeps_neither_small_ones_nor_huge_ones(void **state) {
	struct blocks blocks;

	(void)state;
	blocks_init(&blocks);
	blocks_give(&blocks, take(&blocks, BLOCKS_BYTES_MIN - 1));
	blocks_give(&blocks, take(&blocks, LARGEST + 1));
	assert_int_equal(blocks.bytes_kept, 0);
	blocks_give(&blocks, take(&blocks, LARGEST));
	assert_int_equal(blocks.bytes_kept, LARGEST);
	blocks_deinit(&blocks);
}

static void test_blocks__keeps_no_more_than_its_bound(void **state) {
	void *taken[2 * BLOCKS_BYTES_KEPT / LARGEST];
	struct blocks blocks;

	(void)state;
	blocks_init(&blocks);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		taken[i] = take(&blocks, LARGEST);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		blocks_give(&blocks, taken[i]);
	assert_int_equal(blocks.bytes_kept, BLOCKS_BYTES_KEPT);
	blocks_deinit(&blocks);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks__hands_out_again_what_was_given_back_last),
		cmocka_unit_test(test_blocks__hands_out_none_that_is_too_small),
		cmocka_unit_test(test_blocks__keeps_neither_small_ones_nor_huge_ones),
		cmocka_unit_test(test_blocks__keeps_no_more_than_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
