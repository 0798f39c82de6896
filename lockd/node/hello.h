/* SPDX-License-Identifier: Apache-2.0 */
/* The greeting of a client: protocol version, incarnation, and where the other nodes are. */
#ifndef LOCKD_NODE_HELLO_H
#define LOCKD_NODE_HELLO_H

#include "client.h"

/* The first frame of a connection. Anything but a HELLO closes it without a word. */
void hello_recv(struct node *node, struct client *client, const struct node_event *event);

#endif
