/* SPDX-License-Identifier: Apache-2.0 */
#include "raft/src/configuration.h"
#include "raft/src/random.h"

#include "panic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Roles of nodes 1, 2, … as letters: v voter, o outgoing, b both, l learner. */
static struct raft_configuration members(const char *roles) {
	struct raft_configuration configuration = {.promise_ms = 200};

	for (; *roles; roles++) {
		struct raft_member *member = &configuration.members[configuration.n++];

		member->node = configuration.n;
		member->store.bytes[0] = (uint8_t)member->node;
		member->roles = *roles == 'v'   ? RAFT_ROLE_VOTER
				: *roles == 'o' ? RAFT_ROLE_VOTER_OUTGOING
				: *roles == 'b' ? RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING
						: RAFT_ROLE_LEARNER;
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

static void test_configuration__ranks_voters_without_the_lost_one(void **state) {
	struct raft_configuration configuration = members("vvlvv");

	(void)state;
	assert_int_equal(raft__configuration_rank(&configuration, 1, 0), 0);
	assert_int_equal(raft__configuration_rank(&configuration, 4, 0), 2);
	assert_int_equal(raft__configuration_rank(&configuration, 4, 1), 1);
	assert_int_equal(raft__configuration_rank(&configuration, 5, 4), 2);
}

/* The definition, by counting: v is reached if more than half of each half has v or more. */
static bool reached(const struct raft_configuration *configuration, const uint64_t *values, uint64_t v, uint8_t role) {
	int n = 0, have = 0;

	for (uint16_t i = 0; i < configuration->n; i++) {
		n += (configuration->members[i].roles & role) != 0;
		have += (configuration->members[i].roles & role) != 0 && values[i] >= v;
	}
	return n == 0 || have > n / 2;
}

static void test_configuration__quorum_agrees_with_counting(void **state) {
	struct raft__random random;
	static const char letters[] = "vobl";

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
				roles[i] = letters[raft__random_between(&random, 0, 4)];
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
		cmocka_unit_test(test_configuration__ranks_voters_without_the_lost_one),
		cmocka_unit_test(test_configuration__quorum_agrees_with_counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
