/* SPDX-License-Identifier: Apache-2.0 */
/* One thread waits in poll() for everything that may happen: a signal, the end of the command, the grant, a change of
 * the session's state, and the deadline that is laid out by the ladder. Callbacks of the library only note what they
 * were told and wake it.
 *
 * The end is one request: closing the session gives back the lock, or the seat in the queue, whatever had been reached.
 */
#include "cli/hold.h"
#include "cli/arguments.h"
#include "cli/child.h"
#include "cli/connection.h"
#include "cli/document.h"
#include "cli/duration.h"
#include "cli/ladder.h"
#include "cli/report.h"
#include "cli/signals.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct hold {
	const struct arguments *arguments;
	const char *name, *value;
	struct signals signals;
	struct lockd_client *client;
	struct lockd_session *session;
	struct ladder ladder;
	struct child child;
	int wake_fd; /* written by callbacks */

	pthread_mutex_t mutex; /* for what follows, written by callbacks */
	bool answered;
	enum lockd_status status;
	struct lockd_grant grant;
};

static int64_t now_ms(void) {
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wake(struct hold *hold) {
	uint64_t one = 1;

	/* EAGAIN: it is awake already. */
	(void)!write(hold->wake_fd, &one, sizeof one);
}

static void on_state(void *user, struct lockd_session *session, enum lockd_session_state state) {
	(void)session;
	(void)state;
	wake(user);
}

static void on_grant(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct hold *hold = user;

	(void)pthread_mutex_lock(&hold->mutex);
	hold->answered = true;
	hold->status = status;
	if (status == LOCKD_OK)
		hold->grant = *grant;
	(void)pthread_mutex_unlock(&hold->mutex);
	wake(hold);
}

static bool take_answer(struct hold *hold, enum lockd_status *ret_status) {
	bool answered;

	(void)pthread_mutex_lock(&hold->mutex);
	answered = hold->answered;
	if (answered)
		*ret_status = hold->status;
	(void)pthread_mutex_unlock(&hold->mutex);
	return answered;
}

/* Until a signal or a callback, at most wait_ms (LADDER_NO_WAKE: no limit). */
static void wait_for_input(struct hold *hold, int64_t wait_ms) {
	struct pollfd fds[] = {{.fd = hold->signals.fd, .events = POLLIN}, {.fd = hold->wake_fd, .events = POLLIN}};
	int limit = wait_ms < 0 ? -1 : wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
	uint64_t count;

	if (poll(fds, sizeof fds / sizeof *fds, limit) > 0 && fds[1].revents)
		(void)!read(hold->wake_fd, &count, sizeof count);
}

static int fail(struct hold *hold, enum lockd_status status) {
	char what[ARGUMENT_NAME_BYTES_MAX + 64];

	(void)snprintf(what, sizeof what, "%s: %s", hold->arguments->verb->name, hold->name);
	return report_status(hold->client, what, status);
}

/* ---- Acquiring ----------------------------------------------------------------------------------------------------
 */

static const char *label_of(const struct arguments *arguments) {
	/* The name alone: arguments may hold secrets, and everybody can list labels. */
	if (!arguments->label && arguments->command && strlen(arguments->command[0]) <= ARGUMENT_LABEL_BYTES_MAX)
		return arguments->command[0];
	return arguments->label;
}

static int open_session(struct hold *hold) {
	struct lockd_session_options options = {
		.ttl_ms = (uint32_t)hold->arguments->ttl_ms,
		.label = label_of(hold->arguments),
		.on_state = on_state,
		.user = hold,
	};
	enum lockd_status status;

	status = lockd_session_open(hold->client, &options, hold->arguments->timeout_ms, &hold->session);
	return status ? fail(hold, status) : 0;
}

/* An absolute deadline, so that waking early never shortens the wait. */
static int64_t acquire_deadline(const struct arguments *arguments) {
	if (arguments->wait_ms == LOCKD_FOREVER)
		return INT64_MAX;
	return now_ms() + arguments->wait_ms + arguments->timeout_ms;
}

static int refuse(struct hold *hold, enum lockd_status status) {
	int r = fail(hold, status);

	return r == EXIT_NOT_ACQUIRED ? hold->arguments->conflict_exit_code : r;
}

/* 0 when the lock is ours; otherwise an exit status. */
static int acquire(struct hold *hold) {
	int64_t deadline = acquire_deadline(hold->arguments), now;
	enum lockd_status status;
	uint64_t sequence;
	int signal;

	status = lockd_acquire_async(hold->session, hold->name, hold->value, hold->arguments->wait_ms, on_grant, hold,
				     &sequence);
	if (status)
		return fail(hold, status);

	for (;;) {
		if (take_answer(hold, &status))
			return status ? refuse(hold, status) : 0;
		while ((signal = signals_next(&hold->signals)))
			if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT)
				return EXIT_SIGNALLED + signal;
		if (lockd_session_get_state(hold->session) == LOCKD_EXPIRED)
			return fail(hold, LOCKD_SESSION_EXPIRED);
		now = now_ms();
		if (now >= deadline)
			return fail(hold, LOCKD_DEADLINE);
		wait_for_input(hold, deadline == INT64_MAX ? LADDER_NO_WAKE : deadline - now);
	}
}

/* ---- Holding ------------------------------------------------------------------------------------------------------
 */

static void warn(struct hold *hold, int64_t remaining_ms) {
	char left[16], reason[512];

	duration_format((uint64_t)remaining_ms, left, sizeof left);
	lockd_last_error(hold->client, reason, sizeof reason);
	report("%s: %s: the cluster does not answer, %s left of the lease%s%s%s", hold->arguments->verb->name,
	       hold->name, left, *reason ? " (" : "", reason, *reason ? ")" : "");
}

