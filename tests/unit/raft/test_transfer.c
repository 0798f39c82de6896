/* SPDX-License-Identifier: Apache-2.0 */
/* Leadership transfer (dissertation §3.10): the leader, the target, the voters, and what comes too late. */
#include "replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct raft_message answer(const struct replica *replica, uint32_t from, uint64_t round) {
	return (struct raft_message){.type = RAFT_HEARTBEAT_REPLY,
				     .from = from,
				     .term = replica_status(replica).term,
				     .round = round,
				     .index = replica_status(replica).last,
				     .hint_index = replica_status(replica).last};
}

static int transfer(struct replica *replica, uint32_t to) {
	return replica_step(replica, (struct raft_event){.kind = RAFT_TRANSFER, .peer = to});
}

static int propose(struct replica *replica) {
	return replica_step(replica, (struct raft_event){.kind = RAFT_PROPOSE,
							 .entries = &(struct raft_entry){.type = RAFT_ENTRY_COMMANDS}});
}

/* A leader of three, its no-op committed by 2, with a lease; 3 has not answered yet. */
static struct replica leader(void) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true});

	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	assert_int_equal(replica_status(&replica).commit, 1);
	assert_true(replica.fx.lease_until > 0);
	return replica;
}

static const struct raft_message *sent(const struct replica *replica, uint32_t to, enum raft_message_type type) {
	for (uint32_t i = 0; i < replica->fx.n_messages; i++)
		if (replica->fx.messages[i].message.to == to && replica->fx.messages[i].message.type == type)
			return &replica->fx.messages[i].message;
	return NULL;
}

/* ---- The leader -----------------------------------------------------------------------------------------------------
 */

static void test_transfer__refuses_whom_cannot_lead(void **state) {
	struct raft_configuration configuration = replica_configuration(6);
	struct replica follower = replica_new((struct replica_boot){.term = 3}), replica;
	struct raft_message unfit;

	(void)state;
	assert_int_equal(transfer(&follower, 2), RAFT_E_NOT_LEADER);
	configuration.members[0].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	configuration.members[4].roles = RAFT_ROLE_VOTER_OUTGOING;
	configuration.members[5].roles = RAFT_ROLE_LEARNER;
	replica = replica_new((struct replica_boot){.term = 3, .configuration = &configuration});
	replica_lead(&replica);
	assert_int_equal(transfer(&replica, 1), RAFT_E_MISFIT);
	assert_int_equal(transfer(&replica, 9), RAFT_E_MISFIT);
	assert_int_equal(transfer(&replica, 5), RAFT_E_MISFIT);
	assert_int_equal(transfer(&replica, 6), RAFT_E_MISFIT);
	unfit = answer(&replica, 2, 1);
	unfit.flags = RAFT_FLAG_UNFIT;
	replica_recv(&replica, unfit);
	assert_int_equal(transfer(&replica, 2), RAFT_E_MISFIT);
	/* 5 and 6 have answered, the others have not. */
	replica_recv(&replica, answer(&replica, 5, 1));
	replica_recv(&replica, answer(&replica, 6, 1));
	assert_int_equal(transfer(&replica, 0), RAFT_E_MISFIT);
	assert_int_equal(replica_status(&replica).transfer_to, 0);
	assert_int_equal(transfer(&replica, 3), 0);
	assert_int_equal(replica_status(&replica).transfer_to, 3);
	assert_int_equal(transfer(&replica, 3), RAFT_E_UNSETTLED);
	assert_int_equal(transfer(&replica, 4), RAFT_E_UNSETTLED);
	replica_free(&replica);
	replica_free(&follower);
}

static void test_transfer__stops_proposals_and_the_lease(void **state) {
	struct replica replica = leader();

	(void)state;
	assert_int_equal(transfer(&replica, 2), 0);
	assert_int_equal(replica.fx.lease_until, 0);
	assert_int_equal(replica_status(&replica).lease_until, 0);
	assert_int_equal(propose(&replica), RAFT_E_TRANSFERRING);
	assert_int_equal(replica_status(&replica).last, 1);
	replica_free(&replica);
}

