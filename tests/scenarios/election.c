/* SPDX-License-Identifier: Apache-2.0 */
/* Who is elected, and when. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- q01_vote_matrix -----------------------------------------------------------------------------------------------
 */

/* Behind the founding entry, which every log begins with; so "empty" is a log of that entry alone. */
static const char *const matrix_logs[] = {NULL, "12", "111", "2", "122", ""};

static raft_term matrix_last_term(uint32_t node) {
	size_t n = strlen(matrix_logs[node]);
	return n > 0 ? (raft_term)(matrix_logs[node][n - 1] - '0') : 1;
}

static raft_index matrix_last_index(uint32_t node) {
	return strlen(matrix_logs[node]) + 1;
}

/* Paper §5.4.1, and nothing else. */
static bool matrix_oracle(uint32_t candidate, uint32_t voter, bool voted, bool promised) {
	raft_term of_candidate = matrix_last_term(candidate), of_voter = matrix_last_term(voter);
	bool up_to_date = of_candidate > of_voter ||
			  (of_candidate == of_voter && matrix_last_index(candidate) >= matrix_last_index(voter));
	return up_to_date && !voted && !promised;
}

/* The voter's answer to VOTE of term 3. */
static bool matrix_ask(struct stage *stage, uint32_t candidate, uint32_t voter) {
	stage->n_kept = 0;
	stage_hold(stage, voter, candidate, STAGE_TYPE(RAFT_VOTE_REPLY));
	stage_deliver(stage, &(struct raft_message){.type = RAFT_VOTE,
						    .group = 1,
						    .from = candidate,
						    .to = voter,
						    .term = 3,
						    .index = matrix_last_index(candidate),
						    .index_term = matrix_last_term(candidate),
						    .round = 1});
	stage_run(stage, 5 * MS);
	stage_expect(stage, stage->n_kept == 1, "answer", "S%u gives S%u %zu answers", voter, candidate, stage->n_kept);
	return !(stage->kept[0].message.flags & RAFT_FLAG_REJECT);
}

static bool matrix_case(uint32_t candidate, uint32_t voter, bool voted, bool promised) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .patient = true});
	uint32_t third = 1; /* neither of the two */

	while (third == candidate || third == voter)
		third++;
	for (uint32_t n = 1; n <= 5; n++)
		stage_rewrite(stage, n, n == voter && voted ? 3 : 2, n == voter && voted ? third : 0, matrix_logs[n]);
	/* A restarted voter has to assume that it promised something to a leader just before. */
	stage_crash(stage, voter);
	stage_restart(stage, voter);
	if (!promised)
		stage_run(stage, stage->promise_ms * MS);

	bool granted = matrix_ask(stage, candidate, voter);
	stage_expect(stage, granted == matrix_oracle(candidate, voter, voted, promised), "vote-as-paper",
		     "S%u %s S%u (voted for another: %d, under a promise: %d)", voter, granted ? "elects" : "refuses",
		     candidate, voted, promised);
	stage_expect(stage, stage_term(stage, voter) == (voted || !promised ? 3 : 2), "term-adopted",
		     "S%u is in term %" PRIu64, voter, stage_term(stage, voter));
	stage_free(stage);
	return granted;
}

static void matrix_print_row(uint32_t voter) {
	static const char *const written[] = {NULL, "1 1 2", "1 1 1 1", "1 2", "1 1 2 2", "1"};
	printf("    S%u  %-8s", voter, written[voter]);
	for (uint32_t candidate = 1; candidate <= 5; candidate++) {
		if (candidate == voter)
			printf("   · ");
		else
			printf("  %s", matrix_case(candidate, voter, false, false) ? "yes" : " no");
	}
	printf("\n");
}

static void run_q01_vote_matrix(void) {
	uint32_t granted = 0, asked = 0;

	story_act("Five nodes with different logs; each is asked by each of the others for its vote in term 3.");
	printf("    voter and log  S1   S2   S3   S4   S5 asks\n");
	for (uint32_t voter = 1; voter <= 5; voter++)
		matrix_print_row(voter);
	story_say("The term of the last entry decides (S3 beats S2 with half its entries), then the length.");

	story_act("The same 20 pairs when the voter has voted for a third node in term 3, and when it has promised a "
		  "leader not to elect anybody.");
	for (uint32_t voter = 1; voter <= 5; voter++) {
		for (uint32_t candidate = 1; candidate <= 5; candidate++) {
			for (int i = 1; candidate != voter && i < 4; i++) {
				granted += matrix_case(candidate, voter, i & 1, i & 2);
				asked++;
			}
		}
	}
	story_say("%u votes asked for, %u granted.", asked, granted);
	story_answer("a vote is given iff the candidate's (last term, last index) is not behind the voter's, the voter "
		     "has not voted for another node in that term, and no promise binds it. A refusal still adopts the "
		     "higher term, unless a promise is the reason.");
}

