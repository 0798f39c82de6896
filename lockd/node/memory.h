/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the node. What a stranger can make grow is bounded by admission, so running out means that the machine is
 * too small for the limits: the process ends with that reason (an effect that was skipped could not be caught up). */
#ifndef LOCKD_NODE_MEMORY_H
#define LOCKD_NODE_MEMORY_H

#include <raft/raft.h>
#include <stdlib.h>
#include <string.h>

static inline void *memory_have(void *p) {
	if (!p)
		raft_panic(__FILE__, __LINE__, "out of memory");
	return p;
}

/* Zeroed. */
static inline void *memory_new(size_t bytes) {
	return memory_have(calloc(1, bytes ? bytes : 1));
}

static inline void *memory_copy(const void *from, size_t bytes) {
	void *p = memory_have(malloc(bytes ? bytes : 1));

	if (bytes > 0)
		memcpy(p, from, bytes);
	return p;
}

/* Room for `need` items: the capacity doubles. */
static inline void *memory_grow(void *items, size_t *capacity, size_t need, size_t item_bytes) {
	size_t grown = *capacity ? *capacity : 16;

	if (need <= *capacity)
		return items;
	while (grown < need)
		grown *= 2;
	items = memory_have(realloc(items, grown * item_bytes));
	*capacity = grown;
	return items;
}

#endif
