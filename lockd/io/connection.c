/* SPDX-License-Identifier: Apache-2.0 */
#include "connection.h"

#include "api/bytes.h"
#include "metrics.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	INPUT_BYTES_MIN = 4 << 10, /* an idle client costs this much */
	INPUT_BYTES_KEPT = 64 << 10,
	OUTPUT_BYTES_KEPT = 64 << 10,
	/* Of one callback of nng's, which has but a few threads for all connections. */
	TURNS_PER_CALLBACK_MAX = 16,
};

struct output {
	uint8_t *bytes;
	size_t n, max;
};

struct connection {
	nng_stream *stream;
	nng_aio *recv_aio, *send_aio;
	nng_aio *try_aio; /* has no callback */
	struct inbox *inbox;
	enum frame_kind kind;
	void *owner; /* used by the loop alone */
	char remote[64];

	pthread_mutex_t lock; /* protects all below */
	size_t frame_bytes_max, output_bytes_high, inbox_bytes_high;
	size_t inbox_bytes; /* of batches that the loop has not taken */
	uint8_t *input;     /* touched by the receive callback, or while no receive is posted */
	size_t input_n, input_max;
	struct output filling, sending;
	size_t sent; /* of `sending` */
	bool recv_posted, send_posted;
	bool inbox_overfull; /* reading waits for connection_resume() */
	bool finishing;
	bool dead; /* nothing is posted from here on */
	bool closed_posted;
	bool malformed;
	bool drained_wanted, drained_posted;
	size_t drained_bytes;
	const char *reason;
	struct inbox_item closed, drained;
};

/* ---- The end ------------------------------------------------------------------------------------------------------
 */

/* Under the lock. Closing completes both aios, so that the callbacks end the connection. */
static void die(struct connection *c, const char *reason) {
	if (c->dead)
		return;
	c->dead = true;
	c->reason = reason;
	nng_stream_close(c->stream);
}

/* Under the lock; true for exactly one caller, who posts INBOX_CLOSED after unlocking and touches nothing afterwards:
 * the loop frees the connection as soon as it sees the item. */
static bool take_end(struct connection *c) {
	if (!c->dead || c->recv_posted || c->send_posted || c->closed_posted)
		return false;
	c->closed_posted = true;
	return true;
}

static void unlock_and_end(struct connection *c) {
	bool end = take_end(c);

	pthread_mutex_unlock(&c->lock);
	if (end)
		inbox_post(c->inbox, &c->closed);
}

/* ---- Reading ------------------------------------------------------------------------------------------------------
 */

static size_t output_bytes(const struct connection *c) {
	return c->filling.n + c->sending.n - c->sent;
}

static bool may_read(const struct connection *c) {
	return !c->dead && !c->finishing && !c->recv_posted && !c->inbox_overfull &&
	       c->inbox_bytes <= c->inbox_bytes_high && output_bytes(c) <= c->output_bytes_high;
}

static int resize_input(struct connection *c, size_t max) {
	uint8_t *input = realloc(c->input, max);

	if (!input)
		return -ENOMEM;
	c->input = input;
	c->input_max = max;
	return 0;
}

/* Room for the rest of the frame that has begun, if its length is known, and for some more anyway. */
static int make_input_room(struct connection *c) {
	size_t need = INPUT_BYTES_MIN;

	if (c->input_n >= 4)
		need = 4 + (size_t)bytes_get_u32(c->input);
	if (need < c->input_n + INPUT_BYTES_MIN / 2)
		need = c->input_n + INPUT_BYTES_MIN / 2;
	if (need > c->input_max || (c->input_n == 0 && c->input_max > INPUT_BYTES_KEPT))
		return resize_input(c, need);
	return 0;
}

static void post_recv(struct connection *c) {
	nng_iov iov;

	if (!may_read(c))
		return;
	if (make_input_room(c) < 0) {
		die(c, "out of memory");
		return;
	}
	iov = (nng_iov){.iov_buf = c->input + c->input_n, .iov_len = c->input_max - c->input_n};
	nng_aio_set_iov(c->recv_aio, 1, &iov);
	c->recv_posted = true;
	nng_stream_recv(c->stream, c->recv_aio);
}

