/* SPDX-License-Identifier: Apache-2.0 */
/* Which slot a lock name lives in. Frozen: test vectors hold it, since tokens and placement depend on it for ever. */
#ifndef API_SLOT_H
#define API_SLOT_H

#include <stddef.h>
#include <stdint.h>

/* XXH3-64(tag, seed 0) mod LIMIT_SLOTS. The tag is the non-empty text between the first '{' and the next '}', as in Redis
 * Cluster, or the whole name. */
uint32_t slot_of_name(const void *name, size_t bytes);

#endif
