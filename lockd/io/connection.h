/* SPDX-License-Identifier: Apache-2.0 */
/* One byte stream that carries frames.
 *
 * Two sides touch it. nng's task threads read: they split what arrived into frames, hand whole batches to the loop's
 * inbox, and run the turns that take them (inbox.h). The loop writes: it appends frames to one buffer while nng sends the other, and flushes once per turn. The
 * lock of the connection protects what both touch; posting to nng under it is safe since nng completes on its own
 * threads only.
 *
 * Life: new → start → … → close (by us, by the peer, by an error: the first one wins) → both aios have run →
 * INBOX_CLOSED reaches the loop → free. Only the loop frees, and nothing of this connection reaches the inbox after
 * INBOX_CLOSED. There are no aio time-outs (nng 1.5.2 runs them on the wall clock, and on TLS they destroy the stream):
 * whoever owns the connection keeps the deadline and calls connection_close(). */
#ifndef LOCKD_IO_CONNECTION_H
#define LOCKD_IO_CONNECTION_H

#include "api/frame.h"
#include "lockd/io/inbox.h"

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;

enum {
	CONNECTION_BATCH_FRAMES_MAX = 64,
};

/* Frames as they arrived, in order; their bodies lie in the same block, which goes back to the inbox's blocks. */
struct connection_batch {
	struct inbox_item item;
	struct connection *connection;
	uint32_t n;
	struct frame frames[];
};

struct connection_config {
	enum frame_kind kind;
	struct inbox *inbox;
	void *owner;              /* what connection_owner() gives back */
	size_t frame_bytes_max;   /* for the length field of what arrives */
	size_t output_bytes_high; /* with more than this unsent, nothing is read */
	size_t inbox_bytes_high;  /* nor with more than this in the inbox, so that nobody fills a turn alone */
};

/* Takes the stream over, whatever the result. 0 or -ENOMEM. Reading begins with connection_start(). */
int connection_new(const struct connection_config *config, nng_stream *stream, struct connection **ret);
void connection_start(struct connection *connection);
/* After INBOX_CLOSED was taken from the inbox. */
struct connection *connection_free(struct connection *connection);

enum frame_kind connection_kind(const struct connection *connection);
void *connection_owner(const struct connection *connection);
void connection_set_frame_bytes_max(struct connection *connection, size_t bytes);
/* "host:port" of the other end, "unknown" if it cannot be told. Valid as long as the connection. */
const char *connection_remote(const struct connection *connection);
/* After INBOX_CLOSED: why, in a few words. */
const char *connection_reason(const struct connection *connection);
/* After INBOX_CLOSED: the other end sent what is no frame. */
bool connection_is_malformed(const struct connection *connection);

/* Appends a frame to the output; it leaves with the next flush at the latest. Nothing happens on a dead connection. */
void connection_send(struct connection *connection, uint8_t type, uint64_t id, const void *body, size_t body_bytes);
void connection_flush(struct connection *connection);
/* Bytes that nng has not taken yet. */
size_t connection_output_bytes(struct connection *connection);
/* Posts INBOX_DRAINED as soon as at most `bytes` are unsent. Once per call. */
void connection_await_drained(struct connection *connection, size_t bytes);
/* The loop has taken INBOX_DRAINED. */
void connection_take_drained(struct connection *connection);

/* The loop has taken the batch out of the inbox; it still owns it. */
void connection_take_batch(const struct connection_batch *batch);
/* Reads on after the inbox was overfull. */
void connection_resume(struct connection *connection);
/* Reads nothing more, and closes once all output has left. The owner still keeps a deadline. */
void connection_finish(struct connection *connection);
/* `reason` is static. Idempotent. */
void connection_close(struct connection *connection, const char *reason);

/* The connection of an INBOX_CLOSED or INBOX_DRAINED item. */
struct connection *connection_of_closed(struct inbox_item *item);
struct connection *connection_of_drained(struct inbox_item *item);

#endif
