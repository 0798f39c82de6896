/* SPDX-License-Identifier: Apache-2.0 */
/* Load for Redis: the usual lock on one server, `SET name token NX PX ttl`, released by a script that deletes the name
 * only if it still holds the token. One thread drives all connections through hiredis without blocking; sessions that
 * share a connection are pipelined on it, as sessions of lockd share a handle.
 *
 * What this is compared with does more: here is one server without replicas, so a lock is gone with its disk; there is
 * no session that keeps several locks alive, no queue of waiters, and no fence. */
#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/load/options.h"
#include "bench/load/report.h"

static const char release_script[] = "if redis.call('get', KEYS[1]) == ARGV[1] then "
				     "return redis.call('del', KEYS[1]) else return 0 end";

enum { EVENTS_MAX = 64 };

enum phase { ACQUIRING, RELEASING };

struct command {
	char *bytes; /* as hiredis formats it, the same for every round */
	size_t length;
};

struct session {
	struct command acquire, release;
	enum phase phase;
	int64_t sent_ns, acquired_in_ns;
};

/* Redis answers in the order of the commands, so the sessions of a connection that wait for an answer are a ring. */
struct connection {
	redisContext *redis;
	struct session **waiting;
	int capacity, first, count;
	bool writable_wanted; /* epoll is asked for EPOLLOUT because the kernel's buffer was full */
};

struct load {
	const struct options *options;
	char host[256];
	int port;
	int epoll;
	struct connection *connections;
	struct session *sessions;
	int busy; /* sessions with a command under way */
	int64_t begin_ns, end_ns;
	uint64_t done;
	struct latency acquire, release;
};

static _Noreturn void fail(const char *what, const char *why) {
	fprintf(stderr, "load-redis: %s: %s\n", what, why);
	exit(OPTIONS_EXIT_FAILED);
}

static void split_endpoint(struct load *load) {
	const char *endpoint = load->options->endpoints;
	const char *colon = strrchr(endpoint, ':');
	char *end;
	long port = colon ? strtol(colon + 1, &end, 10) : 0;

	if (!colon || port < 1 || port > 65535 || *end || (size_t)(colon - endpoint) >= sizeof(load->host)) {
		fprintf(stderr, "load-redis: --endpoints: wanted one HOST:PORT, got %s\n", endpoint);
		exit(OPTIONS_EXIT_USAGE);
	}
	memcpy(load->host, endpoint, (size_t)(colon - endpoint));
	load->port = (int)port;
}

/* The server keeps the script and is sent its digest from then on: 40 bytes instead of the text. */
static void load_script(const struct load *load, char ret_digest[41]) {
	redisContext *redis = redisConnect(load->host, load->port);
	redisReply *reply;

	if (!redis || redis->err)
		fail("cannot connect", redis ? redis->errstr : strerror(ENOMEM));
	reply = redisCommand(redis, "SCRIPT LOAD %s", release_script);
	if (!reply)
		fail("cannot load the script", redis->errstr);
	if (reply->type != REDIS_REPLY_STRING || reply->len != 40)
		fail("cannot load the script", reply->str);
	memcpy(ret_digest, reply->str, 41);
	freeReplyObject(reply);
	redisFree(redis);
}

static struct command command_checked(char *bytes, int length) {
	if (length < 0)
		fail("cannot format a command", strerror(ENOMEM));
	return (struct command){.bytes = bytes, .length = (size_t)length};
}

static void sessions_init(struct load *load) {
	const struct options *options = load->options;
	char digest[41];
	char *bytes;
	int length;

	load_script(load, digest);
	load->sessions = calloc((size_t)options->sessions, sizeof(*load->sessions));
	if (!load->sessions)
		fail("cannot begin", strerror(ENOMEM));
	for (int i = 0; i < options->sessions; i++) {
		length = redisFormatCommand(&bytes, "SET %s/%d %d NX PX %u", options->prefix, i, i, options->ttl_ms);
		load->sessions[i].acquire = command_checked(bytes, length);
		length = redisFormatCommand(&bytes, "EVALSHA %s 1 %s/%d %d", digest, options->prefix, i, i);
		load->sessions[i].release = command_checked(bytes, length);
	}
}

