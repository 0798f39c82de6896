/* SPDX-License-Identifier: Apache-2.0 */
/* Every byte of every file of a data folder in which each structure is in use is damaged, one at a time: the folder is
 * refused, or what it feeds is exactly what was stored. The table that is printed counts, by what was hit,
 *
 *     detected   refused as damage
 *     refused    refused for another reason, so that nobody would repair it: must be 0
 *     harmless   nothing of it was needed
 *     older      an older checkpoint is fed, and the log reaches back to it: the same state
 *     served     anything else: must be 0
 *
 * Bits are flipped; sectors and pages zeroed; pages swapped; files cut at every sector, or replaced by an older version
 * of themselves. Without arguments some places of every region are tried. `--complete` tries all: three bits of each
 * byte, all pairs of pages. */
#include "regions.h"
#include "scene.h"

#include "api/checksum.h"

#include <assert.h>
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

enum { SUPERBLOCK, RAFT_DB, RAFT_WAL, STATE_DB, STATE_WAL, PAST, N_FILES };

enum {
	FILE_MAX = 1 << 20,
	TEXT_MAX = 1 << 17,
	PLACES = 40, /* per region and file */
};

static const char *const names[N_FILES] = {"superblock", "raft.db", "raft.db-wal", "state.db", "state.db-wal", "past"};
static size_t places = PLACES, bits = 1;

struct image {
	uint8_t *bytes; /* NULL: there is no such file */
	size_t n;
};

enum outcome { DETECTED, REFUSED, HARMLESS, OLDER, SERVED, N_OUTCOMES };

struct flips {
	struct scene scene;
	struct image whole[N_FILES], old[N_FILES];
	struct image middle; /* state.db before the last checkpoint */
	char expected[TEXT_MAX], expected_older[TEXT_MAX];
	char got[TEXT_MAX];
	unsigned long long counts[N_REGIONS][N_OUTCOMES];
};

/* ---- Files --------------------------------------------------------------------------------------------------------
 */

static void path_of(const struct flips *f, int file, char out[160]) {
	(void)snprintf(out, 160, "%s/%s", f->scene.folder, names[file]);
}

static struct image read_file(const struct flips *f, int file) {
	struct image image = {0};
	char path[160];
	int fd;
	ssize_t n;

	path_of(f, file, path);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return image;
	image.bytes = malloc(FILE_MAX);
	assert_non_null(image.bytes);
	n = read(fd, image.bytes, FILE_MAX);
	assert_true(n >= 0 && n < FILE_MAX);
	image.n = (size_t)n;
	close(fd);
	return image;
}

static void write_file(const struct flips *f, int file, const uint8_t *bytes, size_t n) {
	char path[160];
	int fd;

	path_of(f, file, path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)n), 0);
	assert_int_equal(pwrite(fd, bytes, n, 0), n);
	close(fd);
}

static void put_back(const struct flips *f, int file) {
	char path[160];

	if (f->whole[file].bytes) {
		write_file(f, file, f->whole[file].bytes, f->whole[file].n);
		return;
	}
	path_of(f, file, path);
	(void)unlink(path);
}

static void take_images(const struct flips *f, struct image images[N_FILES]) {
	for (int i = 0; i < N_FILES; i++)
		images[i] = read_file(f, i);
}

static void free_images(struct image images[N_FILES]) {
	for (int i = 0; i < N_FILES; i++)
		free(images[i].bytes);
	memset(images, 0, N_FILES * sizeof *images);
}

/* ---- The folder ---------------------------------------------------------------------------------------------------
 */

static char large[9000];

static void append(struct scene *scene, uint32_t group, raft_index first, size_t n, raft_term term, size_t bytes) {
	for (raft_index i = first; i < first + n; i++) {
		struct node_entry entry = {.index = i,
					   .term = term,
					   .type = RAFT_ENTRY_COMMANDS,
					   .data = (const uint8_t *)large + i % 100,
					   .n = bytes};

		entry.checksum = checksum_entry(group, i, term, entry.type, entry.data, entry.n);
		scene_must_write(scene, &(struct node_save){.group = group, .entries = &entry, .n_entries = 1});
	}
}

