/* SPDX-License-Identifier: Apache-2.0 */
/* The line of JSON that a generator prints when it is done: begin, fields, end. */
#ifndef BENCH_LOAD_REPORT_H
#define BENCH_LOAD_REPORT_H

#include "bench/load/latency.h"
#include "bench/load/options.h"

struct report {
	FILE *out;
};

/* Puts the fields that every workload has; `seconds` were measured. */
struct report report_begin(FILE *out, const struct options *options, double seconds);
void report_count(struct report *report, const char *name, uint64_t value);
void report_number(struct report *report, const char *name, double value);
/* null: it was not measured. */
void report_unknown(struct report *report, const char *name);
void report_latency(struct report *report, const char *name, const struct latency *latency);
/* `done` and, divided by `seconds`, `per_s`. */
void report_rate(struct report *report, uint64_t done, double seconds);
/* Ends the line and flushes it. */
void report_end(struct report *report);

#endif
