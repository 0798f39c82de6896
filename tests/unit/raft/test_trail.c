/* SPDX-License-Identifier: Apache-2.0 */
#include "panic.h"
#include "raft/src/trail.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { RUNS = 8 };

static struct raft__run runs[RUNS];

/* A trail behind (base, base_term) with one entry per given term. */
static struct raft__trail trail_of(raft_index base, raft_term base_term, const char *terms) {
	struct raft__trail trail;

	raft__trail_init(&trail, runs, RUNS);
	raft__trail_reset(&trail, base, base_term);
	for (; *terms; terms++)
		raft__trail_append(&trail, (raft_term)(*terms - '0'));
	raft__trail_check(&trail);
	return trail;
}

static void test_trail__refuses_a_falling_term(void **state) {
	struct raft__trail trail = trail_of(0, 0, "12");

	(void)state;
	assert_panics(raft__trail_append(&trail, 1));
}

static void test_trail__refuses_more_runs_than_it_holds(void **state) {
	struct raft__trail trail = trail_of(0, 0, "12345678");

	(void)state;
	raft__trail_append(&trail, 8);
	assert_panics(raft__trail_append(&trail, 9));
}

static void test_trail__knows_terms_from_the_base_on(void **state) {
	struct raft__trail trail = trail_of(4, 1, "1233");
	const raft_term terms[] = {0, 0, 0, 0, 1, 1, 2, 3, 3, 0};

	(void)state;
	for (raft_index i = 0; i < 10; i++)
		assert_int_equal(raft__trail_term_at(&trail, i), terms[i]);
}

static void test_trail__truncates_inside_and_between_runs(void **state) {
	struct raft__trail trail = trail_of(0, 0, "112233");

	(void)state;
	raft__trail_truncate(&trail, 6);
	assert_int_equal(raft__trail_last_term(&trail), 3);
	raft__trail_truncate(&trail, 3);
	raft__trail_check(&trail);
	assert_int_equal(trail.last, 2);
	assert_int_equal(raft__trail_last_term(&trail), 1);
	raft__trail_append(&trail, 5);
	assert_int_equal(raft__trail_term_at(&trail, 3), 5);
}

/* Compaction must not change what is known about the rest: compared with a plain array at every position. */
static void test_trail__compaction_keeps_terms(void **state) {
	static const char terms[] = "1122344578";

	(void)state;
	for (raft_index at = 0; at <= 10; at++) {
		struct raft__trail trail = trail_of(0, 0, terms);

		raft__trail_compact(&trail, at);
		raft__trail_check(&trail);
		for (raft_index i = at; i <= 10; i++)
			assert_int_equal(raft__trail_term_at(&trail, i), i == 0 ? 0 : terms[i - 1] - '0');
		if (at > 0)
			assert_int_equal(raft__trail_term_at(&trail, at - 1), 0);
	}
}

static raft_index naive_agree(const char *terms, raft_index index, raft_term term) {
	if (index > strlen(terms))
		index = strlen(terms);
	while (index > 0 && (raft_term)(terms[index - 1] - '0') > term)
		index--;
	return index;
}

static void test_trail__finds_where_logs_may_agree(void **state) {
	static const char terms[] = "1122344578";
	struct raft__trail trail = trail_of(0, 0, terms);

	(void)state;
	for (raft_index index = 0; index <= 12; index++)
		for (raft_term term = 0; term <= 9; term++)
			assert_int_equal(raft__trail_agree(&trail, index, term), naive_agree(terms, index, term));
}

static void test_trail__agreement_below_the_base_asks_for_a_snapshot(void **state) {
	struct raft__trail trail = trail_of(5, 3, "334");

	(void)state;
	assert_int_equal(raft__trail_agree(&trail, 7, 2), 4);
	assert_int_equal(raft__trail_agree(&trail, 3, 2), 3);
	assert_int_equal(raft__trail_agree(&trail, 7, 3), 7);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trail__refuses_a_falling_term),
		cmocka_unit_test(test_trail__refuses_more_runs_than_it_holds),
		cmocka_unit_test(test_trail__knows_terms_from_the_base_on),
		cmocka_unit_test(test_trail__truncates_inside_and_between_runs),
		cmocka_unit_test(test_trail__compaction_keeps_terms),
		cmocka_unit_test(test_trail__finds_where_logs_may_agree),
		cmocka_unit_test(test_trail__agreement_below_the_base_asks_for_a_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
