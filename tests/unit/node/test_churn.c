/* SPDX-License-Identifier: Apache-2.0 */
/* Members come and go at random while nodes are cut off, restarted, wiped, and their disks stand still. In the end all
 * is well again: a leader serves, no configuration is joint, every member has the same state, and checkpoints at the
 * same index have the same header bytes. */
#include "cluster.h"

#include <stdio.h>
#include <string.h>

enum {
	CHURN_NODES = 6,
	CHURN_FOUNDERS = 3,
	CHURN_TURNS = 40,
	CHURN_SEEDS = 40,
	SECOND = 1000 * CLUSTER_MS,
};

struct churn {
	struct cluster cluster;
	uint64_t random;
	node_connection connection; /* the last one opened */
	unsigned done;              /* changes that were answered OK */
};

/* xorshift64: every seed is the same story on every machine. */
static uint32_t churn_draw(struct churn *churn, uint32_t below) {
	churn->random ^= churn->random << 13;
	churn->random ^= churn->random >> 7;
	churn->random ^= churn->random << 17;
	return (uint32_t)((churn->random >> 11) % below);
}

static void churn_wait(struct churn *churn, uint32_t ms_max) {
	cluster_advance(&churn->cluster, churn_draw(churn, ms_max) * CLUSTER_MS);
}

static node_connection churn_connect(struct churn *churn, uint32_t node) {
	cluster_hello(&churn->cluster, node, ++churn->connection);
	return churn->connection;
}

static void churn_change(struct churn *churn, uint32_t leader) {
	struct cluster_change changes[CHURN_NODES];
	node_connection connection;
	size_t n = 0;

	for (uint32_t id = 1; id <= CHURN_NODES; id++) {
		if (churn_draw(churn, 3) == 0)
			changes[n++] = (struct cluster_change){.kind = (Client__MemberChange__Kind)churn_draw(churn, 3),
							       .node = id,
							       .priority = (int)churn_draw(churn, 3) - 1};
	}
	if (n == 0)
		return;
	connection = churn_connect(churn, leader);
	cluster_send_change(&churn->cluster, leader, connection, 1, changes, n);
	churn_wait(churn, 3000);
	churn->done += cluster_take_status(&churn->cluster, connection, 1) == LOCKD_OK;
}

static void churn_transfer(struct churn *churn, uint32_t leader) {
	cluster_send_transfer(&churn->cluster, leader, churn_connect(churn, leader), 1,
			      churn_draw(churn, CHURN_NODES + 1));
}

static bool churn_is_member(struct churn *churn, uint32_t leader, uint32_t id) {
	struct node_member member;

	for (size_t i = 0; node_get_member(cluster_node(&churn->cluster, leader)->node, i, &member); i++) {
		if (member.node == id)
			return true;
	}
	return false;
}

/* A disk may only be lost by who is no member: a cluster that loses a majority of its disks is lost. */
static void churn_wipe(struct churn *churn, uint32_t leader, uint32_t id) {
	if (!churn_is_member(churn, leader, id) && !node_is_blank(cluster_node(&churn->cluster, id)->node))
		cluster_wipe(&churn->cluster, id);
}

/* Sometimes for longer. */
static void churn_disturb(struct churn *churn, bool *what) {
	*what = true;
	churn_wait(churn, 3000);
	*what = churn_draw(churn, 8) == 0;
}

static void churn_turn(struct churn *churn) {
	uint32_t leader = cluster_leader(&churn->cluster), id = 1 + churn_draw(churn, CHURN_NODES);
	struct cluster_node *at = cluster_node(&churn->cluster, id);

	switch (churn_draw(churn, 9)) {
	case 0:
		/* With another configuration file. */
		churn->cluster.config.n_addresses = churn_draw(churn, CHURN_FOUNDERS + 1);
		cluster_restart(&churn->cluster, id);
		break;
	case 1: churn_disturb(churn, &at->cut); break;
	case 2: churn_disturb(churn, &at->hold_saves); break;
	case 3:
		if (leader > 0)
			churn_wipe(churn, leader, id);
		break;
	case 4:
		if (leader > 0)
			churn_transfer(churn, leader);
		break;
	default:
		if (leader > 0)
			churn_change(churn, leader);
		break;
	}
	churn_wait(churn, 800);
}

