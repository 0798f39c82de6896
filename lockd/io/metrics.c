/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>

const raft_usec metrics_bounds[METRICS_BOUNDS] = {
	100,   250,    500,    1000,   2500,    5000,    10000,   25000,
	50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

/* A cache line each: what nng's threads add would otherwise take the line away from the loop, with every read and
 * write. */
static struct { alignas(64) _Atomic uint64_t value; } counters[METRICS_COUNTERS];
static struct {
	_Atomic uint64_t buckets[METRICS_BOUNDS + 1];
	_Atomic uint64_t sum;
} timings[METRICS_TIMINGS];

static void add(_Atomic uint64_t *to, uint64_t n) {
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *from) {
	return atomic_load_explicit(from, memory_order_relaxed);
}

void metrics_add(enum metrics_counter counter, uint64_t n) {
	assert(counter < METRICS_COUNTERS);
	add(&counters[counter].value, n);
}

void metrics_time(enum metrics_timing timing, raft_usec duration) {
	int bucket = 0;

	assert(timing < METRICS_TIMINGS);
	while (bucket < METRICS_BOUNDS && duration > metrics_bounds[bucket])
		bucket++;
	add(&timings[timing].buckets[bucket], 1);
	add(&timings[timing].sum, duration);
}

void metrics_read(struct metrics *ret) {
	for (int i = 0; i < METRICS_COUNTERS; i++)
		ret->counters[i] = get(&counters[i].value);
	for (int i = 0; i < METRICS_TIMINGS; i++) {
		for (int j = 0; j <= METRICS_BOUNDS; j++)
			ret->timings[i].buckets[j] = get(&timings[i].buckets[j]);
		ret->timings[i].sum = get(&timings[i].sum);
	}
}
