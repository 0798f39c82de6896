/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "api/command.pb-c.h"
#include "api/peer.pb-c.h"

#include <stdio.h>
#include <string.h>

enum { SECOND = 1000 * CLUSTER_MS, INTERVAL = 8 };

struct bench {
	struct cluster cluster;
	uint64_t opened, sequence;
	node_connection connection;
};

static const struct state *state_at(struct cluster *cluster, uint32_t node) {
	return node_state(cluster_node(cluster, node)->node, CLUSTER_GROUP);
}

/* Founded and quiet, with a checkpoint on every disk; nothing is audited before `interval`. */
static uint32_t begin(struct bench *bench, size_t n, uint32_t interval, uint32_t version) {
	struct node_config config = {.checkpoint_log_entries = 4,
				     .trailing_log_entries = 100,
				     .state_hash_interval = interval,
				     .machine_version_max = version};
	uint32_t leader;

	*bench = (struct bench){.sequence = 1, .connection = 100};
	cluster_init_with(&bench->cluster, n, &config);
	cluster_found(&bench->cluster);
	leader = cluster_leader(&bench->cluster);
	cluster_hello(&bench->cluster, leader, leader);
	bench->opened = cluster_open(&bench->cluster, leader, leader, "nonce", 600000);
	cluster_advance(&bench->cluster, SECOND);
	return leader;
}

/* So many entries, slow enough for heartbeats to ask between them. */
static void work(struct bench *bench, uint32_t leader, unsigned entries) {
	node_connection connection = ++bench->connection;

	cluster_hello(&bench->cluster, leader, connection);
	for (unsigned i = 0; i < entries; i++) {
		char name[16];

		snprintf(name, sizeof name, "lock-%u", (unsigned)bench->sequence);
		cluster_send_acquire(&bench->cluster, leader, connection, 7, bench->opened, bench->sequence++, name, 0);
		cluster_advance(&bench->cluster, 20 * CLUSTER_MS);
		assert_int_equal(cluster_take_status(&bench->cluster, connection, 7), LOCKD_OK);
	}
	cluster_advance(&bench->cluster, SECOND);
}

static unsigned count_verdicts(struct cluster *cluster, uint32_t node) {
	struct node_entry entry;
	unsigned n = 0;

	for (raft_index index = 1; index <= state_applied(state_at(cluster, node)); index++) {
		Command__Batch *batch;

		if (!node_get_entry(cluster_node(cluster, node)->node, CLUSTER_GROUP, index, &entry) ||
		    entry.type != RAFT_ENTRY_COMMANDS)
			continue;
		batch = command__batch__unpack(NULL, entry.n, entry.data);
		assert_non_null(batch);
		for (size_t i = 0; i < batch->n_commands; i++)
			n += batch->commands[i]->body_case == COMMAND__COMMAND__BODY_VERDICT;
		command__batch__free_unpacked(batch, NULL);
	}
	return n;
}

/* The node comes back with a state that no log describes. */
static void corrupt(struct bench *bench, uint32_t node) {
	cluster_stop(&bench->cluster, node);
	cluster_corrupt(&bench->cluster, node);
	cluster_restart(&bench->cluster, node);
	cluster_node(&bench->cluster, node)->may_fail = true;
	cluster_advance(&bench->cluster, 2 * SECOND);
}

static void test_audit__says_nothing_under_version_1(void **unused) {
	struct bench bench;
	uint32_t leader;

	(void)unused;
	leader = begin(&bench, 3, INTERVAL, 1);
	work(&bench, leader, 3 * INTERVAL);
	assert_int_equal(count_verdicts(&bench.cluster, leader), 0);
	cluster_deinit(&bench.cluster);
}

static void test_audit__confirms_equal_states_once_per_interval(void **unused) {
	struct bench bench;
	uint32_t leader;
	raft_index last;

	(void)unused;
	leader = begin(&bench, 3, INTERVAL, 2);
	work(&bench, leader, 4 * INTERVAL);
	last = state_applied(state_at(&bench.cluster, leader));
	assert_in_range(count_verdicts(&bench.cluster, leader), last / INTERVAL - 1, last / INTERVAL);
	/* A new leader does not repeat them. */
	cluster_send_transfer(&bench.cluster, leader, leader, 9, leader % 3 + 1);
	cluster_advance(&bench.cluster, SECOND);
	assert_int_equal(cluster_take_status(&bench.cluster, leader, 9), LOCKD_OK);
	assert_in_range(count_verdicts(&bench.cluster, leader % 3 + 1), last / INTERVAL - 1, (last + 2) / INTERVAL);
	cluster_deinit(&bench.cluster);
}

static void test_audit__stops_a_follower_that_differs(void **unused) {
	struct bench bench;
	uint32_t leader, deviant;

	(void)unused;
	leader = begin(&bench, 3, 2 * INTERVAL, 2);
	deviant = leader % 3 + 1;
	corrupt(&bench, deviant);
	work(&bench, leader, 2 * INTERVAL);
	assert_non_null(
		strstr(cluster_node(&bench.cluster, deviant)->fatal, "state at index 16 differs from the majority's"));
	/* The others carry on, and what is wrong on its disk stops it again. */
	work(&bench, leader, 4);
	assert_int_equal(cluster_leader(&bench.cluster), leader);
	cluster_node(&bench.cluster, deviant)->fatal[0] = 0;
	cluster_restart(&bench.cluster, deviant);
	work(&bench, leader, 2 * INTERVAL);
	assert_non_null(strstr(cluster_node(&bench.cluster, deviant)->fatal, "differs from the majority's"));
	cluster_deinit(&bench.cluster);
}

