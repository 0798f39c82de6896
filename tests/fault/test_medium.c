/* SPDX-License-Identifier: Apache-2.0 */
/* The disk itself: what a power cut may leave, what it may not, and that every fault does what it is named after. */
#include "mount.h"

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

enum { SEEDS = 200 };

static int setup(void **state) {
	*state = medium_new();
	return 0;
}

static int teardown(void **state) {
	medium_free(*state);
	return 0;
}

static int create(struct medium *medium, const char *path) {
	int file = medium_open(medium, MEDIUM_ROOT, path, O_RDWR | O_CREAT);

	assert_true(file > 0);
	return file;
}

static void put(struct medium *medium, int file, const char *text, uint64_t offset) {
	assert_int_equal(medium_write(medium, file, text, strlen(text), offset), strlen(text));
}

/* The file's content as a string; NULL: no such file. */
static const char *get(struct medium *medium, const char *path) {
	static char text[4096];
	int file = medium_find(medium, MEDIUM_ROOT, path);
	ssize_t n;

	if (file < 0)
		return NULL;
	n = medium_read(medium, file, text, sizeof text - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void expect_cut(const struct medium *medium, enum medium_policy policy, const char *path, const char *text) {
	struct medium *image = medium_cut(medium, policy, 1);

	if (text)
		assert_string_equal(get(image, path), text);
	else
		assert_null(get(image, path));
	medium_free(image);
}

static void test_medium__refuses_what_is_not_there(void **state) {
	struct medium *medium = *state;
	int file = create(medium, "file");

	assert_int_equal(medium_open(medium, MEDIUM_ROOT, "none", O_RDONLY), -ENOENT);
	assert_int_equal(medium_open(medium, MEDIUM_ROOT, "none/file", O_RDWR | O_CREAT), -ENOENT);
	assert_int_equal(medium_open(medium, MEDIUM_ROOT, "file/file", O_RDWR | O_CREAT), -ENOTDIR);
	assert_int_equal(medium_open(medium, MEDIUM_ROOT, "file", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
	assert_int_equal(medium_open(medium, MEDIUM_ROOT, "file", O_RDONLY | O_DIRECTORY), -ENOTDIR);
	assert_int_equal(medium_open(medium, MEDIUM_ROOT, ".", O_RDWR), -EISDIR);
	assert_int_equal(medium_make_folder(medium, MEDIUM_ROOT, "file"), -EEXIST);
	assert_int_equal(medium_make_folder(medium, MEDIUM_ROOT, "folder"), 0);
	assert_int_equal(medium_remove(medium, MEDIUM_ROOT, "folder", false), -EISDIR);
	assert_int_equal(medium_rename(medium, MEDIUM_ROOT, "file", MEDIUM_ROOT, "folder/file"), 0);
	assert_int_equal(medium_remove(medium, MEDIUM_ROOT, "folder", true), -ENOTEMPTY);
	assert_int_equal(medium_remove(medium, MEDIUM_ROOT, "none", false), -ENOENT);
	medium_close(medium, file);
}

static void test_medium__name_and_bytes_are_durable_for_themselves(void **state) {
	struct medium *medium = *state;
	int file = create(medium, "file");

	put(medium, file, "bytes", 0);
	assert_int_equal(medium_sync(medium, file), 0);
	expect_cut(medium, MEDIUM_LOSE_ALL, "file", NULL);
	assert_int_equal(medium_sync(medium, MEDIUM_ROOT), 0);
	expect_cut(medium, MEDIUM_LOSE_ALL, "file", "bytes");
	put(medium, file, "more", 5);
	expect_cut(medium, MEDIUM_LOSE_ALL, "file", "bytes");
	expect_cut(medium, MEDIUM_KEEP_ALL, "file", "bytesmore");
	assert_int_equal(medium_truncate(medium, file, 2), 0);
	expect_cut(medium, MEDIUM_LOSE_ALL, "file", "bytes");
	expect_cut(medium, MEDIUM_KEEP_ALL, "file", "by");
}

static void test_medium__rename_is_one_step_and_needs_both_folders(void **state) {
	struct medium *medium = *state;
	bool here = false, there = false;

	create(medium, "file");
	assert_int_equal(medium_make_folder(medium, MEDIUM_ROOT, "folder"), 0);
	assert_int_equal(medium_sync(medium, MEDIUM_ROOT), 0);
	assert_int_equal(medium_rename(medium, MEDIUM_ROOT, "file", MEDIUM_ROOT, "folder/other"), 0);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct medium *image = medium_cut(medium, MEDIUM_TEAR, seed);
		bool old = medium_find(image, MEDIUM_ROOT, "file") >= 0;
		bool new = medium_find(image, MEDIUM_ROOT, "folder/other") >= 0;

		assert_int_equal(old, !new);
		here = here || old;
		there = there || new;
		medium_free(image);
	}
	assert_true(here && there);
	assert_int_equal(medium_sync(medium, MEDIUM_ROOT), 0);
	expect_cut(medium, MEDIUM_LOSE_ALL, "file", "");
	assert_int_equal(medium_sync(medium, medium_find(medium, MEDIUM_ROOT, "folder")), 0);
	expect_cut(medium, MEDIUM_LOSE_ALL, "file", NULL);
	expect_cut(medium, MEDIUM_LOSE_ALL, "folder/other", "");
}

/* Three writes: two share a sector, one spans two. */
static void fill_sectors(struct medium *medium) {
	char text[1024];
	int file = create(medium, "file");

	memset(text, '-', sizeof text);
	assert_int_equal(medium_write(medium, file, text, 1024, 0), 1024);
	assert_int_equal(medium_sync(medium, file), 0);
	assert_int_equal(medium_sync(medium, MEDIUM_ROOT), 0);
	put(medium, file, "A", 0);
	put(medium, file, "B", 1);
	memset(text, 'C', sizeof text);
	assert_int_equal(medium_write(medium, file, text, 1024, 512), 1024);
}

static void test_medium__subset_keeps_writes_whole(void **state) {
	struct medium *medium = *state;
	int met[4] = {0}, long_ones = 0;

	fill_sectors(medium);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct medium *image = medium_cut(medium, MEDIUM_KEEP_SUBSET, seed);
		const char *text = get(image, "file");
		size_t n = strlen(text);

		/* The page cache has the sector once: B goes nowhere without A, which was there before. */
		met[(text[0] == 'A') + 2 * (text[1] == 'B')]++;
		assert_true(n == 1024 || n == 1536);
		assert_int_equal(text[512], n == 1536 ? 'C' : '-');
		assert_int_equal(text[n - 1], n == 1536 ? 'C' : '-');
		long_ones += n == 1536;
		medium_free(image);
	}
	assert_true(met[0] > 0 && met[1] > 0 && met[3] > 0);
	assert_int_equal(met[2], 0);
	assert_in_range(long_ones, 1, SEEDS - 1);
}

static void test_medium__tear_keeps_sectors_whole(void **state) {
	struct medium *medium = *state;
	int torn = 0;

	fill_sectors(medium);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct medium *image = medium_cut(medium, MEDIUM_TEAR, seed);
		int file = medium_find(image, MEDIUM_ROOT, "file");
		char text[1536] = "";
		ssize_t n = medium_read(image, file, text, sizeof text, 0);

		assert_true(n == 1024 || n == 1536);
		for (ssize_t at = 512; at < n; at += 512)
			for (ssize_t i = at; i < at + 512; i++)
				assert_int_equal(text[i], text[at]);
		assert_true(n == 1024 || text[1024] == 'C' || text[1024] == '\0');
		torn += n == 1536 && text[512] != text[1024];
		medium_free(image);
	}
	assert_in_range(torn, 1, SEEDS - 1);
}

static void test_medium__prefix_keeps_the_order_over_all_files(void **state) {
	struct medium *medium = *state;
	int kept[4] = {0};

	put(medium, create(medium, "a"), "1", 0); /* points 1 and 2 */
	put(medium, create(medium, "b"), "2", 0); /* points 3 and 4 */
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct medium *image = medium_cut(medium, MEDIUM_KEEP_PREFIX, seed);
		bool a = get(image, "a"), b = get(image, "b");

		kept[a + 2 * b]++;
		assert_true(!b || strcmp(get(image, "a"), "1") == 0);
		medium_free(image);
	}
	assert_true(kept[0] > 0 && kept[1] > 0 && kept[3] > 0);
	assert_int_equal(kept[2], 0);
}

