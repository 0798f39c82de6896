/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

enum { SECOND = 1000 * CLUSTER_MS };

/* A cluster of three with a session of connection 5 at the leader. */
static uint32_t begin(struct cluster *cluster, uint64_t *ret_opened) {
	uint32_t leader;

	cluster_init(cluster, 3);
	cluster_found(cluster);
	leader = cluster_leader(cluster);
	cluster_hello(cluster, leader, 5);
	*ret_opened = cluster_open(cluster, leader, 5, "nonce", 600000);
	return leader;
}

static raft_index applied(struct cluster *cluster, uint32_t node) {
	return state_applied(node_state(cluster_node(cluster, node)->node, CLUSTER_GROUP));
}

/* Asks for a backup and gives its number; the reply is freed. */
static uint64_t begin_backup(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			     uint64_t *ret_bytes, raft_index *ret_index) {
	Client__Reply *reply;
	uint64_t number;

	cluster_send_backup(cluster, node, connection, id, 0, 0);
	cluster_settle(cluster);
	reply = cluster_take_reply(cluster, connection, id);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_non_null(reply->backup);
	assert_int_equal(reply->node_id, node);
	assert_int_equal(reply->revision, reply->backup->index << 16 | 0xffff);
	assert_true(reply->backup->header.len > 0);
	assert_int_equal(reply->backup->digest.len, 16);
	number = reply->backup->backup;
	*ret_bytes = reply->backup->bytes;
	*ret_index = reply->backup->index;
	client__reply__free_unpacked(reply, NULL);
	return number;
}

static int ask_part(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t number,
		    uint64_t offset) {
	cluster_send_backup(cluster, node, connection, 900, number, offset);
	cluster_settle(cluster);
	return cluster_take_status(cluster, connection, 900);
}

/* ---- Refused ------------------------------------------------------------------------------------------------------
 */

static void test_backup__refuses_parts_of_what_it_does_not_know(void **unused) {
	struct cluster cluster;
	uint64_t opened, number, bytes;
	raft_index index;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, &opened);
	cluster_hello(&cluster, leader, 6);
	assert_int_equal(ask_part(&cluster, leader, 5, 1, 0), LOCKD_NOT_FOUND);
	number = begin_backup(&cluster, leader, 5, 10, &bytes, &index);
	assert_int_equal(ask_part(&cluster, leader, 6, number, 0), LOCKD_NOT_FOUND);
	assert_int_equal(ask_part(&cluster, leader, 5, number + 1, 0), LOCKD_NOT_FOUND);
	assert_int_equal(ask_part(&cluster, leader, 5, number, bytes), LOCKD_INVALID);
	assert_int_equal(ask_part(&cluster, leader, 5, number, UINT64_MAX), LOCKD_INVALID);
	assert_int_equal(ask_part(&cluster, leader, 5, 0, 1), LOCKD_INVALID);
	assert_int_equal(ask_part(&cluster, leader, 5, number, 0), LOCKD_OK);
	cluster_deinit(&cluster);
}

static void test_backup__says_that_the_disk_is_full(void **unused) {
	struct cluster cluster;
	struct cluster_node *at;
	uint64_t opened, bytes;
	raft_index index;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, &opened);
	at = cluster_node(&cluster, leader);
	at->full = true; /* no checkpoint can be made … */
	cluster_send_backup(&cluster, leader, 5, 10, 0, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 10), LOCKD_DISK_FULL);
	assert_int_equal(at->backups_cut, 0);
	at->full = false;
	cluster_advance(&cluster, 2 * SECOND);
	at->backup_result = NODE_BACKUP_FULL; /* … or no copy of one */
	cluster_send_backup(&cluster, leader, 5, 11, 0, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 11), LOCKD_DISK_FULL);
	at->backup_result = NODE_BACKUP_FAILED;
	cluster_send_backup(&cluster, leader, 5, 12, 0, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 12), LOCKD_BUSY);
	at->backup_result = NODE_BACKUP_OK;
	(void)begin_backup(&cluster, leader, 5, 13, &bytes, &index);
	assert_int_equal(at->backups_dropped, 0); /* nothing is left of a cut that failed */
	cluster_deinit(&cluster);
}

