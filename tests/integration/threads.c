/* SPDX-License-Identifier: Apache-2.0 */
/* threads THREADS SECONDS SESSIONS: many threads use one handle, with all calls that there are, while the nodes come
 * and go. Held to account at every grant: nobody else in this process holds the lock, and its token is greater than all
 * before. Every outcome that a time-out left unknown is resolved. Behind the storm SESSIONS waiters queue for one lock
 * and must be served in order. At the end nothing is held and nobody waits. */
#include <lockd/lockd.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, SESSIONS_MAX = 1024, LOCKS = 12, PATIENCE_MS = 60000, TTL_MS = 60000 };

static struct {
	struct lockd_client *client;
	struct lockd_session *sessions[SESSIONS_MAX];
	unsigned n_sessions;
	time_t end;
	struct {
		atomic_uint holders;
		_Atomic uint64_t token; /* of the last grant seen */
	} locks[LOCKS];
	atomic_ulong grants, unknown, cancelled, refused, events;
} run;

struct worker {
	pthread_t thread;
	uint64_t seed;
};

static uint64_t next_random(struct worker *worker) {
	worker->seed ^= worker->seed << 13;
	worker->seed ^= worker->seed >> 7;
	return worker->seed ^= worker->seed << 17;
}

static int below(struct worker *worker, int n) {
	return (int)(next_random(worker) % (uint64_t)n);
}

static void die(const char *what, enum lockd_status status) {
	char why[512];

	lockd_last_error(run.client, why, sizeof why);
	fprintf(stderr, "threads: %s: %s (%s)\n", what, lockd_status_text(status), why);
	_exit(1);
}

static void name_of(int lock, char name[32]) {
	(void)snprintf(name, 32, "threads/%d", lock);
}

/* ---- Holding ---------------------------------------------------------------------------------------------------- */

static void enter(int lock, uint64_t token) {
	if (atomic_fetch_add(&run.locks[lock].holders, 1) != 0)
		die("two hold one lock", LOCKD_MISMATCH);
	if (atomic_exchange(&run.locks[lock].token, token) >= token)
		die("a token did not grow", LOCKD_MISMATCH);
	atomic_fetch_add(&run.grants, 1);
}

/* A release that timed out goes on in the background; the same release again is answered behind it, and finds out. */
static void release_until_known(struct worker *worker, struct lockd_session *session, const char *name,
				uint64_t token) {
	enum lockd_status status = lockd_release(session, name, token, below(worker, 20));

	if (status == LOCKD_OK)
		return;
	if (status == LOCKD_DEADLINE)
		atomic_fetch_add(&run.unknown, 1);
	else if (status != LOCKD_UNREACHABLE)
		die("release", status);
	status = lockd_release(session, name, token, PATIENCE_MS);
	if (status != LOCKD_OK && status != LOCKD_NOT_HOLDER)
		die("the same release again", status);
}

static void on_released(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	(void)user;
	(void)grant;
	if (status != LOCKD_OK)
		die("release_async", status);
}

static void release_and_resolve(struct lockd_session *session, const char *name, uint64_t token) {
	uint64_t sequence;
	enum lockd_status status = lockd_release_async(session, name, token, on_released, NULL, &sequence);

	if (status == LOCKD_OK)
		status = lockd_resolve(session, sequence, PATIENCE_MS, NULL);
	if (status != LOCKD_OK)
		die("resolving a release", status);
}

static void leave(struct worker *worker, struct lockd_session *session, int lock, uint64_t token) {
	char name[32];

	name_of(lock, name);
	if (below(worker, 4) == 0)
		usleep((useconds_t)below(worker, 3000));
	atomic_fetch_sub(&run.locks[lock].holders, 1);
	if (below(worker, 2))
		release_and_resolve(session, name, token);
	else
		release_until_known(worker, session, name, token);
}

/* ---- The calls -------------------------------------------------------------------------------------------------- */

static void resolve(struct lockd_session *session, uint64_t sequence) {
	enum lockd_status status = lockd_resolve(session, sequence, PATIENCE_MS, NULL);

	atomic_fetch_add(&run.unknown, 1);
	if (status != LOCKD_CANCELLED && status != LOCKD_HELD && status != LOCKD_WAIT_EXPIRED)
		die("resolving an acquire", status);
}

