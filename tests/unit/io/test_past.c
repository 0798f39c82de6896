/* SPDX-License-Identifier: Apache-2.0 */
/* A damaged folder is set aside as a whole, or stays damaged: at no step of it is there a store that serves anything,
 * and the empty one that takes its place knows in whose place it stands. */
#include "scene.h"

#include "api/bytes.h"
#include "lockd/io/past.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

enum { G = 1, STEPS_MAX = 64, DAMAGED_BYTES = 256 };

/* ---- A process that dies ------------------------------------------------------------------------------------------
 * From the n-th call on that changes names or syncs them, none is made any more. */
static int calls_left = -1; /* -1: it lives */

static bool is_dead(void) {
	if (calls_left < 0)
		return false;
	if (calls_left > 0) {
		calls_left--;
		return false;
	}
	errno = EIO;
	return true;
}

int __real_renameat(int from, const char *name, int into, const char *new_name);
int __wrap_renameat(int from, const char *name, int into, const char *new_name);
int __wrap_renameat(int from, const char *name, int into, const char *new_name) {
	return is_dead() ? -1 : __real_renameat(from, name, into, new_name);
}

int __real_mkdirat(int folder, const char *name, mode_t mode);
int __wrap_mkdirat(int folder, const char *name, mode_t mode);
int __wrap_mkdirat(int folder, const char *name, mode_t mode) {
	return is_dead() ? -1 : __real_mkdirat(folder, name, mode);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
	return is_dead() ? -1 : __real_fsync(fd);
}

/* ---- The scene ----------------------------------------------------------------------------------------------------
 * A store of the cluster ab…, epoch 7, with a checkpoint and a log; stopped as kill -9 would. */

static struct node_uuid first_uuid;

static int setup(void **state) {
	struct scene *scene = malloc(sizeof *scene);

	scene_init(scene);
	scene_must_open(scene);
	store_get_uuid(scene->store, &first_uuid);
	scene_must_write(scene, &(struct node_save){.group = G, .identity = true, .incarnation = {{0xab}}, .epoch = 7});
	scene_must_write(scene, &(struct node_save){.group = G, .hard = true, .term = 5, .vote = 2, .promise_ms = 200});
	scene_must_append(scene, G, 1, 1, 5);
	scene_must_append(scene, G, 2, 1, 5);
	scene_must_append(scene, G, 3, 1, 5);
	assert_int_equal(scene_checkpoint(scene, G, 2, "H2", &(struct scene_row){1, "row-one"}, 1), 0);
	scene_crash(scene);
	*state = scene;
	return 0;
}

static int teardown(void **state) {
	calls_left = -1;
	scene_deinit(*state);
	free(*state);
	return 0;
}

static void damage(struct scene *scene) {
	scene_flip(scene, "raft.db-wal", scene_file_bytes(scene, "raft.db-wal") / 2, 4);
	assert_int_equal(scene_open(scene), -EBADMSG);
}

static void damage_next(struct scene *scene) {
	scene_truncate(scene, "state.db", 0);
	assert_int_equal(scene_open(scene), -EBADMSG);
}

/* As an operator does who has seen enough. */
static void delete_kept(const struct scene *scene, int number) {
	char command[DAMAGED_BYTES];

	(void)snprintf(command, sizeof command, "rm -rf %s/damaged-%d", scene->folder, number);
	assert_int_equal(system(command), 0);
}

static bool has(const struct scene *scene, const char *name) {
	char path[192];

	(void)snprintf(path, sizeof path, "%s/%s", scene->folder, name);
	return access(path, F_OK) == 0;
}

static int set_aside(struct scene *scene, const char *reason) {
	return store_set_aside(scene->folder, reason, &scene->error);
}

static struct store_past past_of(struct scene *scene) {
	struct store_past past;

	memset(&past, 0xee, sizeof past);
	store_get_past(scene->store, &past);
	return past;
}

static void assert_uuid(const struct node_uuid *uuid, const struct node_uuid *expected) {
	assert_memory_equal(uuid->bytes, expected->bytes, sizeof uuid->bytes);
}

