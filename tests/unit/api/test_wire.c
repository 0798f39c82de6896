/* SPDX-License-Identifier: Apache-2.0 */
/* The codec against protobuf-c, over all schemas: random messages pack to the same bytes, and random bytes, well-formed
 * or not, are taken or refused alike. */
#include "api/arena.h"
#include "api/client.pb-c.h"
#include "api/command.pb-c.h"
#include "api/peer.pb-c.h"
#include "api/record.pb-c.h"
#include "api/varint.h"
#include "api/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 3000, LIST_MAX = 3, BYTES_MAX = 200, MESSAGE_BYTES_MAX = 1 << 20 };

static const ProtobufCMessageDescriptor *const schemas[] = {
	&client__hello__descriptor,          &client__hello_reply__descriptor,   &client__request__descriptor,
	&client__reply__descriptor,          &client__event__descriptor,         &command__batch__descriptor,
	&command__configuration__descriptor, &peer__hello__descriptor,           &peer__found__descriptor,
	&peer__message__descriptor,          &peer__snapshot_header__descriptor, &peer__snapshot_chunk__descriptor,
	&peer__snapshot_end__descriptor,     &record__header__descriptor,        &record__record__descriptor,
};

enum { SCHEMAS = sizeof schemas / sizeof schemas[0] };

static uint64_t next(uint64_t *seed) {
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t below(uint64_t *seed, uint64_t n) {
	return next(seed) % n;
}

/* Of any length in bits: each length of a varint comes up. */
static uint64_t number(uint64_t *seed) {
	return next(seed) >> below(seed, 64);
}

/* ---- Random messages ---- */

static ProtobufCMessage *compose(const ProtobufCMessageDescriptor *schema, uint64_t *seed);

static void compose_element(const ProtobufCFieldDescriptor *field, void *member, uint64_t *seed) {
	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE: *(ProtobufCMessage **)member = compose(field->descriptor, seed); break;
	case PROTOBUF_C_TYPE_BYTES: {
		ProtobufCBinaryData *data = member;

		data->len = below(seed, 4) == 0 ? 0 : below(seed, BYTES_MAX);
		data->data = data->len > 0 ? malloc(data->len) : NULL;
		for (size_t i = 0; i < data->len; i++)
			data->data[i] = (uint8_t)next(seed);
		break;
	}
	case PROTOBUF_C_TYPE_UINT64: *(uint64_t *)member = number(seed); break;
	case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)member = (protobuf_c_boolean)below(seed, 2); break;
	default: *(uint32_t *)member = (uint32_t)number(seed); break;
	}
}

static size_t element_bytes(const ProtobufCFieldDescriptor *field) {
	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_UINT64: return sizeof(uint64_t);
	default: return sizeof(uint32_t);
	}
}

static void compose_field(const ProtobufCFieldDescriptor *field, uint8_t *message, uint64_t *seed) {
	size_t *quantity = (size_t *)(message + field->quantifier_offset);

	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		uint8_t *list;

		*quantity = below(seed, LIST_MAX + 1);
		list = *quantity > 0 ? calloc(*quantity, element_bytes(field)) : NULL;
		for (size_t i = 0; i < *quantity; i++)
			compose_element(field, list + i * element_bytes(field), seed);
		*(uint8_t **)(message + field->offset) = list;
		return;
	}
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		uint32_t *chosen = (uint32_t *)(message + field->quantifier_offset);

		if (*chosen != 0)
			return;
		*chosen = field->id;
	}
	compose_element(field, message + field->offset, seed);
}

static ProtobufCMessage *compose(const ProtobufCMessageDescriptor *schema, uint64_t *seed) {
	ProtobufCMessage *message = malloc(schema->sizeof_message);

	assert_non_null(message);
	protobuf_c_message_init(schema, message);
	for (unsigned i = 0; i < schema->n_fields; i++) {
		if (below(seed, 3) > 0)
			compose_field(&schema->fields[i], (uint8_t *)message, seed);
	}
	return message;
}

/* ---- Comparison ---- */

static void compare(const ProtobufCMessage *a, const ProtobufCMessage *b);

static void compare_element(const ProtobufCFieldDescriptor *field, const void *a, const void *b) {
	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		const ProtobufCMessage *left = *(ProtobufCMessage *const *)a, *right = *(ProtobufCMessage *const *)b;

		assert_int_equal(left == NULL, right == NULL);
		if (left)
			compare(left, right);
	} else if (field->type == PROTOBUF_C_TYPE_BYTES) {
		const ProtobufCBinaryData *left = a, *right = b;

		assert_int_equal(left->len, right->len);
		if (left->len > 0)
			assert_memory_equal(left->data, right->data, left->len);
	} else {
		assert_memory_equal(a, b, element_bytes(field));
	}
}

