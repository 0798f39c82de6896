/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/frame.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BACKOFF_US_MIN = 20 * 1000,
	BACKOFF_US_MAX = 1000 * 1000,
	/* From the beginning of a dial to HELLO_REPLY. */
	GREET_US = LIMIT_HELLO_MS * 1000,
	/* How often to look whether nothing is outstanding any more at a node that left. */
	LEAVE_US = 100 * 1000,
	/* Of a node that does not know its cluster yet, and says no ρ: leases are counted with the default. */
	DRIFT_PPM_UNSAID = 100 * 1000,
};

/* ---- Addresses -------------------------------------------------------------------------------------------------- */

static int parse_port(const char *text, size_t n, uint32_t *ret_port) {
	uint32_t port = 0;

	if (n == 0 || n > 5)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)text[i]))
			return -EINVAL;
		port = port * 10 + (uint32_t)(text[i] - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return -EINVAL;
	*ret_port = port;
	return 0;
}

static bool is_host(const char *text, size_t n, const char *also) {
	if (n == 0 || n >= LIMIT_HOST_BYTES_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr(also, text[i]))
			return false;
	return true;
}

int lockd__endpoint_parse(const char *text, size_t n, char ret_address[LOCKD__ADDRESS_BYTES_MAX]) {
	const char *bracket = n > 0 && text[0] == '[' ? memchr(text, ']', n) : NULL;
	const char *colon = bracket ? bracket + 1 : memchr(text, ':', n);
	uint32_t port = LOCKD__PORT_DEFAULT;
	size_t host_bytes;

	if (!colon)
		colon = text + n;
	host_bytes = (size_t)(colon - text);
	if (bracket ? !is_host(text + 1, host_bytes - 2, ":.%") || !memchr(text, ':', host_bytes)
		    : !is_host(text, host_bytes, "-._"))
		return -EINVAL;
	if (host_bytes < n && (*colon != ':' || parse_port(colon + 1, n - host_bytes - 1, &port) < 0))
		return -EINVAL;
	(void)snprintf(ret_address, LOCKD__ADDRESS_BYTES_MAX, "%.*s:%u", (int)host_bytes, text, port);
	return 0;
}

static struct lockd__endpoint *find_address(struct lockd__endpoint *endpoints, const char *address) {
	for (size_t i = 0; i < LOCKD__ENDPOINTS_MAX; i++)
		if (endpoints[i].used && strcmp(endpoints[i].address, address) == 0)
			return &endpoints[i];
	return NULL;
}

int lockd__endpoint_parse_list(const char *list, struct lockd__endpoint *endpoints) {
	struct lockd__endpoint *free_place = endpoints;
	char address[LOCKD__ADDRESS_BYTES_MAX];

	for (const char *text = list;; text++) {
		size_t n = strcspn(text, ",");
		if (lockd__endpoint_parse(text, n, address) < 0)
			return -EINVAL;
		if (!find_address(endpoints, address)) {
			if (free_place == endpoints + LOCKD__ENDPOINTS_GIVEN_MAX)
				return -EINVAL;
			*free_place = (struct lockd__endpoint){.used = true};
			memcpy(free_place->address, address, sizeof address);
			free_place++;
		}
		text += n;
		if (*text == '\0')
			return 0;
	}
}

/* ---- Dialling --------------------------------------------------------------------------------------------------- */

struct lockd__endpoint *lockd__endpoint_of_node(struct lockd_client *client, uint32_t node) {
	struct lockd__endpoint *found = NULL;

	for (struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++) {
		if (!e->used || e->node != node)
			continue;
		if (e->greeted)
			return e;
		if (!found)
			found = e;
	}
	return found;
}

/* Two addresses may lead to one node: the second one rests while the first is connected. */
static bool is_covered(struct lockd_client *client, const struct lockd__endpoint *endpoint) {
	const struct lockd__endpoint *other;

	if (endpoint->node == 0)
		return false;
	other = lockd__endpoint_of_node(client, endpoint->node);
	return other != endpoint && other->greeted;
}

struct lockd__endpoint *lockd__endpoint_for_read(struct lockd_client *client, uint32_t rather) {
	struct lockd__endpoint *endpoint = rather ? lockd__endpoint_of_node(client, rather) : NULL;

