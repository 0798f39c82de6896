/* SPDX-License-Identifier: Apache-2.0 */
/* flood: from every session as many try-acquires at once as the library sends, and beside them a polite session with a
 * handle of its own, which should hardly notice. It is alone during the warm-up, for comparison. */
#include "bench/load/lockd_fleet.h"
#include "bench/load/lockd_workloads.h"
#include "bench/load/report.h"
#include "bench/load/scrape.h"

#include <stdlib.h>

enum {
	TRIES_PER_SESSION = 32,
	/* A handle takes 65536 requests at once. */
	SESSIONS_PER_HANDLE_MAX = 65536 / TRIES_PER_SESSION,
	OPEN_MS = 10000,
};

/* What one handle counts; its callbacks run one at a time. */
struct lane {
	struct latency answer;
	uint64_t ok, held, other;
};

/* The same names in every session, so that most tries find the lock held, as those of a program that polls do. */
struct try {
	struct fleet *fleet;
	struct lane *lane;
	struct lockd_session *session;
	char name[FLEET_NAME_BYTES];
	int64_t asked_ns;
};

static void try_again(struct try *try);

/* Whose session has ended asks no more: that may happen to a program that asks for more than it can be answered. */
static void give_up(struct try *try) {
	(void)sem_post(&try->fleet->ended);
}

static void on_given_back(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	(void)grant;
	if (status == LOCKD_SESSION_EXPIRED)
		give_up(user);
	else if (status != LOCKD_OK)
		fleet_fail(NULL, "release", status);
	else
		try_again(user);
}

static void count(struct try *try, enum lockd_status status) {
	struct lane *lane = try->lane;

	latency_add(&lane->answer, latency_now_ns() - try->asked_ns);
	if (status == LOCKD_OK)
		lane->ok++;
	else if (status == LOCKD_HELD)
		lane->held++;
	else
		lane->other++;
}

static void on_answered(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct try *try = user;
	uint64_t sequence;

	if (status == LOCKD_SESSION_EXPIRED) {
		give_up(try);
		return;
	}
	if (status == LOCKD_CLOSED)
		fleet_fail(NULL, "try", status);
	if (atomic_load(&try->fleet->phase) == FLEET_MEASURE)
		count(try, status);
	if (status != LOCKD_OK) {
		try_again(try);
		return;
	}
	status = lockd_release_async(try->session, try->name, grant->token, on_given_back, try, &sequence);
	if (status == LOCKD_SESSION_EXPIRED)
		give_up(try);
	else if (status != LOCKD_OK)
		fleet_fail(NULL, "release", status);
}

static void try_again(struct try *try) {
	enum lockd_status status;
	uint64_t sequence;

	if (atomic_load(&try->fleet->phase) == FLEET_OVER) {
		give_up(try);
		return;
	}
	try->asked_ns = latency_now_ns();
	status = lockd_acquire_async(try->session, try->name, NULL, LOCKD_TRY, on_answered, try, &sequence);
	if (status == LOCKD_SESSION_EXPIRED)
		give_up(try);
	else if (status != LOCKD_OK)
		fleet_fail(NULL, "try", status);
}

/* ---- The polite session ----------------------------------------------------------------------------------------- */

struct polite {
	struct fleet *fleet;
	struct lockd_client *client;
	struct lockd_session *session;
	char name[FLEET_NAME_BYTES];
	int64_t asked_ns;
	enum fleet_phase asked_in;
	struct latency quiet, flooded;
};

static void polite_acquire(struct polite *polite);

static void on_polite_released(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	(void)grant;
	if (status != LOCKD_OK)
		fleet_fail(NULL, "release of the polite session", status);
	polite_acquire(user);
}

static void on_polite_acquired(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct polite *polite = user;
	uint64_t sequence;

	if (status != LOCKD_OK)
		fleet_fail(NULL, "acquire of the polite session", status);
	latency_add(polite->asked_in == FLEET_WARMUP ? &polite->quiet : &polite->flooded,
		    latency_now_ns() - polite->asked_ns);
	status =
		lockd_release_async(polite->session, polite->name, grant->token, on_polite_released, polite, &sequence);
	if (status != LOCKD_OK)
		fleet_fail(NULL, "release of the polite session", status);
}

static void polite_acquire(struct polite *polite) {
	enum lockd_status status;
	uint64_t sequence;

	polite->asked_in = atomic_load(&polite->fleet->phase);
	if (polite->asked_in == FLEET_OVER) {
		(void)sem_post(&polite->fleet->ended);
		return;
	}
	polite->asked_ns = latency_now_ns();
	status = lockd_acquire_async(polite->session, polite->name, NULL, LOCKD_FOREVER, on_polite_acquired, polite,
				     &sequence);
	if (status != LOCKD_OK)
		fleet_fail(NULL, "acquire of the polite session", status);
}

