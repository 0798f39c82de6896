/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "lockd/node/pending.h"

#include <string.h>

static void test_pending__withholds_the_reply_until_the_save_is_durable(void **unused) {
	struct cluster cluster;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_send_open(&cluster, 1, 5, 1, "nonce", 3000);
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), -1);
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_OK);
	cluster_deinit(&cluster);
}

static void test_pending__packs_what_arrives_while_the_disk_is_busy_into_one_entry(void **unused) {
	struct cluster cluster;
	struct raft_status before, after;
	struct cluster_node *at;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	at = cluster_node(&cluster, 1);
	raft_get_status(node_raft(at->node, 1), &before);
	at->hold_saves = true;
	cluster_send_open(&cluster, 1, 5, 1, "a", 3000);
	cluster_settle(&cluster);
	for (uint64_t id = 2; id <= 20; id++) {
		char nonce[2] = {(char)('a' + id), 0};

		cluster_send_open(&cluster, 1, 5, id, nonce, 3000);
		cluster_settle(&cluster);
	}
	at->hold_saves = false;
	cluster_settle(&cluster);
	raft_get_status(node_raft(at->node, 1), &after);
	assert_int_equal(after.last - before.last, 2);
	for (uint64_t id = 1; id <= 20; id++)
		assert_int_equal(cluster_take_status(&cluster, 5, id), LOCKD_OK);
	assert_int_equal(state_get_counts(node_state(at->node, 1)).sessions, 20);
	cluster_deinit(&cluster);
}

/* Opens a session of its own for each of `n` letters. */
static void send_opens(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
		       const char *letters) {
	for (; *letters; letters++, id++) {
		const char nonce[] = {*letters, 0};

		cluster_send_open(cluster, node, connection, id, nonce, 3000);
	}
	cluster_settle(cluster);
}

static raft_index last_entry_of(struct cluster *cluster, uint32_t node) {
	struct raft_status status;

	raft_get_status(node_raft(cluster_node(cluster, node)->node, 1), &status);
	return status.last;
}

static void hold_followers(struct cluster *cluster, uint32_t leader, bool hold) {
	for (uint32_t id = 1; id <= cluster->n; id++)
		cluster_node(cluster, id)->hold_saves = hold && id != leader;
}

static uint32_t begin_three(struct cluster *cluster) {
	uint32_t leader;

	cluster_init(cluster, 3);
	cluster_found(cluster);
	leader = cluster_leader(cluster);
	cluster_hello(cluster, leader, 5);
	cluster_hello(cluster, leader, 6);
	return leader;
}

static void test_pending__waits_until_the_entry_before_is_applied(void **unused) {
	struct cluster cluster;
	uint32_t leader = begin_three(&cluster);
	raft_index before = last_entry_of(&cluster, leader);

	(void)unused;
	hold_followers(&cluster, leader, true);
	send_opens(&cluster, leader, 5, 1, "a");
	send_opens(&cluster, leader, 5, 2, "b");
	send_opens(&cluster, leader, 6, 1, "c");
	assert_int_equal(last_entry_of(&cluster, leader), before + 1);
	hold_followers(&cluster, leader, false);
	cluster_settle(&cluster);
	assert_int_equal(last_entry_of(&cluster, leader), before + 2);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_OK);
	assert_int_equal(cluster_take_status(&cluster, 6, 1), LOCKD_OK);
	cluster_deinit(&cluster);
}

/* … unless that takes so long that what is saved by waiting is nothing against it. */
static void test_pending__does_not_wait_for_a_majority_that_is_far_away(void **unused) {
	struct cluster cluster;
	uint32_t leader = begin_three(&cluster);
	raft_index before;

	(void)unused;
	for (unsigned late = 0; late < 2; late++) {
		hold_followers(&cluster, leader, true);
		send_opens(&cluster, leader, 5, 10 + late, late ? "a" : "b");
		cluster_advance(&cluster, PENDING_NEAR_US_MAX + (late ? 1 : 0));
		hold_followers(&cluster, leader, false);
		cluster_settle(&cluster);
		hold_followers(&cluster, leader, true);
		before = last_entry_of(&cluster, leader);
		send_opens(&cluster, leader, 5, 20 + 3 * late, late ? "c" : "d");
		send_opens(&cluster, leader, 5, 21 + 3 * late, late ? "e" : "f");
		send_opens(&cluster, leader, 5, 22 + 3 * late, late ? "g" : "h");
		assert_int_equal(last_entry_of(&cluster, leader), before + (late ? 3 : 1));
		hold_followers(&cluster, leader, false);
		cluster_settle(&cluster);
	}
	cluster_deinit(&cluster);
}

