/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/frame.h"
#include "api/text.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	/* How long the thread sleeps at most while there are leases: it sleeps on the monotonic clock, which stands
	 * still while the machine is suspended, whereas leases go on. */
	SLEEP_US_MAX = 1000 * 1000,
	/* In one go of a thread of nng's, which has but a few for all handles of a program. */
	CALLBACKS_PER_RECEIPT_MAX = 256,
};

/* ---- Turns of the handle's thread ------------------------------------------------------------------------------- */

void lockd__client_kick(struct lockd_client *client) {
	client->kicked = true;
	if (client->sleeping)
		pthread_cond_signal(&client->wake);
}

bool lockd__client_is_caller(const struct lockd_client *client) {
	return client->calling && pthread_equal(client->caller, pthread_self());
}

bool lockd__client_gathers(const struct lockd_client *client) {
	return client->receiving || lockd__client_is_caller(client);
}

void lockd__client_due(struct lockd_client *client) {
	if (!client->receiving && !client->calling)
		lockd__client_kick(client);
}

int64_t lockd__client_jitter_us(struct lockd_client *client, int64_t max_us) {
	uint64_t z = client->seed += 0x9e3779b97f4a7c15; /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	z ^= z >> 31;
	return (int64_t)(z % (uint64_t)max_us);
}

static int64_t earlier(int64_t a_us, int64_t b_us) {
	return a_us < b_us ? a_us : b_us;
}

/* All that time brings about. Returns when to come again. */
static int64_t tick(struct lockd_client *client) {
	int64_t now_us = lockd__clock_us(), next_us;

	next_us = lockd__session_tick(client, now_us);
	next_us = earlier(next_us, lockd__endpoint_tick(client, now_us));
	next_us = earlier(next_us, lockd__keepalive_tick(client, now_us));
	next_us = earlier(next_us, lockd__request_tick(client, now_us));
	next_us = earlier(next_us, lockd__request_flush(client, now_us));
	next_us = earlier(next_us, lockd__observe_flush(client, now_us));
	next_us = earlier(next_us, lockd__leader_tick(client, now_us));
	if (!RB_EMPTY(&client->sessions))
		next_us = earlier(next_us, now_us + SLEEP_US_MAX);
	return next_us;
}

static bool reap_one(struct lockd_client *client) {
	struct lockd__connection *connection = TAILQ_FIRST(&client->reaped);

	if (!connection)
		return false;
	TAILQ_REMOVE(&client->reaped, connection, link);
	pthread_mutex_unlock(&client->mutex);
	lockd__connection_free(connection);
	pthread_mutex_lock(&client->mutex);
	return true;
}

static bool call_done(struct lockd_client *client) {
	struct lockd__request *request = TAILQ_FIRST(&client->finished);
	struct lockd_session *session;

	if (!request)
		return false;
	session = request->session;
	TAILQ_REMOVE(&client->finished, request, link);
	pthread_mutex_unlock(&client->mutex);
	request->done(request->user, request->status, &request->grant);
	lockd__request_free(request);
	pthread_mutex_lock(&client->mutex);
	session->callbacks--;
	if (session->closing)
		pthread_cond_broadcast(&client->left);
	return true;
}

static void callback_returned(struct lockd_client *client) {
	pthread_mutex_lock(&client->mutex);
	client->running = NULL;
	pthread_cond_broadcast(&client->left);
}

static bool call_on_state(struct lockd_client *client) {
	struct lockd_session *session = TAILQ_FIRST(&client->changed);
	enum lockd_session_state state;

	if (!session)
		return false;
	state = session->changes[0];
	TAILQ_REMOVE(&client->changed, session, changed);
	memmove(session->changes, session->changes + 1, --session->n_changes * sizeof session->changes[0]);
	if (session->n_changes > 0)
		TAILQ_INSERT_HEAD(&client->changed, session, changed);
	client->running = session;
	pthread_mutex_unlock(&client->mutex);
	session->on_state(session->user, session, state);
	callback_returned(client);
	return true;
}

static bool call_on_event(struct lockd_client *client) {
	struct lockd_observation *observation;
	struct lockd__event *event = lockd__observe_take(client, &observation);
	lockd_event_fn *on_event;
	void *user;

	if (!event)
		return false;
	on_event = observation->on_event;
	user = observation->user;
	client->running = observation;
	pthread_mutex_unlock(&client->mutex);
	on_event(user, &event->event);
	free(event);
	callback_returned(client);
	return true;
}

/* States before grants: whoever is told of a grant has heard before that the session ended. */
static bool call_one(struct lockd_client *client) {
	return call_on_state(client) || call_done(client) || call_on_event(client);
}

