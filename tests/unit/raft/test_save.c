/* SPDX-License-Identifier: Apache-2.0 */
#include "panic.h"
#include "raft/src/random.h"
#include "raft/src/save.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { RING = 8, LOG = 64 };

static struct raft__save_slot ring[RING];

static void push(struct raft__saves *saves, raft_index last) {
	raft__saves_push(saves, &(struct raft_save){.seq = saves->last_seq + 1}, last);
}

static void test_save__refuses_a_report_of_what_was_never_asked(void **state) {
	struct raft__saves saves;

	(void)state;
	raft__saves_init(&saves, ring, RING);
	assert_panics(raft__saves_done(&saves, 1));
}

static void test_save__is_full_at_its_size(void **state) {
	struct raft__saves saves;

	(void)state;
	raft__saves_init(&saves, ring, RING);
	for (raft_index i = 1; i <= RING; i++) {
		assert_false(raft__saves_full(&saves));
		push(&saves, i);
	}
	assert_true(raft__saves_full(&saves));
	raft__saves_done(&saves, 1);
	assert_false(raft__saves_full(&saves));
	assert_int_equal(saves.durable, 1);
}

static void test_save__truncation_clamps_outstanding_saves(void **state) {
	struct raft__saves saves;

	(void)state;
	raft__saves_init(&saves, ring, RING);
	push(&saves, 5);
	raft__saves_clamp(&saves, 3);
	push(&saves, 5);
	raft__saves_done(&saves, 1);
	assert_int_equal(saves.durable, 2);
	raft__saves_done(&saves, 2);
	assert_int_equal(saves.durable, 5);
}

static void test_save__hard_state_waits_for_its_own_number_only(void **state) {
	struct raft__saves saves;

	(void)state;
	raft__saves_init(&saves, ring, RING);
	raft__saves_push(&saves, &(struct raft_save){.seq = 1, .hard = true, .term = 4, .vote = 2}, 0);
	push(&saves, 1);
	assert_int_equal(raft__saves_after_hard(&saves), 1);
	assert_int_equal(raft__saves_after_log(&saves), 2);
	raft__saves_done(&saves, 1);
	assert_int_equal(saves.term, 4);
	assert_int_equal(saves.vote, 2);
	assert_int_equal(raft__saves_after_hard(&saves), 0);
	assert_int_equal(raft__saves_after_log(&saves), 2);
}

/* Random appends, truncations and reports against a disk that is a plain array: what counts as durable must be on it,
 * with the contents that the log has. */
static void test_save__durable_is_never_more_than_the_disk_has(void **state) {
	struct raft__random random;
	struct raft__saves saves;
	struct {
		raft_index first, last;
		uint64_t contents[LOG];
	} pending[RING];
	uint64_t log[LOG] = {0}, disk[LOG] = {0}, done = 0, stamp = 0;
	raft_index last = 0;

	(void)state;
	raft__random_init(&random, 3, 1, 1);
	raft__saves_init(&saves, ring, RING);
	for (int i = 0; i < 100000; i++) {
		uint64_t seq = saves.last_seq + 1;

		if (raft__saves_full(&saves) || raft__random_between(&random, 0, 3) == 0) {
			if (done == saves.last_seq)
				continue;
			done++;
			for (raft_index k = pending[done % RING].first; k <= pending[done % RING].last; k++)
				disk[k] = pending[done % RING].contents[k];
			raft__saves_done(&saves, done);
		} else {
			raft_index from = last > 0 && raft__random_between(&random, 0, 2)
						  ? raft__random_between(&random, 1, last + 1)
						  : last + 1;

			if (from + 3 >= LOG)
				from = 1;
			if (from <= last)
				raft__saves_clamp(&saves, from);
			last = from + raft__random_between(&random, 0, 3);
			pending[seq % RING].first = from;
			pending[seq % RING].last = last;
			for (raft_index k = from; k <= last; k++)
				pending[seq % RING].contents[k] = log[k] = ++stamp;
			push(&saves, last);
		}
		raft__saves_check(&saves, last);
		for (raft_index k = 1; k <= saves.durable; k++)
			assert_int_equal(disk[k], log[k]);
		if (done == saves.last_seq)
			assert_int_equal(saves.durable, last);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_save__refuses_a_report_of_what_was_never_asked),
		cmocka_unit_test(test_save__is_full_at_its_size),
		cmocka_unit_test(test_save__truncation_clamps_outstanding_saves),
		cmocka_unit_test(test_save__hard_state_waits_for_its_own_number_only),
		cmocka_unit_test(test_save__durable_is_never_more_than_the_disk_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
