/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include "api/bytes.h"
#include "api/checksum.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Contents -----------------------------------------------------------------------------------------------------
 */

/* The first byte is the version, the rest says what it is. Some are longer than a page of a database. */
static size_t ledger_fill(uint8_t version, uint64_t number, uint64_t other, char kind, uint8_t *ret) {
	size_t n = number % 8 == 5 ? 6000 : 24 + number % 3 * 40;

	ret[0] = version;
	ret[1] = (uint8_t)kind;
	bytes_put_u64(ret + 2, number);
	bytes_put_u64(ret + 10, other);
	for (size_t i = 18; i < n; i++)
		ret[i] = (uint8_t)(i * 7 + number * 13 + other * 31 + version);
	return n;
}

size_t ledger_entry(raft_index index, raft_term term, uint8_t *ret) {
	return ledger_fill(0, index, term, 'e', ret);
}

size_t ledger_row(uint64_t id, uint8_t version, uint8_t *ret) {
	return ledger_fill(version, id, 0, 'r', ret);
}

size_t ledger_header(raft_index index, uint8_t version, uint8_t *ret) {
	return ledger_fill(version, index, 0, 'h', ret);
}

/* ---- Changes ------------------------------------------------------------------------------------------------------
 */

static struct ledger_group *ledger_at(struct ledger *ledger, uint32_t group) {
	assert(group < LEDGER_GROUPS);
	return &ledger->groups[group];
}

void ledger_save_first(struct ledger *ledger, const struct node_save *saves, size_t n) {
	for (const struct node_save *save = saves; save < saves + n; save++) {
		struct ledger_group *group = ledger_at(ledger, save->group);

		if (save->identity) {
			ledger->incarnation = save->incarnation.bytes[0];
			ledger->epoch = save->epoch;
		}
		if (!save->hard)
			continue;
		group->term = save->term;
		group->vote = save->vote;
		if (save->promise_ms > group->promise_ms)
			group->promise_ms = save->promise_ms;
	}
}

static void group_drop(struct ledger_group *group, raft_index first, raft_index last) {
	for (raft_index i = first; i <= last; i++)
		group->terms[i] = 0;
}

static void group_base(struct ledger_group *group, raft_index index, raft_term term) {
	if (index <= group->base)
		return;
	group_drop(group, group->base + 1, index < group->last ? index : group->last);
	group->base = index;
	group->base_term = term;
	if (group->last < index)
		group->last = index;
}

static void group_install(struct ledger_group *group, const struct node_save *save) {
	if (save->keep_suffix) {
		group_base(group, save->base, save->base_term);
	} else {
		group_drop(group, group->base + 1, group->last);
		group->base = group->last = save->base;
		group->base_term = save->base_term;
	}
	group->checkpoint = save->base;
	group->version = save->header[0];
	memset(group->rows, 0, sizeof group->rows);
	for (size_t i = 0; i < save->n_rows; i++)
		group->rows[save->row_ids[i]] = save->rows[i].bytes[0];
}

static void group_truncate(struct ledger_group *group, raft_index from) {
	if (from > group->last)
		return;
	group_drop(group, from, group->last);
	group->last = from - 1;
}

void ledger_save(struct ledger *ledger, const struct node_save *saves, size_t n) {
	ledger_save_first(ledger, saves, n);
	for (const struct node_save *save = saves; save < saves + n; save++) {
		struct ledger_group *group = ledger_at(ledger, save->group);

		if (save->install)
			group_install(group, save);
		if (save->truncate_from)
			group_truncate(group, save->truncate_from);
		for (size_t i = 0; i < save->n_entries; i++) {
			assert(save->entries[i].index == group->last + 1 && group->last + 1 < LEDGER_ENTRIES);
			group->terms[++group->last] = (uint8_t)save->entries[i].term;
		}
		if (save->trim_to)
			group_base(group, save->trim_to, save->trim_term);
	}
}

void ledger_checkpoint(struct ledger *ledger, const struct node_checkpoint *checkpoint) {
	struct ledger_group *group = ledger_at(ledger, checkpoint->group);

	if (checkpoint->index < group->checkpoint)
		return;
	group->checkpoint = checkpoint->index;
	group->version = checkpoint->header[0];
	for (size_t i = 0; i < checkpoint->n_rows; i++)
		group->rows[checkpoint->row_ids[i]] = checkpoint->rows[i].bytes ? checkpoint->rows[i].bytes[0] : 0;
}

