/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <string.h>

/* Takes the next event of the observation; its revision. */
static uint64_t expect(struct cluster *cluster, node_connection connection, uint64_t id, Client__Event__Kind kind,
		       uint64_t token) {
	Client__Event *event = cluster_take_event(cluster, connection, id);
	uint64_t revision;

	assert_non_null(event);
	assert_int_equal(event->kind, kind);
	assert_int_equal(event->token, token);
	revision = event->revision;
	client__event__free_unpacked(event, NULL);
	return revision;
}

static void release(struct cluster *cluster, uint32_t node, uint64_t opened, uint64_t sequence, uint64_t token) {
	cluster_send_release(cluster, node, 5, 500, opened, sequence, "lock", token);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 500), LOCKD_OK);
}

static void test_watch__begins_with_the_state_of_affairs_and_pushes_changes_in_order(void **unused) {
	struct cluster cluster;
	uint64_t opened, first, second, revision;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_hello(&cluster, 1, 6);
	opened = cluster_open(&cluster, 1, 5, "nonce", 60000);
	cluster_send_observe(&cluster, 1, 6, 1, "lock", 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 6, 1), LOCKD_OK);
	revision = expect(&cluster, 6, 1, CLIENT__EVENT__KIND__VACANT, 0);

	first = cluster_acquire(&cluster, 1, 5, opened, 1, "lock");
	release(&cluster, 1, opened, 2, first);
	second = cluster_acquire(&cluster, 1, 5, opened, 3, "lock");
	assert_int_not_equal(cluster_acquire(&cluster, 1, 5, opened, 4, "other"), 0);
	assert_in_range(expect(&cluster, 6, 1, CLIENT__EVENT__KIND__LEADER, first), revision + 1, UINT64_MAX);
	(void)expect(&cluster, 6, 1, CLIENT__EVENT__KIND__VACANT, 0);
	(void)expect(&cluster, 6, 1, CLIENT__EVENT__KIND__LEADER, second);
	assert_null(cluster_take_event(&cluster, 6, 1));
	cluster_deinit(&cluster);
}

static void test_watch__ends_when_asked_to(void **unused) {
	struct cluster cluster;
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Unobserve unobserve = CLIENT__UNOBSERVE__INIT;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 60000);
	cluster_send_observe(&cluster, 1, 5, 1, "lock", 0);
	cluster_send_observe(&cluster, 1, 5, 1, "lock", 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_OK);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_INVALID);
	(void)expect(&cluster, 5, 1, CLIENT__EVENT__KIND__VACANT, 0);
	unobserve.observation = 1;
	request.body_case = CLIENT__REQUEST__BODY_UNOBSERVE;
	request.unobserve = &unobserve;
	cluster_request(&cluster, 1, 5, 2, &request);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_OK);
	assert_int_not_equal(cluster_acquire(&cluster, 1, 5, opened, 1, "lock"), 0);
	assert_null(cluster_take_event(&cluster, 5, 1));
	cluster_deinit(&cluster);
}

static void test_watch__resumes_at_the_next_leader_without_loss(void **unused) {
	struct cluster cluster;
	uint32_t old, leader;
	uint64_t opened, first, second, revision;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	old = cluster_leader(&cluster);
	cluster_hello(&cluster, old, 5);
	opened = cluster_open(&cluster, old, 5, "nonce", 60000);
	cluster_send_observe(&cluster, old, 5, 1, "lock", 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_OK);
	(void)expect(&cluster, 5, 1, CLIENT__EVENT__KIND__VACANT, 0);
	first = cluster_acquire(&cluster, old, 5, opened, 1, "lock");
	revision = expect(&cluster, 5, 1, CLIENT__EVENT__KIND__LEADER, first);
	cluster_node(&cluster, old)->cut = true;
	leader = cluster_await_leader(&cluster, old);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_NOT_LEADER);

	cluster_hello(&cluster, leader, 5);
	release(&cluster, leader, opened, 2, first);
	second = cluster_acquire(&cluster, leader, 5, opened, 3, "lock");
	cluster_send_observe(&cluster, leader, 5, 2, "lock", revision);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_OK);
	(void)expect(&cluster, 5, 2, CLIENT__EVENT__KIND__VACANT, 0);
	(void)expect(&cluster, 5, 2, CLIENT__EVENT__KIND__LEADER, second);
	assert_null(cluster_take_event(&cluster, 5, 2));
	cluster_deinit(&cluster);
}

/* The history begins empty after a restart from a checkpoint: what it has lost is an explicit gap. */
static void test_watch__says_what_it_has_lost(void **unused) {
	struct cluster cluster;
	struct node_config config = {.checkpoint_log_entries = 1, .trailing_log_entries = 1};
	uint64_t opened, first, second, revision;

	(void)unused;
	cluster_init_with(&cluster, 1, &config);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 60000);
	cluster_send_observe(&cluster, 1, 5, 1, "lock", 0);
	cluster_settle(&cluster);
	revision = expect(&cluster, 5, 1, CLIENT__EVENT__KIND__VACANT, 0);
	first = cluster_acquire(&cluster, 1, 5, opened, 1, "lock");
	release(&cluster, 1, opened, 2, first);
	second = cluster_acquire(&cluster, 1, 5, opened, 3, "lock");
	assert_int_not_equal(cluster_acquire(&cluster, 1, 5, opened, 4, "other"), 0);
	cluster_advance(&cluster, 1000 * CLUSTER_MS);

	cluster_restart(&cluster, 1);
	(void)cluster_await_leader(&cluster, 0);
	cluster_hello(&cluster, 1, 7);
	cluster_send_observe(&cluster, 1, 7, 1, "lock", revision);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 7, 1), LOCKD_OK);
	(void)expect(&cluster, 7, 1, CLIENT__EVENT__KIND__GAP, 0);
	revision = expect(&cluster, 7, 1, CLIENT__EVENT__KIND__LEADER, second);
	/* Whoever saw the present holder has missed nothing. */
	cluster_send_observe(&cluster, 1, 7, 2, "lock", revision);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 7, 2), LOCKD_OK);
	assert_null(cluster_take_event(&cluster, 7, 2));
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch__begins_with_the_state_of_affairs_and_pushes_changes_in_order),
		cmocka_unit_test(test_watch__ends_when_asked_to),
		cmocka_unit_test(test_watch__resumes_at_the_next_leader_without_loss),
		cmocka_unit_test(test_watch__says_what_it_has_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
