/* SPDX-License-Identifier: Apache-2.0 */
/* Index → term, run-length encoded. Searches go from the end: nearly all questions are about the last run. */
#include "trail.h"

#include "invariant.h"

#include <string.h>

void raft__trail_init(struct raft__trail *trail, struct raft__run *runs, uint16_t max) {
	*trail = (struct raft__trail){.runs = runs, .max = max};
}

void raft__trail_reset(struct raft__trail *trail, raft_index base, raft_term term) {
	trail->base = trail->last = base;
	trail->base_term = term;
	trail->n = 0;
}

raft_term raft__trail_term_at(const struct raft__trail *trail, raft_index index) {
	if (index < trail->base || index > trail->last)
		return 0;
	for (uint16_t i = trail->n; i > 0; i--)
		if (trail->runs[i - 1].first <= index)
			return trail->runs[i - 1].term;
	return trail->base_term;
}

raft_term raft__trail_last_term(const struct raft__trail *trail) {
	return trail->n > 0 ? trail->runs[trail->n - 1].term : trail->base_term;
}

uint16_t raft__trail_runs_before(const struct raft__trail *trail, raft_index index) {
	uint16_t n = trail->n;

	while (n > 0 && trail->runs[n - 1].first >= index)
		n--;
	return n;
}

void raft__trail_append(struct raft__trail *trail, raft_term term) {
	RAFT_ASSERT(term >= raft__trail_last_term(trail));

	trail->last++;
	if (trail->n > 0 && trail->runs[trail->n - 1].term == term)
		return;
	RAFT_ASSERT(trail->n < trail->max);
	trail->runs[trail->n++] = (struct raft__run){.first = trail->last, .term = term};
}

void raft__trail_truncate(struct raft__trail *trail, raft_index from) {
	RAFT_ASSERT(from > trail->base);
	RAFT_ASSERT(from <= trail->last);

	trail->n = raft__trail_runs_before(trail, from);
	trail->last = from - 1;
}

void raft__trail_compact(struct raft__trail *trail, raft_index index) {
	uint16_t gone;

	RAFT_ASSERT(index >= trail->base);
	RAFT_ASSERT(index <= trail->last);

	trail->base_term = raft__trail_term_at(trail, index);
	trail->base = index;
	if (index == trail->last) {
		trail->n = 0;
		return;
	}
	/* The run that holds the first remaining entry stays, cut to begin there. */
	gone = raft__trail_runs_before(trail, index + 2);
	if (gone == 0)
		return;
	gone--;
	trail->n = (uint16_t)(trail->n - gone);
	memmove(trail->runs, trail->runs + gone, trail->n * sizeof(*trail->runs));
	trail->runs[0].first = index + 1;
}

raft_index raft__trail_agree(const struct raft__trail *trail, raft_index index, raft_term term) {
	if (index > trail->last)
		index = trail->last;
	for (uint16_t i = trail->n; i > 0; i--) {
		if (trail->runs[i - 1].first > index)
			continue;
		if (trail->runs[i - 1].term <= term)
			return index;
		index = trail->runs[i - 1].first - 1;
	}
	if (index == trail->base && trail->base_term > term)
		return trail->base > 0 ? trail->base - 1 : 0;
	return index;
}

void raft__trail_check(const struct raft__trail *trail) {
	raft_index after = trail->base;
	raft_term term = 0;

	RAFT_ASSERT(trail->base <= trail->last);
	RAFT_ASSERT((trail->n > 0) == (trail->last > trail->base));
	RAFT_ASSERT(trail->n == 0 || trail->runs[0].first == trail->base + 1);
	for (uint16_t i = 0; i < trail->n; i++) {
		RAFT_ASSERT(trail->runs[i].first > after);
		RAFT_ASSERT(trail->runs[i].first <= trail->last);
		RAFT_ASSERT(trail->runs[i].term > term);
		RAFT_ASSERT(trail->runs[i].term >= trail->base_term);
		after = trail->runs[i].first;
		term = trail->runs[i].term;
	}
}
