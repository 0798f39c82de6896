/* SPDX-License-Identifier: Apache-2.0 */
/* SplitMix64 (Steele, Lea, Flood 2014): one word of state, and any seed is a good one. */
#include "tests/sim/prng.h"

#include <assert.h>

void prng_init(struct prng *prng, uint64_t seed) {
	prng->state = seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
}

uint64_t prng_next(struct prng *prng) {
	uint64_t z = prng->state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

struct prng prng_fork(struct prng *prng) {
	return (struct prng){.state = prng_next(prng)};
}

uint64_t prng_range(struct prng *prng, uint64_t low, uint64_t high) {
	assert(low <= high);
	return low + prng_next(prng) % (high - low + 1);
}

bool prng_chance(struct prng *prng, uint32_t ppm) {
	return prng_next(prng) % 1000000 < ppm;
}

/* −ln(u) by halving: the number of leading zeros counts the halvings and the next bits interpolate. Exact enough for
 * fault intervals and free of libm, whose last digit may differ between machines and would break replay. */
uint64_t prng_exponential(struct prng *prng, uint64_t mean) {
	uint64_t z = prng_next(prng) | 1;
	uint64_t zeros = (uint64_t)__builtin_clzll(z);
	uint64_t fraction = 1023 - ((z << zeros) >> 53 & 1023); /* 0 … 1023 of one more halving */
	uint64_t halvings_1024 = zeros * 1024 + fraction;
	uint64_t value = mean * halvings_1024 / 1024 * 693 / 1000;
	return value < 10 * mean ? value : 10 * mean;
}
