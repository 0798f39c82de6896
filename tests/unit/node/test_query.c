/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "lockd/node/query.h"

#include <stdio.h>
#include <string.h>

enum { REFRESH = 100 * CLUSTER_MS, PROMISE = 200 * CLUSTER_MS, WAIT_MAX = 2 * 800 * CLUSTER_MS };

/* Three nodes, a client of the leader (5) and one of each follower (6, 7). */
struct trio {
	struct cluster cluster;
	uint32_t leader, follower, third;
};

static void begin(struct trio *trio, bool leader_lease) {
	struct node_config config = {.leader_lease = leader_lease};
	struct cluster *cluster = &trio->cluster;

	cluster_init_with(cluster, 3, &config);
	cluster_found(cluster);
	trio->leader = cluster_leader(cluster);
	trio->follower = trio->leader % 3 + 1;
	trio->third = trio->follower % 3 + 1;
	cluster_hello(cluster, trio->leader, 5);
	cluster_hello(cluster, trio->follower, 6);
	cluster_hello(cluster, trio->third, 7);
	cluster_advance(cluster, REFRESH);
}

static void pause_others(struct trio *trio, uint32_t node, bool paused) {
	for (uint32_t id = 1; id <= 3; id++)
		cluster_node(&trio->cluster, id)->paused = id != node && paused;
}

static enum raft_role role(struct trio *trio, uint32_t node) {
	struct raft_status status;

	raft_get_status(node_raft(cluster_node(&trio->cluster, node)->node, CLUSTER_GROUP), &status);
	return status.role;
}

/* Opens a session at the leader and takes a lock: the revision that its client has seen. */
static uint64_t take_lock(struct trio *trio, const char *name) {
	Client__Reply *reply;
	uint64_t opened = cluster_open(&trio->cluster, trio->leader, 5, name, 10000), revision;

	cluster_send_acquire(&trio->cluster, trio->leader, 5, 500, opened, 1, name, 0);
	cluster_settle(&trio->cluster);
	reply = cluster_take_reply(&trio->cluster, 5, 500);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	revision = reply->revision;
	client__reply__free_unpacked(reply, NULL);
	return revision;
}

/* ---- Rounds ---- */

static void test_query__is_not_answered_by_a_leader_that_was_cut_off(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, false);
	cluster_send_show(cluster, trio.leader, 5, 1, "lock");
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 1), LOCKD_NOT_FOUND);

	cluster_node(cluster, trio.leader)->cut = true;
	cluster_send_show(cluster, trio.leader, 5, 2, "lock");
	cluster_send_observe(cluster, trio.leader, 5, 3, "lock", 0);
	cluster_advance(cluster, 200 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(cluster, 5, 2), -1);
	assert_int_equal(cluster_take_status(cluster, 5, 3), -1);
	/* Only a leader could answer the Observe; the read might still be answered. */
	cluster_advance(cluster, 400 * CLUSTER_MS);
	assert_int_equal(role(&trio, trio.leader), RAFT_FOLLOWER);
	assert_int_equal(cluster_take_status(cluster, 5, 2), -1);
	assert_int_equal(cluster_take_status(cluster, 5, 3), LOCKD_NOT_LEADER);
	cluster_advance(cluster, WAIT_MAX - 601 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(cluster, 5, 2), -1);
	cluster_advance(cluster, 1 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(cluster, 5, 2), LOCKD_NOT_LEADER);
	cluster_deinit(cluster);
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

/* ---- The leader's lease ---- */

static void test_query__is_served_under_the_lease_without_a_round(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	Client__Reply *reply;

	(void)unused;
	begin(&trio, true);
	pause_others(&trio, trio.leader, true);
	cluster_send_show(cluster, trio.leader, 5, 1, "lock");
	cluster_send_observe(cluster, trio.leader, 5, 2, "lock", 0);
	cluster_send_keep_alive(cluster, trio.leader, 5, 3, 4711);
	cluster_settle(cluster);
	reply = cluster_take_reply(cluster, 5, 1);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_NOT_FOUND);
	assert_int_equal(reply->read_level, CLIENT__READ_LEVEL__LINEARIZABLE);
	assert_int_equal(reply->node_id, trio.leader);
	client__reply__free_unpacked(reply, NULL);
	assert_int_equal(cluster_take_status(cluster, 5, 2), LOCKD_OK);
	assert_int_equal(cluster_take_status(cluster, 5, 3), LOCKD_OK);
	cluster_deinit(cluster);
}

static void test_query__needs_a_round_where_there_is_no_lease(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, false);
	pause_others(&trio, trio.leader, true);
	cluster_send_show(cluster, trio.leader, 5, 1, "lock");
	cluster_send_keep_alive(cluster, trio.leader, 5, 2, 4711);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 1), -1);
	assert_int_equal(cluster_take_status(cluster, 5, 2), -1);
	pause_others(&trio, trio.leader, false);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 1), LOCKD_NOT_FOUND);
	assert_int_equal(cluster_take_status(cluster, 5, 2), LOCKD_OK);
	cluster_deinit(cluster);
}

