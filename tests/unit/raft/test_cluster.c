/* SPDX-License-Identifier: Apache-2.0 */
/* Whole clusters under random faults: the invariants of cluster.c must hold in every step, and once the faults end a
 * leader must commit and all logs must become equal. */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint32_t random_node(struct cluster *cluster) {
	return 1 + (uint32_t)cluster_random(cluster, cluster->n);
}

static void fault(struct cluster *cluster) {
	uint32_t node = random_node(cluster), other = random_node(cluster);

	switch (cluster_random(cluster, 9)) {
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
			if (!cluster_node(cluster, n)->up)
				cluster_restart(cluster, n);
		break;
	case 7:
		if (cluster_node(cluster, node)->up && cluster_status(cluster, node).leader != 0)
			cluster_step(cluster, node,
				     &(struct raft_event){.kind = RAFT_PEER_DOWN,
							  .peer = cluster_status(cluster, node).leader});
		break;
	case 8:
		if (cluster_node(cluster, node)->up)
			cluster_compact(cluster, node,
					cluster_node(cluster, node)->applied - cluster_random(cluster, 20));
		break;
	}
}

static void load(struct cluster *cluster) {
	for (uint32_t n = 1; n <= cluster->n; n++)
		if (cluster_node(cluster, n)->up && cluster_status(cluster, n).role == RAFT_LEADER &&
		    cluster_node(cluster, n)->last < CLUSTER_LOG_MAX - 200)
			for (uint64_t k = cluster_random(cluster, 4); k > 0; k--)
				(void)cluster_propose(cluster, n, NULL);
}

static void recover(struct cluster *cluster) {
	cluster_heal(cluster);
	cluster->lose_per_mille = 0;
	for (uint32_t n = 1; n <= cluster->n; n++)
		if (!cluster_node(cluster, n)->up)
			cluster_restart(cluster, n);
	(void)cluster_elect(cluster, 8000 * MS);
	cluster_run(cluster, 3000 * MS);
	cluster_assert_converged(cluster);
}

static void survive(uint64_t seed, raft_usec latency_max, raft_usec disk_max) {
	struct cluster *cluster = cluster_new(3 + 2 * (seed % 2), seed);

	cluster->latency_max = latency_max;
	cluster->disk_max = disk_max;
	cluster->lose_per_mille = 30;
	cluster->repeat_per_mille = 50;
	for (uint32_t n = 1; n <= cluster->n; n++)
		cluster_node(cluster, n)->ppm = 900000 + cluster_random(cluster, 200001);
	for (int i = 0; i < 400; i++) {
		if (cluster_random(cluster, 4) == 0)
			fault(cluster);
		load(cluster);
		cluster_run(cluster, cluster_random(cluster, 100 * MS));
	}
	recover(cluster);
	cluster_free(cluster);
}

static void test_cluster__survives_faults(void **state) {
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		survive(seed, 5 * MS, 5 * MS);
}

static void test_cluster__survives_faults_on_slow_disks(void **state) {
	(void)state;
	for (uint64_t seed = 100; seed <= 120; seed++)
		survive(seed, 30 * MS, 80 * MS);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cluster__survives_faults),
		cmocka_unit_test(test_cluster__survives_faults_on_slow_disks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
