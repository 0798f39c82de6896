/* SPDX-License-Identifier: Apache-2.0 */
/* Members that are badly connected: they shall neither depose a good leader nor keep the others without one. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <stdio.h>

/* Everybody who leads, or believes so, is asked for a write now and then. */
static void run_with_writes(struct stage *stage, raft_usec duration) {
	for (raft_usec end = stage->now + duration; stage->now < end;) {
		for (uint32_t n = 1; n <= stage->n; n++) {
			if (stage_node(stage, n)->status.role == RAFT_LEADER)
				(void)stage_propose(stage, n, NULL);
		}
		stage_run(stage, stage->timing.heartbeat);
	}
}

static void expect_undisturbed(struct stage *stage, uint32_t leader, raft_term term) {
	stage_expect(stage, stage_leader(stage) == leader && stage_term(stage, leader) == term, "leader-unchanged",
		     "S%u leads term %" PRIu64, stage_leader(stage), stage_term_max(stage));
	stage_expect(stage, stage_term_max(stage) == term, "term-unchanged", "there is a term %" PRIu64,
		     stage_term_max(stage));
}

/* ---- q06_rejoin_no_disruption --------------------------------------------------------------------------------------
 */

static void rejoin(bool writes) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .tell = STAGE_TELL_ROLES});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	raft_term term = stage_term(stage, 1);
	stage_isolate(stage, 5);
	stage->tell = writes ? STAGE_TELL_DEEDS : STAGE_TELL_ROLES;
	if (writes)
		run_with_writes(stage, 100 * stage->timing.election_min);
	else
		stage_run(stage, 100 * stage->timing.election_min);
	story_say("After 100 election time-outs S5 is in term %" PRIu64 ", like all others; its log has %" PRIu64
		  " entries, that of S1 %" PRIu64 ".",
		  stage_term(stage, 5), stage_node(stage, 5)->log.last, stage_node(stage, 1)->log.last);
	stage_heal(stage);
	stage_expect(stage, stage_run_until(stage, stage_converged, 3000 * MS), "rejoin", "S5 does not catch up");
	stage_run(stage, 2000 * MS);
	expect_undisturbed(stage, 1, term);
	story_say("S5 has caught up. S1 leads term %" PRIu64 " as before.", term);
	stage_free(stage);
}

/* Two nodes of three are up, and each would have a reason to refuse the other for ever. */
static void deadlock(const char *what, raft_term term_of_1, const char *log_of_1, raft_term term_of_2,
		     uint32_t vote_of_2, const char *log_of_2) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 3, .seed = 2, .tell = STAGE_TELL_MESSAGES});

	story_act("%s", what);
	stage_rewrite(stage, 1, term_of_1, 0, log_of_1);
	stage_rewrite(stage, 2, term_of_2, vote_of_2, log_of_2);
	stage_crash(stage, 3);
	stage_show_logs(stage);
	stage_expect(stage, stage_await_leader(stage, 10 * stage->timing.election_min) != 0, "leader-after-deadlock",
		     "nobody leads after 10 election time-outs");
	stage_free(stage);
}

static void run_q06_rejoin_no_disruption(void) {
	story_act("S1 leads, and S5 is cut off for 100 election time-outs while S1 takes writes.");
	rejoin(true);
	story_act("The same without writes: S5's log stays as good as anybody's, so it could win an election.");
	rejoin(false);

	deadlock("Where pre-votes could block each other. S1 has the longer log and the lower term, S2 the higher term "
		 "and the shorter log. S1's question for term 3 is refused; the refusal must teach it S2's term.",
		 2, "12222", 5, 0, "1");
	deadlock("S2 has voted in term 9 for S3, which died right after. The logs are equal; who asks for less than "
		 "term 10 "
		 "is "
		 "refused.",
		 2, "12", 9, 3, "12");
	deadlock(
		"Of an old version without pre-vote S2 has kept a term far ahead, and a log that ends in an older term "
		"although it is longer.",
		3, "13", 70, 0, "1111111");
	story_answer(
		"before it raises its term a node asks whether it would be elected. Who hears its leader says no, so "
		"nobody's term rises while the node is cut off, and its return disturbs nobody. A refusal carries "
		"the refuser's term, so that two nodes cannot refuse each other for ever.");
}