static void test_backup__is_not_made_of_a_state_that_nobody_would_take_back(void **unused) {
	struct cluster cluster;
	uint64_t opened;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, &opened);
	cluster_node(&cluster, leader)->backup_bytes = (uint64_t)LIMIT_SNAPSHOT_BYTES_MAX + 1;
	cluster_send_backup(&cluster, leader, 5, 10, 0, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 10), LOCKD_LIMIT);
	assert_int_equal(cluster_node(&cluster, leader)->backups_dropped, 1);
	cluster_deinit(&cluster);
}

static void test_backup__is_bounded_in_number_whoever_gives_up(void **unused) {
	struct cluster cluster;
	struct cluster_node *at;
	uint64_t opened;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, &opened);
	at = cluster_node(&cluster, leader);
	at->hold_backups = true;
	for (node_connection c = 20; c <= 20 + LIMIT_BACKUPS_MAX; c++) {
		cluster_hello(&cluster, leader, c);
		cluster_send_backup(&cluster, leader, c, 10, 0, 0);
		cluster_settle(&cluster);
	}
	assert_int_equal(cluster_take_status(&cluster, 20 + LIMIT_BACKUPS_MAX, 10), LOCKD_BUSY);
	/* Who hangs up leaves its place to the driver until that is done. */
	cluster_post(&cluster, leader, &(struct node_event){.kind = NODE_CLIENT_GONE, .connection = 20});
	cluster_send_backup(&cluster, leader, 20 + LIMIT_BACKUPS_MAX, 11, 0, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 20 + LIMIT_BACKUPS_MAX, 11), LOCKD_BUSY);
	assert_int_equal(at->backups_cut, LIMIT_BACKUPS_MAX);
	at->hold_backups = false;
	cluster_end_backup(&cluster, leader);
	cluster_settle(&cluster);
	assert_int_equal(at->backups_dropped, 1);
	cluster_send_backup(&cluster, leader, 20 + LIMIT_BACKUPS_MAX, 12, 0, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 20 + LIMIT_BACKUPS_MAX, 12), LOCKD_OK);
	cluster_deinit(&cluster);
}

static void test_backup__does_not_wait_at_a_node_that_stops(void **unused) {
	struct cluster cluster;
	struct cluster_node *at;
	uint64_t opened;
	uint32_t leader, follower;

	(void)unused;
	leader = begin(&cluster, &opened);
	follower = leader % 3 + 1;
	at = cluster_node(&cluster, follower);
	at->hold_checkpoints = true;
	cluster_hello(&cluster, follower, 6);
	cluster_advance(&cluster, 200 * CLUSTER_MS);
	cluster_send_backup(&cluster, follower, 6, 10, 0, 0);
	cluster_advance(&cluster, 200 * CLUSTER_MS);
	assert_non_null(at->checkpoint);
	assert_int_equal(cluster_take_status(&cluster, 6, 10), -1);
	cluster_post(&cluster, follower, &(struct node_event){.kind = NODE_STOP});
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 6, 10), LOCKD_NOT_LEADER);
	cluster_end_checkpoint(&cluster, follower);
	cluster_settle(&cluster);
	assert_int_equal(at->backups_cut, 0);
	cluster_deinit(&cluster);
}

/* ---- Made ---------------------------------------------------------------------------------------------------------
 */

/* However short the log is; and where nothing is new, no checkpoint is made again. */
static void test_backup__makes_the_checkpoint_that_is_missing(void **unused) {
	struct cluster cluster;
	struct cluster_node *at;
	uint64_t opened, bytes, first;
	raft_index index, before;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, &opened);
	at = cluster_node(&cluster, leader);
	assert_int_equal(at->checkpoints, 0);
	before = applied(&cluster, leader);
	first = begin_backup(&cluster, leader, 5, 10, &bytes, &index);
	assert_in_range(index, before, applied(&cluster, leader));
	assert_int_equal(at->checkpoints, 1);
	assert_int_not_equal(begin_backup(&cluster, leader, 5, 11, &bytes, &index), first);
	assert_int_equal(at->checkpoints, 1);
	assert_int_equal(at->backups_dropped, 1); /* a connection has one at a time */
	assert_int_equal(ask_part(&cluster, leader, 5, first, 0), LOCKD_NOT_FOUND);

	assert_int_not_equal(cluster_acquire(&cluster, leader, 5, opened, 1, "lock"), 0);
	before = applied(&cluster, leader);
	(void)begin_backup(&cluster, leader, 5, 12, &bytes, &index);
	assert_in_range(index, before, applied(&cluster, leader));
	assert_int_equal(at->checkpoints, 2);
	cluster_deinit(&cluster);
}

