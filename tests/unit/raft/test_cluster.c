/* SPDX-License-Identifier: Apache-2.0 */
/* Whole clusters under random faults: what witness.h names must hold in every step, and once the faults end a
 * leader must commit and all logs must become equal. */
#include "cluster.h"
#include "witness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint32_t random_node(struct cluster *cluster) {
	return 1 + (uint32_t)cluster_random(cluster, cluster->n);
}

static void peer_down(struct cluster *cluster, uint32_t node) {
	if (cluster_node(cluster, node)->up && cluster_status(cluster, node).leader != 0)
		cluster_step(
			cluster, node,
			&(struct raft_event){.kind = RAFT_PEER_DOWN, .peer = cluster_status(cluster, node).leader});
}

/* What a lease has to stand: nobody hears the leader any more, and who has just answered it restarts, or learns at once
 * that it is gone. */
static void lose_leader(struct cluster *cluster) {
	uint32_t leader = cluster_leader(cluster);
	bool one_way = cluster_random(cluster, 2);

	if (leader == 0)
		return;
	for (uint32_t node = 1; node <= cluster->n; node++) {
		if (node == leader || !cluster_node(cluster, node)->up)
			continue;
		if (cluster_random(cluster, 3) == 0) {
			cluster_crash(cluster, node);
			cluster_restart(cluster, node);
		}
		cluster->cut[leader][node] = true;
		cluster->cut[node][leader] |= !one_way;
		peer_down(cluster, node);
	}
}

static void fault(struct cluster *cluster) {
	uint32_t node = random_node(cluster), other = random_node(cluster);

	if (cluster_leader(cluster) != 0 && cluster_random(cluster, 3) == 0)
		node = cluster_leader(cluster);
	switch (cluster_random(cluster, 14)) {
	case 0: cluster_isolate(cluster, node); break;
	case 1: cluster->cut[node][other] = true; break;
	case 2:
	case 3: cluster_heal(cluster); break;
	case 4:
		if (cluster_node(cluster, node)->up)
			cluster_crash(cluster, node);
		break;
	case 5:
	case 6:
		for (uint32_t n = 1; n <= cluster->n; n++)
			if (!cluster_node(cluster, n)->up && !cluster_node(cluster, n)->asleep)
				cluster_restart(cluster, n);
		break;
	case 7: peer_down(cluster, node); break;
	case 8:
		if (cluster_node(cluster, node)->up)
			cluster_compact(cluster, node,
					cluster_node(cluster, node)->applied - cluster_random(cluster, 20));
		break;
	case 9:
		if (cluster_node(cluster, node)->up)
			cluster_step(cluster, node,
				     &(struct raft_event){.kind = RAFT_FITNESS, .ok = cluster_random(cluster, 3) > 0});
		break;
	case 10:
	case 11:
		if (cluster_leader(cluster) != 0)
			(void)cluster_step(cluster, cluster_leader(cluster),
					   &(struct raft_event){.kind = RAFT_TRANSFER,
								.peer = cluster_random(cluster, 2) ? other : 0});
		break;
	case 12:
		if (cluster_node(cluster, node)->up)
			cluster_sleep(cluster, node, cluster_random(cluster, 1500 * MS));
		break;
	case 13: lose_leader(cluster); break;
	}
}

static void draw_priorities(struct cluster *cluster, struct raft_configuration *configuration) {
	for (uint16_t i = 0; i < configuration->n; i++)
		configuration->members[i].priority = (uint8_t)cluster_random(cluster, 3);
}

/* Any change that the leader of the moment allows: into a random joint configuration, or out of one. Who has no vote
 * learns, or is no member at all. */
static void change_members(struct cluster *cluster) {
	static struct raft_configuration changes[1 << 14];
	static uint32_t n_changes;
	uint32_t leader = cluster_leader(cluster), voters = 0, n_voters = 0;
	uint32_t learners = (uint32_t)cluster_random(cluster, 1u << (cluster->n + 1));
	struct raft_configuration *to = &changes[n_changes++ % (1 << 14)];
	const struct raft_configuration *from;
	raft_index unused;
	bool joint = false;

	if (leader == 0)
		return;
	from = raft_members(cluster_node(cluster, leader)->raft, &unused);
	for (uint16_t i = 0; i < from->n; i++) {
		joint |= (from->members[i].roles & RAFT_ROLE_VOTER_OUTGOING) != 0;
		voters |= from->members[i].roles & RAFT_ROLE_VOTER ? 1u << from->members[i].node : 0;
	}
	if (joint) {
		*to = cluster_configuration(cluster, voters, 0, learners & ~voters);
	} else {
		uint32_t next = 0;

		for (uint32_t node = 1; node <= cluster->n; node++)
			next |= cluster_random(cluster, 3) > 0 ? 1u << node : 0;
		for (uint32_t node = 1; node <= cluster->n; node++)
			n_voters += next >> node & 1;
		if (n_voters < 2)
			return;
		*to = cluster_configuration(cluster, next, voters, learners & ~(next | voters));
	}
	draw_priorities(cluster, to);
	(void)cluster_propose(cluster, leader, to);
}

