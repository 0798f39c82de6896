/* SPDX-License-Identifier: Apache-2.0 */
#include "statedb.h"

#include "api/bytes.h"
#include "failure.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { KEY_ROW_BITS = 48 };

static const uint64_t row_id_max = (UINT64_C(1) << KEY_ROW_BITS) - 1;

static const struct database_kind kind = {
	.application_id = 0x6c6b7374, /* "lkst" */
	.noun = "checkpoint store",
	.schema = "CREATE TABLE row (id INTEGER PRIMARY KEY, record BLOB NOT NULL, sum INTEGER NOT NULL);"
		  "CREATE TABLE header (id INTEGER PRIMARY KEY, install INTEGER NOT NULL, log_index INTEGER NOT NULL,"
		  " log_term INTEGER NOT NULL, rows INTEGER NOT NULL, sums INTEGER NOT NULL, record BLOB NOT NULL,"
		  " sum INTEGER NOT NULL);"
		  "CREATE TABLE meta (id INTEGER PRIMARY KEY, store BLOB NOT NULL);",
	.cache_kib = 8192,
};

static uint64_t key(uint32_t group, uint64_t id) {
	assert(group < 1u << 15);
	assert(id <= row_id_max);
	return (uint64_t)group << KEY_ROW_BITS | id;
}

/* A row that SQLite returns under another key than it was written with is caught, too. */
static uint64_t row_sum(uint64_t key, const void *record, size_t n) {
	return XXH3_64bits_withSeed(n ? record : "", n, key);
}

static uint64_t header_sum(const struct statedb_group *group, const void *record, size_t n) {
	uint8_t bytes[40];

	bytes_put_u32(bytes, group->group);
	bytes_put_u32(bytes + 4, group->install);
	bytes_put_u64(bytes + 8, group->index);
	bytes_put_u64(bytes + 16, group->term);
	bytes_put_u64(bytes + 24, group->rows);
	bytes_put_u64(bytes + 32, group->sums);
	return XXH3_64bits_withSeed(n ? record : "", n, XXH3_64bits(bytes, sizeof bytes));
}

static int statedb_damaged(const struct statedb *state, uint32_t group, const char *what, struct store_error *error) {
	return failure(error, -EBADMSG, "%s is damaged: in the checkpoint of group %u %s", state->database.path, group,
		       what);
}

/* ---- Opening ------------------------------------------------------------------------------------------------------
 */

static int statedb_prepare(struct statedb *state, struct store_error *error) {
	const struct {
		const char *sql;
		sqlite3_stmt **ret;
	} statements[] = {
		{"SELECT sum FROM row WHERE id = ?", &state->select_sum},
		{"INSERT OR REPLACE INTO row (id, record, sum) VALUES (?, ?, ?)", &state->put_row},
		{"DELETE FROM row WHERE id = ?", &state->delete_row},
		{"DELETE FROM row WHERE id >= ? AND id <= ?", &state->delete_rows},
		{"SELECT id, record, sum FROM row WHERE id >= ? AND id <= ? ORDER BY id", &state->select_rows},
		{"INSERT OR REPLACE INTO header (id, install, log_index, log_term, rows, sums, record, sum)"
		 " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		 &state->put_header},
		{"SELECT record FROM header WHERE id = ?", &state->select_header},
	};

	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
		int r = database_prepare(&state->database, statements[i].sql, statements[i].ret, error);
		if (r != 0)
			return r;
	}
	return 0;
}

static int statedb_put_uuid(struct statedb *state, const struct node_uuid *uuid, struct store_error *error) {
	sqlite3_stmt *insert;
	int r = database_prepare(&state->database, "INSERT INTO meta (id, store) VALUES (1, ?)", &insert, error);

	if (r != 0)
		return r;
	database_bind_bytes(insert, 1, uuid->bytes, sizeof uuid->bytes);
	r = database_run(&state->database, insert, error);
	(void)sqlite3_finalize(insert); /* repeats the failure of the step */
	return r;
}

static int statedb_check_uuid(struct statedb *state, const struct node_uuid *uuid, struct store_error *error) {
	sqlite3_stmt *select;
	bool same = false;
	int r = database_prepare(&state->database, "SELECT store FROM meta", &select, error);

	if (r != 0)
		return r;
	r = database_step(&state->database, select, error);
	if (r == DATABASE_ROW) {
		same = sqlite3_column_bytes(select, 0) == sizeof uuid->bytes &&
		       memcmp(sqlite3_column_blob(select, 0), uuid->bytes, sizeof uuid->bytes) == 0;
		r = 0;
	}
	(void)sqlite3_finalize(select); /* repeats the failure of the step */
	if (r == 0 && !same)
		return failure(error, -EBADMSG, "%s belongs to another data folder", state->database.path);
	return r;
}

