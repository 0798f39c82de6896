/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include "api/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

enum { G = 1 };

static int setup(void **state) {
	struct scene *scene = malloc(sizeof *scene);

	scene_init(scene);
	scene_must_open(scene);
	*state = scene;
	return 0;
}

static int teardown(void **state) {
	scene_deinit(*state);
	free(*state);
	return 0;
}

static uint8_t *content_of(const struct store_snapshot *snapshot) {
	uint8_t *content = malloc(snapshot->bytes + 1);

	assert_int_equal(lseek(snapshot->fd, 0, SEEK_END), snapshot->bytes);
	assert_int_equal(pread(snapshot->fd, content, snapshot->bytes, 0), snapshot->bytes);
	return content;
}

static void test_store_snapshot__fails_without_a_checkpoint(void **state) {
	struct scene *scene = *state;
	struct store_snapshot snapshot = {.fd = -7};

	assert_int_equal(store_snapshot(scene->store, G, &snapshot, &scene->error), -ENOENT);
	assert_int_equal(snapshot.fd, -7);
	assert_non_null(strstr(scene->error.text, "no checkpoint of group 1"));
}

static void test_store_snapshot__copies_one_group_in_order(void **state) {
	struct scene *scene = *state;
	const struct scene_row ours[] = {{(uint64_t)2 << 40, "later"}, {5, "first"}, {6, ""}};
	const struct scene_row theirs[] = {{5, "of another group"}};
	struct store_snapshot snapshot;
	XXH128_canonical_t digest;
	uint8_t whole[2 + 4 + 5 + 4 + 4 + 5] = "H9";
	uint8_t *content;

	assert_int_equal(scene_checkpoint(scene, 2, 0, "H0", theirs, 1), 0);
	assert_int_equal(scene_checkpoint(scene, G, 9, "H9", ours, 3), 0);
	assert_int_equal(store_snapshot(scene->store, G, &snapshot, &scene->error), 0);

	assert_int_equal(snapshot.index, 9);
	assert_int_equal(snapshot.rows, 3);
	assert_int_equal(snapshot.header_bytes, 2);
	assert_memory_equal(snapshot.header, "H9", 2);
	assert_int_equal(snapshot.bytes, sizeof whole - 2);
	content = content_of(&snapshot);
	bytes_put_u32(whole + 2, 5);
	memcpy(whole + 6, "first", 5);
	bytes_put_u32(whole + 11, 0);
	bytes_put_u32(whole + 15, 5);
	memcpy(whole + 19, "later", 5);
	assert_memory_equal(content, whole + 2, sizeof whole - 2);
	XXH128_canonicalFromHash(&digest, XXH3_128bits(whole, sizeof whole));
	assert_memory_equal(snapshot.digest, digest.digest, 16);

	free(content);
	free(snapshot.header);
	close(snapshot.fd);
}

static void test_store_snapshot__stays_as_it_was_when_the_checkpoint_moves_on(void **state) {
	struct scene *scene = *state;
	struct store_snapshot snapshot;
	uint8_t *content;

	assert_int_equal(scene_checkpoint(scene, G, 1, "H1", &(struct scene_row){1, "then"}, 1), 0);
	assert_int_equal(store_snapshot(scene->store, G, &snapshot, &scene->error), 0);
	assert_int_equal(scene_checkpoint(scene, G, 2, "H2", &(struct scene_row){1, "later"}, 1), 0);
	content = content_of(&snapshot);
	assert_memory_equal(content + 4, "then", 4);
	assert_int_equal(snapshot.index, 1);
	free(content);
	free(snapshot.header);
	close(snapshot.fd);
}

/* More than the copy buffer holds. */
static void test_store_snapshot__copies_large_checkpoints(void **state) {
	struct scene *scene = *state;
	static char text[20001];
	struct scene_row rows[60];
	struct store_snapshot snapshot;
	uint8_t *content;
	XXH3_state_t *digest = XXH3_createState();
	XXH128_canonical_t canonical;

	memset(text, 'x', sizeof text - 1);
	for (uint64_t i = 0; i < 60; i++)
		rows[i] = (struct scene_row){i + 1, text};
	assert_int_equal(scene_checkpoint(scene, G, 1, "H1", rows, 60), 0);
	assert_int_equal(store_snapshot(scene->store, G, &snapshot, &scene->error), 0);
	assert_int_equal(snapshot.bytes, 60 * (4 + 20000));
	content = content_of(&snapshot);
	for (size_t i = 0; i < 60; i++) {
		assert_int_equal(bytes_get_u32(content + i * 20004), 20000);
		assert_memory_equal(content + i * 20004 + 4, text, 20000);
	}
	XXH3_128bits_reset(digest);
	XXH3_128bits_update(digest, snapshot.header, snapshot.header_bytes);
	XXH3_128bits_update(digest, content, snapshot.bytes);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(digest));
	assert_memory_equal(snapshot.digest, canonical.digest, 16);
	XXH3_freeState(digest);
	free(content);
	free(snapshot.header);
	close(snapshot.fd);
}

static void test_store_snapshot__leaves_no_file_behind(void **state) {
	struct scene *scene = *state;
	struct store_snapshot snapshot;
	char command[256];

	assert_int_equal(scene_checkpoint(scene, G, 1, "H1", &(struct scene_row){1, "row"}, 1), 0);
	assert_int_equal(store_snapshot(scene->store, G, &snapshot, &scene->error), 0);
	(void)snprintf(command, sizeof command,
		       "test \"$(cd %s && echo *)\" = 'lock raft.db raft.db-wal state.db state.db-wal superblock'",
		       scene->folder);
	assert_int_equal(system(command), 0);
	free(snapshot.header);
	close(snapshot.fd);
}

#define test(name) cmocka_unit_test_setup_teardown(test_store_snapshot__##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(fails_without_a_checkpoint),
		test(copies_one_group_in_order),
		test(stays_as_it_was_when_the_checkpoint_moves_on),
		test(copies_large_checkpoints),
		test(leaves_no_file_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