static void connection_open(struct load *load, struct connection *connection) {
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

	connection->capacity = load->options->sessions / load->options->handles + 1;
	connection->waiting = calloc((size_t)connection->capacity, sizeof(struct session *));
	connection->redis = redisConnectNonBlock(load->host, load->port);
	if (!connection->waiting || !connection->redis)
		fail("cannot connect", strerror(ENOMEM));
	if (connection->redis->err)
		fail("cannot connect", connection->redis->errstr);
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->redis->fd, &event) < 0)
		fail("cannot watch a connection", strerror(errno));
}

static void connections_init(struct load *load) {
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	load->connections = calloc((size_t)load->options->handles, sizeof(*load->connections));
	if (load->epoll < 0 || !load->connections)
		fail("cannot begin", strerror(errno));
	for (int i = 0; i < load->options->handles; i++)
		connection_open(load, &load->connections[i]);
}

static void send_command(struct connection *connection, struct session *session, enum phase phase, int64_t now_ns) {
	const struct command *command = phase == ACQUIRING ? &session->acquire : &session->release;

	assert(connection->count < connection->capacity);
	session->phase = phase;
	session->sent_ns = now_ns;
	connection->waiting[(connection->first + connection->count++) % connection->capacity] = session;
	if (redisAppendFormattedCommand(connection->redis, command->bytes, command->length) != REDIS_OK)
		fail("cannot send", connection->redis->errstr);
}

static struct session *next_waiting(struct connection *connection) {
	struct session *session = connection->waiting[connection->first];

	if (connection->count == 0)
		fail("unasked answer", "the server sent more answers than it got commands");
	connection->first = (connection->first + 1) % connection->capacity;
	connection->count--;
	return session;
}

static void flush(struct load *load, struct connection *connection) {
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
	int all_written;

	if (redisBufferWrite(connection->redis, &all_written) != REDIS_OK)
		fail("cannot send", connection->redis->errstr);
	if (connection->writable_wanted == !all_written)
		return;
	connection->writable_wanted = !all_written;
	if (connection->writable_wanted)
		event.events |= EPOLLOUT;
	if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->redis->fd, &event) < 0)
		fail("cannot watch a connection", strerror(errno));
}

static void check_reply(const redisReply *reply, enum phase phase) {
	if (reply->type == REDIS_REPLY_ERROR)
		fail(phase == ACQUIRING ? "SET" : "EVALSHA", reply->str);
	if (phase == ACQUIRING && reply->type != REDIS_REPLY_STATUS)
		fail("SET", "the lock is taken, though nobody else wants it; is another load using this --prefix?");
	if (phase == RELEASING && reply->integer != 1)
		fail("EVALSHA", "the lock had run out before it was released; --ttl-ms is too short");
}

static void pair_done(struct load *load, const struct session *session, int64_t now_ns) {
	load->busy--;
	if (now_ns < load->begin_ns || now_ns >= load->end_ns)
		return;
	load->done++;
	latency_add(&load->acquire, session->acquired_in_ns);
	latency_add(&load->release, now_ns - session->sent_ns);
}

static void answered(struct load *load, struct connection *connection, const redisReply *reply) {
	struct session *session = next_waiting(connection);
	int64_t now_ns = latency_now_ns();

	check_reply(reply, session->phase);
	if (session->phase == ACQUIRING) {
		session->acquired_in_ns = now_ns - session->sent_ns;
		send_command(connection, session, RELEASING, now_ns);
		return;
	}
	pair_done(load, session, now_ns);
	if (now_ns < load->end_ns) {
		load->busy++;
		send_command(connection, session, ACQUIRING, now_ns);
	}
}

