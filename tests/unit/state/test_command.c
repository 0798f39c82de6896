/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include "api/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Applies raw bytes; nothing may change unless they are taken. */
static int apply_bytes(struct replica *replica, const uint8_t *bytes, size_t n) {
	struct state_hash before = state_get_hash(replica->state);
	int r;

	r = state_apply(replica->state, replica->index + 1, replica->term, bytes, n, &replica->outcomes, &replica->n);
	if (r == 0) {
		replica->index++;
		return 0;
	}
	assert_hash_equal(state_get_hash(replica->state), before);
	assert_int_equal(state_applied(replica->state), replica->index);
	state_check(replica->state);
	return r;
}

static void test_command__rejects_bytes_that_are_no_batch(void **test) {
	struct replica replica;

	(void)test;
	replica_init(&replica);
	assert_int_equal(apply_bytes(&replica, (const uint8_t *)"\x0a\x05\x01", 3), -EBADMSG);
	assert_int_equal(apply_bytes(&replica, (const uint8_t *)"\xff\xff\xff", 3), -EBADMSG);
	replica_deinit(&replica);
}

static void test_command__rejects_more_commands_than_an_entry_may_have(void **test) {
	size_t n = LIMIT_COMMANDS_PER_ENTRY_MAX + 1;
	struct script *scripts = calloc(n, sizeof(*scripts));
	struct replica replica;
	size_t n_bytes;
	uint8_t *bytes;

	(void)test;
	assert_non_null(scripts);
	replica_init(&replica);
	for (size_t i = 0; i < n; i++)
		script_timer(&scripts[i], 1, 1, 1);
	bytes = script_pack(scripts, n, &n_bytes);
	assert_int_equal(apply_bytes(&replica, bytes, n_bytes), -EBADMSG);
	free(bytes);
	/* As many as allowed decode, however little they take on the wire. */
	bytes = script_pack(scripts, n - 1, &n_bytes);
	assert_int_equal(apply_bytes(&replica, bytes, n_bytes), 0);
	free(bytes);
	for (size_t i = 0; i < n; i++)
		script_acquire(&scripts[i], 0, 0, "", 0, "");
	bytes = script_pack(scripts, n - 1, &n_bytes);
	assert_int_equal(apply_bytes(&replica, bytes, n_bytes), 0);
	free(bytes);
	free(scripts);
	replica_deinit(&replica);
}

static void test_command__stops_at_an_unknown_command(void **test) {
	/* Batch { commands { 31: {} } } */
	const uint8_t unknown[] = {0x0a, 0x03, 0xfa, 0x01, 0x00};
	struct replica replica;

	(void)test;
	replica_init(&replica);
	assert_int_equal(apply_bytes(&replica, unknown, sizeof(unknown)), -ENOTSUP);
	assert_int_equal(apply_bytes(&replica, (const uint8_t *)"\x0a\x00", 2), -ENOTSUP);
	replica_deinit(&replica);
}

static void test_command__stops_at_an_unknown_field_at_any_depth(void **test) {
	const uint8_t in_batch[] = {0x10, 0x01};
	/* Batch { commands { close {} 9: 1 } } */
	const uint8_t in_command[] = {0x0a, 0x04, 0x5a, 0x00, 0x48, 0x01};
	/* Batch { commands { close { 1: 1 } } } */
	const uint8_t in_body[] = {0x0a, 0x04, 0x5a, 0x02, 0x08, 0x01};
	/* Batch { commands { session { 9: 1 } close {} } } */
	const uint8_t in_session[] = {0x0a, 0x06, 0x0a, 0x02, 0x48, 0x01, 0x5a, 0x00};
	struct replica replica;

	(void)test;
	replica_init(&replica);
	assert_int_equal(apply_bytes(&replica, in_batch, sizeof(in_batch)), -ENOTSUP);
	assert_int_equal(apply_bytes(&replica, in_command, sizeof(in_command)), -ENOTSUP);
	assert_int_equal(apply_bytes(&replica, in_body, sizeof(in_body)), -ENOTSUP);
	assert_int_equal(apply_bytes(&replica, in_session, sizeof(in_session)), -ENOTSUP);
	replica_deinit(&replica);
}