/* An empty store that stands in the place of the first one. */
static void assert_replaced(struct scene *scene, const char *reason) {
	struct store_past past = past_of(scene);
	struct node_uuid uuid;

	store_get_uuid(scene->store, &uuid);
	assert_memory_not_equal(uuid.bytes, first_uuid.bytes, sizeof uuid.bytes);
	assert_string_equal(scene->node.trace, "");
	assert_int_equal(past.n, 1);
	assert_uuid(&past.stores[0], &first_uuid);
	assert_int_equal(past.incarnation.bytes[0], 0xab);
	assert_int_equal(past.epoch, 7);
	assert_int_equal(past.repairs, 1);
	assert_string_equal(past.reason, reason);
}

static void must_be_replaced(struct scene *scene, const char *reason) {
	assert_int_equal(set_aside(scene, reason), 0);
	scene_must_open(scene);
	assert_replaced(scene, reason);
}

/* ---- Rejections ---------------------------------------------------------------------------------------------------
 */

static void expect_nothing_moved(struct scene *scene, int code) {
	assert_int_equal(set_aside(scene, "why"), code);
	assert_false(has(scene, "past"));
	assert_false(has(scene, "damaged-1"));
}

static void test_past__moves_nothing_while_somebody_has_the_folder(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	expect_nothing_moved(scene, -EBUSY);
}

static void test_past__moves_nothing_when_nobody_can_say_whose_place_it_is(void **state) {
	struct scene *scene = *state;

	scene_remove(scene, "superblock");
	scene_truncate(scene, "raft.db", 0);
	expect_nothing_moved(scene, -ENODATA);
	assert_non_null(strstr(scene->error.text, "lockctl cluster remove"));
	assert_true(has(scene, "state.db"));
	assert_int_equal(scene_open(scene), -EBADMSG);
}

/* The older slot is from before the founding; that there was one, nothing else says. */
static void test_past__moves_nothing_when_nobody_can_say_which_cluster_it_was(void **state) {
	struct scene *scene = *state;

	(void)scene_choose(scene, "young");
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = G, .identity = true, .incarnation = {{0xab}}, .epoch = 7});
	scene_crash(scene);
	scene_flip(scene, "superblock", 4096 + 200, 1);
	scene_truncate(scene, "raft.db", 0);
	assert_int_equal(scene_open(scene), -EBADMSG);
	expect_nothing_moved(scene, -ENODATA);
}

/* It is sound in itself, so somebody has put it there. */
static void test_past__leaves_an_old_copy_where_it_is(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	assert_int_equal(store_condemn(scene->store, "it is old", &scene->error), 0);
	scene_crash(scene);
	expect_nothing_moved(scene, -ESTALE);
}

static void test_past__refuses_another_format(void **state) {
	uint8_t bytes[512];
	char path[192];
	FILE *file;

	struct scene *scene = *state;

	damage(scene);
	assert_int_equal(set_aside(scene, "why"), 0);
	(void)snprintf(path, sizeof path, "%s/past", scene->folder);
	file = fopen(path, "r+");
	assert_int_equal(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
	bytes[8]++;
	bytes_put_u64(bytes + 504, XXH3_64bits(bytes, 504));
	rewind(file);
	assert_int_equal(fwrite(bytes, 1, sizeof bytes, file), sizeof bytes);
	fclose(file);
	assert_int_equal(scene_open(scene), -ENOTSUP);
	assert_int_equal(set_aside(scene, "why"), -ENOTSUP);
}

/* ---- Who it was ---------------------------------------------------------------------------------------------------
 */

static void test_past__is_of_no_stores_at_first(void **state) {
	struct scene *scene = *state;
	struct store_past past;

	scene_must_open(scene);
	past = past_of(scene);
	assert_int_equal(past.n, 0);
	assert_int_equal(past.repairs, 0);
	assert_string_equal(past.reason, "");
}

static void test_past__keeps_every_file_and_remembers_whose_place_it_is(void **state) {
	static const char *const files[] = {"superblock", "raft.db", "raft.db-wal", "state.db", "state.db-wal"};
	struct scene *scene = *state;
	size_t bytes[5];

	damage(scene);
	scene_keep(scene, "kept");
	for (size_t i = 0; i < 5; i++)
		bytes[i] = scene_file_bytes(scene, files[i]);
	assert_int_equal(set_aside(scene, "a flipped bit"), 0);
	for (size_t i = 0; i < 5; i++) {
		char command[DAMAGED_BYTES];

		assert_false(has(scene, files[i]));
		(void)snprintf(command, sizeof command, "cmp %s/kept/%s %s/damaged-1/%s", scene->base, files[i],
			       scene->folder, files[i]);
		assert_int_equal(system(command), 0);
		assert_true(bytes[i] > 0);
	}
	for (int i = 0; i < 2; i++) {
		scene_must_open(scene);
		assert_replaced(scene, "a flipped bit");
		scene_crash(scene);
	}
	/* It serves as any other store does. */
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = G, .identity = true, .incarnation = {{0xab}}, .epoch = 7});
	scene_must_append(scene, G, 1, 1, 6);
	scene_reopen(scene);
	assert_non_null(strstr(scene->node.trace, "entry 1: 1/6"));
	assert_int_equal(past_of(scene).n, 1);
}

