/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint on its way to a peer that lags: it waits until the peer can be reached, is cut into a file by the
 * checkpoint thread, then sent chunk by chunk on a connection of its own, so that a chunk never stands before a
 * heartbeat. The next chunk is read once most of the one before has left. The receiver closes the connection when it is
 * done with the snapshot. A cut outlives its transfer: whoever needs it next, while the checkpoint is still the same,
 * goes on where the receiver's copy of it ends. */
#ifndef LOCKD_IO_SNAPSHOT_SEND_H
#define LOCKD_IO_SNAPSHOT_SEND_H

#include "lockd/io/checkpointer.h"
#include "lockd/io/connection.h"
#include "lockd/io/hello.h"

struct snapshot_cut {
	uint32_t group;
	unsigned users;
	raft_usec used_at; /* for whoever keeps it */
	struct store_snapshot snapshot;
};

struct snapshot_cut *snapshot_cut_ref(struct snapshot_cut *cut);
/* NULL is fine. The last user closes the file. */
struct snapshot_cut *snapshot_cut_unref(struct snapshot_cut *cut);

struct snapshot_send {
	struct checkpointer *checkpointer;
	uint32_t group, peer;
	raft_term term;
	struct snapshot_cut *cut;      /* NULL: not cut yet */
	struct connection *connection; /* greeted; NULL before */
	bool waiting;                  /* for the peer to be reached */
	bool busy;                     /* a job is with the checkpoint thread */
	bool ended;                    /* nothing more is sent; waits for the job at hand */
	bool end_sent;
	uint64_t offset;     /* of the next chunk */
	raft_usec report_at; /* once ended: when the node is told */
	LIST_ENTRY(snapshot_send) next;
};

/* Begins to wait. */
struct snapshot_send *snapshot_send_new(struct checkpointer *checkpointer, const struct node_snapshot *snapshot);
/* The peer is reached: asks the checkpoint thread for the cut; `kept` is an older one that may still do, or NULL. */
void snapshot_send_cut(struct snapshot_send *send, struct snapshot_cut *kept);
/* Not while busy. */
struct snapshot_send *snapshot_send_free(struct snapshot_send *send);

/* The jobs come back. 0, or negative: the transfer has failed. */
int snapshot_send_on_cut(struct snapshot_send *send, const struct checkpointer_job *job);
int snapshot_send_on_read(struct snapshot_send *send, const struct checkpointer_job *job);

/* The receiver has answered HELLO with what it has of which snapshot. */
void snapshot_send_begin(struct snapshot_send *send, struct connection *connection, const struct hello *own,
			 const struct hello *theirs);
void snapshot_send_on_drained(struct snapshot_send *send);

#endif
