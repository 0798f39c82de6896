/* SPDX-License-Identifier: Apache-2.0 */
/* What a node does after a crash, and what it must not do after a loss. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>

/* ---- q08_restart_follower ------------------------------------------------------------------------------------------
 */

static void restart_again_and_again(void) {
	enum { RESTARTS = 1000 };
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 3, .seed = 8, .tell = STAGE_TELL_ROLES});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	raft_term term = stage_term(stage, 1);
	stage_crash(stage, 2);
	stage_restart(stage, 2);
	stage_run(stage, 1000 * MS);
	stage->tell = STAGE_TELL_NOTHING;
	for (int i = 1; i < RESTARTS; i++) {
		stage_crash(stage, 2);
		stage_run(stage, prng_range(&stage->prng, 0, 30 * MS));
		stage_restart(stage, 2);
		stage_run(stage, prng_range(&stage->prng, 0, 100 * MS));
		stage_expect(stage, stage_node(stage, 2)->status.role == RAFT_FOLLOWER, "starts-as-follower",
			     "S2 stands for election");
		stage_expect(stage, stage_leader(stage) == 1 && stage_term_max(stage) == term, "term-unchanged",
			     "term %" PRIu64 " after %d restarts", stage_term_max(stage), i);
	}
	story_say("After %d restarts of S2 S1 leads term %" PRIu64 " as before.", RESTARTS, term);
	stage_free(stage);
}

static raft_usec restart_all(uint64_t seed) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 3, .seed = seed});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	for (uint32_t n = 1; n <= 3; n++)
		stage_crash(stage, n);
	for (uint32_t n = 1; n <= 3; n++)
		stage_restart(stage, n);
	raft_usec begin = stage->now;
	stage_expect(stage, stage_await_leader(stage, 10000 * MS) != 0, "leader-after-restart", "nobody leads");
	raft_usec took = stage->now - begin;
	stage_free(stage);
	return took;
}

static void run_q08_restart_follower(void) {
	enum { SEEDS = 500 };
	uint32_t late = 0;

	story_act("S1 leads; S2 is restarted a thousand times.");
	restart_again_and_again();

	story_act("All three are restarted at once, %d times. 3 election time-outs are 1200 ms.", SEEDS);
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		late += restart_all(seed) > 3 * 400 * MS;
	story_say("%s had a leader within that time.", late == 0 ? "All" : late <= SEEDS / 100 ? "All but 1 %" : "Few");
	if (late > SEEDS / 100)
		stage_fail("leader-soon", "%u of %d had no leader after 3 election time-outs", late, SEEDS);
	story_answer(
		"starting as candidate would be safe, and harmful: it would depose a healthy leader, and nodes that "
		"restart together would collide. As a follower a node is found by the leader within a heartbeat; it "
		"honours a promise that it may have given just before the crash.");
}

/* ---- q15 -----------------------------------------------------------------------------------------------------------
 * The core cannot know that its disk has lost something: whoever embeds it has to (lockd keeps its store's identity and
 * a mark of what was acknowledged beside the log, and stays down if they do not fit). So each scenario plays the
 * careless embedder, which must break the named invariant, and the careful one, which leaves the node down.
 */

static void lose_vote(struct stage *stage, uint32_t node) {
	stage_tell(stage, STAGE_TELL_DEEDS, "the disk of S%u loses the row with term and vote", node);
	stage_node(stage, node)->disk_vote = 0;
	stage_node(stage, node)->lossy = true;
}

static void lose_tail(struct stage *stage, uint32_t node) {
	stage_tell(stage, STAGE_TELL_DEEDS, "the disk of S%u loses entry %" PRIu64, node,
		   stage_node(stage, node)->disk.last);
	stage_node(stage, node)->disk.last--;
	stage_node(stage, node)->lossy = true;
}

static void start(struct stage *stage, uint32_t node, bool careful) {
	if (careful && stage_node(stage, node)->lossy)
		stage_tell(stage, STAGE_TELL_DEEDS, "S%u notices, and stays down", node);
	else
		stage_restart(stage, node);
}

