/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include "api/frame.h"
#include "api/varint.h"
#include "memory.h"
#include "replica.h"
#include "seat.h"

#include <assert.h>
#include <lockd/status.h>

struct client *client_find(struct node *node, node_connection connection) {
	struct client *client;

	HASH_FIND(hh, node->clients, &connection, sizeof connection, client);
	return client;
}

struct client *client_open(struct node *node, node_connection connection) {
	struct client *client = client_find(node, connection);

	if (client)
		return client;
	client = memory_new(sizeof *client);
	client->connection = connection;
	LIST_INIT(&client->seats);
	HASH_ADD(hh, node->clients, connection, sizeof client->connection, client);
	return client;
}

static void client_free(struct node *node, struct client *client) {
	seats_forget_client(client);
	HASH_DELETE(hh, node->clients, client);
	free(client);
}

static void client_release_reads(struct node *node, node_connection connection) {
	for (size_t i = 0; i < node->n_replicas; i++)
		queries_release(node->replicas[i], connection);
}

void client_gone(struct node *node, node_connection connection) {
	struct client *client = client_find(node, connection);

	for (size_t i = 0; i < node->n_replicas; i++)
		watches_forget_connection(node->replicas[i], connection);
	backups_forget_connection(node, connection);
	if (client)
		client_free(node, client);
	client_release_reads(node, connection);
}

void client_stall(struct node *node, node_connection connection, bool stalled) {
	struct client *client = client_find(node, connection);

	if (!client)
		return;
	client->stalled = stalled;
	if (!stalled)
		client_release_reads(node, connection);
}

void clients_deinit(struct node *node) {
	while (node->clients)
		client_free(node, node->clients);
}

struct asker asker_admit(struct node *node, struct client *client, uint64_t id, size_t bytes) {
	client->requests++;
	node->pending_requests++;
	node->pending_bytes += bytes;
	return (struct asker){.connection = client->connection, .id = id, .bytes = bytes};
}

void asker_settle(struct node *node, const struct asker *asker) {
	struct client *client = client_find(node, asker->connection);

	assert(node->pending_requests > 0);
	assert(node->pending_bytes >= asker->bytes);
	node->pending_requests--;
	node->pending_bytes -= asker->bytes;
	if (client)
		client->requests--;
}

static struct node_client_frame *client_frame(struct node *node, node_connection connection, uint8_t type, uint64_t id,
					      size_t bytes) {
	struct node_client_frame *frame = turn_client_frame(&node->turn);

	frame->connection = connection;
	frame->type = type;
	frame->id = id;
	frame->body = turn_alloc(&node->turn, bytes);
	frame->body_bytes = bytes;
	node->turn.client_bytes += bytes;
	return frame;
}

static bool client_listens(struct node *node, node_connection connection) {
	struct client *client = client_find(node, connection);

	return client && !client->closing;
}

void client_reply(struct node *node, node_connection connection, uint64_t id, const Client__Reply *reply) {
	struct node_client_frame *frame;

	if (!client_listens(node, connection))
		return;
	tally_reply(node, reply->status);
	frame = client_frame(node, connection, FRAME_REPLY, id, client__reply__get_packed_size(reply));
	(void)client__reply__pack(reply, (uint8_t *)frame->body);
}

/* A client.Reply with the fields 1, 4 and 5 of its schema. */
void client_reply_outcome(struct node *node, const struct asker *asker, const struct state_outcome *outcome) {
	uint8_t body[3 * (1 + VARINT_BYTES_MAX)], *end = body;
	struct node_client_frame *frame;

	if (!client_listens(node, asker->connection))
		return;
	tally_reply(node, (uint32_t)outcome->status);
	end = varint_put_field(end, 1, (uint32_t)outcome->status);
	end = varint_put_field(end, 4, outcome->revision);
	end = varint_put_field(end, 5, outcome->token);
	frame = client_frame(node, asker->connection, FRAME_REPLY, asker->id, (size_t)(end - body));
	memcpy((uint8_t *)frame->body, body, frame->body_bytes);
}

void client_reply_status(struct node *node, node_connection connection, uint64_t id, int status, const char *text) {
	Client__Reply reply = CLIENT__REPLY__INIT;

	reply.status = (uint32_t)status;
	if (text)
		reply.text = (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
	client_reply(node, connection, id, &reply);
}

void client_redirect(struct replica *replica, node_connection connection, uint64_t id, const char *text) {
	Client__Reply reply = CLIENT__REPLY__INIT;

	reply.status = LOCKD_NOT_LEADER;
	/* A node that gives up leadership must not send its clients back to itself. */
	reply.leader = replica->status.leader == replica->node->id ? 0 : replica->status.leader;
	if (text)
		reply.text = (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
	client_reply(replica->node, connection, id, &reply);
}

void client_event(struct node *node, node_connection connection, uint64_t id, const struct node_bytes *body) {
	struct node_client_frame *frame;

	if (!client_listens(node, connection))
		return;
	frame = turn_client_frame(&node->turn);
	frame->connection = connection;
	frame->type = FRAME_EVENT;
	frame->id = id;
	frame->body = body->bytes;
	frame->body_bytes = body->n;
	node->turn.client_bytes += body->n;
}

void client_greet(struct node *node, struct client *client, uint64_t id, const Client__HelloReply *reply) {
	size_t bytes = client__hello_reply__get_packed_size(reply);
	struct node_client_frame *frame = client_frame(node, client->connection, FRAME_HELLO_REPLY, id, bytes);

	(void)client__hello_reply__pack(reply, (uint8_t *)frame->body);
	frame->close = reply->status != LOCKD_OK;
	client->greeted = !frame->close;
	client->protocol = reply->protocol;
	client->news = node->news.number;
	client->closing = frame->close;
}

void client_refuse(struct node *node, struct client *client, uint64_t id, const char *text) {
	client_reply_status(node, client->connection, id, LOCKD_INVALID, text);
	node->turn.client_frames[node->turn.n_client_frames - 1].close = true;
	client->closing = true;
}

void client_close(struct node *node, struct client *client) {
	struct node_client_frame *frame = turn_client_frame(&node->turn);

	frame->connection = client->connection;
	frame->close = true;
	client->closing = true;
}
