/* SPDX-License-Identifier: Apache-2.0 */
/* Load for the integration tests, on the public header only.
 *
 *   pairs N SESSIONS                 N acquire/release pairs, every session on locks of its own; tokens must grow
 *   pairs N SESSIONS --share L       all sessions on the same L locks, which none may hold together with another one
 *   pairs 0 SESSIONS --while FILE    as many pairs as there is time for while the file exists
 *   pairs N SESSIONS --hold PREFIX   acquires N locks named PREFIX0…, holds them until it is killed
 *   --value-bytes B                  size of the value that each lock carries
 *   --timeout-ms MS                  give up when nothing is answered for so long
 *
 * Prints how many, how fast, and the longest time in which none was finished. One handle, one outstanding request per
 * session. */
#include <lockd/lockd.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SESSIONS_MAX = 1024, LOCKS_PER_SESSION = 64, LOCKS_SHARED_MAX = 1024, VALUE_BYTES_MAX = 4096 };

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	long started, finished, wanted;
	const char *hold, *while_file;
	double moved_s, gap_s; /* when something was last finished; the longest time between two such */
	long share;            /* 0: every session has locks of its own */
	/* Of shared locks. Callbacks run one at a time, so nothing guards them. */
	struct {
		bool held;
		uint64_t token;
	} shared[LOCKS_SHARED_MAX];
	char value[VALUE_BYTES_MAX + 1];
	enum lockd_status failed; /* first failure */
} run = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct worker {
	struct lockd_session *session;
	int id;
	long turn;
	char name[64];
	uint64_t token, tokens[LOCKS_PER_SESSION];
};

static void acquire_next(struct worker *w);

static void stop(enum lockd_status status) {
	pthread_mutex_lock(&run.mutex);
	if (run.failed == LOCKD_OK)
		run.failed = status;
	pthread_cond_broadcast(&run.changed);
	pthread_mutex_unlock(&run.mutex);
}

