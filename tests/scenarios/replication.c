/* SPDX-License-Identifier: Apache-2.0 */
/* How logs are brought together, and what a minority can write. */
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Backtracking --------------------------------------------------------------------------------------------------
 */

/* Distinct terms of a log from `from` on. */
static uint32_t terms_from(const struct stage_log *log, raft_index from) {
	uint32_t n = 0;
	for (raft_index i = from; i <= log->last; i++)
		n += i == from || log->entries[i].term != log->entries[i - 1].term;
	return n;
}

static raft_index first_difference(const struct stage_log *a, const struct stage_log *b) {
	raft_index i = 1;
	while (i <= a->last && i <= b->last && a->entries[i].term == b->entries[i].term)
		i++;
	return i;
}

/* The terms of what the follower has and the leader lacks bound the probes: one for each, one for the first guess, and
 * the one that succeeds. */
static uint32_t probes_allowed(struct stage *stage, uint32_t leader, uint32_t follower) {
	const struct stage_log *of_leader = &stage_node(stage, leader)->log;
	const struct stage_log *of_follower = &stage_node(stage, follower)->log;
	return terms_from(of_follower, first_difference(of_leader, of_follower)) + 2;
}

/* ---- q02_figure7_repair --------------------------------------------------------------------------------------------
 */

static const char *const figure7[] = {NULL,         "114455666",   "11445566", "114",
				      "1144556666", "11445566677", "114444",   "1122233333"};

static void run_q02_figure7_repair(void) {
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 7, .tell = STAGE_TELL_MESSAGES, .patient = true});
	uint32_t allowed[8];

	for (uint32_t n = 1; n <= 7; n++)
		stage_rewrite(stage, n, 7, n == 6 ? 6 : 0, figure7[n]);
	story_act("The logs of figure 7 of the paper: S2 to S7 are its followers (a) to (f). S1 becomes leader of term "
		  "8. Only what concerns S7 is told in full.");
	stage_show_logs(stage);
	for (uint32_t n = 2; n <= 7; n++)
		allowed[n] = probes_allowed(stage, 1, n);
	stage->tell_about = 7;
	stage_elect(stage, 1);
	stage_expect(stage, stage_run_until(stage, stage_converged, 1000 * MS), "equal-logs", "the logs differ still");

	story_act("All logs agree.");
	stage_show_logs(stage);
	for (uint32_t n = 2; n <= 7; n++) {
		uint32_t probes = stage_node(stage, n)->refusals + 1;

		story_say("S%u: the leader found out in %u append%s where the logs agree; %u would be allowed.", n,
			  probes, probes == 1 ? "" : "s", allowed[n]);
		stage_expect(stage, probes <= allowed[n], "probes", "S%u took %u appends", n, probes);
	}
	stage_free(stage);
	story_answer("whatever is missing, left over or both: the consistency check finds the last entry that agrees, "
		     "skipping whole terms, and what follows it is overwritten by the leader's entries.");
}

/* ---- q19_backtrack_rounds ------------------------------------------------------------------------------------------
 */

static bool s2_matched(struct stage *stage) {
	struct raft_peer peer;
	return raft_get_peer(stage_node(stage, 1)->raft, 2, &peer) && peer.match > 1;
}

/* S1 (and S3, which elects it) and S2 have these logs; the number of appends until S1 knows where they agree. */
static uint32_t backtrack(const char *leader, const char *follower, enum stage_tell tell) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 3, .tell = tell, .patient = true});
	uint32_t allowed, probes;

	stage_rewrite(stage, 1, 9, 0, leader);
	stage_rewrite(stage, 2, 9, 0, follower);
	stage_rewrite(stage, 3, 9, 0, leader);
	stage_show_logs(stage);
	allowed = probes_allowed(stage, 1, 2);
	stage->tell_about = 2;
	stage_campaign(stage, 1);
	stage_expect(stage, stage_run_until(stage, s2_matched, 1000 * MS), "match", "S1 never learns what S2 holds");
	probes = stage_node(stage, 2)->refusals + 1;
	stage_expect(stage, probes <= allowed, "probes", "%u appends, %u allowed", probes, allowed);
	stage_free(stage);
	return probes;
}

/* Appends runs of the terms in `terms` to a log. */
static size_t grow(char *log, size_t n, const char *terms, struct prng *prng, size_t run_max) {
	for (; *terms; terms++) {
		size_t run = prng_range(prng, 1, run_max);

		memset(log + n, *terms, run);
		n += run;
	}
	log[n] = '\0';
	return n;
}