	if (endpoint && endpoint->greeted && !endpoint->left)
		return endpoint;
	for (unsigned i = 0; i < LOCKD__ENDPOINTS_MAX; i++) {
		endpoint = &client->endpoints[client->read_turn++ % LOCKD__ENDPOINTS_MAX];
		if (endpoint->used && endpoint->greeted && !endpoint->left && endpoint->node != client->leader.node)
			return endpoint;
	}
	return client->leader.node ? lockd__endpoint_of_node(client, client->leader.node) : NULL;
}

/* ---- Nodes that left -------------------------------------------------------------------------------------------- */

/* Nobody is known to lead, or no member is connected nor being dialled for the first time. Who is no member to an old
 * leader that was cut off may be the very leader. */
static bool is_last_resort(const struct lockd_client *client) {
	if (client->leader.node == 0 || client->leader.doubted)
		return true;
	for (const struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++)
		if (e->used && !e->left && (e->greeted || !e->tried))
			return false;
	return true;
}

static bool is_resting(const struct lockd_client *client, const struct lockd__endpoint *endpoint) {
	return endpoint->left && endpoint->pinned == 0 && !is_last_resort(client);
}

/* Whether an answer may still come over this connection. */
static bool is_awaited(struct lockd_client *client, const struct lockd__connection *connection) {
	const struct lockd_observation *observation;
	const struct lockd__keepalive *keepalive;
	struct lockd__request *request;

	if (client->leader.asked == connection || client->leader.node == connection->endpoint->node)
		return true;
	TAILQ_FOREACH (keepalive, &client->keepalives, link)
		if (keepalive->connection == connection)
			return true;
	TAILQ_FOREACH (observation, &client->observations, link)
		if (observation->connection == connection)
			return true;
	RB_FOREACH (request, lockd__sent, &client->sent)
		if (request->connection == connection)
			return true;
	return false;
}

/* Ends the connection of a resting one as soon as nothing is outstanding there. false: something is. */
static bool let_go(struct lockd_client *client, struct lockd__endpoint *endpoint) {
	if (endpoint->connection && is_awaited(client, endpoint->connection))
		return false;
	if (endpoint->connection)
		lockd__connection_fail(endpoint->connection, "the node has left the cluster");
	endpoint->failures = 0;
	endpoint->error[0] = '\0'; /* nothing is wrong with it */
	endpoint->used = !endpoint->learned;
	return true;
}

/* ---- Time ------------------------------------------------------------------------------------------------------- */

static void dial(struct lockd_client *client, struct lockd__endpoint *endpoint, int64_t now_us) {
	endpoint->connection = lockd__connection_dial(client, endpoint, now_us + GREET_US);
	if (!endpoint->connection)
		lockd__endpoint_failed(client, endpoint, "cannot dial: not an address, or out of memory");
}

int64_t lockd__endpoint_tick(struct lockd_client *client, int64_t now_us) {
	int64_t next_us = LOCKD__NEVER, due_us;

	for (struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++) {
		if (e->used && e->connection && e->connection->broken)
			lockd__connection_fail(e->connection, "out of memory for a request");
		if (e->used && is_resting(client, e)) {
			if (!let_go(client, e) && now_us + LEAVE_US < next_us)
				next_us = now_us + LEAVE_US;
			continue;
		}
		if (!e->used || e->greeted)
			continue;
		if (e->connection && e->connection->greet_by_us <= now_us)
			lockd__connection_fail(e->connection, "no answer within 5 s");
		if (!e->connection && is_covered(client, e))
			continue;
		if (!e->connection && e->dial_us <= now_us)
			dial(client, e, now_us);
		due_us = e->connection ? e->connection->greet_by_us : e->dial_us;
		if (due_us < next_us)
			next_us = due_us;
	}
	return next_us;
}

void lockd__endpoint_failed(struct lockd_client *client, struct lockd__endpoint *endpoint, const char *reason) {
	int64_t backoff_us = BACKOFF_US_MAX;

	if (endpoint->failures < 6)
		backoff_us = (int64_t)BACKOFF_US_MIN << endpoint->failures;
	endpoint->connection = NULL;
	endpoint->greeted = false;
	endpoint->tried = true;
	endpoint->failures++;
	endpoint->dial_us = lockd__clock_us() + 1 + lockd__client_jitter_us(client, backoff_us);
	(void)snprintf(endpoint->error, sizeof endpoint->error, "%s", reason);
	/* Requests that ask just this node end when an attempt to reach it does. */
	lockd__requests_end(client, endpoint, LOCKD_UNREACHABLE);
	pthread_cond_broadcast(&client->left);
	lockd__client_kick(client);
}

