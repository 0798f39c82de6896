/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenarios/service/world.h"

#include "lockd/state/state.h"
#include "tests/scenarios/story.h"
#include "tests/sim/memory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const sim_usec FOR_EVER = UINT64_MAX / 2;

/* ---- Story ---------------------------------------------------------------------------------------------------------
 */

void world_tell(struct world *world, enum world_tell level, const char *format, ...) {
	char text[512];
	va_list arguments;

	if (world->tell < level)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	story_event(world->sim->now, "%s", text);
}

void world_expect(bool holds, const char *name, const char *format, ...) {
	char text[512], expected[64];
	va_list arguments;

	if (holds)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(expected, sizeof(expected), "expected %s", name);
	verdict_fail(VERDICT_SAFETY, expected, "%s", text);
}

/* ---- Life ----------------------------------------------------------------------------------------------------------
 */

static raft_usec or (raft_usec given, raft_usec otherwise) {
	return given > 0 ? given : otherwise;
}

static void plan_of(const struct world_setup *setup, struct plan *ret) {
	raft_usec election = or (setup->election, 400 * MS);

	*ret = (struct plan){
		.nodes = setup->nodes,
		.clients = setup->programs,
		.locks = SIM_LOCKS_MAX,
		.ttl_ms = setup->ttl_ms ? setup->ttl_ms : 3000,
		.timing = {.heartbeat = or (setup->heartbeat, 50 * MS),
			   .election_min = election,
			   .election_max = 2 * election,
			   .check_quorum = election,
			   .stagger = 10 * MS},
		.promise_ms = setup->promise_ms ? setup->promise_ms : 200,
		.drift_ppm = 100000,
		.latency_min = or (setup->latency, 1 * MS),
		.save_min = or (setup->disk, 1 * MS),
		.batch_max = 64,
		.leader_lease = !setup->no_lease,
		.checkpoint_entries = setup->checkpoint_entries,
		.trailing_entries = setup->trailing_entries,
	};
}

struct world *world_new(const struct world_setup *setup) {
	struct world *world = memory_new(sizeof(*world));
	struct plan plan;

	plan_of(setup, &plan);
	world->sim = sim_new(setup->seed, &plan);
	world->sim->healed = true; /* nothing happens by chance */
	world->ttl_ms = plan.ttl_ms;
	verdict_begin(world->sim, NULL);
	for (uint32_t i = 1; i <= setup->programs; i++)
		program_init(&world->programs[i - 1], world, i);
	sim_populate(world->sim);
	world_expect(world_await_leader(world, 5 * SECOND) != 0, "leader", "the cluster is founded, and nobody leads");
	world_run(world, 1 * SECOND);
	world->tell = setup->tell;
	return world;
}

void world_free(struct world *world) {
	verdict_begin(NULL, NULL);
	sim_free(world->sim);
	free(world);
}

/* ---- Time ----------------------------------------------------------------------------------------------------------
 */

static void look_at(struct world *world, uint32_t node) {
	struct raft_status status = world_status(world, node);
	bool leads = status.role == RAFT_LEADER, led = world->seen[node - 1].leads;

	if (leads && (!led || world->seen[node - 1].term != status.term)) {
		world->leaders++;
		world_tell(world, WORLD_TELL_LEADERS, "n%u leads term %" PRIu64, node, status.term);
	} else if (led && !leads && sim_host(world->sim, node)->up) {
		world_tell(world, WORLD_TELL_LEADERS, "n%u leads no more", node);
	}
	world->seen[node - 1].leads = leads;
	world->seen[node - 1].term = status.term;
}

void world_step(struct world *world) {
	sim_step(world->sim);
	for (uint32_t node = 1; node <= world->sim->plan.nodes; node++)
		look_at(world, node);
	if (world->watch)
		world->watch(world, world->watch_data);
}

void world_run(struct world *world, sim_usec duration) {
	sim_usec until = world->sim->now + duration;

	while (world->sim->queue.n > 0 && world->sim->queue.heap[0].at <= until)
		world_step(world);
	world->sim->now = until;
}

bool world_run_until(struct world *world, bool (*done)(struct world *world), sim_usec limit) {
	sim_usec until = world->sim->now + limit;

	while (!done(world)) {
		if (world->sim->now >= until)
			return false;
		world_step(world);
	}
	return true;
}

/* ---- Verbs ---------------------------------------------------------------------------------------------------------
 */

void world_split(struct world *world, uint32_t side) {
	uint32_t nodes = world->sim->plan.nodes;

	for (uint32_t a = 1; a <= nodes; a++) {
		for (uint32_t b = 1; b <= nodes; b++) {
			if ((side >> a & 1) != (side >> b & 1))
				world->sim->network.links[a - 1][b - 1].cut_until = FOR_EVER;
		}
	}
}

