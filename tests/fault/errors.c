/* SPDX-License-Identifier: Apache-2.0 */
#include "errors.h"

#include "judge.h"

#include <stdint.h>
#include <string.h>

enum {
	CHANGES = MEDIUM_WRITE | MEDIUM_SYNC | MEDIUM_TRUNCATE | MEDIUM_CREATE | MEDIUM_REMOVE | MEDIUM_RENAME,
	GROWTH = MEDIUM_WRITE | MEDIUM_SYNC | MEDIUM_TRUNCATE | MEDIUM_CREATE,
};

/* The seed says what a failed sync has written all the same: 0 nothing, 1 everything. */
static const struct {
	const char *name;
	struct medium_fault fault;
} variants[ERRORS_ROWS] = {
	{"eio-once", {.harm = MEDIUM_EIO, .kinds = CHANGES | MEDIUM_READ, .times = 1}},
	{"eio-once-kept", {.harm = MEDIUM_EIO, .kinds = CHANGES, .times = 1, .seed = 1}},
	{"eio-ever", {.harm = MEDIUM_EIO, .kinds = CHANGES | MEDIUM_READ, .times = UINT64_MAX}},
	{"enospc-once", {.harm = MEDIUM_ENOSPC, .kinds = GROWTH, .times = 1}},
	{"enospc-ever", {.harm = MEDIUM_ENOSPC, .kinds = GROWTH, .times = UINT64_MAX}},
	{"short", {.harm = MEDIUM_SHORT, .kinds = MEDIUM_WRITE, .times = 1}},
};

struct errors {
	struct report_row *row;
	struct judge judge;
	struct medium_fault fault;
	uint64_t bit;  /* of it before the call */
	bool has_room; /* again */
};

static void errors_judge(struct run *run, enum medium_policy policy, const struct expectation *expected, size_t n,
			 const char *when) {
	struct errors *errors = run->context;
	struct medium *image = medium_cut(run->medium, policy, errors->fault.first);
	int matched;

	errors->row->images++;
	matched = judge_image(&errors->judge, image, expected, n, run->reserve, 0);
	if (matched < 0)
		run_violation(run, "%s %s: %s", run->call, when, errors->judge.why);
	else if (n > 1)
		errors->row->outcomes[matched == 0              ? OUTCOME_BEFORE
				      : (size_t)matched + 1 < n ? OUTCOME_PARTLY
								: OUTCOME_AFTER]++;
}

static void errors_judge_all(struct run *run, const struct expectation *expected, size_t n, const char *when) {
	static const enum medium_policy policies[] = {MEDIUM_LOSE_ALL, MEDIUM_KEEP_ALL, MEDIUM_TEAR};

	for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
		errors_judge(run, policies[i], expected, n, when);
}

static void errors_called(struct run *run, int r) {
	struct errors *errors = run->context;
	bool bitten = errors->fault.bit > errors->bit;

	errors->bit = errors->fault.bit;
	if (r == 0) {
		if (bitten)
			errors_judge_all(run, &run->now, 1, "has succeeded all the same, but after a power cut");
		return;
	}
	errors->row->failed++;
	if (r > 0)
		run_violation(run, "%s finds the disk full although there is room: %s", run->call, run->error.text);
	else if (!bitten)
		run_violation(run, "%s returns %d without a fault: %s", run->call, r, run->error.text);
	else
		errors_judge_all(run, run->expected, run->n_expected, "has failed, and after a restart");
}

static bool errors_finds_full(struct run *run) {
	struct errors *errors = run->context;
	size_t n = run->n_expected - (run->n_expected > 1 && !run->may_begin);

	if (errors->fault.harm == MEDIUM_EIO) {
		run_violation(run, "%s takes a failing disk for a full one: %s", run->call, run->error.text);
		return false;
	}
	errors->row->full++;
	if (errors->has_room)
		return false;
	errors_judge_all(run, run->expected, n, "has found the disk full, and after a restart");
	errors->has_room = true;
	medium_disarm(run->medium, &errors->fault);
	return true;
}

static bool errors_loads_other(struct run *run, const struct ledger *loaded) {
	(void)run;
	(void)loaded;
	return false;
}

static const struct check errors_check = {
	.name = "errors",
	.called = errors_called,
	.finds_full = errors_finds_full,
	.loads_other = errors_loads_other,
};

/* Returns how many operations the fault fitted. */
static uint64_t errors_tell(const struct run *prepared, struct errors *errors, uint64_t point) {
	struct run run;
	uint64_t met;

	run_init(&run, prepared, &errors_check, errors);
	medium_arm(run.medium, &errors->fault);
	run.story->tell(&run);
	met = errors->fault.met;
	medium_disarm(run.medium, &errors->fault);
	if (!run.over && errors->fault.bit)
		errors_judge(&run, MEDIUM_LOSE_ALL, &run.now, 1, "was the last call, and after a power cut");
	if (run.violations)
		report_violation(errors->row, point, 0, run.why);
	run_deinit(&run);
	return met;
}

static void errors_try_at(const struct run *prepared, size_t variant, struct report_row *row, uint64_t point) {
	struct errors errors = {.row = row, .fault = variants[variant].fault};

	errors.fault.first = point - 1;
	row->points++;
	(void)errors_tell(prepared, &errors, point);
	if (errors.fault.bit)
		row->bit++;
	else
		row->void_runs++;
}

static uint64_t errors_count(const struct run *prepared, size_t variant, struct report_row *row) {
	struct errors errors = {.row = row, .fault = variants[variant].fault};

	errors.fault.first = UINT64_MAX;
	return errors_tell(prepared, &errors, 0);
}

void errors_try(const struct run *prepared, const struct selection *selection, struct report_row rows[ERRORS_ROWS]) {
	for (size_t i = 0; i < ERRORS_ROWS; i++) {
		uint64_t n;

		rows[i] = (struct report_row){.story = prepared->story->name, .policy = variants[i].name};
		if (!selection_has_policy(selection, variants[i].name))
			continue;
		n = errors_count(prepared, i, &rows[i]);
		for (uint64_t point = 1; point <= n; point++)
			if (selection_has_point(selection, prepared->story, point))
				errors_try_at(prepared, i, &rows[i], point);
	}
}
