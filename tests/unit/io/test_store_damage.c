/* SPDX-License-Identifier: Apache-2.0 */
/* Damage is detected, never served: what is flipped, cut or mixed up, and by which sentence the folder is refused. Every byte in
 * turn: test_store_flips.c. */
#include "scene.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { G = 1 };

/* Group 1 in term 5 with a checkpoint at 3 and entries 4 … 9, each entry in a transaction of its own. */
static int setup(void **state) {
	const struct scene_row rows[] = {{1, "row-one"}, {2, "row-two"}, {(uint64_t)1 << 40, "row-three"}};
	struct scene *scene = malloc(sizeof *scene);

	scene_init(scene);
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = G, .identity = true, .incarnation = {{0xab}}, .epoch = 7});
	scene_must_write(scene, &(struct node_save){.group = G, .hard = true, .term = 5, .vote = 2, .promise_ms = 200});
	for (raft_index i = 1; i <= 8; i++)
		scene_must_append(scene, G, i, 1, 5);
	assert_int_equal(scene_checkpoint(scene, G, 2, "H2", rows, 2), 0);
	assert_int_equal(scene_checkpoint(scene, G, 3, "H3", rows + 1, 2), 0);
	scene_must_write(scene, &(struct node_save){.group = G,
						    .entries = scene_entries(G, 9, 1, 5),
						    .n_entries = 1,
						    .trim_to = 3,
						    .trim_term = 5});
	*state = scene;
	return 0;
}

static int teardown(void **state) {
	scene_deinit(*state);
	free(*state);
	return 0;
}

static const char *const whole = "identity ab epoch 7\n"
				 "hard 1: term 5 vote 2 promise 200\n"
				 "header 1: H3\n"
				 "row 1: 1 row-one\n"
				 "row 1: 2 row-two\n"
				 "row 1: 1099511627776 row-three\n"
				 "base 1: 3/5\n"
				 "entry 1: 4/5 e4.5\n"
				 "entry 1: 5/5 e5.5\n"
				 "entry 1: 6/5 e6.5\n"
				 "entry 1: 7/5 e7.5\n"
				 "entry 1: 8/5 e8.5\n"
				 "entry 1: 9/5 e9.5\n";

static void expect_refusal(struct scene *scene, int code, const char *reason) {
	int r = scene_open(scene);

	if (r != code || !strstr(scene->error.text, reason))
		fail_msg("opened with %d, '%s'; expected %d, '%s'", r, scene->error.text, code, reason);
}

static void sql(struct scene *scene, const char *file, const char *statement) {
	char path[160];
	sqlite3 *sqlite;

	(void)snprintf(path, sizeof path, "%s/%s", scene->folder, file);
	assert_int_equal(sqlite3_open(path, &sqlite), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sqlite, statement, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(sqlite), SQLITE_OK);
}

static void test_store__is_whole_without_damage(void **state) {
	struct scene *scene = *state;

	scene_reopen(scene);
	assert_string_equal(scene->node.trace, whole);
	scene_stop(scene);
	scene_must_open(scene);
	assert_string_equal(scene->node.trace, whole);
}

static void test_store__refuses_a_database_of_another_format(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "state.db", "PRAGMA user_version=2");
	expect_refusal(scene, -EBADMSG, "state.db is damaged: it has format 2 in a folder of format 1");
	sql(scene, "raft.db", "PRAGMA user_version=3");
	expect_refusal(scene, -EBADMSG, "raft.db is damaged: it has format 3 in a folder of format 1");
}

static void test_store__refuses_databases_that_changed_places(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "raft.db", "PRAGMA application_id=17");
	expect_refusal(scene, -EBADMSG, "raft.db is not the log of a lockd data folder");
}

static void test_store__refuses_a_file_that_is_no_database(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	scene_overwrite(scene, "state.db", 0, "no database at all", 18);
	scene_truncate(scene, "state.db-wal", 0);
	expect_refusal(scene, -EBADMSG, "state.db: file is not a database");
}

static void test_store__notices_a_missing_database(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	scene_remove(scene, "raft.db");
	expect_refusal(scene, -EBADMSG, "raft.db is missing");
	scene_remove(scene, "superblock"); /* nothing says that this is a new folder */
	expect_refusal(scene, -EBADMSG, "holds a state.db but no superblock");
}

/* SQLite would take it for a new database, and remove the WAL that holds everything. */
static void test_store__notices_an_empty_database(void **state) {
	struct scene *scene = *state;
	size_t bytes;

	scene_crash(scene);
	bytes = scene_file_bytes(scene, "raft.db-wal");
	scene_truncate(scene, "raft.db", 0);
	expect_refusal(scene, -EBADMSG, "raft.db is damaged: it is empty");
	assert_int_equal(scene_file_bytes(scene, "raft.db-wal"), bytes);
}

