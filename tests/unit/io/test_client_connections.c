/* SPDX-License-Identifier: Apache-2.0 */
/* Who may stay, for how long, and what is closed; against connections that this test plays. */
#include "lockd/io/client_connections.h"

#include "api/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLIENTS_MAX = 300, SECOND = 1000000 };

struct connection {
	void *owner;
	bool started, finished, awaited, malformed;
	const char *closed; /* the first reason */
	size_t frame_bytes_max, unsent;
	unsigned sends, flushes, resumes;
};

static struct client_connections clients;
static struct events events;
static struct connection *newest;
static unsigned streams_freed;

/* ---- Connections as the test plays them ---------------------------------------------------------------------------
 */

int connection_new(const struct connection_config *config, nng_stream *stream, struct connection **ret) {
	(void)stream;
	newest = *ret = calloc(1, sizeof **ret);
	newest->owner = config->owner;
	newest->frame_bytes_max = config->frame_bytes_max;
	assert_int_equal(config->output_bytes_high, LIMIT_OUTPUT_BYTES_HIGH);
	assert_int_equal(config->inbox_bytes_high, CLIENT_CONNECTIONS_INBOX_BYTES_HIGH);
	return 0;
}
struct connection *connection_free(struct connection *c) {
	free(c);
	return NULL;
}
void connection_start(struct connection *c) {
	c->started = true;
}
void *connection_owner(const struct connection *c) {
	return c->owner;
}
void connection_set_frame_bytes_max(struct connection *c, size_t bytes) {
	c->frame_bytes_max = bytes;
}
const char *connection_remote(const struct connection *c) {
	(void)c;
	return "192.0.2.1:1";
}
const char *connection_reason(const struct connection *c) {
	return c->closed ? c->closed : "";
}
bool connection_is_malformed(const struct connection *c) {
	return c->malformed;
}
void connection_send(struct connection *c, uint8_t type, uint64_t id, const void *body, size_t body_bytes) {
	(void)type;
	(void)id;
	(void)body;
	c->sends++;
	c->unsent += body_bytes;
}
void connection_flush(struct connection *c) {
	c->flushes++;
}
size_t connection_output_bytes(struct connection *c) {
	return c->unsent;
}
void connection_await_drained(struct connection *c, size_t bytes) {
	assert_int_equal(bytes, LIMIT_OUTPUT_BYTES_HIGH);
	c->awaited = true;
}
void connection_take_drained(struct connection *c) {
	c->awaited = false;
}
void connection_resume(struct connection *c) {
	c->resumes++;
}
void connection_finish(struct connection *c) {
	c->finished = true;
}
void connection_close(struct connection *c, const char *reason) {
	if (!c->closed)
		c->closed = reason;
}
void nng_stream_free(nng_stream *stream) {
	(void)stream;
	streams_freed++;
}

/* ---- The story ----------------------------------------------------------------------------------------------------
 */

static int set_up(void **state) {
	(void)state;
	client_connections_init(&clients, NULL, CLIENTS_MAX);
	client_connections_tick(&clients, SECOND);
	events.n = 0;
	streams_freed = 0;
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	client_connections_deinit(&clients);
	events_deinit(&events);
	return 0;
}

static struct connection *come(void) {
	newest = NULL;
	client_connections_accept(&clients, NULL);
	return newest;
}

static void go(struct connection *c) {
	client_connections_closed(&clients, c, &events);
}

/* The number under which the node knows it. */
static node_connection number_of(struct connection *c) {
	struct connection_batch *batch = calloc(1, sizeof *batch + sizeof batch->frames[0]);

	batch->connection = c;
	batch->n = 1;
	batch->frames[0].type = FRAME_REQUEST;
	client_connections_frames(&clients, batch, &events);
	free(batch);
	assert_int_equal(events.all[events.n - 1].kind, NODE_CLIENT_FRAME);
	return events.all[events.n - 1].connection;
}

static void answer(struct connection *c, uint8_t type, size_t bytes, bool close) {
	struct node_client_frame frame = {
		.connection = number_of(c), .type = type, .body = (uint8_t *)"", .body_bytes = bytes, .close = close};

	client_connections_send(&clients, &frame);
	client_connections_flush(&clients);
}

static void test_client_connections__refuses_more_than_it_has_room_for(void **state) {
	struct connection *all[CLIENTS_MAX];

	(void)state;
	for (int i = 0; i < CLIENTS_MAX; i++) {
		all[i] = come();
		answer(all[i], FRAME_HELLO_REPLY, 1, false);
	}
	assert_null(come());
	assert_int_equal(streams_freed, 1);
	go(all[7]);
	all[7] = come();
	assert_non_null(all[7]);
	for (int i = 0; i < CLIENTS_MAX; i++)
		go(all[i]);
}