static void test_transfer__asks_when_the_target_has_the_whole_log(void **state) {
	struct replica replica = leader();
	const struct raft_message *request;

	(void)state;
	assert_int_equal(propose(&replica), 0);
	assert_int_equal(transfer(&replica, 2), 0);
	assert_int_equal(replica.fx.n_messages, 0);
	/* The own disk may hang: nothing is reported durable here. */
	replica_recv(&replica, answer(&replica, 2, 1));
	request = sent(&replica, 2, RAFT_TIMEOUT_NOW);
	assert_non_null(request);
	assert_int_equal(request->term, 4);
	assert_int_equal(request->index, 2);
	assert_int_equal(request->index_term, 4);
	/* Once, and again with each round. */
	replica_recv(&replica, answer(&replica, 2, 1));
	assert_null(sent(&replica, 2, RAFT_TIMEOUT_NOW));
	replica_pass(&replica, 50 * MS);
	assert_non_null(sent(&replica, 2, RAFT_TIMEOUT_NOW));
	assert_non_null(sent(&replica, 2, RAFT_HEARTBEAT));
	assert_null(sent(&replica, 3, RAFT_TIMEOUT_NOW));
	replica_free(&replica);
}

static void test_transfer__waits_for_a_lagging_target(void **state) {
	struct replica replica = leader();
	struct raft_message matched = {.type = RAFT_APPEND_REPLY, .from = 3, .term = 4, .index = 1};

	(void)state;
	assert_int_equal(transfer(&replica, 3), 0);
	assert_int_equal(replica.fx.n_messages, 0);
	replica_recv(&replica, matched);
	assert_non_null(sent(&replica, 3, RAFT_TIMEOUT_NOW));
	replica_free(&replica);
}

