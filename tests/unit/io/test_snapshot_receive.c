/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot is taken whole and undamaged, or not at all. */
#define XXH_STATIC_LINKING_ONLY
#include "lockd/io/snapshot_receive.h"

#include "api/bytes.h"
#include "api/limits.h"
#include "api/peer.pb-c.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

static const struct node_uuid incarnation = {{1, 2, 3}};
static const uint8_t rows[] = {3, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0, 1, 0, 0, 0, 'd'}; /* "abc", "", "d" */

static struct arena arena;
static struct snapshot_receive *receive;
static uint8_t body[4096];
static Peer__SnapshotHeader header;
static struct frame frame;

static XXH128_canonical_t digest;

static void digest_of(const uint8_t *data, size_t n) {
	XXH3_state_t state;

	XXH3_128bits_reset(&state);
	XXH3_128bits_update(&state, header.header.data, header.header.len);
	XXH3_128bits_update(&state, data, n);
	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(&state));
	header.digest = (ProtobufCBinaryData){.data = digest.digest, .len = sizeof digest.digest};
}

static int set_up(void **state) {
	(void)state;
	arena_init(&arena);
	peer__snapshot_header__init(&header);
	header.format = SNAPSHOT_FORMAT;
	header.incarnation = (ProtobufCBinaryData){.data = (uint8_t *)incarnation.bytes, .len = 16};
	header.group = 1;
	header.sender_term = 9;
	header.header = (ProtobufCBinaryData){.data = (uint8_t *)"head", .len = 4};
	header.rows = 3;
	header.bytes = sizeof rows;
	digest_of(rows, sizeof rows);
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	receive = snapshot_receive_free(receive);
	arena_deinit(&arena);
	return 0;
}

static const struct frame *packed(uint8_t type, size_t n) {
	frame = (struct frame){.type = type, .body = body, .body_bytes = n};
	return &frame;
}

static int begin(void) {
	return snapshot_receive_begin(packed(FRAME_PEER_SNAPSHOT_HEADER, peer__snapshot_header__pack(&header, body)),
				      &incarnation, &arena, &receive);
}

static int chunk(uint64_t offset, const uint8_t *data, size_t n) {
	Peer__SnapshotChunk message = PEER__SNAPSHOT_CHUNK__INIT;

	message.offset = offset;
	message.data = (ProtobufCBinaryData){.data = (uint8_t *)data, .len = n};
	return snapshot_receive_frame(
		receive, packed(FRAME_PEER_SNAPSHOT_CHUNK, peer__snapshot_chunk__pack(&message, body)), &arena);
}

static int end(const uint8_t *data, size_t n) {
	Peer__SnapshotEnd message = PEER__SNAPSHOT_END__INIT;

	digest_of(data, n);
	message.digest = header.digest;
	return snapshot_receive_frame(
		receive, packed(FRAME_PEER_SNAPSHOT_END, peer__snapshot_end__pack(&message, body)), &arena);
}

static void assert_no_begin(int r) {
	assert_int_equal(begin(), r);
	assert_null(receive);
}

static void test_snapshot_receive__refuses_headers(void **state) {
	(void)state;
	header.format = SNAPSHOT_FORMAT + 1;
	assert_no_begin(-EBADMSG);
	header.format = SNAPSHOT_FORMAT;
	header.incarnation.len = 0;
	assert_no_begin(-EBADMSG);
	header.incarnation = (ProtobufCBinaryData){.data = (uint8_t *)"another cluster!", .len = 16};
	assert_no_begin(-EBADMSG);
	header.incarnation.data = (uint8_t *)incarnation.bytes;
	header.digest.len = 0;
	assert_no_begin(-EBADMSG);
	header.digest.len = SNAPSHOT_DIGEST_BYTES;
	header.bytes = (uint64_t)LIMIT_SNAPSHOT_BYTES_MAX + 1;
	assert_no_begin(-EFBIG);
	header.bytes = 8;
	header.rows = 3;
	assert_no_begin(-EBADMSG);
	header.rows = 2;
	header.offset = 4; /* of which there is nothing here */
	assert_no_begin(-EBADMSG);
	assert_int_equal(snapshot_receive_begin(packed(FRAME_PEER_SNAPSHOT_CHUNK, 0), &incarnation, &arena, &receive),
			 -EBADMSG);
}

static void begin_and_break_off(void) {
	assert_int_equal(begin(), 0);
	assert_int_equal(chunk(0, rows, 5), 0);
	header.offset = 5;
}

