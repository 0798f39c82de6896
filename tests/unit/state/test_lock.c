/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include <string.h>

struct three {
	struct replica replica;
	state_session_id a, b, c;
};

static void three_init(struct three *three) {
	replica_init(&three->replica);
	three->a = replica_open(&three->replica, 1);
	three->b = replica_open(&three->replica, 2);
	three->c = replica_open(&three->replica, 3);
}

static void test_lock__release_needs_holder_and_token(void **test) {
	struct three t;
	uint64_t token;

	(void)test;
	three_init(&t);
	assert_int_equal(replica_release(&t.replica, t.a, 1, "lock", 1), LOCKD_NOT_HOLDER);
	assert_int_equal(replica_acquire(&t.replica, t.a, 2, "lock", 0), LOCKD_OK);
	token = replica_token(&t.replica, "lock");
	assert_int_equal(replica_release(&t.replica, t.a, 3, "lock", token + 1), LOCKD_NOT_HOLDER);
	assert_int_equal(replica_release(&t.replica, t.a, 4, "lock", 0), LOCKD_NOT_HOLDER);
	assert_int_equal(replica_release(&t.replica, t.b, 1, "lock", token), LOCKD_NOT_HOLDER);
	assert_int_equal(replica_holder(&t.replica, "lock"), t.a);
	assert_int_equal(replica_count(&t.replica, STATE_CHANGED), 0);
	replica_deinit(&t.replica);
}

static void test_lock__try_finds_a_held_lock(void **test) {
	struct three t;

	(void)test;
	three_init(&t);
	assert_int_equal(replica_acquire(&t.replica, t.a, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&t.replica, t.b, 1, "lock", 0), LOCKD_HELD);
	assert_int_equal(replica_acquire(&t.replica, t.a, 2, "lock", 0), LOCKD_HELD);
	/* Nor does it overtake those who wait. */
	assert_int_equal(replica_acquire(&t.replica, t.b, 2, "lock", 1000), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&t.replica, t.c, 1, "lock", 0), LOCKD_HELD);
	assert_int_equal(replica_acquire(&t.replica, t.c, 2, "other", 0), LOCKD_OK);
	assert_int_equal(state_get_counts(t.replica.state).locks, 2);
	assert_int_equal(state_get_counts(t.replica.state).seats, 1);
	replica_deinit(&t.replica);
}

static void test_lock__beyond_the_limits_is_refused_for_good(void **test) {
	struct replica replica;
	state_session_id a, b;

	(void)test;
	replica_init_narrow(&replica);
	a = replica_open(&replica, 1);
	b = replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, a, 1, "x", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, a, 2, "y", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, a, 3, "z", 0), LOCKD_LIMIT);
	assert_int_equal(replica_acquire(&replica, b, 1, "x", 900), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&replica, b, 2, "y", 900), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&replica, b, 3, "x", 900), LOCKD_LIMIT);
	/* Room again, but what was refused as "not done" is not done by a late copy. */
	assert_int_equal(replica_cancel(&replica, b, 4, 1), LOCKD_OK);
	assert_int_equal(replica_release(&replica, a, 4, "x", replica_token(&replica, "x")), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, a, 3, "z", 0), LOCKD_LIMIT);
	assert_int_equal(replica_acquire(&replica, b, 3, "x", 900), LOCKD_LIMIT);
	assert_int_equal(replica_acquire(&replica, a, 5, "z", 0), LOCKD_OK);
	replica_deinit(&replica);
}

static void test_lock__grant_says_who_holds_what(void **test) {
	struct three t;
	const struct state_outcome *outcome;
	struct state_lock lock;
	struct script script;

	(void)test;
	three_init(&t);
	script_acquire(&script, t.a, 1, "lock", 0, "10.0.0.1:80");
	replica_apply(&t.replica, &script, 1);
	outcome = replica_only(&t.replica, STATE_ANSWERED);
	assert_int_equal(outcome->status, LOCKD_OK);
	assert_int_equal(outcome->position, 0);
	assert_int_equal(outcome->sequence, 1);
	assert_int_equal(outcome->revision, t.replica.index << 16);

	assert_true(state_get_lock(t.replica.state, "lock", 4, &lock));
	assert_int_equal(lock.holder, t.a);
	assert_int_equal(lock.sequence, 1);
	assert_int_equal(lock.token, outcome->token);
	assert_int_equal(lock.granted, outcome->revision);
	assert_int_equal(lock.waiting, 0);
	assert_int_equal(lock.value.n, 11);
	assert_memory_equal(lock.value.bytes, "10.0.0.1:80", 11);

	outcome = replica_only(&t.replica, STATE_CHANGED);
	assert_int_equal(outcome->session, t.a);
	assert_int_equal(outcome->token, lock.token);
	assert_int_equal(outcome->name.n, 4);
	assert_memory_equal(outcome->name.bytes, "lock", 4);
	assert_memory_equal(outcome->value.bytes, "10.0.0.1:80", 11);
	replica_deinit(&t.replica);
}

