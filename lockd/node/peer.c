/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "api/bytes.h"
#include "api/checksum.h"
#include "api/limits.h"
#include "api/peer.pb-c.h"
#include "configuration.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>
#include <errno.h>

static Peer__Entry **peer_pack_entries(struct replica *replica, const struct raft_message *message) {
	struct turn *turn = &replica->node->turn;
	Peer__Entry **list = turn_alloc(turn, message->n * sizeof *list);
	Peer__Entry *entries = turn_alloc(turn, message->n * sizeof *entries);

	for (uint32_t i = 0; i < message->n; i++) {
		const struct node_entry *entry = cache_get(&replica->cache, message->index + 1 + i);

		assert(entry);
		peer__entry__init(&entries[i]);
		entries[i].term = entry->term;
		entries[i].type = entry->type;
		entries[i].data = (ProtobufCBinaryData){.len = entry->n, .data = (uint8_t *)entry->data};
		entries[i].checksum = entry->checksum;
		list[i] = &entries[i];
	}
	return list;
}

/* Beside what the core says: which machine version this node knows, and state hashes. */
static void peer_pack_state(struct replica *replica, Peer__Message *out, uint8_t hash_bytes[AUDIT_HASH_BYTES]) {
	struct state_hash hash;

	out->machine_version = replica->node->machine_version_max;
	if (out->type == RAFT_HEARTBEAT)
		out->state_index = replica->audit.question;
	if (out->type == RAFT_HEARTBEAT_REPLY && audit_answer(replica, &out->state_index, &hash)) {
		replica_pack_hash(hash, hash_bytes);
		out->state_hash = (ProtobufCBinaryData){.len = AUDIT_HASH_BYTES, .data = hash_bytes};
	}
}

struct node_bytes peer_pack(struct replica *replica, const struct raft_message *message) {
	Peer__Message out = PEER__MESSAGE__INIT;
	uint8_t hash[AUDIT_HASH_BYTES];
	struct node_bytes bytes;
	uint8_t *body;

	out.group = message->group;
	out.type = message->type;
	out.flags = message->flags;
	out.from = message->from;
	out.to = message->to;
	out.term = message->term;
	out.index = message->index;
	out.index_term = message->index_term;
	out.commit = message->commit;
	out.round = message->round;
	out.hint_index = message->hint_index;
	out.hint_term = message->hint_term;
	out.wait_us = message->wait_us;
	peer_pack_state(replica, &out, hash);
	if (message->type == RAFT_APPEND && message->n > 0) {
		out.n_entries = message->n;
		out.entries = peer_pack_entries(replica, message);
	}

	bytes.n = peer__message__get_packed_size(&out);
	bytes.bytes = body = turn_alloc(&replica->node->turn, bytes.n);
	(void)peer__message__pack(&out, body);
	return bytes;
}

/* NULL, or why the message cannot be what a peer sent to us. */
static const char *peer_find_fault(const struct node *node, uint32_t peer, const Peer__Message *in) {
	if (in->from != peer || in->to != node->id)
		return "the message names other nodes";
	if (in->type < RAFT_PREVOTE || in->type > RAFT_READ_REPLY || in->flags > UINT8_MAX)
		return "the message is of an unknown type";
	if (in->n_entries > 0 && in->type != RAFT_APPEND)
		return "only an append carries entries";
	if (in->n_entries > LIMIT_APPEND_ENTRIES_MAX)
		return "the append carries too many entries";
	if (in->index > UINT64_MAX - LIMIT_APPEND_ENTRIES_MAX)
		return "the index is out of range";
	return NULL;
}

static const char *peer_find_entry_fault(const Peer__Message *in, const Peer__Entry *entry, raft_index index,
					 raft_term term_before) {
	if (entry->term < term_before || entry->term > in->term)
		return "an entry's term is out of order";
	if (entry->type < RAFT_ENTRY_NOOP || entry->type > RAFT_ENTRY_CONFIGURATION)
		return "an entry is of an unknown type";
	if (entry->data.len > LIMIT_ENTRY_BYTES_MAX)
		return "an entry is too long";
	if (checksum_entry(in->group, index, entry->term, entry->type, entry->data.data, entry->data.len) !=
	    entry->checksum)
		return "an entry's checksum differs from its content";
	return NULL;
}

/* One of a later version ends this process: the leader would send it again for ever, and entries behind it, among them
 * the one that raises the version, would never be taken. */
static const char *peer_take_configuration(struct replica *replica, const Peer__Entry *entry, raft_index index,
					   struct raft_configuration **ret) {
	struct node *node = replica->node;
	char text[NODE_ERROR_BYTES_MAX];

	*ret = turn_alloc(&node->turn, sizeof **ret);
	switch (configuration_unpack(node, entry->data.data, entry->data.len, *ret)) {
	case 0: return NULL;
	case -ENOTSUP:
		upgrade_explain_configuration(replica, index, text, sizeof text);
		node_fail(node, text);
		return "a configuration is of a later version";
	default: return "a configuration does not decode";
	}
}

/* Entries in both shapes: with bytes for the cache, and what the consensus core wants to know. */
struct peer_entries {
	struct node_entry *bytes;
	struct raft_entry *terms;
};

