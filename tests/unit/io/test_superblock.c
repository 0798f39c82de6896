/* SPDX-License-Identifier: Apache-2.0 */
#include "lockd/io/superblock.h"

#include "api/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

struct fixture {
	char path[64];
	struct folder folder;
	struct superblock superblock;
	struct store_error error;
};

static int setup(void **state) {
	struct fixture *f = calloc(1, sizeof *f);

	*state = f;
	(void)snprintf(f->path, sizeof f->path, "/tmp/lockd-superblock-XXXXXX");
	if (!mkdtemp(f->path) || folder_open(&f->folder, f->path, &f->error) != 0)
		return -1;
	return superblock_create(&f->superblock, &f->folder, &f->error);
}

static int teardown(void **state) {
	struct fixture *f = *state;
	char command[128];

	superblock_close(&f->superblock);
	folder_close(&f->folder);
	(void)snprintf(command, sizeof command, "rm -rf %s", f->path);
	free(f);
	return system(command);
}

static int reopen(struct fixture *f) {
	superblock_close(&f->superblock);
	return superblock_open(&f->superblock, &f->folder, &f->error);
}

static void set_hard(struct fixture *f, uint32_t group, raft_term term, uint32_t vote) {
	superblock_set_hard(&f->superblock, &(struct superblock_group){.group = group, .term = term, .vote = vote});
}

static void mark(struct fixture *f, uint32_t group, raft_index index, raft_term term) {
	assert_int_equal(
		superblock_mark(&f->superblock,
				&(struct superblock_mark){.group = group, .index = index, .term = term, .chain = 9},
				&f->error),
		0);
}

static void test_superblock__refuses_another_format(void **state) {
	struct fixture *f = *state;
	uint8_t slot[4096];

	assert_int_equal(pread(f->superblock.fd, slot, sizeof slot, 4096), sizeof slot);
	bytes_put_u32(slot + 8, 2);
	bytes_put_u64(slot + 4088, XXH3_64bits(slot, 4088));
	assert_int_equal(pwrite(f->superblock.fd, slot, sizeof slot, 4096), sizeof slot);
	assert_int_equal(reopen(f), -ENOTSUP);
	assert_non_null(strstr(f->error.text, "superblock has format 2, this program reads format 1"));
}

static void test_superblock__refuses_a_file_that_was_cut(void **state) {
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->superblock.fd, 10000), 0);
	assert_int_equal(reopen(f), -EBADMSG);
	assert_non_null(strstr(f->error.text, "it has 10000 bytes instead of 73728"));
}

static void test_superblock__keeps_what_was_written(void **state) {
	struct fixture *f = *state;
	struct node_uuid uuid = f->superblock.uuid, incarnation = {{1, 2, 3}};
	const struct superblock_group *group;

	superblock_set_identity(&f->superblock, &incarnation, 77);
	superblock_set_boot(&f->superblock, 5, true);
	set_hard(f, 32767, 12, 3);
	assert_int_equal(superblock_write(&f->superblock, &f->error), 0);
	assert_int_equal(reopen(f), 0);
	assert_memory_equal(&f->superblock.uuid, &uuid, sizeof uuid);
	assert_memory_equal(&f->superblock.incarnation, &incarnation, sizeof uuid);
	assert_int_equal(f->superblock.epoch, 77);
	assert_int_equal(f->superblock.boot_count, 5);
	assert_true(f->superblock.clean);
	group = superblock_find_group(&f->superblock, 32767);
	assert_int_equal(group->term, 12);
	assert_int_equal(group->vote, 3);
	assert_null(superblock_find_group(&f->superblock, 1));
}

static void test_superblock__writes_nothing_when_nothing_changed(void **state) {
	struct fixture *f = *state;
	uint64_t generation;

	set_hard(f, 1, 3, 2);
	assert_int_equal(superblock_write(&f->superblock, &f->error), 0);
	generation = f->superblock.generation;
	set_hard(f, 1, 3, 2);
	assert_int_equal(superblock_write(&f->superblock, &f->error), 0);
	assert_int_equal(f->superblock.generation, generation);
}

