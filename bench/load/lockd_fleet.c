/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load/lockd_fleet.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	/* An open waits for a commit, and a commit carries all that have come meanwhile. */
	OPENERS_MAX = 256,
	OPENER_STACK_BYTES = 256 << 10,
	/* The first open finds out whether there is a cluster. */
	FIRST_OPEN_MS = 5000,
	OPEN_MS = 60000,
	CLOSE_MS = 10000,
	DRAIN_S = 60,
};

_Noreturn void fleet_fail_because(const char *what, const char *why) {
	static atomic_flag failed = ATOMIC_FLAG_INIT;

	while (atomic_flag_test_and_set(&failed))
		(void)pause(); /* another thread is about to end the process */
	fprintf(stderr, "load-lockd: %s: %s\n", what, why);
	_exit(OPTIONS_EXIT_FAILED);
}

_Noreturn void fleet_fail(struct lockd_client *client, const char *what, enum lockd_status status) {
	char last[256] = "", why[384];

	if (client)
		lockd_last_error(client, last, sizeof last);
	(void)snprintf(why, sizeof why, "%s%s%s", lockd_status_text(status), *last ? "; " : "", last);
	fleet_fail_because(what, why);
}

void *fleet_alloc(size_t n, size_t size) {
	void *memory = calloc(n, size);

	if (!memory)
		fleet_fail_because("memory", "there is not enough");
	return memory;
}

static struct timespec timespec_of(int64_t ns) {
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

void fleet_sleep(double seconds) {
	const struct timespec until = timespec_of(latency_now_ns() + (int64_t)(seconds * 1e9));

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

int fleet_handle_of(const struct fleet *fleet, int session) {
	return session % fleet->options->handles;
}

static void on_state(void *user, struct lockd_session *session, enum lockd_session_state state) {
	struct fleet *fleet = user;

	(void)session;
	if (state == LOCKD_EXPIRED)
		atomic_fetch_add(&fleet->expired, 1);
}

/* ---- Many at a time --------------------------------------------------------------------------------------------- */

struct gang {
	struct fleet *fleet;
	void (*work)(struct fleet *fleet, int session);
	atomic_int next;
};

static void *gang_run(void *user) {
	struct gang *gang = user;
	int session;

	while ((session = atomic_fetch_add(&gang->next, 1)) < gang->fleet->n_sessions)
		gang->work(gang->fleet, session);
	return NULL;
}

static void for_each_session(struct fleet *fleet, int first, void (*work)(struct fleet *fleet, int session)) {
	struct gang gang = {.fleet = fleet, .work = work, .next = first};
	pthread_t threads[OPENERS_MAX];
	pthread_attr_t attributes;
	int n = 0;

	if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstacksize(&attributes, OPENER_STACK_BYTES) != 0)
		fleet_fail_because("threads", "cannot be set up");
	while (n < OPENERS_MAX && n < fleet->n_sessions - first) {
		if (pthread_create(&threads[n], &attributes, gang_run, &gang) != 0)
			fleet_fail_because("threads", "cannot be started");
		n++;
	}
	for (int i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	(void)pthread_attr_destroy(&attributes);
}

static void open_within(struct fleet *fleet, int session, int timeout_ms) {
	const struct lockd_session_options options = {
		.ttl_ms = fleet->options->ttl_ms,
		.label = fleet->options->prefix,
		.on_state = on_state,
		.user = fleet,
	};
	struct lockd_client *client = fleet->clients[fleet_handle_of(fleet, session)];
	enum lockd_status status = lockd_session_open(client, &options, timeout_ms, &fleet->sessions[session]);

	if (status != LOCKD_OK)
		fleet_fail(client, "opening a session", status);
}

static void open_one(struct fleet *fleet, int session) {
	open_within(fleet, session, OPEN_MS);
}

/* One that cannot be closed is ended by the cluster after its TTL. */
static void close_one(struct fleet *fleet, int session) {
	(void)lockd_session_close(fleet->sessions[session], CLOSE_MS);
}

/* ---- Life ------------------------------------------------------------------------------------------------------- */

void fleet_open(struct fleet *fleet, const struct options *options, int n_sessions) {
	const struct lockd_options given = {.endpoints = options->endpoints};

	*fleet = (struct fleet){.options = options, .n_sessions = n_sessions};
	if (sem_init(&fleet->ended, 0, 0) < 0)
		fleet_fail_because("semaphore", "cannot be made");
	fleet->clients = fleet_alloc((size_t)options->handles, sizeof(struct lockd_client *));
	fleet->sessions = fleet_alloc((size_t)n_sessions, sizeof(struct lockd_session *));
	for (int i = 0; i < options->handles; i++) {
		enum lockd_status status = lockd_open(&given, &fleet->clients[i]);

		if (status == LOCKD_MISUSE) {
			fprintf(stderr, "load-lockd: --endpoints: '%s' is malformed\n", options->endpoints);
			exit(OPTIONS_EXIT_USAGE);
		}
		if (status != LOCKD_OK)
			fleet_fail(NULL, "opening a handle", status);
	}
	open_within(fleet, 0, FIRST_OPEN_MS);
	for_each_session(fleet, 1, open_one);
}

void fleet_close(struct fleet *fleet) {
	for_each_session(fleet, 0, close_one);
	fleet_abandon(fleet);
}

void fleet_abandon(struct fleet *fleet) {
	for (int i = 0; i < fleet->options->handles; i++)
		lockd_close(fleet->clients[i]);
	free(fleet->sessions);
	free(fleet->clients);
	(void)sem_destroy(&fleet->ended);
}

double fleet_run(struct fleet *fleet) {
	int64_t began;

	fleet_sleep(fleet->options->warmup);
	began = latency_now_ns();
	atomic_store(&fleet->phase, FLEET_MEASURE);
	fleet_sleep(fleet->options->seconds);
	atomic_store(&fleet->phase, FLEET_OVER);
	return (double)(latency_now_ns() - began) / 1e9;
}

bool fleet_await(struct fleet *fleet, double seconds) {
	const struct timespec until = timespec_of(latency_now_ns() + (int64_t)(seconds * 1e9));
	int r;

	do
		r = sem_clockwait(&fleet->ended, CLOCK_MONOTONIC, &until);
	while (r < 0 && errno == EINTR);
	return r == 0;
}

void fleet_drain(struct fleet *fleet, int n) {
	for (int i = 0; i < n; i++)
		if (!fleet_await(fleet, DRAIN_S))
			fleet_fail_because("the end", "some operations are still unanswered");
}
