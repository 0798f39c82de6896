/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/frame.h"

#include <stdlib.h>

enum {
	REFUSED_US = 50 * 1000,
	AHEAD = 8, /* sessions whose memory is being fetched */
};

int64_t lockd__keepalive_interval_us(uint32_t ttl_ms) {
	/* Well inside a quarter of the TTL: silence that long is logged by the cluster (LATE). */
	return (int64_t)ttl_ms * 1000 / 6;
}

void lockd__keepalive_now(struct lockd_client *client) {
	struct lockd__roll *roll;

	TAILQ_FOREACH (roll, &client->rolls, link)
		roll->due_us = 0;
	client->keepalive_us = 0;
	lockd__client_kick(client);
}

void lockd__keepalive_due(struct lockd_client *client, struct lockd__roll *roll, int64_t due_us) {
	roll->due_us = due_us;
	if (due_us < client->keepalive_us)
		client->keepalive_us = due_us;
}

/* Its answer is not waited for any more. */
static void forget(struct lockd_client *client, struct lockd__keepalive *keepalive) {
	TAILQ_REMOVE(&client->keepalives, keepalive, link);
	lockd__roll_end_call(client, keepalive->roll);
	free(keepalive);
}

void lockd__keepalive_forget(struct lockd_client *client, const struct lockd__connection *connection) {
	struct lockd__keepalive *keepalive, *next;

	TAILQ_FOREACH_SAFE (keepalive, &client->keepalives, link, next)
		if (!connection || keepalive->connection == connection)
			forget(client, keepalive);
}

static void forget_old(struct lockd_client *client, int64_t now_us) {
	struct lockd__keepalive *keepalive, *next;

	TAILQ_FOREACH_SAFE (keepalive, &client->keepalives, link, next)
		if (keepalive->until_us < now_us)
			forget(client, keepalive);
}

/* ---- Calls ------------------------------------------------------------------------------------------------------ */

/* Notes who is named, and by what difference from the one before. Returns the shortest TTL of them. */
static uint32_t name_sessions(struct lockd__keepalive *keepalive, uint64_t *sessions) {
	const struct lockd__roll *roll = keepalive->roll;
	uint32_t ttl_ms = UINT32_MAX;
	uint64_t before = 0;

	keepalive->n = 0;
	for (uint32_t i = 0; i < roll->n; i++) {
		const struct lockd__place *place = &roll->places[i];

		if (place->opened == 0)
			continue;
		sessions[keepalive->n] = place->opened - before;
		before = place->opened;
		keepalive->places[keepalive->n++] = (uint16_t)i;
		if (place->ttl_ms < ttl_ms)
			ttl_ms = place->ttl_ms;
	}
	return ttl_ms;
}

static void send(const struct lockd__keepalive *keepalive, uint64_t *sessions) {
	Client__KeepAlive body = CLIENT__KEEP_ALIVE__INIT;
	Client__Request request = CLIENT__REQUEST__INIT;

	body.epoch = keepalive->roll->epoch;
	body.group = keepalive->roll->group;
	body.n_sessions = keepalive->n;
	body.sessions = sessions;
	request.body_case = CLIENT__REQUEST__BODY_KEEP_ALIVE;
	request.keep_alive = &body;
	lockd__connection_send(keepalive->connection, FRAME_REQUEST, keepalive->frame_id, &request.base);
}

/* Out of memory: nothing is sent, and soon tried again. */
static void call(struct lockd_client *client, struct lockd__connection *leader, struct lockd__roll *roll,
		 int64_t now_us) {
	uint64_t sessions[LIMIT_SESSIONS_PER_KEEP_ALIVE];
	struct lockd__keepalive *keepalive;
	uint32_t ttl_ms;

	lockd__roll_close_ranks(roll);
	keepalive = malloc(sizeof *keepalive + roll->n * sizeof keepalive->places[0]);
	roll->due_us = now_us + REFUSED_US;
	if (!keepalive)
		return;
	keepalive->roll = roll;
	ttl_ms = name_sessions(keepalive, sessions);
	if (keepalive->n == 0) {
		roll->due_us = LOCKD__NEVER;
		free(keepalive);
		return;
	}
	keepalive->connection = leader;
	keepalive->frame_id = client->next_frame_id++;
	keepalive->sent_us = now_us;
	keepalive->until_us = now_us + (int64_t)ttl_ms * 1000;
	roll->due_us = now_us + lockd__keepalive_interval_us(ttl_ms);
	lockd__roll_begin_call(roll);
	TAILQ_INSERT_TAIL(&client->keepalives, keepalive, link);
	send(keepalive, sessions);
}

