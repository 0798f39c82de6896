/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenarios/scenario.h"

#include "tests/scenarios/story.h"
#include "tests/sim/verdict.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct scenario *const chapters[] = {
	election_scenarios,   replication_scenarios, commit_scenarios,     fuzz_scenarios,
	disruption_scenarios, lease_scenarios, membership_scenarios, corruption_scenarios, restart_scenarios,     compaction_scenarios, crash_scenarios,
	distance_scenarios,   leader_scenarios,      load_scenarios,       read_scenarios,
};

enum { CHAPTERS = sizeof(chapters) / sizeof(chapters[0]) };

static int list(void) {
	for (int i = 0; i < CHAPTERS; i++) {
		for (const struct scenario *scenario = chapters[i]; scenario->name; scenario++)
			printf("%-28s %s\n", scenario->name, scenario->question);
	}
	return VERDICT_OK;
}

static void tell(const struct scenario *scenario) {
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

/* The first failure decides the exit status. */
int scenario_main(const char *what) {
	bool all = strcmp(what, "all") == 0;
	int told = 0, failure = VERDICT_OK;

	if (strcmp(what, "list") == 0)
		return list();
	verdict_init(false);
	for (int i = 0; i < CHAPTERS; i++) {
		for (const struct scenario *scenario = chapters[i]; scenario->name; scenario++) {
			int r = VERDICT_OK;

			if (!all && strncmp(scenario->name, what, strlen(what)) != 0)
				continue;
			if (all)
				r = try(scenario);
			else
				tell(scenario);
			told++;
			if (failure == VERDICT_OK)
				failure = r;
		}
	}
	if (told == 0) {
		fprintf(stderr, "lockd-sim: no scenario begins with %s; --scenario list names them\n", what);
		return VERDICT_USAGE;
	}
	return failure;
}
