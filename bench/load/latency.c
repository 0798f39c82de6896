/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load/latency.h"

#include <assert.h>
#include <math.h>
#include <time.h>

enum { LINEAR = 1 << LATENCY_LINEAR_BITS };

int64_t latency_now_ns(void) {
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The shift that brings a value into [LINEAR, 2·LINEAR) counts its octave; smaller values need none. */
static unsigned bucket_of(uint64_t ns) {
	unsigned shift;

	if (ns >= UINT64_C(1) << LATENCY_RANGE_BITS)
		return LATENCY_BUCKETS - 1;
	if (ns < LINEAR)
		return (unsigned)ns;
	shift = 63 - LATENCY_LINEAR_BITS - (unsigned)__builtin_clzll(ns);
	return (shift << LATENCY_LINEAR_BITS) + (unsigned)(ns >> shift);
}

/* The middle of a bucket. */
static uint64_t value_of(unsigned bucket) {
	unsigned shift;
	uint64_t first;

	if (bucket < 2 * LINEAR)
		return bucket;
	shift = (bucket >> LATENCY_LINEAR_BITS) - 1;
	first = (uint64_t)(bucket - (shift << LATENCY_LINEAR_BITS)) << shift;
	return first + (UINT64_C(1) << shift) / 2;
}

void latency_add(struct latency *latency, int64_t ns) {
	uint64_t value = ns > 0 ? (uint64_t)ns : 0;

	latency->buckets[bucket_of(value)]++;
	latency->count++;
	if (value > latency->max_ns)
		latency->max_ns = value;
}

void latency_merge(struct latency *latency, const struct latency *other) {
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		latency->buckets[i] += other->buckets[i];
	latency->count += other->count;
	if (other->max_ns > latency->max_ns)
		latency->max_ns = other->max_ns;
}

uint64_t latency_quantile_ns(const struct latency *latency, double quantile) {
	uint64_t wanted, seen = 0;
	unsigned bucket = 0;

	assert(quantile > 0 && quantile <= 1);
	if (latency->count == 0)
		return 0;
	wanted = (uint64_t)ceil(quantile * (double)latency->count);
	while ((seen += latency->buckets[bucket]) < wanted)
		bucket++;
	if (bucket == LATENCY_BUCKETS - 1 || value_of(bucket) > latency->max_ns)
		return latency->max_ns;
	return value_of(bucket);
}

void latency_print_us(const struct latency *latency, const char *name, FILE *out) {
	if (latency->count == 0) {
		fprintf(out, "\"%s\": null", name);
		return;
	}
	fprintf(out, "\"%s\": {\"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"max\": %.2f}", name,
		(double)latency_quantile_ns(latency, 0.5) / 1e3, (double)latency_quantile_ns(latency, 0.9) / 1e3,
		(double)latency_quantile_ns(latency, 0.99) / 1e3, (double)latency->max_ns / 1e3);
}