static void test_store__notices_a_missing_superblock(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	scene_remove(scene, "superblock");
	expect_refusal(scene, -EBADMSG, "holds a raft.db but no superblock");
}

static void test_store__notices_a_missing_wal(void **state) {
	struct scene *scene = *state;

	scene_crash(scene);
	scene_remove(scene, "raft.db-wal");
	expect_refusal(scene, -EBADMSG, "raft.db-wal is missing");
}

static void test_store__accepts_a_missing_wal_after_a_clean_stop(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	scene_remove(scene, "raft.db-wal");
	scene_remove(scene, "state.db-wal");
	scene_must_open(scene);
	assert_string_equal(scene->node.trace, whole);
}

static void test_store__notices_a_flipped_bit_in_the_middle_of_the_wal(void **state) {
	struct scene *scene = *state;

	scene_crash(scene);
	scene_flip(scene, "raft.db-wal", scene_file_bytes(scene, "raft.db-wal") / 2, 4);
	expect_refusal(scene, -EBADMSG, "has no valid checksum, yet commits follow it");
}

static void test_store__notices_a_lost_last_commit_by_the_watermark(void **state) {
	struct scene *scene = *state;

	scene_must_append(scene, G, 10, 1, 5);
	scene_crash(scene);
	scene_truncate(scene, "raft.db-wal", scene_file_bytes(scene, "raft.db-wal") - 1);
	expect_refusal(scene, -EBADMSG,
		       "ends at 9, but entries up to 10 were acknowledged: it has lost some, and the node must not "
		       "vote with it");
}

static void test_store__notices_an_older_log_beside_a_newer_superblock(void **state) {
	struct scene *scene = *state;

	scene_crash(scene);
	scene_keep(scene, "old");
	scene_must_open(scene);
	scene_crash(scene);
	scene_must_open(scene);
	scene_stop(scene);
	scene_keep(scene, "new");
	scene_return(scene, "old");
	{
		char command[256];
		(void)snprintf(command, sizeof command, "cp %s/new/superblock %s/superblock", scene->base,
			       scene->folder);
		assert_int_equal(system(command), 0);
	}
	expect_refusal(scene, -EBADMSG, "are of different ages");
}

static void test_store__notices_another_history_of_the_same_length(void **state) {
	struct scene *scene = *state;

	scene_crash(scene);
	scene_keep(scene, "other");
	scene_must_open(scene);
	scene_must_append(scene, G, 10, 1, 6);
	scene_crash(scene);
	scene_keep(scene, "ours");
	scene_return(scene, "other");
	scene_must_open(scene);
	scene_must_append(scene, G, 10, 1, 7);
	scene_crash(scene);
	{
		char command[256];
		(void)snprintf(command, sizeof command, "cp %s/ours/superblock %s/superblock", scene->base,
			       scene->folder);
		assert_int_equal(system(command), 0);
	}
	expect_refusal(scene, -EBADMSG, "entry 10 of group 1 is not the one that was acknowledged");
}

static void test_store__notices_a_flipped_bit_in_a_log_row(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	scene_remove(scene, "raft.db-wal");
	scene_flip_text(scene, "raft.db", "e6.5");
	expect_refusal(scene, -EBADMSG, "entry 6 of group 1 does not match its checksum");
}

static void test_store__notices_a_missing_log_row(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "raft.db", "DELETE FROM log WHERE id = (1 << 48) + 7");
	expect_refusal(scene, -EBADMSG, "entry 7 of group 1 is missing");
}

static void test_store__notices_a_log_row_of_another_history(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "raft.db", "UPDATE log SET chain = chain + 1 WHERE id = (1 << 48) + 7");
	expect_refusal(scene, -EBADMSG, "entry 7 of group 1 does not continue the chain of the entries before it");
}

static void test_store__notices_a_lost_group(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "raft.db", "DELETE FROM member");
	expect_refusal(scene, -EBADMSG, "holds entries of group 1 but no row of that group");
}

static void test_store__notices_a_changed_base(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "raft.db", "UPDATE member SET base_index = 4");
	expect_refusal(scene, -EBADMSG, "the row of group 1 has no valid checksum");
}

static void test_store__notices_a_flipped_bit_in_a_state_row(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	scene_remove(scene, "state.db-wal");
	scene_flip_text(scene, "state.db", "row-two");
	expect_refusal(scene, -EBADMSG, "in the checkpoint of group 1 row 2 does not match its checksum");
}

