/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian integers in byte arrays: on the wire, in checksums and on disk. */
#ifndef API_BYTES_H
#define API_BYTES_H

#include <stdint.h>

static inline void bytes_put_u32(uint8_t *out, uint32_t v) {
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

static inline void bytes_put_u64(uint8_t *out, uint64_t v) {
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

static inline uint32_t bytes_get_u32(const uint8_t *in) {
	uint32_t v = 0;
	for (int i = 0; i < 4; i++)
		v |= (uint32_t)in[i] << (8 * i);
	return v;
}

static inline uint64_t bytes_get_u64(const uint8_t *in) {
	return bytes_get_u32(in) | (uint64_t)bytes_get_u32(in + 4) << 32;
}

#endif
