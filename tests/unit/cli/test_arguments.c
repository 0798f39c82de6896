/* SPDX-License-Identifier: Apache-2.0 */
#include "api/limits.h"
#include "lockd/io/address.h"
#include "process.h"

#include "cli/arguments.h"
#include "cli/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

_Static_assert((int)ARGUMENT_NAME_BYTES_MAX == (int)LIMIT_NAME_BYTES_MAX, "names");
_Static_assert((int)ARGUMENT_VALUE_BYTES_MAX == (int)LIMIT_VALUE_BYTES_MAX, "values");
_Static_assert((int)ARGUMENT_LABEL_BYTES_MAX == (int)LIMIT_LABEL_BYTES_MAX, "labels");
_Static_assert((int)ARGUMENT_TTL_MS_MIN == (int)LIMIT_TTL_MS_MIN, "shortest lease");
_Static_assert((int)ARGUMENT_CHANGES_MAX == (int)LOCKD_MEMBER_CHANGES_MAX, "changes");
_Static_assert((int)ARGUMENT_ADDRESS_BYTES_MAX == (int)ADDRESS_BYTES_MAX - 1, "addresses");
_Static_assert((int)ARGUMENT_TTL_MS_MAX == (int)LIMIT_TTL_MS_MAX, "longest lease");

