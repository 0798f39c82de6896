/* SPDX-License-Identifier: Apache-2.0 */
/* The only source of randomness is the seed given at boot, so that a run can be repeated exactly. */
#ifndef RAFT_RANDOM_H
#define RAFT_RANDOM_H

#include <stdint.h>

struct raft__random {
	uint64_t state;
};

void raft__random_init(struct raft__random *random, uint64_t seed, uint32_t group, uint32_t node);

/* A value in [min, max); min < max. */
uint64_t raft__random_between(struct raft__random *random, uint64_t min, uint64_t max);

#endif
