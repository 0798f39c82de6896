/* SPDX-License-Identifier: Apache-2.0 */
/* Entry checksums: every part of an entry's identity counts, and the values never change. */
#include "api/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_checksum__differs_with_each_part(void **state) {
	uint64_t reference = checksum_entry(1, 2, 3, 2, "abc", 3);

	(void)state;
	assert_true(checksum_entry(2, 2, 3, 2, "abc", 3) != reference);
	assert_true(checksum_entry(1, 3, 3, 2, "abc", 3) != reference);
	assert_true(checksum_entry(1, 2, 4, 2, "abc", 3) != reference);
	assert_true(checksum_entry(1, 2, 3, 3, "abc", 3) != reference);
	assert_true(checksum_entry(1, 2, 3, 2, "abd", 3) != reference);
	assert_true(checksum_entry(1, 2, 3, 2, "abc", 2) != reference);
	assert_true(checksum_entry(1, 2, 3, 2, "abc", 3) == reference);
}

static void test_checksum__chain_depends_on_order(void **state) {
	(void)state;
	assert_true(checksum_chain(checksum_chain(0, 1), 2) != checksum_chain(checksum_chain(0, 2), 1));
}

/* Logs on disk hold these values: a change of the function would refuse every log written before it. */
static void test_checksum__is_frozen(void **state) {
	(void)state;
	assert_true(checksum_entry(1, 1, 1, 3, "lockd", 5) == 0x8dbf1e46be9fab53u);
	assert_true(checksum_entry(1, 2, 1, 1, "", 0) == 0x8b27276386e54440u);
	assert_true(checksum_chain(0, 1) == 0x0cfbaea74a8cc0e5u);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_checksum__differs_with_each_part),
	        cmocka_unit_test(test_checksum__chain_depends_on_order),
	        cmocka_unit_test(test_checksum__is_frozen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