static const char *peer_take_entries(struct replica *replica, const Peer__Message *in, struct peer_entries *ret) {
	struct node *node = replica->node;
	raft_term term = in->index_term > 0 ? in->index_term : 1;

	ret->bytes = turn_alloc(&node->turn, in->n_entries * sizeof *ret->bytes);
	ret->terms = turn_alloc(&node->turn, in->n_entries * sizeof *ret->terms);
	for (size_t i = 0; i < in->n_entries; i++) {
		const Peer__Entry *entry = in->entries[i];
		raft_index index = in->index + 1 + i;
		struct raft_configuration *configuration = NULL;
		const char *fault = peer_find_entry_fault(in, entry, index, term);

		if (!fault && entry->type == RAFT_ENTRY_CONFIGURATION)
			fault = peer_take_configuration(replica, entry, index, &configuration);
		if (fault)
			return fault;
		ret->bytes[i] = (struct node_entry){.index = index,
						    .term = entry->term,
						    .type = (uint8_t)entry->type,
						    .checksum = entry->checksum,
						    .data = entry->data.data,
						    .n = entry->data.len};
		ret->terms[i] = (struct raft_entry){
			.term = entry->term, .type = (uint8_t)entry->type, .configuration = configuration};
		term = entry->term;
	}
	return NULL;
}

/* While a save is blocked nobody gets our vote: it could not be made durable. And a full cache takes no more entries
 * until a checkpoint has made room; the leader sends them again. */
static bool peer_is_refused(const struct replica *replica, const Peer__Message *in) {
	if (in->type == RAFT_PREVOTE || in->type == RAFT_VOTE)
		return replica->node->blocked;
	return in->n_entries > 0 && replica->cache.bytes > LIMIT_RETAINED_LOG_BYTES_MAX;
}

static void peer_drop(struct node *node, uint32_t peer, uint32_t group, const char *fault) {
	TURN_TRACE(&node->turn, group, "event=message-dropped peer=%u reason=\"%s\"", peer, fault);
}

static struct raft_message peer_message(const Peer__Message *in) {
	return (struct raft_message){
		.type = (uint8_t)in->type,
		.flags = (uint8_t)in->flags,
		.group = in->group,
		.from = in->from,
		.to = in->to,
		.term = in->term,
		.index = in->index,
		.index_term = in->index_term,
		.commit = in->commit,
		.n = (uint32_t)in->n_entries,
		.round = in->round,
		.hint_index = in->hint_index,
		.hint_term = in->hint_term,
		.wait_us = in->wait_us,
	};
}

static void peer_take_state(struct replica *replica, const struct node_event *from, const Peer__Message *in) {
	const uint8_t *hash = in->state_hash.data;

	upgrade_hear(replica, in->from, &from->store, in->machine_version);
	if (in->type == RAFT_HEARTBEAT)
		audit_hear_question(replica, in->state_index);
	else if (in->type == RAFT_HEARTBEAT_REPLY && in->state_hash.len == AUDIT_HASH_BYTES)
		audit_hear_answer(replica, in->from, in->state_index,
				  (struct state_hash){.low = bytes_get_u64(hash), .high = bytes_get_u64(hash + 8)});
}

/* Our configuration may be outdated, and the member it names under this id may have another store by now. That store
 * may lead us and be voted for, as its log and its term say. But what it grants or acknowledges is not counted: it
 * speaks for a voter that may have voted otherwise, and that was told of entries which it never had. */
static bool peer_may_not_count(const struct replica *replica, const struct node_event *event, const Peer__Message *in) {
	const struct raft_member *member = configuration_find(raft_members(replica->raft, NULL), event->peer);

	if (!member || memcmp(member->store.bytes, event->store.bytes, sizeof event->store.bytes) == 0)
		return false;
	return in->type == RAFT_PREVOTE_REPLY || in->type == RAFT_VOTE_REPLY || in->type == RAFT_APPEND_REPLY ||
	       in->type == RAFT_HEARTBEAT_REPLY;
}

void peer_recv(struct node *node, const struct node_event *from) {
	struct replica *replica;
	struct peer_entries entries;
	struct raft_message message;
	struct raft_event event = {.kind = RAFT_RECV, .message = &message, .peer = from->peer};
	const char *fault;
	Peer__Message *in;

	node_arena_reset(&node->arena, from->body_bytes);
	in = peer__message__unpack(&node->arena.allocator, from->body_bytes, from->body);
	if (!in) {
		peer_drop(node, from->peer, 0, "the message does not decode");
		return;
	}
	replica = node_find_replica(node, in->group);
	if (!replica || replica_is_blank(replica) || peer_is_refused(replica, in) ||
	    peer_may_not_count(replica, from, in))
		return;

	fault = peer_find_fault(node, from->peer, in);
	if (!fault)
		fault = peer_take_entries(replica, in, &entries);
	if (fault) {
		peer_drop(node, from->peer, in->group, fault);
		return;
	}

	message = peer_message(in);
	if (replica->group == NODE_GROUP_DEFAULT)
		testimony_hear(node, &from->store, &message);
	peer_take_state(replica, from, in);
	event.entries = entries.terms;
	/* A core whose save ring is full refuses: the message counts as lost. */
	(void)replica_raft(replica, &event, entries.bytes);
}
