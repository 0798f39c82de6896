/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs the cluster: changes its members and hands leadership over, through the same wire as everybody, one wish at
 * a time, repeated until the answer is final; installs anew what has been removed. It picks from what is true, so that
 * its wishes make sense, and knows of the answers only what they say. */
#ifndef TESTS_SIM_ADMIN_H
#define TESTS_SIM_ADMIN_H

#include "tests/sim/caller.h"

enum admin_wish { ADMIN_NOTHING, ADMIN_CHANGE, ADMIN_TRANSFER };

struct admin_change {
	Client__MemberChange__Kind kind;
	uint32_t node;
	bool set_priority;
	uint32_t priority;
};

struct admin {
	struct caller caller;
	enum admin_wish wish;
	struct admin_change changes[SIM_NODES_MAX];
	uint32_t n_changes;
	uint32_t transfer_to;
	uint32_t sends;
	sim_usec patience;               /* with the wish, until it asks somebody else */
	sim_usec again_at;               /* after a refusal that says: not now */
	sim_usec change_at, transfer_at; /* next wishes */
	uint32_t lost;                   /* a node whose store is gone: to be removed and added again; 0: none */
};

void admin_start(struct sim *sim, struct prng prng);
void admin_answered(struct sim *sim, const Client__Reply *reply);
bool admin_is_idle(const struct admin *admin);

#endif
