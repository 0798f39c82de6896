/* SPDX-License-Identifier: Apache-2.0 */
#include "logdb.h"

#include "api/bytes.h"
#include "api/checksum.h"
#include "failure.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
	KEY_INDEX_BITS = 48,
	/* Rows below the bases that one transaction deletes: too few to be felt, more than a busy log appends. */
	TRIM_ROWS_PER_COMMIT = 256,
};

static const uint64_t index_max = (UINT64_C(1) << KEY_INDEX_BITS) - 1;

static const struct database_kind kind = {
	.application_id = 0x6c6b6c67, /* "lklg" */
	.noun = "log",
	.schema = "CREATE TABLE log (id INTEGER PRIMARY KEY, term INTEGER NOT NULL, type INTEGER NOT NULL,"
		  " checksum INTEGER NOT NULL, chain INTEGER NOT NULL, data BLOB NOT NULL);"
		  "CREATE TABLE member (id INTEGER PRIMARY KEY, term INTEGER NOT NULL, vote INTEGER NOT NULL,"
		  " promise_ms INTEGER NOT NULL, base_index INTEGER NOT NULL, base_term INTEGER NOT NULL,"
		  " base_chain INTEGER NOT NULL, sum INTEGER NOT NULL);"
		  "CREATE TABLE meta (id INTEGER PRIMARY KEY, store BLOB NOT NULL, incarnation BLOB NOT NULL,"
		  " epoch INTEGER NOT NULL, boot_count INTEGER NOT NULL, sum INTEGER NOT NULL);",
	.cache_kib = 8192,
};

static uint64_t key(uint32_t group, raft_index index) {
	assert(group < 1u << 15);
	assert(index <= index_max);
	return (uint64_t)group << KEY_INDEX_BITS | index;
}

static int logdb_damaged(const struct logdb *log, const struct logdb_group *group, raft_index index, const char *what,
			 struct store_error *error) {
	return failure(error, -EBADMSG, "%s is damaged: entry %llu of group %u %s", log->database.path,
		       (unsigned long long)index, group->group, what);
}

/* A chain begins with a value of its base, so that two logs with different bases never agree by accident. */
static struct logdb_place first_place(uint32_t group, raft_index index, raft_term term) {
	return (struct logdb_place){
		.index = index, .term = term, .chain = checksum_entry(group, index, term, 0, NULL, 0)};
}

/* ---- Rows of `member` and `meta` ----------------------------------------------------------------------------------
 */

static uint64_t group_sum(const struct logdb_group *group) {
	uint8_t bytes[48];

	bytes_put_u32(bytes, group->group);
	bytes_put_u32(bytes + 4, group->vote);
	bytes_put_u64(bytes + 8, group->term);
	bytes_put_u64(bytes + 16, group->promise_ms);
	bytes_put_u64(bytes + 24, group->base.index);
	bytes_put_u64(bytes + 32, group->base.term);
	bytes_put_u64(bytes + 40, group->base.chain);
	return XXH3_64bits(bytes, sizeof bytes);
}

static int logdb_put_group(struct logdb *log, struct logdb_group *group, struct store_error *error) {
	database_bind(log->put_group, 1, group->group);
	database_bind(log->put_group, 2, group->term);
	database_bind(log->put_group, 3, group->vote);
	database_bind(log->put_group, 4, group->promise_ms);
	database_bind(log->put_group, 5, group->base.index);
	database_bind(log->put_group, 6, group->base.term);
	database_bind(log->put_group, 7, group->base.chain);
	database_bind(log->put_group, 8, group_sum(group));
	group->changed = false;
	return database_run(&log->database, log->put_group, error);
}

static uint64_t identity_sum(const struct logdb_identity *identity) {
	uint8_t bytes[48];

	memcpy(bytes, identity->uuid.bytes, 16);
	memcpy(bytes + 16, identity->incarnation.bytes, 16);
	bytes_put_u64(bytes + 32, identity->epoch);
	bytes_put_u64(bytes + 40, identity->boot_count);
	return XXH3_64bits(bytes, sizeof bytes);
}

static int logdb_put_identity(struct logdb *log, const struct logdb_identity *identity, struct store_error *error) {
	database_bind_bytes(log->put_meta, 1, identity->uuid.bytes, sizeof identity->uuid);
	database_bind_bytes(log->put_meta, 2, identity->incarnation.bytes, sizeof identity->incarnation);
	database_bind(log->put_meta, 3, identity->epoch);
	database_bind(log->put_meta, 4, identity->boot_count);
	database_bind(log->put_meta, 5, identity_sum(identity));
	return database_run(&log->database, log->put_meta, error);
}

