/* SPDX-License-Identifier: Apache-2.0 */
#include "lockd/io/folder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static int setup(void **state) {
	(void)state;
	(void)snprintf(path, sizeof path, "/tmp/lockd-folder-XXXXXX");
	return mkdtemp(path) ? 0 : -1;
}

static int teardown(void **state) {
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof command, "rm -rf %s", path);
	return system(command);
}

static void test_folder__is_free_again_when_its_process_has_died(void **state) {
	struct folder folder;
	struct store_error error;
	int ready[2], end[2], status;
	pid_t child;
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(end), 0);
	child = fork();
	if (child == 0) {
		struct folder theirs;

		byte = folder_open(&theirs, path, &error) == 0;
		(void)!write(ready[1], &byte, 1);
		(void)!read(end[0], &byte, 1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	assert_int_equal(folder_open(&folder, path, &error), -EBUSY);
	{
		char pid[32];
		(void)snprintf(pid, sizeof pid, "process %ld:", (long)child);
		assert_non_null(strstr(error.text, pid));
	}
	assert_int_equal(write(end[1], "x", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(folder_open(&folder, path, &error), 0);
	folder_close(&folder);
	folder_close(&folder);
}

static void test_folder__gives_scratch_files_without_a_name(void **state) {
	struct folder folder;
	struct store_error error;
	char byte = 0;
	int fd;

	(void)state;
	assert_int_equal(folder_open(&folder, path, &error), 0);
	assert_int_equal(folder_scratch(&folder, &fd, &error), 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(rmdir(path), -1);
	assert_int_equal(close(fd), 0);
	assert_true(folder_has(&folder, "lock"));
	assert_false(folder_has(&folder, "superblock"));
	assert_int_equal(folder_file_bytes(&folder, "superblock"), 0);
	assert_int_equal(folder_remove(&folder, "superblock", &error), 0);
	folder_close(&folder);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_folder__is_free_again_when_its_process_has_died, setup, teardown),
		cmocka_unit_test_setup_teardown(test_folder__gives_scratch_files_without_a_name, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
