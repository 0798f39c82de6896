/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load/floor_nng.h"

#include "bench/load/options.h"

#include <errno.h>
#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void fail(const char *what, const char *why) {
	fprintf(stderr, "load-floor: %s: %s\n", what, why);
	_exit(OPTIONS_EXIT_FAILED);
}

static void expect(const char *what, int error) {
	if (error != 0)
		fail(what, nng_strerror(error));
}

/* ---- Links ------------------------------------------------------------------------------------------------------ */

/* One end of a connection. */
struct link {
	nng_stream *stream;
	nng_aio *recv_aio;
	nng_aio *send_aio; /* has no callback */
	uint8_t bytes[4096];
	uint64_t received; /* bytes since the connection began */
};

static nng_aio *new_aio(void (*callback)(void *arg), void *arg) {
	nng_aio *aio;

	expect("memory", nng_aio_alloc(&aio, callback, arg));
	return aio;
}

/* Waits for an aio without callback; the stream that it brings. */
static nng_stream *await_stream(const char *what, nng_aio *aio) {
	nng_stream *stream;

	nng_aio_wait(aio);
	expect(what, nng_aio_result(aio));
	stream = nng_aio_get_output(aio, 0);
	nng_aio_free(aio);
	return stream;
}

static nng_stream *dial(uint16_t port) {
	nng_aio *aio = new_aio(NULL, NULL);
	nng_stream_dialer *dialer;
	char url[32];

	(void)snprintf(url, sizeof url, "tcp://127.0.0.1:%u", (unsigned)port);
	expect(url, nng_stream_dialer_alloc(&dialer, url));
	expect("TCP_NODELAY", nng_stream_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true));
	nng_stream_dialer_dial(dialer, aio);
	return await_stream(url, aio);
}

static void tell_port(nng_stream_listener *listener, int port_pipe) {
	int port;
	uint16_t told;

	expect("port", nng_stream_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port));
	told = (uint16_t)port;
	if (write(port_pipe, &told, sizeof told) != sizeof told)
		fail("port", strerror(errno));
	(void)close(port_pipe);
}

/* The first that connects. */
static nng_stream *accept_one(int port_pipe) {
	nng_aio *aio = new_aio(NULL, NULL);
	nng_stream_listener *listener;

	expect("listening", nng_stream_listener_alloc(&listener, "tcp://127.0.0.1:0"));
	expect("TCP_NODELAY", nng_stream_listener_set_bool(listener, NNG_OPT_TCP_NODELAY, true));
	expect("listening", nng_stream_listener_listen(listener));
	tell_port(listener, port_pipe);
	nng_stream_listener_accept(listener, aio);
	return await_stream("accepting", aio);
}

static void link_init(struct link *link, nng_stream *stream, void (*on_recv)(void *arg), void *arg) {
	link->stream = stream;
	link->recv_aio = new_aio(on_recv, arg);
	link->send_aio = new_aio(NULL, NULL);
}

static void link_recv(struct link *link) {
	nng_iov iov = {.iov_buf = link->bytes, .iov_len = sizeof link->bytes};

	nng_aio_set_iov(link->recv_aio, 1, &iov);
	nng_stream_recv(link->stream, link->recv_aio);
}

/* In the callback of a receive: how many bytes came; 0: the other end is gone. */
static size_t link_take(struct link *link) {
	size_t n = nng_aio_result(link->recv_aio) == 0 ? nng_aio_count(link->recv_aio) : 0;

	link->received += n;
	return n;
}

/* As try_send() of lockd/io/connection.c: with one operation outstanding the socket has room for all of it. */
static bool link_send(struct link *link, const void *bytes, size_t n) {
	nng_iov iov = {.iov_buf = (void *)(uintptr_t)bytes, .iov_len = n};

	nng_aio_set_iov(link->send_aio, 1, &iov);
	nng_stream_send(link->stream, link->send_aio);
	nng_aio_cancel(link->send_aio);
	nng_aio_wait(link->send_aio);
	return nng_aio_result(link->send_aio) == 0 && nng_aio_count(link->send_aio) == n;
}

/* All the rest happens in callbacks, one of which ends the process. */
static _Noreturn void wait_for_end(void) {
	for (;;)
		(void)pause();
}

/* ---- Follower --------------------------------------------------------------------------------------------------- */

struct follower {
	struct link leader;
	struct floor_disk *disk;
};

/* Says after each sync how many bytes of the stream are on its disk. */
static void on_entries(void *arg) {
	struct follower *follower = arg;

	if (link_take(&follower->leader) == 0)
		_exit(0);
	if (floor_disk_sync(follower->disk) < 0)
		fail("sync of a follower", strerror(errno));
	if (!link_send(&follower->leader, &follower->leader.received, sizeof follower->leader.received))
		_exit(0);
	link_recv(&follower->leader);
}

void floor_nng_follow(struct floor_disk *disk, int port_pipe) {
	static struct follower follower;

	follower.disk = disk;
	link_init(&follower.leader, accept_one(port_pipe), on_entries, &follower);
	link_recv(&follower.leader);
	wait_for_end();
}

