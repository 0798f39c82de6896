/* SPDX-License-Identifier: Apache-2.0 */
/* The command and the terminal: lockctl runs as the leader of a session on a pseudo-terminal, as under a login shell.
 */
#include "process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

struct terminal {
	int master;
	pid_t pid; /* of lockctl */
	char said[4096];
	size_t n;
};

static void start(struct terminal *terminal, const char *input, const char *script) {
	char name[] = "lockctl", lock[] = "lock", deploy[] = "deploy", dashes[] = "--", sh[] = "sh", c[] = "-c";
	char *copy = strdup(script), *words[] = {name, lock, deploy, dashes, sh, c, copy, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	const char *path;

	*terminal = (struct terminal){.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
	assert_int_equal(grantpt(terminal->master), 0);
	assert_int_equal(unlockpt(terminal->master), 0);
	path = ptsname(terminal->master);

	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
	posix_spawn_file_actions_init(&actions);
	/* The first terminal that the leader of a session opens becomes the session's. */
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, path, O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input ? input : path, O_RDWR, 0);
	assert_int_equal(posix_spawn(&terminal->pid, LOCKCTL_PATH, &actions, &attributes, words, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	free(copy);
}

static void await(struct terminal *terminal, const char *text) {
	while (!strstr(terminal->said, text)) {
		ssize_t got =
			read(terminal->master, terminal->said + terminal->n, sizeof terminal->said - 1 - terminal->n);

		if (got <= 0)
			fail_msg("'%s' did not come, but: %s", text, terminal->said);
		terminal->n += (size_t)got;
	}
}

static void type(struct terminal *terminal, const char *keys) {
	assert_int_equal(write(terminal->master, keys, strlen(keys)), strlen(keys));
}

static void expect_exit(struct terminal *terminal, int expected) {
	int status;

	assert_int_equal(waitpid(terminal->pid, &status, 0), terminal->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), expected);
	close(terminal->master);
}

static void test_child__reads_the_terminal(void **state) {
	struct terminal terminal;

	(void)state;
	start(&terminal, NULL, "read x; echo got $x; exit 3");
	type(&terminal, "hello\n");
	await(&terminal, "got hello");
	expect_exit(&terminal, 3);
}

static void test_child__interrupt_key_reaches_it_once(void **state) {
	struct terminal terminal;

	(void)state;
	start(&terminal, NULL, "n=0; trap 'n=$((n+1)); echo int $n' INT; echo ready; read x; read x; exit $n");
	await(&terminal, "ready");
	type(&terminal, "\003");
	await(&terminal, "int 1");
	type(&terminal, "\n\n");
	expect_exit(&terminal, 1);
}

static void test_child__interrupt_key_is_passed_on_from_a_pipeline(void **state) {
	struct terminal terminal;

	(void)state;
	start(&terminal, "/dev/null", "trap 'exit 4' INT; echo ready; while :; do :; done");
	await(&terminal, "ready");
	type(&terminal, "\003");
	expect_exit(&terminal, 4);
}

static void test_child__stop_key_stops_lockctl_too(void **state) {
	struct terminal terminal;
	int status;

	(void)state;
	start(&terminal, NULL, "echo ready; read x; echo got $x; exit 5");
	await(&terminal, "ready");
	assert_int_not_equal(tcgetpgrp(terminal.master), terminal.pid);
	type(&terminal, "\032");
	assert_int_equal(waitpid(terminal.pid, &status, WUNTRACED), terminal.pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(tcgetpgrp(terminal.master), terminal.pid);

	kill(terminal.pid, SIGCONT);
	type(&terminal, "again\n");
	await(&terminal, "got again");
	expect_exit(&terminal, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_child__##name, process_setup, process_teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		TEST(reads_the_terminal),
		TEST(interrupt_key_reaches_it_once),
		TEST(interrupt_key_is_passed_on_from_a_pipeline),
		TEST(stop_key_stops_lockctl_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
