/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdio.h>
#include <string.h>

#define VOTER(id)                                                                                                      \
	{ CLIENT__MEMBER_CHANGE__KIND__VOTER, id, -1 }
#define LEARNER(id)                                                                                                    \
	{ CLIENT__MEMBER_CHANGE__KIND__LEARNER, id, -1 }
#define ABSENT(id)                                                                                                     \
	{ CLIENT__MEMBER_CHANGE__KIND__ABSENT, id, -1 }
#define PRIORITY(id, value)                                                                                            \
	{ CLIENT__MEMBER_CHANGE__KIND__SAME, id, value }
#define CHANGE(cluster, leader, id, ...)                                                                               \
	do {                                                                                                           \
		const struct cluster_change list[] = {__VA_ARGS__};                                                    \
		cluster_send_change(cluster, leader, leader, id, list, sizeof list / sizeof list[0]);                  \
	} while (0)

enum { SECOND = 1000 * CLUSTER_MS };

/* Every node has a connection of its own number. */
static uint32_t begin(struct cluster *cluster, size_t founders, size_t n, const struct node_config *config) {
	cluster_init_spare(cluster, founders, n, config);
	cluster_found(cluster);
	for (uint32_t id = 1; id <= n; id++) {
		cluster_node(cluster, id)->calling = id > founders;
		if (id <= founders)
			cluster_hello(cluster, id, id);
	}
	cluster_advance(cluster, SECOND);
	return cluster_leader(cluster);
}

static const struct node_config plain;

static void describe(struct cluster *cluster, uint32_t node, char *text, size_t n) {
	struct node_member member;

	text[0] = 0;
	for (size_t i = 0; node_get_member(cluster_node(cluster, node)->node, i, &member); i++) {
		size_t used = strlen(text);

		snprintf(text + used, n - used, "%u%s%s%s ", member.node, member.roles & RAFT_ROLE_VOTER ? "v" : "",
			 member.roles & RAFT_ROLE_VOTER_OUTGOING ? "o" : "",
			 member.roles & RAFT_ROLE_LEARNER ? "l" : "");
	}
}

static void assert_members(struct cluster *cluster, uint32_t node, const char *expected) {
	char text[256];

	describe(cluster, node, text, sizeof text);
	assert_string_equal(text, expected);
}

static void assert_refused(struct cluster *cluster, node_connection connection, uint64_t id, int status,
			   const char *part) {
	Client__Reply *reply = cluster_take_reply(cluster, connection, id);
	char text[512] = "";

	assert_non_null(reply);
	snprintf(text, sizeof text, "%.*s", (int)reply->text.len, (const char *)reply->text.data);
	assert_int_equal(reply->status, status);
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
	client__reply__free_unpacked(reply, NULL);
}

static void assert_same_state(struct cluster *cluster, uint32_t a, uint32_t b) {
	const struct state *x = node_state(cluster_node(cluster, a)->node, CLUSTER_GROUP);
	const struct state *y = node_state(cluster_node(cluster, b)->node, CLUSTER_GROUP);

	assert_int_equal(state_applied(x), state_applied(y));
	assert_int_equal(state_get_hash(x).low, state_get_hash(y).low);
}

/* ---- Refusals -----------------------------------------------------------------------------------------------------
 */

static void test_membership__refuses_fields_that_make_no_sense(void **unused) {
	struct cluster cluster;
	struct cluster_change many[RAFT_MEMBERS_MAX + 1];
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 1, 1, &plain);
	for (uint32_t i = 0; i < RAFT_MEMBERS_MAX + 1; i++)
		many[i] = (struct cluster_change){CLIENT__MEMBER_CHANGE__KIND__VOTER, i + 1, -1};
	cluster_send_change(&cluster, leader, leader, 1, many, 0);
	cluster_send_change(&cluster, leader, leader, 2, many, RAFT_MEMBERS_MAX + 1);
	CHANGE(&cluster, leader, 3, VOTER(1), ABSENT(1));
	CHANGE(&cluster, leader, 4, VOTER(0));
	CHANGE(&cluster, leader, 5, {(Client__MemberChange__Kind)4, 1, -1});
	CHANGE(&cluster, leader, 6, PRIORITY(1, 256));
	CHANGE(&cluster, leader, 7, PRIORITY(9, 1));
	cluster_settle(&cluster);
	assert_refused(&cluster, leader, 1, LOCKD_INVALID, "changes: 0");
	assert_refused(&cluster, leader, 2, LOCKD_INVALID, "changes: 17");
	assert_refused(&cluster, leader, 3, LOCKD_INVALID, "node 1 stands there twice");
	assert_refused(&cluster, leader, 4, LOCKD_INVALID, "node: 0");
	assert_refused(&cluster, leader, 5, LOCKD_INVALID, "kind: 4");
	assert_refused(&cluster, leader, 6, LOCKD_INVALID, "priority: 256");
	assert_refused(&cluster, leader, 7, LOCKD_INVALID, "node 9 is no member");
	cluster_deinit(&cluster);
}

