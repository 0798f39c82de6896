/* SPDX-License-Identifier: Apache-2.0 */
/* Runs lockctl as a process, linked with the client library of fake_lockd.c, and collects what it says and how it ends.
 */
#ifndef TESTS_CLI_PROCESS_H
#define TESTS_CLI_PROCESS_H

#include <sys/types.h>

struct process {
	pid_t pid;
	int out_fd, err_fd;
	int status;      /* exit status, or 128 + signal */
	char *out, *err; /* everything that it wrote */
};

/* A new folder for the FIFO, the log and other files of a test; cmocka set-up and tear-down. Sets FAKE_FIFO, FAKE_LOG
 * and FOLDER in the environment and clears every other variable of fake_lockd.c. */
int process_setup(void **state);
int process_teardown(void **state);

/* `line` is split at blanks; 'quoted words' stay whole. */
void process_start(struct process *process, const char *line);
/* Waits for the end, and fills in status, out and err; process_free() ends it. */
void process_wait(struct process *process);
void process_free(struct process *process);
/* Start and wait. */
void process_run(struct process *process, const char *line);

/* One line of its output, without newline, as soon as it has come. The caller frees it. */
char *process_read_line(struct process *process);

/* What the fake library was told, all lines. The caller frees it. */
char *process_log(void);

#endif
