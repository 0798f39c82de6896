/* SPDX-License-Identifier: Apache-2.0 */
/* cluster …: what is shown of the members, what is asked for, and what a refusal says. */
#include "process.h"

#include "cli/report.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *line, int status, const char *out, const char *err) {
	struct process process;

	process_run(&process, line);
	assert_string_equal(process.err, err);
	assert_string_equal(process.out, out);
	assert_int_equal(process.status, status);
	process_free(&process);
}

static void test_verb_cluster__refusals_have_their_exit_status(void **state) {
	static const struct {
		const char *status, *err;
		int exit_status;
	} rows[] = {
		{"UNSETTLED", "lockctl: cluster add: the leader says no\n", EXIT_NOT_ACQUIRED},
		{"INVALID", "lockctl: cluster add: the leader says no\n", EXIT_USAGE},
		{"LIMIT", "lockctl: cluster add: the leader says no\n", EXIT_OTHER},
		{"DEADLINE",
		 "lockctl: cluster add: the deadline passed before an answer came (the leader says no)\n"
		 "lockctl: cluster add: it may be done all the same: see 'lockctl cluster members', or give the "
		 "command "
		 "again\n",
		 EXIT_UNREACHABLE},
		{"UNREACHABLE", "lockctl: cluster add: no node of the cluster could be reached (the leader says no)\n",
		 EXIT_UNREACHABLE},
		{"NO_MEMORY", "lockctl: cluster add: out of memory\n", EXIT_OTHER},
	};

	(void)state;
	setenv("FAKE_ERROR", "the leader says no", 1);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		setenv("FAKE_CHANGE", rows[i].status, 1);
		expect("cluster add 4", rows[i].exit_status, "", rows[i].err);
	}
	setenv("FAKE_ERROR", "the request is malformed: node 9 is no member", 1);
	setenv("FAKE_CHANGE", "INVALID", 1);
	expect("cluster prefer 9 1", EXIT_USAGE, "",
	       "lockctl: cluster prefer: node 9 is no member; see 'lockctl cluster members'\n");
	setenv("FAKE_ERROR", "the leader says no", 1);
	setenv("FAKE_TRANSFER", "NOT_READY", 1);
	expect("cluster transfer 2", EXIT_NOT_ACQUIRED, "", "lockctl: cluster transfer: the leader says no\n");
	unsetenv("FAKE_ERROR");
	expect("cluster transfer 2", EXIT_NOT_ACQUIRED, "",
	       "lockctl: cluster transfer: the members are not ready for this change\n");
}

static void test_verb_cluster__replacing_a_node_by_itself_is_refused(void **state) {
	(void)state;
	expect("cluster replace 3 3", EXIT_USAGE, "", "lockctl: cluster replace: OLD and NEW are both node 3\n");
}

static void test_verb_cluster__asks_for_what_the_line_says(void **state) {
	static const struct {
		const char *line, *log;
	} rows[] = {
		{"cluster add 4", "change 1 timeout 60000\nvoter 4 peer NULL client NULL\n"},
		{"cluster add 4 --learner --priority 7 --peer-address a:1 --client-address b:2 --timeout 3m",
		 "change 1 timeout 180000\nlearner 4 peer a:1 client b:2\npriority 7\n"},
		{"cluster add 4 --priority 0", "change 1 timeout 60000\nvoter 4 peer NULL client NULL\npriority 0\n"},
		{"cluster remove 1", "change 1 timeout 60000\nabsent 1 peer NULL client NULL\n"},
		{"cluster promote 5", "change 1 timeout 60000\nvoter 5 peer NULL client NULL\n"},
		{"cluster demote 5", "change 1 timeout 60000\nlearner 5 peer NULL client NULL\n"},
		{"cluster replace 2 4",
		 "change 2 timeout 60000\nabsent 2 peer NULL client NULL\nvoter 4 peer NULL client NULL\n"},
		{"cluster change +4 -1",
		 "change 2 timeout 60000\nvoter 4 peer NULL client NULL\nabsent 1 peer NULL client "
		 "NULL\n"},
		{"cluster prefer 3 200", "change 1 timeout 60000\nsame 3 peer NULL client NULL\npriority 200\n"},
		{"cluster transfer", "transfer 0 timeout 60000\n"},
		{"cluster transfer 2 --timeout 5s", "transfer 2 timeout 5000\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *log, want[256];

		expect(rows[i].line, 0, "", "");
		log = process_log();
		snprintf(want, sizeof want, "open NULL\n%sclose\n", rows[i].log);
		assert_string_equal(log, want);
		free(log);
		remove(getenv("FAKE_LOG"));
	}
}

static void test_verb_cluster__members_and_candidates_have_a_row(void **state) {
	(void)state;
	expect("cluster members", 0,
	       "NODE ROLE    PRIORITY PEER ADDRESS  CLIENT ADDRESS  LAG     RTT CONTACT FIT\n"
	       "   1 leader         9 10.0.0.1:7601 10.0.0.1:7600     0       -       - yes\n"
	       "   2 joining        0 10.0.0.2:7601 10.0.0.2:7600     1  0.85ms    12ms yes\n"
	       "   3 leaving        0 10.0.0.3:7601 10.0.0.3:7600  1000 12.35ms   700ms no\n"
	       "   4 learner        0 10.0.0.4:7601 10.0.0.4:7600     -       -       - -\n"
	       "   6 learner        0 10.0.0.6:7601 10.0.0.6:7600     0  0.90ms    7.0s no\n"
	       "\n"
	       "WAITING TO BE ADDED PEER ADDRESS  CLIENT ADDRESS CALLED\n"
	       "                  5 10.0.0.5:7601 10.0.0.5:7600   400ms\n",
	       "lockctl: cluster members: a change of members is under way\n");
}

static void test_verb_cluster__members_show_versions_until_all_are_upgraded(void **state) {
	json_t *document, *members;
	struct process process;

	(void)state;
	setenv("FAKE_UPGRADE", "1", 1);
	process_run(&process, "cluster members");
	assert_int_equal(process.status, 0);
	assert_non_null(strstr(process.out, " CONTACT FIT MACHINE KNOWN\n"));
	assert_non_null(strstr(process.out, "       - yes       1     2\n"));
	assert_non_null(strstr(process.out, "    12ms yes       1     1\n"));
	assert_non_null(strstr(process.out, "   700ms no        -     -\n"));
	process_free(&process);
	process_run(&process, "cluster members --json");
	document = json_loads(process.out, 0, NULL);
	members = json_object_get(document, "members");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(members, 0), "machine_version")), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(members, 0), "machine_version_max")), 2);
	assert_true(json_is_null(json_object_get(json_array_get(members, 2), "machine_version_max")));
	json_decref(document);
	process_free(&process);
}