static bool get_uuid(sqlite3_stmt *statement, int column, struct node_uuid *ret) {
	const void *bytes = sqlite3_column_blob(statement, column);

	if (!bytes || sqlite3_column_bytes(statement, column) != sizeof ret->bytes)
		return false;
	memcpy(ret->bytes, bytes, sizeof ret->bytes);
	return true;
}

static const char select_identity[] = "SELECT store, incarnation, epoch, boot_count, sum FROM meta";

/* false: the row has no valid checksum. */
static bool get_identity(sqlite3_stmt *select, struct logdb_identity *ret) {
	struct logdb_identity identity = {.epoch = (uint32_t)database_get(select, 2),
					  .boot_count = database_get(select, 3)};

	if (!get_uuid(select, 0, &identity.uuid) || !get_uuid(select, 1, &identity.incarnation) ||
	    database_get(select, 4) != identity_sum(&identity))
		return false;
	*ret = identity;
	return true;
}

static int logdb_read_identity(struct logdb *log, struct store_error *error) {
	sqlite3_stmt *select;
	bool whole = false;
	int r = database_prepare(&log->database, select_identity, &select, error);

	if (r != 0)
		return r;
	r = database_step(&log->database, select, error);
	if (r == DATABASE_ROW) {
		whole = get_identity(select, &log->identity);
		r = 0;
	}
	(void)sqlite3_finalize(select); /* repeats the failure of the step */
	if (r == 0 && !whole)
		return failure(error, -EBADMSG, "%s is damaged: its identity has no valid checksum",
			       log->database.path);
	return r;
}

bool logdb_salvage(const struct folder *folder, struct logdb_identity *ret) {
	char *path = folder_path(folder, "raft.db");
	sqlite3 *sqlite = path && folder_file_bytes(folder, "raft.db") > 0 ? database_peek(path) : NULL;
	sqlite3_stmt *select = NULL;
	bool found = sqlite && sqlite3_prepare_v2(sqlite, select_identity, -1, &select, NULL) == SQLITE_OK &&
		     sqlite3_step(select) == SQLITE_ROW && get_identity(select, ret);

	(void)sqlite3_finalize(select); /* repeats the failure of the step */
	(void)sqlite3_close(sqlite);
	free(path);
	return found;
}

/* ---- Opening ------------------------------------------------------------------------------------------------------
 */

static int logdb_read_group(struct logdb *log, sqlite3_stmt *select, struct store_error *error) {
	struct logdb_group group = {
		.group = (uint32_t)database_get(select, 0),
		.term = database_get(select, 1),
		.vote = (uint32_t)database_get(select, 2),
		.promise_ms = (uint32_t)database_get(select, 3),
		.base = {.index = database_get(select, 4),
			 .term = database_get(select, 5),
			 .chain = database_get(select, 6)},
	};

	if (database_get(select, 7) != group_sum(&group))
		return failure(error, -EBADMSG, "%s is damaged: the row of group %u has no valid checksum",
			       log->database.path, group.group);
	if (log->n_groups == LIMIT_GROUPS_MAX || group.group >= 1u << 15 || group.base.index > index_max)
		return failure(error, -EBADMSG,
			       "%s is damaged: it has more than %d groups, or one of an impossible number",
			       log->database.path, LIMIT_GROUPS_MAX);
	group.last = group.base;
	group.stored = group.base.index;
	log->groups[log->n_groups++] = group;
	return 0;
}

static int logdb_read_groups(struct logdb *log, struct store_error *error) {
	sqlite3_stmt *select;
	int r = database_prepare(
		&log->database,
		"SELECT id, term, vote, promise_ms, base_index, base_term, base_chain, sum FROM member ORDER BY id",
		&select, error);

	if (r != 0)
		return r;
	while ((r = database_step(&log->database, select, error)) == DATABASE_ROW) {
		r = audit_pass(log->audit, logdb_read_group(log, select, error), error);
		if (r != 0)
			break;
	}
	(void)sqlite3_finalize(select); /* repeats the failure of the step */
	return r;
}

/* The first row of a key range, from either end. 0: there is none. */
static int logdb_seek(struct logdb *log, sqlite3_stmt *select, uint64_t from, uint64_t to, uint64_t *ret_key,
		      struct store_error *error) {
	int r;

	database_bind(select, 1, from);
	database_bind(select, 2, to);
	r = database_step(&log->database, select, error);
	if (r != DATABASE_ROW)
		return r;
	*ret_key = database_get(select, 0);
	(void)sqlite3_reset(select); /* the step succeeded */
	return DATABASE_ROW;
}

