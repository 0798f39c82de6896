/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/checker_session.h"

#include "api/client.pb-c.h"
#include "api/frame.h"
#include "lockd/state/state.h"
#include "tests/sim/sim.h"

#include <inttypes.h>

enum {
	LOOK_US = 50000,
	QUARTERS = 4,
	HEARTBEATS = 4, /* since its last answer: a follower that is silent for longer may not hear us; nor has one what
			 * is sent again after a loss, before so many have passed */
};

/* ---- Who could commit ----------------------------------------------------------------------------------------------
 */

/* Its process and its disk have kept up since the last look. */
static bool is_able(struct sim *sim, uint32_t node) {
	const struct host *host = sim_host(sim, node);
	const struct disk *disk = sim_disk(sim, node);
	sim_usec since = sim->checker_session.looked_at;

	return host->up && !host->stopping && host->paused_until <= since && host->suspended_until <= since &&
	       disk->full_until <= since && disk->slow_until <= since && disk->stalled_until <= since &&
	       disk->late_until <= since && !disk->failing && !disk->blocked;
}

static bool is_following(struct sim *sim, uint32_t leader, raft_index commit, uint32_t node) {
	const struct host *host = sim_host(sim, leader);
	sim_usec patience = HEARTBEATS * sim->plan.timing.heartbeat;
	struct raft_peer peer;

	if (node == leader)
		return true;
	return raft_get_peer(node_raft(host->node, SIM_GROUP), node, &peer) && peer.match >= commit &&
	       peer.contact + patience >= host_clocks(host, sim->now).mono &&
	       sim->network.links[leader - 1][node - 1].append_lost_at + patience <= sim->checker_session.looked_at &&
	       is_able(sim, node);
}

static bool has_majority(struct sim *sim, uint32_t leader, raft_index commit, uint8_t role) {
	const struct raft_configuration *members =
		raft_members(node_raft(sim_host(sim, leader)->node, SIM_GROUP), NULL);
	uint32_t voters = 0, following = 0;

	for (uint16_t i = 0; i < members->n; i++) {
		if (!(members->members[i].roles & role))
			continue;
		voters++;
		following += is_following(sim, leader, commit, members->members[i].node);
	}
	return voters == 0 || following > voters / 2;
}

/* The ready leader of the newest term, 0: none. */
static uint32_t find_leader(struct sim *sim, struct raft_status *ret) {
	uint32_t found = 0;

	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		const struct host *host = sim_host(sim, node);
		struct raft_status status;
		if (!host_leads(host))
			continue;
		raft_get_status(node_raft(host->node, SIM_GROUP), &status);
		if (found && status.term < ret->term)
			continue;
		found = node;
		*ret = status;
	}
	if (found && state_applied(node_state(sim_host(sim, found)->node, SIM_GROUP)) < ret->term_start)
		return 0;
	return found;
}

static bool could_commit(struct sim *sim, uint32_t leader, const struct raft_status *status) {
	return status->transfer_to == 0 && is_able(sim, leader) &&
	       has_majority(sim, leader, status->commit, RAFT_ROLE_VOTER) &&
	       has_majority(sim, leader, status->commit, RAFT_ROLE_VOTER_OUTGOING);
}

/* ---- Measuring -----------------------------------------------------------------------------------------------------
 */

static void begin_reign(struct sim *sim, uint32_t leader, raft_term term) {
	struct checker_session *checker = &sim->checker_session;

	checker->leader = leader;
	checker->boot = leader ? sim_host(sim, leader)->boot : 0;
	checker->term = term;
	checker->counted = 0;
	for (size_t i = 0; i < sim->model.n_sessions; i++) {
		struct model_session *session = sim->model.sessions[i];
		session->silent_since = 0;
		session->silent_marks = session->heard_in == term ? 0 : session->marks;
	}
}

/* What one entry takes: the save that is under way, its own, a follower's, there and back; appends that get lost are
 * sent again after a heartbeat and its answer. */
static sim_usec commit_time(const struct sim *sim) {
	const struct plan *plan = &sim->plan;
	return LOOK_US + 3 * (plan->save_min + 4 * plan->save_mean) + 8 * (plan->latency_min + plan->latency_mean) +
	       8 * plan->timing.heartbeat + (plan->reorder_ppm ? 2 * plan->reorder_delay : 0) + 4 * plan->batch_delay;
}

/* The next mark must be on record before the count reaches this. */
static sim_usec deadline_of(struct sim *sim, const struct model_session *session) {
	uint64_t rate = (uint64_t)(1000000 + sim_host(sim, sim->checker_session.leader)->drift_ppm);
	uint64_t quarter = (uint64_t)session->ttl_ms * 1000 / QUARTERS * 1000000 / rate;
	uint64_t n = session->marks >= session->silent_marks ? session->marks + 1 - session->silent_marks : 1;

	return session->silent_since + n * quarter + commit_time(sim);
}

static void check(struct sim *sim, const struct model_session *session) {
	const struct checker_session *checker = &sim->checker_session;
	sim_usec deadline = deadline_of(sim, session);

	if (checker->counted <= deadline)
		return;
	verdict_fail(VERDICT_SAFETY, "P5 expired-late",
		     "session %" PRIx64 " of %u ms has %u quarters of silence on record; n%u, leader of term %" PRIu64
		     ", could have recorded the next one %.3f s ago",
		     session->id, session->ttl_ms, session->marks, checker->leader, checker->term,
		     (double)(checker->counted - deadline) / 1e6);
}

static void look(struct sim *sim, void *item) {
	struct checker_session *checker = &sim->checker_session;
	struct raft_status status = {0};
	uint32_t leader = find_leader(sim, &status);

	(void)item;
	if (leader != checker->leader ||
	    (leader && (status.term != checker->term || sim_host(sim, leader)->boot != checker->boot)))
		begin_reign(sim, leader, leader ? status.term : 0);
	else if (leader && could_commit(sim, leader, &status))
		checker->counted += sim->now - checker->looked_at;
	checker->looked_at = sim->now;
	for (size_t i = 0; leader && i < sim->model.n_sessions; i++) {
		if (sim->model.sessions[i]->live)
			check(sim, sim->model.sessions[i]);
	}
	queue_push(&sim->queue, sim->now + LOOK_US, look, NULL);
}

void checker_session_start(struct sim *sim) {
	look(sim, NULL);
}

/* ---- Signs of life -------------------------------------------------------------------------------------------------
 */

static void heard(struct sim *sim, raft_term term, uint64_t id) {
	struct model_session *session = model_find(&sim->model, id);
	if (!session)
		return;
	session->silent_since = sim->checker_session.counted;
	session->silent_marks = 0;
	session->heard_in = term;
}

/* Also of a client that is gone by now: what it sent is in the inbox. */
void checker_session_event(struct sim *sim, uint32_t leader, const struct node_event *event) {
	struct arena *arena = &sim->model_arena;

	if (sim->unchecked)
		return;
	if (event->kind != NODE_CLIENT_FRAME || event->type != FRAME_REQUEST ||
	    arena_reset(arena, event->body_bytes) < 0)
		return;
	const Client__Request *request = client__request__unpack(&arena->allocator, event->body_bytes, event->body);
	if (!request || request->body_case != CLIENT__REQUEST__BODY_KEEP_ALIVE)
		return;
	uint64_t session = 0;
	for (size_t i = 0; i < request->keep_alive->n_sessions; i++)
		heard(sim, host_term(sim_host(sim, leader)), session += request->keep_alive->sessions[i]);
}

void checker_session_opened(struct sim *sim, raft_term term, uint64_t id) {
	heard(sim, term, id);
}