/* Closest is who has most of the log; then priority, then the lowest id. Who has not been heard is out. */
static void test_transfer__picks_the_closest_voter(void **state) {
	static const struct {
		raft_index match[6];
		uint8_t priority[6];
		uint32_t expected;
	} cases[] = {
		{.match = {[2] = 1, [3] = 2, [4] = 1}, .priority = {[2] = 9}, .expected = 3},
		{.match = {[2] = 2, [3] = 2, [4] = 2}, .priority = {[4] = 1}, .expected = 4},
		{.match = {[2] = 2, [3] = 2, [4] = 2}, .expected = 2},
		{.match = {[3] = 1, [4] = 1}, .priority = {[2] = 9, [5] = 9}, .expected = 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct raft_configuration configuration = replica_configuration(5);
		struct replica replica;

		for (uint32_t node = 2; node <= 5; node++)
			configuration.members[node - 1].priority = cases[i].priority[node];
		replica = replica_new((struct replica_boot){.term = 3, .configuration = &configuration});
		replica_lead(&replica);
		propose(&replica);
		replica_saved(&replica);
		for (uint32_t node = 2; node <= 5; node++)
			if (cases[i].match[node] > 0)
				replica_recv(&replica, (struct raft_message){.type = RAFT_APPEND_REPLY,
									     .from = node,
									     .term = 4,
									     .index = cases[i].match[node]});
		assert_int_equal(transfer(&replica, 0), 0);
		assert_int_equal(replica_status(&replica).transfer_to, cases[i].expected);
		replica_free(&replica);
	}
}

static void test_transfer__ends_with_a_higher_term(void **state) {
	struct replica replica = leader();

	(void)state;
	transfer(&replica, 2);
	replica_recv(&replica, (struct raft_message){.type = RAFT_VOTE,
						     .flags = RAFT_FLAG_TRANSFER,
						     .from = 2,
						     .term = 5,
						     .index = 1,
						     .index_term = 4,
						     .round = 1});
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	assert_int_equal(replica_status(&replica).vote, 2);
	assert_int_equal(replica_status(&replica).transfer_to, 0);
	assert_int_equal(replica_sent(&replica, 2)->message.flags, 0);
	replica_pass(&replica, 390 * MS);
	assert_int_equal(replica.fx.save.seq, 0);
	replica_free(&replica);
}

/* Keeps the quorum contact while time passes. */
static void pass_in_contact(struct replica *replica, raft_usec us) {
	for (; us > 0; us -= 50 * MS) {
		replica_pass(replica, 50 * MS);
		replica_recv(replica, answer(replica, 3, 1));
	}
}

/* The lease comes back when the fence behind the attempt is committed, and not before. */
static void test_transfer__aborts_behind_a_fence(void **state) {
	struct replica replica = leader();
	uint64_t fence;

	(void)state;
	transfer(&replica, 2);
	pass_in_contact(&replica, 350 * MS);
	assert_int_equal(replica_status(&replica).transfer_to, 2);
	assert_true(raft_deadline(replica.raft) <= replica.clocks.mono + 50 * MS);
	replica_pass(&replica, 50 * MS);
	fence = replica.fx.save.seq;
	assert_int_equal(replica_status(&replica).transfer_to, 0);
	assert_int_equal(replica.fx.save.first, 2);
	assert_int_equal(replica.fx.save.n, 1);
	assert_int_equal(replica_status(&replica).last, 2);
	assert_null(sent(&replica, 2, RAFT_TIMEOUT_NOW));

	replica_recv(
		&replica,
		(struct raft_message){
			.type = RAFT_HEARTBEAT_REPLY, .from = 3, .term = 4, .round = 9, .index = 1, .hint_index = 1});
	assert_int_equal(replica.fx.proved_round, 9);
	assert_int_equal(replica.fx.lease_until, 0);
	assert_int_equal(propose(&replica), 0);
	replica_step(&replica, (struct raft_event){.kind = RAFT_SAVED, .seq = fence});
	assert_int_equal(replica.fx.lease_until, 0);
	replica_recv(&replica, (struct raft_message){.type = RAFT_APPEND_REPLY, .from = 3, .term = 4, .index = 2});
	assert_int_equal(replica_status(&replica).commit, 2);
	assert_true(replica.fx.lease_until > replica.clocks.boot);
	replica_free(&replica);
}

static void test_transfer__fence_waits_for_room(void **state) {
	struct raft_limits limits = {
		.term_runs = 8, .saves = 2, .configurations = 2, .inflight = 2, .inflight_bytes = 100};
	struct replica replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true, .limits = limits});
	uint64_t seq;

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	assert_int_equal(propose(&replica), 0);
	seq = replica.fx.save.seq;
	assert_int_equal(propose(&replica), 0);
	transfer(&replica, 2);
	pass_in_contact(&replica, 400 * MS);
	assert_int_equal(replica_status(&replica).transfer_to, 0);
	assert_int_equal(replica_status(&replica).last, 3);
	assert_true(raft_deadline(replica.raft) > replica.clocks.mono);
	replica_step(&replica, (struct raft_event){.kind = RAFT_SAVED, .seq = seq});
	assert_true(raft_deadline(replica.raft) == replica.clocks.mono);
	replica_pass(&replica, 0);
	assert_int_equal(replica.fx.save.first, 4);
	assert_int_equal(replica.fx.save.n, 1);
	assert_int_equal(replica.fx.lease_until, 0);
	replica_free(&replica);
}