static uint64_t take_opened(struct cluster *cluster, node_connection connection, uint64_t id) {
	Client__Reply *reply = cluster_take_reply(cluster, connection, id);
	uint64_t opened;

	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	opened = reply->session->opened;
	client__reply__free_unpacked(reply, NULL);
	return opened;
}

static void test_pending__lets_connections_take_turns(void **unused) {
	struct cluster cluster;
	uint64_t first[3], second[2];

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_hello(&cluster, 1, 6);
	cluster_node(&cluster, 1)->hold_saves = true;
	send_opens(&cluster, 1, 5, 9, "x");
	send_opens(&cluster, 1, 5, 1, "abc");
	send_opens(&cluster, 1, 6, 1, "de");
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	for (uint64_t i = 0; i < 3; i++)
		first[i] = take_opened(&cluster, 5, 1 + i);
	for (uint64_t i = 0; i < 2; i++)
		second[i] = take_opened(&cluster, 6, 1 + i);
	assert_true(first[0] < second[0] && second[0] < first[1] && first[1] < second[1] && second[1] < first[2]);
	cluster_deinit(&cluster);
}

static void test_pending__keeps_few_ahead_of_whoever_comes_next(void **unused) {
	struct cluster cluster;
	raft_index before;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_hello(&cluster, 1, 6);
	cluster_node(&cluster, 1)->hold_saves = true;
	before = last_entry_of(&cluster, 1);
	send_opens(&cluster, 1, 5, 1, "a");
	for (uint64_t id = 2; id <= PENDING_AHEAD_MAX + 2; id++)
		cluster_send_release(&cluster, 1, 5, id, 1, 1, "lock", 1);
	send_opens(&cluster, 1, 6, 1, "b");
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	/* The first one, then as many as may be under way, then the rest. */
	assert_int_equal(last_entry_of(&cluster, 1), before + 3);
	assert_true(take_opened(&cluster, 6, 1) >> 16 == before + 2);
	cluster_deinit(&cluster);
}

/* It is packed by hand. */
static void test_pending__answers_in_the_bytes_of_the_schema(void **unused) {
	struct cluster cluster;
	struct cluster_frame *frame;
	Client__Reply *reply;
	uint8_t packed[64];
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 3000);
	cluster_send_acquire(&cluster, 1, 5, 2, opened, 1, "lock", 0);
	cluster_settle(&cluster);
	frame = cluster_take(&cluster, 5, FRAME_REPLY, 2);
	assert_non_null(frame);
	reply = client__reply__unpack(NULL, frame->n, frame->body);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_int_equal(reply->base.n_unknown_fields, 0);
	assert_int_equal(reply->token >> 40, cluster.epoch);
	assert_true(reply->revision > opened);
	assert_in_range(client__reply__get_packed_size(reply), frame->n, frame->n);
	assert_int_equal(client__reply__pack(reply, packed), frame->n);
	assert_memory_equal(packed, frame->body, frame->n);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_pending__grants_refuses_and_releases(void **unused) {
	struct cluster cluster;
	uint64_t first, second, token;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	first = cluster_open(&cluster, 1, 5, "first", 3000);
	second = cluster_open(&cluster, 1, 5, "second", 3000);
	assert_int_not_equal(first, second);
	token = cluster_acquire(&cluster, 1, 5, first, 1, "lock");
	assert_int_not_equal(token, 0);
	assert_int_equal(cluster_acquire(&cluster, 1, 5, second, 1, "lock"), 0);
	/* A retry of the same sequence gets the same token. */
	assert_int_equal(cluster_acquire(&cluster, 1, 5, first, 1, "lock"), token);
	cluster_send_release(&cluster, 1, 5, 1, first, 2, "lock", token);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_OK);
	assert_in_range(cluster_acquire(&cluster, 1, 5, second, 2, "lock"), token + 1, UINT64_MAX);
	cluster_deinit(&cluster);
}