/* What was acknowledged while an older checkpoint was being written is in none that was begun before. */
static void test_backup__waits_for_a_checkpoint_that_reaches_far_enough(void **unused) {
	struct cluster cluster;
	struct cluster_node *at;
	raft_index acknowledged;
	uint64_t opened;
	uint32_t leader;
	Client__Reply *reply;

	(void)unused;
	leader = begin(&cluster, &opened);
	at = cluster_node(&cluster, leader);
	at->hold_checkpoints = true;
	cluster_hello(&cluster, leader, 6);
	cluster_send_backup(&cluster, leader, 6, 10, 0, 0);
	cluster_settle(&cluster);
	assert_non_null(at->checkpoint);
	assert_int_not_equal(cluster_acquire(&cluster, leader, 5, opened, 1, "lock"), 0);
	acknowledged = applied(&cluster, leader);
	cluster_send_backup(&cluster, leader, 5, 11, 0, 0);
	cluster_settle(&cluster);
	at->hold_checkpoints = false;
	cluster_end_checkpoint(&cluster, leader);
	cluster_settle(&cluster);
	assert_int_equal(at->checkpoints, 2);
	assert_int_equal(cluster_take_status(&cluster, 6, 10), LOCKD_OK);
	reply = cluster_take_reply(&cluster, 5, 11);
	assert_non_null(reply);
	assert_true(reply->backup->index >= acknowledged);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_backup__is_made_by_a_follower_that_lags(void **unused) {
	struct cluster cluster;
	raft_index index, acknowledged;
	uint64_t opened, bytes, number;
	uint32_t leader, follower;

	(void)unused;
	leader = begin(&cluster, &opened);
	follower = leader % 3 + 1;
	cluster_hello(&cluster, follower, 6);
	cluster_node(&cluster, follower)->hold_saves = true;
	assert_int_not_equal(cluster_acquire(&cluster, leader, 5, opened, 1, "lock"), 0);
	acknowledged = applied(&cluster, leader);
	assert_true(applied(&cluster, follower) < acknowledged);
	cluster_send_backup(&cluster, follower, 6, 10, 0, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 6, 10), -1);
	cluster_node(&cluster, follower)->hold_saves = false;
	cluster_advance(&cluster, 200 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, 6, 10), LOCKD_OK);
	number = begin_backup(&cluster, follower, 6, 11, &bytes, &index);
	assert_true(index >= acknowledged);
	assert_int_equal(ask_part(&cluster, follower, 6, number, 0), LOCKD_OK);
	cluster_deinit(&cluster);
}

/* Until its no-op is committed a new leader does not know how far the log is, and its last checkpoint may reach as far
 * as it knows. */
