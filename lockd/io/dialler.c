/* SPDX-License-Identifier: Apache-2.0 */
#include "dialler.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static void on_dial(void *arg) {
	struct dialler *dialler = arg;

	dialler->error = nng_aio_result(dialler->aio);
	if (dialler->error == 0)
		dialler->stream = nng_aio_get_output(dialler->aio, 0);
	inbox_post(dialler->inbox, &dialler->item);
}

int dialler_start(const char *address, struct inbox *inbox, void *owner, struct dialler **ret) {
	struct dialler *dialler = calloc(1, sizeof *dialler);
	char url[160];
	int r;

	if (!dialler)
		return NNG_ENOMEM;
	dialler->item.kind = INBOX_DIALLED;
	dialler->inbox = inbox;
	dialler->owner = owner;

	snprintf(url, sizeof url, "tcp://%s", address);
	r = nng_stream_dialer_alloc(&dialler->dialer, url);
	if (r == 0)
		r = nng_stream_dialer_set_bool(dialler->dialer, NNG_OPT_TCP_NODELAY, true);
	if (r == 0)
		r = nng_stream_dialer_set_bool(dialler->dialer, NNG_OPT_TCP_KEEPALIVE, true);
	if (r == 0)
		r = nng_aio_alloc(&dialler->aio, on_dial, dialler);
	if (r != 0) {
		dialler_free(dialler);
		return r;
	}
	nng_stream_dialer_dial(dialler->dialer, dialler->aio);
	*ret = dialler;
	return 0;
}

void dialler_cancel(struct dialler *dialler) {
	nng_stream_dialer_close(dialler->dialer);
}

struct dialler *dialler_free(struct dialler *dialler) {
	if (dialler->stream)
		nng_stream_free(dialler->stream);
	if (dialler->dialer)
		nng_stream_dialer_free(dialler->dialer);
	if (dialler->aio)
		nng_aio_reap(dialler->aio);
	free(dialler);
	return NULL;
}

struct dialler *dialler_of(struct inbox_item *item) {
	assert(item->kind == INBOX_DIALLED);
	return (struct dialler *)((char *)item - offsetof(struct dialler, item));
}
