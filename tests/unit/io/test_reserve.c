/* SPDX-License-Identifier: Apache-2.0 */
/* The reserve on the file system at hand, on a small one that is really full where the machine lets the test mount one,
 * and on one that cannot allocate. */
#include "lockd/io/reserve.h"

#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { BYTES = 1 << 20 };

static int fallocate_errno; /* 0: the real one */

int fallocate(int fd, int mode, off_t offset, off_t n) {
	if (fallocate_errno) {
		errno = fallocate_errno;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, n);
}

struct place {
	struct scene scene;
	struct folder folder;
	struct reserve reserve;
	struct store_error error;
	bool mounted;
};

static int setup(void **state) {
	struct place *place = calloc(1, sizeof *place);

	fallocate_errno = 0;
	scene_init(&place->scene);
	assert_int_equal(folder_open(&place->folder, place->scene.folder, &place->error), 0);
	*state = place;
	return 0;
}

static int teardown(void **state) {
	struct place *place = *state;

	reserve_close(&place->reserve);
	folder_close(&place->folder);
	if (place->mounted)
		assert_int_equal(umount(place->scene.folder), 0);
	scene_deinit(&place->scene);
	free(place);
	return 0;
}

static void open_reserve(struct place *place, uint64_t bytes) {
	reserve_close(&place->reserve);
	assert_int_equal(reserve_open(&place->reserve, &place->folder, bytes, &place->error), 0);
}

/* A file system of 3 MiB of which `free_kib` are free. */
static void mount_small(struct place *place, int free_kib) {
	char path[160];
	FILE *file;

	folder_close(&place->folder);
	if (mount("none", place->scene.folder, "tmpfs", 0, "size=3m") != 0)
		skip();
	place->mounted = true;
	assert_int_equal(folder_open(&place->folder, place->scene.folder, &place->error), 0);
	(void)snprintf(path, sizeof path, "%s/ballast", place->scene.folder);
	file = fopen(path, "w");
	for (int i = 0; i < (3 << 10) - 4 - free_kib; i++) /* a page has the file `lock` */
		for (int j = 0; j < 1 << 10; j++)
			(void)fputc('b', file);
	assert_int_equal(fclose(file), 0);
}

static void make_room(struct place *place) {
	assert_int_equal(folder_remove(&place->folder, "ballast", &place->error), 0);
}

static uint64_t blocks(const struct place *place) {
	struct stat stat;

	assert_int_equal(fstatat(place->folder.fd, "reserve", &stat, 0), 0);
	return (uint64_t)stat.st_blocks * 512;
}

static void expect_whole(const struct place *place, uint64_t bytes) {
	assert_true(place->reserve.whole);
	assert_int_equal(folder_file_bytes(&place->folder, "reserve"), bytes);
	assert_true(blocks(place) >= bytes);
}

static void expect_empty(const struct place *place) {
	assert_false(place->reserve.whole);
	assert_int_equal(blocks(place), 0);
}

static void test_reserve__is_empty_on_a_full_disk(void **state) {
	struct place *place = *state;

	mount_small(place, BYTES / 2048);
	open_reserve(place, BYTES);
	expect_empty(place);
	assert_int_equal(reserve_refill(&place->reserve, &place->error), STORE_FULL);
	assert_non_null(strstr(place->error.text, "reserve: the disk is full"));
	expect_empty(place);
	make_room(place);
	assert_int_equal(reserve_refill(&place->reserve, &place->error), 0);
	expect_whole(place, BYTES);
}

static void test_reserve__is_not_allocated_anew_without_headroom(void **state) {
	struct place *place = *state;

	mount_small(place, BYTES / 1024 + 128);
	open_reserve(place, BYTES);
	expect_whole(place, BYTES);
	assert_int_equal(reserve_give_up(&place->reserve, &place->error), 0);
	expect_empty(place);
	assert_int_equal(reserve_refill(&place->reserve, &place->error), STORE_FULL);
	expect_empty(place);
	make_room(place);
	assert_int_equal(reserve_refill(&place->reserve, &place->error), 0);
	expect_whole(place, BYTES);
}

static void test_reserve__fails_on_a_broken_disk(void **state) {
	struct place *place = *state;

	fallocate_errno = EIO;
	assert_int_equal(reserve_open(&place->reserve, &place->folder, BYTES, &place->error), -EIO);
	assert_non_null(strstr(place->error.text, "cannot allocate"));
	assert_non_null(strstr(place->error.text, "/reserve: Input/output error"));
	assert_null(place->reserve.path);
}

static void test_reserve__takes_its_blocks_at_once(void **state) {
	struct place *place = *state;

	open_reserve(place, BYTES);
	expect_whole(place, BYTES);
	open_reserve(place, BYTES);
	expect_whole(place, BYTES);
	open_reserve(place, BYTES / 2);
	expect_whole(place, BYTES / 2);
	open_reserve(place, 2 * BYTES);
	expect_whole(place, 2 * BYTES);
}

static void test_reserve__writes_zeros_where_nothing_can_be_allocated(void **state) {
	struct place *place = *state;

	fallocate_errno = EOPNOTSUPP;
	open_reserve(place, BYTES + 5);
	expect_whole(place, BYTES + 5);
	assert_int_equal(reserve_give_up(&place->reserve, &place->error), 0);
	expect_empty(place);
	assert_int_equal(reserve_refill(&place->reserve, &place->error), 0);
	expect_whole(place, BYTES + 5);
}

/* Of zeros a part is written before the disk is full. */
static void test_reserve__keeps_no_part_of_itself_on_a_full_disk(void **state) {
	struct place *place = *state;

	fallocate_errno = EOPNOTSUPP;
	mount_small(place, BYTES / 2048);
	open_reserve(place, BYTES);
	expect_empty(place);
	make_room(place);
	assert_int_equal(reserve_refill(&place->reserve, &place->error), 0);
	expect_whole(place, BYTES);
}

/* As a copy of the folder may have it. */
static void test_reserve__fills_holes(void **state) {
	struct place *place = *state;
	int fd = openat(place->folder.fd, "reserve", O_WRONLY | O_CREAT, 0600);

	assert_int_equal(ftruncate(fd, BYTES), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(blocks(place), 0);
	open_reserve(place, BYTES);
	expect_whole(place, BYTES);
}

static void test_reserve__of_no_bytes_has_no_file(void **state) {
	struct place *place = *state;

	open_reserve(place, BYTES);
	open_reserve(place, 0);
	assert_true(place->reserve.whole);
	assert_false(folder_has(&place->folder, "reserve"));
	assert_int_equal(reserve_give_up(&place->reserve, &place->error), 0);
	assert_true(place->reserve.whole);
	assert_int_equal(reserve_refill(&place->reserve, &place->error), 0);
}

static void test_reserve__is_given_up_without_being_open(void **state) {
	struct place *place = *state;

	assert_false(reserve_give_up_unopened(&place->folder));
	open_reserve(place, BYTES);
	assert_true(reserve_give_up_unopened(&place->folder));
	assert_int_equal(blocks(place), 0);
	assert_false(reserve_give_up_unopened(&place->folder));
}

#define test(name) cmocka_unit_test_setup_teardown(test_reserve__##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(is_empty_on_a_full_disk),
		test(is_not_allocated_anew_without_headroom),
		test(fails_on_a_broken_disk),
		test(takes_its_blocks_at_once),
		test(writes_zeros_where_nothing_can_be_allocated),
		test(keeps_no_part_of_itself_on_a_full_disk),
		test(fills_holes),
		test(of_no_bytes_has_no_file),
		test(is_given_up_without_being_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
