/* SPDX-License-Identifier: Apache-2.0 */
/* What a cluster must never do, held against the record of everything that was elected, voted and committed. */
#ifndef TESTS_UNIT_RAFT_WITNESS_H
#define TESTS_UNIT_RAFT_WITNESS_H

#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>

/* A violated invariant ends the process with the numbers that matter; a debugger or a core file has the rest. */
#define REQUIRE(condition, ...)                                                                                        \
	((condition) ? (void)0                                                                                         \
		     : (fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition), fprintf(stderr, __VA_ARGS__),  \
			fputc('\n', stderr), abort()))

/* State machine safety: what anybody applies at an index, everybody does. */
void witness_applied(struct cluster *cluster, uint32_t n);

/* Election safety and leader completeness. Who was asleep may win an election late, when later terms have gone on: it
 * need not know what they have committed, nor wait for the lease of their leaders, for it commits nothing. */
void witness_elected(struct cluster *cluster, uint32_t n, raft_term term);

/* One vote per node and term, over all its lives. */
void witness_vote(struct cluster *cluster, const struct raft_message *message);

/* Under a lease the leader knows of everything that is committed. */
void witness_lease(struct cluster *cluster, uint32_t n, const struct raft_status *status);

/* A read index names whatever was committed when the question was asked. */
void witness_read(struct cluster *cluster, uint32_t n);

/* Every member that is up has the same log as the leader, committed and applied. */
void witness_converged(struct cluster *cluster);

#endif
