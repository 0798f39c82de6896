/* SPDX-License-Identifier: Apache-2.0 */
/* Votes, pre-votes, promises and campaigns (paper §5.2, §5.4.1; dissertation §4.2.3, §9.6). */
#include "panic.h"
#include "replica.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct raft_message vote_request(uint32_t from, raft_term term, raft_index index, raft_term index_term) {
	return (struct raft_message){
		.type = RAFT_VOTE, .from = from, .term = term, .index = index, .index_term = index_term, .round = 1};
}

static struct raft_message prevote_request(uint32_t from, raft_term term, raft_index index, raft_term index_term) {
	struct raft_message message = vote_request(from, term, index, index_term);

	message.type = RAFT_PREVOTE;
	return message;
}

static struct raft_message heartbeat(uint32_t from, raft_term term) {
	return (struct raft_message){
		.type = RAFT_HEARTBEAT, .from = from, .term = term, .round = 1, .wait_us = PROMISE_MS * MS};
}

static bool granted(const struct replica *replica, uint32_t to) {
	return !(replica_sent(replica, to)->message.flags & RAFT_FLAG_REJECT);
}

/* ---- Votes ----------------------------------------------------------------------------------------------------------
 */

static void test_election__blank_node_neither_votes_nor_campaigns(void **state) {
	struct replica replica = replica_new((struct replica_boot){.blank = true});

	(void)state;
	replica_recv(&replica, vote_request(2, 5, 9, 4));
	assert_int_equal(replica.fx.n_messages, 0);
	replica_recv(&replica, prevote_request(2, 5, 9, 4));
	assert_int_equal(replica.fx.n_messages, 0);
	assert_true(raft_deadline(replica.raft) == UINT64_MAX);
	replica_step(&replica, (struct raft_event){.kind = RAFT_CAMPAIGN});
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	replica_free(&replica);
}

/* One pair of logs, judged against the rule in three lines. */
static void judge(const char *voter, const char *candidate, uint32_t vote, bool promised) {
	size_t n = strlen(candidate), own = strlen(voter);
	char last = n ? candidate[n - 1] : '0', own_last = own ? voter[own - 1] : '0';
	bool up_to_date = last > own_last || (last == own_last && n >= own);
	bool expected = up_to_date && (vote == 0 || vote == 2) && !promised;
	struct replica replica = replica_new((struct replica_boot){.term = 4, .vote = vote, .log = voter});

	if (promised)
		replica_recv(&replica, heartbeat(3, 4));
	replica_recv(&replica, vote_request(2, 4, n, (raft_term)(last - '0')));
	assert_int_equal(granted(&replica, 2), expected);
	assert_int_equal(replica_status(&replica).vote, expected ? 2 : vote);
	replica_free(&replica);
}

static void test_election__vote_matrix(void **state) {
	static const char *const logs[] = {"112", "1111", "12", "1122", ""};
	static const uint32_t votes[] = {0, 2, 3};

	(void)state;
	for (int voter = 0; voter < 5; voter++)
		for (int candidate = 0; candidate < 5; candidate++)
			for (int vote = 0; vote < 3; vote++) {
				judge(logs[voter], logs[candidate], votes[vote], false);
				judge(logs[voter], logs[candidate], votes[vote], true);
			}
}

static void test_election__vote_waits_for_its_save(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4});

	(void)state;
	replica_recv(&replica, vote_request(2, 7, 0, 0));
	assert_true(granted(&replica, 2));
	assert_true(replica.fx.save.hard);
	assert_int_equal(replica.fx.save.term, 7);
	assert_int_equal(replica.fx.save.vote, 2);
	assert_int_equal(replica_sent(&replica, 2)->after_seq, replica.fx.save.seq);
	replica_recv(&replica, vote_request(3, 7, 0, 0));
	assert_false(granted(&replica, 3));
	assert_int_equal(replica_sent(&replica, 3)->after_seq, 1);
	replica_free(&replica);
}

