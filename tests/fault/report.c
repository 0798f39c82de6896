/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>
#include <string.h>

enum { SHOWN_PER_ROW = 3, LARGE_STRIDE = 5 };

bool selection_has_point(const struct selection *selection, const struct story *story, uint64_t point) {
	uint64_t stride = selection->stride * (story->large ? LARGE_STRIDE : 1);

	if (selection->point)
		return point == selection->point;
	return stride <= 1 || point % stride == 0;
}

bool selection_has_policy(const struct selection *selection, const char *policy) {
	return !selection->policy || strcmp(selection->policy, policy) == 0;
}

static const struct {
	const char *title;
	size_t offset;
} columns[] = {
	{"points", offsetof(struct report_row, points)},
	{"images", offsetof(struct report_row, images)},
	{"again", offsetof(struct report_row, recoveries)},
	{"bit", offsetof(struct report_row, bit)},
	{"void", offsetof(struct report_row, void_runs)},
	{"full", offsetof(struct report_row, full)},
	{"failed", offsetof(struct report_row, failed)},
	{"before", offsetof(struct report_row, outcomes[OUTCOME_BEFORE])},
	{"partly", offsetof(struct report_row, outcomes[OUTCOME_PARTLY])},
	{"after", offsetof(struct report_row, outcomes[OUTCOME_AFTER])},
	{"refused", offsetof(struct report_row, outcomes[OUTCOME_REFUSED])},
	{"lags", offsetof(struct report_row, outcomes[OUTCOME_LAGS])},
	{"admitted", offsetof(struct report_row, outcomes[OUTCOME_ADMITTED])},
	{"former", offsetof(struct report_row, outcomes[OUTCOME_FORMER])},
	{"VIOLATED", offsetof(struct report_row, violations)},
};

void report_head(FILE *out, const char *title) {
	(void)fprintf(out, "\n%-18s %-14s", title, "policy");
	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
		(void)fprintf(out, " %8s", columns[i].title);
	(void)fputc('\n', out);
}

void report_row(FILE *out, const struct report_row *row) {
	(void)fprintf(out, "%-18s %-14s", row->story, row->policy);
	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
		(void)fprintf(out, " %8" PRIu64, *(const uint64_t *)((const char *)row + columns[i].offset));
	(void)fputc('\n', out);
	(void)fflush(out);
}

void report_violation(struct report_row *row, uint64_t point, uint64_t seed, const char *why) {
	if (row->violations++ >= SHOWN_PER_ROW)
		return;
	(void)printf("VIOLATION %s: %s\n  lockd-fault --script %s --policy %s", row->policy, why, row->story,
		     row->policy);
	if (point)
		(void)printf(" --point %" PRIu64 " --seed %" PRIu64, point, seed);
	(void)putchar('\n');
}
