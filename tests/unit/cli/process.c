/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 32 };

static char folder[sizeof "/tmp/lockctl-test-XXXXXX"];

static void set_path(const char *variable, const char *file) {
	char path[256];

	snprintf(path, sizeof path, "%s/%s", folder, file);
	assert(setenv(variable, path, 1) == 0);
}

static void clear_environment(void) {
	static const char *const variables[] = {
		"FAKE_OPEN",  "FAKE_SESSION",    "FAKE_ACQUIRE", "FAKE_CLOSE",    "FAKE_LIST",
		"FAKE_SHOW",  "FAKE_SESSIONS",   "FAKE_NODES",   "FAKE_OBSERVE",  "FAKE_ERROR",
		"FAKE_PID",   "FAKE_HOST",       "FAKE_EVENTS",  "FAKE_EMPTY",    "FAKE_UPGRADE",
		"FAKE_LEADS", "FAKE_LEADERLESS", "FAKE_CHANGE",  "FAKE_TRANSFER", "LOCKD_ENDPOINTS",
		"FAKE_DAMAGE", "FAKE_RESTORING", "FAKE_DISK_FULL", "FAKE_RETURNING",
	};

	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
		assert(unsetenv(variables[i]) == 0);
}

int process_setup(void **state) {
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/lockctl-test-XXXXXX");
	assert(mkdtemp(folder));
	clear_environment();
	set_path("FAKE_FIFO", "fifo");
	set_path("FAKE_LOG", "log");
	set_path("FOLDER", "");
	set_path("HOME", "home"); /* no configuration of whoever runs the test */
	set_path("XDG_CONFIG_HOME", "config");
	assert(mkfifo(getenv("FAKE_FIFO"), 0600) == 0);
	return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

int process_teardown(void **state) {
	(void)state;
	return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void split(char *line, char **words) {
	size_t n = 0;

	while (*line) {
		bool quoted = *line == '\'';
		char *end = quoted ? strchr(line + 1, '\'') : line + strcspn(line, " ");

		assert(n < WORDS_MAX && end);
		words[n++] = line + quoted;
		line = end + (*end != '\0');
		*end = '\0';
		while (*line == ' ')
			line++;
	}
	words[n] = NULL;
}

void process_start(struct process *process, const char *line) {
	posix_spawn_file_actions_t actions;
	char name[] = "lockctl", *words[2 + WORDS_MAX] = {name}, *copy = strdup(line);
	int out[2], err[2];

	split(copy, words + 1);
	assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
	assert(posix_spawn(&process->pid, LOCKCTL_PATH, &actions, NULL, words, environ) == 0);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	close(err[1]);
	process->out_fd = out[0];
	process->err_fd = err[0];
	free(copy);
}

static char *read_all(int fd) {
	char *text = calloc(1, 1);
	size_t n = 0;
	ssize_t got;

	do {
		text = realloc(text, n + 4096 + 1);
		got = read(fd, text + n, 4096);
		assert(got >= 0);
		n += (size_t)got;
	} while (got > 0);
	text[n] = '\0';
	close(fd);
	return text;
}

void process_wait(struct process *process) {
	int status;

	process->out = read_all(process->out_fd);
	process->err = read_all(process->err_fd);
	assert(waitpid(process->pid, &status, 0) == process->pid);
	process->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void process_free(struct process *process) {
	free(process->out);
	free(process->err);
}

void process_run(struct process *process, const char *line) {
	process_start(process, line);
	process_wait(process);
}

char *process_read_line(struct process *process) {
	char *line = calloc(1, 1024);

	for (size_t n = 0; n < 1023 && read(process->out_fd, line + n, 1) == 1; n++) {
		if (line[n] != '\n')
			continue;
		line[n] = '\0';
		break;
	}
	return line;
}

char *process_log(void) {
	int fd = open(getenv("FAKE_LOG"), O_RDONLY | O_CLOEXEC);

	return fd < 0 ? calloc(1, 1) : read_all(fd);
}
