/* SPDX-License-Identifier: Apache-2.0 */
/* A listening port. Several accepts are outstanding at once; each one hands its stream to the loop through the inbox
 * and is armed again by the loop, so that a flood of connections cannot grow anything. */
#ifndef LOCKD_IO_LISTENER_H
#define LOCKD_IO_LISTENER_H

#include "lockd/io/inbox.h"

#include <nng/nng.h>
#include <stdint.h>

enum {
	LISTENER_ACCEPTS = 16, /* 1 → 16: 241 → about 600 accepts per second in a flood, with nng's backlog of 128 */
	LISTENER_RETRY_MS = 100, /* after an accept failed, for want of descriptors say */
};

struct listener;

struct listener_accept {
	struct inbox_item item;
	struct listener *listener;
	nng_aio *aio;
	nng_stream *stream; /* NULL: the accept failed */
	int error;          /* of nng */
	bool posted;
	raft_usec retry_at; /* 0: not waiting */
};

struct listener {
	nng_stream_listener *listener;
	struct inbox *inbox;
	struct listener_accept accepts[LISTENER_ACCEPTS];
	char address[128]; /* "host:port", as bound */
	bool closing;
	bool failing;     /* accepts fail; reported once */
	unsigned waiting; /* accepts with a retry_at */
};

/* Binds "host:port"; port 0 takes a free one. 0, or the error of nng: nng_strerror() says what. Nothing is accepted
 * yet. */
int listener_open(struct listener *listener, const char *address, struct inbox *inbox);
void listener_start(struct listener *listener);

/* The loop has handled an accept: arm it again, later if it failed. */
void listener_rearm(struct listener *listener, struct listener_accept *accept, raft_usec now);
/* Arms what is due; returns when to call again, UINT64_MAX: never. */
raft_usec listener_tick(struct listener *listener, raft_usec now);

/* Stops accepting; the outstanding accepts come back through the inbox and are given up there. */
void listener_close(struct listener *listener);
bool listener_is_idle(const struct listener *listener);
/* After listener_close() and once idle; or before listener_start(). */
void listener_deinit(struct listener *listener);

struct listener_accept *listener_accept_of(struct inbox_item *item);

#endif
