/* SPDX-License-Identifier: Apache-2.0 */
#include "configuration.h"

#include "invariant.h"

#include <string.h>

static bool same_store(const struct raft_uuid *a, const struct raft_uuid *b) {
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
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
	return voter;
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

bool raft__configuration_names_other(const struct raft_configuration *configuration, uint32_t node,
				     const struct raft_uuid *store) {
	int i = raft__configuration_find(configuration, node);

	return i >= 0 && !same_store(&configuration->members[i].store, store);
}

bool raft__configuration_sole(const struct raft_configuration *configuration, uint32_t node,
			      const struct raft_uuid *store) {
	uint32_t voters = 0;

	for (uint16_t i = 0; i < configuration->n; i++)
		voters += (configuration->members[i].roles & RAFT__ROLES_VOTING) != 0;
	return voters == 1 && raft__configuration_votes(configuration, node, store);
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

bool raft__configuration_follows(const struct raft_configuration *from, const struct raft_configuration *to) {
	if (to->promise_ms != from->promise_ms || to->drift_ppm != from->drift_ppm)
		return false;
	if (raft_configuration_is_joint(from))
		return !raft_configuration_is_joint(to) && same(from, RAFT_ROLE_VOTER, to, RAFT_ROLE_VOTER);
	if (raft_configuration_is_joint(to))
		return same(from, RAFT_ROLE_VOTER, to, RAFT_ROLE_VOTER_OUTGOING);
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

/* Insertion sort: the arrays are small, and in the steady state nearly ordered. */
static uint64_t quorum_of_half(const struct raft_configuration *configuration, const uint64_t *values, uint8_t role) {
	uint64_t sorted[RAFT_MEMBERS_MAX];
	uint16_t n = 0;

	for (uint16_t i = 0; i < configuration->n; i++) {
		uint16_t at = n;

		if (!(configuration->members[i].roles & role))
			continue;
		for (; at > 0 && sorted[at - 1] < values[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = values[i];
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

		member.roles &= (uint8_t)~RAFT_ROLE_VOTER_OUTGOING;
		if (member.roles != 0)
			left.members[left.n++] = member;
	}
	*ret = left;
}