static void load(struct cluster *cluster) {
	for (uint32_t n = 1; n <= cluster->n; n++)
		if (cluster_node(cluster, n)->up && cluster_status(cluster, n).role == RAFT_LEADER &&
		    cluster_node(cluster, n)->last < CLUSTER_LOG_MAX - 200)
			for (uint64_t k = cluster_random(cluster, 4); k > 0; k--)
				(void)cluster_propose(cluster, n, NULL);
	for (uint32_t n = 1; n <= cluster->n; n++)
		if (cluster_node(cluster, n)->up && cluster_random(cluster, 4) == 0)
			(void)cluster_ask(cluster, n);
}

static void recover(struct cluster *cluster) {
	cluster_heal(cluster);
	cluster->lose_per_mille = 0;
	for (uint32_t n = 1; n <= cluster->n; n++)
		if (cluster_node(cluster, n)->asleep)
			cluster_wake(cluster, n);
	for (uint32_t n = 1; n <= cluster->n; n++)
		if (!cluster_node(cluster, n)->up)
			cluster_restart(cluster, n);
		else
			cluster_step(cluster, n, &(struct raft_event){.kind = RAFT_FITNESS, .ok = true});
	(void)cluster_elect(cluster, 8000 * MS);
	cluster_run(cluster, 3000 * MS);
	witness_converged(cluster);
}

enum membership { FIXED, CHANGING };

/* What must have happened for the faults to mean anything. */
struct tally {
	uint32_t answers, asked_elections;
};

static void survive(struct tally *tally, uint64_t seed, raft_usec latency_max, raft_usec disk_max,
		    enum membership membership) {
	uint32_t nodes = 3 + 2 * (seed % 2);
	/* The others have joined, and do not know themselves for members. */
	struct cluster *cluster = cluster_new_with(nodes, membership == CHANGING ? 3 : nodes, seed);

	cluster->latency_max = latency_max;
	cluster->disk_max = disk_max;
	cluster->lose_per_mille = 30;
	cluster->repeat_per_mille = 50;
	cluster->straggle_max = seed % 3 == 0 ? 1500 * MS : 0;
	for (uint32_t n = 1; n <= cluster->n; n++) {
		cluster_crash(cluster, n);
		cluster_node(cluster, n)->ppm = 900000 + 100000 * cluster_random(cluster, 3);
		cluster_restart(cluster, n);
	}
	for (int i = 0; i < 400; i++) {
		if (cluster_random(cluster, 4) == 0)
			fault(cluster);
		load(cluster);
		if (membership == CHANGING && cluster_random(cluster, 8) == 0)
			change_members(cluster);
		cluster_run(cluster, cluster_random(cluster, 100 * MS));
	}
	recover(cluster);
	tally->answers += cluster->answers;
	tally->asked_elections += cluster->asked_elections;
	cluster_free(cluster);
}

static void test_cluster__survives_faults(void **state) {
	struct tally tally = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		survive(&tally, seed, 5 * MS, 5 * MS, FIXED);
	assert_true(tally.answers > 100);
	assert_true(tally.asked_elections > 20);
}

static void test_cluster__survives_faults_on_slow_disks(void **state) {
	struct tally tally = {0};

	(void)state;
	for (uint64_t seed = 100; seed <= 120; seed++)
		survive(&tally, seed, 30 * MS, 80 * MS, FIXED);
	assert_true(tally.answers > 100);
	assert_true(tally.asked_elections > 20);
}

static void test_cluster__survives_faults_while_members_change(void **state) {
	struct tally tally = {0};

	(void)state;
	for (uint64_t seed = 200; seed <= 240; seed++)
		survive(&tally, seed, 5 * MS, 5 * MS, CHANGING);
	assert_true(tally.answers > 100);
	assert_true(tally.asked_elections > 20);
}

/* ---- Scenes ---------------------------------------------------------------------------------------------------------
 */

