/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations: command.Configuration in entries and checkpoint headers, struct raft_configuration for the core, and
 * the addresses that the core does not care for. */
#ifndef LOCKD_NODE_CONFIGURATION_H
#define LOCKD_NODE_CONFIGURATION_H

#include "lockd/node/node.h"

#include <protobuf-c/protobuf-c.h>

struct node;

struct configuration {
	struct raft_configuration core;
	struct node_address addresses[RAFT_MEMBERS_MAX]; /* of core.members, by position; NULL: it gives none */
};

/* 0; -EBADMSG when the bytes are no valid configuration, -ENOTSUP when they are one of a later machine version than this
 * node knows. */
int configuration_unpack(struct node *node, const void *bytes, size_t n, struct raft_configuration *ret);
/* With addresses, which stand in memory of the turn. */
int configuration_read(struct node *node, struct node_bytes bytes, struct configuration *ret);

/* An address as it stands in a message, in memory of the turn; NULL: it is empty. */
const char *configuration_text(struct node *node, ProtobufCBinaryData bytes);

/* In memory of the turn. */
struct node_bytes configuration_pack(struct node *node, const struct configuration *configuration);

/* The member with that id, or NULL. */
const struct raft_member *configuration_find(const struct raft_configuration *configuration, uint32_t node);
/* Its position; -1: it is no member. */
int configuration_position(const struct raft_configuration *configuration, uint32_t node);
/* Appends a member without addresses; there must be room. */
void configuration_add(struct configuration *configuration, const struct raft_member *member);
/* How many members have one of these roles. */
uint32_t configuration_count(const struct raft_configuration *configuration, uint8_t roles);

#endif
