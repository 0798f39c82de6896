/* SPDX-License-Identifier: Apache-2.0 */
/* Who the others are: listed while the node is blank, members afterwards. */
#include "lockd/io/peer_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SELF = 1, NOW = 5000000 };

static struct node_member members[RAFT_MEMBERS_MAX];
static size_t n_members;
static struct peer_table table;

void urgent_clear(struct urgent *urgent) {
	assert_int_equal(urgent->n, 0);
}
bool node_get_member(const struct node *node, size_t position, struct node_member *ret) {
	(void)node;
	if (position >= n_members)
		return false;
	*ret = members[position];
	return true;
}

static void add_member(uint32_t node, const char *peer_address) {
	members[n_members++] = (struct node_member){.node = node,
						    .roles = RAFT_ROLE_VOTER,
						    .peer_address = peer_address,
						    .client_address = "192.0.2.1:7600"};
}

static int set_up(void **state) {
	(void)state;
	n_members = 0;
	peer_table_init(&table);
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	peer_table_deinit(&table);
	assert_int_equal(table.n, 0);
	return 0;
}

static void follow(void) {
	peer_table_follow(&table, NULL, SELF, NOW);
}

static void assert_standing(uint32_t node, enum peer_standing standing) {
	const struct peer *peer = peer_table_find(&table, node);

	assert_non_null(peer);
	assert_int_equal(peer->standing, standing);
}

static void test_peer_table__follows_the_members(void **state) {
	(void)state;
	peer_table_add(&table, 2, PEER_LISTED, "a:2", "b:2");
	peer_table_add(&table, 3, PEER_LISTED, "a:3", "b:3");
	add_member(SELF, "a:1");
	add_member(2, "a:2");
	add_member(4, "a:4");
	follow();
	assert_int_equal(table.n, 3);
	assert_null(peer_table_find(&table, SELF));
	assert_standing(2, PEER_MEMBER);
	assert_standing(3, PEER_LEAVING);
	assert_standing(4, PEER_MEMBER);
	assert_int_equal(peer_table_find(&table, 3)->leave_at, NOW + PEER_TABLE_LEAVE_MS * 1000);
	assert_string_equal(peer_table_find(&table, 4)->peer_address, "a:4");
	assert_false(peer_table_find(&table, 4)->moved);
}

static void test_peer_table__keeps_its_own_copy_of_addresses(void **state) {
	char address[16] = "a:2";

	(void)state;
	add_member(2, address);
	follow();
	memset(address, 'x', sizeof address - 1);
	assert_string_equal(peer_table_find(&table, 2)->peer_address, "a:2");
}

static void test_peer_table__sees_that_a_member_has_moved(void **state) {
	(void)state;
	add_member(2, "a:2");
	follow();
	follow();
	assert_false(peer_table_find(&table, 2)->moved);
	members[0].peer_address = "b:2";
	follow();
	assert_true(peer_table_find(&table, 2)->moved);
	assert_string_equal(peer_table_find(&table, 2)->peer_address, "b:2");
}

static void test_peer_table__takes_back_who_was_leaving(void **state) {
	(void)state;
	add_member(2, "a:2");
	follow();
	peer_table_find(&table, 2)->dial_at = UINT64_MAX;
	n_members = 0;
	follow();
	assert_standing(2, PEER_LEAVING);
	add_member(2, "a:2");
	follow();
	assert_standing(2, PEER_MEMBER);
	assert_int_equal(peer_table_find(&table, 2)->dial_at, 0);
	assert_int_equal(table.n, 1);
}

static void test_peer_table__does_not_put_off_a_leave(void **state) {
	struct peer *peer = peer_table_add(&table, 2, PEER_GUEST, "a:2", NULL);

	(void)state;
	peer_table_leave(peer, NOW);
	peer_table_leave(peer, NOW + 1000);
	assert_int_equal(peer->leave_at, NOW + PEER_TABLE_LEAVE_MS * 1000);
}

static void test_peer_table__takes_addresses_that_are_none_for_unknown(void **state) {
	char longest[ADDRESS_BYTES_MAX + 8];

	(void)state;
	memset(longest, 'a', sizeof longest);
	memcpy(longest + sizeof longest - 3, ":1", 3);
	add_member(2, NULL);
	add_member(3, "nowhere");
	add_member(4, longest);
	follow();
	for (uint32_t node = 2; node <= 4; node++)
		assert_string_equal(peer_table_find(&table, node)->peer_address, "");
}

static void test_peer_table__holds_as_many_members_as_a_configuration(void **state) {
	(void)state;
	for (uint32_t node = 1; node <= RAFT_MEMBERS_MAX; node++)
		add_member(node, "a:1");
	follow();
	assert_int_equal(table.n, RAFT_MEMBERS_MAX - 1);
	assert_int_equal(peer_table_count(&table, PEER_MEMBER), RAFT_MEMBERS_MAX - 1);
	assert_int_equal(peer_table_count(&table, PEER_LEAVING), 0);
}

#define test(name) cmocka_unit_test_setup_teardown(test_peer_table__##name, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(takes_addresses_that_are_none_for_unknown),
		test(follows_the_members),
		test(keeps_its_own_copy_of_addresses),
		test(sees_that_a_member_has_moved),
		test(takes_back_who_was_leaving),
		test(does_not_put_off_a_leave),
		test(holds_as_many_members_as_a_configuration),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
