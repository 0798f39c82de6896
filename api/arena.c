/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include "limits.h"

#include <stdlib.h>

static void *arena_alloc(void *data, size_t bytes) {
	struct arena *arena = data;
	size_t rounded = (bytes + 15) & ~(size_t)15;
	void *p;

	if (rounded < bytes || rounded > arena->bytes_limit - arena->bytes_used)
		return NULL;
	p = arena->memory + arena->bytes_used;
	arena->bytes_used += rounded;
	return p;
}

static void arena_free(void *data, void *p) {
	(void)data;
	(void)p;
}

void arena_init(struct arena *arena) {
	*arena = (struct arena){.allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = arena}};
}

struct arena *arena_of(const ProtobufCAllocator *allocator) {
	return allocator->alloc == arena_alloc ? allocator->allocator_data : NULL;
}

void arena_deinit(struct arena *arena) {
	free(arena->memory);
	*arena = (struct arena){0};
}

int arena_reset(struct arena *arena, size_t body_bytes) {
	size_t need = LIMIT_ARENA_BYTES_BASE + LIMIT_ARENA_FACTOR * body_bytes;

	arena->bytes_used = 0;
	arena->bytes_limit = 0;
	if (need > arena->bytes_max) {
		uint8_t *memory = malloc(need);
		if (!memory)
			return -1;
		free(arena->memory);
		arena->memory = memory;
		arena->bytes_max = need;
	}
	arena->bytes_limit = need;
	return 0;
}
