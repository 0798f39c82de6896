/* SPDX-License-Identifier: Apache-2.0 */
/* The command that runs under a lock.
 *
 * It is started with posix_spawnp(), without a shell: the library may not be used in a forked child. It leads a process
 * group of its own, so that a signal reaches what it has started too: stopping a shell and leaving its children at work
 * without the lock would be worth nothing. When our input and output are a terminal whose foreground group we are, the
 * command's group becomes the foreground group, as under a job-control shell: it may read the terminal, and ^C and ^Z
 * reach it directly. In a pipeline the terminal stays with the pipeline, and we pass on what we are sent. */
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

#include "cli/signals.h"

#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid;    /* also the number of its group */
	int terminal; /* handed over to it; -1: not */
};

/* What the command finds in its environment. */
struct child_lock {
	const char *name, *session;
	uint64_t token;
};

/* 0; EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE or EXIT_OTHER after a message. */
int child_start(struct child *child, char **command, const struct child_lock *lock, const struct signals *signals);

/* To the command's group. */
void child_signal(const struct child *child, int signal);

/* Looks what became of the command, without waiting. True: it has ended, was reaped, the terminal is ours again, and
 * *ret_status is its exit status or EXIT_SIGNALLED + signal. Call it on every SIGCHLD. When a command with the terminal
 * was stopped by ^Z, we stop too, as the shell expects; no keep-alive leaves this process meanwhile.
 *   kill_rest  what is left of the group of a command that has ended gets SIGKILL. */
bool child_poll(struct child *child, bool kill_rest, int *ret_status);

#endif
