/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes wired together in memory: no socket, no disk, no thread, no clock but a counter. Two runs are alike to the
 * instruction, so what they cost can be counted and compared.
 *
 * Time goes in turns. A frame sent in one turn arrives in the next; a save handed out in one turn is durable in the
 * next, as if network and disk took equally long. Frames are sealed and parsed as on a real connection. */
#ifndef BENCH_COUNTS_TRIO_H
#define BENCH_COUNTS_TRIO_H

#include "api/frame.h"
#include "lockd/node/node.h"

enum { TRIO_NODES_MAX = 3, TRIO_GROUP = 1, TRIO_EPOCH = 1 };

/* Everything since the trio was made; the caller subtracts. */
struct trio_totals {
	uint64_t client_frames, peer_frames; /* sent, in both directions */
	uint64_t client_bytes, peer_bytes;   /* whole frames */
	uint64_t saves, entries, log_bytes;  /* of the leader */
	uint64_t turns;
};

struct trio;

/* A reply to a client, borrowed during the call. */
typedef void (*trio_reply)(void *context, node_connection connection, const struct frame *frame);

/* `n` nodes that form a cluster, one of which leads. With `small_log` a node keeps next to nothing of the log behind a
 * checkpoint, so that its memory is that of its state. */
struct trio *trio_new(size_t n, bool small_log, trio_reply reply, void *context);
void trio_free(struct trio *trio);

/* Room for a body, which the caller writes at once; then it is a frame on its way to the leader. */
uint8_t *trio_begin_frame(struct trio *trio, size_t body_bytes);
void trio_end_frame(struct trio *trio, node_connection connection, uint8_t type, uint64_t id, size_t body_bytes);

/* Everybody takes what has arrived; replies are passed on. */
void trio_turn(struct trio *trio);

struct trio_totals trio_get_totals(const struct trio *trio);

#endif
