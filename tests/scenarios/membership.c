/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of membership, and what becomes of them when nodes die in between. The embedder's part of a change is played
 * by pursue(): it appends the joint configuration, and the new one when the joint one is committed, at whoever leads.
 */
#include "raft/src/configuration.h"
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <string.h>

#define NODES_2(a, b) (1u << (a) | 1u << (b))
#define NODES_3(a, b, c) (NODES_2(a, b) | 1u << (c))

static uint32_t voters_of(const struct raft_configuration *members, uint8_t role) {
	uint32_t mask = 0;
	for (uint16_t i = 0; i < members->n; i++) {
		if (members->members[i].roles & role)
			mask |= 1u << members->members[i].node;
	}
	return mask;
}

static bool members_are(struct stage *stage, uint32_t node, uint32_t voters) {
	const struct raft_configuration *members = raft_members(stage_node(stage, node)->raft, NULL);
	return voters_of(members, RAFT_ROLE_VOTER) == voters && voters_of(members, RAFT_ROLE_VOTER_OUTGOING) == 0;
}

/* The next entry of the change, if this node leads and its configuration is committed. */
static void take_step(struct stage *stage, uint32_t node, uint32_t to) {
	const struct raft_configuration *members;
	uint32_t voters, outgoing;

	if (!stage_node(stage, node)->raft || stage_node(stage, node)->status.role != RAFT_LEADER)
		return;
	members = raft_members(stage_node(stage, node)->raft, NULL);
	voters = voters_of(members, RAFT_ROLE_VOTER);
	outgoing = voters_of(members, RAFT_ROLE_VOTER_OUTGOING);
	if (outgoing != 0)
		(void)stage_change(stage, node, voters, 0, NULL);
	else if (voters != to)
		(void)stage_change(stage, node, to, voters, NULL);
}

static bool changed(struct stage *stage, uint32_t to) {
	uint32_t leader = stage_leader(stage);
	raft_index index;

	if (leader == 0 || !(to >> leader & 1) || !members_are(stage, leader, to))
		return false;
	(void)raft_members(stage_node(stage, leader)->raft, &index);
	return index <= stage_node(stage, leader)->status.commit;
}

/* Until a member of the new configuration leads under it, committed; false if that takes longer than `limit`. */
static bool pursue(struct stage *stage, uint32_t to, raft_usec limit) {
	for (raft_usec end = stage->now + limit; stage->now < end && !stage->over;) {
		if (changed(stage, to))
			return true;
		for (uint32_t n = 1; n <= stage->n; n++)
			take_step(stage, n, to);
		stage_run(stage, 1 * MS);
	}
	return false;
}

/* ---- q05_joint_crash_each_step -------------------------------------------------------------------------------------
 */

/* Of the log that a node has, or would have after a restart. */
static const struct stage_log *log_of(struct stage *stage, uint32_t node) {
	const struct stage_node *of = stage_node(stage, node);
	return of->raft ? &of->log : &of->disk;
}

static const struct raft_configuration *configuration_of(const struct stage_log *log) {
	raft_index i = log->last;
	while (log->entries[i].type != RAFT_ENTRY_CONFIGURATION)
		i--;
	return log->entries[i].configuration;
}

static bool is_quorum(const struct raft_configuration *members, uint32_t mask) {
	uint64_t values[RAFT_MEMBERS_MAX] = {0};
	for (uint16_t i = 0; i < members->n; i++)
		values[i] = mask >> members->members[i].node & 1;
	return raft__quorum(members, values) == 1;
}

static bool up_to_date(const struct stage_log *candidate, const struct stage_log *voter) {
	raft_term of_candidate = candidate->entries[candidate->last].term, of_voter = voter->entries[voter->last].term;
	return of_candidate > of_voter || (of_candidate == of_voter && candidate->last >= voter->last);
}

/* Two nodes that, left alone, could elect one of them and commit. */
static bool could_act_alone(struct stage *stage, uint32_t a, uint32_t b) {
	const struct stage_log *of_a = log_of(stage, a), *of_b = log_of(stage, b);
	uint32_t mask = NODES_2(a, b);
	return (is_quorum(configuration_of(of_a), mask) && up_to_date(of_a, of_b)) ||
	       (is_quorum(configuration_of(of_b), mask) && up_to_date(of_b, of_a));
}

struct crash_plan {
	uint32_t at, seen; /* the leader dies after so many of its events; 0: never */
};

