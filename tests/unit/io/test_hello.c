/* SPDX-License-Identifier: Apache-2.0 */
/* Who may talk to whom. */
#include "lockd/io/hello.h"

#include <lockd/status.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct hello own, theirs;
static struct raft_configuration members;
static struct hello_view view;
static struct hello_verdict verdict;

static int set_up(void **state) {
	(void)state;
	own = (struct hello){.protocol_min = 1, .protocol_max = 1, .incarnation = {{7}}, .node = 1, .store = {{1}}};
	theirs = (struct hello){
		.protocol_min = 1, .protocol_max = 1, .incarnation = {{7}}, .node = 2, .store = {{2}}, .to = 1};
	members = (struct raft_configuration){.n = 2,
					      .members = {{.node = 1, .store = {{1}}, .roles = RAFT_ROLE_VOTER},
							  {.node = 2, .store = {{2}}, .roles = RAFT_ROLE_VOTER}}};
	snprintf(theirs.peer_address, sizeof theirs.peer_address, "192.0.2.2:7601");
	view = (struct hello_view){.members = &members, .standing = HELLO_FOLLOWS, .leader = 3};
	return 0;
}

static void judge(bool listed) {
	view.members = own.blank ? NULL : &members;
	view.listed = listed;
	memset(&verdict, 0xee, sizeof verdict);
	hello_judge(&own, &theirs, &view, &verdict);
}

static void assert_refused(bool listed, int status, const char *expected) {
	judge(listed);
	assert_int_equal(verdict.status, status);
	assert_string_equal(verdict.text, expected);
	assert_false(verdict.candidate);
}

static void assert_welcome(bool listed) {
	judge(listed);
	assert_int_equal(verdict.status, LOCKD_OK);
	assert_string_equal(verdict.text, "");
	assert_false(verdict.candidate);
}

static void test_hello__refuses_another_protocol(void **state) {
	(void)state;
	theirs.protocol_min = theirs.protocol_max = 2;
	assert_refused(true, LOCKD_PROTOCOL, "node 2 speaks protocol versions 2 to 2, node 1 speaks 1 to 1");
}

static void test_hello__refuses_its_own_number(void **state) {
	(void)state;
	theirs.node = 1;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "both ends are configured as node 1");
}

static void test_hello__refuses_a_call_for_somebody_else(void **state) {
	(void)state;
	theirs.to = 3;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 1 was called under the address of node 3");
}

static void test_hello__refuses_an_unknown_node_while_nobody_is_founded(void **state) {
	(void)state;
	own.blank = theirs.blank = true;
	theirs.node = 9;
	assert_refused(false, LOCKD_WRONG_CLUSTER, "node 1 does not know a node 9");
}

static void test_hello__tells_the_node_of_blank_ones_that_could_be_added(void **state) {
	(void)state;
	theirs.blank = true;
	theirs.node = 4;
	for (int listed = 0; listed < 2; listed++) {
		judge(listed);
		assert_int_equal(verdict.status, LOCKD_WRONG_CLUSTER);
		assert_string_equal(verdict.text, "node 4 is not a member yet: lockctl cluster add 4");
		assert_true(verdict.candidate);
	}
	theirs.peer_address[0] = '\0'; /* nobody could dial it */
	assert_refused(false, LOCKD_WRONG_CLUSTER, "node 4 is not a member yet: lockctl cluster add 4");
}

static void test_hello__refuses_a_removed_node_in_the_words_of_who_knows(void **state) {
	(void)state;
	theirs.node = 4;
	view.standing = HELLO_LEADS;
	assert_refused(true, LOCKD_WRONG_CLUSTER,
		       "node 4 is not a member of the cluster any more: stop it; its data folder can be deleted");
	view.standing = HELLO_FOLLOWS;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 4 is no member as far as is known here");
}

/* It may have been added, and lead, while we were away. */
static void test_hello__does_not_refuse_who_may_lead(void **state) {
	(void)state;
	theirs.node = 4;
	view.standing = HELLO_LOST;
	assert_welcome(false);
	view.standing = HELLO_FOLLOWS;
	view.leader = 4;
	assert_welcome(false);
	own.blank = true; /* to be let in by whoever leads */
	assert_welcome(false);
}

static void test_hello__refuses_another_incarnation(void **state) {
	(void)state;
	theirs.incarnation.bytes[15] = 1;
	for (uint32_t node = 2; node <= 4; node += 2) {
		char expected[160];

		theirs.node = node;
		snprintf(
			expected, sizeof expected,
			"node 1 and node %u belong to different clusters: one has a foreign data folder, or one that a "
			"forced recovery left behind",
			node);
		assert_refused(true, LOCKD_WRONG_CLUSTER, expected);
	}
}

