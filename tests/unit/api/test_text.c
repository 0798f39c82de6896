/* SPDX-License-Identifier: Apache-2.0 */
/* Names and values: what is refused, and the edges of each length of UTF-8. */
#include "api/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VALID(s) assert_true(text_is_valid(s, sizeof(s) - 1))
#define INVALID(s) assert_false(text_is_valid(s, sizeof(s) - 1))

static void test_text__refuses_controls(void **state) {
	(void)state;
	INVALID("a\0b");
	INVALID("\n");
	INVALID("\x1f");
	INVALID("\x7f");
	INVALID("\xc2\x80");
	INVALID("\xc2\x9f");
}

static void test_text__finds_each_byte_wherever_it_stands(void **state) {
	(void)state;
	for (size_t at = 0; at < 20; at++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			char text[] = "locks/are/held/here/";

			text[at] = (char)byte;
			assert_int_equal(text_is_valid(text, sizeof text - 1), byte >= 0x20 && byte < 0x7f);
		}
	}
}

static void test_text__refuses_malformed_utf8(void **state) {
	(void)state;
	INVALID("\x80");             /* continuation alone */
	INVALID("\xc3");             /* cut short */
	INVALID("\xe2\x82");         /* cut short */
	INVALID("\xc3\x28");         /* no continuation */
	INVALID("\xc0\xaf");         /* overlong */
	INVALID("\xe0\x80\xaf");     /* overlong */
	INVALID("\xf0\x80\x80\xaf"); /* overlong */
	INVALID("\xed\xa0\x80");     /* surrogate */
	INVALID("\xf4\x90\x80\x80"); /* above U+10FFFF */
	INVALID("\xff");
}

static void test_text__accepts_the_edges(void **state) {
	(void)state;
	VALID("");
	VALID(" ~");
	VALID("\xc2\xa0");
	VALID("\xdf\xbf");
	VALID("\xe0\xa0\x80");
	VALID("\xed\x9f\xbf");
	VALID("\xee\x80\x80");
	VALID("\xef\xbf\xbf");
	VALID("\xf0\x90\x80\x80");
	VALID("\xf4\x8f\xbf\xbf");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_text__refuses_controls),
	        cmocka_unit_test(test_text__finds_each_byte_wherever_it_stands),
	        cmocka_unit_test(test_text__refuses_malformed_utf8),
	        cmocka_unit_test(test_text__accepts_the_edges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
