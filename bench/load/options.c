/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct flag {
	const char *name, *argument, *help;
	unsigned bit;
} flags[] = {
	{"--endpoints", "HOST:PORT,...", "where the service listens", OPTIONS_ENDPOINTS},
	{"--sessions", "N", "sessions, each with one outstanding operation (1)", OPTIONS_SESSIONS},
	{"--handles", "M", "connections over which they are spread (the lesser of N and 16)", OPTIONS_HANDLES},
	{"--seconds", "S", "how long to measure (5)", OPTIONS_SECONDS},
	{"--warmup", "S", "how long to run before that (1)", OPTIONS_WARMUP},
	{"--ttl-ms", "T", "of sessions or leases (10000)", OPTIONS_TTL},
	{"--prefix", "P", "of every name (bench)", OPTIONS_PREFIX},
	{"--locks", "K", "how many locks to hold (1000)", OPTIONS_LOCKS},
	{"--api", "completion|blocking", "callbacks, or a thread per session (completion)", OPTIONS_API},
	{"--metrics", "HOST:PORT,...", "where the nodes show their counters", OPTIONS_METRICS},
	{"--data", "DIR", "folder for the files that are written", OPTIONS_DATA},
	{"--processes", "P", "how many processes write (1)", OPTIONS_PROCESSES},
};

static const struct flag *find_flag(const struct options_program *program, const char *name) {
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if ((flags[i].bit & program->flags) && strcmp(flags[i].name, name) == 0)
			return &flags[i];
	return NULL;
}

static int take_count(const char *text, int max, int *ret) {
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 1 || value > max)
		return -1;
	*ret = (int)value;
	return 0;
}

static int take_seconds(const char *text, double min, double *ret) {
	char *end;
	double value;

	value = strtod(text, &end);
	if (end == text || *end || !isfinite(value) || value < min || value > OPTIONS_SECONDS_MAX)
		return -1;
	*ret = value;
	return 0;
}

static int take_ttl(const char *text, uint32_t *ret) {
	int value;

	if (take_count(text, OPTIONS_TTL_MS_MAX, &value) < 0)
		return -1;
	*ret = (uint32_t)value;
	return 0;
}

static int take_text(const char *text, size_t bytes_max, const char **ret) {
	if (!*text || strlen(text) > bytes_max)
		return -1;
	*ret = text;
	return 0;
}

static int take_api(const char *text, enum options_api *ret) {
	if (strcmp(text, "completion") != 0 && strcmp(text, "blocking") != 0)
		return -1;
	*ret = strcmp(text, "blocking") == 0 ? OPTIONS_BLOCKING : OPTIONS_COMPLETION;
	return 0;
}

static int take(unsigned bit, const char *text, struct options *options) {
	switch (bit) {
	case OPTIONS_ENDPOINTS: return take_text(text, SIZE_MAX, &options->endpoints);
	case OPTIONS_SESSIONS: return take_count(text, OPTIONS_SESSIONS_MAX, &options->sessions);
	case OPTIONS_HANDLES: return take_count(text, OPTIONS_HANDLES_MAX, &options->handles);
	case OPTIONS_SECONDS: return take_seconds(text, 0.01, &options->seconds);
	case OPTIONS_WARMUP: return take_seconds(text, 0, &options->warmup);
	case OPTIONS_TTL: return take_ttl(text, &options->ttl_ms);
	case OPTIONS_PREFIX: return take_text(text, OPTIONS_PREFIX_BYTES_MAX, &options->prefix);
	case OPTIONS_LOCKS: return take_count(text, OPTIONS_LOCKS_MAX, &options->locks);
	case OPTIONS_API: return take_api(text, &options->api);
	case OPTIONS_METRICS: return take_text(text, SIZE_MAX, &options->metrics);
	case OPTIONS_DATA: return take_text(text, SIZE_MAX, &options->data);
	default: return take_count(text, OPTIONS_PROCESSES_MAX, &options->processes);
	}
}

static bool is_workload(const struct options_program *program, const char *name) {
	for (const char *const *workload = program->workloads; *workload; workload++)
		if (strcmp(*workload, name) == 0)
			return true;
	return false;
}

static int parse_flags(const struct options_program *program, int argc, char **argv, char *why, size_t why_bytes,
		       struct options *options) {
	for (int i = 2; i < argc; i += 2) {
		const struct flag *flag = find_flag(program, argv[i]);

		if (!flag) {
			(void)snprintf(why, why_bytes, "%s: no such flag", argv[i]);
			return -1;
		}
		if (i + 1 == argc) {
			(void)snprintf(why, why_bytes, "%s: %s is missing", argv[i], flag->argument);
			return -1;
		}
		if (take(flag->bit, argv[i + 1], options) < 0) {
			(void)snprintf(why, why_bytes, "%s: '%s' is not a valid %s", argv[i], argv[i + 1],
				       flag->argument);
			return -1;
		}
	}
	return 0;
}

/* What one flag says about another one, and those that have no default. */
static int settle(const struct options_program *program, char *why, size_t why_bytes, struct options *options) {
	if ((program->flags & OPTIONS_ENDPOINTS) && !options->endpoints) {
		(void)snprintf(why, why_bytes, "--endpoints is missing");
		return -1;
	}
	if (options->handles == 0)
		options->handles = options->sessions < 16 ? options->sessions : 16;
	if (options->handles > options->sessions) {
		(void)snprintf(why, why_bytes, "--handles: %d is more than there are sessions (%d)", options->handles,
			       options->sessions);
		return -1;
	}
	return 0;
}

int options_parse(const struct options_program *program, int argc, char **argv, char *why, size_t why_bytes,
		  struct options *ret) {
	struct options options = {
		.prefix = "bench",
		.sessions = 1,
		.seconds = 5,
		.warmup = 1,
		.ttl_ms = 10000,
		.locks = 1000,
		.processes = 1,
		.api = OPTIONS_COMPLETION,
	};

	if (argc < 2) {
		(void)snprintf(why, why_bytes, "the workload is missing");
		return -1;
	}
	if (!is_workload(program, argv[1])) {
		(void)snprintf(why, why_bytes, "%s: no such workload", argv[1]);
		return -1;
	}
	options.workload = argv[1];
	if (parse_flags(program, argc, argv, why, why_bytes, &options) < 0 ||
	    settle(program, why, why_bytes, &options) < 0)
		return -1;
	*ret = options;
	return 0;
}

void options_print_help(const struct options_program *program, FILE *out) {
	fprintf(out, "usage: %s WORKLOAD [FLAGS]\nworkloads:", program->name);
	for (const char *const *workload = program->workloads; *workload; workload++)
		fprintf(out, " %s", *workload);
	fputc('\n', out);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (flags[i].bit & program->flags)
			fprintf(out, "  %s %s\n        %s\n", flags[i].name, flags[i].argument, flags[i].help);
}

void options_take(const struct options_program *program, int argc, char **argv, struct options *ret) {
	char why[512];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			options_print_help(program, stdout);
			exit(0);
		}
	}
	if (options_parse(program, argc, argv, why, sizeof why, ret) < 0) {
		fprintf(stderr, "%s: %s (see %s --help)\n", program->name, why, program->name);
		exit(OPTIONS_EXIT_USAGE);
	}
}
