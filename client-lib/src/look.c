/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that look: locks and sessions in pages, from the leader or from whom else the caller may read, and every
 * node's view of itself. */
#include "client.h"
#include "clock.h"
#include "page.h"
#include "pool.h"

#include "api/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lock_list {
	struct lockd_lock_list list; /* first: what the user sees */
	struct lockd__pool pool;
	struct lockd_lock_info *rows;
};

struct session_list {
	struct lockd_session_list list;
	struct lockd__pool pool;
	struct lockd_session_info *rows;
};

struct node_list {
	struct lockd_node_list list;
	struct lockd__pool pool;
};

/* ---- Whom to ask ------------------------------------------------------------------------------------------------ */

static bool is_read(const struct lockd_read *read) {
	return !read || ((unsigned)read->level <= LOCKD_READ_STALE &&
			 (read->at_least == 0 || read->level == LOCKD_READ_SESSION));
}

/* Says how a page is to be read; `before` is what the page before it was worth, if any. */
static enum lockd_status aim(struct lockd_client *client, struct lockd__request *request, const struct lockd_read *read,
			     const struct lockd_answer *before, int64_t deadline_us) {
	if (!read)
		return LOCKD_OK;
	request->level = read->level;
	request->at_least = read->at_least;
	request->anywhere = read->node == 0 && read->level != LOCKD_READ_LINEARIZABLE;
	request->rather = before->node;
	if (read->node)
		request->endpoint = lockd__endpoint_await(client, read->node, deadline_us);
	if (client->closing)
		return LOCKD_CLOSED;
	return read->node && !request->endpoint ? LOCKD_UNREACHABLE : LOCKD_OK;
}

/* Of several pages the oldest counts. */
static void take_answer(struct lockd_answer *answer, const Client__Reply *reply) {
	int64_t age_ms = 0;

	if (reply->read_level == CLIENT__READ_LEVEL__STALE)
		age_ms = reply->age_ms == UINT32_MAX ? -1 : (int64_t)reply->age_ms;
	if (answer->age_ms < 0 || (age_ms >= 0 && answer->age_ms > age_ms))
		age_ms = answer->age_ms;
	*answer = (struct lockd_answer){
		.level = (enum lockd_read_level)reply->read_level,
		.node = reply->node_id,
		.revision = reply->revision,
		.age_ms = age_ms,
	};
}

/* ---- Rows ------------------------------------------------------------------------------------------------------- */

static void fill_session(struct lockd__pool *pool, const Client__Session *session, struct lockd_session_info *ret) {
	char id[48];

	(void)snprintf(id, sizeof id, "%u.%u.%llu", session->id ? session->id->epoch : 0,
		       session->id ? session->id->group : 0,
		       (unsigned long long)(session->id ? session->id->opened : 0));
	*ret = (struct lockd_session_info){
		.id = lockd__pool_text(pool, &(ProtobufCBinaryData){.len = strlen(id), .data = (uint8_t *)id}),
		.owner = lockd__pool_text(pool, &session->owner),
		.host = lockd__pool_text(pool, &session->host),
		.label = lockd__pool_text(pool, &session->label),
		.pid = session->pid,
		.ttl_ms = session->ttl_ms,
		.held = session->held,
		.waiting = session->waiting,
	};
}

static void fill_lock(struct lockd__pool *pool, const Client__Lock *lock, struct lockd_lock_info *ret) {
	struct lockd_session_info *waiters = lockd__pool_alloc(pool, lock->n_waiters * sizeof *waiters + 1);

	*ret = (struct lockd_lock_info){
		.name = lockd__pool_text(pool, &lock->name),
		.value = lockd__pool_text(pool, &lock->value),
		.token = lock->token,
		.granted_revision = lock->granted,
		.held_ms = lock->held_ms,
		.waiting = lock->waiting,
		.holder = {.id = "", .owner = "", .host = "", .label = ""},
		.waiters = waiters,
		.n_waiters = waiters ? lock->n_waiters : 0,
	};
	if (lock->holder)
		fill_session(pool, lock->holder, &ret->holder);
	for (size_t i = 0; i < ret->n_waiters; i++)
		fill_session(pool, lock->waiters[i], &waiters[i]);
}

