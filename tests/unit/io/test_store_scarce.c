/* SPDX-License-Identifier: Apache-2.0 */
/* What is short or out of reach for a moment is no damage: memory, descriptors, a look-up or a read that the kernel
 * refuses. A sound folder that were set aside for that would cost the cluster a vote. Each call in turn fails, and the
 * folder opens afterwards as it was. */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

enum { G = 1, CALLS_MAX = 20000 };

/* ---- What fails ---------------------------------------------------------------------------------------------------
 */

struct fault {
	int left; /* calls that succeed; negative: all do */
	int code;
	bool once;
	bool struck;
};

static struct fault of_memory = {.left = -1}, of_lookups = {.left = -1}, of_reads = {.left = -1},
		    of_opens = {.left = -1};

static struct fault at(int n, int code, bool once) {
	return (struct fault){.left = n, .code = code, .once = once};
}

static bool strikes(struct fault *fault) {
	if (fault->left < 0 || fault->left-- > 0)
		return false;
	fault->left = fault->once ? -1 : 0;
	fault->struck = true;
	errno = fault->code;
	return true;
}

static sqlite3_mem_methods real_memory;

static void *scarce_malloc(int n) {
	return strikes(&of_memory) ? NULL : real_memory.xMalloc(n);
}

static void *scarce_realloc(void *p, int n) {
	return strikes(&of_memory) ? NULL : real_memory.xRealloc(p, n);
}

int __real_faccessat(int folder, const char *name, int mode, int flags);
int __wrap_faccessat(int folder, const char *name, int mode, int flags);
int __wrap_faccessat(int folder, const char *name, int mode, int flags) {
	return strikes(&of_lookups) ? -1 : __real_faccessat(folder, name, mode, flags);
}

static ssize_t scarce_pread(int fd, void *bytes, size_t n, off_t offset) {
	return strikes(&of_reads) ? -1 : pread(fd, bytes, n, offset);
}

static int scarce_open(const char *path, int flags, int mode) {
	return (flags & O_ACCMODE) == O_RDWR && strikes(&of_opens) ? -1 : open(path, flags, mode);
}

static void replace_calls(void) {
	sqlite3_mem_methods scarce;
	sqlite3_vfs *vfs;

	assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory), SQLITE_OK);
	scarce = real_memory;
	scarce.xMalloc = scarce_malloc;
	scarce.xRealloc = scarce_realloc;
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &scarce), SQLITE_OK);
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
	vfs = sqlite3_vfs_find(NULL);
	assert_int_equal(vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)scarce_open), SQLITE_OK);
	assert_int_equal(vfs->xSetSystemCall(vfs, "pread", (sqlite3_syscall_ptr)scarce_pread), SQLITE_OK);
	assert_int_equal(vfs->xSetSystemCall(vfs, "pread64", (sqlite3_syscall_ptr)scarce_pread), SQLITE_OK);
}

/* ---- The scene ----------------------------------------------------------------------------------------------------
 */

static int setup(void **state) {
	struct scene *scene = malloc(sizeof *scene);

	scene_init(scene);
	scene_must_open(scene);
	scene_must_write(scene, &(struct node_save){.group = G, .identity = true, .incarnation = {{0xab}}, .epoch = 7});
	scene_must_write(scene, &(struct node_save){.group = G, .hard = true, .term = 5, .vote = 2, .promise_ms = 200});
	scene_must_append(scene, G, 1, 1, 5);
	scene_must_append(scene, G, 2, 1, 5);
	assert_int_equal(scene_checkpoint(scene, G, 1, "H1", &(struct scene_row){1, "row-one"}, 1), 0);
	scene_crash(scene);
	scene_keep(scene, "sound");
	*state = scene;
	return 0;
}

static int teardown(void **state) {
	of_memory.left = of_lookups.left = of_reads.left = of_opens.left = -1;
	scene_deinit(*state);
	free(*state);
	return 0;
}

static const char *const whole = "identity ab epoch 7\n"
				 "hard 1: term 5 vote 2 promise 200\n"
				 "header 1: H1\n"
				 "row 1: 1 row-one\n"
				 "base 1: 0/0\n"
				 "entry 1: 1/5 e1.5\n"
				 "entry 1: 2/5 e2.5\n";

static void assert_whole(struct scene *scene) {
	scene_must_open(scene);
	assert_string_equal(scene->node.trace, whole);
	scene_crash(scene);
}

/* Whatever comes of the opening, it is not that the folder is damaged. true: it went well. */
static bool opens(struct scene *scene, const char *fault, int n) {
	int r = scene_open(scene);

	if (r == -EBADMSG || (r == 0 && strcmp(scene->node.trace, whole) != 0))
		fail_msg("with %s at call %d: %d, '%s', loaded: '%s'", fault, n, r, scene->error.text,
			 scene->node.trace);
	if (r == 0)
		scene_crash(scene);
	return r == 0;
}

