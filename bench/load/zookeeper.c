/* SPDX-License-Identifier: Apache-2.0 */
/* Load for ZooKeeper with its C client. There a session is a connection: --handles sessions are opened, and --sessions
 * lockers are spread over them, each with one outstanding operation.
 *
 * The library delivers completions in one thread per handle. Whatever belongs to a handle or to one of its lockers is
 * touched by that thread alone, until the handles are closed. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/options.h"
#include "bench/load/report.h"
#include "bench/load/zookeeper_lock.h"

enum {
	CONNECT_SECONDS_MAX = 30,
	/* What was begun before time was up may take so long. A queue of waiters is passed through meanwhile. */
	FINISH_SECONDS_MAX = 30,
};

struct load;

struct handle {
	zhandle_t *zk;
	struct load *load;
	bool connected; /* guarded by the library: only its first event sets it */
	uint64_t done, failed;
	struct latency acquire, release, handoff;
};

struct locker {
	struct zookeeper_lock lock; /* the first, so that a lock is its locker */
	struct handle *handle;
	int64_t asked_ns, granted_ns, releasing_ns;
	int held; /* of hold: locks so far */
	bool queued;
};

struct load {
	const struct options *options;
	char root[ZOOKEEPER_LOCK_PARENT_BYTES - 16]; /* leaves room for "/" and a number */
	struct handle *handles;
	struct locker *lockers;
	int lockers_count;
	int locks;                    /* of hold and idle: how many are acquired in all */
	struct handle sum;            /* of all handles, when they are closed */
	int64_t begin_ns, end_ns;     /* what ends in [begin, end) is counted */
	sem_t connected;              /* once per handle */
	sem_t staged;                 /* once per parent made or deleted */
	sem_t waiting;                /* once per locker that has someone before it */
	sem_t finished;               /* once per locker that does no more */
	atomic_bool closing;          /* answers do not matter any more */
	_Atomic int64_t releasing_ns; /* when the last release of the shared lock began; only its holder stores */
	pthread_mutex_t gap_mutex;    /* guards the rest */
	int64_t last_ns, longest_ns, longest_from_ns;
};

static _Noreturn void fail(const char *what, const char *why) {
	fprintf(stderr, "load-zookeeper: %s: %s\n", what, why);
	/* Not exit(): other threads are in the middle of something, and nothing needs to be flushed. */
	_Exit(OPTIONS_EXIT_FAILED);
}

static struct locker *locker_of(struct zookeeper_lock *lock) {
	return (struct locker *)lock;
}

/* Waits until `count` have posted; how many did not by `deadline_ns`. */
static int await(sem_t *semaphore, int count, int64_t deadline_ns) {
	struct timespec deadline = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};

	while (count > 0) {
		if (sem_clockwait(semaphore, CLOCK_MONOTONIC, &deadline) == 0)
			count--;
		else if (errno != EINTR)
			break;
	}
	return count;
}

static void await_all(sem_t *semaphore, int count) {
	while (count > 0) {
		if (sem_wait(semaphore) == 0)
			count--;
	}
}

static int64_t in_seconds(double seconds) {
	return latency_now_ns() + (int64_t)(seconds * 1e9);
}

/* Sessions. */

static void handle_event(zhandle_t *zk, int type, int state, const char *path, void *data) {
	struct handle *handle = data;

	(void)zk;
	(void)path;
	if (type != ZOO_SESSION_EVENT)
		return;
	if (state == ZOO_EXPIRED_SESSION_STATE)
		fail("a session has expired", "--ttl-ms is too short, or the service was away for longer");
	if (state == ZOO_CONNECTED_STATE && !handle->connected) {
		handle->connected = true;
		sem_post(&handle->load->connected);
	}
}

