/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/src/configuration.h"
#include "raft/src/random.h"

#include "panic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Roles of nodes 1, 2, … as letters: v voter, o outgoing, b both, x both and lost, with another store; l learner. */
static struct raft_configuration members(const char *roles) {
	struct raft_configuration configuration = {.promise_ms = 200};

	for (; *roles; roles++) {
		struct raft_member *member = &configuration.members[configuration.n++];

		member->node = configuration.n;
		member->store.bytes[0] = (uint8_t)member->node;
		member->roles = *roles == 'v'   ? RAFT_ROLE_VOTER
				: *roles == 'o' ? RAFT_ROLE_VOTER_OUTGOING
				: *roles == 'b' ? RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING
				: *roles == 'x' ? RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LOST
						: RAFT_ROLE_LEARNER;
		member->store.bytes[1] = *roles == 'x';
	}
	return configuration;
}

static void test_configuration__refuses_nonsense(void **state) {
	struct raft_configuration twice = members("vv"), zero = members("v"), many = members("v"),
				  store = members("vv");

	(void)state;
	twice.members[1].node = 1;
	zero.members[0].node = 0;
	many.n = RAFT_MEMBERS_MAX + 1;
	store.members[1].store = store.members[0].store;
	assert_false(raft__configuration_valid(&twice));
	assert_false(raft__configuration_valid(&zero));
	assert_false(raft__configuration_valid(&many));
	assert_false(raft__configuration_valid(&store));
	assert_false(raft__configuration_valid(&(struct raft_configuration){0}));
	assert_false(raft__configuration_valid(
		&(struct raft_configuration){.n = 1, .members = {{.node = 1, .roles = RAFT_ROLE_LEARNER}}}));
	zero.members[0].node = 1;
	assert_true(raft__configuration_valid(&zero));
}

static void test_configuration__changes_voters_only_through_joint(void **state) {
	struct raft_configuration simple = members("vvv"), other = members("vv"), joint = members("bbov"),
				  left = members("vvlv"), learner = members("vvvl"), wrong = members("vvov");

	(void)state;
	assert_false(raft__configuration_follows(&simple, &other));
	assert_false(raft__configuration_follows(&simple, &left));
	assert_false(raft__configuration_follows(&simple, &wrong));
	assert_false(raft__configuration_follows(&joint, &simple));
	assert_false(raft__configuration_follows(&joint, &joint));
	assert_true(raft__configuration_follows(&simple, &learner));
	assert_true(raft__configuration_follows(&simple, &joint));
	assert_true(raft__configuration_follows(&joint, &left));
}

/* A node is named by its store too: a replaced disk makes another voter. */
static void test_configuration__change_notices_a_replaced_store(void **state) {
	struct raft_configuration simple = members("vvv"), replaced = members("vvv");
	struct raft_uuid store = {.bytes = {1}};

	(void)state;
	assert_true(raft__configuration_votes(&simple, 1, &store));
	replaced.members[0].store.bytes[0] = 99;
	assert_false(raft__configuration_follows(&simple, &replaced));
	assert_false(raft__configuration_votes(&replaced, 1, &store));
}

/* ---- Stores that are lost -------------------------------------------------------------------------------------------
 */

static void test_configuration__lost_is_said_of_voters_of_both_halves_only(void **state) {
	static const uint8_t wrong[] = {RAFT_ROLE_LOST, RAFT_ROLE_LOST | RAFT_ROLE_VOTER,
					RAFT_ROLE_LOST | RAFT_ROLE_VOTER_OUTGOING, RAFT_ROLE_LOST | RAFT_ROLE_LEARNER,
					RAFT_ROLE_LOST | RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LEARNER};
	struct raft_configuration joint = members("bbx");

	(void)state;
	assert_true(raft__configuration_valid(&joint));
	for (size_t i = 0; i < sizeof wrong; i++) {
		joint.members[2].roles = wrong[i];
		assert_false(raft__configuration_valid(&joint));
	}
}

/* Nothing could be committed in such a configuration, and none could follow it. */
static void test_configuration__old_half_keeps_a_majority_that_can_speak(void **state) {
	static const struct {
		const char *roles;
		bool valid;
	} cases[] = {{"x", false},    {"bx", false},    {"bxx", false}, {"xbb", true},    {"bbxx", false},
		     {"bbbxx", true}, {"bbxxx", false}, {"boxl", true}, {"vvvvxb", false}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct raft_configuration joint = members(cases[i].roles);

		assert_int_equal(raft__configuration_valid(&joint), cases[i].valid);
	}
}