static void test_election__second_vote_is_refused_after_a_restart(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 7, .vote = 2});

	(void)state;
	replica_recv(&replica, vote_request(3, 7, 9, 6));
	assert_false(granted(&replica, 3));
	replica_recv(&replica, vote_request(2, 7, 9, 6));
	assert_true(granted(&replica, 2));
	replica_free(&replica);
}

/* Losing an election, hearing of nobody, asking for pre-votes: nothing but a higher term frees a vote. */
static void test_election__prevote_does_not_clear_the_vote(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 7, .vote = 2});

	(void)state;
	replica_pass(&replica, 800 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	assert_int_equal(replica_status(&replica).term, 7);
	replica_recv(&replica, vote_request(3, 7, 9, 6));
	assert_false(granted(&replica, 3));
	replica_free(&replica);
}

static void test_election__refusal_does_not_postpone_the_own_campaign(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 1, .log = "1"});
	raft_usec due = raft_deadline(replica.raft);

	(void)state;
	assert_in_range(due - replica.clocks.mono, 400 * MS, 800 * MS - 1);
	replica_pass(&replica, 100 * MS);
	replica_recv(&replica, vote_request(2, 1, 0, 0));
	assert_false(granted(&replica, 2));
	replica_recv(&replica, prevote_request(2, 2, 5, 1));
	assert_true(granted(&replica, 2));
	assert_true(raft_deadline(replica.raft) == due);
	replica_free(&replica);
}

static void test_election__judges_candidates_it_does_not_know(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 1, .log = "1"});

	(void)state;
	replica_recv(&replica, vote_request(9, 2, 1, 1));
	assert_true(granted(&replica, 9));
	replica_free(&replica);
}

/* ---- Pre-votes ------------------------------------------------------------------------------------------------------
 */

static void test_election__prevote_changes_nothing_at_the_voter(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .vote = 3, .log = "1"});

	(void)state;
	replica_recv(&replica, prevote_request(2, 8, 1, 1));
	assert_true(granted(&replica, 2));
	assert_int_equal(replica_sent(&replica, 2)->message.term, 8);
	assert_int_equal(replica_sent(&replica, 2)->after_seq, 0);
	assert_int_equal(replica.fx.save.seq, 0);
	assert_int_equal(replica_status(&replica).term, 4);
	assert_int_equal(replica_status(&replica).vote, 3);
	assert_false(replica.fx.role_changed);
	replica_free(&replica);
}

static void test_election__refused_prevote_carries_the_own_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 6, .log = "1"});

	(void)state;
	replica_recv(&replica, prevote_request(2, 3, 5, 2));
	assert_false(granted(&replica, 2));
	assert_int_equal(replica_sent(&replica, 2)->message.term, 6);
	replica_recv(&replica, prevote_request(2, 7, 0, 0));
	assert_false(granted(&replica, 2));
	replica_free(&replica);
}

/* Otherwise a node with the longer log and the lower term is refused for ever. */
static void test_election__refused_precandidate_takes_over_the_higher_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "123"});
	struct raft_message request;

	(void)state;
	replica_pass(&replica, 800 * MS);
	request = replica_sent(&replica, 2)->message;
	replica_recv(&replica, (struct raft_message){.type = RAFT_PREVOTE_REPLY,
						     .flags = RAFT_FLAG_REJECT,
						     .from = 2,
						     .term = 9,
						     .round = request.round});
	assert_int_equal(replica_status(&replica).term, 9);
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	assert_int_equal(replica.fx.save.term, 9);
	replica_free(&replica);
}

static void test_election__old_prevote_answers_do_not_count(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message request, reply;

	(void)state;
	replica_pass(&replica, 800 * MS);
	request = replica_sent(&replica, 2)->message;
	replica_pass(&replica, 800 * MS);
	reply = (struct raft_message){.type = RAFT_PREVOTE_REPLY, .from = 2, .term = 4, .round = request.round};
	replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	reply.round++;
	replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	/* A pre-vote that arrives late is no vote. */
	replica_saved(&replica);
	reply.round++;
	replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	replica_free(&replica);
}

