/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include "api/limits.h"

#include <stdlib.h>
#include <string.h>

static void test_history__of_an_unknown_name_is_empty(void **test) {
	struct replica replica;
	struct state_change change;

	(void)test;
	replica_init(&replica);
	assert_int_equal(state_next_change(replica.state, "lock", 4, 0, &change, NULL), 1);
	replica_deinit(&replica);
}

static void test_history__gives_each_change_of_a_name_once_in_order(void **test) {
	struct replica replica;
	struct state_change change;
	state_session_id a, b;
	uint64_t token;

	(void)test;
	replica_init(&replica);
	a = replica_open(&replica, 1);
	b = replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, a, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, a, 2, "other", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, b, 1, "lock", 900), LOCKD_QUEUED);
	token = replica_token(&replica, "lock");
	assert_int_equal(replica_release(&replica, a, 3, "lock", token), LOCKD_OK);
	replica_expire(&replica, b);

	assert_int_equal(state_next_change(replica.state, "lock", 4, 0, &change, NULL), 0);
	assert_int_equal(change.holder, a);
	assert_int_equal(change.token, token);
	assert_memory_equal(change.name.bytes, "lock", 4);
	assert_int_equal(change.value.n, 5);
	assert_memory_equal(change.value.bytes, "value", 5);
	assert_int_equal(state_next_change(replica.state, "lock", 4, change.revision, &change, NULL), 0);
	assert_int_equal(change.holder, b);
	assert_true(change.token > token);
	assert_int_equal(state_next_change(replica.state, "lock", 4, change.revision, &change, NULL), 0);
	assert_int_equal(change.holder, 0);
	assert_int_equal(change.token, 0);
	assert_int_equal(change.value.n, 0);
	assert_int_equal(change.revision, replica.index << 16);
	assert_int_equal(state_next_change(replica.state, "lock", 4, change.revision, &change, NULL), 1);
	replica_deinit(&replica);
}

static void test_history__after_a_restore_begins_with_a_gap(void **test) {
	struct replica replica, copy;
	struct state_change change;
	state_revision from = 0;
	state_session_id session;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 1, "lock", 0), LOCKD_OK);
	replica_copy(&replica, REPLICA_KEEP_IDS, &copy);
	assert_int_equal(state_next_change(copy.state, "lock", 4, copy.index << 16, &change, &from), 2);
	assert_int_equal(from, copy.index << 16 | 0xffff);
	assert_int_equal(state_next_change(copy.state, "lock", 4, from, &change, NULL), 1);
	replica_expire(&copy, session);
	assert_int_equal(state_next_change(copy.state, "lock", 4, from, &change, NULL), 0);
	assert_int_equal(change.token, 0);
	replica_deinit(&replica);
	replica_deinit(&copy);
}

/* One entry of try and release pairs of "busy", with that many bytes in the value. */
static void busy_pairs(struct replica *replica, state_session_id session, uint64_t *sequence, size_t pairs,
		       const char *value) {
	struct script *scripts = calloc(2 * pairs, sizeof(*scripts));
	uint64_t token = replica->index ? ((uint64_t)REPLICA_EPOCH << 40) : 0;
	static uint64_t granted;

	assert_non_null(scripts);
	if (*sequence == 1)
		granted = 0;
	for (size_t i = 0; i < pairs; i++) {
		script_acquire(&scripts[2 * i], session, *sequence, "busy", 0, value);
		scripts[2 * i].command.floor = *sequence;
		(*sequence)++;
		script_release(&scripts[2 * i + 1], session, *sequence, "busy", token + ++granted);
		scripts[2 * i + 1].command.floor = *sequence;
		(*sequence)++;
	}
	replica_apply(replica, scripts, 2 * pairs);
	assert_int_equal(replica_count(replica, STATE_CHANGED), 2 * pairs);
	free(scripts);
}

static void history_overflows(size_t pairs, size_t entries, const char *value) {
	struct replica replica;
	struct state_change change;
	state_revision from = 0, first;
	state_session_id session;
	uint64_t sequence = 1;

	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, sequence, "quiet", 0), LOCKD_OK);
	first = replica.index << 16;
	sequence = 1;
	session = replica_open(&replica, 2);
	for (size_t i = 0; i < entries; i++)
		busy_pairs(&replica, session, &sequence, pairs, value);

	/* Also of the quiet name: whether it changed in the gap is no longer known. */
	assert_int_equal(state_next_change(replica.state, "quiet", 5, first, &change, &from), 2);
	assert_true(from > first);
	assert_int_equal(state_next_change(replica.state, "quiet", 5, from, &change, NULL), 1);
	assert_int_equal(state_next_change(replica.state, "busy", 4, from - 1, &change, NULL), 2);
	assert_int_equal(state_next_change(replica.state, "busy", 4, from, &change, NULL), 0);
	assert_true(change.revision > from);
	replica_deinit(&replica);
}

static void test_history__is_bounded_in_changes(void **test) {
	(void)test;
	history_overflows(2048, LIMIT_HISTORY_CHANGES_MAX / 4096 + 1, "");
}

static void test_history__is_bounded_in_bytes(void **test) {
	char value[LIMIT_VALUE_BYTES_MAX + 1] = {0};

	(void)test;
	memset(value, 'v', sizeof(value) - 1);
	history_overflows(64, LIMIT_HISTORY_BYTES_MAX / (64 * LIMIT_VALUE_BYTES_MAX) + 1, value);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history__of_an_unknown_name_is_empty),
		cmocka_unit_test(test_history__gives_each_change_of_a_name_once_in_order),
		cmocka_unit_test(test_history__after_a_restore_begins_with_a_gap),
		cmocka_unit_test(test_history__is_bounded_in_changes),
		cmocka_unit_test(test_history__is_bounded_in_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
