/* SPDX-License-Identifier: Apache-2.0 */
/* Read index for followers (dissertation §6.4). */
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

static struct raft_message question(const struct replica *replica, uint32_t from, uint64_t number) {
	return (struct raft_message){
		.type = RAFT_READ, .from = from, .term = replica_status(replica).term, .round = number};
}

static const struct raft_message *reply_to(const struct replica *replica, uint32_t to) {
	for (uint32_t i = 0; i < replica->fx.n_messages; i++)
		if (replica->fx.messages[i].message.to == to && replica->fx.messages[i].message.type == RAFT_READ_REPLY)
			return &replica->fx.messages[i].message;
	return NULL;
}

static void expect_reply(const struct replica *replica, uint32_t to, uint64_t number, raft_index index) {
	const struct raft_message *reply = reply_to(replica, to);

	assert_non_null(reply);
	assert_int_equal(reply->round, number);
	assert_int_equal(reply->index, index);
}

/* ---- The leader -----------------------------------------------------------------------------------------------------
 */

static struct replica leader(void) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	assert_int_equal(replica_status(&replica).commit, 1);
	return replica;
}

static void test_read__leader_ignores_strangers_and_other_terms(void **state) {
	struct replica replica = leader();
	struct raft_message message;

	(void)state;
	message = question(&replica, 9, 5);
	replica_recv(&replica, message);
	assert_int_equal(replica.fx.n_messages, 0);
	message = question(&replica, 2, 5), message.term--;
	replica_recv(&replica, message);
	assert_int_equal(replica.fx.n_messages, 0);
	message = question(&replica, 2, 5), message.term++;
	replica_recv(&replica, message);
	assert_int_equal(replica.fx.n_messages, 0);
	assert_int_equal(replica_status(&replica).term, 4);
	replica_recv(&replica, question(&replica, 2, 0));
	assert_int_equal(replica.fx.n_messages, 0);
	replica_free(&replica);
}

/* A round that was under way when the question came says nothing about leadership afterwards. */
static void test_read__only_a_later_round_answers(void **state) {
	struct replica replica = leader();
	uint64_t before;

	(void)state;
	assert_int_equal(replica_step(&replica, (struct raft_event){.kind = RAFT_PROVE}), 0);
	before = replica.fx.round;
	replica_recv(&replica, question(&replica, 3, 70));
	assert_null(reply_to(&replica, 3));
	assert_int_equal(replica_sent(&replica, 2)->message.type, RAFT_HEARTBEAT);
	assert_int_equal(replica_sent(&replica, 2)->message.round, before + 1);
	replica_recv(&replica, answer(&replica, 2, before));
	assert_null(reply_to(&replica, 3));
	replica_recv(&replica, answer(&replica, 2, before + 1));
	expect_reply(&replica, 3, 70, 1);
	replica_recv(&replica, answer(&replica, 3, before + 1));
	assert_null(reply_to(&replica, 3));
	replica_free(&replica);
}

/* One round answers everybody who asked before it began, with what is committed by then. */
static void test_read__one_round_serves_all_before_it(void **state) {
	struct replica replica = replica_new((struct replica_boot){.voters = 5, .term = 3});

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	replica_recv(&replica, answer(&replica, 3, 1));
	replica_recv(&replica, question(&replica, 4, 8));
	replica_recv(&replica, question(&replica, 5, 9));
	replica_recv(&replica, answer(&replica, 2, 3));
	replica_recv(&replica, answer(&replica, 3, 3));
	expect_reply(&replica, 4, 8, 1);
	expect_reply(&replica, 5, 9, 1);
	replica_free(&replica);
}

/* Who asks faster than rounds are answered is answered nevertheless; of what waits the latest matters. */
static void test_read__fast_questions_do_not_starve(void **state) {
	struct replica replica = leader();

	(void)state;
	replica_recv(&replica, question(&replica, 3, 20)); /* round 2 */
	replica_recv(&replica, question(&replica, 3, 21)); /* round 3 */
	replica_recv(&replica, question(&replica, 3, 22)); /* round 4 */
	replica_recv(&replica, answer(&replica, 2, 2));
	expect_reply(&replica, 3, 20, 1);
	replica_recv(&replica, answer(&replica, 2, 3));
	assert_null(reply_to(&replica, 3));
	replica_recv(&replica, answer(&replica, 2, 4));
	expect_reply(&replica, 3, 22, 1);
	/* Both at once: the later answer serves the earlier question too. */
	replica_recv(&replica, question(&replica, 3, 23));
	replica_recv(&replica, question(&replica, 3, 24));
	replica_recv(&replica, answer(&replica, 2, 6));
	expect_reply(&replica, 3, 24, 1);
	replica_free(&replica);
}

