/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of memory that one thread fills and another one gives back, turn after turn: batches of frames, saves. What is
 * given back is kept for the next of its size, up to BLOCKS_BYTES_KEPT in all. glibc, which keeps no block above 1 KiB
 * for a thread, would merge all the small ones that are free, too, before it hands out each of these. */
#ifndef LOCKD_IO_BLOCKS_H
#define LOCKD_IO_BLOCKS_H

#include <pthread.h>
#include <stddef.h>

enum {
	BLOCKS_BYTES_MIN = 1 << 10, /* smaller ones are left to glibc, … */
	BLOCKS_SIZES = 5,           /* … and those above 2^this × the minimum, which are rare */
	BLOCKS_BYTES_KEPT = 256 << 10,
};

struct block;

struct blocks {
	pthread_mutex_t lock; /* protects all below */
	struct block
		*kept[BLOCKS_SIZES]; /* the one given back last comes first: it is most likely still in the cache */
	size_t bytes_kept;
};

void blocks_init(struct blocks *blocks);
/* What was not given back is its owner's. */
void blocks_deinit(struct blocks *blocks);

/* Not zeroed, aligned as malloc() does. NULL: out of memory. */
void *blocks_take(struct blocks *blocks, size_t bytes);
/* To where it was taken from. */
void blocks_give(struct blocks *blocks, void *memory);
/* How much a block for so many bytes occupies. */
size_t blocks_room(size_t bytes);

#endif
