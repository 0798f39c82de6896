/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <errno.h>
#include <string.h>

enum { SECOND = 1000 * CLUSTER_MS, EPOCH = 9 };

static const struct node_recovery recovery = {.incarnation = {.bytes = "incarnation-0002"},
					      .epoch = EPOCH,
					      .peer_address = "here:1",
					      .client_address = "here:2"};

/* A cluster of three with a session that holds `lock`; *ret_survivor follows and has all of it. */
static uint64_t begin(struct cluster *cluster, const struct node_config *config, uint32_t *ret_survivor,
		      uint64_t *ret_opened) {
	uint32_t leader;
	uint64_t token = 0;

	cluster_init_with(cluster, 3, config);
	cluster_found(cluster);
	leader = cluster_leader(cluster);
	cluster_hello(cluster, leader, 5);
	*ret_opened = cluster_open(cluster, leader, 5, "nonce", 3000);
	for (uint64_t sequence = 1; sequence <= 9; sequence++) {
		char name[2] = {(char)('A' + sequence), 0};

		token = cluster_acquire(cluster, leader, 5, *ret_opened, sequence, name);
		assert_int_not_equal(token, 0);
	}
	cluster_advance(cluster, 100 * CLUSTER_MS);
	*ret_survivor = leader % 3 + 1;
	for (uint32_t id = 1; id <= 3; id++)
		cluster_stop(cluster, id);
	return token;
}

static void test_recover__refuses_a_blank_node(void **unused) {
	struct cluster cluster;
	char error[256];

	(void)unused;
	cluster_init(&cluster, 1);
	assert_int_equal(cluster_recover(&cluster, 1, &recovery, error, sizeof error), -EINVAL);
	assert_non_null(strstr(error, "belongs to no cluster"));
	cluster_deinit(&cluster);
}

static void test_recover__refuses_an_epoch_that_is_not_larger(void **unused) {
	struct node_recovery same = recovery;
	const struct node_config config = {0};
	struct cluster cluster;
	char error[256];
	uint32_t survivor;
	uint64_t opened;

	(void)unused;
	(void)begin(&cluster, &config, &survivor, &opened);
	same.epoch = cluster_node(&cluster, survivor)->disk.epoch;
	assert_int_equal(cluster_recover(&cluster, survivor, &same, error, sizeof error), -EINVAL);
	assert_non_null(strstr(error, "is not above the present one"));
	same.epoch = 1 << 23;
	assert_int_equal(cluster_recover(&cluster, survivor, &same, error, sizeof error), -EINVAL);
	assert_non_null(strstr(error, "is above 8388607"));
	cluster_deinit(&cluster);
}

/* Sessions, locks and results are those of the log; the locks are free when the sessions have ended, and what is
 * granted then has a larger token. */
static void check_recovered(const struct node_config *config) {
	struct cluster cluster;
	struct node_member member;
	struct node_uuid incarnation;
	struct state_lock lock;
	char error[256];
	uint32_t survivor, epoch;
	uint64_t opened, token;
	Client__Reply *reply;

	token = begin(&cluster, config, &survivor, &opened);
	if (cluster_recover(&cluster, survivor, &recovery, error, sizeof error) != 0)
		fail_msg("%s", error);
	assert_int_equal(cluster_node(&cluster, survivor)->disk.n_entries, 0);
	cluster_restart(&cluster, survivor);
	node_get_identity(cluster_node(&cluster, survivor)->node, &incarnation, &epoch);
	assert_memory_equal(&incarnation, &recovery.incarnation, sizeof incarnation);
	assert_int_equal(epoch, EPOCH);
	assert_int_equal(cluster_await_leader(&cluster, 0), survivor);
	assert_true(node_get_member(cluster_node(&cluster, survivor)->node, 0, &member));
	assert_int_equal(member.node, survivor);
	assert_int_equal(member.roles, RAFT_ROLE_VOTER);
	assert_false(node_get_member(cluster_node(&cluster, survivor)->node, 1, &member));
	state_check(node_state(cluster_node(&cluster, survivor)->node, CLUSTER_GROUP));
	assert_true(state_get_lock(node_state(cluster_node(&cluster, survivor)->node, CLUSTER_GROUP), "J", 1, &lock));
	assert_int_equal(lock.token, token);
	assert_int_equal(lock.holder, opened);

	cluster_advance(&cluster, 5 * SECOND);
	assert_false(state_get_lock(node_state(cluster_node(&cluster, survivor)->node, CLUSTER_GROUP), "J", 1, &lock));
	cluster_hello(&cluster, survivor, 6);
	cluster.epoch = EPOCH;
	opened = cluster_open(&cluster, survivor, 6, "nonce", 60000);
	assert_true(cluster_acquire(&cluster, survivor, 6, opened, 1, "J") > (uint64_t)EPOCH << 40);
	reply = cluster_status(&cluster, survivor, 6);
	assert_int_equal(reply->node->epoch, EPOCH);
	assert_int_equal(reply->node->n_peers, 1);
	client__reply__free_unpacked(reply, NULL);
	state_check(node_state(cluster_node(&cluster, survivor)->node, CLUSTER_GROUP));
	cluster_deinit(&cluster);
}

