/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include "tests/sim/memory.h"
#include "tests/sim/plan.h"
#include "tests/sim/verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The functions carry no context that a stranger could use. NULL: nobody listens. */
static struct disk *listening;
static bool alone; /* there is no node */

int __real_node_restore_identity(struct node *node, const struct node_uuid *incarnation, uint32_t epoch);
int __real_node_restore_hard(struct node *node, const struct node_hard *hard);
int __real_node_restore_header(struct node *node, uint32_t group, const void *header, size_t n);
int __real_node_restore_row(struct node *node, uint32_t group, uint64_t id, const void *record, size_t n);
int __real_node_restore_base(struct node *node, uint32_t group, raft_index index, raft_term term);
int __real_node_restore_entry(struct node *node, uint32_t group, const struct node_entry *entry);

int __wrap_node_restore_identity(struct node *node, const struct node_uuid *incarnation, uint32_t epoch);
int __wrap_node_restore_hard(struct node *node, const struct node_hard *hard);
int __wrap_node_restore_header(struct node *node, uint32_t group, const void *header, size_t n);
int __wrap_node_restore_row(struct node *node, uint32_t group, uint64_t id, const void *record, size_t n);
int __wrap_node_restore_base(struct node *node, uint32_t group, raft_index index, raft_term term);
int __wrap_node_restore_entry(struct node *node, uint32_t group, const struct node_entry *entry);

static void must_be_ours(uint32_t group) {
	if (group != SIM_GROUP)
		verdict_fail(VERDICT_SAFETY, "S10 store-differs", "it feeds group %" PRIu32, group);
}

int __wrap_node_restore_identity(struct node *node, const struct node_uuid *incarnation, uint32_t epoch) {
	if (listening) {
		listening->has_identity = true;
		listening->incarnation = *incarnation;
		listening->epoch = epoch;
	}
	return alone ? 0 : __real_node_restore_identity(node, incarnation, epoch);
}

int __wrap_node_restore_hard(struct node *node, const struct node_hard *hard) {
	if (listening) {
		must_be_ours(hard->group);
		listening->has_hard = true;
		listening->hard = *hard;
	}
	return alone ? 0 : __real_node_restore_hard(node, hard);
}

int __wrap_node_restore_header(struct node *node, uint32_t group, const void *header, size_t n) {
	if (listening) {
		must_be_ours(group);
		listening->checkpoint.header = (struct node_bytes){memory_copy(header, n), n};
	}
	return alone ? 0 : __real_node_restore_header(node, group, header, n);
}

int __wrap_node_restore_row(struct node *node, uint32_t group, uint64_t id, const void *record, size_t n) {
	if (listening) {
		struct disk_checkpoint *checkpoint = &listening->checkpoint;

		must_be_ours(group);
		checkpoint->rows =
			memory_fit(checkpoint->rows, &checkpoint->size, checkpoint->n + 1, sizeof(struct disk_row));
		checkpoint->rows[checkpoint->n++] = (struct disk_row){id, {memory_copy(record, n), n}};
	}
	return alone ? 0 : __real_node_restore_row(node, group, id, record, n);
}

int __wrap_node_restore_base(struct node *node, uint32_t group, raft_index index, raft_term term) {
	if (listening) {
		must_be_ours(group);
		listening->base = index;
		listening->base_term = term;
	}
	return alone ? 0 : __real_node_restore_base(node, group, index, term);
}

int __wrap_node_restore_entry(struct node *node, uint32_t group, const struct node_entry *entry) {
	if (listening) {
		must_be_ours(group);
		listening->entries = memory_fit(listening->entries, &listening->size, listening->n + 1, sizeof(*entry));
		listening->entries[listening->n] = *entry;
		listening->entries[listening->n++].data = memory_copy(entry->data, entry->n);
	}
	return alone ? 0 : __real_node_restore_entry(node, group, entry);
}