/* Enough rows for several leaf pages below an interior one, one of them with overflow pages. */
static void checkpoint(struct scene *scene, uint32_t group, raft_index index, const char *header, uint64_t first) {
	struct scene_row rows[40];

	for (uint64_t i = 0; i < 40; i++)
		rows[i] = (struct scene_row){.id = first + i, .text = large + sizeof large - 400 + 5 * i};
	rows[7].text = large;
	assert_int_equal(scene_checkpoint(scene, group, index, header, rows, 40), 0);
}

/* The free pages of state.db: where large rows were. */
static void drop_rows(struct scene *scene, uint32_t group, raft_index index, const char *header) {
	const struct scene_row rows[] = {{7, NULL}, {8, NULL}, {1, "row-one"}};

	assert_int_equal(scene_checkpoint(scene, group, index, header, rows, 3), 0);
}

static void open_again(struct scene *scene) {
	scene_stop(scene);
	scene_must_open(scene);
}

/* It stands in the place of a damaged store. Two groups, the second one blank but for a vote. */
static void begin(struct scene *scene) {
	struct store_error error;

	for (size_t i = 0; i + 1 < sizeof large; i++)
		large[i] = (char)('a' + i % 26);
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = 1, .identity = true, .incarnation = {{0xab}}, .epoch = 7});
	scene_stop(scene);
	assert_int_equal(store_set_aside(scene->folder, "a test", &error), 0);
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = 1, .identity = true, .incarnation = {{0xab}}, .epoch = 7});
	scene_must_write(scene, &(struct node_save){.group = 1, .hard = true, .term = 5, .vote = 2, .promise_ms = 200});
	append(scene, 1, 1, 8, 5, 60);
	append(scene, 1, 9, 2, 5, 6000);
	checkpoint(scene, 1, 3, "H3", 1);
	scene_must_write(scene, &(struct node_save){.group = 1, .trim_to = 3, .trim_term = 5});
	append(scene, 1, 11, 3, 5, 60);
}

/* The WAL of this round is shorter than that of the one before, and the newest slot has a promise that the other has
 * not. */
static void go_on(struct flips *f) {
	struct scene *scene = &f->scene;

	open_again(scene);
	append(scene, 1, 14, 2, 5, 60);
	checkpoint(scene, 1, 10, "H10", 3);
	f->middle = read_file(f, STATE_DB);
	drop_rows(scene, 1, 12, "H12");
	scene_must_write(scene, &(struct node_save){.group = 2, .hard = true, .term = 6, .vote = 0, .promise_ms = 200});
	scene_must_write(scene, &(struct node_save){.group = 1, .trim_to = 10, .trim_term = 5});
	append(scene, 1, 16, 1, 5, 60);
	append(scene, 2, 1, 2, 6, 30);
	scene_must_write(scene, &(struct node_save){.group = 2, .hard = true, .term = 6, .vote = 3, .promise_ms = 200});
	scene_must_write(scene, &(struct node_save){.group = 2, .hard = true, .term = 6, .vote = 3, .promise_ms = 300});
}

/* ---- Trials -------------------------------------------------------------------------------------------------------
 */

static int try_load(struct flips *f) {
	struct scene *scene = &f->scene;
	struct store_past past;
	int r = scene_open(scene);

	if (r != 0)
		return r;
	store_get_past(scene->store, &past);
	(void)snprintf(f->got, sizeof f->got, "past %zu %u %02x %s\n%s", past.n, past.repairs,
		       past.incarnation.bytes[0], past.reason, scene->node.trace);
	scene_crash(scene);
	return 0;
}

static enum outcome judge(struct flips *f) {
	int r;

	f->scene.error.text[0] = '\0';
	r = try_load(f);
	if (r < 0 && f->scene.error.text[0])
		return r == -EBADMSG ? DETECTED : REFUSED;
	if (r == 0 && strcmp(f->got, f->expected) == 0)
		return HARMLESS;
	if (r == 0 && strcmp(f->got, f->expected_older) == 0)
		return OLDER;
	return SERVED;
}

