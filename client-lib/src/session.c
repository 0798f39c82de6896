/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AHEAD = 8 }; /* sessions whose memory is being fetched while those before them are seen to */

int lockd__session_compare(const struct lockd_session *a, const struct lockd_session *b);
int lockd__session_compare(const struct lockd_session *a, const struct lockd_session *b) {
	return (a->opened > b->opened) - (a->opened < b->opened);
}

RB_GENERATE(lockd__sessions, lockd_session, node, lockd__session_compare)

/* ---- Outcomes --------------------------------------------------------------------------------------------------- */

struct lockd__outcome *lockd__session_outcome(const struct lockd_session *session, uint64_t number) {
	return &session->outcomes[number % session->n_outcomes];
}

static bool grow_outcomes(struct lockd_session *session) {
	uint32_t n = session->n_outcomes ? 2 * session->n_outcomes : LOCKD__OUTCOMES_FIRST;
	struct lockd__outcome *outcomes = calloc(n, sizeof *outcomes);

	if (!outcomes)
		return false;
	/* All numbers so far are below n, and stay where they are. */
	if (session->n_outcomes)
		memcpy(outcomes, session->outcomes, session->n_outcomes * sizeof *outcomes);
	free(session->outcomes);
	session->outcomes = outcomes;
	session->n_outcomes = n;
	return true;
}

uint64_t lockd__session_number(struct lockd_session *session) {
	if (session->next_number >= session->n_outcomes && session->n_outcomes < LOCKD__OUTCOMES &&
	    !grow_outcomes(session))
		return 0;
	return session->next_number++;
}

/* ---- The window ------------------------------------------------------------------------------------------------- */

uint64_t lockd__session_floor(const struct lockd_session *session) {
	const struct lockd__request *first = TAILQ_FIRST(&session->open);

	return first ? first->sequence : session->next_sequence;
}

/* Places of the window that are kept for cancellations. Without one, an acquire that was given up would stay in the
 * queue, and hold the lock in its turn, for as long as the oldest request goes unanswered. */
static uint64_t kept_places(const struct lockd_session *session) {
	const struct lockd__request *request;
	uint64_t n = 0;

	TAILQ_FOREACH (request, &session->open, open)
		if (request->kind == LOCKD__ACQUIRE && !(request->cancel && request->cancel->sequence))
			n++;
	return n;
}

bool lockd__session_admits(const struct lockd_session *session, const struct lockd__request *request) {
	uint64_t needed = session->next_sequence + kept_places(session);

	if (request->kind == LOCKD__ACQUIRE)
		needed += 2;
	else if (request->kind != LOCKD__CANCEL) /* whose place was kept */
		needed += 1;
	return needed <= lockd__session_floor(session) + LIMIT_SEQUENCE_WINDOW;
}

/* ---- The lease -------------------------------------------------------------------------------------------------- */

static void change_state(struct lockd_session *session, enum lockd_session_state state) {
	struct lockd_client *client = session->client;

	session->state = state;
	if (!session->on_state || session->closing)
		return;
	if (session->n_changes == 0)
		TAILQ_INSERT_TAIL(&client->changed, session, changed);
	else if (session->n_changes == LOCKD__CHANGES)
		session->n_changes--;
	session->changes[session->n_changes++] = state;
	lockd__client_due(client);
}

static int64_t jeopardy_us(const struct lockd_session *session) {
	return session->good_us + lockd__keepalive_interval_us(session->ttl_ms) + (int64_t)session->ttl_ms * 1000 / 3;
}

int64_t lockd__session_update(struct lockd_session *session, int64_t now_us) {
	int64_t safe_to_us;

	if (session->state == LOCKD_EXPIRED)
		return LOCKD__NEVER;
	if (now_us >= session->lease_us) {
		lockd__session_expire(session);
		return LOCKD__NEVER;
	}
	if (session->state == LOCKD_JEOPARDY)
		return session->lease_us;
	safe_to_us = jeopardy_us(session);
	if (now_us >= safe_to_us) {
		change_state(session, LOCKD_JEOPARDY);
		return session->lease_us;
	}
	return safe_to_us < session->lease_us ? safe_to_us : session->lease_us;
}

/* The tick that visits all sessions comes in time for this one; at once, it would cost as much for every session that
 * is opened as there are sessions. */
static void look_again(struct lockd_session *session) {
	int64_t check_us = lockd__session_update(session, lockd__clock_us());

	if (check_us < session->client->session_check_us)
		session->client->session_check_us = check_us;
}

