/* SPDX-License-Identifier: Apache-2.0 */
/* Entries are decoded by hand; protobuf-c, not the generated functions, is the judge of what they say. */
#include "replica.h"

#include "api/arena.h"
#include "api/limits.h"
#include "lockd/state/batch.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 4000, COMMANDS_MAX = 5, ARENA_BYTES = 1 << 20 };

static uint64_t next(uint64_t *seed) {
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Zero now and then, and of any length in bits. */
static uint64_t number(uint64_t *seed) {
	uint64_t bits = next(seed) % 65;

	return bits == 0 ? 0 : next(seed) >> (64 - bits);
}

static void random_script(uint64_t *seed, struct script *script) {
	static const uint8_t nonce[16] = {1, 2, 3};
	static uint64_t ids[2] = {1 << 16, 77 << 16};
	static const char *const texts[] = {"", "a", "jobs/nightly", "{tag}of a name that is somewhat longer"};
	const char *name = texts[next(seed) % 4], *value = texts[next(seed) % 4];

	switch (next(seed) % 8) {
	case 0: script_open(script, nonce, 5000); return;
	case 1: script_expire(script, number(seed), ids, 2); return;
	case 2: script_close(script, number(seed), number(seed)); break;
	case 3: script_cancel(script, number(seed), number(seed), number(seed)); break;
	case 4:
	case 5: script_release(script, number(seed), number(seed), name, number(seed)); break;
	default: script_acquire(script, number(seed), number(seed), name, (uint32_t)number(seed), value); break;
	}
	script->command.floor = number(seed);
	if (next(seed) % 8 == 0)
		script->command.session = NULL;
}

/* Both refuse the bytes, or both say the same: packing shows every field, the unknown ones as well. Bytes that do not
 * end in a field of their own stand at the end of what was allocated for them, so that a sanitizer sees any step
 * beyond. */
static bool assert_judged_alike(struct arena *arena, const uint8_t *bytes, size_t n) {
	ProtobufCMessage *theirs = protobuf_c_message_unpack(&command__batch__descriptor, NULL, n, bytes);
	Command__Batch *ours;
	uint8_t *packed[2];
	size_t size;

	assert_int_equal(arena_reset(arena, ARENA_BYTES), 0);
	ours = batch_unpack(&arena->allocator, bytes, n);
	assert_int_equal(ours != NULL, theirs != NULL);
	if (!ours)
		return false;
	size = protobuf_c_message_get_packed_size(theirs);
	assert_int_equal(protobuf_c_message_get_packed_size(&ours->base), size);
	for (int i = 0; i < 2; i++) {
		packed[i] = malloc(size + 1);
		assert_non_null(packed[i]);
	}
	(void)protobuf_c_message_pack(&ours->base, packed[0]);
	(void)protobuf_c_message_pack(theirs, packed[1]);
	assert_memory_equal(packed[0], packed[1], size);
	free(packed[0]);
	free(packed[1]);
	protobuf_c_message_free_unpacked(theirs, NULL);
	return true;
}

static uint8_t *random_entry(uint64_t *seed, size_t *ret_n) {
	struct script scripts[COMMANDS_MAX];
	size_t n = next(seed) % (COMMANDS_MAX + 1);

	for (size_t i = 0; i < n; i++)
		random_script(seed, &scripts[i]);
	return script_pack(scripts, n, ret_n);
}

static void test_batch__says_what_was_packed(void **test) {
	struct arena arena;
	uint64_t seed = 1;

	(void)test;
	arena_init(&arena);
	for (int round = 0; round < ROUNDS; round++) {
		size_t n;
		uint8_t *bytes = random_entry(&seed, &n);
		assert_true(assert_judged_alike(&arena, bytes, n));
		free(bytes);
	}
	arena_deinit(&arena);
}

/* Every kind of damage at once: other bytes, cut short, a piece twice, two pieces in the other order. */
static uint8_t *damage(uint64_t *seed, const uint8_t *bytes, size_t n, size_t *ret_n) {
	uint8_t *other = malloc(2 * n + 1);
	size_t from = n ? next(seed) % n : 0, to = n ? from + next(seed) % (n - from + 1) : 0;

	assert_non_null(other);
	memcpy(other, bytes, n);
	*ret_n = n;
	switch (next(seed) % 5) {
	case 0: *ret_n = from; break;
	case 1:
		memcpy(other + to, bytes + from, n - from);
		*ret_n = to + n - from;
		break;
	case 2:
		memcpy(other, bytes + to, n - to);
		memcpy(other + n - to, bytes, to);
		break;
	default:
		for (uint64_t left = 1 + next(seed) % 3; n > 0 && left > 0; left--)
			other[next(seed) % n] = (uint8_t)(next(seed) % 2 ? next(seed) : next(seed) % 32);
		break;
	}
	return other;
}

static void test_batch__judges_damage_like_protobuf(void **test) {
	struct arena arena;
	uint64_t seed = 2;
	int accepted = 0;

	(void)test;
	arena_init(&arena);
	for (int round = 0; round < 10 * ROUNDS; round++) {
		size_t n, n_other;
		uint8_t *bytes = random_entry(&seed, &n), *other = damage(&seed, bytes, n, &n_other);
		free(bytes);
		bytes = realloc(other, n_other + !n_other);
		assert_non_null(bytes);
		accepted += assert_judged_alike(&arena, bytes, n_other);
		free(bytes);
	}
	/* Neither was always the case. */
	assert_in_range(accepted, ROUNDS, 9 * ROUNDS);
	arena_deinit(&arena);
}

/* A request with nothing but a session, and one byte more than a command can have. */
static void test_batch__leaves_other_forms_to_protobuf(void **test) {
	static const struct {
		uint8_t bytes[16];
		size_t n;
	} entries[] = {
		{{0}, 0},
		{{0x0a, 0x00}, 2},
		{{0x0a, 0x02, 0x0a, 0x00}, 4},
		{{0x0a, 0x04, 0x0a, 0x00, 0x5a, 0x00}, 6},                             /* Close */
		{{0x0a, 0x04, 0x5a, 0x00, 0x0a, 0x00}, 6},                             /* the session behind the body */
		{{0x0a, 0x06, 0x0a, 0x00, 0x5a, 0x00, 0x5a, 0x00}, 8},                 /* twice */
		{{0x0a, 0x06, 0x0a, 0x00, 0x5a, 0x00, 0x6a, 0x00}, 8},                 /* two bodies */
		{{0x0a, 0x06, 0x0a, 0x00, 0x10, 0x00, 0x5a, 0x00}, 8},                 /* a zero that is written */
		{{0x0a, 0x05, 0x0a, 0x00, 0x5a, 0x80, 0x00}, 7},                       /* a length in two bytes */
		{{0x0a, 0x09, 0x0a, 0x00, 0x5a, 0x80, 0x80, 0x80, 0x80, 0x80, 0}, 11}, /* in six */
		{{0x0a, 0x0a, 0x0a, 0x06, 0x08, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x5a, 0x00},
		 12},                                                  /* an epoch of 35 bits */
		{{0x0a, 0x04, 0x0a, 0x00, 0x5a, 0x00, 0x12, 0x00}, 8}, /* something else behind it */
	};
	struct arena arena;

	(void)test;
	arena_init(&arena);
	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
		(void)assert_judged_alike(&arena, entries[i].bytes, entries[i].n);
	arena_deinit(&arena);
}

/* `n` commands without content. */
static Command__Batch *unpack_many(struct arena *arena, size_t n) {
	uint8_t *bytes = calloc(n, 2);
	Command__Batch *batch;

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[2 * i] = 0x0a;
	assert_int_equal(arena_reset(arena, ARENA_BYTES), 0);
	batch = batch_unpack(&arena->allocator, bytes, 2 * n);
	free(bytes);
	return batch;
}

static void test_batch__bounds_the_number_of_commands(void **test) {
	struct arena arena;

	(void)test;
	arena_init(&arena);
	assert_non_null(unpack_many(&arena, LIMIT_COMMANDS_PER_ENTRY_MAX));
	assert_null(unpack_many(&arena, LIMIT_COMMANDS_PER_ENTRY_MAX + 1));
	arena_deinit(&arena);
}

static void test_batch__ends_where_the_arena_ends(void **test) {
	struct script scripts[2];
	struct arena arena;
	uint8_t *bytes;
	size_t n;

	(void)test;
	script_acquire(&scripts[0], 1, 1, "a", 0, "");
	script_acquire(&scripts[1], 1, 2, "b", 0, "");
	bytes = script_pack(scripts, 2, &n);
	arena_init(&arena);
	assert_int_equal(arena_reset(&arena, ARENA_BYTES), 0);
	assert_non_null(batch_unpack(&arena.allocator, bytes, n));
	for (size_t limit = arena.bytes_used; limit-- > 0;) {
		assert_int_equal(arena_reset(&arena, ARENA_BYTES), 0);
		arena.bytes_limit = limit;
		assert_null(batch_unpack(&arena.allocator, bytes, n));
	}
	free(bytes);
	arena_deinit(&arena);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batch__says_what_was_packed),
		cmocka_unit_test(test_batch__judges_damage_like_protobuf),
		cmocka_unit_test(test_batch__leaves_other_forms_to_protobuf),
		cmocka_unit_test(test_batch__bounds_the_number_of_commands),
		cmocka_unit_test(test_batch__ends_where_the_arena_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
