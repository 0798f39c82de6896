/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

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
		cmocka_unit_test(test_pending__is_unknown_after_a_leader_change_and_known_at_the_next),
		cmocka_unit_test(test_pending__forgets_a_client_that_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
