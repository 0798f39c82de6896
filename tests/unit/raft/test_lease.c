/* SPDX-License-Identifier: Apache-2.0 */
/* The leader lease (dissertation §6.4.1): from when, until when, and by whose promises. */
#include "replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* P·(1−ρ)/(1+ρ) with P = 200 ms and ρ = 10 %, rounded down to microseconds. */
enum { WORTH = 163636 };

static struct raft_message answer(const struct replica *replica, uint32_t from, uint64_t round) {
	return (struct raft_message){.type = RAFT_HEARTBEAT_REPLY,
				     .from = from,
				     .term = replica_status(replica).term,
				     .round = round,
				     .index = replica_status(replica).last,
				     .hint_index = replica_status(replica).last};
}

static uint64_t prove(struct replica *replica) {
	assert_int_equal(replica_step(replica, (struct raft_event){.kind = RAFT_PROVE}), 0);
	return replica->fx.round;
}

static void test_lease__none_for_a_follower(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true});

	(void)state;
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_HEARTBEAT, .from = 2, .term = 3, .wait_us = PROMISE_MS * MS});
	assert_int_equal(replica.fx.lease_until, 0);
	assert_int_equal(replica_status(&replica).lease_until, 0);
	replica_free(&replica);
}

static void test_lease__none_when_switched_off(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	assert_int_equal(replica_status(&replica).commit, 1);
	assert_int_equal(replica.fx.proved_round, 1);
	assert_int_equal(replica.fx.lease_until, 0);
	replica_free(&replica);
}

static void test_lease__none_before_an_entry_of_the_own_term_is_committed(void **state) {
	struct replica replica = replica_new((struct replica_boot){.voters = 5, .term = 3, .leader_lease = true});
	struct raft_message bare;

	(void)state;
	replica_lead(&replica);
	for (uint32_t peer = 2; peer <= 4; peer++) {
		bare = answer(&replica, peer, 1);
		bare.index = bare.hint_index = 0;
		replica_recv(&replica, bare);
	}
	assert_int_equal(replica.fx.proved_round, 1);
	assert_int_equal(replica.fx.lease_until, 0);
	replica_recv(&replica, answer(&replica, 2, 1));
	assert_int_equal(replica.fx.lease_until, 0);
	replica_recv(&replica, answer(&replica, 3, 1));
	assert_int_equal(replica_status(&replica).commit, 1);
	assert_int_equal(replica.fx.lease_until, replica.clocks.boot + WORTH);
	replica_free(&replica);
}

/* Its P is not stored yet: after a restart it would promise nothing. */
static void test_lease__member_without_a_log_promises_nothing(void **state) {
	struct replica replica = replica_new((struct replica_boot){.voters = 5, .term = 3, .leader_lease = true});
	struct raft_message bare;
	uint64_t round;

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	replica_recv(&replica, answer(&replica, 3, 1));
	replica_pass(&replica, 50 * MS);
	round = prove(&replica);
	bare = answer(&replica, 4, round);
	bare.index = bare.hint_index = 0;
	replica_recv(&replica, bare);
	replica_recv(&replica, answer(&replica, 2, round));
	assert_int_equal(replica.fx.lease_until, replica.clocks.boot - 50 * MS + WORTH);
	replica_recv(&replica, answer(&replica, 3, round));
	assert_int_equal(replica.fx.lease_until, replica.clocks.boot + WORTH);
	replica_free(&replica);
}

/* From when the round was sent, not from when the answer came; and on the clock that goes on in sleep. */
static void test_lease__counts_from_the_send_time_on_the_boot_clock(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true});
	raft_usec sent;
	uint64_t round;

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	replica.clocks.boot += 1000 * MS;
	replica_pass(&replica, 10 * MS);
	round = prove(&replica);
	sent = replica.clocks.boot;
	replica_pass(&replica, 30 * MS);
	replica_recv(&replica, answer(&replica, 3, round));
	assert_int_equal(replica.fx.lease_until, sent + WORTH);
	assert_int_equal(replica_status(&replica).lease_until, sent + WORTH);
	/* An answer to an older round takes nothing away. */
	replica_recv(&replica, answer(&replica, 3, 1));
	assert_int_equal(replica.fx.lease_until, sent + WORTH);
	/* One to a round that was never sent gives nothing. */
	replica_recv(&replica, answer(&replica, 3, round + 5));
	assert_int_equal(replica.fx.lease_until, sent + WORTH);
	replica_free(&replica);
}