/* Paper, figure 7: one leader, six followers whose logs are shorter, longer, or both. */
static void test_cluster__repairs_the_logs_of_figure_7(void **state) {
	static const char *const logs[] = {"1114455666",   "111445566", "1114",       "11144556666",
					   "111445566677", "1114444",   "11122233333"};
	/* One refusal because the leader starts at its own end, one per term the follower has and the leader has not.
	 */
	static const uint32_t refusals_max[] = {0, 1, 1, 1, 2, 1, 3};
	struct cluster *cluster = cluster_new(7, 1);

	(void)state;
	for (uint32_t n = 1; n <= 7; n++)
		cluster_rewrite(cluster, n, 7, logs[n - 1]);
	cluster_run(cluster, 250 * MS);
	cluster_step(cluster, 1, &(struct raft_event){.kind = RAFT_CAMPAIGN});
	cluster_run(cluster, 100 * MS);
	assert_int_equal(cluster_leader(cluster), 1);
	assert_int_equal(cluster_status(cluster, 1).term, 8);
	witness_converged(cluster);
	for (uint32_t n = 2; n <= 7; n++)
		assert_in_range(cluster->refusals[n], 0, refusals_max[n - 1]);
	cluster_free(cluster);
}

/* Paper, figure 8: an entry of term 2 on a majority is not committed by the leader of term 4, and term 5 overwrites it.
 */
static void test_cluster__majority_of_an_old_term_is_no_commit(void **state) {
	struct cluster *cluster = cluster_new(5, 1);

	(void)state;
	cluster_rewrite(cluster, 1, 4, "12");
	cluster_rewrite(cluster, 2, 4, "12");
	cluster_rewrite(cluster, 3, 4, "12");
	cluster_rewrite(cluster, 4, 4, "1");
	cluster_rewrite(cluster, 5, 4, "13");
	cluster_run(cluster, 250 * MS);
	cluster_step(cluster, 5, &(struct raft_event){.kind = RAFT_CAMPAIGN});
	cluster_run(cluster, 100 * MS);
	assert_int_equal(cluster_leader(cluster), 5);
	assert_int_equal(cluster_status(cluster, 5).term, 5);
	witness_converged(cluster);
	assert_int_equal(raft_term_at(cluster_node(cluster, 1)->raft, 3), 3);
	cluster_free(cluster);
}

/* A node that was cut off and comes back disturbs nobody: no election, no term. */
static void test_cluster__rejoining_node_disrupts_nothing(void **state) {
	struct cluster *cluster = cluster_new(5, 3);
	uint32_t leader = cluster_elect(cluster, 5000 * MS), lost = leader % 5 + 1, elections = cluster->elections;
	raft_term term = cluster_status(cluster, leader).term;

	(void)state;
	cluster_isolate(cluster, lost);
	for (int i = 0; i < 100; i++) {
		cluster_propose(cluster, leader, NULL);
		cluster_run(cluster, 400 * MS);
	}
	assert_int_equal(cluster_status(cluster, lost).term, term);
	cluster_heal(cluster);
	cluster_run(cluster, 2000 * MS);
	assert_int_equal(cluster_leader(cluster), leader);
	assert_int_equal(cluster_status(cluster, leader).term, term);
	assert_int_equal(cluster->elections, elections);
	witness_converged(cluster);
	cluster_free(cluster);
}

/* Leader and one follower cannot hear each other, both hear the third: nothing changes hands. */
static void test_cluster__partial_partition_leaves_the_leader_alone(void **state) {
	struct cluster *cluster = cluster_new(3, 5);
	uint32_t leader = cluster_elect(cluster, 5000 * MS), cut = leader % 3 + 1;
	raft_term term = cluster_status(cluster, leader).term;

	(void)state;
	cluster_cut(cluster, leader, cut);
	for (int i = 0; i < 200; i++) {
		cluster_propose(cluster, leader, NULL);
		cluster_run(cluster, 100 * MS);
	}
	assert_int_equal(cluster_leader(cluster), leader);
	assert_int_equal(cluster_status(cluster, leader).term, term);
	assert_int_equal(cluster_status(cluster, leader).commit, cluster_node(cluster, leader)->last);
	cluster_heal(cluster);
	cluster_run(cluster, 1000 * MS);
	assert_int_equal(cluster_status(cluster, leader).term, term);
	witness_converged(cluster);
	cluster_free(cluster);
}

