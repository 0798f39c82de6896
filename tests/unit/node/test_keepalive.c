/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

/* The session's own status; -1: no reply. */
static int take_keep_alive(struct cluster *cluster, node_connection connection, uint64_t id) {
	Client__Reply *reply = cluster_take_reply(cluster, connection, id);
	int status;

	if (!reply)
		return -1;
	assert_int_equal(reply->status, LOCKD_OK);
	assert_int_equal(reply->n_keep_alives, 1);
	status = (int)reply->keep_alives[0];
	client__reply__free_unpacked(reply, NULL);
	return status;
}

static uint32_t quarters(struct cluster *cluster, uint32_t node, uint64_t opened) {
	struct state_session session;

	assert_true(state_get_session(node_state(cluster_node(cluster, node)->node, 1), opened, &session));
	return session.quarters;
}

static void test_keepalive__says_expired_of_a_session_that_never_was(void **unused) {
	struct cluster cluster;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_send_keep_alive(&cluster, 1, 5, 1, 4711);
	cluster_settle(&cluster);
	assert_int_equal(take_keep_alive(&cluster, 5, 1), LOCKD_SESSION_EXPIRED);
	cluster_deinit(&cluster);
}

static void test_keepalive__is_not_acknowledged_without_a_quorum(void **unused) {
	struct cluster cluster;
	uint32_t leader;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	opened = cluster_open(&cluster, leader, 5, "nonce", 10000);
	cluster_send_keep_alive(&cluster, leader, 5, 1, opened);
	cluster_settle(&cluster);
	assert_int_equal(take_keep_alive(&cluster, 5, 1), LOCKD_OK);

	cluster_node(&cluster, leader)->cut = true;
	cluster_send_keep_alive(&cluster, leader, 5, 2, opened);
	cluster_send_keep_alive(&cluster, leader, 5, 3, 4711);
	cluster_advance(&cluster, 200 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), -1);
	assert_int_equal(cluster_take_status(&cluster, 5, 3), -1);
	(void)cluster_await_leader(&cluster, leader);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_NOT_LEADER);
	assert_int_equal(cluster_take_status(&cluster, 5, 3), LOCKD_NOT_LEADER);
	cluster_deinit(&cluster);
}

static void test_keepalive__restarts_the_timer_from_its_arrival(void **unused) {
	struct cluster cluster;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 4000);
	for (uint64_t id = 1; id <= 10; id++) {
		cluster_advance(&cluster, 900 * CLUSTER_MS);
		cluster_send_keep_alive(&cluster, 1, 5, id, opened);
		cluster_settle(&cluster);
		assert_int_equal(take_keep_alive(&cluster, 5, id), LOCKD_OK);
		assert_int_equal(quarters(&cluster, 1, opened), 0);
	}
	cluster_deinit(&cluster);
}

/* While a LATE is on record the acknowledgement waits until a RENEWED is applied. */
static void test_keepalive__takes_back_a_late_mark_before_it_answers(void **unused) {
	struct cluster cluster;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 4000);
	cluster_advance(&cluster, 2500 * CLUSTER_MS);
	assert_int_equal(quarters(&cluster, 1, opened), 2);

	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_send_keep_alive(&cluster, 1, 5, 1, opened);
	cluster_settle(&cluster);
	assert_int_equal(take_keep_alive(&cluster, 5, 1), -1);
	/* A second one waits for the same RENEWED. */
	cluster_send_keep_alive(&cluster, 1, 5, 2, opened);
	cluster_settle(&cluster);
	assert_int_equal(take_keep_alive(&cluster, 5, 2), -1);
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	assert_int_equal(take_keep_alive(&cluster, 5, 1), LOCKD_OK);
	assert_int_equal(take_keep_alive(&cluster, 5, 2), LOCKD_OK);
	assert_int_equal(quarters(&cluster, 1, opened), 0);
	cluster_deinit(&cluster);
}

