/* SPDX-License-Identifier: Apache-2.0 */
/* Connections over loopback: two of ours against each other, and one of ours against a plain socket. */
#include "lockd/io/connection.h"

#include "api/bytes.h"
#include "lockd/io/clock.h"
#include "lockd/io/dialler.h"
#include "lockd/io/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct inbox inbox;
static struct inbox_list pending; /* taken and not looked at yet */
static struct listener listener;

static struct inbox_item *next_item(void) {
	struct inbox_item *item;
	bool overfull;

	if (STAILQ_EMPTY(&pending)) {
		inbox_wait(&inbox, clock_mono() + 10000000);
		inbox_take(&inbox, &pending, &overfull);
	}
	item = STAILQ_FIRST(&pending);
	assert_non_null(item); /* nothing for ten seconds */
	STAILQ_REMOVE_HEAD(&pending, next);
	return item;
}

static struct inbox_item *expect(enum inbox_kind kind) {
	struct inbox_item *item = next_item();

	assert_int_equal(item->kind, kind);
	return item;
}

static int set_up(void **state) {
	(void)state;
	inbox_init(&inbox, 1 << 20);
	STAILQ_INIT(&pending);
	if (listener_open(&listener, "127.0.0.1:0", &inbox) != 0)
		return -1;
	listener_start(&listener);
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	listener_close(&listener);
	while (!listener_is_idle(&listener)) {
		struct listener_accept *accept = listener_accept_of(expect(INBOX_ACCEPTED));

		listener_rearm(&listener, accept, 0);
	}
	listener_deinit(&listener);
	nng_fini(); /* joins its threads: one may still be on its way out of inbox_serve() */
	inbox_deinit(&inbox);
	return 0;
}

static size_t inbox_bytes_high = SIZE_MAX; /* of connections that are made from here on */

static struct connection *connection_of(nng_stream *stream, enum frame_kind kind, size_t high) {
	struct connection_config config = {.kind = kind,
					   .inbox = &inbox,
					   .frame_bytes_max = 1000,
					   .output_bytes_high = high,
					   .inbox_bytes_high = inbox_bytes_high};
	struct connection *connection;

	assert_non_null(stream);
	assert_int_equal(connection_new(&config, stream, &connection), 0);
	return connection;
}

static nng_stream *accept_stream(void) {
	struct listener_accept *accept = listener_accept_of(expect(INBOX_ACCEPTED));
	nng_stream *stream = accept->stream;

	listener_rearm(&listener, accept, 0);
	return stream;
}

static int plain_socket(void) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_port = htons((uint16_t)strtoul(strrchr(listener.address, ':') + 1, NULL, 10));
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void write_all(int fd, const void *bytes, size_t n) {
	assert_int_equal(write(fd, bytes, n), n);
}

static void expect_closed(struct connection *connection, const char *reason, bool malformed) {
	struct inbox_item *item = expect(INBOX_CLOSED);

	assert_ptr_equal(connection_of_closed(item), connection);
	assert_string_equal(connection_reason(connection), reason);
	assert_int_equal(connection_is_malformed(connection), malformed);
	connection_free(connection);
}

static size_t make_frame(uint8_t *out, uint64_t id, const char *body) {
	memcpy(out + FRAME_HEADER_BYTES, body, strlen(body));
	frame_seal(FRAME_CLIENT, FRAME_REQUEST, id, strlen(body), out);
	return frame_bytes(FRAME_CLIENT, strlen(body));
}

/* ---- Rejections ---------------------------------------------------------------------------------------------------
 */

static void test_connection__closes_on_a_frame_that_is_too_long(void **state) {
	int fd = plain_socket();
	struct connection *connection = connection_of(accept_stream(), FRAME_CLIENT, SIZE_MAX);
	uint8_t length[4];

	(void)state;
	connection_start(connection);
	bytes_put_u32(length, 1001);
	write_all(fd, length, sizeof length);
	expect_closed(connection, frame_error_text(FRAME_TOO_LONG), true);
	close(fd);
}

static void test_connection__hands_over_what_came_before_the_garbage(void **state) {
	int fd = plain_socket();
	struct connection *connection = connection_of(accept_stream(), FRAME_CLIENT, SIZE_MAX);
	struct connection_batch *batch;
	uint8_t bytes[64];
	size_t n = make_frame(bytes, 7, "good");

	(void)state;
	connection_start(connection);
	memset(bytes + n, 0, 4);
	write_all(fd, bytes, n + 4);
	batch = (struct connection_batch *)expect(INBOX_FRAMES);
	assert_int_equal(batch->n, 1);
	assert_int_equal(batch->frames[0].id, 7);
	assert_memory_equal(batch->frames[0].body, "good", 4);
	blocks_give(&inbox.blocks, batch);
	expect_closed(connection, frame_error_text(FRAME_TOO_SHORT), true);
	close(fd);
}

