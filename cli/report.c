/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void report(const char *format, ...) {
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	/* One call, so that lines of several processes on one terminal do not mix. */
	(void)fprintf(stderr, "lockctl: %s\n", line);
}

int exit_status_of(enum lockd_status status) {
	switch (status) {
	case LOCKD_OK: return 0;
	case LOCKD_HELD:
	case LOCKD_WAIT_EXPIRED:
	case LOCKD_UNSETTLED:
	case LOCKD_NOT_READY: return EXIT_NOT_ACQUIRED;
	/* The cluster as a whole does not serve: the same command may succeed later. */
	case LOCKD_UNREACHABLE:
	case LOCKD_DEADLINE:
	case LOCKD_BUSY:
	case LOCKD_NOT_LEADER:
	case LOCKD_LEADER_CHANGED:
	case LOCKD_DISK_FULL:
	/* A session that is kept alive ends only when the cluster could not be reached for a whole lease. */
	case LOCKD_SESSION_EXPIRED: return EXIT_UNREACHABLE;
	case LOCKD_DAMAGED: return EXIT_DAMAGED;
	default: return EXIT_OTHER;
	}
}

/* Answers of the cluster need no word about the connection; the others are explained by it. */
static bool concerns_connection(enum lockd_status status) {
	return exit_status_of(status) == EXIT_UNREACHABLE || status == LOCKD_PROTOCOL || status == LOCKD_WRONG_CLUSTER;
}

int report_status(struct lockd_client *client, const char *what, enum lockd_status status) {
	char reason[512] = "";

	if (client && concerns_connection(status))
		lockd_last_error(client, reason, sizeof reason);
	if (*reason)
		report("%s: %s (%s)", what, lockd_status_text(status), reason);
	else
		report("%s: %s", what, lockd_status_text(status));
	return exit_status_of(status);
}

int report_stdout(void) {
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	report("standard output: %s", strerror(errno));
	return EXIT_OTHER;
}
