/* SPDX-License-Identifier: Apache-2.0 */
/* session ls: who is connected, and with how much at stake. */
#include "cli/answer.h"
#include "cli/arguments.h"
#include "cli/connection.h"
#include "cli/report.h"
#include "cli/table.h"

static const struct column columns[] = {
	{"SESSION", "id", COLUMN_TEXT},       {"OWNER", "owner", COLUMN_TEXT},    {"HOST", "host", COLUMN_TEXT},
	{"PID", "pid", COLUMN_COUNT},         {"TTL", "ttl_ms", COLUMN_DURATION}, {"HELD", "held", COLUMN_COUNT},
	{"WAITING", "waiting", COLUMN_COUNT}, {"LABEL", "label", COLUMN_TEXT},
};

static int print_sessions(const struct lockd_session_list *list, bool json) {
	struct table table;

	table_init(&table, "sessions", columns, sizeof columns / sizeof *columns, json);
	for (size_t i = 0; i < list->n; i++) {
		const struct lockd_session_info *session = &list->sessions[i];

		table_begin_line(&table);
		table_put_text(&table, session->id);
		table_put_text(&table, session->owner);
		table_put_text(&table, session->host);
		table_put_number(&table, session->pid);
		table_put_number(&table, session->ttl_ms);
		table_put_number(&table, session->held);
		table_put_number(&table, session->waiting);
		table_put_text(&table, session->label);
	}
	if (json)
		table_set_rest(&table, json_pack("{s:o}", "answer", answer_document(&list->answer)));
	return table_print(&table);
}

int verb_session_ls(const struct arguments *arguments) {
	struct lockd_client *client;
	struct lockd_session_list *list;
	enum lockd_status status;
	int r;

	r = connection_open(arguments, &client);
	if (r)
		return r;
	status = lockd_sessions(client, &arguments->read, arguments->timeout_ms, &list);
	if (status) {
		r = report_status(client, "session ls", status);
	} else {
		r = print_sessions(list, arguments_given(arguments, OPTION_JSON));
		answer_report(arguments, &list->answer);
		lockd_session_list_free(list);
	}
	lockd_close(client);
	return r;
}