/* ---- Campaigns ------------------------------------------------------------------------------------------------------
 */

static void test_election__request_waits_for_term_vote_and_tail(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "12"});
	struct raft_message request;

	(void)state;
	replica_append(&replica,
		       (struct raft_message){.type = RAFT_APPEND, .from = 3, .term = 3, .index = 2, .index_term = 2},
		       "33");
	replica_pass(&replica, 800 * MS);
	request = replica_sent(&replica, 2)->message;
	/* The pre-vote leaves at once and speaks of the durable tail. */
	assert_int_equal(request.index, 2);
	assert_int_equal(request.index_term, 2);
	assert_int_equal(replica_sent(&replica, 2)->after_seq, 0);
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_PREVOTE_REPLY, .from = 2, .term = 4, .round = request.round});
	request = replica_sent(&replica, 3)->message;
	assert_int_equal(request.type, RAFT_VOTE);
	assert_int_equal(request.index, 4);
	assert_int_equal(request.index_term, 3);
	assert_int_equal(replica.fx.save.seq, 2);
	assert_int_equal(replica_sent(&replica, 3)->after_seq, 2);
	replica_free(&replica);
}

static void test_election__own_vote_counts_only_when_durable(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message request;

	(void)state;
	replica_pass(&replica, 800 * MS);
	request = replica_sent(&replica, 2)->message;
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_PREVOTE_REPLY, .from = 2, .term = 4, .round = request.round});
	request = replica_sent(&replica, 2)->message;
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_VOTE_REPLY, .from = 2, .term = 4, .round = request.round});
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	replica_step(&replica, (struct raft_event){.kind = RAFT_SAVED, .seq = 1});
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	assert_int_equal(replica.fx.save.first, 1);
	assert_int_equal(replica.fx.save.n, 1);
	assert_int_equal(replica_status(&replica).term_start, 1);
	assert_int_equal(replica_sent(&replica, 2)->message.type, RAFT_HEARTBEAT);
	replica_free(&replica);
}

static void test_election__lone_voter_leads_at_once_even_after_a_restart(void **state) {
	struct replica replica =
		replica_new((struct replica_boot){.voters = 1, .term = 3, .log = "12", .promise_ms = PROMISE_MS});

	(void)state;
	assert_true(raft_deadline(replica.raft) == replica.clocks.mono);
	replica_pass(&replica, 0);
	replica_saved(&replica);
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	replica_saved(&replica);
	assert_int_equal(replica_status(&replica).commit, 3);
	assert_int_equal(replica.fx.apply_to, 3);
	replica_free(&replica);
}

static void test_election__candidate_asks_for_prevotes_again_after_a_time_out(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message request;

	(void)state;
	replica_pass(&replica, 800 * MS);
	request = replica_sent(&replica, 2)->message;
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_PREVOTE_REPLY, .from = 2, .term = 4, .round = request.round});
	replica_pass(&replica, 800 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	assert_int_equal(replica_status(&replica).term, 4);
	assert_int_equal(replica_status(&replica).vote, 1);
	replica_free(&replica);
}

