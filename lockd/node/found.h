/* SPDX-License-Identifier: Apache-2.0 */
/* Founding a cluster: the founder makes the configuration its first entry, index 1 and term 1; the other blank nodes
 * whose stores it names take the same entry from a FOUND frame. So does every node that is added later, so that all
 * logs of an incarnation begin with the same entry; it may not campaign before its log names it. */
#ifndef LOCKD_NODE_FOUND_H
#define LOCKD_NODE_FOUND_H

#include "lockd/node/node.h"

/* NODE_FOUND: this node is the founder. */
void found_begin(struct node *node, const struct node_event *event);
/* A FOUND frame: of the founder, or of any member to a node that was added. */
void found_recv(struct node *node, uint32_t peer, const uint8_t *body, size_t n);
/* A save has become durable: the founder campaigns once it is no longer blank. */
void found_saved(struct node *node);

#endif
