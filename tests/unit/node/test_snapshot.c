/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "api/record.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill(struct cluster *cluster, uint32_t node, uint64_t opened, uint64_t first, uint64_t last) {
	for (uint64_t sequence = first; sequence <= last; sequence++) {
		char name[16];

		snprintf(name, sizeof name, "lock-%u", (unsigned)sequence);
		assert_int_not_equal(cluster_acquire(cluster, node, 5, opened, sequence, name), 0);
	}
}

static void assert_equal_states(struct cluster *cluster, uint32_t a, uint32_t b) {
	const struct state *left = node_state(cluster_node(cluster, a)->node, 1);
	const struct state *right = node_state(cluster_node(cluster, b)->node, 1);

	assert_int_equal(state_applied(left), state_applied(right));
	assert_int_equal(state_get_hash(left).low, state_get_hash(right).low);
	assert_int_equal(state_get_hash(left).high, state_get_hash(right).high);
	state_check(left);
	state_check(right);
}

struct bench {
	struct cluster cluster;
	uint32_t leader, lagging;
	uint64_t opened;
};

/* `lagging` is cut off while the others trim what it needs. */
static void begin(struct bench *bench) {
	struct cluster *cluster = &bench->cluster;
	struct node_config config = {.checkpoint_log_entries = 5, .trailing_log_entries = 2};

	cluster_init_with(cluster, 3, &config);
	cluster_found(cluster);
	bench->leader = cluster_leader(cluster);
	bench->lagging = bench->leader == 3 ? 2 : 3;
	cluster_hello(cluster, bench->leader, 5);
	bench->opened = cluster_open(cluster, bench->leader, 5, "nonce", 600000);
	cluster_node(cluster, bench->lagging)->cut = true;
	fill(cluster, bench->leader, bench->opened, 1, 30);
}

static void test_snapshot__brings_a_lagging_follower_up_and_survives_its_restart(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;

	(void)unused;
	begin(&bench);
	cluster_node(cluster, bench.lagging)->cut = false;
	cluster_advance(cluster, 3000 * CLUSTER_MS);
	assert_in_range(cluster_node(cluster, bench.leader)->snapshots, 1, 3);
	assert_non_null(strstr(cluster_node(cluster, bench.lagging)->traces, "event=snapshot-installed"));
	assert_int_equal(cluster_leader(cluster), bench.leader);
	assert_equal_states(cluster, bench.leader, bench.lagging);

	cluster_restart(cluster, bench.lagging);
	fill(cluster, bench.leader, bench.opened, 31, 40);
	cluster_advance(cluster, 1000 * CLUSTER_MS);
	assert_equal_states(cluster, bench.leader, bench.lagging);
	cluster_deinit(cluster);
}

static void test_snapshot__goes_on_after_a_crash_before_it_was_durable(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;

	(void)unused;
	begin(&bench);
	cluster_node(cluster, bench.lagging)->hold_saves = true;
	cluster_node(cluster, bench.lagging)->cut = false;
	cluster_advance(cluster, 1000 * CLUSTER_MS);
	assert_null(strstr(cluster_node(cluster, bench.lagging)->traces, "event=snapshot-installed"));
	cluster_restart(cluster, bench.lagging);
	free(cluster->staged_header);
	cluster->staged_header = NULL;
	for (size_t i = 0; i < cluster->n_staged; i++)
		free((void *)cluster->staged[i].bytes);
	free(cluster->staged);
	cluster->staged = NULL;
	cluster->n_staged = 0;
	cluster_node(cluster, bench.lagging)->hold_saves = false;
	cluster_advance(cluster, 5000 * CLUSTER_MS);
	assert_equal_states(cluster, bench.leader, bench.lagging);
	cluster_deinit(cluster);
}

/* The writer of a checkpoint may still be reading rows of the state that the snapshot replaces: they must stay until it
 * has answered. The sanitizer sees it if they do not. */
