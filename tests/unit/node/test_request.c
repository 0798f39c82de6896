/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void founded(struct cluster *cluster) {
	cluster_init(cluster, 1);
	cluster_found(cluster);
}

/* The reply's text contains `part`. */
static void assert_refused(struct cluster *cluster, node_connection connection, uint64_t id, const char *part) {
	Client__Reply *reply = cluster_take_reply(cluster, connection, id);
	char text[256] = {0};

	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_INVALID);
	memcpy(text, reply->text.data, reply->text.len);
	if (!strstr(text, part))
		fail_msg("\"%s\" does not name \"%s\"", text, part);
	client__reply__free_unpacked(reply, NULL);
}

static void test_request__closes_when_the_first_frame_is_no_hello(void **unused) {
	struct cluster cluster;
	struct cluster_frame *frame;

	(void)unused;
	founded(&cluster);
	cluster_send(&cluster, 1, 5, FRAME_REQUEST, 1, "", 0);
	cluster_settle(&cluster);
	frame = cluster_take(&cluster, 5, 0, 0);
	assert_non_null(frame);
	assert_true(frame->close);
	assert_int_equal(frame->n, 0);
	/* Nothing that follows on this connection is answered. */
	cluster_send(&cluster, 1, 5, FRAME_HELLO, 0, "", 0);
	cluster_settle(&cluster);
	assert_null(cluster_take(&cluster, 5, FRAME_HELLO_REPLY, 0));
	cluster_deinit(&cluster);
}

static struct cluster_frame *greet(struct cluster *cluster, node_connection connection, uint32_t min, uint32_t max,
				   const char *incarnation) {
	Client__Hello hello = CLIENT__HELLO__INIT;
	uint8_t body[64];

	hello.protocol_min = min;
	hello.protocol_max = max;
	hello.incarnation = cluster_bytes(incarnation);
	cluster_send(cluster, 1, connection, FRAME_HELLO, 0, body, client__hello__pack(&hello, body));
	cluster_settle(cluster);
	return cluster_take(cluster, connection, FRAME_HELLO_REPLY, 0);
}

static void test_request__refuses_unknown_protocols_and_names_both_ranges(void **unused) {
	struct cluster cluster;
	struct cluster_frame *frame;
	Client__HelloReply *reply;

	(void)unused;
	founded(&cluster);
	frame = greet(&cluster, 5, 2, 9, "");
	assert_non_null(frame);
	assert_true(frame->close);
	reply = client__hello_reply__unpack(NULL, frame->n, frame->body);
	assert_int_equal(reply->status, LOCKD_PROTOCOL);
	assert_non_null(strstr((char *)reply->text.data, "2 to 9"));
	assert_non_null(strstr((char *)reply->text.data, "1 to 1"));
	client__hello_reply__free_unpacked(reply, NULL);
	frame = greet(&cluster, 6, 0, 0, "");
	assert_true(frame->close);
	cluster_deinit(&cluster);
}

