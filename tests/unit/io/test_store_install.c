/* SPDX-License-Identifier: Apache-2.0 */
/* Installing a snapshot, and every crash on the way. */
#include "scene.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { G = 1, WRITES_MAX = 200 };

static const struct scene_row old_rows[] = {{1, "old-one"}, {2, "old-two"}};
static const struct scene_row new_rows[] = {{2, "new-two"}, {3, "new-three"}};

static int setup(void **state) {
	struct scene *scene = malloc(sizeof *scene);

	scene_init(scene);
	scene_must_open(scene);
	scene_must_append(scene, G, 1, 6, 1);
	assert_int_equal(scene_checkpoint(scene, G, 2, "H2", old_rows, 2), 0);
	scene_crash(scene);
	scene_keep(scene, "before");
	*state = scene;
	return 0;
}

static int teardown(void **state) {
	(void)scene_heal();
	scene_deinit(*state);
	free(*state);
	return 0;
}

static const char *const before = "header 1: H2\nrow 1: 1 old-one\nrow 1: 2 old-two\n"
				  "base 1: 0/0\n"
				  "entry 1: 1/1 e1.1\nentry 1: 2/1 e2.1\nentry 1: 3/1 e3.1\n"
				  "entry 1: 4/1 e4.1\nentry 1: 5/1 e5.1\nentry 1: 6/1 e6.1\n";
static const char *const restarted = "header 1: HN\nrow 1: 2 new-two\nrow 1: 3 new-three\nbase 1: 4/3\n";
static const char *const restarted_beyond = "header 1: HN\nrow 1: 2 new-two\nrow 1: 3 new-three\nbase 1: 40/3\n";
static const char *const kept = "header 1: HN\nrow 1: 2 new-two\nrow 1: 3 new-three\n"
				"base 1: 4/1\nentry 1: 5/1 e5.1\nentry 1: 6/1 e6.1\n";

static void begin(struct scene *scene) {
	scene_return(scene, "before");
	scene_must_open(scene);
}

static void test_store_install__restarts_the_log_behind_the_snapshot(void **state) {
	struct scene *scene = *state;
	struct node_save save = scene_install(G, 40, 3, false, "HN", new_rows, 2);

	begin(scene);
	scene_must_write(scene, &save);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, restarted_beyond);
	scene_must_append(scene, G, 41, 1, 3);
	assert_int_equal(scene_checkpoint(scene, G, 41, "H41", new_rows, 1), 0);
	scene_must_write(scene, &(struct node_save){.group = G, .trim_to = 41, .trim_term = 3});
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "header 1: H41\nrow 1: 2 new-two\nrow 1: 3 new-three\nbase 1: 41/3\n");
}

static void test_store_install__replaces_a_log_that_reaches_further(void **state) {
	struct scene *scene = *state;
	struct node_save save = scene_install(G, 4, 3, false, "HN", new_rows, 2);

	begin(scene);
	scene_must_write(scene, &save);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, restarted);
}

static void test_store_install__replaces_a_log_that_ends_at_the_same_index(void **state) {
	struct scene *scene = *state;
	struct node_save save = scene_install(G, 6, 3, false, "HN", new_rows, 1);

	begin(scene);
	scene_must_write(scene, &save);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "header 1: HN\nrow 1: 2 new-two\nbase 1: 6/3\n");
}

/* The checkpoint thread may come last although it was asked first. */
static void test_store_install__outlives_an_older_checkpoint_that_comes_late(void **state) {
	struct scene *scene = *state;
	struct node_save save = scene_install(G, 40, 3, false, "HN", new_rows, 2);

	begin(scene);
	scene_must_write(scene, &save);
	assert_int_equal(scene_checkpoint(scene, G, 5, "H5", old_rows, 1), 0);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, restarted_beyond);
}

static void test_store_install__survives_a_power_cut_behind_it(void **state) {
	struct scene *scene = *state;
	struct node_save save = scene_install(G, 4, 3, false, "HN", new_rows, 2);

	begin(scene);
	scene_must_write(scene, &save);
	scene_crash(scene);
	scene_lose_newest_mark(scene, "before");
	scene_must_open(scene);
	assert_string_equal(scene->node.trace, restarted);
}

static void test_store_install__keeps_the_suffix(void **state) {
	struct scene *scene = *state;
	struct node_save save = scene_install(G, 4, 1, true, "HN", new_rows, 2);

	begin(scene);
	scene_must_write(scene, &save);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, kept);
	scene_must_append(scene, G, 7, 1, 1);
	scene_reopen(scene);
	assert_non_null(strstr(scene->node.trace, "entry 1: 7/1 e7.1\n"));
}

static void test_store_install__gives_a_blank_node_identity_and_vote(void **state) {
	struct scene *scene = *state;
	struct node_save save = scene_install(2, 40, 3, false, "HN", new_rows, 2);

	save.identity = true;
	save.incarnation.bytes[0] = 0xcd;
	save.epoch = 4;
	save.hard = true;
	save.term = 3;
	save.promise_ms = 200;
	(void)scene_choose(scene, "blank");
	scene_must_open(scene);
	scene_must_write(scene, &save);
	scene_reopen(scene);
	assert_string_equal(scene->node.trace, "identity cd epoch 4\nhard 2: term 3 vote 0 promise 200\n"
					       "header 2: HN\nrow 2: 2 new-two\nrow 2: 3 new-three\nbase 2: 40/3\n");
}

/* What a crash at the n-th write leaves: the old state or the new one, and the new one even where the log had not heard
 * of it yet. */