static int statedb_read_header(struct statedb *state, sqlite3_stmt *select, struct store_error *error) {
	struct statedb_group group = {
		.group = (uint32_t)database_get(select, 0),
		.install = (enum statedb_install)database_get(select, 1),
		.index = database_get(select, 2),
		.term = database_get(select, 3),
		.rows = database_get(select, 4),
		.sums = database_get(select, 5),
	};
	const void *record = sqlite3_column_blob(select, 6);

	if (database_get(select, 7) != header_sum(&group, record, (size_t)sqlite3_column_bytes(select, 6)))
		return statedb_damaged(state, group.group, "the header does not match its checksum", error);
	if (state->n_groups == LIMIT_GROUPS_MAX || group.group >= 1u << 15)
		return statedb_damaged(state, group.group, "the group is one too many, or of an impossible number",
				       error);
	state->groups[state->n_groups++] = group;
	return 0;
}

static int statedb_read_headers(struct statedb *state, struct store_error *error) {
	sqlite3_stmt *select;
	int r = database_prepare(
		&state->database,
		"SELECT id, install, log_index, log_term, rows, sums, record, sum FROM header ORDER BY id", &select,
		error);

	if (r != 0)
		return r;
	while ((r = database_step(&state->database, select, error)) == DATABASE_ROW) {
		r = audit_pass(state->audit, statedb_read_header(state, select, error), error);
		if (r != 0)
			break;
	}
	(void)sqlite3_finalize(select); /* repeats the failure of the step */
	return r;
}

static int statedb_try_open(struct statedb *state, bool create, const struct node_uuid *uuid,
			    struct store_error *error) {
	int r = statedb_prepare(state, error);

	if (r == 0 && create)
		return statedb_put_uuid(state, uuid, error);
	if (r == 0 && uuid)
		r = audit_pass(state->audit, statedb_check_uuid(state, uuid, error), error);
	if (r == 0)
		r = audit_pass(state->audit, statedb_read_headers(state, error), error);
	return r;
}

static int statedb_open_file(struct statedb *state, const struct folder *folder, bool create,
			     const struct node_uuid *uuid, const struct audit *audit, struct store_error *error) {
	int r = create ? 0 : folder_require(folder, "state.db", error);

	*state = (struct statedb){.audit = audit};
	if (r != 0)
		return r;
	r = database_open(&state->database, folder_path(folder, "state.db"), &kind, create, error);
	if (r != 0)
		return r;
	r = statedb_try_open(state, create, uuid, error);
	if (r != 0)
		statedb_close(state, false);
	return r;
}

int statedb_open(struct statedb *state, const struct folder *folder, bool create, const struct node_uuid *uuid,
		 struct store_error *error) {
	return statedb_open_file(state, folder, create, uuid, NULL, error);
}

int statedb_open_audited(struct statedb *state, const struct folder *folder, const struct node_uuid *uuid,
			 const struct audit *audit, struct store_error *error) {
	return statedb_open_file(state, folder, false, uuid, audit, error);
}

void statedb_close(struct statedb *state, bool tidy) {
	sqlite3_stmt *statements[] = {state->select_sum,  state->put_row,    state->delete_row,   state->delete_rows,
				      state->select_rows, state->put_header, state->select_header};

	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
		(void)sqlite3_finalize(statements[i]);
	database_close(&state->database, tidy);
	*state = (struct statedb){0};
}

const struct statedb_group *statedb_find(const struct statedb *state, uint32_t group) {
	for (size_t i = 0; i < state->n_groups; i++)
		if (state->groups[i].group == group)
			return &state->groups[i];
	return NULL;
}

/* ---- Writing ------------------------------------------------------------------------------------------------------
 */

/* Takes the row that is about to be replaced or deleted out of the sums. */
static int statedb_discount(struct statedb *state, struct statedb_group *group, uint64_t row,
			    struct store_error *error) {
	int r;

	database_bind(state->select_sum, 1, row);
	r = database_step(&state->database, state->select_sum, error);
	if (r != DATABASE_ROW)
		return r;
	group->rows--;
	group->sums -= database_get(state->select_sum, 0);
	(void)sqlite3_reset(state->select_sum); /* the step succeeded */
	return 0;
}