static int apply_scripts(struct replica *replica, struct script *scripts, size_t n) {
	size_t n_bytes;
	uint8_t *bytes = script_pack(scripts, n, &n_bytes);
	int r = apply_bytes(replica, bytes, n_bytes);

	free(bytes);
	return r;
}

static void test_command__of_a_later_version_is_unknown_before(void **test) {
	uint8_t hash[16] = {1};
	struct replica replica;
	struct script scripts[2];

	(void)test;
	replica_init(&replica);
	script_verdict(&scripts[0], 1, 4096, hash);
	assert_int_equal(apply_scripts(&replica, scripts, 1), -ENOTSUP);
	assert_int_equal(state_get_version(replica.state).refused, 0);
	/* What an entry may hold is settled before it. */
	script_version(&scripts[0], 1, 2);
	script_verdict(&scripts[1], 1, 4096, hash);
	assert_int_equal(apply_scripts(&replica, scripts, 2), -ENOTSUP);
	assert_int_equal(state_get_version(replica.state).current, 1);

	assert_int_equal(apply_scripts(&replica, scripts, 1), 0);
	assert_int_equal(apply_scripts(&replica, scripts + 1, 1), 0);
	assert_int_equal(replica_only(&replica, STATE_JUDGED)->index, 4096);
	assert_int_equal(replica_only(&replica, STATE_JUDGED)->hash.low, 1);
	replica_deinit(&replica);
}

static void test_command__stops_at_a_version_that_is_not_known(void **test) {
	const struct state_config old = {.group = REPLICA_GROUP, .epoch = REPLICA_EPOCH, .machine_version_max = 1};
	struct replica replica;
	struct script script;

	(void)test;
	replica_init(&replica);
	script_version(&script, 1, STATE_MACHINE_VERSION_MAX + 1);
	assert_int_equal(apply_scripts(&replica, &script, 1), -ENOTSUP);
	assert_int_equal(state_get_version(replica.state).refused, STATE_MACHINE_VERSION_MAX + 1);
	assert_int_equal(state_get_version(replica.state).max, STATE_MACHINE_VERSION_MAX);
	replica_deinit(&replica);

	replica_init(&replica);
	(void)state_free(replica.state);
	replica.state = state_new(&old);
	script_version(&script, 1, 2);
	assert_int_equal(apply_scripts(&replica, &script, 1), -ENOTSUP);
	assert_int_equal(state_get_version(replica.state).refused, 2);
	assert_int_equal(state_get_version(replica.state).max, 1);
	replica_deinit(&replica);
}

static void test_command__raises_the_version_and_never_lowers_it(void **test) {
	struct replica replica, copy;
	struct script script;

	(void)test;
	replica_init(&replica);
	assert_int_equal(state_get_version(replica.state).current, 1);
	script_version(&script, 2, 2);
	assert_int_equal(apply_scripts(&replica, &script, 1), 0); /* of another term */
	assert_int_equal(replica.n, 0);
	assert_int_equal(state_get_version(replica.state).current, 1);
	script_version(&script, 1, 2);
	assert_int_equal(apply_scripts(&replica, &script, 1), 0);
	(void)replica_only(&replica, STATE_RAISED);
	for (uint32_t version = 0; version <= 2; version++) {
		script_version(&script, 1, version);
		assert_int_equal(apply_scripts(&replica, &script, 1), 0);
		assert_int_equal(replica.n, 0);
		assert_int_equal(state_get_version(replica.state).current, 2);
	}
	/* It lives in checkpoints. */
	replica_copy(&replica, REPLICA_KEEP_IDS, &copy);
	assert_int_equal(state_get_version(copy.state).current, 2);
	replica_deinit(&copy);
	replica_deinit(&replica);
}

static void test_command__applies_nothing_of_an_entry_with_an_unknown_tail(void **test) {
	const uint8_t unknown[] = {0x0a, 0x03, 0xfa, 0x01, 0x00};
	uint8_t nonce[16] = {1}, bytes[256];
	struct script script;
	struct replica replica;
	size_t n;
	uint8_t *known;

	(void)test;
	replica_init(&replica);
	script_open(&script, nonce, 10000);
	known = script_pack(&script, 1, &n);
	assert_true(n + sizeof(unknown) <= sizeof(bytes));
	memcpy(bytes, known, n);
	memcpy(bytes + n, unknown, sizeof(unknown));
	assert_int_equal(apply_bytes(&replica, bytes, n + sizeof(unknown)), -ENOTSUP);
	assert_int_equal(state_get_counts(replica.state).sessions, 0);
	free(known);
	replica_deinit(&replica);
}

