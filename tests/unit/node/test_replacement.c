/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdio.h>
#include <string.h>

enum { SECOND = 1000 * CLUSTER_MS, ELECTION_MAX = 800 * CLUSTER_MS };

static uint32_t begin(struct cluster *cluster, size_t founders, size_t n, uint32_t version) {
	const struct node_config config = {.machine_version_max = version};

	cluster_init_spare(cluster, founders, n, &config);
	cluster_found(cluster);
	for (uint32_t id = 1; id <= founders; id++)
		cluster_hello(cluster, id, id);
	cluster_advance(cluster, SECOND);
	return cluster_leader(cluster);
}

static uint32_t begin_three(struct cluster *cluster) {
	return begin(cluster, 3, 3, 0);
}

static void change(struct cluster *cluster, uint32_t leader, uint64_t id, Client__MemberChange__Kind kind,
		   uint32_t node) {
	const struct cluster_change change = {kind, node, -1};

	cluster_send_change(cluster, leader, leader, id, &change, 1);
}

/* The member as `by` knows it; roles 0: it is none. */
static struct node_member member_of(struct cluster *cluster, uint32_t by, uint32_t node) {
	struct node_member member = {0};

	for (size_t i = 0; node_get_member(cluster_node(cluster, by)->node, i, &member); i++) {
		if (member.node == node)
			return member;
	}
	return (struct node_member){0};
}

static bool has_present_store(struct cluster *cluster, uint32_t by, uint32_t node) {
	struct node_member member = member_of(cluster, by, node);

	return member.roles != 0 && member.store.bytes[0] == (uint8_t)(node + cluster_node(cluster, node)->wipes);
}

static bool was_joint(struct cluster *cluster, uint32_t node) {
	return strstr(cluster_node(cluster, node)->traces, "x") && strstr(cluster_node(cluster, node)->traces, "vox");
}

static void assert_same_state(struct cluster *cluster, uint32_t a, uint32_t b) {
	const struct state *x = node_state(cluster_node(cluster, a)->node, CLUSTER_GROUP);
	const struct state *y = node_state(cluster_node(cluster, b)->node, CLUSTER_GROUP);

	assert_int_equal(state_applied(x), state_applied(y));
	assert_int_equal(state_get_hash(x).low, state_get_hash(y).low);
}

static void post_met(struct cluster *cluster, uint32_t to, uint32_t node, uint8_t store,
		     const struct node_uuid *replaces, size_t n) {
	struct node_met met = {.node = node, .peer_address = "p:1", .replaces = replaces, .n_replaces = n};

	memset(met.store.bytes, store, sizeof met.store.bytes);
	cluster_post(cluster, to, &(struct node_event){.kind = NODE_PEER_MET, .met = &met});
}

static struct node_uuid store_of(struct cluster *cluster, uint32_t by, uint32_t node) {
	return member_of(cluster, by, node).store;
}

/* ---- Not ----------------------------------------------------------------------------------------------------------
 */

static void test_replacement__is_not_for_a_store_that_lives(void **unused) {
	struct cluster cluster;
	struct node_uuid old;
	uint32_t leader, other;

	(void)unused;
	leader = begin_three(&cluster);
	other = leader % 3 + 1;
	old = store_of(&cluster, leader, other);
	for (int i = 0; i < 20; i++) {
		post_met(&cluster, leader, other, 99, &old, 1);
		cluster_advance(&cluster, 200 * CLUSTER_MS);
	}
	assert_true(has_present_store(&cluster, leader, other));
	assert_null(strstr(cluster_node(&cluster, leader)->traces, "event=replacing"));
	cluster_deinit(&cluster);
}

/* The leader does not take its own call for one of somebody else. */
static void test_replacement__is_not_for_the_leader(void **unused) {
	struct cluster cluster;
	struct node_uuid old;
	uint32_t leader;

	(void)unused;
	leader = begin_three(&cluster);
	old = store_of(&cluster, leader, leader);
	post_met(&cluster, leader, leader, 99, &old, 1);
	cluster_advance(&cluster, 3 * SECOND);
	assert_true(has_present_store(&cluster, leader, leader));
	cluster_deinit(&cluster);
}