static int statedb_put_row(struct statedb *state, struct statedb_group *group, uint64_t row,
			   const struct node_bytes *record, struct store_error *error) {
	uint64_t sum = row_sum(row, record->bytes, record->n);

	database_bind(state->put_row, 1, row);
	database_bind_bytes(state->put_row, 2, record->bytes, record->n);
	database_bind(state->put_row, 3, sum);
	group->rows++;
	group->sums += sum;
	return database_run(&state->database, state->put_row, error);
}

static int statedb_change_row(struct statedb *state, struct statedb_group *group, uint64_t id,
			      const struct node_bytes *record, struct store_error *error) {
	uint64_t row = key(group->group, id);
	int r = statedb_discount(state, group, row, error);

	if (r != 0)
		return r;
	if (record->bytes)
		return statedb_put_row(state, group, row, record, error);
	database_bind(state->delete_row, 1, row);
	return database_run(&state->database, state->delete_row, error);
}

static int statedb_put_header(struct statedb *state, const struct statedb_group *group, const void *record, size_t n,
			      struct store_error *error) {
	database_bind(state->put_header, 1, group->group);
	database_bind(state->put_header, 2, group->install);
	database_bind(state->put_header, 3, group->index);
	database_bind(state->put_header, 4, group->term);
	database_bind(state->put_header, 5, group->rows);
	database_bind(state->put_header, 6, group->sums);
	database_bind_bytes(state->put_header, 7, record, n);
	database_bind(state->put_header, 8, header_sum(group, record, n));
	return database_run(&state->database, state->put_header, error);
}

static struct statedb_group statedb_copy_group(const struct statedb *state, uint32_t number) {
	const struct statedb_group *group = statedb_find(state, number);

	return group ? *group : (struct statedb_group){.group = number};
}

/* Ends the transaction, well if `r` is 0; what memory knows of the group follows the file. */
static int statedb_finish(struct statedb *state, const struct statedb_group *changed, int r,
			  struct store_error *error) {
	struct statedb_group *group = (struct statedb_group *)statedb_find(state, changed->group);

	if (r != 0) {
		database_rollback(&state->database);
		return r;
	}
	r = database_commit(&state->database, error);
	if (r != 0)
		return r;
	if (!group) {
		assert(state->n_groups < LIMIT_GROUPS_MAX);
		group = &state->groups[state->n_groups++];
	}
	*group = *changed;
	return 0;
}

/* Failing for want of space is no failure of the transaction: it stands in the WAL, and the next one tries again. */
static int statedb_shorten_wal(struct statedb *state, struct store_error *error) {
	int r = database_checkpoint(&state->database, error);

	return r == STORE_FULL ? 0 : r;
}

int statedb_checkpoint(struct statedb *state, const struct node_checkpoint *checkpoint, struct store_error *error) {
	struct statedb_group group = statedb_copy_group(state, checkpoint->group);
	int r;

	/* A snapshot was installed while the checkpoint waited for its turn: its rows belong to what is gone. */
	if (checkpoint->index < group.index)
		return 0;
	r = database_begin(&state->database, error);
	if (r != 0)
		return r;
	group.install = STATEDB_SETTLED;
	group.index = checkpoint->index;
	group.term = 0;
	for (size_t i = 0; r == 0 && i < checkpoint->n_rows; i++)
		r = statedb_change_row(state, &group, checkpoint->row_ids[i], &checkpoint->rows[i], error);
	if (r == 0)
		r = statedb_put_header(state, &group, checkpoint->header, checkpoint->header_bytes, error);
	r = statedb_finish(state, &group, r, error);
	return r == 0 ? statedb_shorten_wal(state, error) : r;
}

