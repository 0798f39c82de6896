/* SPDX-License-Identifier: Apache-2.0 */
/* The calls on locks: acquire, release, cancel, resolve. */
#include "client.h"
#include "clock.h"

#include "api/text.h"

#include <string.h>

static bool is_text(const char *text, size_t bytes_max) {
	size_t n = strlen(text);

	return n <= bytes_max && text_is_valid(text, n);
}

static bool is_name(const char *name) {
	return name && *name && is_text(name, LIMIT_NAME_BYTES_MAX);
}

/* Why no request can be made in this session; OK: it can. */
static enum lockd_status session_status(struct lockd_session *session) {
	(void)lockd__session_update(session, lockd__clock_us());
	if (session->closing)
		return LOCKD_CLOSED;
	if (session->state == LOCKD_EXPIRED)
		return LOCKD_SESSION_EXPIRED;
	return session->client->requests < LOCKD__REQUESTS_MAX ? LOCKD_OK : LOCKD_LIMIT;
}

static struct lockd__request *request_new(struct lockd_session *session, enum lockd__request_kind kind,
					  const char *name, const char *value) {
	struct lockd__request *request = lockd__request_new(session->client, session, kind, name, value);

	if (!request)
		return NULL;
	request->number = lockd__session_number(session);
	if (!request->number) {
		lockd__request_free(request);
		return NULL;
	}
	return request;
}

/* Submits a request and waits for it. */
static enum lockd_status run(struct lockd_session *session, struct lockd__request *request, int timeout_ms,
			     struct lockd_grant *ret_grant) {
	struct lockd__waiter waiter;
	enum lockd_status status;

	if (lockd__waiter_init(&waiter) < 0) {
		lockd__request_free(request);
		return LOCKD_NO_MEMORY;
	}
	request->waiter = &waiter;
	lockd__request_submit(session->client, request);
	status = lockd__waiter_wait(session->client, &waiter, request,
				    lockd__clock_deadline_us(lockd__clock_us(), timeout_ms));
	if (ret_grant)
		*ret_grant = waiter.grant;
	return status;
}

/* ---- Acquire ---------------------------------------------------------------------------------------------------- */

static bool may_acquire(struct lockd_session *session, const char *name, const char *value, int wait_ms) {
	return session && is_name(name) && (!value || is_text(value, LIMIT_VALUE_BYTES_MAX)) &&
	       wait_ms >= LOCKD_FOREVER;
}

static struct lockd__request *acquire_new(struct lockd_session *session, const char *name, const char *value,
					  int wait_ms) {
	struct lockd__request *request = request_new(session, LOCKD__ACQUIRE, name, value);

	if (request)
		request->wait_ms = wait_ms == LOCKD_FOREVER ? UINT32_MAX : (uint32_t)wait_ms;
	return request;
}

enum lockd_status lockd_acquire(struct lockd_session *session, const char *name, const char *value, int wait_ms,
				int timeout_ms, struct lockd_grant *ret_grant) {
	struct lockd_client *client;
	struct lockd__request *request;
	enum lockd_status status;

	if (!may_acquire(session, name, value, wait_ms) || timeout_ms < LOCKD_FOREVER || !ret_grant)
		return LOCKD_MISUSE;
	*ret_grant = (struct lockd_grant){0};
	client = session->client;
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	status = session_status(session);
	if (status == LOCKD_OK) {
		request = acquire_new(session, name, value, wait_ms);
		status = request ? run(session, request, timeout_ms, ret_grant) : LOCKD_NO_MEMORY;
	}
	lockd__client_leave_blocking(client);
	return status;
}

static enum lockd_status submit_async(struct lockd_session *session, struct lockd__request *request,
				      lockd_grant_fn *done, void *user, uint64_t *ret_sequence) {
	if (!request)
		return LOCKD_NO_MEMORY;
	request->done = done;
	request->user = user;
	if (ret_sequence)
		*ret_sequence = request->number;
	lockd__request_submit(session->client, request);
	return LOCKD_OK;
}

