/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt to connect. Each attempt has a dialer of its own: dialling anew with one whose attempt was cancelled
 * fails at once or panics in nng 1.5.2. The result comes through the inbox, exactly one per attempt, also after
 * dialler_cancel(); the loop then takes the stream, if there is one, and frees the dialler. The time limit is the
 * owner's. */
#ifndef LOCKD_IO_DIALLER_H
#define LOCKD_IO_DIALLER_H

#include "lockd/io/inbox.h"

#include <nng/nng.h>

struct dialler {
	struct inbox_item item;
	struct inbox *inbox;
	nng_stream_dialer *dialer;
	nng_aio *aio;
	nng_stream *stream; /* in the result; NULL: it failed with `error` */
	int error;          /* of nng */
	void *owner;
};

/* 0, or an error of nng: bad address, out of memory. */
int dialler_start(const char *address, struct inbox *inbox, void *owner, struct dialler **ret);
/* Too late, or not wanted any more. The result still comes, and it may still be a stream. */
void dialler_cancel(struct dialler *dialler);
/* After INBOX_DIALLED; a stream that nobody took is freed with it. */
struct dialler *dialler_free(struct dialler *dialler);

struct dialler *dialler_of(struct inbox_item *item);

#endif
