/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include "fatal.h"

#include <time.h>

enum { EPOCH_BEGIN_S = 1735689600 /* 2025-01-01T00:00:00Z */, EPOCH_UNIT_S = 256 };

static raft_usec clock_of(clockid_t id) {
	struct timespec t;

	if (clock_gettime(id, &t) < 0)
		fatal_stop("reason=\"a clock cannot be read\"");
	return (raft_usec)t.tv_sec * 1000000 + (raft_usec)t.tv_nsec / 1000;
}

raft_usec clock_mono(void) {
	return clock_of(CLOCK_MONOTONIC);
}

void clock_read(struct raft_clocks *ret) {
	*ret = (struct raft_clocks){.mono = clock_of(CLOCK_MONOTONIC), .boot = clock_of(CLOCK_BOOTTIME)};
}

uint32_t clock_epoch(void) {
	raft_usec now_s = clock_of(CLOCK_REALTIME) / 1000000;

	if (now_s < EPOCH_BEGIN_S + EPOCH_UNIT_S)
		return 1;
	return (uint32_t)((now_s - EPOCH_BEGIN_S) / EPOCH_UNIT_S);
}
