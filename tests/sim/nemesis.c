/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/nemesis.h"

#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

static struct prng *prng_of(struct sim *sim) {
	return &sim->nemesis.prng;
}

/* Mostly members: what happens to the others matters less. */
static uint32_t any_node(struct sim *sim) {
	uint32_t node = (uint32_t)prng_range(prng_of(sim), 1, sim->plan.nodes);
	if (!checker_raft_member(sim, node) && prng_chance(prng_of(sim), 700000))
		node = (uint32_t)prng_range(prng_of(sim), 1, sim->plan.nodes);
	return node;
}

bool nemesis_is_resting(const struct sim *sim) {
	return sim->nemesis.rests_until > sim->now;
}

/* ---- Faults --------------------------------------------------------------------------------------------------------
 */

static void restart(struct sim *sim, void *item) {
	uint32_t node = *(uint32_t *)item;
	if (sim_host(sim, node)->up)
		return;
	sim->totals.restarts++;
	host_boot(sim, node);
}

void nemesis_restart(struct sim *sim, uint32_t node) {
	sim_usec at = sim->now + prng_exponential(prng_of(sim), sim->plan.crash_for);
	queue_push(&sim->queue, at, restart, memory_copy(&node, sizeof(node)));
}

static void crash_one(struct sim *sim, uint32_t node) {
	if (!sim_host(sim, node)->up)
		return;
	sim->totals.crashes++;
	host_crash(sim, node);
	nemesis_restart(sim, node);
}

/* One in eight is a power cut of all. */
static void crash(struct sim *sim) {
	if (!prng_chance(prng_of(sim), 125000)) {
		crash_one(sim, any_node(sim));
		return;
	}
	for (uint32_t node = 1; node <= sim->plan.nodes; node++)
		crash_one(sim, node);
}

struct temptation {
	uint32_t node, client; /* client 0: none */
	uint64_t boot;
};

static void give_in(struct sim *sim, void *item) {
	const struct temptation *temptation = item;
	if (sim->healed || nemesis_is_resting(sim) || sim_host(sim, temptation->node)->boot != temptation->boot)
		return;
	sim->totals.crashes_in_saves += !temptation->client;
	sim->totals.crashes_on_ack += temptation->client > 0;
	crash_one(sim, temptation->node);
	if (temptation->client)
		client_stop(sim, temptation->client, sim->now + 2 * (sim_usec)sim->plan.ttl_ms * 1000);
}

static void tempt(struct sim *sim, uint32_t node, uint32_t client, uint32_t ppm, sim_usec delay) {
	if (sim->healed || !sim->nemesis.begun || !prng_chance(prng_of(sim), ppm))
		return;
	struct temptation *temptation = memory_new(sizeof(*temptation));
	*temptation = (struct temptation){.node = node, .client = client, .boot = sim_host(sim, node)->boot};
	queue_push(&sim->queue, sim->now + delay, give_in, temptation);
}

void nemesis_tempt(struct sim *sim, uint32_t node, sim_usec delay) {
	tempt(sim, node, 0, sim->plan.crash_on_save_ppm, delay / 2);
}

void nemesis_tempt_ack(struct sim *sim, uint32_t node, uint32_t client, bool late) {
	tempt(sim, node, client, late ? 10 * sim->plan.crash_on_ack_ppm : sim->plan.crash_on_ack_ppm, 1);
}

static void stopped_by_force(struct sim *sim, void *item) {
	uint32_t node = *(uint32_t *)item;
	if (sim_host(sim, node)->up && sim_host(sim, node)->stopping)
		host_crash(sim, node);
	nemesis_restart(sim, node);
}

/* The service manager waits a while for the process to end, then kills it. */
static void stop(struct sim *sim) {
	uint32_t node = any_node(sim);
	struct host *host = sim_host(sim, node);
	if (!host->up || host->stopping)
		return;
	TRACE("n%u is told to stop", node);
	sim->totals.stops++;
	host->stopping = true;
	host_post(sim, node, &(struct node_event){.kind = NODE_STOP});
	queue_push(&sim->queue, sim->now + 2000000, stopped_by_force, memory_copy(&node, sizeof(node)));
}

static void cut_pair(struct sim *sim, sim_usec until) {
	uint32_t a = any_node(sim), b = any_node(sim);
	if (a == b)
		return;
	bool both = prng_chance(prng_of(sim), 500000);
	TRACE("cut n%u %s n%u until %.6f", a, both ? "<>" : ">", b, (double)until / 1e6);
	network_cut(sim, a, b, until);
	if (both)
		network_cut(sim, b, a, until);
	sim->totals.cuts_two_way += both;
	sim->totals.cuts_one_way += !both;
}

