/* SPDX-License-Identifier: Apache-2.0 */
/* Whose messages count. */
#include "cluster.h"

#include <raft/raft.h>

/* All come with other stores than the configuration names, as if they had been installed anew: nothing that they grant
 * or acknowledge is counted, so whoever led falls silent and nobody is elected. */
static void test_peer__answers_of_another_store_are_not_counted(void **unused) {
	struct cluster cluster;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	assert_int_not_equal(cluster_leader(&cluster), 0);
	for (uint32_t node = 1; node <= 3; node++)
		cluster_node(&cluster, node)->wipes++;
	cluster_advance(&cluster, 10 * 1000 * CLUSTER_MS);
	assert_int_equal(cluster_leader(&cluster), 0);
	cluster_deinit(&cluster);
}

/* The leader comes with another store: our configuration may be the outdated one, so it is followed all the same. */
static void test_peer__a_leader_with_another_store_is_followed(void **unused) {
	struct raft_status before, after;
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	assert_int_not_equal(leader, 0);
	raft_get_status(node_raft(cluster_node(&cluster, leader)->node, CLUSTER_GROUP), &before);
	cluster_node(&cluster, leader)->wipes++;
	cluster_advance(&cluster, 10 * 1000 * CLUSTER_MS);
	assert_int_equal(cluster_leader(&cluster), leader);
	raft_get_status(node_raft(cluster_node(&cluster, leader % 3 + 1)->node, CLUSTER_GROUP), &after);
	assert_int_equal(after.leader, leader);
	assert_int_equal(after.term, before.term);
	cluster_deinit(&cluster);
}

/* Beside a silent leader the other follower needs its vote. With space again it gives it. */
static void test_peer__a_node_with_a_full_disk_votes_for_nobody(void **unused) {
	struct cluster cluster;
	uint32_t leader, full;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	full = leader % 3 + 1;
	cluster_post(&cluster, full, &(struct node_event){.kind = NODE_SAVE_BLOCKED});
	cluster_settle(&cluster);
	cluster_node(&cluster, leader)->cut = true;
	cluster_advance(&cluster, 10 * 1000 * CLUSTER_MS);
	assert_int_equal(cluster_leader(&cluster), 0);
	cluster_post(&cluster, full, &(struct node_event){.kind = NODE_SAVE_UNBLOCKED});
	assert_int_not_equal(cluster_await_leader(&cluster, leader), 0);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer__answers_of_another_store_are_not_counted),
		cmocka_unit_test(test_peer__a_leader_with_another_store_is_followed),
		cmocka_unit_test(test_peer__a_node_with_a_full_disk_votes_for_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
