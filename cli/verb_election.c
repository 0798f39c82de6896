/* SPDX-License-Identifier: Apache-2.0 */
/* campaign, leader: taking and asking for the seat of an election. */
#include "cli/arguments.h"
#include "cli/document.h"
#include "cli/hold.h"
#include "cli/show.h"
#include "cli/table.h"

int verb_campaign(const struct arguments *arguments) {
	return hold_run(arguments, arguments->operands[1]);
}

static const struct column columns[] = {
	{"VALUE", "value", COLUMN_TEXT}, {"TOKEN", "token", COLUMN_ID}, {"OWNER", "owner", COLUMN_TEXT},
	{"HOST", "host", COLUMN_TEXT},   {"PID", "pid", COLUMN_COUNT},
};

static int print_leader(const struct lockd_lock_list *list) {
	const struct lockd_lock_info *lock = list->locks;
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

static int print_leader_document(const struct lockd_lock_list *list) {
	const struct lockd_lock_info *lock = list->locks;

	return document_print(json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "name", document_text(lock->name),
					"value", document_text(lock->value), "token", document_id(lock->token),
					"revision", document_id(lock->granted_revision), "owner",
					document_text(lock->holder.owner), "host", document_text(lock->holder.host),
					"pid", (json_int_t)lock->holder.pid),
			      DOCUMENT_LINE);
}

int verb_leader(const struct arguments *arguments) {
	return show_lock(arguments, "leader", "vacant",
			 arguments_given(arguments, OPTION_JSON) ? print_leader_document : print_leader);
}