/* Terms 2 to 9 in three shares: common, of the leader, of the follower. A term has one leader, so no share overlaps. */
static uint32_t backtrack_random(struct prng *prng, size_t run_max) {
	char *leader = calloc(1, 9 * run_max + 1), *follower = calloc(1, 9 * run_max + 1);
	char common[9] = "1", of_leader[9] = "", of_follower[9] = "";
	char first_own = (char)('2' + prng_range(prng, 0, 4));
	size_t n;

	for (char term = '2'; term <= '8'; term++) {
		char *share = term < first_own ? common : prng_next(prng) & 1 ? of_leader : of_follower;
		share[strlen(share)] = term;
	}
	n = grow(leader, 0, common, prng, run_max);
	memcpy(follower, leader, n);
	of_leader[strlen(of_leader)] = '9'; /* so that it can win */
	grow(leader, n, of_leader, prng, run_max);
	grow(follower, n, of_follower, prng, run_max);

	uint32_t probes = backtrack(leader, follower, STAGE_TELL_NOTHING);
	free(leader);
	free(follower);
	return probes;
}

static void run_q19_backtrack_rounds(void) {
	enum { SHORT = 200, LONG = 5, LONG_RUN = 12500 };
	uint32_t most = 0;
	struct prng prng;

	story_act(
		"The follower's terms are the lower ones: its refusal skips to (6,2), and the leader from there to the "
		"last entry whose term is not above 2.");
	(void)backtrack("33355555", "11122", STAGE_TELL_MESSAGES);
	story_act("The follower's terms are the higher ones: it is the follower that skips, to its last entry whose "
		  "term is not above the leader's.");
	(void)backtrack("33333337", "33445556", STAGE_TELL_MESSAGES);

	story_act("%d random pairs of logs with up to 8 terms, and %d with up to 100000 entries.", SHORT, LONG);
	prng_init(&prng, 19);
	for (int i = 0; i < SHORT + LONG; i++) {
		uint32_t probes = backtrack_random(&prng, i < SHORT ? 12 : LONG_RUN);
		most = probes > most ? probes : most;
	}
	story_say("At most %u appends until the leader knew where the logs agree.", most);
	story_answer(
		"the follower's refusal names the last position that may agree, by term, and the leader skips whole "
		"terms too: at most one append for each term of the part that differs, and two more, however long "
		"the logs are.");
}

/* ---- q02_minority_writes -------------------------------------------------------------------------------------------
 */

enum { MINORITY_WRITES = 100, WRITES_AT_ONCE = 10 };

static void write_many(struct stage *stage, uint32_t node) {
	for (int i = 0; i < MINORITY_WRITES; i += WRITES_AT_ONCE) {
		for (int k = 0; k < WRITES_AT_ONCE; k++)
			stage_expect(stage, stage_propose(stage, node, NULL) >= 0, "proposal", "S%u takes no entry",
				     node);
		stage_run(stage, 10 * MS);
	}
}

static bool new_side_leads(struct stage *stage) {
	return stage_leader(stage) > 2;
}

static void run_q02_minority_writes(void) {
	struct stage *stage = stage_new(&(struct stage_setup){.nodes = 5, .seed = 2, .tell = STAGE_TELL_DEEDS});

	stage_elect(stage, 1);
	stage_run(stage, 100 * MS);
	stage_partition(stage, 1u << 1 | 1u << 2, 1u << 3 | 1u << 4 | 1u << 5);
	story_act("S1 leads and is cut off together with S2. It does not know yet, and is asked for %d writes.",
		  MINORITY_WRITES);
	write_many(stage, 1);
	story_say("S1 has appended %" PRIu64 " entries and committed none of them: %u of its clients wait.",
		  stage_node(stage, 1)->log.last - stage_node(stage, 1)->status.commit,
		  stage_count(stage, 1, STAGE_PENDING));
	stage_expect(stage, stage_count(stage, 1, STAGE_PENDING) == MINORITY_WRITES, "minority-commits-nothing",
		     "only %u wait", stage_count(stage, 1, STAGE_PENDING));

	story_act("The three others elect a leader, and it is asked for as many.");
	stage_expect(stage, stage_run_until(stage, new_side_leads, 3000 * MS), "majority-leads", "nobody leads");
	uint32_t leader = stage_leader(stage);
	write_many(stage, leader);
	stage_run(stage, 20 * MS);
	story_say("S%u leads term %" PRIu64
		  " and has said yes to %u of %d. S1, without a majority, has stepped down and said nothing.",
		  leader, stage_term(stage, leader), stage_count(stage, leader, STAGE_OK), MINORITY_WRITES);
	stage_expect(stage, stage_count(stage, leader, STAGE_OK) == MINORITY_WRITES, "majority-commits",
		     "S%u has answered %u", leader, stage_count(stage, leader, STAGE_OK));
	stage_expect(stage, stage_node(stage, 1)->status.role != RAFT_LEADER, "minority-leader-silent",
		     "S1 leads term %" PRIu64 " still", stage_term(stage, 1));
	stage_expect(stage, stage_count(stage, 1, STAGE_PENDING) == MINORITY_WRITES, "outcome-unknown",
		     "S1 says what became of %u writes", MINORITY_WRITES - stage_count(stage, 1, STAGE_PENDING));

	story_act("The partition heals.");
	stage_heal(stage);
	stage_expect(stage, stage_run_until(stage, stage_converged, 5000 * MS), "equal-logs", "the logs differ still");
	story_say("All logs agree. Of S1's writes %u succeeded and %u are known to be lost: at their places stand "
		  "committed entries of term %" PRIu64 ". Of S%u's, %u succeeded.",
		  stage_count(stage, 1, STAGE_OK), stage_count(stage, 1, STAGE_LOST), stage_term(stage, leader), leader,
		  stage_count(stage, leader, STAGE_OK));
	stage_expect(stage, stage_count(stage, 1, STAGE_LOST) == MINORITY_WRITES, "minority-writes-lost",
		     "%u of S1's writes succeeded", stage_count(stage, 1, STAGE_OK));
	stage_expect(stage, stage_count(stage, leader, STAGE_OK) == MINORITY_WRITES, "majority-writes-kept", "%u of %d",
		     stage_count(stage, leader, STAGE_OK), MINORITY_WRITES);
	stage_free(stage);
	story_answer(
		"a leader in the minority can append but not commit; its clients hear nothing rather than yes, and "
		"learn that a write is lost when another entry has been committed at its place.");
}