/* Makes room for `more` rows of `bytes` each behind the first n. */
static void *extend(void *rows, size_t n, size_t more, size_t bytes) {
	return realloc(rows, (n + more) * bytes + 1);
}

static enum lockd_status add_locks(struct lock_list *list, const Client__Reply *reply) {
	struct lockd_lock_info *rows = extend(list->rows, list->list.n, reply->n_locks, sizeof *rows);

	if (!rows)
		return LOCKD_NO_MEMORY;
	list->rows = rows;
	list->list.locks = rows;
	for (size_t i = 0; i < reply->n_locks; i++)
		fill_lock(&list->pool, reply->locks[i], &rows[list->list.n++]);
	take_answer(&list->list.answer, reply);
	return list->pool.failed ? LOCKD_NO_MEMORY : LOCKD_OK;
}

static enum lockd_status add_sessions(struct session_list *list, const Client__Reply *reply) {
	struct lockd_session_info *rows = extend(list->rows, list->list.n, reply->n_sessions, sizeof *rows);

	if (!rows)
		return LOCKD_NO_MEMORY;
	list->rows = rows;
	list->list.sessions = rows;
	for (size_t i = 0; i < reply->n_sessions; i++)
		fill_session(&list->pool, reply->sessions[i], &rows[list->list.n++]);
	take_answer(&list->list.answer, reply);
	return list->pool.failed ? LOCKD_NO_MEMORY : LOCKD_OK;
}

/* ---- Locks ------------------------------------------------------------------------------------------------------ */

/* The request for the page behind what the list has. */
static enum lockd_status next_locks(struct lockd_client *client, enum lockd__request_kind kind, const char *name,
				    const struct lockd_read *read, int64_t deadline_us, const struct lock_list *list,
				    struct lockd__request **ret) {
	struct lockd__request *request = lockd__request_new(client, NULL, kind, name, NULL);
	enum lockd_status status = LOCKD_NO_MEMORY;

	if (!request)
		return LOCKD_NO_MEMORY;
	if (list->list.n > 0)
		request->after = strdup(list->rows[list->list.n - 1].name);
	if (list->list.n == 0 || request->after)
		status = aim(client, request, read, &list->list.answer, deadline_us);
	if (status == LOCKD_OK)
		*ret = request;
	else
		lockd__request_free(request);
	return status;
}

static enum lockd_status fetch_locks(struct lockd_client *client, enum lockd__request_kind kind, const char *name,
				     const struct lockd_read *read, int64_t deadline_us, struct lock_list *list) {
	struct lockd__request *request;
	struct lockd__page page;
	enum lockd_status status;
	bool more;

	do {
		status = next_locks(client, kind, name, read, deadline_us, list, &request);
		if (status != LOCKD_OK)
			return status;
		status = lockd__page_fetch(client, request, deadline_us, &page);
		if (status == LOCKD_OK)
			status = add_locks(list, page.reply);
		more = status == LOCKD_OK && page.reply->more && page.reply->n_locks > 0;
		lockd__page_deinit(&page);
	} while (more);
	return status;
}

static enum lockd_status look_at_locks(struct lockd_client *client, enum lockd__request_kind kind, const char *name,
				       const struct lockd_read *read, int timeout_ms, struct lockd_lock_list **ret) {
	int64_t deadline_us = lockd__clock_deadline_us(lockd__clock_us(), timeout_ms);
	struct lock_list *list;
	enum lockd_status status = lockd__client_enter_blocking(client);

	if (status != LOCKD_OK)
		return status;
	list = calloc(1, sizeof *list);
	status = list ? fetch_locks(client, kind, name, read, deadline_us, list) : LOCKD_NO_MEMORY;
	lockd__client_leave_blocking(client);
	if (status == LOCKD_OK)
		*ret = &list->list;
	else if (list)
		lockd_lock_list_free(&list->list);
	return status;
}