/* Voters 1, 2, 3 of the old half and 1, 4, 5 of the new one; 6 learns and is not asked. */
static void test_election__joint_election_needs_both_halves(void **state) {
	struct raft_configuration joint = replica_configuration(6);
	struct raft_message reply;
	struct replica replica;

	(void)state;
	joint.members[0].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	joint.members[1].roles = joint.members[2].roles = RAFT_ROLE_VOTER_OUTGOING;
	joint.members[5].roles = RAFT_ROLE_LEARNER;
	replica = replica_new((struct replica_boot){.term = 3, .configuration = &joint});
	replica_pass(&replica, 800 * MS);
	assert_int_equal(replica.fx.n_messages, 4);
	reply = (struct raft_message){
		.type = RAFT_PREVOTE_REPLY, .term = 4, .round = replica_sent(&replica, 2)->message.round};
	reply.from = 2, replica_recv(&replica, reply);
	reply.from = 3, replica_recv(&replica, reply);
	reply.from = 6, replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	reply.from = 4, replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);

	reply.type = RAFT_VOTE_REPLY;
	reply.round = replica_sent(&replica, 4)->message.round;
	replica_saved(&replica);
	reply.from = 4, replica_recv(&replica, reply);
	reply.from = 5, replica_recv(&replica, reply);
	reply.from = 6, replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	reply.from = 3, replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	replica_free(&replica);
}

/* Node 3 has lost its store. What stands in its place votes in the new half alone: with it and us there is a majority
 * of that one only. */
static void test_election__lost_store_has_no_vote_in_the_old_half(void **state) {
	struct raft_configuration joint = replica_configuration(3);
	struct raft_message reply;
	struct replica replica;

	(void)state;
	for (int i = 0; i < 3; i++)
		joint.members[i].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	joint.members[2].roles |= RAFT_ROLE_LOST;
	joint.members[2].store.bytes[0] = 33;
	replica = replica_new((struct replica_boot){.term = 3, .configuration = &joint});
	replica_pass(&replica, 800 * MS);
	reply = (struct raft_message){
		.type = RAFT_PREVOTE_REPLY, .term = 4, .round = replica_sent(&replica, 2)->message.round};
	reply.from = 3, replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	reply.from = 2, replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);

	reply.type = RAFT_VOTE_REPLY;
	reply.round = replica_sent(&replica, 2)->message.round;
	replica_saved(&replica);
	reply.from = 3, replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	reply.from = 2, replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	replica_free(&replica);
}

/* The new store itself may lead, by the votes of the others alone. */
static void test_election__new_store_needs_the_votes_of_the_others(void **state) {
	struct raft_configuration joint = replica_configuration(5);
	struct raft_message reply;
	struct replica replica;

	(void)state;
	for (int i = 0; i < 5; i++)
		joint.members[i].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	joint.members[0].roles |= RAFT_ROLE_LOST;
	replica = replica_new((struct replica_boot){.term = 3, .configuration = &joint});
	replica_pass(&replica, 800 * MS);
	reply = (struct raft_message){
		.type = RAFT_PREVOTE_REPLY, .term = 4, .round = replica_sent(&replica, 2)->message.round};
	reply.from = 2, replica_recv(&replica, reply);
	reply.from = 3, replica_recv(&replica, reply);
	/* Three of five in the new half, two of five in the old one. */
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	reply.from = 4, replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	replica_free(&replica);
}

/* It lives on although it was called lost, and hears so itself. What stands in its place goes by the same number. */
static void test_election__store_that_is_called_lost_does_not_stand(void **state) {
	struct raft_configuration joint = replica_configuration(3), absent = replica_configuration(3);
	struct raft_entry entry = {.term = 3, .type = RAFT_ENTRY_CONFIGURATION, .configuration = &absent};
	struct raft_message append = {.type = RAFT_APPEND, .group = 1, .from = 2, .to = 1, .term = 3, .n = 1};
	struct replica replica;

	(void)state;
	for (int i = 0; i < 3; i++)
		joint.members[i].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	joint.members[0].roles |= RAFT_ROLE_LOST;
	joint.members[0].store.bytes[0] = 77;
	absent.members[0] = absent.members[--absent.n];
	for (int i = 0; i < 2; i++, entry.configuration = &joint) {
		replica = replica_new((struct replica_boot){.term = 3});
		append.index = replica_status(&replica).last;
		append.index_term = raft_term_at(replica.raft, append.index);
		replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &append, .entries = &entry});
		replica_saved(&replica);
		replica_pass(&replica, 2000 * MS);
		/* Of a configuration that just leaves it out, nobody may know but itself. */
		assert_int_equal(replica_status(&replica).role, i == 0 ? RAFT_PRECANDIDATE : RAFT_FOLLOWER);
		replica_free(&replica);
	}
}

