/* SPDX-License-Identifier: Apache-2.0 */
/* A wrong command line is refused with a sentence that names the argument; the defaults are those of bench/README.md.
 */
#include "bench/load/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const workloads[] = {"pairs", "hold", NULL};
static const struct options_program service = {"load-x", workloads, OPTIONS_SERVICE};
static const struct options_program floor_like = {"load-y", workloads, OPTIONS_DATA | OPTIONS_PROCESSES};

enum { WORDS_MAX = 32 };

/* Parses the words of `line`, which are kept until the next call. */
static int parse(const struct options_program *program, const char *line, char *why, struct options *ret) {
	static char copy[512], program_name[] = "load-x";
	char *argv[WORDS_MAX + 1] = {program_name}, *rest = copy, *word;
	int argc = 1;

	(void)snprintf(copy, sizeof copy, "%s", line);
	while ((word = strsep(&rest, " ")) && argc < WORDS_MAX)
		if (*word)
			argv[argc++] = word;
	return options_parse(program, argc, argv, why, 256, ret);
}

static void refuses(const struct options_program *program, const char *line, const char *named) {
	struct options options = {.sessions = -7};
	char why[256] = "";

	assert_int_equal(parse(program, line, why, &options), -1);
	if (!strstr(why, named))
		fail_msg("'%s' was refused with '%s', which does not name %s", line, why, named);
	assert_int_equal(options.sessions, -7);
}

static void test_options__refuses_what_it_does_not_know(void **state) {
	(void)state;
	refuses(&service, "", "workload is missing");
	refuses(&service, "paris --endpoints a:1", "paris");
	refuses(&service, "pairs --endpoints a:1 --session 3", "--session:");
	refuses(&service, "pairs --endpoints a:1 more", "more");
	refuses(&service, "pairs --endpoints a:1 --processes 3", "--processes");
	refuses(&floor_like, "pairs --data d --sessions 3", "--sessions");
}

static void test_options__refuses_what_is_missing(void **state) {
	(void)state;
	refuses(&service, "pairs", "--endpoints");
	refuses(&service, "pairs --endpoints a:1 --sessions", "--sessions");
}

static void test_options__refuses_values_out_of_range(void **state) {
	static const char *const wrong[][2] = {
		{"--sessions", "0"},    {"--sessions", "-1"},     {"--sessions", "1048577"},
		{"--sessions", "3x"},   {"--sessions", "1e3"},    {"--sessions", "99999999999999999999"},
		{"--handles", "0"},     {"--handles", "8193"},    {"--seconds", "0"},
		{"--seconds", "nan"},   {"--seconds", "inf"},     {"--seconds", "-2"},
		{"--seconds", "1e9"},   {"--warmup", "-0.1"},     {"--warmup", "soon"},
		{"--ttl-ms", "0"},      {"--ttl-ms", "86400001"}, {"--locks", "0"},
		{"--locks", "4194305"},
	};
	char line[128];

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		(void)snprintf(line, sizeof line, "pairs --endpoints a:1 %s %s", wrong[i][0], wrong[i][1]);
		refuses(&service, line, wrong[i][0]);
	}
	(void)snprintf(line, sizeof line, "pairs --endpoints a:1 --prefix %065d", 0);
	refuses(&service, line, "--prefix");
	refuses(&floor_like, "pairs --data d --processes 65", "--processes");
}

static void test_options__refuses_another_api(void **state) {
	const struct options_program program = {"load-x", workloads, OPTIONS_SERVICE | OPTIONS_API};

	(void)state;
	refuses(&program, "pairs --endpoints a:1 --api polling", "--api");
}

static void test_options__refuses_more_handles_than_sessions(void **state) {
	(void)state;
	refuses(&service, "pairs --endpoints a:1 --handles 4 --sessions 3", "--handles");
}

static void test_options__has_the_defaults_of_the_readme(void **state) {
	struct options options;
	char why[256] = "";

	(void)state;
	assert_int_equal(parse(&service, "pairs --endpoints a:1,b:2", why, &options), 0);
	assert_string_equal(options.workload, "pairs");
	assert_string_equal(options.endpoints, "a:1,b:2");
	assert_string_equal(options.prefix, "bench");
	assert_null(options.metrics);
	assert_int_equal(options.sessions, 1);
	assert_int_equal(options.handles, 1);
	assert_true(options.seconds == 5);
	assert_true(options.warmup == 1);
	assert_int_equal(options.ttl_ms, 10000);
	assert_int_equal(options.locks, 1000);
	assert_int_equal(options.api, OPTIONS_COMPLETION);
}

static void test_options__spreads_over_sixteen_handles_at_most(void **state) {
	struct options options;
	char why[256] = "";

	(void)state;
	assert_int_equal(parse(&service, "pairs --endpoints a:1 --sessions 5", why, &options), 0);
	assert_int_equal(options.handles, 5);
	assert_int_equal(parse(&service, "pairs --endpoints a:1 --sessions 256", why, &options), 0);
	assert_int_equal(options.handles, 16);
	assert_int_equal(parse(&service, "pairs --handles 256 --sessions 256 --endpoints a:1", why, &options), 0);
	assert_int_equal(options.handles, 256);
}

static void test_options__takes_every_flag(void **state) {
	const struct options_program program = {"load-x", workloads,
						OPTIONS_SERVICE | OPTIONS_API | OPTIONS_METRICS | OPTIONS_DATA |
							OPTIONS_PROCESSES};
	struct options options;
	char why[256] = "";

	(void)state;
	assert_int_equal(parse(&program,
			       "hold --endpoints a:1 --sessions 9 --handles 3 --seconds 0.5 --warmup 0 --ttl-ms 3000 "
			       "--prefix p --locks 77 --api blocking --metrics m:1 --data d --processes 3",
			       why, &options),
			 0);
	assert_string_equal(options.workload, "hold");
	assert_int_equal(options.sessions, 9);
	assert_int_equal(options.handles, 3);
	assert_true(options.seconds == 0.5);
	assert_true(options.warmup == 0);
	assert_int_equal(options.ttl_ms, 3000);
	assert_string_equal(options.prefix, "p");
	assert_int_equal(options.locks, 77);
	assert_int_equal(options.api, OPTIONS_BLOCKING);
	assert_string_equal(options.metrics, "m:1");
	assert_string_equal(options.data, "d");
	assert_int_equal(options.processes, 3);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options__refuses_what_it_does_not_know),
		cmocka_unit_test(test_options__refuses_what_is_missing),
		cmocka_unit_test(test_options__refuses_values_out_of_range),
		cmocka_unit_test(test_options__refuses_another_api),
		cmocka_unit_test(test_options__refuses_more_handles_than_sessions),
		cmocka_unit_test(test_options__has_the_defaults_of_the_readme),
		cmocka_unit_test(test_options__spreads_over_sixteen_handles_at_most),
		cmocka_unit_test(test_options__takes_every_flag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
