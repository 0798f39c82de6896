/* SPDX-License-Identifier: Apache-2.0 */
/* Appends, commit, heartbeats and configurations at one node (paper §5.3, §5.4.2). */
#include "panic.h"
#include "replica.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct raft_message append(raft_index index, raft_term index_term, raft_term term, raft_index commit) {
	return (struct raft_message){.type = RAFT_APPEND,
				     .from = 2,
				     .term = term,
				     .index = index,
				     .index_term = index_term,
				     .commit = commit,
				     .wait_us = PROMISE_MS * MS};
}

static struct raft_message reply(uint32_t from, raft_term term, raft_index match) {
	return (struct raft_message){.type = RAFT_APPEND_REPLY, .from = from, .term = term, .index = match};
}

static struct raft_message heartbeat(raft_term term, raft_index commit) {
	return (struct raft_message){.type = RAFT_HEARTBEAT, .from = 2, .term = term, .round = 7, .commit = commit};
}

static void assert_log(const struct replica *replica, const char *terms) {
	assert_int_equal(replica_status(replica).last, strlen(terms));
	for (raft_index i = 1; i <= strlen(terms); i++)
		assert_int_equal(raft_term_at(replica->raft, i), terms[i - 1] - '0');
}

static int propose(struct replica *replica) {
	return replica_step(replica, (struct raft_event){.kind = RAFT_PROPOSE,
							 .entries = &(struct raft_entry){.type = RAFT_ENTRY_COMMANDS}});
}

static int change(struct replica *replica, const struct raft_configuration *to) {
	return replica_step(replica,
			    (struct raft_event){.kind = RAFT_PROPOSE,
						.entries = &(struct raft_entry){.type = RAFT_ENTRY_CONFIGURATION,
										.configuration = to}});
}

static void replicate(struct replica *replica, uint32_t peer, uint32_t n) {
	replica_step(replica, (struct raft_event){.kind = RAFT_REPLICATE, .peer = peer, .n = n, .bytes = 100 * n});
}

/* ---- Following ------------------------------------------------------------------------------------------------------
 */

static void test_replication__deposed_leader_is_told_the_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 5, .log = "1"});

	(void)state;
	replica_append(&replica, append(1, 1, 4, 1), "4");
	assert_int_equal(replica_sent(&replica, 2)->message.flags, RAFT_FLAG_REJECT);
	assert_int_equal(replica_sent(&replica, 2)->message.term, 5);
	assert_int_equal(replica_status(&replica).leader, 0);
	assert_log(&replica, "1");
	replica_recv(&replica, heartbeat(4, 1));
	assert_int_equal(replica_sent(&replica, 2)->message.term, 5);
	assert_int_equal(replica_status(&replica).commit, 0);
	replica_free(&replica);
}

static void test_replication__malformed_appends_are_dropped(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 5, .log = "1"});

	(void)state;
	replica_append(&replica, append(1, 1, 5, 1), "54");
	replica_append(&replica, append(1, 1, 5, 1), "6");
	replica_append(&replica, append(1, 6, 5, 1), "");
	assert_int_equal(replica.fx.n_messages, 0);
	assert_int_equal(replica_status(&replica).leader, 0);
	assert_log(&replica, "1");
	replica_free(&replica);
}

static void test_replication__acknowledges_what_the_message_covered_once_durable(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "1233"});

	(void)state;
	replica_append(&replica, append(1, 1, 3, 0), "2");
	assert_int_equal(replica_sent(&replica, 2)->message.index, 2);
	assert_int_equal(replica_sent(&replica, 2)->after_seq, 0);
	assert_log(&replica, "1233");
	replica_append(&replica, append(4, 3, 3, 0), "33");
	assert_int_equal(replica.fx.save.first, 5);
	assert_int_equal(replica.fx.save.n, 2);
	assert_int_equal(replica_sent(&replica, 2)->message.index, 6);
	assert_int_equal(replica_sent(&replica, 2)->after_seq, 1);
	/* The same again: nothing to save, but still not durable. */
	replica_append(&replica, append(4, 3, 3, 0), "33");
	assert_int_equal(replica.fx.save.seq, 0);
	assert_int_equal(replica_sent(&replica, 2)->after_seq, 1);
	replica_free(&replica);
}

