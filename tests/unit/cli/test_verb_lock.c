/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include "cli/report.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_log(const char *text) {
	char *log = process_log();

	assert_string_equal(log, text);
	free(log);
}

/* Runs to its end and compares everything. */
static void expect(const char *line, int status, const char *out, const char *err) {
	struct process process;

	process_run(&process, line);
	assert_string_equal(process.err, err);
	assert_string_equal(process.out, out);
	assert_int_equal(process.status, status);
	process_free(&process);
}

/* Tells the fake library; the FIFO must have a reader, that is: the session is open. */
static void tell(const char *line) {
	int fd = open(getenv("FAKE_FIFO"), O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, line, strlen(line)), strlen(line));
	close(fd);
}

static void test_verb_lock__exits_by_the_status_of_each_call(void **state) {
	static const struct {
		const char *call, *status;
		int exit_status;
	} rows[] = {
		{"FAKE_OPEN", "MISUSE", EXIT_USAGE},
		{"FAKE_OPEN", "NO_MEMORY", EXIT_OTHER},
		{"FAKE_SESSION", "UNREACHABLE", EXIT_UNREACHABLE},
		{"FAKE_SESSION", "DEADLINE", EXIT_UNREACHABLE},
		{"FAKE_SESSION", "BUSY", EXIT_UNREACHABLE},
		{"FAKE_SESSION", "INVALID", EXIT_OTHER},
		{"FAKE_SESSION", "LIMIT", EXIT_OTHER},
		{"FAKE_SESSION", "WRONG_CLUSTER", EXIT_OTHER},
		{"FAKE_ACQUIRE", "HELD", EXIT_NOT_ACQUIRED},
		{"FAKE_ACQUIRE", "WAIT_EXPIRED", EXIT_NOT_ACQUIRED},
		{"FAKE_ACQUIRE", "SESSION_EXPIRED", EXIT_UNREACHABLE},
		{"FAKE_ACQUIRE", "DISK_FULL", EXIT_UNREACHABLE},
		{"FAKE_ACQUIRE", "MISMATCH", EXIT_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct process process;

		setenv(rows[i].call, rows[i].status, 1);
		process_run(&process, "lock deploy -- touch /nowhere/never-run");
		unsetenv(rows[i].call);
		if (process.status != rows[i].exit_status)
			fail_msg("%s=%s: exit status %d", rows[i].call, rows[i].status, process.status);
		assert_int_equal(strncmp(process.err, "lockctl: ", 9), 0);
		assert_null(strstr(process.err, "never-run"));
		process_free(&process);
	}
}

static void test_verb_lock__says_why_the_cluster_does_not_answer(void **state) {
	(void)state;
	setenv("FAKE_SESSION", "UNREACHABLE", 1);
	setenv("FAKE_ERROR", "10.0.0.1:7600: connection refused", 1);
	expect("lock deploy", EXIT_UNREACHABLE, "",
	       "lockctl: lock: deploy: no node of the cluster could be reached (10.0.0.1:7600: connection refused)\n");
}

static void test_verb_lock__conflict_gets_the_chosen_status(void **state) {
	(void)state;
	setenv("FAKE_ACQUIRE", "HELD", 1);
	expect("lock deploy --try -E 3", 3, "",
	       "lockctl: lock: deploy: the lock is held or waited for by another session\n");
	expect_log("open NULL\nsession ttl 10000 label NULL\nacquire deploy value NULL wait 0\nsession close\nclose\n");
}

static void test_verb_lock__conflict_status_is_for_conflicts_only(void **state) {
	(void)state;
	setenv("FAKE_ACQUIRE", "INVALID", 1);
	expect("lock deploy --try -E 3", EXIT_OTHER, "", "lockctl: lock: deploy: the request is malformed\n");
}

static void test_verb_lock__an_answer_that_never_comes_is_unreachable(void **state) {
	(void)state;
	setenv("FAKE_ACQUIRE", "PENDING", 1);
	expect("lock deploy --wait 10ms --timeout 20ms", EXIT_UNREACHABLE, "",
	       "lockctl: lock: deploy: the deadline passed before an answer came\n");
}

static void test_verb_lock__runs_the_command_under_the_lock(void **state) {
	(void)state;
	setenv("LOCKD_TOKEN", "stale", 1);
	expect("lock deploy --wait 30s --ttl 20s -- sh -c 'echo $LOCKD_LOCK $LOCKD_TOKEN $LOCKD_SESSION; cat "
	       "$FAKE_LOG'",
	       0, "deploy 41 1.1.65536\nopen NULL\nsession ttl 20000 label sh\nacquire deploy value NULL wait 30000\n",
	       "");
	unsetenv("LOCKD_TOKEN");
	expect_log(
		"open NULL\nsession ttl 20000 label sh\nacquire deploy value NULL wait 30000\nsession close\nclose\n");
}

static void test_verb_lock__exits_as_the_command_did(void **state) {
	(void)state;
	expect("lock deploy -- sh -c 'exit 7'", 7, "", "");
	expect("lock deploy -- sh -c 'kill -KILL $$'", 128 + SIGKILL, "", "");
	expect("lock deploy -- sh -c 'kill -TERM $$'", 128 + SIGTERM, "", "");
}

static void test_verb_lock__releases_when_the_command_cannot_be_run(void **state) {
	(void)state;
	expect("lock deploy -- /nowhere/command", EXIT_NOT_FOUND, "",
	       "lockctl: /nowhere/command: No such file or directory\n");
	expect_log("open NULL\nsession ttl 10000 label /nowhere/command\nacquire deploy value NULL wait -1\nsession "
		   "close\n"
		   "close\n");
	expect("lock deploy -- /etc/passwd", EXIT_NOT_EXECUTABLE, "", "lockctl: /etc/passwd: Permission denied\n");
	expect("lock deploy -- /etc/passwd/x", EXIT_NOT_EXECUTABLE, "", "lockctl: /etc/passwd/x: Not a directory\n");
}

static void test_verb_lock__an_unconfirmed_release_is_told_and_keeps_the_status(void **state) {
	(void)state;
	setenv("FAKE_CLOSE", "DEADLINE", 1);
	expect("lock deploy -- sh -c 'exit 7'", 7, "",
	       "lockctl: lock: deploy: the deadline passed before an answer came\n"
	       "lockctl: lock: deploy: not released; the cluster takes it back about 10.0s from now\n");
	setenv("FAKE_ACQUIRE", "HELD", 1);
	expect("lock deploy", EXIT_NOT_ACQUIRED, "",
	       "lockctl: lock: deploy: the lock is held or waited for by another session\n");
}

static void test_verb_lock__passes_signals_on_to_the_command(void **state) {
	static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

	(void)state;
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		struct process process;
		char line[256], *ready;

		snprintf(line, sizeof line,
			 "lock deploy -- sh -c 'trap \"echo got; kill \\$!; exit 3\" %d; sleep 60 >&- 2>&- & echo "
			 "ready; "
			 "wait'",
			 signals[i]);
		process_start(&process, line);
		ready = process_read_line(&process);
		assert_string_equal(ready, "ready");
		free(ready);
		kill(process.pid, signals[i]);
		process_wait(&process);
		assert_string_equal(process.out, "got\n");
		assert_int_equal(process.status, 3);
		process_free(&process);
	}
}