static void test_store__notices_a_missing_state_row(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "state.db", "DELETE FROM row WHERE id = (1 << 48) + 2");
	expect_refusal(scene, -EBADMSG, "in the checkpoint of group 1 rows are missing or left over");
}

static void test_store__notices_a_changed_state_header(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "state.db", "UPDATE header SET log_index = 4");
	expect_refusal(scene, -EBADMSG, "the header does not match its checksum");
}

static void test_store__notices_a_missing_checkpoint(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "state.db", "DELETE FROM header; DELETE FROM row");
	expect_refusal(scene, -EBADMSG, "begins behind 3, but the checkpoint");
}

static void test_store__notices_a_state_of_another_folder(void **state) {
	struct scene *scene = *state;

	scene_stop(scene);
	sql(scene, "state.db", "UPDATE meta SET store = zeroblob(16)");
	expect_refusal(scene, -EBADMSG, "state.db belongs to another data folder");
}

/* The newest slot is damaged after its vote was given away: the older one knows term 5, the log knows better. */
static void test_store__notices_a_superblock_that_forgot_a_vote(void **state) {
	struct scene *scene = *state;

	scene_must_write(scene, &(struct node_save){.group = G, .hard = true, .term = 6, .vote = 3});
	scene_crash(scene);
	/* Four generations so far: creation, start, identity, hard state; the vote went into the fifth, slot 1. */
	scene_flip(scene, "superblock", 4096 + 200, 1);
	expect_refusal(scene, -EBADMSG, "it knows term 5 of group 1");
}

static void test_store__notices_a_superblock_with_another_vote(void **state) {
	struct scene *scene = *state;

	scene_must_write(scene, &(struct node_save){.group = G, .hard = true, .term = 6, .vote = 0});
	scene_must_write(scene, &(struct node_save){.group = G, .hard = true, .term = 6, .vote = 3});
	scene_crash(scene);
	scene_flip(scene, "superblock", 200, 1);
	expect_refusal(scene, -EBADMSG, "in term 6 of group 1 it knows a vote for node 0");
}

static void test_store__survives_damage_to_the_older_slot(void **state) {
	struct scene *scene = *state;

	scene_must_write(scene, &(struct node_save){.group = G, .hard = true, .term = 6, .vote = 3});
	scene_crash(scene);
	scene_flip(scene, "superblock", 200, 1);
	scene_must_open(scene);
	assert_non_null(strstr(scene->node.trace, "hard 1: term 6 vote 3 promise 200\n"));
}

static void test_store__notices_damage_to_both_slots(void **state) {
	struct scene *scene = *state;

	scene_crash(scene);
	scene_flip(scene, "superblock", 200, 1);
	scene_flip(scene, "superblock", 4096 + 200, 1);
	expect_refusal(scene, -EBADMSG, "neither of its slots has a valid checksum");
}

static void test_store__notices_damage_to_both_sectors_of_a_watermark(void **state) {
	struct scene *scene = *state;

	scene_crash(scene);
	scene_flip(scene, "superblock", 8192 + 3, 1);
	scene_flip(scene, "superblock", 8192 + 32768 + 3, 1);
	expect_refusal(scene, -EBADMSG, "watermark 0 has no valid checksum");
}

#define test(name) cmocka_unit_test_setup_teardown(test_store__##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(is_whole_without_damage),
		test(refuses_a_database_of_another_format),
		test(refuses_databases_that_changed_places),
		test(refuses_a_file_that_is_no_database),
		test(notices_a_missing_database),
		test(notices_an_empty_database),
		test(notices_a_missing_superblock),
		test(notices_a_missing_wal),
		test(accepts_a_missing_wal_after_a_clean_stop),
		test(notices_a_flipped_bit_in_the_middle_of_the_wal),
		test(notices_a_lost_last_commit_by_the_watermark),
		test(notices_an_older_log_beside_a_newer_superblock),
		test(notices_another_history_of_the_same_length),
		test(notices_a_flipped_bit_in_a_log_row),
		test(notices_a_missing_log_row),
		test(notices_a_log_row_of_another_history),
		test(notices_a_lost_group),
		test(notices_a_changed_base),
		test(notices_a_flipped_bit_in_a_state_row),
		test(notices_a_missing_state_row),
		test(notices_a_changed_state_header),
		test(notices_a_missing_checkpoint),
		test(notices_a_state_of_another_folder),
		test(notices_a_superblock_that_forgot_a_vote),
		test(notices_a_superblock_with_another_vote),
		test(survives_damage_to_the_older_slot),
		test(notices_damage_to_both_slots),
		test(notices_damage_to_both_sectors_of_a_watermark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