/* Runs at most n callbacks, and leaves the rest to the handle's thread. */
static void call_back(struct lockd_client *client, unsigned n) {
	if (client->calling)
		return;
	client->calling = true;
	client->caller = pthread_self();
	while (n > 0 && call_one(client))
		n--;
	client->calling = false;
	if (n == 0)
		lockd__client_kick(client);
}

void lockd__client_receive(struct lockd_client *client) {
	client->receiving = true;
}

void lockd__client_received(struct lockd_client *client) {
	client->receiving = false;
	call_back(client, CALLBACKS_PER_RECEIPT_MAX);
	lockd__connections_flush(client);
	if (client->closing)
		lockd__client_kick(client); /* whose thread waits for the end of callbacks */
}

static bool is_over(const struct lockd_client *client) {
	return client->closing && !client->calling && TAILQ_EMPTY(&client->connections) &&
	       TAILQ_EMPTY(&client->reaped) && TAILQ_EMPTY(&client->finished);
}

static void *run(void *arg) {
	struct lockd_client *client = arg;
	int64_t next_us;

	pthread_mutex_lock(&client->mutex);
	while (!is_over(client)) {
		client->kicked = false;
		next_us = client->closing ? LOCKD__NEVER : tick(client);
		if (reap_one(client))
			continue;
		call_back(client, UINT_MAX);
		lockd__connections_flush(client);
		if (client->kicked || is_over(client))
			continue;
		client->sleeping = true;
		lockd__clock_wait(&client->wake, &client->mutex, next_us);
		client->sleeping = false;
	}
	pthread_mutex_unlock(&client->mutex);
	return NULL;
}

/* ---- Frames ----------------------------------------------------------------------------------------------------- */

/* false: it is no such frame. */
static bool take_hello_reply(struct lockd_client *client, struct lockd__connection *connection, uint64_t id,
			     const uint8_t *body, size_t body_bytes) {
	Client__HelloReply *hello = client__hello_reply__unpack(&client->arena.allocator, body_bytes, body);

	if (!hello || id != 0)
		return false;
	if (connection->endpoint->greeted)
		lockd__endpoint_news(client, connection->endpoint, hello);
	else
		lockd__endpoint_greet(client, connection->endpoint, hello);
	return true;
}

static void take_reply(struct lockd_client *client, struct lockd__connection *connection, uint64_t id,
		       const Client__Reply *reply, const uint8_t *body, size_t body_bytes) {
	if (reply->revision > client->seen)
		client->seen = reply->revision;
	if (reply->status != LOCKD_NOT_LEADER && reply->status != LOCKD_LEADER_CHANGED &&
	    connection->endpoint->node == client->leader.node)
		client->leader.hops = 0;
	/* What nobody waits for is the answer to an earlier transmission, or to a request that was given up. */
	(void)(lockd__keepalive_answered(client, connection, id, reply) ||
	       lockd__leader_answered(client, connection, id, reply) ||
	       lockd__observe_answered(client, connection, id, reply) ||
	       lockd__request_answered(client, connection, id, reply, body, body_bytes));
	if (!RB_EMPTY(&client->waiting))
		(void)lockd__request_flush(client, lockd__clock_us());
}

void lockd__client_frame(struct lockd_client *client, struct lockd__connection *connection, uint8_t type, uint64_t id,
			 const uint8_t *body, size_t body_bytes) {
	ProtobufCAllocator *allocator = &client->arena.allocator;
	bool greeted = connection->endpoint->greeted;
	Client__Reply *reply;
	Client__Event *event;

	if (arena_reset(&client->arena, body_bytes) < 0) {
		lockd__connection_fail(connection, "out of memory for a reply");
		return;
	}
	if (type == FRAME_HELLO_REPLY && take_hello_reply(client, connection, id, body, body_bytes))
		return;
	if (type == FRAME_REPLY && greeted && (reply = client__reply__unpack(allocator, body_bytes, body)))
		take_reply(client, connection, id, reply, body, body_bytes);
	else if (type == FRAME_EVENT && greeted && (event = client__event__unpack(allocator, body_bytes, body)))
		lockd__observe_event(client, id, event);
	else
		lockd__connection_fail(connection, "the node does not speak the protocol");
}

/* ---- Entering and leaving --------------------------------------------------------------------------------------- */

/* Counted by the child of a fork: to ask for the pid would be a system call for every call of the library. */
static _Atomic unsigned forks;

static void count_fork(void) {
	atomic_fetch_add(&forks, 1);
}

static int watched; /* 0, or why forks are not */

static void watch_forks(void) {
	watched = -pthread_atfork(NULL, NULL, count_fork);
}

