/* SPDX-License-Identifier: Apache-2.0 */
#include "replacement.h"

#include "candidate.h"
#include "configuration.h"
#include "members.h"
#include "membership.h"
#include "replica.h"

#include <assert.h>

void replacement_begin(struct replica *replica) {
	replica->replacement = (struct replacement){.since = replica->node->clocks.mono};
}

/* ---- Whether one is due -------------------------------------------------------------------------------------------
 */

/* No majority would be harmed if the store lived on, but its node would: it is a member no more. Somebody may have
 * started a copy of its folder that was damaged, on another machine. So the call must come when the store has fallen
 * silent already: one from before, or from before this leadership, may be of such a machine. */
static bool replacement_is_silent(const struct replica *replica, const struct raft_member *member, raft_usec met) {
	raft_usec heard = replica->replacement.since;
	struct raft_peer peer;

	if (member->node == replica->node->id)
		return false;
	if (raft_get_peer(replica->raft, member->node, &peer) && peer.contact > heard)
		heard = peer.contact;
	return met > heard && replica->node->clocks.mono - heard > replica->node->timing.election_max;
}

/* The other voters that answer are a majority without it. If they were not, the change could neither be committed nor
 * be taken back. */
static bool replacement_can_commit(const struct replica *replica, const struct raft_configuration *members,
				   uint32_t lost) {
	uint32_t voters = configuration_count(members, RAFT_ROLE_VOTER), heard = 0;

	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft_member *member = &members->members[i];

		heard += (member->roles & RAFT_ROLE_VOTER) && member->node != lost &&
			 membership_hears(replica, member->node);
	}
	return heard > voters / 2;
}

/* A folder that was copied may be somebody else's by now. */
static bool replacement_is_taken(const struct raft_configuration *members, const struct node_uuid *store) {
	for (uint16_t i = 0; i < members->n; i++) {
		if (memcmp(members->members[i].store.bytes, store->bytes, sizeof store->bytes) == 0)
			return true;
	}
	return false;
}

static bool replacement_is_due(const struct replica *replica, const struct raft_configuration *members,
			       const struct raft_member *member) {
	const struct candidate *candidate = candidate_find(&replica->node->candidates, member->node);

	return candidate && candidate_replaces(candidate, member) &&
	       replacement_is_silent(replica, member, candidate->met) &&
	       !replacement_is_taken(members, &candidate->store) &&
	       replacement_can_commit(replica, members, member->node);
}

/* ---- Doing it -----------------------------------------------------------------------------------------------------
 */

/* Role and priority stay; addresses are those that the candidate has called with, as far as it named them. */
static void replacement_fill(struct configuration *to, int position, const struct candidate *candidate) {
	struct raft_member *member = &to->core.members[position];
	struct node_address *address = &to->addresses[position];

	memcpy(member->store.bytes, candidate->store.bytes, sizeof member->store.bytes);
	if (candidate->address.peer_address)
		address->peer_address = candidate->address.peer_address;
	if (candidate->address.client_address)
		address->client_address = candidate->address.client_address;
	if (!(member->roles & RAFT_ROLE_VOTER))
		return;
	for (uint16_t i = 0; i < to->core.n; i++) {
		if (to->core.members[i].roles & RAFT_ROLE_VOTER)
			to->core.members[i].roles |= RAFT_ROLE_VOTER_OUTGOING;
	}
	member->roles |= RAFT_ROLE_LOST;
}

static void replacement_propose(struct replica *replica, int position) {
	struct configuration *to = turn_alloc(&replica->node->turn, sizeof *to);
	uint32_t node = raft_members(replica->raft, NULL)->members[position].node;
	int r = configuration_read(replica->node, members_latest(&replica->members), to);

	assert(r == 0);
	replacement_fill(to, position, candidate_find(&replica->node->candidates, node));
	r = membership_propose(replica, to);
	assert(r != RAFT_E_MISFIT);
	if (r != 0)
		return;
	replica->replacement.node = node;
	TURN_TRACE(&replica->node->turn, replica->group, "event=replacing node=%u", node);
}

/* A swap that an earlier leader has begun is told of by this one. */
static void replacement_note(struct replica *replica, const struct raft_configuration *joint) {
	for (uint16_t i = 0; i < joint->n; i++) {
		if (joint->members[i].roles & RAFT_ROLE_LOST)
			replica->replacement.node = joint->members[i].node;
	}
}

static void replacement_tell(struct replica *replica) {
	if (replica->replacement.node == 0)
		return;
	TURN_TRACE(&replica->node->turn, replica->group, "event=replaced node=%u", replica->replacement.node);
	replica->replacement.node = 0;
}

void replacement_advance(struct replica *replica) {
	const struct raft_configuration *members;

	if (!replica->leading || !members_are_settled(replica))
		return;
	members = raft_members(replica->raft, NULL);
	if (raft_configuration_is_joint(members)) {
		replacement_note(replica, members);
		return;
	}
	replacement_tell(replica);
	if (membership_is_busy(replica) ||
	    state_get_version(replica->state).current < STATE_MACHINE_VERSION_REPLACEMENT)
		return;
	for (uint16_t i = 0; i < members->n; i++) {
		if (replacement_is_due(replica, members, &members->members[i])) {
			replacement_propose(replica, i);
			return;
		}
	}
}