int64_t lockd__keepalive_tick(struct lockd_client *client, int64_t now_us) {
	struct lockd__connection *leader = lockd__leader_connection(client);
	struct lockd__roll *roll;

	if (now_us < client->keepalive_us)
		return client->keepalive_us;
	if (!leader) /* the next one makes it due again */
		return LOCKD__NEVER;
	forget_old(client, now_us);
	client->keepalive_us = LOCKD__NEVER;
	TAILQ_FOREACH (roll, &client->rolls, link) {
		if (roll->due_us <= now_us)
			call(client, leader, roll, now_us);
		if (roll->due_us < client->keepalive_us)
			client->keepalive_us = roll->due_us;
	}
	return client->keepalive_us;
}

/* ---- Answers ---------------------------------------------------------------------------------------------------- */

/* Those of a roll were opened one behind the other: each one's memory is fetched while those before it are seen to. */
static void fetch(const struct lockd__keepalive *keepalive, size_t i) {
	if (i < keepalive->n)
		__builtin_prefetch(keepalive->roll->places[keepalive->places[i]].session, 1);
}

static void renew(const struct lockd__keepalive *keepalive, const Client__Reply *reply, uint32_t drift_ppm) {
	int64_t now_us = lockd__clock_us(), lease_us = 0;
	uint32_t ttl_ms = 0;

	for (size_t i = 0; i < keepalive->n; i++) {
		struct lockd_session *session = keepalive->roll->places[keepalive->places[i]].session;

		fetch(keepalive, i + AHEAD);
		if (!session || session->closing)
			continue;
		if (session->ttl_ms != ttl_ms) {
			ttl_ms = session->ttl_ms;
			lease_us = lockd__clock_lease_us(keepalive->sent_us, ttl_ms, drift_ppm);
		}
		if (reply->keep_alives[i] == LOCKD_OK)
			lockd__session_renew(session, keepalive->sent_us, lease_us, now_us);
		else if (reply->keep_alives[i] == LOCKD_SESSION_EXPIRED)
			lockd__session_expire(session);
	}
}

static struct lockd__keepalive *find(struct lockd_client *client, uint64_t frame_id) {
	struct lockd__keepalive *keepalive;

	/* Their ids ascend. */
	TAILQ_FOREACH (keepalive, &client->keepalives, link)
		if (keepalive->frame_id >= frame_id)
			return keepalive->frame_id == frame_id ? keepalive : NULL;
	return NULL;
}

static void call_again(struct lockd_client *client, struct lockd__roll *roll) {
	lockd__keepalive_due(client, roll,
			     lockd__clock_us() + REFUSED_US + lockd__client_jitter_us(client, REFUSED_US));
	lockd__client_kick(client);
}

bool lockd__keepalive_answered(struct lockd_client *client, struct lockd__connection *connection, uint64_t frame_id,
			       const Client__Reply *reply) {
	struct lockd__keepalive *keepalive = find(client, frame_id);

	if (!keepalive || keepalive->connection != connection)
		return false;
	if (reply->status == LOCKD_OK && reply->n_keep_alives == keepalive->n)
		renew(keepalive, reply, connection->endpoint->drift_ppm);
	else if (reply->status != LOCKD_NOT_LEADER && reply->status != LOCKD_LEADER_CHANGED)
		call_again(client, keepalive->roll);
	forget(client, keepalive);
	if (reply->status == LOCKD_NOT_LEADER || reply->status == LOCKD_LEADER_CHANGED)
		lockd__leader_refused(client, connection, reply);
	return true;
}
