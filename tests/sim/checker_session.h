/* SPDX-License-Identifier: Apache-2.0 */
/* P5: a session whose client is silent ends in time.
 *
 * Time enters the log as marks: a leader records every quarter of the TTL that a session has been silent, and ends it
 * at the fourth. A leader that takes over knows the marks and nothing else, so what the one before had measured since
 * its last mark, less than a quarter, is lost with it. That makes the promise a local one, checked mark by mark and in
 * each reign for itself:
 *
 *   A leader that came to a session with m marks on record, or has heard from it since (m = 0), has n marks on record
 *   once n − m quarters of the TTL have passed on its own clock, plus the time that one entry takes to be committed.
 *
 * Added up over k leader changes a silent session lives TTL/(1−ρ), k quarters, k + 1 commits and the time without
 * leader. Only time counts in which the leader could commit: it was ready and not handing over, its process and machine
 * ran, its disk kept up, and so did a majority's, who had answered it lately and held what is committed. All of that is
 * known here exactly; the check-quorum window ends reigns for which it does not hold. */
#ifndef TESTS_SIM_CHECKER_SESSION_H
#define TESTS_SIM_CHECKER_SESSION_H

#include "lockd/node/node.h"
#include "tests/sim/plan.h"

struct sim;

struct checker_session {
	/* The reign that is measured; leader 0: none. */
	uint32_t leader;
	uint64_t boot;
	raft_term term;
	sim_usec looked_at;
	sim_usec counted; /* of this reign, in true time */
};

/* Begins to watch. */
void checker_session_start(struct sim *sim);
/* A leader takes this event: a keep-alive restarts the measurement of its session. */
void checker_session_event(struct sim *sim, uint32_t leader, const struct node_event *event);
/* An OPEN, a first one or another with the same nonce, has been applied. */
void checker_session_opened(struct sim *sim, raft_term term, uint64_t session);

#endif