/* It may be on its way from before: who was heard later than the call lived on. */
static void test_replacement__needs_a_call_behind_the_last_answer(void **unused) {
	struct cluster cluster;
	struct node_uuid old;
	uint32_t leader, other;

	(void)unused;
	leader = begin_three(&cluster);
	other = leader % 3 + 1;
	old = store_of(&cluster, leader, other);
	post_met(&cluster, leader, other, 99, &old, 1);
	cluster_advance(&cluster, SECOND);
	cluster_stop(&cluster, other);
	cluster_advance(&cluster, 5 * SECOND);
	assert_true(has_present_store(&cluster, leader, other));
	post_met(&cluster, leader, other, 99, &old, 1);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(store_of(&cluster, leader, other).bytes[0], 99);
	cluster_deinit(&cluster);
}

static void test_replacement__waits_until_the_old_store_is_silent(void **unused) {
	struct cluster cluster;
	uint32_t leader, other;

	(void)unused;
	leader = begin_three(&cluster);
	other = leader % 3 + 1;
	cluster_damage(&cluster, other);
	cluster_advance(&cluster, ELECTION_MAX / 2);
	assert_false(has_present_store(&cluster, leader, other));
	cluster_advance(&cluster, ELECTION_MAX);
	assert_true(has_present_store(&cluster, leader, other));
	cluster_deinit(&cluster);
}

/* A folder that was emptied by hand says nothing of a past. */
static void test_replacement__is_not_for_who_names_no_past(void **unused) {
	struct cluster cluster;
	struct node_uuid strange = {{77}};
	uint32_t leader, other;

	(void)unused;
	leader = begin_three(&cluster);
	other = leader % 3 + 1;
	cluster_wipe(&cluster, other);
	cluster_node(&cluster, other)->calling = true;
	cluster_advance(&cluster, 3 * SECOND);
	assert_false(has_present_store(&cluster, leader, other));
	cluster_node(&cluster, other)->calling = false;
	post_met(&cluster, leader, other, 99, &strange, 1);
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_not_equal(store_of(&cluster, leader, other).bytes[0], 99);
	cluster_deinit(&cluster);
}

/* Proposed without a majority that answers, it could never be committed, and a majority that comes back would have to
 * finish it. */
static void test_replacement__needs_a_majority_without_the_lost_one(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost, away;

	(void)unused;
	leader = begin_three(&cluster);
	lost = leader % 3 + 1;
	away = lost % 3 + 1;
	cluster_damage(&cluster, lost);
	cluster_advance(&cluster, ELECTION_MAX / 2);
	cluster_node(&cluster, away)->cut = true;
	cluster_advance(&cluster, 3 * SECOND);
	assert_false(has_present_store(&cluster, leader, lost));
	assert_null(strstr(cluster_node(&cluster, leader)->traces, "event=replacing"));
	cluster_node(&cluster, away)->cut = false;
	cluster_advance(&cluster, 5 * SECOND);
	assert_true(has_present_store(&cluster, away, lost));
	cluster_deinit(&cluster);
}

static void test_replacement__half_of_two_is_no_majority(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost;

	(void)unused;
	leader = begin(&cluster, 2, 2, 0);
	lost = leader % 2 + 1;
	cluster_damage(&cluster, lost);
	cluster_advance(&cluster, 5 * SECOND);
	assert_false(has_present_store(&cluster, leader, lost));
	assert_int_equal(cluster_leader(&cluster), 0);
	cluster_deinit(&cluster);
}

static void test_replacement__takes_no_store_of_another_member(void **unused) {
	struct cluster cluster;
	struct node_uuid old, now;
	uint32_t leader, lost, other;

	(void)unused;
	leader = begin_three(&cluster);
	lost = leader % 3 + 1;
	other = lost % 3 + 1;
	old = store_of(&cluster, leader, lost);
	cluster_stop(&cluster, lost);
	cluster_advance(&cluster, SECOND);
	post_met(&cluster, leader, lost, (uint8_t)other, &old, 1);
	cluster_advance(&cluster, 3 * SECOND);
	now = store_of(&cluster, leader, lost);
	assert_memory_equal(&old, &now, sizeof old);
	cluster_deinit(&cluster);
}

/* An older program does not know the mark: nothing of it before all have told that they do. */
static void test_replacement__waits_for_the_machine_version(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost;

	(void)unused;
	leader = begin(&cluster, 3, 3, 2);
	lost = leader % 3 + 1;
	cluster_damage(&cluster, lost);
	cluster_advance(&cluster, 5 * SECOND);
	assert_false(has_present_store(&cluster, leader, lost));
	/* The way that is left. */
	change(&cluster, leader, 1, CLIENT__MEMBER_CHANGE__KIND__VOTER, lost);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_NOT_READY);
	change(&cluster, leader, 2, CLIENT__MEMBER_CHANGE__KIND__ABSENT, lost);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_OK);
	change(&cluster, leader, 3, CLIENT__MEMBER_CHANGE__KIND__VOTER, lost);
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 3), LOCKD_OK);
	assert_true(has_present_store(&cluster, leader, lost));
	cluster_deinit(&cluster);
}