/* Splits the nodes in two; sometimes only one direction is lost. */
static void cut_apart(struct sim *sim, sim_usec until) {
	uint64_t side = prng_next(prng_of(sim));
	bool one_way = prng_chance(prng_of(sim), 250000);
	TRACE("split by %x%s until %.6f", (unsigned)side & 0x3e, one_way ? " one way" : "", (double)until / 1e6);
	for (uint32_t a = 1; a <= sim->plan.nodes; a++) {
		for (uint32_t b = 1; b <= sim->plan.nodes; b++) {
			bool apart = (side >> a & 1) != (side >> b & 1);
			if (apart && (!one_way || (side >> a & 1)))
				network_cut(sim, a, b, until);
		}
	}
	sim->totals.isolations++;
}

static void cut(struct sim *sim) {
	sim_usec until = sim->now + prng_exponential(prng_of(sim), sim->plan.cut_for);
	if (prng_chance(prng_of(sim), 400000))
		cut_pair(sim, until);
	else
		cut_apart(sim, until);
}

/* One in eight stops all of them, sometimes for longer than a TTL, while clients go on sending. */
static void pause(struct sim *sim) {
	sim_usec until = sim->now + prng_exponential(prng_of(sim), sim->plan.pause_for);
	uint32_t one = prng_chance(prng_of(sim), 125000) ? 0 : any_node(sim);

	sim->totals.pauses++;
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		if (!one || node == one)
			host_pause(sim, node, until);
	}
}

/* ---- Faults that aim -----------------------------------------------------------------------------------------------
 */

/* Of the newest term; 0: nobody leads. */
static uint32_t leader(struct sim *sim) {
	uint32_t found = 0;
	raft_term newest = 0;

	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		const struct host *host = sim_host(sim, node);
		const struct raft *raft = host->up ? node_raft(host->node, SIM_GROUP) : NULL;
		struct raft_status status;
		if (!raft)
			continue;
		raft_get_status(raft, &status);
		if (status.role == RAFT_LEADER && status.term > newest) {
			newest = status.term;
			found = node;
		}
	}
	return found;
}

static uint32_t leader_or_any(struct sim *sim) {
	uint32_t node = prng_chance(prng_of(sim), 500000) ? leader(sim) : 0;
	return node ? node : any_node(sim);
}

/* The leader and half of the clients on one side, all others on the other. There a new leader may be elected as soon as
 * the promises have run out, while the old one believes in itself until the check-quorum window is over. */
static void strand(struct sim *sim) {
	uint32_t lost = leader(sim);
	sim_usec until = sim->now + sim->plan.timing.check_quorum + prng_range(prng_of(sim), 0, 500000);
	if (!lost || sim->plan.nodes == 1)
		return;
	TRACE("n%u stranded until %.6f", lost, (double)until / 1e6);
	sim->totals.strandings++;
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		if (node != lost)
			network_sever(sim, lost, node, until);
	}
	for (uint32_t client = 1; client <= sim->plan.clients; client++) {
		bool inside = sim->clients[client - 1].node == lost && prng_chance(prng_of(sim), 500000);
		client_wall(sim, client, inside ? 1u << lost : ~(1u << lost), inside, until);
	}
}

/* Half of the time the leader's: what it has queued by then must not outlive its term. */
static void fill_disk(struct sim *sim) {
	uint32_t node = leader_or_any(sim);
	sim->totals.disk_full++;
	sim_disk(sim, node)->full_until = sim->now + prng_exponential(prng_of(sim), sim->plan.full_for);
	TRACE("n%u disk full", node);
}

/* 100 ms to 10 s, short ones as common as long ones: some are over before anybody notices, some outlast a TTL. */
static sim_usec draw_spell(struct sim *sim) {
	sim_usec least = (sim_usec)100000 << prng_range(prng_of(sim), 0, 6);
	return prng_range(prng_of(sim), least, least * 3 / 2);
}

/* One write that stalls, or every one for a while. */
static void slow_disk(struct sim *sim) {
	uint32_t node = leader_or_any(sim);
	sim_usec by = draw_spell(sim), until = sim->now + prng_range(prng_of(sim), 1, 3) * by;
	TRACE("n%u disk slow by %.3f until %.6f", node, (double)by / 1e6, (double)until / 1e6);
	disk_slow(sim, node, by, until);
}

