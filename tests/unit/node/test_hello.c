/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <string.h>

/* Takes all news of the connection and returns the leader that the latest names. */
static uint32_t told_leader(struct cluster *cluster, node_connection connection) {
	size_t n;
	Client__HelloReply *news = cluster_take_news(cluster, connection, &n);
	uint32_t leader;

	assert_non_null(news);
	assert_int_equal(news->status, LOCKD_OK);
	assert_int_equal(news->protocol, 1);
	leader = news->leader;
	client__hello_reply__free_unpacked(news, NULL);
	return leader;
}

static void assert_no_news(struct cluster *cluster, node_connection connection) {
	size_t n;

	assert_null(cluster_take_news(cluster, connection, &n));
	assert_int_equal(n, 0);
}

static void test_hello__is_not_repeated_without_news(void **unused) {
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	cluster_hello(&cluster, leader % 3 + 1, 6);
	assert_int_not_equal(cluster_open(&cluster, leader, 5, "nonce", 3000), 0);
	cluster_advance(&cluster, 2000 * CLUSTER_MS);
	assert_no_news(&cluster, 5);
	assert_no_news(&cluster, 6);
	cluster_deinit(&cluster);
}

/* Whoever was refused or has not said HELLO hears nothing. */
static void test_hello__is_repeated_to_greeted_clients_only(void **unused) {
	struct cluster cluster;
	Client__Hello hello = CLIENT__HELLO__INIT;
	uint8_t body[64];

	(void)unused;
	cluster_init(&cluster, 1);
	hello.protocol_min = hello.protocol_max = 9;
	cluster_send(&cluster, 1, 5, FRAME_HELLO, 7, body, client__hello__pack(&hello, body));
	cluster_settle(&cluster);
	assert_non_null(cluster_take(&cluster, 5, FRAME_HELLO_REPLY, 7));
	cluster_hello(&cluster, 1, 6);
	cluster_found(&cluster);
	assert_int_equal(told_leader(&cluster, 6), 1);
	assert_no_news(&cluster, 5);
	cluster_deinit(&cluster);
}

static void test_hello__is_repeated_when_the_leader_changes(void **unused) {
	struct cluster cluster;
	uint32_t leader, successor, follower;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	for (uint32_t id = 1; id <= 3; id++)
		cluster_hello(&cluster, id, 4 + id);

	cluster_node(&cluster, leader)->cut = true;
	successor = cluster_await_leader(&cluster, leader);
	follower = 6 - leader - successor;
	/* The old leader has stepped down and knows of nobody. */
	assert_int_equal(told_leader(&cluster, 4 + leader), 0);
	assert_int_equal(told_leader(&cluster, 4 + successor), successor);
	assert_int_equal(told_leader(&cluster, 4 + follower), successor);

	cluster_node(&cluster, leader)->cut = false;
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	assert_int_equal(told_leader(&cluster, 4 + leader), successor);
	assert_no_news(&cluster, 4 + successor);
	cluster_deinit(&cluster);
}

/* The client of an only node must learn why it leads no more. */
static void test_hello__says_that_the_disk_is_full(void **unused) {
	struct cluster cluster;
	Client__HelloReply *reply;
	size_t n;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	cluster_hello(&cluster, cluster_leader(&cluster) % 3 + 1, 5);
	for (int full = 1; full >= 0; full--) {
		cluster_post(&cluster, cluster_leader(&cluster) % 3 + 1,
			     &(struct node_event){.kind = full ? NODE_SAVE_BLOCKED : NODE_SAVE_UNBLOCKED});
		cluster_settle(&cluster);
		reply = cluster_take_news(&cluster, 5, &n);
		assert_non_null(reply);
		assert_int_equal(n, 1);
		assert_int_equal(reply->disk_full, full);
		assert_int_equal(reply->leader, cluster_leader(&cluster));
		client__hello_reply__free_unpacked(reply, NULL);
	}
	cluster_deinit(&cluster);
}