/* ---- Promises -------------------------------------------------------------------------------------------------------
 */

static void test_election__promise_refuses_votes_without_taking_the_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	replica_pass(&replica, 50 * MS);
	replica_recv(&replica, vote_request(2, 9, 5, 3));
	assert_false(granted(&replica, 2));
	assert_int_equal(replica_status(&replica).term, 3);
	assert_int_equal(replica_sent(&replica, 2)->message.wait_us, 150 * MS);
	replica_recv(&replica, prevote_request(2, 9, 5, 3));
	assert_false(granted(&replica, 2));
	assert_int_equal(replica_sent(&replica, 2)->message.wait_us, 150 * MS);
	replica_pass(&replica, 150 * MS);
	replica_recv(&replica, vote_request(2, 9, 5, 3));
	assert_true(granted(&replica, 2));
	replica_free(&replica);
}

static void test_election__promise_survives_a_new_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	/* A leader of a later term is followed; the promise to it asks for less, but what was promised stays. */
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_HEARTBEAT, .from = 2, .term = 5, .round = 1, .wait_us = 1});
	replica_pass(&replica, 199 * MS);
	replica_recv(&replica, vote_request(3, 9, 5, 3));
	assert_false(granted(&replica, 3));
	replica_free(&replica);
}

/* A leader that gave up its office is the one node the promise was not made against. */
static void test_election__promise_does_not_bind_against_the_leader_itself(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	replica_recv(&replica, prevote_request(3, 4, 5, 3));
	assert_true(granted(&replica, 3));
	replica_recv(&replica, vote_request(3, 4, 5, 3));
	assert_true(granted(&replica, 3));
	replica_free(&replica);
}

static void test_election__restart_promises_the_worst(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .promise_ms = PROMISE_MS});

	(void)state;
	replica_pass(&replica, 199 * MS);
	replica_recv(&replica, vote_request(2, 4, 5, 3));
	assert_false(granted(&replica, 2));
	replica_pass(&replica, 1 * MS);
	replica_recv(&replica, vote_request(2, 4, 5, 3));
	assert_true(granted(&replica, 2));
	replica_free(&replica);
}

static void test_election__leader_refuses_while_a_majority_answers(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, vote_request(2, 9, 5, 8));
	assert_false(granted(&replica, 2));
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	assert_int_equal(replica_sent(&replica, 2)->message.wait_us, 300 * MS);
	replica.clocks.mono += 300 * MS;
	replica_recv(&replica, vote_request(2, 9, 5, 8));
	assert_true(granted(&replica, 2));
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	replica_free(&replica);
}

/* Who was asked to lead asks for votes at once, so nobody correct sends this. */
static void test_election__flagged_prevote_is_dropped(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message message = prevote_request(2, 4, 5, 3);

	(void)state;
	message.flags = RAFT_FLAG_TRANSFER;
	replica_recv(&replica, message);
	assert_int_equal(replica.fx.n_messages, 0);
	replica_free(&replica);
}

