/* SPDX-License-Identifier: Apache-2.0 */
#include "client_connections.h"

#include "api/limits.h"
#include "fatal.h"
#include "log.h"

#include <assert.h>
#include <stdlib.h>

struct client {
	struct connection *connection;
	node_connection number;
	bool stranger, stalled, dirty;
	bool told;            /* the node knows that it is stalled */
	raft_usec deadline;   /* of a stranger */
	raft_usec stalled_to; /* the deadline of one that does not read */
	TAILQ_ENTRY(client) stranger_next, stalled_next, dirty_next;
};

void client_connections_init(struct client_connections *clients, struct inbox *inbox, uint32_t n_max) {
	*clients = (struct client_connections){.inbox = inbox, .n_max = n_max, .generation = 1};
	clients->slots = fatal_alloc(n_max * sizeof(struct client *));
	clients->free = fatal_alloc(n_max * sizeof *clients->free);
	for (uint32_t i = 0; i < n_max; i++)
		clients->free[i] = n_max - 1 - i;
	TAILQ_INIT(&clients->strangers);
	TAILQ_INIT(&clients->stalled);
	TAILQ_INIT(&clients->dirty);
}

void client_connections_deinit(struct client_connections *clients) {
	assert(clients->n == 0);
	free(clients->slots);
	free(clients->free);
	*clients = (struct client_connections){0};
}

static void forget_stranger(struct client_connections *clients, struct client *client) {
	if (!client->stranger)
		return;
	TAILQ_REMOVE(&clients->strangers, client, stranger_next);
	clients->n_strangers--;
	client->stranger = false;
}

/* The oldest stranger gives way to the newest: an honest client greets within milliseconds. */
static void add_stranger(struct client_connections *clients, struct client *client) {
	struct client *oldest = TAILQ_FIRST(&clients->strangers);

	forget_stranger(clients, client);
	if (clients->n_strangers == LIMIT_UNGREETED_CONNECTIONS_MAX) {
		connection_close(oldest->connection, "too many connections without HELLO");
		forget_stranger(clients, oldest);
	}
	client->stranger = true;
	client->deadline = clients->now + LIMIT_HELLO_MS * 1000;
	TAILQ_INSERT_TAIL(&clients->strangers, client, stranger_next);
	clients->n_strangers++;
}

static void forget_stalled(struct client_connections *clients, struct client *client) {
	if (client->stalled)
		TAILQ_REMOVE(&clients->stalled, client, stalled_next);
	client->stalled = false;
}

static void watch_output(struct client_connections *clients, struct client *client) {
	size_t unsent = connection_output_bytes(client->connection);

	if (unsent > LIMIT_OUTPUT_BYTES_MAX) {
		connection_close(client->connection, "it does not read what it asked for");
	} else if (unsent > LIMIT_OUTPUT_BYTES_HIGH && !client->stalled) {
		client->stalled = true;
		client->told = false;
		client->stalled_to = clients->now + CLIENT_CONNECTIONS_STALLED_MS * 1000;
		TAILQ_INSERT_TAIL(&clients->stalled, client, stalled_next);
		connection_await_drained(client->connection, LIMIT_OUTPUT_BYTES_HIGH);
	}
}

void client_connections_drained(struct client_connections *clients, struct connection *connection,
				struct events *events) {
	struct client *client = connection_owner(connection);

	connection_take_drained(connection);
	if (client->stalled && client->told)
		events_add(events, NODE_CLIENT_DRAINED)->connection = client->number;
	forget_stalled(clients, client);
	watch_output(clients, client); /* more may have come since */
}

/* Those it does not know of came last. */
void client_connections_tell_stalled(struct client_connections *clients, struct events *events) {
	struct client *client;

	TAILQ_FOREACH_REVERSE(client, &clients->stalled, client_list, stalled_next) {
		if (client->told)
			return;
		events_add(events, NODE_CLIENT_STALLED)->connection = client->number;
		client->told = true;
	}
}

static bool has_room(struct client_connections *clients) {
	if (clients->n < clients->n_max) {
		clients->refusing = false;
		return true;
	}
	if (!clients->refusing)
		log_warning("refusing clients: connections=%u reason=\"limit reached\"", clients->n);
	clients->refusing = true;
	return false;
}

void client_connections_accept(struct client_connections *clients, nng_stream *stream) {
	struct client *client;
	struct connection_config config = {.kind = FRAME_CLIENT,
					   .inbox = clients->inbox,
					   .frame_bytes_max = LIMIT_FRAME_BYTES_MAX_UNGREETED,
					   .output_bytes_high = LIMIT_OUTPUT_BYTES_HIGH,
					   .inbox_bytes_high = CLIENT_CONNECTIONS_INBOX_BYTES_HIGH};
	uint32_t slot;

	if (!has_room(clients)) {
		nng_stream_free(stream);
		return;
	}
	client = fatal_alloc(sizeof *client);
	config.owner = client;
	if (connection_new(&config, stream, &client->connection) < 0) {
		free(client);
		return;
	}

	slot = clients->free[clients->n_max - 1 - clients->n++];
	client->number = clients->generation++ * clients->n_max + slot;
	clients->slots[slot] = client;
	add_stranger(clients, client);
	connection_start(client->connection);
}

