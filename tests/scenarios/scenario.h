/* SPDX-License-Identifier: Apache-2.0 */
/* The question book as runnable stories: each scenario puts one question to the real code, prints what happens, and
 * fails when the answer is another one than the book's.
 *
 * What a scenario prints is a function of the code alone; golden/NAME.txt holds it and ctest compares byte by byte. A
 * file of scenarios exports a table, ended by an empty row, and scenario.c lists the tables. */
#ifndef TESTS_SCENARIOS_SCENARIO_H
#define TESTS_SCENARIOS_SCENARIO_H

struct scenario {
	const char *name;     /* of the question book: "q11_partial_partition" */
	const char *question; /* one sentence */
	/* Prints its story, and ends the process through verdict_fail() when an expectation or an invariant is broken.
	 */
	void (*run)(void);
};

extern const struct scenario election_scenarios[];
extern const struct scenario replication_scenarios[];
extern const struct scenario commit_scenarios[];
extern const struct scenario fuzz_scenarios[];
extern const struct scenario lease_scenarios[];
extern const struct scenario membership_scenarios[];
extern const struct scenario corruption_scenarios[];
extern const struct scenario restart_scenarios[];
extern const struct scenario disruption_scenarios[];
extern const struct scenario compaction_scenarios[];
extern const struct scenario crash_scenarios[];
extern const struct scenario distance_scenarios[];
extern const struct scenario leader_scenarios[];
extern const struct scenario load_scenarios[];
extern const struct scenario read_scenarios[];
extern const struct scenario repair_scenarios[];

/* `lockd-sim --scenario what`: "list", "all" (one line each), or every one whose name begins with `what`. The exit
 * status of the process. */
int scenario_main(const char *what);

#endif