static void test_medium__copy_is_independent(void **state) {
	struct medium *medium = *state, *copy;
	int file = create(medium, "file");

	put(medium, file, "old", 0);
	copy = medium_copy(medium);
	assert_true(medium_hash(copy) == medium_hash(medium));
	put(medium, file, "new", 0);
	assert_string_equal(get(copy, "file"), "old");
	assert_string_equal(get(medium, "file"), "new");
	assert_true(medium_hash(copy) != medium_hash(medium));
	medium_free(copy);
}

static void watch(void *context, struct medium *medium, const struct medium_operation *operation) {
	(void)medium;
	if (operation->kind != MEDIUM_READ)
		*(uint64_t *)context = *(uint64_t *)context * 10 + operation->point;
}

static void test_medium__watcher_is_called_before_every_point(void **state) {
	struct medium *medium = *state;
	uint64_t points = 0;
	int file;

	medium_set_watch(medium, watch, &points);
	file = create(medium, "file");
	put(medium, file, "x", 0);
	assert_string_equal(get(medium, "file"), "x");
	assert_int_equal(medium_truncate(medium, file, 0), 0);
	assert_int_equal(medium_sync(medium, file), 0);
	assert_int_equal(medium_rename(medium, MEDIUM_ROOT, "file", MEDIUM_ROOT, "other"), 0);
	assert_int_equal(medium_remove(medium, MEDIUM_ROOT, "other", false), 0);
	assert_int_equal(points, 123456);
	medium_close(medium, file);
}