static void compare_list(const ProtobufCFieldDescriptor *field, const uint8_t *a, const uint8_t *b) {
	size_t n = *(const size_t *)(a + field->quantifier_offset);

	assert_int_equal(n, *(const size_t *)(b + field->quantifier_offset));
	for (size_t i = 0; i < n; i++)
		compare_element(field, *(uint8_t *const *)(a + field->offset) + i * element_bytes(field),
				*(uint8_t *const *)(b + field->offset) + i * element_bytes(field));
}

static void compare_unknown(const ProtobufCMessage *a, const ProtobufCMessage *b) {
	assert_int_equal(a->n_unknown_fields, b->n_unknown_fields);
	for (unsigned i = 0; i < a->n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *left = &a->unknown_fields[i], *right = &b->unknown_fields[i];

		assert_int_equal(left->tag, right->tag);
		assert_int_equal(left->wire_type, right->wire_type);
		assert_int_equal(left->len, right->len);
		assert_memory_equal(left->data, right->data, left->len);
	}
}

static void compare(const ProtobufCMessage *a, const ProtobufCMessage *b) {
	const ProtobufCMessageDescriptor *schema = a->descriptor;

	assert_ptr_equal(schema, b->descriptor);
	compare_unknown(a, b);
	for (unsigned i = 0; i < schema->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &schema->fields[i];
		const uint8_t *left = (const uint8_t *)a, *right = (const uint8_t *)b;

		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			compare_list(field, left, right);
			continue;
		}
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
			uint32_t chosen = *(const uint32_t *)(left + field->quantifier_offset);

			assert_int_equal(chosen, *(const uint32_t *)(right + field->quantifier_offset));
			if (chosen != field->id)
				continue;
		}
		compare_element(field, left + field->offset, right + field->offset);
	}
}

static bool compare_unpacked(const ProtobufCMessageDescriptor *schema, size_t n, const uint8_t *bytes) {
	ProtobufCMessage *ours = wire_unpack(schema, NULL, n, bytes);
	ProtobufCMessage *theirs = protobuf_c_message_unpack(schema, NULL, n, bytes);
	bool taken = theirs != NULL;

	assert_int_equal(ours != NULL, taken);
	if (ours)
		compare(ours, theirs);
	protobuf_c_message_free_unpacked(ours, NULL);
	protobuf_c_message_free_unpacked(theirs, NULL);
	return taken;
}

/* ---- Tests ---- */

static void test_wire__packs_what_protobuf_packs(void **state) {
	uint8_t *ours = malloc(MESSAGE_BYTES_MAX), *theirs = malloc(MESSAGE_BYTES_MAX);
	uint64_t seed = 1;

	(void)state;
	for (size_t round = 0; round < ROUNDS; round++) {
		ProtobufCMessage *message = compose(schemas[round % SCHEMAS], &seed);
		size_t n = protobuf_c_message_get_packed_size(message);

		assert_in_range(n, 0, MESSAGE_BYTES_MAX);
		assert_int_equal(wire_size(message), n);
		assert_int_equal(wire_pack(message, ours), n);
		assert_int_equal(protobuf_c_message_pack(message, theirs), n);
		assert_memory_equal(ours, theirs, n);
		assert_true(compare_unpacked(message->descriptor, n, ours));
		protobuf_c_message_free_unpacked(message, NULL);
	}
	free(ours);
	free(theirs);
}

static void test_wire__packs_within_the_room_that_there_is(void **state) {
	uint8_t *ours = malloc(10 * MESSAGE_BYTES_MAX), *theirs = malloc(MESSAGE_BYTES_MAX);
	uint64_t seed = 3;
	unsigned refused = 0;

	(void)state;
	for (size_t round = 0; round < ROUNDS; round++) {
		ProtobufCMessage *message = compose(schemas[round % SCHEMAS], &seed);
		size_t n = protobuf_c_message_pack(message, theirs), room = below(&seed, n + 40), found = n + 1;

		assert_in_range(n, 0, MESSAGE_BYTES_MAX - 64);
		memset(ours + room, 0xa5, n + 64);
		if (wire_pack_within(message, ours, room, &found)) {
			assert_int_equal(found, n);
			assert_memory_equal(ours, theirs, n);
		} else {
			assert_int_equal(found, n + 1);
			refused++;
		}
		for (size_t i = room; i < room + n + 64; i++)
			assert_int_equal(ours[i], 0xa5);
		/* A number of ten bytes is reckoned with wherever one of a byte stands. */
		assert_true(wire_pack_within(message, ours, 10 * n + 40, &found));
		assert_int_equal(found, n);
		assert_memory_equal(ours, theirs, n);
		protobuf_c_message_free_unpacked(message, NULL);
	}
	assert_in_range(refused, ROUNDS / 4, ROUNDS - 1);
	free(ours);
	free(theirs);
}