static void test_configuration__lost_voter_has_another_store(void **state) {
	struct raft_configuration simple = members("vvvl"), joint = members("bbxl"), same = members("bbxl"),
				  unmarked = members("bbxl"), learner = members("bbbx"), missing = members("bxl"), left;

	(void)state;
	same.members[2].store.bytes[1] = 0;
	unmarked.members[2].roles &= (uint8_t)~RAFT_ROLE_LOST;
	assert_false(raft__configuration_follows(&simple, &same));
	assert_false(raft__configuration_follows(&simple, &unmarked));
	assert_false(raft__configuration_follows(&simple, &learner));
	assert_false(raft__configuration_follows(&simple, &missing));
	assert_false(raft__configuration_follows(&joint, &joint));
	assert_true(raft__configuration_follows(&simple, &joint));

	raft_configuration_leave(&joint, &left);
	assert_false(raft_configuration_is_joint(&left));
	assert_int_equal(left.members[2].roles, RAFT_ROLE_VOTER);
	assert_int_equal(left.members[2].store.bytes[1], 1);
	assert_true(raft__configuration_valid(&left));
	assert_true(raft__configuration_follows(&joint, &left));
	assert_false(raft__configuration_follows(&joint, &simple));
}

/* Others may come and go in the same step. */
static void test_configuration__losses_mix_with_other_changes(void **state) {
	struct raft_configuration from = members("vvvvv"), to = members("bboxxv");

	(void)state;
	assert_true(raft__configuration_valid(&to));
	assert_true(raft__configuration_follows(&from, &to));
	assert_int_equal(raft__configuration_rank(&to, 4, 1), 2);
}

static bool decides(const struct raft_configuration *configuration, uint32_t nodes) {
	uint64_t values[RAFT_MEMBERS_MAX] = {0};

	for (uint16_t i = 0; i < configuration->n; i++)
		values[i] = nodes >> i & 1;
	return raft__quorum(configuration, values) == 1;
}

/* All of them, up to seven voters: what was decided with stores that are lost now, and what is decided without them,
 * has met in a store that is still there. */
static void test_configuration__majorities_meet_outside_what_is_lost(void **state) {
	uint32_t pairs = 0;

	(void)state;
	for (uint32_t n = 1; n <= 7; n++) {
		for (uint32_t lost = 1; lost < 1u << n; lost++) {
			char before[8] = "", after[8] = "";
			struct raft_configuration from, to;

			for (uint32_t i = 0; i < n; i++) {
				before[i] = 'v';
				after[i] = lost >> i & 1 ? 'x' : 'b';
			}
			from = members(before);
			to = members(after);
			if (!raft__configuration_valid(&to))
				continue;
			assert_true(raft__configuration_follows(&from, &to));
			assert_true(decides(&to, ~lost));
			for (uint32_t a = 0; a < 1u << n; a++)
				for (uint32_t b = 0; decides(&from, a) && b < 1u << n; b++) {
					assert_true(!decides(&to, b) || (a & b & ~lost) != 0);
					pairs += decides(&to, b);
				}
		}
	}
	assert_int_equal(pairs, 74296);
}

static void test_configuration__ranks_voters_without_the_lost_one(void **state) {
	struct raft_configuration configuration = members("vvlvv");

	(void)state;
	assert_int_equal(raft__configuration_rank(&configuration, 1, 0), 0);
	assert_int_equal(raft__configuration_rank(&configuration, 4, 0), 2);
	assert_int_equal(raft__configuration_rank(&configuration, 4, 1), 1);
	assert_int_equal(raft__configuration_rank(&configuration, 5, 4), 2);
	/* Who is no voter comes last, member or not. */
	assert_int_equal(raft__configuration_rank(&configuration, 3, 0), 4);
	assert_int_equal(raft__configuration_rank(&configuration, 9, 2), 3);
}

static void test_configuration__ranks_the_highest_priority_first(void **state) {
	struct raft_configuration configuration = members("vvovl");

	(void)state;
	configuration.members[2].priority = 9;
	configuration.members[3].priority = 5;
	configuration.members[4].priority = 200;
	assert_int_equal(raft__configuration_rank(&configuration, 3, 0), 0);
	assert_int_equal(raft__configuration_rank(&configuration, 4, 0), 1);
	assert_int_equal(raft__configuration_rank(&configuration, 1, 0), 2);
	assert_int_equal(raft__configuration_rank(&configuration, 2, 0), 3);
	assert_int_equal(raft__configuration_rank(&configuration, 2, 3), 2);
}

