/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "api/record.pb-c.h"

#include <errno.h>
#include <string.h>

enum { SECOND = 1000 * CLUSTER_MS, OLD = 1, NEW = 2, SWAPPING = STATE_MACHINE_VERSION_REPLACEMENT };

static uint32_t version_of(struct cluster *cluster, uint32_t node) {
	return state_get_version(node_state(cluster_node(cluster, node)->node, CLUSTER_GROUP)).current;
}

/* `old` of the nodes, from the last one down, know version 1 only. */
static uint32_t begin(struct cluster *cluster, size_t founders, size_t n, size_t old) {
	struct node_config config = {.machine_version_max = NEW};

	cluster_init_spare(cluster, founders, n, &config);
	for (size_t i = n - old; i < n; i++) {
		cluster->nodes[i].machine_version_max = OLD;
		cluster_restart(cluster, cluster->nodes[i].id);
	}
	cluster_found(cluster);
	return cluster_await_leader(cluster, 0);
}

static void upgrade(struct cluster *cluster, uint32_t node) {
	cluster_node(cluster, node)->machine_version_max = NEW;
	cluster_restart(cluster, node);
}

static void test_upgrade__waits_for_the_last_member(void **unused) {
	struct cluster cluster;

	(void)unused;
	(void)begin(&cluster, 3, 3, 3);
	cluster_advance(&cluster, SECOND);
	for (uint32_t id = 1; id <= 2; id++) {
		upgrade(&cluster, id);
		cluster_advance(&cluster, 3 * SECOND);
		for (uint32_t other = 1; other <= 3; other++)
			assert_int_equal(version_of(&cluster, other), OLD);
	}
	upgrade(&cluster, 3);
	cluster_advance(&cluster, 3 * SECOND);
	for (uint32_t id = 1; id <= 3; id++) {
		assert_int_equal(version_of(&cluster, id), NEW);
		assert_non_null(strstr(cluster_node(&cluster, id)->traces, "event=machine-version version=2"));
	}
	cluster_deinit(&cluster);
}

static void test_upgrade__waits_for_a_member_that_is_silent(void **unused) {
	struct cluster cluster;
	uint32_t leader, other;

	(void)unused;
	leader = begin(&cluster, 3, 3, 1);
	other = leader == 1 ? 2 : 1;
	cluster_advance(&cluster, SECOND);
	/* It said that it knows version 2; it may come back as an older program. */
	cluster_node(&cluster, other)->cut = true;
	cluster_advance(&cluster, 2 * SECOND);
	leader = cluster_leader(&cluster);
	upgrade(&cluster, 3);
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_equal(version_of(&cluster, 3), OLD);
	cluster_node(&cluster, other)->cut = false;
	cluster_advance(&cluster, 3 * SECOND);
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(version_of(&cluster, id), NEW);
	cluster_deinit(&cluster);
}

/* A program may be replaced by an older one as long as nothing was raised: the latest word of a member counts. */
static void test_upgrade__takes_a_member_at_its_latest_word(void **unused) {
	struct cluster cluster;
	uint32_t leader, follower;

	(void)unused;
	leader = begin(&cluster, 3, 3, 1);
	cluster_advance(&cluster, SECOND);
	follower = leader == 1 ? 2 : 1;
	cluster_node(&cluster, follower)->machine_version_max = OLD;
	cluster_restart(&cluster, follower);
	cluster_advance(&cluster, SECOND);
	upgrade(&cluster, 3);
	cluster_advance(&cluster, 3 * SECOND);
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(version_of(&cluster, id), OLD);
	cluster_deinit(&cluster);
}

static void change(struct cluster *cluster, uint32_t leader, uint64_t id, const struct cluster_change *changes,
		   size_t n) {
	cluster_hello(cluster, leader, leader);
	cluster_send_change(cluster, leader, leader, id, changes, n);
}

