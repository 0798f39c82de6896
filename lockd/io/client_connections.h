/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of clients. Belongs to the loop's thread.
 *
 * The node knows them by number. HELLO is judged by the node as well; here a connection counts as a stranger until the
 * node has answered its HELLO, and again once the node gave it up: strangers are few (the oldest gives way), have a
 * deadline, and may send small frames only.
 *
 * A client that does not read is not read from either (the mark LIMIT_OUTPUT_BYTES_HIGH), the node is told to let the
 * reads wait that it has got already, and the client is closed once it has not come below the mark for
 * CLIENT_CONNECTIONS_STALLED_MS, or at once above LIMIT_OUTPUT_BYTES_MAX. */
#ifndef LOCKD_IO_CLIENT_CONNECTIONS_H
#define LOCKD_IO_CLIENT_CONNECTIONS_H

#include "lockd/io/connection.h"
#include "lockd/io/events.h"
#include "lockd/io/throttle.h"
#include "lockd/node/node.h"

#include <sys/queue.h>

enum {
	CLIENT_CONNECTIONS_STALLED_MS = 30000, /* 35 kB/s are enough to stay */
	/* What one client may have in a turn, some thousand small requests: without it a few that flood us make a turn
	 * longer than the leader's lease. */
	CLIENT_CONNECTIONS_INBOX_BYTES_HIGH = 64 << 10,
};

struct client;

TAILQ_HEAD(client_list, client);

struct client_connections {
	struct inbox *inbox;
	struct client **slots; /* n_max of them; NULL: free */
	uint32_t *free;        /* numbers of free slots, the last one is taken next */
	uint32_t n, n_max;
	uint64_t generation;          /* of the next connection: its number is generation × n_max + slot */
	struct client_list strangers; /* in order of their deadlines */
	uint32_t n_strangers;
	struct client_list stalled; /* with too much output, in order of their deadlines */
	raft_usec now;              /* of the last tick */
	struct client_list dirty;   /* have output to flush */
	bool refusing;              /* at n_max; reported once */
	struct throttle complaints;
};

void client_connections_init(struct client_connections *clients, struct inbox *inbox, uint32_t n_max);
/* All connections must be gone. */
void client_connections_deinit(struct client_connections *clients);

/* Takes the stream. */
void client_connections_accept(struct client_connections *clients, nng_stream *stream);
/* The batch is borrowed by the events until the step is over. */
void client_connections_frames(struct client_connections *clients, const struct connection_batch *batch,
			       struct events *events);
void client_connections_closed(struct client_connections *clients, struct connection *connection,
			       struct events *events);

void client_connections_send(struct client_connections *clients, const struct node_client_frame *frame);
/* Once per turn, when all frames are appended. */
void client_connections_flush(struct client_connections *clients);
/* The inbox was overfull and has been emptied. */
void client_connections_resume(struct client_connections *clients);
/* Its output is below the mark again. */
void client_connections_drained(struct client_connections *clients, struct connection *connection,
				struct events *events);
/* Once per turn, when the inbox is handled: the node lets their reads wait. */
void client_connections_tell_stalled(struct client_connections *clients, struct events *events);
/* Once per turn, before the inbox is handled: closes those whose time is over. */
void client_connections_tick(struct client_connections *clients, raft_usec now);
/* When to call it again; UINT64_MAX: nobody has a deadline. */
raft_usec client_connections_deadline(const struct client_connections *clients);
/* Sends what is queued, then closes. */
void client_connections_finish(struct client_connections *clients);
void client_connections_close(struct client_connections *clients);

#endif