/* ---- q11_partial_partition -----------------------------------------------------------------------------------------
 */

static void one_cut_link(bool writes) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 3, .seed = 11, .tell = STAGE_TELL_ROLES});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	raft_term term = stage_term(stage, 1);
	stage->tell = STAGE_TELL_DEEDS;
	stage_cut(stage, 1, 2);
	if (writes)
		run_with_writes(stage, 1000 * stage->timing.heartbeat);
	else
		stage_run(stage, 1000 * stage->timing.heartbeat);
	stage_run(stage, 20 * MS);
	expect_undisturbed(stage, 1, term);
	stage_expect(stage, stage_count(stage, 1, STAGE_OK) == stage->n_proposals, "writes-succeed", "%u of %u",
		     stage_count(stage, 1, STAGE_OK), stage->n_proposals);
	if (writes)
		story_say("S1 has said yes to all %u writes.", stage->n_proposals);
	stage_heal(stage);
	stage_expect(stage, stage_run_until(stage, stage_converged, 3000 * MS), "catch-up", "S2 does not catch up");
	expect_undisturbed(stage, 1, term);
	story_say("S2 has caught up. S1 leads term %" PRIu64 " as before, and no other term was begun.", term);
	stage_free(stage);
}

static raft_index committed(struct stage *stage) {
	return stage->invariants.commit;
}

/* Within 10 election time-outs of the cut something is committed; then it is healed, and all agree. */
static bool serves_after_cut(struct stage *stage) {
	raft_index before = committed(stage);

	for (raft_usec end = stage->now + 10 * stage->timing.election_min; stage->now < end;) {
		run_with_writes(stage, stage->timing.heartbeat);
		/* What was on its way when the links were cut does not count. */
		if (stage->now + 9 * stage->timing.election_min < end && committed(stage) > before)
			before = committed(stage);
	}
	return committed(stage) > before;
}

static void expect_recovery(struct stage *stage) {
	stage_heal(stage);
	stage_expect(stage, stage_run_until(stage, stage_converged, 5000 * MS), "equal-logs", "the logs differ");
}

static void cut_to_chain(struct stage *stage, const uint32_t *order) {
	for (uint32_t i = 0; i < stage->n; i++) {
		for (uint32_t k = i + 2; k < stage->n; k++)
			stage->cut[order[i]][order[k]] = stage->cut[order[k]][order[i]] = true;
	}
}

/* S1 leads; its place in the chain goes from one end to the other. */
static void chains(void) {
	story_act(
		"Five nodes keep only the links of a chain: those at its ends reach one other node, the three between "
		"reach two, a majority with themselves. The leader S1 finds itself at each place of the chain.");
	for (uint32_t place = 0; place < 5; place++) {
		struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .seed = 20 + place});
		uint32_t order[5] = {2, 3, 4, 5, 5};

		for (uint32_t i = 4; i > place; i--)
			order[i] = order[i - 1];
		order[place] = 1;
		stage_elect(stage, 1);
		stage_run(stage, 100 * MS);
		cut_to_chain(stage, order);
		stage_expect(stage, serves_after_cut(stage), "leader-commits",
			     "nobody commits in the chain with S1 at place %u", place + 1);
		story_say("S%u – S%u – S%u – S%u – S%u: S%u leads and commits, %s.", order[0], order[1], order[2],
			  order[3], order[4], stage_leader(stage),
			  stage_leader(stage) == 1 ? "as before" : "S1 gave up");
		expect_recovery(stage);
		stage_free(stage);
	}
}

static bool both_ways(const struct stage *stage, uint32_t a, uint32_t b) {
	return !stage->cut[a][b] && !stage->cut[b][a];
}

