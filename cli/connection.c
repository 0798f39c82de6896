/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/connection.h"
#include "cli/arguments.h"
#include "cli/endpoints.h"
#include "cli/report.h"

#include <stdlib.h>

int connection_open(const struct arguments *arguments, struct lockd_client **ret) {
	struct lockd_options options = {.endpoints = arguments->endpoints};
	char *found = NULL;
	enum lockd_status status;
	int r;

	if (!options.endpoints) {
		r = endpoints_find(&found);
		if (r)
			return r;
		options.endpoints = found;
	}

	status = lockd_open(&options, ret);
	r = 0;
	if (status == LOCKD_MISUSE) {
		report("endpoints '%s': not of the form HOST:PORT,HOST:PORT",
		       options.endpoints ? options.endpoints : "");
		r = EXIT_USAGE;
	} else if (status) {
		r = report_status(NULL, "client", status);
	}
	free(found);
	return r;
}
