/* SPDX-License-Identifier: Apache-2.0 */
/* counts-load: load in exact portions, so that what a portion costs can be counted around it.
 *
 *   counts-load SESSIONS HANDLES TTL_MS     endpoints from LOCKD_ENDPOINTS
 *
 * Opens the sessions, spread over the handles, and prints "ready". Then each line "pairs N" on stdin makes every
 * session acquire and release a lock of its own N times, one request at a time, and is answered by "done"; a line
 * "safe" by "safe N", the number of sessions whose lease runs. At the end of stdin it closes what it has opened. 1: an
 * operation failed; 64: wrong arguments. */
#include <lockd/lockd.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SESSIONS_MAX = 4096, HANDLES_MAX = 64, TIMEOUT_MS = 30000 };

struct worker {
	struct lockd_session *session;
	char name[32];
	long left; /* pairs of this portion */
};

struct handle {
	struct lockd_client *client;
	struct worker *workers;
	long n_workers;
	pthread_t thread;
};

static struct {
	struct worker workers[SESSIONS_MAX];
	struct handle handles[HANDLES_MAX];
	long n_workers, n_handles;
	uint32_t ttl_ms;
	pthread_mutex_t mutex; /* protects `busy` */
	pthread_cond_t idle;
	long busy; /* workers that have pairs left */
} load = {.mutex = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

/* Sessions are left to expire: nobody counts behind a failure. */
static _Noreturn void fail(const char *what, enum lockd_status status) {
	fprintf(stderr, "counts-load: %s: %s\n", what, lockd_status_text(status));
	_exit(1);
}

static void acquire(struct worker *worker);

static void finish(void) {
	pthread_mutex_lock(&load.mutex);
	if (--load.busy == 0)
		pthread_cond_signal(&load.idle);
	pthread_mutex_unlock(&load.mutex);
}

static void on_released(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct worker *worker = user;

	(void)grant;
	if (status != LOCKD_OK)
		fail("release", status);
	if (--worker->left > 0)
		acquire(worker);
	else
		finish();
}

static void on_acquired(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct worker *worker = user;
	uint64_t sequence;

	if (status == LOCKD_OK)
		status = lockd_release_async(worker->session, worker->name, grant->token, on_released, worker,
					     &sequence);
	if (status != LOCKD_OK)
		fail("acquire", status);
}

static void acquire(struct worker *worker) {
	uint64_t sequence;
	enum lockd_status status =
		lockd_acquire_async(worker->session, worker->name, NULL, LOCKD_FOREVER, on_acquired, worker, &sequence);

	if (status != LOCKD_OK)
		fail("acquire", status);
}

static void run_pairs(long n) {
	load.busy = load.n_workers;
	for (long i = 0; i < load.n_workers; i++)
		load.workers[i].left = n;
	for (long i = 0; i < load.n_workers; i++)
		acquire(&load.workers[i]);
	pthread_mutex_lock(&load.mutex);
	while (load.busy > 0)
		pthread_cond_wait(&load.idle, &load.mutex);
	pthread_mutex_unlock(&load.mutex);
}

static long count_safe(void) {
	long n = 0;

	for (long i = 0; i < load.n_workers; i++)
		n += lockd_session_get_state(load.workers[i].session) == LOCKD_SAFE;
	return n;
}

static void *open_handle(void *user) {
	struct handle *handle = user;
	const struct lockd_session_options options = {.ttl_ms = load.ttl_ms, .label = "counts"};
	enum lockd_status status = lockd_open(NULL, &handle->client);

	if (status != LOCKD_OK)
		fail("open", status);
	for (long i = 0; i < handle->n_workers; i++) {
		struct worker *worker = &handle->workers[i];

		status = lockd_session_open(handle->client, &options, TIMEOUT_MS, &worker->session);
		if (status != LOCKD_OK)
			fail("session", status);
		snprintf(worker->name, sizeof worker->name, "counts/%ld", (long)(worker - load.workers));
	}
	return NULL;
}

/* Sessions that were left to expire would write to the disks while others are counted. */
static void *close_handle(void *user) {
	struct handle *handle = user;

	for (long i = 0; i < handle->n_workers; i++) {
		enum lockd_status status = lockd_session_close(handle->workers[i].session, TIMEOUT_MS);

		if (status != LOCKD_OK && status != LOCKD_SESSION_EXPIRED)
			fail("close", status);
	}
	lockd_close(handle->client);
	return NULL;
}

static void share_out_sessions(void) {
	for (long i = 0; i < load.n_handles; i++) {
		struct handle *handle = &load.handles[i];
		long first = load.n_workers * i / load.n_handles, end = load.n_workers * (i + 1) / load.n_handles;

		handle->workers = &load.workers[first];
		handle->n_workers = end - first;
	}
}

/* A session takes a round trip to open or close. The handles work side by side, so that a thousand do not take long. */
static void for_each_handle(void *(*work)(void *handle)) {
	for (long i = 0; i < load.n_handles; i++)
		if (pthread_create(&load.handles[i].thread, NULL, work, &load.handles[i]) != 0)
			fail("thread", LOCKD_NO_MEMORY);
	for (long i = 0; i < load.n_handles; i++)
		pthread_join(load.handles[i].thread, NULL);
}

static void say(const char *word) {
	puts(word);
	fflush(stdout);
}

static void serve(void) {
	char line[64], answer[32];
	long n;

	while (fgets(line, sizeof line, stdin)) {
		if (strcmp(line, "safe\n") == 0) {
			snprintf(answer, sizeof answer, "safe %ld", count_safe());
			say(answer);
		} else if (sscanf(line, "pairs %ld", &n) == 1 && n > 0) {
			run_pairs(n);
			say("done");
		} else {
			fail("a line that is no command", LOCKD_MISUSE);
		}
	}
}

static bool read_arguments(int argc, char **argv) {
	if (argc != 4)
		return false;
	load.n_workers = strtol(argv[1], NULL, 10);
	load.n_handles = strtol(argv[2], NULL, 10);
	load.ttl_ms = (uint32_t)strtoul(argv[3], NULL, 10);
	return load.n_workers > 0 && load.n_workers <= SESSIONS_MAX && load.n_handles > 0 &&
	       load.n_handles <= HANDLES_MAX && load.n_handles <= load.n_workers;
}

int main(int argc, char **argv) {
	if (!read_arguments(argc, argv)) {
		fprintf(stderr, "usage: counts-load SESSIONS(1 to %d) HANDLES(1 to %d) TTL_MS\n", SESSIONS_MAX,
			HANDLES_MAX);
		return 64;
	}
	share_out_sessions();
	for_each_handle(open_handle);
	say("ready");
	serve();
	for_each_handle(close_handle);
	return 0;
}