static void test_read__waits_for_an_entry_of_the_own_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true, .log = "1"});
	struct raft_message bare;

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, question(&replica, 3, 70));
	bare = answer(&replica, 2, 2);
	bare.index = bare.hint_index = 0;
	replica_recv(&replica, bare);
	assert_int_equal(replica.fx.proved_round, 2);
	assert_null(reply_to(&replica, 3));
	replica_recv(&replica, (struct raft_message){.type = RAFT_APPEND_REPLY, .from = 2, .term = 4, .index = 2});
	expect_reply(&replica, 3, 70, 2);
	replica_free(&replica);
}

static void test_read__lease_answers_at_once(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true});

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	replica_recv(&replica, question(&replica, 3, 70));
	expect_reply(&replica, 3, 70, 1);
	assert_int_equal(replica.fx.n_messages, 1);
	replica.clocks.boot = replica.fx.lease_until - 1;
	replica_recv(&replica, question(&replica, 3, 71));
	expect_reply(&replica, 3, 71, 1);
	replica.clocks.boot++;
	replica_recv(&replica, question(&replica, 3, 72));
	assert_null(reply_to(&replica, 3));
	replica_free(&replica);
}

static void test_read__learners_are_answered(void **state) {
	struct raft_configuration configuration = replica_configuration(4);
	struct replica replica;

	(void)state;
	configuration.members[3].roles = RAFT_ROLE_LEARNER;
	replica = replica_new((struct replica_boot){.term = 3, .configuration = &configuration});
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	replica_recv(&replica, question(&replica, 4, 7));
	/* Its own answer proves nothing. */
	replica_recv(&replica, answer(&replica, 4, 2));
	assert_null(reply_to(&replica, 4));
	replica_recv(&replica, answer(&replica, 2, 2));
	expect_reply(&replica, 4, 7, 1);
	replica_free(&replica);
}

/* A deposed leader forgets what it was asked. */
static void test_read__questions_end_with_leadership(void **state) {
	struct replica replica = leader();

	(void)state;
	replica_recv(&replica, question(&replica, 3, 70));
	replica_step(&replica, (struct raft_event){.kind = RAFT_STEP_DOWN});
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 3));
	assert_int_equal(replica_status(&replica).commit, 2);
	assert_null(reply_to(&replica, 3));
	replica_free(&replica);
}

/* ---- The follower ---------------------------------------------------------------------------------------------------
 */

static struct raft_message heartbeat(uint32_t from, raft_term term) {
	return (struct raft_message){.type = RAFT_HEARTBEAT, .from = from, .term = term, .round = 1};
}

static int ask(struct replica *replica) {
	return replica_step(replica, (struct raft_event){.kind = RAFT_READ_INDEX});
}

static struct raft_message reply(uint64_t number) {
	return (struct raft_message){
		.type = RAFT_READ_REPLY, .from = 3, .term = 3, .round = number, .index = 9, .index_term = 3};
}

static void expect_nothing(struct replica *replica, struct raft_message message) {
	replica_recv(replica, message);
	assert_int_equal(replica->fx.read_round, 0);
	assert_int_equal(replica->fx.read_index, 0);
}

static void test_read__needs_a_leader_to_ask(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3}), leading = leader();

	(void)state;
	assert_int_equal(ask(&replica), RAFT_E_NOT_LEADER);
	assert_int_equal(ask(&leading), RAFT_E_NOT_LEADER);
	replica_free(&replica);
	replica_free(&leading);
}

static void test_read__question_waits_for_the_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_recv(&replica, heartbeat(3, 5));
	assert_int_equal(ask(&replica), 0);
	assert_int_equal(replica_sent(&replica, 3)->message.type, RAFT_READ);
	assert_int_equal(replica_sent(&replica, 3)->message.round, replica.fx.round);
	assert_int_equal(replica_sent(&replica, 3)->after_seq, 1);
	replica_free(&replica);
}

static void test_read__every_question_has_its_own_number(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3}), later;
	uint64_t first;

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	ask(&replica);
	first = replica.fx.round;
	ask(&replica);
	assert_int_equal(replica.fx.round, first + 1);
	/* Another life with the same seed; its first number is another one all the same. */
	later = replica_new((struct replica_boot){.term = 3, .now = 6000 * MS});
	replica_recv(&later, heartbeat(3, 3));
	ask(&later);
	assert_true(later.fx.round != first && later.fx.round != first + 1);
	replica_free(&later);
	replica_free(&replica);
}