/* What a caller names is bounded: more than eight are not listened to. */
static void test_replacement__remembers_eight_stores(void **unused) {
	struct node_uuid past[LIMIT_PAST_STORES_MAX + 1] = {0};
	struct cluster cluster;
	uint32_t leader, lost;

	(void)unused;
	leader = begin_three(&cluster);
	lost = leader % 3 + 1;
	for (size_t i = 0; i <= LIMIT_PAST_STORES_MAX; i++)
		past[i].bytes[0] = (uint8_t)(200 + i);
	past[LIMIT_PAST_STORES_MAX] = store_of(&cluster, leader, lost);
	cluster_stop(&cluster, lost);
	cluster_advance(&cluster, SECOND);
	post_met(&cluster, leader, lost, 99, past, LIMIT_PAST_STORES_MAX + 1);
	cluster_advance(&cluster, SECOND);
	assert_int_not_equal(store_of(&cluster, leader, lost).bytes[0], 99);
	post_met(&cluster, leader, lost, 99, past + 1, LIMIT_PAST_STORES_MAX);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(store_of(&cluster, leader, lost).bytes[0], 99);
	cluster_deinit(&cluster);
}

/* ---- The way there ------------------------------------------------------------------------------------------------
 */

static void test_replacement__gives_a_voter_its_new_store(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost;
	uint64_t opened;

	(void)unused;
	leader = begin_three(&cluster);
	lost = leader % 3 + 1;
	opened = cluster_open(&cluster, leader, leader, "nonce", 60000);
	assert_true(cluster_acquire(&cluster, leader, leader, opened, 1, "lock") > 0);
	cluster_damage(&cluster, lost);
	cluster_advance(&cluster, 3 * SECOND);
	for (uint32_t id = 1; id <= 3; id++) {
		struct node_member member = member_of(&cluster, id, lost);

		assert_int_equal(member.roles, RAFT_ROLE_VOTER);
		assert_true(has_present_store(&cluster, id, lost));
		assert_same_state(&cluster, leader, id);
	}
	assert_true(was_joint(&cluster, leader));
	assert_non_null(strstr(cluster_node(&cluster, leader)->traces, "event=replacing node="));
	assert_non_null(strstr(cluster_node(&cluster, leader)->traces, "event=replaced node="));
	/* It votes again: with it alone there is a majority. */
	cluster_node(&cluster, leader % 3 + 1 == lost ? lost % 3 + 1 : leader % 3 + 1)->cut = true;
	assert_true(cluster_acquire(&cluster, leader, leader, opened, 2, "another") > 0);
	cluster_deinit(&cluster);
}

static void test_replacement__follows_a_chain_of_losses(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost;

	(void)unused;
	leader = begin_three(&cluster);
	lost = leader % 3 + 1;
	for (int i = 0; i < 3; i++)
		cluster_damage(&cluster, lost);
	assert_int_equal(cluster_node(&cluster, lost)->n_past, 3);
	cluster_advance(&cluster, 3 * SECOND);
	assert_true(has_present_store(&cluster, lost, lost));
	cluster_damage(&cluster, lost);
	cluster_advance(&cluster, 3 * SECOND);
	assert_true(has_present_store(&cluster, lost, lost));
	assert_same_state(&cluster, leader, lost);
	cluster_deinit(&cluster);
}

static void test_replacement__of_the_leader_is_done_by_the_next_one(void **unused) {
	struct cluster cluster;
	uint32_t lost, leader;

	(void)unused;
	lost = begin_three(&cluster);
	cluster_damage(&cluster, lost);
	leader = cluster_await_leader(&cluster, lost);
	cluster_advance(&cluster, 3 * SECOND);
	assert_true(has_present_store(&cluster, lost, lost));
	assert_same_state(&cluster, leader, lost);
	cluster_deinit(&cluster);
}

static void test_replacement__two_are_done_one_after_the_other(void **unused) {
	struct cluster cluster;
	uint32_t leader, first, second;

	(void)unused;
	leader = begin(&cluster, 5, 5, 0);
	first = leader % 5 + 1;
	second = first % 5 + 1;
	cluster_damage(&cluster, first);
	cluster_damage(&cluster, second);
	cluster_advance(&cluster, 5 * SECOND);
	assert_true(has_present_store(&cluster, leader, first));
	assert_true(has_present_store(&cluster, leader, second));
	assert_same_state(&cluster, leader, first);
	assert_same_state(&cluster, leader, second);
	cluster_deinit(&cluster);
}

