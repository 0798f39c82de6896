/* SPDX-License-Identifier: Apache-2.0 */
/* How a run fails, and the trace that explains it.
 *
 * Traces cost more than the simulation itself, so runs over many seeds keep none. Since a run is a function of its
 * seed, a violation found without a trace replaces the process by `lockd-sim --seed N`, which meets it again with one.
 */
#ifndef TESTS_SIM_VERDICT_H
#define TESTS_SIM_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

struct sim;

/* Exit status of the process. */
enum verdict {
	VERDICT_OK = 0,
	VERDICT_USAGE = 1,
	VERDICT_SAFETY = 2,
	VERDICT_LIVENESS = 3,
	VERDICT_CRASH = 4,   /* an assertion, raft_panic() or a signal */
	VERDICT_VOID = 5,    /* a kind of fault never struck */
	VERDICT_UNSTEADY = 6 /* the violation did not come again: the run is not a function of its seed */
};

/* Catches aborts. `replay` is the command line that runs the seed of the current simulation again: argv, NULL at its
 * end. */
void verdict_init(bool print_all);
/* The simulation that a violation belongs to; `argv` replays it, or is NULL when this run keeps a trace already. */
void verdict_begin(struct sim *sim, char *const *argv);

/* Prints the violation with its trace, or replays to get one. `name` is an invariant: "I6 vote-twice". */
_Noreturn void verdict_fail(enum verdict verdict, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

bool verdict_is_tracing(void);
void verdict_trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define TRACE(...)                                                                                                     \
	do {                                                                                                           \
		if (verdict_is_tracing())                                                                              \
			verdict_trace_line(__VA_ARGS__);                                                               \
	} while (0)

#endif