static void test_hello__lets_in_whoever_may_lead_a_node_without_a_vote(void **state) {
	(void)state;
	theirs.store.bytes[15] = 1; /* the founder of that number was replaced */
	members.members[0].roles = RAFT_ROLE_LEARNER;
	assert_welcome(true);
	members.members[0].roles = RAFT_ROLE_VOTER;
	own.store.bytes[15] = 1; /* the founder of our number was replaced: we have just joined */
	assert_welcome(true);
}

/* It may have been removed and added anew while we were away, and lead by now. */
static void test_hello__hears_a_member_with_another_data_folder_while_nobody_else_leads(void **state) {
	(void)state;
	theirs.store.bytes[0] = 9;
	view.standing = HELLO_LOST;
	view.leader = 0;
	assert_welcome(true);
	view.standing = HELLO_FOLLOWS;
	view.leader = 2;
	assert_welcome(true);
	view.standing = HELLO_LEADS;
	view.leader = 1;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 2 is a member with another data folder");
}

static void test_hello__refuses_a_member_with_another_data_folder(void **state) {
	(void)state;
	theirs.store.bytes[15] = 1;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 2 is a member with another data folder");
}

/* The leader gives it the place of that one by itself: it has to be told whom to call. */
static void test_hello__tells_a_damaged_member_that_it_is_being_replaced(void **state) {
	(void)state;
	theirs.blank = true;
	theirs.past_incarnation = own.incarnation;
	theirs.store.bytes[0] = 9;
	theirs.replaces[0].bytes[0] = 8;
	theirs.n_replaces = 1;
	judge(true);
	assert_string_equal(verdict.text, "node 2 is a member with another data folder"); /* and with none of its own */
	theirs.replaces[1].bytes[0] = 2;
	theirs.n_replaces = 2;
	for (int standing = HELLO_LOST; standing <= HELLO_LEADS; standing++) {
		view.standing = (enum hello_standing)standing;
		judge(true);
		assert_int_equal(verdict.status, LOCKD_WRONG_CLUSTER);
		assert_string_equal(
			verdict.text,
			"node 2 is a member with a data folder that it found damaged: the new one takes its "
			"place when that has been silent for a while");
		assert_true(verdict.candidate);
	}
}

/* A node whose damaged folder belonged to a cluster joins no other one, and lets no other one begin. */
static void assert_apart(uint32_t waiting, uint32_t other) {
	char expected[160];

	snprintf(expected, sizeof expected,
		 "node %u waits for the cluster that its damaged data folder belonged to, and node %u is not of that",
		 waiting, other);
	assert_refused(true, LOCKD_WRONG_CLUSTER, expected);
}

static void test_hello__keeps_a_damaged_node_apart_from_other_clusters(void **state) {
	(void)state;
	theirs.blank = true;
	theirs.past_incarnation.bytes[0] = 6;
	assert_apart(2, 1);
	own.blank = true;
	assert_apart(2, 1); /* from a node of none, too: they would found one */
	own.past_incarnation.bytes[0] = 7;
	assert_apart(2, 1);
	theirs.past_incarnation.bytes[0] = 0;
	assert_apart(1, 2);
	theirs.blank = false;
	theirs.incarnation.bytes[0] = 6;
	assert_apart(1, 2);
}

static void test_hello__lets_a_damaged_node_talk_to_its_own_cluster(void **state) {
	(void)state;
	own.blank = true;
	own.past_incarnation.bytes[0] = 7;
	assert_welcome(true); /* a member of it */
	assert_welcome(false);
	theirs.blank = true;
	theirs.past_incarnation.bytes[0] = 7;
	assert_welcome(true); /* another one that waits for it */
	own.past_incarnation.bytes[0] = theirs.past_incarnation.bytes[0] = 0;
	assert_welcome(true); /* damaged before they belonged to any */
	own.blank = false;
	theirs.past_incarnation.bytes[0] = 7;
	assert_welcome(true); /* it has the member's place already */
}

/* It can be removed, and then added with the folder that it has. */
static void test_hello__a_member_that_lost_its_data_folder_is_a_candidate(void **state) {
	(void)state;
	theirs.store.bytes[15] = 1;
	theirs.blank = true;
	for (unsigned voting = 0; voting < 2; voting++) {
		own.store.bytes[15] = !voting;
		judge(true);
		assert_int_equal(verdict.status, LOCKD_WRONG_CLUSTER);
		assert_string_equal(verdict.text, "node 2 is a member with another data folder");
		assert_true(verdict.candidate);
	}
	theirs.peer_address[0] = '\0';
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 2 is a member with another data folder");
}