static void say_stopping(struct hold *hold, int64_t remaining_ms) {
	const char *verb = hold->arguments->verb->name, *lease = remaining_ms > 0 ? "runs out" : "is lost";

	if (hold->arguments->command)
		report("%s: %s: the lease %s: stopping %s", verb, hold->name, lease, hold->arguments->command[0]);
	else
		report("%s: %s: the lease is lost", verb, hold->name);
}

/* One rung of the ladder, if it is time for one. */
static enum ladder_action climb(struct hold *hold, int64_t *ret_wake_ms) {
	enum lockd_session_state state = lockd_session_get_state(hold->session);
	int64_t remaining = lockd_session_remaining_ms(hold->session);
	enum ladder_action action = ladder_step(&hold->ladder, state, remaining, now_ms(), ret_wake_ms);

	switch (action) {
	case LADDER_WARN: warn(hold, remaining); break;
	case LADDER_SAFE: report("%s: %s: the lease is renewed again", hold->arguments->verb->name, hold->name); break;
	case LADDER_TERM: say_stopping(hold, remaining); break;
	case LADDER_KILL:
	case LADDER_NONE: break;
	}
	return action;
}

/* Passes signals on to the command until it has ended; its exit status, or EXIT_LEASE_LOST. */
static int supervise(struct hold *hold) {
	enum ladder_action action;
	int64_t wake_ms;
	int signal, status;

	for (;;) {
		while ((signal = signals_next(&hold->signals)))
			if (signal != SIGCHLD)
				child_signal(&hold->child, signal);

		action = climb(hold, &wake_ms);
		if (action == LADDER_TERM) {
			child_signal(&hold->child, SIGTERM);
			child_signal(&hold->child, SIGCONT); /* a stopped command could not react */
		} else if (action == LADDER_KILL) {
			child_signal(&hold->child, SIGKILL);
		}
		/* Behind the look at the lease: a command that outlived it has not ended under the lock. */
		if (child_poll(&hold->child, hold->ladder.stopping, &status))
			return hold->ladder.stopping ? EXIT_LEASE_LOST : status;
		if (action == LADDER_NONE)
			wait_for_input(hold, wake_ms);
	}
}

static int run_command(struct hold *hold) {
	struct child_lock lock = {hold->name, lockd_session_id(hold->session), hold->grant.token};
	int r;

	/* A grant that was delivered late is worth nothing: the command would start without the lock. */
	if (lockd_session_remaining_ms(hold->session) == 0) {
		report("%s: %s: the lease was lost before the command started", hold->arguments->verb->name,
		       hold->name);
		return EXIT_LEASE_LOST;
	}
	r = child_start(&hold->child, hold->arguments->command, &lock, &hold->signals);
	return r ? r : supervise(hold);
}

static int print_grant(struct hold *hold) {
	int r;

	if (!arguments_given(hold->arguments, OPTION_JSON)) {
		printf("%s %" PRIu64 "\n", hold->name, hold->grant.token);
		return report_stdout();
	}
	r = document_print(json_pack("{s:o, s:o, s:o, s:o}", "name", document_text(hold->name), "token",
				     document_id(hold->grant.token), "revision", document_id(hold->grant.revision),
				     "session", document_text(lockd_session_id(hold->session))),
			   DOCUMENT_LINE);
	return r ? r : report_stdout();
}

static int hold_until_interrupted(struct hold *hold) {
	int64_t wake_ms;
	int signal, r;

	r = print_grant(hold);
	if (r)
		return r;
	for (;;) {
		while ((signal = signals_next(&hold->signals)))
			if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT)
				return 0;
		switch (climb(hold, &wake_ms)) {
		case LADDER_NONE: wait_for_input(hold, wake_ms); break;
		case LADDER_TERM: return EXIT_LEASE_LOST;
		default: break;
		}
	}
}

/* ---- Set-up and its reverse ----------------------------------------------------------------------------------------
 */

static void say_not_released(struct hold *hold, enum lockd_status status) {
	char ttl[16];

	(void)fail(hold, status);
	duration_format((uint64_t)hold->arguments->ttl_ms, ttl, sizeof ttl);
	report("%s: %s: not released; the cluster takes it back about %s from now", hold->arguments->verb->name,
	       hold->name, ttl);
}

static int run_in_session(struct hold *hold) {
	enum lockd_status status;
	bool acquired;
	int r;

	r = acquire(hold);
	acquired = r == 0;
	if (acquired)
		r = hold->arguments->command ? run_command(hold) : hold_until_interrupted(hold);

	status = lockd_session_close(hold->session, hold->arguments->timeout_ms);
	/* What was not acquired, or is lost and was said to be, needs no second message. */
	if (status && status != LOCKD_SESSION_EXPIRED && acquired && r != EXIT_LEASE_LOST)
		say_not_released(hold, status);
	return r;
}

static int run_with_signals(struct hold *hold) {
	int r;

	hold->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hold->wake_fd < 0) {
		report("eventfd: %s", strerror(errno));
		return EXIT_OTHER;
	}
	r = connection_open(hold->arguments, &hold->client);
	if (r == 0) {
		r = open_session(hold);
		if (r == 0)
			r = run_in_session(hold);
		/* Behind this no callback runs, and the descriptor may go. */
		lockd_close(hold->client);
	}
	(void)close(hold->wake_fd);
	return r;
}

int hold_run(const struct arguments *arguments, const char *value) {
	struct hold hold = {
		.arguments = arguments,
		.name = arguments->operands[0],
		.value = value,
		.ladder.kill_after_ms = arguments->command ? arguments->kill_after_ms : 0,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
	};
	int r;

	r = signals_block(&hold.signals);
	if (r)
		return r;
	r = run_with_signals(&hold);
	signals_unblock(&hold.signals);
	return r;
}
