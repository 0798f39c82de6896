/* SPDX-License-Identifier: Apache-2.0 */
#include "lockd/io/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_address__rejects_what_is_no_host_and_port(void **state) {
	static const char *const bad[] = {"",        "host",    ":1",       "host:",       "host:65536",
					  "host:-1", "host:1x", "a b:1",    "a/b:1",       "a\nb:1",
					  "[]:1",    "[::1:1",  "[a\nb]:1", "a:4294967297"};
	char longest[ADDRESS_BYTES_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(address_is_valid(bad[i]));
	memset(longest, 'a', sizeof longest);
	memcpy(longest + sizeof longest - 3, ":1", 3);
	assert_false(address_is_valid(longest));
	assert_true(address_is_valid(longest + 1));
}

static void test_address__takes_names_and_numbers(void **state) {
	(void)state;
	assert_true(address_is_valid("a-b.example:0"));
	assert_true(address_is_valid("127.0.0.1:65535"));
	assert_true(address_is_valid("[fe80::1%eth0]:7600"));
	assert_true(address_is_valid("*:7600"));
}

static void test_address__tells_others_only_what_they_can_dial(void **state) {
	(void)state;
	assert_false(address_is_dialable("a:0"));
	assert_false(address_is_dialable("*:1"));
	assert_false(address_is_dialable("0.0.0.0:1"));
	assert_false(address_is_dialable("[::]:1"));
	assert_false(address_is_dialable("a"));
	assert_true(address_is_dialable("a:1"));
	assert_true(address_is_dialable("[::1]:1"));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address__rejects_what_is_no_host_and_port),
		cmocka_unit_test(test_address__takes_names_and_numbers),
		cmocka_unit_test(test_address__tells_others_only_what_they_can_dial),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