/* The loss of the leader's connection is seen at once by both followers: one election, about one promise later. */
static void test_cluster__quick_election_takes_one_promise(void **state) {
	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct cluster *cluster = cluster_new(3, seed);
		uint32_t leader = cluster_elect(cluster, 5000 * MS), elections = cluster->elections;
		raft_usec lost;

		cluster_run(cluster, seed * 7 * MS);
		cluster_crash(cluster, leader);
		lost = cluster->now;
		for (uint32_t n = 1; n <= 3; n++)
			if (n != leader)
				cluster_step(cluster, n, &(struct raft_event){.kind = RAFT_PEER_DOWN, .peer = leader});
		(void)cluster_elect(cluster, 400 * MS);
		assert_in_range(cluster->now - lost, 0, 225 * MS);
		assert_int_equal(cluster->elections, elections + 1);
		cluster_free(cluster);
	}
}

static void test_cluster__restarted_follower_starts_no_election(void **state) {
	struct cluster *cluster = cluster_new(3, 9);
	uint32_t leader = cluster_elect(cluster, 5000 * MS), follower = leader % 3 + 1;
	raft_term term = cluster_status(cluster, leader).term;

	(void)state;
	for (int i = 0; i < 100; i++) {
		cluster_crash(cluster, follower);
		cluster_restart(cluster, follower);
		cluster_run(cluster, cluster_random(cluster, 100 * MS));
	}
	assert_int_equal(cluster_status(cluster, leader).role, RAFT_LEADER);
	assert_int_equal(cluster_status(cluster, leader).term, term);
	cluster_free(cluster);
}

/* A store may have promised more than its cluster asks for, in a cluster that it was recovered from. One such node
 * keeps nobody waiting; if all are, they wait for the end of it, once. */
static void test_cluster__larger_stored_promise_only_delays(void **state) {
	(void)state;
	for (uint32_t n_large = 1; n_large <= 3; n_large += 2) {
		struct cluster *cluster = cluster_new(3, n_large);
		raft_usec begin = cluster->now, took;

		for (uint32_t n = 1; n <= 3; n++) {
			cluster_crash(cluster, n);
			cluster_node(cluster, n)->promise_ms = n <= n_large ? 2000 : cluster->promise_ms;
			cluster_restart(cluster, n);
		}
		(void)cluster_elect(cluster, 5000 * MS);
		took = cluster->now - begin;
		assert_in_range(took, n_large == 1 ? 200 * MS : 2000 * MS, n_large == 1 ? 1500 * MS : 3500 * MS);
		cluster_run(cluster, 2000 * MS);
		witness_converged(cluster);
		assert_int_equal(cluster->elections, 1);
		cluster_free(cluster);
	}
}

/* Two nodes, the leader removes itself: the change completes, and who remains leads. */
static void test_cluster__leader_removes_itself(void **state) {
	struct cluster *cluster = cluster_new(2, 4);
	uint32_t leader = cluster_elect(cluster, 5000 * MS), other = 3 - leader;
	struct raft_configuration joint = cluster_configuration(cluster, 1u << other, 6, 0);
	struct raft_configuration last = cluster_configuration(cluster, 1u << other, 0, 0);

	(void)state;
	assert_int_equal(cluster_propose(cluster, leader, &joint), 0);
	cluster_run(cluster, 50 * MS);
	assert_int_equal(cluster_propose(cluster, leader, &last), 0);
	cluster_run(cluster, 20 * MS);
	assert_int_equal(cluster_status(cluster, leader).role, RAFT_FOLLOWER);
	cluster_crash(cluster, leader);
	/* It was asked to take over, so nobody waits for a time-out. */
	assert_int_equal(cluster_elect(cluster, 20 * MS), other);
	cluster_free(cluster);
}

/* The leader's machine sleeps, three of five elect another one and commit. When it wakes, it finds a question of the
 * fifth, which like itself has heard of nothing: its monotonic clock would say that the lease still holds. */
static void test_cluster__waking_leader_has_no_lease(void **state) {
	struct cluster *cluster = cluster_new(5, 6);
	uint32_t leader = cluster_elect(cluster, 5000 * MS), fifth = leader % 5 + 1;
	raft_index committed;

	(void)state;
	cluster_run(cluster, 100 * MS);
	assert_true(cluster_node(cluster, leader)->lease_until > 0);
	cluster_sleep(cluster, leader, 350 * MS);
	for (uint32_t n = 1; n <= 5; n++) {
		if (n == leader || n == fifth)
			continue;
		cluster_cut(cluster, n, fifth);
		cluster_cut(cluster, n, leader);
		peer_down(cluster, n);
	}
	cluster_run(cluster, 300 * MS);
	assert_int_not_equal(cluster_leader(cluster), 0);
	committed = cluster->n_committed;
	assert_int_equal(cluster_propose(cluster, cluster_leader(cluster), NULL), 0);
	cluster_run(cluster, 20 * MS);
	assert_true(cluster->n_committed > committed);
	assert_int_equal(cluster_status(cluster, fifth).leader, leader);
	assert_int_equal(cluster_ask(cluster, fifth), 0);
	cluster_run(cluster, 100 * MS);
	assert_true(cluster_node(cluster, leader)->up);
	assert_int_equal(cluster_status(cluster, leader).role, RAFT_LEADER);
	assert_int_equal(cluster->answers, 0);
	cluster_heal(cluster);
	cluster_run(cluster, 500 * MS);
	witness_converged(cluster);
	cluster_free(cluster);
}

