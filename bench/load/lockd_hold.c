/* SPDX-License-Identifier: Apache-2.0 */
/* Locks that stay held. hold: many over all sessions. idle: one for each session. */
#include "bench/load/lockd_fleet.h"
#include "bench/load/lockd_workloads.h"
#include "bench/load/report.h"

#include <stdlib.h>
#include <unistd.h>

/* What the library sends of one session at once; it would keep the others back. */
enum { ON_THE_WAY_MAX = 32 };

struct hoard {
	struct fleet fleet;
	int locks;
	atomic_int missing; /* locks that have not been granted yet */
};

/* Session i takes the locks i, i + n, i + 2n … of n sessions. */
struct hoarder {
	struct hoard *hoard;
	struct lockd_session *session;
	atomic_int next;
};

static void acquire_next(struct hoarder *hoarder);

static void on_acquired(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct hoarder *hoarder = user;

	(void)grant;
	if (status != LOCKD_OK)
		fleet_fail(NULL, "acquire", status);
	if (atomic_fetch_sub(&hoarder->hoard->missing, 1) == 1)
		(void)sem_post(&hoarder->hoard->fleet.ended);
	acquire_next(hoarder);
}

static void acquire_next(struct hoarder *hoarder) {
	struct hoard *hoard = hoarder->hoard;
	const struct options *options = hoard->fleet.options;
	int lock = atomic_fetch_add(&hoarder->next, hoard->fleet.n_sessions);
	char name[FLEET_NAME_BYTES];
	enum lockd_status status;
	uint64_t sequence;

	if (lock >= hoard->locks)
		return;
	(void)snprintf(name, sizeof name, "%s/%s/%d", options->prefix, options->workload, lock);
	status = lockd_acquire_async(hoarder->session, name, NULL, LOCKD_FOREVER, on_acquired, hoarder, &sequence);
	if (status != LOCKD_OK)
		fleet_fail(NULL, "acquire", status);
}

static void acquire_all(struct hoard *hoard) {
	struct hoarder *hoarders = fleet_alloc((size_t)hoard->fleet.n_sessions, sizeof *hoarders);

	for (int i = 0; i < hoard->fleet.n_sessions; i++) {
		hoarders[i].hoard = hoard;
		hoarders[i].session = hoard->fleet.sessions[i];
		atomic_store(&hoarders[i].next, i);
	}
	for (int n = 0; n < ON_THE_WAY_MAX; n++)
		for (int i = 0; i < hoard->fleet.n_sessions; i++)
			acquire_next(&hoarders[i]);
	/* However many they are: only a failure, which ends the process, stops them. */
	while (!fleet_await(&hoard->fleet, 1))
		;
	free(hoarders);
}

/* Opens the sessions, acquires, and prints the line. */
static void gather(struct hoard *hoard, const struct options *options, int locks) {
	struct report report;
	int64_t began;
	double seconds;

	fleet_open(&hoard->fleet, options, options->sessions);
	hoard->locks = locks;
	atomic_store(&hoard->missing, locks);
	began = latency_now_ns();
	acquire_all(hoard);
	seconds = (double)(latency_now_ns() - began) / 1e9;
	report = report_begin(stdout, options, seconds);
	report_rate(&report, (uint64_t)locks, seconds);
	report_end(&report);
}

/* The end is that of a holder that dies: nothing is released. */
void lockd_hold(const struct options *options) {
	static struct hoard hoard;

	gather(&hoard, options, options->locks);
	while (getchar() != EOF)
		;
	_exit(0);
}

void lockd_idle(const struct options *options) {
	static struct hoard hoard;

	gather(&hoard, options, options->sessions);
	for (;;)
		(void)pause();
}
