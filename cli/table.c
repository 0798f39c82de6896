/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"
#include "cli/duration.h"
#include "cli/report.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_number(const struct column *column) {
	return column->kind != COLUMN_TEXT;
}

static void add_column(struct table *table, const struct column *column) {
	struct libscols_column *made;

	made = scols_table_new_column(table->scols, table->json ? column->key : column->title, 0,
				      is_number(column) ? SCOLS_FL_RIGHT : 0);
	if (!made) {
		table->failed = true;
		return;
	}
	if (column->kind == COLUMN_COUNT || column->kind == COLUMN_DURATION)
		(void)scols_column_set_json_type(made, SCOLS_JSON_NUMBER);
}

void table_init(struct table *table, const char *name, const struct column *columns, size_t n_columns, bool json) {
	*table = (struct table){.columns = columns, .n_columns = n_columns, .json = json, .scols = scols_new_table()};
	if (!table->scols) {
		table->failed = true;
		return;
	}
	(void)scols_table_set_name(table->scols, name);
	(void)scols_table_enable_json(table->scols, json);
	/* JSON is UTF-8 whatever the locale; the bytes were validated by the cluster. */
	(void)scols_table_enable_noencoding(table->scols, json);
	/* The same text on a terminal and in a pipe: nothing is cut or left out to fit. */
	(void)scols_table_set_termforce(table->scols, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < n_columns; i++)
		add_column(table, &columns[i]);
}

void table_deinit(struct table *table) {
	scols_unref_table(table->scols);
	table->scols = NULL;
}

void table_begin_line(struct table *table) {
	assert(table->filled == 0 || table->filled == table->n_columns);
	table->filled = 0;
	if (table->failed)
		return;
	table->line = scols_table_new_line(table->scols, NULL);
	table->failed = !table->line;
}

static void put(struct table *table, const char *text) {
	assert(table->filled < table->n_columns);
	if (!table->failed && scols_line_set_data(table->line, table->filled, text) != 0)
		table->failed = true;
	table->filled++;
}

void table_put_text(struct table *table, const char *text) {
	if (!text || !*text)
		text = table->json ? NULL : "-";
	put(table, text);
}

void table_put_number(struct table *table, uint64_t number) {
	char text[32];

	assert(table->filled < table->n_columns);
	if (table->columns[table->filled].kind == COLUMN_DURATION && !table->json)
		duration_format(number, text, sizeof text);
	else
		(void)snprintf(text, sizeof text, "%" PRIu64, number);
	put(table, text);
}

int table_print(struct table *table) {
	char *text = NULL;

	assert(table->filled == 0 || table->filled == table->n_columns);
	if (!table->failed && scols_print_table_to_string(table->scols, &text) != 0)
		table->failed = true;
	table_deinit(table);
	if (table->failed) {
		report("%s", strerror(ENOMEM));
		return EXIT_OTHER;
	}
	if (text && *text) {
		(void)fputs(text, stdout);
		/* smartcols ends JSON with a newline, and a table without. */
		if (text[strlen(text) - 1] != '\n')
			(void)putchar('\n');
	}
	free(text);
	return 0;
}