/* A second attempt may begin before the fence of the first one is committed; that fence is none for the second. */
static void test_transfer__second_attempt_needs_its_own_fence(void **state) {
	struct replica replica = leader();
	uint64_t fence;

	(void)state;
	transfer(&replica, 2);
	pass_in_contact(&replica, 350 * MS);
	replica_pass(&replica, 50 * MS);
	fence = replica.fx.save.seq;
	assert_int_equal(replica.fx.save.first, 2);
	assert_int_equal(transfer(&replica, 3), 0);
	replica_step(&replica, (struct raft_event){.kind = RAFT_SAVED, .seq = fence});
	replica_recv(&replica, (struct raft_message){.type = RAFT_APPEND_REPLY, .from = 3, .term = 4, .index = 2});
	assert_non_null(sent(&replica, 3, RAFT_TIMEOUT_NOW));
	assert_int_equal(replica_status(&replica).commit, 2);
	pass_in_contact(&replica, 400 * MS);
	assert_int_equal(replica_status(&replica).transfer_to, 0);
	assert_int_equal(replica_status(&replica).last, 3);
	replica_recv(&replica, answer(&replica, 3, 9));
	assert_int_equal(replica.fx.proved_round, 9);
	assert_int_equal(replica.fx.lease_until, 0);
	replica_free(&replica);
}

static void test_transfer__gives_up_on_a_target_that_turns_unfit(void **state) {
	struct replica replica = leader();
	struct raft_message unfit = answer(&replica, 2, 1);

	(void)state;
	transfer(&replica, 2);
	unfit.flags = RAFT_FLAG_UNFIT;
	replica_recv(&replica, unfit);
	assert_true(raft_deadline(replica.raft) == replica.clocks.mono);
	replica_pass(&replica, 0);
	assert_int_equal(replica_status(&replica).transfer_to, 0);
	assert_int_equal(replica.fx.save.n, 1);
	replica_free(&replica);
}

/* The committed configuration does not name the leader any more: it hands over before it goes. */
static void test_transfer__removed_leader_hands_over(void **state) {
	struct raft_configuration joint = replica_configuration(3), left;
	struct raft_entry entry = {.type = RAFT_ENTRY_CONFIGURATION, .configuration = &left};
	struct replica replica;

	(void)state;
	joint.members[0].roles = RAFT_ROLE_VOTER_OUTGOING;
	joint.members[1].roles = joint.members[2].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	raft_configuration_leave(&joint, &left);
	replica = replica_new((struct replica_boot){.term = 3, .configuration = &joint});
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	replica_recv(&replica, answer(&replica, 3, 1));
	assert_int_equal(replica_step(&replica, (struct raft_event){.kind = RAFT_PROPOSE, .entries = &entry}), 0);
	replica_saved(&replica);
	/* It does not count itself. */
	replica_recv(&replica, (struct raft_message){.type = RAFT_APPEND_REPLY, .from = 3, .term = 4, .index = 2});
	assert_int_equal(replica_status(&replica).commit, 1);
	replica_recv(&replica, (struct raft_message){.type = RAFT_APPEND_REPLY, .from = 2, .term = 4, .index = 2});
	assert_int_equal(replica_status(&replica).commit, 2);
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	assert_int_equal(replica_sent(&replica, 2)->message.type, RAFT_TIMEOUT_NOW);
	assert_int_equal(replica_sent(&replica, 2)->message.index, 2);
	assert_null(sent(&replica, 3, RAFT_TIMEOUT_NOW));
	replica_free(&replica);
}

/* ---- The target -----------------------------------------------------------------------------------------------------
 */

/* A follower of node 3 in term 3, which has just been heard. */
static struct replica follower(const char *log) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = log});

	replica_recv(&replica,
		     (struct raft_message){
			     .type = RAFT_HEARTBEAT, .from = 3, .term = 3, .round = 1, .wait_us = PROMISE_MS * MS});
	return replica;
}

static struct raft_message timeout_now(raft_index index, raft_term index_term) {
	return (struct raft_message){
		.type = RAFT_TIMEOUT_NOW, .from = 3, .term = 3, .index = index, .index_term = index_term};
}

static void expect_ignored(struct replica *replica, struct raft_message message) {
	replica_recv(replica, message);
	assert_int_equal(replica->fx.n_messages, 0);
	assert_int_equal(replica->fx.save.seq, 0);
	assert_int_equal(replica_status(replica).role, RAFT_FOLLOWER);
	assert_int_equal(replica_status(replica).term, 3);
}

