/* SPDX-License-Identifier: Apache-2.0 */
/* load-lockd: load for lockd, on the public header only. */
#include "bench/load/lockd_workloads.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"pairs", "handoff", "keepalive", "gap", "hold", "wait", "idle", "flood", NULL};

/* In the order of their names. */
static void (*const workloads[])(const struct options *options) = {
	lockd_pairs, lockd_handoff, lockd_keepalive, lockd_gap, lockd_hold, lockd_wait, lockd_idle, lockd_flood,
};

_Static_assert(sizeof workloads / sizeof *workloads == sizeof names / sizeof *names - 1, "each name has its workload");

static const struct options_program program = {
	.name = "load-lockd",
	.workloads = names,
	.flags = OPTIONS_SERVICE | OPTIONS_API | OPTIONS_METRICS,
};

/* The other workloads wait for many things at once, which is what callbacks are for. */
static void refuse_other_blocking(const struct options *options) {
	if (options->api == OPTIONS_COMPLETION || strcmp(options->workload, "pairs") == 0)
		return;
	fprintf(stderr, "load-lockd: --api: blocking is for pairs only\n");
	exit(OPTIONS_EXIT_USAGE);
}

int main(int argc, char **argv) {
	struct options options;
	size_t i = 0;

	options_take(&program, argc, argv, &options);
	refuse_other_blocking(&options);
	while (strcmp(names[i], options.workload) != 0)
		i++;
	workloads[i](&options);
	return 0;
}