static void test_client_connections__closes_a_stranger_that_says_nothing(void **state) {
	struct connection *silent, *greeted;

	(void)state;
	assert_int_equal(client_connections_deadline(&clients), UINT64_MAX);
	silent = come();
	greeted = come();
	answer(greeted, FRAME_HELLO_REPLY, 1, false);
	assert_int_equal(client_connections_deadline(&clients), SECOND + LIMIT_HELLO_MS * 1000);
	client_connections_tick(&clients, SECOND + LIMIT_HELLO_MS * 1000 - 1);
	assert_null(silent->closed);
	client_connections_tick(&clients, SECOND + LIMIT_HELLO_MS * 1000);
	assert_string_equal(silent->closed, "no HELLO in time");
	assert_null(greeted->closed);
	assert_int_equal(client_connections_deadline(&clients), UINT64_MAX);
	go(silent);
	go(greeted);
}

static void test_client_connections__lets_the_newest_stranger_replace_the_oldest(void **state) {
	struct connection *all[LIMIT_UNGREETED_CONNECTIONS_MAX + 1];

	(void)state;
	for (int i = 0; i <= LIMIT_UNGREETED_CONNECTIONS_MAX; i++)
		all[i] = come();
	assert_string_equal(all[0]->closed, "too many connections without HELLO");
	assert_null(all[1]->closed);
	assert_null(all[LIMIT_UNGREETED_CONNECTIONS_MAX]->closed);
	for (int i = 0; i <= LIMIT_UNGREETED_CONNECTIONS_MAX; i++)
		go(all[i]);
}

static void test_client_connections__allows_large_frames_only_behind_hello(void **state) {
	struct connection *c = come();

	(void)state;
	assert_true(c->started);
	assert_int_equal(c->frame_bytes_max, LIMIT_FRAME_BYTES_MAX_UNGREETED);
	answer(c, FRAME_REPLY, 1, false);
	assert_int_equal(c->frame_bytes_max, LIMIT_FRAME_BYTES_MAX_UNGREETED);
	answer(c, FRAME_HELLO_REPLY, 1, false);
	assert_int_equal(c->frame_bytes_max, LIMIT_FRAME_BYTES_MAX);
	go(c);
}

static void test_client_connections__closes_who_lets_its_output_grow(void **state) {
	struct connection *slow = come(), *other = come();

	(void)state;
	answer(slow, FRAME_REPLY, LIMIT_OUTPUT_BYTES_MAX, false);
	assert_null(slow->closed);
	answer(slow, FRAME_REPLY, 1, false);
	assert_string_equal(slow->closed, "it does not read what it asked for");
	assert_null(other->closed);
	go(slow);
	go(other);
}

static void test_client_connections__closes_who_does_not_read_for_long(void **state) {
	struct connection *slow = come();
	raft_usec end = SECOND + CLIENT_CONNECTIONS_STALLED_MS * 1000;

	(void)state;
	answer(slow, FRAME_HELLO_REPLY, LIMIT_OUTPUT_BYTES_HIGH, false);
	assert_int_equal(client_connections_deadline(&clients), UINT64_MAX);
	answer(slow, FRAME_REPLY, 1, false);
	assert_int_equal(client_connections_deadline(&clients), end);
	client_connections_tick(&clients, end - 1);
	answer(slow, FRAME_REPLY, 1, false); /* more output buys no time */
	assert_null(slow->closed);
	client_connections_tick(&clients, end);
	assert_string_equal(slow->closed, "it does not read what it asked for");
	go(slow);
}

static void test_client_connections__gives_time_anew_to_who_has_read(void **state) {
	struct connection *slow = come();

	(void)state;
	answer(slow, FRAME_HELLO_REPLY, LIMIT_OUTPUT_BYTES_HIGH + 1, false);
	assert_true(slow->awaited);
	slow->unsent = 0;
	client_connections_drained(&clients, slow, &events);
	assert_int_equal(client_connections_deadline(&clients), UINT64_MAX);

	/* It had read, but by the time we hear of it there is too much again. */
	client_connections_tick(&clients, 2 * SECOND);
	slow->unsent = LIMIT_OUTPUT_BYTES_HIGH + 1;
	client_connections_drained(&clients, slow, &events);
	assert_int_equal(client_connections_deadline(&clients), 2 * SECOND + CLIENT_CONNECTIONS_STALLED_MS * 1000);
	go(slow);
	assert_int_equal(client_connections_deadline(&clients), UINT64_MAX);
}

static unsigned count_events(enum node_event_kind kind) {
	unsigned n = 0;

	for (size_t i = 0; i < events.n; i++)
		n += events.all[i].kind == kind;
	return n;
}

