/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/frame.h"

#include <stdlib.h>

enum { REFUSED_US = 50 * 1000 };

int64_t lockd__keepalive_interval_us(uint32_t ttl_ms) {
	/* Well inside a quarter of the TTL: silence that long is logged by the cluster (LATE). */
	return (int64_t)ttl_ms * 1000 / 6;
}

void lockd__keepalive_now(struct lockd_client *client) {
	client->keepalive_us = 0;
	lockd__client_kick(client);
}

void lockd__keepalive_forget(struct lockd_client *client, const struct lockd__connection *connection) {
	struct lockd__keepalive *keepalive, *next;

	TAILQ_FOREACH_SAFE (keepalive, &client->keepalives, link, next) {
		if (connection && keepalive->connection != connection)
			continue;
		TAILQ_REMOVE(&client->keepalives, keepalive, link);
		free(keepalive);
	}
}

static bool is_live(const struct lockd_session *session) {
	return session->state != LOCKD_EXPIRED && !session->closing;
}

/* The next live session from `session` on. */
static struct lockd_session *live_from(struct lockd_session *session) {
	while (session && !is_live(session))
		session = RB_NEXT(lockd__sessions, NULL, session);
	return session;
}

static void send(struct lockd__keepalive *keepalive, Client__SessionId *ids) {
	Client__SessionId *pointers[LIMIT_SESSIONS_PER_KEEP_ALIVE];
	Client__KeepAlive body = CLIENT__KEEP_ALIVE__INIT;
	Client__Request request = CLIENT__REQUEST__INIT;

	for (size_t i = 0; i < keepalive->n; i++)
		pointers[i] = &ids[i];
	body.n_sessions = keepalive->n;
	body.sessions = pointers;
	request.body_case = CLIENT__REQUEST__BODY_KEEP_ALIVE;
	request.keep_alive = &body;
	lockd__connection_send(keepalive->connection, FRAME_REQUEST, keepalive->frame_id, &request.base);
}

/* Sends one frame for the live sessions from `session` on, as many as it holds. Returns where the next frame begins.
 * Out of memory: nothing is sent, the next interval tries again. */
static struct lockd_session *send_chunk(struct lockd_client *client, struct lockd__connection *leader,
					struct lockd_session *session, int64_t now_us) {
	size_t n_max = LIMIT_SESSIONS_PER_KEEP_ALIVE;
	struct lockd__keepalive *keepalive = malloc(sizeof *keepalive + n_max * sizeof keepalive->opened[0]);
	Client__SessionId *ids = malloc(n_max * sizeof *ids);

	if (!keepalive || !ids) {
		free(keepalive);
		free(ids);
		return NULL;
	}
	keepalive->connection = leader;
	keepalive->frame_id = client->next_frame_id++;
	keepalive->sent_us = now_us;
	for (keepalive->n = 0; session && keepalive->n < n_max; keepalive->n++) {
		client__session_id__init(&ids[keepalive->n]);
		ids[keepalive->n].epoch = session->epoch;
		ids[keepalive->n].group = session->group;
		ids[keepalive->n].opened = keepalive->opened[keepalive->n] = session->opened;
		session = live_from(RB_NEXT(lockd__sessions, NULL, session));
	}
	TAILQ_INSERT_TAIL(&client->keepalives, keepalive, link);
	send(keepalive, ids);
	free(ids);
	return session;
}

static uint32_t shortest_ttl_ms(struct lockd_client *client) {
	struct lockd_session *session;
	uint32_t ttl_ms = UINT32_MAX;

	RB_FOREACH (session, lockd__sessions, &client->sessions)
		if (is_live(session) && session->ttl_ms < ttl_ms)
			ttl_ms = session->ttl_ms;
	return ttl_ms;
}

/* What is older than the shortest TTL would renew nothing any more. */
static void forget_old(struct lockd_client *client, int64_t before_us) {
	struct lockd__keepalive *keepalive;

	while ((keepalive = TAILQ_FIRST(&client->keepalives)) && keepalive->sent_us < before_us) {
		TAILQ_REMOVE(&client->keepalives, keepalive, link);
		free(keepalive);
	}
}

int64_t lockd__keepalive_tick(struct lockd_client *client, int64_t now_us) {
	struct lockd__connection *leader = lockd__leader_connection(client);
	struct lockd_session *session;
	uint32_t ttl_ms;

	if (now_us < client->keepalive_us)
		return client->keepalive_us;
	session = live_from(RB_MIN(lockd__sessions, &client->sessions));
	if (!session || !leader) /* the next leader, or session, makes it due again */
		return LOCKD__NEVER;
	ttl_ms = shortest_ttl_ms(client);
	forget_old(client, now_us - (int64_t)ttl_ms * 1000);
	while (session)
		session = send_chunk(client, leader, session, now_us);
	client->keepalive_us = now_us + lockd__keepalive_interval_us(ttl_ms);
	return client->keepalive_us;
}

static void renew(struct lockd_client *client, const struct lockd__keepalive *keepalive, const Client__Reply *reply,
		  uint32_t drift_ppm) {
	for (size_t i = 0; i < keepalive->n; i++) {
		struct lockd_session key = {.opened = keepalive->opened[i]};
		struct lockd_session *session = RB_FIND(lockd__sessions, &client->sessions, &key);
		if (!session || session->closing)
			continue;
		if (reply->keep_alives[i] == LOCKD_OK)
			lockd__session_renew(session, keepalive->sent_us, drift_ppm);
		else if (reply->keep_alives[i] == LOCKD_SESSION_EXPIRED)
			lockd__session_expire(session);
	}
}

static struct lockd__keepalive *find(struct lockd_client *client, uint64_t frame_id) {
	struct lockd__keepalive *keepalive;

	TAILQ_FOREACH (keepalive, &client->keepalives, link)
		if (keepalive->frame_id == frame_id)
			return keepalive;
	return NULL;
}

bool lockd__keepalive_answered(struct lockd_client *client, struct lockd__connection *connection, uint64_t frame_id,
			       const Client__Reply *reply) {
	struct lockd__keepalive *keepalive = find(client, frame_id);

	if (!keepalive || keepalive->connection != connection)
		return false;
	TAILQ_REMOVE(&client->keepalives, keepalive, link);
	if (reply->status == LOCKD_OK && reply->n_keep_alives == keepalive->n) {
		renew(client, keepalive, reply, connection->endpoint->drift_ppm);
	} else if (reply->status == LOCKD_NOT_LEADER || reply->status == LOCKD_LEADER_CHANGED) {
		lockd__leader_refused(client, connection, reply);
	} else {
		client->keepalive_us = lockd__clock_us() + REFUSED_US + lockd__client_jitter_us(client, REFUSED_US);
		lockd__client_kick(client);
	}
	free(keepalive);
	return true;
}