/* Everything that has arrived is answered before anything is sent, so that it leaves in one write. */
static void serve(struct load *load, struct connection *connection, uint32_t events) {
	void *reply;

	if ((events & ~(uint32_t)EPOLLOUT) && redisBufferRead(connection->redis) != REDIS_OK)
		fail("cannot receive", connection->redis->errstr);
	for (;;) {
		if (redisGetReplyFromReader(connection->redis, &reply) != REDIS_OK)
			fail("cannot understand an answer", connection->redis->errstr);
		if (!reply)
			break;
		answered(load, connection, reply);
		freeReplyObject(reply);
	}
	flush(load, connection);
}

static void pairs_begin(struct load *load) {
	int64_t now_ns = latency_now_ns();

	load->begin_ns = now_ns + (int64_t)(load->options->warmup * 1e9);
	load->end_ns = load->begin_ns + (int64_t)(load->options->seconds * 1e9);
	load->busy = load->options->sessions;
	for (int i = 0; i < load->options->sessions; i++)
		send_command(&load->connections[i % load->options->handles], &load->sessions[i], ACQUIRING, now_ns);
	for (int i = 0; i < load->options->handles; i++)
		flush(load, &load->connections[i]);
}

/* Ends when every session has released what it held, so that nothing is left to run out. */
static void pairs(struct load *load) {
	struct epoll_event events[EVENTS_MAX];
	int count;

	pairs_begin(load);
	while (load->busy > 0) {
		count = epoll_wait(load->epoll, events, EVENTS_MAX, -1);
		if (count < 0 && errno != EINTR)
			fail("cannot wait", strerror(errno));
		for (int i = 0; i < count; i++)
			serve(load, events[i].data.ptr, events[i].events);
	}
}

static void print(const struct load *load) {
	struct report report = report_begin(stdout, load->options, load->options->seconds);

	report_rate(&report, load->done, load->options->seconds);
	report_number(&report, "ops_per_s", 2 * (double)load->done / load->options->seconds);
	report_latency(&report, "acquire_us", &load->acquire);
	report_latency(&report, "release_us", &load->release);
	report_end(&report);
}

static void load_deinit(struct load *load) {
	for (int i = 0; i < load->options->handles; i++) {
		redisFree(load->connections[i].redis);
		free(load->connections[i].waiting);
	}
	for (int i = 0; i < load->options->sessions; i++) {
		redisFreeCommand(load->sessions[i].acquire.bytes);
		redisFreeCommand(load->sessions[i].release.bytes);
	}
	free(load->connections);
	free(load->sessions);
	(void)close(load->epoll);
}

static const struct {
	const char *workload, *why;
} without[] = {
	{"handoff", "a lock in Redis has no queue: who wants it can only ask again"},
	{"wait", "a lock in Redis has no queue: who wants it can only ask again"},
	{"keepalive", "Redis has no sessions"},
	{"idle", "Redis has no sessions"},
	{"hold", "Redis has no sessions: each lock runs out by itself"},
	{"gap", "there is one server and nobody to take over"},
};

static void refuse_what_redis_has_not(const char *workload) {
	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
		if (strcmp(workload, without[i].workload) == 0) {
			fprintf(stderr, "load-redis: %s: %s\n", workload, without[i].why);
			exit(OPTIONS_EXIT_USAGE);
		}
	}
}

int main(int argc, char **argv) {
	static const char *const workloads[] = {"pairs", "handoff", "keepalive", "gap", "hold", "wait", "idle", NULL};
	static const struct options_program program = {
		.name = "load-redis", .workloads = workloads, .flags = OPTIONS_SERVICE};
	static struct load load; /* histograms are large for a stack */
	struct options options;

	options_take(&program, argc, argv, &options);
	refuse_what_redis_has_not(options.workload);
	load.options = &options;
	split_endpoint(&load);
	sessions_init(&load);
	connections_init(&load);
	pairs(&load);
	print(&load);
	load_deinit(&load);
	return 0;
}