static void test_lease__answers_of_another_term_do_not_count(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true});
	struct raft_message old;
	raft_usec until;

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	until = replica.fx.lease_until;
	replica_pass(&replica, 20 * MS);
	old = answer(&replica, 2, prove(&replica));
	old.term--;
	replica_recv(&replica, old);
	assert_int_equal(replica.fx.lease_until, until);
	replica_free(&replica);
}

/* The faster the clocks may differ, the less a promise is worth. */
static void test_lease__shrinks_with_drift(void **state) {
	static const struct {
		uint32_t drift_ppm;
		raft_usec worth;
	} cases[] = {{0, 200000}, {500, 199800}, {100000, WORTH}, {1000000, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct raft_configuration configuration = replica_configuration(3);
		struct replica replica;

		configuration.drift_ppm = cases[i].drift_ppm;
		replica = replica_new(
			(struct replica_boot){.term = 3, .leader_lease = true, .configuration = &configuration});
		replica_lead(&replica);
		replica_recv(&replica, answer(&replica, 2, 1));
		assert_int_equal(replica.fx.lease_until, replica.clocks.boot + cases[i].worth);
		replica_free(&replica);
	}
}

/* Voters 1, 2, 3 of the old half and 1, 4, 5 of the new one; 6 learns. */
static void test_lease__needs_both_halves_and_no_learner(void **state) {
	struct raft_configuration joint = replica_configuration(6);
	struct replica replica;
	raft_usec sent;
	uint64_t round;

	(void)state;
	joint.members[0].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	joint.members[1].roles = joint.members[2].roles = RAFT_ROLE_VOTER_OUTGOING;
	joint.members[5].roles = RAFT_ROLE_LEARNER;
	replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true, .configuration = &joint});
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	replica_recv(&replica, answer(&replica, 4, 1));
	assert_int_equal(replica_status(&replica).commit, 1);
	sent = replica.clocks.boot;
	replica_pass(&replica, 50 * MS);
	round = prove(&replica);
	replica_recv(&replica, answer(&replica, 2, round));
	replica_recv(&replica, answer(&replica, 3, round));
	replica_recv(&replica, answer(&replica, 6, round));
	assert_int_equal(replica.fx.lease_until, sent + WORTH);
	replica_recv(&replica, answer(&replica, 5, round));
	assert_int_equal(replica.fx.lease_until, sent + 50 * MS + WORTH);
	replica_free(&replica);
}

/* What the new store of node 3 answers proves nothing to the old half: neither the lease nor the leadership rests on
 * it.
 */
static void test_lease__lost_store_promises_nothing(void **state) {
	struct raft_configuration joint = replica_configuration(3);
	struct replica replica;
	raft_usec sent;
	uint64_t round;

	(void)state;
	for (int i = 0; i < 3; i++)
		joint.members[i].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING;
	joint.members[2].roles |= RAFT_ROLE_LOST;
	replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true, .configuration = &joint});
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	assert_int_equal(replica_status(&replica).commit, 1);
	sent = replica.clocks.boot;
	assert_int_equal(replica.fx.lease_until, sent + WORTH);
	replica_pass(&replica, 50 * MS);
	round = prove(&replica);
	replica_recv(&replica, answer(&replica, 3, round));
	assert_int_equal(replica.fx.lease_until, sent + WORTH);
	assert_int_equal(replica.fx.proved_round, 1);
	for (int i = 0; i < 4; i++) {
		replica_pass(&replica, 50 * MS);
		replica_recv(&replica, answer(&replica, 3, prove(&replica)));
	}
	assert_int_equal(replica_status(&replica).role, RAFT_LEADER);
	replica_pass(&replica, 50 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	replica_free(&replica);
}