/* A stalled disk must not let them pile up: the oldest give way here as well. */
static void test_keepalive__keeps_a_bounded_number_waiting_for_a_renewed(void **unused) {
	struct cluster cluster;
	uint64_t opened;
	unsigned answered = 0;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 4000);
	cluster_advance(&cluster, 2500 * CLUSTER_MS);
	cluster_node(&cluster, 1)->hold_saves = true;
	for (uint64_t id = 1; id <= 100; id++) {
		cluster_send_keep_alive(&cluster, 1, 5, id, opened);
		cluster_settle(&cluster);
	}
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	for (uint64_t id = 1; id <= 100; id++)
		answered += take_keep_alive(&cluster, 5, id) == LOCKD_OK;
	assert_int_equal(answered, 64);
	cluster_deinit(&cluster);
}

/* Found again by its nonce, a session that was silent is renewed before the client counts on a new lease. */
static void test_keepalive__renews_a_session_that_is_opened_again(void **unused) {
	struct cluster cluster;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 4000);
	cluster_advance(&cluster, 3500 * CLUSTER_MS);
	assert_int_equal(quarters(&cluster, 1, opened), 3);
	assert_int_equal(cluster_open(&cluster, 1, 5, "nonce", 4000), opened);
	assert_int_equal(quarters(&cluster, 1, opened), 0);
	cluster_advance(&cluster, 3500 * CLUSTER_MS);
	assert_int_equal(quarters(&cluster, 1, opened), 3);
	cluster_deinit(&cluster);
}

static void test_keepalive__learns_that_an_expiry_in_the_log_came_first(void **unused) {
	struct cluster cluster;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 4000);
	cluster_advance(&cluster, 3900 * CLUSTER_MS);
	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_advance(&cluster, 200 * CLUSTER_MS);
	cluster_send_keep_alive(&cluster, 1, 5, 1, opened);
	cluster_settle(&cluster);
	assert_int_equal(take_keep_alive(&cluster, 5, 1), -1);
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	assert_int_equal(take_keep_alive(&cluster, 5, 1), LOCKD_SESSION_EXPIRED);
	cluster_deinit(&cluster);
}

/* The lease proves leadership at once, but a LATE on record is taken back first all the same. */
static void test_keepalive__under_the_lease_takes_back_a_late_mark_before_it_answers(void **unused) {
	struct node_config config = {.leader_lease = true};
	struct cluster cluster;
	uint32_t leader;
	uint64_t opened;

	(void)unused;
	cluster_init_with(&cluster, 3, &config);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	opened = cluster_open(&cluster, leader, 5, "nonce", 4000);
	cluster_advance(&cluster, 2500 * CLUSTER_MS);
	assert_int_equal(quarters(&cluster, leader, opened), 2);

	/* Nobody else runs: nothing can be committed, but the lease holds. */
	for (uint32_t id = 1; id <= 3; id++)
		cluster_node(&cluster, id)->paused = id != leader;
	cluster_send_keep_alive(&cluster, leader, 5, 1, 4711);
	cluster_send_keep_alive(&cluster, leader, 5, 2, opened);
	cluster_settle(&cluster);
	assert_int_equal(take_keep_alive(&cluster, 5, 1), LOCKD_SESSION_EXPIRED);
	assert_int_equal(take_keep_alive(&cluster, 5, 2), -1);
	for (uint32_t id = 1; id <= 3; id++)
		cluster_node(&cluster, id)->paused = false;
	cluster_settle(&cluster);
	assert_int_equal(take_keep_alive(&cluster, 5, 2), LOCKD_OK);
	assert_int_equal(quarters(&cluster, leader, opened), 0);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keepalive__says_expired_of_a_session_that_never_was),
		cmocka_unit_test(test_keepalive__is_not_acknowledged_without_a_quorum),
		cmocka_unit_test(test_keepalive__restarts_the_timer_from_its_arrival),
		cmocka_unit_test(test_keepalive__takes_back_a_late_mark_before_it_answers),
		cmocka_unit_test(test_keepalive__under_the_lease_takes_back_a_late_mark_before_it_answers),
		cmocka_unit_test(test_keepalive__keeps_a_bounded_number_waiting_for_a_renewed),
		cmocka_unit_test(test_keepalive__renews_a_session_that_is_opened_again),
		cmocka_unit_test(test_keepalive__learns_that_an_expiry_in_the_log_came_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
