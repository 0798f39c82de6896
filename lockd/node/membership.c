/* SPDX-License-Identifier: Apache-2.0 */
#include "membership.h"

#include "api/limits.h"
#include "candidate.h"
#include "configuration.h"
#include "members.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>
#include <lockd/status.h>

enum { MEMBERSHIP_TEXT_BYTES_MAX = 160 };

/* Why a change cannot be made. */
struct membership_fault {
	int status; /* 0: none */
	char text[MEMBERSHIP_TEXT_BYTES_MAX];
};

#define MEMBERSHIP_FAULT(fault, why, ...)                                                                              \
	((fault)->status = (why), (void)snprintf((fault)->text, sizeof(fault)->text, __VA_ARGS__), false)

void membership_deinit(struct replica *replica) {
	free(replica->membership.body);
	replica->membership = (struct membership){0};
}

void membership_begin(struct replica *replica, const struct asker *asker, const uint8_t *body, size_t n) {
	assert(!membership_is_busy(replica));
	replica->membership = (struct membership){.body = memory_copy(body, n), .n = n, .asker = *asker};
}

bool membership_is_busy(const struct replica *replica) {
	return replica->membership.body != NULL;
}

static void membership_reply(struct replica *replica, int status, const char *text) {
	const struct asker *asker = &replica->membership.asker;
	Client__Reply reply = CLIENT__REPLY__INIT;
	raft_index index = 0;

	(void)raft_members(replica->raft, &index);
	reply.status = (uint32_t)status;
	if (status == LOCKD_OK)
		reply.revision = index << 16 | 0xffff;
	if (text)
		reply.text = (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
	client_reply(replica->node, asker->connection, asker->id, &reply);
}

static void membership_end(struct replica *replica, int status, const char *text) {
	asker_settle(replica->node, &replica->membership.asker);
	membership_reply(replica, status, text);
	membership_deinit(replica);
}

/* ---- What shall be ------------------------------------------------------------------------------------------------
 */

bool membership_hears(const struct replica *replica, uint32_t node) {
	struct raft_peer peer;

	if (node == replica->node->id)
		return true;
	return raft_get_peer(replica->raft, node, &peer) && peer.contact > 0 &&
	       replica->node->clocks.mono - peer.contact <= replica->node->timing.election_max;
}

/* A candidate that carries a member's id, has another data folder, and called after the member fell silent: the member
 * itself is gone. While the member is heard, somebody else goes by its number. */
static bool membership_is_replaced(const struct replica *replica, const struct raft_member *member) {
	const struct candidate *candidate = candidate_find(&replica->node->candidates, member->node);
	struct raft_peer peer;

	if (!candidate || membership_hears(replica, member->node))
		return false;
	return !raft_get_peer(replica->raft, member->node, &peer) || candidate->met > peer.contact;
}

/* Makes a candidate a member without a role. */
static bool membership_admit(const struct replica *replica, uint32_t node, struct configuration *to,
			     struct membership_fault *fault) {
	const struct candidate *candidate = candidate_find(&replica->node->candidates, node);
	struct raft_member member = {.node = node};

	if (!candidate)
		return MEMBERSHIP_FAULT(
			fault, LOCKD_NOT_READY,
			"node %u has not called: start it first, with an empty data folder and with this "
			"cluster's nodes as its peers",
			node);
	memcpy(member.store.bytes, candidate->store.bytes, sizeof member.store.bytes);
	configuration_add(to, &member);
	to->addresses[to->core.n - 1] = candidate->address;
	return true;
}

static void membership_edit(struct replica *replica, const Client__MemberChange *change, struct configuration *to,
			    int position) {
	struct raft_member *member = &to->core.members[position];
	struct node_address *address = &to->addresses[position];

	if (change->kind == CLIENT__MEMBER_CHANGE__KIND__VOTER)
		member->roles = RAFT_ROLE_VOTER;
	if (change->kind == CLIENT__MEMBER_CHANGE__KIND__LEARNER)
		member->roles = RAFT_ROLE_LEARNER;
	if (change->set_priority)
		member->priority = (uint8_t)change->priority;
	if (change->peer_address.len > 0)
		address->peer_address = configuration_text(replica->node, change->peer_address);
	if (change->client_address.len > 0)
		address->client_address = configuration_text(replica->node, change->client_address);
}

static void membership_remove(struct configuration *to, int position) {
	for (int i = position; i + 1 < to->core.n; i++) {
		to->core.members[i] = to->core.members[i + 1];
		to->addresses[i] = to->addresses[i + 1];
	}
	to->core.n--;
}

static bool membership_change(struct replica *replica, const Client__MemberChange *change, struct configuration *to,
			      struct membership_fault *fault) {
	int position = configuration_position(&to->core, change->node);

	if (change->kind == CLIENT__MEMBER_CHANGE__KIND__ABSENT) {
		if (position >= 0)
			membership_remove(to, position);
		return true;
	}
	if (position < 0 && change->kind == CLIENT__MEMBER_CHANGE__KIND__SAME)
		return MEMBERSHIP_FAULT(fault, LOCKD_INVALID, "node %u is no member", change->node);
	if (position >= 0 && membership_is_replaced(replica, &to->core.members[position]))
		return MEMBERSHIP_FAULT(
			fault, LOCKD_NOT_READY,
			"node %u runs with another data folder than the one it is a member with: remove "
			"it first, then add it",
			change->node);
	if (position < 0) {
		if (to->core.n == RAFT_MEMBERS_MAX)
			return MEMBERSHIP_FAULT(fault, LOCKD_LIMIT, "more than %d members", LIMIT_NODES_MAX);
		if (!membership_admit(replica, change->node, to, fault))
			return false;
		position = to->core.n - 1;
	}
	membership_edit(replica, change, to, position);
	if (!to->addresses[position].peer_address &&
	    !configuration_find(raft_members(replica->raft, NULL), change->node))
		return MEMBERSHIP_FAULT(fault, LOCKD_NOT_READY, "node %u: its peer address is not known", change->node);
	return true;
}

static bool membership_check(const struct configuration *from, const struct configuration *to,
			     struct membership_fault *fault) {
	uint32_t together = to->core.n;

	for (uint16_t i = 0; i < from->core.n; i++)
		together += !configuration_find(&to->core, from->core.members[i].node);
	if (configuration_count(&to->core, RAFT_ROLE_VOTER) == 0)
		return MEMBERSHIP_FAULT(fault, LOCKD_NOT_READY, "no voter would be left");
	if (to->core.n > LIMIT_NODES_MAX)
		return MEMBERSHIP_FAULT(fault, LOCKD_LIMIT, "%u members, at most %d are possible", to->core.n,
					LIMIT_NODES_MAX);
	if (together > RAFT_MEMBERS_MAX)
		return MEMBERSHIP_FAULT(
			fault, LOCKD_LIMIT,
			"members before and after are %u together, at most %d are possible: make it two "
			"changes",
			together, RAFT_MEMBERS_MAX);
	return true;
}

/* The configuration that the request asks for. */
static bool membership_aim(struct replica *replica, const struct configuration *from, struct configuration *to,
			   struct membership_fault *fault) {
	const struct membership *membership = &replica->membership;
	const Client__Request *request = node_unpack_request(replica->node, membership->body, membership->n);

	assert(request && request->body_case == CLIENT__REQUEST__BODY_CHANGE_MEMBERS);
	*to = *from;
	for (size_t i = 0; i < request->change_members->n_changes; i++) {
		if (!membership_change(replica, request->change_members->changes[i], to, fault))
			return false;
	}
	return membership_check(from, to, fault);
}

/* ---- Steps --------------------------------------------------------------------------------------------------------
 */

int membership_propose(struct replica *replica, const struct configuration *to) {
	struct node_bytes packed = configuration_pack(replica->node, to);
	struct raft_entry entry = {.type = RAFT_ENTRY_CONFIGURATION, .configuration = &to->core};
	struct raft_event event = {.kind = RAFT_PROPOSE, .entries = &entry, .n = 1};
	struct node_entry incoming = {.type = RAFT_ENTRY_CONFIGURATION, .data = packed.bytes, .n = packed.n};
	int r = replica_raft(replica, &event, &incoming);

	/* The core keeps no more configurations until older ones are trimmed. */
	if (r == RAFT_E_FULL)
		replica->checkpoint.wanted = true;
	return r;
}

static void membership_leave(struct replica *replica, const struct configuration *joint) {
	struct configuration *left = turn_alloc(&replica->node->turn, sizeof *left);
	int r;

	*left = (struct configuration){0};
	raft_configuration_leave(&joint->core, &left->core);
	for (uint16_t i = 0; i < left->core.n; i++)
		left->addresses[i] = joint->addresses[configuration_position(&joint->core, left->core.members[i].node)];
	r = membership_propose(replica, left);
	assert(r != RAFT_E_MISFIT);
}

static bool membership_has_same_voters(const struct configuration *from, const struct configuration *to) {
	for (uint16_t i = 0; i < to->core.n; i++) {
		const struct raft_member *member = configuration_find(&from->core, to->core.members[i].node);

		if ((to->core.members[i].roles & RAFT_ROLE_VOTER) && (!member || !(member->roles & RAFT_ROLE_VOTER)))
			return false;
	}
	return configuration_count(&from->core, RAFT_ROLE_VOTER) == configuration_count(&to->core, RAFT_ROLE_VOTER);
}

/* `from`, and whoever is only in `to` as a learner. */
static void membership_fill_learners(const struct configuration *from, const struct configuration *to,
				     struct configuration *ret) {
	*ret = *from;
	for (uint16_t i = 0; i < to->core.n; i++) {
		struct raft_member member = to->core.members[i];

		if (configuration_find(&from->core, member.node))
			continue;
		member.roles = RAFT_ROLE_LEARNER;
		configuration_add(ret, &member);
		ret->addresses[ret->core.n - 1] = to->addresses[i];
	}
}

/* Both halves. All members of `to` are in `from`; of those that leave, voters still have their say in the old one. */
static void membership_fill_joint(const struct configuration *from, const struct configuration *to,
				  struct configuration *ret) {
	*ret = *to;
	for (uint16_t i = 0; i < from->core.n; i++) {
		struct raft_member member = from->core.members[i];
		int position = configuration_position(&to->core, member.node);

		if (!(member.roles & RAFT_ROLE_VOTER))
			continue;
		if (position >= 0) {
			ret->core.members[position].roles |= RAFT_ROLE_VOTER_OUTGOING;
			continue;
		}
		member.roles = RAFT_ROLE_VOTER_OUTGOING;
		configuration_add(ret, &member);
		ret->addresses[ret->core.n - 1] = from->addresses[i];
	}
}

/* ---- Catching up --------------------------------------------------------------------------------------------------
 */

static struct membership_wait *membership_wait(struct replica *replica, uint32_t node, const struct raft_peer *peer) {
	struct membership *membership = &replica->membership;

	for (size_t i = 0; i < membership->n_waits; i++) {
		if (membership->waits[i].node == node)
			return &membership->waits[i];
	}
	assert(membership->n_waits < RAFT_MEMBERS_MAX);
	membership->waits[membership->n_waits] = (struct membership_wait){
		.node = node, .rounds = peer->catch_up_rounds, .since = replica->node->clocks.mono};
	return &membership->waits[membership->n_waits++];
}

/* Whether it has caught up; with a fault when there is no hope. */
static bool membership_follows(struct replica *replica, uint32_t node, struct membership_fault *fault) {
	raft_usec silence = MEMBERSHIP_SILENCE_ELECTIONS * replica->node->timing.election_max, heard;
	const struct membership_wait *wait;
	struct raft_peer peer;

	if (!raft_get_peer(replica->raft, node, &peer))
		return false;
	/* In a log that rests a learner has all of it for as long as it is silent. */
	if (peer.caught_up && membership_hears(replica, node))
		return true;
	wait = membership_wait(replica, node, &peer);
	heard = peer.contact > wait->since ? peer.contact : wait->since;
	if (replica->node->clocks.mono - heard >= silence)
		return MEMBERSHIP_FAULT(fault, LOCKD_NOT_READY,
					"node %u does not catch up: no answer for %llu ms; it stays a learner", node,
					(unsigned long long)(silence / 1000));
	if (peer.catch_up_rounds - wait->rounds >= MEMBERSHIP_ROUNDS_MAX)
		return MEMBERSHIP_FAULT(
			fault, LOCKD_NOT_READY,
			"node %u does not catch up: it is slower than the log grows; it stays a learner", node);
	return false;
}

static bool membership_all_follow(struct replica *replica, const struct configuration *from,
				  const struct configuration *to, struct membership_fault *fault) {
	for (uint16_t i = 0; i < to->core.n; i++) {
		const struct raft_member *member = &to->core.members[i];
		const struct raft_member *before = configuration_find(&from->core, member->node);

		if ((member->roles & RAFT_ROLE_VOTER) && !(before->roles & RAFT_ROLE_VOTER) &&
		    !membership_follows(replica, member->node, fault))
			return false;
	}
	return true;
}

/* ---- Contact ------------------------------------------------------------------------------------------------------
 */

/* A majority that does not answer could never commit the new configuration, and the old one alone could not undo it.
 * The others get the time of an election to be heard. */
static bool membership_has_majority(const struct replica *replica, const struct configuration *to,
				    struct membership_fault *fault) {
	uint32_t voters = configuration_count(&to->core, RAFT_ROLE_VOTER), heard = 0;

	for (uint16_t i = 0; i < to->core.n; i++) {
		const struct raft_member *member = &to->core.members[i];

		heard += (member->roles & RAFT_ROLE_VOTER) && membership_hears(replica, member->node);
	}
	if (heard > voters / 2)
		return true;
	if (replica->node->clocks.mono - replica->membership.began < replica->node->timing.election_max)
		return false;
	return MEMBERSHIP_FAULT(fault, LOCKD_NOT_READY, "only %u of the %u voters to be answer", heard, voters);
}

/* ---- The way there ------------------------------------------------------------------------------------------------
 */

static bool membership_is_there(struct replica *replica, const struct configuration *from,
				const struct configuration *to) {
	struct node_bytes a = configuration_pack(replica->node, from), b = configuration_pack(replica->node, to);

	return a.n == b.n && memcmp(a.bytes, b.bytes, a.n) == 0;
}

/* The configuration that comes next; false: not yet, or with a fault never. */
static bool membership_find_step(struct replica *replica, const struct configuration *from,
				 const struct configuration *to, struct configuration *ret,
				 struct membership_fault *fault) {
	if (membership_has_same_voters(from, to)) {
		*ret = *to;
		return true;
	}
	membership_fill_learners(from, to, ret);
	if (ret->core.n > from->core.n)
		return true;
	if (!membership_all_follow(replica, from, to, fault) || !membership_has_majority(replica, to, fault))
		return false;
	membership_fill_joint(from, to, ret);
	return true;
}

static void membership_step(struct replica *replica, const struct configuration *from) {
	struct configuration *to = turn_alloc(&replica->node->turn, 2 * sizeof *to), *next = to + 1;
	struct membership_fault fault = {0};

	if (replica->membership.began == 0)
		replica->membership.began = replica->node->clocks.mono;
	if (membership_aim(replica, from, to, &fault)) {
		if (membership_is_there(replica, from, to)) {
			membership_end(replica, LOCKD_OK, NULL);
			return;
		}
		if (membership_find_step(replica, from, to, next, &fault) &&
		    membership_propose(replica, next) == RAFT_E_MISFIT)
			(void)MEMBERSHIP_FAULT(&fault, LOCKD_NOT_READY, "two members would share a data folder");
	}
	if (fault.status != 0)
		membership_end(replica, fault.status, fault.text);
}

void membership_advance(struct replica *replica) {
	struct configuration *latest;
	int r;

	if (!replica->leading || !members_are_settled(replica))
		return;
	if (!membership_is_busy(replica) && !raft_configuration_is_joint(raft_members(replica->raft, NULL)))
		return;
	latest = turn_alloc(&replica->node->turn, sizeof *latest);
	r = configuration_read(replica->node, members_latest(&replica->members), latest);
	assert(r == 0);
	if (raft_configuration_is_joint(&latest->core))
		membership_leave(replica, latest);
	else
		membership_step(replica, latest);
}

/* The leader that a change has removed resigns when the configuration without it is committed: that change is done. */
static bool membership_is_done(struct replica *replica) {
	struct configuration *latest, *to;
	struct membership_fault fault;
	raft_index index;

	if (raft_configuration_is_joint(raft_members(replica->raft, &index)) || index > replica->status.commit)
		return false;
	latest = turn_alloc(&replica->node->turn, 2 * sizeof *latest);
	to = latest + 1;
	return configuration_read(replica->node, members_latest(&replica->members), latest) == 0 &&
	       membership_aim(replica, latest, to, &fault) && membership_is_there(replica, latest, to);
}

void membership_resign(struct replica *replica) {
	if (membership_is_busy(replica))
		membership_end(replica, membership_is_done(replica) ? LOCKD_OK : LOCKD_LEADER_CHANGED, NULL);
}
