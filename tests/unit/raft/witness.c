/* SPDX-License-Identifier: Apache-2.0 */
#include "witness.h"

static bool same_entry(const struct cluster_entry *a, const struct cluster_entry *b) {
	return a->term == b->term && a->type == b->type && a->id == b->id;
}

void witness_applied(struct cluster *cluster, uint32_t n) {
	struct cluster_node *node = cluster_node(cluster, n);

	REQUIRE(node->fx.apply_to <= node->disk_last, "node %u applies %lu, durable is %lu", n, node->fx.apply_to,
		node->disk_last);
	while (node->applied < node->fx.apply_to) {
		const struct cluster_entry *entry = &node->log[++node->applied];

		if (node->applied > cluster->n_committed) {
			cluster->committed[node->applied] = *entry;
			cluster->committed_in[node->applied] = cluster_status(cluster, n).term;
			cluster->n_committed = node->applied;
		}
		REQUIRE(same_entry(&cluster->committed[node->applied], entry), "node %u applies another entry at %lu",
			n, node->applied);
	}
}

void witness_elected(struct cluster *cluster, uint32_t n, raft_term term) {
	struct cluster_node *node = cluster_node(cluster, n);

	REQUIRE(term < CLUSTER_TERMS_MAX, "term %lu", term);
	if (cluster->leader_of[term] == n)
		return;
	REQUIRE(cluster->leader_of[term] == 0, "%u and %u lead term %lu", cluster->leader_of[term], n, term);
	cluster->leader_of[term] = n;
	cluster->elections++;
	cluster->asked_elections += cluster->asked_in[term];
	for (raft_index i = 1; i <= cluster->n_committed; i++)
		REQUIRE(cluster->committed_in[i] >= term ||
				(i <= node->last && same_entry(&node->log[i], &cluster->committed[i])),
			"leader %u of term %lu lacks committed entry %lu", n, term, i);
	for (uint32_t other = 1; other <= cluster->n; other++) {
		struct cluster_node *old = cluster_node(cluster, other);

		if (other == n || !old->up || cluster_status(cluster, other).role != RAFT_LEADER ||
		    cluster_status(cluster, other).term > term)
			continue;
		REQUIRE(cluster_clocks(cluster, old).boot >= old->lease_until, "%u elected in term %lu, %u has a lease",
			n, term, other);
	}
}

void witness_vote(struct cluster *cluster, const struct raft_message *message) {
	uint32_t candidate, *vote;

	if (message->type == RAFT_VOTE)
		candidate = message->from;
	else if (message->type == RAFT_VOTE_REPLY && !(message->flags & RAFT_FLAG_REJECT))
		candidate = message->to;
	else
		return;
	if (message->type == RAFT_VOTE && (message->flags & RAFT_FLAG_TRANSFER))
		cluster->asked_in[message->term] = true;
	vote = &cluster->vote_of[message->term][message->from];
	REQUIRE(*vote == 0 || *vote == candidate, "%u votes for %u and %u in term %lu", message->from, *vote, candidate,
		message->term);
	*vote = candidate;
}

void witness_lease(struct cluster *cluster, uint32_t n, const struct raft_status *status) {
	struct cluster_node *node = cluster_node(cluster, n);

	node->lease_until = node->fx.lease_until;
	REQUIRE(status->role == RAFT_LEADER || node->lease_until == 0, "node %u does not lead", n);
	if (cluster_clocks(cluster, node).boot < node->lease_until)
		REQUIRE(status->commit >= cluster->n_committed, "leader %u has %lu, committed is %lu", n,
			status->commit, cluster->n_committed);
}

void witness_read(struct cluster *cluster, uint32_t n) {
	struct cluster_node *node = cluster_node(cluster, n);
	const struct cluster_question *question = &node->questions[node->fx.read_round % CLUSTER_QUESTIONS_MAX];

	if (node->fx.read_round == 0)
		return;
	cluster->answers++;
	if (question->number == node->fx.read_round)
		REQUIRE(node->fx.read_index >= question->committed, "node %u reads at %lu, committed was %lu", n,
			node->fx.read_index, question->committed);
}

static bool is_member(struct cluster *cluster, uint32_t leader, uint32_t n) {
	const struct raft_configuration *members = raft_members(cluster_node(cluster, leader)->raft, NULL);

	for (uint16_t i = 0; i < members->n; i++)
		if (members->members[i].node == n)
			return true;
	return false;
}

void witness_converged(struct cluster *cluster) {
	uint32_t leader = cluster_leader(cluster);
	const struct cluster_node *first = cluster_node(cluster, leader);

	for (uint32_t n = 1; n <= cluster->n; n++) {
		const struct cluster_node *node = cluster_node(cluster, n);

		if (!node->up || !is_member(cluster, leader, n))
			continue;
		REQUIRE(node->last == first->last, "node %u ends at %lu, not %lu", n, node->last, first->last);
		REQUIRE(node->applied == node->last, "node %u applied %lu of %lu", n, node->applied, node->last);
		for (raft_index i = 1; i <= node->last; i++)
			REQUIRE(same_entry(&node->log[i], &first->log[i]), "node %u differs at %lu", n, i);
	}
}