enum lockd_status lockd__client_enter(struct lockd_client *client) {
	if (client->forks != atomic_load_explicit(&forks, memory_order_relaxed))
		return LOCKD_FORKED;
	pthread_mutex_lock(&client->mutex);
	if (!client->closing)
		return LOCKD_OK;
	pthread_mutex_unlock(&client->mutex);
	return LOCKD_CLOSED;
}

void lockd__client_leave(struct lockd_client *client) {
	pthread_mutex_unlock(&client->mutex);
}

enum lockd_status lockd__client_enter_blocking(struct lockd_client *client) {
	enum lockd_status status;

	status = lockd__client_enter(client);
	if (status != LOCKD_OK)
		return status;
	if (lockd__client_is_caller(client)) {
		pthread_mutex_unlock(&client->mutex);
		return LOCKD_MISUSE;
	}
	client->callers++;
	return LOCKD_OK;
}

void lockd__client_leave_blocking(struct lockd_client *client) {
	client->callers--;
	pthread_cond_broadcast(&client->left);
	pthread_mutex_unlock(&client->mutex);
}

/* ---- Opening ---------------------------------------------------------------------------------------------------- */

static char *user_name(void) {
	struct passwd pwd, *found = NULL;
	char buffer[4096], number[16];

	if (getpwuid_r(geteuid(), &pwd, buffer, sizeof buffer, &found) == 0 && found)
		return strdup(pwd.pw_name);
	(void)snprintf(number, sizeof number, "%u", (unsigned)geteuid());
	return strdup(number);
}

static char *host_name(void) {
	char name[LIMIT_HOST_BYTES_MAX] = "";

	(void)gethostname(name, sizeof name - 1); /* without a name the host shows as "" */
	return strdup(name);
}

static bool is_text(const char *text, size_t bytes_max) {
	size_t n = text ? strlen(text) : 0;

	return n <= bytes_max && text_is_valid(text, n);
}

static void init_queues(struct lockd_client *client) {
	TAILQ_INIT(&client->connections);
	TAILQ_INIT(&client->reaped);
	RB_INIT(&client->waiting);
	client->prompt_max = UINT_MAX;
	RB_INIT(&client->sent);
	TAILQ_INIT(&client->finished);
	RB_INIT(&client->sessions);
	TAILQ_INIT(&client->changed);
	TAILQ_INIT(&client->rolls);
	TAILQ_INIT(&client->keepalives);
	TAILQ_INIT(&client->observations);
	TAILQ_INIT(&client->eventful);
	arena_init(&client->arena);
	client->next_frame_id = 1;
}

/* Starts the thread with all signals blocked: they are the program's. */
static int start_thread(struct lockd_client *client) {
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&client->mutex); /* until client->thread is known */
	r = pthread_create(&client->thread, NULL, run, client);
	pthread_mutex_unlock(&client->mutex);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static int start(struct lockd_client *client) {
	int r;

	if (getrandom(&client->seed, sizeof client->seed, 0) != sizeof client->seed)
		return -errno;
	r = lockd__clock_cond_init(&client->wake);
	if (r < 0)
		return r;
	r = lockd__clock_cond_init(&client->left);
	if (r < 0)
		goto no_left;
	r = -pthread_mutex_init(&client->mutex, NULL);
	if (r < 0)
		goto no_mutex;
	r = start_thread(client);
	if (r == 0)
		return 0;
	(void)pthread_mutex_destroy(&client->mutex);
no_mutex:
	(void)pthread_cond_destroy(&client->left);
no_left:
	(void)pthread_cond_destroy(&client->wake);
	return r;
}

static void free_memory(struct lockd_client *client) {
	arena_deinit(&client->arena);
	free(client->owner);
	free(client->host);
	free(client);
}

/* nng's threads and ours stay behind in the parent: nng stops a forked child that uses it. */
static bool is_forked(void) {
	static _Atomic pid_t first;
	pid_t pid = getpid(), none = 0;

	return !atomic_compare_exchange_strong(&first, &none, pid) && none != pid;
}

enum lockd_status lockd_open(const struct lockd_options *options, struct lockd_client **ret) {
	static const struct lockd_options defaults = {0};
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct lockd_options *given = options ? options : &defaults;
	const char *environment = getenv("LOCKD_ENDPOINTS"), *endpoints = given->endpoints;
	struct lockd_client *client;

