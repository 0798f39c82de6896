/* SPDX-License-Identifier: Apache-2.0 */
/* load-floor: what no replicated lock on this machine can be faster than.
 *
 * acquire: a client, a leader and two followers, a process each, on loopback TCP. The leader forwards what the client
 * sends to both followers, then syncs its own log, and answers when that is done and one follower has said the same of
 * its log. It does these things in turn, in one thread: as it may not answer before its own sync, a second thread could
 * not answer sooner. What arrives meanwhile is forwarded and synced together, by one sync per node.
 *
 * acquire-nng: the same with nng's streams instead of sockets, which is what lockd has to go through: floor_nng.c. */
#include "bench/load/floor.h"
#include "bench/load/floor_disk.h"
#include "bench/load/floor_nng.h"
#include "bench/load/latency.h"
#include "bench/load/options.h"
#include "bench/load/report.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	READ_BYTES = 256 << 10,
	SESSIONS_MAX = 1024, /* as much as the sockets hold: nobody waits to write */
};

static const char *const workloads[] = {"acquire", "acquire-nng", "sync", "roundtrip", NULL};

static const struct options_program program = {
	.name = "load-floor",
	.workloads = workloads,
	.flags = OPTIONS_SESSIONS | OPTIONS_SECONDS | OPTIONS_WARMUP | OPTIONS_DATA | OPTIONS_PROCESSES,
};

/* What all processes see. */
static struct shared {
	_Atomic enum floor_phase phase;
	struct latency latencies[OPTIONS_PROCESSES_MAX];
} * shared;

static struct floor_disk disks[OPTIONS_PROCESSES_MAX];
static int n_disks;

/* ---- Life ------------------------------------------------------------------------------------------------------- */

static void remove_files(void) {
	for (int i = 0; i < n_disks; i++)
		floor_disk_close(&disks[i]);
}

/* The files belong to the parent. */
static _Noreturn void child_fail(const char *what) {
	fprintf(stderr, "load-floor: %s: %s\n", what, strerror(errno));
	_exit(OPTIONS_EXIT_FAILED);
}

static _Noreturn void fail(const char *what) {
	fprintf(stderr, "load-floor: %s: %s\n", what, strerror(errno));
	exit(OPTIONS_EXIT_FAILED);
}

static void on_signal(int number) {
	(void)number;
	atomic_store(&shared->phase, FLOOR_OVER);
}

static void set_up(const struct options *options, int n) {
	const struct sigaction action = {.sa_handler = on_signal}; /* reads end with EINTR */

	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("memory");
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)atexit(remove_files);
	for (; n_disks < n; n_disks++)
		if (floor_disk_open(&disks[n_disks], options->data, n_disks) < 0)
			fail(options->data);
}

/* An interrupt from the terminal is for the parent. The child ends with it, even with one that is killed. */
static pid_t fork_child(void) {
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		(void)signal(SIGINT, SIG_IGN);
		(void)signal(SIGTERM, SIG_IGN);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	return pid;
}

static void wait_for_children(void) {
	int status = 0;

	while (wait(&status) > 0 || errno == EINTR)
		if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
			exit(OPTIONS_EXIT_FAILED); /* it has said why */
}

/* ---- Sockets ---------------------------------------------------------------------------------------------------- */

/* Two ends of one connection over loopback. */
static void connect_pair(int ends[2]) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || ends[0] < 0 || bind(listener, (struct sockaddr *)&address, n) < 0 ||
	    listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&address, &n) < 0 ||
	    connect(ends[0], (struct sockaddr *)&address, n) < 0)
		fail("loopback");
	ends[1] = accept(listener, NULL, NULL);
	if (ends[1] < 0)
		fail("loopback");
	(void)close(listener);
	for (int i = 0; i < 2; i++)
		if (setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
			fail("TCP_NODELAY");
}

