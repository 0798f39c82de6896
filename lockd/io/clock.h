/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks of the machine. Nothing else in lockd reads one. The wall clock is read for the epoch of a new cluster
 * alone. */
#ifndef LOCKD_IO_CLOCK_H
#define LOCKD_IO_CLOCK_H

#include <raft/raft.h>
#include <stdint.h>

void clock_read(struct raft_clocks *ret);
raft_usec clock_mono(void);

/* Epoch of a cluster founded at this moment: units of 256 s since 2025-01-01 UTC, at least 1. */
uint32_t clock_epoch(void);

#endif