static void connect_handles(struct load *load) {
	const struct options *options = load->options;
	struct handle *handle;

	load->handles = calloc((size_t)options->handles, sizeof(*load->handles));
	if (!load->handles)
		fail("cannot begin", strerror(ENOMEM));
	zoo_set_debug_level(0);
	for (int i = 0; i < options->handles; i++) {
		handle = &load->handles[i];
		handle->load = load;
		handle->zk = zookeeper_init(options->endpoints, handle_event, (int)options->ttl_ms, NULL, handle,
					    ZOO_NO_LOG_CLIENTENV);
		if (!handle->zk)
			fail("cannot connect", strerror(errno));
	}
	if (await(&load->connected, options->handles, in_seconds(CONNECT_SECONDS_MAX)) > 0)
		fail("cannot connect", options->endpoints);
}

/* Parents: ZooKeeper has no lock without a node that names it. They are made before the clock starts. */

static void path_made(int rc, const char *path, const void *data) {
	struct load *load = (void *)data;

	(void)path;
	if (rc != ZOK && rc != ZNODEEXISTS)
		fail("cannot make the node of a lock", zerror(rc));
	sem_post(&load->staged);
}

static void make_path(struct load *load, int i, const char *path) {
	int r = zoo_acreate(load->handles[i % load->options->handles].zk, path, NULL, -1, &ZOO_OPEN_ACL_UNSAFE,
			    ZOO_PERSISTENT, path_made, load);

	if (r != ZOK)
		fail("cannot make the node of a lock", zerror(r));
}

/* A prefix may have slashes: each folder on the way is made. */
static void make_root(struct load *load) {
	char path[ZOOKEEPER_LOCK_PARENT_BYTES];

	snprintf(load->root, sizeof(load->root), "/%s", load->options->prefix);
	for (const char *end = strchr(load->root + 1, '/');; end = strchr(end + 1, '/')) {
		snprintf(path, sizeof(path), "%.*s", end ? (int)(end - load->root) : (int)strlen(load->root),
			 load->root);
		make_path(load, 0, path);
		await_all(&load->staged, 1);
		if (!end)
			return;
	}
}

static void lock_path(const struct load *load, int i, char ret_path[ZOOKEEPER_LOCK_PARENT_BYTES]) {
	snprintf(ret_path, ZOOKEEPER_LOCK_PARENT_BYTES, "%s/%d", load->root, i);
}

static void make_parents(struct load *load, int count) {
	char path[ZOOKEEPER_LOCK_PARENT_BYTES];

	make_root(load);
	for (int i = 0; i < count; i++) {
		lock_path(load, i, path);
		make_path(load, i, path);
	}
	await_all(&load->staged, count);
}

/* One that is still in use stays. */
static void path_deleted(int rc, const void *data) {
	struct load *load = (void *)data;

	(void)rc;
	sem_post(&load->staged);
}

static void delete_parents(struct load *load, int count) {
	char path[ZOOKEEPER_LOCK_PARENT_BYTES];
	int asked = 0;

	for (int i = 0; i < count; i++) {
		lock_path(load, i, path);
		if (zoo_adelete(load->handles[i % load->options->handles].zk, path, -1, path_deleted, load) == ZOK)
			asked++;
	}
	(void)await(&load->staged, asked, in_seconds(FINISH_SECONDS_MAX));
}

/* Lockers. */

static void make_lockers(struct load *load, int count, const struct zookeeper_lock_events *events) {
	struct locker *locker;

	load->lockers = calloc((size_t)count, sizeof(*load->lockers));
	if (!load->lockers)
		fail("cannot begin", strerror(ENOMEM));
	load->lockers_count = count;
	for (int i = 0; i < count; i++) {
		locker = &load->lockers[i];
		locker->handle = &load->handles[i % load->options->handles];
		locker->lock.handle = locker->handle->zk;
		locker->lock.events = events;
		locker->lock.seat = i;
		lock_path(load, i, locker->lock.parent);
	}
}

static void share_one_lock(struct load *load) {
	for (int i = 0; i < load->lockers_count; i++)
		lock_path(load, 0, load->lockers[i].lock.parent);
}

static void acquire(struct locker *locker) {
	locker->asked_ns = latency_now_ns();
	zookeeper_lock_acquire(&locker->lock);
}

static void release(struct locker *locker) {
	locker->releasing_ns = latency_now_ns();
	zookeeper_lock_release(&locker->lock);
}

