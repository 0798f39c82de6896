/* SPDX-License-Identifier: Apache-2.0 */
/* pairs: every session acquires and releases a lock of its own, with callbacks or, one thread for each, by blocking
 * calls. */
#include "bench/load/lockd_fleet.h"
#include "bench/load/lockd_workloads.h"
#include "bench/load/report.h"

#include <pthread.h>
#include <stdlib.h>

/* What is counted together. Callbacks of one handle run one at a time, and a thread of its own is alone anyway, so
 * nothing guards it. */
struct lane {
	struct latency acquire, release;
	uint64_t done;
};

struct pair {
	struct fleet *fleet;
	struct lockd_session *session;
	struct lockd_client *client;
	struct lane *lane;
	char name[FLEET_NAME_BYTES];
	uint64_t token;
	int64_t asked_ns;
	pthread_t thread; /* --api blocking */
};

static void take_token(struct pair *pair, const struct lockd_grant *grant) {
	if (grant->token <= pair->token)
		fleet_fail_because(pair->name, "it was granted under a token that is not greater than the last one");
	pair->token = grant->token;
}

/* ---- Callbacks -------------------------------------------------------------------------------------------------- */

static void acquire(struct pair *pair);

static void on_released(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct pair *pair = user;

	(void)grant;
	if (status != LOCKD_OK)
		fleet_fail(NULL, "release", status);
	if (atomic_load(&pair->fleet->phase) == FLEET_MEASURE) {
		latency_add(&pair->lane->release, latency_now_ns() - pair->asked_ns);
		pair->lane->done++;
	}
	acquire(pair);
}

static void on_acquired(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct pair *pair = user;
	int64_t now = latency_now_ns();
	uint64_t sequence;

	if (status != LOCKD_OK)
		fleet_fail(NULL, "acquire", status);
	take_token(pair, grant);
	if (atomic_load(&pair->fleet->phase) == FLEET_MEASURE)
		latency_add(&pair->lane->acquire, now - pair->asked_ns);
	pair->asked_ns = now;
	status = lockd_release_async(pair->session, pair->name, pair->token, on_released, pair, &sequence);
	if (status != LOCKD_OK)
		fleet_fail(NULL, "release", status);
}

static void acquire(struct pair *pair) {
	enum lockd_status status;
	uint64_t sequence;

	if (atomic_load(&pair->fleet->phase) == FLEET_OVER) {
		(void)sem_post(&pair->fleet->ended);
		return;
	}
	pair->asked_ns = latency_now_ns();
	status = lockd_acquire_async(pair->session, pair->name, NULL, LOCKD_FOREVER, on_acquired, pair, &sequence);
	if (status != LOCKD_OK)
		fleet_fail(NULL, "acquire", status);
}

/* ---- Blocking calls --------------------------------------------------------------------------------------------- */

static void pair_block(struct pair *pair) {
	int64_t asked = latency_now_ns(), granted, released;
	struct lockd_grant grant;
	enum lockd_status status;

	status = lockd_acquire(pair->session, pair->name, NULL, LOCKD_FOREVER, LOCKD_FOREVER, &grant);
	if (status != LOCKD_OK)
		fleet_fail(pair->client, "acquire", status);
	granted = latency_now_ns();
	take_token(pair, &grant);
	status = lockd_release(pair->session, pair->name, grant.token, LOCKD_FOREVER);
	if (status != LOCKD_OK)
		fleet_fail(pair->client, "release", status);
	released = latency_now_ns();
	if (atomic_load(&pair->fleet->phase) != FLEET_MEASURE)
		return;
	latency_add(&pair->lane->acquire, granted - asked);
	latency_add(&pair->lane->release, released - granted);
	pair->lane->done++;
}

static void *run_blocking(void *user) {
	struct pair *pair = user;

	while (atomic_load(&pair->fleet->phase) != FLEET_OVER)
		pair_block(pair);
	(void)sem_post(&pair->fleet->ended);
	return NULL;
}

/* ---- The run ---------------------------------------------------------------------------------------------------- */

static void start(struct pair *pairs, const struct options *options) {
	for (int i = 0; i < options->sessions; i++) {
		if (options->api == OPTIONS_COMPLETION)
			acquire(&pairs[i]);
		else if (pthread_create(&pairs[i].thread, NULL, run_blocking, &pairs[i]) != 0)
			fleet_fail_because("threads", "cannot be started");
	}
}

static struct pair *pairs_new(struct fleet *fleet, struct lane *lanes) {
	const struct options *options = fleet->options;
	struct pair *pairs = fleet_alloc((size_t)options->sessions, sizeof *pairs);

	for (int i = 0; i < options->sessions; i++) {
		int handle = fleet_handle_of(fleet, i);

		pairs[i].fleet = fleet;
		pairs[i].session = fleet->sessions[i];
		pairs[i].client = fleet->clients[handle];
		pairs[i].lane = &lanes[options->api == OPTIONS_BLOCKING ? i : handle];
		(void)snprintf(pairs[i].name, sizeof pairs[i].name, "%s/pairs/%d", options->prefix, i);
	}
	return pairs;
}

static void print(const struct options *options, double seconds, struct lane *lanes, int n_lanes) {
	struct report report = report_begin(stdout, options, seconds);

	for (int i = 1; i < n_lanes; i++) {
		latency_merge(&lanes[0].acquire, &lanes[i].acquire);
		latency_merge(&lanes[0].release, &lanes[i].release);
		lanes[0].done += lanes[i].done;
	}
	report_rate(&report, lanes[0].done, seconds);
	report_latency(&report, "acquire_us", &lanes[0].acquire);
	report_latency(&report, "release_us", &lanes[0].release);
	report_end(&report);
}

void lockd_pairs(const struct options *options) {
	int n_lanes = options->api == OPTIONS_BLOCKING ? options->sessions : options->handles;
	struct lane *lanes = fleet_alloc((size_t)n_lanes, sizeof *lanes);
	struct fleet fleet;
	struct pair *pairs;
	double seconds;

	fleet_open(&fleet, options, options->sessions);
	pairs = pairs_new(&fleet, lanes);
	start(pairs, options);
	seconds = fleet_run(&fleet);
	fleet_drain(&fleet, options->sessions);
	for (int i = 0; options->api == OPTIONS_BLOCKING && i < options->sessions; i++)
		(void)pthread_join(pairs[i].thread, NULL);
	print(options, seconds, lanes, n_lanes);
	fleet_close(&fleet);
	free(pairs);
	free(lanes);
}