static bool is_text(const char *text) {
	size_t n = strlen(text);

	return n <= LIMIT_NAME_BYTES_MAX && text_is_valid(text, n);
}

enum lockd_status lockd_list(struct lockd_client *client, const char *prefix, const struct lockd_read *read,
			     int timeout_ms, struct lockd_lock_list **ret) {
	if (!client || !ret || !is_read(read) || timeout_ms < LOCKD_FOREVER ||
	    (prefix && strlen(prefix) > LIMIT_NAME_BYTES_MAX))
		return LOCKD_MISUSE;
	return look_at_locks(client, LOCKD__LIST, prefix, read, timeout_ms, ret);
}

enum lockd_status lockd_show(struct lockd_client *client, const char *name, const struct lockd_read *read,
			     int timeout_ms, struct lockd_lock_list **ret) {
	if (!client || !ret || !is_read(read) || timeout_ms < LOCKD_FOREVER || !name || !*name || !is_text(name))
		return LOCKD_MISUSE;
	return look_at_locks(client, LOCKD__SHOW, name, read, timeout_ms, ret);
}

void lockd_lock_list_free(struct lockd_lock_list *list) {
	struct lock_list *whole = (struct lock_list *)list;

	if (!whole)
		return;
	lockd__pool_deinit(&whole->pool);
	free(whole->rows);
	free(whole);
}

/* ---- Sessions --------------------------------------------------------------------------------------------------- */

static enum lockd_status fetch_sessions(struct lockd_client *client, const struct lockd_read *read, int64_t deadline_us,
					struct session_list *list) {
	struct lockd__request *request;
	uint64_t after_opened = 0;
	struct lockd__page page;
	enum lockd_status status;
	bool more;

	do {
		request = lockd__request_new(client, NULL, LOCKD__SESSIONS, NULL, NULL);
		if (!request)
			return LOCKD_NO_MEMORY;
		request->after_opened = after_opened;
		status = aim(client, request, read, &list->list.answer, deadline_us);
		if (status != LOCKD_OK) {
			lockd__request_free(request);
			return status;
		}
		status = lockd__page_fetch(client, request, deadline_us, &page);
		if (status == LOCKD_OK)
			status = add_sessions(list, page.reply);
		more = status == LOCKD_OK && page.reply->more && page.reply->n_sessions > 0;
		if (more && page.reply->sessions[page.reply->n_sessions - 1]->id)
			after_opened = page.reply->sessions[page.reply->n_sessions - 1]->id->opened;
		lockd__page_deinit(&page);
	} while (more);
	return status;
}

enum lockd_status lockd_sessions(struct lockd_client *client, const struct lockd_read *read, int timeout_ms,
				 struct lockd_session_list **ret) {
	int64_t deadline_us = lockd__clock_deadline_us(lockd__clock_us(), timeout_ms);
	struct session_list *list;
	enum lockd_status status;

	if (!client || !ret || !is_read(read) || timeout_ms < LOCKD_FOREVER)
		return LOCKD_MISUSE;
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	list = calloc(1, sizeof *list);
	status = list ? fetch_sessions(client, read, deadline_us, list) : LOCKD_NO_MEMORY;
	lockd__client_leave_blocking(client);
	if (status == LOCKD_OK)
		*ret = &list->list;
	else if (list)
		lockd_session_list_free(&list->list);
	return status;
}

