/* SPDX-License-Identifier: Apache-2.0 */
/* The entry cache: the bytes of the retained log, index by index. It mirrors the log that the consensus core keeps as
 * terms only: entries base + 1 … last. */
#ifndef LOCKD_NODE_CACHE_H
#define LOCKD_NODE_CACHE_H

#include "lockd/node/node.h"

struct turn;

struct cache {
	struct node_entry *entries; /* from `head` on; each owns its data */
	size_t head, n, max;
	size_t bytes; /* of all data */
	raft_index base;
};

void cache_deinit(struct cache *cache);

raft_index cache_last(const struct cache *cache);
/* NULL outside base + 1 … last. Valid until the next append. */
const struct node_entry *cache_get(const struct cache *cache, raft_index index);

/* Appends a copy; its index must be last + 1. */
void cache_append(struct cache *cache, const struct node_entry *entry);

/* Dropped bytes stay readable until the next turn: saves of this turn may point to them. */
void cache_truncate(struct cache *cache, struct turn *turn, raft_index from);
void cache_trim(struct cache *cache, struct turn *turn, raft_index to);
/* Empty, behind `base`. */
void cache_reset(struct cache *cache, struct turn *turn, raft_index base);

#endif
