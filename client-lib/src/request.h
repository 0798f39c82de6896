/* SPDX-License-Identifier: Apache-2.0 */
/* A request from its making until its outcome is definite.
 *
 * WAITING (in client->waiting, in order of making, behind them those that back off, in order of time; in
 * session->blocked while the window has no room) → SENT (in client->sent, by the frame id of its last transmission) →
 * finished and freed. A lost connection, a changed leader, BUSY, NOT_LEADER put it back to WAITING; it goes out again
 * with the same session and sequence, which makes the second run harmless. Every transmission has a frame id of its
 * own, so that an answer to an earlier one is not taken for the last one's.
 *
 * A request of a session has two numbers. `number` is what the user gets, in order of making. `sequence` is what goes
 * over the wire, given at the first transmission: a session may have LIMIT_SEQUENCE_WINDOW sequences open, and a
 * cancellation must be able to pass the requests that queue for the window, since it may be the very thing that moves
 * it. */
#ifndef CLIENT_REQUEST_H
#define CLIENT_REQUEST_H

#include "api/client.pb-c.h"
#include "api/limits.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <lockd/lockd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct lockd__connection;
struct lockd__endpoint;
struct lockd_member_change;

enum lockd__request_kind {
	LOCKD__OPEN,
	LOCKD__CLOSE,
	LOCKD__ACQUIRE,
	LOCKD__CANCEL,
	LOCKD__RELEASE,
	LOCKD__LIST,
	LOCKD__SHOW,
	LOCKD__SESSIONS,
	LOCKD__STATUS, /* pinned to an endpoint */
	LOCKD__CHANGE_MEMBERS,
	LOCKD__TRANSFER_LEADER,
	LOCKD__BACKUP, /* begun anywhere, its parts asked of one endpoint */
};

enum {
	/* Requests of a handle that may be under way at once; locks are not asked for beyond it (LIMIT). */
	LOCKD__REQUESTS_MAX = 1 << 16,
};

enum lockd__request_state { LOCKD__WAITING, LOCKD__SENT, LOCKD__FINISHED };

/* A thread that waits for a request, on that thread's stack. */
struct lockd__waiter {
	pthread_cond_t cond;
	pthread_cond_t *together; /* signalled as well: of a thread that waits for several; NULL: none */
	bool done;
	enum lockd_status status;
	struct lockd_grant grant;
	uint8_t *body; /* of the reply to a read; the waiter frees it */
	size_t body_bytes;
};

struct lockd__request {
	TAILQ_ENTRY(lockd__request)
	link;                               /* session->blocked, or client->finished while its callback is due */
	RB_ENTRY(lockd__request) node;      /* client->waiting, or client->sent */
	TAILQ_ENTRY(lockd__request) member; /* session->requests */
	TAILQ_ENTRY(lockd__request) open;   /* session->open, while it has a sequence */
	enum lockd__request_kind kind;
	enum lockd__request_state state;
	uint64_t order; /* of making, in the handle */

	struct lockd_session *session; /* NULL for reads */
	uint64_t number;               /* 0: the user does not know of it */
	uint64_t sequence;             /* 0: not given yet */
	uint64_t frame_id;
	struct lockd__connection *connection; /* SENT: on which one */
	struct lockd__endpoint *endpoint;     /* STATUS, and reads of one node: whom to ask */
	int64_t sent_us;                      /* last transmission */
	int64_t retry_us;                     /* WAITING: not before; 0: at any time */
	unsigned retries;
	bool blocked;  /* WAITING: for the window, in session->blocked */
	bool in_doubt; /* a transmission went unanswered: it may have taken effect */