static void test_connection__refuses_a_damaged_peer_frame(void **state) {
	int fd = plain_socket();
	struct connection *connection = connection_of(accept_stream(), FRAME_PEER, SIZE_MAX);
	uint8_t bytes[64] = {0};

	(void)state;
	connection_start(connection);
	frame_seal(FRAME_PEER, FRAME_PEER_MESSAGE, 0, 4, bytes);
	bytes[FRAME_HEADER_BYTES] ^= 1;
	write_all(fd, bytes, frame_bytes(FRAME_PEER, 4));
	expect_closed(connection, frame_error_text(FRAME_DAMAGED), true);
	close(fd);
}

/* ---- Frames -------------------------------------------------------------------------------------------------------
 */

static void test_connection__puts_a_frame_together_from_single_bytes(void **state) {
	int fd = plain_socket();
	struct connection *connection = connection_of(accept_stream(), FRAME_CLIENT, SIZE_MAX);
	struct connection_batch *batch;
	uint8_t bytes[64];
	size_t n = make_frame(bytes, 1, "drop by drop");

	(void)state;
	connection_start(connection);
	for (size_t i = 0; i < n; i++)
		write_all(fd, bytes + i, 1);
	batch = (struct connection_batch *)expect(INBOX_FRAMES);
	assert_int_equal(batch->frames[0].body_bytes, strlen("drop by drop"));
	assert_memory_equal(batch->frames[0].body, "drop by drop", strlen("drop by drop"));
	blocks_give(&inbox.blocks, batch);
	close(fd);
	expect_closed(connection, "the other end closed it", false);
}

/* Two ends of ours: dialled and accepted. */
static void connect_pair(struct connection **ret_dialled, struct connection **ret_accepted) {
	struct dialler *dialler;
	nng_stream *accepted = NULL;

	assert_int_equal(dialler_start(listener.address, &inbox, NULL, &dialler), 0);
	*ret_dialled = NULL;
	while (!*ret_dialled || !accepted) {
		struct inbox_item *item = next_item();

		if (item->kind == INBOX_ACCEPTED) {
			struct listener_accept *accept = listener_accept_of(item);

			accepted = accept->stream;
			listener_rearm(&listener, accept, 0);
		} else {
			assert_ptr_equal(dialler_of(item), dialler);
			*ret_dialled = connection_of(dialler->stream, FRAME_PEER, SIZE_MAX);
			dialler->stream = NULL;
			dialler_free(dialler);
		}
	}
	*ret_accepted = connection_of(accepted, FRAME_PEER, SIZE_MAX);
	connection_start(*ret_dialled);
	connection_start(*ret_accepted);
}

static void test_connection__keeps_the_order_of_many_frames(void **state) {
	enum { N = 20000 };
	struct connection *from, *to;
	uint8_t body[100] = {0};
	uint64_t seen = 0;

	(void)state;
	connect_pair(&from, &to);
	for (uint64_t id = 0; id < N; id++) {
		connection_send(from, FRAME_PEER_MESSAGE, id, body, sizeof body);
		if (id % 777 == 0)
			connection_flush(from);
	}
	connection_finish(from);
	while (seen < N) {
		struct inbox_item *item = next_item();
		struct connection_batch *batch = (struct connection_batch *)item;

		if (item->kind == INBOX_CLOSED) { /* the sender is done once nng has taken all */
			assert_ptr_equal(connection_of_closed(item), from);
			assert_string_equal(connection_reason(from), "finished");
			from = connection_free(from);
			continue;
		}
		assert_int_equal(item->kind, INBOX_FRAMES);
		for (uint32_t i = 0; i < batch->n; i++)
			assert_int_equal(batch->frames[i].id, seen++);
		blocks_give(&inbox.blocks, batch);
		connection_resume(to); /* it stops whenever the inbox is overfull */
	}
	if (from)
		expect_closed(from, "finished", false);
	expect_closed(to, "the other end closed it", false);
}

/* ---- Back-pressure ------------------------------------------------------------------------------------------------
 */

static void test_connection__stops_reading_while_its_output_is_high(void **state) {
	int fd = plain_socket();
	struct connection *connection = connection_of(accept_stream(), FRAME_CLIENT, 100);
	uint8_t big[900] = {0}, bytes[64], sink[4096];
	size_t n = make_frame(bytes, 1, "first"), total;
	struct connection_batch *batch;

	(void)state;
	/* More than the sockets hold, so that it stays unsent. */
	for (int i = 0; i < 20000; i++)
		connection_send(connection, FRAME_REPLY, 1, big, sizeof big);
	total = connection_output_bytes(connection);
	connection_flush(connection);
	connection_start(connection);
	write_all(fd, bytes, n);
	connection_await_drained(connection, 100);
	assert_true(connection_output_bytes(connection) > 100);

	/* The first thing that happens is that the output has left, since the client reads it. */
	while (total > 0) {
		ssize_t r = read(fd, sink, total < sizeof sink ? total : sizeof sink);

		assert_true(r > 0);
		total -= (size_t)r;
	}
	assert_ptr_equal(connection_of_drained(expect(INBOX_DRAINED)), connection);
	connection_take_drained(connection);
	batch = (struct connection_batch *)expect(INBOX_FRAMES);
	assert_memory_equal(batch->frames[0].body, "first", 5);
	blocks_give(&inbox.blocks, batch);
	close(fd);
	expect_closed(connection, "the other end closed it", false);
}

