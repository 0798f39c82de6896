/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/plan.h"

#include "api/limits.h"

#include <string.h>

enum { MS = 1000, SECOND = 1000 * MS };

static uint32_t draw_nodes(struct prng *prng) {
	uint64_t die = prng_range(prng, 0, 9);
	return die == 0 ? 1 : die <= 6 ? 3 : 5;
}

static bool coin(struct prng *prng) {
	return prng_chance(prng, 500000);
}

/* H, E and P in the relations that raft.h demands at a drift of 10 %. The check-quorum window is as long as E allows:
 * until it is over an old leader believes in itself, while a quick election needs the promise only. */
static void draw_timing(struct plan *plan, struct prng *prng) {
	raft_usec election = prng_range(prng, 400, 1000) * MS;

	plan->promise_ms = 200;
	plan->drift_ppm = 100000;
	plan->drift_ppm_real = coin(prng) ? 0 : (uint32_t)prng_range(prng, 1000, 100000);
	plan->timing = (struct raft_timing){
		.heartbeat = prng_range(prng, 50, 100) * MS,
		.election_min = election,
		.election_max = 2 * election,
		.check_quorum = election,
		.stagger = prng_range(prng, 2, 30) * MS,
	};
}

static void draw_network(struct plan *plan, struct prng *prng) {
	plan->latency_min = prng_range(prng, 30, 1000);
	plan->latency_mean = coin(prng) ? prng_range(prng, 50, 1000) : prng_range(prng, 1 * MS, 15 * MS);
	plan->loss_ppm = coin(prng) ? (uint32_t)prng_range(prng, 0, 20000) : (uint32_t)prng_range(prng, 0, 300000);
	plan->duplicate_ppm = coin(prng) ? 0 : (uint32_t)prng_range(prng, 0, 300000);
	plan->reorder_ppm = coin(prng) ? 0 : (uint32_t)prng_range(prng, 0, 300000);
	plan->reorder_delay = prng_range(prng, 1 * MS, 300 * MS);
}

static void draw_disk(struct plan *plan, struct prng *prng) {
	plan->save_min = prng_range(prng, 20, 500);
	plan->save_mean = coin(prng) ? prng_range(prng, 50, 2 * MS) : prng_range(prng, 2 * MS, 30 * MS);
	plan->stall_ppm = coin(prng) ? 0 : (uint32_t)prng_range(prng, 0, 20000);
	plan->stall = prng_range(prng, 50 * MS, 900 * MS);
	plan->checkpoint_failure_ppm = coin(prng) ? 0 : 200000;
	plan->lazy_trim_ppm = coin(prng) ? 0 : 500000;
}

static sim_usec draw_interval(struct prng *prng, sim_usec min, sim_usec max) {
	return prng_chance(prng, 400000) ? 0 : prng_range(prng, min, max);
}

static void draw_faults(struct plan *plan, struct prng *prng) {
	plan->crash_every = draw_interval(prng, 700 * MS, 10 * SECOND);
	plan->crash_on_save_ppm = coin(prng) ? 0 : (uint32_t)prng_range(prng, 10000, 150000);
	plan->crash_for = prng_range(prng, 20 * MS, 3 * SECOND);
	plan->cut_every = draw_interval(prng, 700 * MS, 8 * SECOND);
	plan->cut_for = prng_range(prng, 50 * MS, 3 * SECOND);
	plan->pause_every = draw_interval(prng, 1 * SECOND, 10 * SECOND);
	plan->pause_for = prng_range(prng, 20 * MS, 2 * SECOND);
	plan->full_every = draw_interval(prng, 1 * SECOND, 12 * SECOND);
	plan->full_for = prng_range(prng, 20 * MS, 1 * SECOND);
	plan->suspend_every = draw_interval(prng, 2 * SECOND, 15 * SECOND);
	plan->slow_every = draw_interval(prng, 2 * SECOND, 15 * SECOND);
	plan->fail_every = draw_interval(prng, 3 * SECOND, 20 * SECOND);
	plan->stop_every = draw_interval(prng, 3 * SECOND, 15 * SECOND);
	plan->break_every = draw_interval(prng, 200 * MS, 5 * SECOND);
	plan->strand_every = draw_interval(prng, 1500 * MS, 8 * SECOND);
	plan->desert_every = draw_interval(prng, 3 * SECOND, 12 * SECOND);
	plan->crash_on_ack_ppm = coin(prng) ? 0 : (uint32_t)prng_range(prng, 1000, 30000);
}