void lockd__endpoint_hurry(struct lockd_client *client, struct lockd__endpoint *endpoint) {
	int64_t soon_us = lockd__clock_us() + lockd__client_jitter_us(client, BACKOFF_US_MIN);

	if (endpoint->connection || endpoint->dial_us <= soon_us)
		return;
	endpoint->dial_us = soon_us;
	lockd__client_kick(client);
}

bool lockd__endpoint_all_tried(const struct lockd_client *client) {
	for (const struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++)
		if (e->used && !e->tried)
			return false;
	return true;
}

struct lockd__endpoint *lockd__endpoint_await(struct lockd_client *client, uint32_t node, int64_t deadline_us) {
	struct lockd__endpoint *endpoint;

	while (!(endpoint = lockd__endpoint_of_node(client, node)) && !lockd__endpoint_all_tried(client) &&
	       !client->closing && lockd__clock_us() < deadline_us)
		lockd__clock_wait(&client->left, &client->mutex, deadline_us);
	if (endpoint)
		lockd__endpoint_hurry(client, endpoint);
	else
		(void)snprintf(client->error, sizeof client->error, "node %u is not known here", node);
	return endpoint;
}

/* ---- HELLO_REPLY ------------------------------------------------------------------------------------------------ */

/* A sentence why we cannot speak with this node; false: we can. */
static bool refuses(struct lockd_client *client, const Client__HelloReply *reply, char reason[LOCKD__ERROR_BYTES_MAX]) {
	size_t n = reply->incarnation.len;

	if (reply->status != LOCKD_OK) {
		(void)snprintf(reason, LOCKD__ERROR_BYTES_MAX, "refused: %s%s%.*s",
			       lockd_status_text((int)reply->status), reply->text.len ? ": " : "", (int)reply->text.len,
			       (const char *)reply->text.data);
		return true;
	}
	if (reply->protocol < PROTOCOL_VERSION_MIN || reply->protocol > PROTOCOL_VERSION_MAX) {
		(void)snprintf(reason, LOCKD__ERROR_BYTES_MAX, "%s: the node chose version %u",
			       lockd_status_text(LOCKD_PROTOCOL), reply->protocol);
		return true;
	}
	if ((n != 0 && n != LIMIT_UUID_BYTES) || reply->node == 0) {
		(void)snprintf(reason, LOCKD__ERROR_BYTES_MAX, "the node's greeting is malformed");
		return true;
	}
	if (n != 0 && client->incarnated && memcmp(reply->incarnation.data, client->incarnation, n) != 0) {
		(void)snprintf(reason, LOCKD__ERROR_BYTES_MAX, "%s", lockd_status_text(LOCKD_WRONG_CLUSTER));
		return true;
	}
	return false;
}

static bool names(const Client__HelloReply *reply, uint32_t node) {
	for (size_t i = 0; i < reply->n_nodes; i++)
		if (reply->nodes[i]->node == node)
			return true;
	return false;
}

static struct lockd__endpoint *place_for_learned(struct lockd_client *client) {
	struct lockd__endpoint *place = NULL;

	for (struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++) {
		if (!e->used)
			return e;
		if (e->learned && !e->connection)
			place = e;
	}
	if (place)
		lockd__requests_end(client, place, LOCKD_UNREACHABLE);
	return place;
}

static void learn_node(struct lockd_client *client, const Client__Node *node) {
	char address[LOCKD__ADDRESS_BYTES_MAX];
	struct lockd__endpoint *endpoint;

	if (node->node == 0 ||
	    lockd__endpoint_parse((const char *)node->client_address.data, node->client_address.len, address) < 0)
		return;
	endpoint = find_address(client->endpoints, address);
	if (endpoint) {
		if (!endpoint->greeted)
			endpoint->node = node->node;
		return;
	}
	endpoint = lockd__endpoint_of_node(client, node->node);
	if (endpoint && endpoint->greeted)
		return;
	/* An address that was given and leads nowhere may be an old one of the node. */
	if (endpoint && !endpoint->learned && endpoint->failures == 0)
		return;
	if (!endpoint || !endpoint->learned)
		endpoint = place_for_learned(client);
	if (!endpoint || endpoint->connection)
		return;
	/* Who asks just this node goes on to do so at its other address. */
	*endpoint =
		(struct lockd__endpoint){.used = true, .learned = true, .node = node->node, .pinned = endpoint->pinned};
	memcpy(endpoint->address, address, sizeof address);
}