void lockd_session_list_free(struct lockd_session_list *list) {
	struct session_list *whole = (struct session_list *)list;

	if (!whole)
		return;
	lockd__pool_deinit(&whole->pool);
	free(whole->rows);
	free(whole);
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------ */

enum {
	/* How long the others have once a node has answered: a node that is well answers within a round trip, and one
	 * that hangs is not to hold up the view of all that do not. */
	GRACE_US = 1000 * 1000,
};

/* Whether the nodes' list is as good as it gets: somebody told us of the others, or nobody can be reached. */
static bool knows_nodes(const struct lockd_client *client) {
	for (const struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++)
		if (e->used && e->greeted)
			return true;
	return lockd__endpoint_all_tried(client);
}

/* An endpoint that leads to the same node as a connected one, or as an earlier one, is not asked. */
static bool is_asked(struct lockd_client *client, const struct lockd__endpoint *endpoint) {
	if (!endpoint->used || (endpoint->left && endpoint->learned))
		return false;
	return endpoint->node == 0 || lockd__endpoint_of_node(client, endpoint->node) == endpoint;
}

static struct lockd__request *ask_node(struct lockd_client *client, struct lockd__endpoint *endpoint,
				       struct lockd__waiter *waiter, pthread_cond_t *together) {
	struct lockd__request *request = lockd__request_new(client, NULL, LOCKD__STATUS, NULL, NULL);

	if (!request)
		return NULL;
	if (lockd__waiter_init(waiter) < 0) {
		lockd__request_free(request);
		return NULL;
	}
	waiter->together = together;
	request->waiter = waiter;
	request->endpoint = endpoint;
	lockd__endpoint_hurry(client, endpoint);
	lockd__request_submit(client, request);
	return request;
}

static const char *hexadecimal(struct lockd__pool *pool, const ProtobufCBinaryData *bytes) {
	static const char digits[] = "0123456789abcdef";
	char *text = lockd__pool_alloc(pool, 2 * bytes->len + 1);

	if (!text)
		return "";
	for (size_t i = 0; i < bytes->len; i++) {
		text[2 * i] = digits[bytes->data[i] >> 4];
		text[2 * i + 1] = digits[bytes->data[i] & 15];
	}
	return text;
}

static void fill_peer(struct lockd__pool *pool, const Client__Peer *peer, struct lockd_peer_info *ret) {
	*ret = (struct lockd_peer_info){
		.node = peer->node,
		.peer_address = lockd__pool_text(pool, &peer->peer_address),
		.client_address = lockd__pool_text(pool, &peer->client_address),
		.store = hexadecimal(pool, &peer->store),
		.voter = peer->voter,
		.roles = peer->roles,
		.priority = peer->priority,
		.match = peer->match,
		.contact_ms = peer->contact_ms == UINT32_MAX ? -1 : (int64_t)peer->contact_ms,
		.rtt_us = peer->rtt_us,
		.caught_up = peer->caught_up,
		.unfit = peer->unfit,
		.snapshot = peer->snapshot,
	};
}

static void fill_peers(struct lockd__pool *pool, const Client__NodeStatus *status, struct lockd_node_info *info) {
	struct lockd_peer_info *peers = lockd__pool_alloc(pool, status->n_peers * sizeof *peers + 1);

	if (!peers)
		return;
	info->peers = peers;
	info->n_peers = status->n_peers;
	for (size_t i = 0; i < status->n_peers; i++)
		fill_peer(pool, status->peers[i], &peers[i]);
}

static void fill_candidates(struct lockd__pool *pool, const Client__NodeStatus *status, struct lockd_node_info *info) {
	struct lockd_candidate_info *candidates =
		lockd__pool_alloc(pool, status->n_candidates * sizeof *candidates + 1);

	if (!candidates)
		return;
	info->candidates = candidates;
	info->n_candidates = status->n_candidates;
	for (size_t i = 0; i < status->n_candidates; i++)
		candidates[i] = (struct lockd_candidate_info){
			.node = status->candidates[i]->node,
			.store = hexadecimal(pool, &status->candidates[i]->store),
			.peer_address = lockd__pool_text(pool, &status->candidates[i]->peer_address),
			.client_address = lockd__pool_text(pool, &status->candidates[i]->client_address),
			.age_ms = status->candidates[i]->age_ms,
		};
}

static void fill_times(const Client__NodeStatus *status, struct lockd_node_info *info) {
	info->promise_ms = status->promise_ms;
	info->drift_ppm = status->drift_ppm;
	info->heartbeat_ms = status->heartbeat_ms;
	info->election_ms_min = status->election_ms_min;
	info->election_ms_max = status->election_ms_max;
	info->ttl_ms_min = status->ttl_ms_min;
	info->lease_ms = status->lease_ms;
}

static void fill_disk(struct lockd__pool *pool, const Client__NodeStatus *status, struct lockd_node_info *info) {
	info->disk_full = status->disk_full;
	info->restoring = status->restoring;
	info->repairs = status->repairs;
	info->damage = lockd__pool_text(pool, &status->damage);
}

static void fill_node(struct lockd__pool *pool, const Client__NodeStatus *status, struct lockd_node_info *info) {
	info->node = status->node;
	info->leader = status->leader;
	info->group = status->group;
	info->epoch = status->epoch;
	info->role = lockd__pool_text(pool, &status->role);
	info->version = lockd__pool_text(pool, &status->version);
	info->incarnation = hexadecimal(pool, &status->incarnation);
	info->state_hash = hexadecimal(pool, &status->state_hash);
	info->term = status->term;
	info->commit = status->commit;
	info->applied = status->applied;
	info->log_first = status->log_first;
	info->log_last = status->log_last;
	info->log_bytes = status->log_bytes;
	info->checkpoint = status->checkpoint;
	info->sessions = status->sessions;
	info->locks = status->locks;
	info->seats = status->seats;
	info->pending = status->pending;
	info->uptime_ms = status->uptime_ms;
	info->configuration_index = status->configuration_index;
	info->joint = status->joint;
	info->transfer_to = status->transfer_to;
	info->fit = status->fit;
	info->machine_version = status->machine_version;
	info->machine_version_max = status->machine_version_max;
	fill_times(status, info);
	fill_disk(pool, status, info);
	fill_peers(pool, status, info);
	fill_candidates(pool, status, info);
}

static void take_status(struct lockd__pool *pool, struct lockd__page *page, struct lockd_node_info *info) {
	info->status = lockd__page_decode(page);
	if (info->status == LOCKD_OK && page->reply->node)
		fill_node(pool, page->reply->node, info);
	lockd__page_deinit(page);
}

struct question {
	struct lockd__page page;
	struct lockd__request *request;
	const struct lockd__endpoint *endpoint;
	const char *address;
};

/* All nodes asked at once. */
struct survey {
	pthread_cond_t answered;
	struct question questions[LOCKD__ENDPOINTS_MAX];
	size_t n;
};

static void ask_nodes(struct lockd_client *client, struct lockd__pool *pool, struct survey *survey) {
	for (struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++) {
		struct question *question = &survey->questions[survey->n];

		if (!is_asked(client, e))
			continue;
		question->address = lockd__pool_text(
			pool, &(ProtobufCBinaryData){.len = strlen(e->address), .data = (uint8_t *)e->address});
		question->endpoint = e;
		question->request = ask_node(client, e, &question->page.waiter, &survey->answered);
		if (!question->request)
			pool->failed = 1;
		else
			survey->n++;
	}
}

/* Returns when there is nothing left to wait for, or no time. A node that cannot be reached sets nobody a time: while
 * that is all that is known, the others are what the caller is here for. */
static void await_nodes(struct lockd_client *client, struct survey *survey, int64_t deadline_us) {
	int64_t until_us = deadline_us, now_us;
	size_t answers = 0, ok, done;

	for (;;) {
		now_us = lockd__clock_us();
		ok = done = 0;
		for (const struct question *q = survey->questions; q < survey->questions + survey->n; q++) {
			done += q->page.waiter.done;
			ok += q->page.waiter.done && q->page.waiter.status == LOCKD_OK;
		}
		if (ok > answers)
			until_us = now_us + GRACE_US < deadline_us ? now_us + GRACE_US : deadline_us;
		answers = ok;
		if (done == survey->n || now_us >= until_us)
			return;
		lockd__clock_wait(&survey->answered, &client->mutex, until_us);
	}
}

/* Why a node gave no answer. */
static const char *reason_of(struct lockd__pool *pool, const struct lockd__endpoint *endpoint,
			     enum lockd_status status) {
	const char *reason = endpoint->error;

	if (!*reason)
		reason = status == LOCKD_UNREACHABLE ? "no answer in time" : lockd_status_text((int)status);
	return lockd__pool_text(pool, &(ProtobufCBinaryData){.len = strlen(reason), .data = (uint8_t *)reason});
}

/* Adds a row. Of two addresses that turn out to lead to one node the one that answered stands. */
static void add_node(struct lockd_node_info *nodes, size_t *n, const struct lockd_node_info *info) {
	for (size_t i = 0; i < *n; i++) {
		if (info->node == 0 || nodes[i].node != info->node)
			continue;
		if (nodes[i].status != LOCKD_OK)
			nodes[i] = *info;
		return;
	}
	nodes[(*n)++] = *info;
}

/* Takes what has come; who has not answered by now is given up. */
static enum lockd_status collect(struct lockd_client *client, struct survey *survey, struct node_list *list) {
	struct lockd_node_info *nodes = lockd__pool_alloc(&list->pool, survey->n * sizeof *nodes + 1);
	enum lockd_status status = LOCKD_UNREACHABLE;

	list->list.nodes = nodes;
	for (size_t i = 0; i < survey->n; i++) {
		struct question *question = &survey->questions[i];
		struct lockd_node_info info = {.endpoint = question->address,
					       .reason = "",
					       .role = "",
					       .damage = "",
					       .version = "",
					       .incarnation = "",
					       .state_hash = ""};
		(void)lockd__waiter_wait(client, &question->page.waiter, question->request, 0);
		info.node = question->endpoint->node;
		take_status(&list->pool, &question->page, &info);
		if (info.status == LOCKD_DEADLINE)
			info.status = LOCKD_UNREACHABLE;
		if (info.status == LOCKD_OK)
			status = LOCKD_OK;
		else
			info.reason = reason_of(&list->pool, question->endpoint, info.status);
		if (nodes)
			add_node(nodes, &list->list.n, &info);
	}
	return list->pool.failed ? LOCKD_NO_MEMORY : status;
}

static enum lockd_status fetch_nodes(struct lockd_client *client, int64_t deadline_us, struct node_list *list) {
	struct survey *survey;
	enum lockd_status status;

	while (!knows_nodes(client) && !client->closing && lockd__clock_us() < deadline_us)
		lockd__clock_wait(&client->left, &client->mutex, deadline_us);
	survey = calloc(1, sizeof *survey);
	if (!survey || lockd__clock_cond_init(&survey->answered) < 0) {
		free(survey);
		return LOCKD_NO_MEMORY;
	}
	ask_nodes(client, &list->pool, survey);
	await_nodes(client, survey, deadline_us);
	status = collect(client, survey, list);
	(void)pthread_cond_destroy(&survey->answered);
	free(survey);
	return client->closing ? LOCKD_CLOSED : status;
}

enum lockd_status lockd_nodes(struct lockd_client *client, int timeout_ms, struct lockd_node_list **ret) {
	int64_t deadline_us = lockd__clock_deadline_us(lockd__clock_us(), timeout_ms);
	struct node_list *list;
	enum lockd_status status;

	if (!client || !ret || timeout_ms < LOCKD_FOREVER)
		return LOCKD_MISUSE;
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	list = calloc(1, sizeof *list);
	status = list ? fetch_nodes(client, deadline_us, list) : LOCKD_NO_MEMORY;
	lockd__client_leave_blocking(client);
	if (status == LOCKD_OK)
		*ret = &list->list;
	else if (list)
		lockd_node_list_free(&list->list);
	return status;
}

void lockd_node_list_free(struct lockd_node_list *list) {
	struct node_list *whole = (struct node_list *)list;

	if (!whole)
		return;
	lockd__pool_deinit(&whole->pool);
	free(whole);
}