/* A client that waits at a blank node learns to which cluster it has come. */
static void test_hello__is_repeated_when_the_cluster_is_founded(void **unused) {
	struct cluster cluster;
	Client__HelloReply *news;
	size_t n;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_hello(&cluster, 1, 5);
	assert_no_news(&cluster, 5);
	cluster_found(&cluster);
	news = cluster_take_news(&cluster, 5, &n);
	assert_non_null(news);
	assert_memory_equal(news->incarnation.data, "incarnation-0001", 16);
	assert_int_equal(news->drift_ppm, 100000);
	assert_int_equal(news->leader, 1);
	assert_int_equal(news->n_nodes, 1);
	client__hello_reply__free_unpacked(news, NULL);
	cluster_deinit(&cluster);
}

static void test_hello__is_repeated_when_the_members_change(void **unused) {
	struct cluster cluster;
	struct node_config config = {0};
	struct cluster_change added[] = {{CLIENT__MEMBER_CHANGE__KIND__LEARNER, 4, -1}};
	struct cluster_change removed[] = {{CLIENT__MEMBER_CHANGE__KIND__ABSENT, 4, -1}};
	uint32_t leader, follower;
	Client__HelloReply *news;
	size_t n;

	(void)unused;
	cluster_init_spare(&cluster, 3, 4, &config);
	cluster_found(&cluster);
	cluster_node(&cluster, 4)->calling = true;
	cluster_advance(&cluster, 1000 * CLUSTER_MS);
	leader = cluster_leader(&cluster);
	follower = leader % 3 + 1;
	cluster_hello(&cluster, leader, 5);
	cluster_hello(&cluster, follower, 6);

	cluster_send_change(&cluster, leader, 5, 1, added, 1);
	cluster_advance(&cluster, 2000 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_OK);
	for (node_connection connection = 5; connection <= 6; connection++) {
		news = cluster_take_news(&cluster, connection, &n);
		assert_non_null(news);
		assert_int_equal(news->leader, leader);
		assert_int_equal(news->n_nodes, 4);
		assert_int_equal(news->nodes[3]->node, 4);
		assert_memory_equal(news->nodes[3]->client_address.data, "c4:1", 4);
		client__hello_reply__free_unpacked(news, NULL);
	}
	cluster_send_change(&cluster, leader, 5, 2, removed, 1);
	cluster_advance(&cluster, 2000 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_OK);
	news = cluster_take_news(&cluster, 6, &n);
	assert_non_null(news);
	assert_int_equal(news->n_nodes, 3);
	client__hello_reply__free_unpacked(news, NULL);
	cluster_deinit(&cluster);
}

/* A leader that comes and goes within one turn is told as it is in the end, once. */
static void test_hello__is_repeated_once_a_turn(void **unused) {
	struct cluster cluster;
	uint32_t leader;
	size_t n;
	Client__HelloReply *news;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	cluster_post(&cluster, leader, &(struct node_event){.kind = NODE_SAVE_BLOCKED});
	cluster_post(&cluster, leader, &(struct node_event){.kind = NODE_SAVE_UNBLOCKED});
	cluster_settle(&cluster);
	news = cluster_take_news(&cluster, 5, &n);
	assert_non_null(news);
	assert_int_equal(n, 1);
	assert_int_equal(news->leader, 0);
	client__hello_reply__free_unpacked(news, NULL);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello__is_not_repeated_without_news),
		cmocka_unit_test(test_hello__is_repeated_to_greeted_clients_only),
		cmocka_unit_test(test_hello__is_repeated_when_the_leader_changes),
		cmocka_unit_test(test_hello__says_that_the_disk_is_full),
		cmocka_unit_test(test_hello__is_repeated_when_the_cluster_is_founded),
		cmocka_unit_test(test_hello__is_repeated_when_the_members_change),
		cmocka_unit_test(test_hello__is_repeated_once_a_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