/* What a start changes is put back before the next trial; the databases themselves it only reads. */
static void judge_as(struct flips *f, int file, const uint8_t *bytes, size_t n, enum region region, const char *what,
		     size_t at) {
	enum outcome outcome;

	put_back(f, SUPERBLOCK);
	put_back(f, RAFT_WAL);
	write_file(f, file, bytes, n);
	outcome = judge(f);
	f->counts[region][outcome]++;
	if (outcome == SERVED)
		print_message("%s: %s at byte %zu was served (%s)\n%.2000s\n", names[file], what, at,
			      region_name(region), f->got);
	if (outcome == REFUSED)
		print_message("%s: %s at byte %zu: %s\n", names[file], what, at, f->scene.error.text);
	put_back(f, file);
}

/* How far apart the places are that are tried in each region of a file. */
static void choose_strides(const uint8_t *map, size_t n, size_t strides[N_REGIONS]) {
	memset(strides, 0, N_REGIONS * sizeof *strides);
	for (size_t i = 0; i < n; i++)
		strides[map[i]]++;
	for (int i = 0; i < N_REGIONS; i++)
		strides[i] = strides[i] < places ? 1 : strides[i] / places;
}

static void flip_bits(struct flips *f, int file, const uint8_t *map) {
	const struct image *whole = &f->whole[file];
	uint8_t *bytes = malloc(FILE_MAX);
	size_t strides[N_REGIONS], seen[N_REGIONS] = {0};

	memcpy(bytes, whole->bytes, whole->n);
	choose_strides(map, whole->n, strides);
	for (size_t at = 0; at < whole->n; at++) {
		if (seen[map[at]]++ % strides[map[at]] != 0)
			continue;
		for (size_t bit = 0; bit < bits; bit++) {
			uint8_t mask = (uint8_t)(1u << (at + 3 * bit) % 8);

			bytes[at] ^= mask;
			judge_as(f, file, bytes, whole->n, map[at], "a flipped bit", at);
			bytes[at] ^= mask;
		}
	}
	free(bytes);
}

static void zero_blocks(struct flips *f, int file, const uint8_t *map, size_t block) {
	const struct image *whole = &f->whole[file];
	uint8_t *bytes = malloc(FILE_MAX);

	memcpy(bytes, whole->bytes, whole->n);
	for (size_t at = 0; at < whole->n; at += block) {
		size_t n = whole->n - at < block ? whole->n - at : block;

		memset(bytes + at, 0, n);
		judge_as(f, file, bytes, whole->n, map[at], "zeros", at);
		memcpy(bytes + at, whole->bytes + at, n);
	}
	free(bytes);
}

/* A write that went to the wrong place, seen from both. */
static void swap_blocks(struct flips *f, int file, const uint8_t *map, size_t block) {
	const struct image *whole = &f->whole[file];
	uint8_t *bytes = malloc(FILE_MAX);

	memcpy(bytes, whole->bytes, whole->n);
	for (size_t i = 0; i + 2 * block <= whole->n; i += block)
		for (size_t j = i + block; j + block <= whole->n; j += places > PLACES ? block : whole->n) {
			memcpy(bytes + i, whole->bytes + j, block);
			memcpy(bytes + j, whole->bytes + i, block);
			judge_as(f, file, bytes, whole->n, map[i], "swapped", i);
			memcpy(bytes + i, whole->bytes + i, block);
			memcpy(bytes + j, whole->bytes + j, block);
		}
	free(bytes);
}

static void cut_file(struct flips *f, int file, const uint8_t *map) {
	const struct image *whole = &f->whole[file];

	for (size_t n = 0; n<whole->n; n += places> PLACES ? 512 : 1536)
		judge_as(f, file, whole->bytes, n, map[n], "cut", n);
}

