/* SPDX-License-Identifier: Apache-2.0 */
/* Every write that SQLite makes fails once, with a full disk and with a broken one. */
#include "scene.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { G = 1, WRITES_MAX = 200 };

static const struct scene_row rows[] = {{1, "row-one"}, {2, "row-two"}};

/* Six entries of term 1 and a checkpoint at 2, kept as "before". */
static int setup(void **state) {
	struct scene *scene = malloc(sizeof *scene);

	scene_init(scene);
	scene_must_open(scene);
	scene_must_append(scene, G, 1, 6, 1);
	assert_int_equal(scene_checkpoint(scene, G, 2, "H2", rows, 1), 0);
	scene_crash(scene);
	scene_keep(scene, "before");
	*state = scene;
	return 0;
}

static int teardown(void **state) {
	struct scene *scene = *state;

	(void)scene_heal();
	(void)umount2(scene->folder, MNT_DETACH); /* of a case that failed */
	scene_deinit(scene);
	free(*state);
	return 0;
}

static const char *const before = "header 1: H2\n"
				  "row 1: 1 row-one\n"
				  "base 1: 0/0\n"
				  "entry 1: 1/1 e1.1\nentry 1: 2/1 e2.1\nentry 1: 3/1 e3.1\n"
				  "entry 1: 4/1 e4.1\nentry 1: 5/1 e5.1\nentry 1: 6/1 e6.1\n";

/* Term 2 replaces 5 and 6 by other entries, and the log is trimmed. */
static struct node_save change(void) {
	return (struct node_save){
		.group = G,
		.hard = true,
		.term = 2,
		.vote = 3,
		.truncate_from = 5,
		.entries = scene_entries(G, 5, 4, 2),
		.n_entries = 4,
		.trim_to = 2,
		.trim_term = 1,
	};
}

static const char *const changed = "hard 1: term 2 vote 3 promise 0\n"
				   "header 1: H2\n"
				   "row 1: 1 row-one\n"
				   "base 1: 2/1\n"
				   "entry 1: 3/1 e3.1\nentry 1: 4/1 e4.1\n"
				   "entry 1: 5/2 e5.2\nentry 1: 6/2 e6.2\nentry 1: 7/2 e7.2\nentry 1: 8/2 e8.2\n";

static void begin(struct scene *scene) {
	scene_return(scene, "before");
	scene_must_open(scene);
	assert_string_equal(scene->node.trace, before);
}

static void expect(struct scene *scene, const char *trace) {
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, trace);
	scene_crash(scene);
}

static void expect_prefix(const struct scene *scene, const char *prefix) {
	if (strncmp(scene->node.trace, prefix, strlen(prefix)) != 0)
		fail_msg("loaded:\n%s", scene->node.trace);
}

/* The vote is in the superblock before the log hears of it. */
static void expect_vote_then(struct scene *scene, const char *trace) {
	static const char *const vote = "hard 1: term 2 vote 3 promise 0\n";

	scene_reopen(scene);
	assert_memory_equal(scene->node.trace, vote, strlen(vote));
	assert_string_equal(scene->node.trace + strlen(vote), trace);
	scene_crash(scene);
}

static void test_store_full__writes_the_same_save_when_there_is_room_again(void **state) {
	struct scene *scene = *state;
	int n;

	for (n = 0; n < WRITES_MAX; n++) {
		struct node_save save = change();
		int r;

		begin(scene);
		scene_fail_writes(n, ENOSPC);
		r = scene_write(scene, &save);
		if (!scene_heal())
			break;
		assert_int_equal(r, STORE_FULL);
		assert_non_null(strstr(scene->error.text, "raft.db"));
		assert_non_null(strstr(scene->error.text, "full"));
		scene_must_write(scene, &save);
		scene_must_append(scene, G, 9, 1, 2);
		scene_must_write(scene, &(struct node_save){.group = G, .truncate_from = 9});
		expect(scene, changed);
	}
	assert_in_range(n, 2, WRITES_MAX - 1);
}