static void test_query__needs_a_round_once_the_lease_has_run_out(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, true);
	pause_others(&trio, trio.leader, true);
	cluster_advance(cluster, PROMISE);
	assert_int_equal(role(&trio, trio.leader), RAFT_LEADER);
	cluster_send_show(cluster, trio.leader, 5, 1, "lock");
	cluster_send_keep_alive(cluster, trio.leader, 5, 2, 4711);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 1), -1);
	assert_int_equal(cluster_take_status(cluster, 5, 2), -1);
	pause_others(&trio, trio.leader, false);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 1), LOCKD_NOT_FOUND);
	assert_int_equal(cluster_take_status(cluster, 5, 2), LOCKD_OK);
	cluster_deinit(cluster);
}

/* While a machine sleeps the monotonic clock stands still, but the others elect. */
static void test_query__has_no_lease_after_the_machine_slept(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, true);
	pause_others(&trio, trio.leader, true);
	cluster_node(cluster, trio.leader)->suspended = PROMISE;
	cluster_send_show(cluster, trio.leader, 5, 1, "lock");
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 1), -1);
	pause_others(&trio, trio.leader, false);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 1), LOCKD_NOT_FOUND);
	cluster_deinit(cluster);
}

/* Elects one of the two that are left and leaves it alone before its first entry is committed. */
static uint32_t elect_without_commit(struct trio *trio) {
	struct cluster *cluster = &trio->cluster;
	uint32_t candidate = 0, voter;

	cluster_node(cluster, trio->leader)->cut = true;
	cluster_node(cluster, trio->follower)->hold_saves = true;
	cluster_node(cluster, trio->third)->hold_saves = true;
	for (int i = 0; i < 5000 && candidate == 0; i++) {
		cluster_advance(cluster, 1 * CLUSTER_MS);
		if (role(trio, trio->follower) == RAFT_CANDIDATE)
			candidate = trio->follower;
		else if (role(trio, trio->third) == RAFT_CANDIDATE)
			candidate = trio->third;
	}
	assert_int_not_equal(candidate, 0);
	voter = candidate == trio->follower ? trio->third : trio->follower;
	cluster_node(cluster, candidate)->hold_saves = false;
	cluster_settle(cluster);
	cluster_node(cluster, candidate)->paused = true;
	cluster_node(cluster, voter)->hold_saves = false;
	cluster_settle(cluster);
	cluster_node(cluster, voter)->paused = true;
	cluster_node(cluster, candidate)->paused = false;
	cluster_settle(cluster);
	assert_int_equal(role(trio, candidate), RAFT_LEADER);
	return candidate;
}

/* The target may be elected in spite of the promises that the lease rests on. */
static void test_query__needs_a_round_while_leadership_is_handed_over(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	uint64_t opened;

	(void)unused;
	begin(&trio, true);
	opened = cluster_open(cluster, trio.leader, 5, "nonce", 10000);
	pause_others(&trio, trio.leader, true);
	cluster_send_transfer(cluster, trio.leader, 5, 1, trio.follower);
	cluster_settle(cluster);
	cluster_send_keep_alive(cluster, trio.leader, 5, 2, opened);
	cluster_send_show(cluster, trio.leader, 5, 3, "lock");
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 2), -1);
	assert_int_equal(cluster_take_status(cluster, 5, 3), -1);
	cluster_node(cluster, trio.third)->paused = false;
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 2), LOCKD_OK);
	assert_int_equal(cluster_take_status(cluster, 5, 3), LOCKD_NOT_FOUND);
	cluster_deinit(cluster);
}

/* Each is answered once: the keep-alive sent elsewhere, the read served by the node that was the leader. */
static void test_query__is_not_lost_when_leadership_is_handed_over(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	uint64_t opened;

	(void)unused;
	begin(&trio, true);
	opened = cluster_open(cluster, trio.leader, 5, "nonce", 10000);
	pause_others(&trio, trio.leader, true);
	cluster_send_transfer(cluster, trio.leader, 5, 1, trio.follower);
	cluster_settle(cluster);
	cluster_send_keep_alive(cluster, trio.leader, 5, 2, opened);
	cluster_send_show(cluster, trio.leader, 5, 3, "lock");
	cluster_settle(cluster);
	/* The others answer the rounds, but that is lost. */
	cluster_node(cluster, trio.leader)->cut = true;
	pause_others(&trio, trio.leader, false);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 2), -1);
	assert_int_equal(cluster_take_status(cluster, 5, 3), -1);
	cluster_node(cluster, trio.leader)->cut = false;
	cluster_advance(cluster, REFRESH);
	assert_int_equal(cluster_take_status(cluster, 5, 1), LOCKD_OK);
	assert_int_equal(cluster_take_status(cluster, 5, 2), LOCKD_NOT_LEADER);
	assert_int_equal(cluster_take_status(cluster, 5, 3), LOCKD_NOT_FOUND);
	assert_null(cluster_take(cluster, 5, FRAME_REPLY, 2));
	assert_null(cluster_take(cluster, 5, FRAME_REPLY, 3));
	cluster_deinit(cluster);
}