static void test_medium__fault_strikes_the_nth_that_fits_and_counts(void **state) {
	struct medium *medium = *state;
	struct medium_fault fault = {
		.harm = MEDIUM_EIO, .kinds = MEDIUM_WRITE | MEDIUM_SYNC, .file = "b", .first = 1, .times = 2};
	int a = create(medium, "a"), b = create(medium, "b");

	medium_arm(medium, &fault);
	put(medium, a, "x", 0);
	put(medium, b, "x", 0);
	assert_int_equal(medium_sync(medium, a), 0);
	assert_int_equal(medium_sync(medium, b), -EIO);
	assert_int_equal(medium_write(medium, b, "y", 1, 0), -EIO);
	put(medium, b, "z", 0);
	medium_disarm(medium, &fault);
	assert_int_equal(fault.met, 4);
	assert_int_equal(fault.bit, 2);
}

/* fsync(2): the pages count as clean after the failure, so that the sync that follows proves nothing. */
static void test_medium__failed_sync_is_not_made_up_for_by_the_next(void **state) {
	struct medium *medium = *state;
	struct medium_fault fault = {.harm = MEDIUM_EIO, .kinds = MEDIUM_SYNC, .times = 1};
	int file = create(medium, "file");

	assert_int_equal(medium_sync(medium, MEDIUM_ROOT), 0);
	put(medium, file, "x", 0);
	medium_arm(medium, &fault);
	assert_int_equal(medium_sync(medium, file), -EIO);
	assert_int_equal(medium_sync(medium, file), 0);
	assert_string_equal(get(medium, "file"), "x");
	expect_cut(medium, MEDIUM_KEEP_ALL, "file", "");
}

static void test_medium__full_disk_takes_what_fits(void **state) {
	struct medium *medium = *state;
	int file = create(medium, "file");

	medium_set_capacity(medium, 6);
	put(medium, file, "1234", 0);
	assert_int_equal(medium_write(medium, file, "5678", 4, 4), 2);
	assert_int_equal(medium_write(medium, file, "78", 2, 6), -ENOSPC);
	assert_int_equal(medium_allocate(medium, file, 0, 7), -ENOSPC);
	put(medium, file, "over", 0);
	assert_string_equal(get(medium, "file"), "over56");
	assert_int_equal(medium_get_used(medium), 6);
}

