/* SPDX-License-Identifier: Apache-2.0 */
#include "chunk.h"

#include "memory.h"

#include <string.h>

enum { CHUNK_BYTES = 64 << 10 };

struct chunk {
	struct chunk *next;
	size_t n;
	uint8_t bytes[CHUNK_BYTES];
};

uint8_t *chunk_copy(struct chunk_list *list, const void *bytes, size_t n) {
	struct chunk *chunk = list->first;
	uint8_t *copy;

	if (n == 0)
		return NULL;
	assert(n <= CHUNK_BYTES);

	if (!chunk || n > CHUNK_BYTES - chunk->n) {
		chunk = memory_grow(NULL, sizeof(*chunk));
		chunk->next = list->first;
		chunk->n = 0;
		list->first = chunk;
	}
	copy = chunk->bytes + chunk->n;
	memcpy(copy, bytes, n);
	chunk->n += n;
	return copy;
}

void chunk_reset(struct chunk_list *list) {
	struct chunk *kept = list->first;

	if (!kept)
		return;
	while (kept->next) {
		struct chunk *next = kept->next;
		kept->next = next->next;
		free(next);
	}
	kept->n = 0;
}

void chunk_deinit(struct chunk_list *list) {
	chunk_reset(list);
	free(list->first);
	list->first = NULL;
}