static void test_verb_lock__signals_reach_what_the_command_started(void **state) {
	struct process process;
	char *ready;

	(void)state;
	/* The inner shell would hold the output open if it survived. */
	process_start(&process, "lock deploy -- sh -c 'sh -c \"echo ready; sleep 60\"; true'");
	ready = process_read_line(&process);
	assert_string_equal(ready, "ready");
	free(ready);
	kill(process.pid, SIGTERM);
	process_wait(&process);
	assert_int_equal(process.status, 128 + SIGTERM);
	process_free(&process);
}

static void test_verb_lock__jeopardy_warns_and_stops_nothing(void **state) {
	struct process process;
	char line[256] = "", *ready;

	(void)state;
	setenv("FAKE_ERROR", "10.0.0.1:7600: timed out", 1);
	process_start(&process, "lock deploy -- sh -c 'trap \"exit 4\" USR1; sleep 60 >&- 2>&- & echo ready; wait'");
	ready = process_read_line(&process);
	free(ready);
	tell("JEOPARDY 60900\n");
	assert_true(read(process.err_fd, line, sizeof line - 1) > 0);
	assert_string_equal(line, "lockctl: lock: deploy: the cluster does not answer, 1m00s left of the lease "
				  "(10.0.0.1:7600: timed out)\n");
	tell("SAFE\n");
	memset(line, 0, sizeof line);
	assert_true(read(process.err_fd, line, sizeof line - 1) > 0);
	assert_string_equal(line, "lockctl: lock: deploy: the lease is renewed again\n");
	kill(process.pid, SIGUSR1);
	process_wait(&process);
	assert_string_equal(process.err, "");
	assert_int_equal(process.status, 4);
	process_free(&process);
}

