/* SPDX-License-Identifier: Apache-2.0 */
/* resign: only the session that leads can resign, and its handle lives in the process that opened it. So that process
 * is asked, by SIGTERM, if it is a lockctl on this host; then the election is observed until somebody else or nobody
 * leads.
 *
 * The process is held by a pidfd while it is looked at, so that the signal cannot hit another one that got its number.
 */
#include "cli/arguments.h"
#include "cli/connection.h"
#include "cli/report.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

struct resignation {
	uint64_t token; /* of the leadership that is to end */
	int over_fd;    /* written by the callback when it has */
};

static void on_event(void *user, const struct lockd_event *event) {
	const struct resignation *resignation = user;
	uint64_t one = 1;
	bool leads = event->kind == LOCKD_EVENT_LEADER && event->token == resignation->token;

	/* A gap says nothing about who leads; the state of affairs follows. */
	if (!leads && event->kind != LOCKD_EVENT_GAP)
		(void)!write(resignation->over_fd, &one, sizeof one);
}

static bool is_this_host(const char *host) {
	char here[HOST_NAME_MAX + 1];

	return host && gethostname(here, sizeof here) == 0 && !strcmp(host, here);
}

static bool is_lockctl(uint32_t pid) {
	char path[32], name[32] = "";
	FILE *stream;

	(void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/comm", pid);
	stream = fopen(path, "re");
	if (!stream)
		return false;
	if (!fgets(name, sizeof name, stream))
		*name = '\0';
	(void)fclose(stream);
	return !strcmp(name, "lockctl\n");
}

/* 0 and a pidfd of the leading process; or an exit status after a message that names it. */
static int find_process(const char *election, const struct lockd_session_info *holder, int *ret_fd) {
	int fd;

	if (!is_this_host(holder->host)) {
		report("resign: %s: the leader runs on host %s, pid %" PRIu32 ": resign there", election, holder->host,
		       holder->pid);
		return EXIT_OTHER;
	}
	fd = pidfd_open((pid_t)holder->pid, 0);
	if (fd < 0) {
		report("resign: %s: the leader, pid %" PRIu32 " on this host: %s", election, holder->pid,
		       strerror(errno));
		return EXIT_OTHER;
	}
	if (!is_lockctl(holder->pid)) {
		report("resign: %s: the leader, pid %" PRIu32 " on this host, is not lockctl: it must resign by itself",
		       election, holder->pid);
		(void)close(fd);
		return EXIT_OTHER;
	}
	*ret_fd = fd;
	return 0;
}

static int64_t now_ms(void) {
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool wait_over(const struct resignation *resignation, int timeout_ms) {
	struct pollfd fd = {.fd = resignation->over_fd, .events = POLLIN};
	int64_t deadline = now_ms() + timeout_ms, left;
	int r;

	do {
		left = deadline - now_ms();
		r = poll(&fd, 1, left > 0 ? (int)left : 0);
	} while (r < 0 && errno == EINTR);
	return r > 0;
}

static int ask(const struct arguments *arguments, struct lockd_client *client, const struct lockd_lock_info *lock,
	       int process_fd) {
	struct resignation resignation = {.token = lock->token, .over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	const char *election = arguments->operands[0];
	struct lockd_observation *observation;
	enum lockd_status status;
	int r = 0;

	if (resignation.over_fd < 0) {
		report("eventfd: %s", strerror(errno));
		return EXIT_OTHER;
	}
	status = lockd_observe(client, election, 0, on_event, &resignation, &observation);
	if (status) {
		(void)close(resignation.over_fd);
		return report_status(client, "resign", status);
	}

	if (pidfd_send_signal(process_fd, SIGTERM, NULL, 0) < 0 && errno != ESRCH) {
		report("resign: %s: pid %" PRIu32 ": %s", election, lock->holder.pid, strerror(errno));
		r = EXIT_OTHER;
	} else if (!wait_over(&resignation, arguments->timeout_ms)) {
		report("resign: %s: pid %" PRIu32 " was sent SIGTERM and still leads", election, lock->holder.pid);
		r = EXIT_OTHER;
	}
	lockd_observe_stop(observation);
	(void)close(resignation.over_fd);
	return r;
}

int verb_resign(const struct arguments *arguments) {
	struct lockd_client *client;
	struct lockd_lock_list *list;
	enum lockd_status status;
	int process_fd, r;

	r = connection_open(arguments, &client);
	if (r)
		return r;
	status = lockd_show(client, arguments->operands[0], NULL, arguments->timeout_ms, &list);
	if (status == LOCKD_NOT_FOUND) {
		report("resign: %s: vacant", arguments->operands[0]);
		r = EXIT_NOTHING;
	} else if (status) {
		r = report_status(client, "resign", status);
	} else {
		assert(list->n == 1);
		r = find_process(arguments->operands[0], &list->locks->holder, &process_fd);
		if (r == 0) {
			r = ask(arguments, client, list->locks, process_fd);
			(void)close(process_fd);
		}
		lockd_lock_list_free(list);
	}
	lockd_close(client);
	return r;
}