static void test_query__waits_until_a_new_leader_has_committed(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	uint32_t leader;

	(void)unused;
	begin(&trio, true);
	leader = elect_without_commit(&trio);
	cluster_hello(cluster, leader, 8);
	cluster_send_show(cluster, leader, 8, 1, "lock");
	cluster_send_keep_alive(cluster, leader, 8, 2, 4711);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 8, 1), -1);
	assert_int_equal(cluster_take_status(cluster, 8, 2), -1);
	pause_others(&trio, leader, false);
	cluster_advance(cluster, REFRESH);
	assert_int_equal(cluster_take_status(cluster, 8, 1), LOCKD_NOT_FOUND);
	assert_int_equal(cluster_take_status(cluster, 8, 2), LOCKD_OK);
	cluster_deinit(cluster);
}

/* ---- Followers ---- */

/* At every level. */
static void assert_refused(struct cluster *cluster, uint32_t node, node_connection connection, const char *text) {
	for (int level = CLIENT__READ_LEVEL__LINEARIZABLE; level <= CLIENT__READ_LEVEL__STALE; level++) {
		Client__Reply *reply;

		cluster_send_read(cluster, node, connection, 700, "lock", (Client__ReadLevel)level, 0);
		cluster_settle(cluster);
		reply = cluster_take_reply(cluster, connection, 700);
		assert_non_null(reply);
		assert_int_equal(reply->status, LOCKD_NOT_LEADER);
		assert_int_equal(reply->text.len, strlen(text));
		assert_memory_equal(reply->text.data, text, strlen(text));
		client__reply__free_unpacked(reply, NULL);
	}
}

static void change(struct cluster *cluster, uint32_t leader, Client__MemberChange__Kind kind, uint32_t node) {
	struct cluster_change changes[] = {{kind, node, -1}};

	cluster_send_change(cluster, leader, 5, 800, changes, 1);
	cluster_advance(cluster, 2000 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(cluster, 5, 800), LOCKD_OK);
}

static void test_query__of_a_learner_is_answered_while_it_is_a_member(void **unused) {
	struct cluster cluster;
	struct node_config config = {0};
	uint32_t leader;

	(void)unused;
	cluster_init_spare(&cluster, 1, 2, &config);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	cluster_hello(&cluster, 2, 6);
	assert_refused(&cluster, 2, 6, "the node belongs to no cluster yet");

	cluster_node(&cluster, 2)->calling = true;
	cluster_advance(&cluster, 1000 * CLUSTER_MS);
	change(&cluster, leader, CLIENT__MEMBER_CHANGE__KIND__LEARNER, 2);
	cluster_send_show(&cluster, 2, 6, 1, "lock");
	cluster_advance(&cluster, REFRESH);
	assert_int_equal(cluster_take_status(&cluster, 6, 1), LOCKD_NOT_FOUND);

	/* The leader has no answers for strangers; whoever it left behind knows nothing of that. */
	change(&cluster, leader, CLIENT__MEMBER_CHANGE__KIND__ABSENT, 2);
	cluster_send_show(&cluster, 2, 6, 2, "lock");
	cluster_advance(&cluster, WAIT_MAX - 1);
	assert_int_equal(cluster_take_status(&cluster, 6, 2), -1);
	cluster_advance(&cluster, 1);
	assert_int_equal(cluster_take_status(&cluster, 6, 2), LOCKD_NOT_LEADER);
	cluster_deinit(&cluster);
}

/* Why it does not answer, and who would. */
static void test_query__of_a_learner_that_is_not_in_yet_names_the_leader(void **unused) {
	struct cluster cluster;
	Client__Reply *reply;
	uint32_t leader;

	(void)unused;
	cluster_init_spare(&cluster, 3, 4, &(struct node_config){0});
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	cluster_hello(&cluster, 4, 6);
	cluster_node(&cluster, 4)->calling = true;
	cluster_advance(&cluster, REFRESH);
	cluster_send_show(&cluster, 4, 6, 1, "lock");
	cluster_settle(&cluster);
	reply = cluster_take_reply(&cluster, 6, 1);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_NOT_LEADER);
	assert_int_equal(reply->leader, 0);
	client__reply__free_unpacked(reply, NULL);

	cluster_node(&cluster, 4)->hold_saves = true;
	change(&cluster, leader, CLIENT__MEMBER_CHANGE__KIND__LEARNER, 4);
	cluster_send_show(&cluster, 4, 6, 2, "lock");
	cluster_settle(&cluster);
	reply = cluster_take_reply(&cluster, 6, 2);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_NOT_LEADER);
	assert_int_equal(reply->leader, leader);
	assert_int_not_equal(reply->text.len, 0);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_query__on_a_follower_waits_for_the_leader(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	Client__Reply *reply;

	(void)unused;
	begin(&trio, false);
	(void)take_lock(&trio, "lock");
	cluster_node(cluster, trio.leader)->paused = true;
	cluster_send_show(cluster, trio.follower, 6, 1, "lock");
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	cluster_node(cluster, trio.leader)->paused = false;
	cluster_settle(cluster);
	reply = cluster_take_reply(cluster, 6, 1);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_int_equal(reply->node_id, trio.follower);
	assert_int_equal(reply->age_ms, 0);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(cluster);
}

