/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Client__Reply *list(struct cluster *cluster, const char *prefix, const char *after, uint32_t limit) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__List body = CLIENT__LIST__INIT;

	body.prefix = cluster_bytes(prefix);
	body.after = cluster_bytes(after);
	body.limit = limit;
	request.body_case = CLIENT__REQUEST__BODY_LIST;
	request.list = &body;
	cluster_request(cluster, 1, 5, 77, &request);
	cluster_settle(cluster);
	return cluster_take_reply(cluster, 5, 77);
}

static void assert_names(struct cluster *cluster, const char *prefix, const char *after, uint32_t limit,
			 const char *names, bool more) {
	Client__Reply *reply = list(cluster, prefix, after, limit);
	char found[256] = {0};
	size_t used = 0;

	assert_non_null(reply);
	for (size_t i = 0; i < reply->n_locks; i++)
		used += (size_t)snprintf(found + used, sizeof found - used, "%.*s ", (int)reply->locks[i]->name.len,
					 (char *)reply->locks[i]->name.data);
	assert_string_equal(found, names);
	assert_int_equal(reply->more, more);
	client__reply__free_unpacked(reply, NULL);
}

static void begin(struct cluster *cluster) {
	cluster_init(cluster, 1);
	cluster_found(cluster);
	cluster_hello(cluster, 1, 5);
}

static void test_read__lists_by_prefix_page_by_page(void **unused) {
	struct cluster cluster;
	const char *names[] = {"a", "b", "b/1", "b/2", "b/3", "c"};
	uint64_t opened;

	(void)unused;
	begin(&cluster);
	opened = cluster_open(&cluster, 1, 5, "nonce", 60000);
	for (uint64_t i = 0; i < 6; i++)
		assert_int_not_equal(cluster_acquire(&cluster, 1, 5, opened, i + 1, names[i]), 0);
	assert_names(&cluster, "x", "", 0, "", false);
	assert_names(&cluster, "", "", 0, "a b b/1 b/2 b/3 c ", false);
	assert_names(&cluster, "b", "", 0, "b b/1 b/2 b/3 ", false);
	assert_names(&cluster, "b/", "", 2, "b/1 b/2 ", true);
	assert_names(&cluster, "b/", "b/2", 2, "b/3 ", false);
	assert_names(&cluster, "b", "a", 2, "b b/1 ", true);
	cluster_deinit(&cluster);
}

