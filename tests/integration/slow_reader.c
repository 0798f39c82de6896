/* SPDX-License-Identifier: Apache-2.0 */
/* A client that asks and never reads: `slow_reader HOST PORT REQUESTS SECONDS`, on a bare socket. It says HELLO, writes
 * so many List requests as fast as they are taken, then one more now and then, until the node closes the connection:
 * its end cannot be seen otherwise, since it stands behind what was not read. Prints the bytes that were taken. Exit
 * status: 0 closed, 1 still open after SECONDS, 2 for what has nothing to do with the node. */
#include "api/client.pb-c.h"
#include "api/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_MS = 50 };

static size_t make_frame(uint8_t type, uint64_t id, size_t body_bytes, uint8_t *out) {
	frame_seal(FRAME_CLIENT, type, id, body_bytes, out);
	return frame_bytes(FRAME_CLIENT, body_bytes);
}

static size_t make_hello(uint8_t *out) {
	Client__Hello hello = CLIENT__HELLO__INIT;

	hello.protocol_min = PROTOCOL_VERSION_MIN;
	hello.protocol_max = PROTOCOL_VERSION_MAX;
	return make_frame(FRAME_HELLO, 0, client__hello__pack(&hello, out + FRAME_HEADER_BYTES), out);
}

static size_t make_list(uint64_t id, uint8_t *out) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__List list = CLIENT__LIST__INIT;

	request.body_case = CLIENT__REQUEST__BODY_LIST;
	request.list = &list;
	return make_frame(FRAME_REQUEST, id, client__request__pack(&request, out + FRAME_HEADER_BYTES), out);
}

static int connect_to(const char *host, const char *port) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	int fd = socket(AF_INET, SOCK_STREAM, 0), small = 4096;

	if (fd < 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small); /* so that less hides in the kernel */
	return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : fd;
}

static uint64_t now_ms(void) {
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Bytes taken, 0: none before `until`, -1: closed. */
static ssize_t send_some(int fd, const uint8_t *bytes, size_t n, uint64_t until) {
	for (;;) {
		struct pollfd ready = {.fd = fd, .events = POLLOUT};
		uint64_t now = now_ms();
		ssize_t sent;

		if (now >= until)
			return 0;
		if (poll(&ready, 1, (int)(until - now)) > 0 && ready.revents & (POLLERR | POLLHUP))
			return -1;
		sent = send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0)
			return sent;
		if (errno != EAGAIN && errno != EINTR)
			return -1;
	}
}

/* 0: closed, 1: still open at `until`. */
static int flood(int fd, uint64_t requests, uint64_t until, size_t *taken) {
	uint8_t frame[256];
	size_t n = make_hello(frame), at = 0;
	uint64_t id = 0;

	for (;;) {
		ssize_t sent = send_some(fd, frame + at, n - at, until);

		if (sent <= 0)
			return sent < 0 ? 0 : 1;
		*taken += (size_t)sent;
		at += (size_t)sent;
		if (at < n)
			continue;
		n = make_list(++id, frame);
		at = 0;
		if (id > requests)
			(void)poll(NULL, 0, PAUSE_MS);
	}
}

int main(int argc, char **argv) {
	size_t taken = 0;
	int fd, r;

	if (argc != 5)
		return fprintf(stderr, "usage: slow_reader HOST PORT REQUESTS SECONDS\n"), 2;
	fd = connect_to(argv[1], argv[2]);
	if (fd < 0)
		return perror("slow_reader"), 2;
	r = flood(fd, strtoull(argv[3], NULL, 10), now_ms() + strtoull(argv[4], NULL, 10) * 1000, &taken);
	printf("%s after %zu bytes\n", r == 0 ? "closed" : "still open", taken);
	return r;
}
