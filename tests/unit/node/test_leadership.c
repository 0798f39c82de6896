/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <string.h>

enum { SECOND = 1000 * CLUSTER_MS };

/* Every node has a connection of its own number. */
static uint32_t begin(struct cluster *cluster, size_t n) {
	cluster_init(cluster, n);
	cluster_found(cluster);
	for (uint32_t id = 1; id <= n; id++)
		cluster_hello(cluster, id, id);
	cluster_advance(cluster, SECOND);
	return cluster_leader(cluster);
}

static void prefer(struct cluster *cluster, uint32_t leader, uint32_t node, int priority) {
	const struct cluster_change change = {CLIENT__MEMBER_CHANGE__KIND__SAME, node, priority};

	cluster_send_change(cluster, leader, leader, 777, &change, 1);
	cluster_advance(cluster, 200 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(cluster, leader, 777), LOCKD_OK);
}

static void stop(struct cluster *cluster, uint32_t node) {
	cluster_post(cluster, node, &(struct node_event){.kind = NODE_STOP});
}

static raft_term term(struct cluster *cluster, uint32_t node) {
	struct raft_status status;

	raft_get_status(node_raft(cluster_node(cluster, node)->node, CLUSTER_GROUP), &status);
	return status.term;
}

/* ---- On request ---------------------------------------------------------------------------------------------------
 */

static void test_leadership__is_not_handed_over_by_a_follower(void **unused) {
	struct cluster cluster;
	uint32_t leader, follower;
	Client__Reply *reply;

	(void)unused;
	leader = begin(&cluster, 3);
	follower = leader % 3 + 1;
	cluster_send_transfer(&cluster, follower, follower, 1, follower);
	cluster_settle(&cluster);
	reply = cluster_take_reply(&cluster, follower, 1);
	assert_int_equal(reply->status, LOCKD_NOT_LEADER);
	assert_int_equal(reply->leader, leader);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_leadership__is_not_handed_to_a_stranger(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3);
	cluster_send_transfer(&cluster, leader, leader, 1, 9);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_NOT_READY);
	assert_int_equal(cluster_leader(&cluster), leader);
	cluster_deinit(&cluster);
}

static void test_leadership__is_handed_over_and_the_answer_follows(void **unused) {
	struct cluster cluster;
	uint32_t leader, follower;

	(void)unused;
	leader = begin(&cluster, 3);
	follower = leader % 3 + 1;
	cluster_send_transfer(&cluster, leader, leader, 1, leader);
	cluster_settle(&cluster);
	cluster_send_transfer(&cluster, leader, leader, 2, follower);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_OK);
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	assert_int_equal(cluster_leader(&cluster), follower);
	cluster_deinit(&cluster);
}

static void test_leadership__makes_commands_wait_and_loses_none(void **unused) {
	struct cluster cluster;
	uint32_t leader, target;
	uint64_t opened, token;
	Client__Reply *reply;

	(void)unused;
	leader = begin(&cluster, 3);
	target = leader % 3 + 1;
	opened = cluster_open(&cluster, leader, leader, "nonce", 60000);
	/* The target does not answer: the transfer lasts until it is given up. */
	cluster_node(&cluster, target)->paused = true;
	assert_int_not_equal(cluster_acquire(&cluster, leader, leader, opened, 1, "first"), 0);
	cluster_send_transfer(&cluster, leader, leader, 1, target);
	cluster_settle(&cluster);
	cluster_send_transfer(&cluster, leader, leader, 2, 0);
	cluster_send_acquire(&cluster, leader, leader, 3, opened, 2, "second", 0);
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_UNSETTLED);
	assert_null(cluster_take_reply(&cluster, leader, 3));
	reply = cluster_status(&cluster, leader, leader);
	assert_int_equal(reply->node->transfer_to, target);
	client__reply__free_unpacked(reply, NULL);

	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_NOT_READY);
	reply = cluster_take_reply(&cluster, leader, 3);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	token = reply->token;
	client__reply__free_unpacked(reply, NULL);
	assert_int_equal(cluster_acquire(&cluster, leader, leader, opened, 2, "second"), token);
	cluster_deinit(&cluster);
}

static void test_leadership__redirects_what_waited_once_it_is_handed_over(void **unused) {
	struct cluster cluster;
	uint32_t leader, target;
	uint64_t opened;

	(void)unused;
	leader = begin(&cluster, 3);
	target = leader % 3 + 1;
	opened = cluster_open(&cluster, leader, leader, "nonce", 60000);
	cluster_node(&cluster, target)->hold_saves = true;
	assert_int_not_equal(cluster_acquire(&cluster, leader, leader, opened, 1, "first"), 0);
	cluster_send_transfer(&cluster, leader, leader, 1, target);
	cluster_send_acquire(&cluster, leader, leader, 2, opened, 2, "second", 0);
	cluster_settle(&cluster);
	cluster_node(&cluster, target)->hold_saves = false;
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_NOT_LEADER);
	assert_int_equal(cluster_await_leader(&cluster, leader), target);
	assert_int_not_equal(cluster_acquire(&cluster, target, target, opened, 2, "second"), 0);
	cluster_deinit(&cluster);
}

