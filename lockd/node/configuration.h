/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations: command.Configuration in entries and checkpoint headers, struct raft_configuration for the core, and
 * the addresses that the core does not care for. */
#ifndef LOCKD_NODE_CONFIGURATION_H
#define LOCKD_NODE_CONFIGURATION_H

#include "lockd/node/node.h"

struct node;

/* 0, or -EBADMSG when the bytes are no valid configuration. Addresses of members that the node was not told of are
 * kept. */
int configuration_unpack(struct node *node, const void *bytes, size_t n, struct raft_configuration *ret);

/* In memory of the turn. */
struct node_bytes configuration_pack(struct node *node, const struct raft_configuration *configuration);

/* The member with that id, or NULL. */
const struct raft_member *configuration_find(const struct raft_configuration *configuration, uint32_t node);

/* NULL when nothing is known of it. */
const struct node_address *configuration_find_address(const struct node *node, uint32_t id);

#endif
