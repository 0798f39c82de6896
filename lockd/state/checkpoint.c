/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint writes the rows that changed since the last one. The cut takes no time in proportion to them: the two
 * row lists change places, and from then on a mark in the cell says that the row's record is still owed to the cut. It
 * is paid by state_copy(), or by the first touch of the row if that comes earlier. */
#include "record.h"

#include <assert.h>
#include <stdlib.h>

/* Room for rows that a list keeps between two checkpoints. */
enum { CHECKPOINT_ROWS_KEPT = 64 << 10 };

void state_cut(struct state *state, struct state_cut *ret) {
	assert(!state->cutting);

	state->side = !state->side;
	assert(state->lists[state->side].n == 0);
	state->cutting = true;
	state->copied = 0;

	*ret = (struct state_cut){.index = state->index,
				  .term = state->term,
				  .hash = state_get_hash(state),
				  .machine_version = state->version};
	for (int kind = STATE_SLOT; kind < STATE_ROW_KINDS; kind++)
		ret->rows += state->tables[kind].n_rows;
}

void checkpoint_copy(struct state *state, size_t position) {
	struct state_row *copy = &state->lists[!state->side].rows[position];
	struct row_cell *cell = row_cell(state, copy->id);
	uint8_t record[RECORD_BYTES_MAX];

	assert(cell->mark[!state->side] == position + 1);
	cell->mark[!state->side] = 0;
	if (!cell->row)
		return;
	copy->n = record_pack(cell->row, record);
	copy->record = chunk_copy(&state->cut_records, record, copy->n);
}

static bool checkpoint_owes(const struct state *state, size_t position) {
	state_row_id id = state->lists[!state->side].rows[position].id;

	return row_cell(state, id)->mark[!state->side] == position + 1;
}

bool state_copy(struct state *state, size_t rows_max) {
	size_t n = state->lists[!state->side].n;

	assert(state->cutting);
	for (; state->copied < n && rows_max > 0; state->copied++, rows_max--)
		if (checkpoint_owes(state, state->copied))
			checkpoint_copy(state, state->copied);
	return state->copied == n;
}

const struct state_row *state_cut_rows(const struct state *state, size_t *ret_n) {
	const struct row_list *cut = &state->lists[!state->side];

	assert(state->cutting);
	assert(state->copied == cut->n);
	*ret_n = cut->n;
	return cut->rows;
}

static void checkpoint_end(struct state *state) {
	struct row_list *cut = &state->lists[!state->side];

	cut->n = 0;
	/* After a rush its room would stand by for a rush that may never come again. */
	if (cut->max > CHECKPOINT_ROWS_KEPT) {
		free(cut->rows);
		*cut = (struct row_list){0};
	}
	state->cutting = false;
	chunk_reset(&state->cut_records);
}

void state_cut_done(struct state *state) {
	assert(state->cutting);
	assert(state->copied == state->lists[!state->side].n);
	checkpoint_end(state);
}

void state_cut_failed(struct state *state) {
	struct row_list *cut = &state->lists[!state->side];

	assert(state->cutting);
	for (size_t i = 0; i < cut->n; i++) {
		row_cell(state, cut->rows[i].id)->mark[!state->side] = 0;
		row_dirty(state, cut->rows[i].id);
	}
	checkpoint_end(state);
}
