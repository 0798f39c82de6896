/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "clock.h"

#include "api/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <assert.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, REQUESTS_MAX = 1024, INPUT_BYTES_MAX = 1 << 20 };

struct connection {
	int fd;
	unsigned number;
	uint8_t *in;
	size_t in_bytes;
};

struct fake {
	struct fake_manner manner;
	pthread_mutex_t mutex;
	pthread_cond_t arrived;
	pthread_t thread;
	char address[32];
	struct sockaddr_in bound;
	int listener, wake;
	bool ending;
	struct connection connections[CONNECTIONS_MAX];
	unsigned n_connections, last_number;
	struct fake_request requests[REQUESTS_MAX];
	unsigned first, n_requests;
	unsigned hellos, opens;
};

const struct fake_manner fake_leader = {.node = 1, .leader = 1, .term = 1, .cluster = 7, .drift_ppm = 100000};

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

static void write_all(int fd, const uint8_t *bytes, size_t n) {
	while (n > 0) {
		ssize_t r = send(fd, bytes, n, MSG_NOSIGNAL);
		if (r <= 0)
			return; /* the client is gone, which is for the test to judge */
		bytes += r;
		n -= (size_t)r;
	}
}

static void send_frame(int fd, uint8_t type, uint64_t id, const ProtobufCMessage *message) {
	size_t body_bytes = protobuf_c_message_get_packed_size(message);
	size_t n = frame_bytes(FRAME_CLIENT, body_bytes);
	uint8_t *bytes = malloc(n);

	protobuf_c_message_pack(message, bytes + FRAME_HEADER_BYTES);
	frame_seal(FRAME_CLIENT, type, id, body_bytes, bytes);
	write_all(fd, bytes, n);
	free(bytes);
}

static struct connection *find(struct fake *fake, unsigned number) {
	for (unsigned i = 0; i < fake->n_connections; i++)
		if (fake->connections[i].number == number)
			return &fake->connections[i];
	return NULL;
}

static void send_to(struct fake *fake, const struct fake_request *request, uint8_t type,
		    const ProtobufCMessage *message) {
	struct connection *connection;

	pthread_mutex_lock(&fake->mutex);
	connection = find(fake, request->connection);
	if (connection)
		send_frame(connection->fd, type, request->id, message);
	pthread_mutex_unlock(&fake->mutex);
}

void fake_reply(struct fake *fake, const struct fake_request *request, const Client__Reply *reply) {
	send_to(fake, request, FRAME_REPLY, &reply->base);
}

void fake_reply_status(struct fake *fake, const struct fake_request *request, enum lockd_status status) {
	Client__Reply reply = CLIENT__REPLY__INIT;

	reply.status = status;
	fake_reply(fake, request, &reply);
}

void fake_event(struct fake *fake, const struct fake_request *observe, const Client__Event *event) {
	send_to(fake, observe, FRAME_EVENT, &event->base);
}

void fake_write(struct fake *fake, const void *bytes, size_t n) {
	pthread_mutex_lock(&fake->mutex);
	for (unsigned i = 0; i < fake->n_connections; i++)
		write_all(fake->connections[i].fd, bytes, n);
	pthread_mutex_unlock(&fake->mutex);
}

/* ---- Answering by itself ---------------------------------------------------------------------------------------- */

static void say_hello_reply(struct fake *fake, struct connection *connection, uint64_t id) {
	const struct fake_manner *manner = &fake->manner;
	Client__HelloReply reply = CLIENT__HELLO_REPLY__INIT;
	Client__Node nodes[FAKE_NODES_MAX], *pointers[FAKE_NODES_MAX];
	uint8_t incarnation[16];

	memset(incarnation, manner->cluster, sizeof incarnation);
	reply.status = manner->hello_status;
	reply.protocol = manner->protocol ? manner->protocol : 1;
	reply.protocol_min = reply.protocol_max = reply.protocol;
	if (manner->cluster)
		reply.incarnation = (ProtobufCBinaryData){.len = 16, .data = incarnation};
	reply.node = manner->node;
	reply.group = 1;
	reply.leader = manner->leader;
	reply.drift_ppm = manner->drift_ppm;
	reply.disk_full = manner->disk_full;
	reply.nodes = pointers;
	for (unsigned i = 0; i < FAKE_NODES_MAX && manner->nodes[i]; i++) {
		client__node__init(&nodes[i]);
		nodes[i].node = manner->nodes[i];
		nodes[i].client_address = (ProtobufCBinaryData){.len = strlen(manner->addresses[i]),
								.data = (uint8_t *)manner->addresses[i]};
		pointers[reply.n_nodes++] = &nodes[i];
	}
	if (!manner->mute)
		send_frame(connection->fd, FRAME_HELLO_REPLY, id, &reply.base);
}

