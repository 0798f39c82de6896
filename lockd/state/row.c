/* SPDX-License-Identifier: Apache-2.0 */
/* Local ids, dirty marks and the state hash, kept for all kinds of rows alike.
 *
 * row_change() comes before the first change of a row, row_remove() before it is freed. Both take the row's part out of
 * the hash and mark the id dirty. What changed is packed and hashed when somebody asks for the hash (row_settle()), so
 * a session or a slot counter that a thousand entries touch in between costs one hash, and a row that came and went
 * none. Audits ask every few thousand entries, a checkpoint when it is cut; an id waits in the queue only once, so in
 * between the queue grows with the rows that are alive, not with the commands.
 *
 * Where more rows than that change, row_settle_many() settles them all at the end of an entry. A row costs some
 * 0.2 µs, so ROW_UNSETTLED_MAX of them keep the node for about a millisecond: what a log write takes, which every
 * command awaits anyway, while ids that are busy again and again (1024 slots, the sessions at work with their locks
 * and results) still fit. */
#include "memory.h"
#include "record.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

enum {
	ROW_KIND_SHIFT = 40,
	ROW_UNSETTLED_MAX = 4 << 10,
	ROW_QUEUE_KEPT = 64 << 10,
};

/* More rows of a kind than this cannot exist at once, and a free id is taken before a fresh one. */
static const uint32_t row_max[STATE_ROW_KINDS] = {
	[STATE_SLOT] = LIMIT_SLOTS,
	[STATE_SESSION] = LIMIT_SESSIONS_MAX,
	[STATE_LOCK] = LIMIT_LOCKS_MAX,
	[STATE_SEAT] = LIMIT_SEATS_MAX,
	[STATE_RESULT] = (uint32_t)LIMIT_SESSIONS_MAX * LIMIT_SEQUENCE_WINDOW,
};

enum state_row_kind row_kind(state_row_id id) {
	return (enum state_row_kind)(id >> ROW_KIND_SHIFT);
}

static uint64_t row_local(state_row_id id) {
	return id & (((state_row_id)1 << ROW_KIND_SHIFT) - 1);
}

struct row_cell *row_cell(const struct state *state, state_row_id id) {
	const struct row_table *table = &state->tables[row_kind(id)];

	assert(row_local(id) < table->n_cells);
	return &table->cells[row_local(id)];
}

struct state_hash hash_add(struct state_hash a, struct state_hash b) {
	struct state_hash sum = {.low = a.low + b.low, .high = a.high + b.high};

	sum.high += sum.low < a.low;
	return sum;
}

static struct state_hash hash_subtract(struct state_hash a, struct state_hash b) {
	return (struct state_hash){.low = a.low - b.low, .high = a.high - b.high - (a.low < b.low)};
}

struct state_hash row_hash(const struct row *row) {
	uint8_t record[RECORD_BYTES_MAX];
	size_t n = record_pack(row, record);
	XXH128_hash_t hash = XXH3_128bits(record, n);

	return (struct state_hash){.low = hash.low64, .high = hash.high64};
}

/* The row has no part in the hash until it is settled. */
static void row_queue_push(struct state *state, struct row_cell *cell, state_row_id id) {
	struct row_queue *queue = &state->unsettled;

	if (queue->n == queue->max) {
		queue->max = queue->max ? 2 * queue->max : 256;
		queue->ids = memory_grow(queue->ids, queue->max * sizeof(*queue->ids));
	}
	queue->ids[queue->n++] = id;
	cell->unsettled = true;
}

static void row_settle_one(struct state *state, struct row *row) {
	row->hash = row_hash(row);
	state->hash = hash_add(state->hash, row->hash);
}

void row_settle(struct state *state) {
	struct row_queue *queue = &state->unsettled;

	for (size_t i = 0; i < queue->n; i++) {
		struct row_cell *cell = row_cell(state, queue->ids[i]);

		cell->unsettled = false;
		if (cell->row)
			row_settle_one(state, cell->row);
	}
	queue->n = 0;
	/* One command may end a session that holds a million locks. */
	if (queue->max > ROW_QUEUE_KEPT) {
		free(queue->ids);
		*queue = (struct row_queue){0};
	}
}

void row_settle_many(struct state *state) {
	if (state->unsettled.n > ROW_UNSETTLED_MAX)
		row_settle(state);
}

