/* SPDX-License-Identifier: Apache-2.0 */
/* When rows are hashed: once somebody asks, or once many wait. It must not show in the hash. */
#include "replica.h"

#include "lockd/state/machine.h"

#include <stdio.h>

enum { BATCH = 64, CROWD = 6000, PAIRS = 3000 };

/* The next `n` Acquires of the session, each of a lock of its own. */
static void acquire_many(struct replica *replica, state_session_id session, uint64_t first, size_t n) {
	struct script scripts[BATCH];
	char names[BATCH][32];

	assert_true(n <= BATCH);
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(names[i], sizeof names[i], "lock-%llu", (unsigned long long)(first + i));
		script_acquire(&scripts[i], session, first + i, names[i], 0, "value");
		scripts[i].command.floor = first;
	}
	replica_apply(replica, scripts, n);
	assert_int_equal(replica_count(replica, STATE_ANSWERED), n);
	assert_int_equal(replica_count(replica, STATE_CHANGED), n);
}

/* A whole checkpoint carries the hash that its machine gave, and restoring compares it with one made of the records. */
static void assert_hash_is_of_the_records(struct replica *replica) {
	struct replica copy;

	replica_copy(replica, REPLICA_CHOOSE_IDS, &copy);
	replica_deinit(&copy);
}

static void test_row__hash_asked_for_once_is_that_asked_for_after_every_entry(void **test) {
	struct replica often, once;
	state_session_id session, other;

	(void)test;
	replica_init(&often);
	replica_init(&once);
	session = replica_open(&often, 1);
	assert_int_equal(replica_open(&once, 1), session);
	other = replica_open(&often, 2);
	assert_int_equal(replica_open(&once, 2), other);
	for (uint64_t sequence = 1; sequence <= CROWD; sequence += BATCH) {
		acquire_many(&often, session, sequence, BATCH);
		acquire_many(&once, session, sequence, BATCH);
		(void)state_get_hash(often.state);
		state_check(often.state);
	}
	assert_hash_equal(state_get_hash(once.state), state_get_hash(often.state));

	assert_int_equal(replica_acquire(&often, other, 1, "lock-1", 1000), LOCKD_QUEUED);
	(void)state_get_hash(often.state);
	assert_int_equal(replica_acquire(&once, other, 1, "lock-1", 1000), LOCKD_QUEUED);
	replica_expire(&often, session);
	replica_expire(&once, session);
	assert_int_equal(replica_holder(&once, "lock-1"), other);
	assert_hash_equal(state_get_hash(once.state), state_get_hash(often.state));
	assert_hash_is_of_the_records(&often);
	assert_hash_is_of_the_records(&once);
	replica_deinit(&often);
	replica_deinit(&once);
}

static void test_row__change_behind_a_question_is_in_the_next_answer(void **test) {
	struct replica replica;
	struct state_hash before;
	state_session_id session;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	replica.floor = 1;
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	before = state_get_hash(replica.state);
	assert_hash_equal(state_get_hash(replica.state), before);
	assert_int_equal(replica_release(&replica, session, 2, "lock", replica_token(&replica, "lock")), LOCKD_OK);
	assert_int_not_equal(state_get_hash(replica.state).low, before.low);
	assert_hash_is_of_the_records(&replica);
	replica_deinit(&replica);
}

static void test_row__what_comes_and_goes_is_never_hashed(void **test) {
	struct replica replica;
	state_session_id session;
	size_t n_unsettled = 0;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	for (uint64_t i = 1; i < 2 * PAIRS; i += 2) {
		replica.floor = i;
		assert_int_equal(replica_acquire(&replica, session, i, "lock", 0), LOCKD_OK);
		assert_int_equal(replica_release(&replica, session, i + 1, "lock", replica_token(&replica, "lock")),
				 LOCKD_OK);
		if (i == 1)
			n_unsettled = replica.state->unsettled.n;
	}
	/* The same few ids wait, and no sum has been made yet. */
	assert_in_range(replica.state->unsettled.n, 1, n_unsettled + 1);
	assert_int_equal(replica.state->hash.low, 0);
	assert_int_equal(replica.state->hash.high, 0);
	assert_hash_is_of_the_records(&replica);
	replica_deinit(&replica);
}

static void test_row__many_that_wait_are_settled_unasked(void **test) {
	struct replica replica;
	state_session_id session;
	size_t n_unsettled_max = 0;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	for (uint64_t sequence = 1; sequence <= CROWD; sequence += BATCH) {
		acquire_many(&replica, session, sequence, BATCH);
		if (replica.state->unsettled.n > n_unsettled_max)
			n_unsettled_max = replica.state->unsettled.n;
	}
	assert_in_range(n_unsettled_max, CROWD / 4, CROWD - 1);
	assert_int_not_equal(replica.state->hash.low, 0);
	assert_hash_is_of_the_records(&replica);
	replica_deinit(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row__hash_asked_for_once_is_that_asked_for_after_every_entry),
		cmocka_unit_test(test_row__change_behind_a_question_is_in_the_next_answer),
		cmocka_unit_test(test_row__what_comes_and_goes_is_never_hashed),
		cmocka_unit_test(test_row__many_that_wait_are_settled_unasked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
