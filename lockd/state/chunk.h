/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that are all given up at once: the records of a cut, the texts of an entry's outcomes. What was handed out
 * never moves. */
#ifndef LOCKD_STATE_CHUNK_H
#define LOCKD_STATE_CHUNK_H

#include <stddef.h>
#include <stdint.h>

struct chunk;

struct chunk_list {
	struct chunk *first; /* the one that is being filled */
};

/* A copy of the bytes, unaligned; NULL if n is 0. */
uint8_t *chunk_copy(struct chunk_list *list, const void *bytes, size_t n);

/* Gives everything up but keeps one chunk for the next round. */
void chunk_reset(struct chunk_list *list);
void chunk_deinit(struct chunk_list *list);

#endif