static int logdb_place_at(struct logdb *log, const struct logdb_group *group, raft_index index, struct logdb_place *ret,
			  struct store_error *error) {
	int r;

	if (index == group->base.index || index == group->last.index) {
		*ret = index == group->base.index ? group->base : group->last;
		return 0;
	}
	database_bind(log->select_one, 1, key(group->group, index));
	r = database_step(&log->database, log->select_one, error);
	if (r == 0)
		return logdb_damaged(log, group, index, "is missing", error);
	if (r != DATABASE_ROW)
		return r;
	*ret = (struct logdb_place){
		.index = index,
		.term = database_get(log->select_one, 0),
		.chain = database_get(log->select_one, 1),
	};
	(void)sqlite3_reset(log->select_one); /* the step succeeded */
	return 0;
}

static int logdb_find_ends(struct logdb *log, struct logdb_group *group, sqlite3_stmt *lowest, sqlite3_stmt *highest,
			   struct store_error *error) {
	uint64_t found;
	int r = logdb_seek(log, lowest, key(group->group, 0), key(group->group, group->base.index), &found, error);

	if (r == DATABASE_ROW && (found & index_max) > 0)
		group->stored = (found & index_max) - 1;
	if (r != DATABASE_ROW && r != 0)
		return r;

	r = logdb_seek(log, highest, key(group->group, group->base.index) + 1, key(group->group, index_max), &found,
		       error);
	if (r != DATABASE_ROW)
		return r;
	return logdb_place_at(log, group, found & index_max, &group->last, error);
}

/* A row of a group that `member` does not know means that `member` has lost one. */
static int logdb_refuse_strays(struct logdb *log, sqlite3_stmt *lowest, struct store_error *error) {
	uint64_t from = 0;

	for (size_t i = 0; i <= log->n_groups; i++) {
		uint64_t to = i < log->n_groups ? key(log->groups[i].group, 0) : INT64_MAX, found;
		int r = from < to ? logdb_seek(log, lowest, from, to, &found, error) : 0;

		if (r == DATABASE_ROW)
			return failure(error, -EBADMSG,
				       "%s is damaged: it holds entries of group %llu but no row of that group",
				       log->database.path, (unsigned long long)(found >> KEY_INDEX_BITS));
		if (r != 0)
			return r;
		if (i < log->n_groups && log->groups[i].group == (1u << 15) - 1)
			break;
		from = i < log->n_groups ? key(log->groups[i].group + 1, 0) : 0;
	}
	return 0;
}

static int logdb_survey(struct logdb *log, struct store_error *error) {
	sqlite3_stmt *lowest = NULL, *highest = NULL;
	int r = database_prepare(&log->database, "SELECT id FROM log WHERE id >= ? AND id <= ? ORDER BY id LIMIT 1",
				 &lowest, error);

	if (r == 0)
		r = database_prepare(&log->database,
				     "SELECT id FROM log WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT 1", &highest,
				     error);
	for (size_t i = 0; r == 0 && i < log->n_groups; i++)
		r = audit_pass(log->audit, logdb_find_ends(log, &log->groups[i], lowest, highest, error), error);
	if (r == 0)
		r = logdb_refuse_strays(log, lowest, error);
	(void)sqlite3_finalize(lowest); /* repeats the failure of a step */
	(void)sqlite3_finalize(highest);
	return r;
}

static int logdb_prepare(struct logdb *log, struct store_error *error) {
	const struct {
		const char *sql;
		sqlite3_stmt **ret;
	} statements[] = {
		{"INSERT INTO log (id, term, type, checksum, chain, data) VALUES (?, ?, ?, ?, ?, ?)", &log->insert},
		{"DELETE FROM log WHERE id >= ? AND id <= ?", &log->delete},
		{"SELECT term, chain FROM log WHERE id = ?", &log->select_one},
		{"SELECT id, term, type, checksum, chain, data FROM log WHERE id >= ? AND id <= ? ORDER BY id",
		 &log->select_log},
		{"INSERT OR REPLACE INTO member (id, term, vote, promise_ms, base_index, base_term, base_chain, sum)"
		 " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		 &log->put_group},
		{"INSERT OR REPLACE INTO meta (id, store, incarnation, epoch, boot_count, sum) VALUES (1, ?, ?, ?, ?, "
		 "?)",
		 &log->put_meta},
	};

	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
		int r = database_prepare(&log->database, statements[i].sql, statements[i].ret, error);
		if (r != 0)
			return r;
	}
	return 0;
}