static void test_request__refuses_another_incarnation(void **unused) {
	struct cluster cluster;
	struct cluster_frame *frame;
	Client__HelloReply *reply;

	(void)unused;
	founded(&cluster);
	frame = greet(&cluster, 5, 1, 1, "another cluster!");
	assert_true(frame->close);
	reply = client__hello_reply__unpack(NULL, frame->n, frame->body);
	assert_int_equal(reply->status, LOCKD_WRONG_CLUSTER);
	client__hello_reply__free_unpacked(reply, NULL);

	frame = greet(&cluster, 6, 1, 3, "incarnation-0001");
	assert_false(frame->close);
	reply = client__hello_reply__unpack(NULL, frame->n, frame->body);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_int_equal(reply->protocol, 1);
	assert_int_equal(reply->leader, 1);
	assert_int_equal(reply->group, 1);
	assert_int_equal(reply->drift_ppm, 100000);
	assert_int_equal(reply->n_nodes, 1);
	assert_memory_equal(reply->nodes[0]->client_address.data, "c1:1", 4);
	client__hello_reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

static void test_request__closes_on_garbage(void **unused) {
	struct cluster cluster;
	struct cluster_frame *frame;

	(void)unused;
	founded(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_send(&cluster, 1, 5, FRAME_REQUEST, 1, "\xff\xff\xff", 3);
	cluster_settle(&cluster);
	frame = cluster_take(&cluster, 5, FRAME_REPLY, 1);
	assert_non_null(frame);
	assert_true(frame->close);

	cluster_hello(&cluster, 1, 6);
	cluster_send(&cluster, 1, 6, 99, 2, "", 0);
	cluster_settle(&cluster);
	frame = cluster_take(&cluster, 6, FRAME_REPLY, 2);
	assert_non_null(frame);
	assert_true(frame->close);

	cluster_send(&cluster, 1, 7, FRAME_HELLO, 3, "\xff\xff\xff", 3);
	cluster_settle(&cluster);
	frame = cluster_take(&cluster, 7, FRAME_REPLY, 3);
	assert_non_null(frame);
	assert_true(frame->close);
	cluster_deinit(&cluster);
}

static void test_request__names_the_field_that_is_out_of_range(void **unused) {
	struct cluster cluster;
	char name[LIMIT_NAME_BYTES_MAX + 2];
	Client__Request empty = CLIENT__REQUEST__INIT;

	(void)unused;
	founded(&cluster);
	cluster_hello(&cluster, 1, 5);
	memset(name, 'x', sizeof name);
	name[sizeof name - 1] = 0;

	cluster_send_open(&cluster, 1, 5, 1, "nonce", 2999);
	cluster_send_acquire(&cluster, 1, 5, 2, 9, 1, "", 0);
	cluster_send_acquire(&cluster, 1, 5, 3, 9, 1, name, 0);
	cluster_send_acquire(&cluster, 1, 5, 4, 9, 1, "a\nb", 0);
	cluster_send_acquire(&cluster, 1, 5, 5, 9, 0, "a", 0);
	cluster_send_acquire(&cluster, 1, 5, 6, 0, 1, "a", 0);
	cluster_send_release(&cluster, 1, 5, 7, 9, 1, "a", 0);
	cluster_send_show(&cluster, 1, 5, 8, "\xc0\x80");
	cluster_request(&cluster, 1, 5, 9, &empty);
	cluster_settle(&cluster);
	assert_refused(&cluster, 5, 1, "ttl_ms: 2999, must be 3000 to 86400000");
	assert_refused(&cluster, 5, 2, "name: 0 bytes, must be 1 to 512");
	assert_refused(&cluster, 5, 3, "name: 513 bytes");
	assert_refused(&cluster, 5, 4, "name: must be UTF-8");
	assert_refused(&cluster, 5, 5, "sequence");
	assert_refused(&cluster, 5, 6, "session: missing");
	assert_refused(&cluster, 5, 7, "token");
	assert_refused(&cluster, 5, 8, "name");
	assert_refused(&cluster, 5, 9, "body");
	/* The connection stays open. */
	assert_int_not_equal(cluster_open(&cluster, 1, 5, "nonce", 3000), 0);
	cluster_deinit(&cluster);
}

static void test_request__answers_busy_beyond_the_bound_and_recovers(void **unused) {
	struct cluster cluster;
	struct node_config config = {.pending_requests_max = 2};

	(void)unused;
	cluster_init_with(&cluster, 1, &config);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_node(&cluster, 1)->hold_saves = true;
	for (uint64_t id = 1; id <= 3; id++)
		cluster_send_open(&cluster, 1, 5, id, id == 1 ? "a" : id == 2 ? "b" : "c", 3000);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 3), LOCKD_BUSY);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), -1);

	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_OK);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_OK);
	cluster_send_open(&cluster, 1, 5, 4, "c", 3000);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 4), LOCKD_OK);
	cluster_deinit(&cluster);
}

static void send_opens(struct cluster *cluster, node_connection connection, uint64_t n) {
	char nonce[32];

	for (uint64_t id = 1; id <= n; id++) {
		snprintf(nonce, sizeof nonce, "%u-%u", (unsigned)connection, (unsigned)id);
		cluster_send_open(cluster, 1, connection, id, nonce, 3000);
	}
	cluster_settle(cluster);
}

static uint64_t count_busy(struct cluster *cluster, node_connection connection, uint64_t n) {
	uint64_t busy = 0;

	for (uint64_t id = 1; id <= n; id++)
		busy += cluster_take_status(cluster, connection, id) == LOCKD_BUSY;
	return busy;
}