static void test_replication__truncates_only_at_a_conflict(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "11222"});

	(void)state;
	replica_append(&replica, append(1, 1, 4, 0), "12");
	assert_int_equal(replica.fx.save.seq, 0);
	assert_log(&replica, "11222");
	replica_append(&replica, append(2, 1, 4, 0), "234");
	assert_int_equal(replica.fx.save.truncate_from, 4);
	assert_int_equal(replica.fx.save.first, 4);
	assert_int_equal(replica.fx.save.n, 2);
	assert_int_equal(replica.fx.save.entries_at, 1);
	assert_log(&replica, "11234");
	replica_free(&replica);
}

/* Behind the last entry of the message the log may be anybody's. */
static void test_replication__commit_goes_no_further_than_the_message(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "11222"});

	(void)state;
	replica_append(&replica, append(1, 1, 4, 5), "1");
	assert_int_equal(replica_status(&replica).commit, 2);
	replica_append(&replica, append(0, 0, 4, 5), "1");
	assert_int_equal(replica_status(&replica).commit, 2);
	replica_recv(&replica, heartbeat(4, 5));
	assert_int_equal(replica_status(&replica).commit, 2);
	replica_append(&replica, append(2, 1, 4, 2), "4");
	replica_recv(&replica, heartbeat(4, 5));
	assert_int_equal(replica_status(&replica).commit, 3);
	replica_free(&replica);
}

/* What one leader verified says nothing about the next one's log. */
static void test_replication__new_term_verifies_anew(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "1122"});

	(void)state;
	replica_append(&replica, append(4, 2, 4, 0), "4");
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_HEARTBEAT, .from = 3, .term = 5, .round = 1, .commit = 5});
	assert_int_equal(replica_status(&replica).commit, 0);
	replica_free(&replica);
}

static void test_replication__applies_only_what_is_durable(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "11"});

	(void)state;
	replica_append(&replica, append(2, 1, 4, 4), "44");
	assert_int_equal(replica_status(&replica).commit, 4);
	assert_int_equal(replica.fx.apply_to, 2);
	replica_saved(&replica);
	assert_int_equal(replica.fx.apply_to, 4);
	replica_free(&replica);
}

static void test_replication__contradicting_a_committed_entry_stops_the_node(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "112"});

	(void)state;
	replica_append(&replica, append(3, 2, 4, 3), "");
	assert_int_equal(replica_status(&replica).commit, 3);
	assert_panics(replica_append(&replica, append(2, 1, 5, 0), "5"));
	replica_free(&replica);
}

static void test_replication__heartbeat_is_answered_ahead_of_the_disk(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "11"});

	(void)state;
	replica_append(&replica, append(2, 1, 4, 0), "44");
	replica_recv(&replica, heartbeat(4, 0));
	assert_int_equal(replica_sent(&replica, 2)->after_seq, 0);
	assert_int_equal(replica_sent(&replica, 2)->message.round, 7);
	assert_int_equal(replica_sent(&replica, 2)->message.index, 2);
	assert_int_equal(replica_sent(&replica, 2)->message.hint_index, 4);
	/* A term that is not durable is not spoken of. */
	replica_recv(&replica, heartbeat(6, 0));
	assert_int_equal(replica_sent(&replica, 2)->after_seq, replica.fx.save.seq);
	replica_free(&replica);
}

static void test_replication__full_ring_refuses_before_anything_changes(void **state) {
	struct replica replica = replica_new((struct replica_boot){
		.term = 4,
		.limits = {.term_runs = 4, .saves = 1, .configurations = 1, .inflight = 1, .inflight_bytes = 1}});
	struct raft_status before;

	(void)state;
	replica_append(&replica, append(0, 0, 4, 0), "1");
	before = replica_status(&replica);
	assert_int_equal(replica_append(&replica, append(1, 1, 4, 1), "2"), RAFT_E_FULL);
	assert_int_equal(replica_append(&replica, append(1, 1, 6, 1), ""), RAFT_E_FULL);
	assert_int_equal(replica_status(&replica).term, before.term);
	assert_int_equal(replica_status(&replica).commit, before.commit);
	assert_log(&replica, "1");
	assert_int_equal(replica_recv(&replica, heartbeat(4, 1)), 0);
	replica_free(&replica);
}