static int logdb_try_open(struct logdb *log, bool create, const struct logdb_identity *identity,
			  struct store_error *error) {
	int r = logdb_prepare(log, error);

	if (r != 0)
		return r;
	if (create) {
		log->identity = *identity;
		return logdb_put_identity(log, identity, error);
	}
	r = audit_pass(log->audit, logdb_read_identity(log, error), error);
	if (r == 0)
		r = audit_pass(log->audit, logdb_read_groups(log, error), error);
	if (r == 0)
		r = audit_pass(log->audit, logdb_survey(log, error), error);
	return r;
}

static int logdb_open_file(struct logdb *log, const struct folder *folder, bool create,
			   const struct logdb_identity *identity, const struct audit *audit,
			   struct store_error *error) {
	int r = create ? 0 : folder_require(folder, "raft.db", error);

	*log = (struct logdb){.audit = audit};
	if (r != 0)
		return r;
	r = database_open(&log->database, folder_path(folder, "raft.db"), &kind, create, error);
	if (r != 0)
		return r;
	r = logdb_try_open(log, create, identity, error);
	if (r != 0)
		logdb_close(log, false);
	return r;
}

int logdb_open(struct logdb *log, const struct folder *folder, bool create, const struct logdb_identity *identity,
	       struct store_error *error) {
	return logdb_open_file(log, folder, create, identity, NULL, error);
}

int logdb_open_audited(struct logdb *log, const struct folder *folder, const struct audit *audit,
		       struct store_error *error) {
	return logdb_open_file(log, folder, false, NULL, audit, error);
}

void logdb_close(struct logdb *log, bool tidy) {
	sqlite3_stmt *statements[] = {log->insert,     log->delete,    log->select_one,
				      log->select_log, log->put_group, log->put_meta};

	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
		(void)sqlite3_finalize(statements[i]);
	database_close(&log->database, tidy);
	*log = (struct logdb){0};
}

int logdb_set_boot_count(struct logdb *log, uint64_t boot_count, struct store_error *error) {
	struct logdb_identity identity = log->identity;
	int r;

	identity.boot_count = boot_count;
	r = logdb_put_identity(log, &identity, error);
	if (r == 0)
		log->identity = identity;
	return r;
}

const struct logdb_group *logdb_find(const struct logdb *log, uint32_t group) {
	for (size_t i = 0; i < log->n_groups; i++)
		if (log->groups[i].group == group)
			return &log->groups[i];
	return NULL;
}

/* ---- Writing ------------------------------------------------------------------------------------------------------
 */

static struct logdb_group *logdb_group(struct logdb *log, uint32_t number) {
	struct logdb_group *group = (struct logdb_group *)logdb_find(log, number);

	if (!group) {
		assert(log->n_groups < LIMIT_GROUPS_MAX);
		group = &log->groups[log->n_groups++];
		*group = (struct logdb_group){.group = number, .base = first_place(number, 0, 0), .changed = true};
		group->last = group->base;
	}
	return group;
}

static int logdb_delete(struct logdb *log, const struct logdb_group *group, raft_index first, raft_index last,
			struct store_error *error) {
	if (first > last)
		return 0;
	database_bind(log->delete, 1, key(group->group, first));
	database_bind(log->delete, 2, key(group->group, last));
	return database_run(&log->database, log->delete, error);
}

static int logdb_truncate(struct logdb *log, struct logdb_group *group, raft_index from, struct store_error *error) {
	struct logdb_place last;
	int r;

	assert(from > group->base.index);
	if (from > group->last.index)
		return 0;
	r = logdb_place_at(log, group, from - 1, &last, error);
	if (r == 0)
		r = logdb_delete(log, group, from, group->last.index, error);
	if (r == 0)
		group->last = last;
	return r;
}

