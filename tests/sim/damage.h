/* SPDX-License-Identifier: Apache-2.0 */
/* Data folders that are found damaged when they are opened (docs/adr/0010): the driver sets the folder aside, and an
 * empty store, which says in whose place it stands, begins in its stead. Nobody asks for anything: the cluster has to
 * take the node back as what it was, or let it wait until a member has been removed by the administrator.
 *
 * What is promised holds while of every configuration that is in force anywhere a majority is left whose stores have
 * forgotten nothing; the fault keeps to that. A member may lose its store again before it has been taken back.
 *
 * Now and then somebody calls falsely: a copy of a folder was found damaged on a machine of its own, while the store
 * itself is alive and well. */
#ifndef TESTS_SIM_DAMAGE_H
#define TESTS_SIM_DAMAGE_H

#include "tests/sim/prng.h"
#include "tests/sim/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;

struct damage {
	struct prng prng;
	uint32_t called; /* the node that is spoken of in a false call; 0: nobody */
};

void damage_start(struct sim *sim, struct prng prng);
/* The cluster has a machine version that takes a node back. */
bool damage_is_mended(struct sim *sim);
/* A member of what is committed has lost its store. */
bool damage_is_open(struct sim *sim);

#endif