/* A restarted voter promises for the P that it has stored; a leader that counts on a larger one would be wrong. */
static void test_configuration__promise_and_drift_stay_as_founded(void **state) {
	struct raft_configuration simple = members("vvv"), promise = members("vvv"), drift = members("vvv");

	(void)state;
	promise.promise_ms++;
	drift.drift_ppm++;
	assert_false(raft__configuration_follows(&simple, &promise));
	assert_false(raft__configuration_follows(&simple, &drift));
}

static void test_configuration__leaving_drops_the_outgoing_half(void **state) {
	struct raft_configuration joint = members("bovl"), left;

	(void)state;
	joint.members[1].roles |= RAFT_ROLE_LEARNER;
	joint.members[2].priority = 7;
	joint.members[joint.n++] = (struct raft_member){.node = 9, .store = {{9}}, .roles = RAFT_ROLE_VOTER_OUTGOING};
	assert_true(raft_configuration_is_joint(&joint));
	raft_configuration_leave(&joint, &left);
	assert_false(raft_configuration_is_joint(&left));
	assert_true(raft__configuration_follows(&joint, &left));
	assert_int_equal(left.promise_ms, 200);
	assert_int_equal(left.n, 4);
	assert_int_equal(left.members[0].roles, RAFT_ROLE_VOTER);
	assert_int_equal(left.members[1].roles, RAFT_ROLE_LEARNER);
	assert_int_equal(left.members[2].roles, RAFT_ROLE_VOTER);
	assert_int_equal(left.members[2].priority, 7);
	assert_int_equal(left.members[3].roles, RAFT_ROLE_LEARNER);
	assert_int_equal(raft__configuration_find(&left, 9), -1);
	/* In place too. */
	raft_configuration_leave(&joint, &joint);
	assert_int_equal(joint.n, 4);
}

/* The definition, by counting: v is reached if more than half of each half has v or more. */
static bool reached(const struct raft_configuration *configuration, const uint64_t *values, uint64_t v, uint8_t role) {
	int n = 0, have = 0;

	for (uint16_t i = 0; i < configuration->n; i++) {
		bool lost = role == RAFT_ROLE_VOTER_OUTGOING && (configuration->members[i].roles & RAFT_ROLE_LOST);

		n += (configuration->members[i].roles & role) != 0;
		have += (configuration->members[i].roles & role) != 0 && !lost && values[i] >= v;
	}
	return n == 0 || have > n / 2;
}

static void test_configuration__quorum_agrees_with_counting(void **state) {
	struct raft__random random;
	static const char letters[] = "voblx";

	(void)state;
	raft__random_init(&random, 7, 1, 1);
	for (int round = 0; round < 20000; round++) {
		char roles[RAFT_MEMBERS_MAX] = "v";
		uint64_t values[RAFT_MEMBERS_MAX] = {0}, expected = 0;
		uint64_t n = raft__random_between(&random, 1, 9);
		struct raft_configuration configuration;

		for (uint64_t i = 0; i < n; i++) {
			values[i] = raft__random_between(&random, 0, 6);
			if (i > 0)
				roles[i] = letters[raft__random_between(&random, 0, 5)];
		}
		configuration = members(roles);
		for (uint64_t v = 1; v < 6; v++)
			if (reached(&configuration, values, v, RAFT_ROLE_VOTER) &&
			    reached(&configuration, values, v, RAFT_ROLE_VOTER_OUTGOING))
				expected = v;
		assert_int_equal(raft__quorum(&configuration, values), expected);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration__refuses_nonsense),
		cmocka_unit_test(test_configuration__changes_voters_only_through_joint),
		cmocka_unit_test(test_configuration__change_notices_a_replaced_store),
		cmocka_unit_test(test_configuration__lost_is_said_of_voters_of_both_halves_only),
		cmocka_unit_test(test_configuration__old_half_keeps_a_majority_that_can_speak),
		cmocka_unit_test(test_configuration__lost_voter_has_another_store),
		cmocka_unit_test(test_configuration__losses_mix_with_other_changes),
		cmocka_unit_test(test_configuration__majorities_meet_outside_what_is_lost),
		cmocka_unit_test(test_configuration__ranks_voters_without_the_lost_one),
		cmocka_unit_test(test_configuration__ranks_the_highest_priority_first),
		cmocka_unit_test(test_configuration__promise_and_drift_stay_as_founded),
		cmocka_unit_test(test_configuration__leaving_drops_the_outgoing_half),
		cmocka_unit_test(test_configuration__quorum_agrees_with_counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
