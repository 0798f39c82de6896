/* SPDX-License-Identifier: Apache-2.0 */
/* Base-128 varints, as protobuf writes them: seven bits a byte, the lowest first, the top bit says that more follow. */
#ifndef API_VARINT_H
#define API_VARINT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	VARINT_BYTES_MAX = 10,

	/* A field's tag is the varint of its number and, in these low bits, of what follows … */
	VARINT_KIND_BITS = 3,
	VARINT_KIND_MASK = 7,
	VARINT_KIND_NUMBER = 0, /* … a varint, or … */
	VARINT_KIND_SIZED = 2,  /* … a length and so many bytes. */
};

static inline size_t varint_size(uint64_t v) {
	unsigned top = 63 - (unsigned)__builtin_clzll(v | 1);

	/* top / 7 + 1 for a bit from 0 to 63, without a division. */
	return (top * 9 + 73) / 64;
}

/* Returns what stands behind it. */
static inline uint8_t *varint_put(uint8_t *out, uint64_t v) {
	while (v >= 0x80) {
		*out++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*out++ = (uint8_t)v;
	return out;
}

/* A field that is a number, with a tag of one byte: `field` is below 16. proto3 leaves out what is zero. */
static inline uint8_t *varint_put_field(uint8_t *out, unsigned field, uint64_t number) {
	if (number == 0)
		return out;
	*out++ = (uint8_t)(field << VARINT_KIND_BITS | VARINT_KIND_NUMBER);
	return varint_put(out, number);
}

/* The length, at `out`, of what stands from out + 1 to `end`. Most take one byte, for which there is room; for a longer
 * one the rest moves on. Returns its new end. */
static inline uint8_t *varint_put_length(uint8_t *out, uint8_t *end) {
	size_t n = (size_t)(end - out - 1), more = varint_size(n) - 1;

	if (more > 0)
		memmove(out + 1 + more, out + 1, n);
	(void)varint_put(out, n);
	return end + more;
}

/* Returns what stands behind it; NULL: it does not end before `end`, or has bits beyond the 64th. */
static inline const uint8_t *varint_get(const uint8_t *in, const uint8_t *end, uint64_t *ret) {
	uint64_t v = 0;

	/* Most are short. */
	if (in < end && *in < 0x80) {
		*ret = *in;
		return in + 1;
	}
	for (unsigned shift = 0; in < end; shift += 7) {
		uint8_t byte = *in++;

		if (shift == 63 && byte > 1)
			return NULL;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret = v;
			return in;
		}
	}
	return NULL;
}

#endif