/* A leader that is about to hand over to a preferred one sends us away. */
static uint32_t churn_await_service(struct churn *churn) {
	for (int i = 0; i < 20; i++) {
		uint32_t leader = cluster_await_leader(&churn->cluster, 0);
		node_connection connection = churn_connect(churn, leader);

		cluster_send_open(&churn->cluster, leader, connection, 1, "last", 60000);
		cluster_advance(&churn->cluster, SECOND);
		if (cluster_take_status(&churn->cluster, connection, 1) == LOCKD_OK)
			return cluster_leader(&churn->cluster);
	}
	fail_msg("nobody serves");
	return 0;
}

static void churn_check_members(struct churn *churn, uint32_t leader) {
	const struct state *state = node_state(cluster_node(&churn->cluster, leader)->node, CLUSTER_GROUP);
	struct node_member member;

	for (size_t i = 0; node_get_member(cluster_node(&churn->cluster, leader)->node, i, &member); i++) {
		const struct state *other;

		assert_int_equal(member.roles & RAFT_ROLE_VOTER_OUTGOING, 0);
		other = node_state(cluster_node(&churn->cluster, member.node)->node, CLUSTER_GROUP);
		assert_int_equal(state_applied(other), state_applied(state));
		assert_int_equal(state_get_hash(other).low, state_get_hash(state).low);
		assert_int_equal(state_get_hash(other).high, state_get_hash(state).high);
		state_check(other);
	}
}

static void churn_check_headers(struct churn *churn) {
	for (uint32_t id = 2; id <= CHURN_NODES; id++) {
		const struct cluster_disk *a = &cluster_node(&churn->cluster, id)->disk;

		for (uint32_t before = 1; before < id; before++) {
			const struct cluster_disk *b = &cluster_node(&churn->cluster, before)->disk;

			if (!a->header || !b->header || cluster_header_index(a) != cluster_header_index(b))
				continue;
			assert_int_equal(a->header_bytes, b->header_bytes);
			assert_memory_equal(a->header, b->header, a->header_bytes);
		}
	}
}

static void churn_heal(struct churn *churn) {
	for (uint32_t id = 1; id <= CHURN_NODES; id++) {
		cluster_node(&churn->cluster, id)->cut = false;
		cluster_node(&churn->cluster, id)->hold_saves = false;
	}
	cluster_advance(&churn->cluster, 15 * SECOND);
}

static unsigned churn_run(uint64_t seed) {
	const struct node_config config = {.checkpoint_log_entries = 8, .trailing_log_entries = 3};
	struct churn churn = {.random = seed * 0x9e3779b97f4a7c15u, .connection = 1000};

	cluster_init_spare(&churn.cluster, CHURN_FOUNDERS, CHURN_NODES, &config);
	cluster_found(&churn.cluster);
	for (uint32_t id = 1; id <= CHURN_NODES; id++)
		cluster_node(&churn.cluster, id)->calling = true;
	for (int i = 0; i < CHURN_TURNS; i++)
		churn_turn(&churn);
	churn_heal(&churn);
	churn_check_members(&churn, churn_await_service(&churn));
	churn_check_headers(&churn);
	cluster_deinit(&churn.cluster);
	return churn.done;
}

static void test_churn__ends_in_one_state(void **unused) {
	unsigned done = 0;

	(void)unused;
	for (uint64_t seed = 1; seed <= CHURN_SEEDS; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		done += churn_run(seed);
	}
	/* A story in which nothing ever changes shows nothing. */
	assert_true(done >= 3 * CHURN_SEEDS);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_churn__ends_in_one_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