/* The target never hears of it, and while the old leader does not run the others elect somebody else. */
static void test_leadership__says_so_when_another_node_is_elected(void **unused) {
	struct cluster cluster;
	uint32_t leader, target;

	(void)unused;
	leader = begin(&cluster, 5);
	target = leader % 5 + 1;
	cluster_node(&cluster, target)->cut = true;
	cluster_send_transfer(&cluster, leader, leader, 1, target);
	cluster_settle(&cluster);
	cluster_node(&cluster, leader)->paused = true;
	cluster_advance(&cluster, 3 * SECOND);
	cluster_node(&cluster, leader)->paused = false;
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	assert_int_not_equal(cluster_leader(&cluster), target);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_NOT_READY);
	cluster_deinit(&cluster);
}

static void test_leadership__says_that_it_is_not_known_who_took_over(void **unused) {
	struct cluster cluster;
	uint32_t leader, target;

	(void)unused;
	leader = begin(&cluster, 3);
	target = leader % 3 + 1;
	cluster_send_transfer(&cluster, leader, leader, 1, target);
	cluster_node(&cluster, target)->hold_saves = true;
	cluster_settle(&cluster);
	cluster_node(&cluster, leader)->cut = true;
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), -1);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_LEADER_CHANGED);
	cluster_deinit(&cluster);
}

/* ---- Stop ---------------------------------------------------------------------------------------------------------
 */

static void test_leadership__is_handed_over_before_a_stop(void **unused) {
	struct cluster cluster;
	uint32_t leader, next;
	raft_term before;

	(void)unused;
	leader = begin(&cluster, 3);
	before = term(&cluster, leader);
	stop(&cluster, leader);
	cluster_settle(&cluster);
	next = cluster_leader(&cluster);
	assert_int_not_equal(next, 0);
	assert_int_not_equal(next, leader);
	assert_int_equal(term(&cluster, next), before + 1);
	assert_true(cluster_node(&cluster, leader)->stopped);
	cluster_deinit(&cluster);
}

static void test_leadership__of_a_sole_voter_ends_at_once(void **unused) {
	struct cluster cluster;

	(void)unused;
	begin(&cluster, 1);
	stop(&cluster, 1);
	cluster_settle(&cluster);
	assert_true(cluster_node(&cluster, 1)->stopped);
	cluster_deinit(&cluster);
}

static void test_leadership__ends_when_nobody_takes_it_over(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3);
	for (uint32_t id = 1; id <= 3; id++)
		cluster_node(&cluster, id)->paused = id != leader;
	stop(&cluster, leader);
	cluster_settle(&cluster);
	assert_false(cluster_node(&cluster, leader)->stopped);
	cluster_advance(&cluster, SECOND);
	assert_true(cluster_node(&cluster, leader)->stopped);
	cluster_deinit(&cluster);
}

/* ---- Disk ---------------------------------------------------------------------------------------------------------
 */

static void test_leadership__leaves_a_node_whose_disk_stalls(void **unused) {
	struct cluster cluster;
	uint32_t leader, next;
	uint64_t opened;
	Client__Reply *reply;

	(void)unused;
	leader = begin(&cluster, 3);
	opened = cluster_open(&cluster, leader, leader, "nonce", 60000);
	cluster_node(&cluster, leader)->hold_saves = true;
	cluster_send_acquire(&cluster, leader, leader, 1, opened, 1, "lock", 0);
	cluster_advance(&cluster, 700 * CLUSTER_MS);
	assert_int_equal(cluster_leader(&cluster), leader);
	/* Handed over, so nobody waits for an election time-out. */
	cluster_advance(&cluster, 250 * CLUSTER_MS);
	next = cluster_leader(&cluster);
	assert_int_not_equal(next, leader);
	assert_int_not_equal(next, 0);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_LEADER_CHANGED);
	assert_int_not_equal(cluster_acquire(&cluster, next, next, opened, 1, "lock"), 0);
	assert_non_null(strstr(cluster_node(&cluster, leader)->traces, "event=disk-stalled"));
	reply = cluster_status(&cluster, leader, leader);
	assert_false(reply->node->fit);
	client__reply__free_unpacked(reply, NULL);

	/* It does not come back before its disk does. */
	cluster_stop(&cluster, next);
	cluster_advance(&cluster, 5 * SECOND);
	assert_int_not_equal(cluster_leader(&cluster), leader);
	cluster_node(&cluster, leader)->hold_saves = false;
	cluster_advance(&cluster, 5 * SECOND);
	reply = cluster_status(&cluster, leader, leader);
	assert_true(reply->node->fit);
	client__reply__free_unpacked(reply, NULL);
	assert_int_not_equal(cluster_leader(&cluster), 0);
	cluster_deinit(&cluster);
}

