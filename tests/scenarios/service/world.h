/* SPDX-License-Identifier: Apache-2.0 */
/* A world for scenarios of the service: the simulator's hosts, disks, network and checkers (tests/sim), but what
 * happens is what the script says. Nothing is lost, every frame takes as long as any other, and clients are programs
 * (program.h).
 *
 * The simulator's checkers run behind every step, so I1–I9 and the promises hold here without being asked for. */
#ifndef TESTS_SCENARIOS_SERVICE_WORLD_H
#define TESTS_SCENARIOS_SERVICE_WORLD_H

#include "tests/scenarios/service/program.h"
#include "tests/sim/sim.h"

#include <stdbool.h>

enum { MS = 1000, SECOND = 1000 * MS }; /* in microseconds */

enum world_tell {
	WORLD_TELL_NOTHING,
	WORLD_TELL_LEADERS,  /* who leads, who has stopped leading, what the script does */
	WORLD_TELL_REQUESTS, /* what programs ask and hear, too */
};

struct world_setup {
	uint32_t nodes, programs;
	uint64_t seed;
	enum world_tell tell;
	uint32_t ttl_ms;                               /* of sessions; 0: 3000 */
	sim_usec latency, disk;                        /* 0: 1 ms each */
	raft_usec heartbeat, election;                 /* 0: 50 ms; 400 ms, up to twice that */
	uint32_t promise_ms;                           /* 0: 200 */
	bool no_lease;                                 /* every proof of leadership takes a round */
	uint32_t checkpoint_entries, trailing_entries; /* 0: no checkpoint in this story */
};

struct world {
	struct sim *sim;
	enum world_tell tell;
	uint32_t ttl_ms;
	struct program programs[SIM_CLIENTS_MAX];
	struct {
		bool leads;
		raft_term term;
	} seen[SIM_NODES_MAX];
	uint64_t leaders; /* that took office */
	/* Called behind every event, outside of any step of a node. */
	void (*watch)(struct world *world, void *data);
	void *watch_data;
};

/* A founded cluster, led by somebody, with all programs connected to nobody. */
struct world *world_new(const struct world_setup *setup);
void world_free(struct world *world);

/* ---- Time ----------------------------------------------------------------------------------------------------------
 */

/* The next event, whatever it is. */
void world_step(struct world *world);
void world_run(struct world *world, sim_usec duration);
/* Until `done` says so; false if it does not within `limit`. */
bool world_run_until(struct world *world, bool (*done)(struct world *world), sim_usec limit);

/* ---- Verbs ---------------------------------------------------------------------------------------------------------
 */

/* No frame passes between the node and the others, and nobody is told. */
void world_isolate(struct world *world, uint32_t node);
/* Likewise between nodes on different sides; bit i of `side` is node i. */
void world_split(struct world *world, uint32_t side);
void world_heal(struct world *world);

/* What a power cut in the middle of a write leaves of it. */
enum world_tear { WORLD_LOST, WORLD_HARD_STATE_ONLY, WORLD_WRITTEN, WORLD_TEARS };
void world_crash(struct world *world, uint32_t node, enum world_tear tear);
void world_restart(struct world *world, uint32_t node);
/* `lockd recover`, on a node that is down: it becomes the only member of a new incarnation. No checker looks from here
 * on, since they know one incarnation only. */
void world_recover(struct world *world, uint32_t node, const struct node_uuid *incarnation, uint32_t epoch);

/* ---- Questions -----------------------------------------------------------------------------------------------------
 */

/* Leader of the highest term among those up, other than `but`; 0: none. */
uint32_t world_leader_but(struct world *world, uint32_t but);
uint32_t world_leader(struct world *world);
/* Until somebody but that node leads and has applied its own no-op; 0: nobody within `limit`. */
uint32_t world_await_leader_but(struct world *world, uint32_t but, sim_usec limit);
uint32_t world_await_leader(struct world *world, sim_usec limit);
struct raft_status world_status(struct world *world, uint32_t node);
/* All nodes are up and have applied the same log to the same state. */
bool world_converged(struct world *world);

/* ---- Story ---------------------------------------------------------------------------------------------------------
 */

/* Fails the scenario: "VIOLATION expected NAME: …". */
void world_expect(bool holds, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A line of the story at the present time, if the world tells as much as `level`. */
void world_tell(struct world *world, enum world_tell level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
