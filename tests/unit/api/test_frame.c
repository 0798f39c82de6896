/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: what is refused, and that what is sealed parses back, at every split of the stream. */
#include "api/bytes.h"
#include "api/frame.h"
#include "api/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BODY = 37 };

static size_t sealed(enum frame_kind kind, uint8_t *out) {
	for (int i = 0; i < BODY; i++)
		out[FRAME_HEADER_BYTES + i] = (uint8_t)(i * 7);
	frame_seal(kind, FRAME_REQUEST, 0x1122334455667788u, BODY, out);
	return frame_bytes(kind, BODY);
}

static void test_frame__refuses_a_length_above_the_bound(void **state) {
	uint8_t bytes[4];
	struct frame frame;
	size_t taken;

	(void)state;
	bytes_put_u32(bytes, LIMIT_FRAME_BYTES_MAX + 1);
	assert_int_equal(frame_parse(FRAME_CLIENT, bytes, 4, LIMIT_FRAME_BYTES_MAX, &frame, &taken), FRAME_TOO_LONG);
	bytes_put_u32(bytes, UINT32_MAX);
	assert_int_equal(frame_parse(FRAME_PEER, bytes, 4, LIMIT_FRAME_BYTES_MAX, &frame, &taken), FRAME_TOO_LONG);
}

static void test_frame__refuses_a_length_below_the_header(void **state) {
	uint8_t bytes[32] = {0};
	struct frame frame;
	size_t taken;

	(void)state;
	bytes_put_u32(bytes, 8);
	assert_int_equal(frame_parse(FRAME_CLIENT, bytes, sizeof bytes, 1024, &frame, &taken), FRAME_TOO_SHORT);
	bytes_put_u32(bytes, 9 + 7);
	assert_int_equal(frame_parse(FRAME_PEER, bytes, sizeof bytes, 1024, &frame, &taken), FRAME_TOO_SHORT);
}

static void test_frame__notices_every_flipped_bit_of_a_peer_frame(void **state) {
	uint8_t bytes[256];
	size_t n = sealed(FRAME_PEER, bytes), taken;
	struct frame frame;

	(void)state;
	for (size_t bit = 32; bit < 8 * n; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(frame_parse(FRAME_PEER, bytes, n, 1024, &frame, &taken), FRAME_DAMAGED);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(frame_parse(FRAME_PEER, bytes, n, 1024, &frame, &taken), 0);
}

static void test_frame__waits_for_the_last_byte(void **state) {
	uint8_t bytes[256];
	struct frame frame;
	size_t taken;

	(void)state;
	for (int kind = FRAME_CLIENT; kind <= FRAME_PEER; kind++) {
		size_t n = sealed(kind, bytes);
		for (size_t part = 0; part < n; part++)
			assert_int_equal(frame_parse(kind, bytes, part, 1024, &frame, &taken), FRAME_INCOMPLETE);
	}
}

static void test_frame__parses_what_was_sealed(void **state) {
	uint8_t bytes[256];
	struct frame frame;
	size_t taken;

	(void)state;
	for (int kind = FRAME_CLIENT; kind <= FRAME_PEER; kind++) {
		size_t n = sealed(kind, bytes);
		assert_int_equal(frame_parse(kind, bytes, sizeof bytes, 1024, &frame, &taken), 0);
		assert_int_equal(taken, n);
		assert_int_equal(frame.type, FRAME_REQUEST);
		assert_true(frame.id == 0x1122334455667788u);
		assert_int_equal(frame.body_bytes, BODY);
		assert_int_equal(frame.body[5], 35);
	}
}

static void test_frame__is_little_endian_on_the_wire(void **state) {
	static const uint8_t expected[] = {10, 0, 0, 0, FRAME_EVENT, 8, 7, 6, 5, 4, 3, 2, 1, 0xee};
	uint8_t bytes[sizeof expected];

	(void)state;
	bytes[FRAME_HEADER_BYTES] = 0xee;
	frame_seal(FRAME_CLIENT, FRAME_EVENT, 0x0102030405060708u, 1, bytes);
	assert_memory_equal(bytes, expected, sizeof expected);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_frame__refuses_a_length_above_the_bound),
	        cmocka_unit_test(test_frame__refuses_a_length_below_the_header),
	        cmocka_unit_test(test_frame__notices_every_flipped_bit_of_a_peer_frame),
	        cmocka_unit_test(test_frame__waits_for_the_last_byte),
	        cmocka_unit_test(test_frame__parses_what_was_sealed),
	        cmocka_unit_test(test_frame__is_little_endian_on_the_wire),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
