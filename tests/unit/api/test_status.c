/* SPDX-License-Identifier: Apache-2.0 */
/* The status map: numbers are unique and frozen, and each says whether the request took effect. */
#include <lockd/status.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_status__number_outside_the_map_is_unknown(void **state) {
	(void)state;
	assert_string_equal(lockd_status_name(-1), "UNKNOWN_STATUS");
	assert_string_equal(lockd_status_name(9999), "UNKNOWN_STATUS");
	assert_int_equal(lockd_status_outcome(9999), LOCKD_OUTCOME_UNKNOWN);
	assert_string_equal(lockd_status_text(9999), "a status that this version does not know");
}

static void test_status__numbers_are_frozen(void **state) {
	(void)state;
	assert_int_equal(LOCKD_OK, 0);
	assert_int_equal(LOCKD_HELD, 2);
	assert_int_equal(LOCKD_SESSION_EXPIRED, 7);
	assert_int_equal(LOCKD_BUSY, 13);
	assert_int_equal(LOCKD_DISK_FULL, 19);
	assert_int_equal(LOCKD_DEADLINE, 64);
	assert_int_equal(LOCKD_MISUSE, 69);
	assert_int_equal(LOCKD_DAMAGED, 70);
}

static void test_status__what_may_have_happened_is_never_called_failed(void **state) {
	(void)state;
	assert_int_equal(lockd_status_outcome(LOCKD_DEADLINE), LOCKD_OUTCOME_UNKNOWN);
	assert_int_equal(lockd_status_outcome(LOCKD_LEADER_CHANGED), LOCKD_OUTCOME_UNKNOWN);
	assert_int_equal(lockd_status_outcome(LOCKD_CLOSED), LOCKD_OUTCOME_UNKNOWN);
	assert_int_equal(lockd_status_outcome(LOCKD_BUSY), LOCKD_OUTCOME_NOT_DONE);
	assert_int_equal(lockd_status_outcome(LOCKD_OK), LOCKD_OUTCOME_DONE);
}

static void test_status__every_text_is_a_phrase(void **state) {
	static const int numbers[] = {
#define NUMBER(name, number, outcome, text) number,
	        LOCKD_STATUS_MAP(NUMBER)
#undef NUMBER
	};

	(void)state;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		const char *text = lockd_status_text(numbers[i]);
		assert_in_range(strlen(text), 4, 80);
		assert_int_not_equal(text[strlen(text) - 1], '.');
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_status__number_outside_the_map_is_unknown),
	        cmocka_unit_test(test_status__numbers_are_frozen),
	        cmocka_unit_test(test_status__what_may_have_happened_is_never_called_failed),
	        cmocka_unit_test(test_status__every_text_is_a_phrase),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