static void row_mark_dirty(struct state *state, struct row_cell *cell, state_row_id id) {
	struct row_list *list = &state->lists[state->side];

	if (cell->mark[state->side])
		return;
	if (list->n == list->max) {
		list->max = list->max ? 2 * list->max : 256;
		list->rows = memory_grow(list->rows, list->max * sizeof(*list->rows));
	}
	list->rows[list->n++] = (struct state_row){.id = id};
	cell->mark[state->side] = (uint32_t)list->n;
}

void row_dirty(struct state *state, state_row_id id) {
	row_mark_dirty(state, row_cell(state, id), id);
}

/* Before anything happens to what the id stands for. */
static void row_touch(struct state *state, struct row_cell *cell, state_row_id id) {
	uint32_t frozen = cell->mark[!state->side];

	if (frozen)
		checkpoint_copy(state, frozen - 1);
	row_mark_dirty(state, cell, id);
}

static void row_table_grow(struct row_table *table, uint32_t n_cells) {
	if (n_cells > table->cells_max) {
		uint32_t max = table->cells_max ? table->cells_max : 64;
		while (max < n_cells)
			max *= 2;
		table->cells = memory_grow(table->cells, max * sizeof(*table->cells));
		table->cells_max = max;
	}
	if (n_cells > table->n_cells) {
		memset(table->cells + table->n_cells, 0, (n_cells - table->n_cells) * sizeof(*table->cells));
		table->n_cells = n_cells;
	}
}

void row_add(struct state *state, enum state_row_kind kind, struct row *row) {
	struct row_table *table = &state->tables[kind];
	struct row_cell *cell;
	uint32_t local;

	if (table->free_first) {
		local = table->free_first - 1;
		table->free_first = table->cells[local].free_next;
	} else {
		local = table->n_cells;
		assert(local < row_max[kind]);
		row_table_grow(table, local + 1);
	}
	cell = &table->cells[local];
	row->id = (state_row_id)kind << ROW_KIND_SHIFT | local;
	row_touch(state, cell, row->id);
	cell->row = row;
	table->n_rows++;
	/* It waits already if the id belonged to another row since the last settling. */
	if (!cell->unsettled)
		row_queue_push(state, cell, row->id);
}

void row_change(struct state *state, struct row *row) {
	struct row_cell *cell = row_cell(state, row->id);

	row_touch(state, cell, row->id);
	if (cell->unsettled)
		return;
	state->hash = hash_subtract(state->hash, row->hash);
	row_queue_push(state, cell, row->id);
}

void row_remove(struct state *state, struct row *row) {
	struct row_table *table = &state->tables[row_kind(row->id)];
	struct row_cell *cell = row_cell(state, row->id);

	row_touch(state, cell, row->id);
	if (!cell->unsettled)
		state->hash = hash_subtract(state->hash, row->hash);
	cell->row = NULL;
	cell->free_next = table->free_first;
	table->free_first = (uint32_t)row_local(row->id) + 1;
	table->n_rows--;
}

/* A row of a checkpoint, complete: clean, under its own id, or under the next one if `id` is 0. -EBADMSG: the id is not
 * possible for the kind, or taken. */
int row_restore(struct state *state, enum state_row_kind kind, state_row_id id, struct row *row) {
	struct row_table *table = &state->tables[kind];
	uint64_t local = id ? row_local(id) : table->n_cells;

	if (id && row_kind(id) != kind)
		return -EBADMSG;
	if (local >= row_max[kind])
		return -EBADMSG;
	if (local < table->n_cells && table->cells[local].row)
		return -EBADMSG;

	if (local >= table->n_cells)
		row_table_grow(table, (uint32_t)local + 1);
	row->id = (state_row_id)kind << ROW_KIND_SHIFT | local;
	table->cells[local].row = row;
	table->n_rows++;
	row_settle_one(state, row);
	return 0;
}

/* All rows are in: the ids between them are free. */
void row_restored(struct state *state) {
	for (int kind = STATE_SLOT; kind < STATE_ROW_KINDS; kind++) {
		struct row_table *table = &state->tables[kind];

		assert(!table->free_first);
		for (uint32_t local = table->n_cells; local-- > 0;) {
			if (table->cells[local].row)
				continue;
			table->cells[local].free_next = table->free_first;
			table->free_first = local + 1;
		}
	}
}
