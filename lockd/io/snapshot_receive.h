/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot that a leader sends us: header, chunks in order, end with the digest. It gathers in memory that is
 * reserved at once and costs only what has arrived; it is handed on whole and digest-checked, or not at all. */
#ifndef LOCKD_IO_SNAPSHOT_RECEIVE_H
#define LOCKD_IO_SNAPSHOT_RECEIVE_H

#include "api/arena.h"
#include "api/frame.h"
#include "lockd/node/node.h"

enum { SNAPSHOT_FORMAT = 1 };

struct snapshot_receive {
	uint32_t group;
	raft_term term; /* of the sender */
	uint8_t *header;
	size_t header_bytes;
	uint8_t *bytes; /* runs of (u32 length, record) */
	size_t n, n_max;
	struct node_bytes *rows; /* once complete */
	size_t n_rows;
};

/* Begins with a SNAPSHOT_HEADER frame for the cluster `incarnation`. 0; -EBADMSG: not acceptable; -ENOMEM. */
int snapshot_receive_new(const struct frame *frame, const struct node_uuid *incarnation, struct arena *arena,
			 struct snapshot_receive **ret);
struct snapshot_receive *snapshot_receive_free(struct snapshot_receive *receive);

enum { SNAPSHOT_COMPLETE = 1 };

/* The next frame. 0, SNAPSHOT_COMPLETE after the last one, -EBADMSG for anything out of order or damaged. */
int snapshot_receive_frame(struct snapshot_receive *receive, const struct frame *frame, struct arena *arena);

#endif
