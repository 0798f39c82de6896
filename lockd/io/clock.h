/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks of the machine. Nothing else in lockd reads one. The wall clock is read for the epoch of a new cluster, and
 * to tell people when the process began; nothing else rests on it. */
#ifndef LOCKD_IO_CLOCK_H
#define LOCKD_IO_CLOCK_H

#include <raft/raft.h>
#include <stdint.h>

void clock_read(struct raft_clocks *ret);
raft_usec clock_mono(void);
/* Since 1970, UTC. */
raft_usec clock_wall(void);

enum { CLOCK_EPOCH_US = 256 * 1000 * 1000 };
/* Epoch of a cluster founded at this moment: units of 256 s since 2025-01-01 UTC, at least 1. */
uint32_t clock_epoch(void);
/* The same for any moment, and when an epoch's unit begins, on the wall clock. */
uint32_t clock_epoch_at(raft_usec wall);
raft_usec clock_epoch_begins(uint32_t epoch);

#endif
