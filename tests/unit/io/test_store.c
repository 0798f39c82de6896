/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include "api/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { G = 1 };

static int setup(void **state) {
	struct scene *scene = malloc(sizeof *scene);

	scene_init(scene);
	*state = scene;
	return 0;
}

static int teardown(void **state) {
	scene_deinit(*state);
	free(*state);
	return 0;
}

/* ---- Rejections ---------------------------------------------------------------------------------------------------
 */

static void test_store__refuses_a_second_process_and_names_the_first(void **state) {
	struct scene *scene = *state;
	struct store *second = NULL;
	char pid[32];

	scene_must_open(scene);
	assert_int_equal(store_open(scene->folder, &second, &scene->error), -EBUSY);
	assert_null(second);
	(void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
	assert_non_null(strstr(scene->error.text, pid));
	assert_non_null(strstr(scene->error.text, scene->folder));
}

/* Whatever is copied over it, until somebody takes the mark away. */
static void test_store__refuses_a_folder_that_was_condemned(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	scene_must_append(scene, G, 1, 3, 1);
	scene_stop(scene);
	scene_keep(scene, "copy");
	scene_must_open(scene);
	assert_int_equal(store_get_boot_count(scene->store), 2);
	assert_int_equal(store_condemn(scene->store, "node 3's folder is old", &scene->error), 0);
	scene_crash(scene);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(scene_open(scene), -ESTALE);
		assert_non_null(
			strstr(scene->error.text, "is an old copy and must not be used (node 3's folder is old): "));
		assert_non_null(strstr(scene->error.text, scene->folder));
		scene_return(scene, "copy");
	}
	scene_truncate(scene, "old-copy", 0); /* a full disk has left the name alone */
	assert_int_equal(scene_open(scene), -ESTALE);
	scene_remove(scene, "old-copy");
	scene_must_open(scene);
	assert_int_equal(store_get_boot_count(scene->store), 2); /* being refused has counted for nothing */
}

static void test_store__refuses_a_file_in_place_of_a_folder(void **state) {
	struct scene *scene = *state;
	int fd = open(scene->folder, O_CREAT | O_WRONLY, 0600);

	close(fd);
	assert_int_equal(scene_open(scene), -ENOTDIR);
	assert_non_null(strstr(scene->error.text, "Not a directory"));
}

static void test_store__refuses_a_folder_whose_parent_is_missing(void **state) {
	struct scene *scene = *state;

	(void)scene_choose(scene, "missing/deeper");
	assert_int_equal(scene_open(scene), -ENOENT);
}

static void test_store__refuses_a_folder_it_may_not_write(void **state) {
	struct scene *scene = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(scene->folder, 0755), 0);
	assert_int_equal(chmod(scene->base, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(scene_open(scene), -EACCES);
	assert_int_equal(seteuid(0), 0);
	assert_non_null(strstr(scene->error.text, "Permission denied"));
}

static void test_store__refuses_what_the_node_refuses(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	scene_must_append(scene, G, 1, 3, 1);
	scene_crash(scene);
	scene->node.refuse = "entry 1: 2/";
	assert_int_equal(scene_open(scene), -EBADMSG);
	assert_string_equal(scene->error.text, "entry 2 of group 1 cannot be used: the fake node refuses it");
	scene->node.refuse = "base";
	assert_int_equal(scene_open(scene), -EBADMSG);
	assert_string_equal(scene->error.text,
			    "the stored log base of group 1 cannot be used: the fake node refuses it");
}

static void test_store__refuses_to_write_an_entry_that_does_not_match_its_checksum(void **state) {
	struct scene *scene = *state;
	struct node_entry entry = *scene_entries(G, 1, 1, 1);

	entry.checksum ^= 1;
	scene_must_open(scene);
	assert_int_equal(scene_write(scene, &(struct node_save){.group = G, .entries = &entry, .n_entries = 1}),
			 -EIO);
	assert_non_null(strstr(scene->error.text, "entry 1 of group 1 was damaged in memory"));
}

/* ---- What comes back ----------------------------------------------------------------------------------------------
 */

static void test_store__feeds_nothing_from_a_blank_folder(void **state) {
	struct scene *scene = *state;
	struct node_uuid first, again;
	struct stat stat_folder;

	scene_must_open(scene);
	assert_string_equal(scene->node.trace, "");
	assert_int_equal(store_get_boot_count(scene->store), 1);
	store_get_uuid(scene->store, &first);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "");
	assert_int_equal(store_get_boot_count(scene->store), 2);
	store_get_uuid(scene->store, &again);
	assert_memory_equal(&first, &again, sizeof first);
	assert_int_equal(stat(scene->folder, &stat_folder), 0);
	assert_int_equal(stat_folder.st_mode & 0777, 0700);
}

