/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include <stdlib.h>

static uint64_t grant_and_release(struct replica *replica, state_session_id session, uint64_t *sequence) {
	uint64_t token;

	replica->floor = *sequence;
	assert_int_equal(replica_acquire(replica, session, (*sequence)++, "lock", 0), LOCKD_OK);
	token = replica_only(replica, STATE_ANSWERED)->token;
	assert_int_equal(replica_release(replica, session, (*sequence)++, "lock", token), LOCKD_OK);
	return token;
}

static void test_counter__begins_at_the_epoch(void **test) {
	struct replica replica;
	state_session_id session;
	uint64_t sequence = 1;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(grant_and_release(&replica, session, &sequence), ((uint64_t)REPLICA_EPOCH << 40) + 1);
	replica_deinit(&replica);
}

static void test_counter__grows_across_delete_and_restore(void **test) {
	struct replica first, second, third;
	state_session_id session;
	uint64_t sequence = 1, token, last = 0;

	(void)test;
	replica_init(&first);
	session = replica_open(&first, 1);
	for (int i = 0; i < 100; i++) {
		token = grant_and_release(&first, session, &sequence);
		assert_true(token > last);
		last = token;
	}
	replica_copy(&first, REPLICA_KEEP_IDS, &second);
	assert_int_equal(grant_and_release(&second, session, &sequence), last + 1);
	replica_copy(&second, REPLICA_CHOOSE_IDS, &third);
	assert_int_equal(grant_and_release(&third, session, &sequence), last + 2);
	replica_deinit(&first);
	replica_deinit(&second);
	replica_deinit(&third);
}

static void test_counter__is_shared_by_the_names_of_a_slot(void **test) {
	struct replica replica;
	state_session_id session;
	uint64_t first;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 1, "{tag}/a", 0), LOCKD_OK);
	first = replica_only(&replica, STATE_ANSWERED)->token;
	assert_int_equal(replica_acquire(&replica, session, 2, "{tag}/b", 0), LOCKD_OK);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->token, first + 1);
	replica_deinit(&replica);
}

/* After a forced recovery the same rows live on under a greater epoch. */
static void test_counter__rises_with_the_epoch(void **test) {
	struct replica replica;
	struct state_cut cut;
	const struct state_row *rows;
	struct state *raised;
	const struct state_outcome *outcomes;
	struct script script;
	state_session_id session;
	state_row_id id;
	uint64_t sequence = 1;
	size_t n, n_bytes;
	uint8_t *bytes;
	int r;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	grant_and_release(&replica, session, &sequence);
	state_cut(replica.state, &cut);
	assert_true(state_copy(replica.state, SIZE_MAX));
	rows = state_cut_rows(replica.state, &n);

	raised = state_new(&(struct state_config){.group = REPLICA_GROUP, .epoch = 900});
	for (int kind = STATE_SLOT; kind <= STATE_RESULT; kind++)
		for (size_t i = 0; i < n; i++)
			if (rows[i].record && rows[i].id >> 40 == (unsigned)kind)
				assert_int_equal(state_restore(raised, rows[i].id, rows[i].record, rows[i].n, &id), 0);
	assert_int_equal(state_restored(raised, &cut), 0);

	/* The session keeps the epoch it was opened in. */
	script_acquire(&script, session, sequence, "lock", 0, "");
	bytes = script_pack(&script, 1, &n_bytes);
	r = state_apply(raised, cut.index + 1, 1, bytes, n_bytes, &outcomes, &n);
	assert_int_equal(r, 0);
	assert_int_equal(outcomes[0].status, LOCKD_OK);
	assert_int_equal(outcomes[0].token, ((uint64_t)900 << 40) + 1);
	state_check(raised);
	free(bytes);
	state_free(raised);
	replica_deinit(&replica);
}

/* The node that becomes a new incarnation: what was granted and opened stays, what follows is of the new epoch, and the
 * next checkpoint has every row, though the last one had them all and nothing has changed since. */
static void test_counter__is_left_behind_by_a_raised_epoch(void **test) {
	struct replica replica;
	struct state_session old, fresh;
	struct state_cut cut;
	struct state_hash hash;
	state_session_id session;
	uint64_t held, sequence = 2;
	size_t n;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 1, "held", 0), LOCKD_OK);
	held = replica_token(&replica, "held");
	state_cut(replica.state, &cut);
	assert_true(state_copy(replica.state, SIZE_MAX));
	state_cut_done(replica.state);
	hash = state_get_hash(replica.state);

	state_raise_epoch(replica.state, REPLICA_EPOCH + 2);
	state_check(replica.state);
	assert_hash_equal(state_get_hash(replica.state), hash);
	state_cut(replica.state, &cut);
	assert_true(state_copy(replica.state, SIZE_MAX));
	(void)state_cut_rows(replica.state, &n);
	assert_int_equal(n, cut.rows);
	assert_true(n >= 3);
	state_cut_done(replica.state);

	assert_int_equal(replica_token(&replica, "held"), held);
	assert_int_equal(grant_and_release(&replica, session, &sequence), ((uint64_t)(REPLICA_EPOCH + 2) << 40) + 1);
	assert_true(state_get_session(replica.state, session, &old));
	assert_int_equal(old.epoch, REPLICA_EPOCH);
	assert_true(state_get_session(replica.state, replica_open(&replica, 2), &fresh));
	assert_int_equal(fresh.epoch, REPLICA_EPOCH + 2);
	replica_deinit(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counter__begins_at_the_epoch),
		cmocka_unit_test(test_counter__grows_across_delete_and_restore),
		cmocka_unit_test(test_counter__is_shared_by_the_names_of_a_slot),
		cmocka_unit_test(test_counter__rises_with_the_epoch),
		cmocka_unit_test(test_counter__is_left_behind_by_a_raised_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