static int send_all(int fd, const void *bytes, size_t n) {
	const char *at = bytes;

	while (n > 0) {
		ssize_t sent = write(fd, at, n);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -1;
		at += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* Counts messages of one length in a stream. Returns how many bytes came, 0 at its end. */
static ssize_t take(int fd, char *bytes, uint64_t *total) {
	ssize_t n = read(fd, bytes, READ_BYTES);

	if (n > 0)
		*total += (uint64_t)n;
	return n;
}

/* ---- acquire ---------------------------------------------------------------------------------------------------- */

/* Says after each sync how many bytes of the stream are on its disk. */
static _Noreturn void follow(int fd, struct floor_disk *disk) {
	static char bytes[READ_BYTES];
	uint64_t received = 0;

	while (take(fd, bytes, &received) > 0) {
		if (floor_disk_sync(disk) < 0)
			child_fail("sync of a follower");
		if (send_all(fd, &received, sizeof received) < 0)
			break;
	}
	_exit(0);
}

struct leader {
	int poll, client, followers[FLOOR_FOLLOWERS];
	uint64_t received, synced, followed, answered; /* bytes of the stream; the last in requests */
};

/* The answer that a follower has not sent whole is rest of an earlier read; it is short enough to come whole. */
static void hear_follower(struct leader *leader, int fd) {
	uint64_t synced;

	for (;;) {
		ssize_t n = recv(fd, &synced, sizeof synced, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n != sizeof synced)
			_exit(OPTIONS_EXIT_FAILED);
		if (synced > leader->followed)
			leader->followed = synced;
	}
}

static void hear_client(struct leader *leader) {
	static char bytes[READ_BYTES];
	ssize_t n = take(leader->client, bytes, &leader->received);

	if (n <= 0)
		_exit(0); /* the followers see the end of their streams */
	for (int i = 0; i < FLOOR_FOLLOWERS; i++)
		if (send_all(leader->followers[i], bytes, (size_t)n) < 0)
			child_fail("a follower");
}

static void answer(struct leader *leader) {
	static const char answers[SESSIONS_MAX * FLOOR_ANSWER_BYTES];
	uint64_t committed = leader->synced < leader->followed ? leader->synced : leader->followed;
	size_t n = (size_t)(committed / FLOOR_REQUEST_BYTES - leader->answered);

	leader->answered += n;
	if (send_all(leader->client, answers, n * FLOOR_ANSWER_BYTES) < 0)
		_exit(0);
}

static void leader_watch(struct leader *leader, int fd) {
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(leader->poll, EPOLL_CTL_ADD, fd, &event) < 0)
		child_fail("epoll");
}

static _Noreturn void lead(int client, const int followers[FLOOR_FOLLOWERS], struct floor_disk *disk) {
	struct leader leader = {.poll = epoll_create1(0), .client = client};
	struct epoll_event events[1 + FLOOR_FOLLOWERS];

	leader_watch(&leader, client);
	for (int i = 0; i < FLOOR_FOLLOWERS; i++)
		leader_watch(&leader, leader.followers[i] = followers[i]);
	for (;;) {
		int n = epoll_wait(leader.poll, events, 1 + FLOOR_FOLLOWERS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == client)
				hear_client(&leader);
			else
				hear_follower(&leader, events[i].data.fd);
		}
		if (leader.received > leader.synced) {
			if (floor_disk_sync(disk) < 0)
				child_fail("sync of the leader");
			leader.synced = leader.received;
		}
		answer(&leader);
	}
}

/* Connections that a process does not use must be closed there, or their ends would not be seen. */
static int start_cluster(void) {
	int to_leader[2], to_followers[FLOOR_FOLLOWERS][2], leaders[FLOOR_FOLLOWERS];

	connect_pair(to_leader);
	for (int i = 0; i < FLOOR_FOLLOWERS; i++) {
		connect_pair(to_followers[i]);
		if (fork_child() == 0) {
			(void)close(to_leader[0]);
			(void)close(to_leader[1]);
			for (int j = 0; j <= i; j++)
				(void)close(to_followers[j][0]);
			follow(to_followers[i][1], &disks[1 + i]);
		}
		(void)close(to_followers[i][1]);
		leaders[i] = to_followers[i][0];
	}
	if (fork_child() == 0) {
		(void)close(to_leader[0]);
		lead(to_leader[1], leaders, &disks[0]);
	}
	(void)close(to_leader[1]);
	for (int i = 0; i < FLOOR_FOLLOWERS; i++)
		(void)close(leaders[i]);
	return to_leader[0];
}