static int64_t update_roll(const struct lockd__roll *roll, int64_t now_us) {
	int64_t next_us = LOCKD__NEVER, check_us;

	for (uint32_t i = 0; i < roll->n; i++) {
		if (i + AHEAD < roll->n)
			__builtin_prefetch(roll->places[i + AHEAD].session);
		if (!roll->places[i].session)
			continue;
		check_us = lockd__session_update(roll->places[i].session, now_us);
		if (check_us < next_us)
			next_us = check_us;
	}
	return next_us;
}

int64_t lockd__session_tick(struct lockd_client *client, int64_t now_us) {
	struct lockd__roll *roll;
	int64_t next_us = LOCKD__NEVER, check_us;

	if (now_us < client->session_check_us)
		return client->session_check_us;
	TAILQ_FOREACH (roll, &client->rolls, link) {
		check_us = update_roll(roll, now_us);
		if (check_us < next_us)
			next_us = check_us;
	}
	client->session_check_us = next_us;
	return next_us;
}

static void lease_from(struct lockd_session *session, int64_t sent_us, int64_t lease_us) {
	if (sent_us > session->good_us)
		session->good_us = sent_us;
	if (lease_us > session->lease_us)
		session->lease_us = lease_us;
}

/* false: a session of ours has this id, so the answer makes no sense; or out of memory. */
static bool enrol(struct lockd_client *client, struct lockd_session *session) {
	if (RB_INSERT(lockd__sessions, &client->sessions, session))
		return false;
	if (lockd__roll_join(client, session) == 0)
		return true;
	RB_REMOVE(lockd__sessions, &client->sessions, session);
	return false;
}

bool lockd__session_begin(struct lockd_session *session, const Client__Reply *reply, int64_t sent_us,
			  uint32_t drift_ppm) {
	struct lockd_client *client = session->client;
	int64_t now_us = lockd__clock_us(), lease_us, due_us;

	if (reply->ttl_ms)
		session->ttl_ms = reply->ttl_ms;
	due_us = sent_us + lockd__keepalive_interval_us(session->ttl_ms);
	lease_us = lockd__clock_lease_us(sent_us, session->ttl_ms, drift_ppm);
	if (lease_us <= now_us)
		return false;
	session->epoch = reply->session->epoch;
	session->group = reply->session->group;
	session->opened = reply->session->opened;
	(void)snprintf(session->id, sizeof session->id, "%u.%u.%llu", session->epoch, session->group,
		       (unsigned long long)session->opened);
	lease_from(session, sent_us, lease_us);
	if (!enrol(client, session)) {
		session->opened = 0;
		return false;
	}
	look_again(session);
	if (session->roll->due_us > due_us)
		lockd__keepalive_due(client, session->roll, due_us);
	lockd__client_kick(client);
	return true;
}

void lockd__session_renew(struct lockd_session *session, int64_t sent_us, int64_t lease_us, int64_t now_us) {
	/* An answer that comes behind the end of the lease is too late: the holder may have been told to stop. */
	(void)lockd__session_update(session, now_us);
	if (session->state == LOCKD_EXPIRED)
		return;
	lease_from(session, sent_us, lease_us);
	if (session->state == LOCKD_JEOPARDY && now_us < jeopardy_us(session)) {
		change_state(session, LOCKD_SAFE);
		look_again(session);
	}
}

void lockd__session_expire(struct lockd_session *session) {
	struct lockd__request *request;

	if (session->state != LOCKD_EXPIRED)
		change_state(session, LOCKD_EXPIRED);
	lockd__roll_strike(session);
	while ((request = TAILQ_FIRST(&session->requests)))
		lockd__request_finish(session->client, request, LOCKD_SESSION_EXPIRED, 0, 0);
}

/* ---- Life ------------------------------------------------------------------------------------------------------- */

static struct lockd_session *session_new(struct lockd_client *client, const struct lockd_session_options *options) {
	struct lockd_session *session = calloc(1, sizeof *session);

	if (!session)
		return NULL;
	session->client = client;
	session->ttl_ms = options->ttl_ms ? options->ttl_ms : LOCKD__TTL_MS_DEFAULT;
	session->on_state = options->on_state;
	session->user = options->user;
	session->next_number = session->next_sequence = 1;
	TAILQ_INIT(&session->requests);
	TAILQ_INIT(&session->open);
	TAILQ_INIT(&session->blocked[0]);
	TAILQ_INIT(&session->blocked[1]);
	session->label = strdup(options->label ? options->label : "");
	if (!session->label || lockd__clock_cond_init(&session->resolved) < 0) {
		free(session->label);
		free(session);
		return NULL;
	}
	return session;
}

void lockd__session_free(struct lockd_session *session) {
	struct lockd_client *client = session->client;

	assert(TAILQ_EMPTY(&session->requests));
	assert(session->resolving == 0 && session->callbacks == 0);
	if (session->opened)
		RB_REMOVE(lockd__sessions, &client->sessions, session);
	if (session->roll)
		lockd__roll_leave(client, session);
	if (session->n_changes > 0)
		TAILQ_REMOVE(&client->changed, session, changed);
	(void)pthread_cond_destroy(&session->resolved);
	free(session->label);
	free(session->outcomes);
	free(session);
}