static void test_membership__is_refused_by_a_follower(void **unused) {
	struct cluster cluster;
	uint32_t leader, follower;
	Client__Reply *reply;

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	follower = leader % 3 + 1;
	CHANGE(&cluster, follower, 1, ABSENT(leader));
	cluster_settle(&cluster);
	reply = cluster_take_reply(&cluster, follower, 1);
	assert_int_equal(reply->status, LOCKD_NOT_LEADER);
	assert_int_equal(reply->leader, leader);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_membership__does_not_know_a_node_that_never_called(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 1, 1, &plain);
	CHANGE(&cluster, leader, 1, VOTER(4));
	cluster_settle(&cluster);
	assert_refused(&cluster, leader, 1, LOCKD_NOT_READY, "node 4 has not called: start it first");
	assert_members(&cluster, leader, "1v ");
	cluster_deinit(&cluster);
}

static void test_membership__leaves_at_least_one_voter(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 1, 1, &plain);
	CHANGE(&cluster, leader, 1, LEARNER(1));
	CHANGE(&cluster, leader, 2, ABSENT(1));
	cluster_settle(&cluster);
	assert_refused(&cluster, leader, 2, LOCKD_UNSETTLED, "");
	assert_refused(&cluster, leader, 1, LOCKD_NOT_READY, "no voter would be left");
	cluster_deinit(&cluster);
}

/* {1, 2} of three answer; without one of them the rest would be no majority of those that stay. */
static void test_membership__needs_a_majority_of_the_voters_to_be(void **unused) {
	struct cluster cluster;
	uint32_t leader, other;

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	other = leader % 3 + 1;
	cluster_stop(&cluster, other % 3 + 1);
	cluster_advance(&cluster, SECOND);
	CHANGE(&cluster, leader, 1, ABSENT(other));
	cluster_advance(&cluster, 2 * SECOND);
	assert_refused(&cluster, leader, 1, LOCKD_NOT_READY, "only 1 of the 2 voters to be answer");
	cluster_deinit(&cluster);
}

static void test_membership__makes_one_change_at_a_time(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 1, 3, &plain);
	CHANGE(&cluster, leader, 1, VOTER(2));
	CHANGE(&cluster, leader, 2, VOTER(3));
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_UNSETTLED);
	CHANGE(&cluster, leader, 3, VOTER(3));
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 3), LOCKD_OK);
	assert_members(&cluster, 3, "1v 2v 3v ");
	cluster_deinit(&cluster);
}

static void call(struct cluster *cluster, uint32_t at, uint32_t id, const char *peer_address) {
	struct node_met met = {.node = id, .store = {{1, (uint8_t)id}}, .peer_address = peer_address};

	cluster_post(cluster, at, &(struct node_event){.kind = NODE_PEER_MET, .met = &met});
}

static void test_membership__has_a_largest_cluster(void **unused) {
	struct cluster_change changes[RAFT_MEMBERS_MAX];
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
		call(&cluster, leader, 10 + i, "p:1");
		changes[i] = (struct cluster_change){CLIENT__MEMBER_CHANGE__KIND__LEARNER, 10 + i, -1};
	}
	cluster_send_change(&cluster, leader, leader, 1, changes, LIMIT_NODES_MAX - 3 + 1);
	cluster_settle(&cluster);
	assert_refused(&cluster, leader, 1, LOCKD_LIMIT, "10 members, at most 9");
	cluster_send_change(&cluster, leader, leader, 2, changes, RAFT_MEMBERS_MAX);
	cluster_settle(&cluster);
	assert_refused(&cluster, leader, 2, LOCKD_LIMIT, "more than 9 members");
	assert_members(&cluster, leader, "1v 2v 3v ");
	cluster_deinit(&cluster);
}

