/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/liveness.h"

#include "lockd/state/state.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

enum { LOOK_US = 100000 };

/* Who was a member under a store that was found damaged is to be one under the store that it has. */
static bool is_missing(struct sim *sim, uint32_t node) {
	const struct raft_configuration *members = &sim->checker_raft.members;
	for (uint16_t i = 0; i < members->n; i++) {
		if (members->members[i].node == node)
			return !checker_raft_member(sim, node) && sim_host(sim, node)->n_past > 0;
	}
	return false;
}

/* NULL: as it should be. Machines that are no members have no say and no duties. */
static const char *look_at_nodes(struct sim *sim) {
	const struct state *first = NULL;
	uint32_t leaders = 0;

	if (sim->checker_raft.members.n == 0)
		return "the cluster is not founded";
	if (raft_configuration_is_joint(&sim->checker_raft.members))
		return "a change of members is stuck halfway";
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		const struct raft *raft = node_raft(sim_host(sim, node)->node, SIM_GROUP);
		const struct state *state = node_state(sim_host(sim, node)->node, SIM_GROUP);
		struct raft_status status;
		if (is_missing(sim, node))
			return "a damaged node is not taken back";
		if (!checker_raft_member(sim, node))
			continue;
		if (!raft || !state)
			return "a node is still blank";
		raft_get_status(raft, &status);
		leaders += status.role == RAFT_LEADER;
		if (!first)
			first = state;
		if (state_applied(state) != state_applied(first))
			return "replicas are at different indexes";
		if (state_get_hash(state).low != state_get_hash(first).low)
			return "replicas differ";
	}
	return leaders == 1 ? NULL : leaders ? "more than one leader" : "no leader";
}

static const char *look_at_clients(const struct sim *sim) {
	for (uint32_t client = 0; client < sim->plan.clients; client++) {
		if (!client_is_idle(&sim->clients[client]))
			return "a client waits for an answer";
	}
	for (uint32_t reader = 0; reader < sim->plan.readers; reader++) {
		if (!reader_is_idle(&sim->readers[reader]))
			return "a read waits for an answer";
	}
	if (!archivist_is_idle(&sim->archivist))
		return "a backup has no end";
	if (!admin_is_idle(&sim->admin))
		return "a change of members or leader has no end";
	for (size_t i = 0; i < sim->model.n_sessions; i++) {
		if (sim->model.sessions[i]->live)
			return "a session without client does not expire";
	}
	for (uint32_t lock = 0; lock < SIM_LOCKS_MAX; lock++) {
		if (sim->model.locks[lock].holder || sim->model.locks[lock].n_queue > 0)
			return "a lock stays held";
	}
	return checker_lock_observers_are_complete(sim) ? NULL : "an observer misses a change";
}

static void trace_nodes(struct sim *sim) {
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		const struct raft *raft = node_raft(sim_host(sim, node)->node, SIM_GROUP);
		const struct state *state = node_state(sim_host(sim, node)->node, SIM_GROUP);
		struct raft_status status;
		if (!raft || !state)
			continue;
		raft_get_status(raft, &status);
		TRACE("n%u role=%d term=%" PRIu64 " leader=%u log=%" PRIu64 "..%" PRIu64 " commit=%" PRIu64
		      " applied=%" PRIu64,
		      node, (int)status.role, status.term, status.leader, status.first, status.last, status.commit,
		      state_applied(state));
	}
	for (uint32_t i = 0; i < sim->plan.clients; i++) {
		const struct client *client = &sim->clients[i];
		if (!client_is_idle(client))
			TRACE("c%u session=%" PRIx64 " opening=%d connection=%" PRIu64 " node=%u", client->id,
			      client->session, client->opening, client->connection, client->node);
	}
}

static void look(struct sim *sim, const char **ret_missing) {
	*ret_missing = look_at_nodes(sim);
	if (!*ret_missing)
		*ret_missing = look_at_clients(sim);
}

bool liveness_is_reached(struct sim *sim) {
	struct liveness *liveness = &sim->liveness;
	const char *missing;

	if (!sim->healed) {
		if (sim->now < sim->plan.chaos)
			return false;
		TRACE("healed");
		sim->healed = true;
		liveness->healed_at = sim->now;
		nemesis_heal(sim);
	}
	if (sim->now < liveness->looked_at + LOOK_US)
		return false;
	liveness->looked_at = sim->now;
	look(sim, &missing);
	if (!missing)
		return true;
	if (sim->now > liveness->healed_at + sim->plan.liveness) {
		trace_nodes(sim);
		verdict_fail(VERDICT_LIVENESS, "P12 no-progress", "%.1f s after all faults: %s",
			     (double)(sim->now - liveness->healed_at) / 1e6, missing);
	}
	return false;
}