static void test_store__draws_another_uuid_for_another_folder(void **state) {
	struct scene *scene = *state;
	struct node_uuid first, second;

	scene_must_open(scene);
	store_get_uuid(scene->store, &first);
	scene_crash(scene);
	(void)scene_choose(scene, "second");
	scene_must_open(scene);
	store_get_uuid(scene->store, &second);
	assert_memory_not_equal(&first, &second, sizeof first);
}

static void test_store__returns_a_first_save(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){
					.group = G,
					.identity = true,
					.incarnation = {{0xab}},
					.epoch = 7,
					.hard = true,
					.term = 3,
					.vote = 2,
					.promise_ms = 200,
					.entries = scene_entries(G, 1, 3, 3),
					.n_entries = 3,
				});
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "identity ab epoch 7\n"
					       "hard 1: term 3 vote 2 promise 200\n"
					       "base 1: 0/0\n"
					       "entry 1: 1/3 e1.3\n"
					       "entry 1: 2/3 e2.3\n"
					       "entry 1: 3/3 e3.3\n");
	scene_stop(scene);
	scene_must_open(scene);
	assert_non_null(strstr(scene->node.trace, "entry 1: 3/3 e3.3\n"));
}

static void test_store__returns_an_empty_entry(void **state) {
	struct scene *scene = *state;
	struct node_entry entry = {.index = 1, .term = 1, .type = RAFT_ENTRY_NOOP};

	entry.checksum = checksum_entry(G, entry.index, entry.term, entry.type, NULL, 0);
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = G, .entries = &entry, .n_entries = 1});
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "base 1: 0/0\nentry 1: 1/1 \n");
}

static void test_store__replaces_a_suffix(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	scene_must_append(scene, G, 1, 6, 1);
	scene_must_write(scene,
			 &(struct node_save){
				 .group = G, .truncate_from = 3, .entries = scene_entries(G, 3, 2, 2), .n_entries = 2});
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "base 1: 0/0\n"
					       "entry 1: 1/1 e1.1\n"
					       "entry 1: 2/1 e2.1\n"
					       "entry 1: 3/2 e3.2\n"
					       "entry 1: 4/2 e4.2\n");
}

/* The watermark behind the truncation is not synced. The one it lowered is, or this log would look as if it had lost 3
 * … 6. */
static void test_store__survives_a_power_cut_behind_a_truncation(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	scene_must_append(scene, G, 1, 6, 1);
	scene_keep(scene, "before");
	scene_must_write(scene, &(struct node_save){.group = G, .truncate_from = 3});
	scene_crash(scene);
	scene_lose_newest_mark(scene, "before");
	scene_must_open(scene);
	assert_string_equal(scene->node.trace, "base 1: 0/0\nentry 1: 1/1 e1.1\nentry 1: 2/1 e2.1\n");
}

static void test_store__truncates_to_nothing(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	scene_must_append(scene, G, 1, 6, 1);
	scene_must_write(scene, &(struct node_save){.group = G, .truncate_from = 1});
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "base 1: 0/0\n");
	scene_must_append(scene, G, 1, 1, 2);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "base 1: 0/0\nentry 1: 1/2 e1.2\n");
}