static void test_verb_lock__lost_lease_stops_the_command(void **state) {
	(void)state;
	expect("lock deploy -- sh -c 'trap \"echo stopped; exit 0\" TERM; echo EXPIRED >$FAKE_FIFO; while :; do :; "
	       "done'",
	       EXIT_LEASE_LOST, "stopped\n", "lockctl: lock: deploy: the lease is lost: stopping sh\n");
}

static void test_verb_lock__lost_lease_kills_a_command_that_does_not_stop(void **state) {
	(void)state;
	expect("lock deploy --kill-after 50ms -- sh -c 'trap \"\" TERM; echo EXPIRED >$FAKE_FIFO; sleep 60; echo "
	       "survived'",
	       EXIT_LEASE_LOST, "", "lockctl: lock: deploy: the lease is lost: stopping sh\n");
}

static void test_verb_lock__lost_lease_kills_what_the_command_leaves_behind(void **state) {
	(void)state;
	/* The background process ignores SIGTERM and would hold the output open for a minute. */
	expect("lock deploy -- sh -c '(trap \"\" TERM; echo EXPIRED >$FAKE_FIFO; sleep 60) & wait'", EXIT_LEASE_LOST,
	       "", "lockctl: lock: deploy: the lease is lost: stopping sh\n");
}

static void test_verb_lock__stops_the_command_before_the_lease_ends(void **state) {
	(void)state;
	/* Less is left than the ladder needs: it starts at once, with most of the lease still to run. */
	expect("lock deploy --kill-after 3s -- sh -c 'trap \"exit 0\" TERM; echo JEOPARDY 2900 >$FAKE_FIFO; while :; "
	       "do :; "
	       "done'",
	       EXIT_LEASE_LOST, "", "lockctl: lock: deploy: the lease runs out: stopping sh\n");
}

static void test_verb_lock__a_stopped_command_is_stopped_all_the_same(void **state) {
	(void)state;
	expect("lock deploy -- sh -c 'trap \"exit 0\" TERM; (sleep 0.05; echo EXPIRED >$FAKE_FIFO) & kill -STOP $$'",
	       EXIT_LEASE_LOST, "", "lockctl: lock: deploy: the lease is lost: stopping sh\n");
}

static void hold_and_signal(const char *line, const char *says, int signal) {
	struct process process;
	char *text;

	process_start(&process, line);
	text = process_read_line(&process);
	assert_string_equal(text, says);
	free(text);
	kill(process.pid, signal);
	process_wait(&process);
	assert_string_equal(process.err, "");
	assert_int_equal(process.status, 0);
	process_free(&process);
}