static void test_medium__short_write_ends_with_a_full_disk(void **state) {
	struct medium *medium = *state;
	struct medium_fault fault = {.harm = MEDIUM_SHORT, .kinds = MEDIUM_WRITE, .times = 2};
	int file = create(medium, "file");
	char text[1400];

	memset(text, 'x', sizeof text);
	medium_arm(medium, &fault);
	assert_int_equal(medium_write(medium, file, text, sizeof text, 0), 512);
	assert_int_equal(medium_write(medium, file, text, 100, 512), -ENOSPC);
	assert_int_equal(fault.bit, 1);
	medium_disarm(medium, &fault);
	medium_arm(medium, &fault);
	assert_int_equal(medium_write(medium, file, text, 100, 512), -ENOSPC);
	medium_disarm(medium, &fault);
	put(medium, file, "rest", 512);
	assert_int_equal(medium_get_bytes(medium, file), 516);
}

/* What the device does wrong is in the image, and not in what the running program reads. */
static void test_medium__device_harms_show_after_a_restart(void **state) {
	static const char text[] = "0123456789abcdef";
	const enum medium_harm harms[] = {MEDIUM_FLIP, MEDIUM_LOST, MEDIUM_MISDIRECT, MEDIUM_MISDIRECT_FILE};

	for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
		struct medium *medium = medium_new(), *image;
		struct medium_fault fault = {.harm = harms[i], .kinds = MEDIUM_WRITE, .times = 1, .seed = 3};
		int file = create(medium, "file"), other = create(medium, "other");

		put(medium, file, "################################", 0);
		put(medium, other, "****************************************", 0);
		assert_int_equal(medium_sync(medium, file), 0);
		assert_int_equal(medium_sync(medium, other), 0);
		medium_arm(medium, &fault);
		put(medium, file, text, 0);
		assert_int_equal(medium_sync(medium, file), 0);
		assert_int_equal(fault.bit, 1);
		assert_memory_equal(get(medium, "file"), text, 16);
		image = medium_cut(medium, MEDIUM_KEEP_ALL, 0);
		assert_memory_not_equal(get(image, "file"), text, 16);
		assert_int_equal(strchr(get(image, "other"), 'a') != NULL, harms[i] == MEDIUM_MISDIRECT_FILE);
		assert_int_equal(strstr(get(image, "file"), "cde") != NULL,
				 harms[i] == MEDIUM_MISDIRECT || harms[i] == MEDIUM_FLIP);
		medium_free(image);
		medium_free(medium);
	}
	(void)state;
}

static void test_medium__lying_sync_loses_what_it_promised(void **state) {
	struct medium *medium = *state;
	struct medium_fault fault = {.harm = MEDIUM_LOST, .kinds = MEDIUM_SYNC, .file = "file", .times = 1};
	int file = create(medium, "file");

	assert_int_equal(medium_sync(medium, MEDIUM_ROOT), 0);
	put(medium, file, "x", 0);
	medium_arm(medium, &fault);
	assert_int_equal(medium_sync(medium, file), 0);
	assert_int_equal(fault.bit, 1);
	expect_cut(medium, MEDIUM_LOSE_ALL, "file", "");
	assert_int_equal(medium_sync(medium, file), 0);
	expect_cut(medium, MEDIUM_LOSE_ALL, "file", "x");
}

static void test_medium__reads_are_stale_once_and_rotten_for_ever(void **state) {
	struct medium *medium = *state;
	struct medium_fault stale = {.harm = MEDIUM_STALE, .kinds = MEDIUM_READ, .times = 1};
	struct medium_fault rotten = {.harm = MEDIUM_FLIP, .kinds = MEDIUM_READ, .times = 1};
	int file = create(medium, "file");
	char first[8];

	put(medium, file, "old", 0);
	put(medium, file, "new", 0);
	medium_arm(medium, &stale);
	assert_string_equal(get(medium, "file"), "old");
	assert_string_equal(get(medium, "file"), "new");
	assert_int_equal(stale.bit, 1);
	assert_int_equal(medium_sync(medium, file), 0);
	medium_arm(medium, &rotten);
	(void)snprintf(first, sizeof first, "%s", get(medium, "file"));
	assert_string_not_equal(first, "new");
	assert_string_equal(get(medium, "file"), first);
	assert_int_equal(medium_sync(medium, MEDIUM_ROOT), 0);
	expect_cut(medium, MEDIUM_LOSE_ALL, "file", first);
}

