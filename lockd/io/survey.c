/* SPDX-License-Identifier: Apache-2.0 */
#include "survey.h"

static void take_peer(const struct raft *raft, const struct peers *peers, uint32_t node, struct survey *ret) {
	const struct peer *peer = peer_table_find(&peers->table, node);
	struct survey_peer *row = &ret->peers[ret->n_peers++];

	*row = (struct survey_peer){.node = node, .connected = peer && peer->outbound && peer->inbound};
	row->followed = raft_get_peer(raft, node, &row->progress);
}

static void take_members(const struct raft *raft, const struct peers *peers, struct survey *ret) {
	const struct raft_configuration *members = raft_members(raft, NULL);

	for (uint16_t i = 0; members && i < members->n; i++) {
		if (members->members[i].node == ret->node)
			ret->member = true;
		else
			take_peer(raft, peers, members->members[i].node, ret);
	}
}

void survey_take(uint32_t self, const struct node *node, const struct peers *peers,
		 const struct client_connections *clients, struct survey *ret) {
	const struct raft *raft = node_raft(node, PEERS_GROUP);
	const struct state *state = node_state(node, PEERS_GROUP);

	*ret = (struct survey){.node = self,
			       .blank = node_is_blank(node),
			       .applied = state_applied(state),
			       .counts = state_get_counts(state),
			       .connections = clients->n};
	raft_get_status(raft, &ret->raft);
	node_get_tally(node, &ret->tally);
	take_members(raft, peers, ret);
}

const char *survey_why_not_healthy(const struct survey *survey, raft_usec now) {
	if (survey->taken + SURVEY_STALE_MS * 1000ull < now)
		return "the node stands still";
	if (survey->full_since > 0)
		return "the disk is full";
	if (survey->tally.restoring)
		return "the data folder was damaged, and the other nodes have not caught this one up yet";
	return NULL;
}

const char *survey_why_not_ready(const struct survey *survey, raft_usec now) {
	const struct raft_status *raft = &survey->raft;
	const char *why = survey_why_not_healthy(survey, now);

	if (why)
		return why;
	if (survey->stopping)
		return "the node stops";
	if (survey->blank)
		return "the node belongs to no cluster yet";
	if (!survey->member)
		return "the node is no member of the cluster";
	if (raft->leader == 0)
		return "no leader is known";
	if (raft->role == RAFT_LEADER && raft->commit < raft->term_start)
		return "the leader has not committed anything yet";
	return NULL;
}
