/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"
#include "cli/document.h"
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
	return column->kind != COLUMN_TEXT && column->kind != COLUMN_BOOL;
}

static void add_column(struct table *table, const struct column *column) {
	struct libscols_column *made;

	made = scols_table_new_column(table->scols, table->json ? column->key : column->title, 0,
				      is_number(column) ? SCOLS_FL_RIGHT : 0);
	if (!made) {
		table->failed = true;
		return;
	}
	switch (column->kind) {
	case COLUMN_COUNT:
	case COLUMN_DURATION:
	case COLUMN_LATENCY:
	/* Numbers are printed as they are put, and null when they are not known; smartcols' booleans would be false. */
	case COLUMN_BOOL: (void)scols_column_set_json_type(made, SCOLS_JSON_NUMBER); break;
	case COLUMN_TEXT:
	case COLUMN_ID: break;
	}
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
	json_decref(table->rest);
	table->rest = NULL;
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
	enum column_kind kind = table->columns[table->filled].kind;
	char text[32];

	assert(table->filled < table->n_columns);
	if (kind == COLUMN_DURATION && !table->json)
		duration_format(number, text, sizeof text);
	else if (kind == COLUMN_LATENCY && !table->json)
		(void)snprintf(text, sizeof text, "%.2fms", (double)number / 1000);
	else
		(void)snprintf(text, sizeof text, "%" PRIu64, number);
	put(table, text);
}

void table_put_bool(struct table *table, bool value) {
	if (table->json)
		put(table, value ? "true" : "false");
	else
		put(table, value ? "yes" : "no");
}

void table_set_rest(struct table *table, json_t *rest) {
	if (!rest)
		table->failed = true;
	table->rest = rest;
}

/* Prints smartcols' object with the further members in front. */
static int print_with_rest(const char *text, json_t *rest) {
	json_t *document = json_loads(text, 0, NULL);

	if (!document || json_object_update(rest, document) < 0) {
		json_decref(document);
		return document_print(NULL, DOCUMENT_INDENTED);
	}
	json_decref(document);
	return document_print(json_incref(rest), DOCUMENT_INDENTED);
}

int table_print(struct table *table) {
	json_t *rest = json_incref(table->rest);
	char *text = NULL;
	int r = 0;

	assert(table->filled == 0 || table->filled == table->n_columns);
	if (!table->failed && scols_print_table_to_string(table->scols, &text) != 0)
		table->failed = true;
	table_deinit(table);
	if (table->failed) {
		report("%s", strerror(ENOMEM));
		r = EXIT_OTHER;
	} else if (rest) {
		r = print_with_rest(text, rest);
	} else if (text && *text) {
		(void)fputs(text, stdout);
		/* smartcols ends JSON with a newline, and a table without. */
		if (text[strlen(text) - 1] != '\n')
			(void)putchar('\n');
	}
	free(text);
	json_decref(rest);
	return r;
}
