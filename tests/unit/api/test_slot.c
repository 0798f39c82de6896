/* SPDX-License-Identifier: Apache-2.0 */
/* Placement of names: the frozen vectors, the tag rule, an even spread. */
#include "api/limits.h"
#include "api/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

static uint32_t slot(const char *name) { return slot_of_name(name, strlen(name)); }

static void test_slot__vectors_are_frozen(void **state) {
	(void)state;
	assert_int_equal(slot(""), 194);
	assert_int_equal(slot("a"), 543);
	assert_int_equal(slot("jobs/nightly"), 240);
	assert_int_equal(slot("zażółć"), 497);
}

static void test_slot__tag_chooses_the_slot(void **state) {
	(void)state;
	assert_int_equal(slot("{user1}.a"), slot("user1"));
	assert_int_equal(slot("x{user1}y{z}"), slot("user1"));
	assert_int_equal(slot("a}{user1}"), slot("user1"));
}

static void test_slot__empty_or_open_tag_is_no_tag(void **state) {
	(void)state;
	assert_int_not_equal(slot("{}a"), slot(""));
	assert_int_not_equal(slot("{}a"), slot("{}b"));
	assert_int_not_equal(slot("{abc"), slot("abc"));
	assert_int_not_equal(slot("{}{x}"), slot("x"));
}

static void test_slot__spreads_names_evenly(void **state) {
	unsigned hits[LIMIT_SLOTS] = {0};
	char name[32];

	(void)state;
	for (int i = 0; i < 100 * LIMIT_SLOTS; i++) {
		snprintf(name, sizeof name, "lock-%d", i);
		hits[slot(name)]++;
	}
	for (int i = 0; i < LIMIT_SLOTS; i++)
		assert_in_range(hits[i], 50, 160);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_slot__vectors_are_frozen),
	        cmocka_unit_test(test_slot__tag_chooses_the_slot),
	        cmocka_unit_test(test_slot__empty_or_open_tag_is_no_tag),
	        cmocka_unit_test(test_slot__spreads_names_evenly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
