/* SPDX-License-Identifier: Apache-2.0 */
/* SplitMix64 (Steele, Lea, Flood 2014): one addition and one mix per value; every seed is a good one. */
#include "random.h"

#include "invariant.h"

static uint64_t next(struct raft__random *random) {
	uint64_t z = (random->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Group and node are mixed in, since an embedder may well give all its cores the same seed, and cores that draw the
 * same election time-outs would split every vote. */
void raft__random_init(struct raft__random *random, uint64_t seed, uint32_t group, uint32_t node) {
	random->state = seed;
	random->state = next(random) ^ ((uint64_t)group << 32 | node);
	random->state = next(random);
}

uint64_t raft__random_between(struct raft__random *random, uint64_t min, uint64_t max) {
	RAFT_ASSERT(min < max);
	return min + next(random) % (max - min);
}