/* The leader has committed with the third node; the follower has the entry, but not on its disk. */
static void test_query__on_a_follower_waits_until_it_has_applied(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	uint64_t revision;
	Client__Reply *reply;

	(void)unused;
	begin(&trio, false);
	cluster_node(cluster, trio.follower)->hold_saves = true;
	revision = take_lock(&trio, "lock");
	cluster_send_show(cluster, trio.follower, 6, 1, "lock");
	cluster_advance(cluster, REFRESH);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	cluster_node(cluster, trio.follower)->hold_saves = false;
	cluster_advance(cluster, REFRESH);
	reply = cluster_take_reply(cluster, 6, 1);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_in_range(reply->revision, revision, UINT64_MAX);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(cluster);
}

/* The commit index of a lone write has not yet travelled with a heartbeat; the answer brings it. */
static void test_query__on_a_follower_needs_no_heartbeat_after_a_write(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, true);
	(void)take_lock(&trio, "lock");
	cluster_send_show(cluster, trio.follower, 6, 1, "lock");
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), LOCKD_OK);
	cluster_deinit(cluster);
}

static void test_query__on_a_follower_asks_again(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, false);
	cluster_node(cluster, trio.follower)->cut = true;
	cluster_send_show(cluster, trio.follower, 6, 1, "lock");
	cluster_settle(cluster);
	cluster_node(cluster, trio.follower)->cut = false;
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	cluster_advance(cluster, 49 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	cluster_advance(cluster, 1 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(cluster, 6, 1), LOCKD_NOT_FOUND);
	cluster_deinit(cluster);
}

/* The answer to a question says nothing about reads that came after it was asked. */
static void test_query__on_a_follower_is_not_served_by_an_older_question(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, false);
	cluster_send_show(cluster, trio.follower, 6, 1, "lock");
	cluster_node(cluster, trio.leader)->paused = true;
	cluster_settle(cluster);
	cluster_send_show(cluster, trio.follower, 6, 2, "lock");
	cluster_settle(cluster);
	/* The leader answers the first question; the next one is not heard any more. */
	cluster_node(cluster, trio.follower)->paused = true;
	cluster_node(cluster, trio.leader)->paused = false;
	cluster_settle(cluster);
	cluster_node(cluster, trio.leader)->paused = true;
	cluster_node(cluster, trio.follower)->paused = false;
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), LOCKD_NOT_FOUND);
	assert_int_equal(cluster_take_status(cluster, 6, 2), -1);
	cluster_node(cluster, trio.leader)->paused = false;
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 2), LOCKD_NOT_FOUND);
	cluster_deinit(cluster);
}

static void test_query__waits_for_a_leader_for_a_bounded_time(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	Client__Reply *reply;

	(void)unused;
	begin(&trio, false);
	cluster_stop(cluster, trio.leader);
	cluster_stop(cluster, trio.third);
	cluster_advance(cluster, 1000 * CLUSTER_MS);
	cluster_send_show(cluster, trio.follower, 6, 1, "lock");
	cluster_send_read(cluster, trio.follower, 6, 2, "lock", CLIENT__READ_LEVEL__SESSION, UINT64_MAX);
	cluster_advance(cluster, WAIT_MAX - 1);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	assert_int_equal(cluster_take_status(cluster, 6, 2), -1);
	cluster_advance(cluster, 1);
	reply = cluster_take_reply(cluster, 6, 1);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_NOT_LEADER);
	assert_int_equal(reply->leader, 0);
	client__reply__free_unpacked(reply, NULL);
	assert_int_equal(cluster_take_status(cluster, 6, 2), LOCKD_NOT_LEADER);
	cluster_deinit(cluster);
}

/* One of the two followers becomes the leader, the other one gets a new leader: both answer. */
static void test_query__is_proved_anew_when_the_role_changes(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, false);
	cluster_node(cluster, trio.leader)->cut = true;
	cluster_send_show(cluster, trio.follower, 6, 1, "lock");
	cluster_send_show(cluster, trio.third, 7, 1, "lock");
	cluster_send_show(cluster, trio.leader, 5, 1, "lock");
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	assert_int_equal(cluster_take_status(cluster, 7, 1), -1);
	for (int i = 0; i < 1400 && role(&trio, trio.follower) != RAFT_LEADER && role(&trio, trio.third) != RAFT_LEADER;
	     i++)
		cluster_advance(cluster, 1 * CLUSTER_MS);
	cluster_advance(cluster, REFRESH);
	assert_int_equal(cluster_take_status(cluster, 6, 1), LOCKD_NOT_FOUND);
	assert_int_equal(cluster_take_status(cluster, 7, 1), LOCKD_NOT_FOUND);

	/* The old leader answers as a follower of the new one. */
	assert_int_equal(role(&trio, trio.leader), RAFT_FOLLOWER);
	assert_int_equal(cluster_take_status(cluster, 5, 1), -1);
	cluster_node(cluster, trio.leader)->cut = false;
	cluster_advance(cluster, REFRESH);
	assert_int_equal(cluster_take_status(cluster, 5, 1), LOCKD_NOT_FOUND);
	cluster_deinit(cluster);
}