static void test_transfer__target_ignores_what_does_not_fit(void **state) {
	struct replica replica = follower("123");
	struct raft_message message;

	(void)state;
	message = timeout_now(3, 3), message.from = 2;
	expect_ignored(&replica, message);
	message = timeout_now(3, 3), message.term = 4;
	expect_ignored(&replica, message);
	message = timeout_now(2, 2);
	expect_ignored(&replica, message);
	message = timeout_now(3, 2);
	expect_ignored(&replica, message);
	message = timeout_now(4, 3);
	expect_ignored(&replica, message);
	replica_step(&replica, (struct raft_event){.kind = RAFT_FITNESS, .ok = false});
	expect_ignored(&replica, timeout_now(3, 3));
	replica_free(&replica);
}

/* The request of an attempt that was aborted meets the fence. */
static void test_transfer__late_request_meets_the_fence(void **state) {
	struct replica replica = follower("123");

	(void)state;
	replica_append(&replica,
		       (struct raft_message){.type = RAFT_APPEND, .from = 3, .term = 3, .index = 3, .index_term = 3},
		       "3");
	expect_ignored(&replica, timeout_now(3, 3));
	replica_free(&replica);
}

static void test_transfer__learner_does_not_take_over(void **state) {
	struct raft_configuration configuration = replica_configuration(3);
	struct replica replica;

	(void)state;
	configuration.members[0].roles = RAFT_ROLE_LEARNER;
	replica = replica_new((struct replica_boot){.term = 3, .log = "1", .configuration = &configuration});
	replica_recv(&replica, (struct raft_message){.type = RAFT_HEARTBEAT, .from = 3, .term = 3});
	expect_ignored(&replica, timeout_now(1, 1));
	replica_free(&replica);
}

static void test_transfer__target_needs_room_for_its_vote(void **state) {
	struct raft_limits limits = {
		.term_runs = 8, .saves = 1, .configurations = 2, .inflight = 2, .inflight_bytes = 100};
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "1", .limits = limits});

	(void)state;
	replica_append(&replica,
		       (struct raft_message){.type = RAFT_APPEND, .from = 3, .term = 3, .index = 1, .index_term = 1},
		       "3");
	expect_ignored(&replica, timeout_now(2, 3));
	replica_step(&replica, (struct raft_event){.kind = RAFT_SAVED, .seq = 1});
	replica_recv(&replica, timeout_now(2, 3));
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	replica_free(&replica);
}

/* No pre-vote, no waiting for the own promise. The flag lasts as long as the candidacy. */
static void test_transfer__target_campaigns_at_once(void **state) {
	struct replica replica = follower("123");
	struct raft_message request;

	(void)state;
	replica_recv(&replica, timeout_now(3, 3));
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	assert_int_equal(replica_status(&replica).term, 4);
	assert_int_equal(replica_status(&replica).vote, 1);
	request = replica_sent(&replica, 3)->message;
	assert_int_equal(request.type, RAFT_VOTE);
	assert_int_equal(request.flags, RAFT_FLAG_TRANSFER);
	assert_int_equal(request.index, 3);
	assert_int_equal(request.index_term, 3);
	assert_int_equal(replica_sent(&replica, 3)->after_seq, replica.fx.save.seq);
	replica_saved(&replica);
	/* Asked again, in vain: it campaigns already. */
	replica_recv(&replica, timeout_now(3, 3));
	assert_int_equal(replica_status(&replica).term, 4);
	assert_int_equal(replica.fx.n_messages, 0);
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_VOTE_REPLY, .from = 3, .term = 4, .round = request.round});
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	replica_free(&replica);
}

static void test_transfer__later_campaign_is_an_ordinary_one(void **state) {
	struct replica replica = follower("123");
	struct raft_message request;

	(void)state;
	replica_recv(&replica, timeout_now(3, 3));
	replica_saved(&replica);
	replica_pass(&replica, 800 * MS);
	request = replica_sent(&replica, 2)->message;
	assert_int_equal(request.type, RAFT_PREVOTE);
	assert_int_equal(request.flags, 0);
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_PREVOTE_REPLY, .from = 2, .term = 5, .round = request.round});
	request = replica_sent(&replica, 2)->message;
	assert_int_equal(request.type, RAFT_VOTE);
	assert_int_equal(request.flags, 0);
	replica_free(&replica);
}

