/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/show.h"

#include "cli/answer.h"
#include "cli/connection.h"
#include "cli/report.h"

#include <assert.h>

int show_lock(const struct arguments *arguments, const char *verb, const char *nobody,
	      int (*print)(const struct lockd_lock_list *list)) {
	struct lockd_client *client;
	struct lockd_lock_list *list;
	enum lockd_status status;
	int r;

	r = connection_open(arguments, &client);
	if (r)
		return r;
	status = lockd_show(client, arguments->operands[0], &arguments->read, arguments->timeout_ms, &list);
	if (status == LOCKD_NOT_FOUND) {
		report("%s: %s: %s%s", verb, arguments->operands[0], nobody,
		       arguments->read.level == LOCKD_READ_STALE ? " (stale read)" : "");
		r = EXIT_NOTHING;
	} else if (status) {
		r = report_status(client, verb, status);
	} else {
		assert(list->n == 1);
		r = print(list);
		answer_report(arguments, &list->answer);
		lockd_lock_list_free(list);
	}
	lockd_close(client);
	return r;
}
