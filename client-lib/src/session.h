/* SPDX-License-Identifier: Apache-2.0 */
/* A session as its holder sees it: until when its lease runs by our own clock, which of its sequences are open, and
 * what came of its recent requests. */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "request.h"

enum {
	/* Outcomes remembered for lockd_resolve(); of older ones it says STALE. */
	LOCKD__OUTCOMES = 1024,
	LOCKD__OUTCOMES_FIRST = 4,
	/* Changes of state that wait for the user's callback. If it is that far behind, the newest replaces the one
	   before. */
	LOCKD__CHANGES = 16,
	LOCKD__TTL_MS_DEFAULT = 10000,
};

struct lockd__outcome {
	uint64_t number;
	enum lockd_status status;
	struct lockd_grant grant;
};

struct lockd_session {
	/* What keep-alives see of it stands together: a handle may have very many sessions. */
	struct lockd_client *client;
	enum lockd_session_state state;
	bool closing; /* lockd_session_close() is at work: no keep-alives, no callbacks */
	uint32_t ttl_ms;
	uint32_t place;           /* on the roll */
	struct lockd__roll *roll; /* once it is in client->sessions */
	int64_t good_us;          /* when the last keep-alive was sent that was answered */
	int64_t lease_us;         /* the lease runs until then */

	RB_ENTRY(lockd_session) node;       /* client->sessions, by `opened`, from OPEN's answer on */
	TAILQ_ENTRY(lockd_session) changed; /* client->changed, while n_changes > 0 */
	uint32_t epoch, group;
	uint64_t opened;
	char id[48];
	char *label;
	lockd_session_fn *on_state;
	void *user;

	uint64_t next_number, next_sequence;
	struct lockd__requests requests;   /* all, in order of making */
	struct lockd__requests open;       /* those with a sequence, in order of sequence */
	struct lockd__requests blocked[2]; /* those that the window has no room for, in order of making: acquires, and
					      releases, which need less room */
	struct lockd__outcome *outcomes;   /* n_outcomes of them, by number modulo that: a power of 2 */
	uint32_t n_outcomes;
	pthread_cond_t resolved; /* signalled whenever a request ends */
	unsigned resolving;      /* threads that wait there */
	unsigned callbacks;      /* of its requests, that are due or run */

	enum lockd_session_state changes[LOCKD__CHANGES];
	unsigned n_changes;
};

TAILQ_HEAD(lockd__changed, lockd_session);
RB_HEAD(lockd__sessions, lockd_session);
RB_PROTOTYPE(lockd__sessions, lockd_session, node, lockd__session_compare)

/* All with the client's mutex held. */

/* The first sequence whose outcome is open: results below it may be forgotten. */
uint64_t lockd__session_floor(const struct lockd_session *session);

/* A number for another request, and the place for its outcome. Sessions that ask for little stay small: a program may
 * have tens of thousands of them. 0: out of memory. */
uint64_t lockd__session_number(struct lockd_session *session);

/* Where the outcome of the request with that number stands. */
struct lockd__outcome *lockd__session_outcome(const struct lockd_session *session, uint64_t number);

/* Whether the window has room for this request, which has no sequence yet. */
bool lockd__session_admits(const struct lockd_session *session, const struct lockd__request *request);

/* OPEN was answered: the session lives, with a lease that counts from `sent_us`. false: that lease is over already. */
bool lockd__session_begin(struct lockd_session *session, const Client__Reply *reply, int64_t sent_us,
			  uint32_t drift_ppm);

/* A keep-alive that was sent at `sent_us` was answered; it gives a lease until `lease_us`. */
void lockd__session_renew(struct lockd_session *session, int64_t sent_us, int64_t lease_us, int64_t now_us);

/* The lease is over, for good: outstanding requests end with SESSION_EXPIRED. */
void lockd__session_expire(struct lockd_session *session);

/* Brings the state up to date. Returns when to look again. */
int64_t lockd__session_update(struct lockd_session *session, int64_t now_us);

/* Updates all sessions that may need it. Returns when to come again. */
int64_t lockd__session_tick(struct lockd_client *client, int64_t now_us);

void lockd__session_free(struct lockd_session *session);

#endif
