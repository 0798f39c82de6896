/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/frame.h"

#include <limits.h>

enum {
	ASK_US_MIN = 10 * 1000,
	/* Elections are over within a few hundred milliseconds, and until then every wait is one of our callers'. Past
	   ASKS_QUICK questions there is no majority: nothing is lost by asking less often. */
	ASK_US_QUICK = 40 * 1000,
	ASKS_QUICK = 32,
	ASK_US_MAX = 400 * 1000,
	/* While the leader is known, but may hang, or its silence says nothing. */
	ASK_DOUBTED_US = 250 * 1000,
	ASK_PATIENT_US = 2 * 1000 * 1000,
	ANSWER_US = 500 * 1000,
	/* An answer that needs no waiting is overdue after that long; looked for that often. */
	OVERDUE_US = 500 * 1000,
	CHECK_US = 100 * 1000,
	/* A leader that was asked for a sign of life and gives none for that long is connected anew. */
	SILENT_US = 1000 * 1000,
	/* Hints followed at once before a node answers as leader. */
	HOPS_MAX = 3,
};

struct lockd__connection *lockd__leader_connection(struct lockd_client *client) {
	struct lockd__endpoint *endpoint;

	if (client->leader.node == 0)
		return NULL;
	endpoint = lockd__endpoint_of_node(client, client->leader.node);
	return endpoint && endpoint->greeted ? endpoint->connection : NULL;
}

bool lockd__leader_lacks_space(const struct lockd_client *client) {
	unsigned full = 0, fit = 0;

	for (const struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++) {
		if (!e->used || !e->greeted || e->left)
			continue;
		full += e->disk_full;
		fit += !e->disk_full;
	}
	return client->leader.node == 0 && full > 0 && full >= fit;
}

static int64_t ask_backoff_us(struct lockd_client *client) {
	int64_t range_us = client->leader.asks < ASKS_QUICK ? ASK_US_QUICK : ASK_US_MAX;

	return ASK_US_MIN + lockd__client_jitter_us(client, range_us);
}

/* The thread sleeps until the answer to the last question is overdue: it must hear of the earlier time. */
static void ask_later(struct lockd_client *client) {
	client->leader.ask_us = lockd__clock_us() + ask_backoff_us(client);
	lockd__client_kick(client);
}

static void stop_asking(struct lockd_client *client) {
	client->leader.asked = NULL;
	client->leader.asks = 0;
	client->leader.doubted = false;
}

void lockd__leader_hint(struct lockd_client *client, uint32_t node) {
	struct lockd__endpoint *endpoint = node ? lockd__endpoint_of_node(client, node) : NULL;

	if (!endpoint || node == client->leader.node)
		return;
	if (!endpoint->greeted) {
		client->leader.expected = node;
		lockd__endpoint_hurry(client, endpoint);
		return;
	}
	client->leader.node = node;
	client->leader.expected = 0;
	client->prompt_max = UINT_MAX;
	stop_asking(client);
	lockd__keepalive_forget(client, NULL);
	lockd__request_put_back(client, NULL);
	lockd__observe_put_back(client, NULL);
	lockd__keepalive_now(client);
	lockd__client_kick(client);
}

void lockd__leader_lost(struct lockd_client *client) {
	if (client->leader.node == 0)
		return;
	client->leader.node = 0;
	client->leader.asks = 0;
	client->leader.ask_us = lockd__clock_us() + lockd__client_jitter_us(client, ASK_US_MIN);
	lockd__keepalive_forget(client, NULL);
	lockd__request_put_back(client, NULL);
	lockd__observe_put_back(client, NULL);
	lockd__client_kick(client);
}

void lockd__leader_refused(struct lockd_client *client, struct lockd__connection *connection,
			   const Client__Reply *reply) {
	uint32_t node = connection->endpoint->node;

	if (client->leader.node == node)
		lockd__leader_lost(client);
	if (client->leader.node != 0 || reply->leader == node)
		return;
	/* Nodes that send us in circles are asked with a back-off instead. */
	if (client->leader.hops == HOPS_MAX) {
		ask_later(client);
		return;
	}
	client->leader.hops++;
	lockd__leader_hint(client, reply->leader);
}

void lockd__leader_gone(struct lockd_client *client, struct lockd__connection *connection, uint32_t node) {
	if (client->leader.asked == connection) {
		client->leader.asked = NULL;
		client->leader.ask_us = 0;
		lockd__client_kick(client);
	}
	if (node == client->leader.node && !lockd__leader_connection(client))
		lockd__leader_lost(client);
}