static void answer(struct fake *fake, struct connection *connection, uint64_t id, const Client__Request *request) {
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__SessionId session = CLIENT__SESSION_ID__INIT;
	Client__NodeStatus node = CLIENT__NODE_STATUS__INIT;
	uint32_t *statuses = NULL;

	switch (request->body_case) {
	case CLIENT__REQUEST__BODY_OPEN:
		session.epoch = 1;
		session.group = 1;
		session.opened = ++fake->opens << 16;
		reply.session = &session;
		reply.ttl_ms = request->open->ttl_ms;
		break;
	case CLIENT__REQUEST__BODY_KEEP_ALIVE:
		statuses = calloc(request->keep_alive->n_sessions + 1, sizeof *statuses);
		reply.keep_alives = statuses;
		reply.n_keep_alives = request->keep_alive->n_sessions;
		break;
	case CLIENT__REQUEST__BODY_STATUS:
		node.node = fake->manner.node;
		node.leader = fake->manner.leader;
		node.term = fake->manner.term;
		reply.node = &node;
		break;
	default: break;
	}
	send_frame(connection->fd, FRAME_REPLY, id, &reply.base);
	free(statuses);
}

static bool is_dropped(const struct fake_manner *manner, const Client__Request *request) {
	return manner->silent || (manner->drops_keep_alive && request->body_case == CLIENT__REQUEST__BODY_KEEP_ALIVE);
}

static bool is_taken(const struct fake_manner *manner, const Client__Request *request) {
	switch (request->body_case) {
	case CLIENT__REQUEST__BODY_OPEN: return manner->takes_open;
	case CLIENT__REQUEST__BODY_KEEP_ALIVE: return manner->takes_keep_alive;
	case CLIENT__REQUEST__BODY_STATUS: return manner->takes_status;
	case CLIENT__REQUEST__BODY_CLOSE: return manner->takes_close;
	case CLIENT__REQUEST__BODY_CANCEL: return manner->takes_cancel;
	case CLIENT__REQUEST__BODY_UNOBSERVE: return false;
	default: return true;
	}
}

static void hand_over(struct fake *fake, struct connection *connection, uint64_t id, Client__Request *message) {
	assert(fake->n_requests < REQUESTS_MAX);
	fake->requests[(fake->first + fake->n_requests++) % REQUESTS_MAX] = (struct fake_request){
		.id = id,
		.connection = connection->number,
		.message = message,
		.received_us = lockd__clock_us(),
	};
	pthread_cond_broadcast(&fake->arrived);
}

static void take_frame(struct fake *fake, struct connection *connection, const struct frame *frame) {
	Client__Request *message;

	if (frame->type == FRAME_HELLO) {
		fake->hellos++;
		say_hello_reply(fake, connection, 0);
		return;
	}
	assert(frame->type == FRAME_REQUEST);
	message = client__request__unpack(NULL, frame->body_bytes, frame->body);
	assert(message);
	if (is_dropped(&fake->manner, message)) {
		client__request__free_unpacked(message, NULL);
	} else if (is_taken(&fake->manner, message)) {
		hand_over(fake, connection, frame->id, message);
	} else {
		answer(fake, connection, frame->id, message);
		client__request__free_unpacked(message, NULL);
	}
}

/* ---- The node's thread ------------------------------------------------------------------------------------------ */

static void drop(struct fake *fake, struct connection *connection) {
	close(connection->fd);
	free(connection->in);
	*connection = fake->connections[--fake->n_connections];
}

static void read_from(struct fake *fake, struct connection *connection) {
	ssize_t r = recv(connection->fd, connection->in + connection->in_bytes, INPUT_BYTES_MAX - connection->in_bytes,
			 MSG_DONTWAIT);
	size_t taken = 0, n;
	struct frame frame;

	if (r <= 0) {
		drop(fake, connection);
		return;
	}
	connection->in_bytes += (size_t)r;
	while (frame_parse(FRAME_CLIENT, connection->in + taken, connection->in_bytes - taken, INPUT_BYTES_MAX, &frame,
			   &n) == 0) {
		take_frame(fake, connection, &frame);
		taken += n;
	}
	connection->in_bytes -= taken;
	memmove(connection->in, connection->in + taken, connection->in_bytes);
}