static void test_membership__does_not_add_what_cannot_be_reached_or_shares_a_disk(void **unused) {
	struct cluster cluster;
	struct node_met met = {.node = 5, .peer_address = "p:1"};
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 1, 1, &plain);
	call(&cluster, leader, 4, NULL);
	memset(met.store.bytes, 1, sizeof met.store.bytes);
	cluster_post(&cluster, leader, &(struct node_event){.kind = NODE_PEER_MET, .met = &met});
	CHANGE(&cluster, leader, 1, LEARNER(4));
	cluster_settle(&cluster);
	assert_refused(&cluster, leader, 1, LOCKD_NOT_READY, "node 4: its peer address is not known");
	CHANGE(&cluster, leader, 2, LEARNER(5));
	cluster_settle(&cluster);
	assert_refused(&cluster, leader, 2, LOCKD_NOT_READY, "share a data folder");
	cluster_deinit(&cluster);
}

/* ---- One by one ---------------------------------------------------------------------------------------------------
 */

static void test_membership__answers_at_once_what_is_so_already(void **unused) {
	struct cluster cluster;
	struct raft_status before, after;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	raft_get_status(node_raft(cluster_node(&cluster, leader)->node, CLUSTER_GROUP), &before);
	CHANGE(&cluster, leader, 1, VOTER(1), VOTER(2), ABSENT(9));
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	raft_get_status(node_raft(cluster_node(&cluster, leader)->node, CLUSTER_GROUP), &after);
	assert_int_equal(before.last, after.last);
	cluster_deinit(&cluster);
}

static void test_membership__adds_a_voter_that_then_counts(void **unused) {
	struct cluster cluster;
	Client__Reply *reply;
	uint32_t leader;
	raft_index index;

	(void)unused;
	leader = begin(&cluster, 1, 2, &plain);
	assert_true(node_is_blank(cluster_node(&cluster, 2)->node));
	CHANGE(&cluster, leader, 1, VOTER(2));
	cluster_advance(&cluster, 3 * SECOND);
	reply = cluster_take_reply(&cluster, leader, 1);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	(void)raft_members(node_raft(cluster_node(&cluster, 2)->node, CLUSTER_GROUP), &index);
	assert_int_equal(reply->revision, index << 16 | 0xffff);
	client__reply__free_unpacked(reply, NULL);
	assert_members(&cluster, 1, "1v 2v ");
	assert_members(&cluster, 2, "1v 2v ");
	assert_same_state(&cluster, 1, 2);

	/* Two voters: one alone elects nobody. */
	cluster_stop(&cluster, 1);
	cluster_advance(&cluster, 5 * SECOND);
	assert_int_equal(cluster_leader(&cluster), 0);
	cluster_deinit(&cluster);
}

static void test_membership__brings_a_joiner_past_a_trimmed_log(void **unused) {
	const struct node_config config = {.checkpoint_log_entries = 5, .trailing_log_entries = 2};
	struct cluster cluster;
	uint32_t leader;
	uint64_t opened;

	(void)unused;
	leader = begin(&cluster, 1, 2, &config);
	opened = cluster_open(&cluster, leader, leader, "nonce", 600000);
	for (uint64_t sequence = 1; sequence <= 20; sequence++) {
		char name[2] = {(char)('A' + sequence), 0};

		assert_int_not_equal(cluster_acquire(&cluster, leader, leader, opened, sequence, name), 0);
	}
	CHANGE(&cluster, leader, 1, VOTER(2));
	cluster_advance(&cluster, 5 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_non_null(strstr(cluster_node(&cluster, 2)->traces, "event=snapshot-installed"));
	assert_same_state(&cluster, 1, 2);
	cluster_deinit(&cluster);
}

static void test_membership__a_learner_is_counted_nowhere(void **unused) {
	struct cluster cluster;
	uint32_t leader;
	uint64_t opened;

	(void)unused;
	leader = begin(&cluster, 1, 2, &plain);
	CHANGE(&cluster, leader, 1, LEARNER(2));
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_members(&cluster, 2, "1v 2l ");
	cluster_node(&cluster, 2)->cut = true;
	opened = cluster_open(&cluster, leader, leader, "nonce", 60000);
	assert_int_not_equal(cluster_acquire(&cluster, leader, leader, opened, 1, "lock"), 0);
	cluster_node(&cluster, 2)->cut = false;
	cluster_advance(&cluster, 2 * SECOND);
	assert_same_state(&cluster, 1, 2);
	CHANGE(&cluster, leader, 2, VOTER(2));
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_OK);
	assert_members(&cluster, 1, "1v 2v ");
	cluster_deinit(&cluster);
}

