/* SPDX-License-Identifier: Apache-2.0 */
/* The leader lease, on which reads rest that ask nobody: whoever holds one may take its own state for the newest.
 *
 * At every instant of true time at most one node's lease is valid, by the boot clock of that node's machine, and while
 * it is, no leader of a higher term commits anything. That holds for nodes that are paused or suspended as well: what
 * they do next, they do by the clock that has gone on. */
#ifndef TESTS_SIM_CHECKER_LEASE_H
#define TESTS_SIM_CHECKER_LEASE_H

#include "lockd/node/node.h"
#include "tests/sim/plan.h"

struct sim;

struct checker_lease {
	bool held[SIM_NODES_MAX]; /* after the last step of any node */
};

/* After every step. */
void checker_lease_step(struct sim *sim);
/* That node, leader of `term` or told by it, is the first to know an entry committed. */
void checker_lease_committed(struct sim *sim, uint32_t node, raft_index index, raft_term term);

#endif
