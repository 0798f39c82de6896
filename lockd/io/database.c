/* SPDX-License-Identifier: Apache-2.0 */
#include "database.h"

#include "failure.h"
#include "folder.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In this order: the page size counts only before the file becomes a WAL database. synchronous=FULL is one fdatasync
 * per commit. A WAL that is written over costs a third less per commit than one that grows, so nothing may ever
 * truncate it: journal_size_limit and, below, the persistent WAL. Each answer is checked, since SQLite ignores what it
 * cannot do without a word. */
static const struct {
	const char *set, *get, *answer;
} pragmas[] = {
	{"PRAGMA page_size=4096", "PRAGMA page_size", "4096"},
	{"PRAGMA journal_mode=WAL", "PRAGMA journal_mode", "wal"},
	{"PRAGMA synchronous=FULL", "PRAGMA synchronous", "2"},
	{"PRAGMA wal_autocheckpoint=0", "PRAGMA wal_autocheckpoint", "0"},
	{"PRAGMA journal_size_limit=-1", "PRAGMA journal_size_limit", "-1"},
	{"PRAGMA secure_delete=OFF", "PRAGMA secure_delete", "0"},
	{"PRAGMA mmap_size=0", "PRAGMA mmap_size", "0"},
	{"PRAGMA temp_store=MEMORY", "PRAGMA temp_store", "2"},
	{"PRAGMA foreign_keys=OFF", "PRAGMA foreign_keys", "0"},
	{"PRAGMA trusted_schema=OFF", "PRAGMA trusted_schema", "0"},
};

/* What SQLite did when it failed, where that is not what it was asked for. */
static const char *database_operation(int code, const char *asked) {
	switch (code) {
	case SQLITE_IOERR_FSYNC: return "sync";
	case SQLITE_IOERR_WRITE: return "write";
	case SQLITE_IOERR_READ:
	case SQLITE_IOERR_CORRUPTFS: return "read";
	default: return asked;
	}
}

/* CORRUPTFS: the disk itself said so. IOERR_READ is all else that a read may fail for, and may pass. */
static bool database_is_unreadable(int code) {
	return code == SQLITE_IOERR_SHORT_READ || code == SQLITE_IOERR_CORRUPTFS;
}

/* Its header does, since the file itself was opened for writing. That of its WAL may not have been. */
static bool database_forbids_writing(const struct database *database) {
	return database->writable && sqlite3_db_readonly(database->sqlite, "main") == 1;
}

int database_fail(struct database *database, const char *what, struct store_error *error) {
	int code = sqlite3_extended_errcode(database->sqlite);
	int cause = sqlite3_system_errno(database->sqlite);

	(void)failure(error, 0, "cannot %s %s: %s (SQLite %d%s%s)", database_operation(code, what), database->path,
		      sqlite3_errmsg(database->sqlite), code, cause ? ", " : "", cause ? strerror(cause) : "");
	switch (code & 0xff) {
	case SQLITE_FULL: return STORE_FULL;
	case SQLITE_NOMEM: return -ENOMEM;
	case SQLITE_ERROR: /* the statements are always the same: the schema is not */
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return -EBADMSG;
	case SQLITE_READONLY: return database_forbids_writing(database) ? -EBADMSG : -EROFS;
	case SQLITE_BUSY: return -EBUSY;
	default: return database_is_unreadable(code) ? -EBADMSG : -EIO;
	}
}

