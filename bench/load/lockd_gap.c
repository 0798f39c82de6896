/* SPDX-License-Identifier: Apache-2.0 */
/* gap: pairs that go on through a change of leader, and the longest time in which none was finished. */
#include "bench/load/lockd_fleet.h"
#include "bench/load/lockd_workloads.h"
#include "bench/load/report.h"

#include <pthread.h>
#include <stdlib.h>

struct watch {
	struct fleet fleet;
	pthread_mutex_t mutex; /* of what follows */
	int64_t moved_ns;      /* when a pair was last finished */
	int64_t gap_ns, gap_began_ns;
	uint64_t done, failed;
};

struct retrier {
	struct watch *watch;
	struct lockd_session *session;
	char name[FLEET_NAME_BYTES];
};

static void acquire(struct retrier *retrier);

/* Also at the end, when the last gap may still be open. */
static void end_gap(struct watch *watch, int64_t now) {
	if (now - watch->moved_ns > watch->gap_ns) {
		watch->gap_ns = now - watch->moved_ns;
		watch->gap_began_ns = watch->moved_ns;
	}
	watch->moved_ns = now;
}

static void count_done(struct watch *watch) {
	pthread_mutex_lock(&watch->mutex);
	if (atomic_load(&watch->fleet.phase) != FLEET_OVER) {
		end_gap(watch, latency_now_ns());
		watch->done++;
	}
	pthread_mutex_unlock(&watch->mutex);
}

/* Tries again, except in a session that has ended: that one is out of it. */
static void go_on_after(struct retrier *retrier, enum lockd_status status) {
	struct watch *watch = retrier->watch;

	pthread_mutex_lock(&watch->mutex);
	watch->failed++;
	pthread_mutex_unlock(&watch->mutex);
	if (status == LOCKD_SESSION_EXPIRED || status == LOCKD_CLOSED)
		(void)sem_post(&watch->fleet.ended);
	else
		acquire(retrier);
}

static void on_released(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct retrier *retrier = user;

	(void)grant;
	if (status != LOCKD_OK) {
		go_on_after(retrier, status);
		return;
	}
	count_done(retrier->watch);
	acquire(retrier);
}

static void on_acquired(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct retrier *retrier = user;
	uint64_t sequence;

	if (status == LOCKD_OK)
		status = lockd_release_async(retrier->session, retrier->name, grant->token, on_released, retrier,
					     &sequence);
	if (status != LOCKD_OK)
		go_on_after(retrier, status);
}

static void acquire(struct retrier *retrier) {
	struct fleet *fleet = &retrier->watch->fleet;
	enum lockd_status status = LOCKD_CLOSED;
	uint64_t sequence;

	if (atomic_load(&fleet->phase) != FLEET_OVER)
		status = lockd_acquire_async(retrier->session, retrier->name, NULL, LOCKD_FOREVER, on_acquired, retrier,
					     &sequence);
	if (status != LOCKD_OK)
		(void)sem_post(&fleet->ended);
}

static struct retrier *retriers_new(struct watch *watch) {
	struct retrier *retriers = fleet_alloc((size_t)watch->fleet.n_sessions, sizeof *retriers);

	for (int i = 0; i < watch->fleet.n_sessions; i++) {
		retriers[i].watch = watch;
		retriers[i].session = watch->fleet.sessions[i];
		(void)snprintf(retriers[i].name, sizeof retriers[i].name, "%s/gap/%d", watch->fleet.options->prefix, i);
	}
	return retriers;
}

static void print(struct watch *watch, double seconds) {
	struct report report = report_begin(stdout, watch->fleet.options, seconds);

	report_rate(&report, watch->done, seconds);
	report_number(&report, "gap_ms", (double)watch->gap_ns / 1e6);
	report_number(&report, "at_s", (double)watch->gap_began_ns / 1e9);
	report_count(&report, "failed", watch->failed);
	report_end(&report);
}

void lockd_gap(const struct options *options) {
	static struct watch watch = {.mutex = PTHREAD_MUTEX_INITIALIZER};
	struct retrier *retriers;
	int64_t began;

	fleet_open(&watch.fleet, options, options->sessions);
	retriers = retriers_new(&watch);
	began = watch.moved_ns = latency_now_ns();
	for (int i = 0; i < options->sessions; i++)
		acquire(&retriers[i]);
	fleet_sleep(options->seconds);
	pthread_mutex_lock(&watch.mutex);
	atomic_store(&watch.fleet.phase, FLEET_OVER);
	end_gap(&watch, latency_now_ns());
	print(&watch, (double)(watch.moved_ns - began) / 1e9);
	pthread_mutex_unlock(&watch.mutex);
	fleet_drain(&watch.fleet, options->sessions);
	fleet_close(&watch.fleet);
	free(retriers);
}
