/* SPDX-License-Identifier: Apache-2.0 */
#include "members.h"

#include "candidate.h"
#include "configuration.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>

enum {
	/* The fixed part, and for each member a comma, ten digits and four letters. */
	MEMBERS_TRACE_BYTES_MAX = 64 + RAFT_MEMBERS_MAX * 15,
};

void members_deinit(struct members *members) {
	members_truncate(members, 0);
	free(members->items);
	*members = (struct members){0};
}

/* ---- The bytes, by index ------------------------------------------------------------------------------------------
 */

void members_append(struct members *members, raft_index index, struct node_bytes bytes) {
	assert(members->n == 0 || index > members->items[members->n - 1].index);

	members->items = memory_grow(members->items, &members->max, members->n + 1, sizeof *members->items);
	members->items[members->n++] = (struct members_item){
		.index = index, .bytes = {.bytes = memory_copy(bytes.bytes, bytes.n), .n = bytes.n}};
}

void members_truncate(struct members *members, raft_index from) {
	while (members->n > 0 && members->items[members->n - 1].index >= from)
		free((void *)members->items[--members->n].bytes.bytes);
}

/* Drops the first n. */
static void members_drop(struct members *members, size_t n) {
	for (size_t i = 0; i < n; i++)
		free((void *)members->items[i].bytes.bytes);
	members->n -= n;
	if (n > 0)
		memmove(members->items, members->items + n, members->n * sizeof *members->items);
}

/* How many stand at or below the index. */
static size_t members_count(const struct members *members, raft_index index) {
	size_t n = 0;

	while (n < members->n && members->items[n].index <= index)
		n++;
	return n;
}

void members_trim(struct members *members, raft_index base) {
	size_t n = members_count(members, base);

	if (n > 0)
		members_drop(members, n - 1);
}

void members_install(struct members *members, raft_index base, raft_index index, struct node_bytes bytes) {
	assert(index <= base);

	members_drop(members, members_count(members, base));
	members->items = memory_grow(members->items, &members->max, members->n + 1, sizeof *members->items);
	memmove(members->items + 1, members->items, members->n * sizeof *members->items);
	members->items[0] = (struct members_item){.index = index,
						  .bytes = {.bytes = memory_copy(bytes.bytes, bytes.n), .n = bytes.n}};
	members->n++;
}

const struct members_item *members_at(const struct members *members, raft_index index) {
	size_t n = members_count(members, index);

	assert(n > 0);
	return &members->items[n - 1];
}

struct node_bytes members_latest(const struct members *members) {
	assert(members->n > 0);
	return members->items[members->n - 1].bytes;
}

bool members_are_many(const struct members *members) {
	return members->n > MEMBERS_MANY;
}

raft_index members_floor(const struct members *members) {
	return members->n > MEMBERS_TAIL_MAX ? members->items[members->n - MEMBERS_TAIL_MAX].index : 0;
}

/* ---- Addresses ----------------------------------------------------------------------------------------------------
 */

const struct node_address *members_find_address(const struct node *node, uint32_t id) {
	for (size_t i = 0; i < node->n_addresses; i++) {
		if (node->addresses[i].node == id)
			return &node->addresses[i];
	}
	return NULL;
}

void members_free_address(struct node_address *address) {
	free((char *)address->peer_address);
	free((char *)address->client_address);
}

static char *members_copy_text(const char *text) {
	return text ? memory_copy(text, strlen(text) + 1) : NULL;
}

struct node_address members_copy_address(const struct node_address *from) {
	return (struct node_address){.node = from->node,
				     .peer_address = members_copy_text(from->peer_address),
				     .client_address = members_copy_text(from->client_address)};
}

/* What is known already knows better: only gaps are filled. */
static void members_add_address(struct node *node, const struct node_address *from) {
	struct node_address *known = (struct node_address *)members_find_address(node, from->node);

	if (!known) {
		node->addresses = memory_grow(node->addresses, &node->addresses_max, node->n_addresses + 1,
					      sizeof *node->addresses);
		node->addresses[node->n_addresses++] = members_copy_address(from);
		return;
	}
	if (!known->peer_address)
		known->peer_address = members_copy_text(from->peer_address);
	if (!known->client_address)
		known->client_address = members_copy_text(from->client_address);
}

void members_collect_addresses(struct node *node) {
	const struct members *members = &node_find_replica(node, NODE_GROUP_DEFAULT)->members;
	struct configuration latest = {0};
	int r = 0;

	if (members->n > 0)
		r = configuration_read(node, members_latest(members), &latest);
	assert(r == 0);

	while (node->n_addresses > 0)
		members_free_address(&node->addresses[--node->n_addresses]);
	for (size_t i = 0; i < node->n_configured; i++)
		members_add_address(node, &node->configured[i]);
	for (uint16_t i = 0; i < latest.core.n; i++)
		members_add_address(node, &latest.addresses[i]);
}

/* ---- The latest configuration -------------------------------------------------------------------------------------
 */

static void members_trace(struct replica *replica, const struct raft_configuration *latest, raft_index index) {
	char text[MEMBERS_TRACE_BYTES_MAX];
	int n = snprintf(text, sizeof text, "event=members index=%llu joint=%d members=", (unsigned long long)index,
			 raft_configuration_is_joint(latest));

	for (uint16_t i = 0; i < latest->n; i++) {
		const struct raft_member *member = &latest->members[i];

		n += snprintf(text + n, sizeof text - (size_t)n, "%s%u%s%s%s%s", i > 0 ? "," : "", member->node,
			      member->roles & RAFT_ROLE_VOTER ? "v" : "",
			      member->roles & RAFT_ROLE_VOTER_OUTGOING ? "o" : "",
			      member->roles & RAFT_ROLE_LEARNER ? "l" : "", member->roles & RAFT_ROLE_LOST ? "x" : "");
	}
	turn_trace(&replica->node->turn, replica->group, text);
}

void members_refresh(struct replica *replica) {
	struct node *node = replica->node;
	raft_index index;
	const struct raft_configuration *latest = raft_members(replica->raft, &index);

	node->members_changed = true;
	members_collect_addresses(node);
	if (!latest)
		return;
	candidates_forget_members(node, latest);
	members_trace(replica, latest, index);
	if (members_are_many(&replica->members))
		replica->checkpoint.wanted = true;
}

bool members_name_us(const struct node *node, const struct raft_configuration *configuration) {
	const struct raft_member *member = configuration_find(configuration, node->id);

	return member && memcmp(member->store.bytes, node->store.bytes, sizeof node->store.bytes) == 0;
}

bool members_have_us(const struct replica *replica) {
	raft_index index;
	const struct raft_configuration *committed =
		raft_configuration_at(replica->raft, replica->status.commit, &index);

	return !committed || members_name_us(replica->node, committed);
}

bool members_are_settled(const struct replica *replica) {
	raft_index index = 0;

	return replica->ready && raft_members(replica->raft, &index) && index <= replica->status.commit;
}

bool node_get_member(const struct node *node, size_t position, struct node_member *ret) {
	const struct raft_configuration *latest = raft_members(node_find_replica(node, NODE_GROUP_DEFAULT)->raft, NULL);
	const struct raft_member *member;
	const struct node_address *address;

	if (!latest || position >= latest->n)
		return false;
	member = &latest->members[position];
	address = members_find_address(node, member->node);
	*ret = (struct node_member){.node = member->node,
				    .roles = member->roles,
				    .peer_address = address ? address->peer_address : NULL,
				    .client_address = address ? address->client_address : NULL};
	memcpy(ret->store.bytes, member->store.bytes, sizeof ret->store.bytes);
	return true;
}