static void test_query__on_a_follower_is_bounded_as_well(void **unused) {
	struct cluster cluster;
	struct node_config config = {.pending_requests_max = 1};
	uint32_t follower;

	(void)unused;
	cluster_init_with(&cluster, 3, &config);
	cluster_found(&cluster);
	follower = cluster_leader(&cluster) % 3 + 1;
	cluster_hello(&cluster, follower, 6);
	cluster_node(&cluster, follower)->cut = true;
	cluster_send_show(&cluster, follower, 6, 1, "lock");
	cluster_send_read(&cluster, follower, 6, 2, "lock", CLIENT__READ_LEVEL__STALE, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 6, 1), -1);
	assert_int_equal(cluster_take_status(&cluster, 6, 2), LOCKD_BUSY);
	cluster_advance(&cluster, WAIT_MAX);
	assert_int_equal(cluster_take_status(&cluster, 6, 1), LOCKD_NOT_LEADER);
	cluster_send_read(&cluster, follower, 6, 3, "lock", CLIENT__READ_LEVEL__STALE, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 6, 3), LOCKD_NOT_FOUND);
	cluster_deinit(&cluster);
}

static void test_query__does_not_keep_a_node_from_stopping(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, false);
	cluster_node(cluster, trio.follower)->cut = true;
	cluster_send_show(cluster, trio.follower, 6, 1, "lock");
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	cluster_post(cluster, trio.follower, &(struct node_event){.kind = NODE_STOP});
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), LOCKD_NOT_LEADER);
	assert_true(cluster_node(cluster, trio.follower)->stopped);
	cluster_deinit(cluster);
}

/* ---- Levels ---- */

static void test_query__of_a_session_never_goes_back(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	uint64_t before, after;
	Client__Reply *reply;

	(void)unused;
	begin(&trio, false);
	before = take_lock(&trio, "before");
	cluster_advance(cluster, REFRESH);
	cluster_node(cluster, trio.follower)->hold_saves = true;
	after = take_lock(&trio, "after");
	/* No proof is needed for what is here. */
	cluster_node(cluster, trio.leader)->paused = true;
	cluster_send_read(cluster, trio.follower, 6, 1, "after", CLIENT__READ_LEVEL__SESSION, after);
	cluster_send_read(cluster, trio.follower, 6, 2, "before", CLIENT__READ_LEVEL__SESSION, before);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	reply = cluster_take_reply(cluster, 6, 2);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_int_equal(reply->read_level, CLIENT__READ_LEVEL__SESSION);
	assert_int_equal(reply->node_id, trio.follower);
	assert_in_range(reply->revision, before, after - 1);
	client__reply__free_unpacked(reply, NULL);

	cluster_node(cluster, trio.leader)->paused = false;
	cluster_node(cluster, trio.follower)->hold_saves = false;
	cluster_advance(cluster, REFRESH);
	reply = cluster_take_reply(cluster, 6, 1);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_in_range(reply->revision, after, UINT64_MAX);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(cluster);
}

/* What was read at one node is a revision to ask for at another. */
static void test_query__of_a_session_reaches_what_was_read_elsewhere(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	uint64_t seen;
	Client__Reply *reply;

	(void)unused;
	begin(&trio, false);
	(void)take_lock(&trio, "lock");
	cluster_send_show(cluster, trio.leader, 5, 1, "lock");
	cluster_settle(cluster);
	reply = cluster_take_reply(cluster, 5, 1);
	assert_non_null(reply);
	seen = reply->revision;
	client__reply__free_unpacked(reply, NULL);
	cluster_advance(cluster, REFRESH);
	cluster_send_read(cluster, trio.follower, 6, 1, "lock", CLIENT__READ_LEVEL__SESSION, seen);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), LOCKD_OK);
	cluster_deinit(cluster);
}

/* Those that wait for less are answered first, whoever came first. */
static void test_query__of_a_session_is_not_held_up_by_another(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, false);
	cluster_send_read(cluster, trio.follower, 6, 1, "lock", CLIENT__READ_LEVEL__SESSION, UINT64_MAX);
	cluster_send_read(cluster, trio.follower, 6, 2, "lock", CLIENT__READ_LEVEL__SESSION, UINT64_MAX);
	cluster_send_read(cluster, trio.follower, 6, 3, "lock", CLIENT__READ_LEVEL__SESSION, 1);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	assert_int_equal(cluster_take_status(cluster, 6, 3), LOCKD_NOT_FOUND);
	cluster_advance(cluster, WAIT_MAX);
	assert_int_equal(cluster_take_status(cluster, 6, 1), LOCKD_NOT_LEADER);
	assert_int_equal(cluster_take_status(cluster, 6, 2), LOCKD_NOT_LEADER);
	cluster_deinit(cluster);
}