/* Neither the old leader's heartbeats nor somebody's pre-vote take the candidacy back. */
static void test_transfer__candidacy_survives_heartbeats_and_prevotes(void **state) {
	struct replica replica = follower("123");

	(void)state;
	replica_recv(&replica, timeout_now(3, 3));
	replica_recv(&replica, (struct raft_message){.type = RAFT_HEARTBEAT, .from = 3, .term = 3, .round = 2});
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	assert_int_equal(replica_sent(&replica, 3)->message.flags, RAFT_FLAG_REJECT);
	assert_int_equal(replica_sent(&replica, 3)->message.term, 4);
	replica_recv(&replica,
		     (struct raft_message){
			     .type = RAFT_PREVOTE, .from = 2, .term = 5, .index = 9, .index_term = 3, .round = 1});
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	assert_int_equal(replica_status(&replica).term, 4);
	replica_free(&replica);
}

/* ---- The voters -----------------------------------------------------------------------------------------------------
 */

static struct raft_message asked_vote(uint32_t from, raft_term term, raft_index index, raft_term index_term) {
	return (struct raft_message){.type = RAFT_VOTE,
				     .flags = RAFT_FLAG_TRANSFER,
				     .from = from,
				     .term = term,
				     .index = index,
				     .index_term = index_term,
				     .round = 1};
}

static bool grants(struct replica *replica, struct raft_message message) {
	replica_recv(replica, message);
	return !(replica_sent(replica, message.from)->message.flags & RAFT_FLAG_REJECT);
}

static void test_transfer__promise_to_the_asking_leader_does_not_bind(void **state) {
	struct replica replica = follower("123");
	struct raft_message plain = asked_vote(2, 4, 3, 3);

	(void)state;
	plain.flags = 0;
	assert_false(grants(&replica, plain));
	assert_int_equal(replica_sent(&replica, 2)->message.wait_us, PROMISE_MS * MS);
	assert_true(grants(&replica, asked_vote(2, 4, 3, 3)));
	assert_int_equal(replica_status(&replica).vote, 2);
	replica_free(&replica);
}

/* The leader of term 3 asked for term 4; meanwhile we promised to the leader of term 4, or of a later one. */
static void test_transfer__promise_to_a_newer_leader_binds(void **state) {
	struct replica replica = follower("123");

	(void)state;
	replica_recv(&replica,
		     (struct raft_message){
			     .type = RAFT_HEARTBEAT, .from = 4, .term = 5, .round = 1, .wait_us = PROMISE_MS * MS});
	assert_false(grants(&replica, asked_vote(2, 4, 3, 3)));
	assert_false(grants(&replica, asked_vote(2, 5, 3, 3)));
	assert_int_equal(replica_sent(&replica, 2)->message.wait_us, PROMISE_MS * MS);
	assert_true(grants(&replica, asked_vote(2, 6, 3, 3)));
	replica_free(&replica);
}

static void test_transfer__restarted_voter_honours_its_promise(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "123", .promise_ms = PROMISE_MS});
	struct raft_message plain = asked_vote(2, 4, 3, 3);

	(void)state;
	plain.flags = 0;
	assert_false(grants(&replica, plain));
	/* It may have promised to the leader of term 3, and to no later one. */
	assert_false(grants(&replica, asked_vote(2, 3, 3, 3)));
	assert_true(grants(&replica, asked_vote(2, 4, 3, 3)));
	replica_free(&replica);
}