/* ---- q19_overcommit ------------------------------------------------------------------------------------------------
 */

static void run_q19_overcommit(void) {
	struct stage *stage =
		stage_new(&(struct stage_setup){.nodes = 3, .tell = STAGE_TELL_MESSAGES, .patient = true});

	stage_rewrite(stage, 1, 3, 0, "113333");
	stage_rewrite(stage, 2, 3, 0, "1122");
	stage_rewrite(stage, 3, 3, 0, "113333");
	story_act(
		"S2 has two entries of term 2 that were never committed. S1 and S3 commit all of theirs while nothing "
		"reaches S2.");
	stage_show_logs(stage);
	stage_drop(stage, 1, 2, STAGE_LEADERS);
	stage_drop(stage, 1, 2, STAGE_TYPE(RAFT_PREVOTE) | STAGE_TYPE(RAFT_VOTE));
	stage_elect(stage, 1);

	story_act(
		"An append without entries arrives at S2: it says what stands at 3, and that 7 entries are committed. "
		"What S2 has behind 3 was not compared.");
	stage_deliver(stage, &(struct raft_message){.type = RAFT_APPEND,
						    .group = 1,
						    .from = 1,
						    .to = 2,
						    .term = stage_term(stage, 1),
						    .index = 3,
						    .index_term = 1,
						    .commit = 7,
						    .wait_us = 100 * MS});
	story_say("S2 commits %" PRIu64 " of its %" PRIu64 " entries.", stage_node(stage, 2)->status.commit,
		  stage_node(stage, 2)->log.last);
	stage_expect(stage, stage_node(stage, 2)->status.commit == 3, "commit-of-message",
		     "S2 commits %" PRIu64 ", the message ends at 3", stage_node(stage, 2)->status.commit);

	story_act("A heartbeat of the same leader says so too.");
	stage_deliver(stage, &(struct raft_message){.type = RAFT_HEARTBEAT,
						    .group = 1,
						    .from = 1,
						    .to = 2,
						    .term = stage_term(stage, 1),
						    .commit = 7,
						    .round = 1000,
						    .wait_us = 100 * MS});
	stage_expect(stage, stage_node(stage, 2)->status.commit == 3, "commit-of-message",
		     "S2 commits %" PRIu64 " for a heartbeat", stage_node(stage, 2)->status.commit);
	story_say("S2 stays at %" PRIu64 ".", stage_node(stage, 2)->status.commit);

	story_act("The link works again.");
	stage_discard(stage);
	stage_expect(stage, stage_run_until(stage, stage_converged, 1000 * MS), "equal-logs", "the logs differ still");
	stage_show_logs(stage);
	stage_free(stage);
	story_answer("a follower commits up to the last entry that the message itself has verified, not up to its own "
		     "last entry; otherwise S2 would have applied two entries that nobody ever committed.");
}

const struct scenario replication_scenarios[] = {
	{"q02_figure7_repair", "How are logs repaired that miss entries, have too many, or both?",
	 run_q02_figure7_repair},
	{"q02_minority_writes", "What becomes of writes to a leader that is cut off?", run_q02_minority_writes},
	{"q19_backtrack_rounds", "How many messages until a leader knows where two logs part?",
	 run_q19_backtrack_rounds},
	{"q19_overcommit", "How far may a follower commit when it is told a commit index?", run_q19_overcommit},
	{0},
};
