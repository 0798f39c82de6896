/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"

#include "invariant.h"

#include <string.h>

void raft__history_init(struct raft__history *history, struct raft__history_item *items, uint16_t max) {
	*history = (struct raft__history){.items = items, .max = max};
}

void raft__history_push(struct raft__history *history, raft_index index,
			const struct raft_configuration *configuration) {
	RAFT_ASSERT(history->n < history->max);
	RAFT_ASSERT(history->n == 0 || history->items[history->n - 1].index < index);

	history->items[history->n].index = index;
	history->items[history->n].configuration = *configuration;
	history->n++;
}

uint16_t raft__history_before(const struct raft__history *history, raft_index index) {
	uint16_t n = history->n;

	while (n > 0 && history->items[n - 1].index >= index)
		n--;
	return n;
}

void raft__history_truncate(struct raft__history *history, raft_index from) {
	history->n = raft__history_before(history, from);
}

static void drop_oldest(struct raft__history *history, uint16_t n) {
	history->n = (uint16_t)(history->n - n);
	memmove(history->items, history->items + n, history->n * sizeof(*history->items));
}

void raft__history_compact(struct raft__history *history, raft_index base) {
	uint16_t below = raft__history_before(history, base + 1);

	if (below > 1)
		drop_oldest(history, (uint16_t)(below - 1));
}

void raft__history_install(struct raft__history *history, raft_index index,
			   const struct raft_configuration *configuration, raft_index configuration_index) {
	RAFT_ASSERT(configuration_index <= index);

	drop_oldest(history, raft__history_before(history, index + 1));
	RAFT_ASSERT(history->n < history->max);
	memmove(history->items + 1, history->items, history->n * sizeof(*history->items));
	history->items[0].index = configuration_index;
	history->items[0].configuration = *configuration;
	history->n++;
}

const struct raft__history_item *raft__history_latest(const struct raft__history *history) {
	return history->n > 0 ? &history->items[history->n - 1] : NULL;
}

const struct raft__history_item *raft__history_at(const struct raft__history *history, raft_index index) {
	uint16_t n = raft__history_before(history, index + 1);

	return n > 0 ? &history->items[n - 1] : NULL;
}