void world_isolate(struct world *world, uint32_t node) {
	world_tell(world, WORLD_TELL_LEADERS, "n%u is cut off", node);
	world_split(world, 1u << node);
}

void world_heal(struct world *world) {
	world_tell(world, WORLD_TELL_LEADERS, "all can talk to all again");
	network_heal(world->sim);
}

/* The disk draws what becomes of its write; the draw is made until it is the one that the script wants. */
static void choose_tear(struct disk *disk, enum world_tear tear) {
	for (;;) {
		struct prng next = disk->prng;

		if (prng_range(&next, 0, WORLD_TEARS - 1) == (uint64_t)tear)
			return;
		(void)prng_next(&disk->prng);
	}
}

void world_crash(struct world *world, uint32_t node, enum world_tear tear) {
	world_tell(world, WORLD_TELL_LEADERS, "n%u crashes", node);
	choose_tear(sim_disk(world->sim, node), tear);
	host_crash(world->sim, node);
	look_at(world, node);
}

void world_restart(struct world *world, uint32_t node) {
	world_tell(world, WORLD_TELL_LEADERS, "n%u restarts", node);
	host_boot(world->sim, node);
}

void world_recover(struct world *world, uint32_t node, const struct node_uuid *incarnation, uint32_t epoch) {
	struct host *host = sim_host(world->sim, node);
	struct node_config config = {.node = node,
				     .store = host->store,
				     .seed = 1,
				     .timing = world->sim->plan.timing,
				     .version = "recovering"};
	struct node_recovery recovery = {.incarnation = *incarnation,
					 .epoch = epoch,
					 .peer_address = "recovered:7001",
					 .client_address = "recovered:7000"};
	const struct node_save *save;
	struct node *recovering;

	world->sim->unchecked = true;
	world_expect(node_new(&config, &recovering) == 0, "a node", "n%u cannot be made", node);
	disk_restore(sim_disk(world->sim, node), recovering);
	world_expect(node_recover(recovering, &recovery, &save) == 0, "a recovery", "n%u: %s", node,
		     node_error(recovering));
	disk_submit(world->sim, node, save);
	world_run(world, 20 * MS);
	(void)node_free(recovering);
	world_tell(world, WORLD_TELL_LEADERS, "n%u is recovered by force: epoch %u", node, epoch);
}

/* ---- Questions -----------------------------------------------------------------------------------------------------
 */

struct raft_status world_status(struct world *world, uint32_t node) {
	const struct host *host = sim_host(world->sim, node);
	const struct raft *raft = host->up ? node_raft(host->node, SIM_GROUP) : NULL;
	struct raft_status status = {0};

	if (raft)
		raft_get_status(raft, &status);
	return status;
}

uint32_t world_leader_but(struct world *world, uint32_t but) {
	raft_term newest = 0;
	uint32_t leader = 0;

	for (uint32_t node = 1; node <= world->sim->plan.nodes; node++) {
		struct raft_status status = world_status(world, node);

		if (node != but && status.role == RAFT_LEADER && status.term > newest) {
			newest = status.term;
			leader = node;
		}
	}
	return leader;
}

uint32_t world_leader(struct world *world) {
	return world_leader_but(world, 0);
}

static bool is_ready(struct world *world, uint32_t node) {
	struct raft_status status = world_status(world, node);

	return state_applied(node_state(sim_host(world->sim, node)->node, SIM_GROUP)) >= status.term_start;
}

uint32_t world_await_leader_but(struct world *world, uint32_t but, sim_usec limit) {
	sim_usec until = world->sim->now + limit;

	while (world->sim->now < until) {
		uint32_t leader = world_leader_but(world, but);

		if (leader && is_ready(world, leader))
			return leader;
		world_step(world);
	}
	return 0;
}

uint32_t world_await_leader(struct world *world, sim_usec limit) {
	return world_await_leader_but(world, 0, limit);
}

bool world_converged(struct world *world) {
	const struct state *first = NULL;
	uint32_t leaders = 0;

	for (uint32_t node = 1; node <= world->sim->plan.nodes; node++) {
		const struct host *host = sim_host(world->sim, node);
		const struct state *state = host->up ? node_state(host->node, SIM_GROUP) : NULL;
		struct raft_status status = world_status(world, node);

		if (!state)
			return false;
		if (!first)
			first = state;
		leaders += status.role == RAFT_LEADER;
		if (state_applied(state) != state_applied(first) || state_applied(state) != status.last ||
		    state_get_hash(state).low != state_get_hash(first).low ||
		    state_get_hash(state).high != state_get_hash(first).high)
			return false;
	}
	return leaders == 1;
}