static void test_membership__demotes_and_removes(void **unused) {
	struct cluster cluster;
	uint32_t leader, other, third;
	char expected[32];

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	other = leader % 3 + 1;
	third = other % 3 + 1;
	CHANGE(&cluster, leader, 1, LEARNER(other));
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_same_state(&cluster, leader, other);
	CHANGE(&cluster, leader, 2, ABSENT(other), ABSENT(third));
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_OK);
	snprintf(expected, sizeof expected, "%uv ", leader);
	assert_members(&cluster, leader, expected);
	cluster_stop(&cluster, other);
	cluster_stop(&cluster, third);
	assert_int_not_equal(cluster_open(&cluster, leader, leader, "nonce", 60000), 0);
	cluster_deinit(&cluster);
}

static void test_membership__a_removed_node_speaks_for_nobody(void **unused) {
	struct cluster cluster;
	uint32_t leader, other;
	Client__Reply *reply;

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	other = leader % 3 + 1;
	CHANGE(&cluster, leader, 1, ABSENT(other));
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	cluster_advance(&cluster, 5 * SECOND);
	assert_int_equal(cluster_leader(&cluster), leader);
	cluster_send_open(&cluster, other, other, 2, "nonce", 60000);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, other, 2), LOCKD_NOT_LEADER);
	reply = cluster_status(&cluster, other, other);
	assert_int_equal(reply->node->node, other);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_membership__replaces_a_node_that_lost_its_disk(void **unused) {
	struct cluster cluster;
	uint32_t leader, other;

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	other = leader % 3 + 1;
	cluster_wipe(&cluster, other);
	cluster_node(&cluster, other)->calling = true;
	cluster_advance(&cluster, SECOND);
	assert_true(node_is_blank(cluster_node(&cluster, other)->node));
	CHANGE(&cluster, leader, 1, VOTER(other));
	cluster_advance(&cluster, SECOND);
	assert_refused(&cluster, leader, 1, LOCKD_NOT_READY, "remove it first");
	CHANGE(&cluster, leader, 2, ABSENT(other));
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_OK);
	CHANGE(&cluster, leader, 3, VOTER(other));
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 3), LOCKD_OK);
	assert_same_state(&cluster, leader, other);
	cluster_deinit(&cluster);
}

/* A machine that was given the number of another one says nothing about that other one. */
static void test_membership__is_not_misled_by_a_stranger_with_a_members_number(void **unused) {
	const struct node_uuid store = {{9}};
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	for (uint32_t id = 1; id <= 3; id++) {
		const struct node_met met = {.node = id, .store = store, .peer_address = "10.0.0.9:7400"};

		cluster_post(&cluster, leader, &(struct node_event){.kind = NODE_PEER_MET, .met = &met});
		CHANGE(&cluster, leader, id, PRIORITY(id, 1));
		cluster_advance(&cluster, SECOND);
		assert_int_equal(cluster_take_status(&cluster, leader, id), LOCKD_OK);
	}
	cluster_deinit(&cluster);
}