/* Calls of the kind fail, alone and with all that follow: each of the first ones, and fewer of thousands. Returns how
 * many failures stopped the opening. */
static int try_all(struct scene *scene, struct fault *fault, int code, const char *name) {
	int refused = 0, n;

	for (int once = 0; once < 2; once++) {
		for (n = 0; n < CALLS_MAX; n += 1 + n / 32) {
			bool good;

			*fault = at(n, code, once);
			good = opens(scene, name, n);
			fault->left = -1;
			if (good && !fault->struck)
				break;
			refused += !good;
		}
		assert_in_range(n, 1, CALLS_MAX - 1);
		assert_whole(scene);
	}
	assert_true(refused > 0);
	return refused;
}

static void test_store__takes_want_of_memory_for_no_damage(void **state) {
	print_message("%d refusals\n", try_all(*state, &of_memory, ENOMEM, "no memory"));
}

static void test_store__takes_a_failed_look_up_for_no_missing_file(void **state) {
	print_message("%d refusals\n", try_all(*state, &of_lookups, ENOMEM, "no look-up"));
}

/* EIO alone is what a disk says of a sector that it has lost. */
static void test_store__takes_a_refused_read_for_no_damage(void **state) {
	struct scene *scene = *state;
	int found = 0;

	print_message("%d refusals\n", try_all(scene, &of_reads, ENOMEM, "no read"));
	(void)try_all(scene, &of_reads, EACCES, "no permission to read");
	for (int n = 0; n < 4; n++) {
		of_reads = at(n, EIO, false);
		found += scene_open(scene) == -EBADMSG;
		scene_crash(scene);
	}
	assert_int_equal(found, 4);
}

/* SQLite then tries to open the file for reading alone. */
static void test_store__takes_a_refused_open_for_no_damage(void **state) {
	print_message("%d refusals\n", try_all(*state, &of_opens, ENFILE, "no open"));
}

static void test_store__takes_want_of_descriptors_for_no_damage(void **state) {
	struct scene *scene = *state;
	struct rlimit limit, few;
	int first = dup(0), refused = 0;
	bool good = false;

	close(first);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int n = 0; !good; n++) {
		few = (struct rlimit){.rlim_cur = (rlim_t)(first + n), .rlim_max = limit.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		good = opens(scene, "so many descriptors", n);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		refused += !good;
		assert_whole(scene);
	}
	assert_in_range(refused, 4, 32);
}

/* ---- Marks --------------------------------------------------------------------------------------------------------
 */

/* A mark that cannot be looked up may be there. */
static void test_store__never_opens_past_a_mark(void **state) {
	static const char *const marks[] = {"old-copy", "found-damaged", "restoring"};
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
		char path[192], name[32];
		FILE *file;

		(void)snprintf(name, sizeof name, "marked-%zu", i);
		(void)scene_choose(scene, name);
		scene_return(scene, "sound");
		(void)snprintf(path, sizeof path, "%s/%s", scene->folder, marks[i]);
		file = fopen(path, "w");
		assert_non_null(file);
		fclose(file);
		for (int n = 0; n < 8; n++) {
			of_lookups = at(n, EIO, true);
			assert_int_not_equal(scene_open(scene), 0);
		}
		of_lookups.left = -1;
	}
}

/* ---- Setting aside ------------------------------------------------------------------------------------------------
 */

/* It may fail, but then it is done later: it moves all or nothing, and forgets nobody. */
static void test_store__is_set_aside_whole_in_spite_of_failed_look_ups(void **state) {
	struct scene *scene = *state;

	for (int n = 0; n < 12; n++) {
		struct store_past past;
		char name[32];
		int r;

		(void)snprintf(name, sizeof name, "look-up-%d", n);
		(void)scene_choose(scene, name);
		scene_return(scene, "sound");
		scene_truncate(scene, "state.db", 0);
		of_lookups = at(n, EIO, true);
		r = store_set_aside(scene->folder, "why", &scene->error);
		of_lookups.left = -1;
		if (r != 0)
			assert_int_equal(store_set_aside(scene->folder, "why", &scene->error), 0);
		scene_must_open(scene);
		assert_string_equal(scene->node.trace, "");
		store_get_past(scene->store, &past);
		assert_int_equal(past.n, 1);
		assert_int_equal(past.incarnation.bytes[0], 0xab);
		assert_int_equal(past.repairs, 1);
		scene_crash(scene);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(test_store__##name, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(takes_want_of_memory_for_no_damage),
		test(takes_a_failed_look_up_for_no_missing_file),
		test(takes_a_refused_read_for_no_damage),
		test(takes_a_refused_open_for_no_damage),
		test(takes_want_of_descriptors_for_no_damage),
		test(never_opens_past_a_mark),
		test(is_set_aside_whole_in_spite_of_failed_look_ups),
	};

	replace_calls();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