/* S1 is elected in term 2 by S3, which then crashes and forgets; S1 reaches nobody, so that S2 stands as well. */
static void lost_vote(bool careful) {
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 3, .tell = STAGE_TELL_MESSAGES, .patient = true});

	stage_partition(stage, 1u << 1, 1u << 2);
	stage_drop(stage, 1, 3, STAGE_LEADERS);
	stage_stand(stage, 1);
	stage_crash(stage, 3);
	lose_vote(stage, 3);
	stage_cut(stage, 1, 3);
	if (!careful) {
		stage->tolerated = "I6";
		stage->forgiven = "I1";
	}
	start(stage, 3, careful);
	stage_run(stage, 250 * MS);
	stage_campaign(stage, 2);
	stage_run(stage, 300 * MS);
	if (!careful && !stage->over)
		stage_fail("violation", "a lost vote goes unnoticed");
	stage_expect(stage, stage_node(stage, 2)->status.role != RAFT_LEADER, "no-second-leader", "S2 leads");
	stage_free(stage);
}

static void run_q15_lost_vote(void) {
	story_act("S3 has voted for S1 in term 2 and then loses its vote. Careless: it starts from what is left. S2, "
		  "which "
		  "knows nothing of S1's election, asks it in the same term.");
	lost_vote(false);
	story_act("Careful: a store that has lost what it acknowledged does not vote. S2 asks in vain.");
	lost_vote(true);
	story_answer("no: it may vote twice in one term. It has to come back as a new node, with a new identity.");
}

static bool s1_commits_3(struct stage *stage) {
	return stage_node(stage, 1)->status.commit >= 3;
}

/* Entry 3 is committed on S1, S2 and S3; S3 loses it, S1 and S2 die, and S4 stands. */
static struct stage *lost_tail(bool careful) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .tell = STAGE_TELL_ROLES, .patient = true});

	stage_elect(stage, 1);
	stage_run(stage, 60 * MS);
	stage_drop(stage, 1, 4, STAGE_LEADERS);
	stage_drop(stage, 1, 5, STAGE_LEADERS);
	(void)stage_propose(stage, 1, NULL);
	stage_expect(stage, stage_run_until(stage, s1_commits_3, 100 * MS), "commit", "entry 3 is not committed");
	stage_crash(stage, 3);
	lose_tail(stage, 3);
	stage_crash(stage, 1);
	stage_crash(stage, 2);
	stage_show_logs(stage);
	stage_discard(stage);

	stage->forgiven = careful ? NULL : "I3";
	start(stage, 3, careful);
	stage_run(stage, 250 * MS);
	stage_campaign(stage, 4);
	stage_run(stage, 1000 * MS);
	if (!careful && !stage->over)
		stage_fail("violation", "a lost entry goes unnoticed");
	stage_expect(stage, stage_leader(stage) == 0, "no-leader", "S%u leads", stage_leader(stage));
	return stage;
}

static void run_q15_lost_tail(void) {
	struct stage *stage;

	story_act("Entry 3 is committed on S1, S2 and S3. S3 loses its last entry, then S1 and S2 die. Careless: S3 "
		  "starts from what is left, and votes.");
	stage_free(lost_tail(false));
	story_act("Careful: a store that has lost what it acknowledged does not vote. S4 and S5 are no majority.");
	stage = lost_tail(true);
	story_act("S1 returns with the entry, and leads.");
	stage_restart(stage, 1);
	stage_run(stage, 250 * MS);
	stage_elect(stage, 1);
	stage_run(stage, 60 * MS);
	stage_show_logs(stage);
	stage_free(stage);
	story_answer(
		"no: a committed entry may then be on less than a majority, and a leader without it is elected. It "
		"has to come back as a new node, with a new identity.");
}

const struct scenario restart_scenarios[] = {
	{"q08_restart_follower", "Why does a node restart as a follower and not as a candidate?",
	 run_q08_restart_follower},
	{"q15_lost_vote", "A node has lost its vote. May it rejoin?", run_q15_lost_vote},
	{"q15_lost_tail", "A node has lost the tail of its log. May it rejoin?", run_q15_lost_tail},
	{0},
};
