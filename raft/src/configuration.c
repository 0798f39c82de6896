/* SPDX-License-Identifier: Apache-2.0 */
#include "configuration.h"

#include "invariant.h"

#include <string.h>

static bool same_store(const struct raft_uuid *a, const struct raft_uuid *b) {
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static uint32_t count(const struct raft_configuration *configuration, uint8_t roles) {
	uint32_t n = 0;

	for (uint16_t i = 0; i < configuration->n; i++)
		n += (configuration->members[i].roles & roles) != 0;
	return n;
}

/* Who is LOST has a vote in both halves by role, and a store that speaks in the new one. Were so many lost that the
 * others are no majority of the old half, nothing could be committed any more, not even the way back. */
static bool losses_valid(const struct raft_configuration *configuration) {
	uint32_t outgoing = count(configuration, RAFT_ROLE_VOTER_OUTGOING), lost = count(configuration, RAFT_ROLE_LOST);

	for (uint16_t i = 0; i < configuration->n; i++) {
		uint8_t roles = configuration->members[i].roles;

		if ((roles & RAFT_ROLE_LOST) && (roles & RAFT__ROLES_VOTING) != RAFT__ROLES_VOTING)
			return false;
	}
	return lost == 0 || outgoing - lost > outgoing / 2;
}

bool raft__configuration_valid(const struct raft_configuration *configuration) {
	bool voter = false;

	if (configuration->n == 0 || configuration->n > RAFT_MEMBERS_MAX)
		return false;
	for (uint16_t i = 0; i < configuration->n; i++) {
		const struct raft_member *member = &configuration->members[i];

		if (member->node == 0)
			return false;
		for (uint16_t j = 0; j < i; j++)
			if (configuration->members[j].node == member->node ||
			    same_store(&configuration->members[j].store, &member->store))
				return false;
		voter |= member->roles & RAFT_ROLE_VOTER;
	}
	return voter && losses_valid(configuration);
}

int raft__configuration_find(const struct raft_configuration *configuration, uint32_t node) {
	for (uint16_t i = 0; i < configuration->n; i++)
		if (configuration->members[i].node == node)
			return i;
	return -1;
}

bool raft_configuration_is_joint(const struct raft_configuration *configuration) {
	for (uint16_t i = 0; i < configuration->n; i++)
		if (configuration->members[i].roles & RAFT_ROLE_VOTER_OUTGOING)
			return true;
	return false;
}

bool raft__configuration_votes(const struct raft_configuration *configuration, uint32_t node,
			       const struct raft_uuid *store) {
	int i = raft__configuration_find(configuration, node);

	return i >= 0 && (configuration->members[i].roles & RAFT__ROLES_VOTING) != 0 &&
	       same_store(&configuration->members[i].store, store);
}

bool raft__configuration_replaces(const struct raft_configuration *configuration, uint32_t node,
				  const struct raft_uuid *store) {
	int i = raft__configuration_find(configuration, node);

	return i >= 0 && !same_store(&configuration->members[i].store, store);
}

bool raft__configuration_sole(const struct raft_configuration *configuration, uint32_t node,
			      const struct raft_uuid *store) {
	return count(configuration, RAFT__ROLES_VOTING) == 1 && raft__configuration_votes(configuration, node, store);
}

/* The members of `a` with role_a are members of `b` with role_b, under the same store. */
static bool subset(const struct raft_configuration *a, uint8_t role_a, const struct raft_configuration *b,
		   uint8_t role_b) {
	for (uint16_t i = 0; i < a->n; i++) {
		const struct raft_member *member = &a->members[i];
		int j;

		if (!(member->roles & role_a))
			continue;
		j = raft__configuration_find(b, member->node);
		if (j < 0 || !(b->members[j].roles & role_b) || !same_store(&b->members[j].store, &member->store))
			return false;
	}
	return true;
}

static bool same(const struct raft_configuration *a, uint8_t role_a, const struct raft_configuration *b,
		 uint8_t role_b) {
	return subset(a, role_a, b, role_b) && subset(b, role_b, a, role_a);
}

/* The outgoing half of `to` are the voters of `from`. Where a store is lost, the node has another one.
 *
 * Why the lost one may be replaced without being asked: let n be the voters of `from` and m = n/2 + 1 their majority.
 * Whatever was decided without `to` was decided by m voters, k of them lost by now, k ≤ the number that is lost. What
 * is decided under `to` takes m of those that are not. m − k and m together are more than the n − k that both are taken
 * from, so some store that is still there had its part in both. This holds for any number of losses, at once or one
 * after the other, and even if a store that is called lost lives on: it is not counted for what it says under `to`, and
 * says no more than it may under `from`. */
static bool enters(const struct raft_configuration *from, const struct raft_configuration *to) {
	for (uint16_t i = 0; i < to->n; i++) {
		const struct raft_member *member = &to->members[i];
		bool lost = member->roles & RAFT_ROLE_LOST;
		int j;

		if (!(member->roles & RAFT_ROLE_VOTER_OUTGOING))
			continue;
		j = raft__configuration_find(from, member->node);
		if (j < 0 || !(from->members[j].roles & RAFT_ROLE_VOTER) ||
		    same_store(&from->members[j].store, &member->store) == lost)
			return false;
	}
	return count(from, RAFT_ROLE_VOTER) == count(to, RAFT_ROLE_VOTER_OUTGOING);
}

bool raft__configuration_follows(const struct raft_configuration *from, const struct raft_configuration *to) {
	if (to->promise_ms != from->promise_ms || to->drift_ppm != from->drift_ppm)
		return false;
	if (raft_configuration_is_joint(from))
		return !raft_configuration_is_joint(to) && same(from, RAFT_ROLE_VOTER, to, RAFT_ROLE_VOTER);
	if (raft_configuration_is_joint(to))
		return enters(from, to);
	return same(from, RAFT_ROLE_VOTER, to, RAFT_ROLE_VOTER);
}

static bool comes_before(const struct raft_member *a, const struct raft_member *b) {
	return a->priority > b->priority || (a->priority == b->priority && a->node < b->node);
}

uint32_t raft__configuration_rank(const struct raft_configuration *configuration, uint32_t node, uint32_t lost) {
	int at = raft__configuration_find(configuration, node);
	const struct raft_member *own = at >= 0 ? &configuration->members[at] : NULL;
	uint32_t rank = 0;

	if (own && !(own->roles & RAFT__ROLES_VOTING))
		own = NULL;
	for (uint16_t i = 0; i < configuration->n; i++) {
		const struct raft_member *member = &configuration->members[i];

		if (!(member->roles & RAFT__ROLES_VOTING) || member->node == lost || member->node == node)
			continue;
		rank += !own || comes_before(member, own);
	}
	return rank;
}

/* What the store that voted in this half has reached: of one that is lost nothing is known, and whatever was known was
 * said by another store than the one that the value belongs to. */
static uint64_t value_in_half(const struct raft_member *member, uint64_t value, uint8_t role) {
	return role == RAFT_ROLE_VOTER_OUTGOING && (member->roles & RAFT_ROLE_LOST) ? 0 : value;
}

/* Insertion sort: the arrays are small, and in the steady state nearly ordered. */
static uint64_t quorum_of_half(const struct raft_configuration *configuration, const uint64_t *values, uint8_t role) {
	uint64_t sorted[RAFT_MEMBERS_MAX];
	uint16_t n = 0;

	for (uint16_t i = 0; i < configuration->n; i++) {
		uint64_t value = value_in_half(&configuration->members[i], values[i], role);
		uint16_t at = n;

		if (!(configuration->members[i].roles & role))
			continue;
		for (; at > 0 && sorted[at - 1] < value; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = value;
		n++;
	}
	/* A half without voters does not limit the other one: there is only one half unless the configuration is joint.
	 */
	return n > 0 ? sorted[n / 2] : UINT64_MAX;
}

uint64_t raft__quorum(const struct raft_configuration *configuration, const uint64_t values[RAFT_MEMBERS_MAX]) {
	uint64_t incoming = quorum_of_half(configuration, values, RAFT_ROLE_VOTER);
	uint64_t outgoing = quorum_of_half(configuration, values, RAFT_ROLE_VOTER_OUTGOING);

	RAFT_ASSERT(incoming != UINT64_MAX || outgoing != UINT64_MAX);
	return incoming < outgoing ? incoming : outgoing;
}

void raft_configuration_leave(const struct raft_configuration *joint, struct raft_configuration *ret) {
	struct raft_configuration left = *joint;

	left.n = 0;
	for (uint16_t i = 0; i < joint->n; i++) {
		struct raft_member member = joint->members[i];

		member.roles &= (uint8_t) ~(RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LOST);
		if (member.roles != 0)
			left.members[left.n++] = member;
	}
	*ret = left;
}