static void crash_leader_at(struct stage *stage, uint32_t node) {
	struct crash_plan *plan = stage->watch_data;

	stage_expect(stage, !could_act_alone(stage, 1, 2) || !could_act_alone(stage, 4, 5), "one-majority",
		     "{S1 S2} and {S4 S5} could both elect and commit by themselves");
	if (node == 1 && stage_node(stage, 1)->raft && ++plan->seen == plan->at)
		stage_crash(stage, 1);
}

static struct stage *about_to_change(struct crash_plan *plan, uint64_t seed, enum stage_tell tell) {
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 5, .voters = NODES_3(1, 2, 3), .seed = seed, .tell = tell});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	stage->watch = crash_leader_at;
	stage->watch_data = plan;
	return stage;
}

/* Who survives is cut in two at random for a while. */
static void change_with_crash(uint32_t at, uint64_t seed) {
	struct crash_plan plan = {.at = at};
	struct stage *stage = about_to_change(&plan, seed, STAGE_TELL_NOTHING);

	/* Entries leave before they are durable here; with a slow disk the others have them first. */
	plan.seen = 0;
	stage->jitter = 2 * MS;
	stage_node(stage, 1)->disk_delay = prng_range(&stage->prng, 1 * MS, 10 * MS);
	uint32_t mask = (uint32_t)prng_range(&stage->prng, 0, 31) << 1;

	for (int i = 0; i < 1000 && stage_node(stage, 1)->raft; i++)
		(void)pursue(stage, NODES_3(3, 4, 5), 1 * MS);
	stage_partition(stage, mask, ~mask);
	(void)pursue(stage, NODES_3(3, 4, 5), prng_range(&stage->prng, 0, 2000 * MS));
	if (!stage_node(stage, 1)->raft)
		stage_restart(stage, 1);
	(void)pursue(stage, NODES_3(3, 4, 5), prng_range(&stage->prng, 0, 1000 * MS));
	stage_heal(stage);
	stage_expect(stage, pursue(stage, NODES_3(3, 4, 5), 10000 * MS), "change-completes",
		     "after a crash at event %u (seed %" PRIu64 ") the change does not end", at, seed);
	(void)stage_propose(stage, stage_leader(stage), NULL);
	stage_run(stage, 200 * MS);
	stage_expect(stage, stage_count(stage, stage_leader(stage), STAGE_OK) > 0, "serves", "S%u commits nothing",
		     stage_leader(stage));
	stage_free(stage);
}

static void run_q05_joint_crash_each_step(void) {
	enum { PARTITIONS = 10, EVENTS_AT_LEAST = 20 };
	struct crash_plan none = {0};
	struct stage *stage;

	story_act("S1, S2 and S3 are to become S3, S4 and S5 while S1 leads. First without a fault.");
	stage = about_to_change(&none, 5, STAGE_TELL_ROLES);
	none.seen = 0;
	stage_expect(stage, pursue(stage, NODES_3(3, 4, 5), 5000 * MS), "change-completes", "the change does not end");
	stage_run(stage, 100 * MS);
	stage_show_logs(stage);
	uint32_t events = none.seen;
	stage_free(stage);

	story_act(
		"S1 crashes after each single thing that it did there: a step, a message that left, a save that became "
		"durable; its disk is slow, and the others are cut in two at random for a while. More than %d crashes, "
		"%d "
		"times each.",
		EVENTS_AT_LEAST, PARTITIONS);
	for (uint32_t at = 1; at <= events; at++) {
		for (uint64_t seed = 0; seed < PARTITIONS; seed++)
			change_with_crash(at, at * PARTITIONS + seed);
	}
	if (events < EVENTS_AT_LEAST)
		stage_fail("enough-events", "S1 did only %u things", events);
	story_say(
		"Every time the change came to its end, and at no moment could {S1 S2} and {S4 S5} both have elected a "
		"leader and committed by themselves.");
	story_answer(
		"while the joint configuration is in force a majority of the old and one of the new members is "
		"needed for everything; the new one may be appended only when the joint one is committed, and every "
		"new leader takes the change over from its log.");
}

/* ---- q05_single_server_bug -----------------------------------------------------------------------------------------
 * Ongaro's counterexample to changes by one server (raft-dev, 2015). The core has two fences: it knows no change
 * without a joint configuration, and none before an entry of the leader's own term is committed. The schedule goes on
 * however it answers, so that a core without the fences runs into the violation.
 */

