/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/child.h"
#include "cli/report.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The terminal to hand over, or -1: not in the foreground, or part of a pipeline whose other members need it. */
static int open_terminal(void) {
	int fd;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return -1;
	fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0 && tcgetpgrp(fd) != getpgrp()) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static bool is_ours(const char *variable) {
	static const char *const names[] = {"LOCKD_LOCK=", "LOCKD_TOKEN=", "LOCKD_SESSION="};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strncmp(variable, names[i], strlen(names[i])))
			return true;
	return false;
}

enum { VARIABLES = 3 };

/* A copy of the environment rather than setenv(): threads of the library may be reading it. The first VARIABLES strings
 * are the caller's to free, then the array. */
static char **make_environment(const struct child_lock *lock) {
	size_t n = 0, used = VARIABLES;
	char **made;

	while (environ[n])
		n++;
	made = calloc(n + VARIABLES + 1, sizeof *made);
	if (!made)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!is_ours(environ[i]))
			made[used++] = environ[i];

	if (asprintf(&made[0], "LOCKD_LOCK=%s", lock->name) < 0 ||
	    asprintf(&made[1], "LOCKD_TOKEN=%" PRIu64, lock->token) < 0 ||
	    asprintf(&made[2], "LOCKD_SESSION=%s", lock->session) < 0) {
		free(made);
		return NULL;
	}
	return made;
}

static void free_environment(char **made) {
	for (int i = 0; i < VARIABLES; i++)
		free(made[i]);
	free(made);
}

static int spawn(struct child *child, char **command, char **environment, const struct signals *signals) {
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK;
	sigset_t defaults;
	int r;

	/* Neither initialiser of glibc can fail. */
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawnattr_setpgroup(&attributes, 0);
	(void)posix_spawnattr_setsigmask(&attributes, &signals->mask_before);
	/* Whatever the library does to SIGPIPE in this process is not the command's affair. */
	if (!signals->pipe_ignored_before) {
		(void)sigemptyset(&defaults);
		(void)sigaddset(&defaults, SIGPIPE);
		(void)posix_spawnattr_setsigdefault(&attributes, &defaults);
		flags |= POSIX_SPAWN_SETSIGDEF;
	}
	(void)posix_spawnattr_setflags(&attributes, flags);

	r = child->terminal >= 0 ? posix_spawn_file_actions_addtcsetpgrp_np(&actions, child->terminal) : 0;
	if (r == 0)
		r = posix_spawnp(&child->pid, command[0], &actions, &attributes, command, environment);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return r;
}

static void take_terminal_back(const struct child *child) {
	/* Fails only when the terminal is gone, and then nobody needs it. */
	if (child->terminal >= 0)
		(void)tcsetpgrp(child->terminal, getpgrp());
}

static void close_terminal(struct child *child) {
	take_terminal_back(child);
	if (child->terminal >= 0)
		(void)close(child->terminal);
	child->terminal = -1;
}

int child_start(struct child *child, char **command, const struct child_lock *lock, const struct signals *signals) {
	char **environment = make_environment(lock);
	int r;

	if (!environment) {
		report("%s: %s", command[0], strerror(ENOMEM));
		return EXIT_OTHER;
	}
	child->terminal = open_terminal();
	r = spawn(child, command, environment, signals);
	free_environment(environment);
	if (r == 0)
		return 0;

	close_terminal(child);
	report("%s: %s", command[0], strerror(r));
	switch (r) {
	case ENOENT: return EXIT_NOT_FOUND;
	case EACCES:
	case ENOEXEC:
	case ENOTDIR:
	case EISDIR: return EXIT_NOT_EXECUTABLE;
	default: return EXIT_OTHER;
	}
}

void child_signal(const struct child *child, int signal) {
	assert(child->pid > 0);
	/* ESRCH: the whole group has ended, and SIGCHLD will tell. */
	(void)kill(-child->pid, signal);
}

static void stop_with(const struct child *child) {
	take_terminal_back(child);
	(void)raise(SIGSTOP);
	if (tcgetpgrp(child->terminal) == getpgrp())
		(void)tcsetpgrp(child->terminal, child->pid);
	child_signal(child, SIGCONT);
}

bool child_poll(struct child *child, bool kill_rest, int *ret_status) {
	siginfo_t info = {0};

	/* Left as a zombie for the moment, the command keeps its number from being used by another group. */
	if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
		return false;
	if (info.si_code == CLD_STOPPED) {
		(void)waitid(P_PID, (id_t)child->pid, &info, WSTOPPED | WNOHANG);
		if (child->terminal >= 0)
			stop_with(child);
		return false;
	}

	if (kill_rest)
		child_signal(child, SIGKILL);
	(void)waitid(P_PID, (id_t)child->pid, &info, WEXITED);
	close_terminal(child);
	*ret_status = info.si_code == CLD_EXITED ? info.si_status : EXIT_SIGNALLED + info.si_status;
	return true;
}
