/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/bytes.h"
#include "api/frame.h"
#include "api/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_BYTES_MIN = 16 << 10 };

static void fail_nng(struct lockd__connection *connection, const char *what, int result) {
	char reason[LOCKD__ERROR_BYTES_MAX];

	/* What nng says of a name that the resolver does not know would send people to look for a typing error. */
	(void)snprintf(reason, sizeof reason, "%s: %s", what,
		       result == NNG_EADDRINVAL ? "the host name cannot be resolved" : nng_strerror(result));
	lockd__connection_fail(connection, reason);
}

static void reap_if_idle(struct lockd__connection *connection) {
	struct lockd_client *client = connection->client;

	if (!connection->dead || connection->inflight > 0)
		return;
	TAILQ_REMOVE(&client->connections, connection, link);
	TAILQ_INSERT_TAIL(&client->reaped, connection, link);
	lockd__client_kick(client);
}

/* ---- Sending ---------------------------------------------------------------------------------------------------- */

static void set_output(const struct lockd__connection *connection, nng_aio *aio) {
	nng_iov iov = {.iov_buf = connection->writing.bytes + connection->written,
		       .iov_len = connection->writing.n - connection->written};
	int r = nng_aio_set_iov(aio, 1, &iov);

	assert(r == 0);
}

/* Most often the socket has room for all of it. To be told so by a callback would cost waking a thread of nng's; an aio
 * without one is asked instead. What it could not write is cancelled, and goes with the one that tells. */
static void try_send(struct lockd__connection *connection) {
	set_output(connection, connection->try_aio);
	nng_stream_send(connection->stream, connection->try_aio);
	nng_aio_cancel(connection->try_aio);
	nng_aio_wait(connection->try_aio);
	connection->written += nng_aio_count(connection->try_aio);
}

static void post_send(struct lockd__connection *connection) {
	struct lockd__output empty;

	if (connection->written == connection->writing.n) {
		if (connection->filling.n == 0)
			return;
		empty = connection->writing;
		empty.n = 0;
		connection->writing = connection->filling;
		connection->filling = empty;
		connection->written = 0;
		try_send(connection);
	}
	if (connection->written == connection->writing.n)
		return;
	set_output(connection, connection->send_aio);
	connection->sending = true;
	connection->inflight++;
	nng_stream_send(connection->stream, connection->send_aio);
}

void lockd__connections_flush(struct lockd_client *client) {
	struct lockd__connection *connection;

	TAILQ_FOREACH (connection, &client->connections, link) {
		if (!connection->dead && connection->stream && !connection->sending)
			post_send(connection);
	}
}

static void on_sent(void *arg) {
	struct lockd__connection *connection = arg;
	struct lockd_client *client = connection->client;
	int result = nng_aio_result(connection->send_aio);

	pthread_mutex_lock(&client->mutex);
	connection->inflight--;
	connection->sending = false;
	if (!connection->dead && result != 0)
		fail_nng(connection, "sending failed", result);
	if (!connection->dead) {
		connection->written += nng_aio_count(connection->send_aio);
		post_send(connection);
		if (!RB_EMPTY(&client->waiting) && lockd__connection_has_room(connection))
			lockd__client_kick(client);
	}
	reap_if_idle(connection);
	pthread_mutex_unlock(&client->mutex);
}

static int reserve(struct lockd__output *output, size_t n) {
	size_t bytes_max = output->bytes_max ? output->bytes_max : 4096;
	uint8_t *bytes;

	while (bytes_max - output->n < n)
		bytes_max *= 2;
	if (bytes_max == output->bytes_max)
		return 0;
	bytes = realloc(output->bytes, bytes_max);
	if (!bytes)
		return -ENOMEM;
	output->bytes = bytes;
	output->bytes_max = bytes_max;
	return 0;
}

