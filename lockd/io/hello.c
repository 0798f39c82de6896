/* SPDX-License-Identifier: Apache-2.0 */
#include "hello.h"

#include "api/frame.h"
#include "api/limits.h"
#include "api/peer.pb-c.h"
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <lockd/status.h>
#include <stdio.h>
#include <string.h>

static bool is_uuid_or_none(const ProtobufCBinaryData *bytes) {
	return bytes->len == 0 || bytes->len == LIMIT_UUID_BYTES;
}

static bool is_well_formed(const Peer__Hello *hello) {
	for (size_t i = 0; i < hello->n_replaces; i++)
		if (hello->replaces[i].len != LIMIT_UUID_BYTES)
			return false;
	return hello->n_replaces <= LIMIT_PAST_STORES_MAX && is_uuid_or_none(&hello->past_incarnation) &&
	       hello->store.len == LIMIT_UUID_BYTES && is_uuid_or_none(&hello->incarnation) && hello->node > 0 &&
	       hello->protocol_min <= hello->protocol_max &&
	       (hello->snapshot_digest.len == 0 || hello->snapshot_digest.len == SNAPSHOT_DIGEST_BYTES);
}

static void take_address(const ProtobufCBinaryData *from, char out[ADDRESS_BYTES_MAX]) {
	char text[ADDRESS_BYTES_MAX];

	out[0] = '\0';
	if (from->len == 0 || from->len >= ADDRESS_BYTES_MAX || memchr(from->data, '\0', from->len))
		return;
	memcpy(text, from->data, from->len);
	text[from->len] = '\0';
	if (address_is_dialable(text))
		memcpy(out, text, from->len + 1);
}

/* Who belongs to a cluster has no past that concerns others. */
static void take_past(const Peer__Hello *from, struct hello *to) {
	if (!to->blank)
		return;
	to->n_replaces = from->n_replaces;
	for (size_t i = 0; i < from->n_replaces; i++)
		memcpy(to->replaces[i].bytes, from->replaces[i].data, LIMIT_UUID_BYTES);
	if (from->past_incarnation.len > 0)
		memcpy(to->past_incarnation.bytes, from->past_incarnation.data, LIMIT_UUID_BYTES);
}

int hello_unpack(const uint8_t *body, size_t n, struct arena *arena, struct hello *ret) {
	Peer__Hello *hello;

	if (arena_reset(arena, n) < 0)
		return -EBADMSG;
	hello = peer__hello__unpack(&arena->allocator, n, body);
	if (!hello || !is_well_formed(hello))
		return -EBADMSG;

	*ret = (struct hello){
		.protocol_min = hello->protocol_min,
		.protocol_max = hello->protocol_max,
		.blank = hello->incarnation.len == 0,
		.epoch = hello->epoch,
		.node = hello->node,
		.memory = {.boot_count = hello->boot_count,
			   .boot = hello->boot,
			   .term = hello->term,
			   .vote = hello->vote,
			   .last = hello->last},
		.to = hello->to,
		.purpose = hello->purpose,
		.status = hello->status,
		.forgetful = hello->forgetful,
		.leader = hello->leader,
	};
	memcpy(ret->store.bytes, hello->store.data, LIMIT_UUID_BYTES);
	if (!ret->blank)
		memcpy(ret->incarnation.bytes, hello->incarnation.data, LIMIT_UUID_BYTES);
	take_past(hello, ret);
	log_clean(hello->text.data, hello->text.len, ret->text, sizeof ret->text);
	take_address(&hello->peer_address, ret->peer_address);
	take_address(&hello->client_address, ret->client_address);
	take_address(&hello->leader_address, ret->leader_address);
	if (hello->snapshot_digest.len > 0) {
		memcpy(ret->snapshot.bytes, hello->snapshot_digest.data, SNAPSHOT_DIGEST_BYTES);
		ret->snapshot_offset = hello->snapshot_offset;
	}
	return 0;
}

static ProtobufCBinaryData binary(const void *bytes, size_t n) {
	return (ProtobufCBinaryData){.data = (uint8_t *)bytes, .len = n};
}

static ProtobufCBinaryData text_of(const char *text) {
	return binary(text, strlen(text));
}

static bool is_set(const struct node_uuid *uuid) {
	static const struct node_uuid zero;

	return memcmp(uuid, &zero, sizeof zero) != 0;
}

