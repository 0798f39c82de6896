/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"
#include "lockd/node/cache.h"
#include "lockd/node/turn.h"

#include <string.h>

static void append(struct cache *cache, raft_index index, const char *text) {
	struct node_entry entry = {.index = index, .term = 1, .data = (const uint8_t *)text, .n = strlen(text)};

	cache_append(cache, &entry);
}

static void test_cache__finds_only_what_it_holds(void **unused) {
	struct cache cache = {.base = 5};

	(void)unused;
	assert_null(cache_get(&cache, 5));
	assert_null(cache_get(&cache, 6));
	append(&cache, 6, "six");
	assert_null(cache_get(&cache, 5));
	assert_null(cache_get(&cache, 7));
	assert_memory_equal(cache_get(&cache, 6)->data, "six", 3);
	assert_int_equal(cache.bytes, 3);
	cache_deinit(&cache);
}

static void test_cache__keeps_dropped_bytes_until_the_next_turn(void **unused) {
	struct cache cache = {0};
	struct turn turn = {0};
	const uint8_t *data;

	(void)unused;
	turn_begin(&turn);
	append(&cache, 1, "one");
	append(&cache, 2, "two");
	data = cache_get(&cache, 2)->data;
	cache_truncate(&cache, &turn, 2);
	assert_int_equal(cache_last(&cache), 1);
	assert_memory_equal(data, "two", 3); /* a sanitizer sees it if it is freed */
	append(&cache, 2, "TWO");
	assert_memory_equal(cache_get(&cache, 2)->data, "TWO", 3);
	turn_begin(&turn);
	turn_deinit(&turn);
	cache_deinit(&cache);
}

static void test_cache__trims_and_goes_on(void **unused) {
	struct cache cache = {0};
	struct turn turn = {0};

	(void)unused;
	for (raft_index i = 1; i <= 1000; i++) {
		turn_begin(&turn);
		append(&cache, i, "entry");
		if (i > 10)
			cache_trim(&cache, &turn, i - 10);
	}
	assert_int_equal(cache.base, 990);
	assert_int_equal(cache.bytes, 50);
	assert_in_range(cache.max, 10, 64);
	assert_int_equal(cache_get(&cache, 991)->index, 991);
	cache_reset(&cache, &turn, 2000);
	assert_int_equal(cache.bytes, 0);
	append(&cache, 2001, "x");
	turn_deinit(&turn);
	cache_deinit(&cache);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cache__finds_only_what_it_holds),
		cmocka_unit_test(test_cache__keeps_dropped_bytes_until_the_next_turn),
		cmocka_unit_test(test_cache__trims_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
