/* SPDX-License-Identifier: Apache-2.0 */
/* campaign, leader: taking and asking for the seat of an election. */
#include "cli/arguments.h"
#include "cli/connection.h"
#include "cli/document.h"
#include "cli/hold.h"
#include "cli/report.h"
#include "cli/table.h"

#include <assert.h>

int verb_campaign(const struct arguments *arguments) {
	return hold_run(arguments, arguments->operands[1]);
}

static const struct column columns[] = {
	{"VALUE", "value", COLUMN_TEXT}, {"TOKEN", "token", COLUMN_ID}, {"OWNER", "owner", COLUMN_TEXT},
	{"HOST", "host", COLUMN_TEXT},   {"PID", "pid", COLUMN_COUNT},
};

static int print_leader(const struct lockd_lock_info *lock) {
	struct table table;

	table_init(&table, "leader", columns, sizeof columns / sizeof *columns, false);
	table_begin_line(&table);
	table_put_text(&table, lock->value);
	table_put_number(&table, lock->token);
	table_put_text(&table, lock->holder.owner);
	table_put_text(&table, lock->holder.host);
	table_put_number(&table, lock->holder.pid);
	return table_print(&table);
}

static int print_leader_document(const struct lockd_lock_info *lock) {
	return document_print(json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "name", document_text(lock->name),
					"value", document_text(lock->value), "token", document_id(lock->token),
					"revision", document_id(lock->granted_revision), "owner",
					document_text(lock->holder.owner), "host", document_text(lock->holder.host),
					"pid", (json_int_t)lock->holder.pid),
			      DOCUMENT_LINE);
}

int verb_leader(const struct arguments *arguments) {
	struct lockd_client *client;
	struct lockd_lock_list *list;
	enum lockd_status status;
	int r;

	r = connection_open(arguments, &client);
	if (r)
		return r;
	status = lockd_show(client, arguments->operands[0], arguments->timeout_ms, &list);
	if (status == LOCKD_NOT_FOUND) {
		report("leader: %s: vacant", arguments->operands[0]);
		r = EXIT_NOTHING;
	} else if (status) {
		r = report_status(client, "leader", status);
	} else {
		assert(list->n == 1);
		r = arguments_given(arguments, OPTION_JSON) ? print_leader_document(list->locks)
							    : print_leader(list->locks);
		lockd_lock_list_free(list);
	}
	lockd_close(client);
	return r;
}
