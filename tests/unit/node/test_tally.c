/* SPDX-License-Identifier: Apache-2.0 */
/* What a node counts of its work, against work that the test knows. */
#include "cluster.h"

static struct node_tally tally_of(struct cluster *cluster, uint32_t node) {
	struct node_tally tally;

	node_get_tally(cluster_node(cluster, node)->node, &tally);
	return tally;
}

static uint64_t sum(const uint64_t *counters, size_t n) {
	uint64_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += counters[i];
	return all;
}

static void test_tally__counts_a_request_that_is_refused(void **unused) {
	Client__Request none = CLIENT__REQUEST__INIT;
	struct cluster cluster;
	struct node_tally tally;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_send_acquire(&cluster, 1, 5, 1, 4711, 1, "", 0); /* no lock has such a name */
	cluster_request(&cluster, 1, 5, 2, &none);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_INVALID);
	tally = tally_of(&cluster, 1);
	assert_int_equal(tally.requests[CLIENT__REQUEST__BODY_ACQUIRE], 1);
	assert_int_equal(tally.requests[0], 1);
	assert_int_equal(sum(tally.requests, NODE_VERBS_MAX), 2);
	assert_int_equal(tally.replies[LOCKD_INVALID], 2);
	assert_int_equal(sum(tally.replies, NODE_STATUSES_MAX), 2);
	cluster_deinit(&cluster);
}

static void test_tally__counts_verbs_and_answers(void **unused) {
	struct cluster cluster;
	struct node_tally tally;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 10000);
	for (uint64_t id = 10; id < 13; id++)
		cluster_send_acquire(&cluster, 1, 5, id, opened, id, "lock", 0);
	cluster_send_acquire(&cluster, 1, 5, 20, 4711, 1, "lock", 0);
	cluster_settle(&cluster);
	tally = tally_of(&cluster, 1);
	assert_int_equal(tally.requests[CLIENT__REQUEST__BODY_OPEN], 1);
	assert_int_equal(tally.requests[CLIENT__REQUEST__BODY_ACQUIRE], 4);
	assert_int_equal(tally.replies[LOCKD_SESSION_EXPIRED], 1);
	assert_int_equal(sum(tally.requests, NODE_VERBS_MAX), sum(tally.replies, NODE_STATUSES_MAX));
	assert_int_equal(tally.pending, 0);
	cluster_deinit(&cluster);
}

/* The request waits for the disk, and afterwards for nobody: its client has gone. */
static void test_tally__shows_what_waits_and_leaves_out_answers_to_nobody(void **unused) {
	struct node_event gone = {.kind = NODE_CLIENT_GONE, .connection = 5};
	struct cluster cluster;
	struct node_tally before, tally;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 10000);
	before = tally_of(&cluster, 1);
	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_send_acquire(&cluster, 1, 5, 1, opened, 1, "lock", 0);
	cluster_settle(&cluster);
	tally = tally_of(&cluster, 1);
	assert_int_equal(tally.pending, 1);
	assert_true(tally.log_bytes > before.log_bytes);
	cluster_post(&cluster, 1, &gone);
	cluster_settle(&cluster);
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	tally = tally_of(&cluster, 1);
	assert_int_equal(tally.pending, 0);
	assert_int_equal(tally.requests[CLIENT__REQUEST__BODY_ACQUIRE], 1);
	assert_int_equal(sum(tally.replies, NODE_STATUSES_MAX), sum(before.replies, NODE_STATUSES_MAX));
	cluster_deinit(&cluster);
}

static void test_tally__counts_sessions_that_fall_silent(void **unused) {
	struct cluster cluster;
	struct node_tally tally;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 4000);
	cluster_send_keep_alive(&cluster, 1, 5, 1, opened);
	cluster_send_keep_alive(&cluster, 1, 5, 2, 4711);
	cluster_settle(&cluster);
	tally = tally_of(&cluster, 1);
	assert_int_equal(tally.requests[CLIENT__REQUEST__BODY_KEEP_ALIVE], 2);
	assert_int_equal(tally.kept_alive, 1); /* nobody has opened the other one */
	assert_int_equal(tally.expired, 0);
	cluster_advance(&cluster, 6000 * CLUSTER_MS);
	assert_int_equal(tally_of(&cluster, 1).expired, 1);
	assert_int_equal(state_get_counts(node_state(cluster_node(&cluster, 1)->node, CLUSTER_GROUP)).sessions, 0);
	cluster_deinit(&cluster);
}

static void test_tally__counts_leaders(void **unused) {
	struct cluster cluster;
	uint32_t first, second;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	cluster_advance(&cluster, 300 * CLUSTER_MS);
	first = cluster_leader(&cluster);
	for (uint32_t node = 1; node <= 3; node++)
		assert_int_equal(tally_of(&cluster, node).leaders, 1);
	cluster_node(&cluster, first)->cut = true;
	second = cluster_await_leader(&cluster, first);
	cluster_advance(&cluster, 300 * CLUSTER_MS);
	assert_int_equal(tally_of(&cluster, second).leaders, 2);
	assert_int_equal(tally_of(&cluster, 6 - first - second).leaders, 2);
	assert_int_equal(tally_of(&cluster, first).leaders, 1);
	cluster_deinit(&cluster);
}

static void test_tally__says_whether_requests_are_refused(void **unused) {
	struct node_event event = {.kind = NODE_SAVE_BLOCKED};
	struct cluster cluster;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	assert_false(tally_of(&cluster, 1).refusing);
	cluster_post(&cluster, 1, &event);
	cluster_settle(&cluster);
	assert_true(tally_of(&cluster, 1).refusing);
	event.kind = NODE_SAVE_UNBLOCKED;
	cluster_post(&cluster, 1, &event);
	cluster_settle(&cluster);
	assert_false(tally_of(&cluster, 1).refusing);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tally__counts_a_request_that_is_refused),
		cmocka_unit_test(test_tally__counts_verbs_and_answers),
		cmocka_unit_test(test_tally__shows_what_waits_and_leaves_out_answers_to_nobody),
		cmocka_unit_test(test_tally__counts_sessions_that_fall_silent),
		cmocka_unit_test(test_tally__counts_leaders),
		cmocka_unit_test(test_tally__says_whether_requests_are_refused),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