	if (!ret || !is_text(given->owner, LIMIT_OWNER_BYTES_MAX) || !is_text(given->host, LIMIT_HOST_BYTES_MAX))
		return LOCKD_MISUSE;
	if (is_forked())
		return LOCKD_FORKED;
	(void)pthread_once(&once, watch_forks);
	client = watched == 0 ? calloc(1, sizeof *client) : NULL;
	if (!client)
		return LOCKD_NO_MEMORY;
	client->pid = getpid();
	client->forks = forks;
	init_queues(client);
	if (!endpoints)
		endpoints = environment && *environment ? environment : "127.0.0.1";
	if (lockd__endpoint_parse_list(endpoints, client->endpoints) < 0) {
		free_memory(client);
		return LOCKD_MISUSE;
	}
	client->owner = given->owner ? strdup(given->owner) : user_name();
	client->host = given->host ? strdup(given->host) : host_name();
	if (!client->owner || !client->host || start(client) < 0) {
		free_memory(client);
		return LOCKD_NO_MEMORY;
	}
	*ret = client;
	return LOCKD_OK;
}

/* ---- Closing ---------------------------------------------------------------------------------------------------- */

static void finish_requests(struct lockd_client *client) {
	struct lockd__request *request;
	struct lockd_session *session;

	RB_FOREACH (session, lockd__sessions, &client->sessions)
		while ((request = TAILQ_FIRST(&session->requests)))
			lockd__request_finish(client, request, LOCKD_CLOSED, 0, 0);
	lockd__requests_end(client, NULL, LOCKD_CLOSED);
}

static void free_what_is_left(struct lockd_client *client) {
	struct lockd_session *session;
	struct lockd_observation *observation;

	lockd__keepalive_forget(client, NULL);
	while ((session = RB_MIN(lockd__sessions, &client->sessions)))
		lockd__session_free(session);
	while ((observation = TAILQ_FIRST(&client->observations)))
		lockd__observe_free(observation);
}

void lockd_close(struct lockd_client *client) {
	struct lockd__connection *connection, *next;
	struct lockd_session *session;

	if (!client || lockd__client_enter_blocking(client) != LOCKD_OK)
		return;
	client->callers--;
	client->closing = true;
	finish_requests(client);
	RB_FOREACH (session, lockd__sessions, &client->sessions)
		pthread_cond_broadcast(&session->resolved);
	pthread_cond_broadcast(&client->left);
	while (client->callers > 0)
		pthread_cond_wait(&client->left, &client->mutex);
	TAILQ_FOREACH_SAFE (connection, &client->connections, link, next)
		lockd__connection_fail(connection, "the handle was closed");
	lockd__client_kick(client);
	pthread_mutex_unlock(&client->mutex);

	(void)pthread_join(client->thread, NULL);
	free_what_is_left(client);
	(void)pthread_mutex_destroy(&client->mutex);
	(void)pthread_cond_destroy(&client->left);
	(void)pthread_cond_destroy(&client->wake);
	free_memory(client);
}

/* ---- Errors ----------------------------------------------------------------------------------------------------- */

static size_t append(char *text, size_t n, size_t at, const char *format, const char *a, const char *b) {
	int r = snprintf(at < n ? text + at : NULL, at < n ? n - at : 0, format, a, b);

	return r < 0 ? at : at + (size_t)r;
}

/* What is wrong with an endpoint, for people; NULL: nothing. */
static const char *complaint(const struct lockd_client *client, const struct lockd__endpoint *endpoint) {
	if (!endpoint->used)
		return NULL;
	if (endpoint->error[0])
		return endpoint->error;
	/* Where the cluster has answered, nothing hangs on who else has not. */
	if (endpoint->connection && !endpoint->greeted && !client->error[0])
		return "no answer yet";
	if (endpoint->greeted && client->leader.doubted && endpoint->node == client->leader.node &&
	    endpoint->connection->asked_us > endpoint->connection->heard_us)
		return "the leader does not answer";
	/* With a leader the others do without it. */
	if (endpoint->greeted && endpoint->disk_full && client->leader.node == 0)
		return "its disk is full";
	return NULL;
}

void lockd_last_error(struct lockd_client *client, char *text, size_t n) {
	bool greeted = false;
	size_t at;

	if (!text || n == 0)
		return;
	text[0] = '\0';
	if (!client || lockd__client_enter(client) != LOCKD_OK)
		return;
	at = append(text, n, 0, "%s%s", client->error, "");
	for (struct lockd__endpoint *e = client->endpoints; e < client->endpoints + LOCKD__ENDPOINTS_MAX; e++) {
		const char *what = complaint(client, e);

		greeted = greeted || (e->used && e->greeted);
		if (what)
			at = append(text, n, at, at ? "; %s: %s" : "%s: %s", e->address, what);
	}
	if (greeted && client->leader.node == 0)
		(void)append(text, n, at, at ? "; %s%s" : "%s%s", "no node leads", "");
	lockd__client_leave(client);
}