/* Hands over a copy of the frames, which lie in one run of `taken` bytes at `from`. */
static int post_batch(struct connection *c, const uint8_t *from, size_t taken, const struct frame *frames, uint32_t n) {
	size_t head = sizeof(struct connection_batch) + n * sizeof *frames;
	struct connection_batch *batch = blocks_take(&c->inbox->blocks, head + taken);
	uint8_t *bytes = (uint8_t *)batch + head;

	if (!batch)
		return -ENOMEM;

	batch->item = (struct inbox_item){.kind = INBOX_FRAMES, .bytes = blocks_room(head + taken)};
	batch->connection = c;
	batch->n = n;
	memcpy(bytes, from, taken);
	for (uint32_t i = 0; i < n; i++) {
		batch->frames[i] = frames[i];
		batch->frames[i].body = bytes + (frames[i].body - from);
	}
	c->inbox_bytes += batch->item.bytes;
	if (!inbox_leave(c->inbox, &batch->item))
		c->inbox_overfull = true;
	return 0;
}

/* Takes up to CONNECTION_BATCH_FRAMES_MAX frames from `from`. 0 or a result of frame_parse() that ended the run. */
static int take_batch(struct connection *c, const uint8_t *from, size_t n, size_t *ret_taken) {
	struct frame frames[CONNECTION_BATCH_FRAMES_MAX];
	uint32_t count = 0;
	size_t taken = 0, one;
	int r = 0;

	while (count < CONNECTION_BATCH_FRAMES_MAX) {
		r = frame_parse(c->kind, from + taken, n - taken, c->frame_bytes_max, &frames[count], &one);
		if (r != 0)
			break;
		taken += one;
		count++;
	}
	if (count > 0 && post_batch(c, from, taken, frames, count) < 0)
		die(c, "out of memory");
	*ret_taken = taken;
	return r;
}

static void take_frames(struct connection *c) {
	size_t at = 0, taken;
	int r;

	do {
		r = take_batch(c, c->input + at, c->input_n - at, &taken);
		at += taken;
	} while (r == 0 && !c->dead);

	if (r != 0 && r != FRAME_INCOMPLETE) {
		c->malformed = true;
		die(c, frame_error_text(r));
	}
	memmove(c->input, c->input + at, c->input_n - at);
	c->input_n -= at;
}

static void on_recv(void *arg) {
	struct connection *c = arg;
	struct inbox *inbox = c->inbox;
	int r;

	pthread_mutex_lock(&c->lock);
	c->recv_posted = false;
	r = nng_aio_result(c->recv_aio);
	if (r != 0) {
		/* The peer's close has one name on TCP and another on TLS: all are "gone". */
		die(c, "the other end closed it");
	} else if (!c->dead && !c->finishing) {
		c->input_n += nng_aio_count(c->recv_aio);
		metrics_add(METRICS_BYTES_RECEIVED + c->kind, nng_aio_count(c->recv_aio));
		take_frames(c);
	}
	post_recv(c);
	unlock_and_end(c);
	inbox_serve(inbox, TURNS_PER_CALLBACK_MAX); /* may free the connection */
}

/* ---- Writing ------------------------------------------------------------------------------------------------------
 */

static void output_reset(struct output *output) {
	output->n = 0;
	if (output->max > OUTPUT_BYTES_KEPT) {
		free(output->bytes);
		*output = (struct output){0};
	}
}

static int output_reserve(struct output *output, size_t more) {
	size_t max = output->max ? output->max : 1024;
	uint8_t *bytes;

	while (max < output->n + more)
		max *= 2;
	if (max == output->max)
		return 0;
	bytes = realloc(output->bytes, max);
	if (!bytes)
		return -ENOMEM;
	output->bytes = bytes;
	output->max = max;
	return 0;
}

static void set_output(const struct connection *c, nng_aio *aio) {
	nng_iov iov = {.iov_buf = c->sending.bytes + c->sent, .iov_len = c->sending.n - c->sent};

	nng_aio_set_iov(aio, 1, &iov);
}