static int logdb_append(struct logdb *log, struct logdb_group *group, const struct node_entry *entry,
			struct store_error *error) {
	uint64_t checksum = checksum_entry(group->group, entry->index, entry->term, entry->type, entry->data, entry->n);
	uint64_t chain = checksum_chain(group->last.chain, checksum);
	int r;

	assert(entry->index == group->last.index + 1);
	assert(entry->term >= group->last.term);
	if (checksum != entry->checksum)
		return failure(error, -EIO, "entry %llu of group %u was damaged in memory before it was written to %s",
			       (unsigned long long)entry->index, group->group, log->database.path);

	database_bind(log->insert, 1, key(group->group, entry->index));
	database_bind(log->insert, 2, entry->term);
	database_bind(log->insert, 3, entry->type);
	database_bind(log->insert, 4, checksum);
	database_bind(log->insert, 5, chain);
	database_bind_bytes(log->insert, 6, entry->data, entry->n);
	r = database_run(&log->database, log->insert, error);
	if (r == 0)
		group->last = (struct logdb_place){.index = entry->index, .term = entry->term, .chain = chain};
	return r;
}

/* Moves the base within the log, the entry there becoming the one before the first. */
static int logdb_move_base(struct logdb *log, struct logdb_group *group, raft_index index, raft_term term,
			   struct store_error *error) {
	struct logdb_place base;
	int r;

	if (index <= group->base.index)
		return 0;
	if (index > group->last.index)
		return logdb_damaged(log, group, index, "is missing, yet a checkpoint covers it", error);
	r = logdb_place_at(log, group, index, &base, error);
	if (r != 0)
		return r;
	if (base.term != term)
		return logdb_damaged(log, group, index, "has another term than the checkpoint that covers it", error);
	group->base = base;
	group->changed = true;
	return 0;
}

static int logdb_restart(struct logdb *log, struct logdb_group *group, raft_index index, raft_term term,
			 struct store_error *error) {
	int r = logdb_delete(log, group, group->stored + 1, group->last.index, error);

	if (r != 0)
		return r;
	group->base = first_place(group->group, index, term);
	group->last = group->base;
	group->stored = index;
	group->changed = true;
	return 0;
}

static void logdb_set_hard(struct logdb_group *group, const struct node_save *save) {
	group->term = save->term;
	group->vote = save->vote;
	if (save->promise_ms > group->promise_ms)
		group->promise_ms = save->promise_ms;
	group->changed = true;
}

static int logdb_save(struct logdb *log, const struct node_save *save, struct store_error *error) {
	struct logdb_group *group = logdb_group(log, save->group);
	int r = 0;

	if (save->identity) {
		log->identity.incarnation = save->incarnation;
		log->identity.epoch = save->epoch;
		r = logdb_put_identity(log, &log->identity, error);
	}
	if (save->hard)
		logdb_set_hard(group, save);
	if (r == 0 && save->install)
		r = save->keep_suffix ? logdb_move_base(log, group, save->base, save->base_term, error)
				      : logdb_restart(log, group, save->base, save->base_term, error);
	if (r == 0 && save->truncate_from)
		r = logdb_truncate(log, group, save->truncate_from, error);
	for (size_t i = 0; r == 0 && i < save->n_entries; i++)
		r = logdb_append(log, group, &save->entries[i], error);
	if (r == 0 && save->trim_to)
		r = logdb_move_base(log, group, save->trim_to, save->trim_term, error);
	return r;
}

static int logdb_trim(struct logdb *log, struct logdb_group *group, uint64_t *budget, struct store_error *error) {
	uint64_t n = group->base.index - group->stored;
	int r;

	if (n > *budget)
		n = *budget;
	r = logdb_delete(log, group, group->stored + 1, group->stored + n, error);
	if (r == 0) {
		group->stored += n;
		*budget -= n;
	}
	return r;
}

static int logdb_save_all(struct logdb *log, const struct node_save *saves, size_t n, struct store_error *error) {
	uint64_t budget = TRIM_ROWS_PER_COMMIT;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = logdb_save(log, &saves[i], error);
	for (size_t i = 0; r == 0 && i < log->n_groups; i++) {
		r = logdb_trim(log, &log->groups[i], &budget, error);
		if (r == 0 && log->groups[i].changed)
			r = logdb_put_group(log, &log->groups[i], error);
	}
	return r;
}

int logdb_write(struct logdb *log, const struct node_save *saves, size_t n, struct store_error *error) {
	struct logdb_group groups[LIMIT_GROUPS_MAX];
	struct logdb_identity identity = log->identity;
	size_t n_groups = log->n_groups;
	int r = database_begin(&log->database, error);

	if (r != 0)
		return r;
	memcpy(groups, log->groups, n_groups * sizeof *groups);
	r = logdb_save_all(log, saves, n, error);
	if (r == 0)
		r = database_commit(&log->database, error);
	else
		database_rollback(&log->database);
	if (r != 0) {
		memcpy(log->groups, groups, n_groups * sizeof *groups);
		log->n_groups = n_groups;
		log->identity = identity;
	}
	return r;
}

