/* SPDX-License-Identifier: Apache-2.0 */
/* Tables on stdout, for people or as JSON: one list of columns gives both. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum column_kind {
	COLUMN_TEXT,
	COLUMN_COUNT,    /* a number in JSON */
	COLUMN_ID,       /* tokens and revisions: a string in JSON, since a double holds 53 bits only */
	COLUMN_DURATION, /* milliseconds: with units for people, a number in JSON */
	COLUMN_LATENCY,  /* microseconds: as milliseconds for people, a number in JSON */
	COLUMN_BOOL,     /* yes or no, true or false in JSON */
};

struct column {
	const char *title, *key; /* for people, in JSON */
	enum column_kind kind;
};

struct libscols_table;
struct libscols_line;

struct table {
	const struct column *columns;
	size_t n_columns;
	bool json;
	bool failed; /* out of memory; table_print() says so */
	struct libscols_table *scols;
	struct libscols_line *line;
	size_t filled; /* cells of this line */
	json_t *rest;  /* what stands beside the array in JSON */
};

/* `name` is the key of the array in JSON. table_print() or table_deinit() ends it. */
void table_init(struct table *table, const char *name, const struct column *columns, size_t n_columns, bool json);
void table_deinit(struct table *table);

/* Lines are filled from left to right. Empty or missing text shows as "-" and is null in JSON. */
void table_begin_line(struct table *table);
void table_put_text(struct table *table, const char *text);
void table_put_number(struct table *table, uint64_t number);

void table_put_bool(struct table *table, bool value);

/* JSON only: further members of the object around the array. Takes the reference; NULL, from a constructor that had no
 * memory, is an error. */
void table_set_rest(struct table *table, json_t *rest);

/* Prints and frees the table; without lines nothing, or an empty array. 0, or an exit status after a message. */
int table_print(struct table *table);

#endif
