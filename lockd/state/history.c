/* SPDX-License-Identifier: Apache-2.0 */
/* The last changes of holders, for observers that were away. A ring in order of revision: what looks for a name's next
 * change starts at its revision by bisection and walks on, comparing hashes. Observers resume from the recent past, so
 * the walk is short; an index by name would cost every grant more than it saves. */
#include "machine.h"
#include "memory.h"

#include <string.h>
#include <xxhash.h>

enum { HISTORY_PAGE_BYTES = 64 << 10 };

_Static_assert(LIMIT_NAME_BYTES_MAX + LIMIT_VALUE_BYTES_MAX <= HISTORY_PAGE_BYTES, "a text fits on a page");

/* Texts come and go in the same order, so a page is filled once and is free when its last text has gone. */
struct history_page {
	struct history_page *next; /* the one that was filled after it */
	size_t used;
	uint32_t n_texts;
	uint8_t bytes[HISTORY_PAGE_BYTES];
};

static uint8_t *history_write(struct history *history, size_t n) {
	struct history_page *page = history->newest;

	if (!page || n > HISTORY_PAGE_BYTES - page->used) {
		page = memory_grow(NULL, sizeof(*page));
		page->next = NULL;
		page->used = page->n_texts = 0;
		if (history->newest)
			history->newest->next = page;
		else
			history->oldest = page;
		history->newest = page;
	}
	page->used += n;
	page->n_texts++;
	return page->bytes + page->used - n;
}

/* The oldest text is needed no more. */
static void history_erase(struct history *history) {
	struct history_page *page = history->oldest;

	if (--page->n_texts > 0)
		return;
	history->oldest = page->next;
	if (!page->next)
		history->newest = NULL;
	free(page);
}

static struct change *history_at(const struct history *history, size_t i) {
	return &history->ring[(history->first + i) % LIMIT_HISTORY_CHANGES_MAX];
}

static void history_drop_first(struct history *history) {
	struct change *change = history_at(history, 0);

	history->complete_from = change->revision;
	history->bytes -= change->name_n + change->value_n;
	history_erase(history);
	history->first = (history->first + 1) % LIMIT_HISTORY_CHANGES_MAX;
	history->n--;
}

void history_begin(struct history *history, state_revision complete_from) {
	while (history->n > 0)
		history_drop_first(history);
	history->complete_from = complete_from;
}

void history_deinit(struct history *history) {
	history_begin(history, 0);
	free(history->ring);
}

void history_append(struct state *state, const struct lock *lock) {
	struct history *history = &state->history;
	size_t bytes = (size_t)lock->name_n + lock->value_n;
	struct change *change;
	uint8_t *text;

	while (history->n == LIMIT_HISTORY_CHANGES_MAX ||
	       (history->n > 0 && history->bytes + bytes > LIMIT_HISTORY_BYTES_MAX))
		history_drop_first(history);

	text = history_write(history, bytes);
	memcpy(text, lock->name, lock->name_n);
	if (lock->value_n > 0)
		memcpy(text + lock->name_n, lock->value, lock->value_n);
	history->bytes += bytes;

	change = history_at(history, history->n++);
	*change = (struct change){
		.revision = state->revision,
		.name_hash = XXH3_64bits(lock->name, lock->name_n),
		.token = lock->holder ? lock->token : 0,
		.holder = lock->holder ? lock->holder->id : 0,
		.text = text,
		.name_n = lock->name_n,
		.value_n = lock->value_n,
	};
}

/* Position of the first change with a greater revision. */
static size_t history_after(const struct history *history, state_revision after) {
	size_t low = 0, high = history->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (history_at(history, middle)->revision <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int state_next_change(const struct state *state, const void *name, size_t n, state_revision after,
		      struct state_change *ret, state_revision *ret_complete_from) {
	const struct history *history = &state->history;
	uint64_t hash = XXH3_64bits(name, n);

	if (after < history->complete_from) {
		if (ret_complete_from)
			*ret_complete_from = history->complete_from;
		return 2;
	}
	for (size_t i = history_after(history, after); i < history->n; i++) {
		const struct change *change = history_at(history, i);
		if (change->name_hash != hash || change->name_n != n || memcmp(change->text, name, n) != 0)
			continue;
		*ret = (struct state_change){
			.revision = change->revision,
			.name = {change->text, change->name_n},
			.value = {change->text + change->name_n, change->value_n},
			.token = change->token,
			.holder = change->holder,
		};
		return 0;
	}
	return 1;
}