static void test_replication__full_trail_refuses_new_terms_only(void **state) {
	struct replica replica = replica_new((struct replica_boot){
		.term = 8,
		.log = "123",
		.limits = {.term_runs = 3, .saves = 9, .configurations = 1, .inflight = 1, .inflight_bytes = 1}});

	(void)state;
	/* The part in front of the new term is taken, and with it the commit index that may make room. */
	assert_int_equal(replica_append(&replica, append(2, 2, 8, 4), "34"), 0);
	assert_int_equal(replica_sent(&replica, 2)->message.index, 3);
	assert_int_equal(replica_status(&replica).commit, 3);
	assert_int_equal(replica_append(&replica, append(3, 3, 8, 4), "4"), RAFT_E_FULL);
	assert_int_equal(replica_append(&replica, append(3, 3, 8, 0), "3"), 0);
	assert_int_equal(replica_append(&replica, append(0, 0, 8, 0), "1233"), 0);
	assert_int_equal(replica_append(&replica, append(3, 3, 9, 0), "3"), 0);
	assert_log(&replica, "1233");
	replica_free(&replica);
}

/* ---- Leading --------------------------------------------------------------------------------------------------------
 */

static void test_replication__only_leaders_propose(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4});

	(void)state;
	assert_int_equal(propose(&replica), RAFT_E_NOT_LEADER);
	assert_int_equal(replica_step(&replica, (struct raft_event){.kind = RAFT_PROVE}), RAFT_E_NOT_LEADER);
	replica_free(&replica);
}

static void test_replication__old_terms_are_not_committed_by_counting(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "123"});

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, reply(2, 4, 3));
	replica_recv(&replica, reply(3, 4, 3));
	assert_int_equal(replica_status(&replica).commit, 0);
	replica_recv(&replica, reply(2, 4, 4));
	assert_int_equal(replica_status(&replica).commit, 4);
	replica_free(&replica);
}

static void test_replication__leader_counts_itself_when_durable(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_lead(&replica);
	assert_int_equal(propose(&replica), 0);
	assert_int_equal(replica.fx.appended, 2);
	replica_recv(&replica, reply(2, 4, 2));
	assert_int_equal(replica_status(&replica).commit, 1);
	/* A majority without the leader commits, but the leader does not apply ahead of its own disk. */
	replica_recv(&replica, reply(3, 4, 2));
	assert_int_equal(replica_status(&replica).commit, 2);
	assert_int_equal(replica.fx.apply_to, 1);
	replica_free(&replica);
}

static void test_replication__answers_of_other_terms_do_not_count(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "123"});

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, reply(2, 3, 4));
	assert_int_equal(replica_status(&replica).commit, 0);
	replica_recv(&replica, reply(9, 7, 4));
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	replica_recv(&replica, reply(2, 4, 5));
	assert_int_equal(replica_status(&replica).commit, 0);
	replica_recv(&replica, reply(2, 7, 4));
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	assert_int_equal(replica_status(&replica).term, 7);
	replica_free(&replica);
}

static void test_replication__pipelines_after_the_first_answer(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_lead(&replica);
	assert_int_equal(raft_next(replica.raft, 2), 1);
	replicate(&replica, 2, 1);
	assert_int_equal(replica_sent(&replica, 2)->message.index, 0);
	assert_int_equal(replica_sent(&replica, 2)->message.n, 1);
	assert_int_equal(replica_sent(&replica, 2)->after_seq, 0);
	assert_int_equal(raft_next(replica.raft, 2), 0);
	for (int i = 0; i < 6; i++)
		propose(&replica);
	assert_int_equal(replica.fx.replicate, 4); /* member 2: node 3; node 2 has its probe out */
	replica_recv(&replica, reply(2, 4, 1));
	for (raft_index next = 2; next <= 5; next++) {
		assert_int_equal(raft_next(replica.raft, 2), next);
		replicate(&replica, 2, 1);
		assert_int_equal(replica_sent(&replica, 2)->message.commit, 1);
	}
	assert_int_equal(raft_next(replica.raft, 2), 0);
	replica_recv(&replica, reply(2, 4, 3));
	assert_int_equal(raft_next(replica.raft, 2), 6);
	replica_free(&replica);
}

static void test_replication__heartbeats_say_no_more_than_match(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, reply(2, 4, 1));
	assert_int_equal(replica_status(&replica).commit, 1);
	replica_pass(&replica, 50 * MS);
	assert_int_equal(replica_sent(&replica, 2)->message.commit, 1);
	assert_int_equal(replica_sent(&replica, 3)->message.commit, 0);
	assert_int_equal(replica_sent(&replica, 3)->message.wait_us, PROMISE_MS * MS);
	replica_free(&replica);
}

