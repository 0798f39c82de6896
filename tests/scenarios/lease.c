/* SPDX-License-Identifier: Apache-2.0 */
/* The leader's lease: how long it may answer reads by itself, and what would make it a lie. I13 (invariants.h) is
 * checked after every step: while a leader has a lease, nobody leads a later term. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>

static bool other_leads(struct stage *stage) {
	return stage_leader(stage) > 1;
}

static bool lease_is_over(struct stage *stage) {
	return !stage_has_lease(stage, 1);
}

/* S2 asks for votes all the time, so that only promises to S1 keep it and S3 from electing it. */
static void elect_impatiently(struct stage *stage, raft_usec limit, raft_usec *ret_lease_over) {
	*ret_lease_over = lease_is_over(stage) ? stage->now : 0;
	for (raft_usec end = stage->now + limit; stage->now < end && !other_leads(stage) && !stage->over;) {
		if (stage_node(stage, 2)->status.role == RAFT_FOLLOWER)
			stage_campaign(stage, 2);
		(void)stage_run_until(stage, other_leads, 1 * MS);
		if (*ret_lease_over == 0 && lease_is_over(stage))
			*ret_lease_over = stage->now;
	}
	stage_expect(stage, other_leads(stage), "new-leader", "nobody leads without S1");
	stage_expect(stage, *ret_lease_over != 0, "lease-ends", "the lease of S1 does not end");
}

/* ---- q07_lease_rate ------------------------------------------------------------------------------------------------
 */

static raft_usec gap(uint64_t leader_ppm, uint64_t others_ppm, raft_usec offset, enum stage_tell tell) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 3, .tell = tell, .leader_lease = true});
	raft_usec lease_over;

	stage_node(stage, 1)->ppm = leader_ppm;
	stage_node(stage, 2)->ppm = stage_node(stage, 3)->ppm = others_ppm;
	stage_elect(stage, 1);
	stage_run(stage, 300 * MS + offset);
	stage_expect(stage, stage_has_lease(stage, 1), "lease", "S1 has no lease");
	stage_isolate(stage, 1);
	elect_impatiently(stage, 3000 * MS, &lease_over);
	stage_expect(stage, lease_over <= stage->now, "lease-before-leader", "S1 has a lease still");
	raft_usec between = stage->now - lease_over;
	stage_free(stage);
	return between;
}

static void run_q07_lease_rate(void) {
	static const uint64_t rates[] = {900000, 1000000, 1100000};
	const raft_usec quarter = 50 * MS / 4;
	raft_usec shortest = UINT64_MAX;
	uint32_t cases = 0;

	story_act("S1 leads with a lease and is cut off. Its clock is slow by 10 %%, those of S2 and S3 are fast by 10 "
		  "%%: "
		  "the worst that may be. S2 asks for votes all the time.");
	(void)gap(900000, 1100000, 0, STAGE_TELL_ROLES);

	story_act("Slow, right and fast clocks on both sides, S1 cut off at every quarter of a heartbeat.");
	for (int leader = 0; leader < 3; leader++) {
		for (int others = 0; others < 3; others++) {
			for (raft_usec offset = 0; offset < 8 * quarter; offset += quarter) {
				raft_usec between = gap(rates[leader], rates[others], offset, STAGE_TELL_NOTHING);
				shortest = between < shortest ? between : shortest;
				cases++;
			}
		}
	}
	story_say("In all %u cases the lease was over when the next leader came, %.3f ms before at least.", cases,
		  (double)shortest / 1000);
	story_answer(
		"until the promises of a majority end, counted from when the heartbeat was sent that they answered, "
		"and shortened by (1 - r) / (1 + r) for clocks that may be off by r.");
}

/* ---- q07_lease_restart ---------------------------------------------------------------------------------------------
 */

static void run_q07_lease_restart(void) {
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 3, .tell = STAGE_TELL_ROLES, .leader_lease = true});
	raft_usec lease_over;

	story_act("S1 leads with a lease. S2 and S3 answer a heartbeat, crash, and restart at once; S1 is cut off.");
	stage_elect(stage, 1);
	stage_run(stage, 305 * MS);
	stage_isolate(stage, 1);
	raft_usec begin = stage->now;
	for (uint32_t n = 2; n <= 3; n++) {
		stage_crash(stage, n);
		stage_restart(stage, n);
	}
	story_say(
		"The lease of S1 goes on for %.3f ms. The promise was in the memory of S2 and S3, but how long one may "
		"last is on their disks.",
		(double)(stage_node(stage, 1)->status.lease_until - stage_clock(stage, 1)) / 1000);
	elect_impatiently(stage, 3000 * MS, &lease_over);
	story_say("The next leader came %.3f ms after the restart, %.3f ms after the end of the lease.",
		  (double)(stage->now - begin) / 1000, (double)(stage->now - lease_over) / 1000);
	stage_expect(stage, stage->now - begin >= stage->promise_ms * MS, "promise-after-restart",
		     "somebody leads after %.3f ms", (double)(stage->now - begin) / 1000);
	stage_free(stage);
	story_answer(
		"a restarted voter cannot know what it has promised, so it behaves as if it had promised the longest "
		"time just now.");
}

