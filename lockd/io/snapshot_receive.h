/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot that another node sends us: header, chunks in order, end with the digest. It gathers in memory that is
 * reserved at once and costs only what has arrived; it is handed on whole and digest-checked, or not at all. When the
 * connection breaks, what has gathered can go on with another one, of the same sender or of any whose snapshot has the
 * same digest. */
#ifndef LOCKD_IO_SNAPSHOT_RECEIVE_H
#define LOCKD_IO_SNAPSHOT_RECEIVE_H

#include "api/arena.h"
#include "api/frame.h"
#include "lockd/node/node.h"

enum { SNAPSHOT_FORMAT = 1, SNAPSHOT_DIGEST_BYTES = 16 };

/* XXH3-128 of header and all rows, canonical form. */
struct snapshot_digest {
	uint8_t bytes[SNAPSHOT_DIGEST_BYTES];
};

struct snapshot_receive {
	uint32_t group;
	uint32_t from;    /* the sender, as it has greeted; for whoever keeps this */
	raft_term term;   /* in which it led */
	raft_index index; /* all entries up to it are in */
	struct snapshot_digest digest;
	uint8_t *header;
	size_t header_bytes;
	uint8_t *bytes; /* runs of (u32 length, record) */
	size_t n, n_max;
	struct node_bytes *rows; /* once complete */
	size_t n_rows;
};

/* Begins with a SNAPSHOT_HEADER frame for the cluster `incarnation`, or goes on with *receive if that is the very
 * snapshot and the header names the place; otherwise what *receive has is dropped. *receive may be NULL. 0; -EBADMSG:
 * not acceptable; -EFBIG: it has more than LIMIT_SNAPSHOT_BYTES_MAX; -ENOMEM. *receive is NULL after a failure. */
int snapshot_receive_begin(const struct frame *frame, const struct node_uuid *incarnation, struct arena *arena,
			   struct snapshot_receive **receive);
struct snapshot_receive *snapshot_receive_free(struct snapshot_receive *receive);

enum { SNAPSHOT_COMPLETE = 1 };

/* The next frame. 0, SNAPSHOT_COMPLETE after the last one, -EBADMSG for anything out of order or damaged. */
int snapshot_receive_frame(struct snapshot_receive *receive, const struct frame *frame, struct arena *arena);

#endif