static void test_superblock__falls_back_to_the_older_slot_when_a_write_was_torn(void **state) {
	struct fixture *f = *state;
	uint8_t torn[512] = {0};

	set_hard(f, 1, 3, 2);
	assert_int_equal(superblock_write(&f->superblock, &f->error), 0);
	set_hard(f, 1, 4, 1);
	assert_int_equal(superblock_write(&f->superblock, &f->error), 0);
	assert_int_equal(f->superblock.generation, 3);
	assert_int_equal(pwrite(f->superblock.fd, torn, sizeof torn, 4096), sizeof torn);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(superblock_find_group(&f->superblock, 1)->term, 3);
	set_hard(f, 1, 9, 1);
	assert_int_equal(superblock_write(&f->superblock, &f->error), 0);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(superblock_find_group(&f->superblock, 1)->term, 9);
}

static void test_superblock__holds_every_group(void **state) {
	struct fixture *f = *state;

	for (uint32_t group = 0; group < LIMIT_GROUPS_MAX; group++) {
		set_hard(f, group, group + 1, group % 3);
		mark(f, group, 100 + group, 1);
	}
	assert_int_equal(superblock_write(&f->superblock, &f->error), 0);
	assert_int_equal(reopen(f), 0);
	for (uint32_t group = 0; group < LIMIT_GROUPS_MAX; group++) {
		assert_int_equal(superblock_find_group(&f->superblock, group)->term, group + 1);
		assert_int_equal(superblock_find_mark(&f->superblock, group)->index, 100 + group);
	}
}

static void test_superblock__keeps_the_newest_watermark(void **state) {
	struct fixture *f = *state;

	for (raft_index i = 1; i <= 5; i++)
		mark(f, 1, i, 3);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(superblock_find_mark(&f->superblock, 1)->index, 5);
	assert_int_equal(superblock_find_mark(&f->superblock, 1)->term, 3);
	assert_int_equal(superblock_find_mark(&f->superblock, 1)->chain, 9);
	mark(f, 1, 6, 3);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(superblock_find_mark(&f->superblock, 1)->index, 6);
}

static void test_superblock__lowers_a_watermark_and_forgets_its_term(void **state) {
	struct fixture *f = *state;

	mark(f, 1, 8, 3);
	assert_int_equal(superblock_lower(&f->superblock, 1, 9, &f->error), 0);
	assert_int_equal(superblock_find_mark(&f->superblock, 1)->term, 3);
	assert_int_equal(superblock_lower(&f->superblock, 1, 5, &f->error), 0);
	assert_true(f->superblock.sync_due);
	assert_int_equal(superblock_write(&f->superblock, &f->error), 0);
	assert_false(f->superblock.sync_due);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(superblock_find_mark(&f->superblock, 1)->index, 5);
	assert_int_equal(superblock_find_mark(&f->superblock, 1)->term, 0);
	assert_int_equal(superblock_lower(&f->superblock, 2, 5, &f->error), 0);
	assert_null(superblock_find_mark(&f->superblock, 2));
}

/* A file system that copies on write can be full for a file that has all its bytes. */
static void test_superblock__lowers_a_watermark_again_when_there_was_no_room(void **state) {
	struct fixture *f = *state;
	int full = open("/dev/full", O_RDWR), fd = f->superblock.fd;

	assert_true(full >= 0);
	mark(f, 1, 8, 3);
	f->superblock.fd = full;
	assert_int_equal(superblock_lower(&f->superblock, 1, 5, &f->error), STORE_FULL);
	f->superblock.fd = fd;
	close(full);
	assert_int_equal(superblock_lower(&f->superblock, 1, 5, &f->error), 0);
	assert_int_equal(superblock_write(&f->superblock, &f->error), 0);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(superblock_find_mark(&f->superblock, 1)->index, 5);
}

#define test(name) cmocka_unit_test_setup_teardown(test_superblock__##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(refuses_another_format),
		test(refuses_a_file_that_was_cut),
		test(keeps_what_was_written),
		test(writes_nothing_when_nothing_changed),
		test(falls_back_to_the_older_slot_when_a_write_was_torn),
		test(holds_every_group),
		test(keeps_the_newest_watermark),
		test(lowers_a_watermark_and_forgets_its_term),
		test(lowers_a_watermark_again_when_there_was_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