static uint32_t stale_age_ms(struct trio *trio, uint32_t node, node_connection connection) {
	Client__Reply *reply;
	uint32_t age_ms;

	cluster_send_read(&trio->cluster, node, connection, 600, "lock", CLIENT__READ_LEVEL__STALE, 0);
	cluster_settle(&trio->cluster);
	reply = cluster_take_reply(&trio->cluster, connection, 600);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_int_equal(reply->read_level, CLIENT__READ_LEVEL__STALE);
	assert_int_equal(reply->node_id, node);
	assert_int_not_equal(reply->revision, 0);
	age_ms = reply->age_ms;
	client__reply__free_unpacked(reply, NULL);
	return age_ms;
}

static void test_query__when_stale_says_how_old_it_may_be(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;

	(void)unused;
	begin(&trio, true);
	(void)take_lock(&trio, "lock");
	cluster_advance(cluster, REFRESH);
	assert_int_equal(stale_age_ms(&trio, trio.leader, 5), 0);
	assert_in_range(stale_age_ms(&trio, trio.follower, 6), 0, 50);
	cluster_node(cluster, trio.follower)->cut = true;
	cluster_advance(cluster, 300 * CLUSTER_MS);
	assert_in_range(stale_age_ms(&trio, trio.follower, 6), 300, 350);
	assert_int_equal(stale_age_ms(&trio, trio.leader, 5), 0);
	/* The cluster went on while this machine slept. */
	cluster_node(cluster, trio.follower)->suspended = 5000 * CLUSTER_MS;
	assert_in_range(stale_age_ms(&trio, trio.follower, 6), 5300, 5350);

	/* Without its followers the leader knows no better than they do. */
	cluster_node(cluster, trio.third)->cut = true;
	cluster_advance(cluster, 300 * CLUSTER_MS);
	assert_in_range(stale_age_ms(&trio, trio.leader, 5), 300, 350);
	cluster_deinit(cluster);
}

static void test_query__when_stale_admits_that_it_never_heard_a_leader(void **unused) {
	struct trio trio;
	struct cluster *cluster = &trio.cluster;
	Client__Reply *reply;

	(void)unused;
	begin(&trio, true);
	(void)take_lock(&trio, "lock");
	cluster_advance(cluster, REFRESH);
	cluster_node(cluster, trio.follower)->cut = true;
	cluster_restart(cluster, trio.follower);
	cluster_hello(cluster, trio.follower, 8);
	cluster_send_read(cluster, trio.follower, 8, 1, "lock", CLIENT__READ_LEVEL__STALE, 0);
	cluster_settle(cluster);
	reply = cluster_take_reply(cluster, 8, 1);
	assert_non_null(reply);
	/* Nothing tells it what is committed of its log. */
	assert_int_equal(reply->status, LOCKD_NOT_FOUND);
	assert_int_equal(reply->age_ms, UINT32_MAX);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(cluster);
}

/* ---- Large answers ---- */

enum { LISTED_PER_SESSION = 50, LISTED = 3 * LISTED_PER_SESSION, LISTS = 20 };

/* One node with locks whose list is a good part of what a turn may answer; two clients. */
static void begin_large(struct cluster *cluster) {
	char name[LIMIT_NAME_BYTES_MAX + 1];
	uint64_t opened = 0;

	cluster_init(cluster, 1);
	cluster_found(cluster);
	cluster_hello(cluster, 1, 5);
	cluster_hello(cluster, 1, 6);
	for (int i = 0; i < LISTED; i++) {
		uint64_t sequence = (uint64_t)(i % LISTED_PER_SESSION) + 1;

		(void)snprintf(name, sizeof name, "%0*d", LIMIT_NAME_BYTES_MAX, i);
		/* The last bytes make it another nonce. */
		if (sequence == 1)
			opened = cluster_open(cluster, 1, 5, name + LIMIT_NAME_BYTES_MAX - LIMIT_NONCE_BYTES, 60000);
		assert_int_not_equal(cluster_acquire(cluster, 1, 5, opened, sequence, name), 0);
	}
	cluster_node(cluster, 1)->turn_bytes_max = cluster_node(cluster, 1)->turn_frames_max = 0;
}

static void send_lists(struct cluster *cluster, node_connection connection, uint64_t first, uint64_t n) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__List list = CLIENT__LIST__INIT;

	request.body_case = CLIENT__REQUEST__BODY_LIST;
	request.list = &list;
	for (uint64_t id = first; id < first + n; id++)
		cluster_request(cluster, 1, connection, id, &request);
}