static void start_clock(struct load *load) {
	load->begin_ns = in_seconds(load->options->warmup);
	load->end_ns = load->begin_ns + (int64_t)(load->options->seconds * 1e9);
	load->last_ns = load->begin_ns;
}

static bool counts(const struct load *load, int64_t at_ns) {
	return at_ns >= load->begin_ns && at_ns < load->end_ns;
}

static void acquire_or_finish(struct locker *locker, int64_t now_ns) {
	if (now_ns < locker->handle->load->end_ns)
		acquire(locker);
	else
		sem_post(&locker->handle->load->finished);
}

/* While the handles are closed, the library ends what is under way with one code and refuses what follows with another.
 */
static bool fail_unless_closing(struct zookeeper_lock *lock, const char *what, int rc) {
	if (!atomic_load(&locker_of(lock)->handle->load->closing))
		fail(what, zerror(rc));
	return false;
}

static void run_lockers(struct load *load) {
	start_clock(load);
	for (int i = 0; i < load->lockers_count; i++)
		acquire(&load->lockers[i]);
	if (await(&load->finished, load->lockers_count, load->end_ns + FINISH_SECONDS_MAX * INT64_C(1000000000)) > 0)
		fail("cannot finish", "a locker is still waiting long after time was up");
}

/* Ends the sessions and the threads behind them: from then on the counts of the handles may be read. */
static void close_handles(struct load *load) {
	struct handle *handle, *sum = &load->sum;

	atomic_store(&load->closing, true);
	for (int i = 0; i < load->options->handles; i++) {
		handle = &load->handles[i];
		(void)zookeeper_close(handle->zk);
		sum->done += handle->done;
		sum->failed += handle->failed;
		latency_merge(&sum->acquire, &handle->acquire);
		latency_merge(&sum->release, &handle->release);
		latency_merge(&sum->handoff, &handle->handoff);
	}
}

/* pairs */

static void pairs_granted(struct zookeeper_lock *lock) {
	locker_of(lock)->granted_ns = latency_now_ns();
	release(locker_of(lock));
}

static void pairs_released(struct zookeeper_lock *lock) {
	struct locker *locker = locker_of(lock);
	struct handle *handle = locker->handle;
	int64_t now_ns = latency_now_ns();

	if (counts(handle->load, now_ns)) {
		handle->done++;
		latency_add(&handle->acquire, locker->granted_ns - locker->asked_ns);
		latency_add(&handle->release, now_ns - locker->releasing_ns);
	}
	acquire_or_finish(locker, now_ns);
}

static void pairs(struct load *load) {
	static const struct zookeeper_lock_events events = {
		.granted = pairs_granted, .released = pairs_released, .failed = fail_unless_closing};
	struct report report;

	make_parents(load, load->options->sessions);
	make_lockers(load, load->options->sessions, &events);
	run_lockers(load);
	delete_parents(load, load->options->sessions);
	close_handles(load);

	report = report_begin(stdout, load->options, load->options->seconds);
	report_rate(&report, load->sum.done, load->options->seconds);
	report_latency(&report, "acquire_us", &load->sum.acquire);
	report_latency(&report, "release_us", &load->sum.release);
	report_end(&report);
}

/* handoff */

/* The holder stores the time before it releases, so whoever reads it was granted the lock by that release. */
static void pass_on(struct locker *locker, bool count) {
	struct load *load = locker->handle->load;
	int64_t since_ns = atomic_load(&load->releasing_ns), now_ns = latency_now_ns();

	if (count && since_ns > 0) {
		locker->handle->done++;
		latency_add(&locker->handle->handoff, now_ns - since_ns);
	}
	atomic_store(&load->releasing_ns, latency_now_ns());
	release(locker);
}

static void handoff_granted(struct zookeeper_lock *lock) {
	pass_on(locker_of(lock), counts(locker_of(lock)->handle->load, latency_now_ns()));
}

static void handoff_released(struct zookeeper_lock *lock) {
	acquire_or_finish(locker_of(lock), latency_now_ns());
}

