/* SPDX-License-Identifier: Apache-2.0 */
/* Ids come and go at random and are compared with a plain list of those that are there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lockd/state/roster.h"

#include <stdbool.h>

enum { IDS = 1000, ROUNDS = 20000 };

static uint64_t next(uint64_t *seed) {
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* A session is never looked into: any address will do. */
static struct session *session_of(const bool *there) {
	return (struct session *)(uintptr_t)there;
}

static void assert_is(const struct roster *roster, const bool *there, const state_session_id *ids) {
	for (size_t i = 0; i < IDS; i++)
		assert_ptr_equal(roster_find(roster, ids[i]), there[i] ? session_of(&there[i]) : NULL);
}

static void turn(struct roster *roster, bool *there, state_session_id id) {
	if (*there)
		roster_remove(roster, id);
	else
		roster_add(roster, id, session_of(there));
	*there = !*there;
}

static void run(uint64_t seed, const state_session_id *ids) {
	struct roster roster = {0};
	bool there[IDS] = {false};
	uint32_t n = 0;

	for (size_t round = 1; round <= ROUNDS; round++) {
		size_t i = next(&seed) % IDS;

		turn(&roster, &there[i], ids[i]);
		n = there[i] ? n + 1 : n - 1;
		assert_int_equal(roster.n, n);
		assert_ptr_equal(roster_find(&roster, ids[i]), there[i] ? session_of(&there[i]) : NULL);
		if (round % (ROUNDS / 40) == 0)
			assert_is(&roster, there, ids);
	}
	for (size_t i = 0; i < IDS; i++)
		if (there[i])
			turn(&roster, &there[i], ids[i]);
	assert_is(&roster, there, ids);
	assert_int_equal(roster.n, 0);
	roster_deinit(&roster);
}

static void test_roster__empty_knows_nobody(void **test) {
	struct roster roster = {0};

	(void)test;
	assert_null(roster_find(&roster, 1));
	roster_deinit(&roster);
}

/* Revisions: several in one entry, then a gap. */
static void test_roster__holds_what_was_added_and_not_removed(void **test) {
	state_session_id ids[IDS];

	(void)test;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		for (size_t i = 0; i < IDS; i++)
			ids[i] = (i / seed + 1) << 16 | i % seed;
		run(seed, ids);
	}
}

/* Ids whose searches begin at the table's first ten places, or at its last ten: runs overlap and go round the end. */
static void test_roster__holds_ids_that_collide(void **test) {
	static const uint64_t inverse = 0xf1de83e19937733du; /* of the multiplier, mod 2^64 */
	state_session_id ids[IDS];

	(void)test;
	for (size_t i = 0; i < IDS; i++)
		ids[i] = ((uint64_t)i << 48 | (i % 20 - 10) % (1 << 16) << 32) * inverse;
	run(7, ids);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roster__empty_knows_nobody),
		cmocka_unit_test(test_roster__holds_what_was_added_and_not_removed),
		cmocka_unit_test(test_roster__holds_ids_that_collide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
