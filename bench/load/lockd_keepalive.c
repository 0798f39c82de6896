/* SPDX-License-Identifier: Apache-2.0 */
/* keepalive: sessions that the library keeps alive by itself, every sixth of the TTL. How many leases that prolongs is
 * what the leader counts; without --metrics it is not known. */
#include "bench/load/lockd_fleet.h"
#include "bench/load/lockd_workloads.h"
#include "bench/load/report.h"
#include "bench/load/scrape.h"

static uint64_t count_kept_alive(const struct options *options) {
	uint64_t count = 0;
	char why[256];

	if (options->metrics &&
	    scrape_sum(options->metrics, "lockd_sessions_kept_alive_total", why, sizeof why, &count) < 0)
		fleet_fail_because("--metrics", why);
	return count;
}

void lockd_keepalive(const struct options *options) {
	struct report report;
	struct fleet fleet;
	uint64_t before, after;
	int64_t began, opening_ns;
	double seconds;

	began = latency_now_ns();
	fleet_open(&fleet, options, options->sessions);
	opening_ns = latency_now_ns() - began;
	fleet_sleep(options->warmup);
	before = count_kept_alive(options);
	began = latency_now_ns();
	fleet_sleep(options->seconds);
	after = count_kept_alive(options);
	seconds = (double)(latency_now_ns() - began) / 1e9;
	report = report_begin(stdout, options, seconds);
	if (options->metrics) {
		report_rate(&report, after - before, seconds);
	} else {
		report_unknown(&report, "done");
		report_unknown(&report, "per_s");
	}
	report_count(&report, "expired", (uint64_t)atomic_load(&fleet.expired));
	report_end(&report);
	/* To close them one by one takes about as long as to open them, and meanwhile they may end by themselves. */
	if (opening_ns < (int64_t)options->ttl_ms * 1000000)
		fleet_close(&fleet);
	else
		fleet_abandon(&fleet);
}
