/* SPDX-License-Identifier: Apache-2.0 */
/* lockd-sim: runs seeds, in several processes if asked to, and adds up what happened. */
#include "tests/scenarios/scenario.h"
#include "tests/sim/backing.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	JOBS_MAX = 64,
	MEMORY_BYTES_MAX = 1 << 30,
	EXTRA_MAX = 8,
	PROGRESS_SECONDS = 5,
	SEEDS_FOR_TOTALS = 200, /* fewer may miss a kind of fault by chance */
};

struct options {
	uint64_t first, last;
	uint32_t jobs, seconds;
	bool single, trace, progress;
	const char *extra[EXTRA_MAX]; /* what backing_parse() took, for the replay */
	size_t n_extra;
};

/* Shared by the processes: one row each, and who failed first. */
struct shared {
	struct totals totals[JOBS_MAX];
	uint64_t seed[JOBS_MAX]; /* being run */
};

static void usage(FILE *out) {
	fprintf(out,
		"usage: %s [--seeds FROM..TO | --seed N] [--jobs N] [--seconds VIRTUAL] [--trace] [--progress]\n"
		"       %s --scenario NAME | all | list\n",
		backing_program, backing_program);
	fputs("Runs clusters of lockd under virtual time, with faults, and checks their promises after every step.\n"
	      "  --seeds FROM..TO  run these seeds (1..100)\n"
	      "  --seed N          run one seed, and print its last trace lines if it fails\n"
	      "  --jobs N          use so many processes (1)\n"
	      "  --seconds N       virtual seconds with faults; otherwise the seed decides\n"
	      "  --trace           with --seed: print every line as it happens\n"
	      "  --progress        every few seconds: seeds done, rate and time left, on standard error\n"
	      "  --scenario NAME   tell the scenarios whose names begin so; list: name them all; all: one line each\n",
	      out);
	backing_usage(out);
	fputs("Exit status: 0 all is well, 1 usage, 2 a safety violation, 3 no progress, 4 a crash, 5 a kind of fault\n"
	      "never struck, 6 a violation could not be replayed.\n",
	      out);
}

static bool parse_number(const char *text, uint64_t max, uint64_t *ret) {
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || end == text || *end || value > max)
		return false;
	*ret = value;
	return true;
}

static bool parse_range(const char *text, struct options *options) {
	char first[32];
	const char *dots = strstr(text, "..");
	if (!dots || (size_t)(dots - text) >= sizeof(first))
		return false;
	memcpy(first, text, (size_t)(dots - text));
	first[dots - text] = '\0';
	return parse_number(first, UINT64_MAX - 1, &options->first) &&
	       parse_number(dots + 2, UINT64_MAX - 1, &options->last) && options->first <= options->last;
}

static bool parse_option(const char *name, const char *value, struct options *options) {
	uint64_t number;
	if (strcmp(name, "--seeds") == 0)
		return parse_range(value, options);
	if (strcmp(name, "--seed") == 0) {
		options->single = parse_number(value, UINT64_MAX - 1, &options->first);
		options->last = options->first;
		return options->single;
	}
	if (strcmp(name, "--jobs") == 0) {
		if (!parse_number(value, JOBS_MAX, &number) || number == 0)
			return false;
		options->jobs = (uint32_t)number;
		return true;
	}
	if (strcmp(name, "--seconds") == 0) {
		if (!parse_number(value, 100000, &number) || number == 0)
			return false;
		options->seconds = (uint32_t)number;
		return true;
	}
	if (options->n_extra + 2 > EXTRA_MAX || !backing_parse(name, value))
		return false;
	options->extra[options->n_extra++] = name;
	options->extra[options->n_extra++] = value;
	return true;
}

static bool parse(int argc, char **argv, struct options *options) {
	*options = (struct options){.first = 1, .last = 100, .jobs = 1};
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0) {
			options->trace = true;
		} else if (strcmp(argv[i], "--progress") == 0) {
			options->progress = true;
		} else if (i + 1 == argc || !parse_option(argv[i], argv[i + 1], options)) {
			fprintf(stderr, "%s: %s: unknown option, or its value is missing or wrong\n", backing_program,
				argv[i]);
			return false;
		} else {
			i++;
		}
	}
	return true;
}

/* The command line that meets the same violation again, with a trace. */
static void run_replayable(uint64_t seed, const struct options *options, struct totals *totals) {
	char seed_text[32], seconds_text[32];
	char name[] = "lockd-sim", seed_option[] = "--seed", seconds_option[] = "--seconds";
	char *argv[3 + EXTRA_MAX + 3] = {name, seed_option, seed_text};
	size_t n = 3;

	snprintf(seed_text, sizeof(seed_text), "%" PRIu64, seed);
	snprintf(seconds_text, sizeof(seconds_text), "%u", options->seconds);
	for (size_t i = 0; i < options->n_extra; i++)
		argv[n++] = (char *)options->extra[i];
	if (options->seconds) {
		argv[n++] = seconds_option;
		argv[n++] = seconds_text;
	}
	setenv("LOCKD_SIM_REPLAY", "1", 1);
	sim_run(seed, options->seconds, argv, totals);
}

