/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdint.h>
#include <string.h>

enum { WORD_BYTES = 8 };

static const uint64_t tops = 0x8080808080808080, each = 0x0101010101010101;

/* Eight letters of ASCII, none of them a control. Without a top bit no sum reaches into the next byte. */
static bool is_plain(const uint8_t *bytes) {
	uint64_t word;

	memcpy(&word, bytes, sizeof word);
	if (word & tops)
		return false;
	return ((word + each * (0x80 - 0x20)) & tops) == tops && ((word + each * (0x80 - 0x7f)) & tops) == 0;
}

bool text_is_valid(const void *bytes, size_t n) {
	const uint8_t *p = bytes, *end = p + n;

	while (end - p >= WORD_BYTES && is_plain(p))
		p += WORD_BYTES;
	while (p < end) {
		uint32_t code = *p++;
		int more;
		uint32_t least;

		if (code < 0x80) {
			if (code < 0x20 || code == 0x7f)
				return false;
			continue;
		}
		if ((code & 0xe0) == 0xc0)
			more = 1, least = 0xa0, code &= 0x1f; /* U+0080–009F are controls */
		else if ((code & 0xf0) == 0xe0)
			more = 2, least = 0x800, code &= 0x0f;
		else if ((code & 0xf8) == 0xf0)
			more = 3, least = 0x10000, code &= 0x07;
		else
			return false;

		for (; more > 0; more--) {
			if (p == end || (*p & 0xc0) != 0x80)
				return false;
			code = code << 6 | (*p++ & 0x3f);
		}
		if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return false;
	}
	return true;
}