static void test_upgrade__waits_for_a_learner(void **unused) {
	const struct cluster_change learner = {CLIENT__MEMBER_CHANGE__KIND__LEARNER, 4, -1};
	const struct cluster_change absent = {CLIENT__MEMBER_CHANGE__KIND__ABSENT, 4, -1};
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 4, 2);
	cluster_node(&cluster, 4)->calling = true;
	cluster_advance(&cluster, SECOND);
	change(&cluster, leader, 1, &learner, 1);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);

	upgrade(&cluster, 3);
	cluster_advance(&cluster, 3 * SECOND);
	leader = cluster_await_leader(&cluster, 0);
	assert_int_equal(version_of(&cluster, leader), OLD);
	change(&cluster, leader, 2, &absent, 1);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(cluster_take_status(&cluster, leader, 2), LOCKD_OK);
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(version_of(&cluster, id), NEW);
	cluster_deinit(&cluster);
}

/* Both halves count: the voter that is about to leave applies what is committed until it has left. */
static void test_upgrade__waits_for_a_voter_that_leaves(void **unused) {
	struct cluster_change changes[] = {{CLIENT__MEMBER_CHANGE__KIND__VOTER, 4, -1},
					   {CLIENT__MEMBER_CHANGE__KIND__ABSENT, 3, -1}};
	struct cluster cluster;
	uint32_t leader;

	(void)unused;
	(void)begin(&cluster, 3, 4, 4);
	cluster_node(&cluster, 4)->calling = true;
	upgrade(&cluster, 4);
	cluster_advance(&cluster, SECOND);
	for (uint32_t id = 1; id <= 2; id++) {
		upgrade(&cluster, id);
		cluster_advance(&cluster, 3 * SECOND);
	}
	leader = cluster_leader(&cluster);
	if (leader == 3) {
		cluster_hello(&cluster, 3, 3);
		cluster_send_transfer(&cluster, 3, 3, 7, 1);
		cluster_advance(&cluster, SECOND);
		leader = cluster_leader(&cluster);
	}
	assert_int_not_equal(leader, 3);
	change(&cluster, leader, 1, changes, 2);
	/* Every step of the change on its own: whenever node 3 is a member, nothing is raised. */
	for (int i = 0; i < 2000; i++) {
		const struct raft_configuration *members;
		bool there = false;

		cluster_advance(&cluster, CLUSTER_MS);
		members = raft_members(node_raft(cluster_node(&cluster, leader)->node, CLUSTER_GROUP), NULL);
		for (uint16_t j = 0; j < members->n; j++)
			there = there || members->members[j].node == 3;
		if (there)
			assert_int_equal(version_of(&cluster, leader), OLD);
	}
	assert_int_equal(cluster_take_status(&cluster, leader, 1), LOCKD_OK);
	assert_int_equal(version_of(&cluster, leader), NEW);
	cluster_deinit(&cluster);
}

static void test_upgrade__stops_a_node_that_joins_too_old(void **unused) {
	const struct cluster_change learner = {CLIENT__MEMBER_CHANGE__KIND__LEARNER, 4, -1};
	struct cluster cluster;
	struct cluster_node *late = &cluster.nodes[3];
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 4, 1);
	cluster_advance(&cluster, SECOND);
	assert_int_equal(version_of(&cluster, leader), NEW);
	late->calling = late->may_fail = true;
	change(&cluster, leader, 1, &learner, 1);
	cluster_advance(&cluster, SECOND);
	assert_non_null(
		strstr(late->fatal, "raises the machine version to 2, and this node knows up to 1: upgrade this node"));
	/* With the right program it goes on from where it stopped. */
	upgrade(&cluster, 4);
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(version_of(&cluster, 4), NEW);
	cluster_deinit(&cluster);
}

