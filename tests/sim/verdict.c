/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/verdict.h"

#include "tests/sim/backing.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <raft/raft.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	LINES = 240,
	LINE_BYTES = 240,
	SEED_SECONDS_MAX = 60, /* of processor time; a seed needs less than a tenth of one */
};

/* A process runs one simulation at a time, and an abort must find it: hence the file's own variables. */
static struct sim *current;
static char *const *replay;
static bool print_all;
static char ring[LINES][LINE_BYTES];
static uint64_t written;
static bool failing;

bool verdict_is_tracing(void) {
	return !replay;
}

void verdict_trace_line(const char *format, ...) {
	char *line = ring[written++ % LINES];
	int n = snprintf(line, LINE_BYTES, "%11.6f ", current ? (double)current->now / 1e6 : 0.0);

	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line + n, LINE_BYTES - (size_t)n, format, arguments);
	va_end(arguments);
	if (print_all)
		printf("%s\n", line);
}

static void print_trace(void) {
	uint64_t first = written > LINES ? written - LINES : 0;
	for (uint64_t i = first; i < written; i++)
		printf("%s\n", ring[i % LINES]);
}

_Noreturn static void finish(enum verdict verdict, const char *name, const char *text) {
	if (failing)
		_exit(VERDICT_CRASH);
	failing = true;
	if (replay) {
		execv("/proc/self/exe", replay);
		_exit(VERDICT_CRASH);
	}
	if (!print_all)
		print_trace();
	printf("\nVIOLATION %s: %s\n", name, text);
	if (current) {
		printf("seed %" PRIu64 ", virtual time %.6f s, %u nodes, %u clients\n", current->seed,
		       (double)current->now / 1e6, current->plan.nodes, current->plan.clients);
		printf("replay: %s --seed %" PRIu64, backing_program, current->seed);
		if (current->seconds)
			printf(" --seconds %u", current->seconds);
		backing_print_options(stdout);
		printf("\n");
	}
	fflush(stdout);
	_exit((int)verdict);
}

_Noreturn void verdict_fail(enum verdict verdict, const char *name, const char *format, ...) {
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	finish(verdict, name, text);
}

static void caught(int signal_number) {
	sigset_t none;

	/* The replay must not inherit a blocked signal. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (signal_number == SIGVTALRM)
		finish(VERDICT_LIVENESS, "L2 busy-loop", "a step does not end");
	finish(VERDICT_CRASH, "crash", strsignal(signal_number));
}

_Noreturn void raft_panic(const char *file, int line, const char *what) {
	verdict_fail(VERDICT_CRASH, "raft-panic", "%s:%d: %s", file, line, what);
}

void verdict_init(bool all) {
	print_all = all;
	signal(SIGABRT, caught);
	signal(SIGVTALRM, caught);
#ifndef __SANITIZE_ADDRESS__
	signal(SIGSEGV, caught);
	signal(SIGFPE, caught);
#endif
}

void verdict_begin(struct sim *sim, char *const *argv) {
	current = sim;
	replay = argv;
	written = 0;
	(void)setitimer(ITIMER_VIRTUAL, &(struct itimerval){.it_value.tv_sec = sim ? SEED_SECONDS_MAX : 0}, NULL);
}
