/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include "tests/sim/memory.h"

#include <inttypes.h>
#include <stdlib.h>

enum { AT_ONCE_MAX = 100000 };

static void trace_plan(const struct sim *sim) {
	const struct plan *plan = &sim->plan;
	TRACE("seed %" PRIu64 ": %u nodes, %u clients, %u locks, ttl %u ms, drift %u ppm", sim->seed, plan->nodes,
	      plan->clients, plan->locks, plan->ttl_ms, plan->drift_ppm_real);
	TRACE("latency %" PRIu64 " us, loss %u ppm, duplicates %u ppm, reordered %u ppm by %" PRIu64 " us",
	      plan->latency_mean, plan->loss_ppm, plan->duplicate_ppm, plan->reorder_ppm, plan->reorder_delay);
	TRACE("save %" PRIu64 " us, crash every %" PRIu64 ", cut every %" PRIu64 ", pause every %" PRIu64 " us",
	      plan->save_mean, plan->crash_every, plan->cut_every, plan->pause_every);
	TRACE("%u of the nodes are spare, lease %s, members change every %" PRIu64 ", leaders every %" PRIu64 " us",
	      plan->spares, plan->leader_lease ? "on" : "off", plan->change_every, plan->transfer_every);
	TRACE("checkpoint every %u entries, %u trail, batches of %u", plan->checkpoint_entries, plan->trailing_entries,
	      plan->batch_max);
}

struct sim *sim_new(uint64_t seed, const struct plan *plan) {
	struct sim *sim = memory_new(sizeof(*sim));

	sim->seed = seed;
	prng_init(&sim->prng, seed);
	struct prng drawn = prng_fork(&sim->prng);
	if (plan)
		sim->plan = *plan;
	else
		plan_draw(&sim->plan, &drawn);
	queue_init(&sim->queue);
	sim->epoch = (uint32_t)prng_range(&sim->prng, 1, 1000);
	for (size_t i = 0; i < sizeof(sim->incarnation.bytes); i++)
		sim->incarnation.bytes[i] = (uint8_t)prng_next(&sim->prng);
	model_init(&sim->model, sim->epoch);
	arena_init(&sim->model_arena);
	arena_init(&sim->client_arena);
	checker_raft_init(sim);
	return sim;
}

void sim_free(struct sim *sim) {
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		host_deinit(sim_host(sim, node));
		disk_deinit(sim_disk(sim, node));
		backup_files_crash(&sim->backup_files[node - 1]);
	}
	old_copy_deinit(&sim->old_copy);
	archivist_deinit(&sim->archivist);
	queue_deinit(&sim->queue);
	model_deinit(&sim->model);
	arena_deinit(&sim->model_arena);
	arena_deinit(&sim->client_arena);
	checker_raft_deinit(sim);
	free(sim);
}

/* The founder waits for all listed nodes to be there and blank, and tries again when a crash has taken its first save.
 */
static void found(struct sim *sim, void *item) {
	(void)item;
	bool ready = sim->checker_raft.members.n == 0;
	for (uint32_t node = 1; node <= plan_founders(&sim->plan); node++)
		ready = ready && sim_host(sim, node)->up && node_is_blank(sim_host(sim, node)->node);
	if (ready)
		host_found(sim, 1);
	queue_push(&sim->queue, sim->now + 1000000, found, NULL);
}

void sim_populate(struct sim *sim) {
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		disk_init(sim_disk(sim, node), prng_fork(&sim->prng));
		host_init(sim, node, prng_fork(&sim->prng));
	}
	network_start(sim, prng_fork(&sim->prng));
	for (uint32_t node = 1; node <= sim->plan.nodes; node++)
		host_boot(sim, node);
	queue_push(&sim->queue, 300000, found, NULL);
}

void sim_step(struct sim *sim) {
	struct queue_event event = queue_pop(&sim->queue);

	sim->at_once = event.at == sim->now ? sim->at_once + 1 : 0;
	if (sim->at_once > AT_ONCE_MAX)
		verdict_fail(VERDICT_LIVENESS, "L2 busy-loop", "virtual time stands still");
	sim->now = event.at;
	event.run(sim, event.item);
	free(event.item);
}

void sim_run(uint64_t seed, uint32_t seconds, char *const *replay, struct totals *totals) {
	struct sim *sim = sim_new(seed, NULL);

	sim->seconds = seconds;
	if (seconds)
		sim->plan.chaos = (sim_usec)seconds * 1000000;
	verdict_begin(sim, replay);
	trace_plan(sim);
	sim_populate(sim);
	for (uint32_t client = 1; client <= sim->plan.clients; client++)
		client_start(sim, client, prng_fork(&sim->prng));
	for (uint32_t reader = 0; reader < sim->plan.readers; reader++)
		reader_start(sim, reader, prng_fork(&sim->prng));
	admin_start(sim, prng_fork(&sim->prng));
	nemesis_start(sim, prng_fork(&sim->prng));
	checker_session_start(sim);
	old_copy_start(sim, prng_fork(&sim->prng));
	damage_start(sim, prng_fork(&sim->prng));
	archivist_start(sim, prng_fork(&sim->prng));
	while (!liveness_is_reached(sim))
		sim_step(sim);
	sim->totals.seeds = 1;
	sim->totals.virtual_us = sim->now;
	totals_add(totals, &sim->totals);
	verdict_begin(NULL, replay);
	sim_free(sim);
}
