/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 8 << 10 };

struct lockd__pool_block {
	struct lockd__pool_block *next;
	size_t used, bytes_max;
	alignas(max_align_t) char bytes[];
};

static struct lockd__pool_block *add_block(struct lockd__pool *pool, size_t bytes) {
	size_t bytes_max = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
	struct lockd__pool_block *block = calloc(1, sizeof *block + bytes_max);

	if (!block) {
		pool->failed = 1;
		return NULL;
	}
	block->next = pool->blocks;
	block->bytes_max = bytes_max;
	pool->blocks = block;
	return block;
}

void *lockd__pool_alloc(struct lockd__pool *pool, size_t bytes) {
	size_t rounded = (bytes + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
	struct lockd__pool_block *block = pool->blocks;
	void *p;

	if (!block || block->bytes_max - block->used < rounded)
		block = add_block(pool, rounded);
	if (!block)
		return NULL;
	p = block->bytes + block->used;
	block->used += rounded;
	return p;
}

const char *lockd__pool_text(struct lockd__pool *pool, const ProtobufCBinaryData *text) {
	char *copy = lockd__pool_alloc(pool, text->len + 1);

	if (!copy)
		return "";
	if (text->len)
		memcpy(copy, text->data, text->len);
	return copy;
}

void lockd__pool_deinit(struct lockd__pool *pool) {
	struct lockd__pool_block *block;

	while ((block = pool->blocks)) {
		pool->blocks = block->next;
		free(block);
	}
}