static void test_replacement__gives_a_learner_its_new_store(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 4, 0);
	cluster_node(&cluster, 4)->calling = true;
	cluster_advance(&cluster, SECOND);
	change(&cluster, leader, 1, CLIENT__MEMBER_CHANGE__KIND__LEARNER, 4);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	cluster_damage(&cluster, 4);
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_equal(member_of(&cluster, leader, 4).roles, RAFT_ROLE_LEARNER);
	assert_true(has_present_store(&cluster, leader, 4));
	assert_same_state(&cluster, leader, 4);
	assert_false(was_joint(&cluster, leader));
	assert_non_null(strstr(cluster_node(&cluster, leader)->traces, "event=replaced node=4"));
	cluster_deinit(&cluster);
}

/* The leader that has begun it is gone; the next one finds it in its log, or is called by the node again. */
static void test_replacement__survives_the_leader_that_began_it(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost, next;

	(void)unused;
	leader = begin(&cluster, 5, 5, 0);
	lost = leader % 5 + 1;
	cluster_damage(&cluster, lost);
	cluster_advance(&cluster, ELECTION_MAX - 100 * CLUSTER_MS);
	for (uint32_t id = 1; id <= 5; id++)
		cluster_node(&cluster, id)->hold_saves = id != leader;
	for (int i = 0; i < 4000 && !strstr(cluster_node(&cluster, leader)->traces, "event=replacing"); i++)
		cluster_advance(&cluster, CLUSTER_MS);
	cluster_node(&cluster, leader)->cut = true;
	for (uint32_t id = 1; id <= 5; id++)
		cluster_node(&cluster, id)->hold_saves = false;
	next = cluster_await_leader(&cluster, leader);
	cluster_advance(&cluster, 3 * SECOND);
	assert_true(has_present_store(&cluster, next, lost));
	assert_non_null(strstr(cluster_node(&cluster, next)->traces, "event=replaced node="));
	assert_same_state(&cluster, next, lost);
	cluster_node(&cluster, leader)->cut = false;
	cluster_advance(&cluster, 3 * SECOND);
	assert_true(has_present_store(&cluster, leader, lost));
	cluster_deinit(&cluster);
}

/* Where it was: role, priority and addresses that were set by hand stay unless it says otherwise. */
static void test_replacement__keeps_the_priority(void **unused) {
	const struct cluster_change change = {CLIENT__MEMBER_CHANGE__KIND__SAME, 0, 7};
	struct cluster_change of_lost = change;
	struct cluster cluster;
	Client__Reply *reply;
	uint32_t leader, lost;

	(void)unused;
	leader = begin_three(&cluster);
	lost = of_lost.node = leader % 3 + 1;
	cluster_stop(&cluster, lost);
	cluster_send_change(&cluster, leader, leader, 1, &of_lost, 1);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	cluster_damage(&cluster, lost);
	cluster_advance(&cluster, SECOND);
	reply = cluster_status(&cluster, leader, leader);
	for (size_t i = 0; i < reply->node->n_peers; i++)
		assert_int_equal(reply->node->peers[i]->priority, reply->node->peers[i]->node == lost ? 7 : 0);
	client__reply__free_unpacked(reply, NULL);
	assert_true(has_present_store(&cluster, leader, lost));
	cluster_deinit(&cluster);
}

/* ---- With an administrator ----------------------------------------------------------------------------------------
 */

static void test_replacement__removal_that_came_first_is_not_undone(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost;

	(void)unused;
	leader = begin_three(&cluster);
	lost = leader % 3 + 1;
	cluster_damage(&cluster, lost);
	cluster_settle(&cluster);
	change(&cluster, leader, 1, CLIENT__MEMBER_CHANGE__KIND__ABSENT, lost);
	cluster_advance(&cluster, 5 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_int_equal(member_of(&cluster, leader, lost).roles, 0);
	assert_null(strstr(cluster_node(&cluster, leader)->traces, "event=replacing"));
	assert_true(node_is_blank(cluster_node(&cluster, lost)->node));
	cluster_deinit(&cluster);
}

static void test_replacement__request_waits_for_its_end(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost, other;

	(void)unused;
	leader = begin_three(&cluster);
	lost = leader % 3 + 1;
	other = lost % 3 + 1;
	cluster_damage(&cluster, lost);
	cluster_settle(&cluster);
	cluster_advance(&cluster, ELECTION_MAX - 100 * CLUSTER_MS);
	cluster_node(&cluster, other)->hold_saves = true;
	for (int i = 0; i < 4000 && !strstr(cluster_node(&cluster, leader)->traces, "event=replacing"); i++)
		cluster_advance(&cluster, CLUSTER_MS);
	change(&cluster, leader, 1, CLIENT__MEMBER_CHANGE__KIND__ABSENT, lost);
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), -1);
	assert_int_equal(member_of(&cluster, leader, lost).roles,
			 RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LOST);
	cluster_node(&cluster, other)->hold_saves = false;
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_int_equal(member_of(&cluster, leader, lost).roles, 0);
	cluster_deinit(&cluster);
}

