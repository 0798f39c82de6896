/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/duration.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_duration__refuses_what_is_not_a_duration(void **state) {
	static const char *const texts[] = {"",         "s",   "-1s", "+1s",   " 1s",  "1 s",
					    "1.5s",     "1x",  "1sm", "10sec", "0x10", "99999999999999999999",
					    "2147484s", "597h"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		int ms = 17;

		if (duration_parse(texts[i], &ms) != -EINVAL)
			fail_msg("'%s' was taken as %d ms", texts[i], ms);
		assert_int_equal(ms, 17);
	}
}

static void test_duration__takes_units(void **state) {
	static const struct {
		const char *text;
		int ms;
	} rows[] = {{"0", 0},
		    {"10", 10000},
		    {"10s", 10000},
		    {"500ms", 500},
		    {"1m", 60000},
		    {"24h", 86400000},
		    {"2147483647ms", INT_MAX},
		    {"2147483s", 2147483000}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int ms;

		assert_int_equal(duration_parse(rows[i].text, &ms), 0);
		assert_int_equal(ms, rows[i].ms);
	}
}

static void test_duration__shows_two_units(void **state) {
	static const struct {
		uint64_t ms;
		const char *text;
	} rows[] = {{0, "0ms"},         {850, "850ms"},       {999, "999ms"},      {1000, "1.0s"},
		    {4290, "4.2s"},     {59999, "59.9s"},     {60000, "1m00s"},    {192000, "3m12s"},
		    {3600000, "1h00m"}, {86399999, "23h59m"}, {86400000, "1d00h"}, {187200000, "2d04h"}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[32];

		duration_format(rows[i].ms, text, sizeof text);
		assert_string_equal(text, rows[i].text);
	}
}

static void test_duration__limits_can_be_typed(void **state) {
	static const struct {
		int ms;
		const char *text;
	} rows[] = {{0, "0s"},      {1, "1ms"},    {3333, "3333ms"},  {3000, "3s"},
		    {90000, "90s"}, {60000, "1m"}, {86400000, "24h"}, {INT_MAX, "2147483647ms"}};
	char text[16];
	int ms;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		duration_format_exactly(rows[i].ms, text, sizeof text);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(duration_parse(text, &ms), 0);
		assert_int_equal(ms, rows[i].ms);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_duration__refuses_what_is_not_a_duration),
		cmocka_unit_test(test_duration__takes_units),
		cmocka_unit_test(test_duration__shows_two_units),
		cmocka_unit_test(test_duration__limits_can_be_typed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
