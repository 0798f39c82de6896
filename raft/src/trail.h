/* SPDX-License-Identifier: Apache-2.0 */
/* The terms of the retained log, as runs of equal term: all that consensus needs to know about an entry. A log holds
 * about one run per leader, however long it is.
 *
 * The base is the position in front of the first retained entry; its term is kept, since the entry behind it is checked
 * against it. Terms never decrease along the log (paper §5.3, by the consistency check), so runs are ordered in both.
 */
#ifndef RAFT_TRAIL_H
#define RAFT_TRAIL_H

#include <raft/raft.h>

struct raft__run {
	raft_index first;
	raft_term term;
};

struct raft__trail {
	raft_index base, last;
	raft_term base_term;
	uint16_t n, max;
	struct raft__run *runs;
};

void raft__trail_init(struct raft__trail *trail, struct raft__run *runs, uint16_t max);

/* Forget every entry; the log continues behind (base, term). */
void raft__trail_reset(struct raft__trail *trail, raft_index base, raft_term term);

/* Term of an entry in [base, last]; 0 outside. */
raft_term raft__trail_term_at(const struct raft__trail *trail, raft_index index);
raft_term raft__trail_last_term(const struct raft__trail *trail);

/* Runs that would remain if everything from `index` on were cut off. */
uint16_t raft__trail_runs_before(const struct raft__trail *trail, raft_index index);

/* Appends one entry. The caller has made sure that a run is free if the term is a new one. */
void raft__trail_append(struct raft__trail *trail, raft_term term);

/* Drops the entries from `from` on; from > base. */
void raft__trail_truncate(struct raft__trail *trail, raft_index from);

/* Moves the base up to `index`, which is in [base, last]. */
void raft__trail_compact(struct raft__trail *trail, raft_index index);

/* Largest position ≤ `index` whose term is ≤ `term`: where a log that has `term` at `index` may still agree with this
 * one. Below the base it answers what is safe to probe next: one less than the base, or `index` itself if that is
 * smaller. */
raft_index raft__trail_agree(const struct raft__trail *trail, raft_index index, raft_term term);

void raft__trail_check(const struct raft__trail *trail);

#endif