static void test_audit__stops_a_leader_that_differs(void **unused) {
	struct bench bench;
	uint32_t leader, deviant, next;

	(void)unused;
	leader = begin(&bench, 3, 4 * INTERVAL, 2);
	deviant = leader % 3 + 1;
	corrupt(&bench, deviant);
	cluster_send_transfer(&bench.cluster, leader, leader, 9, deviant);
	cluster_advance(&bench.cluster, SECOND);
	assert_int_equal(cluster_leader(&bench.cluster), deviant);
	work(&bench, deviant, 4 * INTERVAL - (unsigned)state_applied(state_at(&bench.cluster, deviant)));
	assert_non_null(
		strstr(cluster_node(&bench.cluster, deviant)->fatal, "state at index 32 differs from the majority's"));
	next = cluster_await_leader(&bench.cluster, deviant);
	assert_int_not_equal(next, 0);
	work(&bench, next, 4);
	cluster_deinit(&bench.cluster);
}

static void test_audit__does_nothing_without_a_majority(void **unused) {
	struct bench bench;
	uint32_t leader;
	const char *first;

	(void)unused;
	leader = begin(&bench, 2, 2 * INTERVAL, 2);
	corrupt(&bench, 3 - leader);
	leader = cluster_await_leader(&bench.cluster, 0);
	work(&bench, leader, 2 * INTERVAL);
	first = strstr(cluster_node(&bench.cluster, leader)->traces, "event=states-differ index=16");
	assert_non_null(first);
	assert_null(strstr(first + 1, "event=states-differ index=16"));
	assert_int_equal(count_verdicts(&bench.cluster, leader), 0);
	cluster_deinit(&bench.cluster);
}

/* Both followers say the same of an index that is not asked for. */
static void answer_late(struct cluster *cluster, uint32_t leader, raft_index index) {
	uint8_t hash[16] = "an older state", body[256];
	struct raft_status status;

	raft_get_status(node_raft(cluster_node(cluster, leader)->node, CLUSTER_GROUP), &status);
	for (uint32_t id = 1; id <= 3; id++) {
		Peer__Message message = PEER__MESSAGE__INIT;
		struct node_event event = {
			.kind = NODE_PEER_FRAME, .peer = id, .type = FRAME_PEER_MESSAGE, .body = body};

		memset(event.store.bytes, (int)id, sizeof event.store.bytes);
		message.group = CLUSTER_GROUP;
		message.type = RAFT_HEARTBEAT_REPLY;
		message.from = id;
		message.to = leader;
		message.term = status.term;
		message.index = status.commit;
		message.machine_version = 2;
		message.state_index = index;
		message.state_hash = (ProtobufCBinaryData){.len = sizeof hash, .data = hash};
		event.body_bytes = peer__message__pack(&message, body);
		if (id != leader)
			cluster_post(cluster, leader, &event);
	}
}

static void test_audit__counts_no_answer_to_an_earlier_question(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&bench, 3, 2 * INTERVAL, 2);
	work(&bench, leader, 2 * INTERVAL - 1 - (unsigned)state_applied(state_at(cluster, leader)));
	cluster_send_acquire(cluster, leader, leader, 7, bench.opened, bench.sequence, "last", 0);
	cluster_settle(cluster);
	assert_int_equal(state_applied(state_at(cluster, leader)), 2 * INTERVAL);
	answer_late(cluster, leader, INTERVAL);
	cluster_settle(cluster);
	assert_int_equal(count_verdicts(cluster, leader), 0);
	cluster_advance(cluster, SECOND);
	assert_int_equal(count_verdicts(cluster, leader), 1);
	cluster_deinit(cluster);
}

/* A restart forgets: the verdict that it finds in its log is about an index that lies below its checkpoint. */
static void test_audit__spares_a_replica_until_it_remembers(void **unused) {
	struct bench bench;
	struct cluster_node *deviant;
	uint32_t leader;

	(void)unused;
	leader = begin(&bench, 3, 2 * INTERVAL, 2);
	deviant = cluster_node(&bench.cluster, leader % 3 + 1);
	work(&bench, leader, 2 * INTERVAL - (unsigned)state_applied(state_at(&bench.cluster, leader)));
	assert_int_equal(count_verdicts(&bench.cluster, leader), 1);
	assert_int_equal(cluster_header_index(&deviant->disk), 2 * INTERVAL);
	corrupt(&bench, deviant->id);
	work(&bench, leader, 2);
	assert_string_equal(deviant->fatal, "");
	work(&bench, leader, 2 * INTERVAL);
	assert_non_null(strstr(deviant->fatal, "state at index 32 differs from the majority's"));
	cluster_deinit(&bench.cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audit__says_nothing_under_version_1),
		cmocka_unit_test(test_audit__confirms_equal_states_once_per_interval),
		cmocka_unit_test(test_audit__stops_a_follower_that_differs),
		cmocka_unit_test(test_audit__stops_a_leader_that_differs),
		cmocka_unit_test(test_audit__does_nothing_without_a_majority),
		cmocka_unit_test(test_audit__counts_no_answer_to_an_earlier_question),
		cmocka_unit_test(test_audit__spares_a_replica_until_it_remembers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