static int run_single(const struct options *options) {
	struct totals totals = {0};
	sim_run(options->first, options->seconds, NULL, &totals);
	if (getenv("LOCKD_SIM_REPLAY")) {
		printf("VIOLATION unsteady: seed %" PRIu64 " failed, and passes when it is run again\n",
		       options->first);
		return VERDICT_UNSTEADY;
	}
	totals_print(&totals);
	printf("seed %" PRIu64 " passes, %.1f virtual seconds\n", options->first, (double)totals.virtual_us / 1e6);
	return VERDICT_OK;
}

static void work(struct shared *shared, uint32_t job, const struct options *options) {
	for (uint64_t seed = options->first + job; seed <= options->last; seed += options->jobs) {
		shared->seed[job] = seed;
		run_replayable(seed, options, &shared->totals[job]);
	}
}

static double seconds_of(const struct timespec *begin) {
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (double)(end.tv_sec - begin->tv_sec) + (double)(end.tv_nsec - begin->tv_nsec) / 1e9;
}

static void report_progress(const struct shared *shared, const struct options *options, const struct timespec *begin) {
	uint64_t all = options->last - options->first + 1, done = 0;
	double seconds = seconds_of(begin);
	for (uint32_t job = 0; job < options->jobs; job++)
		done += shared->totals[job].seeds;
	if (done == 0)
		return;
	uint64_t left = (uint64_t)(seconds * (double)(all - done) / (double)done);
	fprintf(stderr,
		"lockd-sim: %" PRIu64 " of %" PRIu64 " seeds, %.1f seeds/s, %" PRIu64 " min %" PRIu64 " s left\n", done,
		all, (double)done / seconds, left / 60, left % 60);
}

static void on_alarm(int number) {
	(void)number;
}

/* The alarm does nothing but interrupt the wait for workers. */
static void start_alarm(void) {
	const struct timeval pace = {.tv_sec = PROGRESS_SECONDS};
	(void)sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
	(void)setitimer(ITIMER_REAL, &(struct itimerval){pace, pace}, NULL);
}

/* Waits for all; the first failure ends the others, so that one violation is reported. */
static int wait_for(const struct shared *shared, pid_t *workers, const struct options *options,
		    const struct timespec *begin) {
	int failure = VERDICT_OK;
	uint32_t jobs = options->jobs;
	for (uint32_t left = jobs; left > 0; left--) {
		int status;
		pid_t pid;
		while ((pid = wait(&status)) < 0 && errno == EINTR)
			report_progress(shared, options, begin);
		if (pid < 0)
			return VERDICT_CRASH;
		for (uint32_t job = 0; job < jobs; job++) {
			if (workers[job] != pid)
				continue;
			workers[job] = 0;
			if (status != 0 && failure == VERDICT_OK) {
				failure = WIFEXITED(status) ? WEXITSTATUS(status) : VERDICT_CRASH;
				printf("lockd-sim: seed %" PRIu64 " failed\n", shared->seed[job]);
				for (uint32_t other = 0; other < jobs; other++) {
					if (workers[other])
						kill(workers[other], SIGKILL);
				}
			}
		}
	}
	return failure;
}

static int report(const struct shared *shared, const struct options *options, double seconds) {
	struct totals totals = {0};
	for (uint32_t job = 0; job < options->jobs; job++)
		totals_add(&totals, &shared->totals[job]);
	totals_print(&totals);
	printf("%" PRIu64 " seeds, %.2f virtual hours, %.1f s, %.1f seeds/s\n", totals.seeds,
	       (double)totals.virtual_us / 3.6e9, seconds, (double)totals.seeds / seconds);
	const char *zero = totals.seeds >= SEEDS_FOR_TOTALS ? totals_find_zero(&totals) : NULL;
	if (!zero)
		zero = backing_find_zero(&totals);
	if (zero) {
		printf("void: no %s in all these seeds\n", zero);
		return VERDICT_VOID;
	}
	return VERDICT_OK;
}

/* A run needs some ten megabytes; one that eats the machine is a bug and shall die like one. */
static void limit_memory(void) {
#ifndef __SANITIZE_ADDRESS__
	(void)setrlimit(RLIMIT_AS, &(struct rlimit){MEMORY_BYTES_MAX, MEMORY_BYTES_MAX});
#endif
}

static int run_many(const struct options *options) {
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t workers[JOBS_MAX];
	struct timespec begin;

	if (shared == MAP_FAILED) {
		perror("lockd-sim: mmap");
		return VERDICT_CRASH;
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (uint32_t job = 0; job < options->jobs; job++) {
		workers[job] = fork();
		if (workers[job] < 0) {
			perror("lockd-sim: fork");
			return VERDICT_CRASH;
		}
		if (workers[job] == 0) {
			limit_memory();
			work(shared, job, options);
			_exit(VERDICT_OK);
		}
	}
	if (options->progress)
		start_alarm();
	int failure = wait_for(shared, workers, options, &begin);
	return failure ? failure : report(shared, options, seconds_of(&begin));
}

int main(int argc, char **argv) {
	struct options options;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		usage(stdout);
		return VERDICT_OK;
	}
	if (argc == 3 && strcmp(argv[1], "--scenario") == 0)
		return scenario_main(argv[2]);
	if (!parse(argc, argv, &options)) {
		usage(stderr);
		return VERDICT_USAGE;
	}
	verdict_init(options.single && options.trace);
	return options.single ? run_single(&options) : run_many(&options);
}