static void test_request__who_floods_leaves_room_for_others(void **unused) {
	struct cluster cluster;
	struct node_config config = {.pending_requests_max = 60};

	(void)unused;
	cluster_init_with(&cluster, 1, &config);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_hello(&cluster, 1, 6);
	cluster_node(&cluster, 1)->hold_saves = true;
	send_opens(&cluster, 5, 60);
	assert_int_equal(count_busy(&cluster, 5, 60), 60 / 8);
	send_opens(&cluster, 6, 60 / 8);
	assert_int_equal(count_busy(&cluster, 6, 60 / 8), 0);
	/* And all of it comes free again. */
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	send_opens(&cluster, 5, 50);
	assert_int_equal(count_busy(&cluster, 5, 50), 0);
	cluster_deinit(&cluster);
}

static void test_request__refuses_a_sequence_beyond_the_window(void **unused) {
	struct cluster cluster;
	uint64_t opened;

	(void)unused;
	founded(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 3000);
	cluster_send_acquire(&cluster, 1, 5, 1, opened, 1000, "a", 0);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_WINDOW);
	cluster_deinit(&cluster);
}

static void test_request__redirects_to_the_leader(void **unused) {
	struct cluster cluster;
	uint32_t leader, follower;
	Client__Reply *reply;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	follower = leader == 1 ? 2 : 1;
	cluster_hello(&cluster, follower, 5);
	cluster_send_open(&cluster, follower, 5, 1, "nonce", 3000);
	cluster_send_observe(&cluster, follower, 5, 2, "a", 0);
	cluster_send_keep_alive(&cluster, follower, 5, 3, 1);
	cluster_settle(&cluster);
	for (uint64_t id = 1; id <= 3; id++) {
		reply = cluster_take_reply(&cluster, 5, id);
		assert_non_null(reply);
		assert_int_equal(reply->status, LOCKD_NOT_LEADER);
		assert_int_equal(reply->leader, leader);
		client__reply__free_unpacked(reply, NULL);
	}
	cluster_deinit(&cluster);
}

static void test_request__answers_disk_full_while_a_save_is_blocked(void **unused) {
	struct cluster cluster;

	(void)unused;
	founded(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_post(&cluster, 1, &(struct node_event){.kind = NODE_SAVE_BLOCKED});
	cluster_advance(&cluster, 2000 * CLUSTER_MS);
	assert_int_equal(cluster_leader(&cluster), 0);
	cluster_send_open(&cluster, 1, 5, 1, "nonce", 3000);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_DISK_FULL);
	cluster_post(&cluster, 1, &(struct node_event){.kind = NODE_SAVE_UNBLOCKED});
	(void)cluster_await_leader(&cluster, 0);
	assert_int_not_equal(cluster_open(&cluster, 1, 5, "nonce", 3000), 0);
	cluster_deinit(&cluster);
}

static void test_request__stops_when_nothing_is_left_to_save(void **unused) {
	struct cluster cluster;

	(void)unused;
	founded(&cluster);
	cluster_hello(&cluster, 1, 5);
	cluster_node(&cluster, 1)->hold_saves = true;
	cluster_send_open(&cluster, 1, 5, 1, "nonce", 3000);
	cluster_settle(&cluster);
	cluster_post(&cluster, 1, &(struct node_event){.kind = NODE_STOP});
	cluster_advance(&cluster, 3000 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_LEADER_CHANGED);
	assert_false(cluster_node(&cluster, 1)->stopped);
	cluster_send_open(&cluster, 1, 5, 2, "other", 3000);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 5, 2), LOCKD_NOT_LEADER);
	cluster_node(&cluster, 1)->hold_saves = false;
	cluster_settle(&cluster);
	assert_true(cluster_node(&cluster, 1)->stopped);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request__closes_when_the_first_frame_is_no_hello),
		cmocka_unit_test(test_request__refuses_unknown_protocols_and_names_both_ranges),
		cmocka_unit_test(test_request__refuses_another_incarnation),
		cmocka_unit_test(test_request__closes_on_garbage),
		cmocka_unit_test(test_request__names_the_field_that_is_out_of_range),
		cmocka_unit_test(test_request__answers_busy_beyond_the_bound_and_recovers),
		cmocka_unit_test(test_request__who_floods_leaves_room_for_others),
		cmocka_unit_test(test_request__refuses_a_sequence_beyond_the_window),
		cmocka_unit_test(test_request__redirects_to_the_leader),
		cmocka_unit_test(test_request__answers_disk_full_while_a_save_is_blocked),
		cmocka_unit_test(test_request__stops_when_nothing_is_left_to_save),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