static void test_snapshot__waits_for_the_writer_of_a_checkpoint(void **unused) {
	struct cluster cluster;
	struct node_config config = {.checkpoint_log_entries = 5, .trailing_log_entries = 2};
	struct cluster_node *at;
	uint32_t leader, lagging;
	uint64_t opened;

	(void)unused;
	cluster_init_with(&cluster, 3, &config);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	lagging = leader == 3 ? 2 : 3;
	at = cluster_node(&cluster, lagging);
	at->hold_checkpoints = true;
	cluster_hello(&cluster, leader, 5);
	opened = cluster_open(&cluster, leader, 5, "nonce", 600000);
	fill(&cluster, leader, opened, 1, 10);
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	assert_non_null(at->checkpoint);
	at->cut = true;
	fill(&cluster, leader, opened, 11, 30);
	at->cut = false;
	cluster_advance(&cluster, 3000 * CLUSTER_MS);
	assert_non_null(strstr(at->traces, "event=snapshot-installed"));
	at->full = true; /* it comes too late for this disk, and changes nothing */
	cluster_end_checkpoint(&cluster, lagging);
	at->full = at->hold_checkpoints = false;
	fill(&cluster, leader, opened, 31, 50);
	cluster_advance(&cluster, 1000 * CLUSTER_MS);
	assert_in_range(at->checkpoints, 2, 20);
	assert_equal_states(&cluster, leader, lagging);
	cluster_restart(&cluster, lagging);
	cluster_advance(&cluster, 1000 * CLUSTER_MS);
	assert_equal_states(&cluster, leader, lagging);
	cluster_deinit(&cluster);
}

static void stage(struct cluster *cluster, uint32_t to, const Record__Header *header) {
	static uint8_t bytes[1024];

	cluster_post(cluster, to,
		     &(struct node_event){.kind = NODE_SNAPSHOT_STAGED,
					  .peer = to == 1 ? 2 : 1,
					  .group = 1,
					  .term = 1000,
					  .header = bytes,
					  .header_bytes = record__header__pack(header, bytes)});
	cluster_settle(cluster);
}

static void test_snapshot__refuses_what_does_not_fit(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;
	struct cluster_node *lagging;
	Record__Header *header;
	const struct cluster_disk *disk;
	struct raft_status before, after;

	(void)unused;
	begin(&bench);
	lagging = cluster_node(cluster, bench.lagging);
	disk = &cluster_node(cluster, bench.leader)->disk;
	raft_get_status(node_raft(lagging->node, 1), &before);
	header = record__header__unpack(NULL, disk->header_bytes, disk->header);
	header->epoch++;
	stage(cluster, bench.lagging, header);
	assert_non_null(strstr(lagging->traces, "another cluster"));
	header->epoch--;
	/* Its rows are missing. */
	stage(cluster, bench.lagging, header);
	assert_non_null(strstr(lagging->traces, "rows or hash differ"));
	raft_get_status(node_raft(lagging->node, 1), &after);
	assert_int_equal(before.commit, after.commit);
	assert_int_equal(before.term, after.term);

	/* The cluster has gone on without it. */
	header->machine_version = 99;
	lagging->may_fail = true;
	stage(cluster, bench.lagging, header);
	assert_non_null(strstr(lagging->fatal, "machine version 99, and this node knows up to 3: upgrade this node"));
	record__header__free_unpacked(header, NULL);
	cluster_deinit(cluster);
}

/* The log that it would need holds every configuration since, and the core keeps a bounded number of them. */
static void test_snapshot__whoever_never_installs_it_does_not_hold_up_members(void **unused) {
	struct bench bench;
	struct cluster *cluster = &bench.cluster;

	(void)unused;
	begin(&bench);
	cluster_node(cluster, bench.lagging)->hold_saves = true;
	cluster_node(cluster, bench.lagging)->cut = false;
	cluster_advance(cluster, 1000 * CLUSTER_MS);
	assert_int_not_equal(cluster_node(cluster, bench.leader)->snapshots, 0);
	for (uint64_t i = 0; i < 100; i++) {
		const struct cluster_change change = {CLIENT__MEMBER_CHANGE__KIND__SAME, bench.leader,
						      (int)(i % 2) + 1};

		cluster_send_change(cluster, bench.leader, 5, 1000 + i, &change, 1);
		cluster_advance(cluster, 100 * CLUSTER_MS);
		assert_int_equal(cluster_take_status(cluster, 5, 1000 + i), LOCKD_OK);
	}
	cluster_deinit(cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot__brings_a_lagging_follower_up_and_survives_its_restart),
		cmocka_unit_test(test_snapshot__goes_on_after_a_crash_before_it_was_durable),
		cmocka_unit_test(test_snapshot__waits_for_the_writer_of_a_checkpoint),
		cmocka_unit_test(test_snapshot__refuses_what_does_not_fit),
		cmocka_unit_test(test_snapshot__whoever_never_installs_it_does_not_hold_up_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