struct asker {
	int fd, outstanding;
	uint64_t answered; /* bytes */
	int64_t asked_ns[SESSIONS_MAX];
};

static void ask(struct asker *asker, uint64_t first, uint64_t n) {
	static const char requests[SESSIONS_MAX * FLOOR_REQUEST_BYTES];
	int64_t now = latency_now_ns();

	for (uint64_t i = first; i < first + n; i++)
		asker->asked_ns[i % (uint64_t)asker->outstanding] = now;
	if (send_all(asker->fd, requests, n * FLOOR_REQUEST_BYTES) < 0)
		fail("the leader");
}

/* Takes the answers that have come and asks as much again. */
static void turn(struct asker *asker, struct latency *latency) {
	static char bytes[READ_BYTES];
	uint64_t before = asker->answered / FLOOR_ANSWER_BYTES, after;
	ssize_t n = take(asker->fd, bytes, &asker->answered);
	int64_t now = latency_now_ns();

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		errno = n == 0 ? ECONNRESET : errno;
		fail("the leader");
	}
	after = asker->answered / FLOOR_ANSWER_BYTES;
	for (uint64_t i = before; latency && i < after; i++)
		latency_add(latency, now - asker->asked_ns[i % (uint64_t)asker->outstanding]);
	ask(asker, before + (uint64_t)asker->outstanding, after - before);
}

static void print(const struct options *options, const struct latency *latency, double seconds) {
	struct report report = report_begin(stdout, options, seconds);

	report_rate(&report, latency->count, seconds);
	report_latency(&report, "us", latency);
	report_end(&report);
}