static void damage_file(struct flips *f, int file) {
	const struct image *whole = &f->whole[file];
	uint8_t *map;

	if (!whole->bytes)
		return;
	map = region_map(names[file], whole->bytes, whole->n);
	flip_bits(f, file, map);
	zero_blocks(f, file, map, 512);
	zero_blocks(f, file, map, 4096);
	swap_blocks(f, file, map, 4096);
	cut_file(f, file, map);
	if (f->old[file].bytes)
		judge_as(f, file, f->old[file].bytes, f->old[file].n, map[0], "an older version", 0);
	free(map);
}

static void print_counts(const struct flips *f, const char *title) {
	print_message("%-26s %9s %9s %9s %9s %9s\n", title, "detected", "refused", "harmless", "older", "served");
	for (int i = 0; i < N_REGIONS; i++) {
		const unsigned long long *n = f->counts[i];

		if (n[DETECTED] + n[REFUSED] + n[HARMLESS] + n[OLDER] + n[SERVED] > 0)
			print_message("%-26s %9llu %9llu %9llu %9llu %9llu\n", region_name(i), n[DETECTED], n[REFUSED],
				      n[HARMLESS], n[OLDER], n[SERVED]);
	}
}

/* Everything that the folder holds is what it was; the databases have not changed meanwhile. */
static void damage_all(struct flips *f, const char *title) {
	unsigned long long served = 0, refused = 0;

	assert_int_equal(judge(f), HARMLESS);
	for (int i = 0; i < N_FILES; i++)
		put_back(f, i);
	memset(f->counts, 0, sizeof f->counts);
	for (int i = 0; i < N_FILES; i++)
		damage_file(f, i);
	print_counts(f, title);
	for (int i = 0; i < N_REGIONS; i++)
		served += f->counts[i][SERVED], refused += f->counts[i][REFUSED];
	for (int i = 0; i < N_FILES; i++)
		put_back(f, i);
	assert_int_equal(judge(f), HARMLESS);
	assert_int_equal(served, 0);
	assert_int_equal(refused, 0);
}

static struct flips *begin_flips(void) {
	struct flips *f = calloc(1, sizeof *f);

	assert_non_null(f);
	scene_init(&f->scene);
	begin(&f->scene);
	scene_crash(&f->scene);
	take_images(f, f->old);
	scene_must_open(&f->scene);
	go_on(f);
	return f;
}

static void expect_all(struct flips *f) {
	take_images(f, f->whole);
	assert_int_equal(try_load(f), 0);
	memcpy(f->expected, f->got, sizeof f->expected);
	for (int i = 0; i < N_FILES; i++)
		put_back(f, i);
}

static void end_flips(struct flips *f) {
	scene_deinit(&f->scene);
	free_images(f->whole);
	free_images(f->old);
	free(f->middle.bytes);
	free(f);
}

static void test_store__serves_no_damage_after_a_crash(void **state) {
	struct flips *f = begin_flips();

	(void)state;
	scene_crash(&f->scene);
	expect_all(f);
	damage_all(f, "after a crash");
	end_flips(f);
}

/* What the last checkpoint changed stands in the WAL alone. */
static void test_store__serves_no_damage_of_a_checkpoint_that_was_not_copied_back(void **state) {
	struct flips *f = begin_flips();

	(void)state;
	scene_crash(&f->scene);
	write_file(f, STATE_DB, f->middle.bytes, f->middle.n);
	expect_all(f);
	write_file(f, STATE_WAL, f->whole[STATE_WAL].bytes, 0);
	assert_int_equal(try_load(f), 0);
	memcpy(f->expected_older, f->got, sizeof f->expected_older);
	for (int i = 0; i < N_FILES; i++)
		put_back(f, i);
	damage_all(f, "before copying back");
	end_flips(f);
}

static void test_store__serves_no_damage_after_a_clean_stop(void **state) {
	struct flips *f = begin_flips();

	(void)state;
	scene_stop(&f->scene);
	expect_all(f);
	damage_all(f, "after a clean stop");
	end_flips(f);
}