int statedb_install(struct statedb *state, const struct node_save *save, struct store_error *error) {
	struct statedb_group group = {
		.group = save->group,
		.install = save->keep_suffix ? STATEDB_INSTALL_SUFFIX : STATEDB_INSTALL_RESTART,
		.index = save->base,
		.term = save->base_term,
	};
	int r = database_begin(&state->database, error);

	if (r != 0)
		return r;
	database_bind(state->delete_rows, 1, key(group.group, 0));
	database_bind(state->delete_rows, 2, key(group.group, row_id_max));
	r = database_run(&state->database, state->delete_rows, error);
	for (size_t i = 0; r == 0 && i < save->n_rows; i++)
		r = statedb_put_row(state, &group, key(group.group, save->row_ids[i]), &save->rows[i], error);
	if (r == 0)
		r = statedb_put_header(state, &group, save->header, save->header_bytes, error);
	r = statedb_finish(state, &group, r, error);
	return r == 0 ? statedb_shorten_wal(state, error) : r;
}

int statedb_settle(struct statedb *state, uint32_t number, struct store_error *error) {
	struct statedb_group group = statedb_copy_group(state, number);
	uint8_t *record;
	size_t n;
	int r = statedb_header(state, &group, &record, &n, error);

	if (r != 0)
		return r;
	r = database_begin(&state->database, error);
	if (r == 0) {
		group.install = STATEDB_SETTLED;
		group.term = 0;
		r = statedb_put_header(state, &group, record, n, error);
		r = statedb_finish(state, &group, r, error);
	}
	free(record);
	return r;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------
 */

static int statedb_copy_record(struct statedb *state, uint8_t **ret, size_t *ret_n, struct store_error *error) {
	const void *record = sqlite3_column_blob(state->select_header, 0);
	size_t n = (size_t)sqlite3_column_bytes(state->select_header, 0);
	uint8_t *copy = malloc(n + 1);

	if (!copy)
		return failure(error, -ENOMEM, "out of memory");
	if (n)
		memcpy(copy, record, n);
	*ret = copy;
	*ret_n = n;
	return 0;
}

int statedb_header(struct statedb *state, const struct statedb_group *group, uint8_t **ret, size_t *ret_n,
		   struct store_error *error) {
	int r;

	database_bind(state->select_header, 1, group->group);
	r = database_step(&state->database, state->select_header, error);
	if (r == 0)
		return statedb_damaged(state, group->group, "the header is missing", error);
	if (r != DATABASE_ROW)
		return r;
	r = statedb_copy_record(state, ret, ret_n, error);
	(void)sqlite3_reset(state->select_header); /* the step succeeded */
	return r;
}

/* Pages that have changed places hold whole rows, which SQLite then returns out of order. */
static int statedb_check_order(struct statedb *state, const struct statedb_group *seen, uint64_t row, uint64_t *last,
			       struct store_error *error) {
	uint64_t before = *last;

	*last = row;
	if (seen->rows == 0 || row > before)
		return 0;
	return audit_pass(state->audit, statedb_damaged(state, seen->group, "rows are out of order", error), error);
}

static int statedb_visit_row(struct statedb *state, struct statedb_group *seen, statedb_visit *visit, void *context,
			     struct store_error *error) {
	sqlite3_stmt *select = state->select_rows;
	uint64_t row = database_get(select, 0), sum = database_get(select, 2);
	const void *record = sqlite3_column_blob(select, 1);
	size_t n = (size_t)sqlite3_column_bytes(select, 1);

	seen->rows++;
	seen->sums += sum;
	if (sum != row_sum(row, record, n)) {
		char what[64];

		(void)snprintf(what, sizeof what, "row %llu does not match its checksum",
			       (unsigned long long)(row & row_id_max));
		return audit_pass(state->audit, statedb_damaged(state, seen->group, what, error), error);
	}
	return visit(context, row & row_id_max, record, n, error);
}

int statedb_walk(struct statedb *state, const struct statedb_group *group, statedb_visit *visit, void *context,
		 struct store_error *error) {
	struct statedb_group seen = {.group = group->group};
	uint64_t last = 0;
	int r;

	database_bind(state->select_rows, 1, key(group->group, 0));
	database_bind(state->select_rows, 2, key(group->group, row_id_max));
	while ((r = database_step(&state->database, state->select_rows, error)) == DATABASE_ROW) {
		r = statedb_check_order(state, &seen, database_get(state->select_rows, 0), &last, error);
		if (r == 0)
			r = statedb_visit_row(state, &seen, visit, context, error);
		if (r != 0) {
			(void)sqlite3_reset(state->select_rows); /* the failure is the visitor's */
			return r;
		}
	}
	if (r == 0 && (seen.rows != group->rows || seen.sums != group->sums))
		r = statedb_damaged(state, group->group, "rows are missing or left over", error);
	return audit_pass(state->audit, r, error);
}
