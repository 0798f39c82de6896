/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include "cli/endpoints.h"
#include "cli/report.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* A user's file with this content; its path is good until the next call. */
static const char *write_file(const char *content) {
	static char path[512];
	const char *config = getenv("XDG_CONFIG_HOME");
	FILE *stream;

	(void)mkdir(config, 0700);
	snprintf(path, sizeof path, "%s/lockd", config);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/lockd/lockctl.conf", config);
	stream = fopen(path, "we");
	assert_non_null(stream);
	fputs(content, stream);
	fclose(stream);
	return path;
}

static void test_endpoints__refuses_a_file_it_does_not_understand(void **state) {
	char line_too_long[400] = "endpoints = ";

	(void)state;
	memset(line_too_long + strlen(line_too_long), 'a', 300);
	const char *const contents[] = {"nodes = a\n", "[client]\nendpoints = a\n", "endpoints =\n",
					"endpoints\n", "endpoints = a\nfoo = b\n",  line_too_long};

	for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
		char *found = NULL;

		assert_int_equal(endpoints_read(write_file(contents[i]), &found), EXIT_USAGE);
		assert_null(found);
	}
}

static void test_endpoints__missing_file_is_told_apart(void **state) {
	char *found = NULL;

	(void)state;
	assert_int_equal(endpoints_read("/nowhere/lockctl.conf", &found), -ENOENT);
	assert_null(found);
}

static void test_endpoints__lines_are_joined(void **state) {
	char *found = NULL;

	(void)state;
	assert_int_equal(
		endpoints_read(write_file("; the test cluster\nendpoints = a:1,b:2\n\nendpoints = c:3\n"), &found), 0);
	assert_string_equal(found, "a:1,b:2,c:3");
	free(found);
}

static void expect_opened_with(const char *line, const char *endpoints) {
	struct process process;
	char expected[128], *log;

	remove(getenv("FAKE_LOG"));
	process_run(&process, line);
	assert_int_equal(process.status, 0);
	process_free(&process);
	snprintf(expected, sizeof expected, "open %s\n", endpoints);
	log = process_log();
	if (strncmp(log, expected, strlen(expected)))
		fail_msg("%s: wanted %s, was %s", line, expected, log);
	free(log);
}

static void test_endpoints__option_then_environment_then_file(void **state) {
	(void)state;
	write_file("endpoints = file:1\n");
	expect_opened_with("ls", "file:1");
	setenv("LOCKD_ENDPOINTS", "environment:1", 1);
	expect_opened_with("ls", "environment:1");
	expect_opened_with("ls --endpoints option:1", "option:1");
}

static void test_endpoints__damaged_file_names_its_line(void **state) {
	struct process process;
	char message[640];

	(void)state;
	snprintf(message, sizeof message, "lockctl: %s:2: unknown key, allowed is endpoints: endpoint\n",
		 write_file("# ours\nendpoint = a\n"));
	process_run(&process, "ls");
	assert_string_equal(process.err, message);
	assert_int_equal(process.status, EXIT_USAGE);
	process_free(&process);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_endpoints__##name, process_setup, process_teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		TEST(refuses_a_file_it_does_not_understand), TEST(missing_file_is_told_apart),  TEST(lines_are_joined),
		TEST(option_then_environment_then_file),     TEST(damaged_file_names_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
