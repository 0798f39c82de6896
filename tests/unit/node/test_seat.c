/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "lockd/node/pending.h"

#include "lockd/node/seat.h"

#include "api/command.pb-c.h"

#include <stdio.h>

struct bench {
	struct cluster cluster;
	uint64_t holder, waiter, token;
};

/* A single node: `holder` holds "lock". */
static void begin(struct bench *bench) {
	cluster_init(&bench->cluster, 1);
	cluster_found(&bench->cluster);
	cluster_hello(&bench->cluster, 1, 5);
	bench->holder = cluster_open(&bench->cluster, 1, 5, "holder", 60000);
	bench->waiter = cluster_open(&bench->cluster, 1, 5, "waiter", 60000);
	bench->token = cluster_acquire(&bench->cluster, 1, 5, bench->holder, 1, "lock");
	assert_int_not_equal(bench->token, 0);
}

static void test_seat__ends_the_wait_after_its_time_and_not_before(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;

	(void)unused;
	begin(&bench);
	cluster_send_acquire(cluster, 1, 5, 1, bench.waiter, 1, "lock", 500);
	cluster_advance(cluster, 499 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(cluster, 5, 1), -1);
	/* The wait begins with the seat, for which an acquire is patient. */
	cluster_advance(cluster, 2 * CLUSTER_MS + PENDING_PATIENCE_US);
	assert_int_equal(cluster_take_status(cluster, 5, 1), LOCKD_WAIT_EXPIRED);
	cluster_deinit(cluster);
}

static void test_seat__answers_the_requester_when_it_is_granted(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;
	Client__Reply *reply;

	(void)unused;
	begin(&bench);
	cluster_send_acquire(cluster, 1, 5, 1, bench.waiter, 1, "lock", STATE_WAIT_FOREVER);
	cluster_advance(cluster, 1000 * CLUSTER_MS);
	cluster_send_release(cluster, 1, 5, 2, bench.holder, 2, "lock", bench.token);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 2), LOCKD_OK);
	reply = cluster_take_reply(cluster, 5, 1);
	assert_non_null(reply);
	assert_int_equal(reply->status, LOCKD_OK);
	assert_in_range(reply->token, bench.token + 1, UINT64_MAX);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(cluster);
}

/* The outcome goes to whoever asked last; the one before hears that the seat waits. */
static void test_seat__takes_the_latest_requester(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;

	(void)unused;
	begin(&bench);
	cluster_hello(cluster, 1, 6);
	cluster_send_acquire(cluster, 1, 5, 1, bench.waiter, 1, "lock", 5000);
	cluster_advance(cluster, PENDING_PATIENCE_US);
	cluster_send_acquire(cluster, 1, 6, 2, bench.waiter, 1, "lock", 5000);
	cluster_advance(cluster, PENDING_PATIENCE_US);
	assert_int_equal(cluster_take_status(cluster, 5, 1), LOCKD_QUEUED);
	cluster_send_release(cluster, 1, 5, 3, bench.holder, 2, "lock", bench.token);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 2), LOCKD_OK);
	assert_int_equal(cluster_take_status(cluster, 5, 1), -1);
	cluster_deinit(cluster);
}

static void test_seat__outlives_its_connection(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;

	(void)unused;
	begin(&bench);
	cluster_hello(cluster, 1, 6);
	cluster_send_acquire(cluster, 1, 6, 1, bench.waiter, 1, "lock", 5000);
	cluster_settle(cluster);
	cluster_post(cluster, 1, &(struct node_event){.kind = NODE_CLIENT_GONE, .connection = 6});
	cluster_send_release(cluster, 1, 5, 2, bench.holder, 2, "lock", bench.token);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 6, 1), -1);
	/* The retry of the same request finds the grant. */
	cluster_send_acquire(cluster, 1, 5, 3, bench.waiter, 1, "lock", 5000);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 5, 3), LOCKD_OK);
	cluster_deinit(cluster);
}

static void test_seat__ends_with_its_session(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;
	uint64_t mortal;

	(void)unused;
	begin(&bench);
	mortal = cluster_open(cluster, 1, 5, "mortal", 3000);
	cluster_send_acquire(cluster, 1, 5, 1, mortal, 1, "lock", STATE_WAIT_FOREVER);
	cluster_advance(cluster, 3001 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(cluster, 5, 1), LOCKD_SESSION_EXPIRED);
	cluster_deinit(cluster);
}

