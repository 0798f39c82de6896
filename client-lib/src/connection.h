/* SPDX-License-Identifier: Apache-2.0 */
/* One nng byte stream to one node, from the dial to the last callback.
 *
 * Life-cycle. A fresh dialer per attempt; one aio each for dial, receive and send; no aio time-outs: deadlines are
 * the client's timer, which calls lockd__connection_fail(). The first failure from any side sets `dead` and closes
 * dialer and stream; nothing is posted on a dead connection, and since posting and closing happen under the client's
 * mutex a close follows every post. When the callbacks of all posted operations have run (`inflight` 0) the connection
 * goes to client->reaped, and the client's thread frees it: nng objects must not be freed inside their own callbacks.
 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include <bsd/sys/queue.h>
#include <nng/nng.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lockd_client;
struct lockd__endpoint;

struct lockd__output {
	uint8_t *bytes;
	size_t n, bytes_max;
};

struct lockd__connection {
	TAILQ_ENTRY(lockd__connection) link; /* client->connections, then client->reaped */
	struct lockd_client *client;
	struct lockd__endpoint *endpoint; /* NULL once dead */
	nng_stream_dialer *dialer;
	nng_stream *stream; /* NULL until dialled */
	nng_aio *dial_aio, *recv_aio, *send_aio;
	nng_aio *try_aio; /* has no callback */
	int inflight;     /* operations whose callback has not run */
	bool dead;
	bool broken; /* a frame could not be queued: the client's thread lets it fail */
	bool sending;
	int64_t greet_by_us; /* the HELLO_REPLY must have come by then */
	int64_t heard_us;    /* when something last came from the node; 0: never */
	int64_t asked_us;    /* of the first question since then that it must answer at once; before: none */
	uint8_t *in;
	size_t in_bytes, in_bytes_max;
	struct lockd__output writing, filling; /* frames on their way, and those behind them */
	size_t written;                        /* of `writing` */
};

TAILQ_HEAD(lockd__connections, lockd__connection);

/* Dials. NULL: out of memory, or not an address for nng. Mutex held. */
struct lockd__connection *lockd__connection_dial(struct lockd_client *client, struct lockd__endpoint *endpoint,
						 int64_t greet_by_us);

/* Queues a frame. A connection that cannot take it (out of memory) is `broken` and fails with the next turn of the
 * client's thread. Mutex held; not dead. */
void lockd__connection_send(struct lockd__connection *connection, uint8_t type, uint64_t id,
			    const ProtobufCMessage *message);

/* Writes what was gathered for any of them (lockd__client_gathers()). Mutex held. */
void lockd__connections_flush(struct lockd_client *client);

/* Whether more requests should be handed to it; false while too much waits to be written. */
bool lockd__connection_has_room(const struct lockd__connection *connection);

/* Ends it, with a reason for people. Its endpoint has no connection any more. Mutex held; nothing happens if dead. */
void lockd__connection_fail(struct lockd__connection *connection, const char *reason);

/* Frees one of client->reaped. Mutex not held: waits for callbacks that are on their way out. */
void lockd__connection_free(struct lockd__connection *connection);

#endif
