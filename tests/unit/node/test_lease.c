/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "lockd/node/lease.h"

static bool alive(struct cluster *cluster, uint32_t node, uint64_t opened) {
	struct state_session session;

	return state_get_session(node_state(cluster_node(cluster, node)->node, 1), opened, &session);
}

static void test_lease__expires_a_silent_session_after_its_ttl_and_not_before(void **unused) {
	struct cluster cluster;
	uint64_t opened;
	struct state_lock lock;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 4000);
	assert_int_not_equal(cluster_acquire(&cluster, 1, 5, opened, 1, "lock"), 0);
	cluster_advance(&cluster, 3999 * CLUSTER_MS);
	assert_true(alive(&cluster, 1, opened));
	cluster_advance(&cluster, 2 * CLUSTER_MS);
	assert_false(alive(&cluster, 1, opened));
	assert_false(state_get_lock(node_state(cluster_node(&cluster, 1)->node, 1), "lock", 4, &lock));
	cluster_deinit(&cluster);
}

/* A new leader gives what the marks on record leave: here at least a quarter more than nothing, at most the full TTL.
 */
static void test_lease__gives_the_rest_of_the_ttl_after_a_leader_change(void **unused) {
	struct cluster cluster;
	uint32_t old, leader;
	uint64_t opened;
	raft_usec took_over;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	old = cluster_leader(&cluster);
	cluster_hello(&cluster, old, 5);
	opened = cluster_open(&cluster, old, 5, "nonce", 8000);
	cluster_advance(&cluster, 4100 * CLUSTER_MS);
	cluster_stop(&cluster, old);
	leader = cluster_await_leader(&cluster, old);
	took_over = cluster.now;
	assert_true(alive(&cluster, leader, opened));
	cluster_advance(&cluster, 3500 * CLUSTER_MS);
	assert_true(alive(&cluster, leader, opened));
	cluster_advance(&cluster, took_over + 4200 * CLUSTER_MS - cluster.now);
	assert_false(alive(&cluster, leader, opened));
	cluster_deinit(&cluster);
}

/* A leader that did not run for a while extends all timers by the gap and expires nobody before it has proved itself.
 */
static void test_lease__does_not_count_a_pause_of_the_leader(void **unused) {
	struct cluster cluster;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	opened = cluster_open(&cluster, 1, 5, "nonce", 4000);
	cluster_node(&cluster, 1)->paused = true;
	cluster_advance(&cluster, 60000 * CLUSTER_MS);
	cluster_node(&cluster, 1)->paused = false;
	cluster_settle(&cluster);
	assert_true(alive(&cluster, 1, opened));
	cluster_advance(&cluster, 2900 * CLUSTER_MS);
	assert_true(alive(&cluster, 1, opened));
	cluster_advance(&cluster, 1200 * CLUSTER_MS);
	assert_false(alive(&cluster, 1, opened));
	cluster_deinit(&cluster);
}

static void test_lease__expires_nobody_while_it_cannot_prove_leadership(void **unused) {
	struct cluster cluster;
	uint32_t leader;
	uint64_t opened;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	opened = cluster_open(&cluster, leader, 5, "nonce", 3000);
	cluster_node(&cluster, leader)->cut = true;
	cluster_advance(&cluster, 5000 * CLUSTER_MS);
	/* The old leader has stepped down; the others expire it on their own. */
	assert_true(alive(&cluster, leader, opened));
	cluster_advance(&cluster, 2000 * CLUSTER_MS);
	assert_false(alive(&cluster, cluster_leader(&cluster), opened));
	cluster_deinit(&cluster);
}

/* Keep-alives that wait for the take-over carry readings of the session clock: were it set back to the monotonic clock
 * then, they would look older than they are and extend nothing. */
static void test_lease__clock_goes_on_when_leases_are_taken_over(void **unused) {
	struct leases leases = {.round = 7};

	(void)unused;
	leases_pause(&leases, 5000 * CLUSTER_MS);
	assert_true(leases_want_round(&leases));
	leases_clear(&leases);
	assert_int_equal(leases.paused, 5000 * CLUSTER_MS);
	assert_false(leases_want_round(&leases));
	leases_pause(&leases, 10 * CLUSTER_MS);
	assert_int_equal(leases.paused, 5010 * CLUSTER_MS);
}

/* After a pause expiry waits for a round, or for a lease that is valid by a later clock. */
static void test_lease__is_trusted_again_under_the_leader_lease(void **unused) {
	struct leases leases = {0};

	(void)unused;
	leases_pause(&leases, 150 * CLUSTER_MS);
	assert_true(leases.unproved);
	leases_trust(&leases);
	assert_false(leases.unproved);
	assert_false(leases_want_round(&leases));
	/* What a round under way proves is older than the next pause. */
	leases_pause(&leases, 150 * CLUSTER_MS);
	assert_true(leases_want_round(&leases));
	leases_assign_round(&leases, 8);
	leases_prove(&leases, 7);
	assert_true(leases.unproved);
	leases_prove(&leases, 8);
	assert_false(leases.unproved);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease__expires_a_silent_session_after_its_ttl_and_not_before),
		cmocka_unit_test(test_lease__gives_the_rest_of_the_ttl_after_a_leader_change),
		cmocka_unit_test(test_lease__does_not_count_a_pause_of_the_leader),
		cmocka_unit_test(test_lease__expires_nobody_while_it_cannot_prove_leadership),
		cmocka_unit_test(test_lease__clock_goes_on_when_leases_are_taken_over),
		cmocka_unit_test(test_lease__is_trusted_again_under_the_leader_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
