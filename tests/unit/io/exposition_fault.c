/* SPDX-License-Identifier: Apache-2.0 */
#include "exposition_fault.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 128, LINE_BYTES_MAX = 512, SEEN_MAX = 1024 };

struct reader {
	const char *text, *at; /* the whole, and behind the line at hand */
	char line[LINE_BYTES_MAX];
	char family[NAME_BYTES_MAX], type[16];
	bool typed;                          /* the TYPE line of the family has come */
	char seen[SEEN_MAX][LINE_BYTES_MAX]; /* families, and samples with their labels */
	size_t n_seen;
	/* Of a histogram. */
	double bound, bucket;
	bool infinite, counted, summed;
	char *fault;
};

static bool wrong(struct reader *reader, const char *why) {
	snprintf(reader->fault, EXPOSITION_FAULT_BYTES, "%s: %.160s", why, reader->line);
	return false;
}

static bool note(struct reader *reader, const char *what) {
	for (size_t i = 0; i < reader->n_seen; i++) {
		if (strcmp(reader->seen[i], what) == 0)
			return wrong(reader, "comes twice");
	}
	if (reader->n_seen == SEEN_MAX)
		return wrong(reader, "too many for this test");
	snprintf(reader->seen[reader->n_seen++], LINE_BYTES_MAX, "%s", what);
	return true;
}

static size_t name_bytes(const char *text) {
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz_:0123456789");

	return *text >= '0' && *text <= '9' ? 0 : n;
}

static bool ends_with(const char *text, const char *end) {
	size_t n = strlen(text), n_end = strlen(end);

	return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

/* ---- Families ---- */

static bool end_family(struct reader *reader) {
	bool histogram = strcmp(reader->type, "histogram") == 0;

	if (*reader->family && !reader->typed)
		return wrong(reader, "the family before has no TYPE");
	if (histogram && !(reader->infinite && reader->counted && reader->summed))
		return wrong(reader, "the histogram before lacks its last bucket, its sum or its count");
	return true;
}

static bool read_help(struct reader *reader, const char *rest) {
	size_t n = name_bytes(rest);

	if (!end_family(reader))
		return false;
	if (n == 0 || n >= NAME_BYTES_MAX || rest[n] != ' ' || !rest[n + 1])
		return wrong(reader, "HELP without name or text");
	snprintf(reader->family, sizeof reader->family, "%.*s", (int)n, rest);
	*reader->type = '\0';
	reader->typed = reader->infinite = reader->counted = reader->summed = false;
	reader->bound = reader->bucket = -1;
	return note(reader, reader->family);
}

static bool read_type(struct reader *reader, const char *rest) {
	size_t n = name_bytes(rest);
	bool total;

	if (n != strlen(reader->family) || strncmp(rest, reader->family, n) != 0 || rest[n] != ' ' || reader->typed)
		return wrong(reader, "TYPE that does not follow the HELP of its family");
	snprintf(reader->type, sizeof reader->type, "%s", rest + n + 1);
	reader->typed = true;
	total = ends_with(reader->family, "_total");
	if (strcmp(reader->type, "counter") == 0)
		return total || wrong(reader, "a counter whose name does not end in _total");
	if (strcmp(reader->type, "gauge") != 0 && strcmp(reader->type, "histogram") != 0)
		return wrong(reader, "no type");
	return !total || wrong(reader, "_total, but no counter");
}

/* ---- Samples ---- */

/* name="value",… up to the closing brace; NULL: it is not like that. */
static const char *skip_labels(const char *at) {
	do {
		size_t n = name_bytes(++at);

		if (n == 0 || strncmp(at + n, "=\"", 2) != 0)
			return NULL;
		for (at += n + 2; *at && *at != '"'; at++) {
			if (*at == '\\' && !strchr("\\\"n", *++at))
				return NULL;
		}
		if (*at++ != '"')
			return NULL;
	} while (*at == ',');
	return *at == '}' ? at + 1 : NULL;
}

static bool read_bucket(struct reader *reader, const char *labels, double value) {
	char *end;
	double bound;

	if (strncmp(labels, "{le=\"", 5) != 0)
		return wrong(reader, "a bucket without le");
	bound = strtod(labels + 5, &end);
	if (strcmp(end, "\"}") != 0 || bound <= reader->bound || value < reader->bucket || reader->infinite)
		return wrong(reader, "a bucket out of order, or not cumulative");
	reader->infinite = strcmp(labels, "{le=\"+Inf\"}") == 0;
	reader->bound = bound;
	reader->bucket = value;
	return true;
}

static bool read_histogram(struct reader *reader, const char *suffix, const char *labels, double value) {
	if (strcmp(suffix, "_bucket") == 0)
		return read_bucket(reader, labels, value);
	if (strcmp(suffix, "_sum") == 0) {
		reader->summed = true;
		return true;
	}
	if (strcmp(suffix, "_count") != 0)
		return wrong(reader, "no sample of a histogram");
	reader->counted = true;
	return (reader->infinite && value == reader->bucket) || wrong(reader, "the count is not the last bucket");
}

/* Of what stands between name and value; the whole without its value is noted. */
static bool read_sample(struct reader *reader) {
	size_t n = name_bytes(reader->line), n_family = strlen(reader->family);
	const char *labels = reader->line + n, *behind = *labels == '{' ? skip_labels(labels) : labels;
	char key[LINE_BYTES_MAX], suffix[NAME_BYTES_MAX];
	char *end;
	double value;

	if (n == 0 || !behind || *behind != ' ' || !reader->typed)
		return wrong(reader, "no sample");
	value = strtod(behind + 1, &end);
	if (end == behind + 1 || *end)
		return wrong(reader, "no number");
	snprintf(key, sizeof key, "%.*s", (int)(behind - reader->line), reader->line);
	if (n < n_family || strncmp(reader->line, reader->family, n_family) != 0)
		return wrong(reader, "a sample of another family");
	if (strcmp(key, reader->family) != 0 && !note(reader, key))
		return false;
	snprintf(suffix, sizeof suffix, "%.*s", (int)(n - n_family), reader->line + n_family);
	if (strcmp(reader->type, "histogram") == 0)
		return read_histogram(reader, suffix, key + n, value);
	if (*suffix)
		return wrong(reader, "a sample of another family");
	/* The family's name is noted already: its sample without labels is noted by another one. */
	return *labels == '{' || note(reader, strncat(key, " alone", sizeof key - strlen(key) - 1));
}

/* ---- The whole ---- */

/* false: the text ends. */
static bool next_line(struct reader *reader) {
	size_t n = strcspn(reader->at, "\n");

	snprintf(reader->line, sizeof reader->line, "%.*s", (int)n, reader->at);
	if (!*reader->at)
		return false;
	reader->at += n + (reader->at[n] == '\n');
	return true;
}

static bool read_all(struct reader *reader) {
	size_t n = strlen(reader->text);

	while (next_line(reader)) {
		bool good = strncmp(reader->line, "# HELP ", 7) == 0   ? read_help(reader, reader->line + 7)
			    : strncmp(reader->line, "# TYPE ", 7) == 0 ? read_type(reader, reader->line + 7)
								       : read_sample(reader);

		if (!good)
			return false;
	}
	return end_family(reader) &&
	       ((n > 0 && reader->text[n - 1] == '\n') || wrong(reader, "the last line has no end"));
}

const char *exposition_fault(const char *text, char out[EXPOSITION_FAULT_BYTES]) {
	struct reader *reader = calloc(1, sizeof *reader);
	bool good;

	reader->text = reader->at = text;
	reader->fault = out;
	good = read_all(reader);
	free(reader);
	return good ? NULL : out;
}
