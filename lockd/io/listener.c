/* SPDX-License-Identifier: Apache-2.0 */
#include "listener.h"

#include "log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void on_accept(void *arg) {
	struct listener_accept *accept = arg;

	accept->error = nng_aio_result(accept->aio);
	accept->stream = accept->error == 0 ? nng_aio_get_output(accept->aio, 0) : NULL;
	inbox_post(accept->listener->inbox, &accept->item);
}

/* The host of the configured address with the port that was bound. */
static void name_address(struct listener *listener, const char *address) {
	const char *colon = strrchr(address, ':');
	int port = 0;

	snprintf(listener->address, sizeof listener->address, "%s", address);
	if (colon && nng_stream_listener_get_int(listener->listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0)
		snprintf(listener->address, sizeof listener->address, "%.*s:%d", (int)(colon - address), address, port);
}

int listener_open(struct listener *listener, const char *address, struct inbox *inbox) {
	char url[160];
	int r;

	*listener = (struct listener){.inbox = inbox};
	snprintf(url, sizeof url, "tcp://%s", address);
	r = nng_stream_listener_alloc(&listener->listener, url);
	if (r != 0)
		return r;

	/* Off by default for streams; Nagle's algorithm costs 40 ms here and there. */
	r = nng_stream_listener_set_bool(listener->listener, NNG_OPT_TCP_NODELAY, true);
	if (r == 0)
		r = nng_stream_listener_set_bool(listener->listener, NNG_OPT_TCP_KEEPALIVE, true);
	if (r == 0)
		r = nng_stream_listener_listen(listener->listener);
	for (int i = 0; r == 0 && i < LISTENER_ACCEPTS; i++) {
		struct listener_accept *accept = &listener->accepts[i];

		*accept = (struct listener_accept){.item = {.kind = INBOX_ACCEPTED}, .listener = listener};
		r = nng_aio_alloc(&accept->aio, on_accept, accept);
	}
	if (r != 0) {
		listener_deinit(listener);
		return r;
	}
	name_address(listener, address);
	return 0;
}

static void arm(struct listener *listener, struct listener_accept *accept) {
	accept->stream = NULL;
	accept->posted = true;
	nng_stream_listener_accept(listener->listener, accept->aio);
}

void listener_start(struct listener *listener) {
	for (int i = 0; i < LISTENER_ACCEPTS; i++)
		arm(listener, &listener->accepts[i]);
}

void listener_rearm(struct listener *listener, struct listener_accept *accept, raft_usec now) {
	accept->posted = false;
	if (listener->closing)
		return;
	if (accept->error == 0) {
		listener->failing = false;
		arm(listener, accept);
		return;
	}
	if (!listener->failing)
		log_warning("cannot accept connections: address=%s error=\"%s\" retry_ms=%d", listener->address,
			    nng_strerror(accept->error), LISTENER_RETRY_MS);
	listener->failing = true;
	accept->retry_at = now + LISTENER_RETRY_MS * 1000;
	listener->waiting++;
}

raft_usec listener_tick(struct listener *listener, raft_usec now) {
	raft_usec next = UINT64_MAX;

	for (int i = 0; i < LISTENER_ACCEPTS && listener->waiting > 0; i++) {
		struct listener_accept *accept = &listener->accepts[i];

		if (accept->retry_at == 0)
			continue;
		if (accept->retry_at <= now) {
			accept->retry_at = 0;
			listener->waiting--;
			arm(listener, accept);
		} else if (accept->retry_at < next) {
			next = accept->retry_at;
		}
	}
	return next;
}

void listener_close(struct listener *listener) {
	listener->closing = true;
	for (int i = 0; i < LISTENER_ACCEPTS; i++)
		listener->accepts[i].retry_at = 0;
	listener->waiting = 0;
	nng_stream_listener_close(listener->listener);
}

bool listener_is_idle(const struct listener *listener) {
	for (int i = 0; i < LISTENER_ACCEPTS; i++) {
		if (listener->accepts[i].posted)
			return false;
	}
	return true;
}

void listener_deinit(struct listener *listener) {
	assert(listener_is_idle(listener));
	for (int i = 0; i < LISTENER_ACCEPTS; i++) {
		if (listener->accepts[i].aio)
			nng_aio_free(listener->accepts[i].aio);
	}
	if (listener->listener)
		nng_stream_listener_free(listener->listener);
	*listener = (struct listener){0};
}

struct listener_accept *listener_accept_of(struct inbox_item *item) {
	assert(item->kind == INBOX_ACCEPTED);
	return (struct listener_accept *)((char *)item - offsetof(struct listener_accept, item));
}
