/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as input: blocked in every thread and read from a descriptor. signals_block() comes before the client library
 * starts its threads, which inherit the mask. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

struct signals {
	int fd;
	sigset_t mask_before; /* for the command */
	bool pipe_ignored_before;
};

/* 0, or an exit status after a message. */
int signals_block(struct signals *signals);
void signals_unblock(struct signals *signals);

/* The next signal that has arrived; 0: none. Does not wait. */
int signals_next(struct signals *signals);

#endif
