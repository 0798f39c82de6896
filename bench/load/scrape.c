/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load/scrape.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ADDRESS_BYTES_MAX = 256, ANSWER_S = 5 };

static int dial(char *address) {
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	const struct timeval patience = {.tv_sec = ANSWER_S};
	char *port = strrchr(address, ':');
	struct addrinfo *found;
	int fd = -1;

	if (!port)
		return -1;
	*port++ = '\0';
	if (getaddrinfo(address, port, &hints, &found) != 0)
		return -1;
	for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
		fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
		if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
				connect(fd, at->ai_addr, at->ai_addrlen) < 0)) {
			(void)close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(found);
	return fd;
}

/* HTTP/1.0: the answer ends with the connection. */
static FILE *get(char *address) {
	static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
	int fd = dial(address);
	FILE *answer;

	if (fd < 0)
		return NULL;
	answer = write(fd, request, sizeof request - 1) == sizeof request - 1 ? fdopen(fd, "r") : NULL;
	if (!answer)
		(void)close(fd);
	return answer;
}

/* 0, or -1: the series is not there. */
static int find(FILE *answer, const char *series, uint64_t *ret) {
	size_t n = strlen(series), room = 0;
	char *line = NULL;
	int r = -1;

	while (r < 0 && getline(&line, &room, answer) > 0) {
		if (strncmp(line, series, n) == 0 && line[n] == ' ') {
			*ret = strtoull(line + n, NULL, 10);
			r = 0;
		}
	}
	free(line);
	return r;
}

static int scrape_one(const char *first, size_t n, const char *series, char *why, size_t why_bytes, uint64_t *ret) {
	char address[ADDRESS_BYTES_MAX];
	FILE *answer;
	int r;

	(void)snprintf(address, sizeof address, "%.*s", (int)n, first);
	answer = get(address);
	if (!answer) {
		(void)snprintf(why, why_bytes, "%.*s does not answer", (int)n, first);
		return -1;
	}
	r = find(answer, series, ret);
	(void)fclose(answer);
	if (r < 0)
		(void)snprintf(why, why_bytes, "%.*s does not show %s", (int)n, first, series);
	return r;
}

int scrape_sum(const char *addresses, const char *series, char *why, size_t why_bytes, uint64_t *ret) {
	uint64_t sum = 0, value;

	for (;;) {
		size_t n = strcspn(addresses, ",");

		if (scrape_one(addresses, n, series, why, why_bytes, &value) < 0)
			return -1;
		sum += value;
		if (!addresses[n])
			break;
		addresses += n + 1;
	}
	*ret = sum;
	return 0;
}