static void test_leadership__stays_with_a_sole_voter_whose_disk_stalls(void **unused) {
	struct cluster cluster;
	uint64_t opened;

	(void)unused;
	begin(&cluster, 1);
	opened = cluster_open(&cluster, 1, 1, "nonce", 60000);
	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_send_acquire(&cluster, 1, 1, 1, opened, 1, "lock", 0);
	cluster_advance(&cluster, 5 * SECOND);
	assert_int_equal(cluster_leader(&cluster), 1);
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 1, 1), LOCKD_OK);
	cluster_deinit(&cluster);
}

/* The disk of the only leader there can be stands still for two TTLs while keep-alives come in all the time. */
static void test_leadership__expires_nobody_while_the_disk_stalls(void **unused) {
	struct cluster cluster;
	struct state_session session;
	uint64_t opened, other;

	(void)unused;
	begin(&cluster, 1);
	opened = cluster_open(&cluster, 1, 1, "nonce", 3000);
	other = cluster_open(&cluster, 1, 1, "other", 60000);
	cluster_advance(&cluster, 500 * CLUSTER_MS);
	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_send_acquire(&cluster, 1, 1, 1, other, 1, "lock", 0);
	for (uint64_t i = 0; i < 6; i++) {
		cluster_advance(&cluster, SECOND);
		cluster_send_keep_alive(&cluster, 1, 1, 100 + i, opened);
	}
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, 1, 105), LOCKD_OK);
	assert_true(state_get_session(node_state(cluster_node(&cluster, 1)->node, CLUSTER_GROUP), opened, &session));
	cluster_deinit(&cluster);
}

/* ---- Preference ---------------------------------------------------------------------------------------------------
 */

static void test_leadership__goes_to_a_preferred_voter_that_is_healthy(void **unused) {
	struct cluster cluster;
	uint32_t leader, preferred;

	(void)unused;
	leader = begin(&cluster, 3);
	preferred = leader % 3 + 1;
	prefer(&cluster, leader, preferred, 5);
	cluster_advance(&cluster, 4 * SECOND);
	assert_int_equal(cluster_leader(&cluster), leader);
	cluster_advance(&cluster, 6 * SECOND);
	assert_int_equal(cluster_leader(&cluster), preferred);
	/* And stays there. */
	cluster_advance(&cluster, 40 * SECOND);
	assert_int_equal(cluster_leader(&cluster), preferred);
	cluster_deinit(&cluster);
}

static void test_leadership__does_not_go_to_one_that_comes_and_goes(void **unused) {
	struct cluster cluster;
	uint32_t leader, preferred;

	(void)unused;
	leader = begin(&cluster, 3);
	preferred = leader % 3 + 1;
	prefer(&cluster, leader, preferred, 5);
	for (int i = 0; i < 8; i++) {
		cluster_advance(&cluster, 4 * SECOND);
		cluster_node(&cluster, preferred)->cut = true;
		cluster_advance(&cluster, 150 * CLUSTER_MS);
		cluster_node(&cluster, preferred)->cut = false;
		assert_int_equal(cluster_leader(&cluster), leader);
	}
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leadership__is_not_handed_over_by_a_follower),
		cmocka_unit_test(test_leadership__is_not_handed_to_a_stranger),
		cmocka_unit_test(test_leadership__is_handed_over_and_the_answer_follows),
		cmocka_unit_test(test_leadership__makes_commands_wait_and_loses_none),
		cmocka_unit_test(test_leadership__redirects_what_waited_once_it_is_handed_over),
		cmocka_unit_test(test_leadership__says_so_when_another_node_is_elected),
		cmocka_unit_test(test_leadership__says_that_it_is_not_known_who_took_over),
		cmocka_unit_test(test_leadership__is_handed_over_before_a_stop),
		cmocka_unit_test(test_leadership__of_a_sole_voter_ends_at_once),
		cmocka_unit_test(test_leadership__ends_when_nobody_takes_it_over),
		cmocka_unit_test(test_leadership__leaves_a_node_whose_disk_stalls),
		cmocka_unit_test(test_leadership__stays_with_a_sole_voter_whose_disk_stalls),
		cmocka_unit_test(test_leadership__expires_nobody_while_the_disk_stalls),
		cmocka_unit_test(test_leadership__goes_to_a_preferred_voter_that_is_healthy),
		cmocka_unit_test(test_leadership__does_not_go_to_one_that_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