/* Behind what the output holds, leaving room for the frame around it. false: out of memory. */
static bool pack_body(struct lockd__output *output, const ProtobufCMessage *message, size_t *ret_n) {
	size_t room = output->bytes_max - output->n, around = frame_bytes(FRAME_CLIENT, 0), n;

	if (room > around &&
	    wire_pack_within(message, output->bytes + output->n + FRAME_HEADER_BYTES, room - around, ret_n))
		return true;
	n = wire_size(message);
	if (reserve(output, frame_bytes(FRAME_CLIENT, n)) < 0)
		return false;
	*ret_n = wire_pack(message, output->bytes + output->n + FRAME_HEADER_BYTES);
	return true;
}

void lockd__connection_send(struct lockd__connection *connection, uint8_t type, uint64_t id,
			    const ProtobufCMessage *message) {
	struct lockd__output *output = &connection->filling;
	size_t body_bytes;

	assert(!connection->dead);
	if (connection->broken || !pack_body(output, message, &body_bytes)) {
		connection->broken = true;
		lockd__client_kick(connection->client);
		return;
	}
	frame_seal(FRAME_CLIENT, type, id, body_bytes, output->bytes + output->n);
	output->n += frame_bytes(FRAME_CLIENT, body_bytes);
	if (!connection->sending && !lockd__client_gathers(connection->client))
		post_send(connection);
}

bool lockd__connection_has_room(const struct lockd__connection *connection) {
	return connection->filling.n < LIMIT_OUTPUT_BYTES_HIGH;
}

/* ---- Receiving -------------------------------------------------------------------------------------------------- */

static void post_recv(struct lockd__connection *connection) {
	nng_iov iov;
	int r;

	if (connection->in_bytes == connection->in_bytes_max) {
		size_t bytes_max = connection->in_bytes_max ? 2 * connection->in_bytes_max : INPUT_BYTES_MIN;
		uint8_t *in = realloc(connection->in, bytes_max);
		if (!in) {
			lockd__connection_fail(connection, "out of memory for a reply");
			return;
		}
		connection->in = in;
		connection->in_bytes_max = bytes_max;
	}
	iov.iov_buf = connection->in + connection->in_bytes;
	iov.iov_len = connection->in_bytes_max - connection->in_bytes;
	r = nng_aio_set_iov(connection->recv_aio, 1, &iov);
	assert(r == 0);
	connection->inflight++;
	nng_stream_recv(connection->stream, connection->recv_aio);
}

/* Handles all whole frames of the input and moves the rest to its front. */
static void take_frames(struct lockd__connection *connection) {
	size_t taken = 0, n, bytes_max;
	struct frame frame;
	int r;

	while (!connection->dead) {
		bytes_max = connection->endpoint->greeted ? LIMIT_FRAME_BYTES_MAX : LIMIT_FRAME_BYTES_MAX_UNGREETED;
		r = frame_parse(FRAME_CLIENT, connection->in + taken, connection->in_bytes - taken, bytes_max, &frame,
				&n);
		if (r == FRAME_INCOMPLETE)
			break;
		if (r != 0) {
			lockd__connection_fail(connection, frame_error_text(r));
			break;
		}
		lockd__client_frame(connection->client, connection, frame.type, frame.id, frame.body, frame.body_bytes);
		taken += n;
	}
	connection->in_bytes -= taken;
	memmove(connection->in, connection->in + taken, connection->in_bytes);
}

static void on_received(void *arg) {
	struct lockd__connection *connection = arg;
	struct lockd_client *client = connection->client;
	int result = nng_aio_result(connection->recv_aio);

	pthread_mutex_lock(&client->mutex);
	connection->inflight--;
	if (!connection->dead && result != 0)
		fail_nng(connection, "the connection was lost", result);
	lockd__client_receive(client);
	if (!connection->dead) {
		connection->heard_us = lockd__clock_us();
		connection->in_bytes += nng_aio_count(connection->recv_aio);
		take_frames(connection);
	}
	if (!connection->dead)
		post_recv(connection);
	reap_if_idle(connection);
	lockd__client_received(client); /* the connection may be gone then */
	pthread_mutex_unlock(&client->mutex);
}

