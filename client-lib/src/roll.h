/* SPDX-License-Identifier: Apache-2.0 */
/* The sessions of a handle as keep-alives name them. One frame calls one roll: sessions of one epoch and group, as many
 * as a frame holds. What a call needs of them stands side by side, and the answer finds each by its place, so that a
 * program may keep a hundred thousand sessions alive and have time for something else. */
#ifndef CLIENT_ROLL_H
#define CLIENT_ROLL_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

struct lockd_client;
struct lockd_session;

struct lockd__place {
	struct lockd_session *session; /* NULL: it is gone */
	uint64_t opened;               /* 0: its lease is not wanted any more */
	uint32_t ttl_ms;
};

struct lockd__roll {
	TAILQ_ENTRY(lockd__roll) link; /* client->rolls */
	uint32_t epoch, group;
	int64_t due_us;              /* when it is called next */
	unsigned calls;              /* under way: until they are over, nobody changes places */
	struct lockd__place *places; /* in order of opening */
	uint32_t n, n_max;
	uint32_t gone; /* of them */
};

TAILQ_HEAD(lockd__rolls, lockd__roll);

/* All with the client's mutex held. */

/* Puts a session that has its id on a roll. 0 or -ENOMEM. */
int lockd__roll_join(struct lockd_client *client, struct lockd_session *session);

/* It is called no more, but stays; once is enough, and it need not be on a roll. */
void lockd__roll_strike(struct lockd_session *session);

void lockd__roll_leave(struct lockd_client *client, struct lockd_session *session);

/* It is about to be called, and the call is over. An empty one goes with its last call. */
void lockd__roll_begin_call(struct lockd__roll *roll);
void lockd__roll_end_call(struct lockd_client *client, struct lockd__roll *roll);

/* Gives the places of those that are gone to those behind them, if they are many and no call is under way. */
void lockd__roll_close_ranks(struct lockd__roll *roll);

#endif
