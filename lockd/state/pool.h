/* SPDX-License-Identifier: Apache-2.0 */
/* Rows come and go by the hundred in one entry, more than the allocator keeps at hand. A pool keeps some blocks of one
 * size that were given back, and hands them out first. */
#ifndef LOCKD_STATE_POOL_H
#define LOCKD_STATE_POOL_H

#include "memory.h"

#include <sanitizer/asan_interface.h>

/* What a rush leaves behind, at most; the rest goes back to the allocator. */
enum { POOL_BLOCKS_MAX = 256 };

struct pool_block {
	struct pool_block *next;
};

/* All zero: empty. */
struct pool {
	struct pool_block *first;
	uint32_t n;
};

/* `bytes` is the same at each call, and at least a pointer's. What stands in the block is of no value. */
static inline void *pool_take(struct pool *pool, size_t bytes) {
	struct pool_block *block = pool->first;

	if (!block)
		return memory_grow(NULL, bytes);
	ASAN_UNPOISON_MEMORY_REGION(block, bytes);
	pool->first = block->next;
	pool->n--;
	return block;
}

/* To a sanitizer it is as good as freed. */
static inline void pool_give(struct pool *pool, void *p, size_t bytes) {
	struct pool_block *block = p;

	if (pool->n == POOL_BLOCKS_MAX) {
		free(p);
		return;
	}
	block->next = pool->first;
	pool->first = block;
	pool->n++;
	ASAN_POISON_MEMORY_REGION(block, bytes);
}

static inline void pool_deinit(struct pool *pool, size_t bytes) {
	while (pool->first)
		free(pool_take(pool, bytes));
}

#endif