static void accept_one(struct fake *fake) {
	int fd = accept(fake->listener, NULL, NULL), on = 1;

	if (fd < 0)
		return;
	assert(fake->n_connections < CONNECTIONS_MAX);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	fake->connections[fake->n_connections++] = (struct connection){
		.fd = fd,
		.number = ++fake->last_number,
		.in = malloc(INPUT_BYTES_MAX),
	};
}

static unsigned collect(struct fake *fake, struct pollfd *polled) {
	unsigned n = 0;

	polled[n++] = (struct pollfd){.fd = fake->wake, .events = POLLIN};
	polled[n++] = (struct pollfd){.fd = fake->listener, .events = POLLIN}; /* -1 is ignored by poll() */
	for (unsigned i = 0; i < fake->n_connections; i++)
		polled[n++] = (struct pollfd){.fd = fake->connections[i].fd, .events = POLLIN};
	return n;
}

static void serve(struct fake *fake, const struct pollfd *polled, unsigned n) {
	uint64_t woken;

	if (polled[0].revents)
		(void)!read(fake->wake, &woken, sizeof woken);
	for (unsigned i = n; i-- > 2;)
		for (unsigned j = 0; j < fake->n_connections; j++)
			if (polled[i].revents && fake->connections[j].fd == polled[i].fd) {
				read_from(fake, &fake->connections[j]);
				break;
			}
	if (polled[1].revents && fake->listener >= 0)
		accept_one(fake);
}

static void *run(void *arg) {
	struct fake *fake = arg;
	struct pollfd polled[CONNECTIONS_MAX + 2];
	unsigned n;

	pthread_mutex_lock(&fake->mutex);
	while (!fake->ending) {
		n = collect(fake, polled);
		pthread_mutex_unlock(&fake->mutex);
		(void)poll(polled, n, -1);
		pthread_mutex_lock(&fake->mutex);
		serve(fake, polled, n);
	}
	pthread_mutex_unlock(&fake->mutex);
	return NULL;
}

static void wake(struct fake *fake) {
	uint64_t one = 1;

	(void)!write(fake->wake, &one, sizeof one);
}

