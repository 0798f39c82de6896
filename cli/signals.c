/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/signals.h"
#include "cli/report.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int taken[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD};

int signals_block(struct signals *signals) {
	struct sigaction pipe;
	sigset_t set, blocked;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		(void)sigaddset(&set, taken[i]);
	/* Taking the terminal back from a command is done from the background. */
	blocked = set;
	(void)sigaddset(&blocked, SIGTTOU);

	(void)sigaction(SIGPIPE, NULL, &pipe);
	signals->pipe_ignored_before = pipe.sa_handler == SIG_IGN;
	(void)sigprocmask(SIG_BLOCK, &blocked, &signals->mask_before);
	signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd >= 0)
		return 0;
	report("signalfd: %s", strerror(errno));
	(void)sigprocmask(SIG_SETMASK, &signals->mask_before, NULL);
	return EXIT_OTHER;
}

void signals_unblock(struct signals *signals) {
	(void)close(signals->fd);
	(void)sigprocmask(SIG_SETMASK, &signals->mask_before, NULL);
}

int signals_next(struct signals *signals) {
	struct signalfd_siginfo info;

	if (read(signals->fd, &info, sizeof info) != sizeof info)
		return 0;
	return (int)info.ssi_signo;
}
