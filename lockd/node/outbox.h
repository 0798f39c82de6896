/* SPDX-License-Identifier: Apache-2.0 */
/* Frames to peers that wait until what they say is on disk. A message with after_seq 0 overtakes; the others leave in
 * the order they were made, in the turn whose SAVED covers them. */
#ifndef LOCKD_NODE_OUTBOX_H
#define LOCKD_NODE_OUTBOX_H

#include "lockd/node/node.h"

#include <bsd/sys/queue.h>

struct replica;
struct outbox_frame;

enum {
	/* Frames that wait for a stalled disk. Beyond it the oldest is dropped: the protocol takes any message as
	   lossy. */
	OUTBOX_FRAMES_MAX = 1024,
};

struct outbox {
	STAILQ_HEAD(outbox_frames, outbox_frame) frames;
	size_t n;
};

void outbox_init(struct outbox *outbox);
void outbox_deinit(struct outbox *outbox);

void outbox_push(struct replica *replica, const struct raft_out *out);
/* Hands out all frames whose saves are durable. */
void outbox_release(struct replica *replica);

#endif