static void test_verb_lock__without_command_holds_until_interrupted(void **state) {
	(void)state;
	hold_and_signal("lock deploy", "deploy 41", SIGINT);
	expect_log(
		"open NULL\nsession ttl 10000 label NULL\nacquire deploy value NULL wait -1\nsession close\nclose\n");
	hold_and_signal("lock deploy --json",
			"{\"name\":\"deploy\",\"token\":\"41\",\"revision\":\"655360\",\"session\":\"1.1.65536\"}",
			SIGTERM);
}

static void test_verb_lock__without_command_ends_with_the_lease(void **state) {
	struct process process;
	char *text;

	(void)state;
	process_start(&process, "lock deploy");
	text = process_read_line(&process);
	free(text);
	tell("EXPIRED\n");
	process_wait(&process);
	assert_string_equal(process.err, "lockctl: lock: deploy: the lease is lost\n");
	assert_int_equal(process.status, EXIT_LEASE_LOST);
	process_free(&process);
}

static void test_verb_lock__interrupted_while_waiting_gives_up_the_seat(void **state) {
	struct process process;
	char *log;

	(void)state;
	setenv("FAKE_ACQUIRE", "PENDING", 1);
	process_start(&process, "lock deploy");
	tell("SAFE\n"); /* returns when the session is open, so that the signals are blocked */
	kill(process.pid, SIGINT);
	process_wait(&process);
	assert_int_equal(process.status, 128 + SIGINT);
	log = process_log();
	assert_non_null(strstr(log, "session close\n"));
	free(log);
	process_free(&process);
}

static void test_verb_lock__a_granted_wait_goes_on(void **state) {
	struct process process;

	(void)state;
	setenv("FAKE_ACQUIRE", "PENDING", 1);
	process_start(&process, "lock deploy --wait 1m -- echo run");
	tell("GRANT\n");
	process_wait(&process);
	assert_string_equal(process.out, "run\n");
	assert_int_equal(process.status, 0);
	process_free(&process);
}

static void test_verb_lock__session_lost_while_waiting_is_unreachable(void **state) {
	struct process process;

	(void)state;
	setenv("FAKE_ACQUIRE", "PENDING", 1);
	process_start(&process, "lock deploy -- echo run");
	tell("EXPIRED\n");
	process_wait(&process);
	assert_string_equal(process.out, "");
	assert_string_equal(process.err, "lockctl: lock: deploy: the session has expired or never existed\n");
	assert_int_equal(process.status, EXIT_UNREACHABLE);
	process_free(&process);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_verb_lock__##name, process_setup, process_teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		TEST(exits_by_the_status_of_each_call),
		TEST(says_why_the_cluster_does_not_answer),
		TEST(conflict_gets_the_chosen_status),
		TEST(conflict_status_is_for_conflicts_only),
		TEST(an_answer_that_never_comes_is_unreachable),
		TEST(runs_the_command_under_the_lock),
		TEST(exits_as_the_command_did),
		TEST(releases_when_the_command_cannot_be_run),
		TEST(an_unconfirmed_release_is_told_and_keeps_the_status),
		TEST(passes_signals_on_to_the_command),
		TEST(signals_reach_what_the_command_started),
		TEST(jeopardy_warns_and_stops_nothing),
		TEST(lost_lease_stops_the_command),
		TEST(lost_lease_kills_a_command_that_does_not_stop),
		TEST(lost_lease_kills_what_the_command_leaves_behind),
		TEST(stops_the_command_before_the_lease_ends),
		TEST(a_stopped_command_is_stopped_all_the_same),
		TEST(without_command_holds_until_interrupted),
		TEST(without_command_ends_with_the_lease),
		TEST(interrupted_while_waiting_gives_up_the_seat),
		TEST(a_granted_wait_goes_on),
		TEST(session_lost_while_waiting_is_unreachable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
