/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load/report.h"

#include <inttypes.h>

struct report report_begin(FILE *out, const struct options *options, double seconds) {
	fprintf(out, "{\"workload\": \"%s\", \"sessions\": %d, \"handles\": %d, \"seconds\": %.3f", options->workload,
		options->sessions, options->handles, seconds);
	return (struct report){.out = out};
}

void report_count(struct report *report, const char *name, uint64_t value) {
	fprintf(report->out, ", \"%s\": %" PRIu64, name, value);
}

void report_number(struct report *report, const char *name, double value) {
	fprintf(report->out, ", \"%s\": %.3f", name, value);
}

void report_unknown(struct report *report, const char *name) {
	fprintf(report->out, ", \"%s\": null", name);
}

void report_latency(struct report *report, const char *name, const struct latency *latency) {
	fputs(", ", report->out);
	latency_print_us(latency, name, report->out);
}

void report_rate(struct report *report, uint64_t done, double seconds) {
	report_count(report, "done", done);
	report_number(report, "per_s", seconds > 0 ? (double)done / seconds : 0);
}

void report_end(struct report *report) {
	fputs("}\n", report->out);
	(void)fflush(report->out);
}
