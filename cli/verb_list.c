/* SPDX-License-Identifier: Apache-2.0 */
/* ls, show: which locks are held, by whom, and who waits. */
#include "cli/answer.h"
#include "cli/arguments.h"
#include "cli/connection.h"
#include "cli/document.h"
#include "cli/duration.h"
#include "cli/report.h"
#include "cli/show.h"
#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>

static const struct column lock_columns[] = {
	{"NAME", "name", COLUMN_TEXT},        {"HOLDER", "owner", COLUMN_TEXT},    {"HOST", "host", COLUMN_TEXT},
	{"PID", "pid", COLUMN_COUNT},         {"TOKEN", "token", COLUMN_ID},       {"HELD", "held_ms", COLUMN_DURATION},
	{"WAITING", "waiting", COLUMN_COUNT}, {"SESSION", "session", COLUMN_TEXT}, {"LABEL", "label", COLUMN_TEXT},
	{"VALUE", "value", COLUMN_TEXT},
};

static int print_locks(const struct lockd_lock_list *list, bool json) {
	struct table table;

	table_init(&table, "locks", lock_columns, sizeof lock_columns / sizeof *lock_columns, json);
	for (size_t i = 0; i < list->n; i++) {
		const struct lockd_lock_info *lock = &list->locks[i];

		table_begin_line(&table);
		table_put_text(&table, lock->name);
		table_put_text(&table, lock->holder.owner);
		table_put_text(&table, lock->holder.host);
		table_put_number(&table, lock->holder.pid);
		table_put_number(&table, lock->token);
		table_put_number(&table, lock->held_ms);
		table_put_number(&table, lock->waiting);
		table_put_text(&table, lock->holder.id);
		table_put_text(&table, lock->holder.label);
		table_put_text(&table, lock->value);
	}
	if (json)
		table_set_rest(&table, json_pack("{s:o}", "answer", answer_document(&list->answer)));
	return table_print(&table);
}

int verb_ls(const struct arguments *arguments) {
	struct lockd_client *client;
	struct lockd_lock_list *list;
	enum lockd_status status;
	int r;

	r = connection_open(arguments, &client);
	if (r)
		return r;
	status = lockd_list(client, arguments->operands[0], &arguments->read, arguments->timeout_ms, &list);
	if (status) {
		r = report_status(client, "ls", status);
	} else {
		r = print_locks(list, arguments_given(arguments, OPTION_JSON));
		answer_report(arguments, &list->answer);
		lockd_lock_list_free(list);
	}
	lockd_close(client);
	return r;
}

static int print_lock_document(const struct lockd_lock_list *list) {
	const struct lockd_lock_info *lock = list->locks;
	json_t *waiters = json_array();

	for (size_t i = 0; i < lock->n_waiters; i++)
		(void)json_array_append_new(waiters, document_session(&lock->waiters[i]));
	return document_print(json_pack("{s:o, s:o, s:o, s:o, s:I, s:o, s:I, s:o, s:o}", "name",
					document_text(lock->name), "value", document_text(lock->value), "token",
					document_id(lock->token), "granted_revision",
					document_id(lock->granted_revision), "held_ms", (json_int_t)lock->held_ms,
					"holder", document_session(&lock->holder), "waiting", (json_int_t)lock->waiting,
					"waiters", waiters, "answer", answer_document(&list->answer)),
			      DOCUMENT_INDENTED);
}

static const struct column waiter_columns[] = {
	{"POSITION", "position", COLUMN_COUNT}, {"WAITER", "owner", COLUMN_TEXT}, {"HOST", "host", COLUMN_TEXT},
	{"PID", "pid", COLUMN_COUNT},           {"SESSION", "id", COLUMN_TEXT},   {"LABEL", "label", COLUMN_TEXT},
};

static int print_waiters(const struct lockd_lock_info *lock) {
	struct table table;

	table_init(&table, "waiters", waiter_columns, sizeof waiter_columns / sizeof *waiter_columns, false);
	for (size_t i = 0; i < lock->n_waiters; i++) {
		const struct lockd_session_info *waiter = &lock->waiters[i];

		table_begin_line(&table);
		table_put_number(&table, i + 1);
		table_put_text(&table, waiter->owner);
		table_put_text(&table, waiter->host);
		table_put_number(&table, waiter->pid);
		table_put_text(&table, waiter->id);
		table_put_text(&table, waiter->label);
	}
	return table_print(&table);
}

static void print_field(const char *name, const char *value) {
	if (value && *value)
		printf("%-10s%s\n", name, value);
}

static int print_lock(const struct lockd_lock_list *list) {
	const struct lockd_lock_info *lock = list->locks;
	const struct lockd_session_info *holder = &lock->holder;
	char text[32];

	print_field("Name:", lock->name);
	print_field("Value:", lock->value);
	printf("%-10s%" PRIu64 "\n", "Token:", lock->token);
	printf("%-10s%s on %s, pid %" PRIu32 "\n", "Holder:", holder->owner, holder->host, holder->pid);
	print_field("Session:", holder->id);
	print_field("Label:", holder->label);
	duration_format(holder->ttl_ms, text, sizeof text);
	print_field("TTL:", text);
	duration_format(lock->held_ms, text, sizeof text);
	print_field("Held:", text);
	printf("%-10s%" PRIu64 "\n", "Granted:", lock->granted_revision);
	printf("%-10s%" PRIu32 "\n", "Waiting:", lock->waiting);
	if (lock->n_waiters == 0)
		return 0;
	putchar('\n');
	return print_waiters(lock);
}

int verb_show(const struct arguments *arguments) {
	return show_lock(arguments, "show", "not held",
			 arguments_given(arguments, OPTION_JSON) ? print_lock_document : print_lock);
}
