/* SPDX-License-Identifier: Apache-2.0 */
/* What a seed decides: the cluster, the world's manners, and how often which fault strikes. Swarm testing (Groce et al.
 * 2012): a seed leaves many faults out, since all at once hide each other's bugs. */
#ifndef TESTS_SIM_PLAN_H
#define TESTS_SIM_PLAN_H

#include "tests/sim/prng.h"
#include "tests/sim/queue.h"

#include <raft/raft.h>
#include <stdbool.h>

enum {
	SIM_NODES_MAX = 8,
	SIM_CLIENTS_MAX = 12,
	SIM_READERS_MAX = 2,
	SIM_LOCKS_MAX = 6,
	SIM_GROUP = 1, /* the default group: it owns every slot */
};

struct plan {
	uint32_t nodes;    /* machines, spares included: they have the highest ids */
	uint32_t spares;   /* blank ones that do not found the cluster */
	sim_usec chaos;    /* length of the phase with faults */
	sim_usec liveness; /* budget of the phase without */
	struct raft_timing timing;
	uint32_t promise_ms;
	uint32_t drift_ppm;      /* ρ as the cluster knows it */
	uint32_t drift_ppm_real; /* what clocks really do, ≤ drift_ppm */

	/* Network between nodes. */
	sim_usec latency_min, latency_mean;
	uint32_t loss_ppm, duplicate_ppm, reorder_ppm;
	sim_usec reorder_delay;

	/* Disk. */
	sim_usec save_min, save_mean;
	uint32_t stall_ppm; /* saves that take `stall` longer */
	sim_usec stall;
	uint32_t checkpoint_failure_ppm;
	uint32_t lazy_trim_ppm;

	/* Driver. */
	sim_usec batch_delay; /* how long an event may wait for company */
	uint32_t batch_max;

	/* Node. */
	bool leader_lease;
	bool priorities;     /* founders have some */
	bool founding_chaos; /* faults strike while the cluster is founded; some join when its log is trimmed already */
	uint32_t checkpoint_entries, trailing_entries, checkpoint_rows, append_entries, pending_requests;

	/* Faults: mean time between two of them, 0 = never; mean time until it is mended. */
	sim_usec crash_every, crash_for;
	uint32_t crash_on_save_ppm; /* of writes of term and vote: the node dies in the middle */
	sim_usec cut_every, cut_for;
	sim_usec pause_every, pause_for;
	sim_usec suspend_every; /* the machine, for 100 ms to 10 s */
	sim_usec full_every, full_for;
	sim_usec slow_every; /* disks, by 100 ms to 10 s */
	sim_usec fail_every; /* disks, once each */
	sim_usec stop_every;
	sim_usec strand_every;     /* the leader is cut off together with some of the clients */
	sim_usec desert_every;     /* half of the clients die together, sometimes with the leader */
	uint32_t crash_on_ack_ppm; /* of acknowledged keep-alives: leader and client die behind it */
	sim_usec break_every;      /* client connections */
	sim_usec old_copy_every; /* a data folder is copied, and put back later if the rest of the cluster allows it */

	sim_usec damage_every; /* a data folder is found damaged, and another one takes its place */

	/* Upgrades: how many of a founder's starts run a program that knows machine version 1 only. */
	uint32_t old_boots[SIM_NODES_MAX];
	uint32_t state_hash_interval;

	/* Administration. */
	sim_usec change_every;   /* of members */
	sim_usec transfer_every; /* of leadership, on request */
	sim_usec backup_every;

	/* Clients. */
	uint32_t readers;
	uint32_t clients, locks;
	uint32_t ttl_ms, ttl_spread_ms;
	sim_usec client_tick, hold_mean;
	uint32_t client_crash_ppm; /* per tick */
	uint32_t duplicate_request_ppm;
	uint32_t read_ppm; /* of new operations */
};

static inline uint32_t plan_founders(const struct plan *plan) {
	return plan->nodes - plan->spares;
}

void plan_draw(struct plan *plan, struct prng *prng);

#endif