static void crash_everywhere(struct scene *scene, struct node_save (*install)(void), const char *after) {
	int old = 0, completed = 0;

	for (int n = 0; n < WRITES_MAX; n++) {
		struct node_save save = install();
		int r;

		begin(scene);
		scene_fail_writes(n, EIO);
		r = scene_write(scene, &save);
		if (!scene_heal()) {
			assert_int_equal(r, 0);
			scene_crash(scene);
			break;
		}
		scene_reopen(scene);
		assert_true(r < 0);
		if (strcmp(scene->node.trace, before) == 0)
			old++;
		else if (strcmp(scene->node.trace, after) == 0)
			completed++;
		else
			fail_msg("after write %d: %s", n, scene->node.trace);
		scene_reopen(scene);
		assert_true(strcmp(scene->node.trace, before) == 0 || strcmp(scene->node.trace, after) == 0);
		scene_crash(scene);
	}
	assert_true(old > 0);
	assert_true(completed > 0);
}

static struct node_save install_restart(void) {
	return scene_install(G, 4, 3, false, "HN", new_rows, 2);
}

static struct node_save install_beyond(void) {
	return scene_install(G, 40, 3, false, "HN", new_rows, 2);
}

static struct node_save install_suffix(void) {
	return scene_install(G, 4, 1, true, "HN", new_rows, 2);
}

static void test_store_install__is_completed_after_a_crash(void **state) {
	crash_everywhere(*state, install_restart, restarted);
	crash_everywhere(*state, install_beyond, restarted_beyond);
	crash_everywhere(*state, install_suffix, kept);
}

static void test_store_install__is_retried_after_a_full_disk(void **state) {
	struct scene *scene = *state;
	int full = 0;

	for (int n = 0; n < WRITES_MAX; n++) {
		struct node_save save = install_restart();
		int r;

		begin(scene);
		scene_fail_writes(n, ENOSPC);
		r = scene_write(scene, &save);
		if (!scene_heal())
			break;
		if (r == STORE_FULL) {
			full++;
			scene_must_write(scene, &save);
		}
		scene_must_append(scene, G, 5, 1, 3);
		scene_must_write(scene, &(struct node_save){.group = G, .truncate_from = 5});
		scene_reopen(scene);
		assert_string_equal(scene->node.trace, restarted);
		scene_crash(scene);
	}
	assert_true(full > 4);
}

static struct node_save recovery(uint8_t incarnation, uint32_t epoch) {
	struct node_save save = scene_install(G, 7, 2, false, "HN", new_rows, 2);

	save.identity = save.hard = true;
	save.incarnation.bytes[0] = incarnation;
	save.epoch = epoch;
	save.term = 2;
	return save;
}

/* Opens the folder as `lockd recover` does. */
static uint32_t open_to_recover(struct scene *scene) {
	uint32_t spent;

	assert_int_equal(store_open(scene->folder, &scene->store, &scene->error), 0);
	spent = store_take_back_identity(scene->store);
	scene->node = (struct node){0};
	assert_int_equal(store_load(scene->store, &scene->node, &scene->error), 0);
	return spent;
}

static bool has_identity(const struct scene *scene, const char *identity) {
	return strncmp(scene->node.trace, identity, strlen(identity)) == 0;
}

/* A crash leaves the old cluster, the new one, or a folder that asks for the recovery to be run again. */
static void test_store_install__of_a_recovery_is_whole_or_asked_for_again(void **state) {
	struct node_save first = {.group = G, .identity = true, .incarnation = {{0xab}}, .epoch = 3};
	struct scene *scene = *state;
	int interrupted = 0, completed = 0;

	begin(scene);
	first.hard = true;
	first.term = 1;
	scene_must_write(scene, &first);
	scene_crash(scene);
	scene_keep(scene, "before");

	for (int n = 0; n < WRITES_MAX; n++) {
		struct node_save save = recovery(0xcd, 4);

		begin(scene);
		scene_fail_writes(n, EIO);
		(void)scene_write(scene, &save);
		if (!scene_heal())
			break;
		scene_crash(scene);
		if (scene_open(scene) == 0) {
			completed += has_identity(scene, "identity cd epoch 4\n");
			scene_crash(scene);
			continue;
		}
		assert_non_null(strstr(scene->error.text, "was interrupted: run `lockd recover` again"));
		interrupted++;
		assert_int_equal(open_to_recover(scene), 4);
		assert_true(has_identity(scene, "identity ab epoch 3\n"));
		save = recovery(0xef, 5);
		scene_must_write(scene, &save);
		scene_crash(scene);
		assert_int_equal(open_to_recover(scene), 0);
		assert_true(has_identity(scene, "identity ef epoch 5\n"));
		assert_non_null(strstr(scene->node.trace, "header 1: HN\n"));
		scene_crash(scene);
	}
	assert_true(interrupted > 0);
	assert_true(completed > 0);
}

#define test(name) cmocka_unit_test_setup_teardown(test_store_install__##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(restarts_the_log_behind_the_snapshot),
		test(replaces_a_log_that_reaches_further),
		test(replaces_a_log_that_ends_at_the_same_index),
		test(outlives_an_older_checkpoint_that_comes_late),
		test(survives_a_power_cut_behind_it),
		test(keeps_the_suffix),
		test(gives_a_blank_node_identity_and_vote),
		test(is_completed_after_a_crash),
		test(is_retried_after_a_full_disk),
		test(of_a_recovery_is_whole_or_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