int database_prepare(struct database *database, const char *sql, sqlite3_stmt **ret, struct store_error *error) {
	if (sqlite3_prepare_v3(database->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
		return database_fail(database, "use", error);
	return 0;
}

int database_step(struct database *database, sqlite3_stmt *statement, struct store_error *error) {
	int r = sqlite3_step(statement);

	if (r == SQLITE_ROW)
		return DATABASE_ROW;
	/* sqlite3_stmt_readonly() says so of COMMIT, too. */
	r = r == SQLITE_DONE ? 0 : database_fail(database, sqlite3_column_count(statement) ? "read" : "write", error);
	(void)sqlite3_reset(statement); /* repeats the failure of the step */
	(void)sqlite3_clear_bindings(statement);
	return r;
}

int database_run(struct database *database, sqlite3_stmt *statement, struct store_error *error) {
	int r = database_step(database, statement, error);

	assert(r != DATABASE_ROW);
	return r;
}

int database_begin(struct database *database, struct store_error *error) {
	return database_run(database, database->begin, error);
}

int database_commit(struct database *database, struct store_error *error) {
	int r = database_run(database, database->commit, error);

	if (r != 0)
		database_rollback(database);
	return r;
}

void database_rollback(struct database *database) {
	struct store_error error; /* of the failure that led here, the first one counts */

	if (!sqlite3_get_autocommit(database->sqlite))
		(void)database_run(database, database->rollback, &error);
}

int database_checkpoint(struct database *database, struct store_error *error) {
	int frames, copied;

	if (sqlite3_wal_checkpoint_v2(database->sqlite, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied) !=
	    SQLITE_OK)
		return database_fail(database, "copy the WAL back into", error);
	if (copied == frames)
		database->wal_frames = 0;
	return 0;
}

static int database_count_frames(void *context, sqlite3 *sqlite, const char *name, int frames) {
	struct database *database = context;

	(void)sqlite;
	(void)name;
	database->wal_frames = (uint32_t)frames;
	return SQLITE_OK;
}

/* ---- Opening ------------------------------------------------------------------------------------------------------
 */

static int database_execute(struct database *database, const char *sql, struct store_error *error) {
	if (sqlite3_exec(database->sqlite, sql, NULL, NULL, NULL) != SQLITE_OK)
		return database_fail(database, "set up", error);
	return 0;
}

static int database_ask(struct database *database, const char *sql, char *ret_answer, size_t n,
			struct store_error *error) {
	sqlite3_stmt *statement;
	const unsigned char *text;
	int r = database_prepare(database, sql, &statement, error);

	if (r != 0)
		return r;
	r = database_step(database, statement, error);
	if (r == DATABASE_ROW) {
		text = sqlite3_column_text(statement, 0);
		(void)snprintf(ret_answer, n, "%s", text ? (const char *)text : "");
		r = text ? 0 : failure(error, -ENOMEM, "out of memory");
	} else if (r == 0) {
		ret_answer[0] = 0;
	}
	(void)sqlite3_finalize(statement); /* repeats the failure of the step */
	return r;
}

static int database_set(struct database *database, const char *set, const char *get, const char *wanted,
			struct store_error *error) {
	char answer[32];
	int r = database_execute(database, set, error);

	if (r == 0)
		r = database_ask(database, get, answer, sizeof answer, error);
	if (r == 0 && strcmp(answer, wanted) != 0)
		return failure(error, -ENOTSUP, "cannot set up %s: %s is answered with '%s'", database->path, set,
			       answer);
	return r;
}

static int database_configure(struct database *database, const struct database_kind *kind, struct store_error *error) {
	char set[64], wanted[32];
	int one = 1, r;

	for (size_t i = 0; i < sizeof pragmas / sizeof *pragmas; i++) {
		r = database_set(database, pragmas[i].set, pragmas[i].get, pragmas[i].answer, error);
		if (r != 0)
			return r;
	}
	(void)snprintf(set, sizeof set, "PRAGMA cache_size=-%d", kind->cache_kib);
	(void)snprintf(wanted, sizeof wanted, "-%d", kind->cache_kib);
	r = database_set(database, set, "PRAGMA cache_size", wanted, error);
	if (r != 0)
		return r;
	if (sqlite3_file_control(database->sqlite, "main", SQLITE_FCNTL_PERSIST_WAL, &one) != SQLITE_OK)
		return database_fail(database, "keep the WAL of", error);
	(void)sqlite3_wal_hook(database->sqlite, database_count_frames, database);
	return 0;
}

/* The header of the file names kind and format, so that any format can be told from damage without knowing its tables.
 */
static int database_create(struct database *database, const struct database_kind *kind, struct store_error *error) {
	char identity[96];
	int r = database_begin(database, error);

	if (r != 0)
		return r;
	(void)snprintf(identity, sizeof identity, "PRAGMA application_id=%d; PRAGMA user_version=%d",
		       kind->application_id, FOLDER_FORMAT);
	r = database_execute(database, identity, error);
	if (r == 0)
		r = database_execute(database, kind->schema, error);
	if (r != 0) {
		database_rollback(database);
		return r;
	}
	return database_commit(database, error);
}

/* The superblock has been read before, and is of the format of this program. */
static int database_identify(struct database *database, const struct database_kind *kind, struct store_error *error) {
	char answer[32];
	int r = database_ask(database, "PRAGMA application_id", answer, sizeof answer, error);

	if (r != 0)
		return r;
	if (strtol(answer, NULL, 10) != kind->application_id)
		return failure(error, -EBADMSG, "%s is not the %s of a lockd data folder", database->path, kind->noun);

	r = database_ask(database, "PRAGMA user_version", answer, sizeof answer, error);
	if (r != 0)
		return r;
	if (strtol(answer, NULL, 10) != FOLDER_FORMAT)
		return failure(error, -EBADMSG, "%s is damaged: it has format %s in a folder of format %d",
			       database->path, answer, FOLDER_FORMAT);
	return 0;
}

static int database_try_open(struct database *database, const struct database_kind *kind, bool create,
			     struct store_error *error) {
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
	int r;

	if (sqlite3_open_v2(database->path, &database->sqlite, flags, NULL) != SQLITE_OK)
		return database->sqlite ? database_fail(database, "open", error)
					: failure(error, -ENOMEM, "out of memory");

	(void)sqlite3_extended_result_codes(database->sqlite, 1);
	/* Where SQLite may not write a file it opens it for reading without a word. */
	database->writable = sqlite3_db_readonly(database->sqlite, "main") == 0;
	if (!database->writable)
		return failure(error, -EROFS, "cannot open %s for writing", database->path);
	/* Before the WAL is first used: then SQLite keeps its index in memory, there is no -shm file, and nobody else
	 * can open the database. */
	r = database_set(database, "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA locking_mode", "exclusive", error);
	if (r == 0 && !create)
		r = database_identify(database, kind, error);
	if (r == 0)
		r = database_configure(database, kind, error);
	if (r == 0)
		r = database_prepare(database, "BEGIN IMMEDIATE", &database->begin, error);
	if (r == 0)
		r = database_prepare(database, "COMMIT", &database->commit, error);
	if (r == 0)
		r = database_prepare(database, "ROLLBACK", &database->rollback, error);
	if (r == 0 && create)
		r = database_create(database, kind, error);
	return r;
}

int database_open(struct database *database, char *path, const struct database_kind *kind, bool create,
		  struct store_error *error) {
	int r;

	*database = (struct database){.path = path};
	if (!path)
		return failure(error, -ENOMEM, "out of memory");
	r = database_try_open(database, kind, create, error);
	if (r != 0)
		database_close(database, false);
	return r;
}

sqlite3 *database_peek(const char *path) {
	sqlite3 *sqlite = NULL;

	/* Read-only in all but name: an exclusive lock, which spares the file -shm, needs a file that could be written.
	 */
	if (sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
	    sqlite3_exec(sqlite, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA query_only=ON", NULL, NULL, NULL) ==
		    SQLITE_OK &&
	    sqlite3_db_config(sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK)
		return sqlite;
	(void)sqlite3_close(sqlite);
	return NULL;
}

void database_close(struct database *database, bool tidy) {
	int r;

	if (!tidy && database->sqlite)
		(void)sqlite3_db_config(database->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_finalize(database->begin);
	(void)sqlite3_finalize(database->commit);
	(void)sqlite3_finalize(database->rollback);
	r = sqlite3_close(database->sqlite);
	assert(r == SQLITE_OK); /* SQLITE_BUSY: a statement was not finalized */
	free(database->path);
	*database = (struct database){0};
}
