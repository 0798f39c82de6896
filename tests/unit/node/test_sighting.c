/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"
#include "lockd/node/sighting.h"

static void test_sighting__knows_nothing_of_what_was_not_seen(void **unused) {
	struct sightings sightings = {0};

	(void)unused;
	assert_int_equal(sightings_find(&sightings, 1, 77), 77);
	sightings_add(&sightings, 10, 50);
	assert_int_equal(sightings_find(&sightings, 11, 77), 77);
	assert_int_equal(sightings_find(&sightings, 10, 77), 50);
	assert_int_equal(sightings_find(&sightings, 3, 77), 50);
}

static void test_sighting__thins_out_when_full(void **unused) {
	static struct sightings sightings;
	raft_usec second = 1000 * 1000, found;

	(void)unused;
	for (raft_index i = 1; i <= 10 * SIGHTING_MARKS_MAX; i++)
		sightings_add(&sightings, i, i * second);
	assert_in_range(sightings.n, SIGHTING_MARKS_MAX / 4, SIGHTING_MARKS_MAX);
	found = sightings_find(&sightings, 5000, 0);
	assert_in_range(found, 5000 * second, 5100 * second);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sighting__knows_nothing_of_what_was_not_seen),
		cmocka_unit_test(test_sighting__thins_out_when_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
