/* SPDX-License-Identifier: Apache-2.0 */
#include "found.h"

#include "api/checksum.h"
#include "api/limits.h"
#include "api/peer.pb-c.h"
#include "configuration.h"
#include "members.h"
#include "memory.h"
#include "replica.h"

static void found_drop(struct node *node, uint32_t peer, const char *fault) {
	TURN_TRACE(&node->turn, NODE_GROUP_DEFAULT, "event=founding-refused peer=%u reason=\"%s\"", peer, fault);
}

/* A store that stands in the place of a damaged one joins only the cluster which that one belonged to. */
static bool found_is_elsewhere(const struct node *node, const struct node_uuid *incarnation) {
	static const struct node_uuid none;

	return memcmp(&node->past_incarnation, &none, sizeof none) != 0 &&
	       memcmp(&node->past_incarnation, incarnation, sizeof *incarnation) != 0;
}

/* NULL, or why the cluster was not founded here. `added`: a later configuration names this node. */
static const char *found_take(struct node *node, const struct node_uuid *incarnation, uint32_t epoch,
			      const struct node_entry *incoming, bool added) {
	struct replica *replica = node_find_replica(node, NODE_GROUP_DEFAULT);
	struct raft_configuration configuration;
	struct raft_entry entry = {.term = 1, .type = RAFT_ENTRY_CONFIGURATION, .configuration = &configuration};
	struct raft_event event = {.kind = RAFT_FOUND, .entries = &entry, .n = 1};

	if (node->identified)
		return "this node belongs to a cluster";
	if (found_is_elsewhere(node, incarnation))
		return "the data folder before this one belonged to another cluster, and this one joins no other";
	if (configuration_unpack(node, incoming->data, incoming->n, &configuration) < 0)
		return "the configuration does not decode";
	if (!members_name_us(node, &configuration)) {
		if (!added)
			return "the configuration names another store";
		event.kind = RAFT_JOIN;
	}

	node->identified = true;
	node->incarnation = *incarnation;
	node->epoch = epoch;
	replica->founding_seq = replica->last_seq + 1;
	replica_found_state(replica);
	if (replica_raft(replica, &event, incoming) == 0)
		return NULL;
	node->identified = false;
	replica->founding_seq = 0;
	return "the consensus core is not blank";
}

void found_begin(struct node *node, const struct node_event *event) {
	struct node_entry incoming = {
		.index = 1, .term = 1, .type = RAFT_ENTRY_CONFIGURATION, .data = event->body, .n = event->body_bytes};
	const char *fault = found_take(node, event->incarnation, event->epoch, &incoming, false);

	if (fault) {
		found_drop(node, node->id, fault);
		return;
	}
	node_find_replica(node, NODE_GROUP_DEFAULT)->founder = true;
	TURN_TRACE(&node->turn, NODE_GROUP_DEFAULT, "event=founded node=%u", node->id);
}

static const char *found_find_fault(const struct node *node, const Peer__Found *found) {
	const Peer__Entry *entry = found->entry;

	if (found->store.len != sizeof node->store.bytes ||
	    memcmp(found->store.data, node->store.bytes, sizeof node->store.bytes) != 0)
		return "it is meant for another store";
	if (found->incarnation.len != LIMIT_UUID_BYTES)
		return "the incarnation has a wrong size";
	if (!entry || entry->term != 1 || entry->type != RAFT_ENTRY_CONFIGURATION)
		return "the first entry is no configuration";
	if (checksum_entry(NODE_GROUP_DEFAULT, 1, 1, entry->type, entry->data.data, entry->data.len) != entry->checksum)
		return "the entry's checksum differs from its content";
	return NULL;
}

void found_recv(struct node *node, uint32_t peer, const uint8_t *body, size_t n) {
	struct node_uuid incarnation;
	struct node_entry incoming = {.index = 1, .term = 1, .type = RAFT_ENTRY_CONFIGURATION};
	const char *fault;
	Peer__Found *found;

	node_arena_reset(&node->arena, n);
	found = peer__found__unpack(&node->arena.allocator, n, body);
	fault = found ? found_find_fault(node, found) : "the frame does not decode";
	if (!fault) {
		memcpy(incarnation.bytes, found->incarnation.data, sizeof incarnation.bytes);
		/* The founder repeats itself until it has heard from everybody. */
		if (node->identified && memcmp(&incarnation, &node->incarnation, sizeof incarnation) == 0)
			return;
		incoming.data = found->entry->data.data;
		incoming.n = found->entry->data.len;
		fault = found_take(node, &incarnation, found->epoch, &incoming, true);
	}
	if (fault)
		found_drop(node, peer, fault);
	else
		TURN_TRACE(&node->turn, NODE_GROUP_DEFAULT, "event=joined-founding node=%u founder=%u", node->id, peer);
}

void found_saved(struct node *node) {
	struct replica *replica = node_find_replica(node, NODE_GROUP_DEFAULT);
	struct raft_event event = {.kind = RAFT_CAMPAIGN};

	if (replica->founding_seq == 0 || replica->saved_seq < replica->founding_seq)
		return;
	replica->founding_seq = 0;
	if (replica->founder)
		(void)replica_raft(replica, &event, NULL);
	replica->founder = false;
}

/* The founding entry alone gives a node no say: its log is shorter than any that has been voted for since, and the
 * leader sends it the rest. But it is a candidate no more, and nobody could add it again if the configuration that
 * names it were rolled back: so that one must be committed, as the founding one always is. */
static bool found_may_bring_in(const struct replica *replica, uint32_t peer, const struct node_uuid *store) {
	raft_index commit = replica->status.commit, ignored;
	const struct raft_configuration *committed =
		raft_configuration_at(replica->raft, commit > 0 ? commit : 1, &ignored);
	const struct raft_member *member = configuration_find(committed, peer);

	return member && memcmp(member->store.bytes, store->bytes, sizeof store->bytes) == 0;
}

int node_found_body(struct node *node, uint32_t peer, const struct node_uuid *store, struct node_bytes *ret) {
	struct replica *replica = node_find_replica(node, NODE_GROUP_DEFAULT);
	struct node_bytes founding, body;
	Peer__Found found = PEER__FOUND__INIT;
	Peer__Entry entry = PEER__ENTRY__INIT;

	if (node_is_blank(node))
		return 1;
	if (!found_may_bring_in(replica, peer, store))
		return 1;

	founding = replica_get_founding(replica);
	entry.term = 1;
	entry.type = RAFT_ENTRY_CONFIGURATION;
	entry.data = (ProtobufCBinaryData){.len = founding.n, .data = (uint8_t *)founding.bytes};
	entry.checksum = checksum_entry(replica->group, 1, entry.term, entry.type, founding.bytes, founding.n);
	found.incarnation = (ProtobufCBinaryData){.len = sizeof node->incarnation, .data = node->incarnation.bytes};
	found.epoch = node->epoch;
	found.entry = &entry;
	found.store = (ProtobufCBinaryData){.len = sizeof store->bytes, .data = (uint8_t *)store->bytes};

	body.n = peer__found__get_packed_size(&found);
	free(node->found_body);
	body.bytes = node->found_body = memory_new(body.n);
	(void)peer__found__pack(&found, node->found_body);
	*ret = body;
	return 0;
}