/* One session holds the lock, the acquire of another is on its way. Returns the token. */
static uint64_t hold_and_wait(struct cluster *cluster, uint64_t sessions[2], uint32_t wait_ms) {
	uint64_t token;

	cluster_init(cluster, 1);
	cluster_found(cluster);
	cluster_hello(cluster, 1, 5);
	sessions[0] = cluster_open(cluster, 1, 5, "first", 3000);
	sessions[1] = cluster_open(cluster, 1, 5, "second", 3000);
	token = cluster_acquire(cluster, 1, 5, sessions[0], 1, "lock");
	cluster_send_acquire(cluster, 1, 5, 2, sessions[1], 1, "lock", wait_ms);
	return token;
}

static uint64_t seats(struct cluster *cluster) {
	return state_get_counts(node_state(cluster_node(cluster, 1)->node, 1)).seats;
}

static raft_index last_entry(struct cluster *cluster) {
	struct raft_status status;

	raft_get_status(node_raft(cluster_node(cluster, 1)->node, 1), &status);
	return status.last;
}

static void test_pending__lets_an_acquire_that_only_queues_wait_for_company(void **unused) {
	struct cluster cluster;
	uint64_t sessions[2], token;
	raft_index before;

	(void)unused;
	token = hold_and_wait(&cluster, sessions, 60000);
	before = last_entry(&cluster);
	cluster_advance(&cluster, PENDING_PATIENCE_US - 1000);
	assert_int_equal(last_entry(&cluster), before);
	/* The release takes it along: one entry for both, and the lock changes hands. */
	cluster_send_release(&cluster, 1, 5, 3, sessions[0], 2, "lock", token);
	cluster_settle(&cluster);
	assert_int_equal(last_entry(&cluster), before + 1);
	assert_int_equal(cluster_take_status(&cluster, 5, 3), LOCKD_OK);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_OK);
	cluster_deinit(&cluster);
}

/* The release is on its way to the disk when the acquire comes. */
static void test_pending__is_patient_only_while_the_lock_is_held(void **unused) {
	struct cluster cluster;
	uint64_t sessions[2], token;

	(void)unused;
	token = hold_and_wait(&cluster, sessions, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_HELD);
	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_send_release(&cluster, 1, 5, 3, sessions[0], 2, "lock", token);
	cluster_settle(&cluster);
	cluster_send_acquire(&cluster, 1, 5, 4, sessions[1], 2, "lock", 60000);
	cluster_settle(&cluster);
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 4), LOCKD_OK);
	cluster_deinit(&cluster);
}

static void test_pending__has_patience_for_a_while_only(void **unused) {
	struct cluster cluster;
	uint64_t sessions[2];

	(void)unused;
	(void)hold_and_wait(&cluster, sessions, 60000);
	cluster_advance(&cluster, PENDING_PATIENCE_US - 1000);
	assert_int_equal(seats(&cluster), 0);
	cluster_advance(&cluster, 2000);
	assert_int_equal(seats(&cluster), 1);
	cluster_deinit(&cluster);
}

static void test_pending__refuses_a_try_and_begins_a_short_wait_at_once(void **unused) {
	struct cluster cluster;
	uint64_t sessions[2];

	(void)unused;
	(void)hold_and_wait(&cluster, sessions, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_HELD);
	cluster_send_acquire(&cluster, 1, 5, 3, sessions[1], 2, "lock", PENDING_PATIENT_WAIT_MS_MIN - 1);
	cluster_settle(&cluster);
	assert_int_equal(seats(&cluster), 1);
	cluster_deinit(&cluster);
}

