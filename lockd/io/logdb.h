/* SPDX-License-Identifier: Apache-2.0 */
/* raft.db: the logs of all groups, and a second copy of each group's hard state, for comparison with the superblock.
 *
 * A log row carries the leader's checksum of its entry and a chain value over all entries before it, down to the group's
 * base; SQLite's pages have no checksum of their own. The base is the entry before the first one retained. It moves at
 * once, the rows up to it are deleted bit by bit with later commits: one DELETE over a long range stalls the log. */
#ifndef LOCKD_IO_LOGDB_H
#define LOCKD_IO_LOGDB_H

#include "lockd/io/audit.h"
#include "lockd/io/database.h"
#include "lockd/io/folder.h"

#include "api/limits.h"

/* An entry, and the log up to it in one number. */
struct logdb_place {
	raft_index index;
	raft_term term;
	uint64_t chain;
};

struct logdb_group {
	uint32_t group;
	raft_term term;
	uint32_t vote;
	uint32_t promise_ms;
	struct logdb_place base, last; /* equal while the log is empty */
	raft_index stored;             /* rows up to this one are deleted; ≤ base.index */
	bool changed;                  /* its row of `groups` is due in this transaction */
};

/* The row of `meta`. */
struct logdb_identity {
	struct node_uuid uuid, incarnation;
	uint32_t epoch;
	uint64_t boot_count;
};

struct logdb {
	struct database database;
	const struct audit *audit; /* NULL: the first damage ends everything */
	sqlite3_stmt *insert, *delete, *select_one, *select_log, *put_group, *put_meta;
	struct logdb_identity identity;
	struct logdb_group groups[LIMIT_GROUPS_MAX];
	size_t n_groups;
};

/* `identity` is written into a file to be created, and read from an existing one. */
int logdb_open(struct logdb *log, const struct folder *folder, bool create, const struct logdb_identity *identity,
               struct store_error *error);
/* Opens an existing file however damaged: what cannot be believed is told to the audit, by logdb_load() as well, and passed
 * over. Nothing may be written to it. */
int logdb_open_audited(struct logdb *log, const struct folder *folder, const struct audit *audit,
                       struct store_error *error);
void logdb_close(struct logdb *log, bool tidy);
/* Who the store is, of a file that need not be whole. false: it does not say. What it says may be old. */
bool logdb_salvage(const struct folder *folder, struct logdb_identity *ret);

int logdb_set_boot_count(struct logdb *log, uint64_t boot_count, struct store_error *error);

/* All saves in one transaction. STORE_FULL: nothing has changed, in memory either. */
int logdb_write(struct logdb *log, const struct node_save *saves, size_t n, struct store_error *error);

/* NULL: nothing stored. */
const struct logdb_group *logdb_find(const struct logdb *log, uint32_t group);

/* Reads and verifies the log of a group, and hands it to the node if that is not NULL. `mark_index` within the log must
 * have the chain value `mark_chain` (mark_index 0: nothing to compare). An audited log is read on behind entries that are
 * damaged, up to the larger of its end and `mark_index`. */
int logdb_load(struct logdb *log, const struct logdb_group *group, raft_index mark_index, uint64_t mark_chain,
               struct node *node, struct store_error *error);

#endif