static void polite_open(struct polite *polite, struct fleet *fleet) {
	const struct lockd_options given = {.endpoints = fleet->options->endpoints};
	const struct lockd_session_options session = {.ttl_ms = fleet->options->ttl_ms, .label = "polite"};
	enum lockd_status status = lockd_open(&given, &polite->client);

	if (status == LOCKD_OK)
		status = lockd_session_open(polite->client, &session, OPEN_MS, &polite->session);
	if (status != LOCKD_OK)
		fleet_fail(polite->client, "opening the polite session", status);
	polite->fleet = fleet;
	(void)snprintf(polite->name, sizeof polite->name, "%s/polite", fleet->options->prefix);
}

static void polite_close(struct polite *polite) {
	(void)lockd_session_close(polite->session, OPEN_MS);
	lockd_close(polite->client);
}

/* ---- The run ---------------------------------------------------------------------------------------------------- */

/* Refusals do not come to callbacks: the library asks again. So the nodes are asked how many they gave. */
static uint64_t count_busy(const struct options *options) {
	uint64_t count = 0;
	char why[256];

	if (options->metrics &&
	    scrape_sum(options->metrics, "lockd_replies_total{status=\"BUSY\"}", why, sizeof why, &count) < 0)
		fleet_fail_because("--metrics", why);
	return count;
}

static struct try *tries_new(struct fleet *fleet, struct lane *lanes) {
	int n = fleet->n_sessions * TRIES_PER_SESSION;
	struct try *tries = fleet_alloc((size_t)n, sizeof *tries);

	for (int i = 0; i < n; i++) {
		int session = i % fleet->n_sessions;

		tries[i].fleet = fleet;
		tries[i].lane = &lanes[fleet_handle_of(fleet, session)];
		tries[i].session = fleet->sessions[session];
		(void)snprintf(tries[i].name, sizeof tries[i].name, "%s/flood/%d", fleet->options->prefix,
			       i / fleet->n_sessions);
	}
	return tries;
}

static void merge(struct lane *lanes, int n) {
	for (int i = 1; i < n; i++) {
		latency_merge(&lanes[0].answer, &lanes[i].answer);
		lanes[0].ok += lanes[i].ok;
		lanes[0].held += lanes[i].held;
		lanes[0].other += lanes[i].other;
	}
}

static void print(const struct options *options, double seconds, const struct lane *lane, uint64_t busy,
		  uint64_t expired, const struct polite *polite) {
	struct report report = report_begin(stdout, options, seconds);

	report_rate(&report, lane->answer.count, seconds);
	report_count(&report, "ok", lane->ok);
	report_count(&report, "held", lane->held);
	report_count(&report, "other", lane->other);
	if (options->metrics)
		report_count(&report, "busy", busy);
	else
		report_unknown(&report, "busy");
	report_count(&report, "expired", expired);
	report_latency(&report, "try_us", &lane->answer);
	report_latency(&report, "polite_us", &polite->flooded);
	report_latency(&report, "quiet_us", &polite->quiet);
	report_end(&report);
}

static void refuse_too_few_handles(const struct options *options) {
	if (options->sessions <= options->handles * SESSIONS_PER_HANDLE_MAX)
		return;
	fprintf(stderr, "load-lockd: --handles: flood wants one for %d sessions at least\n", SESSIONS_PER_HANDLE_MAX);
	exit(OPTIONS_EXIT_USAGE);
}

void lockd_flood(const struct options *options) {
	static struct polite polite;
	struct lane *lanes;
	struct fleet fleet;
	struct try *tries;
	uint64_t busy;
	int64_t began;
	double seconds;

	refuse_too_few_handles(options);
	lanes = fleet_alloc((size_t)options->handles, sizeof *lanes);
	fleet_open(&fleet, options, options->sessions);
	polite_open(&polite, &fleet);
	tries = tries_new(&fleet, lanes);
	polite_acquire(&polite);
	fleet_sleep(options->warmup);
	busy = count_busy(options);
	began = latency_now_ns();
	atomic_store(&fleet.phase, FLEET_MEASURE);
	for (int i = 0; i < options->sessions * TRIES_PER_SESSION; i++)
		try_again(&tries[i]);
	fleet_sleep(options->seconds - (double)(latency_now_ns() - began) / 1e9);
	atomic_store(&fleet.phase, FLEET_OVER);
	seconds = (double)(latency_now_ns() - began) / 1e9;
	busy = count_busy(options) - busy;
	fleet_drain(&fleet, options->sessions * TRIES_PER_SESSION + 1);
	merge(lanes, options->handles);
	print(options, seconds, lanes, busy, (uint64_t)atomic_load(&fleet.expired), &polite);
	polite_close(&polite);
	fleet_close(&fleet);
	free(tries);
	free(lanes);
}