/* Whoever floods the inbox waits until the loop has taken what is there. */
static void test_connection__stops_reading_while_much_of_it_is_in_the_inbox(void **state) {
	enum { N = 5000, READ_AT_ONCE = 4096 };
	int fd = plain_socket();
	struct connection *connection;
	struct connection_batch *batches[READ_AT_ONCE];
	uint8_t bytes[64];
	size_t n = make_frame(bytes, 1, "more"), n_batches = 0, seen = 0;
	struct inbox_list none;
	bool overfull;

	(void)state;
	inbox_bytes_high = 1000;
	connection = connection_of(accept_stream(), FRAME_CLIENT, SIZE_MAX);
	inbox_bytes_high = SIZE_MAX;
	for (int i = 0; i < N; i++)
		write_all(fd, bytes, n); /* fits into the buffers of the sockets */
	connection_start(connection);
	do {
		batches[n_batches++] = (struct connection_batch *)expect(INBOX_FRAMES);
		seen += batches[n_batches - 1]->n;
	} while (seen < READ_AT_ONCE / n);
	inbox_wait(&inbox, clock_mono() + 50000);
	inbox_take(&inbox, &none, &overfull);
	assert_true(STAILQ_EMPTY(&none));

	while (seen < N) {
		while (n_batches > 0) {
			connection_take_batch(batches[--n_batches]);
			blocks_give(&inbox.blocks, batches[n_batches]);
		}
		batches[n_batches++] = (struct connection_batch *)expect(INBOX_FRAMES);
		seen += batches[0]->n;
	}
	blocks_give(&inbox.blocks, batches[0]);
	close(fd);
	expect_closed(connection, "the other end closed it", false);
}

/* ---- The end ------------------------------------------------------------------------------------------------------
 */

static void test_connection__ends_once_however_it_is_closed(void **state) {
	struct connection *a, *b;

	(void)state;
	for (int i = 0; i < 200; i++) {
		connect_pair(&a, &b);
		connection_send(a, FRAME_PEER_MESSAGE, 1, "x", 1);
		connection_flush(a);
		connection_close(a, "first");
		connection_close(a, "second");
		if (i % 2)
			connection_close(b, "first");
		for (int ends = 0; ends < 2;) {
			struct inbox_item *item = next_item();

			if (item->kind == INBOX_FRAMES) {
				blocks_give(&inbox.blocks, item);
				continue;
			}
			assert_int_equal(item->kind, INBOX_CLOSED);
			assert_string_not_equal(connection_reason(connection_of_closed(item)), "second");
			connection_free(connection_of_closed(item));
			ends++;
		}
	}
}

static void test_connection__may_be_closed_before_it_reads(void **state) {
	int fd = plain_socket();
	struct connection *connection = connection_of(accept_stream(), FRAME_CLIENT, SIZE_MAX);

	(void)state;
	connection_close(connection, "not wanted");
	connection_start(connection);
	connection_send(connection, FRAME_REPLY, 1, "x", 1);
	connection_flush(connection);
	expect_closed(connection, "not wanted", false);
	close(fd);
}

/* ---- Dialler ------------------------------------------------------------------------------------------------------
 */

static void test_dialler__reports_a_refused_port(void **state) {
	struct dialler *dialler;

	(void)state;
	assert_int_equal(dialler_start("127.0.0.1:1", &inbox, NULL, &dialler), 0);
	assert_ptr_equal(dialler_of(expect(INBOX_DIALLED)), dialler);
	assert_null(dialler->stream);
	assert_int_equal(dialler->error, NNG_ECONNREFUSED);
	dialler_free(dialler);
}

static void test_dialler__reports_once_when_cancelled(void **state) {
	struct dialler *dialler;

	(void)state;
	/* The network of the documentation (RFC 5737): nobody answers, or there is no way there. */
	assert_int_equal(dialler_start("192.0.2.1:7601", &inbox, NULL, &dialler), 0);
	dialler_cancel(dialler);
	dialler_cancel(dialler);
	assert_ptr_equal(dialler_of(expect(INBOX_DIALLED)), dialler);
	assert_null(dialler->stream);
	dialler_free(dialler);
}

static void test_listener__names_the_port_that_is_taken(void **state) {
	struct listener second;

	(void)state;
	assert_int_equal(listener_open(&second, listener.address, &inbox), NNG_EADDRINUSE);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connection__closes_on_a_frame_that_is_too_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connection__hands_over_what_came_before_the_garbage, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_connection__refuses_a_damaged_peer_frame, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connection__puts_a_frame_together_from_single_bytes, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_connection__keeps_the_order_of_many_frames, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connection__stops_reading_while_its_output_is_high, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_connection__stops_reading_while_much_of_it_is_in_the_inbox, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_connection__ends_once_however_it_is_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connection__may_be_closed_before_it_reads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dialler__reports_a_refused_port, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dialler__reports_once_when_cancelled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_listener__names_the_port_that_is_taken, set_up, tear_down),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	nng_fini();
	return failed;
}