static void test_replication__round_is_proved_by_a_majority(void **state) {
	struct replica replica = replica_new((struct replica_boot){.voters = 5, .term = 3});
	uint64_t round;

	(void)state;
	replica_lead(&replica);
	assert_int_equal(replica_step(&replica, (struct raft_event){.kind = RAFT_PROVE}), 0);
	round = replica.fx.round;
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_HEARTBEAT_REPLY, .from = 2, .term = 4, .round = round});
	assert_true(replica.fx.proved_round < round);
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_HEARTBEAT_REPLY, .from = 3, .term = 4, .round = round + 1});
	assert_true(replica.fx.proved_round < round);
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_HEARTBEAT_REPLY, .from = 3, .term = 4, .round = round});
	assert_true(replica.fx.proved_round == round);
	replica_free(&replica);
}

/* A follower that restarted in the leader's term holds everything and knows nothing. */
static void test_replication__restarted_follower_is_reminded(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	const struct raft_message *reminder;

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, reply(2, 4, 1));
	replica_recv(&replica, (struct raft_message){.type = RAFT_HEARTBEAT_REPLY, .from = 2, .term = 4, .round = 1});
	reminder = &replica_sent(&replica, 2)->message;
	assert_int_equal(reminder->type, RAFT_APPEND);
	assert_int_equal(reminder->index, 1);
	assert_int_equal(reminder->n, 0);
	assert_int_equal(reminder->commit, 1);
	replica_free(&replica);
}

static void test_replication__lost_acknowledgement_is_made_up_for_by_a_heartbeat(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_lead(&replica);
	replica_recv(
		&replica,
		(struct raft_message){
			.type = RAFT_HEARTBEAT_REPLY, .from = 2, .term = 4, .round = 1, .index = 1, .hint_index = 1});
	assert_int_equal(replica_status(&replica).commit, 1);
	replica_free(&replica);
}

/* ---- Configurations -------------------------------------------------------------------------------------------------
 */

/* Without this, two leaders may commit under configurations whose majorities do not meet. */
static void test_replication__change_waits_for_an_entry_of_the_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "12"});
	struct raft_configuration next = replica_configuration(4);

	(void)state;
	next.members[3].roles = RAFT_ROLE_LEARNER;
	replica_lead(&replica);
	assert_int_equal(change(&replica, &next), RAFT_E_UNSETTLED);
	replica_recv(&replica, reply(2, 4, 3));
	assert_int_equal(change(&replica, &(struct raft_configuration){0}), RAFT_E_MISFIT);
	assert_int_equal(change(&replica, &next), 0);
	assert_int_equal(change(&replica, &next), RAFT_E_UNSETTLED);
	assert_int_equal(raft_next(replica.raft, 4), 4);
	replica_free(&replica);
}

static void test_replication__joint_configuration_needs_both_majorities(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_configuration joint = replica_configuration(5);

	(void)state;
	/* {1, 2, 3} → {1, 4, 5} */
	joint.members[0].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	joint.members[1].roles = joint.members[2].roles = RAFT_ROLE_VOTER_OUTGOING;
	replica_lead(&replica);
	replica_recv(&replica, reply(2, 4, 1));
	assert_int_equal(change(&replica, &joint), 0);
	replica_saved(&replica);
	replica_recv(&replica, reply(2, 4, 2));
	replica_recv(&replica, reply(3, 4, 2));
	assert_int_equal(replica_status(&replica).commit, 1);
	replica_recv(&replica, reply(4, 4, 2));
	assert_int_equal(replica_status(&replica).commit, 2);
	replica_free(&replica);
}

/* Nothing that the old store has acknowledged or answered stands for the new one, and the new one stands for nothing in
 * the old half. */