static void fail_disk(struct sim *sim) {
	sim_disk(sim, leader_or_any(sim))->failing = true;
}

void nemesis_disk_failed(struct sim *sim, uint32_t node) {
	TRACE("n%u disk fails", node);
	sim->totals.disk_failures++;
	host_crash(sim, node);
	nemesis_restart(sim, node);
}

/* One in eight closes all of them: the machine that runs the virtual ones. */
static void suspend(struct sim *sim) {
	sim_usec until = sim->now + draw_spell(sim);
	uint32_t one = prng_chance(prng_of(sim), 125000) ? 0 : leader_or_any(sim);

	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		if (one && node != one)
			continue;
		sim->totals.suspensions += sim_host(sim, node)->up;
		sim->totals.suspensions_leading += host_leads(sim_host(sim, node));
		host_suspend(sim, node, until);
	}
}

/* Holders and those who wait behind them die in the same moment. */
static void desert(struct sim *sim) {
	uint32_t lost = prng_chance(prng_of(sim), 500000) ? leader(sim) : 0;

	for (uint32_t client = 1; client <= sim->plan.clients; client++) {
		if (prng_chance(prng_of(sim), 500000)) {
			sim->totals.deserters++;
			client_crash(sim, client);
		}
	}
	if (lost)
		crash_one(sim, lost);
}

static void break_connection(struct sim *sim) {
	const struct client *client = &sim->clients[prng_range(prng_of(sim), 0, sim->plan.clients - 1)];
	if (!client->connection)
		return;
	sim->totals.breaks++;
	network_break(sim, client->connection);
}

/* ---- Pace ----------------------------------------------------------------------------------------------------------
 */

struct fault {
	void (*strike)(struct sim *sim);
	sim_usec every;
};

static void again(struct sim *sim, const struct fault *fault);

static void strike(struct sim *sim, void *item) {
	const struct fault *fault = item;
	if (sim->healed)
		return;
	if (!nemesis_is_resting(sim))
		fault->strike(sim);
	again(sim, fault);
}

static void again(struct sim *sim, const struct fault *fault) {
	if (fault->every)
		queue_push(&sim->queue, sim->now + prng_exponential(prng_of(sim), fault->every), strike,
			   memory_copy(fault, sizeof(*fault)));
}

static bool is_founded(struct sim *sim) {
	for (uint32_t node = 1; node <= plan_founders(&sim->plan); node++) {
		if (!sim_host(sim, node)->up || node_is_blank(sim_host(sim, node)->node))
			return false;
	}
	return true;
}

static void begin(struct sim *sim, void *item) {
	const struct plan *plan = &sim->plan;
	(void)item;
	if (!plan->founding_chaos && !(is_founded(sim) && (!plan->damage_every || damage_is_mended(sim)))) {
		queue_push(&sim->queue, sim->now + 100000, begin, NULL);
		return;
	}
	sim->nemesis.begun = true;
	again(sim, &(struct fault){crash, plan->crash_every});
	again(sim, &(struct fault){stop, plan->stop_every});
	again(sim, &(struct fault){cut, plan->cut_every});
	again(sim, &(struct fault){pause, plan->pause_every});
	again(sim, &(struct fault){suspend, plan->suspend_every});
	again(sim, &(struct fault){fill_disk, plan->full_every});
	again(sim, &(struct fault){slow_disk, plan->slow_every});
	again(sim, &(struct fault){fail_disk, plan->fail_every});
	again(sim, &(struct fault){strand, plan->strand_every});
	again(sim, &(struct fault){desert, plan->desert_every});
	again(sim, &(struct fault){break_connection, plan->break_every});
}

void nemesis_start(struct sim *sim, struct prng prng) {
	sim->nemesis.prng = prng;
	begin(sim, NULL);
}

void nemesis_rest(struct sim *sim, sim_usec until) {
	sim->nemesis.rests_until = until;
	network_heal(sim);
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		disk_mend(sim, node);
		host_wake(sim, node);
	}
}

void nemesis_heal(struct sim *sim) {
	network_heal(sim);
	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		struct host *host = sim_host(sim, node);
		if (host->up && host->stopping)
			host_crash(sim, node);
		disk_mend(sim, node);
		if (!host->up)
			host_boot(sim, node);
		host_wake(sim, node);
	}
	for (uint32_t client = 0; client < sim->plan.clients; client++)
		sim->clients[client].wall.until = 0;
}
