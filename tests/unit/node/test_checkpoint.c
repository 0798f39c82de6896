/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

static struct state_hash hash(struct cluster *cluster, uint32_t node) {
	return state_get_hash(node_state(cluster_node(cluster, node)->node, 1));
}

/* Locks and releases `n` times, from that sequence on. */
static void work(struct cluster *cluster, uint32_t node, uint64_t opened, uint64_t sequence, unsigned n) {
	for (unsigned i = 0; i < n; i++, sequence += 2) {
		uint64_t token;

		cluster_send_acquire(cluster, node, 5, 600, opened, sequence, "lock", 0);
		cluster_settle(cluster);
		Client__Reply *reply = cluster_take_reply(cluster, 5, 600);

		assert_non_null(reply);
		assert_int_equal(reply->status, LOCKD_OK);
		token = reply->token;
		client__reply__free_unpacked(reply, NULL);
		cluster_send_release(cluster, node, 5, 601, opened, sequence + 1, "lock", token);
		cluster_settle(cluster);
		assert_int_equal(cluster_take_status(cluster, 5, 601), LOCKD_OK);
	}
}

static void test_checkpoint__fails_on_a_full_disk_and_is_made_later(void **unused) {
	struct cluster cluster;
	struct node_config config = {.checkpoint_log_entries = 4, .trailing_log_entries = 2};
	struct cluster_node *at = &cluster.nodes[0];
	uint64_t opened;

	(void)unused;
	cluster_init_with(&cluster, 1, &config);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	at->full = true;
	opened = cluster_open(&cluster, 1, 5, "nonce", 60000);
	work(&cluster, 1, opened, 1, 4);
	assert_in_range(at->checkpoints, 1, 2);
	assert_null(at->disk.header);
	assert_int_equal(at->disk.base, 0);
	at->full = false;
	cluster_advance(&cluster, 2000 * CLUSTER_MS);
	assert_non_null(at->disk.header);
	state_check(node_state(at->node, 1));
	cluster_deinit(&cluster);
}

static void test_checkpoint__trims_the_log_and_restarts_into_the_same_state(void **unused) {
	struct cluster cluster;
	struct node_config config = {.checkpoint_log_entries = 5, .trailing_log_entries = 3};
	struct cluster_node *at = &cluster.nodes[0];
	struct state_hash before, after;
	struct raft_status status;
	uint64_t opened;

	(void)unused;
	cluster_init_with(&cluster, 1, &config);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 600000);
	work(&cluster, 1, opened, 1, 20);
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	assert_in_range(at->checkpoints, 5, 12);
	raft_get_status(node_raft(at->node, 1), &status);
	assert_in_range(status.last - status.first + 1, 3, 12);
	assert_in_range(at->disk.n_entries, 3, 20);
	assert_in_range(at->disk.base, 20, status.first - 1);
	before = hash(&cluster, 1);

	cluster_restart(&cluster, 1);
	(void)cluster_await_leader(&cluster, 0);
	after = hash(&cluster, 1);
	assert_int_equal(before.low, after.low);
	assert_int_equal(before.high, after.high);
	state_check(node_state(at->node, 1));
	cluster_hello(&cluster, 1, 5);
	work(&cluster, 1, opened, 41, 5);
	cluster_deinit(&cluster);
}

/* Replicas cut at different moments and hold different rows on disk, but the state is one. */
static void test_checkpoint__leaves_all_replicas_with_the_same_hash(void **unused) {
	struct cluster cluster;
	struct node_config config = {.checkpoint_log_entries = 7, .trailing_log_entries = 50};
	uint64_t opened;
	uint32_t leader;

	(void)unused;
	cluster_init_with(&cluster, 3, &config);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	opened = cluster_open(&cluster, leader, 5, "nonce", 600000);
	work(&cluster, leader, opened, 1, 15);
	cluster_restart(&cluster, leader == 1 ? 2 : 1);
	work(&cluster, leader, opened, 31, 5);
	cluster_advance(&cluster, 1000 * CLUSTER_MS);
	for (uint32_t id = 1; id <= 3; id++) {
		assert_int_equal(hash(&cluster, id).low, hash(&cluster, leader).low);
		assert_int_equal(hash(&cluster, id).high, hash(&cluster, leader).high);
		state_check(node_state(cluster_node(&cluster, id)->node, 1));
	}
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint__fails_on_a_full_disk_and_is_made_later),
		cmocka_unit_test(test_checkpoint__trims_the_log_and_restarts_into_the_same_state),
		cmocka_unit_test(test_checkpoint__leaves_all_replicas_with_the_same_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