/* One bit for each direction of each link between three nodes. */
static void cut_directions(struct stage *stage, uint32_t subset) {
	static const uint32_t directions[6][2] = {{1, 2}, {2, 1}, {1, 3}, {3, 1}, {2, 3}, {3, 2}};
	for (uint32_t i = 0; i < 6; i++)
		stage->cut[directions[i][0]][directions[i][1]] = subset >> i & 1;
}

static void all_directions(void) {
	uint32_t possible = 0, impossible = 0;

	story_act("Three nodes, S1 leads, and every one of the 64 sets of directions in which messages may be lost.");
	for (uint32_t subset = 0; subset < 64; subset++) {
		struct stage *stage = stage_new(&(struct stage_setup){.nodes = 3, .seed = 100 + subset});

		stage_elect(stage, 1);
		stage_run(stage, 100 * MS);
		cut_directions(stage, subset);
		bool pair = both_ways(stage, 1, 2) || both_ways(stage, 1, 3) || both_ways(stage, 2, 3);
		bool serves = serves_after_cut(stage);
		stage_expect(stage, serves == pair, "leader-commits",
			     "directions cut %02x: %s, although %s two nodes reach each other", subset,
			     serves ? "a leader commits" : "nobody commits", pair ? "some" : "no");
		possible += serves;
		impossible += !serves;
		expect_recovery(stage);
		stage_free(stage);
	}
	story_say("In %u cases two nodes reach each other both ways, and a leader commits. In the other %u nobody can, "
		  "and nobody does.",
		  possible, impossible);
}

static void cut_to_star(struct stage *stage, uint32_t centre) {
	for (uint32_t a = 1; a <= stage->n; a++) {
		for (uint32_t b = 1; b <= stage->n; b++)
			stage->cut[a][b] = a != centre && b != centre;
	}
}

static void star(void) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .seed = 5, .tell = STAGE_TELL_DEEDS});

	story_act("All links are lost but those of S5. S1, which leads, reaches only S5: no majority. S5 hears S1 and "
		  "may "
		  "elect nobody while it does; so S1 has to fall silent.");
	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	cut_to_star(stage, 5);
	stage->tell = STAGE_TELL_ROLES;
	stage_run(stage, 2000 * MS);
	stage->tell = STAGE_TELL_DEEDS;
	stage_expect(stage, serves_after_cut(stage) && stage_leader(stage) == 5, "leader-commits", "S%u leads",
		     stage_leader(stage));
	expect_recovery(stage);
	stage_free(stage);
}

/* The case that no Raft solves: who is connected has not got the log, who has got the log is not connected. */
static void constrained_election(void) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .seed = 5, .tell = STAGE_TELL_DEEDS});

	story_act("The limit. S5 misses the last entry; then all links are lost but those of S5. S5 reaches everybody "
		  "and "
		  "is behind; the others are up to date and reach only S5.");
	stage_elect(stage, 1);
	stage_run(stage, 60 * MS);
	stage_isolate(stage, 5);
	(void)stage_propose(stage, 1, NULL);
	stage_run(stage, 20 * MS);
	cut_to_star(stage, 5);
	/* In flight from S1 to S5, the entry would arrive: S5 is cut off a moment longer. */
	stage->cut[1][5] = true;
	stage_run(stage, 400 * MS);
	stage->cut[1][5] = false;
	stage_show_logs(stage);
	stage_expect(stage, !serves_after_cut(stage), "constrained", "somebody commits");
	story_say("Nobody leads: the election restriction and the majority exclude each other. Raft waits for a link.");
	expect_recovery(stage);
	story_say("With the links back all agree again.");
	stage_free(stage);
}

static void run_q11_partial_partition(void) {
	story_act("S1 leads. The link between S1 and S2 is cut; S3 is connected to both. Writes go on for 1000 "
		  "heartbeats. S2 asks S3 again and again who would elect it.");
	one_cut_link(true);
	story_act(
		"The same without writes, so that the log of S2 is as good as that of S3. Only its promise to S1 makes "
		"S3 refuse.");
	one_cut_link(false);
	chains();
	all_directions();
	star();
	constrained_election();
	story_answer("pre-votes keep the cut-off node's term down, the promise of S3 refuses it, and the leader keeps "
		     "leading as long as a majority answers it. If none does it falls silent, so that it keeps nobody "
		     "from electing another one.");
}