static void acquire_and_release(struct worker *worker, struct lockd_session *session) {
	static const int waits_ms[] = {LOCKD_TRY, 5, 200, LOCKD_FOREVER};
	static const int timeouts_ms[] = {0, 1, 10, 100, PATIENCE_MS};
	int wait_ms = waits_ms[below(worker, 4)], timeout_ms = timeouts_ms[below(worker, 5)],
	    lock = below(worker, LOCKS);
	struct lockd_grant grant;
	enum lockd_status status;
	char name[32];

	name_of(lock, name);
	status = lockd_acquire(session, name, "value", wait_ms, timeout_ms, &grant);
	switch (status) {
	case LOCKD_OK:
		enter(lock, grant.token);
		leave(worker, session, lock, grant.token);
		break;
	case LOCKD_DEADLINE: resolve(session, grant.sequence); break;
	case LOCKD_HELD:
	case LOCKD_WAIT_EXPIRED:
	case LOCKD_UNREACHABLE: atomic_fetch_add(&run.refused, 1); break;
	default: die("acquire", status);
	}
}

struct answer {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool done;
	enum lockd_status status;
	uint64_t token;
	int lock;
};

static void on_answer(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct answer *answer = user;

	if (status == LOCKD_OK)
		enter(answer->lock, grant->token);
	pthread_mutex_lock(&answer->mutex);
	answer->done = true;
	answer->status = status;
	answer->token = grant->token;
	pthread_cond_signal(&answer->cond);
	pthread_mutex_unlock(&answer->mutex);
}

static void acquire_and_cancel(struct worker *worker, struct lockd_session *session) {
	struct answer answer = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	enum lockd_status status;
	uint64_t sequence;
	char name[32];

	answer.lock = below(worker, LOCKS);
	name_of(answer.lock, name);
	status = lockd_acquire_async(session, name, NULL, LOCKD_FOREVER, on_answer, &answer, &sequence);
	if (status != LOCKD_OK)
		die("acquire_async", status);
	usleep((useconds_t)below(worker, 3000));
	status = lockd_cancel(session, sequence);
	if (status != LOCKD_OK)
		die("cancel", status);
	pthread_mutex_lock(&answer.mutex);
	while (!answer.done)
		pthread_cond_wait(&answer.cond, &answer.mutex);
	pthread_mutex_unlock(&answer.mutex);
	if (answer.status == LOCKD_OK)
		leave(worker, session, answer.lock, answer.token);
	else if (answer.status == LOCKD_CANCELLED)
		atomic_fetch_add(&run.cancelled, 1);
	else
		die("an acquire that was cancelled", answer.status);
}

static void look(struct worker *worker) {
	struct lockd_lock_list *locks;
	struct lockd_session_list *sessions;
	struct lockd_node_list *nodes;

	switch (below(worker, 3)) {
	case 0:
		if (lockd_list(run.client, "threads/", NULL, below(worker, 2000), &locks) == LOCKD_OK)
			lockd_lock_list_free(locks);
		break;
	case 1:
		if (lockd_sessions(run.client, NULL, below(worker, 2000), &sessions) == LOCKD_OK)
			lockd_session_list_free(sessions);
		break;
	default:
		if (lockd_nodes(run.client, below(worker, 2000), &nodes) == LOCKD_OK)
			lockd_node_list_free(nodes);
	}
}

static void *work(void *arg) {
	struct worker *worker = arg;

	while (time(NULL) < run.end) {
		struct lockd_session *session = run.sessions[next_random(worker) % run.n_sessions];
		int turn = below(worker, 32);

		if (turn == 0)
			look(worker);
		else if (turn < 10)
			acquire_and_cancel(worker, session);
		else
			acquire_and_release(worker, session);
		if (lockd_session_remaining_ms(session) <= 0)
			die("a session was lost", LOCKD_SESSION_EXPIRED);
	}
	return NULL;
}

/* ---- Watching --------------------------------------------------------------------------------------------------- */

static void on_event(void *user, const struct lockd_event *event) {
	uint64_t *last = user;

	if (event->kind == LOCKD_EVENT_LEADER && event->token <= *last)
		die("an observer saw an old token", LOCKD_MISMATCH);
	if (event->kind == LOCKD_EVENT_LEADER)
		*last = event->token;
	atomic_fetch_add(&run.events, 1);
}

