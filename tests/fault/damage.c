/* SPDX-License-Identifier: Apache-2.0 */
#include "damage.h"

#include "judge.h"
#include "mount.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *cut_name;
	enum medium_harm harm;
	unsigned kinds;
	bool draws; /* the seed matters */
} variants[DAMAGE_KINDS] = {
	{"flip", "flip-cut", MEDIUM_FLIP, MEDIUM_WRITE, true},
	{"lost", "lost-cut", MEDIUM_LOST, MEDIUM_WRITE, false},
	{"misdirect", "misdirect-cut", MEDIUM_MISDIRECT, MEDIUM_WRITE, true},
	{"misfile", "misfile-cut", MEDIUM_MISDIRECT_FILE, MEDIUM_WRITE, true},
	{"rot", "rot-cut", MEDIUM_FLIP, MEDIUM_READ, true},
	{"stale", "stale-cut", MEDIUM_STALE, MEDIUM_READ, false},
	{"lie", "lie-cut", MEDIUM_LOST, MEDIUM_SYNC, false},
};

struct damage {
	struct report_row *rows; /* started again, power cut */
	struct medium_fault fault;
	size_t step;   /* in which it bit, counted from 1; 0: not yet */
	size_t failed; /* step whose call has failed; 0: none */
};

/* ---- What is there afterwards -------------------------------------------------------------------------------------
 */

/* The last step before `step` that committed to the log; both counted from 1. 0: none. */
static size_t damage_commit_before(const struct run *run, size_t step) {
	while (--step > 0 && !run->logged[step - 1])
		;
	return step;
}

/* Term and vote come from the superblock, which is synced before. */
static bool damage_is(const struct run *run, const struct ledger *loaded, const struct ledger *past) {
	static struct ledger mixed;

	if (!ledger_differ(loaded, past) || ledger_lags(loaded, past, run->past, run->steps))
		return true;
	mixed = *past;
	mixed.incarnation = run->now.ledger.incarnation;
	mixed.epoch = run->now.ledger.epoch;
	for (size_t i = 0; i < LEDGER_GROUPS; i++) {
		mixed.groups[i].term = run->now.ledger.groups[i].term;
		mixed.groups[i].vote = run->now.ledger.groups[i].vote;
		mixed.groups[i].promise_ms = run->now.ledger.groups[i].promise_ms;
	}
	return !ledger_differ(loaded, &mixed) || ledger_lags(loaded, &mixed, run->past, run->steps);
}

/* Only what was written by the last commit is gone, or, if the header of the frame in front of it was hit, by the last
 * two. What has rotted was written before, it does not matter when. */
static bool damage_is_admitted(const struct run *run, const struct damage *damage, const struct ledger *loaded) {
	bool rotted = damage->fault.kinds == MEDIUM_READ;
	size_t last = damage_commit_before(run, run->steps + 1), before = last ? damage_commit_before(run, last) : 0;

	if (last > 1 && (rotted || damage->step == last) && damage_is(run, loaded, &run->past[last - 2]))
		return true;
	return before > 1 && (rotted || damage->step >= before) && damage_is(run, loaded, &run->past[before - 2]);
}

static bool damage_is_former(const struct run *run, const struct ledger *loaded) {
	for (size_t i = 0; i < run->steps; i++)
		if (damage_is(run, loaded, &run->past[i]))
			return true;
	return false;
}

static enum outcome damage_outcome(const struct run *run, const struct ledger *loaded, bool power_cut) {
	const struct damage *damage = run->context;

	for (size_t i = 0; i < run->n_expected; i++)
		if (!ledger_differ(loaded, &run->expected[i].ledger))
			return i + 1 == run->n_expected ? OUTCOME_AFTER : i ? OUTCOME_PARTLY : OUTCOME_BEFORE;
	for (size_t i = 0; i < run->n_expected; i++)
		if (ledger_lags(loaded, &run->expected[i].ledger, run->past, run->steps))
			return OUTCOME_LAGS;
	if (power_cut && damage->fault.kinds == MEDIUM_SYNC && damage_is_former(run, loaded))
		return OUTCOME_FORMER;
	if (power_cut && damage_is_admitted(run, damage, loaded))
		return OUTCOME_ADMITTED;
	return OUTCOMES;
}

/* ---- The story ----------------------------------------------------------------------------------------------------
 */

static void damage_called(struct run *run, int r) {
	struct damage *damage = run->context;

	if (damage->fault.bit && !damage->step)
		damage->step = run->steps;
	if (r == 0) {
		if (!run->over) {
			run->expected[0] = run->now;
			run->n_expected = 1;
		}
		return;
	}
	damage->failed = run->steps;
	if (!damage->fault.bit)
		run_violation(run, "%s returns %d without a fault: %s", run->call, r, run->error.text);
}

static bool damage_never(struct run *run) {
	(void)run;
	return false;
}

static bool damage_loads_other(struct run *run, const struct ledger *loaded) {
	return loaded && damage_outcome(run, loaded, false) != OUTCOMES;
}

static const struct check damage_check = {
	.name = "damage",
	.called = damage_called,
	.finds_full = damage_never,
	.loads_other = damage_loads_other,
};

/* A folder that nobody may open for another reason says nothing about damage. */
static bool damage_is_expected(const struct run *run, int r) {
	for (size_t i = 0; i < run->n_expected; i++)
		if ((run->expected[i].kind == EXPECT_CONDEMNED && r == -ESTALE) ||
		    (run->expected[i].kind == EXPECT_HALF && r == -ECANCELED))
			return true;
	return false;
}