static void count_sent(struct connection *c, nng_aio *aio) {
	c->sent += nng_aio_count(aio);
	metrics_add(METRICS_BYTES_SENT + c->kind, nng_aio_count(aio));
}

static void take_filled(struct connection *c) {
	struct output filled = c->filling;

	output_reset(&c->sending);
	c->filling = c->sending;
	c->sending = filled;
	c->sent = 0;
}

/* What the socket has room for is sent when the call returns, and the callback of an aio would only wake one of nng's
 * threads to say so. Hence an aio without one; what it could not send is cancelled, which on a plain stream takes back
 * nothing that was sent. */
static void try_send(struct connection *c) {
	set_output(c, c->try_aio);
	nng_stream_send(c->stream, c->try_aio);
	nng_aio_cancel(c->try_aio);
	nng_aio_wait(c->try_aio);
	count_sent(c, c->try_aio);
}

/* A send may complete short, on TCP as well; the rest goes with the next one. Errors show there, too. */
static void post_send(struct connection *c) {
	if (c->dead || c->send_posted)
		return;
	if (c->sent == c->sending.n) {
		take_filled(c);
		if (c->sending.n > 0)
			try_send(c);
	}
	if (c->sent < c->sending.n) {
		set_output(c, c->send_aio);
		c->send_posted = true;
		nng_stream_send(c->stream, c->send_aio);
	} else if (c->finishing) {
		die(c, "finished");
	}
}

static void post_drained(struct connection *c) {
	if (c->dead || !c->drained_wanted || c->drained_posted || output_bytes(c) > c->drained_bytes)
		return;
	c->drained_wanted = false;
	c->drained_posted = true;
	inbox_post(c->inbox, &c->drained);
}

static void on_sent(void *arg) {
	struct connection *c = arg;
	int r;

	pthread_mutex_lock(&c->lock);
	c->send_posted = false;
	r = nng_aio_result(c->send_aio);
	if (r == 0)
		count_sent(c, c->send_aio);
	else
		die(c, "the other end closed it");
	post_send(c);
	post_drained(c);
	post_recv(c);
	unlock_and_end(c);
}

void connection_send(struct connection *c, uint8_t type, uint64_t id, const void *body, size_t body_bytes) {
	size_t bytes = frame_bytes(c->kind, body_bytes);

	pthread_mutex_lock(&c->lock);
	if (!c->dead && !c->finishing) {
		if (output_reserve(&c->filling, bytes) < 0) {
			die(c, "out of memory");
		} else {
			uint8_t *out = c->filling.bytes + c->filling.n;

			if (body_bytes > 0)
				memcpy(out + FRAME_HEADER_BYTES, body, body_bytes);
			frame_seal(c->kind, type, id, body_bytes, out);
			c->filling.n += bytes;
		}
	}
	unlock_and_end(c);
}

void connection_flush(struct connection *c) {
	pthread_mutex_lock(&c->lock);
	post_send(c);
	unlock_and_end(c);
}

size_t connection_output_bytes(struct connection *c) {
	size_t bytes;

	pthread_mutex_lock(&c->lock);
	bytes = output_bytes(c);
	pthread_mutex_unlock(&c->lock);
	return bytes;
}

void connection_await_drained(struct connection *c, size_t bytes) {
	pthread_mutex_lock(&c->lock);
	c->drained_wanted = true;
	c->drained_bytes = bytes;
	post_drained(c);
	pthread_mutex_unlock(&c->lock);
}

void connection_take_drained(struct connection *c) {
	pthread_mutex_lock(&c->lock);
	c->drained_posted = false;
	post_drained(c);
	pthread_mutex_unlock(&c->lock);
}

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