static void test_lease__ends_with_leadership(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true});

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	assert_true(replica.fx.lease_until > 0);
	replica_step(&replica, (struct raft_event){.kind = RAFT_STEP_DOWN});
	assert_int_equal(replica.fx.lease_until, 0);
	replica_free(&replica);
}

static void test_lease__sole_voter_needs_nobody(void **state) {
	struct replica replica = replica_new((struct replica_boot){.voters = 1, .term = 3, .leader_lease = true});

	(void)state;
	replica_pass(&replica, 0);
	replica_saved(&replica);
	assert_int_equal(replica.fx.lease_until, 0);
	replica_saved(&replica);
	assert_int_equal(replica_status(&replica).commit, 1);
	assert_true(replica.fx.lease_until == UINT64_MAX - 1);
	replica_free(&replica);
}

/* Thousands of rounds between a question and its answer: the answer is still worth something, and never too much. */
static void test_lease__many_rounds_keep_the_lease(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .leader_lease = true});
	raft_usec sent[2000], spacing = 200 * MS / 32;
	uint64_t first;

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, answer(&replica, 2, 1));
	replica_pass(&replica, 50 * MS);
	first = prove(&replica) + 1;
	for (int i = 0; i < 2000; i++) {
		replica.clocks.mono += 40;
		replica.clocks.boot += 40;
		sent[i] = replica.clocks.boot;
		assert_int_equal(prove(&replica), first + (uint64_t)i);
		if (i < 1000)
			continue;
		replica_recv(&replica, answer(&replica, 2, first + (uint64_t)i - 1000));
		assert_in_range(replica.fx.lease_until, sent[i - 1000] + WORTH - spacing, sent[i - 1000] + WORTH);
	}
	replica_free(&replica);
}

/* The first answer to a round tells its round trip; a repeated one tells nothing. */
static void test_lease__smooths_the_round_trip(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3});
	struct raft_peer peer;
	uint64_t round;

	(void)state;
	replica_lead(&replica);
	assert_true(raft_get_peer(replica.raft, 2, &peer));
	assert_int_equal(peer.rtt, 0);
	replica_pass(&replica, 8 * MS);
	replica_recv(&replica, answer(&replica, 2, 1));
	raft_get_peer(replica.raft, 2, &peer);
	assert_int_equal(peer.rtt, 8 * MS);
	replica_pass(&replica, 20 * MS);
	replica_recv(&replica, answer(&replica, 2, 1));
	raft_get_peer(replica.raft, 2, &peer);
	assert_int_equal(peer.rtt, 8 * MS);
	round = prove(&replica);
	replica_pass(&replica, 16 * MS);
	replica_recv(&replica, answer(&replica, 2, round));
	raft_get_peer(replica.raft, 2, &peer);
	assert_int_equal(peer.rtt, 9 * MS);
	replica_free(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease__none_for_a_follower),
		cmocka_unit_test(test_lease__none_when_switched_off),
		cmocka_unit_test(test_lease__none_before_an_entry_of_the_own_term_is_committed),
		cmocka_unit_test(test_lease__member_without_a_log_promises_nothing),
		cmocka_unit_test(test_lease__counts_from_the_send_time_on_the_boot_clock),
		cmocka_unit_test(test_lease__answers_of_another_term_do_not_count),
		cmocka_unit_test(test_lease__shrinks_with_drift),
		cmocka_unit_test(test_lease__needs_both_halves_and_no_learner),
		cmocka_unit_test(test_lease__lost_store_promises_nothing),
		cmocka_unit_test(test_lease__ends_with_leadership),
		cmocka_unit_test(test_lease__sole_voter_needs_nobody),
		cmocka_unit_test(test_lease__many_rounds_keep_the_lease),
		cmocka_unit_test(test_lease__smooths_the_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