/* ---- q01_trigger ---------------------------------------------------------------------------------------------------
 */

static bool s2_campaigns(struct stage *stage) {
	return stage_node(stage, 2)->status.role != RAFT_FOLLOWER;
}

/* How long after the last heartbeat of S1 has reached S2 does S2 ask for pre-votes? If `refused`, S3 asks S2 for its
 * vote half a time-out after that heartbeat, in vain, since its log is behind. */
static raft_usec trigger_wait(uint64_t seed, bool refused, enum stage_tell tell) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 3, .seed = seed, .tell = tell});
	struct stage_node *voter = stage_node(stage, 2);
	raft_usec heard;

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS + seed % 50 * MS);
	stage_drop(stage, 1, 2, STAGE_LEADERS);
	stage_tell(stage, STAGE_TELL_DEEDS, "from here on nothing of S1 leaves for S2");
	stage_run(stage, 2 * MS);
	heard = voter->status.promise_until - stage->promise_ms * MS - voter->offset;

	if (refused) {
		stage_run(stage, heard + stage->timing.election_min / 2 - stage->now);
		stage_deliver(stage, &(struct raft_message){.type = RAFT_VOTE,
							    .group = 1,
							    .from = 3,
							    .to = 2,
							    .term = 2 + stage_term(stage, 2),
							    .index = 1,
							    .index_term = 1,
							    .round = 1});
	}
	stage_expect(stage, stage_run_until(stage, s2_campaigns, 2 * stage->timing.election_max), "campaign",
		     "S2 never asks for votes");
	raft_usec wait = stage->now - heard;
	stage_expect(stage, wait >= stage->timing.election_min && wait < stage->timing.election_max, "trigger-window",
		     "seed %" PRIu64 ": S2 asks for votes after %.3f ms", seed, (double)wait / 1000);
	stage_free(stage);
	return wait;
}

static void run_q01_trigger(void) {
	enum { SEEDS = 200 };
	raft_usec shortest = UINT64_MAX, longest = 0;

	story_act("S1 leads, then S2 hears nothing more of it. The election time-out is between 400 and 800 ms.");
	(void)trigger_wait(1, false, STAGE_TELL_ROLES);

	story_act("The same with %d seeds; and each once more with a vote that S3 asks for in between and S2 refuses.",
		  SEEDS);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		raft_usec wait = trigger_wait(seed, false, STAGE_TELL_NOTHING);
		raft_usec disturbed = trigger_wait(seed, true, STAGE_TELL_NOTHING);

		if (wait != disturbed)
			stage_fail("refusal-is-no-contact",
				   "seed %" PRIu64 ": S2 waits %.3f ms, and %.3f ms if it refuses a vote in between",
				   seed, (double)wait / 1000, (double)disturbed / 1000);
		shortest = wait < shortest ? wait : shortest;
		longest = wait > longest ? wait : longest;
	}
	story_say("S2 asked for votes after %.3f ms at the earliest and %.3f ms at the latest; a refused vote changed "
		  "none of it.",
		  (double)shortest / 1000, (double)longest / 1000);
	story_answer(
		"a follower stands for election when it has neither heard a leader nor given a vote for a time drawn "
		"from [E, 2E); refusing somebody is neither.");
}

/* ---- q09_split_vote ------------------------------------------------------------------------------------------------
 */

