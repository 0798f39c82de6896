/* SPDX-License-Identifier: Apache-2.0 */
#include "checksum.h"

#include "bytes.h"

#include <xxhash.h>

uint64_t checksum_entry(uint32_t group, uint64_t index, uint64_t term, uint32_t type, const void *data, size_t bytes) {
	uint8_t head[32];

	bytes_put_u32(head, group);
	bytes_put_u32(head + 4, type);
	bytes_put_u64(head + 8, index);
	bytes_put_u64(head + 16, term);
	bytes_put_u64(head + 24, bytes);
	return XXH3_64bits_withSeed(data, bytes, XXH3_64bits(head, sizeof head));
}

uint64_t checksum_chain(uint64_t previous, uint64_t checksum) {
	uint8_t pair[16];

	bytes_put_u64(pair, previous);
	bytes_put_u64(pair + 8, checksum);
	return XXH3_64bits(pair, sizeof pair);
}