static void test_verb_cluster__members_show_who_is_given_a_new_store(void **state) {
	struct process process;

	(void)state;
	setenv("FAKE_RETURNING", "1", 1);
	process_run(&process, "cluster members");
	assert_int_equal(process.status, 0);
	assert_non_null(strstr(process.out, "\n   6 returning        0 10.0.0.6:7601"));
	process_free(&process);
}

static void test_verb_cluster__without_a_leader_a_follower_is_asked(void **state) {
	(void)state;
	setenv("FAKE_LEADERLESS", "1", 1);
	expect("cluster members", EXIT_UNREACHABLE,
	       "NODE ROLE    PRIORITY PEER ADDRESS  CLIENT ADDRESS LAG RTT CONTACT FIT\n"
	       "   1 leader         9 10.0.0.1:7601 10.0.0.1:7600    -   -       - -\n"
	       "   2 voter          0 10.0.0.2:7601 10.0.0.2:7600    -   -       - yes\n"
	       "   3 leaving        0 10.0.0.3:7601 10.0.0.3:7600    -   -       - -\n"
	       "   4 learner        0 10.0.0.4:7601 10.0.0.4:7600    -   -       - -\n"
	       "   6 learner        0 10.0.0.6:7601 10.0.0.6:7600    -   -       - -\n",
	       "lockctl: cluster members: no leader answers; this is what node 2 knows\n");
	setenv("FAKE_NODES", "UNREACHABLE", 1);
	expect("cluster members", EXIT_UNREACHABLE, "",
	       "lockctl: cluster members: no node of the cluster could be reached\n");
}

static void test_verb_cluster__members_json_has_all_that_is_known(void **state) {
	json_t *document, *members, *candidates;
	struct process process;
	json_error_t error;

	(void)state;
	process_run(&process, "cluster members --json");
	assert_int_equal(process.status, 0);
	assert_string_equal(process.err, "");
	document = json_loads(process.out, 0, &error);
	if (!document)
		fail_msg("not JSON: %s", error.text);
	assert_int_equal(json_integer_value(json_object_get(document, "leader")), 1);
	assert_int_equal(json_integer_value(json_object_get(document, "term")), 7);
	assert_int_equal(json_integer_value(json_object_get(document, "configuration_index")), 1100);
	assert_true(json_is_true(json_object_get(document, "joint")));
	members = json_object_get(document, "members");
	assert_int_equal(json_array_size(members), 5);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(members, 1), "rtt_us")), 850);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(members, 1), "machine_version")), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(members, 1), "machine_version_max")), 2);
	assert_true(json_is_true(json_object_get(json_array_get(members, 1), "fit")));
	assert_true(json_is_true(json_object_get(json_array_get(members, 1), "caught_up")));
	assert_true(json_is_false(json_object_get(json_array_get(members, 2), "fit")));
	assert_int_equal(json_integer_value(json_object_get(json_array_get(members, 2), "lag")), 1000);
	assert_string_equal(json_string_value(json_object_get(json_array_get(members, 3), "role")), "learner");
	assert_string_equal(json_string_value(json_object_get(json_array_get(members, 3), "store")), "dd");
	assert_true(json_is_true(json_object_get(json_array_get(members, 3), "snapshot")));
	assert_true(json_is_null(json_object_get(json_array_get(members, 3), "fit")));
	assert_true(json_is_false(json_object_get(json_array_get(members, 4), "fit")));
	candidates = json_object_get(document, "candidates");
	assert_int_equal(json_array_size(candidates), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(candidates, 0), "node")), 5);
	assert_string_equal(json_string_value(json_object_get(json_array_get(candidates, 0), "store")), "ee");
	json_decref(document);
	process_free(&process);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_verb_cluster__##name, process_setup, process_teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		TEST(refusals_have_their_exit_status),
		TEST(replacing_a_node_by_itself_is_refused),
		TEST(asks_for_what_the_line_says),
		TEST(members_and_candidates_have_a_row),
		TEST(members_show_versions_until_all_are_upgraded),
		TEST(members_show_who_is_given_a_new_store),
		TEST(without_a_leader_a_follower_is_asked),
		TEST(members_json_has_all_that_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
