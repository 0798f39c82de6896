/* SPDX-License-Identifier: Apache-2.0 */
/* One simulation: a cluster, its world and its clients in one block of memory, run by one thread from one seed. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "api/arena.h"
#include "tests/sim/admin.h"
#include "tests/sim/archivist.h"
#include "tests/sim/backup_files.h"
#include "tests/sim/checker_lease.h"
#include "tests/sim/checker_lock.h"
#include "tests/sim/checker_raft.h"
#include "tests/sim/checker_session.h"
#include "tests/sim/client.h"
#include "tests/sim/damage.h"
#include "tests/sim/disk.h"
#include "tests/sim/host.h"
#include "tests/sim/liveness.h"
#include "tests/sim/model.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/network.h"
#include "tests/sim/old_copy.h"
#include "tests/sim/plan.h"
#include "tests/sim/queue.h"
#include "tests/sim/reader.h"
#include "tests/sim/totals.h"
#include "tests/sim/verdict.h"

struct sim {
	uint64_t seed;
	uint32_t seconds; /* of chaos, 0: as the seed says */
	struct plan plan;
	struct prng prng;
	struct queue queue;
	sim_usec now;
	bool unchecked; /* the cluster was recovered by force: the checkers know one incarnation only */
	bool healed;    /* the faults are over, clients finish what they have begun */
	struct node_uuid incarnation;
	uint32_t epoch;
	struct network network;
	struct nemesis nemesis;
	struct old_copy old_copy;
	struct damage damage;
	struct liveness liveness;
	struct host hosts[SIM_NODES_MAX];
	struct disk disks[SIM_NODES_MAX];
	struct client clients[SIM_CLIENTS_MAX];
	struct reader readers[SIM_READERS_MAX];
	struct admin admin;
	struct archivist archivist;
	struct backup_files backup_files[SIM_NODES_MAX];
	struct model model;
	struct arena model_arena, client_arena;
	uint64_t compared[SIM_NODES_MAX]; /* applied index of the last comparison */
	uint32_t at_once;                 /* events since virtual time moved last */
	uint64_t acknowledged;            /* highest log index that any client has been told of */
	struct checker_lease checker_lease;
	struct checker_raft checker_raft;
	struct checker_session checker_session;
	struct totals totals;
};

/* A world in which nothing has happened yet. `plan` NULL: the seed draws one. */
struct sim *sim_new(uint64_t seed, const struct plan *plan);
void sim_free(struct sim *sim);
/* Boots all nodes; the first one founds the cluster when the others are there. */
void sim_populate(struct sim *sim);
/* Runs the next event. */
void sim_step(struct sim *sim);

/* Runs the seed to its end and adds up what happened. Violations do not return (verdict.h). */
void sim_run(uint64_t seed, uint32_t seconds, char *const *replay, struct totals *totals);

static inline struct host *sim_host(struct sim *sim, uint32_t node) {
	return &sim->hosts[node - 1];
}

static inline struct disk *sim_disk(struct sim *sim, uint32_t node) {
	return &sim->disks[node - 1];
}

#endif
