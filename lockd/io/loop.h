/* SPDX-License-Identifier: Apache-2.0 */
/* The core loop: the one thread that owns the node and everything that is not said to belong to another. A turn is on
 * one screen, in loop.c: take the inbox, read the clocks, step the node, hand out the effects. */
#ifndef LOCKD_IO_LOOP_H
#define LOCKD_IO_LOOP_H

#include "lockd/io/store.h"

#include <stddef.h>

enum {
	LOOP_STOP_MS_MAX = 2000, /* a graceful stop gives up waiting after this long */
};

struct loop;

struct loop_config {
	uint32_t node;
	const char *data;                        /* folder */
	const char *listen_peer, *listen_client; /* "host:port" */
	const char *listen_metrics;              /* likewise; empty: nowhere */
	/* This one included; none: a cluster of this node alone. While the node is blank it looks for the others, to
	 * found a cluster with them or to join theirs. */
	const struct node_address *addresses;
	size_t n_addresses;
	struct raft_timing timing;
	uint32_t promise_ms, drift_ppm; /* for the founder */
	size_t checkpoint_log_bytes, checkpoint_log_entries;
	size_t trailing_log_bytes, trailing_log_entries;
	uint64_t reserve_bytes; /* store_keep_reserve() */
	bool leader_lease;
	bool repair; /* a damaged folder is set aside, if there are other nodes */
	raft_usec stall; /* struct node_config */
	const char *version;
};

struct loop_error {
	char text[768];
};

/* Opens the data folder, restores the node and binds both ports. 0, or -1 with a sentence that says what failed, why,
 * and what to do. `config` is borrowed as long as the loop lives. */
int loop_open(const struct loop_config *config, struct loop **ret, struct loop_error *error);
/* Starts the threads; from here on the node takes part. */
void loop_start(struct loop *loop);
/* Any thread, once: leadership is given up, what is admitted is answered within LOOP_STOP_MS_MAX. */
void loop_stop(struct loop *loop);
/* Waits for the end of a stopped loop, and frees everything. Without loop_start(): only frees. */
void loop_close(struct loop *loop);

#endif