static void test_past__asks_the_log_when_the_superblock_is_gone(void **state) {
	struct scene *scene = *state;

	scene_remove(scene, "superblock");
	assert_int_equal(scene_open(scene), -EBADMSG);
	must_be_replaced(scene, "no superblock");
}

static void test_past__asks_the_older_slot_when_all_else_is_gone(void **state) {
	struct scene *scene = *state;

	/* Four generations: creation, start, identity, hard state; the newest is in slot 0. */
	scene_flip(scene, "superblock", 200, 1);
	scene_truncate(scene, "raft.db", 0);
	assert_int_equal(scene_open(scene), -EBADMSG);
	must_be_replaced(scene, "two at once");
}

static void test_past__does_not_believe_the_log_of_another_folder(void **state) {
	struct scene *scene = *state;
	char command[DAMAGED_BYTES], here[96];

	(void)snprintf(here, sizeof here, "%s", scene->folder);
	(void)scene_choose(scene, "other");
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = G, .identity = true, .incarnation = {{0xcd}}, .epoch = 9});
	scene_stop(scene);
	(void)snprintf(command, sizeof command, "cp %s/raft.db* %s", scene->folder, here);
	assert_int_equal(system(command), 0);
	(void)scene_choose(scene, "data");
	assert_int_equal(scene_open(scene), -EBADMSG);
	must_be_replaced(scene, "a foreign log");
}

/* It has promised nothing to anybody, so it may be founded with again. */
static void test_past__of_a_blank_store_belongs_to_no_cluster(void **state) {
	struct scene *scene = *state;
	struct store_past past;

	(void)scene_choose(scene, "blank");
	scene_must_open(scene);
	store_get_uuid(scene->store, &first_uuid);
	scene_crash(scene);
	scene_truncate(scene, "raft.db", 0);
	assert_int_equal(set_aside(scene, "why"), 0);
	scene_must_open(scene);
	past = past_of(scene);
	assert_int_equal(past.n, 1);
	assert_uuid(&past.stores[0], &first_uuid);
	assert_memory_equal(past.incarnation.bytes, ((struct node_uuid){{0}}).bytes, 16);
}

static void test_past__begins_anew_with_a_store_that_was_let_in(void **state) {
	struct scene *scene = *state;
	struct store_past past;

	damage(scene);
	assert_int_equal(set_aside(scene, "the first time"), 0);
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = G, .identity = true, .incarnation = {{0xab}}, .epoch = 8});
	store_get_uuid(scene->store, &first_uuid);
	scene_crash(scene);
	scene_truncate(scene, "raft.db", 0);
	assert_int_equal(set_aside(scene, "the second time"), 0);
	scene_must_open(scene);
	past = past_of(scene);
	assert_int_equal(past.n, 1);
	assert_uuid(&past.stores[0], &first_uuid);
	assert_int_equal(past.epoch, 8);
	assert_int_equal(past.repairs, 2);
}