static void tell(struct cluster *cluster, enum node_event_kind kind, node_connection connection) {
	cluster_post(cluster, 1, &(struct node_event){.kind = kind, .connection = connection});
}

/* Takes all replies to the connection, which must be those of `first` and up, in this order; their number. */
static size_t take_in_order(struct cluster *cluster, node_connection connection, uint64_t first) {
	size_t n = 0;

	for (size_t i = 0; i < cluster->n_frames; i++) {
		struct cluster_frame *frame = &cluster->frames[i];

		if (frame->connection != connection || frame->type != FRAME_REPLY || frame->taken)
			continue;
		assert_int_equal(frame->id, first + n++);
		frame->taken = true;
	}
	return n;
}

static void drop_replies(struct cluster *cluster) {
	for (size_t i = 0; i < cluster->n_frames; i++)
		cluster->frames[i].taken = true;
}

/* The next turn comes at once: no time goes by before the last is answered. */
static void test_query__answers_a_bounded_part_in_a_turn(void **unused) {
	struct cluster cluster;
	struct cluster_node *node = cluster_node(&cluster, 1);
	size_t page;

	(void)unused;
	begin_large(&cluster);
	drop_replies(&cluster);
	send_lists(&cluster, 5, 1000, 1);
	cluster_settle(&cluster);
	assert_int_equal(take_in_order(&cluster, 5, 1000), 1);
	page = node->turn_bytes_max;
	assert_in_range(page, LIMIT_READ_BYTES_PER_TURN / 4, LIMIT_READ_BYTES_PER_TURN - 1);

	send_lists(&cluster, 5, 2000, LISTS);
	send_lists(&cluster, 6, 3000, LISTS);
	cluster_settle(&cluster);
	assert_int_equal(take_in_order(&cluster, 5, 2000), LISTS);
	assert_int_equal(take_in_order(&cluster, 6, 3000), LISTS);
	assert_in_range(node->turn_bytes_max, LIMIT_READ_BYTES_PER_TURN, LIMIT_READ_BYTES_PER_TURN + page - 1);
	cluster_deinit(&cluster);
}

static void test_query__answers_a_bounded_number_in_a_turn(void **unused) {
	struct cluster cluster;
	struct cluster_node *node = cluster_node(&cluster, 1);

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	drop_replies(&cluster);
	for (uint64_t id = 0; id < LIMIT_READS_PER_TURN + 1; id++)
		cluster_send_show(&cluster, 1, 5, id, "lock");
	cluster_settle(&cluster);
	assert_int_equal(take_in_order(&cluster, 5, 0), LIMIT_READS_PER_TURN + 1);
	assert_int_equal(node->turn_frames_max, LIMIT_READS_PER_TURN);
	cluster_deinit(&cluster);
}

static void test_query__holds_the_reads_of_who_takes_nothing(void **unused) {
	struct cluster cluster;

	(void)unused;
	begin_large(&cluster);
	drop_replies(&cluster);
	tell(&cluster, NODE_CLIENT_STALLED, 5);
	send_lists(&cluster, 5, 1000, LISTS);
	send_lists(&cluster, 6, 1000, LISTS);
	cluster_settle(&cluster);
	assert_int_equal(take_in_order(&cluster, 5, 1000), 0);
	assert_int_equal(take_in_order(&cluster, 6, 1000), LISTS);
	/* Nobody waits for them, however long it takes. */
	cluster_advance(&cluster, 2 * WAIT_MAX);
	assert_int_equal(take_in_order(&cluster, 5, 1000), 0);

	tell(&cluster, NODE_CLIENT_DRAINED, 5);
	send_lists(&cluster, 5, 1000 + LISTS, LISTS);
	cluster_settle(&cluster);
	assert_int_equal(take_in_order(&cluster, 5, 1000), 2 * LISTS);
	cluster_deinit(&cluster);
}

static uint64_t count_pending(struct cluster *cluster) {
	struct node_tally tally;

	node_get_tally(cluster_node(cluster, 1)->node, &tally);
	return tally.pending;
}

static void test_query__forgets_what_is_held_for_who_has_gone(void **unused) {
	struct cluster cluster;

	(void)unused;
	begin_large(&cluster);
	tell(&cluster, NODE_CLIENT_STALLED, 5);
	send_lists(&cluster, 5, 1000, LISTS);
	cluster_settle(&cluster);
	assert_int_equal(count_pending(&cluster), LISTS);
	tell(&cluster, NODE_CLIENT_GONE, 5);
	cluster_settle(&cluster);
	assert_int_equal(count_pending(&cluster), 0);
	cluster_deinit(&cluster);
}

