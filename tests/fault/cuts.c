/* SPDX-License-Identifier: Apache-2.0 */
#include "cuts.h"

#include "judge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[MEDIUM_POLICIES] = {"lose", "keep", "prefix", "subset", "tear"};

struct cuts {
	const struct selection *selection;
	struct report_row *rows;
	struct judge judge;
	/* Taken during the call under way: the medium before each of its points. */
	struct moment {
		uint64_t point;
		struct medium *medium;
	} * moments;
	size_t n;
	/* Images that were judged by the present expectations already, by their hash. */
	uint64_t *seen;
	size_t n_seen;
};

static void cuts_take(struct cuts *cuts, uint64_t point, const struct medium *medium) {
	cuts->moments = realloc(cuts->moments, (cuts->n + 1) * sizeof *cuts->moments);
	assert(cuts->moments);
	cuts->moments[cuts->n++] = (struct moment){.point = point, .medium = medium_copy(medium)};
}

static void cuts_watch(void *context, struct medium *medium, const struct medium_operation *operation) {
	struct run *run = context;
	struct cuts *cuts = run->context;

	if (operation->point && selection_has_point(cuts->selection, run->story, operation->point))
		cuts_take(cuts, operation->point, medium);
}

static bool cuts_knows(struct cuts *cuts, uint64_t hash) {
	for (size_t i = 0; i < cuts->n_seen; i++)
		if (cuts->seen[i] == hash)
			return true;
	cuts->seen = realloc(cuts->seen, (cuts->n_seen + 1) * sizeof *cuts->seen);
	assert(cuts->seen);
	cuts->seen[cuts->n_seen++] = hash;
	return false;
}

static enum outcome cuts_outcome(const struct run *run, size_t matched) {
	if (matched + 1 == run->n_expected)
		return run->n_expected == 1 ? OUTCOME_BEFORE : OUTCOME_AFTER;
	return matched == 0 ? OUTCOME_BEFORE : OUTCOME_PARTLY;
}

static void cuts_judge(struct run *run, const struct moment *moment, enum medium_policy policy, uint64_t seed) {
	struct cuts *cuts = run->context;
	struct report_row *row = &cuts->rows[policy];
	struct medium *image = medium_cut(moment->medium, policy, moment->point * 1000 + seed);
	char why[sizeof run->why];
	int matched;

	if (cuts_knows(cuts, medium_hash(image))) {
		medium_free(image);
		return;
	}
	row->images++;
	matched = judge_image(&cuts->judge, image, run->expected, run->n_expected, run->reserve,
			      moment->point * 1000 + seed + 1);
	if (matched >= 0) {
		row->outcomes[cuts_outcome(run, (size_t)matched)]++;
		return;
	}
	(void)snprintf(why, sizeof why, "power cut during %s: %s", run->call, cuts->judge.why);
	report_violation(row, moment->point, seed, why);
}

static void cuts_judge_moment(struct run *run, const struct moment *moment) {
	struct cuts *cuts = run->context;
	const struct selection *selection = cuts->selection;

	for (enum medium_policy policy = 0; policy < MEDIUM_POLICIES; policy++) {
		struct report_row *row = &cuts->rows[policy];
		uint64_t seeds = policy <= MEDIUM_KEEP_ALL ? 1 : selection->seeds, again = cuts->judge.recoveries;

		if (!selection_has_policy(selection, names[policy]))
			continue;
		row->points++;
		for (uint64_t seed = 0; seed < seeds; seed++)
			if (!selection->seed_given || seed == selection->seed)
				cuts_judge(run, moment, policy, seed);
		row->recoveries += cuts->judge.recoveries - again;
	}
}

/* First what the call may have left while it was under way, then, with the result given, only what it says. */
static void cuts_called(struct run *run, int r) {
	struct cuts *cuts = run->context;
	struct moment end = {.point = medium_get_points(run->medium) + 1, .medium = run->medium};

	if (r != 0) {
		run_violation(run, "%s returns %d without a fault: %s", run->call, r, run->error.text);
		return;
	}
	cuts->n_seen = 0;
	for (size_t i = 0; i < cuts->n; i++) {
		cuts_judge_moment(run, &cuts->moments[i]);
		medium_free(cuts->moments[i].medium);
	}
	cuts->n = 0;
	cuts->n_seen = 0;
	run->expected[0] = run->now;
	run->n_expected = 1;
	if (selection_has_point(cuts->selection, run->story, end.point))
		cuts_judge_moment(run, &end);
}

static bool cuts_never(struct run *run) {
	(void)run;
	return false;
}

static bool cuts_loads_other(struct run *run, const struct ledger *loaded) {
	(void)run;
	(void)loaded;
	return false;
}

static const struct check cuts_check = {
	.name = "cuts",
	.called = cuts_called,
	.finds_full = cuts_never,
	.loads_other = cuts_loads_other,
};

void cuts_try(const struct run *prepared, const struct selection *selection, struct report_row rows[CUTS_ROWS]) {
	struct cuts cuts = {.selection = selection, .rows = rows};
	struct run run;

	for (size_t i = 0; i < CUTS_ROWS; i++)
		rows[i] = (struct report_row){.story = prepared->story->name, .policy = names[i]};
	run_init(&run, prepared, &cuts_check, &cuts);
	medium_set_watch(run.medium, cuts_watch, &run);
	run.story->tell(&run);
	if (run.violations)
		report_violation(&rows[0], 0, 0, run.why);
	medium_set_watch(run.medium, NULL, NULL);
	run_deinit(&run);
	free(cuts.moments);
	free(cuts.seen);
}