static void test_store__trims_behind_a_checkpoint_little_by_little(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	scene_must_append(scene, G, 1, 600, 1);
	assert_int_equal(scene_checkpoint(scene, G, 598, "H598", NULL, 0), 0);
	scene_must_write(scene, &(struct node_save){.group = G, .trim_to = 598, .trim_term = 1});
	for (int i = 0; i < 4; i++) {
		scene_reopen(scene);
		assert_memory_equal(scene->node.trace, "header 1: H598\nbase 1: 598/1\nentry 1: 599/1 e599.1\n", 48);
		scene_must_append(scene, G, 601 + (raft_index)i, 1, 1);
	}
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "header 1: H598\n"
					       "base 1: 598/1\n"
					       "entry 1: 599/1 e599.1\n"
					       "entry 1: 600/1 e600.1\n"
					       "entry 1: 601/1 e601.1\n"
					       "entry 1: 602/1 e602.1\n"
					       "entry 1: 603/1 e603.1\n"
					       "entry 1: 604/1 e604.1\n");
}

static void test_store__keeps_hard_states_of_many_groups_apart(void **state) {
	struct scene *scene = *state;
	struct node_save saves[3] = {
		{.group = 1, .hard = true, .term = 5, .vote = 1, .promise_ms = 300},
		{.group = 9, .hard = true, .term = 8, .vote = 3, .promise_ms = 100},
		{.group = 1, .hard = true, .term = 6, .vote = 0, .promise_ms = 200},
	};

	scene_must_open(scene);
	assert_int_equal(store_write(scene->store, saves, 3, &scene->error), 0);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "hard 1: term 6 vote 0 promise 300\n"
					       "hard 9: term 8 vote 3 promise 100\n"
					       "base 1: 0/0\n"
					       "base 9: 0/0\n");
}

static void test_store__keeps_logs_of_many_groups_apart(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	scene_must_append(scene, 0, 1, 1, 4);
	scene_must_append(scene, 7, 1, 2, 5);
	scene_must_append(scene, 2, 1, 1, 6);
	scene_must_append(scene, 7, 3, 1, 5);
	scene_must_append(scene, 32767, 1, 1, 9);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "base 0: 0/0\nentry 0: 1/4 e1.4\n"
					       "base 2: 0/0\nentry 2: 1/6 e1.6\n"
					       "base 7: 0/0\nentry 7: 1/5 e1.5\nentry 7: 2/5 e2.5\nentry 7: 3/5 e3.5\n"
					       "base 32767: 0/0\nentry 32767: 1/9 e1.9\n");
}

static void test_store__changes_only_the_rows_of_a_checkpoint(void **state) {
	struct scene *scene = *state;
	const struct scene_row first[] = {
		{(uint64_t)2 << 40 | 1, "session"}, {(uint64_t)1 << 40 | 5, "slot"}, {3, "x"}};
	const struct scene_row second[] = {{3, NULL}, {(uint64_t)1 << 40 | 5, "slot, changed"}, {4, ""}, {77, NULL}};

	scene_must_open(scene);
	scene_must_append(scene, G, 1, 9, 1);
	assert_int_equal(scene_checkpoint(scene, G, 4, "H4", first, 3), 0);
	assert_int_equal(scene_checkpoint(scene, 2, 0, "other", first, 1), 0);
	assert_int_equal(scene_checkpoint(scene, G, 8, "H8", second, 4), 0);
	scene_must_append(scene, 2, 1, 1, 1);
	scene_must_write(scene, &(struct node_save){.group = G, .trim_to = 8, .trim_term = 1});
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "header 1: H8\n"
					       "row 1: 4 \n"
					       "row 1: 1099511627781 slot, changed\n"
					       "row 1: 2199023255553 session\n"
					       "header 2: other\n"
					       "row 2: 2199023255553 session\n"
					       "base 1: 8/1\n"
					       "entry 1: 9/1 e9.1\n"
					       "base 2: 0/0\n"
					       "entry 2: 1/1 e1.1\n");
}