/* Damaged again before anybody has let it in: the configuration may still name any of them. */
static void test_past__is_a_chain_of_the_latest_stores(void **state) {
	struct node_uuid all[STORE_PAST_MAX + 3];
	struct scene *scene = *state;
	struct store_past past;
	int n = STORE_PAST_MAX + 3;

	for (int i = 0; i < n; i++) {
		char name[32], reason[32];

		(void)snprintf(name, sizeof name, "damaged-%d", i + 1);
		(void)snprintf(reason, sizeof reason, "time %d", i + 1);
		scene_must_open(scene);
		store_get_uuid(scene->store, &all[i]);
		scene_crash(scene);
		scene_truncate(scene, "state.db", 0);
		assert_int_equal(scene_open(scene), -EBADMSG);
		assert_int_equal(set_aside(scene, reason), 0);
		assert_true(has(scene, name));
		scene_must_open(scene);
		past = past_of(scene);
		assert_int_equal(past.repairs, i + 1);
		assert_string_equal(past.reason, reason);
		assert_int_equal(past.incarnation.bytes[0], 0xab);
		assert_int_equal(past.epoch, 7);
		assert_int_equal(past.n, i + 1 < STORE_PAST_MAX ? i + 1 : STORE_PAST_MAX);
		for (size_t k = 0; k + 1 < past.n; k++)
			assert_uuid(&past.stores[k], &all[(size_t)i - k]);
		assert_uuid(&past.stores[past.n - 1], &all[0]); /* which the configuration names still */
		scene_crash(scene);
		delete_kept(scene, i); /* the one before */
	}
}

/* A disk that loses whatever is written to it is not filled up with evidence. */
static void test_past__waits_for_somebody_who_looks_when_enough_is_kept(void **state) {
	struct scene *scene = *state;
	struct store_past past;

	for (int i = 0; i < PAST_KEPT_MAX; i++) {
		damage_next(scene);
		assert_int_equal(set_aside(scene, "again"), 0);
		scene_must_open(scene);
		scene_crash(scene);
	}
	damage_next(scene);
	assert_int_equal(set_aside(scene, "once too often"), -EDQUOT);
	assert_non_null(strstr(scene->error.text, "holds 8 damaged folders already"));
	assert_true(has(scene, "superblock"));
	assert_int_equal(scene_open(scene), -EBADMSG);

	delete_kept(scene, 3);
	assert_int_equal(set_aside(scene, "looked at"), 0);
	assert_true(has(scene, "damaged-9")); /* not one of before */
	scene_must_open(scene);
	past = past_of(scene);
	assert_int_equal(past.repairs, PAST_KEPT_MAX + 1);
}

/* A configuration, a backup: the next start may need it where it is. */
static void test_past__leaves_what_is_not_the_store_where_it_is(void **state) {
	static const char *const others[] = {"lockd.conf", "friday.backup", "reserve"};
	struct scene *scene = *state;

	damage(scene);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		char path[192];
		FILE *file;

		(void)snprintf(path, sizeof path, "%s/%s", scene->folder, others[i]);
		file = fopen(path, "w");
		assert_non_null(file);
		fclose(file);
	}
	must_be_replaced(scene, "why");
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_true(has(scene, others[i]));
}

/* A past that cannot be read may have named a cluster. */
static void test_past__that_is_damaged_is_damage(void **state) {
	struct scene *scene = *state;

	damage(scene);
	assert_int_equal(set_aside(scene, "why"), 0);
	scene_must_open(scene);
	scene_crash(scene);
	scene_flip(scene, "past", 20, 1);
	assert_int_equal(scene_open(scene), -EBADMSG);
	assert_non_null(strstr(scene->error.text, "/past is damaged"));
	assert_int_equal(set_aside(scene, "why"), -ENODATA);

	scene_flip(scene, "past", 20, 1);
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = G, .identity = true, .incarnation = {{0xab}}, .epoch = 7});
	store_get_uuid(scene->store, &first_uuid);
	scene_crash(scene);
	scene_truncate(scene, "past", 511);
	assert_int_equal(scene_open(scene), -EBADMSG);
	assert_int_equal(set_aside(scene, "no past"), 0);
	assert_true(has(scene, "damaged-2")); /* beside the first one */
	scene_must_open(scene);
	assert_int_equal(past_of(scene).n, 1);
	assert_uuid(&past_of(scene).stores[0], &first_uuid);
}