/* A signal ends it. */
static void sleep_for(double seconds) {
	const struct timespec span = {.tv_sec = (time_t)seconds,
				      .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

	(void)nanosleep(&span, NULL);
}

/* What other processes do meanwhile is measured; returns the seconds that it took. */
static double measure(const struct options *options) {
	enum floor_phase warmup = FLOOR_WARMUP; /* a signal may have ended it */
	int64_t began;

	sleep_for(options->warmup);
	began = latency_now_ns();
	if (atomic_compare_exchange_strong(&shared->phase, &warmup, FLOOR_MEASURE))
		sleep_for(options->seconds);
	atomic_store(&shared->phase, FLOOR_OVER);
	return (double)(latency_now_ns() - began) / 1e9;
}

/* Runs `turn` for the warm-up, then for the time to be measured; returns the seconds that were. */
static double run_turns(const struct options *options, struct asker *asker,
			void (*one)(struct asker *asker, struct latency *latency)) {
	int64_t began = latency_now_ns() + (int64_t)(options->warmup * 1e9);
	int64_t until = began + (int64_t)(options->seconds * 1e9);
	int64_t now;

	while ((now = latency_now_ns()) < until && atomic_load(&shared->phase) != FLOOR_OVER)
		one(asker, now < began ? NULL : &shared->latencies[0]);
	return (double)(now - began) / 1e9;
}

static void run_acquire(struct options *options) {
	static struct asker asker;
	double seconds;

	set_up(options, 1 + FLOOR_FOLLOWERS);
	options->handles = 1;
	asker.outstanding = options->sessions;
	asker.fd = start_cluster();
	ask(&asker, 0, (uint64_t)asker.outstanding);
	seconds = run_turns(options, &asker, turn);
	print(options, &shared->latencies[0], seconds);
	(void)close(asker.fd);
	wait_for_children();
}

/* ---- acquire-nng ------------------------------------------------------------------------------------------------ */

/* The port that a child tells; one that ends without it has said why. */
static uint16_t read_port(int pipe_ends[2]) {
	uint16_t port;

	(void)close(pipe_ends[1]);
	if (read(pipe_ends[0], &port, sizeof port) != sizeof port)
		exit(OPTIONS_EXIT_FAILED);
	(void)close(pipe_ends[0]);
	return port;
}

static uint16_t start_follower(struct floor_disk *disk) {
	int port_pipe[2];

	if (pipe(port_pipe) < 0)
		fail("pipe");
	if (fork_child() == 0)
		floor_nng_follow(disk, port_pipe[1]);
	return read_port(port_pipe);
}

static uint16_t start_leader(struct floor_disk *disk, const uint16_t followers[FLOOR_FOLLOWERS]) {
	int port_pipe[2];

	if (pipe(port_pipe) < 0)
		fail("pipe");
	if (fork_child() == 0)
		floor_nng_lead(disk, followers, port_pipe[1]);
	return read_port(port_pipe);
}

/* The client is a child, too: this process must not use nng, which would take its signals. */
static void run_acquire_nng(const struct options *options) {
	uint16_t followers[FLOOR_FOLLOWERS], leader;
	double seconds;

	set_up(options, 1 + FLOOR_FOLLOWERS);
	for (int i = 0; i < FLOOR_FOLLOWERS; i++)
		followers[i] = start_follower(&disks[1 + i]);
	leader = start_leader(&disks[0], followers);
	if (fork_child() == 0)
		floor_nng_ask(leader, &shared->phase, &shared->latencies[0]);
	seconds = measure(options);
	wait_for_children();
	print(options, &shared->latencies[0], seconds);
}

/* ---- sync ------------------------------------------------------------------------------------------------------- */

static _Noreturn void sync_on(struct floor_disk *disk, struct latency *latency) {
	enum floor_phase phase;

	while ((phase = atomic_load(&shared->phase)) != FLOOR_OVER) {
		int64_t began = latency_now_ns();

		if (floor_disk_sync(disk) < 0)
			child_fail("sync");
		if (phase == FLOOR_MEASURE)
			latency_add(latency, latency_now_ns() - began);
	}
	_exit(0);
}

static void run_sync(struct options *options) {
	double seconds;

	set_up(options, options->processes);
	options->sessions = options->handles = options->processes;
	for (int i = 0; i < options->processes; i++)
		if (fork_child() == 0)
			sync_on(&disks[i], &shared->latencies[i]);
	seconds = measure(options);
	wait_for_children();
	for (int i = 1; i < options->processes; i++)
		latency_merge(&shared->latencies[0], &shared->latencies[i]);
	print(options, &shared->latencies[0], seconds);
}

/* ---- roundtrip -------------------------------------------------------------------------------------------------- */

static void pass_byte(struct asker *asker, struct latency *latency) {
	int64_t began = latency_now_ns();
	char byte = 0;
	ssize_t n;

	if (send_all(asker->fd, &byte, 1) < 0)
		fail("roundtrip");
	n = read(asker->fd, &byte, 1);
	if (n < 0 && errno == EINTR)
		return;
	if (n != 1)
		fail("roundtrip");
	if (latency)
		latency_add(latency, latency_now_ns() - began);
}

static void run_roundtrip(struct options *options) {
	struct asker asker = {0};
	double seconds;
	int ends[2];
	char byte;

	set_up(options, 0);
	options->sessions = options->handles = 1;
	connect_pair(ends);
	if (fork_child() == 0) {
		(void)close(ends[0]);
		while (read(ends[1], &byte, 1) == 1 && send_all(ends[1], &byte, 1) == 0)
			;
		_exit(0);
	}
	(void)close(ends[1]);
	asker.fd = ends[0];
	seconds = run_turns(options, &asker, pass_byte);
	print(options, &shared->latencies[0], seconds);
	(void)close(asker.fd);
	wait_for_children();
}

static void refuse(const char *why) {
	fprintf(stderr, "load-floor: %s\n", why);
	exit(OPTIONS_EXIT_USAGE);
}

int main(int argc, char **argv) {
	struct options options;

	options_take(&program, argc, argv, &options);
	if (options.sessions > SESSIONS_MAX)
		refuse("--sessions: 1024 at most");
	if (!options.data && strcmp(options.workload, "roundtrip") != 0)
		refuse("--data is missing");
	if (strcmp(options.workload, "acquire-nng") == 0 && options.sessions != 1)
		refuse("--sessions: acquire-nng has one acquire outstanding, and only one");
	if (strcmp(options.workload, "acquire") == 0)
		run_acquire(&options);
	else if (strcmp(options.workload, "acquire-nng") == 0)
		run_acquire_nng(&options);
	else if (strcmp(options.workload, "sync") == 0)
		run_sync(&options);
	else
		run_roundtrip(&options);
	return 0;
}