/* While the WALs hold every page, the databases themselves are hardly read. */
static void test_store__serves_no_damage_of_the_databases_alone(void **state) {
	struct flips *f = begin_flips();

	(void)state;
	scene_stop(&f->scene);
	scene_remove(&f->scene, "raft.db-wal");
	scene_remove(&f->scene, "state.db-wal");
	expect_all(f);
	damage_all(f, "without WAL");
	end_flips(f);
}

/* A running node reads rows from the disk when a peer needs a snapshot: long after it has checked them. */
static enum outcome judge_snapshot(struct flips *f, const uint8_t *bytes, const struct store_snapshot *expected) {
	struct store_snapshot got;
	struct store_error error = {{0}};
	struct store *store;
	bool same;

	for (int i = 0; i < N_FILES; i++)
		put_back(f, i);
	assert_int_equal(store_open(f->scene.folder, &store, &error), 0);
	write_file(f, STATE_DB, bytes, f->whole[STATE_DB].n);
	if (store_snapshot(store, 1, &got, &error) != 0) {
		store_close(store, false);
		return DETECTED;
	}
	same = got.rows == expected->rows && got.bytes == expected->bytes &&
	       memcmp(got.digest, expected->digest, sizeof got.digest) == 0;
	close(got.fd);
	free(got.header);
	store_close(store, false);
	return same ? HARMLESS : SERVED;
}

static struct store_snapshot take_snapshot(struct flips *f) {
	struct store_snapshot snapshot;
	struct store_error error;
	struct store *store;

	assert_int_equal(store_open(f->scene.folder, &store, &error), 0);
	assert_int_equal(store_snapshot(store, 1, &snapshot, &error), 0);
	close(snapshot.fd);
	free(snapshot.header);
	store_close(store, false);
	return snapshot;
}

static void test_store__puts_no_damage_into_a_snapshot(void **state) {
	struct flips *f = begin_flips();
	const struct image *whole = &f->whole[STATE_DB];
	size_t strides[N_REGIONS], seen[N_REGIONS] = {0};
	struct store_snapshot expected;
	uint8_t *bytes = malloc(FILE_MAX), *map;

	(void)state;
	scene_stop(&f->scene);
	scene_remove(&f->scene, "state.db-wal");
	expect_all(f);
	expected = take_snapshot(f);
	assert_true(expected.rows > 20);
	map = region_map(names[STATE_DB], whole->bytes, whole->n);
	memcpy(bytes, whole->bytes, whole->n);
	choose_strides(map, whole->n, strides);
	for (size_t at = 0; at < whole->n; at++) {
		if (seen[map[at]]++ % strides[map[at]] != 0)
			continue;
		bytes[at] ^= (uint8_t)(1u << at % 8);
		f->counts[map[at]][judge_snapshot(f, bytes, &expected)]++;
		bytes[at] ^= (uint8_t)(1u << at % 8);
	}
	print_counts(f, "snapshots");
	for (int i = 0; i < N_REGIONS; i++)
		assert_int_equal(f->counts[i][SERVED], 0);
	assert_true(f->counts[REGION_LEAF][DETECTED] > 0);
	assert_true(f->counts[REGION_OVERFLOW][DETECTED] > 0);
	free(map);
	free(bytes);
	end_flips(f);
}

#define test(name) cmocka_unit_test(test_store__##name)

int main(int argc, char *argv[]) {
	const struct CMUnitTest tests[] = {
		test(serves_no_damage_after_a_crash),
		test(serves_no_damage_of_a_checkpoint_that_was_not_copied_back),
		test(serves_no_damage_after_a_clean_stop),
		test(serves_no_damage_of_the_databases_alone),
		test(puts_no_damage_into_a_snapshot),
	};

	for (int i = 1; i < argc; i++) {
		if (i + 1 < argc && strcmp(argv[i], "--places") == 0)
			places = strtoull(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--bits") == 0)
			bits = strtoull(argv[++i], NULL, 10);
		else
			cmocka_set_test_filter(argv[i]);
	}
	assert(places > 0 && bits > 0 && bits <= 8);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
