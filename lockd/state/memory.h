/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of rows. A replica that skipped an effect for want of memory would differ from the others for ever, so running
 * out of it ends the process. */
#ifndef LOCKD_STATE_MEMORY_H
#define LOCKD_STATE_MEMORY_H

#include "state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Zeroed. */
static inline void *memory_new(size_t bytes) {
	void *p = calloc(1, bytes);

	assert(p && "out of memory");
	return p;
}

static inline void *memory_grow(void *old, size_t bytes) {
	void *p = realloc(old, bytes);

	assert(p && "out of memory");
	return p;
}

/* A value that its lock or seat owns. */
static inline struct state_text value_copy(struct state_text text) {
	uint8_t *bytes;

	if (text.n == 0)
		return (struct state_text){0};
	bytes = memory_grow(NULL, text.n);
	memcpy(bytes, text.bytes, text.n);
	return (struct state_text){bytes, text.n};
}

static inline void value_free(struct state_text value) {
	free((void *)value.bytes);
}

#endif