/* ---- Leader ----------------------------------------------------------------------------------------------------- */

struct leader {
	struct link client;
	struct follower_link {
		struct link link;
		struct leader *leader;
	} followers[FLOOR_FOLLOWERS];

	pthread_mutex_t lock; /* protects all below, and sending to the client */
	pthread_cond_t more_received;
	/* Bytes of the client's stream; the last in requests. */
	uint64_t received, synced, followed, answered;
};

/* Under the lock. */
static void answer_committed(struct leader *leader) {
	static const uint8_t answers[FLOOR_ANSWER_BYTES];
	uint64_t committed = leader->synced < leader->followed ? leader->synced : leader->followed;

	if (committed / FLOOR_REQUEST_BYTES == leader->answered)
		return;
	leader->answered++;
	if (!link_send(&leader->client, answers, sizeof answers))
		_exit(0); /* the followers see the end of their streams */
}

static void on_request(void *arg) {
	struct leader *leader = arg;
	size_t n = link_take(&leader->client);

	if (n == 0)
		_exit(0);
	for (int i = 0; i < FLOOR_FOLLOWERS; i++)
		if (!link_send(&leader->followers[i].link, leader->client.bytes, n))
			fail("a follower", "it is gone");
	(void)pthread_mutex_lock(&leader->lock);
	leader->received = leader->client.received;
	(void)pthread_cond_signal(&leader->more_received);
	(void)pthread_mutex_unlock(&leader->lock);
	link_recv(&leader->client);
}

/* Answers are too short to come in parts; of several, the last one says all. */
static void on_synced(void *arg) {
	struct follower_link *follower = arg;
	struct leader *leader = follower->leader;
	size_t n = link_take(&follower->link);
	uint64_t synced;

	if (n == 0 || n % sizeof synced != 0)
		fail("a follower", "it is gone");
	memcpy(&synced, follower->link.bytes + n - sizeof synced, sizeof synced);
	(void)pthread_mutex_lock(&leader->lock);
	if (synced > leader->followed)
		leader->followed = synced;
	answer_committed(leader);
	(void)pthread_mutex_unlock(&leader->lock);
	link_recv(&follower->link);
}

/* The storage thread. */
static _Noreturn void store(struct leader *leader, struct floor_disk *disk) {
	(void)pthread_mutex_lock(&leader->lock);
	for (;;) {
		uint64_t received;

		while (leader->received == leader->synced)
			(void)pthread_cond_wait(&leader->more_received, &leader->lock);
		received = leader->received;
		(void)pthread_mutex_unlock(&leader->lock);
		if (floor_disk_sync(disk) < 0)
			fail("sync of the leader", strerror(errno));
		(void)pthread_mutex_lock(&leader->lock);
		leader->synced = received;
		answer_committed(leader);
	}
}

void floor_nng_lead(struct floor_disk *disk, const uint16_t followers[FLOOR_FOLLOWERS], int port_pipe) {
	static struct leader leader = {.lock = PTHREAD_MUTEX_INITIALIZER, .more_received = PTHREAD_COND_INITIALIZER};

	for (int i = 0; i < FLOOR_FOLLOWERS; i++) {
		struct follower_link *follower = &leader.followers[i];

		follower->leader = &leader;
		link_init(&follower->link, dial(followers[i]), on_synced, follower);
		link_recv(&follower->link);
	}
	link_init(&leader.client, accept_one(port_pipe), on_request, &leader);
	link_recv(&leader.client);
	store(&leader, disk);
}

/* ---- Client ----------------------------------------------------------------------------------------------------- */

struct asker {
	struct link leader;
	const _Atomic enum floor_phase *phase;
	enum floor_phase asked_in;
	int64_t asked_ns;
	struct latency *latency;
};

static void ask(struct asker *asker) {
	static const uint8_t request[FLOOR_REQUEST_BYTES];

	asker->asked_in = atomic_load(asker->phase);
	if (asker->asked_in == FLOOR_OVER)
		_exit(0);
	asker->asked_ns = latency_now_ns();
	if (!link_send(&asker->leader, request, sizeof request))
		fail("the leader", "it is gone");
}

static void on_answer(void *arg) {
	struct asker *asker = arg;

	if (link_take(&asker->leader) == 0)
		fail("the leader", "it is gone");
	if (asker->leader.received % FLOOR_ANSWER_BYTES == 0) {
		if (asker->asked_in == FLOOR_MEASURE && atomic_load(asker->phase) == FLOOR_MEASURE)
			latency_add(asker->latency, latency_now_ns() - asker->asked_ns);
		ask(asker);
	}
	link_recv(&asker->leader);
}

void floor_nng_ask(uint16_t leader, const _Atomic enum floor_phase *phase, struct latency *latency) {
	static struct asker asker;

	asker.phase = phase;
	asker.latency = latency;
	link_init(&asker.leader, dial(leader), on_answer, &asker);
	ask(&asker);
	link_recv(&asker.leader);
	wait_for_end();
}
