/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "lockd/node/members.h"

#include <stdlib.h>
#include <string.h>

static struct node_bytes text(const char *bytes) {
	return (struct node_bytes){.bytes = (const uint8_t *)bytes, .n = strlen(bytes)};
}

static void assert_at(const struct members *members, raft_index index, raft_index at, const char *bytes) {
	const struct members_item *item = members_at(members, index);

	assert_int_equal(item->index, at);
	assert_int_equal(item->bytes.n, strlen(bytes));
	assert_memory_equal(item->bytes.bytes, bytes, item->bytes.n);
}

static void test_members__are_those_of_the_entry_at_or_below(void **unused) {
	struct members members = {0};

	(void)unused;
	members_append(&members, 1, text("one"));
	members_append(&members, 5, text("five"));
	members_append(&members, 9, text("nine"));
	assert_at(&members, 4, 1, "one");
	assert_at(&members, 5, 5, "five");
	assert_at(&members, 100, 9, "nine");
	members_truncate(&members, 9);
	assert_at(&members, 100, 5, "five");
	members_deinit(&members);
}

static void test_members__keep_what_the_base_needs(void **unused) {
	struct members members = {0};

	(void)unused;
	members_append(&members, 1, text("one"));
	members_append(&members, 5, text("five"));
	members_append(&members, 9, text("nine"));
	members_trim(&members, 4);
	assert_int_equal(members.n, 3);
	members_trim(&members, 8);
	assert_int_equal(members.n, 2);
	assert_at(&members, 8, 5, "five");
	members_deinit(&members);
}

static void test_members__of_a_snapshot_replace_those_before_it(void **unused) {
	struct members members = {0};

	(void)unused;
	members_append(&members, 1, text("one"));
	members_append(&members, 5, text("five"));
	members_append(&members, 9, text("nine"));
	members_install(&members, 7, 6, text("six"));
	assert_int_equal(members.n, 2);
	assert_at(&members, 7, 6, "six");
	assert_at(&members, 9, 9, "nine");
	members_deinit(&members);
}

static void test_members__say_when_the_log_must_be_shorter(void **unused) {
	struct members members = {0};

	(void)unused;
	for (raft_index index = 1; index <= MEMBERS_TAIL_MAX; index++)
		members_append(&members, 10 * index, text("x"));
	assert_int_equal(members_floor(&members), 0);
	for (raft_index index = MEMBERS_TAIL_MAX + 1; index <= MEMBERS_MANY; index++)
		members_append(&members, 10 * index, text("x"));
	assert_false(members_are_many(&members));
	assert_int_equal(members_floor(&members), 10 * (MEMBERS_MANY - MEMBERS_TAIL_MAX + 1));
	members_append(&members, 10 * (MEMBERS_MANY + 1), text("x"));
	assert_true(members_are_many(&members));
	members_deinit(&members);
}

/* Node 1 was told of itself and of node 2 in its configuration file; node 4 is known from the log alone. */
static void test_members__are_reached_where_the_configuration_file_says(void **unused) {
	const struct node_config plain = {0};
	const struct cluster_change changes[] = {{CLIENT__MEMBER_CHANGE__KIND__VOTER, 3, -1},
						 {CLIENT__MEMBER_CHANGE__KIND__LEARNER, 4, -1}};
	struct cluster cluster;
	struct node_member member;

	(void)unused;
	cluster_init_spare(&cluster, 2, 4, &plain);
	cluster_found(&cluster);
	cluster_node(&cluster, 3)->calling = cluster_node(&cluster, 4)->calling = true;
	cluster_advance(&cluster, 1000 * CLUSTER_MS);
	for (uint32_t id = 1; id <= 2; id++)
		cluster_hello(&cluster, id, id);
	cluster_send_change(&cluster, cluster_leader(&cluster), cluster_leader(&cluster), 1, changes, 2);
	cluster_advance(&cluster, 3000 * CLUSTER_MS);
	for (uint32_t id = 1; id <= 4; id++) {
		struct node *node = cluster_node(&cluster, id)->node;

		for (uint32_t i = 0; i < 4; i++) {
			char expected[8] = {'p', (char)('1' + i), ':', '1', 0};

			assert_true(node_get_member(node, i, &member));
			assert_int_equal(member.node, i + 1);
			assert_string_equal(member.peer_address, expected);
			assert_int_equal(member.roles, i == 3 ? RAFT_ROLE_LEARNER : RAFT_ROLE_VOTER);
		}
		assert_false(node_get_member(node, 4, &member));
	}
	assert_true(cluster_node(&cluster, 1)->members_changed);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members__are_those_of_the_entry_at_or_below),
		cmocka_unit_test(test_members__keep_what_the_base_needs),
		cmocka_unit_test(test_members__of_a_snapshot_replace_those_before_it),
		cmocka_unit_test(test_members__say_when_the_log_must_be_shorter),
		cmocka_unit_test(test_members__are_reached_where_the_configuration_file_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
