/* SPDX-License-Identifier: Apache-2.0 */
/* A client that asks and never reads: `slow_reader HOST PORT SECONDS`, on a bare socket. It says HELLO, then writes
 * List requests as fast as they are taken until the node closes the connection or takes nothing more, and in that case
 * stays for SECONDS without a byte read. Prints "closed N" or "limited N", N being the bytes that were taken. Exit
 * status: 0, 1 when the node took more than BYTES_MAX, 2 for what has nothing to do with the node. */
#include "api/client.pb-c.h"
#include "api/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BYTES_MAX = 64 << 20,
	TAKEN_NOTHING_MS = 2000,
};

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

/* 1: taken, 0: nothing is taken any more, -1: closed. */
static int send_all(int fd, const uint8_t *bytes, size_t n) {
	while (n > 0) {
		struct pollfd ready = {.fd = fd, .events = POLLOUT};
		int r = poll(&ready, 1, TAKEN_NOTHING_MS);
		ssize_t sent;

		if (r == 0)
			return 0;
		if (r < 0 || ready.revents & (POLLERR | POLLHUP))
			return -1;
		sent = send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (sent < 0)
			return -1;
		bytes += sent;
		n -= (size_t)sent;
	}
	return 1;
}

/* The connection is closed before the time is over. */
static bool is_closed_within(int fd, long seconds) {
	struct pollfd ready = {.fd = fd};

	return poll(&ready, 1, (int)seconds * 1000) > 0;
}

int main(int argc, char **argv) {
	uint8_t frame[256];
	size_t taken, n;
	int fd, r = 1;

	if (argc != 4 || (fd = connect_to(argv[1], argv[2])) < 0)
		return perror("slow_reader"), 2;
	taken = n = make_hello(frame);
	if (send_all(fd, frame, n) != 1)
		return fprintf(stderr, "slow_reader: HELLO was not taken\n"), 2;
	for (uint64_t id = 1; r == 1 && taken < BYTES_MAX; id++, taken += n) {
		n = make_list(id, frame);
		r = send_all(fd, frame, n);
	}
	if (r == 1)
		return fprintf(stderr, "slow_reader: the node has taken %zu bytes\n", taken), 1;
	if (r == 0 && is_closed_within(fd, strtol(argv[3], NULL, 10)))
		r = -1;
	printf("%s %zu\n", r < 0 ? "closed" : "limited", taken);
	return 0;
}
