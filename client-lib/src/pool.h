/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of one result: many small pieces, freed together. */
#ifndef CLIENT_POOL_H
#define CLIENT_POOL_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct lockd__pool_block;

struct lockd__pool {
	struct lockd__pool_block *blocks;
	int failed; /* some piece could not be had */
};

/* Zeroed memory; NULL, and `failed` is set, when there is none. */
void *lockd__pool_alloc(struct lockd__pool *pool, size_t bytes);

/* The text with a terminator. When memory is short: "", and `failed` is set. */
const char *lockd__pool_text(struct lockd__pool *pool, const ProtobufCBinaryData *text);

void lockd__pool_deinit(struct lockd__pool *pool);

#endif