/* ---- q07_lease_transfer_delay --------------------------------------------------------------------------------------
 */

static struct stage *with_lease(void) {
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 3, .tell = STAGE_TELL_ROLES, .leader_lease = true});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	stage_expect(stage, stage_has_lease(stage, 1), "lease", "S1 has no lease");
	return stage;
}

static void transfer_in_time(void) {
	struct stage *stage = with_lease();
	raft_usec begin = stage->now;

	stage_tell(stage, STAGE_TELL_DEEDS, "S1 is to hand over to S2");
	stage_step(stage, 1, &(struct raft_event){.kind = RAFT_TRANSFER, .peer = 2});
	stage_expect(stage, !stage_has_lease(stage, 1), "lease-given-up", "S1 has its lease still");
	stage_expect(stage, stage_run_until(stage, other_leads, 100 * MS) && stage_leader(stage) == 2, "transfer",
		     "S%u leads", stage_leader(stage));
	story_say("S2 leads %.3f ms later, in spite of all promises to S1.", (double)(stage->now - begin) / 1000);
	stage_free(stage);
}

static bool lease_is_back(struct stage *stage) {
	return stage_has_lease(stage, 1);
}

/* What S1 asked S2 arrives long after S1 has given up; S2 then has what S1 appended since, or not. */
static void transfer_too_late(bool fenced) {
	struct stage *stage = with_lease();

	stage_hold(stage, 1, 2, STAGE_TYPE(RAFT_TIMEOUT_NOW) | (fenced ? 0 : STAGE_APPENDS));
	stage_tell(stage, STAGE_TELL_DEEDS, "S1 is to hand over to S2, but the request is held up");
	stage_step(stage, 1, &(struct raft_event){.kind = RAFT_TRANSFER, .peer = 2});
	stage_expect(stage, !stage_has_lease(stage, 1), "lease-given-up", "S1 has its lease still");
	stage_expect(stage, stage_run_until(stage, lease_is_back, 1000 * MS), "lease-back",
		     "S1 gets no lease any more");
	stage_tell(stage, STAGE_TELL_DEEDS, "S1 has given up the attempt, and has a lease again");
	stage_run(stage, stage->timing.election_min * 3 / 2);
	stage_tell(stage, STAGE_TELL_DEEDS, "the request arrives at S2; S1 and S2 lose each other");
	stage_discard_types(stage, STAGE_APPENDS);
	stage_release(stage);
	stage_run(stage, 1 * MS);
	stage->cut[1][2] = stage->cut[2][1] = true;
	stage_run(stage, 300 * MS);
	stage_show_logs(stage);
	stage_expect(stage, stage_node(stage, 2)->elections_won == 0, "late-request-refused", "S2 leads");
	stage_heal(stage);
	stage_expect(stage, stage_run_until(stage, stage_converged, 5000 * MS), "equal-logs", "the logs differ");
	stage_free(stage);
}

static void run_q07_lease_transfer_delay(void) {
	story_act("S1 hands over to S2. For that it gives up its lease first.");
	transfer_in_time();
	story_act("The request to S2 is late. S1 goes on after the shortest election time-out, appends an entry as a "
		  "fence, "
		  "and has its lease back when that is committed. Then the request arrives.");
	transfer_too_late(true);
	story_say("S2 has the fence in its log, so it sees that the request is an old one.");
	story_act("The same, but the fence has not reached S2 yet: S2 stands for election.");
	transfer_too_late(false);
	story_say(
		"S3 has the fence: it refuses S2, and does not even take over its term. That costs S1 its office only "
		"when S2 meets it again; while its lease was good nobody could lead.");
	story_answer(
		"leadership is handed over by votes that break promises, so the lease must be given up before, and "
		"may come back only when an entry behind the attempt is committed: it outdates every request that "
		"may still be on its way.");
}

const struct scenario lease_scenarios[] = {
	{"q07_lease_rate", "How long may a leader answer reads by itself?", run_q07_lease_rate},
	{"q07_lease_restart", "Who gave a promise restarts: does the lease still hold?", run_q07_lease_restart},
	{"q07_lease_transfer_delay", "A request to take over arrives late: does the lease still hold?",
	 run_q07_lease_transfer_delay},
	{0},
};