static void test_read__takes_only_the_answer_to_its_question(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message message;
	uint64_t number;

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	ask(&replica);
	ask(&replica);
	number = replica.fx.round;
	expect_nothing(&replica, reply(number + 1));
	expect_nothing(&replica, reply(number - 2));
	message = reply(number), message.from = 2;
	expect_nothing(&replica, message);
	message = reply(number), message.term = 2, message.index_term = 2;
	expect_nothing(&replica, message);
	message = reply(number), message.term = 4;
	expect_nothing(&replica, message);
	replica_recv(&replica, reply(number - 1));
	assert_int_equal(replica.fx.read_round, number - 1);
	assert_int_equal(replica.fx.read_index, 9);
	replica_recv(&replica, reply(number));
	assert_int_equal(replica.fx.read_round, number);
	/* Repeated, and overtaken. */
	expect_nothing(&replica, reply(number));
	expect_nothing(&replica, reply(number - 1));
	replica_free(&replica);
}

/* Asked in term 3, answered in term 5 by the same node: what it committed in between was never asked about. */
static void test_read__questions_end_with_the_term(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message message;
	uint64_t number;

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	ask(&replica);
	number = replica.fx.round;
	replica_recv(&replica, heartbeat(3, 5));
	message = reply(number), message.term = 5;
	expect_nothing(&replica, message);
	ask(&replica);
	message.round = replica.fx.round;
	replica_recv(&replica, message);
	assert_int_equal(replica.fx.read_round, number + 1);
	replica_free(&replica);
}

/* Entries 1 and 2 came with an append, entry 3 of the leader did not. */
static void test_read__answer_commits_what_agrees_with_the_leader(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message message;

	(void)state;
	replica_append(&replica, (struct raft_message){.type = RAFT_APPEND, .from = 3, .term = 3}, "33");
	assert_int_equal(replica_status(&replica).commit, 0);
	ask(&replica);
	message = reply(replica.fx.round), message.index = 1;
	replica_recv(&replica, message);
	assert_int_equal(replica_status(&replica).commit, 1);
	ask(&replica);
	message = reply(replica.fx.round), message.index = 3;
	replica_recv(&replica, message);
	assert_int_equal(replica_status(&replica).commit, 2);
	assert_int_equal(replica.fx.read_index, 3);
	replica_free(&replica);
}

/* What the leader of the term before has sent may not be in the log of the one that answers. */
static void test_read__answer_commits_nothing_that_was_not_compared(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_message message;

	(void)state;
	replica_append(&replica, (struct raft_message){.type = RAFT_APPEND, .from = 3, .term = 3}, "33");
	replica_recv(&replica, heartbeat(2, 4));
	ask(&replica);
	message = reply(replica.fx.round), message.from = 2, message.term = 4, message.index = 2;
	replica_recv(&replica, message);
	assert_int_equal(replica.fx.read_index, 2);
	assert_int_equal(replica_status(&replica).commit, 0);
	replica_free(&replica);
}

static void test_read__lost_leader_answers_nobody(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	uint64_t number;

	(void)state;
	replica_recv(&replica, heartbeat(3, 3));
	ask(&replica);
	number = replica.fx.round;
	replica_pass(&replica, 800 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	expect_nothing(&replica, reply(number));
	assert_int_equal(ask(&replica), RAFT_E_NOT_LEADER);
	replica_free(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read__leader_ignores_strangers_and_other_terms),
		cmocka_unit_test(test_read__only_a_later_round_answers),
		cmocka_unit_test(test_read__one_round_serves_all_before_it),
		cmocka_unit_test(test_read__fast_questions_do_not_starve),
		cmocka_unit_test(test_read__waits_for_an_entry_of_the_own_term),
		cmocka_unit_test(test_read__lease_answers_at_once),
		cmocka_unit_test(test_read__learners_are_answered),
		cmocka_unit_test(test_read__questions_end_with_leadership),
		cmocka_unit_test(test_read__needs_a_leader_to_ask),
		cmocka_unit_test(test_read__question_waits_for_the_term),
		cmocka_unit_test(test_read__every_question_has_its_own_number),
		cmocka_unit_test(test_read__takes_only_the_answer_to_its_question),
		cmocka_unit_test(test_read__questions_end_with_the_term),
		cmocka_unit_test(test_read__answer_commits_what_agrees_with_the_leader),
		cmocka_unit_test(test_read__answer_commits_nothing_that_was_not_compared),
		cmocka_unit_test(test_read__lost_leader_answers_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