static void handoff(struct load *load) {
	static const struct zookeeper_lock_events events = {
		.granted = handoff_granted, .released = handoff_released, .failed = fail_unless_closing};
	struct report report;

	make_parents(load, 1);
	make_lockers(load, load->options->sessions, &events);
	share_one_lock(load);
	run_lockers(load);
	delete_parents(load, 1);
	close_handles(load);

	report = report_begin(stdout, load->options, load->options->seconds);
	report_rate(&report, load->sum.done, load->options->seconds);
	report_latency(&report, "handoff_us", &load->sum.handoff);
	report_end(&report);
}

/* gap */

static void gap_until(struct load *load, int64_t now_ns) {
	if (now_ns - load->last_ns > load->longest_ns) {
		load->longest_ns = now_ns - load->last_ns;
		load->longest_from_ns = load->last_ns;
	}
	load->last_ns = now_ns;
}

static void gap_released(struct zookeeper_lock *lock) {
	struct locker *locker = locker_of(lock);
	struct load *load = locker->handle->load;
	int64_t now_ns;

	/* The clock is read behind the mutex, so that finishes come in order. */
	pthread_mutex_lock(&load->gap_mutex);
	now_ns = latency_now_ns();
	if (counts(load, now_ns)) {
		locker->handle->done++;
		gap_until(load, now_ns);
	}
	pthread_mutex_unlock(&load->gap_mutex);
	acquire_or_finish(locker, now_ns);
}

static bool gap_failed(struct zookeeper_lock *lock, const char *what, int rc) {
	if (rc != ZCONNECTIONLOSS && rc != ZOPERATIONTIMEOUT && rc != ZSESSIONMOVED)
		return fail_unless_closing(lock, what, rc);
	locker_of(lock)->handle->failed++;
	return true;
}

static void gap(struct load *load) {
	static const struct zookeeper_lock_events events = {
		.granted = pairs_granted, .released = gap_released, .failed = gap_failed};
	struct report report;

	make_parents(load, load->options->sessions);
	make_lockers(load, load->options->sessions, &events);
	run_lockers(load);
	gap_until(load, load->end_ns); /* If the service has not come back, that is the gap. */
	delete_parents(load, load->options->sessions);
	close_handles(load);

	report = report_begin(stdout, load->options, load->options->seconds);
	report_count(&report, "done", load->sum.done);
	report_number(&report, "gap_ms", (double)load->longest_ns / 1e6);
	report_number(&report, "at_s", (double)load->longest_from_ns / 1e9);
	report_count(&report, "failed", load->sum.failed);
	report_end(&report);
}

/* hold and idle: nothing is released, so what describes one lock may be reused for the next. */

static void hold_granted(struct zookeeper_lock *lock) {
	struct locker *locker = locker_of(lock);
	struct load *load = locker->handle->load;
	int next = lock->seat + ++locker->held * load->lockers_count;

	if (next < load->locks) {
		lock_path(load, next, lock->parent);
		acquire(locker);
	} else {
		sem_post(&load->finished);
	}
}

/* How long it took, in seconds. */
static double acquire_all(struct load *load, int locks) {
	static const struct zookeeper_lock_events events = {.granted = hold_granted, .failed = fail_unless_closing};
	int sessions = load->options->sessions;
	int64_t began_ns;

	load->locks = locks;
	make_parents(load, locks);
	make_lockers(load, sessions < locks ? sessions : locks, &events);
	began_ns = latency_now_ns();
	for (int i = 0; i < load->lockers_count; i++)
		acquire(&load->lockers[i]);
	await_all(&load->finished, load->lockers_count);
	return (double)(latency_now_ns() - began_ns) / 1e9;
}

static void hold(struct load *load) {
	double seconds = acquire_all(load, load->options->locks);
	struct report report = report_begin(stdout, load->options, seconds);

	report_rate(&report, (uint64_t)load->locks, seconds);
	report_end(&report);
	while (getchar() != EOF)
		;
}