static void test_membership__changes_a_priority_and_nothing_else(void **unused) {
	struct cluster cluster;
	uint32_t leader, other;
	Client__Reply *reply;

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	other = leader % 3 + 1;
	CHANGE(&cluster, leader, 1, PRIORITY(leader, 200), PRIORITY(other, 7));
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_members(&cluster, other, "1v 2v 3v ");
	reply = cluster_status(&cluster, other, other);
	assert_false(reply->node->joint);
	assert_int_equal(reply->node->n_peers, 3);
	assert_int_equal(reply->node->peers[leader - 1]->priority, 200);
	assert_int_equal(reply->node->peers[other - 1]->priority, 7);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

/* ---- Together -----------------------------------------------------------------------------------------------------
 */

static void test_membership__replaces_a_majority_in_one_change(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 5, &plain);
	CHANGE(&cluster, leader, 1, ABSENT(1), ABSENT(2), VOTER(4), VOTER(5));
	cluster_advance(&cluster, 4 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_non_null(strstr(cluster_node(&cluster, 3)->traces, "joint=0 members=1v,2v,3v,4l,5l"));
	assert_non_null(strstr(cluster_node(&cluster, 3)->traces, "joint=1 members=3vo,4v,5v,1o,2o"));
	for (uint32_t id = 3; id <= 5; id++)
		assert_members(&cluster, id, "3v 4v 5v ");
	cluster_stop(&cluster, 1);
	cluster_stop(&cluster, 2);
	leader = cluster_await_leader(&cluster, 0);
	assert_in_range(leader, 3, 5);
	cluster_hello(&cluster, leader, 50);
	assert_int_not_equal(cluster_open(&cluster, leader, 50, "nonce", 60000), 0);
	assert_same_state(&cluster, 4, 5);
	cluster_deinit(&cluster);
}

static void hold_all_but(struct cluster *cluster, uint32_t node, bool hold) {
	for (uint32_t id = 1; id <= cluster->n; id++)
		cluster_node(cluster, id)->hold_saves = hold && id != node;
}

/* The joint entry is on the way to all disks when the leader that began the change is lost. */
static void test_membership__the_next_leader_leaves_the_joint_configuration(void **unused) {
	struct cluster cluster;
	uint32_t leader, next;
	char text[256];

	(void)unused;
	leader = begin(&cluster, 3, 4, &plain);
	CHANGE(&cluster, leader, 1, LEARNER(4));
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	hold_all_but(&cluster, leader, true);
	CHANGE(&cluster, leader, 2, VOTER(4));
	cluster_advance(&cluster, 200 * CLUSTER_MS);
	assert_members(&cluster, leader, "1vo 2vo 3vo 4v ");
	assert_int_equal(cluster_take_status(&cluster, leader, 2), -1);
	assert_members(&cluster, 4, "1vo 2vo 3vo 4v ");

	cluster_stop(&cluster, leader);
	hold_all_but(&cluster, 0, false);
	next = cluster_await_leader(&cluster, leader);
	cluster_advance(&cluster, SECOND);
	describe(&cluster, next, text, sizeof text);
	assert_string_equal(text, "1v 2v 3v 4v ");
	/* Sent again, to the next leader: it is so already. */
	cluster_hello(&cluster, next, 50);
	cluster_send_change(&cluster, next, 50, 3, &(struct cluster_change)VOTER(4), 1);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 50, 3), LOCKD_OK);
	cluster_deinit(&cluster);
}

/* The joint entry reached nobody: the next leader rolls it back where it stands. */
static void test_membership__rolls_back_what_reached_no_majority(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 4, &plain);
	CHANGE(&cluster, leader, 1, LEARNER(4));
	cluster_advance(&cluster, 2 * SECOND);
	for (uint32_t id = 1; id <= 4; id++)
		cluster_node(&cluster, id)->cut = id != leader;
	CHANGE(&cluster, leader, 2, VOTER(4));
	cluster_settle(&cluster);
	assert_members(&cluster, leader, "1vo 2vo 3vo 4v ");
	cluster_node(&cluster, leader)->cut = true;
	for (uint32_t id = 1; id <= 4; id++)
		cluster_node(&cluster, id)->cut = id == leader;
	assert_int_not_equal(cluster_await_leader(&cluster, leader), 0);
	cluster_node(&cluster, leader)->cut = false;
	cluster_advance(&cluster, 2 * SECOND);
	assert_members(&cluster, leader, "1v 2v 3v 4l ");
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_LEADER_CHANGED);
	cluster_deinit(&cluster);
}

