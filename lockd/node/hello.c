/* SPDX-License-Identifier: Apache-2.0 */
#include "hello.h"

#include "api/frame.h"
#include "configuration.h"
#include "memory.h"
#include "replica.h"

#include <lockd/status.h>

enum { HELLO_TEXT_BYTES_MAX = 128 };

static ProtobufCBinaryData hello_text(const char *text) {
	return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

/* The members of the cluster, or before it is founded the nodes that this one was told of. */
static void hello_fill_nodes(struct node *node, Client__HelloReply *reply) {
	Client__Node *rows = turn_alloc(&node->turn, node->n_addresses * sizeof *rows);
	const struct raft_configuration *members =
		raft_members(node_find_replica(node, NODE_GROUP_DEFAULT)->raft, NULL);

	reply->nodes = turn_alloc(&node->turn, node->n_addresses * sizeof *reply->nodes);
	for (size_t i = 0; i < node->n_addresses; i++) {
		const struct node_address *address = &node->addresses[i];
		Client__Node *row = &rows[reply->n_nodes];

		if (!address->client_address || (members && !configuration_find(members, address->node)))
			continue;
		client__node__init(row);
		row->node = address->node;
		row->client_address = hello_text(address->client_address);
		reply->nodes[reply->n_nodes++] = row;
	}
}

static void hello_fill(struct node *node, Client__HelloReply *reply) {
	struct replica *replica = node_find_replica(node, NODE_GROUP_DEFAULT);
	const struct raft_configuration *members = raft_members(replica->raft, NULL);

	reply->protocol_min = PROTOCOL_VERSION_MIN;
	reply->protocol_max = PROTOCOL_VERSION_MAX;
	reply->node = node->id;
	reply->group = replica->group;
	reply->leader = replica->status.leader;
	reply->disk_full = node->blocked;
	if (members)
		reply->drift_ppm = members->drift_ppm;
	if (!node_is_blank(node))
		reply->incarnation =
			(ProtobufCBinaryData){.len = sizeof node->incarnation, .data = node->incarnation.bytes};
	hello_fill_nodes(node, reply);
}

/* ---- News ---------------------------------------------------------------------------------------------------------
 */

/* Counts the news when there are any. */
static void hello_take_news(struct node *node) {
	const struct replica *replica = node_find_replica(node, NODE_GROUP_DEFAULT);
	struct hello_news *news = &node->news;
	bool blank = node_is_blank(node);

	if (!news->members && news->leader == replica->status.leader && news->blank == blank &&
	    news->disk_full == node->blocked)
		return;
	news->members = false;
	news->leader = replica->status.leader;
	news->blank = blank;
	news->disk_full = node->blocked;
	news->number++;
}

void hello_repeat(struct node *node) {
	Client__HelloReply reply = CLIENT__HELLO_REPLY__INIT;
	uint64_t told = node->news.told;
	struct client *client, *next;

	hello_take_news(node);
	node->news.told = node->news.number;
	if (node->news.number == told)
		return;
	hello_fill(node, &reply);
	HASH_ITER (hh, node->clients, client, next) {
		if (!client->greeted || client->closing || client->news == node->news.number)
			continue;
		reply.protocol = client->protocol;
		client_greet(node, client, 0, &reply);
	}
}

/* ---- Greeting -----------------------------------------------------------------------------------------------------
 */

/* The highest version that both speak; 0: none. */
static uint32_t hello_choose_protocol(const Client__Hello *hello) {
	uint32_t max = hello->protocol_max < PROTOCOL_VERSION_MAX ? hello->protocol_max : PROTOCOL_VERSION_MAX;

	return max >= hello->protocol_min && max >= PROTOCOL_VERSION_MIN ? max : 0;
}

static bool hello_names_another_cluster(const struct node *node, const Client__Hello *hello) {
	if (hello->incarnation.len == 0)
		return false;
	return node_is_blank(node) || hello->incarnation.len != sizeof node->incarnation.bytes ||
	       memcmp(hello->incarnation.data, node->incarnation.bytes, hello->incarnation.len) != 0;
}

static void hello_answer(struct node *node, struct client *client, uint64_t id, const Client__Hello *hello) {
	Client__HelloReply reply = CLIENT__HELLO_REPLY__INIT;
	char text[HELLO_TEXT_BYTES_MAX];

	hello_take_news(node);
	hello_fill(node, &reply);
	reply.protocol = hello_choose_protocol(hello);
	if (reply.protocol == 0) {
		(void)snprintf(text, sizeof text, "the client speaks protocol %u to %u, the node %d to %d",
			       hello->protocol_min, hello->protocol_max, PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX);
		reply.status = LOCKD_PROTOCOL;
		reply.text = hello_text(text);
	} else if (hello_names_another_cluster(node, hello)) {
		reply.status = LOCKD_WRONG_CLUSTER;
		reply.text = hello_text(node_is_blank(node) ? "the node belongs to no cluster yet"
							    : "the node belongs to another incarnation");
	}
	client_greet(node, client, id, &reply);
}

void hello_recv(struct node *node, struct client *client, const struct node_event *event) {
	Client__Hello *hello;

	if (event->type != FRAME_HELLO) {
		client_close(node, client);
		return;
	}
	node_arena_reset(&node->arena, event->body_bytes);
	hello = client__hello__unpack(&node->arena.allocator, event->body_bytes, event->body);
	if (hello)
		hello_answer(node, client, event->id, hello);
	else
		client_refuse(node, client, event->id, "the HELLO does not decode");
}
