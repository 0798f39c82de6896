/* SPDX-License-Identifier: Apache-2.0 */
/* A bad line: passes connections on, and breaks the first CUTS of them that carry more than BYTES.
 *
 *     snapshot_cutter LISTEN_PORT TARGET_PORT BYTES CUTS */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct direction {
	int from, to;
	bool counted;
};

static size_t bytes_max;
static atomic_int cuts_left;

static struct sockaddr_in loopback(const char *port) {
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
				    .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}

static bool pass(int to, const char *bytes, ssize_t n) {
	for (ssize_t done = 0; done < n;) {
		ssize_t written = write(to, bytes + done, (size_t)(n - done));

		if (written <= 0)
			return false;
		done += written;
	}
	return true;
}

/* Whether this direction ends here. The sender finds the line dead; to the receiver all arrives that was carried,
 * however late it reads: a reset would take from it what it has not read yet, and how far an attempt came would be a
 * matter of its speed. */
static bool cuts(const struct direction *direction, size_t carried) {
	if (!direction->counted || carried <= bytes_max || atomic_fetch_sub(&cuts_left, 1) <= 0)
		return false;
	printf("cut after %zu bytes\n", carried);
	(void)shutdown(direction->from, SHUT_RDWR);
	return true;
}

static void *carry(void *arg) {
	struct direction *direction = arg;
	static _Thread_local char bytes[64 << 10];
	size_t carried = 0;
	bool open = true;
	ssize_t n;

	/* What nobody takes any more is read all the same, until the sender has ended, too: unread bytes would make a
	 * reset of the end. */
	while ((n = read(direction->from, bytes, sizeof bytes)) > 0) {
		open = open && pass(direction->to, bytes, n);
		carried += (size_t)n;
		if (open && cuts(direction, carried))
			break;
	}
	(void)shutdown(direction->to, SHUT_WR); /* may be down already */
	close(direction->from);
	close(direction->to);
	free(direction);
	return NULL;
}

static void start(int from, int to, bool counted) {
	struct direction *direction = malloc(sizeof *direction);
	pthread_t thread;

	*direction = (struct direction){.from = from, .to = to, .counted = counted};
	if (pthread_create(&thread, NULL, carry, direction) != 0)
		abort();
	pthread_detach(thread);
}

static void serve(int accepted, const char *target) {
	struct sockaddr_in address = loopback(target);
	int dialled = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(dialled, (struct sockaddr *)&address, sizeof address) < 0) {
		close(dialled);
		close(accepted);
		return;
	}
	/* Descriptors of its own for each direction: neither closes what the other still names. */
	start(accepted, dup(dialled), true);
	start(dialled, dup(accepted), false);
}

int main(int argc, char *argv[]) {
	struct sockaddr_in address;
	int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	if (argc != 5)
		return 64;
	address = loopback(argv[1]);
	bytes_max = (size_t)strtoul(argv[3], NULL, 10);
	atomic_store(&cuts_left, (int)strtol(argv[4], NULL, 10));
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 64) < 0) {
		perror("snapshot_cutter");
		return 1;
	}
	for (;;) {
		int accepted = accept(listener, NULL, NULL);

		if (accepted >= 0)
			serve(accepted, argv[2]);
	}
}