/* A page of long rows ends before it outgrows a frame, and says that there is more. */
static void test_read__ends_a_page_before_it_outgrows_a_frame(void **unused) {
	struct cluster cluster;
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Acquire acquire = CLIENT__ACQUIRE__INIT;
	Client__SessionId session = CLIENT__SESSION_ID__INIT;
	Client__Reply *reply;
	static char value[LIMIT_VALUE_BYTES_MAX + 1];
	char name[8];

	(void)unused;
	begin(&cluster);
	session.epoch = 7;
	session.group = 1;
	session.opened = cluster_open(&cluster, 1, 5, "nonce", 60000);
	memset(value, 'v', sizeof value - 1);
	acquire.value = cluster_bytes(value);
	request.session = &session;
	request.body_case = CLIENT__REQUEST__BODY_ACQUIRE;
	request.acquire = &acquire;
	for (uint64_t i = 1; i <= 300; i++) {
		snprintf(name, sizeof name, "n%03u", (unsigned)i);
		acquire.name = cluster_bytes(name);
		request.sequence = i;
		request.floor = i;
		cluster_request(&cluster, 1, 5, i, &request);
		cluster_settle(&cluster);
		assert_int_equal(cluster_take_status(&cluster, 5, i), LOCKD_OK);
	}
	reply = list(&cluster, "", "", 0);
	assert_true(reply->more);
	assert_in_range(reply->n_locks, 100, 200);
	assert_in_range(client__reply__get_packed_size(reply), 0, LIMIT_FRAME_BYTES_MAX - FRAME_HEADER_BYTES);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_read__shows_holder_and_waiters_in_order(void **unused) {
	struct cluster cluster;
	uint64_t holder, first, second, token;
	Client__Reply *reply;

	(void)unused;
	begin(&cluster);
	holder = cluster_open(&cluster, 1, 5, "holder", 60000);
	first = cluster_open(&cluster, 1, 5, "first", 60000);
	second = cluster_open(&cluster, 1, 5, "second", 60000);
	token = cluster_acquire(&cluster, 1, 5, holder, 1, "lock");
	cluster_send_acquire(&cluster, 1, 5, 1, second, 1, "lock", 50000);
	cluster_settle(&cluster);
	cluster_send_acquire(&cluster, 1, 5, 2, first, 1, "lock", 50000);
	cluster_advance(&cluster, 1500 * CLUSTER_MS);
	cluster_send_show(&cluster, 1, 5, 3, "lock");
	cluster_settle(&cluster);
	reply = cluster_take_reply(&cluster, 5, 3);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_int_equal(reply->n_locks, 1);
	assert_int_equal(reply->locks[0]->token, token);
	assert_int_equal(reply->locks[0]->holder->id->opened, holder);
	assert_memory_equal(reply->locks[0]->holder->owner.data, "owner", 5);
	assert_int_equal(reply->locks[0]->n_waiters, 2);
	assert_int_equal(reply->locks[0]->waiters[0]->id->opened, second);
	assert_int_equal(reply->locks[0]->waiters[1]->id->opened, first);
	assert_in_range(reply->locks[0]->held_ms, 1400, 1500);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static Client__Reply *ask(struct cluster *cluster, uint32_t node, Client__Request__BodyCase body) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Status status = CLIENT__STATUS__INIT;
	Client__Sessions sessions = CLIENT__SESSIONS__INIT;

	request.body_case = body;
	if (body == CLIENT__REQUEST__BODY_STATUS)
		request.status = &status;
	else
		request.sessions = &sessions;
	cluster_request(cluster, node, 5, 78, &request);
	cluster_settle(cluster);
	return cluster_take_reply(cluster, 5, 78);
}

static void test_read__lists_sessions(void **unused) {
	struct cluster cluster;
	uint64_t first, second;
	Client__Reply *reply;

	(void)unused;
	begin(&cluster);
	first = cluster_open(&cluster, 1, 5, "first", 60000);
	second = cluster_open(&cluster, 1, 5, "second", 50000);
	assert_int_not_equal(cluster_acquire(&cluster, 1, 5, second, 1, "lock"), 0);
	reply = ask(&cluster, 1, CLIENT__REQUEST__BODY_SESSIONS);
	assert_non_null(reply);
	assert_int_equal(reply->n_sessions, 2);
	assert_int_equal(reply->sessions[0]->id->opened, first);
	assert_int_equal(reply->sessions[1]->id->opened, second);
	assert_int_equal(reply->sessions[1]->ttl_ms, 50000);
	assert_int_equal(reply->sessions[1]->held, 1);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_read__gives_its_status_even_when_blank(void **unused) {
	struct cluster cluster;
	Client__Reply *reply;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_hello(&cluster, 2, 5);
	reply = ask(&cluster, 2, CLIENT__REQUEST__BODY_STATUS);
	assert_non_null(reply);
	assert_memory_equal(reply->node->role.data, "blank", 5);
	assert_int_equal(reply->node->incarnation.len, 0);
	client__reply__free_unpacked(reply, NULL);

	cluster_found(&cluster);
	reply = ask(&cluster, 2, CLIENT__REQUEST__BODY_STATUS);
	assert_int_equal(reply->node->node, 2);
	assert_int_equal(reply->node->leader, cluster_leader(&cluster));
	assert_int_equal(reply->node->n_peers, 3);
	assert_memory_equal(reply->node->incarnation.data, "incarnation-0001", 16);
	assert_memory_equal(reply->node->version.data, "test", 4);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_read__tells_the_lease_and_the_smallest_ttl(void **unused) {
	struct cluster cluster;
	struct node_config config = {.leader_lease = true};
	uint32_t leader, follower;
	Client__Reply *reply;

	(void)unused;
	cluster_init_with(&cluster, 3, &config);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	follower = leader % 3 + 1;
	cluster_hello(&cluster, leader, 5);
	cluster_hello(&cluster, follower, 5);
	reply = ask(&cluster, leader, CLIENT__REQUEST__BODY_STATUS);
	assert_non_null(reply);
	/* Of 200 ms a drift of 10 % leaves 163. */
	assert_in_range(reply->node->lease_ms, 163 - 50, 163);
	assert_int_equal(reply->node->ttl_ms_min, 3000);
	client__reply__free_unpacked(reply, NULL);
	reply = ask(&cluster, follower, CLIENT__REQUEST__BODY_STATUS);
	assert_non_null(reply);
	assert_int_equal(reply->node->lease_ms, 0);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

/* Nobody else could be elected; a number of milliseconds would say that it ends. */
static void test_read__tells_that_the_lease_of_a_sole_voter_never_ends(void **unused) {
	struct cluster cluster;
	struct node_config config = {.leader_lease = true};
	Client__Reply *reply;

	(void)unused;
	cluster_init_with(&cluster, 1, &config);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	reply = ask(&cluster, 1, CLIENT__REQUEST__BODY_STATUS);
	assert_non_null(reply);
	assert_int_equal(reply->node->lease_ms, UINT32_MAX);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read__lists_by_prefix_page_by_page),
		cmocka_unit_test(test_read__ends_a_page_before_it_outgrows_a_frame),
		cmocka_unit_test(test_read__shows_holder_and_waiters_in_order),
		cmocka_unit_test(test_read__lists_sessions),
		cmocka_unit_test(test_read__gives_its_status_even_when_blank),
		cmocka_unit_test(test_read__tells_the_lease_and_the_smallest_ttl),
		cmocka_unit_test(test_read__tells_that_the_lease_of_a_sole_voter_never_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
