/* SPDX-License-Identifier: Apache-2.0 */
/* The client handle. One mutex guards all of it, sessions and observations included. Three kinds of threads come by:
 * callers of the library, who make requests and send them; nng's threads, who bring answers, act on them and run the
 * user's callbacks that are due then; and the handle's own thread, which keeps the time (dials, back-offs, keep-alives,
 * leases), runs what callbacks are left, and frees connections. Callbacks run with the mutex released, one at a time: a
 * thread that finds another one at it leaves its own to that one.
 *
 * What a thread sends while it acts on answers or runs callbacks is gathered and written at the end, so that a batch of
 * answers that brings a batch of requests costs one write. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "connection.h"
#include "endpoint.h"
#include "keepalive.h"
#include "leader.h"
#include "observe.h"
#include "request.h"
#include "session.h"

#include "api/arena.h"

#include <lockd/lockd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct lockd_client {
	pid_t pid;      /* of the process that opened it */
	unsigned forks; /* that led to that process (lockd__client_enter()) */
	pthread_t thread;
	char *owner, *host;

	pthread_mutex_t mutex; /* guards everything below */
	pthread_cond_t wake;   /* the handle's thread sleeps here */
	bool sleeping, kicked; /* kicked: somebody wants a turn of the thread */
	bool closing;
	pthread_cond_t left; /* a caller has left, a callback has returned */
	unsigned callers;    /* threads inside blocking calls */
	bool receiving;      /* an nng thread acts on answers; it will run the callbacks */
	bool calling;        /* a thread runs callbacks … */
	pthread_t caller;    /* … this one */
	const void *running; /* the session or observation whose callback runs */

	uint64_t seed;          /* of jitter */
	uint64_t next_frame_id; /* unique in the handle, so that no connection's answer is taken for another's */
	uint64_t next_order;
	struct arena arena;                   /* for the frame being read */
	char error[LOCKD__REFUSAL_BYTES_MAX]; /* what the cluster said when it last refused a request */
	unsigned read_turn;                   /* whom to ask next what any node can answer */
	uint64_t seen;                        /* highest revision of an answer */

	uint8_t incarnation[LIMIT_UUID_BYTES]; /* of the cluster that was met first; all nodes must be of it */
	bool incarnated;
	struct lockd__endpoint endpoints[LOCKD__ENDPOINTS_MAX];
	uint32_t members[LOCKD__MEMBERS_MAX]; /* as the leader last named them */
	size_t n_members;                     /* 0: not known */
	struct lockd__connections connections, reaped;
	struct lockd__leader leader;

	struct lockd__waiting waiting;
	struct lockd__sent sent;
	unsigned requests;               /* in both, and blocked ones */
	unsigned leaderless;             /* of them, that need no leader: for one endpoint, or for any */
	unsigned patient;                /* of them, whose answer may take minutes */
	unsigned prompt;                 /* of those that are sent, that wait for nobody but the leader … */
	unsigned prompt_max;             /* … and how many of them may be, since it was busy; UINT_MAX: it was not */
	unsigned answers;                /* since that last changed */
	struct lockd__requests finished; /* their callbacks are due */

	struct lockd__sessions sessions;
	struct lockd__changed changed; /* their callbacks are due */
	int64_t session_check_us;      /* no session needs a look before */
	struct lockd__rolls rolls;     /* the same sessions */
	struct lockd__keepalives keepalives;
	int64_t keepalive_us; /* no roll is due before */

	struct lockd__observations observations, eventful;
};

/* Begins a call: takes the mutex. FORKED and CLOSED: not taken. */
enum lockd_status lockd__client_enter(struct lockd_client *client);
/* The same for calls that wait; MISUSE from a callback. */
enum lockd_status lockd__client_enter_blocking(struct lockd_client *client);
void lockd__client_leave(struct lockd_client *client);
void lockd__client_leave_blocking(struct lockd_client *client);

/* All below: with the mutex held. */

/* Wants a turn of the handle's thread. */
void lockd__client_kick(struct lockd_client *client);

/* A callback is due. */
void lockd__client_due(struct lockd_client *client);

/* An nng thread begins to act on answers, and ends: runs the callbacks that are due, and sends what was gathered. The
 * mutex is released during callbacks. */
void lockd__client_receive(struct lockd_client *client);
void lockd__client_received(struct lockd_client *client);

/* Whether this thread runs callbacks. */
bool lockd__client_is_caller(const struct lockd_client *client);

/* Whether what this thread sends is gathered. */
bool lockd__client_gathers(const struct lockd_client *client);

/* Something from 0 up to below `max_us`, to keep clients from acting in step. */
int64_t lockd__client_jitter_us(struct lockd_client *client, int64_t max_us);

/* A frame from a node, whole and bounded. */
void lockd__client_frame(struct lockd_client *client, struct lockd__connection *connection, uint8_t type, uint64_t id,
			 const uint8_t *body, size_t body_bytes);

#endif
