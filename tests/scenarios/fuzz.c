/* SPDX-License-Identifier: Apache-2.0 */
/* Chance looks for what nobody thought of: everything a network, a disk and a machine may do, in any order, with the
 * invariants checked after every step. The simulator of whole nodes does so at length; this one runs the bare core, so
 * that it also meets orders which the daemon's own rules would hide. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>

enum {
	FUZZ_SEEDS = 160,
	FUZZ_ACTIONS = 300, /* of a seed */
	FUZZ_STEPS_AT_LEAST = 900000,
};

struct fuzz_totals {
	uint64_t steps, elections, commits, crashes, cuts, losses, changes, transfers;
};

static uint32_t any_node(struct stage *stage) {
	return (uint32_t)prng_range(&stage->prng, 1, stage->n);
}

static uint32_t any_mask(struct stage *stage) {
	return (uint32_t)prng_range(&stage->prng, 1, (1u << stage->n) - 1) << 1;
}

static bool frozen(struct stage *stage, uint32_t node) {
	return stage_node(stage, node)->disk_delay == UINT64_MAX;
}

/* Now and then everything works, else nobody would ever lead. */
static void recover(struct stage *stage) {
	stage_heal(stage);
	for (uint32_t node = 1; node <= stage->n; node++) {
		if (frozen(stage, node))
			stage_thaw_disk(stage, node);
		if (!stage_node(stage, node)->raft)
			stage_restart(stage, node);
	}
}

static void crash_or_restart(struct stage *stage, struct fuzz_totals *totals) {
	uint32_t node = any_node(stage);

	if (!stage_node(stage, node)->raft) {
		stage_restart(stage, node);
		return;
	}
	totals->crashes++;
	stage_crash(stage, node);
}

static void freeze_or_thaw(struct stage *stage) {
	uint32_t node = any_node(stage);

	if (frozen(stage, node))
		stage_thaw_disk(stage, node);
	else
		stage_freeze_disk(stage, node);
}

static void cut(struct stage *stage, struct fuzz_totals *totals) {
	uint32_t a = any_node(stage), b = any_node(stage), mask = any_mask(stage);

	totals->cuts++;
	if (prng_next(&stage->prng) & 1)
		stage_partition(stage, mask, ~mask);
	else if (a != b)
		stage_cut_one_way(stage, a, b);
	else
		stage_isolate(stage, a);
}

/* Every leader is asked, also one that is none any more and does not know it. */
static void write_everywhere(struct stage *stage) {
	for (uint32_t node = 1; node <= stage->n; node++) {
		if (stage_node(stage, node)->raft && stage->n_proposals < STAGE_PROPOSALS_MAX)
			(void)stage_propose(stage, node, NULL);
	}
}

static void change_members(struct stage *stage, struct fuzz_totals *totals) {
	uint32_t leader = stage_leader(stage);
	const struct raft_configuration *members;
	uint32_t present = 0, outgoing = 0;

	if (leader == 0 || stage->n_proposals == STAGE_PROPOSALS_MAX)
		return;
	members = raft_members(stage_node(stage, leader)->raft, NULL);
	for (uint16_t i = 0; i < members->n; i++) {
		present |= members->members[i].roles & RAFT_ROLE_VOTER ? 1u << members->members[i].node : 0;
		outgoing |= members->members[i].roles & RAFT_ROLE_VOTER_OUTGOING ? 1u << members->members[i].node : 0;
	}
	totals->changes += outgoing ? stage_change(stage, leader, present, 0, NULL) >= 0
				    : stage_change(stage, leader, any_mask(stage), present, NULL) >= 0;
}

static void hand_over(struct stage *stage, struct fuzz_totals *totals) {
	uint32_t leader = stage_leader(stage);

	if (leader != 0)
		totals->transfers += stage_step(stage, leader, &(struct raft_event){.kind = RAFT_TRANSFER}) == 0;
}

static void act(struct stage *stage, struct fuzz_totals *totals) {
	uint32_t node = any_node(stage);

	switch (prng_range(&stage->prng, 0, 16)) {
	case 0: crash_or_restart(stage, totals); break;
	case 1: cut(stage, totals); break;
	case 2: change_members(stage, totals); break;
	case 3: freeze_or_thaw(stage); break;
	case 4:
	case 5: recover(stage); break;
	case 6: hand_over(stage, totals); break;
	case 7:
		if (stage_node(stage, node)->raft)
			stage_campaign(stage, node);
		break;
	default: write_everywhere(stage); break;
	}
	stage_run(stage, prng_range(&stage->prng, 0, 300 * MS));
}

static void fuzz(uint64_t seed, struct fuzz_totals *totals) {
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 3 + 2 * (seed % 2), .seed = seed, .leader_lease = true});

	for (uint32_t node = 1; node <= stage->n; node++)
		stage_node(stage, node)->ppm =
			prng_range(&stage->prng, 1000000 - stage->drift_ppm, 1000000 + stage->drift_ppm);
	stage->drop_ppm = 50000;
	stage->repeat_ppm = 50000;
	stage->jitter = 20 * MS;
	stage->append_max = 2;
	for (int i = 0; i < FUZZ_ACTIONS; i++)
		act(stage, totals);
	totals->steps += stage->steps;
	totals->commits += stage->invariants.commit;
	totals->losses += stage_count(stage, 0, STAGE_LOST);
	for (uint32_t node = 1; node <= stage->n; node++)
		totals->elections += stage_node(stage, node)->elections_won;
	stage_free(stage);
}

static void require(uint64_t n, uint64_t least, const char *what) {
	if (n < least)
		stage_fail("enough-chance", "%" PRIu64 " %s in %d seeds, at least %" PRIu64 " are wanted", n, what,
			   FUZZ_SEEDS, least);
	story_say("more than %6" PRIu64 " %s", least, what);
}

static void run_q03_invariants_fuzz(void) {
	struct fuzz_totals totals = {0};

	story_act(
		"%d clusters of 3 or 5 nodes whose clocks are off by up to 10 %%; writes, cuts, crashes, slow disks, "
		"campaigns, hand-overs and changes of membership at random, messages lost, repeated and out of order.",
		FUZZ_SEEDS);
	for (uint64_t seed = 1; seed <= FUZZ_SEEDS; seed++)
		fuzz(seed, &totals);
	require(totals.steps, FUZZ_STEPS_AT_LEAST, "steps, with I1 to I9 and I13 checked after each");
	require(totals.elections, 1000, "elections");
	require(totals.commits, 10000, "committed entries");
	require(totals.losses, 50, "writes overwritten before they were committed");
	require(totals.crashes, 1500, "crashes");
	require(totals.cuts, 1500, "cuts of links");
	require(totals.changes, 1000, "changes of membership");
	require(totals.transfers, 500, "hand-overs of leadership");
	story_answer(
		"by one durable vote per term, the restriction on who may be elected, the consistency check and the "
		"commit rule; nothing that clocks or the network do can break it.");
}

const struct scenario fuzz_scenarios[] = {
	{"q03_invariants_fuzz", "Does safety hold whatever happens, in any order?", run_q03_invariants_fuzz},
	{0},
};