/* The leader's list is the membership. */
static void take_members(struct lockd_client *client, const Client__HelloReply *reply) {
	client->n_members = 0;
	if (reply->n_nodes > LOCKD__MEMBERS_MAX)
		return;
	for (size_t i = 0; i < reply->n_nodes; i++)
		client->members[client->n_members++] = reply->nodes[i]->node;
}

static bool is_member(const struct lockd_client *client, uint32_t node) {
	for (size_t i = 0; i < client->n_members; i++)
		if (client->members[i] == node)
			return true;
	return client->n_members == 0;
}

static void mark_nodes_that_left(struct lockd_client *client) {
	for (struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++)
		e->left = e->used && e->node != 0 && !is_member(client, e->node);
}

/* The list of another node may be an old one; it is better than none. */
static void take_nodes(struct lockd_client *client, const Client__HelloReply *reply) {
	if (client->leader.node != 0 && client->leader.node != reply->node && reply->leader != reply->node)
		return;
	for (size_t i = 0; i < reply->n_nodes; i++)
		learn_node(client, reply->nodes[i]);
}

static void take_cluster(struct lockd_client *client, struct lockd__endpoint *endpoint,
			 const Client__HelloReply *reply) {
	if (reply->incarnation.len && !client->incarnated) {
		memcpy(client->incarnation, reply->incarnation.data, LIMIT_UUID_BYTES);
		client->incarnated = true;
	}
	endpoint->drift_ppm = reply->drift_ppm ? reply->drift_ppm : DRIFT_PPM_UNSAID;
	endpoint->disk_full = reply->disk_full;
}

/* What a node says of the leader counts at once when it is news; at its greeting only if nobody is known, or if it was
 * named before and says so itself. */
static void take_leader_and_nodes(struct lockd_client *client, const Client__HelloReply *reply, bool is_news) {
	bool leads = reply->leader == reply->node;

	take_nodes(client, reply);
	if (client->leader.node == 0 || is_news || (leads && client->leader.expected == reply->node))
		lockd__leader_hint(client, reply->leader);
	if (leads && client->leader.node == reply->node && names(reply, reply->node))
		take_members(client, reply);
	mark_nodes_that_left(client);
	pthread_cond_broadcast(&client->left);
	lockd__client_kick(client);
}

void lockd__endpoint_greet(struct lockd_client *client, struct lockd__endpoint *endpoint,
			   const Client__HelloReply *reply) {
	char reason[LOCKD__ERROR_BYTES_MAX];

	endpoint->node = reply->node;
	if (refuses(client, reply, reason)) {
		lockd__connection_fail(endpoint->connection, reason);
		return;
	}
	if (is_covered(client, endpoint)) {
		lockd__connection_fail(endpoint->connection, "the same node is connected at another address");
		endpoint->error[0] = '\0'; /* nothing is wrong with it */
		return;
	}
	endpoint->greeted = true;
	endpoint->tried = true;
	endpoint->failures = 0;
	endpoint->error[0] = '\0';
	take_cluster(client, endpoint, reply);
	take_leader_and_nodes(client, reply, false);
}

void lockd__endpoint_news(struct lockd_client *client, struct lockd__endpoint *endpoint,
			  const Client__HelloReply *reply) {
	char reason[LOCKD__ERROR_BYTES_MAX] = "the node's greeting is malformed";

	if (reply->node != endpoint->node || refuses(client, reply, reason)) {
		lockd__connection_fail(endpoint->connection, reason);
		return;
	}
	take_cluster(client, endpoint, reply);
	if (client->leader.node == reply->node && reply->leader != reply->node)
		lockd__leader_lost(client);
	take_leader_and_nodes(client, reply, true);
}