static void test_pending__is_not_patient_with_many(void **unused) {
	struct cluster cluster;
	uint64_t sessions[2];
	raft_index before;

	(void)unused;
	(void)hold_and_wait(&cluster, sessions, 60000);
	before = last_entry(&cluster);
	for (uint64_t i = 1; i < PENDING_PATIENT_MAX; i++)
		cluster_send_acquire(&cluster, 1, 5, 2 + i, sessions[1], 1 + i, "lock", 60000);
	cluster_settle(&cluster);
	assert_int_equal(last_entry(&cluster), before);
	cluster_send_acquire(&cluster, 1, 5, 100, sessions[1], 1 + PENDING_PATIENT_MAX, "lock", 60000);
	cluster_settle(&cluster);
	assert_int_equal(last_entry(&cluster), before + 1);
	assert_int_equal(seats(&cluster), 1 + PENDING_PATIENT_MAX);
	cluster_deinit(&cluster);
}

/* What the old leader cannot know it does not claim; the retry at the next leader finds out. */
static void test_pending__is_unknown_after_a_leader_change_and_known_at_the_next(void **unused) {
	struct cluster cluster;
	uint32_t old, leader;
	uint64_t opened, token;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	old = cluster_leader(&cluster);
	cluster_hello(&cluster, old, 5);
	opened = cluster_open(&cluster, old, 5, "nonce", 10000);
	cluster_node(&cluster, old)->cut = true;
	cluster_send_acquire(&cluster, old, 5, 1, opened, 1, "lock", 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), -1);
	leader = cluster_await_leader(&cluster, old);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_LEADER_CHANGED);

	cluster_hello(&cluster, leader, 6);
	token = cluster_acquire(&cluster, leader, 6, opened, 1, "lock");
	assert_int_not_equal(token, 0);
	cluster_node(&cluster, old)->cut = false;
	cluster_advance(&cluster, 2000 * CLUSTER_MS);
	for (uint32_t id = 1; id <= 3; id++) {
		struct state_lock lock;

		assert_true(state_get_lock(node_state(cluster_node(&cluster, id)->node, 1), "lock", 4, &lock));
		assert_int_equal(lock.token, token);
	}
	cluster_deinit(&cluster);
}

static void test_pending__forgets_a_client_that_has_gone(void **unused) {
	struct cluster cluster;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_send_open(&cluster, 1, 5, 1, "nonce", 3000);
	cluster_settle(&cluster);
	cluster_post(&cluster, 1, &(struct node_event){.kind = NODE_CLIENT_GONE, .connection = 5});
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), -1);
	assert_int_equal(state_get_counts(node_state(cluster_node(&cluster, 1)->node, 1)).sessions, 1);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pending__withholds_the_reply_until_the_save_is_durable),
		cmocka_unit_test(test_pending__packs_what_arrives_while_the_disk_is_busy_into_one_entry),
		cmocka_unit_test(test_pending__waits_until_the_entry_before_is_applied),
		cmocka_unit_test(test_pending__does_not_wait_for_a_majority_that_is_far_away),
		cmocka_unit_test(test_pending__lets_connections_take_turns),
		cmocka_unit_test(test_pending__keeps_few_ahead_of_whoever_comes_next),
		cmocka_unit_test(test_pending__answers_in_the_bytes_of_the_schema),
		cmocka_unit_test(test_pending__grants_refuses_and_releases),
		cmocka_unit_test(test_pending__lets_an_acquire_that_only_queues_wait_for_company),
		cmocka_unit_test(test_pending__is_patient_only_while_the_lock_is_held),
		cmocka_unit_test(test_pending__has_patience_for_a_while_only),
		cmocka_unit_test(test_pending__refuses_a_try_and_begins_a_short_wait_at_once),
		cmocka_unit_test(test_pending__is_not_patient_with_many),
		cmocka_unit_test(test_pending__is_unknown_after_a_leader_change_and_known_at_the_next),
		cmocka_unit_test(test_pending__forgets_a_client_that_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
