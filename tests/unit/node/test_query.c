/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

static void test_query__is_not_answered_by_a_leader_that_was_cut_off(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	cluster_send_show(&cluster, leader, 5, 1, "lock");
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_NOT_FOUND);

	cluster_node(&cluster, leader)->cut = true;
	cluster_send_show(&cluster, leader, 5, 2, "lock");
	cluster_advance(&cluster, 200 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), -1);
	(void)cluster_await_leader(&cluster, leader);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_NOT_LEADER);
	cluster_deinit(&cluster);
}

/* A read that arrives while a round is under way must not be served by that round. */
static void test_query__waits_for_a_round_that_began_after_it(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	for (uint32_t id = 1; id <= 3; id++)
		cluster_node(&cluster, id)->paused = id != leader;
	cluster_send_show(&cluster, leader, 5, 1, "lock");
	cluster_settle(&cluster);
	cluster_send_show(&cluster, leader, 5, 2, "lock");
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), -1);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), -1);
	for (uint32_t id = 1; id <= 3; id++)
		cluster_node(&cluster, id)->paused = false;
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_NOT_FOUND);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_NOT_FOUND);
	cluster_deinit(&cluster);
}

static void test_query__is_bounded_together_with_commands(void **unused) {
	struct cluster cluster;
	struct node_config config = {.pending_requests_max = 1};
	uint32_t leader;

	(void)unused;
	cluster_init_with(&cluster, 3, &config);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	cluster_node(&cluster, leader)->cut = true;
	cluster_send_show(&cluster, leader, 5, 1, "lock");
	cluster_send_show(&cluster, leader, 5, 2, "lock");
	cluster_send_keep_alive(&cluster, leader, 5, 3, 1);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_BUSY);
	/* Keep-alives never are. */
	assert_int_equal(cluster_take_status(&cluster, 5, 3), -1);
	cluster_deinit(&cluster);
}

/* Of more keep-alives than a connection may have waiting the oldest gives way. */
static void test_query__lets_the_newest_keep_alives_win(void **unused) {
	struct cluster cluster;
	uint32_t leader;
	unsigned answered = 0;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	for (uint32_t id = 1; id <= 3; id++)
		cluster_node(&cluster, id)->paused = id != leader;
	for (uint64_t id = 1; id <= 100; id++)
		cluster_send_keep_alive(&cluster, leader, 5, id, 1);
	cluster_settle(&cluster);
	for (uint32_t id = 1; id <= 3; id++)
		cluster_node(&cluster, id)->paused = false;
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 36), -1);
	for (uint64_t id = 37; id <= 100; id++)
		answered += cluster_take_status(&cluster, 5, id) == LOCKD_OK;
	assert_int_equal(answered, 64);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query__is_not_answered_by_a_leader_that_was_cut_off),
		cmocka_unit_test(test_query__waits_for_a_round_that_began_after_it),
		cmocka_unit_test(test_query__is_bounded_together_with_commands),
		cmocka_unit_test(test_query__lets_the_newest_keep_alives_win),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
