/* SPDX-License-Identifier: Apache-2.0 */
/* The pages say what the program and the library have: read from the sources of the pages, compared with the tables. */
#include "cli/arguments.h"
#include "cli/report.h"

#include <ctype.h>
#include <lockd/status.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *read_page(const char *path) {
	FILE *stream = fopen(path, "re");
	char *text = calloc(1, 1 << 18);
	size_t n;

	if (!stream)
		fail_msg("%s is missing", path);
	n = fread(text, 1, (1 << 18) - 1, stream);
	assert_true(n > 0 && n < (1 << 18) - 1);
	fclose(stream);
	return text;
}

static void expect_part(const char *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void expect_part(const char *page, const char *format, ...) {
	char part[512];
	va_list list;

	va_start(list, format);
	vsnprintf(part, sizeof part, format, list);
	va_end(list);
	if (!strstr(page, part))
		fail_msg("the page lacks: %s", part);
}

static void test_manual__has_every_verb(void **state) {
	char *page = read_page(SOURCE_DIR "/docs/man/lockctl.1.scd");

	(void)state;
	for (size_t i = 0; i < n_verbs; i++) {
		expect_part(page, "\n*lockctl* *%s*", verbs[i].name);
		expect_part(page, "\n*%s*", verbs[i].name);
	}
	free(page);
}

static void test_manual__has_every_option(void **state) {
	char *page = read_page(SOURCE_DIR "/docs/man/lockctl.1.scd");

	(void)state;
	for (int id = 0; id < N_OPTIONS; id++) {
		const struct option_row *row = &option_rows[id];
		char letter[8] = "";

		if (row->letter)
			snprintf(letter, sizeof letter, "*-%c*, ", row->letter);
		if (row->argument)
			expect_part(page, "\n%s*--%s* _%s_\n", letter, row->name, row->argument);
		else
			expect_part(page, "\n%s*--%s*\n", letter, row->name);
	}
	free(page);
}

static void test_manual__has_no_option_that_does_not_exist(void **state) {
	char *page = read_page(SOURCE_DIR "/docs/man/lockctl.1.scd");

	(void)state;
	for (const char *at = page; (at = strstr(at, "*--")); at += 3) {
		size_t n = strspn(at + 3, "abcdefghijklmnopqrstuvwxyz-");
		int id = 0;

		while (id < N_OPTIONS &&
		       (strlen(option_rows[id].name) != n || strncmp(option_rows[id].name, at + 3, n)))
			id++;
		if (n > 0 && id == N_OPTIONS)
			fail_msg("there is no option --%.*s", (int)n, at + 3);
	}
	free(page);
}

static void test_manual__has_every_exit_status(void **state) {
	static const int statuses[] = {EXIT_NOTHING,      EXIT_USAGE,      EXIT_UNREACHABLE,    EXIT_OTHER,
				       EXIT_NOT_ACQUIRED, EXIT_LEASE_LOST, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND};
	char *page = read_page(SOURCE_DIR "/docs/man/lockctl.1.scd");

	(void)state;
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		expect_part(page, "\n|  *%d*\n", statuses[i]);
	free(page);
}

static void test_manual__has_every_status_with_outcome_and_text(void **state) {
	static const char *const outcomes[] = {[LOCKD_OUTCOME_DONE] = "done",
					       [LOCKD_OUTCOME_NOT_DONE] = "not done",
					       [LOCKD_OUTCOME_UNKNOWN] = "unknown"};
	char *page = read_page(SOURCE_DIR "/docs/man/lockd.3.scd");

	(void)state;
#define EXPECT(name, number, outcome, text)                                                                            \
	expect_part(page, "\n|  *%s*\n:  %s\n:  %s\n", #name, outcomes[LOCKD_OUTCOME_##outcome], text);
	LOCKD_STATUS_MAP(EXPECT)
#undef EXPECT
	free(page);
}

static char *join(char *text, const char *more) {
	size_t n = strlen(text), n_more = strlen(more);

	text = realloc(text, n + n_more + 1);
	assert_non_null(text);
	memcpy(text + n, more, n_more + 1);
	return text;
}

/* A name of the public header stands in one of the pages. */
static void test_manual__has_every_public_function(void **state) {
	static const char *const names[] = {"lockd",         "lockd_open", "lockd_session_open",  "lockd_acquire",
					    "lockd_observe", "lockd_list", "lockd_change_members", "lockd_backup"};
	char *pages = strdup(""), *header = strdup(""), *part;
	char path[512];

	for (int admin = 0; admin < 2; admin++) {
		part = read_page(admin ? SOURCE_DIR "/client-lib/include/lockd/admin.h"
				       : SOURCE_DIR "/client-lib/include/lockd/lockd.h");
		header = join(header, part);
		free(part);
	}

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *page;

		snprintf(path, sizeof path, SOURCE_DIR "/docs/man/%s.3.scd", names[i]);
		page = read_page(path);
		pages = join(pages, page);
		free(page);
	}
	for (char *at = header; (at = strstr(at, "lockd_")); at++) {
		size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz_");

		if (at[n] == '(' && at > header && !isalnum((unsigned char)at[-1]))
			expect_part(pages, "%.*s", (int)n, at);
	}
	free(header);
	free(pages);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manual__has_every_verb),
		cmocka_unit_test(test_manual__has_every_option),
		cmocka_unit_test(test_manual__has_no_option_that_does_not_exist),
		cmocka_unit_test(test_manual__has_every_exit_status),
		cmocka_unit_test(test_manual__has_every_status_with_outcome_and_text),
		cmocka_unit_test(test_manual__has_every_public_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
