/* SPDX-License-Identifier: Apache-2.0 */
/* Observations: subscriptions that survive their connection. */
#ifndef CLIENT_OBSERVE_H
#define CLIENT_OBSERVE_H

#include "api/client.pb-c.h"

#include <bsd/sys/queue.h>
#include <lockd/lockd.h>
#include <stdbool.h>
#include <stdint.h>

struct lockd__connection;

enum {
	/* Events that wait for the user's callback. Beyond it the subscription ends; when the callback has caught up
	 * with half of them it is taken up again behind the last event kept, and the cluster's history fills in, or
	 * says GAP. */
	LOCKD__EVENTS_MAX = 1024,
};

struct lockd__event {
	STAILQ_ENTRY(lockd__event) link;
	struct lockd_event event; /* its texts stand behind the struct */
	char text[];
};

struct lockd_observation {
	TAILQ_ENTRY(lockd_observation) link;     /* client->observations */
	TAILQ_ENTRY(lockd_observation) eventful; /* client->eventful, while events wait */
	struct lockd_client *client;
	char *name;
	lockd_event_fn *on_event;
	void *user;
	struct lockd__connection *connection; /* subscribed there; NULL: nowhere */
	uint64_t frame_id;                    /* of that subscription */
	int64_t retry_us;
	uint64_t after; /* revision of the last event taken */
	bool begun;     /* some event was taken */
	bool after_gap; /* the next event is the state of affairs, whatever its revision */
	STAILQ_HEAD(, lockd__event) events;
	unsigned n_events;
};

TAILQ_HEAD(lockd__observations, lockd_observation);

/* All with the client's mutex held. */

/* Subscribes what can be subscribed. Returns when to come again. */
int64_t lockd__observe_flush(struct lockd_client *client, int64_t now_us);

/* Ends subscriptions: on that connection, or on any (NULL). They are taken up again by the next flush. */
void lockd__observe_put_back(struct lockd_client *client, const struct lockd__connection *connection);

void lockd__observe_event(struct lockd_client *client, uint64_t frame_id, const Client__Event *event);

/* The answer to an Observe. false: none waits for it. */
bool lockd__observe_answered(struct lockd_client *client, struct lockd__connection *connection, uint64_t frame_id,
			     const Client__Reply *reply);

/* Takes the oldest event of any observation; NULL: none. The caller frees it. */
struct lockd__event *lockd__observe_take(struct lockd_client *client, struct lockd_observation **ret_observation);

void lockd__observe_free(struct lockd_observation *observation);

#endif
