/* SPDX-License-Identifier: Apache-2.0 */
#include "lockd/node/lease_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MANY = 5 * LEASE_BLOCK_LEASES };

static state_session_id id_of(uint64_t i) {
	return (i + 1) << 16;
}

static void fill(struct lease_table *table) {
	for (uint64_t i = 0; i < MANY; i++)
		lease_table_add(table, id_of(i))->ttl_us = 1000 * (i + 1);
}

static void test_lease_table__finds_nothing_when_empty(void **unused) {
	struct lease_table table = {0};

	(void)unused;
	assert_null(lease_table_find(&table, id_of(0)));
	lease_table_remove(&table, lease_table_add(&table, id_of(0)));
	assert_null(lease_table_find(&table, id_of(0)));
	assert_null(lease_table_find(&table, 0));
	lease_table_clear(&table);
}

/* The gaps that are left in the index hide nobody, wherever the searches began. */
static void test_lease_table__finds_those_that_are_left(void **unused) {
	struct lease_table table = {0};

	(void)unused;
	fill(&table);
	for (uint64_t i = 0; i < MANY; i++)
		if (i % 3 != 1)
			lease_table_remove(&table, lease_table_find(&table, id_of(i)));
	for (uint64_t i = 0; i < MANY; i++) {
		const struct lease *lease = lease_table_find(&table, id_of(i));

		if (i % 3 != 1) {
			assert_null(lease);
			continue;
		}
		assert_non_null(lease);
		assert_int_equal(lease->session, id_of(i));
		assert_int_equal(lease->ttl_us, 1000 * (i + 1));
	}
	assert_int_equal(table.n, MANY / 3);
	lease_table_clear(&table);
}

static void test_lease_table__gives_places_away_again(void **unused) {
	struct lease_table table = {0};
	size_t n_blocks;

	(void)unused;
	fill(&table);
	n_blocks = table.n_blocks;
	for (uint64_t i = 0; i < MANY; i++)
		lease_table_remove(&table, lease_table_find(&table, id_of(i)));
	for (size_t i = 0; i < n_blocks; i++)
		assert_null(table.blocks[i].leases);
	fill(&table);
	assert_int_equal(table.n_blocks, n_blocks);
	/* Also single ones, between others. */
	lease_table_remove(&table, lease_table_find(&table, id_of(7)));
	lease_table_remove(&table, lease_table_find(&table, id_of(MANY - 7)));
	assert_non_null(lease_table_add(&table, id_of(MANY)));
	assert_non_null(lease_table_add(&table, id_of(MANY + 1)));
	assert_int_equal(table.n_blocks, n_blocks);
	assert_int_equal(lease_table_find(&table, id_of(MANY))->place, 7);
	lease_table_clear(&table);
}

static void test_lease_table__knows_by_when_somebody_may_be_due(void **unused) {
	struct lease_table table = {0};
	struct lease *late, *early;

	(void)unused;
	late = lease_table_add(&table, id_of(0));
	late->ttl_us = 8000;
	late->heard = 1000;
	lease_table_schedule(&table, late);
	assert_int_equal(table.due, 3000);
	early = lease_table_add(&table, id_of(1));
	early->ttl_us = 4000;
	early->heard = 1000;
	lease_table_schedule(&table, early);
	assert_int_equal(table.due, 2000);
	/* The first quarter is on record. */
	early->quarters = 1;
	assert_int_equal(lease_due(early), 3000);
	/* All of the TTL is: an EXPIRE is on its way. */
	early->quarters = LEASE_QUARTERS;
	assert_true(lease_due(early) == LEASE_NEVER);
	lease_table_schedule(&table, early);
	assert_int_equal(table.due, 2000);
	table.blocks[0].due = lease_due(late);
	lease_table_settle(&table);
	assert_int_equal(table.due, 3000);
	/* What is left behind by the last one concerns nobody. */
	lease_table_remove(&table, late);
	lease_table_remove(&table, early);
	(void)lease_table_add(&table, id_of(2));
	assert_true(table.due == LEASE_NEVER);
	lease_table_clear(&table);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease_table__finds_nothing_when_empty),
		cmocka_unit_test(test_lease_table__finds_those_that_are_left),
		cmocka_unit_test(test_lease_table__gives_places_away_again),
		cmocka_unit_test(test_lease_table__knows_by_when_somebody_may_be_due),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