/* It is carried out first, on the old store; what it has made of the member is what gets the new one. */
static void test_replacement__comes_behind_a_request_for_the_node(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost;

	(void)unused;
	leader = begin_three(&cluster);
	lost = leader % 3 + 1;
	cluster_damage(&cluster, lost);
	cluster_settle(&cluster);
	change(&cluster, leader, 1, CLIENT__MEMBER_CHANGE__KIND__LEARNER, lost);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_false(has_present_store(&cluster, leader, lost));
	cluster_advance(&cluster, 2 * SECOND);
	assert_true(has_present_store(&cluster, leader, lost));
	assert_int_equal(member_of(&cluster, leader, lost).roles, RAFT_ROLE_LEARNER);
	assert_same_state(&cluster, leader, lost);
	cluster_deinit(&cluster);
}

/* ---- Status -------------------------------------------------------------------------------------------------------
 */

static void assert_storage(struct cluster *cluster, uint32_t node, node_connection connection, uint32_t repairs,
			   bool restoring) {
	Client__Reply *reply;

	cluster_hello(cluster, node, connection);
	reply = cluster_status(cluster, node, connection);
	assert_int_equal(reply->node->repairs, repairs);
	assert_int_equal(reply->node->restoring, restoring);
	assert_int_equal(reply->node->damage.len > 0, repairs > 0);
	assert_false(reply->node->disk_full);
	client__reply__free_unpacked(reply, NULL);
}

static void test_replacement__shows_in_the_status(void **unused) {
	struct cluster cluster;
	uint32_t leader, lost;

	(void)unused;
	leader = begin_three(&cluster);
	lost = leader % 3 + 1;
	assert_storage(&cluster, lost, 51, 0, false);
	cluster_damage(&cluster, lost);
	cluster_settle(&cluster);
	assert_storage(&cluster, lost, 52, 1, true);
	assert_storage(&cluster, leader, 53, 0, false);
	cluster_advance(&cluster, 3 * SECOND);
	assert_storage(&cluster, lost, 54, 1, false);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replacement__is_not_for_a_store_that_lives),
		cmocka_unit_test(test_replacement__is_not_for_the_leader),
		cmocka_unit_test(test_replacement__needs_a_call_behind_the_last_answer),
		cmocka_unit_test(test_replacement__waits_until_the_old_store_is_silent),
		cmocka_unit_test(test_replacement__is_not_for_who_names_no_past),
		cmocka_unit_test(test_replacement__needs_a_majority_without_the_lost_one),
		cmocka_unit_test(test_replacement__half_of_two_is_no_majority),
		cmocka_unit_test(test_replacement__takes_no_store_of_another_member),
		cmocka_unit_test(test_replacement__waits_for_the_machine_version),
		cmocka_unit_test(test_replacement__remembers_eight_stores),
		cmocka_unit_test(test_replacement__gives_a_voter_its_new_store),
		cmocka_unit_test(test_replacement__follows_a_chain_of_losses),
		cmocka_unit_test(test_replacement__of_the_leader_is_done_by_the_next_one),
		cmocka_unit_test(test_replacement__two_are_done_one_after_the_other),
		cmocka_unit_test(test_replacement__gives_a_learner_its_new_store),
		cmocka_unit_test(test_replacement__survives_the_leader_that_began_it),
		cmocka_unit_test(test_replacement__keeps_the_priority),
		cmocka_unit_test(test_replacement__removal_that_came_first_is_not_undone),
		cmocka_unit_test(test_replacement__request_waits_for_its_end),
		cmocka_unit_test(test_replacement__comes_behind_a_request_for_the_node),
		cmocka_unit_test(test_replacement__shows_in_the_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