/* ---- Loading ------------------------------------------------------------------------------------------------------
 */

static int logdb_check_row(struct logdb *log, const struct logdb_group *group, const struct node_entry *entry,
			   const struct logdb_place *before, uint64_t chain, struct store_error *error) {
	if (entry->index != before->index + 1)
		return logdb_damaged(log, group, before->index + 1, "is missing", error);
	if (entry->checksum !=
	    checksum_entry(group->group, entry->index, entry->term, entry->type, entry->data, entry->n))
		return logdb_damaged(log, group, entry->index, "does not match its checksum", error);
	if (chain != checksum_chain(before->chain, entry->checksum))
		return logdb_damaged(log, group, entry->index, "does not continue the chain of the entries before it",
				     error);
	if (entry->term < before->term)
		return logdb_damaged(log, group, entry->index, "has a lower term than the entry before it", error);
	return 0;
}

static int logdb_hand_over(struct node *node, const struct logdb_group *group, const struct node_entry *entry,
			   struct store_error *error) {
	int r = node ? node_restore_entry(node, group->group, entry) : 0;

	return r == 0 ? 0
		      : failure(error, r, "entry %llu of group %u cannot be used: %s", (unsigned long long)entry->index,
				group->group, node_error(node));
}

static int logdb_load_row(struct logdb *log, const struct logdb_group *group, struct logdb_place *place,
			  struct node *node, struct store_error *error) {
	sqlite3_stmt *row = log->select_log;
	uint64_t chain = database_get(row, 4);
	struct node_entry entry = {
		.index = database_get(row, 0) & index_max,
		.term = database_get(row, 1),
		.type = (uint8_t)database_get(row, 2),
		.checksum = database_get(row, 3),
		.data = sqlite3_column_blob(row, 5),
		.n = (size_t)sqlite3_column_bytes(row, 5),
	};
	int r = audit_pass(log->audit, logdb_check_row(log, group, &entry, place, chain, error), error);

	if (r == 0)
		r = logdb_hand_over(node, group, &entry, error);
	*place = (struct logdb_place){.index = entry.index, .term = entry.term, .chain = chain};
	return r;
}

static void logdb_begin_load(struct logdb *log, const struct logdb_group *group, raft_index before) {
	database_bind(log->select_log, 1, key(group->group, before) + 1);
	database_bind(log->select_log, 2, key(group->group, index_max));
}

/* The page with the entry behind *place cannot be read. Goes on from the next entry that can, or from `last`. */
static int logdb_skip(struct logdb *log, const struct logdb_group *group, raft_index last, struct logdb_place *place,
		      struct store_error *error) {
	raft_index first = place->index + 1;
	struct logdb_place next = {.index = last + 1};
	int r = -EBADMSG;

	for (raft_index i = first; r == -EBADMSG && i <= last; i++) {
		r = logdb_place_at(log, group, i, &next, error);
		if (r == -EBADMSG)
			next.index = last + 1;
	}
	if (r != 0 && r != -EBADMSG)
		return r;
	(void)failure(error, 0, "%s is damaged: entries %llu to %llu of group %u cannot be read", log->database.path,
		      (unsigned long long)first, (unsigned long long)(next.index > first ? next.index - 1 : first),
		      group->group);
	log->audit->damage(log->audit->context, error->text);
	*place = next;
	logdb_begin_load(log, group, next.index);
	return DATABASE_ROW;
}

int logdb_load(struct logdb *log, const struct logdb_group *group, raft_index mark_index, uint64_t mark_chain,
	       struct node *node, struct store_error *error) {
	raft_index last = group->last.index > mark_index ? group->last.index : mark_index;
	struct logdb_place place = group->base;
	int r;

	logdb_begin_load(log, group, place.index);
	for (;;) {
		if (mark_index && place.index == mark_index && place.chain != mark_chain) {
			r = audit_pass(
				log->audit,
				logdb_damaged(log, group, mark_index, "is not the one that was acknowledged", error),
				error);
			if (r != 0)
				break;
		}
		r = database_step(&log->database, log->select_log, error);
		if (r == -EBADMSG && log->audit && place.index < last) {
			r = logdb_skip(log, group, last, &place, error);
			if (r == DATABASE_ROW)
				continue;
		}
		if (r != DATABASE_ROW)
			return r;
		r = logdb_load_row(log, group, &place, node, error);
		if (r != 0)
			break;
	}
	(void)sqlite3_reset(log->select_log); /* the failure is ours */
	return r;
}
