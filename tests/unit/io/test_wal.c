/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite is the oracle: a WAL that it wrote is read by it and by us, whole and damaged. */
#include "lockd/io/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { HEADER_BYTES = 32, FRAME_BYTES = 24 + 4096, COMMITS = 10 };

struct fixture {
	char path[64];
	struct folder folder;
	struct store_error error;
	sqlite3 *sqlite;
	uint64_t frames;
	int fd;
};

static void run(struct fixture *f, const char *sql) {
	assert_int_equal(sqlite3_exec(f->sqlite, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void open_database(struct fixture *f) {
	char path[96];
	int one = 1;

	(void)snprintf(path, sizeof path, "%s/db", f->path);
	assert_int_equal(sqlite3_open(path, &f->sqlite), SQLITE_OK);
	assert_int_equal(sqlite3_file_control(f->sqlite, "main", SQLITE_FCNTL_PERSIST_WAL, &one), SQLITE_OK);
	assert_int_equal(sqlite3_db_config(f->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
	run(f, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0");
}

static void close_database(struct fixture *f) {
	assert_int_equal(sqlite3_close(f->sqlite), SQLITE_OK);
	f->sqlite = NULL;
}

static void commit_rows(struct fixture *f, int n) {
	for (int i = 0; i < n; i++)
		run(f, "INSERT INTO t DEFAULT VALUES");
}

static int rows(struct fixture *f) {
	sqlite3_stmt *select;
	int n;

	open_database(f);
	assert_int_equal(sqlite3_prepare_v2(f->sqlite, "SELECT count(*) FROM t", -1, &select, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(select), SQLITE_ROW);
	n = sqlite3_column_int(select, 0);
	assert_int_equal(sqlite3_finalize(select), SQLITE_OK);
	close_database(f);
	return n;
}

static int setup(void **state) {
	struct fixture *f = calloc(1, sizeof *f);
	char path[96];

	*state = f;
	(void)snprintf(f->path, sizeof f->path, "/tmp/lockd-wal-XXXXXX");
	if (!mkdtemp(f->path) || folder_open(&f->folder, f->path, &f->error) != 0)
		return -1;
	open_database(f);
	run(f, "CREATE TABLE t (id INTEGER PRIMARY KEY)");
	assert_int_equal(sqlite3_wal_checkpoint_v2(f->sqlite, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
			 SQLITE_OK);
	commit_rows(f, COMMITS);
	close_database(f);
	(void)snprintf(path, sizeof path, "%s/db-wal", f->path);
	f->fd = open(path, O_RDWR);
	return f->fd < 0;
}

static int teardown(void **state) {
	struct fixture *f = *state;
	char command[128];

	close(f->fd);
	folder_close(&f->folder);
	(void)snprintf(command, sizeof command, "rm -rf %s", f->path);
	free(f);
	return system(command);
}

static void flip(struct fixture *f, size_t at) {
	uint8_t byte;

	assert_int_equal(pread(f->fd, &byte, 1, (off_t)at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(f->fd, &byte, 1, (off_t)at), 1);
}

static int scan(struct fixture *f) {
	f->frames = 99;
	return wal_scan(&f->folder, "db-wal", &f->frames, &f->error);
}

/* Each commit is one frame here: a row more on the one page of the table. */
static size_t frame(int number) {
	return HEADER_BYTES + (size_t)number * FRAME_BYTES;
}

static void test_wal__refuses_a_damaged_header(void **state) {
	struct fixture *f = *state;

	for (size_t at = 0; at < HEADER_BYTES; at++) {
		flip(f, at);
		assert_int_equal(scan(f), -EBADMSG);
		assert_non_null(strstr(f->error.text, "db-wal is damaged: its header has no valid checksum"));
		flip(f, at);
	}
	assert_int_equal(scan(f), 0);
}

static void test_wal__refuses_damage_in_front_of_later_commits(void **state) {
	struct fixture *f = *state;

	for (int i = 0; i < COMMITS - 2; i++)
		for (size_t at = 0; at < FRAME_BYTES; at += at < 24 ? 1 : 509) {
			flip(f, frame(i) + at);
			if (scan(f) != -EBADMSG)
				fail_msg("byte %zu of frame %d", at, i);
			flip(f, frame(i) + at);
		}
	assert_int_equal(scan(f), 0);
	assert_int_equal(f->frames, COMMITS);
}

static void test_wal__takes_a_torn_last_commit_for_the_end(void **state) {
	struct fixture *f = *state;

	flip(f, frame(COMMITS - 1) + 30);
	assert_int_equal(scan(f), 0);
	assert_int_equal(f->frames, COMMITS - 1);
	assert_int_equal(rows(f), COMMITS - 1);
}

static void test_wal__takes_a_cut_file_for_the_end(void **state) {
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->fd, (off_t)frame(3) + 100), 0);
	assert_int_equal(scan(f), 0);
	assert_int_equal(f->frames, 3);
	assert_int_equal(rows(f), 3);
	assert_int_equal(ftruncate(f->fd, 32), 0);
	assert_int_equal(scan(f), 0);
	assert_int_equal(f->frames, 0);
}

static void test_wal__is_not_deceived_by_an_earlier_round(void **state) {
	struct fixture *f = *state;

	open_database(f);
	assert_int_equal(sqlite3_wal_checkpoint_v2(f->sqlite, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
			 SQLITE_OK);
	commit_rows(f, 4);
	close_database(f);
	assert_int_equal(scan(f), 0);
	assert_int_equal(f->frames, 4);
	flip(f, frame(3) + 2000);
	assert_int_equal(scan(f), 0);
	assert_int_equal(f->frames, 3);
	assert_int_equal(rows(f), COMMITS + 3);
}

/* After a torn commit SQLite goes on over it. What stands behind the new end is of the same round and ends with a
 * commit frame, but nothing continues that. */
static void test_wal__is_not_deceived_by_what_a_torn_commit_left(void **state) {
	struct fixture *f = *state;
	uint64_t before;

	open_database(f);
	run(f, "CREATE TABLE u (content)");
	close_database(f);
	assert_int_equal(scan(f), 0);
	before = f->frames;
	open_database(f);
	run(f, "INSERT INTO u VALUES (zeroblob(20000))");
	close_database(f);
	assert_int_equal(scan(f), 0);
	assert_true(f->frames >= before + 5);

	flip(f, frame((int)before) + 2000);
	open_database(f);
	commit_rows(f, 2);
	close_database(f);
	assert_int_equal(scan(f), 0);
	assert_int_equal(f->frames, before + 2);
	assert_int_equal(rows(f), COMMITS + 2);
}

/* A sector ends between the commit field and the salts of the 42nd frame. Of a transaction whose sync the power cut
 * prevented, the first frame is lost, and of that one only the second part of its header has replaced an older one. */
static void test_wal__is_not_deceived_by_a_header_torn_between_sectors(void **state) {
	const uint8_t older_commit[] = {0, 0, 0, 9};
	struct fixture *f = *state;

	open_database(f);
	run(f, "CREATE TABLE u (content)");
	close_database(f);
	assert_int_equal(scan(f), 0);
	open_database(f);
	commit_rows(f, 40 - (int)f->frames);
	run(f, "INSERT INTO u VALUES (zeroblob(20000))");
	close_database(f);
	assert_int_equal(scan(f), 0);
	assert_true(f->frames >= 45);

	assert_int_equal((frame(41) + 8) % 512, 0);
	flip(f, frame(40) + 8);
	assert_int_equal(pwrite(f->fd, older_commit, sizeof older_commit, (off_t)frame(41) + 4), sizeof older_commit);
	assert_int_equal(scan(f), 0);
	assert_int_equal(f->frames, 40);
}

static void test_wal__notices_lost_commits_after_sqlite_has_written_over_the_damage(void **state) {
	struct fixture *f = *state;

	flip(f, frame(5) + 2000);
	open_database(f);
	run(f, "INSERT INTO t VALUES (1000)");
	close_database(f);
	assert_int_equal(scan(f), -EBADMSG);
}

static void test_wal__accepts_a_missing_file(void **state) {
	struct fixture *f = *state;

	assert_int_equal(wal_scan(&f->folder, "none-wal", &f->frames, &f->error), 0);
	assert_int_equal(f->frames, 0);
}

#define test(name) cmocka_unit_test_setup_teardown(test_wal__##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(refuses_a_damaged_header),
		test(refuses_damage_in_front_of_later_commits),
		test(takes_a_torn_last_commit_for_the_end),
		test(takes_a_cut_file_for_the_end),
		test(is_not_deceived_by_an_earlier_round),
		test(is_not_deceived_by_a_header_torn_between_sectors),
		test(is_not_deceived_by_what_a_torn_commit_left),
		test(notices_lost_commits_after_sqlite_has_written_over_the_damage),
		test(accepts_a_missing_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
