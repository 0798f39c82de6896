/* SPDX-License-Identifier: Apache-2.0 */
/* What the process has counted since it began. It is one for the whole process, since those who count (connections on
 * nng's threads, the storage thread, the checkpoint thread) share nothing else. Each number is an atomic of its own,
 * added to without any order: a reader gets every number as it was at some moment of its reading. */
#ifndef LOCKD_IO_METRICS_H
#define LOCKD_IO_METRICS_H

#include <raft/raft.h>

enum metrics_counter {
	/* Of clients, each followed by that of other nodes: added to METRICS_… + enum frame_kind. */
	METRICS_BYTES_RECEIVED,
	METRICS_BYTES_RECEIVED_OF_PEERS,
	METRICS_BYTES_SENT,
	METRICS_BYTES_SENT_TO_PEERS,
	METRICS_STORE_ENTRIES, /* durable log entries */
	METRICS_STORE_REFUSED, /* transactions that found the disk full */
	METRICS_SNAPSHOTS_SENT,
	METRICS_SNAPSHOTS_RECEIVED,
	METRICS_OLD_COPIES, /* HELLOs refused since their data folder is an older copy of itself */
	METRICS_COUNTERS
};

enum metrics_timing {
	METRICS_STORE_WRITE, /* transactions of raft.db that are durable */
	METRICS_CHECKPOINT,  /* transactions of state.db that are */
	METRICS_TIMINGS
};

enum { METRICS_BOUNDS = 16 };
/* Upper bounds of the buckets, included. What took longer falls into one more bucket behind them. */
extern const raft_usec metrics_bounds[METRICS_BOUNDS];

struct metrics_distribution {
	uint64_t buckets[METRICS_BOUNDS + 1]; /* each for itself, not cumulated */
	raft_usec sum;
};

struct metrics {
	uint64_t counters[METRICS_COUNTERS];
	struct metrics_distribution timings[METRICS_TIMINGS];
};

/* Any thread. */
void metrics_add(enum metrics_counter counter, uint64_t n);
void metrics_time(enum metrics_timing timing, raft_usec duration);
void metrics_read(struct metrics *ret);

#endif
