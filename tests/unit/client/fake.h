/* SPDX-License-Identifier: Apache-2.0 */
/* A node that a test plays: it speaks api/frame.h on a plain socket, answers by itself what the test does not care for,
 * and hands everything else over, to be answered, left unanswered, or cut off. */
#ifndef TESTS_CLIENT_FAKE_H
#define TESTS_CLIENT_FAKE_H

#include "api/client.pb-c.h"

#include <lockd/lockd.h>
#include <stdbool.h>
#include <stdint.h>

struct fake;

enum { FAKE_NODES_MAX = 5, FAKE_PATIENCE_MS = 5000 };

/* How it greets and what it says of itself. May be changed while it runs, through fake_set(). */
struct fake_manner {
	uint32_t node, leader;
	uint64_t term;
	uint32_t hello_status; /* enum lockd_status */
	uint32_t protocol;     /* 0: 1 */
	uint8_t cluster;       /* fills the incarnation; 0: none yet */
	uint32_t drift_ppm;
	uint32_t nodes[FAKE_NODES_MAX]; /* named in HELLO_REPLY, with addresses; 0: none */
	const char *addresses[FAKE_NODES_MAX];
	/* Handed to the test instead of being answered: */
	bool takes_open, takes_keep_alive, takes_status, takes_close, takes_cancel;
	bool drops_keep_alive; /* neither answered nor handed over */
	bool disk_full;        /* says so in HELLO_REPLY */
	bool silent;           /* answers nothing at all, HELLO apart */
	bool mute;             /* not even HELLO */
};

/* A request that was handed over. */
struct fake_request {
	uint64_t id;
	unsigned connection; /* counted from 1 */
	Client__Request *message;
	int64_t received_us;
};

struct fake *fake_new(const struct fake_manner *manner);
void fake_free(struct fake *fake);
const char *fake_address(const struct fake *fake); /* "127.0.0.1:port" */
void fake_set(struct fake *fake, const struct fake_manner *manner);

/* Stops or goes on listening at the same port; stopping also cuts all connections. */
void fake_stop(struct fake *fake);
void fake_start(struct fake *fake);
/* Cuts all connections. */
void fake_cut(struct fake *fake);

/* The next request handed over. Fails the test if none comes. Free it with fake_request_free(). */
struct fake_request fake_take(struct fake *fake);
/* The same, of that kind: any other fails the test. */
struct fake_request fake_take_kind(struct fake *fake, Client__Request__BodyCase kind);
/* Whether a request is there already or comes within `wait_ms`. */
bool fake_has(struct fake *fake, int wait_ms);
void fake_request_free(struct fake_request *request);

void fake_reply(struct fake *fake, const struct fake_request *request, const Client__Reply *reply);
void fake_reply_status(struct fake *fake, const struct fake_request *request, enum lockd_status status);
void fake_event(struct fake *fake, const struct fake_request *observe, const Client__Event *event);
/* Says HELLO_REPLY once more on all connections, as its manner is by then; `id` is the frame's, 0 by right. */
void fake_greet_again(struct fake *fake, uint64_t id);
unsigned fake_connections(struct fake *fake);
/* Bytes that need be no frame. */
void fake_write(struct fake *fake, const void *bytes, size_t n);

unsigned fake_hellos(struct fake *fake);
unsigned fake_opens(struct fake *fake);

/* ---- What most tests begin with --------------------------------------------------------------------------------- */

/* Node 1, leader of cluster 7 with ρ = 10 %. */
extern const struct fake_manner fake_leader;

struct lockd_client *fake_client(const char *endpoints);
struct lockd_session *fake_session(struct lockd_client *client, uint32_t ttl_ms);

/* Where the callback of an asynchronous call leaves its result. */
struct fake_result {
	bool done;
	enum lockd_status status;
	struct lockd_grant grant;
};
lockd_grant_fn fake_done;
/* Waits for it; fails the test if it does not come. */
void fake_await(struct fake_result *result);
bool fake_is_done(struct fake_result *result);

#endif
