/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/checker_lease.h"

#include "tests/sim/sim.h"

#include <inttypes.h>

/* 0: it has no lease, or it has run out; otherwise the term it leads. */
static raft_term held_in(struct sim *sim, uint32_t node) {
	const struct host *host = sim_host(sim, node);
	const struct raft *raft = host->up ? node_raft(host->node, SIM_GROUP) : NULL;
	struct raft_status status;

	if (!raft)
		return 0;
	raft_get_status(raft, &status);
	return status.lease_until > host_clocks(host, sim->now).boot ? status.term : 0;
}

void checker_lease_step(struct sim *sim) {
	struct checker_lease *checker = &sim->checker_lease;
	uint32_t holder = 0;

	for (uint32_t node = 1; node <= sim->plan.nodes; node++) {
		bool held = held_in(sim, node) > 0;
		if (held && holder)
			verdict_fail(VERDICT_SAFETY, "P6 two-leases",
				     "the leases of n%u, term %" PRIu64 ", and n%u, term %" PRIu64 ", are both valid",
				     holder, held_in(sim, holder), node, held_in(sim, node));
		if (held)
			holder = node;
		sim->totals.leases += held && !checker->held[node - 1];
		sim->totals.leases_lost += !held && checker->held[node - 1] && host_leads(sim_host(sim, node));
		if (held != checker->held[node - 1])
			TRACE("n%u %s", node, held ? "has the lease" : "has no lease any more");
		checker->held[node - 1] = held;
	}
}

void checker_lease_committed(struct sim *sim, uint32_t node, raft_index index, raft_term term) {
	for (uint32_t other = 1; other <= sim->plan.nodes; other++) {
		raft_term held = held_in(sim, other);
		if (held && held < term)
			verdict_fail(VERDICT_SAFETY, "P6 lease-outlived",
				     "n%u commits entry %" PRIu64 " in term %" PRIu64
				     ", the lease of n%u, term %" PRIu64 ", is valid",
				     node, index, term, other, held);
	}
}
