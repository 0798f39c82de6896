/* SPDX-License-Identifier: Apache-2.0 */
/* observe: a line for every change of an election's leader.
 *
 * A callback of the library must not block, and writing to a pipe may: events are copied into a ring that the main
 * thread prints from. A reader so slow that the ring fills up ends the observation with the revision to go on from. */
#include "cli/arguments.h"
#include "cli/connection.h"
#include "cli/document.h"
#include "cli/report.h"
#include "cli/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RING_EVENTS = 1024 };

struct change {
	enum lockd_event_kind kind;
	uint64_t revision, token;
	uint32_t pid;
	char *value, *owner, *host; /* in one allocation that begins at `value` */
};

struct observer {
	const struct arguments *arguments;
	struct signals signals;
	int wake_fd;
	uint64_t printed;
	uint64_t revision; /* of the last line */

	pthread_mutex_t mutex; /* for what follows */
	struct change ring[RING_EVENTS];
	size_t first, n;
	bool overrun; /* the ring was full, or memory was; nothing is taken any more */
};

static bool copy_event(const struct lockd_event *event, struct change *ret) {
	const char *value = event->value ? event->value : "", *owner = event->owner ? event->owner : "",
		   *host = event->host ? event->host : "";
	size_t n_value = strlen(value) + 1, n_owner = strlen(owner) + 1, n_host = strlen(host) + 1;
	char *text = malloc(n_value + n_owner + n_host);

	if (!text)
		return false;
	*ret = (struct change){
		.kind = event->kind,
		.revision = event->revision,
		.token = event->token,
		.pid = event->pid,
		.value = memcpy(text, value, n_value),
		.owner = memcpy(text + n_value, owner, n_owner),
		.host = memcpy(text + n_value + n_owner, host, n_host),
	};
	return true;
}

static void on_event(void *user, const struct lockd_event *event) {
	struct observer *observer = user;
	uint64_t one = 1;

	(void)pthread_mutex_lock(&observer->mutex);
	if (!observer->overrun) {
		size_t at = (observer->first + observer->n) % RING_EVENTS;

		if (observer->n < RING_EVENTS && copy_event(event, &observer->ring[at]))
			observer->n++;
		else
			observer->overrun = true;
	}
	(void)pthread_mutex_unlock(&observer->mutex);
	/* EAGAIN: the reader is awake already. */
	(void)!write(observer->wake_fd, &one, sizeof one);
}

static bool take_change(struct observer *observer, struct change *ret) {
	bool taken;

	(void)pthread_mutex_lock(&observer->mutex);
	taken = observer->n > 0;
	if (taken) {
		*ret = observer->ring[observer->first];
		observer->first = (observer->first + 1) % RING_EVENTS;
		observer->n--;
	}
	(void)pthread_mutex_unlock(&observer->mutex);
	return taken;
}

static bool is_overrun(struct observer *observer) {
	bool overrun;

	(void)pthread_mutex_lock(&observer->mutex);
	overrun = observer->overrun;
	(void)pthread_mutex_unlock(&observer->mutex);
	return overrun;
}

static int print_line(const struct change *change) {
	switch (change->kind) {
	case LOCKD_EVENT_LEADER:
		printf("%" PRIu64 " %" PRIu64 " %s\n", change->revision, change->token, change->value);
		break;
	case LOCKD_EVENT_VACANT: printf("%" PRIu64 " (vacant)\n", change->revision); break;
	case LOCKD_EVENT_GAP: printf("%" PRIu64 " gap\n", change->revision); break;
	}
	return 0;
}

