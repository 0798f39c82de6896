/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, counted in log-linear buckets: each power of two is cut into 128, so that what is read from a bucket is
 * off by at most 1/256 of the value, from a nanosecond to 73 minutes. Memory does not grow with what is counted. */
#ifndef BENCH_LOAD_LATENCY_H
#define BENCH_LOAD_LATENCY_H

#include <stdint.h>
#include <stdio.h>

enum {
	LATENCY_LINEAR_BITS = 7, /* below 2^8 every nanosecond has its own bucket */
	LATENCY_RANGE_BITS = 42, /* longer ones are counted in the last bucket; `max` is exact */
	LATENCY_BUCKETS = (LATENCY_RANGE_BITS - LATENCY_LINEAR_BITS + 1) << LATENCY_LINEAR_BITS,
};

/* {0} is empty. Whoever shares one between threads guards it. */
struct latency {
	uint64_t count, max_ns;
	uint64_t buckets[LATENCY_BUCKETS];
};

/* CLOCK_MONOTONIC. */
int64_t latency_now_ns(void);

void latency_add(struct latency *latency, int64_t ns);
void latency_merge(struct latency *latency, const struct latency *other);

/* The value that the share `quantile` of all is not above, 0 < quantile ≤ 1; 0 of an empty one. */
uint64_t latency_quantile_ns(const struct latency *latency, double quantile);

/* "NAME": {"p50": 1.2, "p90": 3.4, "p99": 5.6, "max": 7.8} in microseconds; of an empty one "NAME": null. */
void latency_print_us(const struct latency *latency, const char *name, FILE *out);

#endif