/* ---- Comparing ----------------------------------------------------------------------------------------------------
 */

static char difference[256];

__attribute__((format(printf, 1, 2))) static const char *differ(const char *format, ...) {
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(difference, sizeof difference, format, arguments);
	va_end(arguments);
	return difference;
}

static const char *hard_differ(uint32_t number, const struct ledger_group *x, const struct ledger_group *y) {
	if (x->term == y->term && x->vote == y->vote && x->promise_ms == y->promise_ms)
		return NULL;
	return differ("group %u: term %llu vote %u promise %u, not term %llu vote %u promise %u", number,
		      (unsigned long long)x->term, x->vote, x->promise_ms, (unsigned long long)y->term, y->vote,
		      y->promise_ms);
}

static const char *checkpoint_differ(uint32_t number, const struct ledger_group *x, const struct ledger_group *y) {
	if (x->checkpoint != y->checkpoint || x->version != y->version)
		return differ("group %u: checkpoint %llu.%u, not %llu.%u", number, (unsigned long long)x->checkpoint,
			      x->version, (unsigned long long)y->checkpoint, y->version);
	for (unsigned i = 0; i < LEDGER_ROWS; i++)
		if (x->rows[i] != y->rows[i])
			return differ("group %u: row %u has version %u, not %u", number, i, x->rows[i], y->rows[i]);
	return NULL;
}

static const char *log_differ(uint32_t number, const struct ledger_group *x, const struct ledger_group *y) {
	if (x->base != y->base || x->base_term != y->base_term || x->last != y->last)
		return differ("group %u: log %llu/%llu…%llu, not %llu/%llu…%llu", number, (unsigned long long)x->base,
			      (unsigned long long)x->base_term, (unsigned long long)x->last,
			      (unsigned long long)y->base, (unsigned long long)y->base_term,
			      (unsigned long long)y->last);
	for (unsigned i = 0; i < LEDGER_ENTRIES; i++)
		if (x->terms[i] != y->terms[i])
			return differ("group %u: entry %u has term %u, not %u", number, i, x->terms[i], y->terms[i]);
	return NULL;
}

const char *ledger_differ(const struct ledger *x, const struct ledger *y) {
	const char *found = NULL;

	if (x->incarnation != y->incarnation || x->epoch != y->epoch)
		return differ("identity %u epoch %u, not %u epoch %u", x->incarnation, x->epoch, y->incarnation,
			      y->epoch);
	for (uint32_t i = 0; !found && i < LEDGER_GROUPS; i++) {
		found = hard_differ(i, &x->groups[i], &y->groups[i]);
		if (!found)
			found = log_differ(i, &x->groups[i], &y->groups[i]);
		if (!found)
			found = checkpoint_differ(i, &x->groups[i], &y->groups[i]);
	}
	return found;
}

/* Of an entry that is trimmed: as it was last. 0: nobody knows. */
static raft_term past_term(uint32_t number, const struct ledger *past, size_t n, raft_index index) {
	while (n-- > 0) {
		const struct ledger_group *group = &past[n].groups[number];

		if (index == group->base)
			return group->base_term;
		if (index > group->base && index <= group->last)
			return group->terms[index];
	}
	return 0;
}

static bool log_lags(uint32_t number, const struct ledger_group *loaded, const struct ledger_group *group,
		     const struct ledger *past, size_t n) {
	if (loaded->last != group->last || loaded->base > group->base)
		return false;
	for (raft_index i = group->base + 1; i <= group->last; i++)
		if (loaded->terms[i] != group->terms[i])
			return false;
	if (loaded->base == group->base)
		return loaded->base_term == group->base_term;
	for (raft_index i = loaded->base + 1; i < group->base; i++)
		if (loaded->terms[i] != past_term(number, past, n, i))
			return false;
	return loaded->terms[group->base] == group->base_term &&
	       loaded->base_term == past_term(number, past, n, loaded->base);
}