static void test_arguments__refuses_and_names_the_argument(void **state) {
	static const struct {
		const char *line, *says;
	} rows[] = {
		{"", "lockctl: no verb given; try 'lockctl --help'\n"},
		{"frob", "lockctl: unknown verb 'frob'; try 'lockctl --help'\n"},
		{"session", "lockctl: unknown verb 'session', allowed: session ls; try 'lockctl --help'\n"},
		{"session rm", "lockctl: unknown verb 'session rm', allowed: session ls; try 'lockctl --help'\n"},
		{"lock", "lockctl: lock: NAME is missing; try 'lockctl lock --help'\n"},
		{"lock ''", "lockctl: lock: NAME is empty; try 'lockctl lock --help'\n"},
		{"lock 'a\tb'", "lockctl: lock: NAME contains a control character; try 'lockctl lock --help'\n"},
		{"lock 'a\xc2\x85'", "lockctl: lock: NAME contains a control character; try 'lockctl lock --help'\n"},
		{"lock \xff", "lockctl: lock: NAME is not UTF-8; try 'lockctl lock --help'\n"},
		{"campaign a \xc0\x80", "lockctl: campaign: VALUE is not UTF-8; try 'lockctl campaign --help'\n"},
		{"lock a --label \xed\xa0\x80", "lockctl: lock: --label is not UTF-8; try 'lockctl lock --help'\n"},
		{"lock a --", "lockctl: lock: no COMMAND behind --; try 'lockctl lock --help'\n"},
		{"lock a b",
		 "lockctl: lock: unexpected argument 'b', a command stands behind --; try 'lockctl lock --help'\n"},
		{"ls -- true", "lockctl: ls: no COMMAND is allowed, but 'true' was given; try 'lockctl ls --help'\n"},
		{"campaign a", "lockctl: campaign: VALUE is missing; try 'lockctl campaign --help'\n"},
		{"lock a --ttl", "lockctl: lock: --ttl needs a value; try 'lockctl lock --help'\n"},
		{"lock a -E", "lockctl: lock: -E needs a value; try 'lockctl lock --help'\n"},
		{"lock a --try=1", "lockctl: lock: --try takes no value; try 'lockctl lock --help'\n"},
		{"lock a --ttl 10x",
		 "lockctl: lock: --ttl '10x': not a duration; allowed is a number with unit ms, s, m or h "
		 "(plain: seconds), as in 10s, 500ms or 1m; try 'lockctl lock --help'\n"},
		{"lock a --ttl 2999ms",
		 "lockctl: lock: --ttl '2999ms': out of range; allowed are 3s to 24h; try 'lockctl lock --help'\n"},
		{"lock a --wait -1s",
		 "lockctl: lock: --wait '-1s': not a duration; allowed is a number with unit ms, s, m or h "
		 "(plain: seconds), as in 10s, 500ms or 1m; try 'lockctl lock --help'\n"},
		{"lock a --try --wait 1s",
		 "lockctl: lock: --try and --wait exclude each other; try 'lockctl lock --help'\n"},
		{"lock a --kill-after 1s", "lockctl: lock: --kill-after needs a COMMAND; try 'lockctl lock --help'\n"},
		{"lock a --kill-after 4s -- true", "lockctl: lock: --kill-after '4s': out of range; allowed are 0s to "
						   "3333ms; try 'lockctl lock --help'\n"},
		{"lock a --json -- true",
		 "lockctl: lock: --json and a COMMAND exclude each other: the output belongs to the "
		 "command; try 'lockctl lock --help'\n"},
		{"lock a -E 256",
		 "lockctl: lock: --conflict-exit-code '256': not a number from 0 to 255; try 'lockctl lock --help'\n"},
		{"observe a --count 0", "lockctl: observe: --count '0': not a number from 1 to 18446744073709551615; "
					"try 'lockctl observe --help'\n"},
		{"ls --frob", "lockctl: ls: unknown option '--frob', allowed: --read, --at-least, --node, --json, "
			      "--endpoints, --timeout, --help; try "
			      "'lockctl ls --help'\n"},
		{"ls -x", "lockctl: ls: unknown option '-x', allowed: --read, --at-least, --node, --json, --endpoints, "
			  "--timeout, --help; try 'lockctl ls "
			  "--help'\n"},
		{"ls --ttl 10s", "lockctl: ls: unknown option '--ttl', allowed: --read, --at-least, --node, --json, "
				 "--endpoints, --timeout, --help; try "
				 "'lockctl ls --help'\n"},
		{"cluster",
		 "lockctl: unknown verb 'cluster', allowed: cluster members, cluster add, cluster remove, cluster "
		 "promote, "
		 "cluster demote, cluster replace, cluster change, cluster prefer, cluster transfer; try 'lockctl "
		 "--help'\n"},
		{"cluster add", "lockctl: cluster add: ID is missing; try 'lockctl cluster add --help'\n"},
		{"cluster add x",
		 "lockctl: cluster add: ID 'x': not a number from 1 to 4294967295; try 'lockctl cluster "
		 "add --help'\n"},
		{"cluster remove 0", "lockctl: cluster remove: ID '0': not a number from 1 to 4294967295; try 'lockctl "
				     "cluster remove --help'\n"},
		{"cluster remove 4 --learner",
		 "lockctl: cluster remove: unknown option '--learner', allowed: --endpoints, "
		 "--timeout, --help; try 'lockctl cluster remove --help'\n"},
		{"cluster add 4 --priority 256",
		 "lockctl: cluster add: --priority '256': not a number from 0 to 255; try "
		 "'lockctl cluster add --help'\n"},
		{"cluster add 4 --peer-address nonsense",
		 "lockctl: cluster add: --peer-address 'nonsense': not an address; allowed is HOST:PORT, as in "
		 "node4.example:7601, 10.0.0.4:7601 or [fd00::4]:7601; try 'lockctl cluster add --help'\n"},
		{"cluster add 4 --client-address ''",
		 "lockctl: cluster add: --client-address '': not an address; allowed is HOST:PORT, as in "
		 "node4.example:7601, 10.0.0.4:7601 or [fd00::4]:7601; try 'lockctl cluster add --help'\n"},
		{"cluster prefer 4",
		 "lockctl: cluster prefer: PRIORITY is missing; try 'lockctl cluster prefer --help'\n"},
		{"cluster prefer 4 256",
		 "lockctl: cluster prefer: PRIORITY '256': not a number from 0 to 255; try 'lockctl "
		 "cluster prefer --help'\n"},
		{"cluster replace 1",
		 "lockctl: cluster replace: NEW is missing; try 'lockctl cluster replace --help'\n"},
		{"cluster transfer 1 2",
		 "lockctl: cluster transfer: unexpected argument '2'; try 'lockctl cluster transfer "
		 "--help'\n"},
		{"cluster change", "lockctl: cluster change: CHANGE is missing; try 'lockctl cluster change --help'\n"},
		{"cluster change 4",
		 "lockctl: cluster change: '4': allowed are +ID and -ID; try 'lockctl cluster change "
		 "--help'\n"},
		{"cluster change +4 -0", "lockctl: cluster change: '-0': allowed are +ID and -ID; try 'lockctl cluster "
					 "change --help'\n"},
		{"cluster change +4 -4",
		 "lockctl: cluster change: node 4 stands there twice; try 'lockctl cluster change --help'\n"},
		{"cluster change +1 +2 +3 +4 +5 +6 +7 +8 +9 +10 +11 +12 +13 +14 +15 +16 +17 +18 -19",
		 "lockctl: cluster change: more than 18 changes; try 'lockctl cluster change --help'\n"},
		{"cluster change +4 -- true",
		 "lockctl: cluster change: no COMMAND is allowed, but 'true' was given; try 'lockctl cluster change "
		 "--help'\n"},
		{"ls -4", "lockctl: ls: unknown option '-4', allowed: --read, --at-least, --node, --json, --endpoints, "
			  "--timeout, --help; try 'lockctl ls --help'\n"},
		{"ls --read weak",
		 "lockctl: ls: --read 'weak': allowed are linearizable, session and stale; try 'lockctl "
		 "ls --help'\n"},
		{"ls --at-least 5", "lockctl: ls: --at-least needs --read session; try 'lockctl ls --help'\n"},
		{"ls --node 0",
		 "lockctl: ls: --node '0': not a number from 1 to 4294967295; try 'lockctl ls --help'\n"},
		{"--frob",
		 "lockctl: unknown option '--frob', allowed: --endpoints, --timeout, --help, --version; try 'lockctl "
		 "--help'\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct process process;
		char *log;

		process_run(&process, rows[i].line);
		assert_string_equal(process.err, rows[i].says);
		assert_string_equal(process.out, "");
		assert_int_equal(process.status, EXIT_USAGE);
		process_free(&process);
		log = process_log();
		assert_string_equal(log, "");
		free(log);
	}
}

/* What the result points to lives until the next call. */
static int parse(const char *line, struct arguments *ret) {
	static char copy[1024], *argv[32];
	char *rest, *word;
	int argc = 0;

	assert_true(strlen(line) < sizeof copy);
	memcpy(copy, line, strlen(line) + 1);
	for (word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	argv[argc] = NULL;
	return arguments_parse(argc, argv, ret);
}

static void test_arguments__refuses_a_name_that_is_too_long(void **state) {
	char line[32 + LIMIT_NAME_BYTES_MAX + 1] = "lockctl show ";
	size_t before = strlen(line);
	struct arguments arguments;

	(void)state;
	memset(line + before, 'a', LIMIT_NAME_BYTES_MAX + 1);
	assert_int_equal(parse(line, &arguments), EXIT_USAGE);
	line[before + LIMIT_NAME_BYTES_MAX] = '\0';
	assert_int_equal(parse(line, &arguments), 0);
}

static int parse_address(const char *address, struct arguments *ret) {
	char line[64 + ARGUMENT_ADDRESS_BYTES_MAX + 1];

	snprintf(line, sizeof line, "lockctl cluster add 4 --peer-address=%s", address);
	return parse(line, ret);
}

static void test_arguments__refuses_what_nobody_could_dial(void **state) {
	static const char *const malformed[] = {"a",    "a:",   "a:0",  "a:65536", "a:1x",   ":1",   "fd00::4:1",
						"[]:1", "[a:1", "[a]1", "[a]b:1",  "a\tb:1", "a:-1", "a]:1"};
	static const char *const fine[] = {"a:1", "a-b_c.d:65535", "10.0.0.4:7601", "[fd00::4]:7601",
					   "[fe80::1%eth0]:1"};
	char text[ARGUMENT_ADDRESS_BYTES_MAX + 2];
	struct arguments arguments;

	(void)state;
	for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
		if (parse_address(malformed[i], &arguments) != EXIT_USAGE)
			fail_msg("'%s' is taken", malformed[i]);
	for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
		if (parse_address(fine[i], &arguments))
			fail_msg("'%s' is refused", fine[i]);
		assert_string_equal(arguments.peer_address, fine[i]);
		assert_null(arguments.client_address);
	}
	memset(text, 'a', sizeof text);
	memcpy(text + sizeof text - 3, ":1", 3);
	assert_int_equal(parse_address(text, &arguments), EXIT_USAGE);
	assert_int_equal(parse_address(text + 1, &arguments), 0);
}

static void test_arguments__takes_options_anywhere_before_the_command(void **state) {
	struct arguments arguments;

	(void)state;
	assert_int_equal(parse("lockctl --endpoints a,b lock --ttl=20 name -E3 -- sh --json", &arguments), 0);
	assert_string_equal(arguments.verb->name, "lock");
	assert_string_equal(arguments.operands[0], "name");
	assert_string_equal(arguments.endpoints, "a,b");
	assert_int_equal(arguments.ttl_ms, 20000);
	assert_int_equal(arguments.conflict_exit_code, 3);
	assert_string_equal(arguments.command[0], "sh");
	assert_string_equal(arguments.command[1], "--json");
	assert_null(arguments.command[2]);
	assert_false(arguments_given(&arguments, OPTION_JSON));
}

static void test_arguments__has_the_documented_defaults(void **state) {
	struct arguments arguments;

	(void)state;
	assert_int_equal(parse("lockctl lock name -- true", &arguments), 0);
	assert_int_equal(arguments.ttl_ms, 10000);
	assert_int_equal(arguments.timeout_ms, 5000);
	assert_int_equal(arguments.wait_ms, LOCKD_FOREVER);
	assert_int_equal(arguments.kill_after_ms, 2000);
	assert_int_equal(arguments.conflict_exit_code, EXIT_NOT_ACQUIRED);
	assert_int_equal(parse("lockctl lock name --ttl 1m -- true", &arguments), 0);
	assert_int_equal(arguments.kill_after_ms, 5000);
}

static void test_arguments__finds_verbs_of_two_words(void **state) {
	struct arguments arguments;

	(void)state;
	assert_int_equal(parse("lockctl session ls --json", &arguments), 0);
	assert_string_equal(arguments.verb->name, "session ls");
	assert_true(arguments_given(&arguments, OPTION_JSON));
}

static void test_arguments__takes_changes_with_either_sign(void **state) {
	struct arguments arguments;

	(void)state;
	assert_int_equal(parse("lockctl cluster change +4 -1 --timeout 2m +5 -12", &arguments), 0);
	assert_int_equal(arguments.n_changes, 4);
	assert_int_equal(arguments.changes[0].kind, LOCKD_MEMBER_VOTER);
	assert_int_equal(arguments.changes[0].node, 4);
	assert_int_equal(arguments.changes[1].kind, LOCKD_MEMBER_ABSENT);
	assert_int_equal(arguments.changes[1].node, 1);
	assert_int_equal(arguments.changes[2].node, 5);
	assert_int_equal(arguments.changes[3].kind, LOCKD_MEMBER_ABSENT);
	assert_int_equal(arguments.changes[3].node, 12);
	assert_int_equal(arguments.timeout_ms, 120000);
}

static void test_arguments__a_change_of_members_has_more_time(void **state) {
	struct arguments arguments;

	(void)state;
	assert_int_equal(parse("lockctl cluster transfer", &arguments), 0);
	assert_int_equal(arguments.timeout_ms, 60000);
	assert_int_equal(arguments.numbers[0], 0);
	assert_int_equal(parse("lockctl cluster transfer 3 --timeout 1s", &arguments), 0);
	assert_int_equal(arguments.timeout_ms, 1000);
	assert_int_equal(arguments.numbers[0], 3);
	assert_int_equal(parse("lockctl cluster members", &arguments), 0);
	assert_int_equal(arguments.timeout_ms, 5000);
}

static void test_arguments__help_needs_nothing_else(void **state) {
	struct process process;
	char line[64];

	(void)state;
	for (size_t i = 0; i < n_verbs; i++) {
		snprintf(line, sizeof line, "%s --help", verbs[i].name);
		process_run(&process, line);
		assert_int_equal(process.status, 0);
		assert_string_equal(process.err, "");
		assert_non_null(strstr(process.out, verbs[i].name));
		for (int id = 0; id < N_OPTIONS; id++) {
			snprintf(line, sizeof line, "--%s ", option_rows[id].name);
			assert_int_equal(strstr(process.out, line) != NULL, (verbs[i].options & OPTION_BIT(id)) != 0);
		}
		process_free(&process);
	}
}

static void test_arguments__version_is_printed(void **state) {
	struct process process;

	(void)state;
	process_run(&process, "--version");
	assert_int_equal(process.status, 0);
	assert_int_equal(strncmp(process.out, "lockctl ", 8), 0);
	process_free(&process);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments__refuses_and_names_the_argument),
		cmocka_unit_test(test_arguments__refuses_a_name_that_is_too_long),
		cmocka_unit_test(test_arguments__refuses_what_nobody_could_dial),
		cmocka_unit_test(test_arguments__takes_options_anywhere_before_the_command),
		cmocka_unit_test(test_arguments__has_the_documented_defaults),
		cmocka_unit_test(test_arguments__finds_verbs_of_two_words),
		cmocka_unit_test(test_arguments__takes_changes_with_either_sign),
		cmocka_unit_test(test_arguments__a_change_of_members_has_more_time),
		cmocka_unit_test(test_arguments__help_needs_nothing_else),
		cmocka_unit_test(test_arguments__version_is_printed),
	};

	return cmocka_run_group_tests(tests, process_setup, process_teardown);
}