static void listen_again(struct fake *fake) {
	socklen_t n = sizeof fake->bound;
	int on = 1, tries = 0;

	fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_true(fake->listener >= 0);
	(void)setsockopt(fake->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	/* The node's thread may still be polling the socket that was closed last. */
	while (bind(fake->listener, (struct sockaddr *)&fake->bound, sizeof fake->bound) != 0 &&
	       tries++ < FAKE_PATIENCE_MS)
		usleep(1000);
	assert_int_equal(listen(fake->listener, 16), 0);
	assert_int_equal(getsockname(fake->listener, (struct sockaddr *)&fake->bound, &n), 0);
}

struct fake *fake_new(const struct fake_manner *manner) {
	struct fake *fake = calloc(1, sizeof *fake);

	fake->manner = *manner;
	pthread_mutex_init(&fake->mutex, NULL);
	lockd__clock_cond_init(&fake->arrived);
	fake->wake = eventfd(0, EFD_NONBLOCK);
	fake->bound = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listen_again(fake);
	snprintf(fake->address, sizeof fake->address, "127.0.0.1:%u", ntohs(fake->bound.sin_port));
	assert_int_equal(pthread_create(&fake->thread, NULL, run, fake), 0);
	return fake;
}

void fake_free(struct fake *fake) {
	pthread_mutex_lock(&fake->mutex);
	fake->ending = true;
	wake(fake);
	pthread_mutex_unlock(&fake->mutex);
	pthread_join(fake->thread, NULL);
	while (fake->n_connections > 0)
		drop(fake, &fake->connections[0]);
	for (; fake->n_requests > 0; fake->n_requests--, fake->first++)
		client__request__free_unpacked(fake->requests[fake->first % REQUESTS_MAX].message, NULL);
	if (fake->listener >= 0)
		close(fake->listener);
	close(fake->wake);
	pthread_cond_destroy(&fake->arrived);
	pthread_mutex_destroy(&fake->mutex);
	free(fake);
}

const char *fake_address(const struct fake *fake) {
	return fake->address;
}

void fake_set(struct fake *fake, const struct fake_manner *manner) {
	pthread_mutex_lock(&fake->mutex);
	fake->manner = *manner;
	pthread_mutex_unlock(&fake->mutex);
}

void fake_cut(struct fake *fake) {
	pthread_mutex_lock(&fake->mutex);
	while (fake->n_connections > 0)
		drop(fake, &fake->connections[0]);
	wake(fake);
	pthread_mutex_unlock(&fake->mutex);
}

void fake_stop(struct fake *fake) {
	pthread_mutex_lock(&fake->mutex);
	close(fake->listener);
	fake->listener = -1;
	pthread_mutex_unlock(&fake->mutex);
	fake_cut(fake);
}

void fake_start(struct fake *fake) {
	pthread_mutex_lock(&fake->mutex);
	listen_again(fake);
	wake(fake);
	pthread_mutex_unlock(&fake->mutex);
}

/* ---- Requests --------------------------------------------------------------------------------------------------- */

bool fake_has(struct fake *fake, int wait_ms) {
	int64_t deadline_us = lockd__clock_deadline_us(lockd__clock_us(), wait_ms);
	bool has;

	pthread_mutex_lock(&fake->mutex);
	while (fake->n_requests == 0 && lockd__clock_us() < deadline_us)
		lockd__clock_wait(&fake->arrived, &fake->mutex, deadline_us);
	has = fake->n_requests > 0;
	pthread_mutex_unlock(&fake->mutex);
	return has;
}

struct fake_request fake_take(struct fake *fake) {
	struct fake_request request;

	if (!fake_has(fake, FAKE_PATIENCE_MS))
		fail_msg("%s: no request came", fake->address);
	pthread_mutex_lock(&fake->mutex);
	request = fake->requests[fake->first++ % REQUESTS_MAX];
	fake->n_requests--;
	pthread_mutex_unlock(&fake->mutex);
	return request;
}

struct fake_request fake_take_kind(struct fake *fake, Client__Request__BodyCase kind) {
	struct fake_request request = fake_take(fake);

	assert_int_equal(request.message->body_case, kind);
	return request;
}

void fake_request_free(struct fake_request *request) {
	client__request__free_unpacked(request->message, NULL);
	request->message = NULL;
}

static unsigned get(struct fake *fake, const unsigned *counter) {
	unsigned n;

	pthread_mutex_lock(&fake->mutex);
	n = *counter;
	pthread_mutex_unlock(&fake->mutex);
	return n;
}

unsigned fake_connections(struct fake *fake) {
	return get(fake, &fake->n_connections);
}

void fake_greet_again(struct fake *fake, uint64_t id) {
	pthread_mutex_lock(&fake->mutex);
	for (unsigned i = 0; i < fake->n_connections; i++)
		say_hello_reply(fake, &fake->connections[i], id);
	pthread_mutex_unlock(&fake->mutex);
}

unsigned fake_hellos(struct fake *fake) {
	return get(fake, &fake->hellos);
}
unsigned fake_opens(struct fake *fake) {
	return get(fake, &fake->opens);
}

/* ---- Beginnings ------------------------------------------------------------------------------------------------- */

struct lockd_client *fake_client(const char *endpoints) {
	struct lockd_client *client = NULL;
	struct lockd_options options = {.endpoints = endpoints, .owner = "ann", .host = "here"};

	assert_int_equal(lockd_open(&options, &client), LOCKD_OK);
	return client;
}

struct lockd_session *fake_session(struct lockd_client *client, uint32_t ttl_ms) {
	struct lockd_session *session = NULL;
	struct lockd_session_options options = {.ttl_ms = ttl_ms};

	assert_int_equal(lockd_session_open(client, &options, FAKE_PATIENCE_MS, &session), LOCKD_OK);
	return session;
}

static pthread_mutex_t results = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resulted = PTHREAD_COND_INITIALIZER;

void fake_done(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct fake_result *result = user;

	pthread_mutex_lock(&results);
	*result = (struct fake_result){.done = true, .status = status, .grant = *grant};
	pthread_cond_broadcast(&resulted);
	pthread_mutex_unlock(&results);
}

void fake_await(struct fake_result *result) {
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FAKE_PATIENCE_MS / 1000;
	pthread_mutex_lock(&results);
	while (!result->done && r == 0)
		r = pthread_cond_timedwait(&resulted, &results, &until);
	pthread_mutex_unlock(&results);
	assert_true(result->done);
}

bool fake_is_done(struct fake_result *result) {
	bool done;

	pthread_mutex_lock(&results);
	done = result->done;
	pthread_mutex_unlock(&results);
	return done;
}
