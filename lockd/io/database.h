/* SPDX-License-Identifier: Apache-2.0 */
/* One SQLite file with one connection, set up for commits that are durable when they return. */
#ifndef LOCKD_IO_DATABASE_H
#define LOCKD_IO_DATABASE_H

#include "lockd/io/store.h"

#include <sqlite3.h>

enum {
	DATABASE_ROW = 2, /* beside STORE_FULL */
};

struct database {
	sqlite3 *sqlite;
	char *path; /* owned */
	sqlite3_stmt *begin, *commit, *rollback;
	bool writable;       /* the file was opened for writing */
	uint32_t wal_frames; /* in the WAL since it was last copied back whole */
};

/* What the file is: for its header, and for the sentence when it is something else. */
struct database_kind {
	int32_t application_id;
	const char *noun;   /* "log", … */
	const char *schema; /* statements that create the tables */
	int cache_kib;
};

/* Takes over `path` (malloc'd), in success and failure. With `create` the file must not exist, otherwise it must, in the
 * format of this program. */
int database_open(struct database *database, char *path, const struct database_kind *kind, bool create,
                  struct store_error *error);
/* The file is no empty one. For reading alone, and without a word about what is wrong: a database that may be damaged. NULL: not even that. The WAL is
 * heeded, no file is changed. To be closed by sqlite3_close(). */
sqlite3 *database_peek(const char *path);
/* Statements must be finalized before. Without `tidy` the files stay as a crash would leave them. A zeroed struct is fine. */
void database_close(struct database *database, bool tidy);

int database_prepare(struct database *database, const char *sql, sqlite3_stmt **ret, struct store_error *error);
/* Names the file, what was attempted and SQLite's message. SQLITE_FULL becomes STORE_FULL, anything else is negative;
 * -EBADMSG: what is in the file is wrong, or the disk does not give it back. */
int database_fail(struct database *database, const char *what, struct store_error *error);

/* DATABASE_ROW, 0 when the statement has ended, or a failure; in the latter cases it is reset and its bindings cleared. */
int database_step(struct database *database, sqlite3_stmt *statement, struct store_error *error);
/* A statement that returns no rows. */
int database_run(struct database *database, sqlite3_stmt *statement, struct store_error *error);

int database_begin(struct database *database, struct store_error *error);
/* Ends the transaction either way: STORE_FULL leaves nothing of it behind. After a negative result it may be there after a
 * restart or not, and the process must stop. */
int database_commit(struct database *database, struct store_error *error);
void database_rollback(struct database *database);

/* Copies the WAL back into the file, so that it starts over instead of growing. */
int database_checkpoint(struct database *database, struct store_error *error);

/* SQLite's integers are signed, ours are not: same bits. */
static inline void database_bind(sqlite3_stmt *statement, int at, uint64_t value) {
	(void)sqlite3_bind_int64(statement, at, (sqlite3_int64)value); /* fails only for a parameter that does not exist */
}

static inline uint64_t database_get(sqlite3_stmt *statement, int column) {
	return (uint64_t)sqlite3_column_int64(statement, column);
}

/* The bytes are borrowed until the statement has been stepped. NULL with n 0 is an empty blob, not SQL's NULL. */
static inline void database_bind_bytes(sqlite3_stmt *statement, int at, const void *bytes, size_t n) {
	(void)sqlite3_bind_blob64(statement, at, n ? bytes : "", n, SQLITE_STATIC);
}

#endif
