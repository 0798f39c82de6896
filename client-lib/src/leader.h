/* SPDX-License-Identifier: Apache-2.0 */
/* Who leads, as far as this handle knows. Requests go to the leader only; everybody else would refuse them.
 *
 * A refusal or a HELLO_REPLY may name the leader. While it is not known the connected nodes are asked in turn, with a
 * short back-off: nodes say by themselves who leads when that changes, but one may be cut off from the others. While it
 * is known, but answers are overdue or only observations and changes of members are running (whose silence says
 * nothing), the nodes are asked as well, less often: a leader that hangs keeps its connections open. When answers are
 * overdue the leader is asked for a sign of life, too: a connection that died without a word (a firewall forgot it, a
 * cable was pulled) would be given up by TCP after many minutes only, when the leases are long over. */
#ifndef CLIENT_LEADER_H
#define CLIENT_LEADER_H

#include "api/client.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

struct lockd_client;
struct lockd__connection;

struct lockd__leader {
	uint32_t node;     /* 0: not known. Otherwise its endpoint is greeted */
	uint32_t expected; /* named as leader before it was connected; 0: none */
	uint64_t term_max; /* the greatest term that a node has told of */
	/* The question on its way: at most one. */
	struct lockd__connection *asked;
	uint64_t ask_id;
	int64_t asked_us; /* when it was sent */
	int64_t ask_us;   /* leader not known: when to ask next, or to stop waiting for the answer */
	unsigned asks;    /* in a row without finding out */
	unsigned hops;    /* hints followed since a node last answered as leader */
	unsigned turn;    /* whom to ask next */
	int64_t check_us; /* when to look for overdue answers */
	bool doubted;
};

/* All with the client's mutex held. */

/* The leader's connection; NULL: nowhere to send. */
struct lockd__connection *lockd__leader_connection(struct lockd_client *client);

/* Somebody names `node` as leader (0: knows none). It becomes the leader if it is connected; what is outstanding
 * elsewhere is sent to it. */
void lockd__leader_hint(struct lockd_client *client, uint32_t node);

/* The leader is not the leader any more, or is out of reach. */
void lockd__leader_lost(struct lockd_client *client);

/* Handles the statuses by which a node says that it does not lead: NOT_LEADER and LEADER_CHANGED. */
void lockd__leader_refused(struct lockd_client *client, struct lockd__connection *connection,
			   const Client__Reply *reply);

/* The connection is gone. */
void lockd__leader_gone(struct lockd_client *client, struct lockd__connection *connection, uint32_t node);

bool lockd__leader_answered(struct lockd_client *client, struct lockd__connection *connection, uint64_t frame_id,
			    const Client__Reply *reply);

/* Nobody is known to lead, and of the members that are connected at least half have a full disk: those that could lead
 * or vote are no majority. */
bool lockd__leader_lacks_space(const struct lockd_client *client);

/* Asks when it is due. Returns when to come again. */
int64_t lockd__leader_tick(struct lockd_client *client, int64_t now_us);

#endif
