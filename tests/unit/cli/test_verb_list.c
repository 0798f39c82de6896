/* SPDX-License-Identifier: Apache-2.0 */
/* ls, show, session ls, status: what people and programs are shown. */
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

/* The caller drops the reference. */
static json_t *run_json(const char *line) {
	struct process process;
	json_error_t error;
	json_t *document;

	process_run(&process, line);
	assert_int_equal(process.status, 0);
	document = json_loads(process.out, 0, &error);
	if (!document)
		fail_msg("%s: not JSON: %s\n%s", line, error.text, process.out);
	process_free(&process);
	return document;
}

static const char *text_at(const json_t *object, const char *key) {
	const char *text = json_string_value(json_object_get(object, key));

	if (!text)
		fail_msg("%s is not a string", key);
	return text;
}

static json_int_t number_at(const json_t *object, const char *key) {
	if (!json_is_integer(json_object_get(object, key)))
		fail_msg("%s is not a number", key);
	return json_integer_value(json_object_get(object, key));
}

static void test_verb_list__failures_have_their_exit_status(void **state) {
	static const struct {
		const char *call, *status, *line;
		int exit_status;
	} rows[] = {
		{"FAKE_LIST", "UNREACHABLE", "ls", EXIT_UNREACHABLE},
		{"FAKE_LIST", "INVALID", "ls x", EXIT_OTHER},
		{"FAKE_SHOW", "DEADLINE", "show x", EXIT_UNREACHABLE},
		{"FAKE_SHOW", "NOT_FOUND", "show x", EXIT_NOTHING},
		{"FAKE_SHOW", "NOT_FOUND", "show x --json", EXIT_NOTHING},
		{"FAKE_SESSIONS", "NOT_LEADER", "session ls", EXIT_UNREACHABLE},
		{"FAKE_SESSIONS", "NO_MEMORY", "session ls", EXIT_OTHER},
		{"FAKE_NODES", "UNREACHABLE", "status", EXIT_UNREACHABLE},
		{"FAKE_NODES", "DEADLINE", "status --json", EXIT_UNREACHABLE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct process process;

		setenv(rows[i].call, rows[i].status, 1);
		process_run(&process, rows[i].line);
		unsetenv(rows[i].call);
		assert_string_equal(process.out, "");
		assert_int_equal(strncmp(process.err, "lockctl: ", 9), 0);
		assert_int_equal(process.status, rows[i].exit_status);
		process_free(&process);
	}
}

static void test_verb_list__a_full_disk_is_not_a_success(void **state) {
	struct process process;

	(void)state;
	process_run(&process, "lock x -- sh -c 'exec $LOCKCTL ls >/dev/full'");
	assert_int_equal(process.status, EXIT_OTHER);
	assert_string_equal(process.err, "lockctl: standard output: No space left on device\n");
	process_free(&process);
}

static void test_verb_list__ls_prints_aligned_columns(void **state) {
	char *log;

	(void)state;
	expect("ls db/ --timeout 2s", 0,
	       "NAME         HOLDER HOST    PID               TOKEN  HELD WAITING SESSION   LABEL      VALUE\n"
	       "batch/import alice  build1 4242 9223372036854775807 3m12s       0 1.1.65536 make \"all\" -\n"
	       "db/primary   alice  build1 4242                  41 850ms       2 1.1.65536 make \"all\" "
	       "10.0.0.1:5432\n",
	       "");
	log = process_log();
	assert_string_equal(log, "open NULL\nlist db/ timeout 2000\nclose\n");
	free(log);
}

static void test_verb_list__ls_json_keeps_every_bit_of_a_token(void **state) {
	json_t *document = run_json("ls --json"), *locks = json_object_get(document, "locks"), *lock;

	(void)state;
	assert_int_equal(json_array_size(locks), 2);
	lock = json_array_get(locks, 0);
	assert_string_equal(text_at(lock, "name"), "batch/import");
	assert_string_equal(text_at(lock, "token"), "9223372036854775807");
	assert_string_equal(text_at(lock, "label"), "make \"all\"");
	assert_int_equal(number_at(lock, "held_ms"), 192000);
	assert_int_equal(number_at(lock, "pid"), 4242);
	assert_true(json_is_null(json_object_get(lock, "value")));
	json_decref(document);
}

static void test_verb_list__nothing_held_prints_nothing(void **state) {
	json_t *document;

	(void)state;
	setenv("FAKE_EMPTY", "1", 1);
	expect("ls", 0, "", "");
	document = run_json("ls --json");
	assert_true(json_is_array(json_object_get(document, "locks")));
	assert_int_equal(json_array_size(json_object_get(document, "locks")), 0);
	json_decref(document);
}

static void test_verb_list__show_prints_holder_and_queue(void **state) {
	(void)state;
	expect("show db/primary", 0,
	       "Name:     db/primary\n"
	       "Value:    10.0.0.1:5432\n"
	       "Token:    41\n"
	       "Holder:   alice on build1, pid 4242\n"
	       "Session:  1.1.65536\n"
	       "Label:    make \"all\"\n"
	       "TTL:      10.0s\n"
	       "Held:     850ms\n"
	       "Granted:  655360\n"
	       "Waiting:  2\n"
	       "\n"
	       "POSITION WAITER HOST       PID SESSION    LABEL\n"
	       "       1 bob    build2      77 1.1.131072 -\n"
	       "       2 carol  build3 1234567 1.1.196608 nightly\n",
	       "");
}

static void test_verb_list__show_json_nests_holder_and_queue(void **state) {
	json_t *document = run_json("show db/primary --json"), *waiters = json_object_get(document, "waiters");

	(void)state;
	assert_string_equal(text_at(document, "token"), "41");
	assert_string_equal(text_at(document, "granted_revision"), "655360");
	assert_string_equal(text_at(json_object_get(document, "holder"), "owner"), "alice");
	assert_int_equal(json_array_size(waiters), 2);
	assert_int_equal(number_at(json_array_get(waiters, 1), "pid"), 1234567);
	json_decref(document);
}

static void test_verb_list__show_of_a_free_lock_says_so(void **state) {
	(void)state;
	setenv("FAKE_SHOW", "NOT_FOUND", 1);
	expect("show deploy", EXIT_NOTHING, "", "lockctl: show: deploy: not held\n");
}

static void test_verb_list__session_ls_prints_aligned_columns(void **state) {
	json_t *document;

	(void)state;
	expect("session ls", 0,
	       "SESSION    OWNER HOST       PID   TTL HELD WAITING LABEL\n"
	       "1.1.131072 bob   build2      77 10.0s    0       1 -\n"
	       "1.1.196608 carol build3 1234567  3.0s    1       1 nightly\n",
	       "");
	document = run_json("session ls --json");
	assert_int_equal(number_at(json_array_get(json_object_get(document, "sessions"), 1), "ttl_ms"), 3000);
	json_decref(document);
}

static void test_verb_list__status_has_a_row_for_a_silent_node(void **state) {
	(void)state;
	expect("status", 0,
	       "ENDPOINT      NODE ROLE        TERM LEADER LEASE    RTT COMMIT APPLIED LOG                CHECKPOINT "
	       "SESSIONS LOCKS UPTIME VERSION REASON\n"
	       "10.0.0.1:7600    1 leader         7      1 140ms      -   1203    1203 1001-1204 (40 KiB)       1000 "
	       "       3     2  3h00m 0.1.0   -\n"
	       "10.0.0.2:7600    2 follower       7      1     - 0.85ms   1203    1202 1-1203 (0 KiB)              0 "
	       "       0     0    0ms -       -\n"
	       "10.0.0.3:7600    - unreachable    -      -     -      -      -       - -                           - "
	       "       -     -      - -       cannot connect: Connection refused\n",
	       "");
	setenv("FAKE_EMPTY", "1", 1);
	expect("status", 0,
	       "ENDPOINT      NODE ROLE   TERM LEADER   LEASE RTT COMMIT APPLIED LOG                CHECKPOINT "
	       "SESSIONS "
	       "LOCKS "
	       "UPTIME VERSION\n"
	       "10.0.0.1:7600    1 leader    7      1 endless   -   1203    1203 1001-1204 (40 KiB)       1000        "
	       "3  "
	       "   2 "
	       " 3h00m 0.1.0\n",
	       "");
}

static void test_verb_list__status_shows_versions_until_all_are_upgraded(void **state) {
	json_t *document, *nodes;
	struct process process;

	(void)state;
	setenv("FAKE_UPGRADE", "1", 1);
	process_run(&process, "status");
	assert_int_equal(process.status, 0);
	assert_non_null(strstr(process.out, " VERSION MACHINE KNOWN REASON\n"));
	assert_non_null(strstr(process.out, " 3h00m 0.1.0         1     2 -\n"));
	assert_non_null(strstr(process.out, "   0ms -             1     1 -\n"));
	assert_non_null(strstr(process.out, "     - -             -     - cannot connect: Connection refused\n"));
	process_free(&process);
	document = run_json("status --json");
	nodes = json_object_get(document, "nodes");
	assert_int_equal(number_at(json_array_get(nodes, 0), "machine_version"), 1);
	assert_int_equal(number_at(json_array_get(nodes, 0), "machine_version_max"), 2);
	assert_int_equal(number_at(json_array_get(nodes, 1), "machine_version_max"), 1);
	json_decref(document);
}

static void expect_disks(const char *header, const char *leader, const char *follower) {
	struct process process;

	process_run(&process, "status");
	assert_int_equal(process.status, 0);
	if (!strstr(process.out, header) || !strstr(process.out, leader) || !strstr(process.out, follower))
		fail_msg("not shown: %s, %s, %s in:\n%s", header, leader, follower, process.out);
	process_free(&process);
}

static void test_verb_list__status_shows_what_ails_the_disks(void **state) {
	json_t *document, *nodes;

	(void)state;
	setenv("FAKE_DAMAGE", "1", 1);
	expect_disks(" VERSION DISK ", " 0.1.0   ok ", " -       ok, repaired 1 time, last: raft.db is damaged -\n");
	setenv("FAKE_DAMAGE", "2", 1);
	expect_disks(" VERSION DISK ", " 0.1.0   ok ", " -       ok, repaired 2 times, last: raft.db is damaged -\n");
	setenv("FAKE_RESTORING", "1", 1);
	setenv("FAKE_DISK_FULL", "1", 1);
	expect_disks(" VERSION DISK ", " 0.1.0   full: requests are refused until there is space -\n",
		     " -       restoring from the others: raft.db is damaged ");
	document = run_json("status --json");
	nodes = json_object_get(document, "nodes");
	assert_true(json_is_true(json_object_get(json_array_get(nodes, 0), "disk_full")));
	assert_true(json_is_false(json_object_get(json_array_get(nodes, 0), "restoring")));
	assert_true(json_is_null(json_object_get(json_array_get(nodes, 0), "damage")));
	assert_true(json_is_true(json_object_get(json_array_get(nodes, 1), "restoring")));
	assert_int_equal(number_at(json_array_get(nodes, 1), "repairs"), 2);
	assert_string_equal(text_at(json_array_get(nodes, 1), "damage"), "raft.db is damaged");
	json_decref(document);
}

static void test_verb_list__status_json_has_every_node(void **state) {
	json_t *document = run_json("status --json"), *nodes = json_object_get(document, "nodes"), *node, *peers;

	(void)state;
	assert_int_equal(json_array_size(nodes), 3);
	node = json_array_get(nodes, 0);
	assert_string_equal(text_at(node, "status"), "OK");
	assert_int_equal(number_at(node, "commit"), 1203);
	assert_string_equal(text_at(node, "state_hash"), "abcd");
	peers = json_object_get(node, "peers");
	assert_int_equal(json_array_size(peers), 5);
	assert_true(json_is_null(json_object_get(json_array_get(peers, 0), "contact_ms")));
	assert_int_equal(number_at(json_array_get(peers, 1), "contact_ms"), 12);
	assert_int_equal(number_at(json_array_get(peers, 1), "rtt_us"), 850);
	assert_int_equal(number_at(json_array_get(peers, 1), "roles"), 1);
	assert_true(json_is_true(json_object_get(json_array_get(peers, 2), "unfit")));
	assert_true(json_is_true(json_object_get(json_array_get(peers, 3), "snapshot")));
	assert_int_equal(number_at(node, "lease_ms"), 140);
	assert_int_equal(number_at(node, "configuration_index"), 1100);
	assert_true(json_is_true(json_object_get(node, "joint")));
	assert_true(json_is_true(json_object_get(node, "fit")));
	assert_true(json_is_false(json_object_get(node, "disk_full")));
	assert_int_equal(number_at(node, "repairs"), 0);
	assert_int_equal(number_at(json_object_get(node, "times"), "promise_ms"), 200);
	node = json_array_get(nodes, 2);
	assert_string_equal(text_at(node, "status"), "UNREACHABLE");
	assert_string_equal(text_at(node, "reason"), "cannot connect: Connection refused");
	assert_null(json_object_get(node, "commit"));
	json_decref(document);
}

static void test_verb_list__says_what_a_read_is_worth(void **state) {
	static const struct {
		const char *line, *log, *err;
	} rows[] = {
		{"ls --read linearizable", "list NULL timeout 5000\n",
		 "lockctl: ls: linearizable, node 1, revision 655360\n"},
		{"ls --node 2", "list NULL timeout 5000\nread 0 at least 0 node 2\n",
		 "lockctl: ls: linearizable, node 2, revision 655360\n"},
		{"show db/primary --read session --at-least 77",
		 "show db/primary timeout 5000\nread 1 at least 77 node 0\n",
		 "lockctl: show: session, node 1, revision 655360\n"},
		{"session ls --read stale --node 3", "read 2 at least 0 node 3\n",
		 "lockctl: session ls: stale, node 3, revision 655360, heard of its leader 1.5s ago\n"},
		{"ls --read stale --node 9", "list NULL timeout 5000\nread 2 at least 0 node 9\n",
		 "lockctl: ls: stale, node 9, revision 655360, never heard of a leader\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct process process;
		char *log, want[256];

		process_run(&process, rows[i].line);
		assert_string_equal(process.err, rows[i].err);
		assert_int_equal(process.status, 0);
		process_free(&process);
		log = process_log();
		snprintf(want, sizeof want, "open NULL\n%sclose\n", rows[i].log);
		assert_string_equal(log, want);
		free(log);
		remove(getenv("FAKE_LOG"));
	}
}

static void test_verb_list__json_always_says_what_a_read_is_worth(void **state) {
	static const char *const lines[] = {"ls --json --read stale --node 9",
					    "session ls --json --read stale --node 9",
					    "show db/primary --json --read stale --node 9"};

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		json_t *document = run_json(lines[i]), *answer = json_object_get(document, "answer");

		assert_string_equal(text_at(answer, "read"), "stale");
		assert_int_equal(number_at(answer, "node"), 9);
		assert_string_equal(text_at(answer, "revision"), "655360");
		assert_true(json_is_null(json_object_get(answer, "age_ms")));
		json_decref(document);
	}
}

static void test_verb_list__a_stale_read_that_finds_nothing_says_so(void **state) {
	(void)state;
	setenv("FAKE_SHOW", "NOT_FOUND", 1);
	expect("show deploy --read stale", EXIT_NOTHING, "", "lockctl: show: deploy: not held (stale read)\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_verb_list__##name, process_setup, process_teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		TEST(failures_have_their_exit_status),
		TEST(a_full_disk_is_not_a_success),
		TEST(ls_prints_aligned_columns),
		TEST(ls_json_keeps_every_bit_of_a_token),
		TEST(nothing_held_prints_nothing),
		TEST(show_prints_holder_and_queue),
		TEST(show_json_nests_holder_and_queue),
		TEST(show_of_a_free_lock_says_so),
		TEST(session_ls_prints_aligned_columns),
		TEST(status_has_a_row_for_a_silent_node),
		TEST(status_shows_versions_until_all_are_upgraded),
		TEST(status_shows_what_ails_the_disks),
		TEST(status_json_has_every_node),
		TEST(says_what_a_read_is_worth),
		TEST(json_always_says_what_a_read_is_worth),
		TEST(a_stale_read_that_finds_nothing_says_so),
	};

	setenv("LOCKCTL", LOCKCTL_PATH, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
