/* SPDX-License-Identifier: Apache-2.0 */
/* What a leader believes about a follower is spoiled, behind the back of the core. raft_check() would name that at
 * once, so it is off here: the question is what happens in a release, where nobody looks after every step. */
#include "raft/src/core.h"
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <stdio.h>

enum { ROUND_TRIP = 3 * MS }; /* there, disk, back */

static struct raft__progress *progress_of(struct stage *stage, uint32_t node) {
	return raft__progress_of(stage_node(stage, 1)->raft, node);
}

static raft_index goal;

static bool s2_has_goal(struct stage *stage) {
	return progress_of(stage, 2)->match >= goal;
}

static void write_for(struct stage *stage, raft_usec duration) {
	for (raft_usec end = stage->now + duration; stage->now < end;) {
		(void)stage_propose(stage, 1, NULL);
		stage_run(stage, 10 * MS);
	}
}

/* `next` of S2 becomes what `spoil` makes of (match, last); until S2 has what is written behind that. */
static void spoil_next(struct stage *stage, const char *name, raft_index (*spoil)(raft_index match, raft_index last)) {
	struct raft__progress *progress = progress_of(stage, 2);
	raft_index last = stage_node(stage, 1)->log.last;
	raft_usec begin = stage->now, limit = stage->timing.heartbeat + 5 * ROUND_TRIP;
	raft_index before = progress->next, wrong = spoil(progress->match, last);

	progress->next = wrong;
	goal = last + 1;
	(void)stage_propose(stage, 1, NULL);
	stage_expect(stage, stage_run_until(stage, s2_has_goal, limit), "progress-resumes",
		     "next is %s: S2 lacks entry %" PRIu64 " after %.3f ms", name, goal, (double)limit / 1000);
	if (stage->tell != STAGE_TELL_NOTHING)
		story_say("next %" PRIu64 " becomes %" PRIu64 " (%s): S2 has the next entry after %.3f ms.", before,
			  wrong, name, (double)(stage->now - begin) / 1000);
	write_for(stage, 200 * MS);
	stage_expect(stage, progress->match < progress->next && progress->next <= stage_node(stage, 1)->log.last + 1,
		     "next-in-bounds", "next is %" PRIu64 ", match %" PRIu64, progress->next, progress->match);
}

static raft_index to_zero(raft_index match, raft_index last) {
	(void)match;
	(void)last;
	return 0;
}

static raft_index to_one(raft_index match, raft_index last) {
	(void)match;
	(void)last;
	return 1;
}

static raft_index below_match(raft_index match, raft_index last) {
	(void)last;
	return match - 3;
}

static raft_index far_behind_last(raft_index match, raft_index last) {
	(void)match;
	return last + 1000;
}

static raft_index to_max(raft_index match, raft_index last) {
	(void)match;
	(void)last;
	return UINT64_MAX;
}

/* The book has last + 1 as well; that is where next stands anyway while all is sent. */
static const struct spoiler {
	const char *name;
	raft_index (*spoil)(raft_index match, raft_index last);
} spoilers[] = {
	{"zero", to_zero},
	{"the first entry", to_one},
	{"three below match", below_match},
	{"a thousand behind the last entry", far_behind_last},
	{"as large as can be", to_max},
};

enum { SPOILERS = sizeof(spoilers) / sizeof(spoilers[0]) };

static struct stage *under_load(uint64_t seed, enum stage_tell tell) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .seed = seed, .tell = tell});

	stage_elect(stage, 1);
	stage->unchecked = true;
	write_for(stage, 300 * MS);
	return stage;
}

static void next_at_random(uint64_t seed) {
	struct stage *stage = under_load(seed, STAGE_TELL_NOTHING);

	for (int i = 0; i < 10; i++) {
		const struct spoiler *spoiler = &spoilers[prng_range(&stage->prng, 0, SPOILERS - 1)];

		stage_run(stage, prng_range(&stage->prng, 0, stage->timing.heartbeat));
		spoil_next(stage, spoiler->name, spoiler->spoil);
	}
	stage_run(stage, 100 * MS);
	stage_expect(stage, stage_converged(stage), "equal-logs", "the logs differ");
	stage_free(stage);
}

/* S1 believes that S3 has everything, which it has not. */
static void match_is_wrong(void) {
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 5, .seed = 13, .tell = STAGE_TELL_ROLES, .patient = true});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	for (uint32_t other = 3; other <= 5; other++)
		stage_drop(stage, 1, other, STAGE_APPENDS);
	for (int i = 0; i < 10; i++)
		(void)stage_propose(stage, 1, NULL);
	stage->unchecked = true;
	stage->tolerated = "I8";
	stage->forgiven = "I3";
	progress_of(stage, 3)->match += 10;
	progress_of(stage, 3)->next = progress_of(stage, 3)->match + 1;
	stage_tell(stage, STAGE_TELL_DEEDS, "S1's match of S3 grows by 10");
	stage->tell = STAGE_TELL_NOTHING;
	stage_run(stage, 10 * MS);
	stage->tell = STAGE_TELL_ROLES;
	stage_show_logs(stage);
	stage_crash(stage, 1);
	stage_crash(stage, 2);
	stage_discard(stage);
	stage_run(stage, 250 * MS);
	stage_campaign(stage, 3);
	stage_run(stage, 100 * MS);
	if (!stage->over)
		stage_fail("violation", "a wrong match goes unnoticed");
	stage_free(stage);
}

static void run_q13_nextindex_fault(void) {
	enum { SEEDS = 30 };
	struct stage *stage;

	story_act("S1 leads five nodes and takes a write every 10 ms. Again and again its next index of S2 is "
		  "overwritten; "
		  "it has 50 ms, the time between two heartbeats, and 5 round trips of 3 ms to go on.");
	stage = under_load(13, STAGE_TELL_DEEDS);
	for (size_t i = 0; i < SPOILERS; i++)
		spoil_next(stage, spoilers[i].name, spoilers[i].spoil);
	stage_run(stage, 100 * MS);
	stage_expect(stage, stage_converged(stage), "equal-logs", "the logs differ");
	stage_free(stage);
	story_act("The same at random moments, %d clusters, ten times each.", SEEDS);
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		next_at_random(seed);
	story_say("S2 always went on in time, and no invariant was broken.");

	story_act("For comparison the match index, which must come from acknowledgements only: S1 has ten entries that "
		  "only S2 received, and its match of S3 grows by ten behind its back.");
	match_is_wrong();
	story_answer(
		"no. next is a guess: too small it repeats entries, too large it is refused, and one that cannot be "
		"right is replaced when the follower answers a heartbeat. What commit rests on is match.");
}

const struct scenario corruption_scenarios[] = {
	{"q13_nextindex_fault", "The leader's next index of a follower gets corrupted: is that safe?",
	 run_q13_nextindex_fault},
	{0},
};
