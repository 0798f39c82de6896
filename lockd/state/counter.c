/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens. Every slot counts its own grants, so that its counter can move with it to another group, and a deleted lock
 * needs no tombstone: the next lock of that name draws from the same counter. After a restore the epoch is greater, and
 * with it every token that follows. */
#include "machine.h"

#include <assert.h>

enum { COUNTER_EPOCH_SHIFT = 40 };

/* It is about to change. */
static void counter_touch(struct state *state, struct counter *counter) {
	if (counter->last)
		row_change(state, &counter->row);
	else
		row_add(state, STATE_SLOT, &counter->row);
}

void state_raise_tokens(struct state *state, uint64_t token) {
	assert(!state->cutting);
	assert(token < INT64_MAX);

	for (uint32_t slot = 0; slot < LIMIT_SLOTS; slot++) {
		struct counter *counter = &state->counters[slot];

		if (counter->last >= token)
			continue;
		counter_touch(state, counter);
		counter->last = token;
	}
}

uint64_t counter_next(struct state *state, uint32_t slot) {
	struct counter *counter = &state->counters[slot];
	uint64_t epoch_first = (uint64_t)state->config.epoch << COUNTER_EPOCH_SHIFT;

	counter_touch(state, counter);
	if (counter->last < epoch_first)
		counter->last = epoch_first;
	counter->last++;
	/* Tokens have 63 bits, for SQL's and Java's integers. */
	assert(counter->last <= INT64_MAX);
	return counter->last;
}
