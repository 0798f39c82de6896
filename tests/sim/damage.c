/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/damage.h"

#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

enum {
	STRIKES_MAX = 8, /* of one node: lockd keeps so many folders, and sets no other aside until they are deleted */
	AGAIN_PPM = 300000, /* of strikes, while a damaged node waits: at that one */
	FALSE_PPM = 400000, /* of strikes, where they can be told from true ones: false calls */
	CALM_US = 1000000,  /* before a false call: who is well is heard by then … */
	QUIET_US = 2500000, /* … and goes on being heard */
};

static struct prng *prng_of(struct sim *sim) {
	return &sim->damage.prng;
}

/* ---- Whom it may strike --------------------------------------------------------------------------------------------
 */

/* A store that was made a voter and has not got the founding entry yet cannot vote, and only who knows that it was made
 * one may give it that entry. */
static bool can_vote(struct sim *sim, const struct raft_member *member, uint8_t role) {
	return checker_raft_speaks(sim, member, role) && sim_disk(sim, member->node)->has_identity;
}

static bool half_stands(struct sim *sim, const struct raft_configuration *members, uint8_t role, uint32_t without) {
	uint32_t voters = 0, n = 0;

	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft_member *member = &members->members[i];
		if (!(member->roles & role))
			continue;
		voters++;
		n += member->node != without && can_vote(sim, member, role);
	}
	return voters == 0 || n > voters / 2;
}

static bool stands(struct sim *sim, const struct raft_configuration *members, uint32_t without) {
	return half_stands(sim, members, RAFT_ROLE_VOTER, without) &&
	       half_stands(sim, members, RAFT_ROLE_VOTER_OUTGOING, without);
}

/* Of what is committed, and of everything later that stands in somebody's log. */
static bool can_be_spared(struct sim *sim, uint32_t node) {
	const struct checker_raft *checker = &sim->checker_raft;

	if (!stands(sim, &checker->members, node))
		return false;
	for (uint32_t other = 1; other <= sim->plan.nodes; other++) {
		const struct checker_node *of = &checker->nodes[other - 1];
		if (of->members_index > checker->members_index && !stands(sim, &of->members, node))
			return false;
	}
	return true;
}

bool damage_is_mended(struct sim *sim) {
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		const struct host *host = sim_host(sim, node);
		if (host->up && checker_raft_member(sim, node) &&
		    state_get_version(node_state(host->node, SIM_GROUP)).current >= STATE_MACHINE_VERSION_REPLACEMENT)
			return true;
	}
	return false;
}

bool damage_is_open(struct sim *sim) {
	const struct raft_configuration *members = &sim->checker_raft.members;

	for (uint16_t i = 0; i < members->n; i++) {
		if (!checker_raft_member(sim, members->members[i].node))
			return true;
	}
	return false;
}

static uint32_t any_node(struct sim *sim) {
	return (uint32_t)prng_range(prng_of(sim), 1, sim->plan.nodes);
}

/* Half of the time a leader. */
static uint32_t pick(struct sim *sim) {
	uint32_t first = any_node(sim);
	bool leader = prng_chance(prng_of(sim), 500000), again = prng_chance(prng_of(sim), AGAIN_PPM);

	for (uint32_t i = 0; i < sim->plan.nodes; i++) {
		uint32_t node = 1 + (first + i) % sim->plan.nodes;
		if (again && sim_host(sim, node)->n_past > 0 && !checker_raft_member(sim, node))
			return node;
	}
	for (uint32_t node = 1; node <= sim->plan.nodes && leader; node++) {
		if (host_leads(sim_host(sim, node)))
			return node;
	}
	return first;
}

/* ---- Striking ------------------------------------------------------------------------------------------------------
 */

static void strike_at(struct sim *sim, uint32_t node) {
	struct host *host = sim_host(sim, node);
	const struct disk *disk = sim_disk(sim, node);
	bool member = checker_raft_member(sim, node) != NULL;

	/* A folder that was not opened since it was set aside holds nothing yet. */
	if ((!disk->has_identity && host->n_past == 0) || disk->boot_count == 0 || host->repairs == STRIKES_MAX ||
	    !can_be_spared(sim, node))
		return;
	sim->totals.damages++;
	sim->totals.damages_leading += host_leads(host);
	sim->totals.damages_again += !member && host->n_past > 0;
	host_damage(sim, node);
	nemesis_restart(sim, node);
}

/* Two disks in doubt are one too many, and a change that counts on a node must not lose it on the way. */
static bool is_good_time(struct sim *sim) {
	return sim->nemesis.begun && !nemesis_is_resting(sim) && sim->checker_raft.members.n > 0 &&
	       sim->old_copy.stage < OLD_COPY_RETURNED && !sim->admin.lost && admin_is_idle(&sim->admin) &&
	       damage_is_mended(sim);
}

/* ---- False calls ---------------------------------------------------------------------------------------------------
 */

static void call(struct sim *sim, void *item) {
	uint32_t node = sim->damage.called;
	struct node_uuid store;
	(void)item;

	sim->damage.called = 0;
	if (sim->healed || !sim_host(sim, node)->up || sim_host(sim, node)->stopping)
		return;
	for (size_t i = 0; i < sizeof(store.bytes); i++)
		store.bytes[i] = (uint8_t)prng_next(prng_of(sim));
	for (uint32_t other = 1; other <= sim->plan.nodes; other++) {
		if (other == node || !host_leads(sim_host(sim, other)))
			continue;
		TRACE("somebody calls n%u: n%u has lost its store", other, node);
		sim->totals.false_calls++;
		host_meet_falsely(sim, other, node, &store);
	}
}

/* Where nothing else makes a node disappear from what is committed, or its store from its disk. */
static bool could_be_called(struct sim *sim, uint32_t node) {
	if (sim->plan.old_copy_every || sim->plan.change_every || damage_is_open(sim) || sim->damage.called)
		return false;
	return sim_host(sim, node)->up && !sim_host(sim, node)->stopping && !host_leads(sim_host(sim, node)) &&
	       checker_raft_member(sim, node);
}

static void call_falsely(struct sim *sim, uint32_t node) {
	sim->damage.called = node;
	nemesis_rest(sim, sim->now + CALM_US + QUIET_US);
	queue_push(&sim->queue, sim->now + CALM_US, call, NULL);
}

/* ---- Pace ----------------------------------------------------------------------------------------------------------
 */

static void strike(struct sim *sim, void *item);

static void again(struct sim *sim) {
	queue_push(&sim->queue, sim->now + prng_exponential(prng_of(sim), sim->plan.damage_every), strike, NULL);
}

static void strike(struct sim *sim, void *item) {
	uint32_t other;
	(void)item;

	if (sim->healed)
		return;
	if (is_good_time(sim)) {
		other = any_node(sim);
		if (could_be_called(sim, other) && prng_chance(prng_of(sim), FALSE_PPM))
			call_falsely(sim, other);
		else
			strike_at(sim, pick(sim));
	}
	again(sim);
}

void damage_start(struct sim *sim, struct prng prng) {
	sim->damage.prng = prng;
	if (sim->plan.damage_every)
		again(sim);
}