/* What the start reads is sound, and it is set aside all the same. */
static void test_past__begins_with_damage_that_a_running_node_has_met(void **state) {
	struct scene *scene = *state;

	scene_must_open(scene);
	(void)snprintf(scene->error.text, sizeof scene->error.text, "a row that nobody reads");
	store_note_failure(scene->store, -EIO, &scene->error);
	scene_crash(scene);
	scene_must_open(scene); /* that was no damage */
	store_note_failure(scene->store, -EBADMSG, &scene->error);
	scene_crash(scene);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(scene_open(scene), -EBADMSG);
		assert_non_null(
			strstr(scene->error.text, "was found damaged while it was in use: a row that nobody reads"));
	}
	must_be_replaced(scene, "it was marked");
}

/* ---- Crashes ------------------------------------------------------------------------------------------------------
 */

static void test_past__is_completed_after_a_crash_at_any_step(void **state) {
	struct scene *scene = *state;
	int begun = 0, steps;

	damage(scene);
	scene_keep(scene, "damaged");
	for (steps = 0; steps < STEPS_MAX; steps++) {
		char name[32];
		int r;

		(void)snprintf(name, sizeof name, "step-%d", steps);
		(void)scene_choose(scene, name);
		scene_return(scene, "damaged");
		calls_left = steps;
		r = set_aside(scene, "the first time");
		if (r == 0)
			break;
		calls_left = -1;
		assert_int_equal(r, -EIO);
		if (has(scene, "past")) {
			begun++;
			scene_must_open(scene);
			assert_replaced(scene, "the first time");
			scene_crash(scene);
			assert_true(has(scene, "damaged-1/raft.db-wal"));
			assert_true(has(scene, "damaged-1/superblock"));
			continue;
		}
		assert_int_equal(scene_open(scene), -EBADMSG);
		must_be_replaced(scene, "the second time");
		scene_crash(scene);
	}
	calls_left = -1;
	/* Three for each `past`, two around the new folder, five files, two syncs behind them. */
	assert_in_range(steps, 15, STEPS_MAX - 1);
	assert_in_range(begun, 10, steps - 1);
	print_message("%d steps, %d of them behind the point of no return\n", steps, begun);
}

/* Whoever completes it may crash, too; and whoever sets aside what is half aside completes it. */
static void test_past__is_completed_in_as_many_steps_as_it_takes(void **state) {
	struct scene *scene = *state;
	int attempts = 1;

	damage(scene);
	calls_left = 5;
	assert_int_equal(set_aside(scene, "why"), -EIO);
	for (calls_left = 2; set_aside(scene, "another reason") != 0; calls_left = 2 + attempts / 4)
		assert_in_range(attempts++, 1, STEPS_MAX);
	calls_left = -1;
	assert_true(attempts > 2);
	scene_must_open(scene);
	assert_replaced(scene, "why");
	assert_false(has(scene, "damaged-2"));
}

#define test(name) cmocka_unit_test_setup_teardown(test_past__##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(moves_nothing_while_somebody_has_the_folder),
		test(moves_nothing_when_nobody_can_say_whose_place_it_is),
		test(moves_nothing_when_nobody_can_say_which_cluster_it_was),
		test(leaves_an_old_copy_where_it_is),
		test(refuses_another_format),
		test(is_of_no_stores_at_first),
		test(keeps_every_file_and_remembers_whose_place_it_is),
		test(asks_the_log_when_the_superblock_is_gone),
		test(asks_the_older_slot_when_all_else_is_gone),
		test(does_not_believe_the_log_of_another_folder),
		test(of_a_blank_store_belongs_to_no_cluster),
		test(begins_anew_with_a_store_that_was_let_in),
		test(is_a_chain_of_the_latest_stores),
		test(waits_for_somebody_who_looks_when_enough_is_kept),
		test(leaves_what_is_not_the_store_where_it_is),
		test(that_is_damaged_is_damage),
		test(begins_with_damage_that_a_running_node_has_met),
		test(is_completed_after_a_crash_at_any_step),
		test(is_completed_in_as_many_steps_as_it_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
