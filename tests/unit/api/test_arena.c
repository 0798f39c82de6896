/* SPDX-License-Identifier: Apache-2.0 */
/* The decoding arena: a body cannot make the decoder take more memory than the bound. */
#include "api/arena.h"
#include "api/client.pb-c.h"
#include "api/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_arena__refuses_a_body_that_unpacks_to_more_than_its_share(void **state) {
	/* Reply.locks is field 9: "0x4a 0x00" is one empty Lock, 2 bytes on the wire and some 100 in memory. */
	size_t n = 256 << 10;
	uint8_t *body = malloc(n);
	struct arena arena;

	(void)state;
	for (size_t i = 0; i < n; i += 2) {
		body[i] = 0x4a;
		body[i + 1] = 0;
	}
	arena_init(&arena);
	assert_int_equal(arena_reset(&arena, n), 0);
	assert_null(client__reply__unpack(&arena.allocator, n, body));
	assert_true(arena.bytes_used <= LIMIT_ARENA_BYTES_BASE + LIMIT_ARENA_FACTOR * n);
	arena_deinit(&arena);
	free(body);
}

static void test_arena__gives_aligned_memory_up_to_its_limit(void **state) {
	struct arena arena;
	size_t total = 0;
	void *p;

	(void)state;
	arena_init(&arena);
	assert_int_equal(arena_reset(&arena, 0), 0);
	while ((p = arena.allocator.alloc(arena.allocator.allocator_data, 33))) {
		assert_int_equal((uintptr_t)p % 16, 0);
		total += 48;
	}
	assert_true(total <= LIMIT_ARENA_BYTES_BASE && total + 48 > LIMIT_ARENA_BYTES_BASE);
	assert_null(arena.allocator.alloc(arena.allocator.allocator_data, SIZE_MAX));
	arena_deinit(&arena);
}

static void test_arena__takes_everything_back_on_reset(void **state) {
	Client__Hello hello = CLIENT__HELLO__INIT;
	uint8_t body[64];
	struct arena arena;
	size_t n;

	(void)state;
	hello.protocol_max = 7;
	n = client__hello__pack(&hello, body);
	arena_init(&arena);
	for (int i = 0; i < 10000; i++) {
		Client__Hello *decoded;
		assert_int_equal(arena_reset(&arena, n), 0);
		decoded = client__hello__unpack(&arena.allocator, n, body);
		assert_non_null(decoded);
		assert_int_equal(decoded->protocol_max, 7);
	}
	assert_true(arena.bytes_max <= LIMIT_ARENA_BYTES_BASE + LIMIT_ARENA_FACTOR * sizeof body);
	arena_deinit(&arena);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_arena__refuses_a_body_that_unpacks_to_more_than_its_share),
	        cmocka_unit_test(test_arena__gives_aligned_memory_up_to_its_limit),
	        cmocka_unit_test(test_arena__takes_everything_back_on_reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