static void test_election__unfit_node_votes_and_does_not_stand(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_pass(&replica, 800 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	replica_step(&replica, (struct raft_event){.kind = RAFT_FITNESS, .ok = false});
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	assert_true(raft_deadline(replica.raft) == UINT64_MAX);
	replica_step(&replica, (struct raft_event){.kind = RAFT_CAMPAIGN});
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	replica_pass(&replica, 2000 * MS);
	assert_int_equal(replica.fx.n_messages, 0);
	replica_recv(&replica, vote_request(2, 4, 5, 3));
	assert_true(granted(&replica, 2));
	replica_recv(&replica, heartbeat(2, 4));
	assert_int_equal(replica_sent(&replica, 2)->message.flags, RAFT_FLAG_UNFIT);

	replica_step(&replica, (struct raft_event){.kind = RAFT_FITNESS, .ok = true});
	replica_recv(&replica, heartbeat(2, 4));
	assert_int_equal(replica_sent(&replica, 2)->message.flags, 0);
	replica_pass(&replica, 800 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	replica_free(&replica);
}

/* ---- Quick election -------------------------------------------------------------------------------------------------
 */

static void test_election__lost_connection_of_a_stranger_means_nothing(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	replica_step(&replica, (struct raft_event){.kind = RAFT_PEER_DOWN, .peer = 2});
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	replica_free(&replica);
}

static void test_election__quick_campaign_waits_for_the_own_promise(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message request;

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	replica_pass(&replica, 20 * MS);
	replica_step(&replica, (struct raft_event){.kind = RAFT_PEER_DOWN, .peer = 3});
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	request = replica_sent(&replica, 2)->message;
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_PREVOTE_REPLY, .from = 2, .term = 4, .round = request.round});
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	assert_true(raft_deadline(replica.raft) == replica.clocks.mono + 180 * MS);
	replica_pass(&replica, 180 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_CANDIDATE);
	assert_int_equal(replica_status(&replica).term, 4);
	replica_free(&replica);
}

static void test_election__asks_again_when_a_promise_is_over(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message request;

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	replica_step(&replica, (struct raft_event){.kind = RAFT_PEER_DOWN, .peer = 3});
	request = replica_sent(&replica, 2)->message;
	replica_recv(&replica, (struct raft_message){.type = RAFT_PREVOTE_REPLY,
						     .flags = RAFT_FLAG_REJECT,
						     .from = 2,
						     .term = 3,
						     .round = request.round,
						     .wait_us = 210 * MS});
	assert_true(raft_deadline(replica.raft) == replica.clocks.mono + 210 * MS);
	replica_pass(&replica, 210 * MS);
	assert_int_equal(replica_sent(&replica, 2)->message.type, RAFT_PREVOTE);
	assert_true(replica_sent(&replica, 2)->message.round > request.round);
	replica_free(&replica);
}

static void test_election__bound_voter_is_asked_again_in_the_same_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message request;

	(void)state;
	replica_pass(&replica, 800 * MS);
	request = replica_sent(&replica, 2)->message;
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_PREVOTE_REPLY, .from = 2, .term = 4, .round = request.round});
	request = replica_sent(&replica, 3)->message;
	/* From a lower term: a bound voter does not take over ours. */
	replica_recv(&replica, (struct raft_message){.type = RAFT_VOTE_REPLY,
						     .flags = RAFT_FLAG_REJECT,
						     .from = 3,
						     .term = 3,
						     .round = request.round,
						     .wait_us = 40 * MS});
	replica_pass(&replica, 40 * MS);
	assert_int_equal(replica_sent(&replica, 3)->message.type, RAFT_VOTE);
	assert_int_equal(replica_sent(&replica, 3)->message.term, 4);
	assert_int_equal(replica_status(&replica).term, 4);
	replica_free(&replica);
}

static void test_election__life_goes_on_when_the_leader_is_heard_again(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	replica_step(&replica, (struct raft_event){.kind = RAFT_PEER_DOWN, .peer = 3});
	replica_recv(&replica, heartbeat(3, 3));
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	assert_int_equal(replica_status(&replica).leader, 3);
	assert_in_range(raft_deadline(replica.raft) - replica.clocks.mono, 400 * MS, 800 * MS - 1);
	replica_free(&replica);
}

/* ---- Leaders --------------------------------------------------------------------------------------------------------
 */

static void test_election__two_leaders_in_a_term_stop_the_node(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct replica leader = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	assert_panics(replica_recv(&replica, heartbeat(2, 3)));
	replica_lead(&leader);
	assert_panics(replica_recv(&leader, heartbeat(2, 4)));
	replica_free(&replica);
	replica_free(&leader);
}