bool lockd__leader_answered(struct lockd_client *client, struct lockd__connection *connection, uint64_t frame_id,
			    const Client__Reply *reply) {
	struct lockd__leader *leader = &client->leader;
	uint32_t from = connection->endpoint->node;

	if (!leader->asked || leader->ask_id != frame_id)
		return false;
	leader->asked = NULL;
	ask_later(client);
	/* A node that is cut off goes on naming the leader of a term that is over. */
	if (!reply->node || reply->node->term < leader->term_max)
		return true;
	leader->term_max = reply->node->term;
	if (reply->node->leader == 0 && from == leader->node)
		lockd__leader_lost(client);
	else
		lockd__leader_hint(client, reply->node->leader);
	return true;
}

static bool owes_answer(const struct lockd__connection *connection) {
	return connection->asked_us > connection->heard_us;
}

static void send_question(struct lockd__connection *connection, uint64_t frame_id, int64_t now_us) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Status status = CLIENT__STATUS__INIT;

	if (!owes_answer(connection))
		connection->asked_us = now_us;
	request.body_case = CLIENT__REQUEST__BODY_STATUS;
	request.status = &status;
	lockd__connection_send(connection, FRAME_REQUEST, frame_id, &request.base);
}

static void ask(struct lockd_client *client, int64_t now_us) {
	struct lockd__leader *leader = &client->leader;

	leader->asks++;
	leader->asked_us = now_us;
	leader->ask_us = now_us + ask_backoff_us(client);
	for (unsigned i = 0; i < LOCKD__ENDPOINTS_MAX; i++) {
		struct lockd__endpoint *endpoint = &client->endpoints[leader->turn++ % LOCKD__ENDPOINTS_MAX];
		if (!endpoint->used || !endpoint->greeted || (leader->doubted && endpoint->node == leader->node))
			continue;
		leader->asked = endpoint->connection;
		leader->ask_id = client->next_frame_id++;
		leader->ask_us = now_us + ANSWER_US;
		send_question(endpoint->connection, leader->ask_id, now_us);
		return;
	}
}

/* Whether an answer that needs no waiting is overdue at the leader. */
static bool is_overdue(struct lockd_client *client, int64_t now_us) {
	struct lockd__connection *connection = lockd__leader_connection(client);
	struct lockd__keepalive *keepalive = TAILQ_FIRST(&client->keepalives);
	struct lockd__request *request;

	if (owes_answer(connection) && now_us - connection->asked_us > OVERDUE_US)
		return true;
	if (keepalive && now_us - keepalive->sent_us > OVERDUE_US)
		return true;
	RB_FOREACH (request, lockd__sent, &client->sent) {
		if (now_us - request->sent_us <= OVERDUE_US)
			return false;
		if (request->connection != connection || lockd__request_is_patient(request))
			continue;
		if (request->kind != LOCKD__ACQUIRE || request->wait_ms == 0)
			return true;
	}
	return false;
}

/* Nobody waits for the answer: whatever comes shows that the connection lives. */
static void probe(struct lockd_client *client, struct lockd__connection *connection, int64_t now_us) {
	if (now_us - connection->asked_us < SILENT_US)
		return;
	if (owes_answer(connection))
		lockd__connection_fail(connection, "no sign of life for 1 s");
	else
		send_question(connection, client->next_frame_id++, now_us);
}

static void check(struct lockd_client *client, int64_t now_us) {
	struct lockd__leader *leader = &client->leader;

	leader->check_us = now_us + CHECK_US;
	leader->doubted = is_overdue(client, now_us);
	if (leader->doubted)
		probe(client, lockd__leader_connection(client), now_us);
}

static int64_t ask_interval_us(struct lockd_client *client) {
	if (client->leader.doubted)
		return ASK_DOUBTED_US;
	return TAILQ_EMPTY(&client->observations) && client->patient == 0 ? LOCKD__NEVER : ASK_PATIENT_US;
}

static bool needs_leader(struct lockd_client *client) {
	return !RB_EMPTY(&client->waiting) || !RB_EMPTY(&client->sessions) || !TAILQ_EMPTY(&client->observations);
}

int64_t lockd__leader_tick(struct lockd_client *client, int64_t now_us) {
	struct lockd__leader *leader = &client->leader;
	int64_t interval_us;

	if (leader->node == 0) {
		if (!needs_leader(client))
			return LOCKD__NEVER;
		if (leader->ask_us <= now_us)
			ask(client, now_us);
		return leader->ask_us;
	}
	if (RB_EMPTY(&client->sent) && TAILQ_EMPTY(&client->keepalives) && TAILQ_EMPTY(&client->observations))
		return LOCKD__NEVER;
	if (leader->check_us <= now_us)
		check(client, now_us);
	if (leader->node == 0) /* it was given up; the next turn asks */
		return now_us;
	interval_us = ask_interval_us(client);
	if (interval_us == LOCKD__NEVER)
		return leader->check_us;
	if (leader->asked_us + interval_us <= now_us)
		ask(client, now_us);
	interval_us += leader->asked_us;
	return interval_us < leader->check_us ? interval_us : leader->check_us;
}
