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