static void test_snapshot_receive__goes_on_where_it_broke_off(void **state) {
	const uint8_t *gathered;

	(void)state;
	begin_and_break_off();
	gathered = receive->bytes;
	header.sender_term = 10; /* of another leader with the same checkpoint */
	assert_int_equal(begin(), 0);
	assert_ptr_equal(receive->bytes, gathered);
	assert_int_equal(receive->n, 5);
	assert_int_equal(receive->term, 10);
	assert_int_equal(chunk(5, rows + 5, sizeof rows - 5), 0);
	assert_int_equal(end(rows, sizeof rows), SNAPSHOT_COMPLETE);
	assert_memory_equal(receive->rows[0].bytes, "abc", 3);
	assert_memory_equal(receive->rows[2].bytes, "d", 1);
}

static void test_snapshot_receive__never_mixes_two(void **state) {
	uint8_t other[sizeof rows];

	(void)state;
	memcpy(other, rows, sizeof rows);
	other[4] = 'x';
	begin_and_break_off();
	digest_of(other, sizeof other);
	assert_no_begin(-EBADMSG); /* another digest at that offset */

	header.offset = 0;
	digest_of(rows, sizeof rows);
	begin_and_break_off();
	digest_of(other, sizeof other);
	header.offset = 0;
	assert_int_equal(begin(), 0);
	assert_int_equal(receive->n, 0);
	assert_int_equal(chunk(0, other, sizeof other), 0);
	assert_int_equal(end(other, sizeof other), SNAPSHOT_COMPLETE);
	assert_memory_equal(receive->rows[0].bytes, "xbc", 3);
}

static void test_snapshot_receive__does_not_go_on_elsewhere_or_with_other_sizes(void **state) {
	(void)state;
	begin_and_break_off();
	header.offset = 4;
	assert_no_begin(-EBADMSG);
	header.offset = 0;
	begin_and_break_off();
	header.bytes++;
	assert_no_begin(-EBADMSG);
	header.bytes--;
	header.offset = 0;
	begin_and_break_off();
	header.group = 2;
	assert_no_begin(-EBADMSG);
}

static void test_snapshot_receive__finds_damage_in_what_was_gathered_before(void **state) {
	(void)state;
	begin_and_break_off();
	receive->bytes[4] ^= 1;
	assert_int_equal(begin(), 0);
	assert_int_equal(chunk(5, rows + 5, sizeof rows - 5), 0);
	assert_int_equal(end(rows, sizeof rows), -EBADMSG);
}

static void test_snapshot_receive__that_is_whole_needs_the_end_alone(void **state) {
	(void)state;
	assert_int_equal(begin(), 0);
	assert_int_equal(chunk(0, rows, sizeof rows), 0);
	assert_int_equal(end(rows, sizeof rows), SNAPSHOT_COMPLETE);
	header.offset = sizeof rows;
	assert_int_equal(begin(), 0);
	assert_null(receive->rows);
	assert_int_equal(end(rows, sizeof rows), SNAPSHOT_COMPLETE);
	assert_int_equal(receive->n_rows, 3);
}

static void test_snapshot_receive__refuses_chunks_out_of_place(void **state) {
	(void)state;
	assert_int_equal(begin(), 0);
	assert_true(chunk(1, rows, 1) < 0);
	assert_int_equal(chunk(0, rows, 4), 0);
	assert_true(chunk(0, rows, 4) < 0);
	assert_true(chunk(4, rows, sizeof rows - 3) < 0);
	assert_true(snapshot_receive_frame(receive, packed(FRAME_PEER_MESSAGE, 0), &arena) < 0);
}

static void test_snapshot_receive__refuses_an_early_end(void **state) {
	(void)state;
	assert_int_equal(begin(), 0);
	assert_int_equal(chunk(0, rows, sizeof rows - 1), 0);
	assert_true(end(rows, sizeof rows - 1) < 0);
}

static void test_snapshot_receive__refuses_a_wrong_digest(void **state) {
	uint8_t damaged[sizeof rows];

	(void)state;
	memcpy(damaged, rows, sizeof rows);
	damaged[5] ^= 1;
	assert_int_equal(begin(), 0);
	assert_int_equal(chunk(0, damaged, sizeof rows), 0);
	assert_true(end(rows, sizeof rows) < 0);
}

static void test_snapshot_receive__refuses_rows_that_do_not_add_up(void **state) {
	uint8_t wrong[sizeof rows];

	(void)state;
	memcpy(wrong, rows, sizeof rows);
	bytes_put_u32(wrong + 11, 2); /* the last row would end behind the end */
	digest_of(wrong, sizeof wrong);
	assert_int_equal(begin(), 0);
	assert_int_equal(chunk(0, wrong, sizeof wrong), 0);
	assert_true(end(wrong, sizeof wrong) < 0);

	receive = snapshot_receive_free(receive);
	digest_of(rows, sizeof rows);
	header.rows = 2;
	assert_int_equal(begin(), 0);
	assert_int_equal(chunk(0, rows, sizeof rows), 0);
	assert_true(end(rows, sizeof rows) < 0);
}

