/* SPDX-License-Identifier: Apache-2.0 */
#include "configuration.h"

#include "api/command.pb-c.h"
#include "api/limits.h"
#include "memory.h"
#include "replica.h"

#include <errno.h>

enum {
	CONFIGURATION_ROLES = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LEARNER,
	CONFIGURATION_ADDRESS_BYTES_MAX = 512,
};

static struct node_address *configuration_address(const struct node *node, uint32_t id) {
	for (size_t i = 0; i < node->n_addresses; i++) {
		if (node->addresses[i].node == id)
			return &node->addresses[i];
	}
	return NULL;
}

const struct node_address *configuration_find_address(const struct node *node, uint32_t id) {
	return configuration_address(node, id);
}

const struct raft_member *configuration_find(const struct raft_configuration *configuration, uint32_t node) {
	for (uint16_t i = 0; i < configuration->n; i++) {
		if (configuration->members[i].node == node)
			return &configuration->members[i];
	}
	return NULL;
}

static const char *configuration_text(ProtobufCBinaryData bytes) {
	char *text;

	if (bytes.len == 0)
		return NULL;
	text = memory_new(bytes.len + 1);
	memcpy(text, bytes.data, bytes.len);
	return text;
}

/* The node's own configuration file knows better than the log: only gaps are filled. */
static void configuration_learn(struct node *node, const Command__Member *member) {
	struct node_address *address = configuration_address(node, member->node);

	if (!address) {
		node->addresses = memory_grow(node->addresses, &node->addresses_max, node->n_addresses + 1,
					      sizeof *node->addresses);
		address = &node->addresses[node->n_addresses++];
		*address = (struct node_address){.node = member->node};
	}
	if (!address->peer_address)
		address->peer_address = configuration_text(member->peer_address);
	if (!address->client_address)
		address->client_address = configuration_text(member->client_address);
}

static bool configuration_member_is_valid(const struct raft_configuration *before, const Command__Member *member) {
	return member->node > 0 && !configuration_find(before, member->node) && member->store.len == LIMIT_UUID_BYTES &&
	       member->roles > 0 && (member->roles & ~(uint32_t)CONFIGURATION_ROLES) == 0 &&
	       member->peer_address.len <= CONFIGURATION_ADDRESS_BYTES_MAX &&
	       member->client_address.len <= CONFIGURATION_ADDRESS_BYTES_MAX;
}

int configuration_unpack(struct node *node, const void *bytes, size_t n, struct raft_configuration *ret) {
	struct raft_configuration configuration = {0};
	Command__Configuration *in;

	node_arena_reset(&node->configuration_arena, n);
	in = command__configuration__unpack(&node->configuration_arena.allocator, n, bytes);
	if (!in || in->n_members == 0 || in->n_members > RAFT_MEMBERS_MAX || in->promise_ms == 0 ||
	    in->drift_ppm >= 1000000)
		return -EBADMSG;

	configuration.promise_ms = in->promise_ms;
	configuration.drift_ppm = in->drift_ppm;
	for (size_t i = 0; i < in->n_members; i++) {
		const Command__Member *from = in->members[i];
		struct raft_member *member = &configuration.members[configuration.n];

		if (!configuration_member_is_valid(&configuration, from))
			return -EBADMSG;
		member->node = from->node;
		member->roles = (uint8_t)from->roles;
		memcpy(member->store.bytes, from->store.data, sizeof member->store.bytes);
		configuration.n++;
	}

	for (size_t i = 0; i < in->n_members; i++)
		configuration_learn(node, in->members[i]);
	*ret = configuration;
	return 0;
}

static ProtobufCBinaryData configuration_bytes(const char *text) {
	return (ProtobufCBinaryData){.len = text ? strlen(text) : 0, .data = (uint8_t *)text};
}

static void configuration_pack_member(const struct node *node, const struct raft_member *member, Command__Member *ret) {
	const struct node_address *address = configuration_address(node, member->node);

	command__member__init(ret);
	ret->node = member->node;
	ret->roles = member->roles;
	ret->store = (ProtobufCBinaryData){.len = sizeof member->store.bytes, .data = (uint8_t *)member->store.bytes};
	if (address) {
		ret->peer_address = configuration_bytes(address->peer_address);
		ret->client_address = configuration_bytes(address->client_address);
	}
}

struct node_bytes configuration_pack(struct node *node, const struct raft_configuration *configuration) {
	Command__Configuration out = COMMAND__CONFIGURATION__INIT;
	Command__Member members[RAFT_MEMBERS_MAX], *list[RAFT_MEMBERS_MAX];
	struct node_bytes bytes;
	uint8_t *memory;

	for (uint16_t i = 0; i < configuration->n; i++) {
		configuration_pack_member(node, &configuration->members[i], &members[i]);
		list[i] = &members[i];
	}
	out.promise_ms = configuration->promise_ms;
	out.drift_ppm = configuration->drift_ppm;
	out.n_members = configuration->n;
	out.members = list;

	bytes.n = command__configuration__get_packed_size(&out);
	bytes.bytes = memory = turn_alloc(&node->turn, bytes.n);
	(void)command__configuration__pack(&out, memory);
	return bytes;
}
