/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: one per call, with the journal's prefix only where the journal reads. */
#include "lockd/io/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr, pipe_ends[2];

static int divert(void **state) {
	(void)state;
	unsetenv("JOURNAL_STREAM");
	if (pipe(pipe_ends) < 0 || fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) < 0)
		return -1;
	saved_stderr = dup(STDERR_FILENO);
	return dup2(pipe_ends[1], STDERR_FILENO) < 0;
}

static int restore(void **state) {
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(pipe_ends[0]);
	return close(pipe_ends[1]);
}

static const char *written(void) {
	static char text[8192];
	ssize_t n = read(pipe_ends[0], text, sizeof text - 1);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void test_log__drops_what_is_above_its_level(void **state) {
	(void)state;
	log_init(LOG_LEVEL_WARNING);
	log_info("not shown: a=1");
	log_debug("nor this");
	assert_string_equal(written(), "");
	log_warning("shown: a=%d", 1);
	log_error("and this");
	assert_string_equal(written(), "shown: a=1\nand this\n");
}

static void test_log__cuts_a_line_that_is_too_long(void **state) {
	char text[4096];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	log_init(LOG_LEVEL_INFO);
	log_info("%s", text);
	assert_int_equal(strlen(written()), 2047);
	log_info("next");
	assert_string_equal(written(), "next\n");
}

static void test_log__writes_the_level_for_the_journal_only(void **state) {
	struct stat st;
	char stream[64];

	(void)state;
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init(LOG_LEVEL_DEBUG);
	log_error("e");
	log_debug("d");
	assert_string_equal(written(), "<3>e\n<7>d\n");

	setenv("JOURNAL_STREAM", "1:1", 1); /* inherited, but stderr goes elsewhere */
	log_init(LOG_LEVEL_DEBUG);
	log_error("e");
	assert_string_equal(written(), "e\n");
}

static void test_log__knows_its_levels(void **state) {
	enum log_level level = LOG_LEVEL_ERROR;

	(void)state;
	assert_false(log_level_parse("", &level));
	assert_false(log_level_parse("Info", &level));
	assert_int_equal(level, LOG_LEVEL_ERROR);
	assert_true(log_level_parse("debug", &level));
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

static void test_log__cleans_the_text_of_strangers(void **state) {
	char out[8];

	(void)state;
	assert_string_equal(log_clean("a\"\n\x80", 4, out, sizeof out), "a???");
	assert_string_equal(log_clean("123456789", 9, out, sizeof out), "1234567");
	assert_string_equal(log_clean(NULL, 0, out, sizeof out), "");
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_log__drops_what_is_above_its_level, divert, restore),
		cmocka_unit_test_setup_teardown(test_log__cuts_a_line_that_is_too_long, divert, restore),
		cmocka_unit_test_setup_teardown(test_log__writes_the_level_for_the_journal_only, divert, restore),
		cmocka_unit_test(test_log__knows_its_levels),
		cmocka_unit_test(test_log__cleans_the_text_of_strangers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