static void test_lock__release_of_the_last_leaves_no_lock(void **test) {
	struct three t;
	struct state_lock lock;

	(void)test;
	three_init(&t);
	assert_int_equal(replica_acquire(&t.replica, t.a, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_release(&t.replica, t.a, 2, "lock", replica_token(&t.replica, "lock")), LOCKD_OK);
	assert_int_equal(replica_only(&t.replica, STATE_CHANGED)->token, 0);
	assert_int_equal(replica_only(&t.replica, STATE_CHANGED)->session, 0);
	assert_memory_equal(replica_only(&t.replica, STATE_CHANGED)->name.bytes, "lock", 4);
	assert_false(state_get_lock(t.replica.state, "lock", 4, &lock));
	assert_int_equal(state_get_counts(t.replica.state).locks, 0);
	replica_deinit(&t.replica);
}

static void test_lock__release_grants_to_the_first_waiter_in_the_same_command(void **test) {
	struct three t;
	const struct state_outcome *resolved, *changed;
	uint64_t token;

	(void)test;
	three_init(&t);
	assert_int_equal(replica_acquire(&t.replica, t.a, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&t.replica, t.c, 1, "lock", 1000), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&t.replica, t.b, 1, "lock", STATE_WAIT_FOREVER), LOCKD_QUEUED);
	token = replica_token(&t.replica, "lock");

	assert_int_equal(replica_release(&t.replica, t.a, 2, "lock", token), LOCKD_OK);
	resolved = replica_resolved(&t.replica, t.c, 1, LOCKD_OK);
	changed = replica_only(&t.replica, STATE_CHANGED);
	assert_int_equal(resolved->revision, t.replica.index << 16);
	assert_int_equal(resolved->token, replica_token(&t.replica, "lock"));
	assert_true(resolved->token > token);
	assert_int_equal(changed->session, t.c);
	assert_int_equal(changed->token, resolved->token);

	assert_int_equal(replica_release(&t.replica, t.c, 2, "lock", resolved->token), LOCKD_OK);
	replica_resolved(&t.replica, t.b, 1, LOCKD_OK);
	assert_int_equal(replica_holder(&t.replica, "lock"), t.b);
	replica_deinit(&t.replica);
}

static void test_lock__queues_its_own_holder_like_anyone(void **test) {
	struct three t;

	(void)test;
	three_init(&t);
	assert_int_equal(replica_acquire(&t.replica, t.a, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&t.replica, t.b, 1, "lock", 1000), LOCKD_QUEUED);
	assert_int_equal(replica_acquire(&t.replica, t.a, 2, "lock", 1000), LOCKD_QUEUED);
	assert_int_equal(replica_release(&t.replica, t.a, 3, "lock", replica_token(&t.replica, "lock")), LOCKD_OK);
	replica_resolved(&t.replica, t.b, 1, LOCKD_OK);
	assert_int_equal(replica_release(&t.replica, t.b, 2, "lock", replica_token(&t.replica, "lock")), LOCKD_OK);
	replica_resolved(&t.replica, t.a, 2, LOCKD_OK);
	replica_deinit(&t.replica);
}

static void test_lock__release_and_acquire_in_one_entry_keep_order(void **test) {
	struct three t;
	struct script scripts[3];
	uint64_t token;

	(void)test;
	three_init(&t);
	assert_int_equal(replica_acquire(&t.replica, t.a, 1, "lock", 0), LOCKD_OK);
	token = replica_token(&t.replica, "lock");
	script_release(&scripts[0], t.a, 2, "lock", token);
	script_acquire(&scripts[1], t.b, 1, "lock", 0, "b");
	script_acquire(&scripts[2], t.c, 1, "lock", 0, "c");
	replica_apply(&t.replica, scripts, 3);
	assert_int_equal(replica_count(&t.replica, STATE_ANSWERED), 3);
	assert_int_equal(replica_count(&t.replica, STATE_CHANGED), 2);
	/* The text of a lock that ceased to exist in between is still readable. */
	assert_int_equal(t.replica.outcomes[1].kind, STATE_CHANGED);
	assert_int_equal(t.replica.outcomes[1].token, 0);
	assert_memory_equal(t.replica.outcomes[1].name.bytes, "lock", 4);
	assert_int_equal(t.replica.outcomes[2].kind, STATE_ANSWERED);
	assert_int_equal(t.replica.outcomes[2].status, LOCKD_OK);
	assert_int_equal(t.replica.outcomes[2].position, 1);
	assert_int_equal(t.replica.outcomes[2].revision, (t.replica.index << 16) + 1);
	assert_int_equal(replica_holder(&t.replica, "lock"), t.b);
	replica_deinit(&t.replica);
}

static void test_lock__lists_names_in_byte_order(void **test) {
	const char *names[] = {"b", "a/2", "a", "a/10", "a/1"}, *sorted[] = {"a", "a/1", "a/10", "a/2", "b"};
	struct three t;
	struct state_lock lock;

	(void)test;
	three_init(&t);
	assert_false(state_next_lock(t.replica.state, NULL, 0, &lock));
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(replica_acquire(&t.replica, t.a, i + 1, names[i], 0), LOCKD_OK);
	assert_true(state_next_lock(t.replica.state, NULL, 0, &lock));
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(lock.name.n, strlen(sorted[i]));
		assert_memory_equal(lock.name.bytes, sorted[i], lock.name.n);
		assert_int_equal(state_next_lock(t.replica.state, lock.name.bytes, lock.name.n, &lock), i < 4);
	}
	/* Between two names, where none stands. */
	assert_true(state_next_lock(t.replica.state, "a/11", 4, &lock));
	assert_memory_equal(lock.name.bytes, "a/2", 3);
	replica_deinit(&t.replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lock__release_needs_holder_and_token),
		cmocka_unit_test(test_lock__try_finds_a_held_lock),
		cmocka_unit_test(test_lock__beyond_the_limits_is_refused_for_good),
		cmocka_unit_test(test_lock__grant_says_who_holds_what),
		cmocka_unit_test(test_lock__release_of_the_last_leaves_no_lock),
		cmocka_unit_test(test_lock__release_grants_to_the_first_waiter_in_the_same_command),
		cmocka_unit_test(test_lock__queues_its_own_holder_like_anyone),
		cmocka_unit_test(test_lock__release_and_acquire_in_one_entry_keep_order),
		cmocka_unit_test(test_lock__lists_names_in_byte_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