/* What the nodes ask for at these times. */
static uint32_t ttl_ms_min(const struct raft_timing *timing) {
	uint32_t ttl_ms = (uint32_t)(3 * (timing->election_max + timing->heartbeat) / MS);

	return ttl_ms > LIMIT_TTL_MS_MIN ? ttl_ms : LIMIT_TTL_MS_MIN;
}

/* Members change in half of the runs: hosts that come and go blur what faults do to a cluster that stays. */
static void draw_administration(struct plan *plan, struct prng *prng) {
	plan->priorities = coin(prng);
	plan->transfer_every = draw_interval(prng, 700 * MS, 8 * SECOND);
	if (coin(prng))
		return;
	plan->change_every = prng_range(prng, 500 * MS, 4 * SECOND);
	plan->spares = (uint32_t)prng_range(prng, 0, 3);
	plan->nodes += plan->spares;
}

static void draw_clients(struct plan *plan, struct prng *prng) {
	plan->readers = (uint32_t)prng_range(prng, 0, SIM_READERS_MAX);
	plan->clients = (uint32_t)prng_range(prng, 1, SIM_CLIENTS_MAX);
	plan->locks = (uint32_t)prng_range(prng, 1, SIM_LOCKS_MAX);
	plan->ttl_ms = ttl_ms_min(&plan->timing) + (uint32_t)prng_range(prng, 0, 1500);
	plan->ttl_spread_ms = coin(prng) ? 0 : 500; /* 0: those who fall silent together expire in one command */
	plan->client_tick = prng_range(prng, 30 * MS, 150 * MS);
	plan->hold_mean = coin(prng) ? prng_range(prng, 1 * MS, 100 * MS) : prng_range(prng, 100 * MS, 1 * SECOND);
	plan->client_crash_ppm = coin(prng) ? 0 : (uint32_t)prng_range(prng, 500, 20000);
	plan->duplicate_request_ppm = coin(prng) ? 0 : (uint32_t)prng_range(prng, 0, 200000);
	plan->read_ppm = (uint32_t)prng_range(prng, 0, 500000);
}

/* Spares run the present program: nobody adds a machine that is older than the cluster. */
static void draw_upgrades(struct plan *plan, struct prng *prng) {
	plan->state_hash_interval = (uint32_t)prng_range(prng, 4, 64);
	if (coin(prng))
		return;
	for (uint32_t i = 0; i < plan_founders(plan); i++)
		plan->old_boots[i] = coin(prng) ? 0 : (uint32_t)prng_range(prng, 1, 3);
}

/* A cluster that is not upgraded yet takes nobody back by itself, and under faults it takes a while to be. */
static void draw_damage(struct plan *plan, struct prng *prng) {
	if (!prng_chance(prng, 350000))
		return;
	plan->damage_every = prng_range(prng, 500 * MS, 4 * SECOND);
	plan->founding_chaos = false;
	memset(plan->old_boots, 0, sizeof(plan->old_boots));
}

void plan_draw(struct plan *plan, struct prng *prng) {
	*plan = (struct plan){.nodes = draw_nodes(prng)};
	plan->chaos = prng_range(prng, 15, 25) * SECOND;
	/* An election or two, a TTL by the slowest clock and a quarter, what the queues still hold. */
	plan->liveness = 20 * SECOND;
	draw_timing(plan, prng);
	draw_network(plan, prng);
	draw_disk(plan, prng);
	plan->batch_delay = coin(prng) ? 0 : prng_range(prng, 1, 3 * MS);
	plan->batch_max = coin(prng) ? 64 : (uint32_t)prng_range(prng, 1, 8);
	plan->founding_chaos = prng_chance(prng, 200000);
	plan->checkpoint_entries = (uint32_t)prng_range(prng, 4, 120);
	plan->trailing_entries = coin(prng) ? 1 : (uint32_t)prng_range(prng, 1, 60);
	plan->checkpoint_rows = coin(prng) ? 0 : (uint32_t)prng_range(prng, 1, 10);
	plan->append_entries = coin(prng) ? 0 : (uint32_t)prng_range(prng, 1, 4);
	plan->pending_requests = prng_chance(prng, 200000) ? (uint32_t)prng_range(prng, 2, 8) : 0;
	plan->leader_lease = prng_chance(prng, 750000);
	draw_faults(plan, prng);
	draw_administration(plan, prng);
	draw_clients(plan, prng);
	if (prng_chance(prng, 300000))
		plan->old_copy_every = prng_range(prng, 500 * MS, 3 * SECOND);
	draw_upgrades(plan, prng);
	draw_damage(plan, prng);
	if (prng_chance(prng, 300000))
		plan->backup_every = prng_range(prng, 200 * MS, 2 * SECOND);
}