bool hello_waits_for_its_cluster(const struct hello *hello) {
	return hello->blank && is_set(&hello->past_incarnation);
}

size_t hello_pack(const struct hello *hello, uint8_t *out) {
	Peer__Hello packed = PEER__HELLO__INIT;
	ProtobufCBinaryData replaces[LIMIT_PAST_STORES_MAX];

	packed.protocol_min = hello->protocol_min;
	packed.protocol_max = hello->protocol_max;
	packed.incarnation = binary(hello->incarnation.bytes, hello->blank ? 0 : LIMIT_UUID_BYTES);
	packed.epoch = hello->epoch;
	packed.node = hello->node;
	packed.store = binary(hello->store.bytes, LIMIT_UUID_BYTES);
	packed.boot_count = hello->memory.boot_count;
	packed.boot = hello->memory.boot;
	packed.term = hello->memory.term;
	packed.vote = hello->memory.vote;
	packed.last = hello->memory.last;
	packed.to = hello->to;
	packed.purpose = hello->purpose;
	packed.peer_address = text_of(hello->peer_address);
	packed.client_address = text_of(hello->client_address);
	packed.status = hello->status;
	packed.forgetful = hello->forgetful;
	packed.text = text_of(hello->text);
	packed.snapshot_digest = binary(hello->snapshot.bytes, hello->snapshot_offset > 0 ? SNAPSHOT_DIGEST_BYTES : 0);
	packed.snapshot_offset = hello->snapshot_offset;
	packed.leader = hello->leader;
	packed.leader_address = text_of(hello->leader_address);
	packed.n_replaces = hello->blank ? hello->n_replaces : 0;
	packed.replaces = replaces;
	for (size_t i = 0; i < packed.n_replaces; i++)
		replaces[i] = binary(hello->replaces[i].bytes, LIMIT_UUID_BYTES);
	packed.past_incarnation =
		binary(hello->past_incarnation.bytes, hello_waits_for_its_cluster(hello) ? LIMIT_UUID_BYTES : 0);
	assert(peer__hello__get_packed_size(&packed) <= HELLO_BYTES_MAX);
	return peer__hello__pack(&packed, out);
}

static const struct raft_member *member_of(const struct raft_configuration *members, uint32_t node) {
	for (uint16_t i = 0; members && i < members->n; i++) {
		if (members->members[i].node == node)
			return &members->members[i];
	}
	return NULL;
}

static bool same_cluster(const struct hello *own, const struct hello *theirs) {
	return memcmp(own->incarnation.bytes, theirs->incarnation.bytes, LIMIT_UUID_BYTES) == 0;
}

/* The cluster that it belongs to, or will only belong to; NULL: any. */
static const struct node_uuid *cluster_of(const struct hello *hello) {
	if (!hello->blank)
		return &hello->incarnation;
	return hello_waits_for_its_cluster(hello) ? &hello->past_incarnation : NULL;
}

/* One of them waits for its cluster, and the other one is not of that. */
static bool stays_apart(const struct hello *own, const struct hello *theirs) {
	const struct node_uuid *ours = cluster_of(own), *other = cluster_of(theirs);

	if (!hello_waits_for_its_cluster(own) && !hello_waits_for_its_cluster(theirs))
		return false;
	return !ours || !other || memcmp(ours, other, sizeof *ours) != 0;
}

/* 0, or what is wrong before anybody's membership counts. */
static int judge_basics(const struct hello *own, const struct hello *theirs, char text[160]) {
	if (theirs->protocol_max < PROTOCOL_VERSION_MIN || theirs->protocol_min > PROTOCOL_VERSION_MAX) {
		snprintf(text, 160, "node %u speaks protocol versions %u to %u, node %u speaks %u to %u", theirs->node,
			 theirs->protocol_min, theirs->protocol_max, own->node, PROTOCOL_VERSION_MIN,
			 PROTOCOL_VERSION_MAX);
		return LOCKD_PROTOCOL;
	}
	if (theirs->node == own->node)
		snprintf(text, 160, "both ends are configured as node %u", own->node);
	else if (theirs->to != 0 && theirs->to != own->node)
		snprintf(text, 160, "node %u was called under the address of node %u", own->node, theirs->to);
	else if (!own->blank && !theirs->blank && !same_cluster(own, theirs))
		snprintf(text, 160,
			 "node %u and node %u belong to different clusters: one has a foreign data folder, or one that "
			 "a "
			 "forced recovery left behind",
			 own->node, theirs->node);
	else if (stays_apart(own, theirs))
		snprintf(
			text, 160,
			"node %u waits for the cluster that its damaged data folder belonged to, and node %u is not of "
			"that",
			hello_waits_for_its_cluster(theirs) ? theirs->node : own->node,
			hello_waits_for_its_cluster(theirs) ? own->node : theirs->node);
	else
		return LOCKD_OK;
	return LOCKD_WRONG_CLUSTER;
}