/* Whatever stands in an entry: it is refused whole, or applied to a state that holds together. */
static void test_command__survives_damaged_entries(void **test) {
	uint64_t random = 1, ids[2];
	uint8_t nonce[16] = {1};
	struct script scripts[6];
	struct replica replica;
	size_t n, n_taken = 0, n_refused = 0;

	(void)test;
	replica_init(&replica);
	ids[0] = replica_open(&replica, 1);
	ids[1] = replica_open(&replica, 2);
	for (uint64_t round = 0; round < 4000; round++) {
		uint8_t *bytes;
		script_open(&scripts[0], nonce, 10000);
		script_acquire(&scripts[1], ids[0], 1 + round / 512, "lock", 500, "v");
		script_acquire(&scripts[2], ids[1], 1 + round / 512, "lock", 500, "v");
		script_release(&scripts[3], ids[0], 2 + round / 512, "lock", 1);
		script_cancel(&scripts[4], ids[1], 2 + round / 512, 1);
		script_expire(&scripts[5], replica.term + 1, ids, 2);
		bytes = script_pack(scripts, 6, &n);
		for (int i = 0; i < 3; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			bytes[(random >> 33) % n] = (uint8_t)(random >> 25);
		}
		if (apply_bytes(&replica, bytes, n) == 0)
			n_taken++;
		else
			n_refused++;
		if (round % 64 == 0)
			state_check(replica.state);
		free(bytes);
	}
	assert_true(n_taken > 100);
	assert_true(n_refused > 100);
	replica_deinit(&replica);
}

static void open_with(struct replica *replica, size_t nonce_bytes, uint32_t ttl_ms, size_t owner_bytes, int status) {
	uint8_t nonce[32] = {9}, owner[LIMIT_OWNER_BYTES_MAX + 1] = {0};
	struct script script;

	script_open(&script, nonce, ttl_ms);
	script.body.open.nonce.len = nonce_bytes;
	script.body.open.owner = (ProtobufCBinaryData){.len = owner_bytes, .data = owner};
	replica_apply(replica, &script, 1);
	assert_int_equal(replica_only(replica, STATE_ANSWERED)->status, status);
}

static void test_command__answers_invalid_opens(void **test) {
	struct replica replica;

	(void)test;
	replica_init(&replica);
	open_with(&replica, 15, 10000, 1, LOCKD_INVALID);
	open_with(&replica, 17, 10000, 1, LOCKD_INVALID);
	open_with(&replica, 0, 10000, 1, LOCKD_INVALID);
	open_with(&replica, 16, LIMIT_TTL_MS_MIN - 1, 1, LOCKD_INVALID);
	open_with(&replica, 16, LIMIT_TTL_MS_MAX + 1, 1, LOCKD_INVALID);
	open_with(&replica, 16, 10000, LIMIT_OWNER_BYTES_MAX + 1, LOCKD_INVALID);
	assert_int_equal(state_get_counts(replica.state).sessions, 0);
	open_with(&replica, 16, LIMIT_TTL_MS_MAX, LIMIT_OWNER_BYTES_MAX, LOCKD_OK);
	replica_deinit(&replica);
}