/* The disks of the others have nothing of it. Whoever has lost its place before it had one may be added again. */
static void test_membership__brings_nobody_in_before_it_is_committed(void **unused) {
	struct cluster cluster;
	uint32_t leader, next;

	(void)unused;
	leader = begin(&cluster, 3, 4, &plain);
	hold_all_but(&cluster, leader, true);
	cluster_node(&cluster, 4)->hold_saves = false;
	CHANGE(&cluster, leader, 1, LEARNER(4));
	cluster_advance(&cluster, 200 * CLUSTER_MS);
	assert_members(&cluster, leader, "1v 2v 3v 4l ");
	assert_true(node_is_blank(cluster_node(&cluster, 4)->node));
	cluster_stop(&cluster, leader);
	for (uint32_t id = 1; id <= 3; id++) {
		if (id != leader)
			cluster_restart(&cluster, id);
	}
	hold_all_but(&cluster, 0, false);
	next = cluster_await_leader(&cluster, leader);
	cluster_advance(&cluster, SECOND);
	assert_members(&cluster, next, "1v 2v 3v ");
	cluster_hello(&cluster, next, 50);
	cluster_send_change(&cluster, next, 50, 2, &(struct cluster_change)LEARNER(4), 1);
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, 50, 2), LOCKD_OK);
	assert_same_state(&cluster, next, 4);
	cluster_deinit(&cluster);
}

static void test_membership__a_leader_removes_itself(void **unused) {
	struct cluster cluster;
	uint32_t leader, next;

	(void)unused;
	leader = begin(&cluster, 3, 3, &plain);
	CHANGE(&cluster, leader, 1, ABSENT(leader));
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	next = cluster_await_leader(&cluster, leader);
	cluster_send_open(&cluster, leader, leader, 2, "nonce", 60000);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_NOT_LEADER);
	assert_int_not_equal(cluster_open(&cluster, next, next, "nonce", 60000), 0);
	cluster_deinit(&cluster);
}

static void test_membership__gives_up_on_a_learner_that_is_gone(void **unused) {
	struct cluster cluster;
	uint32_t leader;
	char expected[64];

	(void)unused;
	leader = begin(&cluster, 3, 4, &plain);
	cluster_node(&cluster, 4)->calling = false;
	cluster_stop(&cluster, 4);
	CHANGE(&cluster, leader, 1, VOTER(4));
	cluster_advance(&cluster, 7 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), -1);
	cluster_advance(&cluster, 3 * SECOND);
	assert_refused(&cluster, leader, 1, LOCKD_NOT_READY, "node 4 does not catch up: no answer for 8000 ms");
	snprintf(expected, sizeof expected, "1v 2v 3v 4l ");
	assert_members(&cluster, leader, expected);
	cluster_deinit(&cluster);
}

/* It has all of the log, and it is dead: as a voter it would only make the majority larger. */
static void test_membership__does_not_promote_a_learner_that_is_silent(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 4, &plain);
	CHANGE(&cluster, leader, 1, LEARNER(4));
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	cluster_stop(&cluster, 4);
	cluster_advance(&cluster, 2 * SECOND);
	CHANGE(&cluster, leader, 2, VOTER(4));
	cluster_advance(&cluster, 7 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), -1);
	cluster_advance(&cluster, 3 * SECOND);
	assert_refused(&cluster, leader, 2, LOCKD_NOT_READY, "node 4 does not catch up: no answer for 8000 ms");
	assert_members(&cluster, leader, "1v 2v 3v 4l ");
	cluster_deinit(&cluster);
}

static void test_membership__says_leader_changed_when_leadership_ends_first(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 4, &plain);
	cluster_node(&cluster, 4)->calling = false;
	cluster_stop(&cluster, 4);
	CHANGE(&cluster, leader, 1, VOTER(4));
	cluster_advance(&cluster, SECOND);
	cluster_node(&cluster, leader)->cut = true;
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_LEADER_CHANGED);
	cluster_deinit(&cluster);
}

/* How many pairs of nodes have a checkpoint of the same index. */
static unsigned compare_headers(struct cluster *cluster) {
	unsigned n = 0;

	for (uint32_t a = 2; a <= cluster->n; a++) {
		const struct cluster_disk *x = &cluster_node(cluster, a)->disk;

		for (uint32_t b = 1; b < a; b++) {
			const struct cluster_disk *y = &cluster_node(cluster, b)->disk;

			if (!x->header || !y->header || cluster_header_index(x) != cluster_header_index(y))
				continue;
			assert_int_equal(x->header_bytes, y->header_bytes);
			assert_memory_equal(x->header, y->header, x->header_bytes);
			n++;
		}
	}
	return n;
}

