/* SPDX-License-Identifier: Apache-2.0 */
/* How lockctl ends and what it says on stderr: always one line that begins with "lockctl: ", so that it can be told
 * from the output of the command that runs under the lock. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <lockd/lockd.h>

enum exit_status {
	EXIT_NOTHING = 1,       /* show, leader, resign: nobody holds it */
	EXIT_USAGE = 64,        /* sysexits: EX_USAGE */
	EXIT_DAMAGED = 65,      /* sysexits: EX_DATAERR */
	EXIT_UNREACHABLE = 69,  /* sysexits: EX_UNAVAILABLE */
	EXIT_OTHER = 70,        /* sysexits: EX_SOFTWARE */
	EXIT_NOT_ACQUIRED = 75, /* sysexits: EX_TEMPFAIL; members: not now */
	EXIT_LEASE_LOST = 79,   /* the first number behind those of sysexits */
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNALLED = 128, /* plus the number of the signal */
};

void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says why `what` came to nothing, with the library's own sentence about the cluster when there is one, and returns the
 * exit status for it. `client` may be NULL. */
int report_status(struct lockd_client *client, const char *what, enum lockd_status status);

/* The exit status that stands for a status of the library. */
int exit_status_of(enum lockd_status status);

/* 0 if all that was printed has reached stdout, else EXIT_OTHER and a message: a full disk is not a success. */
int report_stdout(void);

#endif