static void test_recover__makes_a_cluster_of_a_log(void **unused) {
	const struct node_config config = {0};

	(void)unused;
	check_recovered(&config);
}

static void test_recover__makes_a_cluster_of_a_checkpoint_and_a_log(void **unused) {
	const struct node_config config = {.checkpoint_log_entries = 4, .trailing_log_entries = 2};

	(void)unused;
	check_recovered(&config);
}

/* As from a backup: nobody knows what has become of the sessions. */
static void test_recover__ends_sessions_and_resets_no_token(void **unused) {
	const struct node_config config = {0};
	struct node_recovery restore = recovery;
	const struct state *state;
	struct cluster cluster;
	struct state_session session;
	struct state_lock lock;
	struct state_seat seat;
	char error[256];
	uint32_t survivor;
	uint64_t opened, token;
	raft_index before;

	(void)unused;
	(void)begin(&cluster, &config, &survivor, &opened);
	before = cluster_node(&cluster, survivor)->disk.base + cluster_node(&cluster, survivor)->disk.n_entries;
	restore.end_sessions = true;
	restore.token = ((uint64_t)EPOCH << 40) + 1000;
	assert_int_equal(cluster_recover(&cluster, survivor, &restore, error, sizeof error), 0);
	cluster_restart(&cluster, survivor);
	assert_int_equal(cluster_await_leader(&cluster, 0), survivor);
	state = node_state(cluster_node(&cluster, survivor)->node, CLUSTER_GROUP);
	state_check(state);
	assert_false(state_next_session(state, 0, &session));
	assert_false(state_get_lock(state, "J", 1, &lock));
	assert_false(state_next_waiter(state, "J", 1, 0, &seat));
	assert_int_equal(state_get_counts(state).sessions + state_get_counts(state).locks, 0);
	assert_true(state_applied(state) > before);

	cluster_hello(&cluster, survivor, 6);
	cluster.epoch = EPOCH;
	opened = cluster_open(&cluster, survivor, 6, "nonce", 60000);
	token = cluster_acquire(&cluster, survivor, 6, opened, 1, "J");
	assert_int_equal(token, restore.token + 1);
	/* A lock of which the old cluster never heard goes on above the same token. */
	token = cluster_acquire(&cluster, survivor, 6, opened, 2, "never held");
	assert_int_equal(token, restore.token + 1);
	cluster_deinit(&cluster);
}

/* The others come back with empty data folders and are added one after the other. */
static void test_recover__lets_others_join(void **unused) {
	const struct node_config config = {0};
	struct cluster cluster;
	char error[256];
	uint32_t survivor, other;
	uint64_t opened;

	(void)unused;
	(void)begin(&cluster, &config, &survivor, &opened);
	assert_int_equal(cluster_recover(&cluster, survivor, &recovery, error, sizeof error), 0);
	cluster_restart(&cluster, survivor);
	assert_int_equal(cluster_await_leader(&cluster, 0), survivor);
	cluster_hello(&cluster, survivor, 6);
	other = survivor % 3 + 1;
	cluster_wipe(&cluster, other);
	cluster_node(&cluster, other)->calling = true;
	cluster_advance(&cluster, SECOND);
	cluster_send_change(&cluster, survivor, 6, 1,
			    &(struct cluster_change){CLIENT__MEMBER_CHANGE__KIND__VOTER, other, -1}, 1);
	cluster_advance(&cluster, 3 * SECOND);
	assert_int_equal(cluster_take_status(&cluster, 6, 1), LOCKD_OK);
	assert_int_equal(state_get_hash(node_state(cluster_node(&cluster, other)->node, CLUSTER_GROUP)).low,
			 state_get_hash(node_state(cluster_node(&cluster, survivor)->node, CLUSTER_GROUP)).low);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recover__refuses_a_blank_node),
		cmocka_unit_test(test_recover__refuses_an_epoch_that_is_not_larger),
		cmocka_unit_test(test_recover__makes_a_cluster_of_a_log),
		cmocka_unit_test(test_recover__makes_a_cluster_of_a_checkpoint_and_a_log),
		cmocka_unit_test(test_recover__ends_sessions_and_resets_no_token),
		cmocka_unit_test(test_recover__lets_others_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