/* ---- A long queue ----------------------------------------------------------------------------------------------- */

static struct {
	atomic_uint turn, finished;
	uint64_t token;
} queue;

static void on_left(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	(void)user;
	(void)grant;
	if (status != LOCKD_OK)
		die("releasing the queue's lock", status);
	atomic_fetch_add(&queue.finished, 1);
}

static void on_turn(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	unsigned place = (unsigned)((struct lockd_session **)user - run.sessions);

	if (status != LOCKD_OK)
		die("waiting in the queue", status);
	if (atomic_fetch_add(&queue.turn, 1) != place || grant->token <= queue.token)
		die("the queue was not served in order", LOCKD_MISMATCH);
	queue.token = grant->token;
	status = lockd_release_async(run.sessions[place], "threads/queue", grant->token, on_left, NULL, NULL);
	if (status != LOCKD_OK)
		die("release_async", status);
}

static void serve_queue(void) {
	time_t end = time(NULL) + PATIENCE_MS / 1000;

	for (unsigned i = 0; i < run.n_sessions; i++) {
		enum lockd_status status = lockd_acquire_async(run.sessions[i], "threads/queue", NULL, LOCKD_FOREVER,
							       on_turn, &run.sessions[i], NULL);
		if (status != LOCKD_OK)
			die("queueing", status);
	}
	while (atomic_load(&queue.finished) < run.n_sessions) {
		if (time(NULL) > end)
			die("the queue does not end", LOCKD_DEADLINE);
		usleep(1000);
	}
}

/* ---- Beginning and end ------------------------------------------------------------------------------------------ */

static void open_sessions(void) {
	const struct lockd_session_options options = {.ttl_ms = TTL_MS, .label = "threads"};

	for (unsigned i = 0; i < run.n_sessions; i++) {
		enum lockd_status status = lockd_session_open(run.client, &options, PATIENCE_MS, &run.sessions[i]);
		if (status != LOCKD_OK)
			die("opening a session", status);
	}
}

/* Every outcome is known by then, so nothing may come later. */
static void expect_nothing_held(void) {
	struct lockd_lock_list *locks;
	enum lockd_status status = lockd_list(run.client, "threads/", NULL, PATIENCE_MS, &locks);

	if (status != LOCKD_OK)
		die("list", status);
	if (locks->n > 0) {
		fprintf(stderr, "threads: %s is held by %s, %u wait\n", locks->locks[0].name, locks->locks[0].holder.id,
			locks->locks[0].waiting);
		_exit(1);
	}
	lockd_lock_list_free(locks);
}

static void print_result(void) {
	printf("%lu grants, %lu unknown and resolved, %lu cancelled, %lu refused, %lu events\n",
	       atomic_load(&run.grants), atomic_load(&run.unknown), atomic_load(&run.cancelled),
	       atomic_load(&run.refused), atomic_load(&run.events));
	fflush(stdout);
}

int main(int argc, char **argv) {
	static struct worker workers[THREADS_MAX];
	struct lockd_observation *observation;
	uint64_t observed = 0;
	unsigned n_threads;

	if (argc != 4)
		return 64;
	n_threads = (unsigned)strtoul(argv[1], NULL, 10);
	run.end = time(NULL) + (time_t)strtoul(argv[2], NULL, 10);
	run.n_sessions = (unsigned)strtoul(argv[3], NULL, 10);
	if (n_threads == 0 || n_threads > THREADS_MAX || run.n_sessions == 0 || run.n_sessions > SESSIONS_MAX)
		return 64;

	if (lockd_open(NULL, &run.client) != LOCKD_OK)
		return 1;
	open_sessions();
	if (lockd_observe(run.client, "threads/0", 0, on_event, &observed, &observation) != LOCKD_OK)
		return 1;
	for (unsigned i = 0; i < n_threads; i++) {
		workers[i].seed = i + 1;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			return 1;
	}
	for (unsigned i = 0; i < n_threads; i++)
		pthread_join(workers[i].thread, NULL);
	lockd_observe_stop(observation);
	serve_queue();
	expect_nothing_held();
	print_result();
	for (unsigned i = 0; i < run.n_sessions; i++)
		if (lockd_session_close(run.sessions[i], PATIENCE_MS) != LOCKD_OK)
			return 1;
	lockd_close(run.client);
	return 0;
}