void client_connections_frames(struct client_connections *clients, const struct connection_batch *batch,
			       struct events *events) {
	const struct client *client = connection_owner(batch->connection);

	(void)clients;
	for (uint32_t i = 0; i < batch->n; i++) {
		struct node_event *event = events_add(events, NODE_CLIENT_FRAME);

		event->connection = client->number;
		event->type = batch->frames[i].type;
		event->id = batch->frames[i].id;
		event->body = batch->frames[i].body;
		event->body_bytes = batch->frames[i].body_bytes;
	}
}

static void complain(struct client_connections *clients, const struct connection *connection, const char *why) {
	unsigned unreported;

	if (throttle_pass(&clients->complaints, clients->now, &unreported))
		log_info("closed a client connection: from=%s reason=\"%s\" unreported=%u",
			 connection_remote(connection), why, unreported);
}

void client_connections_closed(struct client_connections *clients, struct connection *connection,
			       struct events *events) {
	struct client *client = connection_owner(connection);
	uint32_t slot = (uint32_t)(client->number % clients->n_max);

	if (connection_is_malformed(connection))
		complain(clients, connection, connection_reason(connection));
	else
		log_debug("client connection ended: from=%s reason=\"%s\"", connection_remote(connection),
			  connection_reason(connection));

	events_add(events, NODE_CLIENT_GONE)->connection = client->number;
	forget_stranger(clients, client);
	forget_stalled(clients, client);
	if (client->dirty)
		TAILQ_REMOVE(&clients->dirty, client, dirty_next);
	clients->slots[slot] = NULL;
	clients->free[clients->n_max - clients->n--] = slot;
	connection_free(connection);
	free(client);
}

static struct client *find(const struct client_connections *clients, node_connection number) {
	struct client *client = clients->slots[number % clients->n_max];

	return client && client->number == number ? client : NULL;
}

void client_connections_send(struct client_connections *clients, const struct node_client_frame *frame) {
	struct client *client = find(clients, frame->connection);

	if (!client)
		return;
	if (frame->body_bytes > 0 || !frame->close) {
		connection_send(client->connection, frame->type, frame->id, frame->body, frame->body_bytes);
		/* Last first: the answer to a release is made before the grant that it brings about, and the new holder
		 * has waited longer. */
		if (!client->dirty)
			TAILQ_INSERT_HEAD(&clients->dirty, client, dirty_next);
		client->dirty = true;
	}
	if (frame->close) {
		complain(clients, client->connection, "it broke the protocol or was refused");
		connection_finish(client->connection);
		add_stranger(clients, client);
	} else if (frame->type == FRAME_HELLO_REPLY && client->stranger) {
		forget_stranger(clients, client);
		connection_set_frame_bytes_max(client->connection, LIMIT_FRAME_BYTES_MAX);
	}
}

void client_connections_flush(struct client_connections *clients) {
	struct client *client;

	while ((client = TAILQ_FIRST(&clients->dirty))) {
		TAILQ_REMOVE(&clients->dirty, client, dirty_next);
		client->dirty = false;
		connection_flush(client->connection);
		watch_output(clients, client);
	}
}

static void for_each(struct client_connections *clients, void (*act)(struct connection *)) {
	for (uint32_t i = 0; i < clients->n_max && clients->n > 0; i++) {
		if (clients->slots[i])
			act(clients->slots[i]->connection);
	}
}

static void close_at_stop(struct connection *connection) {
	connection_close(connection, "the node stops");
}

void client_connections_resume(struct client_connections *clients) {
	for_each(clients, connection_resume);
}
void client_connections_finish(struct client_connections *clients) {
	for_each(clients, connection_finish);
}
void client_connections_close(struct client_connections *clients) {
	for_each(clients, close_at_stop);
}

void client_connections_tick(struct client_connections *clients, raft_usec now) {
	struct client *client;

	clients->now = now;
	while ((client = TAILQ_FIRST(&clients->strangers)) && client->deadline <= now) {
		connection_close(client->connection, "no HELLO in time");
		forget_stranger(clients, client);
	}
	while ((client = TAILQ_FIRST(&clients->stalled)) && client->stalled_to <= now) {
		connection_close(client->connection, "it does not read what it asked for");
		forget_stalled(clients, client);
	}
}

raft_usec client_connections_deadline(const struct client_connections *clients) {
	const struct client *stranger = TAILQ_FIRST(&clients->strangers), *stalled = TAILQ_FIRST(&clients->stalled);
	raft_usec deadline = stranger ? stranger->deadline : UINT64_MAX;

	return stalled && stalled->stalled_to < deadline ? stalled->stalled_to : deadline;
}
