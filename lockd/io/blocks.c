/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct block {
	struct block *next;
	size_t size; /* the list it belongs to; BLOCKS_SIZES: none */
	alignas(max_align_t) uint8_t memory[];
};

/* Each list's blocks are twice as large as those before. */
static size_t bytes_of(size_t size) {
	return (size_t)BLOCKS_BYTES_MIN << (size + 1);
}

static size_t size_for(size_t bytes) {
	size_t size = bytes < BLOCKS_BYTES_MIN ? BLOCKS_SIZES : 0;

	while (size < BLOCKS_SIZES && bytes_of(size) < bytes)
		size++;
	return size;
}

void blocks_init(struct blocks *blocks) {
	*blocks = (struct blocks){0};
	pthread_mutex_init(&blocks->lock, NULL);
}

void blocks_deinit(struct blocks *blocks) {
	struct block *block;

	for (size_t size = 0; size < BLOCKS_SIZES; size++) {
		while ((block = blocks->kept[size])) {
			blocks->kept[size] = block->next;
			free(block);
		}
	}
	pthread_mutex_destroy(&blocks->lock);
}

size_t blocks_room(size_t bytes) {
	size_t size = size_for(bytes);

	return sizeof(struct block) + (size < BLOCKS_SIZES ? bytes_of(size) : bytes);
}

static struct block *take_kept(struct blocks *blocks, size_t size) {
	struct block *block;

	pthread_mutex_lock(&blocks->lock);
	block = blocks->kept[size];
	if (block) {
		blocks->kept[size] = block->next;
		blocks->bytes_kept -= bytes_of(size);
	}
	pthread_mutex_unlock(&blocks->lock);
	return block;
}

/* false: enough is kept. */
static bool keep(struct blocks *blocks, struct block *block) {
	bool room;

	pthread_mutex_lock(&blocks->lock);
	room = blocks->bytes_kept + bytes_of(block->size) <= BLOCKS_BYTES_KEPT;
	if (room) {
		block->next = blocks->kept[block->size];
		blocks->kept[block->size] = block;
		blocks->bytes_kept += bytes_of(block->size);
	}
	pthread_mutex_unlock(&blocks->lock);
	return room;
}

void *blocks_take(struct blocks *blocks, size_t bytes) {
	size_t size = size_for(bytes);
	struct block *block = size < BLOCKS_SIZES ? take_kept(blocks, size) : NULL;

	if (!block) {
		block = malloc(blocks_room(bytes));
		if (!block)
			return NULL;
		block->size = size;
	}
	return block->memory;
}

void blocks_give(struct blocks *blocks, void *memory) {
	struct block *block = (struct block *)((uint8_t *)memory - offsetof(struct block, memory));

	if (block->size == BLOCKS_SIZES || !keep(blocks, block))
		free(block);
}
