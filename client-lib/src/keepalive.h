/* SPDX-License-Identifier: Apache-2.0 */
/* Keep-alives: one frame to the leader calls a roll, which most often has all sessions of the handle. */
#ifndef CLIENT_KEEPALIVE_H
#define CLIENT_KEEPALIVE_H

#include "roll.h"

#include "api/client.pb-c.h"

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

struct lockd_client;
struct lockd__connection;

/* One transmission. It is never repeated: another one with its own instant takes its place, so that a lease always
 * counts from the sending of exactly what was answered. */
struct lockd__keepalive {
	TAILQ_ENTRY(lockd__keepalive) link;
	struct lockd__connection *connection;
	uint64_t frame_id;
	int64_t sent_us;
	int64_t until_us; /* an answer that comes later renews nothing */
	struct lockd__roll *roll;
	size_t n;
	uint16_t places[]; /* on the roll, of those that are named, in the order of the frame */
};

TAILQ_HEAD(lockd__keepalives, lockd__keepalive);

/* All with the client's mutex held. */

/* How often a session with this TTL wants to be named. */
int64_t lockd__keepalive_interval_us(uint32_t ttl_ms);

/* Sends what is due. Returns when to come again. */
int64_t lockd__keepalive_tick(struct lockd_client *client, int64_t now_us);

/* There is another leader: send at once. */
void lockd__keepalive_now(struct lockd_client *client);

/* This roll is to be called then. */
void lockd__keepalive_due(struct lockd_client *client, struct lockd__roll *roll, int64_t due_us);

/* false: no keep-alive waits for this answer. */
bool lockd__keepalive_answered(struct lockd_client *client, struct lockd__connection *connection, uint64_t frame_id,
			       const Client__Reply *reply);

/* Forgets transmissions: on that connection, or all (NULL). */
void lockd__keepalive_forget(struct lockd_client *client, const struct lockd__connection *connection);

#endif