static bool group_lags(uint32_t number, const struct ledger_group *loaded, const struct ledger_group *group,
		       const struct ledger *past, size_t n) {
	static const struct ledger_group none;
	bool known = !checkpoint_differ(number, loaded, &none);

	if (hard_differ(number, loaded, group) || !log_lags(number, loaded, group, past, n) ||
	    loaded->checkpoint < loaded->base)
		return false;
	for (size_t i = 0; !known && i < n; i++)
		known = !checkpoint_differ(number, loaded, &past[i].groups[number]);
	return known || !checkpoint_differ(number, loaded, group);
}

bool ledger_lags(const struct ledger *loaded, const struct ledger *ledger, const struct ledger *past, size_t n) {
	if (loaded->incarnation != ledger->incarnation || loaded->epoch != ledger->epoch)
		return false;
	for (uint32_t i = 0; i < LEDGER_GROUPS; i++)
		if (!group_lags(i, &loaded->groups[i], &ledger->groups[i], past, n))
			return false;
	return true;
}

/* ---- A node that is fed -------------------------------------------------------------------------------------------
 */

__attribute__((format(printf, 2, 3))) static int node_alien(struct node *node, const char *format, ...) {
	va_list arguments;

	if (!node->alien[0]) {
		va_start(arguments, format);
		(void)vsnprintf(node->alien, sizeof node->alien, format, arguments);
		va_end(arguments);
	}
	return 0; /* to refuse it would pass for the store's own refusal */
}

int node_restore_identity(struct node *node, const struct node_uuid *incarnation, uint32_t epoch) {
	node->ledger.incarnation = incarnation->bytes[0];
	node->ledger.epoch = epoch;
	return 0;
}

int node_restore_hard(struct node *node, const struct node_hard *hard) {
	struct ledger_group *group;

	if (hard->group >= LEDGER_GROUPS)
		return node_alien(node, "hard state of group %u", hard->group);
	group = &node->ledger.groups[hard->group];
	group->term = hard->term;
	group->vote = hard->vote;
	group->promise_ms = hard->promise_ms;
	return 0;
}

int node_restore_header(struct node *node, uint32_t group, const void *header, size_t n) {
	const uint8_t *bytes = header;
	uint8_t wanted[LEDGER_BYTES_MAX];
	raft_index index = n > 10 ? bytes_get_u64(bytes + 2) : 0;

	if (group >= LEDGER_GROUPS || index == 0 || ledger_header(index, bytes[0], wanted) != n ||
	    memcmp(bytes, wanted, n) != 0)
		return node_alien(node, "header of group %u, %zu bytes", group, n);
	node->ledger.groups[group].checkpoint = index;
	node->ledger.groups[group].version = bytes[0];
	return 0;
}

int node_restore_row(struct node *node, uint32_t group, uint64_t id, const void *record, size_t n) {
	const uint8_t *bytes = record;
	uint8_t wanted[LEDGER_BYTES_MAX];

	if (group >= LEDGER_GROUPS || id >= LEDGER_ROWS || n == 0 || ledger_row(id, bytes[0], wanted) != n ||
	    memcmp(bytes, wanted, n) != 0)
		return node_alien(node, "row %llu of group %u, %zu bytes", (unsigned long long)id, group, n);
	node->ledger.groups[group].rows[id] = bytes[0];
	return 0;
}

int node_restore_base(struct node *node, uint32_t group, raft_index index, raft_term term) {
	if (group >= LEDGER_GROUPS)
		return node_alien(node, "log of group %u", group);
	node->ledger.groups[group].base = index;
	node->ledger.groups[group].base_term = term;
	node->ledger.groups[group].last = index;
	return 0;
}

int node_restore_entry(struct node *node, uint32_t group, const struct node_entry *entry) {
	uint8_t wanted[LEDGER_BYTES_MAX];
	struct ledger_group *at;

	if (group >= LEDGER_GROUPS || entry->index >= LEDGER_ENTRIES ||
	    entry->index != node->ledger.groups[group].last + 1 || entry->type != RAFT_ENTRY_COMMANDS ||
	    ledger_entry(entry->index, entry->term, wanted) != entry->n || memcmp(entry->data, wanted, entry->n) != 0 ||
	    entry->checksum != checksum_entry(group, entry->index, entry->term, entry->type, entry->data, entry->n))
		return node_alien(node, "entry %llu of group %u", (unsigned long long)entry->index, group);
	at = &node->ledger.groups[group];
	at->terms[++at->last] = (uint8_t)entry->term;
	return 0;
}

const char *node_error(const struct node *node) {
	(void)node;
	return "";
}