/* The seat is replicated: the next leader starts the whole wait again, and the client's retry finds its seat. */
static void test_seat__waits_its_full_time_again_at_the_next_leader(void **unused) {
	struct cluster cluster;
	uint32_t old, leader;
	uint64_t holder, waiter;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	old = cluster_leader(&cluster);
	cluster_hello(&cluster, old, 5);
	holder = cluster_open(&cluster, old, 5, "holder", 60000);
	waiter = cluster_open(&cluster, old, 5, "waiter", 60000);
	assert_int_not_equal(cluster_acquire(&cluster, old, 5, holder, 1, "lock"), 0);
	cluster_send_acquire(&cluster, old, 5, 1, waiter, 1, "lock", 3000);
	cluster_advance(&cluster, 1000 * CLUSTER_MS);
	cluster_node(&cluster, old)->cut = true;
	leader = cluster_await_leader(&cluster, old);
	assert_int_equal(cluster_take_status(&cluster, 5, 1), LOCKD_LEADER_CHANGED);
	cluster_hello(&cluster, leader, 6);
	cluster_send_acquire(&cluster, leader, 6, 2, waiter, 1, "lock", 3000);
	cluster_advance(&cluster, 2700 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, 6, 2), -1);
	cluster_advance(&cluster, 400 * CLUSTER_MS);
	assert_int_equal(cluster_take_status(&cluster, 6, 2), LOCKD_WAIT_EXPIRED);
	cluster_deinit(&cluster);
}

static size_t count_timers(struct cluster *cluster, raft_index index) {
	struct node_entry entry;
	Command__Batch *batch;
	size_t n = 0;

	assert_true(node_get_entry(cluster_node(cluster, 1)->node, 1, index, &entry));
	batch = command__batch__unpack(NULL, entry.n, entry.data);
	assert_non_null(batch);
	for (size_t i = 0; i < batch->n_commands; i++)
		n += batch->commands[i]->body_case == COMMAND__COMMAND__BODY_TIMER;
	command__batch__free_unpacked(batch, NULL);
	return n;
}

/* Waits that are over at the same moment end entry by entry, so that no request waits for all of them. */
static void test_seat__ends_many_waits_in_portions(void **unused) {
	enum { SESSIONS = 20, SEATS_EACH = 60, SEATS = SESSIONS * SEATS_EACH };
	struct bench bench;
	struct cluster *cluster = &bench.cluster;
	const struct state *state;
	raft_index before;
	size_t n = 0, most = 0;

	(void)unused;
	begin(&bench);
	for (int i = 0; i < SESSIONS; i++) {
		char nonce[32];
		uint64_t opened;

		(void)snprintf(nonce, sizeof nonce, "%d", i);
		opened = cluster_open(cluster, 1, 5, nonce, 60000);
		for (uint64_t sequence = 1; sequence <= SEATS_EACH; sequence++)
			cluster_send_acquire(cluster, 1, 5, 100 + sequence, opened, sequence, "lock", 5000);
	}
	cluster_settle(cluster);
	/* All waits begin anew at the same moment. */
	cluster_restart(cluster, 1);
	(void)cluster_await_leader(cluster, 0);
	state = node_state(cluster_node(cluster, 1)->node, 1);
	assert_int_equal(state_get_counts(state).seats, SEATS);
	before = state_applied(state);

	cluster_advance(cluster, 6000 * CLUSTER_MS);
	for (raft_index index = before + 1; index <= state_applied(state); index++) {
		size_t timers = count_timers(cluster, index);

		n += timers;
		most = timers > most ? timers : most;
	}
	assert_int_equal(n, SEATS);
	assert_int_equal(most, SEAT_TIMERS_PER_TURN);
	assert_int_equal(state_get_counts(state).seats, 0);
	cluster_deinit(cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seat__ends_the_wait_after_its_time_and_not_before),
		cmocka_unit_test(test_seat__answers_the_requester_when_it_is_granted),
		cmocka_unit_test(test_seat__takes_the_latest_requester),
		cmocka_unit_test(test_seat__outlives_its_connection),
		cmocka_unit_test(test_seat__ends_with_its_session),
		cmocka_unit_test(test_seat__waits_its_full_time_again_at_the_next_leader),
		cmocka_unit_test(test_seat__ends_many_waits_in_portions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