/* A list, a length or a number that is cut, one bit that is another one, a run that stands twice or somewhere else: all
 * that packing never writes. */
static size_t mangle(uint8_t *bytes, size_t n, uint64_t *seed) {
	size_t at = below(seed, n), run = 1 + below(seed, n - at), to = below(seed, n);

	switch (below(seed, 5)) {
	case 0: return at;
	case 1: bytes[at] ^= (uint8_t)(1 << below(seed, 8)); return n;
	case 2: bytes[at] = (uint8_t)next(seed); return n;
	case 3: memmove(bytes + n, bytes + at, run); return n + run;
	default: memmove(bytes + to, bytes + at, n - (at > to ? at : to)); return n;
	}
}

static void test_wire__takes_what_protobuf_takes(void **state) {
	uint8_t *bytes = malloc(2 * MESSAGE_BYTES_MAX);
	unsigned taken = 0, refused = 0;
	uint64_t seed = 2;

	(void)state;
	for (size_t round = 0; round < 10 * ROUNDS; round++) {
		ProtobufCMessage *message = compose(schemas[round % SCHEMAS], &seed);
		size_t n = protobuf_c_message_pack(message, bytes);

		for (int times = 0; times < 2 && n > 0; times++)
			n = mangle(bytes, n, &seed);
		if (compare_unpacked(message->descriptor, n, bytes))
			taken++;
		else
			refused++;
		protobuf_c_message_free_unpacked(message, NULL);
	}
	assert_in_range(taken, ROUNDS, 9 * ROUNDS);
	assert_in_range(refused, ROUNDS, 9 * ROUNDS);
	free(bytes);
}

static void test_wire__packs_what_it_does_not_know(void **state) {
	/* SessionId with opened 9, then field 99. */
	static const uint8_t bytes[] = {0x18, 0x09, 0x9a, 0x06, 0x01, 'x'};
	ProtobufCMessage *message = wire_unpack(&client__session_id__descriptor, NULL, sizeof bytes, bytes);
	uint8_t out[sizeof bytes];

	(void)state;
	assert_non_null(message);
	assert_int_equal(wire_size(message), sizeof bytes);
	assert_int_equal(wire_pack(message, out), sizeof bytes);
	assert_memory_equal(out, bytes, sizeof bytes);
	protobuf_c_message_free_unpacked(message, NULL);
}

/* Another writer's order must have the room that it would have had without us. */
static void test_wire__costs_an_arena_nothing_before_it_gives_up(void **state) {
	/* Sequence before session, hence left to protobuf-c behind the first field. */
	static const uint8_t bytes[] = {0x10, 0x07, 0x0a, 0x02, 0x18, 0x09};
	struct arena arena;
	size_t used;

	(void)state;
	arena_init(&arena);
	assert_int_equal(arena_reset(&arena, sizeof bytes), 0);
	assert_non_null(protobuf_c_message_unpack(&client__request__descriptor, &arena.allocator, sizeof bytes, bytes));
	used = arena.bytes_used;
	assert_int_equal(arena_reset(&arena, sizeof bytes), 0);
	assert_non_null(wire_unpack(&client__request__descriptor, &arena.allocator, sizeof bytes, bytes));
	assert_int_equal(arena.bytes_used, used);
	arena_deinit(&arena);
}

static void test_varint__goes_both_ways(void **state) {
	uint8_t bytes[VARINT_BYTES_MAX];
	uint64_t seed = 3, back;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t v = round == 0 ? 0 : round == 1 ? UINT64_MAX : number(&seed);
		const uint8_t *end = varint_put(bytes, v);

		assert_int_equal(end - bytes, varint_size(v));
		assert_ptr_equal(varint_get(bytes, end, &back), end);
		assert_true(back == v);
		assert_null(varint_get(bytes, end - 1, &back));
	}
}

static void test_varint__has_no_65th_bit(void **state) {
	static const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x03};
	uint64_t v;

	(void)state;
	assert_null(varint_get(bytes, bytes + sizeof bytes, &v));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire__packs_what_protobuf_packs),
		cmocka_unit_test(test_wire__packs_within_the_room_that_there_is),
		cmocka_unit_test(test_wire__takes_what_protobuf_takes),
		cmocka_unit_test(test_wire__packs_what_it_does_not_know),
		cmocka_unit_test(test_wire__costs_an_arena_nothing_before_it_gives_up),
		cmocka_unit_test(test_varint__goes_both_ways),
		cmocka_unit_test(test_varint__has_no_65th_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
