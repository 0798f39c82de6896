/* SPDX-License-Identifier: Apache-2.0 */
/* lockd-fault: the data folder of lockd on a disk that fails in every way, at every operation. */
#include "cuts.h"
#include "damage.h"
#include "errors.h"
#include "stories.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXIT_USAGE = 1, EXIT_VIOLATION = 2, SEEDS_MAX = 1000 };

static void usage(FILE *out) {
	fputs("usage: lockd-fault --all | --sample | --script NAME [--policy NAME] [--point N] [--seed N]\n"
	      "       lockd-fault --list\n"
	      "Tells stories to the data folder of lockd on a disk in memory that fails, and looks at what is left.\n"
	      "  --all         every operation of every story, of the large ones every fifth\n"
	      "  --sample      every 23rd of these, and fewer seeds\n"
	      "  --script NAME one story; --list names them\n"
	      "  --policy NAME one kind of fault:\n"
	      "      power cut  lose keep prefix subset tear: what of the unsynced writes is kept\n"
	      "      errors     eio-once eio-once-kept eio-ever enospc-once enospc-ever short\n"
	      "      damage     flip lost misdirect misfile (writes), rot stale (reads), lie (syncs)\n"
	      "  --point N     at one point only: of changes for power cuts, of operations that the fault fits "
	      "otherwise\n"
	      "  --seed N      with one seed only\n"
	      "  --seeds N     of each random choice (3)\n"
	      "  --stride N    every N-th point\n"
	      "Columns: points    looked at\n"
	      "         images    opened, equal ones once; again: cut a second time while they were opened\n"
	      "         bit void  runs in which the fault changed something, and in which it did not\n"
	      "         full      calls that found the disk full; failed: that failed for another reason\n"
	      "      and what was there afterwards:\n"
	      "         before    nothing of the call; partly: only what the superblock holds; after: all of it\n"
	      "         refused   as damaged\n"
	      "         lags      an older checkpoint, or entries once more that were trimmed: applied again\n"
	      "         admitted  the last transaction is gone with its watermark (docs/adr/0003)\n"
	      "         former    an earlier state, whole, for a sync that lied (docs/adr/0008)\n"
	      "         VIOLATED  all else; each of the first has a line that shows it again\n"
	      "Exit status: 0 all is well, 1 usage, or nothing was looked at, 2 a violation.\n",
	      out);
}

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret) {
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || value < min || value > max)
		return false;
	*ret = value;
	return true;
}

struct options {
	struct selection selection;
	bool all, list;
};

static bool parse_option(const char *name, const char *value, struct options *options) {
	struct selection *selection = &options->selection;

	if (strcmp(name, "--script") == 0)
		selection->story = value;
	else if (strcmp(name, "--policy") == 0)
		selection->policy = value;
	else if (strcmp(name, "--point") == 0)
		return parse_number(value, 1, UINT32_MAX, &selection->point);
	else if (strcmp(name, "--seed") == 0)
		return selection->seed_given = parse_number(value, 0, SEEDS_MAX, &selection->seed);
	else if (strcmp(name, "--seeds") == 0)
		return parse_number(value, 1, SEEDS_MAX, &selection->seeds);
	else if (strcmp(name, "--stride") == 0)
		return parse_number(value, 1, UINT32_MAX, &selection->stride);
	else
		return false;
	return true;
}

static bool parse(int argc, char **argv, struct options *options) {
	*options = (struct options){.selection = {.seeds = 3, .stride = 1}};
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--all") == 0) {
			options->all = true;
		} else if (strcmp(argv[i], "--sample") == 0) {
			options->all = true;
			options->selection.stride = 23;
			options->selection.seeds = 2;
		} else if (strcmp(argv[i], "--list") == 0) {
			options->list = true;
		} else if (i + 1 == argc || !parse_option(argv[i], argv[i + 1], options)) {
			(void)fprintf(stderr, "lockd-fault: %s: unknown option, or its value is missing or wrong\n",
				      argv[i]);
			return false;
		} else {
			i++;
		}
	}
	return options->all || options->list || options->selection.story;
}

