/* SPDX-License-Identifier: Apache-2.0 */
#include "candidate.h"

#include "configuration.h"
#include "members.h"
#include "memory.h"
#include "replica.h"

static void candidate_forget(struct candidates *candidates, size_t at) {
	members_free_address(&candidates->items[at].address);
	candidates->items[at] = candidates->items[--candidates->n];
}

void candidates_deinit(struct candidates *candidates) {
	while (candidates->n > 0)
		candidate_forget(candidates, 0);
}

const struct candidate *candidate_find(const struct candidates *candidates, uint32_t node) {
	for (size_t i = 0; i < candidates->n; i++) {
		if (candidates->items[i].address.node == node)
			return &candidates->items[i];
	}
	return NULL;
}

bool candidate_replaces(const struct candidate *candidate, const struct raft_member *member) {
	for (size_t i = 0; i < candidate->n_replaces; i++) {
		if (memcmp(candidate->replaces[i].bytes, member->store.bytes, sizeof member->store.bytes) == 0)
			return true;
	}
	return false;
}

static bool candidate_is_member(const struct raft_configuration *configuration, uint32_t node,
				const struct node_uuid *store) {
	const struct raft_member *member = configuration_find(configuration, node);

	return member && memcmp(member->store.bytes, store->bytes, sizeof store->bytes) == 0;
}

/* What cannot stand in a configuration is not kept. */
static bool candidate_has_room(const struct node_address *address) {
	return address->node > 0 &&
	       (!address->peer_address || strlen(address->peer_address) <= LIMIT_ADDRESS_BYTES_MAX) &&
	       (!address->client_address || strlen(address->client_address) <= LIMIT_ADDRESS_BYTES_MAX);
}

static size_t candidates_find_oldest(const struct candidates *candidates) {
	size_t oldest = 0;

	for (size_t i = 1; i < candidates->n; i++) {
		if (candidates->items[i].met < candidates->items[oldest].met)
			oldest = i;
	}
	return oldest;
}

/* The driver names no more stores than there is room for. */
static void candidate_add(struct node *node, const struct node_met *met, const struct node_address *address) {
	struct candidate *candidate = &node->candidates.items[node->candidates.n++];

	*candidate = (struct candidate){
		.address = members_copy_address(address), .store = met->store, .met = node->clocks.mono};
	candidate->n_replaces = met->n_replaces < LIMIT_PAST_STORES_MAX ? met->n_replaces : LIMIT_PAST_STORES_MAX;
	for (size_t i = 0; i < candidate->n_replaces; i++)
		candidate->replaces[i] = met->replaces[i];
}

void candidate_meet(struct node *node, const struct node_met *met) {
	struct candidates *candidates = &node->candidates;
	const struct raft_configuration *latest = raft_members(node_find_replica(node, NODE_GROUP_DEFAULT)->raft, NULL);
	const struct node_address address = {
		.node = met->node, .peer_address = met->peer_address, .client_address = met->client_address};
	const struct candidate *known = candidate_find(candidates, met->node);

	if (!latest || candidate_is_member(latest, met->node, &met->store) || !candidate_has_room(&address))
		return;
	if (known)
		candidate_forget(candidates, (size_t)(known - candidates->items));
	else if (candidates->n == LIMIT_CANDIDATES_MAX)
		candidate_forget(candidates, candidates_find_oldest(candidates));
	candidate_add(node, met, &address);
	if (!known)
		TURN_TRACE(&node->turn, NODE_GROUP_DEFAULT, "event=candidate node=%u", met->node);
}

/* A member whose store the candidate has not taken the place of may itself have taken the candidate's: somebody who has
 * been let in meanwhile, and whose old folder nobody can add any more. If it is the other way round the node calls
 * again. */
static bool candidate_is_over(const struct candidate *candidate, const struct raft_configuration *configuration) {
	const struct raft_member *member = configuration_find(configuration, candidate->address.node);

	return member && !candidate_replaces(candidate, member);
}

void candidates_forget_members(struct node *node, const struct raft_configuration *configuration) {
	struct candidates *candidates = &node->candidates;

	for (size_t i = candidates->n; i-- > 0;) {
		if (candidate_is_over(&candidates->items[i], configuration))
			candidate_forget(candidates, i);
	}
}