static double now_s(void) {
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void finish_one(void) {
	double now = now_s();

	pthread_mutex_lock(&run.mutex);
	run.finished++;
	if (now - run.moved_s > run.gap_s)
		run.gap_s = now - run.moved_s;
	run.moved_s = now;
	pthread_cond_broadcast(&run.changed);
	pthread_mutex_unlock(&run.mutex);
}

static void on_released(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	(void)grant;
	if (status != LOCKD_OK) {
		stop(status);
		return;
	}
	finish_one();
	acquire_next(user);
}

static long shared_lock(const struct worker *w) {
	return (w->id + w->turn) % run.share;
}

/* false: it was granted while another one of us held it, or with a token that is not greater. */
static bool take_shared(struct worker *w, uint64_t token) {
	long lock = shared_lock(w);

	if (run.shared[lock].held || token <= run.shared[lock].token) {
		fprintf(stderr, "pairs: %s was granted with token %llu %s token %llu\n", w->name,
			(unsigned long long)token, run.shared[lock].held ? "while held under" : "after",
			(unsigned long long)run.shared[lock].token);
		return false;
	}
	run.shared[lock].held = true;
	run.shared[lock].token = token;
	return true;
}

static void on_acquired(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct worker *w = user;
	uint64_t *last = &w->tokens[w->turn % LOCKS_PER_SESSION];
	uint64_t sequence;

	if (status == LOCKD_OK && !run.hold && grant->token <= *last) {
		fprintf(stderr, "pairs: %s was granted with token %llu after %llu\n", w->name,
			(unsigned long long)grant->token, (unsigned long long)*last);
		status = LOCKD_MISMATCH;
	}
	if (status == LOCKD_OK && run.share && !take_shared(w, grant->token))
		status = LOCKD_MISMATCH;
	if (status != LOCKD_OK) {
		stop(status);
		return;
	}
	if (run.hold) {
		finish_one();
		acquire_next(w);
		return;
	}
	*last = grant->token;
	if (run.share) {
		*last = 0; /* the session comes by other locks in the same place */
		run.shared[shared_lock(w)].held = false;
	}
	status = lockd_release_async(w->session, w->name, grant->token, on_released, w, &sequence);
	if (status != LOCKD_OK)
		stop(status);
}

static void acquire_next(struct worker *w) {
	uint64_t sequence;
	enum lockd_status status;
	long turn;

	pthread_mutex_lock(&run.mutex);
	if (run.while_file && access(run.while_file, F_OK) != 0) {
		run.wanted = run.started;
		pthread_cond_broadcast(&run.changed);
	}
	turn = run.started < run.wanted ? run.started++ : -1;
	pthread_mutex_unlock(&run.mutex);
	if (turn < 0)
		return;

	w->turn++;
	if (run.hold)
		snprintf(w->name, sizeof w->name, "%s%ld", run.hold, turn);
	else if (run.share)
		snprintf(w->name, sizeof w->name, "pairs/%d/%ld", (int)getpid(), shared_lock(w));
	else
		snprintf(w->name, sizeof w->name, "pairs/%d/%ld/%ld", (int)getpid(), (long)w->id,
			 w->turn % LOCKS_PER_SESSION);
	status = lockd_acquire_async(w->session, w->name, run.value, LOCKD_FOREVER, on_acquired, w, &sequence);
	if (status != LOCKD_OK)
		stop(status);
}

/* Waits until all is finished or failed, or nothing has moved for timeout_ms. */
static enum lockd_status wait_for_the_end(long timeout_ms) {
	enum lockd_status status;
	long seen = -1;

	pthread_mutex_lock(&run.mutex);
	while (run.failed == LOCKD_OK && run.finished < run.wanted) {
		struct timespec until;

		seen = run.finished;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += timeout_ms / 1000 + 1;
		if (pthread_cond_timedwait(&run.changed, &run.mutex, &until) == ETIMEDOUT && run.finished == seen)
			run.failed = LOCKD_DEADLINE;
	}
	status = run.failed;
	pthread_mutex_unlock(&run.mutex);
	return status;
}

static int open_workers(struct lockd_client *client, struct worker *workers, int n) {
	for (int i = 0; i < n; i++) {
		const struct lockd_session_options options = {.ttl_ms = 30000, .label = "pairs"};
		enum lockd_status status = lockd_session_open(client, &options, 10000, &workers[i].session);

		if (status != LOCKD_OK) {
			char why[256];
			lockd_last_error(client, why, sizeof why);
			fprintf(stderr, "pairs: session %d: %s; %s\n", i, lockd_status_text(status), why);
			return -1;
		}
		workers[i].id = i;
	}
	return 0;
}

int main(int argc, char **argv) {
	static struct worker workers[SESSIONS_MAX];
	struct lockd_client *client;
	struct timespec began, ended;
	enum lockd_status status;
	long sessions, timeout_ms = 30000, value_bytes = 0;
	double seconds;

	if (argc < 3)
		return 64;
	run.wanted = strtol(argv[1], NULL, 10);
	sessions = strtol(argv[2], NULL, 10);
	for (int i = 3; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--hold") == 0)
			run.hold = argv[i + 1];
		else if (strcmp(argv[i], "--value-bytes") == 0)
			value_bytes = strtol(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--share") == 0)
			run.share = strtol(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--while") == 0)
			run.while_file = argv[i + 1];
		else if (strcmp(argv[i], "--timeout-ms") == 0)
			timeout_ms = strtol(argv[i + 1], NULL, 10);
	}
	if (run.while_file)
		run.wanted = LONG_MAX;
	if (run.wanted <= 0 || run.share < 0 || run.share > LOCKS_SHARED_MAX || sessions <= 0 ||
	    sessions > SESSIONS_MAX || value_bytes < 0 || value_bytes > VALUE_BYTES_MAX)
		return 64;
	memset(run.value, 'v', (size_t)value_bytes);

	if (lockd_open(NULL, &client) != LOCKD_OK || open_workers(client, workers, (int)sessions) < 0)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &began);
	run.moved_s = now_s();
	for (int i = 0; i < sessions; i++)
		acquire_next(&workers[i]);
	status = wait_for_the_end(timeout_ms);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	pthread_mutex_lock(&run.mutex); /* others go on where one has failed */
	seconds = (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
	printf("%ld of %ld in %.1f s: %.0f/s, longest gap %.0f ms\n", run.finished, run.wanted, seconds,
	       (double)run.finished / seconds, run.gap_s * 1000);
	fflush(stdout);
	pthread_mutex_unlock(&run.mutex);
	if (status != LOCKD_OK) {
		fprintf(stderr, "pairs: %s (%s)\n", lockd_status_text(status), lockd_status_name(status));
		_exit(1);
	}
	if (run.hold)
		pause();
	for (int i = 0; i < sessions; i++)
		lockd_session_close(workers[i].session, 5000);
	lockd_close(client);
	return 0;
}
