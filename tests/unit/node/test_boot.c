/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "api/record.pb-c.h"

#include <errno.h>
#include <string.h>

static struct node *blank(void) {
	struct node_config config = {.node = 1,
				     .timing = {.heartbeat = 50 * CLUSTER_MS,
						.election_min = 400 * CLUSTER_MS,
						.election_max = 800 * CLUSTER_MS,
						.check_quorum = 400 * CLUSTER_MS,
						.stagger = 10 * CLUSTER_MS}};
	struct node *node;

	assert_int_equal(node_new(&config, &node), 0);
	return node;
}

static void assert_error(const struct node *node, int r, const char *part) {
	assert_int_equal(r, -EBADMSG);
	if (!strstr(node_error(node), part))
		fail_msg("\"%s\" does not say \"%s\"", node_error(node), part);
}

static const struct node_uuid incarnation = {{1}};
static const struct raft_clocks clocks = {.mono = 1000000, .boot = 1000000};

static void test_boot__refuses_a_log_that_begins_behind_its_checkpoint(void **unused) {
	struct node *node = blank();

	(void)unused;
	assert_int_equal(node_restore_identity(node, &incarnation, 1), 0);
	assert_error(node, node_restore_base(node, 1, 5, 1), "begins behind entry 5");
	node_free(node);
}

static void test_boot__refuses_entries_out_of_order(void **unused) {
	struct node *node = blank();
	struct node_entry entry = {.index = 2, .term = 1, .type = RAFT_ENTRY_NOOP};

	(void)unused;
	assert_int_equal(node_restore_identity(node, &incarnation, 1), 0);
	assert_int_equal(node_restore_base(node, 1, 0, 0), 0);
	assert_error(node, node_restore_entry(node, 1, &entry), "out of order");
	node_free(node);
}

static void test_boot__refuses_another_group_a_bad_header_and_stray_rows(void **unused) {
	struct node *node = blank();

	(void)unused;
	assert_int_equal(node_restore_identity(node, &incarnation, 1), 0);
	assert_int_equal(node_restore_base(node, 9, 0, 0), -ENOTSUP); /* a later version's: no damage */
	assert_non_null(strstr(node_error(node), "group 9"));
	assert_error(node, node_restore_header(node, 1, "\xff\xff", 2), "does not decode");
	assert_error(node, node_restore_row(node, 1, 1, "", 0), "without a header");
	node_free(node);
}

/* A program that was put back to an earlier version must not take what the later one wrote for damage, and have it set
 * aside. */
static void test_boot__tells_a_later_checkpoint_from_damage(void **unused) {
	struct cluster cluster;
	Record__Header *header;
	uint8_t bytes[4096];
	const struct cluster_disk *disk;
	struct node *node;
	size_t n;

	(void)unused;
	cluster_init_with(&cluster, 1, &(struct node_config){.checkpoint_log_entries = 2, .trailing_log_entries = 1});
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	(void)cluster_open(&cluster, 1, 5, "nonce", 60000);
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	disk = &cluster.nodes[0].disk;
	assert_non_null(disk->header);
	header = record__header__unpack(NULL, disk->header_bytes, disk->header);
	node = blank();
	assert_int_equal(node_restore_identity(node, &disk->incarnation, disk->epoch), 0);

	header->configuration.data[header->configuration.len - 1] ^= 0xff;
	assert_true(record__header__get_packed_size(header) <= sizeof bytes);
	n = record__header__pack(header, bytes);
	assert_error(node, node_restore_header(node, CLUSTER_GROUP, bytes, n), "configuration does not decode");
	header->machine_version = 99;
	n = record__header__pack(header, bytes);
	assert_int_equal(node_restore_header(node, CLUSTER_GROUP, bytes, n), -ENOTSUP);
	assert_non_null(strstr(node_error(node), "made by a later version"));

	header->machine_version = 1;
	header->format++;
	n = record__header__pack(header, bytes);
	assert_int_equal(node_restore_header(node, CLUSTER_GROUP, bytes, n), -ENOTSUP);
	assert_non_null(strstr(node_error(node), "later format: upgrade this node"));
	header->format = 0;
	n = record__header__pack(header, bytes);
	assert_error(node, node_restore_header(node, CLUSTER_GROUP, bytes, n), "lacks a field");
	record__header__free_unpacked(header, NULL);
	node_free(node);
	cluster_deinit(&cluster);
}