/* The entry that raises the version comes in the same message as the configuration that it allows. */
static void test_upgrade__stops_a_node_that_a_later_configuration_reaches(void **unused) {
	const struct cluster_change learner = {CLIENT__MEMBER_CHANGE__KIND__LEARNER, 4, -1};
	const struct node_config config = {.machine_version_max = SWAPPING};
	struct cluster cluster;
	struct cluster_node *late = &cluster.nodes[3];
	uint32_t leader;

	(void)unused;
	cluster_init_spare(&cluster, 3, 4, &config);
	late->machine_version_max = NEW;
	cluster_restart(&cluster, 4);
	cluster_found(&cluster);
	cluster_advance(&cluster, SECOND);
	leader = cluster_leader(&cluster);
	cluster_damage(&cluster, leader % 3 + 1);
	cluster_advance(&cluster, 3 * SECOND);
	assert_non_null(strstr(cluster_node(&cluster, leader)->traces, "event=replaced"));
	late->calling = late->may_fail = true;
	cluster_advance(&cluster, SECOND);
	change(&cluster, leader, 1, &learner, 1);
	cluster_advance(&cluster, SECOND);
	assert_non_null(strstr(late->fatal, "names members in a way that came after machine version 2, the latest that "
					    "this node knows: upgrade this node"));
	late->machine_version_max = SWAPPING;
	cluster_restart(&cluster, 4);
	cluster_advance(&cluster, 2 * SECOND);
	assert_int_equal(version_of(&cluster, 4), SWAPPING);
	cluster_deinit(&cluster);
}

static void test_upgrade__does_not_open_a_later_checkpoint(void **unused) {
	struct node_config config = {.checkpoint_log_entries = 4, .trailing_log_entries = 1};
	const struct cluster_disk *disk;
	struct cluster cluster;
	struct node *node;

	(void)unused;
	config.machine_version_max = NEW;
	cluster_init_with(&cluster, 1, &config);
	cluster_found(&cluster);
	cluster_hello(&cluster, 1, 5);
	(void)cluster_open(&cluster, 1, 5, "nonce", 60000);
	cluster_advance(&cluster, 100 * CLUSTER_MS);
	disk = &cluster.nodes[0].disk;
	assert_non_null(disk->header);

	config = cluster.config;
	config.node = 1;
	config.machine_version_max = OLD;
	assert_int_equal(node_new(&config, &node), 0);
	assert_int_equal(node_restore_identity(node, &disk->incarnation, disk->epoch), 0);
	assert_int_equal(node_restore_header(node, CLUSTER_GROUP, disk->header, disk->header_bytes), -ENOTSUP);
	assert_non_null(strstr(node_error(node), "machine version 2, and this node knows up to 1: upgrade this node"));
	(void)node_free(node);

	/* The version came from the checkpoint, not from the log. */
	cluster_restart(&cluster, 1);
	assert_int_equal(version_of(&cluster, 1), NEW);
	cluster_deinit(&cluster);
}

static void test_upgrade__shows_in_the_status(void **unused) {
	struct cluster cluster;
	Client__Reply *reply;
	uint32_t leader;

	(void)unused;
	leader = begin(&cluster, 3, 3, 1);
	cluster_hello(&cluster, 1, 5);
	reply = cluster_status(&cluster, 1, 5);
	assert_int_equal(reply->node->machine_version, OLD);
	assert_int_equal(reply->node->machine_version_max, NEW);
	client__reply__free_unpacked(reply, NULL);
	upgrade(&cluster, 3);
	cluster_advance(&cluster, 3 * SECOND);
	leader = cluster_leader(&cluster);
	cluster_hello(&cluster, leader, 6);
	reply = cluster_status(&cluster, leader, 6);
	assert_int_equal(reply->node->machine_version, NEW);
	client__reply__free_unpacked(reply, NULL);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upgrade__waits_for_the_last_member),
		cmocka_unit_test(test_upgrade__waits_for_a_member_that_is_silent),
		cmocka_unit_test(test_upgrade__takes_a_member_at_its_latest_word),
		cmocka_unit_test(test_upgrade__waits_for_a_learner),
		cmocka_unit_test(test_upgrade__waits_for_a_voter_that_leaves),
		cmocka_unit_test(test_upgrade__stops_a_node_that_joins_too_old),
		cmocka_unit_test(test_upgrade__stops_a_node_that_a_later_configuration_reaches),
		cmocka_unit_test(test_upgrade__does_not_open_a_later_checkpoint),
		cmocka_unit_test(test_upgrade__shows_in_the_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