/* S1 and S2 stand in the same term; S1's request reaches S3 first and S2's reaches S4 first. */
static struct stage *split_vote(uint64_t seed, enum stage_tell tell) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 4, .seed = seed, .tell = tell});

	stage_delay(stage, 1, 4, STAGE_TYPE(RAFT_VOTE), 5 * MS);
	stage_delay(stage, 2, 3, STAGE_TYPE(RAFT_VOTE), 5 * MS);
	stage_campaign(stage, 1);
	stage_campaign(stage, 2);
	stage_run(stage, 20 * MS);
	stage_expect(stage, stage_term(stage, 1) == 2 && stage_term(stage, 2) == 2, "same-term", "S1 and S2 differ");
	stage_expect(stage, stage_leader(stage) == 0, "split", "S%u leads", stage_leader(stage));
	return stage;
}

/* Terms from the split one to the first with a leader. */
static raft_term rounds_until_leader(uint64_t seed, enum stage_tell tell) {
	struct stage *stage = split_vote(seed, tell);

	stage_expect(stage, stage_await_leader(stage, 10000 * MS) != 0, "leader-after-split", "nobody ever leads");
	raft_term rounds = stage_term_max(stage) - 2;
	stage_free(stage);
	return rounds;
}

static void run_q09_split_vote(void) {
	enum { SEEDS = 1000, ROUNDS_MAX = 5 };
	uint32_t late = 0;
	raft_term most = 0;

	story_act("Four nodes; S1 and S2 stand in the same term, and each gets two votes of four, its own and "
		  "another's.");
	(void)rounds_until_leader(4, STAGE_TELL_MESSAGES);
	story_act("%d times with other time-outs.", SEEDS);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		raft_term rounds = rounds_until_leader(seed, STAGE_TELL_NOTHING);

		late += rounds > ROUNDS_MAX;
		most = rounds > most ? rounds : most;
	}
	story_say("Nobody ever led the term of the split vote; all but %u had a leader within %d more terms (at most "
		  "%" PRIu64 ").",
		  late, ROUNDS_MAX, most);
	if (late > SEEDS / 1000)
		stage_fail("rounds", "%u of %d needed more than %d terms", late, SEEDS, ROUNDS_MAX);
	story_answer(
		"one of them wins if it still gets a majority. If none does, the term has no leader, and time-outs "
		"drawn at random break the tie.");
}

/* ---- q09_no_self_vote ----------------------------------------------------------------------------------------------
 */

static void one_of_three_down(void) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 3, .seed = 9, .tell = STAGE_TELL_MESSAGES});

	story_act("Three nodes, S3 is down. S1 needs two votes: its own and that of S2.");
	stage_crash(stage, 3);
	stage_elect(stage, 1);
	stage_free(stage);
}

static void crash_before_own_vote(void) {
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 3, .seed = 9, .tell = STAGE_TELL_MESSAGES, .patient = true});

	story_act("S1 stands in term 2, but its disk does not come round to store its vote for itself. It asks nobody "
		  "yet, and counts nothing.");
	stage_freeze_disk(stage, 1);
	stage_campaign(stage, 1);
	stage_run(stage, 50 * MS);
	stage_expect(stage, stage_node(stage, 1)->status.role == RAFT_CANDIDATE, "waits", "S1 is no candidate");
	stage_expect(stage, stage_node(stage, 1)->disk_vote == 0, "not-durable", "its vote is stored");
	stage_crash(stage, 1);

	story_act(
		"S1 restarts and knows of no vote. S2 stands in the same term; S1 votes for it. That is its first vote "
		"in term 2, since the other one never left S1.");
	stage_thaw_disk(stage, 1);
	stage_restart(stage, 1);
	stage_run(stage, 250 * MS);
	stage_elect(stage, 2);
	stage_expect(stage, stage_term(stage, 2) == 2, "same-term", "S2 leads term %" PRIu64, stage_term(stage, 2));
	stage_free(stage);
}

static void run_q09_no_self_vote(void) {
	one_of_three_down();
	crash_before_own_vote();
	story_answer("without its own vote a candidate of a 3-node cluster could never win while one node is down. It "
		     "counts when it is on disk and not before, like every other vote; else a crash would let the node "
		     "vote a second time.");
}

const struct scenario election_scenarios[] = {
	{"q01_vote_matrix", "Who gets a vote?", run_q01_vote_matrix},
	{"q01_trigger", "When does a follower stand for election?", run_q01_trigger},
	{"q09_split_vote", "Can simultaneous candidates succeed?", run_q09_split_vote},
	{"q09_no_self_vote", "Why does a candidate vote for itself, and when does that count?", run_q09_no_self_vote},
	{0},
};
