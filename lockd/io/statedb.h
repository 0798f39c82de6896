/* SPDX-License-Identifier: Apache-2.0 */
/* state.db: the last checkpoint of every group, as rows, so that a checkpoint writes only what has changed.
 *
 * A row carries a checksum over its id and its bytes; the header carries the number of rows and the sum of their checksums,
 * so that a row that was lost, or left over from an older checkpoint, shows too. A group's checkpoint that came as a snapshot
 * is marked until the log has been based on it: after a crash in between, opening the store finishes the job. */
#ifndef LOCKD_IO_STATEDB_H
#define LOCKD_IO_STATEDB_H

#include "lockd/io/audit.h"
#include "lockd/io/database.h"
#include "lockd/io/folder.h"

#include "api/limits.h"

enum statedb_install {
	STATEDB_SETTLED,
	STATEDB_INSTALL_RESTART, /* the log restarts behind the checkpoint */
	STATEDB_INSTALL_SUFFIX,  /* the log keeps what follows the checkpoint */
};

/* A header without its record. */
struct statedb_group {
	uint32_t group;
	enum statedb_install install;
	raft_index index;
	raft_term term; /* of the entry `index`; only while an install is pending */
	uint64_t rows, sums;
};

struct statedb {
	struct database database;
	const struct audit *audit; /* NULL: the first damage ends everything */
	sqlite3_stmt *select_sum, *put_row, *delete_row, *delete_rows, *select_rows, *put_header, *select_header;
	struct statedb_group groups[LIMIT_GROUPS_MAX];
	size_t n_groups;
};

int statedb_open(struct statedb *state, const struct folder *folder, bool create, const struct node_uuid *uuid,
                 struct store_error *error);
/* Opens an existing file however damaged: what cannot be believed is told to the audit, by statedb_walk() as well, and passed
 * over. Nothing may be written to it. `uuid` NULL: it may be of any folder. */
int statedb_open_audited(struct statedb *state, const struct folder *folder, const struct node_uuid *uuid,
                         const struct audit *audit, struct store_error *error);
void statedb_close(struct statedb *state, bool tidy);

/* NULL: no checkpoint. */
const struct statedb_group *statedb_find(const struct statedb *state, uint32_t group);

/* One transaction each. STORE_FULL: nothing has changed, in memory either. A checkpoint that is older than the one stored
 * (a snapshot overtook it) changes nothing and succeeds. */
int statedb_checkpoint(struct statedb *state, const struct node_checkpoint *checkpoint, struct store_error *error);
int statedb_install(struct statedb *state, const struct node_save *save, struct store_error *error);
int statedb_settle(struct statedb *state, uint32_t group, struct store_error *error);

/* The packed record.Header; malloc'd. */
int statedb_header(struct statedb *state, const struct statedb_group *group, uint8_t **ret, size_t *ret_n,
                   struct store_error *error);
/* Every row in order of its id, verified; after the last one their number and sum. A result other than 0 of the visitor
 * ends the walk and is returned. */
typedef int statedb_visit(void *context, uint64_t id, const void *record, size_t n, struct store_error *error);
int statedb_walk(struct statedb *state, const struct statedb_group *group, statedb_visit *visit, void *context,
                 struct store_error *error);

#endif