static void test_command__answers_invalid_requests(void **test) {
	uint8_t text[LIMIT_VALUE_BYTES_MAX + 1];
	struct replica replica;
	state_session_id session;
	struct script script;

	(void)test;
	memset(text, 'a', sizeof(text));
	replica_init(&replica);
	session = replica_open(&replica, 1);
	assert_int_equal(replica_acquire(&replica, session, 0, "lock", 0), LOCKD_INVALID);
	assert_int_equal(replica_acquire(&replica, session, 1, "", 0), LOCKD_INVALID);
	assert_int_equal(replica_release(&replica, session, 1, "", 1), LOCKD_INVALID);
	assert_int_equal(replica_cancel(&replica, session, 1, 0), LOCKD_INVALID);
	assert_int_equal(replica_cancel(&replica, session, 1, 1), LOCKD_INVALID);

	script_acquire(&script, session, 1, "lock", 0, "");
	script.body.acquire.name = (ProtobufCBinaryData){.len = LIMIT_NAME_BYTES_MAX + 1, .data = text};
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_INVALID);
	script_acquire(&script, session, 1, "lock", 0, "");
	script.body.acquire.value = (ProtobufCBinaryData){.len = LIMIT_VALUE_BYTES_MAX + 1, .data = text};
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_INVALID);

	/* None of them has left a result: the sequence is unused, and the longest fields are taken. */
	script.body.acquire.name = (ProtobufCBinaryData){.len = LIMIT_NAME_BYTES_MAX, .data = text};
	script.body.acquire.value.len = LIMIT_VALUE_BYTES_MAX;
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_OK);
	replica_deinit(&replica);
}

static void test_command__knows_a_session_by_epoch_and_group_too(void **test) {
	struct replica replica;
	state_session_id session;
	struct script script;

	(void)test;
	replica_init(&replica);
	session = replica_open(&replica, 1);
	script_acquire(&script, session, 1, "lock", 0, "");
	script.session.epoch++;
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_SESSION_EXPIRED);
	script.session.epoch--;
	script.session.group++;
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_SESSION_EXPIRED);
	script.command.session = NULL;
	replica_apply(&replica, &script, 1);
	assert_int_equal(replica_only(&replica, STATE_ANSWERED)->status, LOCKD_SESSION_EXPIRED);
	replica_deinit(&replica);
}

static void test_command__of_a_leader_is_void_in_another_term(void **test) {
	struct replica replica;
	state_session_id holder, waiter;
	uint32_t quarters = 2;
	uint8_t hash[16] = {0};
	struct script script;
	struct state_hash before;

	(void)test;
	replica_init(&replica);
	holder = replica_open(&replica, 1);
	waiter = replica_open(&replica, 2);
	assert_int_equal(replica_acquire(&replica, holder, 1, "lock", 0), LOCKD_OK);
	assert_int_equal(replica_acquire(&replica, waiter, 1, "lock", 500), LOCKD_QUEUED);
	script_version(&script, 1, 2);
	replica_apply(&replica, &script, 1);
	before = state_get_hash(replica.state);

	replica.term = 3;
	for (uint64_t term = 2; term <= 4; term += 2) {
		script_expire(&script, term, &holder, 1);
		replica_apply(&replica, &script, 1);
		assert_int_equal(replica.n, 0);
		script_timer(&script, term, waiter, 1);
		replica_apply(&replica, &script, 1);
		assert_int_equal(replica.n, 0);
		script_late(&script, term, &holder, &quarters, 1);
		replica_apply(&replica, &script, 1);
		assert_int_equal(replica.n, 0);
		script_renewed(&script, term, &holder, 1);
		replica_apply(&replica, &script, 1);
		assert_int_equal(replica.n, 0);
		script_verdict(&script, term, 1, hash);
		replica_apply(&replica, &script, 1);
		assert_int_equal(replica.n, 0);
	}
	assert_hash_equal(state_get_hash(replica.state), before);
	replica_deinit(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command__rejects_bytes_that_are_no_batch),
		cmocka_unit_test(test_command__rejects_more_commands_than_an_entry_may_have),
		cmocka_unit_test(test_command__stops_at_an_unknown_command),
		cmocka_unit_test(test_command__stops_at_an_unknown_field_at_any_depth),
		cmocka_unit_test(test_command__of_a_later_version_is_unknown_before),
		cmocka_unit_test(test_command__stops_at_a_version_that_is_not_known),
		cmocka_unit_test(test_command__raises_the_version_and_never_lowers_it),
		cmocka_unit_test(test_command__applies_nothing_of_an_entry_with_an_unknown_tail),
		cmocka_unit_test(test_command__survives_damaged_entries),
		cmocka_unit_test(test_command__answers_invalid_opens),
		cmocka_unit_test(test_command__answers_invalid_requests),
		cmocka_unit_test(test_command__knows_a_session_by_epoch_and_group_too),
		cmocka_unit_test(test_command__of_a_leader_is_void_in_another_term),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
