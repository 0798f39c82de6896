/* SPDX-License-Identifier: Apache-2.0 */
/* What counts as committed, across leaders. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>

/* Longer than any promise: voters are free again. */
static void wait_for_promises(struct stage *stage) {
	stage_run(stage, (stage->promise_ms + 20) * MS);
}

/* ---- q03_figure8 ---------------------------------------------------------------------------------------------------
 */

static bool s2_has_2(struct stage *stage) {
	return stage_node(stage, 2)->disk.last == 2;
}

static bool s1_knows_s3_has_2(struct stage *stage) {
	struct raft_peer peer;
	return raft_get_peer(stage_node(stage, 1)->raft, 3, &peer) && peer.match == 2;
}

static void figure8_act(const struct stage *stage, const char *text) {
	if (stage->tell != STAGE_TELL_NOTHING)
		story_act("%s", text);
}

/* Steps (a) to (c) of the figure up to the moment in which S1, leader of term 4, knows entry 2 of term 2 on S1, S2 and
 * S3. The no-op that every leader begins with serves as the entry of its term. */
static struct stage *figure8(enum stage_tell tell) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .tell = tell, .patient = true});

	stage->append_max = 1;
	figure8_act(stage, "(a) S1 leads term 2; its entry 2 reaches S2 only.");
	for (uint32_t other = 3; other <= 5; other++)
		stage_drop(stage, 1, other, STAGE_APPENDS);
	stage_campaign(stage, 1);
	stage_expect(stage, stage_run_until(stage, s2_has_2, 100 * MS), "append", "S2 lacks entry 2");
	stage_crash(stage, 1);
	stage_show_logs(stage);

	figure8_act(
		stage,
		"(b) S5 is elected in term 3 by S3, S4 and itself, and appends an entry 2 of its own, which reaches "
		"nobody.");
	stage_discard(stage);
	stage_drop(stage, 5, 0, STAGE_APPENDS);
	wait_for_promises(stage);
	stage_stand(stage, 5);
	stage_run(stage, 10 * MS);
	stage_crash(stage, 5);
	stage_show_logs(stage);

	figure8_act(stage,
		    "(c) S1 restarts, leads term 4, and copies entry 2 of term 2 to S3. That makes three of five.");
	stage_discard(stage);
	stage_drop(stage, 1, 2, STAGE_APPENDS);
	stage_cut(stage, 1, 4);
	stage_restart(stage, 1);
	wait_for_promises(stage);
	stage_stand(stage, 1);
	stage_expect(stage, stage_run_until(stage, s1_knows_s3_has_2, 500 * MS), "append", "S3 lacks entry 2");
	stage_show_logs(stage);
	return stage;
}

static bool s2_and_s3_have_3(struct stage *stage) {
	return stage_node(stage, 2)->disk.last == 3 && stage_node(stage, 3)->disk.last == 3;
}

static void figure8_overwritten(void) {
	struct stage *stage = figure8(STAGE_TELL_ROLES);

	stage_expect(stage, stage_node(stage, 1)->status.commit < 2, "old-term-uncommitted", "S1 commits %" PRIu64,
		     stage_node(stage, 1)->status.commit);
	story_say("Entry 2 of term 2 is on a majority, S1 knows it, and does not commit it.");

	story_act(
		"(d) S1 crashes before its own entry 3 of term 4 gets anywhere. S5 restarts. Its last entry is of term "
		"3, so S2, S3 and S4 elect it, and it overwrites entry 2.");
	stage->cut[1][3] = true;
	stage_crash(stage, 1);
	stage_run(stage, 2 * MS);
	stage_discard(stage);
	stage_heal(stage);
	stage_restart(stage, 5);
	wait_for_promises(stage);
	stage_elect(stage, 5);
	stage_run(stage, 100 * MS);
	stage_show_logs(stage);
	stage_expect(stage, invariants_committed(stage, 2) == 3, "entry-of-term-3",
		     "entry 2 is committed in term %" PRIu64, invariants_committed(stage, 2));
	stage_free(stage);
}

static void figure8_kept(void) {
	struct stage *stage = figure8(STAGE_TELL_NOTHING);

	stage->tell = STAGE_TELL_ROLES;
	story_act("(e) The same up to (c), but entry 3 of term 4 reaches S2 and S3 before S1 crashes.");
	stage_discard(stage);
	stage_expect(stage, stage_run_until(stage, s2_and_s3_have_3, 200 * MS), "append", "S2 or S3 lacks entry 3");
	stage_run(stage, 3 * MS);
	stage_expect(stage, invariants_committed(stage, 2) == 2, "committed-with-term-4", "entry 2 is not committed");
	stage_crash(stage, 1);
	stage_heal(stage);
	stage_show_logs(stage);

	story_act("S5 restarts and asks for votes again and again; nobody but S4 would elect it.");
	stage_restart(stage, 5);
	stage->tell = STAGE_TELL_DEEDS;
	for (int i = 0; i < 20; i++) {
		wait_for_promises(stage);
		stage_campaign(stage, 5);
		stage_expect(stage, stage_node(stage, 5)->elections_won == 1, "election-restriction",
			     "S5 leads term %" PRIu64, stage_term(stage, 5));
	}
	story_say("S5 has asked for 4 seconds, and leads nothing.");
	stage->tell = STAGE_TELL_ROLES;
	story_act("S3 asks.");
	stage_elect(stage, 3);
	stage_run(stage, 100 * MS);
	stage_show_logs(stage);
	stage_expect(stage, invariants_committed(stage, 2) == 2, "entry-of-term-2", "entry 2 is another one");
	stage_free(stage);
}