static void test_store__starts_its_wal_over(void **state) {
	struct scene *scene = *state;
	struct store_sizes sizes;
	raft_index index = 1;

	scene_must_open(scene);
	for (int i = 0; i < 1500; i++)
		scene_must_append(scene, G, index++, 1, 1);
	store_get_sizes(scene->store, &sizes);
	assert_true(sizes.log_bytes > 1000 * 4096);
	assert_true(sizes.log_bytes < 1300 * 4096);
	assert_int_equal(store_idle(scene->store, &scene->error), 0);
	scene_reopen(scene);
	assert_non_null(strstr(scene->node.trace, "entry 1: 1500/1 e1500.1\n"));
}

/* Its identity is in the superblock, its first entry is not in the log: the node is blank again, and may be let into a
 * cluster that is older. */
static void test_store__forgets_an_interrupted_founding(void **state) {
	struct node_save founding = {.group = G,
				     .identity = true,
				     .incarnation = {{0xab}},
				     .epoch = 9,
				     .hard = true,
				     .term = 1,
				     .entries = scene_entries(G, 1, 1, 1),
				     .n_entries = 1};
	struct node_save joining = {
		.group = G, .identity = true, .incarnation = {{0xcd}}, .epoch = 3, .hard = true, .term = 5, .vote = 2};
	struct scene *scene = *state;

	scene_must_open(scene);
	scene_fail_writes(0, EIO);
	assert_int_equal(scene_write(scene, &founding), -EIO);
	assert_true(scene_heal());
	scene_reopen(scene);
	assert_non_null(strstr(scene->node.trace, "identity ab epoch 9\n"));
	assert_null(strstr(scene->node.trace, "entry"));

	scene_must_write(scene, &joining);
	scene_must_append(scene, G, 1, 2, 5);
	scene_reopen(scene);
	assert_non_null(strstr(scene->node.trace, "identity cd epoch 3\n"));
	assert_non_null(strstr(scene->node.trace, "entry 1: 2/5 e2.5\n"));
}

static void test_store__survives_an_interrupted_creation(void **state) {
	struct scene *scene = *state;
	struct node_uuid uuid;

	scene_must_open(scene);
	store_get_uuid(scene->store, &uuid);
	scene_crash(scene);
	/* The first slot says boot count 0, the second one is what creation ends with: without it nothing was stored.
	 */
	scene_overwrite(scene, "superblock", 0, (uint8_t[4096]){0}, 4096);
	scene_truncate(scene, "raft.db", 4096);
	scene_remove(scene, "state.db");
	scene_must_open(scene);
	assert_int_equal(store_get_boot_count(scene->store), 1);
	assert_string_equal(scene->node.trace, "");
	scene_crash(scene);

	scene_remove(scene, "raft.db");
	scene_remove(scene, "raft.db-wal");
	scene_remove(scene, "state.db");
	scene_remove(scene, "state.db-wal");
	scene_truncate(scene, "superblock", 100);
	scene_must_open(scene);
	assert_int_equal(store_get_boot_count(scene->store), 1);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_store__refuses_a_second_process_and_names_the_first, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_store__refuses_a_folder_that_was_condemned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__refuses_a_file_in_place_of_a_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__refuses_a_folder_whose_parent_is_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__refuses_a_folder_it_may_not_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__refuses_what_the_node_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__refuses_to_write_an_entry_that_does_not_match_its_checksum,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__feeds_nothing_from_a_blank_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__draws_another_uuid_for_another_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__returns_a_first_save, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__returns_an_empty_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__replaces_a_suffix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__survives_a_power_cut_behind_a_truncation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__truncates_to_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__trims_behind_a_checkpoint_little_by_little, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_store__keeps_hard_states_of_many_groups_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__keeps_logs_of_many_groups_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__changes_only_the_rows_of_a_checkpoint, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__starts_its_wal_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__forgets_an_interrupted_founding, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store__survives_an_interrupted_creation, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
