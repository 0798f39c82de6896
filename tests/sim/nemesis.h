/* SPDX-License-Identifier: Apache-2.0 */
/* Who breaks things: crashes, cuts, pauses, suspended machines, slow, full and failing disks, graceful stops, broken
 * connections, each at the pace of the plan. */
#ifndef TESTS_SIM_NEMESIS_H
#define TESTS_SIM_NEMESIS_H

#include "tests/sim/prng.h"
#include "tests/sim/queue.h"

#include <stdbool.h>

struct sim;

struct nemesis {
	struct prng prng;
	sim_usec rests_until; /* nothing breaks before */
	bool begun; /* the cluster is founded, or the plan does not wait for that */
};

void nemesis_start(struct sim *sim, struct prng prng);
/* The node writes its vote and will need `delay` for it: a good moment to die. */
void nemesis_tempt(struct sim *sim, uint32_t node, sim_usec delay);
/* A keep-alive of that client has been acknowledged, which binds every later leader: another one. */
void nemesis_tempt_ack(struct sim *sim, uint32_t node, uint32_t client, bool late);
/* A write has failed: the process stops with a reason, and is started again later. */
void nemesis_disk_failed(struct sim *sim, uint32_t node);
/* The node is down, and starts again later. */
void nemesis_restart(struct sim *sim, uint32_t node);
/* Mends the network, disks and machines, and breaks nothing for a while. */
void nemesis_rest(struct sim *sim, sim_usec until);
bool nemesis_is_resting(const struct sim *sim);
/* Mends everything; nothing breaks from then on. */
void nemesis_heal(struct sim *sim);

#endif
