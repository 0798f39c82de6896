/* SPDX-License-Identifier: Apache-2.0 */
/* The greeting of a client: protocol version, incarnation, and where the other nodes are. It is repeated whenever this
 * node learns of another leader or of other members, so that a client finds its way without asking around, and when its
 * disk is full or is not any more, so that a client knows why nobody leads. */
#ifndef LOCKD_NODE_HELLO_H
#define LOCKD_NODE_HELLO_H

#include "client.h"

/* What clients are told again when it changes. */
struct hello_news {
	uint64_t number, told; /* the latest, the one that everybody was told */
	uint32_t leader;
	bool blank, disk_full;
	bool members; /* have changed since the latest */
};

/* The first frame of a connection. Anything but a HELLO closes it without a word. */
void hello_recv(struct node *node, struct client *client, const struct node_event *event);
/* Ends a turn: repeats the HELLO_REPLY for everybody whose latest one is out of date. */
void hello_repeat(struct node *node);

#endif