static void test_boot__refuses_a_log_of_a_term_that_was_never_stored(void **unused) {
	struct node *node = blank();
	struct node_entry entry = {.index = 1, .term = 3, .type = RAFT_ENTRY_NOOP};

	(void)unused;
	assert_int_equal(node_restore_identity(node, &incarnation, 1), 0);
	assert_int_equal(node_restore_hard(node, &(struct node_hard){.group = 1, .term = 2}), 0);
	assert_int_equal(node_restore_base(node, 1, 0, 0), 0);
	assert_int_equal(node_restore_entry(node, 1, &entry), 0);
	assert_error(node, node_start(node, &clocks), "only seen term 2");
	node_free(node);
}

static void test_boot__refuses_a_log_shorter_than_its_checkpoint(void **unused) {
	struct cluster cluster;
	struct node_config config = {.checkpoint_log_entries = 2, .trailing_log_entries = 1};
	struct cluster_disk *disk;
	struct node *node;

	(void)unused;
	cluster_init_with(&cluster, 1, &config);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	(void)cluster_open(&cluster, 1, 5, "a", 60000);
	(void)cluster_open(&cluster, 1, 5, "b", 60000);
	disk = &cluster_node(&cluster, 1)->disk;
	assert_non_null(disk->header);

	node = blank();
	assert_int_equal(node_restore_identity(node, &disk->incarnation, disk->epoch), 0);
	assert_int_equal(node_restore_hard(node, &disk->hard), 0);
	assert_int_equal(node_restore_header(node, 1, disk->header, disk->header_bytes), 0);
	/* One row is missing as well; it is noticed first. */
	assert_error(node, node_restore_base(node, 1, 0, 0), "differ from its header");
	node_free(node);

	node = blank();
	assert_int_equal(node_restore_identity(node, &disk->incarnation, disk->epoch), 0);
	assert_int_equal(node_restore_hard(node, &disk->hard), 0);
	assert_int_equal(node_restore_header(node, 1, disk->header, disk->header_bytes), 0);
	for (size_t i = 0; i < disk->n_rows; i++)
		assert_int_equal(node_restore_row(node, 1, disk->rows[i].id, disk->rows[i].bytes, disk->rows[i].n), 0);
	assert_int_equal(node_restore_base(node, 1, 0, 0), 0);
	assert_error(node, node_start(node, &clocks), "before its checkpoint");
	node_free(node);
	cluster_deinit(&cluster);
}

/* The superblock may hold the identity of a founding whose first entry was not written any more. */
static void test_boot__is_blank_again_after_a_founding_that_was_cut_short(void **unused) {
	struct node *node = blank();

	(void)unused;
	assert_int_equal(node_restore_identity(node, &incarnation, 1), 0);
	assert_int_equal(node_restore_hard(node, &(struct node_hard){.group = 1, .term = 1}), 0);
	assert_int_equal(node_restore_base(node, 1, 0, 0), 0);
	assert_int_equal(node_start(node, &clocks), 0);
	assert_true(node_is_blank(node));
	node_free(node);
}

static void test_boot__keeps_what_was_acknowledged_over_a_crash_of_all(void **unused) {
	struct cluster cluster;
	uint32_t leader;
	uint64_t opened, token;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 5);
	opened = cluster_open(&cluster, leader, 5, "nonce", 60000);
	token = cluster_acquire(&cluster, leader, 5, opened, 1, "lock");
	for (uint32_t id = 1; id <= 3; id++)
		cluster_restart(&cluster, id);
	leader = cluster_await_leader(&cluster, 0);
	cluster_hello(&cluster, leader, 6);
	assert_int_equal(cluster_acquire(&cluster, leader, 6, opened, 1, "lock"), token);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot__refuses_a_log_that_begins_behind_its_checkpoint),
		cmocka_unit_test(test_boot__refuses_entries_out_of_order),
		cmocka_unit_test(test_boot__refuses_another_group_a_bad_header_and_stray_rows),
		cmocka_unit_test(test_boot__tells_a_later_checkpoint_from_damage),
		cmocka_unit_test(test_boot__refuses_a_log_of_a_term_that_was_never_stored),
		cmocka_unit_test(test_boot__refuses_a_log_shorter_than_its_checkpoint),
		cmocka_unit_test(test_boot__is_blank_again_after_a_founding_that_was_cut_short),
		cmocka_unit_test(test_boot__keeps_what_was_acknowledged_over_a_crash_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
