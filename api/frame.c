/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include "bytes.h"

#include <xxhash.h>

static size_t tail_bytes(enum frame_kind kind) { return kind == FRAME_PEER ? FRAME_CHECKSUM_BYTES : 0; }

int frame_parse(enum frame_kind kind, const uint8_t *bytes, size_t n, size_t bytes_max, struct frame *ret_frame,
                size_t *ret_taken) {
	size_t length, tail = tail_bytes(kind);

	if (n < 4)
		return FRAME_INCOMPLETE;

	length = bytes_get_u32(bytes);
	if (length > bytes_max)
		return FRAME_TOO_LONG;
	if (length < FRAME_HEADER_BYTES - 4 + tail)
		return FRAME_TOO_SHORT;
	if (n - 4 < length)
		return FRAME_INCOMPLETE;

	if (kind == FRAME_PEER && XXH3_64bits(bytes, 4 + length - tail) != bytes_get_u64(bytes + 4 + length - tail))
		return FRAME_DAMAGED;

	*ret_frame = (struct frame){
	        .type = bytes[4],
	        .id = bytes_get_u64(bytes + 5),
	        .body = bytes + FRAME_HEADER_BYTES,
	        .body_bytes = 4 + length - FRAME_HEADER_BYTES - tail,
	};
	*ret_taken = 4 + length;
	return 0;
}

const char *frame_error_text(int outcome) {
	switch (outcome) {
	case FRAME_INCOMPLETE: return "the frame is incomplete";
	case FRAME_TOO_LONG: return "the frame is longer than allowed here";
	case FRAME_TOO_SHORT: return "the frame is too short to hold its header";
	case FRAME_DAMAGED: return "the frame's checksum differs from its content";
	default: return "the frame is well-formed";
	}
}

size_t frame_bytes(enum frame_kind kind, size_t body_bytes) {
	return FRAME_HEADER_BYTES + body_bytes + tail_bytes(kind);
}

void frame_seal(enum frame_kind kind, uint8_t type, uint64_t id, size_t body_bytes, uint8_t *out) {
	size_t total = frame_bytes(kind, body_bytes);

	bytes_put_u32(out, (uint32_t)(total - 4));
	out[4] = type;
	bytes_put_u64(out + 5, id);
	if (kind == FRAME_PEER)
		bytes_put_u64(out + total - FRAME_CHECKSUM_BYTES, XXH3_64bits(out, total - FRAME_CHECKSUM_BYTES));
}