/* ---- Life ------------------------------------------------------------------------------------------------------- */

static void say_hello(struct lockd__connection *connection) {
	struct lockd_client *client = connection->client;
	Client__Hello hello = CLIENT__HELLO__INIT;

	hello.protocol_min = PROTOCOL_VERSION_MIN;
	hello.protocol_max = PROTOCOL_VERSION_MAX;
	if (client->incarnated)
		hello.incarnation = (ProtobufCBinaryData){.len = LIMIT_UUID_BYTES, .data = client->incarnation};
	lockd__connection_send(connection, FRAME_HELLO, 0, &hello.base);
}

static void on_dialled(void *arg) {
	struct lockd__connection *connection = arg;
	struct lockd_client *client = connection->client;
	int result = nng_aio_result(connection->dial_aio);

	pthread_mutex_lock(&client->mutex);
	connection->inflight--;
	if (result == 0)
		connection->stream = nng_aio_get_output(connection->dial_aio, 0);
	if (!connection->dead && result != 0)
		fail_nng(connection, "cannot connect", result);
	if (!connection->dead) {
		/* Requests are small and each is waited for: Nagle's delay would be added to all of them. */
		(void)nng_stream_set_bool(connection->stream, NNG_OPT_TCP_NODELAY, true);
		post_recv(connection);
	}
	if (!connection->dead)
		say_hello(connection);
	reap_if_idle(connection);
	pthread_mutex_unlock(&client->mutex);
}

void lockd__connection_fail(struct lockd__connection *connection, const char *reason) {
	struct lockd_client *client = connection->client;
	struct lockd__endpoint *endpoint = connection->endpoint;

	if (connection->dead)
		return;
	connection->dead = true;
	connection->endpoint = NULL;
	nng_stream_dialer_close(connection->dialer);
	if (connection->stream)
		nng_stream_close(connection->stream);

	lockd__endpoint_failed(client, endpoint, reason);
	lockd__keepalive_forget(client, connection);
	lockd__request_put_back(client, connection);
	lockd__observe_put_back(client, connection);
	lockd__leader_gone(client, connection, endpoint->node);
	lockd__client_kick(client);
}

struct lockd__connection *lockd__connection_dial(struct lockd_client *client, struct lockd__endpoint *endpoint,
						 int64_t greet_by_us) {
	struct lockd__connection *connection = calloc(1, sizeof *connection);
	char url[sizeof "tcp://" + LOCKD__ADDRESS_BYTES_MAX];

	if (!connection)
		return NULL;
	connection->client = client;
	connection->endpoint = endpoint;
	connection->greet_by_us = greet_by_us;
	(void)snprintf(url, sizeof url, "tcp://%s", endpoint->address);
	if (nng_aio_alloc(&connection->dial_aio, on_dialled, connection) != 0 ||
	    nng_aio_alloc(&connection->recv_aio, on_received, connection) != 0 ||
	    nng_aio_alloc(&connection->send_aio, on_sent, connection) != 0 ||
	    nng_aio_alloc(&connection->try_aio, NULL, NULL) != 0 ||
	    nng_stream_dialer_alloc(&connection->dialer, url) != 0) {
		lockd__connection_free(connection);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&client->connections, connection, link);
	connection->inflight++;
	nng_stream_dialer_dial(connection->dialer, connection->dial_aio);
	return connection;
}

void lockd__connection_free(struct lockd__connection *connection) {
	assert(connection->inflight == 0);
	if (connection->stream) {
		nng_stream_close(connection->stream);
		nng_stream_free(connection->stream);
	}
	if (connection->dialer)
		nng_stream_dialer_free(connection->dialer);
	nng_aio_free(connection->dial_aio);
	nng_aio_free(connection->recv_aio);
	nng_aio_free(connection->send_aio);
	nng_aio_free(connection->try_aio);
	free(connection->in);
	free(connection->writing.bytes);
	free(connection->filling.bytes);
	free(connection);
}