static void test_store_full__writes_several_votes_again_when_there_is_room(void **state) {
	struct scene *scene = *state;
	struct node_save saves[3] = {{.group = G, .hard = true, .term = 2},
				     {.group = G, .hard = true, .term = 2, .vote = 3},
				     {.group = G, .hard = true, .term = 4}};

	begin(scene);
	scene_fail_writes(0, ENOSPC);
	assert_int_equal(store_write(scene->store, saves, 3, &scene->error), STORE_FULL);
	assert_true(scene_heal());
	assert_int_equal(store_write(scene->store, saves, 3, &scene->error), 0);
	scene_reopen(scene);
	expect_prefix(scene, "hard 1: term 4 vote 0 promise 0\n");
}

static void test_store_full__keeps_the_old_log_when_the_process_ends_instead(void **state) {
	struct scene *scene = *state;

	for (int n = 0; n < WRITES_MAX; n++) {
		struct node_save save = change();
		int r;

		begin(scene);
		scene_fail_writes(n, ENOSPC);
		r = scene_write(scene, &save);
		if (!scene_heal())
			break;
		assert_int_equal(r, STORE_FULL);
		expect_vote_then(scene, before);
	}
}

static void test_store_full__fails_for_good_on_a_broken_disk(void **state) {
	struct scene *scene = *state;

	for (int n = 0; n < WRITES_MAX; n++) {
		struct node_save save = change();
		int r;

		begin(scene);
		scene_fail_writes(n, EIO);
		r = scene_write(scene, &save);
		if (!scene_heal())
			break;
		assert_int_equal(r, -EIO);
		assert_non_null(strstr(scene->error.text, "raft.db: disk I/O error"));
		expect_vote_then(scene, before);
	}
}

/* The second part of the writes copies the WAL back: by then the checkpoint is durable, and failing costs nothing. */
static void test_store_full__writes_the_same_checkpoint_when_there_is_room_again(void **state) {
	struct scene *scene = *state;
	int full = 0, done = 0;

	for (int n = 0; n < WRITES_MAX; n++) {
		const struct scene_row next[] = {{1, NULL}, {2, "row-two"}, {9, "row-nine"}};
		int r;

		begin(scene);
		scene_fail_writes(n, ENOSPC);
		r = scene_checkpoint(scene, G, 4, "H4", next, 3);
		if (!scene_heal())
			break;
		if (r == STORE_FULL) {
			full++;
			assert_int_equal(scene_checkpoint(scene, G, 4, "H4", next, 3), 0);
		} else {
			done++;
			assert_int_equal(r, 0);
		}
		scene_reopen(scene);
		expect_prefix(scene, "header 1: H4\nrow 1: 2 row-two\nrow 1: 9 row-nine\nbase 1: 0/0\n");
		scene_crash(scene);
	}
	assert_true(full >= 2);
	assert_true(done >= 1);
}

static void test_store_full__merges_a_failed_checkpoint_into_the_next(void **state) {
	struct scene *scene = *state;

	begin(scene);
	scene_fail_writes(1, ENOSPC);
	assert_int_equal(scene_checkpoint(scene, G, 3, "H3", &(struct scene_row){7, "never"}, 1), STORE_FULL);
	assert_true(scene_heal());
	assert_int_equal(scene_checkpoint(scene, G, 4, "H4", &(struct scene_row){8, "row-eight"}, 1), 0);
	scene_reopen(scene);
	expect_prefix(scene, "header 1: H4\nrow 1: 1 row-one\nrow 1: 8 row-eight\nbase 1: 0/0\n");
}