/* Adds or removes one server: at once, as the dissertation does first, else by a joint configuration. */
static int change_by_one(struct stage *stage, uint32_t node, uint32_t to, uint32_t from) {
	int r;

	(void)stage_change(stage, node, to, 0, &r);
	if (r == RAFT_E_MISFIT) {
		stage_tell(stage, STAGE_TELL_DEEDS, "S%u refuses to change without a joint configuration", node);
		(void)stage_change(stage, node, to, from, &r);
	}
	if (r == RAFT_E_UNSETTLED)
		stage_tell(stage, STAGE_TELL_DEEDS,
			   "S%u refuses a change before it has committed an entry of its own term", node);
	return r;
}

static void run_q05_single_server_bug(void) {
	uint32_t four = NODES_3(1, 2, 3) | 1u << 4, five = four | 1u << 5, three = NODES_3(2, 3, 4);
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 5, .voters = four, .tell = STAGE_TELL_ROLES, .patient = true});

	story_act("S1 leads S1 to S4 and is to add S5. Its entry reaches S5 only.");
	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	stage_partition(stage, NODES_2(1, 5), NODES_3(2, 3, 4));
	(void)change_by_one(stage, 1, five, four);
	stage_run(stage, 20 * MS);
	stage_show_logs(stage);

	story_act(
		"S2 is elected by S2, S3 and S4, which know nothing of that, and is to remove S1. Its entries reach S3 "
		"only.");
	stage_run(stage, 300 * MS);
	stage_drop(stage, 2, 4, STAGE_APPENDS);
	stage_stand(stage, 2);
	int r = change_by_one(stage, 2, three, four);
	stage_run(stage, 20 * MS);
	stage_show_logs(stage);

	story_act("S1 stands, with S4 and S5. Of five members that would be a majority; had S2 been allowed to remove "
		  "S1, "
		  "S2 and S3 would be one of three, and would have committed what S1 lacks.");
	stage_partition(stage, NODES_2(2, 3), NODES_3(1, 4, 5));
	stage->cut[1][4] = stage->cut[4][1] = stage->cut[5][4] = stage->cut[4][5] = false;
	stage_run(stage, 220 * MS);
	for (int i = 0; i < 10; i++) {
		stage_campaign(stage, 1);
		stage_run(stage, 220 * MS);
	}
	stage_show_logs(stage);
	stage_expect(stage, r == RAFT_E_UNSETTLED, "own-term-guard", "S2 begins the change at once: %d", r);
	stage_expect(stage, stage_node(stage, 1)->elections_won == 1, "no-disjoint-majorities",
		     "S1 leads term %" PRIu64, stage_term(stage, 1));
	story_say("S1 cannot win: by its joint configuration it needs three of S1 to S4 as well.");

	story_act("All links work again; S1 is removed in the proper order.");
	stage_discard(stage);
	stage_heal(stage);
	stage_elect(stage, 2);
	stage_expect(stage, pursue(stage, three, 2000 * MS), "change-completes", "the change does not end");
	stage_run(stage, 100 * MS);
	stage_show_logs(stage);
	stage_free(stage);
	story_answer(
		"if single servers were added and removed without a joint configuration, a new leader would have to "
		"commit an entry of its own term first: else two leaders count on majorities that do not intersect. "
		"This core demands both.");
}

/* ---- q05_learner_catch_up ------------------------------------------------------------------------------------------
 */

static struct raft_peer peer_of(struct stage *stage, uint32_t leader, uint32_t node) {
	struct raft_peer peer = {0};

	(void)raft_get_peer(stage_node(stage, leader)->raft, node, &peer);
	return peer;
}

static bool learner_caught_up(struct stage *stage) {
	return peer_of(stage, 1, 4).caught_up;
}