static void test_medium__counts_time(void **state) {
	struct medium *medium = *state;
	struct medium_fault slow = {.harm = MEDIUM_SLOW, .kinds = MEDIUM_SYNC, .first = 1, .times = 1, .usec = 1000};
	char text[2048] = "";
	int file;

	medium_set_latency(medium,
			   &(struct medium_latency){.read_usec = 7, .write_usec = 1, .sync_usec = 100, .kib_usec = 10});
	file = create(medium, "file");
	medium_arm(medium, &slow);
	assert_int_equal(medium_write(medium, file, text, sizeof text, 0), sizeof text);
	assert_int_equal(medium_get_elapsed_usec(medium), 1 + 1 + 20);
	assert_int_equal(medium_sync(medium, file), 0);
	assert_int_equal(medium_get_elapsed_usec(medium), 122);
	assert_int_equal(medium_sync(medium, file), 0);
	assert_int_equal(medium_get_elapsed_usec(medium), 1222);
	assert_int_equal(medium_read(medium, file, text, 1, 0), 1);
	assert_int_equal(medium_get_elapsed_usec(medium), 1229);
}

/* Through descriptors, paths and SQLite: the same files. */
static void test_mount__programs_find_the_same_files(void **state) {
	struct medium *medium = *state, *image = NULL;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	sqlite3 *sqlite;
	int fd, other;

	mount_add("/medium/a", medium);
	assert_int_equal(sqlite3_open("/medium/a/db", &sqlite), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sqlite,
				      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
				      "CREATE TABLE t (x); INSERT INTO t VALUES ('needle')",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	assert_true(medium_find(medium, MEDIUM_ROOT, "db-wal") > 0);

	fd = open("/medium/a/db-wal", O_RDWR);
	other = open("/medium/a/db-wal", O_RDWR);
	assert_true(fd >= 0 && other >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(fcntl(other, F_OFD_SETLK, &lock), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(close(fd), 0);
	assert_int_equal(fcntl(other, F_OFD_SETLK, &lock), 0);
	assert_int_equal(close(other), 0);

	/* The WAL syncs its folder when it is new, so the database has a durable name as well. */
	image = medium_cut(medium, MEDIUM_LOSE_ALL, 0);
	assert_int_equal(sqlite3_close(sqlite), SQLITE_OK);
	mount_remove(medium);
	mount_add("/medium/b", image);
	assert_int_equal(open("/medium/a/db", O_RDONLY), -1);
	assert_int_equal(sqlite3_open("/medium/b/db", &sqlite), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(sqlite, "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t SELECT x FROM t", NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_total_changes(sqlite), 1);
	assert_int_equal(sqlite3_close(sqlite), SQLITE_OK);
	mount_remove(image);
	medium_free(image);
}

#define test(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(medium__refuses_what_is_not_there),
		test(medium__name_and_bytes_are_durable_for_themselves),
		test(medium__rename_is_one_step_and_needs_both_folders),
		test(medium__subset_keeps_writes_whole),
		test(medium__tear_keeps_sectors_whole),
		test(medium__prefix_keeps_the_order_over_all_files),
		test(medium__copy_is_independent),
		test(medium__watcher_is_called_before_every_point),
		test(medium__fault_strikes_the_nth_that_fits_and_counts),
		test(medium__failed_sync_is_not_made_up_for_by_the_next),
		test(medium__full_disk_takes_what_fits),
		test(medium__short_write_ends_with_a_full_disk),
		test(medium__device_harms_show_after_a_restart),
		test(medium__lying_sync_loses_what_it_promised),
		test(medium__reads_are_stale_once_and_rotten_for_ever),
		test(medium__counts_time),
		test(mount__programs_find_the_same_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
