/* SPDX-License-Identifier: Apache-2.0 */
#include "configuration.h"

#include "api/command.pb-c.h"
#include "api/limits.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>
#include <errno.h>

enum {
	CONFIGURATION_ROLES = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LEARNER,
	CONFIGURATION_ROLES_LOST = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LOST,
};

int configuration_position(const struct raft_configuration *configuration, uint32_t node) {
	for (uint16_t i = 0; i < configuration->n; i++) {
		if (configuration->members[i].node == node)
			return i;
	}
	return -1;
}

const struct raft_member *configuration_find(const struct raft_configuration *configuration, uint32_t node) {
	int position = configuration_position(configuration, node);

	return position < 0 ? NULL : &configuration->members[position];
}

void configuration_add(struct configuration *configuration, const struct raft_member *member) {
	assert(configuration->core.n < RAFT_MEMBERS_MAX);
	configuration->addresses[configuration->core.n] = (struct node_address){.node = member->node};
	configuration->core.members[configuration->core.n++] = *member;
}

uint32_t configuration_count(const struct raft_configuration *configuration, uint8_t roles) {
	uint32_t n = 0;

	for (uint16_t i = 0; i < configuration->n; i++)
		n += (configuration->members[i].roles & roles) != 0;
	return n;
}

/* ---- From bytes ---------------------------------------------------------------------------------------------------
 */

/* What came with a later machine version than this node knows is not understood here, and no damage. */
static int configuration_check_roles(const struct node *node, uint32_t roles) {
	bool lost = (roles & RAFT_ROLE_LOST) && node->machine_version_max >= STATE_MACHINE_VERSION_REPLACEMENT;

	if (roles == 0 || (lost && roles != CONFIGURATION_ROLES_LOST))
		return -EBADMSG;
	return lost || (roles & ~(uint32_t)CONFIGURATION_ROLES) == 0 ? 0 : -ENOTSUP;
}

static bool configuration_member_is_valid(const struct raft_configuration *before, const Command__Member *member) {
	return member->node > 0 && !configuration_find(before, member->node) && member->store.len == LIMIT_UUID_BYTES &&
	       member->priority <= UINT8_MAX && member->peer_address.len <= LIMIT_ADDRESS_BYTES_MAX &&
	       member->client_address.len <= LIMIT_ADDRESS_BYTES_MAX;
}

/* The decoded message stands in the node's arena for configurations. */
static int configuration_decode(struct node *node, const void *bytes, size_t n, struct raft_configuration *ret,
				const Command__Configuration **ret_message) {
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
		int r;

		if (!configuration_member_is_valid(&configuration, from))
			return -EBADMSG;
		r = configuration_check_roles(node, from->roles);
		if (r < 0)
			return r;
		member->node = from->node;
		member->roles = (uint8_t)from->roles;
		member->priority = (uint8_t)from->priority;
		memcpy(member->store.bytes, from->store.data, sizeof member->store.bytes);
		configuration.n++;
	}
	*ret = configuration;
	*ret_message = in;
	return 0;
}

int configuration_unpack(struct node *node, const void *bytes, size_t n, struct raft_configuration *ret) {
	const Command__Configuration *ignored;

	return configuration_decode(node, bytes, n, ret, &ignored);
}

const char *configuration_text(struct node *node, ProtobufCBinaryData bytes) {
	char *text;

	if (bytes.len == 0)
		return NULL;
	text = turn_alloc(&node->turn, bytes.len + 1);
	memcpy(text, bytes.data, bytes.len);
	text[bytes.len] = 0;
	return text;
}

int configuration_read(struct node *node, struct node_bytes bytes, struct configuration *ret) {
	const Command__Configuration *in;
	int r = configuration_decode(node, bytes.bytes, bytes.n, &ret->core, &in);

	if (r < 0)
		return r;
	for (size_t i = 0; i < in->n_members; i++)
		ret->addresses[i] = (struct node_address){
			.node = in->members[i]->node,
			.peer_address = configuration_text(node, in->members[i]->peer_address),
			.client_address = configuration_text(node, in->members[i]->client_address),
		};
	return 0;
}

/* ---- To bytes -----------------------------------------------------------------------------------------------------
 */

static ProtobufCBinaryData configuration_bytes(const char *text) {
	return (ProtobufCBinaryData){.len = text ? strlen(text) : 0, .data = (uint8_t *)text};
}

static void configuration_pack_member(const struct configuration *configuration, uint16_t position,
				      Command__Member *ret) {
	const struct raft_member *member = &configuration->core.members[position];
	const struct node_address *address = &configuration->addresses[position];

	command__member__init(ret);
	ret->node = member->node;
	ret->roles = member->roles;
	ret->priority = member->priority;
	ret->store = (ProtobufCBinaryData){.len = sizeof member->store.bytes, .data = (uint8_t *)member->store.bytes};
	ret->peer_address = configuration_bytes(address->peer_address);
	ret->client_address = configuration_bytes(address->client_address);
}

struct node_bytes configuration_pack(struct node *node, const struct configuration *configuration) {
	Command__Configuration out = COMMAND__CONFIGURATION__INIT;
	Command__Member members[RAFT_MEMBERS_MAX], *list[RAFT_MEMBERS_MAX];
	struct node_bytes bytes;
	uint8_t *memory;

	for (uint16_t i = 0; i < configuration->core.n; i++) {
		configuration_pack_member(configuration, i, &members[i]);
		list[i] = &members[i];
	}
	out.promise_ms = configuration->core.promise_ms;
	out.drift_ppm = configuration->core.drift_ppm;
	out.n_members = configuration->core.n;
	out.members = list;

	bytes.n = command__configuration__get_packed_size(&out);
	bytes.bytes = memory = turn_alloc(&node->turn, bytes.n);
	(void)command__configuration__pack(&out, memory);
	return bytes;
}