static void test_snapshot_receive__hands_over_all_rows(void **state) {
	(void)state;
	assert_int_equal(begin(), 0);
	assert_int_equal(chunk(0, rows, 5), 0);
	assert_int_equal(chunk(5, rows, 0), 0);
	assert_int_equal(chunk(5, rows + 5, sizeof rows - 5), 0);
	assert_int_equal(end(rows, sizeof rows), SNAPSHOT_COMPLETE);
	assert_int_equal(receive->term, 9);
	assert_memory_equal(receive->header, "head", 4);
	assert_int_equal(receive->n_rows, 3);
	assert_int_equal(receive->rows[0].n, 3);
	assert_memory_equal(receive->rows[0].bytes, "abc", 3);
	assert_int_equal(receive->rows[1].n, 0);
	assert_memory_equal(receive->rows[2].bytes, "d", 1);
}

/* A transfer of three frames, of which one byte of one is wrong. What the header frame says beside the state (who sent
 * it, in which term) is held by the checksum that every frame has on its way. */
static int transfer(const uint8_t *bodies[3], const size_t n[3]) {
	static const uint8_t types[3] = {FRAME_PEER_SNAPSHOT_HEADER, FRAME_PEER_SNAPSHOT_CHUNK,
					 FRAME_PEER_SNAPSHOT_END};
	int r = 0;

	for (int i = 0; r == 0 && i < 3; i++) {
		memcpy(body, bodies[i], n[i]);
		r = i == 0 ? snapshot_receive_begin(packed(types[i], n[i]), &incarnation, &arena, &receive)
			   : snapshot_receive_frame(receive, packed(types[i], n[i]), &arena);
	}
	return r;
}

static bool is_as_it_was_sent(void) {
	return receive->header_bytes == 4 && memcmp(receive->header, "head", 4) == 0 && receive->n == sizeof rows &&
	       memcmp(receive->bytes, rows, sizeof rows) == 0 && receive->n_rows == 3;
}

static void test_snapshot_receive__takes_no_flipped_bit(void **state) {
	static uint8_t frames[3][256];
	const uint8_t *bodies[3] = {frames[0], frames[1], frames[2]};
	Peer__SnapshotChunk piece = PEER__SNAPSHOT_CHUNK__INIT;
	Peer__SnapshotEnd last = PEER__SNAPSHOT_END__INIT;
	unsigned refused = 0, taken = 0;
	size_t n[3];

	(void)state;
	piece.data = (ProtobufCBinaryData){.data = (uint8_t *)rows, .len = sizeof rows};
	last.digest = header.digest;
	n[0] = peer__snapshot_header__pack(&header, frames[0]);
	n[1] = peer__snapshot_chunk__pack(&piece, frames[1]);
	n[2] = peer__snapshot_end__pack(&last, frames[2]);
	for (int i = 0; i < 3; i++)
		for (size_t bit = 0; bit < 8 * n[i]; bit++) {
			int r;

			receive = snapshot_receive_free(receive);
			frames[i][bit / 8] ^= (uint8_t)(1u << bit % 8);
			r = transfer(bodies, n);
			frames[i][bit / 8] ^= (uint8_t)(1u << bit % 8);
			refused += r < 0;
			taken += r == SNAPSHOT_COMPLETE;
			if (r == SNAPSHOT_COMPLETE && !is_as_it_was_sent())
				fail_msg("bit %zu of frame %d was taken", bit, i);
		}
	print_message("%u bits refused, %u taken with everything as it was sent\n", refused, taken);
	assert_true(refused > 8 * sizeof rows);
}

static void test_snapshot_receive__takes_an_empty_state(void **state) {
	(void)state;
	header.rows = header.bytes = 0;
	digest_of(rows, 0);
	assert_int_equal(begin(), 0);
	assert_int_equal(end(rows, 0), SNAPSHOT_COMPLETE);
	assert_int_equal(receive->n_rows, 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_snapshot_receive__refuses_headers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__refuses_chunks_out_of_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__refuses_an_early_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__refuses_a_wrong_digest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__refuses_rows_that_do_not_add_up, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__goes_on_where_it_broke_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__never_mixes_two, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__does_not_go_on_elsewhere_or_with_other_sizes,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__finds_damage_in_what_was_gathered_before, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__that_is_whole_needs_the_end_alone, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__takes_no_flipped_bit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__hands_over_all_rows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_snapshot_receive__takes_an_empty_state, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
