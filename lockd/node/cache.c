/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include "memory.h"
#include "turn.h"

#include <assert.h>

void cache_deinit(struct cache *cache) {
	for (size_t i = 0; i < cache->n; i++)
		free((void *)cache->entries[cache->head + i].data);
	free(cache->entries);
	*cache = (struct cache){0};
}

raft_index cache_last(const struct cache *cache) {
	return cache->base + cache->n;
}

const struct node_entry *cache_get(const struct cache *cache, raft_index index) {
	if (index <= cache->base || index > cache_last(cache))
		return NULL;
	return &cache->entries[cache->head + (size_t)(index - cache->base - 1)];
}

/* Trimming leaves a hole at the front; it is closed once it is as large as what is kept, so each entry moves O(1)
 * times. */
static void cache_close_hole(struct cache *cache) {
	if (cache->head < cache->n || cache->head == 0)
		return;
	memmove(cache->entries, cache->entries + cache->head, cache->n * sizeof *cache->entries);
	cache->head = 0;
}

void cache_append(struct cache *cache, const struct node_entry *entry) {
	size_t end = cache->head + cache->n;

	assert(entry->index == cache_last(cache) + 1);

	cache->entries = memory_grow(cache->entries, &cache->max, end + 1, sizeof *cache->entries);
	cache->entries[end] = *entry;
	cache->entries[end].data = memory_copy(entry->data, entry->n);
	cache->n++;
	cache->bytes += entry->n;
}

static void cache_drop(struct cache *cache, struct turn *turn, size_t at) {
	struct node_entry *entry = &cache->entries[at];

	cache->bytes -= entry->n;
	turn_retire(turn, (void *)entry->data);
}

void cache_truncate(struct cache *cache, struct turn *turn, raft_index from) {
	assert(from > cache->base);

	while (cache_last(cache) >= from) {
		cache_drop(cache, turn, cache->head + cache->n - 1);
		cache->n--;
	}
}

void cache_trim(struct cache *cache, struct turn *turn, raft_index to) {
	assert(to <= cache_last(cache));

	while (cache->base < to) {
		cache_drop(cache, turn, cache->head);
		cache->head++;
		cache->n--;
		cache->base++;
	}
	cache_close_hole(cache);
}

void cache_reset(struct cache *cache, struct turn *turn, raft_index base) {
	cache_trim(cache, turn, cache_last(cache));
	cache->base = base;
}