/* Damage may pass for a recovery that was interrupted. Then what is behind it must not be served either. */
static int damage_take_back(const char *folder, struct store **ret, struct node *node, struct store_error *error) {
	struct store *store;
	int r = store_open(folder, &store, error);

	if (r != 0)
		return r;
	*node = (struct node){0};
	(void)store_take_back_identity(store);
	r = store_load(store, node, error);
	if (r != 0)
		store_close(store, false);
	else
		*ret = store;
	return r;
}

/* But for a state of before nobody may have another name. */
static bool damage_has_uuid(const struct run *run, const struct store *store, enum outcome outcome) {
	struct node_uuid uuid;
	bool known = outcome == OUTCOME_FORMER;

	store_get_uuid(store, &uuid);
	for (size_t i = 0; !known && i < run->n_expected; i++)
		known = !run->expected[i].created || memcmp(&uuid, &run->expected[i].uuid, sizeof uuid) == 0;
	return known;
}

static void damage_look(struct run *run, struct report_row *row, bool power_cut) {
	static struct node node;
	struct medium *image = medium_cut(run->medium, power_cut ? MEDIUM_LOSE_ALL : MEDIUM_KEEP_ALL, 0);
	struct store *store = NULL;
	enum outcome outcome = OUTCOMES;
	int r;

	mount_add("/medium/damaged", image);
	r = judge_open("/medium/damaged/data", run->reserve, &store, &node, &run->error);
	row->images++;
	if (r == -ECANCELED && !damage_is_expected(run, r))
		r = damage_take_back("/medium/damaged/data", &store, &node, &run->error);
	if (r == -EBADMSG)
		outcome = OUTCOME_REFUSED;
	else if (r != 0 && damage_is_expected(run, r))
		outcome = OUTCOME_BEFORE;
	else if (r != 0)
		run_violation(run, "the folder is refused with %d: %s", r, run->error.text);
	else if (node.alien[0])
		run_violation(run, "the folder feeds what nobody stored: %s", node.alien);
	else
		outcome = damage_outcome(run, &node.ledger, power_cut);
	if (store && outcome < OUTCOMES && !damage_has_uuid(run, store, outcome))
		run_violation(run, "the folder has another uuid");
	else if (outcome < OUTCOMES)
		row->outcomes[outcome]++;
	else
		run_violation(run, "the folder feeds what was not stored: %s",
			      ledger_differ(&node.ledger, &run->now.ledger));
	store_close(store, false);
	mount_remove(image);
	medium_free(image);
}

static void damage_count(const struct damage *damage, struct report_row *row) {
	row->points++;
	if (damage->fault.bit)
		row->bit++;
	else
		row->void_runs++;
	row->failed += damage->failed > 0;
}

static uint64_t damage_tell(const struct run *prepared, struct damage *damage, uint64_t point, uint64_t seed) {
	struct run run;
	uint64_t met;

	run_init(&run, prepared, &damage_check, damage);
	medium_arm(run.medium, &damage->fault);
	run.story->tell(&run);
	met = damage->fault.met;
	medium_disarm(run.medium, &damage->fault);
	run_abandon(&run);
	for (int cut = 0; point && cut < 2; cut++) {
		damage_count(damage, &damage->rows[cut]);
		if (damage->fault.bit)
			damage_look(&run, &damage->rows[cut], cut);
		if (run.violations)
			report_violation(&damage->rows[cut], point, seed, run.why);
		run.violations = 0;
	}
	run_deinit(&run);
	return met;
}

static void damage_try_at(const struct run *prepared, const struct selection *selection, size_t variant,
			  struct report_row *rows, uint64_t point) {
	uint64_t seeds = variants[variant].draws ? selection->seeds : 1;

	for (uint64_t seed = 0; seed < seeds; seed++) {
		struct damage damage = {
			.rows = rows,
			.fault = {.harm = variants[variant].harm,
				  .kinds = variants[variant].kinds,
				  .first = point - 1,
				  .times = 1,
				  .seed = point * 1000 + seed},
		};

		if (!selection->seed_given || seed == selection->seed)
			(void)damage_tell(prepared, &damage, point, seed);
	}
}

static uint64_t damage_count_operations(const struct run *prepared, size_t variant) {
	struct damage damage = {.fault = {.kinds = variants[variant].kinds, .first = UINT64_MAX}};

	return damage_tell(prepared, &damage, 0, 0);
}

void damage_try(const struct run *prepared, const struct selection *selection, struct report_row rows[DAMAGE_ROWS]) {
	for (size_t i = 0; i < DAMAGE_KINDS; i++) {
		struct report_row *pair = &rows[2 * i];
		uint64_t n;

		pair[0] = (struct report_row){.story = prepared->story->name, .policy = variants[i].name};
		pair[1] = (struct report_row){.story = prepared->story->name, .policy = variants[i].cut_name};
		if (!selection_has_policy(selection, variants[i].name) &&
		    !selection_has_policy(selection, variants[i].cut_name))
			continue;
		n = damage_count_operations(prepared, i);
		for (uint64_t point = 1; point <= n; point++)
			if (selection_has_point(selection, prepared->story, point))
				damage_try_at(prepared, selection, i, pair, point);
	}
}