static void run_q03_figure8(void) {
	figure8_overwritten();
	story_say("Being on a majority did not make it committed: it is gone.");
	figure8_kept();
	story_answer("a leader commits by counting only entries of its own term. Those before them follow, because who "
		     "has the newer entry has them too and who lacks it cannot be elected.");
}

/* ---- q16_old_leader_commits ----------------------------------------------------------------------------------------
 */

/* S1 leads term 2, and its entry 3 is on S1 and S2. Nothing but S5 hears S1 any more. */
static struct stage *old_leader(const char *which) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .tell = STAGE_TELL_ROLES, .patient = true});

	story_act("%s S1 leads term 2, and is asked for a write. Entry 3 reaches S2; on its way to S5 it is held up.",
		  which);
	stage_elect(stage, 1);
	stage_run(stage, 20 * MS);
	stage_drop(stage, 1, 3, STAGE_APPENDS);
	stage_drop(stage, 1, 4, STAGE_APPENDS);
	stage_hold(stage, 1, 5, STAGE_APPENDS);
	stage_propose(stage, 1, NULL);
	stage_run(stage, 10 * MS);
	stage_show_logs(stage);
	return stage;
}

static bool s1_commits_3(struct stage *stage) {
	return stage_node(stage, 1)->status.commit >= 3;
}

static void old_leader_finishes(void) {
	struct stage *stage = old_leader("The new leader has the entry.");

	story_act("S1 loses S2, S3 and S4; S2 loses S5. When their promises to S1 have ended, S2, S3 and S4 elect S2.");
	stage_partition(stage, 1u << 1, 1u << 2 | 1u << 3 | 1u << 4);
	stage_partition(stage, 1u << 2, 1u << 5);
	wait_for_promises(stage);
	stage_stand(stage, 2);
	stage_expect(stage, raft_term_at(stage_node(stage, 2)->raft, 3) == 2, "new-leader-has-entry",
		     "S2 leads without entry 3");

	story_act("S5 has heard nothing of term 3. The entry of S1, which believes to lead still, arrives there.");
	stage_release(stage);
	stage_expect(stage, stage_run_until(stage, s1_commits_3, 150 * MS), "old-leader-commits",
		     "S1 does not commit entry 3");
	stage_show_logs(stage);
	stage_expect(stage, stage_leader(stage) == 2 && stage_node(stage, 1)->status.role == RAFT_LEADER, "two-leaders",
		     "S1 and S2 do not lead at the same time");
	story_say("Two leaders at the same time, of different terms; the older one has just answered its client.");

	story_act("All links work again.");
	stage_heal(stage);
	stage_expect(stage, stage_run_until(stage, stage_converged, 1000 * MS), "equal-logs", "the logs differ");
	stage_show_logs(stage);
	stage_expect(stage, stage_count(stage, 1, STAGE_OK) == 1, "one-answer", "the client heard something else");
	stage_free(stage);
}

static void old_leader_too_late(void) {
	struct stage *stage = old_leader("The new leader lacks the entry.");

	story_act("S3, which lacks entry 3, is elected by S3, S4 and S5.");
	stage_partition(stage, 1u << 1 | 1u << 2, 1u << 3 | 1u << 4);
	wait_for_promises(stage);
	stage_drop(stage, 1, 5, STAGE_HEARTBEATS);
	wait_for_promises(stage);
	stage_stand(stage, 3);
	stage_run(stage, 10 * MS);

	story_act("S1's entry arrives at S5, which belongs to term 3 and refuses it.");
	stage_release(stage);
	stage_run(stage, 300 * MS);
	stage_show_logs(stage);
	stage_expect(stage, invariants_committed(stage, 3) != 2, "old-leader-fails", "S1 has committed entry 3");
	stage_expect(stage, stage_node(stage, 1)->status.role != RAFT_LEADER, "old-leader-deposed", "S1 leads still");

	story_act("All links work again.");
	stage_heal(stage);
	stage_expect(stage, stage_run_until(stage, stage_converged, 1000 * MS), "equal-logs", "the logs differ");
	stage_show_logs(stage);
	stage_expect(stage, stage_count(stage, 1, STAGE_OK) == 0, "no-answer", "the client heard a yes");
	stage_free(stage);
}

static void run_q16_old_leader_commits(void) {
	old_leader_finishes();
	old_leader_too_late();
	story_answer("yes, and it does no harm: a majority that holds the entry in the old term shares a node with the "
		     "majority that elected the new leader, and that node had the entry before it voted, so the new "
		     "leader has it. If the new leader lacks it, no such majority is left.");
}

const struct scenario commit_scenarios[] = {
	{"q03_figure8", "Is an entry committed once it is on a majority?", run_q03_figure8},
	{"q16_old_leader_commits", "May a deposed leader still finish committing an old entry?",
	 run_q16_old_leader_commits},
	{0},
};
