/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include "api/record.pb-c.h"

#include <stdlib.h>

static const struct state_row *cut_rows(struct replica *replica, size_t *ret_n) {
	while (!state_copy(replica->state, 1))
		;
	return state_cut_rows(replica->state, ret_n);
}

/* The cut's row of that kind; fails unless there is exactly one. */
static const struct state_row *cut_row(struct replica *replica, enum state_row_kind kind) {
	const struct state_row *rows, *found = NULL;
	size_t n;

	rows = cut_rows(replica, &n);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].id >> 40 != (unsigned)kind)
			continue;
		assert_null(found);
		found = &rows[i];
	}
	assert_non_null(found);
	return found;
}

static Record__Record *unpack(const struct state_row *row) {
	Record__Record *record = record__record__unpack(NULL, row->n, row->record);

	assert_non_null(record);
	return record;
}

static void test_checkpoint__of_nothing_is_empty(void **test) {
	struct replica replica;
	struct state_cut cut;
	size_t n;

	(void)test;
	replica_init(&replica);
	state_cut(replica.state, &cut);
	assert_int_equal(cut.rows, 0);
	assert_int_equal(cut.index, 0);
	assert_true(state_copy(replica.state, 1));
	state_cut_rows(replica.state, &n);
	assert_int_equal(n, 0);
	state_cut_done(replica.state);
	replica_deinit(&replica);
}

static void test_checkpoint__holds_only_what_changed(void **test) {
	struct replica replica;
	struct state_cut cut;
	state_session_id session;
	size_t n;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	state_cut(replica.state, &cut);
	/* Two sessions, a lock, its result, its slot. */
	assert_int_equal(cut.rows, 5);
	assert_int_equal(cut.index, replica.index);
	assert_int_equal(cut.term, replica.term);
	cut_rows(&replica, &n);
	assert_int_equal(n, 5);
	state_cut_done(replica.state);

	assert_int_equal(replica_acquire(&replica, session, 2, "lock", 0), LOCKD_HELD);
	state_cut(replica.state, &cut);
	assert_int_equal(cut.rows, 6);
	cut_rows(&replica, &n);
	assert_int_equal(n, 1);
	state_cut_done(replica.state);
	replica_deinit(&replica);
}

static void test_checkpoint__shows_rows_as_they_were_at_the_cut(void **test) {
	struct replica replica;
	struct state_cut cut;
	state_session_id session;
	Record__Record *record;
	uint64_t token;
	size_t n;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	token = replica_token(&replica, "lock");
	state_cut(replica.state, &cut);

	/* Changed, deleted, and the ids used again by others, before anything was copied. */
	assert_int_equal(replica_release(&replica, session, 2, "lock", token), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, session, 3, "another", 0), LOCKD_OK);
	record = unpack(cut_row(&replica, STATE_LOCK));
	assert_memory_equal(record->lock->name.data, "lock", 4);
	assert_int_equal(record->lock->token, token);
	record__record__free_unpacked(record, NULL);
	record = unpack(cut_row(&replica, STATE_RESULT));
	assert_int_equal(record->result->sequence, 1);
	record__record__free_unpacked(record, NULL);
	state_cut_done(replica.state);

	/* What came after the cut belongs to the next one. */
	state_cut(replica.state, &cut);
	record = unpack(cut_row(&replica, STATE_LOCK));
	assert_memory_equal(record->lock->name.data, "another", 7);
	record__record__free_unpacked(record, NULL);
	cut_rows(&replica, &n);
	state_cut_done(replica.state);
	replica_deinit(&replica);
}

static void test_checkpoint__names_rows_that_are_gone(void **test) {
	struct replica replica;
	struct state_cut cut;
	state_session_id session;
	state_row_id id;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	state_cut(replica.state, &cut);
	id = cut_row(&replica, STATE_LOCK)->id;
	state_cut_done(replica.state);

	replica_expire(&replica, session);
	state_cut(replica.state, &cut);
	/* The slot's counter outlives everything. */
	assert_int_equal(cut.rows, 1);
	/* A free id that is taken again while its absence is still to be copied. */
	session = replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(cut_row(&replica, STATE_LOCK)->id, id);
	assert_null(cut_row(&replica, STATE_LOCK)->record);
	assert_null(cut_row(&replica, STATE_SESSION)->record);
	state_cut_done(replica.state);
	replica_deinit(&replica);
}

static void test_checkpoint__that_failed_leaves_its_rows_dirty(void **test) {
	struct replica replica;
	struct state_cut cut;
	state_session_id session;
	size_t n;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	state_cut(replica.state, &cut);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	state_check(replica.state);
	/* Given up before it was copied, and once more after. */
	state_cut_failed(replica.state);
	state_check(replica.state);
	state_cut(replica.state, &cut);
	cut_rows(&replica, &n);
	assert_int_equal(n, 4);
	state_cut_failed(replica.state);
	state_check(replica.state);
	state_cut(replica.state, &cut);
	cut_rows(&replica, &n);
	assert_int_equal(n, 4);
	state_cut_done(replica.state);
	replica_deinit(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint__of_nothing_is_empty),
		cmocka_unit_test(test_checkpoint__holds_only_what_changed),
		cmocka_unit_test(test_checkpoint__shows_rows_as_they_were_at_the_cut),
		cmocka_unit_test(test_checkpoint__names_rows_that_are_gone),
		cmocka_unit_test(test_checkpoint__that_failed_leaves_its_rows_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