static bool is_label(const char *label) {
	size_t n = label ? strlen(label) : 0;

	return n <= LIMIT_LABEL_BYTES_MAX && text_is_valid(label, n);
}

static enum lockd_status session_open(struct lockd_client *client, struct lockd_session *session, int64_t deadline_us) {
	struct lockd__request *request = lockd__request_new(client, session, LOCKD__OPEN, NULL, NULL);
	struct lockd__waiter waiter;

	if (!request)
		return LOCKD_NO_MEMORY;
	if (lockd__waiter_init(&waiter) < 0) {
		lockd__request_free(request);
		return LOCKD_NO_MEMORY;
	}
	request->waiter = &waiter;
	lockd__request_submit(client, request);
	return lockd__waiter_wait(client, &waiter, request, deadline_us);
}

enum lockd_status lockd_session_open(struct lockd_client *client, const struct lockd_session_options *options,
				     int timeout_ms, struct lockd_session **ret) {
	static const struct lockd_session_options none = {0};
	struct lockd_session *session;
	enum lockd_status status;

	if (!client || !ret || timeout_ms < LOCKD_FOREVER || (options && !is_label(options->label)))
		return LOCKD_MISUSE;
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	session = session_new(client, options ? options : &none);
	status = LOCKD_NO_MEMORY;
	if (session)
		status = session_open(client, session, lockd__clock_deadline_us(lockd__clock_us(), timeout_ms));
	if (status == LOCKD_OK)
		*ret = session;
	else if (session)
		lockd__session_free(session);
	lockd__client_leave_blocking(client);
	return status;
}

/* Ends what the session still has under way, so that the floor of CLOSE lies above all of it. */
static void drop_requests(struct lockd_session *session) {
	struct lockd__request *request;

	while ((request = TAILQ_FIRST(&session->requests)))
		lockd__request_finish(session->client, request, LOCKD_CLOSED, 0, 0);
}

static enum lockd_status session_close(struct lockd_session *session, int64_t deadline_us) {
	struct lockd_client *client = session->client;
	struct lockd__request *request;
	struct lockd__waiter waiter;

	(void)lockd__session_update(session, lockd__clock_us());
	if (session->state == LOCKD_EXPIRED)
		return LOCKD_SESSION_EXPIRED;
	request = lockd__request_new(client, session, LOCKD__CLOSE, NULL, NULL);
	if (!request || lockd__waiter_init(&waiter) < 0) {
		if (request)
			lockd__request_free(request);
		return LOCKD_NO_MEMORY;
	}
	request->waiter = &waiter;
	lockd__request_submit(client, request);
	return lockd__waiter_wait(client, &waiter, request, deadline_us);
}

enum lockd_status lockd_session_close(struct lockd_session *session, int timeout_ms) {
	struct lockd_client *client;
	enum lockd_status status;

	if (!session)
		return LOCKD_OK;
	if (timeout_ms < LOCKD_FOREVER)
		return LOCKD_MISUSE;
	client = session->client;
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	session->closing = true;
	lockd__roll_strike(session);
	drop_requests(session);
	status = session_close(session, lockd__clock_deadline_us(lockd__clock_us(), timeout_ms));
	while (client->running == session || session->resolving > 0 || session->callbacks > 0) {
		pthread_cond_broadcast(&session->resolved);
		pthread_cond_wait(&client->left, &client->mutex);
	}
	lockd__session_free(session);
	lockd__client_leave_blocking(client);
	return status;
}

/* ---- Queries ---------------------------------------------------------------------------------------------------- */

enum lockd_session_state lockd_session_get_state(struct lockd_session *session) {
	enum lockd_session_state state;

	if (!session || lockd__client_enter(session->client) != LOCKD_OK)
		return LOCKD_EXPIRED;
	(void)lockd__session_update(session, lockd__clock_us());
	state = session->state;
	lockd__client_leave(session->client);
	return state;
}

int64_t lockd_session_remaining_ms(struct lockd_session *session) {
	int64_t now_us, remaining_ms = 0;

	if (!session || lockd__client_enter(session->client) != LOCKD_OK)
		return 0;
	now_us = lockd__clock_us();
	(void)lockd__session_update(session, now_us);
	if (session->state != LOCKD_EXPIRED)
		remaining_ms = (session->lease_us - now_us) / 1000;
	lockd__client_leave(session->client);
	return remaining_ms;
}

const char *lockd_session_id(struct lockd_session *session) {
	return session ? session->id : "";
}