/* Node 1 was told where it is reached itself, the others of nobody; the founding entry gives no address of it. */
static void test_membership__headers_are_the_same_bytes_everywhere(void **unused) {
	const struct node_config config = {.checkpoint_log_entries = 5, .trailing_log_entries = 2};
	struct cluster cluster;
	unsigned compared = 0;
	uint32_t leader;
	uint64_t opened;

	(void)unused;
	leader = begin(&cluster, 1, 3, &config);
	cluster.config.n_addresses = 0;
	cluster_restart(&cluster, 2);
	cluster_restart(&cluster, 3);
	CHANGE(&cluster, leader, 1, VOTER(2), VOTER(3));
	cluster_advance(&cluster, 4 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	opened = cluster_open(&cluster, leader, leader, "nonce", 600000);
	for (uint64_t sequence = 1; sequence <= 20; sequence++) {
		char name[2] = {(char)('A' + sequence), 0};

		assert_int_not_equal(cluster_acquire(&cluster, leader, leader, opened, sequence, name), 0);
		cluster_advance(&cluster, 100 * CLUSTER_MS);
		compared += compare_headers(&cluster);
	}
	assert_true(compared > 0);
	cluster_deinit(&cluster);
}

/* Each change leaves three configurations in the log, more than the core can keep. */
static void test_membership__changes_for_ever(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 1, 2, &plain);
	for (uint64_t i = 0; i < 40; i++) {
		if (i % 2 == 0)
			CHANGE(&cluster, leader, i, VOTER(2));
		else
			CHANGE(&cluster, leader, i, LEARNER(2));
		cluster_advance(&cluster, SECOND);
		assert_int_equal(cluster_take_status(&cluster, leader, i), LOCKD_OK);
	}
	cluster_restart(&cluster, 2);
	cluster_advance(&cluster, SECOND);
	assert_members(&cluster, 2, "1v 2l ");
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_membership__refuses_fields_that_make_no_sense),
		cmocka_unit_test(test_membership__is_refused_by_a_follower),
		cmocka_unit_test(test_membership__does_not_know_a_node_that_never_called),
		cmocka_unit_test(test_membership__leaves_at_least_one_voter),
		cmocka_unit_test(test_membership__needs_a_majority_of_the_voters_to_be),
		cmocka_unit_test(test_membership__makes_one_change_at_a_time),
		cmocka_unit_test(test_membership__has_a_largest_cluster),
		cmocka_unit_test(test_membership__does_not_add_what_cannot_be_reached_or_shares_a_disk),
		cmocka_unit_test(test_membership__answers_at_once_what_is_so_already),
		cmocka_unit_test(test_membership__adds_a_voter_that_then_counts),
		cmocka_unit_test(test_membership__brings_a_joiner_past_a_trimmed_log),
		cmocka_unit_test(test_membership__a_learner_is_counted_nowhere),
		cmocka_unit_test(test_membership__demotes_and_removes),
		cmocka_unit_test(test_membership__a_removed_node_speaks_for_nobody),
		cmocka_unit_test(test_membership__replaces_a_node_that_lost_its_disk),
		cmocka_unit_test(test_membership__is_not_misled_by_a_stranger_with_a_members_number),
		cmocka_unit_test(test_membership__changes_a_priority_and_nothing_else),
		cmocka_unit_test(test_membership__replaces_a_majority_in_one_change),
		cmocka_unit_test(test_membership__the_next_leader_leaves_the_joint_configuration),
		cmocka_unit_test(test_membership__rolls_back_what_reached_no_majority),
		cmocka_unit_test(test_membership__brings_nobody_in_before_it_is_committed),
		cmocka_unit_test(test_membership__a_leader_removes_itself),
		cmocka_unit_test(test_membership__gives_up_on_a_learner_that_is_gone),
		cmocka_unit_test(test_membership__does_not_promote_a_learner_that_is_silent),
		cmocka_unit_test(test_membership__says_leader_changed_when_leadership_ends_first),
		cmocka_unit_test(test_membership__headers_are_the_same_bytes_everywhere),
		cmocka_unit_test(test_membership__changes_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
