/* SPDX-License-Identifier: Apache-2.0 */
/* The only source of chance in a simulation. Every part forks a generator of its own from the seed, so that a change in
 * one part does not reshuffle the draws of all others. */
#ifndef TESTS_SIM_PRNG_H
#define TESTS_SIM_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
	uint64_t state;
};

void prng_init(struct prng *prng, uint64_t seed);
struct prng prng_fork(struct prng *prng);
uint64_t prng_next(struct prng *prng);
/* Uniform in [low, high]. */
uint64_t prng_range(struct prng *prng, uint64_t low, uint64_t high);
/* True in `ppm` of a million cases. */
bool prng_chance(struct prng *prng, uint32_t ppm);
/* Exponential around `mean`, cut at ten times the mean. */
uint64_t prng_exponential(struct prng *prng, uint64_t mean);

#endif