static void test_hello__welcomes_members_and_listed_blanks(void **state) {
	(void)state;
	assert_welcome(true);
	theirs.blank = true; /* to be let in */
	assert_welcome(true);
	own.blank = true; /* both: a founding */
	assert_welcome(true);
	theirs.blank = false; /* we are to be let in */
	theirs.to = 0;        /* the answer names nobody */
	assert_welcome(true);
}

static struct hello there_and_back(const struct hello *hello) {
	uint8_t body[HELLO_BYTES_MAX];
	struct hello back;
	struct arena arena;
	size_t n = hello_pack(hello, body);

	arena_init(&arena);
	assert_int_equal(hello_unpack(body, n, &arena, &back), 0);
	arena_deinit(&arena);
	return back;
}

static void test_hello__comes_back_as_it_was_packed(void **state) {
	struct hello back;

	(void)state;
	own.memory = (struct node_memory){.boot_count = 8, .boot = 42, .term = 6, .vote = 2, .last = 1234567890123};
	own.forgetful = true;
	own.epoch = 5;
	own.purpose = PEER_PURPOSE_SNAPSHOT;
	own.status = LOCKD_WRONG_CLUSTER;
	own.snapshot_offset = 77;
	own.leader = 3;
	snprintf(own.leader_address, sizeof own.leader_address, "c:3");
	memset(own.snapshot.bytes, 9, sizeof own.snapshot.bytes);
	snprintf(own.text, sizeof own.text, "no\nway");
	snprintf(own.peer_address, sizeof own.peer_address, "a:1");
	back = there_and_back(&own);
	assert_memory_equal(&back.store, &own.store, sizeof own.store);
	assert_memory_equal(&back.incarnation, &own.incarnation, sizeof own.incarnation);
	assert_false(back.blank);
	assert_int_equal(back.memory.boot_count, 8);
	assert_int_equal(back.memory.boot, 42);
	assert_int_equal(back.memory.term, 6);
	assert_int_equal(back.memory.vote, 2);
	assert_int_equal(back.memory.last, 1234567890123);
	assert_true(back.forgetful);
	assert_int_equal(back.epoch, 5);
	assert_int_equal(back.purpose, PEER_PURPOSE_SNAPSHOT);
	assert_int_equal(back.status, LOCKD_WRONG_CLUSTER);
	assert_int_equal(back.snapshot_offset, 77);
	assert_memory_equal(&back.snapshot, &own.snapshot, sizeof own.snapshot);
	assert_string_equal(back.text, "no?way");
	assert_string_equal(back.peer_address, "a:1");
	assert_string_equal(back.client_address, "");
	assert_int_equal(back.leader, 3);
	assert_string_equal(back.leader_address, "c:3");
}

static void test_hello__carries_the_past_of_a_blank_node(void **state) {
	uint8_t body[HELLO_BYTES_MAX];
	struct hello back;

	(void)state;
	own.past_incarnation.bytes[3] = 5;
	own.n_replaces = LIMIT_PAST_STORES_MAX;
	for (size_t i = 0; i < own.n_replaces; i++)
		own.replaces[i].bytes[15] = (uint8_t)(i + 1);
	back = there_and_back(&own);
	assert_int_equal(back.n_replaces, 0); /* a member has none that concerns others, and does not send it either */
	assert_in_range(hello_pack(&own, body), 1, 100);
	assert_false(hello_waits_for_its_cluster(&back));
	own.blank = true;
	back = there_and_back(&own);
	assert_int_equal(back.n_replaces, LIMIT_PAST_STORES_MAX);
	assert_memory_equal(back.replaces, own.replaces, sizeof own.replaces);
	assert_memory_equal(&back.past_incarnation, &own.past_incarnation, sizeof own.past_incarnation);
	assert_true(hello_waits_for_its_cluster(&back));
	own.past_incarnation.bytes[3] = 0;
	assert_false(hello_waits_for_its_cluster(&own));
	back = there_and_back(&own);
	assert_false(hello_waits_for_its_cluster(&back));
	assert_int_equal(back.n_replaces, LIMIT_PAST_STORES_MAX);
}

/* Every field as long as it can be. */
static void test_hello__has_room_for_everything(void **state) {
	struct hello back;

	(void)state;
	memset(&own, 0xff, sizeof own);
	own.protocol_min = own.protocol_max = UINT32_MAX;
	own.blank = own.forgetful = true;
	own.n_replaces = LIMIT_PAST_STORES_MAX;
	memset(own.text, 'x', sizeof own.text);
	own.text[sizeof own.text - 1] = '\0';
	for (char *address = own.peer_address;;
	     address = address == own.peer_address ? own.client_address : own.leader_address) {
		memset(address, 'a', ADDRESS_BYTES_MAX);
		memcpy(address + ADDRESS_BYTES_MAX - 7, ":65535", 7);
		if (address == own.leader_address)
			break;
	}
	back = there_and_back(&own);
	assert_string_equal(back.leader_address, own.leader_address);
	assert_string_equal(back.text, own.text);
	assert_int_equal(back.n_replaces, LIMIT_PAST_STORES_MAX);
}

