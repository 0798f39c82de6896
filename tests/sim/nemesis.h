/* SPDX-License-Identifier: Apache-2.0 */
/* Who breaks things: crashes, cuts, pauses, full disks, graceful stops, broken connections, each at the pace of the
 * plan. */
#ifndef TESTS_SIM_NEMESIS_H
#define TESTS_SIM_NEMESIS_H

#include "tests/sim/prng.h"

struct sim;

struct nemesis {
	struct prng prng;
};

void nemesis_start(struct sim *sim, struct prng prng);
/* Mends everything; nothing breaks from then on. */
void nemesis_heal(struct sim *sim);

#endif
