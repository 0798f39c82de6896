/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <string.h>

static void test_found__refuses_a_frame_that_names_another_store(void **unused) {
	struct cluster cluster;
	struct node_uuid store = {{2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}}, other = {{9}};
	struct node_bytes body;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_post_found(&cluster, 1);
	cluster_settle(&cluster);
	assert_int_equal(node_found_body(cluster_node(&cluster, 1)->node, 2, &other, &body), 1);
	assert_int_equal(node_found_body(cluster_node(&cluster, 1)->node, 9, &store, &body), 1);
	assert_int_equal(node_found_body(cluster_node(&cluster, 1)->node, 2, &store, &body), 0);
	/* Node 3 has its own store, so node 2's founding of somebody else is not taken there under a wrong id. */
	((uint8_t *)body.bytes)[body.n - 1] ^= 1;
	cluster_post(&cluster, 2,
		     &(struct node_event){.kind = NODE_PEER_FRAME,
					  .peer = 1,
					  .type = FRAME_PEER_FOUND,
					  .body = body.bytes,
					  .body_bytes = body.n});
	cluster_settle(&cluster);
	assert_true(node_is_blank(cluster_node(&cluster, 2)->node));
	assert_non_null(strstr(cluster_node(&cluster, 2)->traces, "event=founding-refused"));
	cluster_deinit(&cluster);
}

static void test_found__is_refused_by_a_node_that_has_a_cluster(void **unused) {
	struct cluster cluster;
	struct node_uuid incarnation, again;
	uint32_t epoch;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	node_get_identity(cluster_node(&cluster, 1)->node, &incarnation, &epoch);
	cluster_post_found(&cluster, 1);
	cluster_settle(&cluster);
	node_get_identity(cluster_node(&cluster, 1)->node, &again, &epoch);
	assert_memory_equal(&incarnation, &again, sizeof again);
	assert_non_null(strstr(cluster_node(&cluster, 1)->traces, "event=founding-refused"));
	cluster_deinit(&cluster);
}

static void test_found__is_blank_until_it_is_durable(void **unused) {
	struct cluster cluster;
	struct node_uuid store = {{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
	struct node_bytes body;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_post_found(&cluster, 1);
	cluster_settle(&cluster);
	assert_true(node_is_blank(cluster_node(&cluster, 1)->node));
	assert_int_equal(node_found_body(cluster_node(&cluster, 1)->node, 1, &store, &body), 1);
	assert_int_equal(cluster_leader(&cluster), 0);
	/* A crash before that leaves a blank node, which can be founded again. */
	cluster_restart(&cluster, 1);
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_found(&cluster);
	assert_int_equal(cluster_leader(&cluster), 1);
	assert_false(node_is_blank(cluster_node(&cluster, 1)->node));
	cluster_deinit(&cluster);
}

static void test_found__a_blank_node_takes_part_in_nothing(void **unused) {
	struct cluster cluster;
	struct raft_status status;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_post_found(&cluster, 1);
	cluster_advance(&cluster, 5000 * CLUSTER_MS);
	assert_int_equal(cluster_leader(&cluster), 0);
	raft_get_status(node_raft(cluster_node(&cluster, 2)->node, 1), &status);
	assert_int_equal(status.term, 0);
	assert_int_equal(status.vote, 0);
	cluster_deinit(&cluster);
}

/* Away from the founding until long after the log has forgotten its first entry. */
static void test_found__brings_in_a_member_that_stayed_blank(void **unused) {
	const struct node_config config = {.checkpoint_log_entries = 5, .trailing_log_entries = 2};
	struct cluster cluster;
	struct node_entry entry;
	uint32_t leader, other;
	uint64_t opened;

	(void)unused;
	cluster_init_with(&cluster, 3, &config);
	cluster_post_found(&cluster, 1);
	cluster_settle(&cluster);
	cluster_bring_in(&cluster, 1, 2);
	leader = cluster_await_leader(&cluster, 0);
	other = leader == 1 ? 2 : 1;
	cluster_hello(&cluster, leader, 5);
	opened = cluster_open(&cluster, leader, 5, "nonce", 600000);
	for (uint64_t sequence = 1; sequence <= 30; sequence++) {
		char name[2] = {(char)('A' + sequence), 0};

		assert_int_not_equal(cluster_acquire(&cluster, leader, 5, opened, sequence, name), 0);
	}
	cluster_restart(&cluster, other);
	assert_false(node_get_entry(cluster_node(&cluster, other)->node, 1, 1, &entry));

	assert_true(node_is_blank(cluster_node(&cluster, 3)->node));
	cluster_bring_in(&cluster, other, 3);
	cluster_advance(&cluster, 3000 * CLUSTER_MS);
	assert_non_null(strstr(cluster_node(&cluster, 3)->traces, "event=snapshot-installed"));
	assert_int_equal(state_applied(node_state(cluster_node(&cluster, 3)->node, 1)),
			 state_applied(node_state(cluster_node(&cluster, leader)->node, 1)));
	assert_int_equal(state_get_hash(node_state(cluster_node(&cluster, 3)->node, 1)).low,
			 state_get_hash(node_state(cluster_node(&cluster, leader)->node, 1)).low);
	cluster_deinit(&cluster);
}

/* A store that stands in the place of a damaged one: its cluster is out there, or lost with other disks. */
static void test_found__belongs_where_the_store_before_belonged(void **unused) {
	const struct node_uuid elsewhere = {{5}};
	struct cluster cluster;
	struct node_uuid incarnation;
	uint32_t epoch;

	(void)unused;
	cluster_init(&cluster, 3);
	for (uint32_t id = 1; id <= 2; id++) {
		cluster_node(&cluster, id)->past_incarnation = elsewhere;
		cluster_restart(&cluster, id);
	}
	cluster_post_found(&cluster, 1);
	cluster_settle(&cluster);
	assert_true(node_is_blank(cluster_node(&cluster, 1)->node));
	assert_non_null(
		strstr(cluster_node(&cluster, 1)->traces,
		       "event=founding-refused peer=1 reason=\"the data folder before this one belonged to another "
		       "cluster, and this one joins no other\""));
	/* Founded without it, the cluster does not get it either; … */
	cluster_post_found(&cluster, 3);
	cluster_settle(&cluster);
	node_get_identity(cluster_node(&cluster, 3)->node, &incarnation, &epoch);
	cluster_bring_in(&cluster, 3, 1);
	cluster_settle(&cluster);
	assert_true(node_is_blank(cluster_node(&cluster, 1)->node));
	/* … but whom it had before. */
	cluster_node(&cluster, 2)->past_incarnation = incarnation;
	cluster_restart(&cluster, 2);
	cluster_bring_in(&cluster, 3, 2);
	cluster_settle(&cluster);
	assert_false(node_is_blank(cluster_node(&cluster, 2)->node));
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found__refuses_a_frame_that_names_another_store),
		cmocka_unit_test(test_found__is_refused_by_a_node_that_has_a_cluster),
		cmocka_unit_test(test_found__is_blank_until_it_is_durable),
		cmocka_unit_test(test_found__a_blank_node_takes_part_in_nothing),
		cmocka_unit_test(test_found__brings_in_a_member_that_stayed_blank),
		cmocka_unit_test(test_found__belongs_where_the_store_before_belonged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
