/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of clients: greeting, decoding, validation, admission. A frame that breaks the protocol closes the connection;
 * a request with a field out of range is answered INVALID; one beyond a bound BUSY, before it has had any effect. */
#ifndef LOCKD_NODE_REQUEST_H
#define LOCKD_NODE_REQUEST_H

#include "lockd/node/node.h"

void request_recv(struct node *node, const struct node_event *event);

#endif