/* ---- q12_jitter ----------------------------------------------------------------------------------------------------
 */

static bool s3_asks(struct stage *stage) {
	return stage_node(stage, 3)->status.role == RAFT_PRECANDIDATE;
}

static bool s3_stands(struct stage *stage) {
	return stage_node(stage, 3)->status.role == RAFT_CANDIDATE;
}

/* S1 leads five nodes with equal logs; its messages to S3 are late by as much as S3's time-out. */
static struct stage *late_heartbeats(bool promises_ignored) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .seed = 12, .tell = STAGE_TELL_ROLES});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	stage->promises_ignored = promises_ignored;
	stage_hold(stage, 1, 3, STAGE_LEADERS);
	stage_tell(stage, STAGE_TELL_DEEDS, "the messages of S1 to S3 are late");
	stage_expect(stage, stage_run_until(stage, s3_asks, 1000 * MS), "impatience", "S3 never asks for votes");
	return stage;
}

static void jitter_in_paper(void) {
	struct stage *stage;

	story_act("Raft as in the paper, where a voter is not bound to a leader it hears.");
	stage = late_heartbeats(true);
	stage_expect(stage, stage_run_until(stage, s3_stands, 100 * MS), "paper-campaign", "S3 does not stand");
	stage_release(stage);
	stage_run(stage, 100 * MS);
	stage_expect(stage, stage_leader(stage) == 3, "paper-s3-wins", "S%u leads", stage_leader(stage));
	story_say("S3 wins: its log is as good as anybody's, and the higher term deposes S1.");
	stage_free(stage);
}

static void jitter_in_paper_with_write(void) {
	struct stage *stage;

	story_act("The same, and S1 writes an entry between S3's question and its candidacy.");
	stage = late_heartbeats(true);
	(void)stage_propose(stage, 1, NULL);
	stage_expect(stage, stage_run_until(stage, s3_stands, 100 * MS), "paper-campaign", "S3 does not stand");
	raft_term term = stage_term(stage, 3);
	stage_run(stage, 100 * MS);
	stage_expect(stage, stage_node(stage, 3)->status.role != RAFT_LEADER, "paper-s3-loses", "S3 leads");
	stage_expect(stage, stage_node(stage, 1)->status.role != RAFT_LEADER || stage_term(stage, 1) > term,
		     "paper-s1-deposed", "S1 leads still");
	story_say("S3 loses, for it lacks that entry. S1 is deposed anyway, by the term: pure disruption.");
	stage_free(stage);
}

static void jitter(void) {
	struct stage *stage;

	story_act("This Raft: whoever hears S1 has promised to elect nobody else.");
	stage = late_heartbeats(false);
	raft_term term = stage_term(stage, 1);
	stage->tell = STAGE_TELL_MESSAGES;
	stage_run(stage, 10 * MS);
	stage->tell = STAGE_TELL_ROLES;
	stage_release(stage);
	stage_run(stage, 3000 * MS);
	expect_undisturbed(stage, 1, term);
	story_say("S1 leads term %" PRIu64 " as before; S3 follows it again.", term);
	stage_free(stage);
}

static void run_q12_jitter(void) {
	jitter_in_paper();
	jitter_in_paper_with_write();
	jitter();
	story_answer("in plain Raft it wins, unless a write comes in between, and even then the leader falls. Here its "
		     "pre-vote is refused by all who hear the leader, and nothing changes.");
}

const struct scenario disruption_scenarios[] = {
	{"q06_rejoin_no_disruption", "Does a member that was cut off disturb the others when it returns?",
	 run_q06_rejoin_no_disruption},
	{"q11_partial_partition",
	 "The leader and one follower do not reach each other, a third reaches both: who leads?",
	 run_q11_partial_partition},
	{"q12_jitter", "One follower's heartbeats are late and all logs are equal: does it become leader?",
	 run_q12_jitter},
	{0},
};
