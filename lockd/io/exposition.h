/* SPDX-License-Identifier: Apache-2.0 */
/* The text that Prometheus reads, version 0.0.4: families of samples, each begun by its HELP and TYPE lines. Units are
 * those of Prometheus, seconds and bytes, and the units stand in the names. */
#ifndef LOCKD_IO_EXPOSITION_H
#define LOCKD_IO_EXPOSITION_H

#include "lockd/io/metrics.h"
#include "lockd/io/process.h"
#include "lockd/io/store.h"
#include "lockd/io/survey.h"

#include <stdio.h>

struct exposition {
	const char *version; /* as it stands in a label: without quotes and backslashes */
	struct survey survey;
	struct metrics metrics;
	struct process process;
	raft_usec process_started; /* since 1970, UTC */
	struct store_sizes sizes;
	uint64_t disk_free_bytes;
	raft_usec now; /* mono */
};

/* Whether all of it was written, the stream knows. */
void exposition_write(const struct exposition *exposition, FILE *out);

#endif