static void name_remote(struct connection *c) {
	nng_sockaddr address;
	char host[INET6_ADDRSTRLEN];

	snprintf(c->remote, sizeof c->remote, "unknown");
	if (nng_stream_get_addr(c->stream, NNG_OPT_REMADDR, &address) != 0)
		return;
	if (address.s_family == NNG_AF_INET && inet_ntop(AF_INET, &address.s_in.sa_addr, host, sizeof host))
		snprintf(c->remote, sizeof c->remote, "%s:%u", host, ntohs(address.s_in.sa_port));
	else if (address.s_family == NNG_AF_INET6 && inet_ntop(AF_INET6, &address.s_in6.sa_addr, host, sizeof host))
		snprintf(c->remote, sizeof c->remote, "[%s]:%u", host, ntohs(address.s_in6.sa_port));
}

int connection_new(const struct connection_config *config, nng_stream *stream, struct connection **ret) {
	struct connection *c = calloc(1, sizeof *c);

	if (!c || nng_aio_alloc(&c->recv_aio, on_recv, c) != 0)
		goto no_memory;
	if (nng_aio_alloc(&c->send_aio, on_sent, c) != 0 || nng_aio_alloc(&c->try_aio, NULL, NULL) != 0)
		goto no_memory;

	c->stream = stream;
	c->inbox = config->inbox;
	c->kind = config->kind;
	c->owner = config->owner;
	c->frame_bytes_max = config->frame_bytes_max;
	c->output_bytes_high = config->output_bytes_high;
	c->inbox_bytes_high = config->inbox_bytes_high;
	c->reason = "";
	c->closed = (struct inbox_item){.kind = INBOX_CLOSED};
	c->drained = (struct inbox_item){.kind = INBOX_DRAINED};
	pthread_mutex_init(&c->lock, NULL);
	name_remote(c);
	*ret = c;
	return 0;

no_memory:
	nng_stream_free(stream);
	if (c) {
		nng_aio_free(c->recv_aio);
		nng_aio_free(c->send_aio);
	}
	free(c);
	return -ENOMEM;
}

void connection_start(struct connection *c) {
	pthread_mutex_lock(&c->lock);
	post_recv(c);
	unlock_and_end(c);
}

struct connection *connection_free(struct connection *c) {
	assert(c->closed_posted);
	/* The callback that posted the end may still be on its way out of nng: reaping waits for it elsewhere. */
	nng_stream_free(c->stream);
	nng_aio_reap(c->recv_aio);
	nng_aio_reap(c->send_aio);
	nng_aio_reap(c->try_aio);
	pthread_mutex_destroy(&c->lock);
	free(c->input);
	free(c->filling.bytes);
	free(c->sending.bytes);
	free(c);
	return NULL;
}

void connection_take_batch(const struct connection_batch *batch) {
	struct connection *c = batch->connection;

	pthread_mutex_lock(&c->lock);
	c->inbox_bytes -= batch->item.bytes;
	post_recv(c);
	unlock_and_end(c);
}

void connection_resume(struct connection *c) {
	pthread_mutex_lock(&c->lock);
	c->inbox_overfull = false;
	post_recv(c);
	unlock_and_end(c);
}

void connection_finish(struct connection *c) {
	pthread_mutex_lock(&c->lock);
	c->finishing = true;
	post_send(c);
	unlock_and_end(c);
}

void connection_close(struct connection *c, const char *reason) {
	pthread_mutex_lock(&c->lock);
	die(c, reason);
	unlock_and_end(c);
}

void connection_set_frame_bytes_max(struct connection *c, size_t bytes) {
	pthread_mutex_lock(&c->lock);
	c->frame_bytes_max = bytes;
	pthread_mutex_unlock(&c->lock);
}

enum frame_kind connection_kind(const struct connection *c) {
	return c->kind;
}
void *connection_owner(const struct connection *c) {
	return c->owner;
}
const char *connection_remote(const struct connection *c) {
	return c->remote;
}
const char *connection_reason(const struct connection *c) {
	return c->reason;
}
bool connection_is_malformed(const struct connection *c) {
	return c->malformed;
}

struct connection *connection_of_closed(struct inbox_item *item) {
	return (struct connection *)((char *)item - offsetof(struct connection, closed));
}

struct connection *connection_of_drained(struct inbox_item *item) {
	return (struct connection *)((char *)item - offsetof(struct connection, drained));
}
