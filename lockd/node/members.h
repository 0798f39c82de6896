/* SPDX-License-Identifier: Apache-2.0 */
/* Who the members are, and where they are reached: the bytes of every configuration that the core still knows, as they
 * stand in the log, and the addresses of the latest one.
 *
 * Checkpoint headers carry those bytes and never an encoding made here: two replicas at the same index must make the
 * same header, whatever addresses their own configuration files give. */
#ifndef LOCKD_NODE_MEMBERS_H
#define LOCKD_NODE_MEMBERS_H

#include "lockd/node/node.h"

struct node;
struct replica;

enum {
	/* The core keeps a bounded number of configurations, and the log must not wait for its usual length to be
	 * trimmed when they gather: above the first number a checkpoint is made, and the tail of the log that stays
	 * behind it holds no more than the second. */
	MEMBERS_MANY = 40,
	MEMBERS_TAIL_MAX = 20,
};

struct members {
	struct members_item {
		raft_index index;
		struct node_bytes bytes; /* owned */
	} * items;                       /* in order of index; the first is that of the base */
	size_t n, max;
};

void members_deinit(struct members *members);

/* The bytes are copied; the index must be above the last one. */
void members_append(struct members *members, raft_index index, struct node_bytes bytes);
void members_truncate(struct members *members, raft_index from);
/* Forgets what no index from `base` on needs. */
void members_trim(struct members *members, raft_index base);
/* A checkpoint is the base: `bytes` stand at `index`, nothing before is known. Entries behind the base stay. */
void members_install(struct members *members, raft_index base, raft_index index, struct node_bytes bytes);

/* The latest configuration at or below `index`, which must exist. Borrowed until the next change. */
const struct members_item *members_at(const struct members *members, raft_index index);
struct node_bytes members_latest(const struct members *members);
bool members_are_many(const struct members *members);
/* The log below this index may not stay; 0: all of it may. */
raft_index members_floor(const struct members *members);

/* The latest configuration is another one: addresses and candidates follow. */
void members_refresh(struct replica *replica);
/* Whether the configuration names this very store under this node's id. */
bool members_name_us(const struct node *node, const struct raft_configuration *configuration);
/* Whether the latest committed one does, as far as one is known: a node that was removed answers no clients. */
bool members_have_us(const struct replica *replica);
/* Leader: the latest configuration is committed, and so is an entry of its own term: the next one may follow
 * (dissertation §4.1, with the correction of 2015). */
bool members_are_settled(const struct replica *replica);

/* Gathers node->addresses: what the node's own configuration file says, filled up by the latest configuration. */
void members_collect_addresses(struct node *node);
/* NULL: neither names it. */
const struct node_address *members_find_address(const struct node *node, uint32_t id);
struct node_address members_copy_address(const struct node_address *from);
void members_free_address(struct node_address *address);

#endif
