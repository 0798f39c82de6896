/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <raft/raft.h>
#include <string.h>

static struct node_uuid store_of(uint32_t node) {
	struct node_uuid store;

	memset(store.bytes, (int)node, sizeof store.bytes);
	return store;
}

/* Three nodes under way that met in their first processes, so each remembers what the others say from the founding on.
 */
static void begin(struct cluster *cluster) {
	cluster_init(cluster, 3);
	for (uint32_t node = 1; node <= 3; node++) {
		for (uint32_t peer = 1; peer <= 3; peer++) {
			struct node_memory blank = {.boot_count = 1, .boot = 100 + peer};
			struct node_uuid store = store_of(peer);

			if (peer != node)
				assert_null(node_judge_memory(cluster_node(cluster, node)->node, peer, &store, &blank));
		}
	}
	cluster_found(cluster);
	cluster_advance(cluster, 500 * CLUSTER_MS);
}

static uint32_t follower(struct cluster *cluster) {
	return cluster_leader(cluster) == 2 ? 3 : 2;
}

/* What the follower would say after a restart with nothing lost. */
static struct node_memory sound(struct cluster *cluster) {
	struct node_memory memory;

	node_get_memory(cluster_node(cluster, follower(cluster))->node, &memory);
	memory.boot_count = 2;
	memory.boot = 200;
	return memory;
}

/* The leader's judgement; the follower comes with the store of that node. */
static const char *judge(struct cluster *cluster, const struct node_memory *memory, uint32_t store_node) {
	struct node_uuid store = store_of(store_node);

	return node_judge_memory(cluster_node(cluster, cluster_leader(cluster))->node, follower(cluster), &store,
				 memory);
}

static void test_testimony__a_blank_node_may_start_again(void **unused) {
	struct node_memory blank = {.boot_count = 1, .boot = 101};
	struct node_uuid store = store_of(2);
	struct cluster cluster;

	(void)unused;
	cluster_init(&cluster, 3);
	assert_null(node_judge_memory(cluster_node(&cluster, 1)->node, 2, &store, &blank));
	blank = (struct node_memory){.boot_count = 2, .boot = 102};
	assert_null(node_judge_memory(cluster_node(&cluster, 1)->node, 2, &store, &blank));
	cluster_deinit(&cluster);
}

static void test_testimony__a_disk_that_lost_entries_is_found_out(void **unused) {
	struct cluster cluster;
	struct node_memory memory;

	(void)unused;
	begin(&cluster);
	memory = sound(&cluster);
	assert_true(memory.last > 1);
	memory.last--;
	assert_string_equal(judge(&cluster, &memory, follower(&cluster)),
			    "it has acknowledged entries that it does not have");
	/* It stays so, however often it is started. */
	memory.boot_count = 9;
	memory.boot = 209;
	assert_string_equal(judge(&cluster, &memory, follower(&cluster)),
			    "it has acknowledged entries that it does not have");
	cluster_deinit(&cluster);
}

static void test_testimony__a_disk_that_lost_its_vote_or_term_is_found_out(void **unused) {
	struct cluster cluster;
	struct node_memory memory;

	(void)unused;
	begin(&cluster);
	memory = sound(&cluster);
	assert_int_equal(memory.vote, cluster_leader(&cluster));
	memory.vote = 0;
	assert_string_equal(judge(&cluster, &memory, follower(&cluster)), "it has voted, and does not remember");
	memory.vote = follower(&cluster);
	assert_string_equal(judge(&cluster, &memory, follower(&cluster)), "it has voted, and does not remember");
	memory.vote = cluster_leader(&cluster);
	memory.term--;
	assert_string_equal(judge(&cluster, &memory, follower(&cluster)),
			    "it has spoken of a later term than it remembers");
	cluster_deinit(&cluster);
}

static void test_testimony__a_boot_count_that_went_back_is_found_out(void **unused) {
	struct cluster cluster;
	struct node_memory memory;

	(void)unused;
	begin(&cluster);
	memory = sound(&cluster);
	memory.boot_count = 1;
	assert_string_equal(judge(&cluster, &memory, follower(&cluster)),
			    "it has been started before, and later than it remembers");
	cluster_deinit(&cluster);
}

static void test_testimony__a_sound_disk_and_the_same_process_pass(void **unused) {
	struct cluster cluster;
	struct node_memory memory, old = {.boot_count = 1};

	(void)unused;
	begin(&cluster);
	old.boot = 100 + follower(&cluster);
	memory = sound(&cluster);
	/* A HELLO that was written before the latest acknowledgement of the same process. */
	assert_null(judge(&cluster, &old, follower(&cluster)));
	assert_null(judge(&cluster, &memory, follower(&cluster)));
	assert_null(judge(&cluster, &memory, follower(&cluster)));
	/* The process before that one is history. */
	assert_non_null(judge(&cluster, &old, follower(&cluster)));
	cluster_deinit(&cluster);
}

/* A later term may have cut what was acknowledged in the one before. */
static void test_testimony__entries_of_an_earlier_term_are_not_asked_for(void **unused) {
	struct cluster cluster;
	struct node_memory memory;

	(void)unused;
	begin(&cluster);
	memory = sound(&cluster);
	memory.term++;
	memory.vote = follower(&cluster);
	memory.last = 1;
	assert_null(judge(&cluster, &memory, follower(&cluster)));
	cluster_deinit(&cluster);
}

static void test_testimony__a_new_store_under_an_old_id_begins_anew(void **unused) {
	struct cluster cluster;
	struct node_memory fresh = {.boot_count = 1, .boot = 300};

	(void)unused;
	begin(&cluster);
	assert_non_null(judge(&cluster, &fresh, follower(&cluster)));
	assert_null(judge(&cluster, &fresh, 77));
	cluster_deinit(&cluster);
}

/* Its frames may wait while the HELLO of the store in its place is judged. */
static void test_testimony__is_not_heard_from_the_store_before(void **unused) {
	struct node_memory fresh = {.boot_count = 1, .boot = 300};
	struct cluster cluster;

	(void)unused;
	begin(&cluster);
	assert_null(judge(&cluster, &fresh, 77));
	cluster_advance(&cluster, 500 * CLUSTER_MS);
	fresh = (struct node_memory){.boot_count = 2, .boot = 301};
	assert_null(judge(&cluster, &fresh, 77));
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_testimony__a_blank_node_may_start_again),
		cmocka_unit_test(test_testimony__a_disk_that_lost_entries_is_found_out),
		cmocka_unit_test(test_testimony__a_disk_that_lost_its_vote_or_term_is_found_out),
		cmocka_unit_test(test_testimony__a_boot_count_that_went_back_is_found_out),
		cmocka_unit_test(test_testimony__a_sound_disk_and_the_same_process_pass),
		cmocka_unit_test(test_testimony__entries_of_an_earlier_term_are_not_asked_for),
		cmocka_unit_test(test_testimony__a_new_store_under_an_old_id_begins_anew),
		cmocka_unit_test(test_testimony__is_not_heard_from_the_store_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