/* The term of a candidate that comes too late would only depose the leader that went on. */
static void test_transfer__outdated_candidate_leaves_no_trace(void **state) {
	struct replica replica = follower("1233");

	(void)state;
	assert_false(grants(&replica, asked_vote(2, 4, 3, 3)));
	assert_int_equal(replica_status(&replica).term, 3);
	assert_int_equal(replica_status(&replica).leader, 3);
	assert_int_equal(replica.fx.save.seq, 0);
	replica_free(&replica);
}

static void test_transfer__leader_behind_its_fence_refuses(void **state) {
	struct replica replica = leader();

	(void)state;
	transfer(&replica, 2);
	pass_in_contact(&replica, 400 * MS);
	assert_int_equal(replica_status(&replica).last, 2);
	assert_false(grants(&replica, asked_vote(2, 5, 1, 4)));
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	assert_int_equal(replica_status(&replica).term, 4);
	/* Its quorum contact does bind against a request of its own term. */
	assert_false(grants(&replica, asked_vote(2, 4, 2, 4)));
	replica_free(&replica);
}

/* One vote per term, whoever asks and for whatever reason. */
static void test_transfer__flag_gives_no_second_vote(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "123"});
	struct raft_message plain = asked_vote(2, 4, 3, 3);

	(void)state;
	plain.flags = 0;
	assert_true(grants(&replica, plain));
	assert_false(grants(&replica, asked_vote(3, 4, 3, 3)));
	assert_int_equal(replica_status(&replica).vote, 2);
	assert_true(grants(&replica, asked_vote(2, 4, 3, 3)));
	replica_free(&replica);
}

/* A voter that leaves with the change under way still votes. */
static void test_transfer__demoted_voter_votes_in_the_outgoing_half(void **state) {
	struct raft_configuration joint = replica_configuration(3);
	struct replica replica;

	(void)state;
	joint.members[0].roles = RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LEARNER;
	joint.members[1].roles = joint.members[2].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	replica = replica_new((struct replica_boot){.term = 3, .configuration = &joint});
	assert_true(grants(&replica, asked_vote(2, 4, 3, 3)));
	replica_pass(&replica, 800 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	replica_free(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfer__refuses_whom_cannot_lead),
		cmocka_unit_test(test_transfer__stops_proposals_and_the_lease),
		cmocka_unit_test(test_transfer__asks_when_the_target_has_the_whole_log),
		cmocka_unit_test(test_transfer__waits_for_a_lagging_target),
		cmocka_unit_test(test_transfer__picks_the_closest_voter),
		cmocka_unit_test(test_transfer__ends_with_a_higher_term),
		cmocka_unit_test(test_transfer__aborts_behind_a_fence),
		cmocka_unit_test(test_transfer__fence_waits_for_room),
		cmocka_unit_test(test_transfer__second_attempt_needs_its_own_fence),
		cmocka_unit_test(test_transfer__gives_up_on_a_target_that_turns_unfit),
		cmocka_unit_test(test_transfer__removed_leader_hands_over),
		cmocka_unit_test(test_transfer__target_ignores_what_does_not_fit),
		cmocka_unit_test(test_transfer__late_request_meets_the_fence),
		cmocka_unit_test(test_transfer__learner_does_not_take_over),
		cmocka_unit_test(test_transfer__target_needs_room_for_its_vote),
		cmocka_unit_test(test_transfer__target_campaigns_at_once),
		cmocka_unit_test(test_transfer__later_campaign_is_an_ordinary_one),
		cmocka_unit_test(test_transfer__candidacy_survives_heartbeats_and_prevotes),
		cmocka_unit_test(test_transfer__promise_to_the_asking_leader_does_not_bind),
		cmocka_unit_test(test_transfer__promise_to_a_newer_leader_binds),
		cmocka_unit_test(test_transfer__restarted_voter_honours_its_promise),
		cmocka_unit_test(test_transfer__outdated_candidate_leaves_no_trace),
		cmocka_unit_test(test_transfer__leader_behind_its_fence_refuses),
		cmocka_unit_test(test_transfer__flag_gives_no_second_vote),
		cmocka_unit_test(test_transfer__demoted_voter_votes_in_the_outgoing_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