/* A file system that is really full, where the machine lets the test mount one. */
static void test_store_full__waits_for_room_on_a_real_file_system(void **state) {
	struct scene *scene = *state;
	raft_index index = 1, acknowledged;
	char ballast[160], last[64];
	FILE *file;
	int r = 0;

	assert_int_equal(mkdir(scene_choose(scene, "small"), 0700), 0);
	if (mount("none", scene->folder, "tmpfs", 0, "size=1m") != 0)
		skip();
	(void)snprintf(ballast, sizeof ballast, "%s/ballast", scene->folder);
	file = fopen(ballast, "w");
	for (int i = 0; i < 400 << 10; i++)
		(void)fputc('b', file);
	assert_int_equal(fclose(file), 0);

	scene_must_open(scene);
	while ((r = scene_write(scene, &(struct node_save){.group = G,
							   .entries = scene_entries(G, index, 1, 1),
							   .n_entries = 1})) == 0)
		index++;
	acknowledged = index - 1;
	assert_int_equal(r, STORE_FULL);
	assert_in_range(acknowledged, 10, 400);
	for (int i = 0; i < 3; i++)
		assert_int_equal(scene_write(scene, &(struct node_save){.group = G,
									.entries = scene_entries(G, index, 1, 1),
									.n_entries = 1}),
				 STORE_FULL);
	assert_int_equal(remove(ballast), 0);
	scene_must_append(scene, G, index, 1, 1);
	scene_reopen(scene);
	(void)snprintf(last, sizeof last, "entry 1: %llu/1 e%llu.1\n", (unsigned long long)index,
		       (unsigned long long)index);
	assert_string_equal(scene->node.trace + scene->node.n - strlen(last), last);
	scene_crash(scene);
	assert_int_equal(umount(scene->folder), 0);
}

/* Where what is needed to open fits nowhere else: after a clean stop the WAL may be missing. */
static void test_store_full__opens_a_full_folder_with_its_reserve(void **state) {
	struct scene *scene = *state;
	char ballast[160];
	FILE *file;

	assert_int_equal(mkdir(scene_choose(scene, "small"), 0700), 0);
	if (mount("none", scene->folder, "tmpfs", 0, "size=4m") != 0)
		skip();
	scene_must_open(scene);
	assert_int_equal(store_keep_reserve(scene->store, 1 << 20, &scene->error), 0);
	assert_true(store_has_reserve(scene->store));
	scene_must_append(scene, G, 1, 6, 1);
	scene_stop(scene);
	scene_remove(scene, "raft.db-wal");
	(void)snprintf(ballast, sizeof ballast, "%s/ballast", scene->folder);
	file = fopen(ballast, "w");
	while (fputc('b', file) != EOF)
		;
	(void)fclose(file);

	scene_must_open(scene);
	assert_non_null(strstr(scene->node.trace, "entry 1: 6/1 e6.1\n"));
	assert_int_equal(store_keep_reserve(scene->store, 1 << 20, &scene->error), 0);
	assert_false(store_has_reserve(scene->store));
	assert_int_equal(store_refill_reserve(scene->store, &scene->error), STORE_FULL);
	scene_must_append(scene, G, 7, 1, 1);
	assert_int_equal(remove(ballast), 0);
	assert_int_equal(store_refill_reserve(scene->store, &scene->error), 0);
	assert_true(store_has_reserve(scene->store));
	scene_stop(scene);
	assert_int_equal(umount(scene->folder), 0);
}

static void test_store_full__does_not_open_a_full_folder_without_reserve(void **state) {
	struct scene *scene = *state;
	char ballast[160];
	FILE *file;

	assert_int_equal(mkdir(scene_choose(scene, "small"), 0700), 0);
	if (mount("none", scene->folder, "tmpfs", 0, "size=1m") != 0)
		skip();
	(void)snprintf(ballast, sizeof ballast, "%s/ballast", scene->folder);
	file = fopen(ballast, "w");
	while (fputc('b', file) != EOF)
		;
	(void)fclose(file);
	assert_int_equal(scene_open(scene), -ENOSPC);
	assert_non_null(strstr(scene->error.text, "/superblock: No space left on device"));
	assert_int_equal(umount(scene->folder), 0);
}

#define test(name) cmocka_unit_test_setup_teardown(test_store_full__##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(writes_the_same_save_when_there_is_room_again),
		test(writes_several_votes_again_when_there_is_room),
		test(keeps_the_old_log_when_the_process_ends_instead),
		test(fails_for_good_on_a_broken_disk),
		test(writes_the_same_checkpoint_when_there_is_room_again),
		test(merges_a_failed_checkpoint_into_the_next),
		test(waits_for_room_on_a_real_file_system),
		test(opens_a_full_folder_with_its_reserve),
		test(does_not_open_a_full_folder_without_reserve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