enum lockd_status lockd_acquire_async(struct lockd_session *session, const char *name, const char *value, int wait_ms,
				      lockd_grant_fn *done, void *user, uint64_t *ret_sequence) {
	enum lockd_status status;

	if (!may_acquire(session, name, value, wait_ms) || !done)
		return LOCKD_MISUSE;
	status = lockd__client_enter(session->client);
	if (status != LOCKD_OK)
		return status;
	status = session_status(session);
	if (status == LOCKD_OK)
		status = submit_async(session, acquire_new(session, name, value, wait_ms), done, user, ret_sequence);
	lockd__client_leave(session->client);
	return status;
}

/* ---- Release ---------------------------------------------------------------------------------------------------- */

static struct lockd__request *release_new(struct lockd_session *session, const char *name, uint64_t token) {
	struct lockd__request *request = request_new(session, LOCKD__RELEASE, name, NULL);

	if (request)
		request->token = token;
	return request;
}

enum lockd_status lockd_release(struct lockd_session *session, const char *name, uint64_t token, int timeout_ms) {
	struct lockd_client *client;
	struct lockd__request *request;
	enum lockd_status status;

	if (!session || !is_name(name) || timeout_ms < LOCKD_FOREVER)
		return LOCKD_MISUSE;
	client = session->client;
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	status = session_status(session);
	if (status == LOCKD_OK) {
		request = release_new(session, name, token);
		status = request ? run(session, request, timeout_ms, NULL) : LOCKD_NO_MEMORY;
	}
	lockd__client_leave_blocking(client);
	return status;
}

enum lockd_status lockd_release_async(struct lockd_session *session, const char *name, uint64_t token,
				      lockd_grant_fn *done, void *user, uint64_t *ret_sequence) {
	enum lockd_status status;

	if (!session || !is_name(name) || !done)
		return LOCKD_MISUSE;
	status = lockd__client_enter(session->client);
	if (status != LOCKD_OK)
		return status;
	status = session_status(session);
	if (status == LOCKD_OK)
		status = submit_async(session, release_new(session, name, token), done, user, ret_sequence);
	lockd__client_leave(session->client);
	return status;
}

/* ---- Outcomes --------------------------------------------------------------------------------------------------- */

static struct lockd__request *find(struct lockd_session *session, uint64_t number) {
	struct lockd__request *request;

	TAILQ_FOREACH (request, &session->requests, member)
		if (request->number == number)
			return request;
	return NULL;
}

enum lockd_status lockd_cancel(struct lockd_session *session, uint64_t sequence) {
	struct lockd__request *request;
	enum lockd_status status;

	if (!session)
		return LOCKD_MISUSE;
	status = lockd__client_enter(session->client);
	if (status != LOCKD_OK)
		return status;
	request = find(session, sequence);
	if (sequence == 0 || sequence >= session->next_number || (request && request->kind != LOCKD__ACQUIRE))
		status = LOCKD_MISUSE;
	else if (request)
		lockd__request_cancel(session->client, request);
	lockd__client_leave(session->client);
	return status;
}

static enum lockd_status recall(const struct lockd_session *session, uint64_t number, struct lockd_grant *ret_grant) {
	const struct lockd__outcome *outcome = lockd__session_outcome(session, number);

	if (outcome->number != number)
		return LOCKD_STALE;
	if (ret_grant)
		*ret_grant = outcome->grant;
	return outcome->status;
}

static enum lockd_status resolve(struct lockd_session *session, uint64_t number, int64_t deadline_us,
				 struct lockd_grant *ret_grant) {
	struct lockd_client *client = session->client;
	enum lockd_status status;

	if (number == 0 || number >= session->next_number)
		return LOCKD_MISUSE;
	session->resolving++;
	while (find(session, number) && !session->closing && lockd__clock_us() < deadline_us)
		lockd__clock_wait(&session->resolved, &client->mutex, deadline_us);
	status = find(session, number) ? LOCKD_DEADLINE : recall(session, number, ret_grant);
	session->resolving--;
	pthread_cond_broadcast(&client->left);
	return status;
}

enum lockd_status lockd_resolve(struct lockd_session *session, uint64_t sequence, int timeout_ms,
				struct lockd_grant *ret_grant) {
	struct lockd_client *client;
	enum lockd_status status;

	if (!session || timeout_ms < LOCKD_FOREVER)
		return LOCKD_MISUSE;
	client = session->client;
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	status = resolve(session, sequence, lockd__clock_deadline_us(lockd__clock_us(), timeout_ms), ret_grant);
	lockd__client_leave_blocking(client);
	return status;
}