static void test_hello__forgets_addresses_that_nobody_can_dial(void **state) {
	static const char *const useless[] = {"a", "a:0", "0.0.0.0:7601", "a b:1", "a\nb:1"};

	(void)state;
	for (size_t i = 0; i < sizeof useless / sizeof *useless; i++) {
		snprintf(own.peer_address, sizeof own.peer_address, "%s", useless[i]);
		assert_string_equal(there_and_back(&own).peer_address, "");
	}
	memset(own.peer_address, 'a', sizeof own.peer_address);
	memcpy(own.peer_address + sizeof own.peer_address - 3, ":1", 3);
	assert_string_equal(there_and_back(&own).peer_address, own.peer_address);
}

static void test_hello__rejects_what_is_malformed(void **state) {
	uint8_t body[HELLO_BYTES_MAX];
	struct hello back;
	struct arena arena;
	size_t n;

	(void)state;
	arena_init(&arena);
	assert_true(hello_unpack((const uint8_t *)"\xff\xff", 2, &arena, &back) < 0);
	assert_true(hello_unpack(NULL, 0, &arena, &back) < 0); /* no store */
	own.node = 0;
	n = hello_pack(&own, body);
	assert_true(hello_unpack(body, n, &arena, &back) < 0);
	own.node = 1;
	n = hello_pack(&own, body);
	memcpy(body + n, "\xba\x01\x02hi", 5); /* replaces a store of two bytes */
	assert_true(hello_unpack(body, n + 5, &arena, &back) < 0);
	memcpy(body + n, "\xc2\x01\x02hi", 5); /* a past cluster of two bytes */
	assert_true(hello_unpack(body, n + 5, &arena, &back) < 0);
	own.blank = true;
	own.n_replaces = LIMIT_PAST_STORES_MAX;
	n = hello_pack(&own, body);
	memcpy(body + n, "\xba\x01\x10one store too many", 19);
	assert_true(hello_unpack(body, n + 19, &arena, &back) < 0);
	assert_int_equal(hello_unpack(body, n, &arena, &back), 0);
	arena_deinit(&arena);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_hello__refuses_another_protocol, set_up),
		cmocka_unit_test_setup(test_hello__refuses_its_own_number, set_up),
		cmocka_unit_test_setup(test_hello__refuses_a_call_for_somebody_else, set_up),
		cmocka_unit_test_setup(test_hello__refuses_an_unknown_node_while_nobody_is_founded, set_up),
		cmocka_unit_test_setup(test_hello__tells_the_node_of_blank_ones_that_could_be_added, set_up),
		cmocka_unit_test_setup(test_hello__refuses_a_removed_node_in_the_words_of_who_knows, set_up),
		cmocka_unit_test_setup(test_hello__does_not_refuse_who_may_lead, set_up),
		cmocka_unit_test_setup(test_hello__refuses_another_incarnation, set_up),
		cmocka_unit_test_setup(test_hello__refuses_a_member_with_another_data_folder, set_up),
		cmocka_unit_test_setup(test_hello__hears_a_member_with_another_data_folder_while_nobody_else_leads,
				       set_up),
		cmocka_unit_test_setup(test_hello__a_member_that_lost_its_data_folder_is_a_candidate, set_up),
		cmocka_unit_test_setup(test_hello__lets_in_whoever_may_lead_a_node_without_a_vote, set_up),
		cmocka_unit_test_setup(test_hello__welcomes_members_and_listed_blanks, set_up),
		cmocka_unit_test_setup(test_hello__comes_back_as_it_was_packed, set_up),
		cmocka_unit_test_setup(test_hello__tells_a_damaged_member_that_it_is_being_replaced, set_up),
		cmocka_unit_test_setup(test_hello__keeps_a_damaged_node_apart_from_other_clusters, set_up),
		cmocka_unit_test_setup(test_hello__lets_a_damaged_node_talk_to_its_own_cluster, set_up),
		cmocka_unit_test_setup(test_hello__carries_the_past_of_a_blank_node, set_up),
		cmocka_unit_test_setup(test_hello__has_room_for_everything, set_up),
		cmocka_unit_test_setup(test_hello__forgets_addresses_that_nobody_can_dial, set_up),
		cmocka_unit_test_setup(test_hello__rejects_what_is_malformed, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
