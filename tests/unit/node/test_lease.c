/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "lockd/node/lease.h"

#include "api/command.pb-c.h"
#include "api/limits.h"

#include <stdio.h>

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

/* How many sessions the EXPIREs of that entry name. */
static size_t count_expired(struct cluster *cluster, uint32_t node, raft_index index) {
	struct node_entry entry;
	Command__Batch *batch;
	size_t n = 0;

	assert_true(node_get_entry(cluster_node(cluster, node)->node, 1, index, &entry));
	batch = command__batch__unpack(NULL, entry.n, entry.data);
	assert_non_null(batch);
	for (size_t i = 0; i < batch->n_commands; i++) {
		if (batch->commands[i]->body_case == COMMAND__COMMAND__BODY_EXPIRE)
			n += batch->commands[i]->expire->n_opened;
	}
	command__batch__free_unpacked(batch, NULL);
	return n;
}

/* All sessions fall silent at the same moment; the most that one entry ends. */
static size_t end_together(int n_sessions, int locks_each) {
	struct cluster cluster;
	const struct state *state;
	raft_index before;
	size_t n = 0, most = 0;

	cluster_init(&cluster, 1);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	for (int i = 0; i < n_sessions; i++) {
		char text[32];
		uint64_t opened;

		(void)snprintf(text, sizeof text, "%d", i);
		opened = cluster_open(&cluster, 1, 5, text, 60000);
		for (int lock = 1; lock <= locks_each; lock++) {
			(void)snprintf(text, sizeof text, "%d/%d", i, lock);
			assert_int_not_equal(cluster_acquire(&cluster, 1, 5, opened, (uint64_t)lock, text), 0);
		}
	}
	cluster_restart(&cluster, 1);
	(void)cluster_await_leader(&cluster, 0);
	state = node_state(cluster_node(&cluster, 1)->node, 1);
	before = state_applied(state);

	cluster_advance(&cluster, 62000 * CLUSTER_MS);
	for (raft_index index = before + 1; index <= state_applied(state); index++) {
		size_t expired = count_expired(&cluster, 1, index);

		n += expired;
		most = expired > most ? expired : most;
	}
	assert_int_equal(n, n_sessions);
	assert_int_equal(state_get_counts(state).sessions, 0);
	assert_int_equal(state_get_counts(state).locks, 0);
	cluster_deinit(&cluster);
	return most;
}

/* No request waits for the end of them all. */
static void test_lease__ends_many_sessions_in_portions(void **unused) {
	(void)unused;
	assert_int_equal(end_together(2 * LEASE_SESSIONS_AT_ONCE + 2, 0), LEASE_SESSIONS_AT_ONCE);
}

static void test_lease__ends_fewer_of_those_that_hold_more(void **unused) {
	enum { LOCKS = 60, ROWS = LOCKS + 1 };

	(void)unused;
	assert_int_equal(end_together(40, LOCKS), (LEASE_ROWS_AT_ONCE + ROWS - 1) / ROWS);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease__expires_a_silent_session_after_its_ttl_and_not_before),
		cmocka_unit_test(test_lease__gives_the_rest_of_the_ttl_after_a_leader_change),
		cmocka_unit_test(test_lease__does_not_count_a_pause_of_the_leader),
		cmocka_unit_test(test_lease__expires_nobody_while_it_cannot_prove_leadership),
		cmocka_unit_test(test_lease__clock_goes_on_when_leases_are_taken_over),
		cmocka_unit_test(test_lease__is_trusted_again_under_the_leader_lease),
		cmocka_unit_test(test_lease__ends_many_sessions_in_portions),
		cmocka_unit_test(test_lease__ends_fewer_of_those_that_hold_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
