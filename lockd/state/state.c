/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <assert.h>
#include <stdlib.h>

enum { REVISION_INDEX_SHIFT = 16 };

struct state *state_new(const struct state_config *config) {
	struct state *state = calloc(1, sizeof(*state));

	assert(config->epoch <= STATE_EPOCH_MAX);
	assert(config->machine_version_max <= STATE_MACHINE_VERSION_MAX);
	if (!state)
		return NULL;
	state->history.ring = malloc(LIMIT_HISTORY_CHANGES_MAX * sizeof(*state->history.ring));
	if (!state->history.ring) {
		free(state);
		return NULL;
	}
	state->config = *config;
	if (!config->sessions_max)
		state->config.sessions_max = LIMIT_SESSIONS_MAX;
	if (!config->locks_max)
		state->config.locks_max = LIMIT_LOCKS_MAX;
	if (!config->seats_max)
		state->config.seats_max = LIMIT_SEATS_MAX;
	if (!config->machine_version_max)
		state->config.machine_version_max = STATE_MACHINE_VERSION_MAX;
	state->version = 1;
	RB_INIT(&state->sessions);
	RB_INIT(&state->nonces);
	RB_INIT(&state->locks);
	RB_INIT(&state->seats);
	for (uint32_t slot = 0; slot < LIMIT_SLOTS; slot++)
		state->counters[slot].slot = slot;
	arena_init(&state->arena);
	return state;
}

struct state *state_free(struct state *state) {
	if (!state)
		return NULL;
	lock_free_all(state);
	session_free_all(state);
	history_deinit(&state->history);
	outcome_deinit(&state->outcomes);
	chunk_deinit(&state->cut_records);
	arena_deinit(&state->arena);
	free(state->unsettled.ids);
	for (int side = 0; side < 2; side++)
		free(state->lists[side].rows);
	for (int kind = 0; kind < STATE_ROW_KINDS; kind++)
		free(state->tables[kind].cells);
	free(state);
	return NULL;
}

int state_apply(struct state *state, uint64_t index, uint64_t term, const void *bytes, size_t n,
		const struct state_outcome **ret_outcomes, size_t *ret_n) {
	Command__Batch *batch;
	int r;

	assert(index == state->index + 1);
	assert(term >= state->term);
	assert(index < (uint64_t)1 << (64 - REVISION_INDEX_SHIFT));
	r = command_decode(state, bytes, n, &batch);
	if (r < 0)
		return r;

	outcome_reset(&state->outcomes);
	for (size_t i = 0; i < batch->n_commands; i++) {
		state->revision = index << REVISION_INDEX_SHIFT | i;
		state->position = (uint32_t)i;
		command_apply(state, term, batch->commands[i]);
	}
	row_settle_many(state);
	state->index = index;
	state->term = term;
	*ret_outcomes = state->outcomes.outcomes;
	*ret_n = state->outcomes.n;
	return 0;
}

void state_skip(struct state *state, uint64_t index, uint64_t term) {
	assert(index == state->index + 1);
	assert(term >= state->term);
	state->index = index;
	state->term = term;
}

/* Counters need no touch: counter_next() begins with the epoch's first token where it is behind. */
void state_raise_epoch(struct state *state, uint32_t epoch) {
	assert(!state->cutting);
	assert(epoch > state->config.epoch);
	assert(epoch <= STATE_EPOCH_MAX);

	state->config.epoch = epoch;
	for (int kind = STATE_SLOT; kind < STATE_ROW_KINDS; kind++) {
		const struct row_table *table = &state->tables[kind];

		for (uint32_t local = 0; local < table->n_cells; local++) {
			if (table->cells[local].row)
				row_dirty(state, table->cells[local].row->id);
		}
	}
}

uint64_t state_applied(const struct state *state) {
	return state->index;
}

uint64_t state_applied_term(const struct state *state) {
	return state->term;
}

/* Settling pays what applying has put off: it changes when the sum is made, never what it is. */
struct state_hash state_get_hash(const struct state *state) {
	row_settle((struct state *)state);
	return state->hash;
}

struct state_version state_get_version(const struct state *state) {
	return (struct state_version){
		.current = state->version, .max = state->config.machine_version_max, .refused = state->refused};
}

struct state_counts state_get_counts(const struct state *state) {
	return (struct state_counts){
		.sessions = state->tables[STATE_SESSION].n_rows,
		.locks = state->tables[STATE_LOCK].n_rows,
		.seats = state->tables[STATE_SEAT].n_rows,
		.results = state->tables[STATE_RESULT].n_rows,
	};
}
