/* SPDX-License-Identifier: Apache-2.0 */
/* One lock that goes from hand to hand. handoff: all sessions queue for it, over and over. wait: one holds it while all
 * others wait, each once. */
#include "bench/load/lockd_fleet.h"
#include "bench/load/lockd_workloads.h"
#include "bench/load/report.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_MS = 30000, LOOK_AGAIN_S_TENTHS = 2 };

/* Whoever holds the lock has the figures for itself, from its grant until it asks for the release; `held`, set behind
 * the one and cleared before the other, makes that so within this process too. */
struct baton {
	struct fleet fleet;
	char name[FLEET_NAME_BYTES];
	bool queues_again;
	atomic_bool held;
	atomic_int waiting;  /* of wait: that have not been granted it yet */
	int64_t released_ns; /* start of the last release; 0: there was none */
	uint64_t token;
	struct latency handoff;
	uint64_t done;
};

struct runner {
	struct baton *baton;
	struct lockd_session *session;
};

static void queue(struct runner *runner);

/* At the end of wait the sessions are closed, whatever they have under way and whoever is granted the lock by that. */
static bool is_end(struct baton *baton) {
	return !baton->queues_again && atomic_load(&baton->fleet.phase) == FLEET_OVER;
}

static void on_released(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct runner *runner = user;

	(void)grant;
	if (is_end(runner->baton))
		return;
	if (status != LOCKD_OK)
		fleet_fail(NULL, "release", status);
	if (runner->baton->queues_again)
		queue(runner);
}

static void take(struct baton *baton, uint64_t token) {
	if (atomic_exchange(&baton->held, true))
		fleet_fail_because(baton->name, "it was granted while another session holds it");
	if (token <= baton->token)
		fleet_fail_because(baton->name, "it was granted under a token that is not greater than the last one");
	baton->token = token;
	if (baton->released_ns == 0 || atomic_load(&baton->fleet.phase) != FLEET_MEASURE)
		return;
	latency_add(&baton->handoff, latency_now_ns() - baton->released_ns);
	baton->done++;
}

static void pass_on(struct runner *runner, uint64_t token) {
	struct baton *baton = runner->baton;
	enum lockd_status status;
	uint64_t sequence;

	baton->released_ns = latency_now_ns();
	atomic_store(&baton->held, false);
	status = lockd_release_async(runner->session, baton->name, token, on_released, runner, &sequence);
	if (status != LOCKD_OK)
		fleet_fail(NULL, "release", status);
}

static void on_granted(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct runner *runner = user;
	struct baton *baton = runner->baton;

	if (is_end(baton)) {
		(void)sem_post(&baton->fleet.ended);
		return;
	}
	if (status != LOCKD_OK)
		fleet_fail(NULL, "acquire", status);
	take(baton, grant->token);
	pass_on(runner, grant->token);
	if (!baton->queues_again && atomic_fetch_sub(&baton->waiting, 1) == 1)
		(void)sem_post(&baton->fleet.ended);
}

static void queue(struct runner *runner) {
	struct baton *baton = runner->baton;
	enum lockd_status status;
	uint64_t sequence;

	if (atomic_load(&baton->fleet.phase) == FLEET_OVER) {
		(void)sem_post(&baton->fleet.ended);
		return;
	}
	status = lockd_acquire_async(runner->session, baton->name, NULL, LOCKD_FOREVER, on_granted, runner, &sequence);
	if (status != LOCKD_OK)
		fleet_fail(NULL, "acquire", status);
}

static struct runner *runners_new(struct baton *baton) {
	struct runner *runners = fleet_alloc((size_t)baton->fleet.n_sessions, sizeof *runners);

	for (int i = 0; i < baton->fleet.n_sessions; i++)
		runners[i] = (struct runner){.baton = baton, .session = baton->fleet.sessions[i]};
	return runners;
}

static void print(struct baton *baton, double seconds) {
	struct report report = report_begin(stdout, baton->fleet.options, seconds);

	report_rate(&report, baton->done, seconds);
	report_latency(&report, "handoff_us", &baton->handoff);
	report_end(&report);
}

void lockd_handoff(const struct options *options) {
	static struct baton baton;
	struct runner *runners;
	double seconds;

	fleet_open(&baton.fleet, options, options->sessions);
	(void)snprintf(baton.name, sizeof baton.name, "%s/handoff", options->prefix);
	baton.queues_again = true;
	runners = runners_new(&baton);
	for (int i = 0; i < options->sessions; i++)
		queue(&runners[i]);
	seconds = fleet_run(&baton.fleet);
	fleet_drain(&baton.fleet, options->sessions);
	print(&baton, seconds);
	fleet_close(&baton.fleet);
	free(runners);
}

/* ---- wait ------------------------------------------------------------------------------------------------------- */

/* The cluster knows who waits; the list has one row, for the lock. */
static uint32_t count_waiting(struct baton *baton) {
	struct lockd_client *client = baton->fleet.clients[0];
	struct lockd_lock_list *list;
	enum lockd_status status = lockd_list(client, baton->name, NULL, LIST_MS, &list);
	uint32_t waiting;

	if (status != LOCKD_OK)
		fleet_fail(client, "listing the lock", status);
	waiting = list->n > 0 ? list->locks[0].waiting : 0;
	lockd_lock_list_free(list);
	return waiting;
}

static void wait_for_queue(struct baton *baton, uint32_t n) {
	while (count_waiting(baton) < n)
		fleet_sleep(LOOK_AGAIN_S_TENTHS / 10.0);
}

static void wait_for_go(void) {
	char line[16];

	while (fgets(line, sizeof line, stdin))
		if (strcmp(line, "go\n") == 0)
			return;
	fleet_fail_because("stdin", "it was closed before a line 'go'");
}

/* Returns the token. */
static uint64_t hold_first(struct baton *baton, struct runner *holder) {
	struct lockd_grant grant;
	enum lockd_status status = lockd_acquire(holder->session, baton->name, NULL, LOCKD_FOREVER, LIST_MS, &grant);

	if (status != LOCKD_OK)
		fleet_fail(baton->fleet.clients[0], "acquire", status);
	baton->token = grant.token;
	return grant.token;
}

void lockd_wait(const struct options *options) {
	static struct baton baton;
	struct runner *runners;
	uint64_t token;
	int64_t began;

	fleet_open(&baton.fleet, options, options->sessions + 1);
	(void)snprintf(baton.name, sizeof baton.name, "%s/wait", options->prefix);
	atomic_store(&baton.waiting, options->sessions);
	runners = runners_new(&baton);
	token = hold_first(&baton, &runners[options->sessions]);
	for (int i = 0; i < options->sessions; i++)
		queue(&runners[i]);
	wait_for_queue(&baton, (uint32_t)options->sessions);
	printf("{\"waiting\": %d}\n", options->sessions);
	(void)fflush(stdout);
	wait_for_go();
	began = latency_now_ns();
	atomic_store(&baton.fleet.phase, FLEET_MEASURE);
	pass_on(&runners[options->sessions], token);
	if (!fleet_await(&baton.fleet, options->seconds)) {
		atomic_store(&baton.fleet.phase, FLEET_OVER);
		fleet_drain(&baton.fleet, 1); /* who is granted it next does not hand it on */
	}
	print(&baton, (double)(latency_now_ns() - began) / 1e9);
	atomic_store(&baton.fleet.phase, FLEET_OVER);
	fleet_close(&baton.fleet);
	free(runners);
}
