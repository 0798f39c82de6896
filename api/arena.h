/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded arena for decoding protobuf. A body of 1 MiB made of empty submessages would unpack to 96 MB; with an arena of
 * LIMIT_ARENA_BYTES_BASE + LIMIT_ARENA_FACTOR × body the decoder gets NULL instead and refuses the body. */
#ifndef API_ARENA_H
#define API_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* Caller-owned; `allocator` is what goes to the unpack functions. Never call free_unpacked on what it decoded: the next
 * arena_reset() takes it all back. */
struct arena {
	ProtobufCAllocator allocator;
	uint8_t *memory;
	size_t bytes_max; /* capacity of memory */
	size_t bytes_limit; /* what this decoding may use, ≤ bytes_max */
	size_t bytes_used;
};

/* An empty arena that grows on reset. The struct must not move while it is used: the allocator points back at it. */
void arena_init(struct arena *arena);
void arena_deinit(struct arena *arena);

/* Forgets what was decoded and makes room for a body of that size. 0 or -1 when out of memory. */
int arena_reset(struct arena *arena, size_t body_bytes);

/* The arena that an allocator allocates from; NULL: it is none of an arena. */
struct arena *arena_of(const ProtobufCAllocator *allocator);

#endif