static int print_document(const struct change *change) {
	static const char *const kinds[] = {
		[LOCKD_EVENT_LEADER] = "leader", [LOCKD_EVENT_VACANT] = "vacant", [LOCKD_EVENT_GAP] = "gap"};

	if (change->kind != LOCKD_EVENT_LEADER)
		return document_print(
			json_pack("{s:s, s:o}", "kind", kinds[change->kind], "revision", document_id(change->revision)),
			DOCUMENT_LINE);
	return document_print(json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:I}", "kind", kinds[change->kind], "revision",
					document_id(change->revision), "token", document_id(change->token), "value",
					document_text(change->value), "owner", document_text(change->owner), "host",
					document_text(change->host), "pid", (json_int_t)change->pid),
			      DOCUMENT_LINE);
}

static bool is_complete(const struct observer *observer) {
	return observer->arguments->count && observer->printed >= observer->arguments->count;
}

/* Each line is flushed: whoever waits for a change waits for this one. */
static int print_changes(struct observer *observer) {
	struct change change;
	int r = 0;

	while (r == 0 && !is_complete(observer) && take_change(observer, &change)) {
		r = arguments_given(observer->arguments, OPTION_JSON) ? print_document(&change) : print_line(&change);
		if (r == 0)
			r = report_stdout();
		observer->revision = change.revision;
		observer->printed++;
		free(change.value);
	}
	return r;
}

static bool interrupted(struct observer *observer) {
	int signal;

	while ((signal = signals_next(&observer->signals)))
		if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT)
			return true;
	return false;
}

static int follow(struct observer *observer) {
	struct pollfd fds[] = {{.fd = observer->signals.fd, .events = POLLIN},
			       {.fd = observer->wake_fd, .events = POLLIN}};
	uint64_t count;
	int r;

	for (;;) {
		bool overrun = is_overrun(observer);

		r = print_changes(observer);
		if (r || is_complete(observer) || interrupted(observer))
			return r;
		/* Only when what came before it is printed, so that the revision is the right one. */
		if (overrun) {
			report("observe: the output is read too slowly; go on with --since %" PRIu64,
			       observer->revision);
			return EXIT_OTHER;
		}
		if (poll(fds, sizeof fds / sizeof *fds, -1) > 0 && fds[1].revents)
			(void)!read(observer->wake_fd, &count, sizeof count);
	}
}

static int observe(struct observer *observer, struct lockd_client *client) {
	const char *name = observer->arguments->operands[0];
	struct lockd_observation *observation;
	struct lockd_lock_list *list;
	enum lockd_status status;
	int r;

	/* An observation outlasts any failure of the cluster. That there is one at all is asked first, so that a wrong
	 * address does not look like an election without changes. */
	status = lockd_show(client, name, NULL, observer->arguments->timeout_ms, &list);
	if (status && status != LOCKD_NOT_FOUND)
		return report_status(client, "observe", status);
	if (!status)
		lockd_lock_list_free(list);

	status = lockd_observe(client, name, observer->arguments->since, on_event, observer, &observation);
	if (status)
		return report_status(client, "observe", status);
	r = follow(observer);
	lockd_observe_stop(observation);
	return r;
}

static int observe_with_signals(struct observer *observer) {
	struct lockd_client *client;
	struct change change;
	int r;

	observer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (observer->wake_fd < 0) {
		report("eventfd: %s", strerror(errno));
		return EXIT_OTHER;
	}
	r = connection_open(observer->arguments, &client);
	if (r == 0) {
		r = observe(observer, client);
		lockd_close(client);
	}
	while (take_change(observer, &change))
		free(change.value);
	(void)close(observer->wake_fd);
	return r;
}

int verb_observe(const struct arguments *arguments) {
	struct observer *observer = calloc(1, sizeof *observer); /* the ring is large for a stack */
	int r;

	if (!observer) {
		report("%s", strerror(ENOMEM));
		return EXIT_OTHER;
	}
	observer->arguments = arguments;
	observer->revision = arguments->since;
	(void)pthread_mutex_init(&observer->mutex, NULL);
	r = signals_block(&observer->signals);
	if (r == 0) {
		r = observe_with_signals(observer);
		signals_unblock(&observer->signals);
	}
	(void)pthread_mutex_destroy(&observer->mutex);
	free(observer);
	return r;
}
