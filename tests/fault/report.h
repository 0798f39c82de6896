/* SPDX-License-Identifier: Apache-2.0 */
/* What was tried, how it came out, and how to try it again. */
#ifndef TESTS_FAULT_REPORT_H
#define TESTS_FAULT_REPORT_H

#include "run.h"

#include <stdio.h>

enum outcome {
	/* What is there after a restart. */
	OUTCOME_BEFORE, /* the last acknowledged state */
	OUTCOME_PARTLY, /* what was under way has reached the superblock alone */
	OUTCOME_AFTER,  /* what was under way is there whole */
	OUTCOME_REFUSED, /* damage was found: by a call, or when the folder was opened */
	OUTCOME_LAGS,    /* an older checkpoint, or entries once more that were trimmed: applied again */
	OUTCOME_ADMITTED, /* the end of the WAL is gone with its watermarks (docs/adr/0003) */
	OUTCOME_FORMER,  /* an earlier state, whole: left to the peers (docs/adr/0008) */
	OUTCOMES,
};

struct report_row {
	const char *story, *policy;
	uint64_t points;            /* or operations, that were looked at */
	uint64_t images;            /* opened; equal ones once */
	uint64_t bit, void_runs;    /* runs with a fault that did something, and that did nothing */
	uint64_t full, failed;      /* calls that found the disk full, and that failed */
	uint64_t outcomes[OUTCOMES];
	uint64_t recoveries; /* images cut a second time */
	uint64_t violations;
};

/* What to look at. */
struct selection {
	const char *story, *policy; /* NULL: all */
	uint64_t point;             /* 0: all */
	bool seed_given;
	uint64_t seed;
	uint64_t seeds;  /* of every random policy */
	uint64_t stride; /* of points and operations; 1: all */
};

bool selection_has_point(const struct selection *selection, const struct story *story, uint64_t point);
bool selection_has_policy(const struct selection *selection, const char *policy);

void report_head(FILE *out, const char *title);
void report_row(FILE *out, const struct report_row *row);
/* Says it, with the command that shows it again; point 0: at none of them. The first ones are enough. */
void report_violation(struct report_row *row, uint64_t point, uint64_t seed, const char *why);

#endif