static void test_election__leader_without_a_majority_falls_silent(void **state) {
	struct replica replica = replica_new((struct replica_boot){.voters = 5, .term = 3});
	raft_term term;

	(void)state;
	replica_lead(&replica);
	term = replica_status(&replica).term;
	replica_pass(&replica, 200 * MS);
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_HEARTBEAT_REPLY, .from = 2, .term = term, .round = 1});
	replica_pass(&replica, 99 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	replica_pass(&replica, 1 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	assert_int_equal(replica_status(&replica).term, term);
	assert_int_equal(replica_status(&replica).leader, 0);
	assert_int_equal(replica.fx.n_messages, 0);
	replica_free(&replica);
}

static void test_election__step_down_keeps_term_and_vote(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_lead(&replica);
	replica_step(&replica, (struct raft_event){.kind = RAFT_STEP_DOWN});
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	assert_int_equal(replica_status(&replica).term, 4);
	assert_int_equal(replica_status(&replica).vote, 1);
	replica_free(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_election__blank_node_neither_votes_nor_campaigns),
		cmocka_unit_test(test_election__vote_matrix),
		cmocka_unit_test(test_election__vote_waits_for_its_save),
		cmocka_unit_test(test_election__second_vote_is_refused_after_a_restart),
		cmocka_unit_test(test_election__prevote_does_not_clear_the_vote),
		cmocka_unit_test(test_election__refusal_does_not_postpone_the_own_campaign),
		cmocka_unit_test(test_election__judges_candidates_it_does_not_know),
		cmocka_unit_test(test_election__prevote_changes_nothing_at_the_voter),
		cmocka_unit_test(test_election__refused_prevote_carries_the_own_term),
		cmocka_unit_test(test_election__refused_precandidate_takes_over_the_higher_term),
		cmocka_unit_test(test_election__old_prevote_answers_do_not_count),
		cmocka_unit_test(test_election__request_waits_for_term_vote_and_tail),
		cmocka_unit_test(test_election__own_vote_counts_only_when_durable),
		cmocka_unit_test(test_election__lone_voter_leads_at_once_even_after_a_restart),
		cmocka_unit_test(test_election__candidate_asks_for_prevotes_again_after_a_time_out),
		cmocka_unit_test(test_election__joint_election_needs_both_halves),
		cmocka_unit_test(test_election__lost_store_has_no_vote_in_the_old_half),
		cmocka_unit_test(test_election__new_store_needs_the_votes_of_the_others),
		cmocka_unit_test(test_election__store_that_is_called_lost_does_not_stand),
		cmocka_unit_test(test_election__promise_refuses_votes_without_taking_the_term),
		cmocka_unit_test(test_election__promise_survives_a_new_term),
		cmocka_unit_test(test_election__promise_does_not_bind_against_the_leader_itself),
		cmocka_unit_test(test_election__restart_promises_the_worst),
		cmocka_unit_test(test_election__leader_refuses_while_a_majority_answers),
		cmocka_unit_test(test_election__flagged_prevote_is_dropped),
		cmocka_unit_test(test_election__unfit_node_votes_and_does_not_stand),
		cmocka_unit_test(test_election__lost_connection_of_a_stranger_means_nothing),
		cmocka_unit_test(test_election__quick_campaign_waits_for_the_own_promise),
		cmocka_unit_test(test_election__asks_again_when_a_promise_is_over),
		cmocka_unit_test(test_election__bound_voter_is_asked_again_in_the_same_term),
		cmocka_unit_test(test_election__life_goes_on_when_the_leader_is_heard_again),
		cmocka_unit_test(test_election__two_leaders_in_a_term_stop_the_node),
		cmocka_unit_test(test_election__leader_without_a_majority_falls_silent),
		cmocka_unit_test(test_election__step_down_keeps_term_and_vote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
