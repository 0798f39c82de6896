/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenarios/scenario.h"

#include "tests/scenarios/story.h"
#include "tests/sim/verdict.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct scenario *const chapters[] = {
	commit_scenarios,     compaction_scenarios, corruption_scenarios,  crash_scenarios,
	disruption_scenarios, distance_scenarios,   election_scenarios,    fuzz_scenarios,
	leader_scenarios,     lease_scenarios,      load_scenarios,        membership_scenarios,
	read_scenarios,       repair_scenarios,     replication_scenarios, restart_scenarios,
};

enum {
	CHAPTERS = sizeof(chapters) / sizeof(chapters[0]),
	SCENARIOS_MAX = 256,
	SECONDS_MAX = 120, /* of processor time; a scenario needs a few */
};

static int by_name(const void *a, const void *b) {
	return strcmp((*(const struct scenario *const *)a)->name, (*(const struct scenario *const *)b)->name);
}

/* All of them in the order of the book; their number. */
static size_t collect(const struct scenario *ret[SCENARIOS_MAX]) {
	size_t n = 0;

	for (int i = 0; i < CHAPTERS; i++) {
		for (const struct scenario *scenario = chapters[i]; scenario->name; scenario++) {
			assert(n < SCENARIOS_MAX);
			ret[n++] = scenario;
		}
	}
	qsort(ret, n, sizeof(*ret), by_name);
	return n;
}

static int list(const struct scenario *const *scenarios, size_t n) {
	for (size_t i = 0; i < n; i++)
		printf("%-28s %s\n", scenarios[i]->name, scenarios[i]->question);
	return VERDICT_OK;
}

static void tell(const struct scenario *scenario) {
	(void)setitimer(ITIMER_VIRTUAL, &(struct itimerval){.it_value.tv_sec = SECONDS_MAX}, NULL);
	story_title(scenario->name, scenario->question);
	scenario->run();
	fflush(stdout);
}

static void copy(FILE *from) {
	char line[512];
	rewind(from);
	while (fgets(line, sizeof(line), from))
		fputs(line, stdout);
}

/* A scenario that fails ends its process, so each has one of its own; its story is shown only then. */
static int try(const struct scenario *scenario) {
	FILE *told = tmpfile();
	int status;

	if (!told) {
		perror("lockd-sim: tmpfile");
		return VERDICT_CRASH;
	}
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(fileno(told), STDOUT_FILENO);
		tell(scenario);
		_exit(VERDICT_OK);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		perror("lockd-sim: fork");
		return VERDICT_CRASH;
	}
	if (status == 0) {
		printf("ok      %s\n", scenario->name);
	} else {
		copy(told);
		printf("failed  %s\n", scenario->name);
	}
	fclose(told);
	return WIFEXITED(status) ? WEXITSTATUS(status) : VERDICT_CRASH;
}

/* A whole name means that one only, even if others begin so. */
static bool is_meant(const struct scenario *const *scenarios, size_t n, size_t i, const char *what) {
	for (size_t k = 0; k < n; k++) {
		if (strcmp(scenarios[k]->name, what) == 0)
			return k == i;
	}
	return strcmp(what, "all") == 0 || strncmp(scenarios[i]->name, what, strlen(what)) == 0;
}

/* The first failure decides the exit status. */
int scenario_main(const char *what) {
	const struct scenario *scenarios[SCENARIOS_MAX];
	size_t n = collect(scenarios);
	int told = 0, failure = VERDICT_OK;

	if (strcmp(what, "list") == 0)
		return list(scenarios, n);
	verdict_init(false);
	for (size_t i = 0; i < n; i++) {
		int r = VERDICT_OK;

		if (!is_meant(scenarios, n, i, what))
			continue;
		if (strcmp(what, "all") == 0) {
			r = try(scenarios[i]);
		} else {
			printf("%s", told > 0 ? "\n" : "");
			tell(scenarios[i]);
		}
		told++;
		if (failure == VERDICT_OK)
			failure = r;
	}
	if (told == 0) {
		fprintf(stderr, "lockd-sim: no scenario begins with %s; --scenario list names them\n", what);
		return VERDICT_USAGE;
	}
	return failure;
}
