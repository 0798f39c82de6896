/* SPDX-License-Identifier: Apache-2.0 */
/* backup: which file is there when, and what is said. */
#include "process.h"

#include "cli/report.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], file[96], partial[96];

static int set_up(void **state) {
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/lockctl-backup-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof file, "%s/backup", folder);
	snprintf(partial, sizeof partial, "%s/backup.partial", folder);
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	(void)unlink(file);
	(void)unlink(partial);
	return rmdir(folder);
}

static void expect(const char *arguments, int status, const char *out, const char *err) {
	struct process process;
	char line[256];

	snprintf(line, sizeof line, arguments, file);
	process_run(&process, line);
	assert_string_equal(process.err, err);
	if (!strstr(process.out, out))
		fail_msg("'%s' instead of '%s'", process.out, out);
	assert_int_equal(process.status, status);
	process_free(&process);
}

static void assert_file(const char *content) {
	char bytes[16] = "";
	FILE *stream = fopen(file, "r");

	assert_int_equal(access(partial, F_OK), -1);
	if (!content) {
		assert_null(stream);
		return;
	}
	assert_non_null(stream);
	bytes[fread(bytes, 1, sizeof bytes - 1, stream)] = '\0';
	(void)fclose(stream);
	assert_string_equal(bytes, content);
}

static void test_verb_backup__leaves_nothing_of_a_backup_that_failed(void **state) {
	(void)state;
	setenv("FAKE_BACKUP", "DAMAGED", 1);
	setenv("FAKE_ERROR", "node 2 sends no sound backup", 1);
	expect("backup %s", EXIT_DAMAGED, "", "lockctl: backup: node 2 sends no sound backup\n");
	assert_file(NULL);
	setenv("FAKE_BACKUP", "DISK_FULL", 1);
	setenv("FAKE_ERROR", "", 1);
	expect("backup %s", EXIT_UNREACHABLE, "", "lockctl: backup: the node's disk is full\n");
	assert_file(NULL);
	unsetenv("FAKE_BACKUP");
	unsetenv("FAKE_ERROR");
	expect("backup /dev/null/none", EXIT_OTHER, "",
	       "lockctl: backup: cannot create /dev/null/none: Not a directory\n");
	expect("backup %s --verify --force", EXIT_USAGE, "",
	       "lockctl: backup: --verify and --force exclude each other: nothing is written; "
	       "try 'lockctl backup --help'\n");
}

/* Two that overlap must not mix their bytes; what was left behind is emptied, and nobody else's to read any more. */
static void test_verb_backup__leaves_the_partial_file_to_who_writes_it(void **state) {
	int fd = open(partial, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct stat stat_of;
	char err[256];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(write(fd, "of another one", 14), 14);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	snprintf(err, sizeof err, "lockctl: backup: another process is writing %s\n", partial);
	expect("backup %s", EXIT_OTHER, "", err);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(fstat(fd, &stat_of), 0);
	assert_int_equal(stat_of.st_size, 14);
	assert_int_equal(stat_of.st_nlink, 1);
	(void)close(fd);
	expect("backup %s", 0, "index     10\n", "");
	assert_file("abcdef");
	assert_int_equal(stat(file, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0600);
}

static void test_verb_backup__replaces_a_file_only_when_told_to(void **state) {
	char err[256];

	(void)state;
	expect("backup %s", 0, "index     10\nrevision  720895\n", "");
	assert_file("abcdef");
	snprintf(err, sizeof err, "lockctl: backup: %s exists: give another name, or --force to replace it\n", file);
	expect("backup %s", EXIT_USAGE, "", err);
	expect("backup %s --force --json", 0, "f0e0d0c0b0a090807060504030201000", "");
	assert_file("abcdef");
}

static void test_verb_backup__begins_again_where_it_can(void **state) {
	(void)state;
	setenv("FAKE_AGAIN", "1", 1);
	expect("backup %s --node 2", 0, "node      2\n", "");
	assert_file("abcdef");
	expect("backup -", EXIT_OTHER, "abc",
	       "lockctl: backup: the backup broke off, and what went to standard output cannot be taken back\n");
	unsetenv("FAKE_AGAIN");
	expect("backup -", 0, "abcdef", "");
}

static void test_verb_backup__verifies_without_a_cluster(void **state) {
	char err[256];

	(void)state;
	expect("backup %s", 0, "", "");
	setenv("FAKE_OPEN", "NO_MEMORY", 1);
	expect("backup --verify %s", 0, "cluster   000102030405060708090a0b0c0d0e0f\nepoch     7\n", "");
	setenv("FAKE_CHECK", "DAMAGED", 1);
	snprintf(err, sizeof err, "lockctl: backup: %s must not be used: it ends too early\n", file);
	expect("backup --verify %s", EXIT_DAMAGED, "", err);
	unsetenv("FAKE_CHECK");
	unsetenv("FAKE_OPEN");
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_verb_backup__leaves_nothing_of_a_backup_that_failed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_verb_backup__leaves_the_partial_file_to_who_writes_it, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_verb_backup__replaces_a_file_only_when_told_to, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_verb_backup__begins_again_where_it_can, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_verb_backup__verifies_without_a_cluster, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