/* ---- Tables -------------------------------------------------------------------------------------------------------
 */

/* Over all stories. */
static struct report_row total, cuts[CUTS_ROWS], errors[ERRORS_ROWS], damage[DAMAGE_ROWS];

static void add(struct report_row *sum, const struct report_row *row) {
	sum->points += row->points;
	sum->images += row->images;
	sum->bit += row->bit;
	sum->void_runs += row->void_runs;
	sum->full += row->full;
	sum->failed += row->failed;
	sum->recoveries += row->recoveries;
	sum->violations += row->violations;
	for (size_t i = 0; i < OUTCOMES; i++)
		sum->outcomes[i] += row->outcomes[i];
}

static void show(const struct report_row *rows, size_t n, struct report_row *sums) {
	for (size_t i = 0; i < n; i++) {
		sums[i].policy = rows[i].policy;
		if (rows[i].points == 0 && rows[i].violations == 0)
			continue;
		report_row(stdout, &rows[i]);
		add(&sums[i], &rows[i]);
	}
}

static bool is_void(const struct report_row *row) {
	return row->points == 0 || (row->void_runs > 0 && row->bit == 0);
}

/* Over all stories every fault must have struck and changed something: otherwise nothing was shown. */
static void conclude(struct report_row *sums, size_t n, bool all) {
	for (size_t i = 0; i < n; i++) {
		sums[i].story = "all";
		if (all && is_void(&sums[i])) {
			(void)printf("VIOLATION void: %s has changed nothing\n", sums[i].policy);
			sums[i].violations++;
		}
		if (sums[i].points || sums[i].violations)
			report_row(stdout, &sums[i]);
		add(&total, &sums[i]);
	}
}

static void try_story(const struct story *story, const struct selection *selection) {
	struct report_row rows[DAMAGE_ROWS] = {{0}};
	struct run prepared;

	run_prepare(&prepared, story);
	if (prepared.violations) {
		rows[0] = (struct report_row){.story = story->name, .policy = "prelude"};
		report_violation(&rows[0], 0, 0, prepared.why);
		add(&total, &rows[0]);
	} else {
		cuts_try(&prepared, selection, rows);
		show(rows, CUTS_ROWS, cuts);
		errors_try(&prepared, selection, rows);
		show(rows, ERRORS_ROWS, errors);
		damage_try(&prepared, selection, rows);
		show(rows, DAMAGE_ROWS, damage);
	}
	run_deinit(&prepared);
}

static int finish(bool all) {
	conclude(cuts, CUTS_ROWS, all);
	conclude(errors, ERRORS_ROWS, all);
	conclude(damage, DAMAGE_ROWS, all);
	total.story = "all";
	total.policy = "";
	report_row(stdout, &total);
	(void)printf("%" PRIu64 " violations, %.1f s of CPU\n", total.violations, (double)clock() / CLOCKS_PER_SEC);
	if (total.violations)
		return EXIT_VIOLATION;
	if (total.points)
		return 0;
	(void)fprintf(stderr, "lockd-fault: nothing was looked at: there is no such script, policy or point\n");
	return EXIT_USAGE;
}

static void list(void) {
	for (size_t i = 0; i < n_stories; i++)
		(void)printf("%s\n", stories[i].name);
}

int main(int argc, char **argv) {
	struct options options;
	const char *wanted;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		usage(stdout);
		return 0;
	}
	if (!parse(argc, argv, &options)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (options.list) {
		list();
		return 0;
	}
	wanted = options.selection.story;
	report_head(stdout, "story");
	for (size_t i = 0; i < n_stories; i++)
		if (!wanted || strcmp(wanted, stories[i].name) == 0)
			try_story(&stories[i], &options.selection);
	return finish(options.all && !wanted && !options.selection.policy && !options.selection.point);
}
