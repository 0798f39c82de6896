/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint on its way to a peer that lags: it waits until the peer can be reached, is cut into a file by the
 * checkpoint thread, then sent chunk by chunk on a connection of its own, so that a chunk never stands before a
 * heartbeat. The next chunk is read once most of the one before has left. The receiver closes the connection when it is
 * done with the snapshot. */
#ifndef LOCKD_IO_SNAPSHOT_SEND_H
#define LOCKD_IO_SNAPSHOT_SEND_H

#include "lockd/io/checkpointer.h"
#include "lockd/io/connection.h"
#include "lockd/node/node.h"

struct snapshot_send {
	struct checkpointer *checkpointer;
	uint32_t group, peer;
	raft_term term;
	struct store_snapshot snapshot; /* fd < 0: not cut yet */
	struct connection *connection;  /* greeted; NULL before */
	bool waiting;                   /* for the peer to be reached */
	bool busy;                      /* a job is with the checkpoint thread */
	bool ended;                     /* nothing more is sent; waits for the job at hand */
	bool end_sent;
	uint64_t offset;     /* of the next chunk */
	raft_usec report_at; /* once ended: when the node is told */
	LIST_ENTRY(snapshot_send) next;
};

/* Begins to wait. */
struct snapshot_send *snapshot_send_new(struct checkpointer *checkpointer, const struct node_snapshot *snapshot);
/* The peer is reached: asks the checkpoint thread for the cut. */
void snapshot_send_cut(struct snapshot_send *send);
/* Not while busy. */
struct snapshot_send *snapshot_send_free(struct snapshot_send *send);

/* The jobs come back. 0, or negative: the transfer has failed. */
int snapshot_send_on_cut(struct snapshot_send *send, const struct checkpointer_job *job);
int snapshot_send_on_read(struct snapshot_send *send, const struct checkpointer_job *job);

/* The receiver has answered HELLO. */
void snapshot_send_begin(struct snapshot_send *send, struct connection *connection, uint32_t from,
			 const struct node_uuid *incarnation, uint32_t epoch);
void snapshot_send_on_drained(struct snapshot_send *send);

#endif