/* Again and again: those that have been answered leave their room to others. */
static void test_query__is_held_in_a_bounded_number(void **unused) {
	struct cluster cluster;

	(void)unused;
	begin_large(&cluster);
	for (int round = 0; round < 2; round++) {
		drop_replies(&cluster);
		tell(&cluster, NODE_CLIENT_STALLED, 5);
		send_lists(&cluster, 5, 1000, QUERY_HELD_PER_CONNECTION_MAX + 1);
		cluster_settle(&cluster);
		assert_int_equal(cluster_take_status(&cluster, 5, 1000 + QUERY_HELD_PER_CONNECTION_MAX), LOCKD_BUSY);
		assert_int_equal(count_pending(&cluster), QUERY_HELD_PER_CONNECTION_MAX);
		tell(&cluster, NODE_CLIENT_DRAINED, 5);
		cluster_settle(&cluster);
		assert_int_equal(take_in_order(&cluster, 5, 1000), QUERY_HELD_PER_CONNECTION_MAX);
	}
	cluster_deinit(&cluster);
}

static void test_query__that_is_held_keeps_no_node_from_stopping(void **unused) {
	struct cluster cluster;

	(void)unused;
	begin_large(&cluster);
	drop_replies(&cluster);
	tell(&cluster, NODE_CLIENT_STALLED, 5);
	send_lists(&cluster, 5, 1000, 1);
	cluster_settle(&cluster);
	cluster_post(&cluster, 1, &(struct node_event){.kind = NODE_STOP});
	cluster_advance(&cluster, WAIT_MAX);
	assert_int_equal(cluster_take_status(&cluster, 5, 1000), LOCKD_NOT_LEADER);
	assert_true(cluster_node(&cluster, 1)->stopped);
	cluster_deinit(&cluster);
}

static void test_query__that_is_held_can_be_cancelled(void **unused) {
	struct cluster cluster;
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Unobserve unobserve = CLIENT__UNOBSERVE__INIT;

	(void)unused;
	begin_large(&cluster);
	tell(&cluster, NODE_CLIENT_STALLED, 5);
	cluster_send_observe(&cluster, 1, 5, 1000, "lock", 0);
	cluster_settle(&cluster);
	request.body_case = CLIENT__REQUEST__BODY_UNOBSERVE;
	request.unobserve = &unobserve;
	unobserve.observation = 1000;
	cluster_request(&cluster, 1, 5, 1001, &request);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1000), LOCKD_CANCELLED);
	assert_int_equal(count_pending(&cluster), 0);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query__is_not_answered_by_a_leader_that_was_cut_off),
		cmocka_unit_test(test_query__waits_for_a_round_that_began_after_it),
		cmocka_unit_test(test_query__is_bounded_together_with_commands),
		cmocka_unit_test(test_query__answers_a_bounded_part_in_a_turn),
		cmocka_unit_test(test_query__answers_a_bounded_number_in_a_turn),
		cmocka_unit_test(test_query__holds_the_reads_of_who_takes_nothing),
		cmocka_unit_test(test_query__forgets_what_is_held_for_who_has_gone),
		cmocka_unit_test(test_query__is_held_in_a_bounded_number),
		cmocka_unit_test(test_query__that_is_held_keeps_no_node_from_stopping),
		cmocka_unit_test(test_query__that_is_held_can_be_cancelled),
		cmocka_unit_test(test_query__lets_the_newest_keep_alives_win),
		cmocka_unit_test(test_query__is_served_under_the_lease_without_a_round),
		cmocka_unit_test(test_query__needs_a_round_where_there_is_no_lease),
		cmocka_unit_test(test_query__needs_a_round_once_the_lease_has_run_out),
		cmocka_unit_test(test_query__has_no_lease_after_the_machine_slept),
		cmocka_unit_test(test_query__needs_a_round_while_leadership_is_handed_over),
		cmocka_unit_test(test_query__is_not_lost_when_leadership_is_handed_over),
		cmocka_unit_test(test_query__waits_until_a_new_leader_has_committed),
		cmocka_unit_test(test_query__of_a_learner_is_answered_while_it_is_a_member),
		cmocka_unit_test(test_query__of_a_learner_that_is_not_in_yet_names_the_leader),
		cmocka_unit_test(test_query__on_a_follower_waits_for_the_leader),
		cmocka_unit_test(test_query__on_a_follower_waits_until_it_has_applied),
		cmocka_unit_test(test_query__on_a_follower_needs_no_heartbeat_after_a_write),
		cmocka_unit_test(test_query__on_a_follower_asks_again),
		cmocka_unit_test(test_query__on_a_follower_is_not_served_by_an_older_question),
		cmocka_unit_test(test_query__waits_for_a_leader_for_a_bounded_time),
		cmocka_unit_test(test_query__is_proved_anew_when_the_role_changes),
		cmocka_unit_test(test_query__on_a_follower_is_bounded_as_well),
		cmocka_unit_test(test_query__does_not_keep_a_node_from_stopping),
		cmocka_unit_test(test_query__of_a_session_never_goes_back),
		cmocka_unit_test(test_query__of_a_session_reaches_what_was_read_elsewhere),
		cmocka_unit_test(test_query__of_a_session_is_not_held_up_by_another),
		cmocka_unit_test(test_query__when_stale_says_how_old_it_may_be),
		cmocka_unit_test(test_query__when_stale_admits_that_it_never_heard_a_leader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
