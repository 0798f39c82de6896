/* SPDX-License-Identifier: Apache-2.0 */
/* What all workloads of load-lockd stand on: handles, sessions spread over them, the phases of a run, and how it fails.
 */
#ifndef BENCH_LOAD_LOCKD_FLEET_H
#define BENCH_LOAD_LOCKD_FLEET_H

#include "bench/load/latency.h"
#include "bench/load/options.h"

#include <lockd/lockd.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { FLEET_NAME_BYTES = OPTIONS_PREFIX_BYTES_MAX + 32 };

enum fleet_phase { FLEET_WARMUP, FLEET_MEASURE, FLEET_OVER };

struct fleet {
	const struct options *options;
	struct lockd_client **clients; /* options->handles */
	struct lockd_session **sessions;
	int n_sessions;
	atomic_int expired; /* sessions whose lease has ended */
	_Atomic enum fleet_phase phase;
	sem_t ended; /* posted by what has come to its end: in FLEET_OVER, whatever has nothing under way any more */
};

/* Opens the handles and `n_sessions` sessions, session i on handle i modulo handles; many at a time, since each open is
 * a commit of its own. Does not return when one fails. */
void fleet_open(struct fleet *fleet, const struct options *options, int n_sessions);
/* Closes the sessions, many at a time, and the handles. */
void fleet_close(struct fleet *fleet);
/* Closes the handles alone: the cluster ends the sessions after their TTL. */
void fleet_abandon(struct fleet *fleet);

int fleet_handle_of(const struct fleet *fleet, int session);

/* Goes through the phases: warm-up, then measuring for options->seconds. Returns how many seconds were measured. */
double fleet_run(struct fleet *fleet);
/* Takes one post of fleet->ended. false: none came within that time. */
bool fleet_await(struct fleet *fleet, double seconds);
/* Takes `n` posts; does not return when that takes too long. */
void fleet_drain(struct fleet *fleet, int n);

void fleet_sleep(double seconds);

/* Says on stderr what failed and why, and ends the process with OPTIONS_EXIT_FAILED: what was measured would not be
 * what was asked for. Any thread; `client` may be NULL. */
_Noreturn void fleet_fail(struct lockd_client *client, const char *what, enum lockd_status status);
_Noreturn void fleet_fail_because(const char *what, const char *why);

/* calloc() that does not return without memory. */
void *fleet_alloc(size_t n, size_t size);

#endif
