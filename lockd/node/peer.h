/* SPDX-License-Identifier: Apache-2.0 */
/* What replicas say to each other: struct raft_message and the entries of an append, as peer.Message. */
#ifndef LOCKD_NODE_PEER_H
#define LOCKD_NODE_PEER_H

#include "lockd/node/node.h"

struct node;
struct replica;

/* In memory of the turn. The entries of an append are taken from the replica's cache. */
struct node_bytes peer_pack(struct replica *replica, const struct raft_message *message);

/* A MESSAGE frame from `peer`. One that does not decode, is addressed to another node or carries a damaged entry is
 * dropped as if it had been lost, with a trace. */
void peer_recv(struct node *node, const struct node_event *event);

#endif
