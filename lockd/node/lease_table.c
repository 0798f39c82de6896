/* SPDX-License-Identifier: Apache-2.0 */
#include "lease_table.h"

#include "memory.h"

#include <assert.h>

enum { LEASE_INDEX_SIZE_MIN = 64 };

/* ---- By session ---------------------------------------------------------------------------------------------------
 */

/* Ids are revisions, so they differ mostly in the middle bits: the product spreads them over its upper half. */
static size_t lease_index_home(const struct lease_table *table, state_session_id session) {
	return (size_t)(session * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (table->index_size - 1);
}

static size_t lease_index_next(const struct lease_table *table, size_t at) {
	return (at + 1) & (table->index_size - 1);
}

static struct lease *lease_table_at(const struct lease_table *table, uint32_t place) {
	return &table->blocks[place / LEASE_BLOCK_LEASES].leases[place % LEASE_BLOCK_LEASES];
}

/* Where the session stands in the index, or would stand. */
static size_t lease_index_find(const struct lease_table *table, state_session_id session) {
	size_t at = lease_index_home(table, session);

	while (table->index[at] > 0 && lease_table_at(table, table->index[at] - 1)->session != session)
		at = lease_index_next(table, at);
	return at;
}

static void lease_index_put(struct lease_table *table, const struct lease *lease) {
	table->index[lease_index_find(table, lease->session)] = lease->place + 1;
}

/* At least half of it stays free, so that a search is short. */
static void lease_index_grow(struct lease_table *table) {
	uint32_t *old = table->index;
	size_t old_size = table->index_size;

	if (2 * table->n < old_size)
		return;
	table->index_size = old_size > 0 ? 2 * old_size : LEASE_INDEX_SIZE_MIN;
	table->index = memory_new(table->index_size * sizeof *table->index);
	for (size_t i = 0; i < old_size; i++)
		if (old[i] > 0)
			lease_index_put(table, lease_table_at(table, old[i] - 1));
	free(old);
}

/* Those behind it that would be searched for in vain across the gap move up. */
static void lease_index_remove(struct lease_table *table, state_session_id session) {
	size_t gap = lease_index_find(table, session), mask = table->index_size - 1;

	table->index[gap] = 0;
	for (size_t at = lease_index_next(table, gap); table->index[at] > 0; at = lease_index_next(table, at)) {
		size_t home = lease_index_home(table, lease_table_at(table, table->index[at] - 1)->session);

		if (((at - home) & mask) < ((at - gap) & mask))
			continue;
		table->index[gap] = table->index[at];
		table->index[at] = 0;
		gap = at;
	}
}

/* ---- Places -------------------------------------------------------------------------------------------------------
 */

static struct lease_block *lease_table_block(struct lease_table *table) {
	while (table->roomy < table->n_blocks && table->blocks[table->roomy].n == LEASE_BLOCK_LEASES)
		table->roomy++;
	if (table->roomy == table->n_blocks) {
		table->blocks =
			memory_grow(table->blocks, &table->blocks_max, table->n_blocks + 1, sizeof *table->blocks);
		table->blocks[table->n_blocks++] = (struct lease_block){.due = LEASE_NEVER};
	}
	if (!table->blocks[table->roomy].leases)
		table->blocks[table->roomy].leases = memory_new(LEASE_BLOCK_LEASES * sizeof(struct lease));
	return &table->blocks[table->roomy];
}

/* Most blocks fill from the front and are never left: the first place to try is the one behind those taken. */
static uint32_t lease_block_vacancy(const struct lease_block *block) {
	uint32_t at = block->n;

	while (block->leases[at].session > 0)
		at = (at + 1) % LEASE_BLOCK_LEASES;
	return at;
}

struct lease *lease_table_add(struct lease_table *table, state_session_id session) {
	struct lease_block *block = lease_table_block(table);
	uint32_t at = lease_block_vacancy(block);
	struct lease *lease = &block->leases[at];

	*lease = (struct lease){
		.session = session,
		.place = (uint32_t)(table->roomy * LEASE_BLOCK_LEASES + at),
	};
	block->n++;
	lease_index_grow(table);
	lease_index_put(table, lease);
	if (table->n++ == 0)
		table->due = LEASE_NEVER;
	return lease;
}

void lease_table_remove(struct lease_table *table, struct lease *lease) {
	size_t at = lease->place / LEASE_BLOCK_LEASES;
	struct lease_block *block = &table->blocks[at];

	lease_index_remove(table, lease->session);
	lease->session = 0;
	table->n--;
	if (--block->n == 0) {
		free(block->leases);
		*block = (struct lease_block){.due = LEASE_NEVER};
	}
	if (at < table->roomy)
		table->roomy = at;
}

struct lease *lease_table_find(const struct lease_table *table, state_session_id session) {
	size_t at;

	if (table->n == 0 || session == 0)
		return NULL;
	at = lease_index_find(table, session);
	return table->index[at] > 0 ? lease_table_at(table, table->index[at] - 1) : NULL;
}

void lease_table_clear(struct lease_table *table) {
	for (size_t i = 0; i < table->n_blocks; i++)
		free(table->blocks[i].leases);
	free(table->blocks);
	free(table->index);
	*table = (struct lease_table){0};
}

/* ---- When they are due --------------------------------------------------------------------------------------------
 */

raft_usec lease_due(const struct lease *lease) {
	if (lease->quarters == LEASE_QUARTERS)
		return LEASE_NEVER;
	return lease->heard + lease->ttl_us * (lease->quarters + 1u) / LEASE_QUARTERS;
}

void lease_table_schedule(struct lease_table *table, const struct lease *lease) {
	struct lease_block *block = &table->blocks[lease->place / LEASE_BLOCK_LEASES];
	raft_usec due = lease_due(lease);

	if (due < block->due)
		block->due = due;
	if (due < table->due)
		table->due = due;
}

void lease_table_settle(struct lease_table *table) {
	table->due = LEASE_NEVER;
	for (size_t i = 0; i < table->n_blocks; i++)
		if (table->blocks[i].due < table->due)
			table->due = table->blocks[i].due;
}
