/* SPDX-License-Identifier: Apache-2.0 */
/* What a store must hold, worked out from lockd/io/store.h and not from its code: an independent second opinion.
 *
 * All content is a function of numbers (an entry of its index and term, a row of its id and version, a header of its index and
 * version), so that a few numbers say what must come back byte by byte. A loaded node (`struct node`) is a ledger, too. */
#ifndef TESTS_FAULT_LEDGER_H
#define TESTS_FAULT_LEDGER_H

#include "lockd/node/node.h"

enum {
	LEDGER_GROUPS = 4, /* numbered from 0 */
	LEDGER_ENTRIES = 1024,
	LEDGER_ROWS = 32,
	LEDGER_BYTES_MAX = 8192, /* of an entry, row or header */
};

struct ledger_group {
	raft_term term;
	uint32_t vote, promise_ms;
	raft_index checkpoint; /* 0: none */
	uint8_t version;       /* of its header */
	uint8_t rows[LEDGER_ROWS]; /* versions by id; 0: no such row */
	raft_index base, last;
	raft_term base_term;
	uint8_t terms[LEDGER_ENTRIES]; /* of the entries base + 1 … last; 0 elsewhere */
};

struct ledger {
	uint8_t incarnation; /* its first byte; 0: blank */
	uint32_t epoch;
	struct ledger_group groups[LEDGER_GROUPS];
};

/* A node that is fed, and notes in `alien` the first thing that nobody ever stored. */
struct node {
	struct ledger ledger;
	char alien[128];
};

/* Bytes of the contents; n is returned. */
size_t ledger_entry(raft_index index, raft_term term, uint8_t *ret);
size_t ledger_row(uint64_t id, uint8_t version, uint8_t *ret);
size_t ledger_header(raft_index index, uint8_t version, uint8_t *ret);

/* What the superblock knows first: identity, term, vote and promise. */
void ledger_save_first(struct ledger *ledger, const struct node_save *saves, size_t n);
/* All of it. Rows carry their version in the first byte. */
void ledger_save(struct ledger *ledger, const struct node_save *saves, size_t n);
void ledger_checkpoint(struct ledger *ledger, const struct node_checkpoint *checkpoint);

/* NULL: equal; otherwise what differs. Borrowed until the next call. */
const char *ledger_differ(const struct ledger *x, const struct ledger *y);
/* `loaded` holds all that `ledger` does, only a checkpoint or the base of a log is one of before: a checkpoint of the past
 * `n` ledgers and everything behind it. Nothing is lost: the node applies these entries again. */
bool ledger_lags(const struct ledger *loaded, const struct ledger *ledger, const struct ledger *past, size_t n);

#endif
