/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include "fatal.h"

#include <time.h>

static const raft_usec epochs_begin = UINT64_C(1735689600000000); /* 2025-01-01T00:00:00Z */

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

raft_usec clock_wall(void) {
	return clock_of(CLOCK_REALTIME);
}

uint32_t clock_epoch_at(raft_usec wall) {
	if (wall < clock_epoch_begins(1))
		return 1;
	return (uint32_t)((wall - epochs_begin) / CLOCK_EPOCH_US);
}

raft_usec clock_epoch_begins(uint32_t epoch) {
	return epochs_begin + (raft_usec)epoch * CLOCK_EPOCH_US;
}

uint32_t clock_epoch(void) {
	return clock_epoch_at(clock_wall());
}