static void test_replication__new_store_begins_with_nothing(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "12"});
	struct raft_configuration joint = replica_configuration(3), last;
	struct raft_peer peer;

	(void)state;
	for (int i = 0; i < 3; i++)
		joint.members[i].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	joint.members[2].roles |= RAFT_ROLE_LOST;
	replica_lead(&replica);
	replica_recv(&replica, reply(3, 4, 3));
	assert_int_equal(replica_status(&replica).commit, 3);
	assert_int_equal(change(&replica, &joint), RAFT_E_MISFIT);
	joint.members[2].store.bytes[0] = 33;
	assert_true(raft_get_peer(replica.raft, 3, &peer));
	assert_int_equal(peer.match, 3);
	assert_true(peer.contact > 0);

	assert_int_equal(change(&replica, &joint), 0);
	replica_saved(&replica);
	assert_true(raft_get_peer(replica.raft, 3, &peer));
	assert_int_equal(peer.match, 0);
	assert_int_equal(peer.contact, 0);
	assert_int_equal(peer.catch_up_rounds, 0);
	assert_false(peer.caught_up);

	replica_recv(&replica, reply(3, 4, 4));
	assert_int_equal(replica_status(&replica).commit, 3);
	replica_recv(&replica, reply(2, 4, 4));
	assert_int_equal(replica_status(&replica).commit, 4);
	/* Behind the change it is a voter like the others. */
	raft_configuration_leave(&joint, &last);
	assert_int_equal(change(&replica, &last), 0);
	replica_saved(&replica);
	assert_true(raft_get_peer(replica.raft, 3, &peer));
	assert_int_equal(peer.match, 4);
	replica_recv(&replica, reply(3, 4, 5));
	assert_int_equal(replica_status(&replica).commit, 5);
	replica_free(&replica);
}

/* A follower that has heard of the change and is told otherwise: the old store is a member again, and whoever is
 * elected here counts it. */
static void test_replication__truncated_change_takes_the_loss_back(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "12"});
	struct raft_configuration joint = replica_configuration(3);
	struct raft_entry entry = {.term = 3, .type = RAFT_ENTRY_CONFIGURATION, .configuration = &joint};
	struct raft_message message = append(2, 2, 3, 0);
	struct raft_peer peer;

	(void)state;
	for (int i = 0; i < 3; i++)
		joint.members[i].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	joint.members[2].roles |= RAFT_ROLE_LOST;
	joint.members[2].store.bytes[0] = 33;
	message.group = message.to = message.n = 1;
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &message, .entries = &entry});
	assert_int_equal(raft_members(replica.raft, NULL)->members[2].store.bytes[0], 33);
	replica_append(&replica, append(2, 2, 4, 0), "4");
	assert_int_equal(raft_members(replica.raft, NULL)->members[2].store.bytes[0], 3);
	assert_false(raft_configuration_is_joint(raft_members(replica.raft, NULL)));
	replica_saved(&replica);
	replica_pass(&replica, 800 * MS);
	replica_lead(&replica);
	assert_true(raft_get_peer(replica.raft, 3, &peer));
	assert_int_equal(peer.match, 0);
	replica_recv(&replica, reply(3, 5, 4));
	assert_int_equal(replica_status(&replica).commit, 4);
	replica_free(&replica);
}

static void test_replication__removed_leader_stays_until_the_change_is_committed(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_configuration joint = replica_configuration(3), last = replica_configuration(3);

	(void)state;
	joint.members[0].roles = RAFT_ROLE_VOTER_OUTGOING;
	joint.members[1].roles = joint.members[2].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	last.members[0] = last.members[2];
	last.n = 2;
	replica_lead(&replica);
	replica_recv(&replica, reply(2, 4, 1));
	assert_int_equal(change(&replica, &joint), 0);
	replica_saved(&replica);
	replica_recv(&replica, reply(2, 4, 2));
	replica_recv(&replica, reply(3, 4, 2));
	assert_int_equal(change(&replica, &last), 0);
	replica_saved(&replica);
	/* It does not count itself any more. */
	replica_recv(&replica, reply(2, 4, 3));
	assert_int_equal(replica_status(&replica).commit, 2);
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	replica_recv(&replica, reply(3, 4, 3));
	assert_int_equal(replica_status(&replica).commit, 3);
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	assert_true(raft_deadline(replica.raft) == UINT64_MAX);
	replica_free(&replica);
}