/* Our configuration may be the outdated one: whoever belongs to the cluster may lead it, unless we know who does. */
static bool may_lead(const struct hello *theirs, const struct hello_view *view) {
	if (theirs->blank || view->standing == HELLO_LEADS)
		return false;
	return view->standing != HELLO_FOLLOWS || view->leader == theirs->node;
}

/* Somebody whom our configuration does not name. */
static void judge_outsider(const struct hello *theirs, const struct hello_view *view, struct hello_verdict *ret) {
	if (may_lead(theirs, view))
		return;
	ret->status = LOCKD_WRONG_CLUSTER;
	if (theirs->blank) {
		ret->candidate = theirs->peer_address[0] != '\0';
		snprintf(ret->text, sizeof ret->text, "node %u is not a member yet: lockctl cluster add %u",
			 theirs->node, theirs->node);
	} else if (view->standing == HELLO_LEADS) {
		snprintf(ret->text, sizeof ret->text,
			 "node %u is not a member of the cluster any more: stop it; its data folder can be deleted",
			 theirs->node);
	} else {
		/* In the same words everywhere: the caller reports it once. */
		snprintf(ret->text, sizeof ret->text, "node %u is no member as far as is known here", theirs->node);
	}
}

static bool stands_in_place_of(const struct hello *hello, const struct raft_member *member) {
	for (size_t i = 0; i < hello->n_replaces; i++)
		if (memcmp(hello->replaces[i].bytes, member->store.bytes, LIMIT_UUID_BYTES) == 0)
			return true;
	return false;
}

/* A member under another store: installed anew, maybe also added anew, or a folder in the wrong place. */
static void judge_double(const struct hello *theirs, const struct raft_member *member, const struct hello_view *view,
			 struct hello_verdict *ret) {
	if (may_lead(theirs, view))
		return;
	/* A member that lost its folder calls like one that is to be added, and can be once it is removed. */
	ret->status = LOCKD_WRONG_CLUSTER;
	ret->candidate = theirs->blank && theirs->peer_address[0] != '\0';
	if (stands_in_place_of(theirs, member))
		snprintf(ret->text, sizeof ret->text,
			 "node %u is a member with a data folder that it found damaged: the new one takes its place "
			 "when "
			 "that has been silent for a while",
			 theirs->node);
	else
		snprintf(ret->text, sizeof ret->text, "node %u is a member with another data folder", theirs->node);
}

/* As far as it knows. Who has no vote counts nobody's, so it may hear whoever knows more: what a node that has just
 * joined knows is the founding, and whoever leads by now may have another data folder than the founder of that number.
 */
static bool has_vote(const struct hello *own, const struct raft_configuration *members) {
	const struct raft_member *self = member_of(members, own->node);

	return self && memcmp(self->store.bytes, own->store.bytes, LIMIT_UUID_BYTES) == 0 &&
	       (self->roles & (RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING)) != 0;
}

void hello_judge(const struct hello *own, const struct hello *theirs, const struct hello_view *view,
		 struct hello_verdict *ret) {
	const struct raft_member *member = member_of(view->members, theirs->node);

	*ret = (struct hello_verdict){0};
	ret->status = judge_basics(own, theirs, ret->text);
	if (ret->status != LOCKD_OK)
		return;
	if (own->blank) {
		/* Whoever belongs to a cluster may let us in. */
		if (!view->listed && theirs->blank) {
			ret->status = LOCKD_WRONG_CLUSTER;
			snprintf(ret->text, sizeof ret->text, "node %u does not know a node %u", own->node,
				 theirs->node);
		}
	} else if (!theirs->blank && !has_vote(own, view->members)) {
		return;
	} else if (!member) {
		judge_outsider(theirs, view, ret);
	} else if (memcmp(member->store.bytes, theirs->store.bytes, LIMIT_UUID_BYTES) != 0) {
		judge_double(theirs, member, view, ret);
	}
}
