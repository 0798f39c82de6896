/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of a load generator: one workload and the flags of bench/README.md, the same for all generators. */
#ifndef BENCH_LOAD_OPTIONS_H
#define BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { OPTIONS_EXIT_FAILED = 1, OPTIONS_EXIT_USAGE = 64 };

enum {
	OPTIONS_SESSIONS_MAX = 1 << 20,
	OPTIONS_HANDLES_MAX = 8192,
	OPTIONS_LOCKS_MAX = 4 << 20,
	OPTIONS_SECONDS_MAX = 24 * 60 * 60,
	OPTIONS_TTL_MS_MAX = 24 * 60 * 60 * 1000,
	OPTIONS_PROCESSES_MAX = 64,
	OPTIONS_PREFIX_BYTES_MAX = 64,
};

/* Which flags a program takes; any other one is refused. */
enum {
	OPTIONS_ENDPOINTS = 1 << 0, /* must be given */
	OPTIONS_SESSIONS = 1 << 1,
	OPTIONS_HANDLES = 1 << 2,
	OPTIONS_SECONDS = 1 << 3,
	OPTIONS_WARMUP = 1 << 4,
	OPTIONS_TTL = 1 << 5,
	OPTIONS_PREFIX = 1 << 6,
	OPTIONS_LOCKS = 1 << 7,
	OPTIONS_API = 1 << 8,
	OPTIONS_METRICS = 1 << 9,
	OPTIONS_DATA = 1 << 10,
	OPTIONS_PROCESSES = 1 << 11,
	/* What bench/README.md asks of every generator for a service. */
	OPTIONS_SERVICE = OPTIONS_ENDPOINTS | OPTIONS_SESSIONS | OPTIONS_HANDLES | OPTIONS_SECONDS | OPTIONS_WARMUP |
			  OPTIONS_TTL | OPTIONS_PREFIX | OPTIONS_LOCKS,
};

struct options_program {
	const char *name;             /* "load-lockd" */
	const char *const *workloads; /* ends with NULL */
	unsigned flags;
};

enum options_api { OPTIONS_COMPLETION, OPTIONS_BLOCKING };

/* Strings point into argv or are constants. */
struct options {
	const char *workload;
	const char *endpoints; /* "HOST:PORT,…", not looked into */
	const char *metrics;   /* likewise; NULL: not given */
	const char *prefix;
	const char *data; /* a folder; NULL: not given */
	int sessions, handles;
	double seconds, warmup;
	uint32_t ttl_ms;
	int locks;
	int processes;
	enum options_api api;
};

/* 0; or -1, with a sentence that names the argument in `why`. */
int options_parse(const struct options_program *program, int argc, char **argv, char *why, size_t why_bytes,
		  struct options *ret);

/* For main(): prints help and exits 0 where it is asked for, or what is wrong and exits OPTIONS_EXIT_USAGE. */
void options_take(const struct options_program *program, int argc, char **argv, struct options *ret);

void options_print_help(const struct options_program *program, FILE *out);

#endif