/* What a leader tells of a learner: that it counts nowhere, how it catches up, whether it could lead. */
static void test_replication__leader_watches_a_learner_catch_up(void **state) {
	struct raft_configuration configuration = replica_configuration(4);
	struct replica replica;
	struct raft_peer peer;
	struct raft_message reply = {.type = RAFT_APPEND_REPLY, .from = 4, .term = 4, .index = 4};

	(void)state;
	configuration.members[3].roles = RAFT_ROLE_LEARNER;
	replica = replica_new((struct replica_boot){.term = 3, .log = "111", .configuration = &configuration});
	assert_false(raft_get_peer(replica.raft, 4, &peer));
	replica_lead(&replica);
	assert_true(raft_get_peer(replica.raft, 4, &peer));
	assert_int_equal(peer.catch_up_rounds, 0);
	assert_false(peer.caught_up);
	replica_pass(&replica, 100 * MS);
	replica_recv(&replica, reply);
	assert_int_equal(replica_status(&replica).commit, 0);
	raft_get_peer(replica.raft, 4, &peer);
	assert_int_equal(peer.catch_up_rounds, 1);
	assert_true(peer.caught_up);

	assert_false(peer.unfit);
	replica_step(&replica, (struct raft_event){.kind = RAFT_PROVE});
	replica_step(&replica, (struct raft_event){.kind = RAFT_PROVE});
	reply = (struct raft_message){
		.type = RAFT_HEARTBEAT_REPLY, .flags = RAFT_FLAG_UNFIT, .from = 4, .term = 4, .round = 2, .index = 4};
	replica_recv(&replica, reply);
	raft_get_peer(replica.raft, 4, &peer);
	assert_true(peer.unfit);
	/* Older than what it says by now. */
	reply.round = 1;
	reply.flags = 0;
	replica_recv(&replica, reply);
	raft_get_peer(replica.raft, 4, &peer);
	assert_true(peer.unfit);
	reply.round = 3;
	replica_recv(&replica, reply);
	raft_get_peer(replica.raft, 4, &peer);
	assert_false(peer.unfit);
	replica_free(&replica);
}

static void test_replication__truncated_configuration_is_rolled_back(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "12"});
	struct raft_configuration next = replica_configuration(5);
	struct raft_entry entry = {.term = 3, .type = RAFT_ENTRY_CONFIGURATION, .configuration = &next};
	struct raft_message message = append(2, 2, 3, 0);
	raft_index index;

	(void)state;
	message.group = message.to = message.n = 1;
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &message, .entries = &entry});
	assert_int_equal(raft_members(replica.raft, &index)->n, 5);
	assert_int_equal(index, 3);
	replica_append(&replica, append(2, 2, 4, 0), "4");
	assert_int_equal(raft_members(replica.raft, &index)->n, 3);
	assert_int_equal(index, 0);
	replica_free(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replication__deposed_leader_is_told_the_term),
		cmocka_unit_test(test_replication__malformed_appends_are_dropped),
		cmocka_unit_test(test_replication__acknowledges_what_the_message_covered_once_durable),
		cmocka_unit_test(test_replication__truncates_only_at_a_conflict),
		cmocka_unit_test(test_replication__commit_goes_no_further_than_the_message),
		cmocka_unit_test(test_replication__new_term_verifies_anew),
		cmocka_unit_test(test_replication__applies_only_what_is_durable),
		cmocka_unit_test(test_replication__contradicting_a_committed_entry_stops_the_node),
		cmocka_unit_test(test_replication__heartbeat_is_answered_ahead_of_the_disk),
		cmocka_unit_test(test_replication__full_ring_refuses_before_anything_changes),
		cmocka_unit_test(test_replication__full_trail_refuses_new_terms_only),
		cmocka_unit_test(test_replication__only_leaders_propose),
		cmocka_unit_test(test_replication__old_terms_are_not_committed_by_counting),
		cmocka_unit_test(test_replication__leader_counts_itself_when_durable),
		cmocka_unit_test(test_replication__answers_of_other_terms_do_not_count),
		cmocka_unit_test(test_replication__pipelines_after_the_first_answer),
		cmocka_unit_test(test_replication__heartbeats_say_no_more_than_match),
		cmocka_unit_test(test_replication__round_is_proved_by_a_majority),
		cmocka_unit_test(test_replication__restarted_follower_is_reminded),
		cmocka_unit_test(test_replication__lost_acknowledgement_is_made_up_for_by_a_heartbeat),
		cmocka_unit_test(test_replication__change_waits_for_an_entry_of_the_term),
		cmocka_unit_test(test_replication__joint_configuration_needs_both_majorities),
		cmocka_unit_test(test_replication__new_store_begins_with_nothing),
		cmocka_unit_test(test_replication__truncated_change_takes_the_loss_back),
		cmocka_unit_test(test_replication__removed_leader_stays_until_the_change_is_committed),
		cmocka_unit_test(test_replication__leader_watches_a_learner_catch_up),
		cmocka_unit_test(test_replication__truncated_configuration_is_rolled_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
