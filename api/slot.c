/* SPDX-License-Identifier: Apache-2.0 */
#include "slot.h"

#include "limits.h"

#include <string.h>
#include <xxhash.h>

uint32_t slot_of_name(const void *name, size_t bytes) {
	const uint8_t *tag = name, *open, *close;
	size_t tag_bytes = bytes;

	open = memchr(name, '{', bytes);
	if (open) {
		size_t rest = bytes - (size_t)(open + 1 - tag);
		close = memchr(open + 1, '}', rest);
		if (close && close > open + 1) {
			tag = open + 1;
			tag_bytes = (size_t)(close - tag);
		}
	}
	return (uint32_t)(XXH3_64bits_withSeed(tag, tag_bytes, 0) % LIMIT_SLOTS);
}