	const char *name, *value; /* of the lock; prefix of a list. In `texts` */
	char *after;              /* LIST: the last name seen; NULL: none */
	uint32_t wait_ms;
	uint64_t token;
	uint64_t after_opened;            /* SESSIONS */
	enum lockd_read_level level;      /* LIST, SHOW, SESSIONS */
	uint64_t at_least;                /* SESSION */
	bool anywhere;                    /* a read that any node may answer */
	uint32_t rather;                  /* anywhere: by this one while it is connected; 0: by none in particular */
	uint8_t nonce[LIMIT_NONCE_BYTES]; /* OPEN */
	int64_t nonce_us;                 /* OPEN: first transmission under this nonce; 0: none yet */
	const struct lockd_member_change *changes; /* CHANGE_MEMBERS: the caller's, who waits for the end */
	size_t n_changes;
	uint64_t backup, offset; /* BACKUP: 0 begins one, otherwise the part of it that is asked for */
	uint32_t target_node;    /* TRANSFER_LEADER; 0: any */
	uint32_t leader_node;    /* TRANSFER_LEADER: who led when it was first sent; 0: not sent yet */

	/* An acquire that is being given up and its cancellation know each other. The cancellation is made with the
	 * acquire and kept as `spare`, so that giving up cannot fail. */
	struct lockd__request *cancel, *target, *spare;

	/* Who wants to know: a waiting thread, or a callback, or nobody (any more). */
	struct lockd__waiter *waiter;
	lockd_grant_fn *done; /* in a session only */
	void *user;
	enum lockd_status status; /* FINISHED: for the callback */
	struct lockd_grant grant;
	char texts[];
};

TAILQ_HEAD(lockd__requests, lockd__request);
RB_HEAD(lockd__sent, lockd__request);
RB_HEAD(lockd__waiting, lockd__request);

/* All with the client's mutex held. */

/* NULL: out of memory. Copies the texts; NULL texts are empty. */
struct lockd__request *lockd__request_new(struct lockd_client *client, struct lockd_session *session,
					  enum lockd__request_kind kind, const char *name, const char *value);
void lockd__request_free(struct lockd__request *request);

/* Hands it to the client: it is sent as soon as the leader, its connection and the window allow. */
void lockd__request_submit(struct lockd_client *client, struct lockd__request *request);

/* Sends all that may be sent. Returns when the next one that is backing off is due. */
int64_t lockd__request_flush(struct lockd_client *client, int64_t now_us);

/* Sends elsewhere what a node keeps waiting that any other can answer as well. Returns when to come again. */
int64_t lockd__request_tick(struct lockd_client *client, int64_t now_us);

/* The answer to the transmission `frame_id`, from that connection. false: no request waits for it. */
bool lockd__request_answered(struct lockd_client *client, struct lockd__connection *connection, uint64_t frame_id,
			     const Client__Reply *reply, const uint8_t *body, size_t body_bytes);

/* Puts back what is outstanding: on that connection, or on any but the leader's (NULL). */
void lockd__request_put_back(struct lockd_client *client, const struct lockd__connection *connection);

/* Ends it: tells whoever wants to know, remembers the outcome, frees it. */
void lockd__request_finish(struct lockd_client *client, struct lockd__request *request, enum lockd_status status,
			   uint64_t token, uint64_t revision);

/* Ends all those that ask just that node; NULL: all that are left, when those of open sessions are over. */
void lockd__requests_end(struct lockd_client *client, const struct lockd__endpoint *endpoint, enum lockd_status status);

/* Whether the answer may take minutes, so that waiting for it says nothing about the leader. */
bool lockd__request_is_patient(const struct lockd__request *request);

/* Nobody waits for the answer any more. Returns what the caller that gave up is to be told. */
enum lockd_status lockd__request_abandon(struct lockd_client *client, struct lockd__request *request);

/* Begins to give up an acquire. One that was never sent is finished, as CANCELLED, at once. */
void lockd__request_cancel(struct lockd_client *client, struct lockd__request *acquire);

/* 0 or -ENOMEM. */
int lockd__waiter_init(struct lockd__waiter *waiter);
/* Waits for the request that was submitted with this waiter, gives it up at the deadline, deinitialises the waiter. */
enum lockd_status lockd__waiter_wait(struct lockd_client *client, struct lockd__waiter *waiter,
				     struct lockd__request *request, int64_t deadline_us);

RB_PROTOTYPE(lockd__sent, lockd__request, node, lockd__request_compare)

#endif