static int transfer(struct cluster *cluster, uint32_t from, uint32_t to) {
	return cluster_step(cluster, from, &(struct raft_event){.kind = RAFT_TRANSFER, .peer = to});
}

/* With entries in flight, and against promises that have just been given: one election, at once. */
static void test_cluster__transfer_under_load_succeeds(void **state) {
	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct cluster *cluster = cluster_new(3 + 2 * (seed % 2), seed);
		uint32_t leader = cluster_elect(cluster, 5000 * MS), elections = cluster->elections, to;

		to = 1 + (leader + (uint32_t)seed % (cluster->n - 1)) % cluster->n;
		for (int i = 0; i < 20; i++) {
			cluster_propose(cluster, leader, NULL);
			cluster_run(cluster, cluster_random(cluster, 300));
		}
		assert_int_equal(transfer(cluster, leader, to), 0);
		cluster_run(cluster, 25 * MS);
		assert_int_equal(cluster_leader(cluster), to);
		assert_int_equal(cluster->elections, elections + 1);
		assert_int_equal(cluster->asked_elections, 1);
		assert_true(cluster_node(cluster, to)->lease_until > 0);
		cluster_run(cluster, 200 * MS);
		assert_int_equal(cluster_leader(cluster), to);
		witness_converged(cluster);
		cluster_free(cluster);
	}
}

/* The request is held up until the leader has given up, appended its fence and has its lease back: nobody who holds the
 * fence votes for the target, or takes over its term. */
static void test_cluster__late_request_to_take_over_is_in_vain(void **state) {
	struct cluster *cluster = cluster_new(3, 2);
	uint32_t leader = cluster_elect(cluster, 5000 * MS), target = leader % 3 + 1, elections = cluster->elections;
	raft_term term = cluster_status(cluster, leader).term;

	(void)state;
	cluster_run(cluster, 100 * MS);
	cluster->latency_min = cluster->latency_max = 480 * MS;
	assert_int_equal(transfer(cluster, leader, target), 0);
	cluster->latency_min = cluster->latency_max = 500;
	cluster->mute[leader][target] = true;
	cluster_run(cluster, 470 * MS);
	assert_int_equal(cluster_status(cluster, leader).transfer_to, 0);
	assert_true(cluster_node(cluster, leader)->lease_until > 0);
	assert_int_equal(cluster_status(cluster, target).leader, leader);
	cluster_run(cluster, 30 * MS);
	assert_int_equal(cluster_status(cluster, target).role, RAFT_CANDIDATE);
	assert_int_equal(cluster_status(cluster, target).term, term + 1);
	assert_int_equal(cluster_status(cluster, leader).role, RAFT_LEADER);
	assert_int_equal(cluster_status(cluster, leader).term, term);
	assert_int_equal(cluster->elections, elections);
	cluster_free(cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cluster__survives_faults),
		cmocka_unit_test(test_cluster__survives_faults_on_slow_disks),
		cmocka_unit_test(test_cluster__survives_faults_while_members_change),
		cmocka_unit_test(test_cluster__repairs_the_logs_of_figure_7),
		cmocka_unit_test(test_cluster__majority_of_an_old_term_is_no_commit),
		cmocka_unit_test(test_cluster__rejoining_node_disrupts_nothing),
		cmocka_unit_test(test_cluster__partial_partition_leaves_the_leader_alone),
		cmocka_unit_test(test_cluster__quick_election_takes_one_promise),
		cmocka_unit_test(test_cluster__restarted_follower_starts_no_election),
		cmocka_unit_test(test_cluster__larger_stored_promise_only_delays),
		cmocka_unit_test(test_cluster__leader_removes_itself),
		cmocka_unit_test(test_cluster__waking_leader_has_no_lease),
		cmocka_unit_test(test_cluster__transfer_under_load_succeeds),
		cmocka_unit_test(test_cluster__late_request_to_take_over_is_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
