/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on a byte stream: u32 length | u8 type | u64 id | body, little-endian; length counts what follows it. Peer frames
 * end with the XXH3-64 of everything before the checksum, length field included. */
#ifndef API_FRAME_H
#define API_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/* Protocol versions this build speaks, client and peer protocol alike. */
	PROTOCOL_VERSION_MIN = 1,
	PROTOCOL_VERSION_MAX = 1,

	FRAME_HEADER_BYTES = 4 + 1 + 8,
	FRAME_CHECKSUM_BYTES = 8,
};

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_HELLO_REPLY = 2,
	FRAME_REQUEST = 3,
	FRAME_REPLY = 4,
	FRAME_EVENT = 5,
	/* Between nodes. */
	FRAME_PEER_FOUND = 32,
	FRAME_PEER_MESSAGE = 33,
	FRAME_PEER_SNAPSHOT_HEADER = 34,
	FRAME_PEER_SNAPSHOT_CHUNK = 35,
	FRAME_PEER_SNAPSHOT_END = 36,
};

enum frame_kind { FRAME_CLIENT, FRAME_PEER };

struct frame {
	uint8_t type;
	uint64_t id;
	const uint8_t *body; /* borrowed from the buffer it was parsed from */
	size_t body_bytes;
};

enum {
	FRAME_INCOMPLETE = 1, /* more bytes are needed */
	FRAME_TOO_LONG,       /* the length field exceeds `bytes_max` */
	FRAME_TOO_SHORT,      /* the length field cannot hold type, id (and checksum) */
	FRAME_DAMAGED,        /* the checksum differs */
};

/* Parses the first frame in `bytes`. 0: *ret_frame and the number of bytes it took; otherwise one of the outcomes above.
 * `bytes_max` bounds the value of the length field. */
int frame_parse(enum frame_kind kind, const uint8_t *bytes, size_t n, size_t bytes_max, struct frame *ret_frame,
                size_t *ret_taken);

/* One sentence without full stop for an outcome of frame_parse(). Static. */
const char *frame_error_text(int outcome);

/* Bytes of a whole frame with a body of that size. */
size_t frame_bytes(enum frame_kind kind, size_t body_bytes);

/* Writes header and, for peers, checksum around a body that already stands at out + FRAME_HEADER_BYTES. `out` has
 * frame_bytes() bytes. */
void frame_seal(enum frame_kind kind, uint8_t type, uint64_t id, size_t body_bytes, uint8_t *out);

#endif
