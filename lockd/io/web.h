/* SPDX-License-Identifier: Apache-2.0 */
/* What a node tells over HTTP: GET /metrics, /healthz, /readyz. libmicrohttpd answers on a thread of its own from the
 * latest survey that the loop has left here, so neither waits for the other longer than a copy of that takes.
 *
 * Strangers are bounded: WEB_CONNECTIONS_MAX connections, the oldest of which gives way to the newest, WEB_MEMORY_BYTES
 * each, one request, and WEB_IDLE_S of silence. There is no authentication. */
#ifndef LOCKD_IO_WEB_H
#define LOCKD_IO_WEB_H

#include "lockd/io/address.h"
#include "lockd/io/store.h"
#include "lockd/io/survey.h"

enum {
	WEB_CONNECTIONS_MAX = 64,
	WEB_MEMORY_BYTES = 16 << 10, /* for the head of a request and of its answer; a longer one is answered 431 */
	WEB_IDLE_S = 5,
};

struct web;

struct web_config {
	const char *address; /* "host:port"; port 0 takes a free one */
	const char *version, *data;
	const struct store *store;
};

/* Binds the port. `config` and what it points to are borrowed until web_close(). 0, or negative errno and, for people,
 * why.
 */
int web_open(const struct web_config *config, struct web **ret, const char **ret_why);
/* "host:port", as bound. */
const char *web_address(const struct web *web);
/* Begins to answer; there is a survey. Negative errno: it cannot. */
int web_start(struct web *web);
/* Any thread. */
void web_publish(struct web *web, const struct survey *survey);
/* Ends the thread, whoever is connected. NULL is nothing to close. */
struct web *web_close(struct web *web);

#endif
