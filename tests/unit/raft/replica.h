/* SPDX-License-Identifier: Apache-2.0 */
/* One core under a microscope: the test is its disk, its network and its clock. Node 1 of a cluster of voters 1…n. */
#ifndef TESTS_UNIT_RAFT_REPLICA_H
#define TESTS_UNIT_RAFT_REPLICA_H

#include <raft/raft.h>

enum { MS = 1000, PROMISE_MS = 200 };

struct replica {
	struct raft *raft;
	struct raft_clocks clocks;
	struct raft_effects fx; /* of the last step */
};

struct replica_boot {
	uint32_t voters; /* default 3 */
	bool blank;
	raft_term term;
	uint32_t vote;
	const char *log; /* the term of each entry as a digit; the configuration is that of the base, index 0 */
	uint32_t promise_ms;
	bool leader_lease;
	raft_usec now;                                  /* both clocks; default 5 s */
	const struct raft_configuration *configuration; /* default: all of them voters */
	struct raft_limits limits;                      /* 0: comfortable */
};

struct replica replica_new(struct replica_boot boot);
void replica_free(struct replica *replica);

struct raft_configuration replica_configuration(uint32_t voters);

int replica_step(struct replica *replica, struct raft_event event);
/* Fills in group and receiver. */
int replica_recv(struct replica *replica, struct raft_message message);
/* An append of entries with these terms behind (index, index_term). */
int replica_append(struct replica *replica, struct raft_message message, const char *terms);
void replica_pass(struct replica *replica, raft_usec us);
/* Everything asked for so far is durable. */
void replica_saved(struct replica *replica);
struct raft_status replica_status(const struct replica *replica);

/* The only message to that node in the last step; fails if there is none or more than one. */
const struct raft_out *replica_sent(const struct replica *replica, uint32_t to);

/* Lets it win an election with the votes of all others and acknowledge its first save. */
void replica_lead(struct replica *replica);

#endif