static void test_backup__of_a_new_leader_holds_what_the_old_one_acknowledged(void **unused) {
	struct cluster cluster;
	raft_index acknowledged;
	uint64_t opened;
	uint32_t old, leader;
	Client__Reply *reply;

	(void)unused;
	old = begin(&cluster, &opened);
	for (uint32_t id = 1; id <= 3; id++) {
		cluster_hello(&cluster, id, 20 + id);
		cluster_send_backup(&cluster, id, 20 + id, 10, 0, 0);
		cluster_advance(&cluster, 200 * CLUSTER_MS);
		assert_int_equal(cluster_take_status(&cluster, 20 + id, 10), LOCKD_OK);
	}
	assert_int_not_equal(cluster_acquire(&cluster, old, 5, opened, 1, "lock"), 0);
	acknowledged = applied(&cluster, old);
	for (uint32_t id = 1; id <= 3; id++)
		assert_true(id == old || applied(&cluster, id) < acknowledged);
	cluster_node(&cluster, old)->paused = true;
	for (uint32_t id = 1; id <= 3; id++)
		cluster_send_backup(&cluster, id, 20 + id, 11, 0, 0);
	leader = cluster_await_leader(&cluster, old);
	cluster_advance(&cluster, 200 * CLUSTER_MS);
	reply = cluster_take_reply(&cluster, 20 + leader, 11);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_true(reply->backup->index >= acknowledged);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_backup__hands_out_every_byte_while_checkpoints_go_on(void **unused) {
	struct cluster cluster;
	struct cluster_node *at;
	uint64_t opened, bytes, number, at_byte = 0;
	raft_index index;
	uint32_t leader;
	uint8_t *all;

	(void)unused;
	leader = begin(&cluster, &opened);
	at = cluster_node(&cluster, leader);
	for (uint64_t i = 1; i <= 20; i++) {
		char name[] = {(char)('a' + i), 0};

		assert_int_not_equal(cluster_acquire(&cluster, leader, 5, opened, i, name), 0);
	}
	number = begin_backup(&cluster, leader, 5, 10, &bytes, &index);
	assert_int_not_equal(cluster_acquire(&cluster, leader, 5, opened, 21, "later"), 0);
	all = calloc(1, bytes);
	while (at_byte < bytes) {
		Client__Reply *reply;

		cluster_send_backup(&cluster, leader, 5, 11, number, at_byte);
		cluster_settle(&cluster);
		reply = cluster_take_reply(&cluster, 5, 11);
		assert_non_null(reply);
		assert_int_equal(reply->status, LOCKD_OK);
		assert_int_equal(reply->backup->index, index);
		assert_in_range(reply->backup->data.len, 1, bytes - at_byte);
		memcpy(all + at_byte, reply->backup->data.data, reply->backup->data.len);
		at_byte += reply->backup->data.len;
		client__reply__free_unpacked(reply, NULL);
	}
	assert_memory_equal(all, at->backups[number % CLUSTER_BACKUPS_MAX].run, bytes);
	free(all);
	cluster_deinit(&cluster);
}

/* ---- Forgotten ----------------------------------------------------------------------------------------------------
 */

static void test_backup__is_forgotten_with_its_connection_or_when_idle(void **unused) {
	struct cluster cluster;
	struct cluster_node *at;
	uint64_t opened, bytes, number;
	raft_index index;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, &opened);
	at = cluster_node(&cluster, leader);
	cluster_hello(&cluster, leader, 6);
	(void)begin_backup(&cluster, leader, 6, 10, &bytes, &index);
	cluster_post(&cluster, leader, &(struct node_event){.kind = NODE_CLIENT_GONE, .connection = 6});
	cluster_settle(&cluster);
	assert_int_equal(at->backups_dropped, 1);

	number = begin_backup(&cluster, leader, 5, 11, &bytes, &index);
	cluster_advance(&cluster, (LIMIT_BACKUP_IDLE_MS - 1000) * CLUSTER_MS);
	assert_int_equal(ask_part(&cluster, leader, 5, number, 0), LOCKD_OK);
	cluster_advance(&cluster, (LIMIT_BACKUP_IDLE_MS - 1000) * CLUSTER_MS);
	assert_int_equal(at->backups_dropped, 1);
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(at->backups_dropped, 2);
	assert_int_equal(ask_part(&cluster, leader, 5, number, 0), LOCKD_NOT_FOUND);
	cluster_deinit(&cluster);
}

static void test_backup__begun_anew_cancels_the_one_that_waits(void **unused) {
	struct cluster cluster;
	struct cluster_node *at;
	uint64_t opened;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, &opened);
	at = cluster_node(&cluster, leader);
	at->hold_backups = true;
	cluster_send_backup(&cluster, leader, 5, 10, 0, 0);
	cluster_settle(&cluster);
	cluster_send_backup(&cluster, leader, 5, 11, 0, 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 10), LOCKD_CANCELLED);
	at->hold_backups = false;
	cluster_end_backup(&cluster, leader);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 11), LOCKD_OK);
	assert_int_equal(at->backups_dropped, 1);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backup__refuses_parts_of_what_it_does_not_know),
		cmocka_unit_test(test_backup__says_that_the_disk_is_full),
		cmocka_unit_test(test_backup__is_not_made_of_a_state_that_nobody_would_take_back),
		cmocka_unit_test(test_backup__is_bounded_in_number_whoever_gives_up),
		cmocka_unit_test(test_backup__does_not_wait_at_a_node_that_stops),
		cmocka_unit_test(test_backup__makes_the_checkpoint_that_is_missing),
		cmocka_unit_test(test_backup__waits_for_a_checkpoint_that_reaches_far_enough),
		cmocka_unit_test(test_backup__is_made_by_a_follower_that_lags),
		cmocka_unit_test(test_backup__of_a_new_leader_holds_what_the_old_one_acknowledged),
		cmocka_unit_test(test_backup__hands_out_every_byte_while_checkpoints_go_on),
		cmocka_unit_test(test_backup__is_forgotten_with_its_connection_or_when_idle),
		cmocka_unit_test(test_backup__begun_anew_cancels_the_one_that_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