int feed_load(struct store *store, struct node *node, struct disk *ret, struct store_error *error) {
	static max_align_t nobody;
	int r;

	*ret = (struct disk){0};
	listening = ret;
	alone = !node;
	r = store_load(store, node ? node : (struct node *)&nobody, error);
	listening = NULL;
	alone = false;
	return r;
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

static bool is_same(const void *a, size_t n_a, const void *b, size_t n_b) {
	return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a) == 0);
}

static bool is_same_entry(const struct node_entry *a, const struct node_entry *b) {
	return a->index == b->index && a->term == b->term && a->type == b->type && a->checksum == b->checksum &&
	       is_same(a->data, a->n, b->data, b->n);
}

static const char *differ_in_hard(const struct disk *wanted, const struct disk *fed) {
	const struct node_hard *a = &wanted->hard, *b = &fed->hard;

	if (wanted->has_identity != fed->has_identity || wanted->epoch != fed->epoch ||
	    memcmp(&wanted->incarnation, &fed->incarnation, sizeof fed->incarnation) != 0)
		return differ("the identity: epoch %" PRIu32 " instead of %" PRIu32, fed->epoch, wanted->epoch);
	if (wanted->has_hard != fed->has_hard || a->term != b->term || a->vote != b->vote ||
	    a->promise_ms != b->promise_ms)
		return differ("term %" PRIu64 " vote %" PRIu32 " promise %" PRIu32 " instead of %" PRIu64 ", %" PRIu32
			      ", %" PRIu32,
			      b->term, b->vote, b->promise_ms, a->term, a->vote, a->promise_ms);
	return NULL;
}

/* The entries behind the larger base. */
static const char *differ_in_entries(const struct disk *wanted, const struct disk *fed) {
	raft_index from = wanted->base > fed->base ? wanted->base : fed->base;

	if (disk_last(wanted) != disk_last(fed))
		return differ("the log ends at %" PRIu64 " instead of %" PRIu64, disk_last(fed), disk_last(wanted));
	for (raft_index i = from + 1; i <= disk_last(wanted); i++)
		if (!is_same_entry(&wanted->entries[i - wanted->base - 1], &fed->entries[i - fed->base - 1]))
			return differ("entry %" PRIu64 " is another one", i);
	return NULL;
}

static const char *differ_in_checkpoint(const struct disk_checkpoint *a, const struct disk_checkpoint *b) {
	if (!is_same(a->header.bytes, a->header.n, b->header.bytes, b->header.n))
		return differ("another header of the checkpoint than that of %" PRIu64, a->index);
	if (a->n != b->n)
		return differ("%zu rows instead of %zu", b->n, a->n);
	for (size_t i = 0; i < a->n; i++)
		if (a->rows[i].id != b->rows[i].id || !is_same(a->rows[i].record.bytes, a->rows[i].record.n,
							       b->rows[i].record.bytes, b->rows[i].record.n))
			return differ("row %" PRIu64 " instead of %" PRIu64 ", or another one", b->rows[i].id,
				      a->rows[i].id);
	return NULL;
}

const char *feed_differ(const struct disk *wanted, const struct disk *fed) {
	const char *found = differ_in_hard(wanted, fed);

	if (!found && (wanted->base != fed->base || wanted->base_term != fed->base_term))
		found = differ("the log begins behind %" PRIu64 " of term %" PRIu64 " instead of %" PRIu64
			       " of term %" PRIu64,
			       fed->base, fed->base_term, wanted->base, wanted->base_term);
	if (!found)
		found = differ_in_entries(wanted, fed);
	return found ? found : differ_in_checkpoint(&wanted->checkpoint, &fed->checkpoint);
}

bool feed_lags(const struct disk *wanted, const struct disk *fed) {
	return !differ_in_hard(wanted, fed) && fed->base <= wanted->base && !differ_in_entries(wanted, fed) &&
	       disk_term_at(fed, wanted->base) == wanted->base_term;
}