static void run_q05_learner_catch_up(void) {
	const uint32_t three = NODES_3(1, 2, 3), four = three | 1u << 4;
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 4, .voters = three, .seed = 5, .tell = STAGE_TELL_ROLES});
	uint32_t counted;

	story_act("S1, S2 and S3 vote. S4 is to join: it is cut off when the leader makes it a learner.");
	stage_elect(stage, 1);
	stage_isolate(stage, 4);
	for (int i = 0; i < 5; i++)
		(void)stage_propose(stage, 1, NULL);
	stage->learners = 1u << 4;
	stage_expect(stage, stage_change(stage, 1, three, 0, NULL) >= 0, "change-taken", "S1 refuses the learner");
	stage_run(stage, 5000 * MS);
	stage_expect(stage, stage_count(stage, 1, STAGE_OK) == 6, "learner-not-waited-for",
		     "a learner that is away holds up the log");
	stage_expect(stage, !learner_caught_up(stage), "absent-learner-lags",
		     "S4 heard nothing and counts as caught up");
	story_say("All is committed without S4. It is %" PRIu64 " entries behind, and the leader knows.",
		  stage_node(stage, 1)->log.last - peer_of(stage, 1, 4).match);

	story_act("S4 is connected again, and nobody writes. A round of catching up ends when S4 has what the log held "
		  "at "
		  "its beginning; a round that took no longer than an election time-out says that S4 keeps up.");
	stage_heal(stage);
	bool caught_up = stage_run_until(stage, learner_caught_up, 2 * stage->timing.election_max);
	stage_expect(stage, caught_up, "caught-up", "S4 has the whole log of %" PRIu64 " entries, and is not promoted",
		     stage_node(stage, 1)->log.last);
	story_say("S4 has caught up in round %u.", peer_of(stage, 1, 4).catch_up_rounds);

	story_act("S2 and S3 are cut off. S4 has every entry, and is no majority's part.");
	stage_isolate(stage, 2);
	stage_isolate(stage, 3);
	counted = stage_count(stage, 1, STAGE_OK);
	(void)stage_propose(stage, 1, NULL);
	stage_run(stage, 2000 * MS);
	stage_expect(stage, stage_count(stage, 1, STAGE_OK) == counted, "learner-not-counted",
		     "S1 has committed with a learner");
	stage_expect(stage, stage_leader(stage) == 0, "learner-keeps-nobody-in-office",
		     "S1 leads with a learner alone");

	story_act("S2 and S3 are back, and S4 becomes a voter.");
	stage_heal(stage);
	stage_expect(stage, pursue(stage, four, 5000 * MS), "change-completes", "S4 does not become a voter");
	stage_run(stage, 100 * MS);
	stage_show_logs(stage);
	stage_free(stage);
	story_answer(
		"a new member gets the log as a learner and is counted nowhere. The leader promotes it when a round of "
		"catching up was short: not by the share of the log that it has, which says little about a long log, "
		"and not only when something is written, which may take for ever.");
}

/* ---- q17_leader_removed --------------------------------------------------------------------------------------------
 */

static void remove_leader(uint32_t nodes) {
	uint32_t rest = ((2u << nodes) - 2) & ~(1u << 1);
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = nodes, .seed = 17, .tell = STAGE_TELL_ROLES});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	for (int i = 0; i < 100 && stage_node(stage, 1)->status.role == RAFT_LEADER; i++)
		(void)pursue(stage, rest, 1 * MS);
	raft_usec left = stage->now;
	bool in_order =
		members_are(stage, 1, rest) && stage_node(stage, 1)->status.commit == stage_node(stage, 1)->log.last;
	bool completes = pursue(stage, rest, 3 * stage->timing.election_min);
	stage_expect(stage, completes, "change-completes", "nobody leads the new configuration %.3f ms later",
		     (double)(stage->now - left) / 1000);
	stage_expect(stage, in_order, "leads-until-committed", "S1 has left before its removal was committed");
	story_say("S%u leads without S1, %.3f ms after S1 has left.", stage_leader(stage),
		  (double)(stage->now - left) / 1000);
	stage_isolate(stage, 1);
	(void)stage_propose(stage, stage_leader(stage), NULL);
	stage_run(stage, 2000 * MS);
	stage_expect(stage, stage_count(stage, stage_leader(stage), STAGE_OK) > 0, "serves", "S%u commits nothing",
		     stage_leader(stage));
	stage_show_logs(stage);
	stage_free(stage);
}

static void run_q17_leader_removed(void) {
	story_act("Two nodes; S1, which leads, is removed. It leads until that is committed, without counting itself.");
	remove_leader(2);
	story_act("Three nodes.");
	remove_leader(3);
	story_answer(
		"had S1 left when it stored the configuration without itself, the entry would be in its log alone. "
		"If it may not stand for election, S2 of two nodes needs its vote for ever and never gets it, for "
		"S1 has the newer log. If it may, it wins again and leaves again. Hence it stays until the entry is "
		"committed, and may stand until then.");
}

const struct scenario membership_scenarios[] = {
	{"q05_joint_crash_each_step", "Does a change of members survive a crash at any point?",
	 run_q05_joint_crash_each_step},
	{"q05_single_server_bug", "What goes wrong when single servers are added and removed at once?",
	 run_q05_single_server_bug},
	{"q05_learner_catch_up", "When may a node that joins be given a vote?", run_q05_learner_catch_up},
	{"q17_leader_removed", "A leader removes itself: when does it leave?", run_q17_leader_removed},
	{0},
};