static void test_client_connections__tells_the_node_who_does_not_read(void **state) {
	struct connection *slow = come(), *slower = come();

	(void)state;
	answer(slow, FRAME_HELLO_REPLY, LIMIT_OUTPUT_BYTES_HIGH + 1, false);
	client_connections_tell_stalled(&clients, &events);
	assert_int_equal(count_events(NODE_CLIENT_STALLED), 1);
	answer(slower, FRAME_HELLO_REPLY, LIMIT_OUTPUT_BYTES_HIGH + 1, false);
	client_connections_tell_stalled(&clients, &events);
	assert_int_equal(count_events(NODE_CLIENT_STALLED), 2);
	client_connections_tell_stalled(&clients, &events);
	assert_int_equal(count_events(NODE_CLIENT_STALLED), 2);

	/* There is too much again: the node hears of both, in this order. */
	client_connections_drained(&clients, slow, &events);
	assert_int_equal(count_events(NODE_CLIENT_DRAINED), 1);
	client_connections_tell_stalled(&clients, &events);
	assert_int_equal(events.all[events.n - 1].kind, NODE_CLIENT_STALLED);
	assert_int_equal(events.all[events.n - 1].connection, number_of(slow));
	go(slow);
	go(slower);
}

/* It read before the node heard of it. */
static void test_client_connections__tells_the_node_of_no_end_without_a_beginning(void **state) {
	struct connection *slow = come();

	(void)state;
	answer(slow, FRAME_HELLO_REPLY, LIMIT_OUTPUT_BYTES_HIGH + 1, false);
	slow->unsent = 0;
	client_connections_drained(&clients, slow, &events);
	client_connections_tell_stalled(&clients, &events);
	assert_int_equal(count_events(NODE_CLIENT_DRAINED), 0);
	assert_int_equal(count_events(NODE_CLIENT_STALLED), 0);
	go(slow);
}

static void test_client_connections__sends_the_last_word_before_it_closes(void **state) {
	struct connection *c = come(), *mute = come();

	(void)state;
	answer(c, FRAME_HELLO_REPLY, 1, false);
	answer(c, FRAME_REPLY, 5, true);
	assert_int_equal(c->sends, 2);
	assert_true(c->finished);
	assert_null(c->closed);
	/* Who does not take it in time is closed all the same. */
	client_connections_tick(&clients, SECOND + LIMIT_HELLO_MS * 1000);
	assert_non_null(c->closed);
	answer(mute, FRAME_REPLY, 0, true);
	assert_int_equal(mute->sends, 0);
	assert_true(mute->finished);
	go(c);
	go(mute);
}

static void test_client_connections__drops_what_is_meant_for_one_that_is_gone(void **state) {
	struct connection *first = come(), *second;
	struct node_client_frame late = {.type = FRAME_REPLY, .body = (uint8_t *)"x", .body_bytes = 1};

	(void)state;
	late.connection = number_of(first);
	go(first);
	assert_int_equal(events.all[events.n - 1].kind, NODE_CLIENT_GONE);
	assert_int_equal(events.all[events.n - 1].connection, late.connection);
	second = come(); /* in the same slot */
	client_connections_send(&clients, &late);
	client_connections_flush(&clients);
	assert_int_equal(second->sends, 0);
	assert_int_not_equal(number_of(second), late.connection);
	go(second);
}

static void test_client_connections__flushes_each_once_per_turn(void **state) {
	struct connection *a = come(), *b = come();
	struct node_client_frame frame = {.type = FRAME_REPLY, .body = (uint8_t *)"x", .body_bytes = 1};

	(void)state;
	frame.connection = number_of(a);
	for (int i = 0; i < 3; i++)
		client_connections_send(&clients, &frame);
	client_connections_flush(&clients);
	assert_int_equal(a->sends, 3);
	assert_int_equal(a->flushes, 1);
	assert_int_equal(b->flushes, 0);
	client_connections_flush(&clients);
	assert_int_equal(a->flushes, 1);
	client_connections_resume(&clients);
	assert_int_equal(a->resumes + b->resumes, 2);
	go(a);
	go(b);
}

#define test(name) cmocka_unit_test_setup_teardown(test_client_connections__##name, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(refuses_more_than_it_has_room_for),
		test(closes_a_stranger_that_says_nothing),
		test(lets_the_newest_stranger_replace_the_oldest),
		test(allows_large_frames_only_behind_hello),
		test(closes_who_lets_its_output_grow),
		test(closes_who_does_not_read_for_long),
		test(gives_time_anew_to_who_has_read),
		test(tells_the_node_who_does_not_read),
		test(tells_the_node_of_no_end_without_a_beginning),
		test(sends_the_last_word_before_it_closes),
		test(drops_what_is_meant_for_one_that_is_gone),
		test(flushes_each_once_per_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