static void idle(struct load *load) {
	double seconds = acquire_all(load, load->options->sessions);
	struct report report = report_begin(stdout, load->options, seconds);

	report_count(&report, "done", (uint64_t)load->locks);
	report_end(&report);
	for (;;)
		(void)pause();
}

/* wait */

static void wait_queued(struct zookeeper_lock *lock) {
	struct locker *locker = locker_of(lock);

	if (locker->queued)
		return;
	locker->queued = true;
	sem_post(&locker->handle->load->waiting);
}

/* The first holder waits with the others, for the word to begin. */
static void wait_granted(struct zookeeper_lock *lock) {
	struct locker *locker = locker_of(lock);
	struct load *load = locker->handle->load;

	if (atomic_load(&load->releasing_ns) == 0)
		sem_post(&load->waiting);
	else
		pass_on(locker, counts(load, latency_now_ns()));
}

static void wait_released(struct zookeeper_lock *lock) {
	sem_post(&locker_of(lock)->handle->load->finished);
}

static void line_up(struct load *load) {
	acquire(&load->lockers[0]);
	await_all(&load->waiting, 1);
	for (int i = 1; i < load->lockers_count; i++)
		acquire(&load->lockers[i]);
	await_all(&load->waiting, load->lockers_count - 1);
	printf("{\"waiting\": %d}\n", load->lockers_count - 1);
	(void)fflush(stdout);
}

static void await_go(void) {
	char line[8];

	if (!fgets(line, sizeof(line), stdin) || strcmp(line, "go\n") != 0)
		fail("stdin", "wanted a line \"go\"");
}

static void wait_in_line(struct load *load) {
	static const struct zookeeper_lock_events events = {.granted = wait_granted,
							    .released = wait_released,
							    .queued = wait_queued,
							    .failed = fail_unless_closing};
	struct report report;
	double seconds;

	make_parents(load, 1);
	make_lockers(load, load->options->sessions + 1, &events);
	share_one_lock(load);
	line_up(load);
	await_go();
	load->begin_ns = latency_now_ns();
	load->end_ns = load->begin_ns + (int64_t)(load->options->seconds * 1e9);
	pass_on(&load->lockers[0], false);
	if (await(&load->finished, load->lockers_count, load->end_ns) == 0)
		delete_parents(load, 1);
	seconds = (double)(latency_now_ns() - load->begin_ns) / 1e9;
	close_handles(load);

	report = report_begin(stdout, load->options, seconds);
	report_rate(&report, load->sum.done, seconds);
	report_latency(&report, "handoff_us", &load->sum.handoff);
	report_end(&report);
}

static const struct {
	const char *name;
	void (*run)(struct load *load);
} workloads[] = {
	{"pairs", pairs}, {"handoff", handoff}, {"gap", gap}, {"hold", hold}, {"wait", wait_in_line}, {"idle", idle},
};

static void run(struct load *load) {
	connect_handles(load);
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		if (strcmp(load->options->workload, workloads[i].name) == 0)
			workloads[i].run(load);
	}
}

static void refuse_keepalive(const char *workload) {
	if (strcmp(workload, "keepalive") != 0)
		return;
	fprintf(stderr, "load-zookeeper: keepalive: a session is a connection that the client library pings by itself, "
			"three times per time-out; there is no call that makes it faster\n");
	exit(OPTIONS_EXIT_USAGE);
}

int main(int argc, char **argv) {
	static const char *const names[] = {"pairs", "handoff", "keepalive", "gap", "hold", "wait", "idle", NULL};
	static const struct options_program program = {
		.name = "load-zookeeper", .workloads = names, .flags = OPTIONS_SERVICE};
	static struct load load = {.gap_mutex = PTHREAD_MUTEX_INITIALIZER}; /* histograms are large for a stack */
	struct options options;

	options_take(&program, argc, argv, &options);
	refuse_keepalive(options.workload);
	load.options = &options;
	sem_init(&load.connected, 0, 0);
	sem_init(&load.staged, 0, 0);
	sem_init(&load.waiting, 0, 0);
	sem_init(&load.finished, 0, 0);
	run(&load);
	free(load.lockers);
	free(load.handles);
	return 0;
}
