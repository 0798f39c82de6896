/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <string.h>

enum { SECOND = 1000 * CLUSTER_MS };

static void meet(struct cluster *cluster, uint32_t id, uint8_t store, const char *peer_address) {
	struct node_met met = {.node = id, .store = {{store}}, .peer_address = peer_address, .client_address = "c:1"};

	cluster_post(cluster, 1, &(struct node_event){.kind = NODE_PEER_MET, .met = &met});
	cluster_advance(cluster, 10 * CLUSTER_MS);
}

static bool knows(struct cluster *cluster, uint32_t id, uint8_t store, uint32_t age_ms) {
	Client__Reply *reply = cluster_status(cluster, 1, 1);
	bool found = false;

	for (size_t i = 0; i < reply->node->n_candidates; i++) {
		const Client__Candidate *candidate = reply->node->candidates[i];

		if (candidate->node != id)
			continue;
		assert_false(found);
		found = true;
		assert_int_equal(candidate->store.data[0], store);
		assert_int_equal(candidate->age_ms, age_ms);
		assert_memory_equal(candidate->client_address.data, "c:1", 3);
	}
	client__reply__free_unpacked(reply, NULL);
	return found;
}

static void begin(struct cluster *cluster) {
	cluster_init(cluster, 1);
	cluster_found(cluster);
	cluster_hello(cluster, 1, 1);
}

static void test_candidate__is_no_member_and_has_an_address_that_fits(void **unused) {
	struct cluster cluster;
	struct node_met member = {.node = 1, .peer_address = "p:1"};
	char address[LIMIT_ADDRESS_BYTES_MAX + 2];

	(void)unused;
	begin(&cluster);
	memset(member.store.bytes, 1, sizeof member.store.bytes);
	memset(address, 'a', sizeof address - 1);
	address[sizeof address - 1] = 0;
	cluster_post(&cluster, 1, &(struct node_event){.kind = NODE_PEER_MET, .met = &member});
	cluster_settle(&cluster);
	assert_false(knows(&cluster, 1, 1, 0));
	meet(&cluster, 4, 4, address);
	assert_false(knows(&cluster, 4, 4, 10));
	meet(&cluster, 4, 4, address + 1);
	assert_true(knows(&cluster, 4, 4, 10));
	cluster_deinit(&cluster);
}

static void test_candidate__is_not_remembered_by_a_blank_node(void **unused) {
	struct cluster cluster;

	(void)unused;
	cluster_init(&cluster, 1);
	cluster_hello(&cluster, 1, 1);
	meet(&cluster, 4, 4, "p:4");
	assert_false(knows(&cluster, 4, 4, 10));
	cluster_deinit(&cluster);
}

static void test_candidate__that_calls_again_is_the_same(void **unused) {
	struct cluster cluster;

	(void)unused;
	begin(&cluster);
	meet(&cluster, 4, 4, "p:4");
	cluster_advance(&cluster, SECOND);
	assert_true(knows(&cluster, 4, 4, 1010));
	meet(&cluster, 4, 5, "p:4");
	assert_true(knows(&cluster, 4, 5, 10));
	cluster_deinit(&cluster);
}

static void test_candidate__that_called_longest_ago_is_forgotten(void **unused) {
	struct cluster cluster;

	(void)unused;
	begin(&cluster);
	for (uint32_t id = 0; id < LIMIT_CANDIDATES_MAX; id++)
		meet(&cluster, 10 + id, 1, "p:1");
	meet(&cluster, 10, 1, "p:1");
	assert_true(knows(&cluster, 11, 1, LIMIT_CANDIDATES_MAX * 10));
	meet(&cluster, 99, 1, "p:1");
	assert_false(knows(&cluster, 11, 1, 0));
	assert_true(knows(&cluster, 10, 1, 20));
	assert_true(knows(&cluster, 99, 1, 10));
	cluster_deinit(&cluster);
}

static void test_candidate__that_was_added_is_forgotten(void **unused) {
	const struct cluster_change change = {CLIENT__MEMBER_CHANGE__KIND__LEARNER, 4, -1};
	struct cluster cluster;

	(void)unused;
	begin(&cluster);
	cluster.n = 4;
	meet(&cluster, 4, 4, "p:4");
	cluster_send_change(&cluster, 1, 1, 1, &change, 1);
	cluster_settle(&cluster);
	assert_int_equal(cluster_take_status(&cluster, 1, 1), LOCKD_OK);
	assert_false(knows(&cluster, 4, 4, 0));
	cluster_deinit(&cluster);
}

static void add_learner(struct cluster *cluster, uint64_t id, uint32_t node) {
	const struct cluster_change change = {CLIENT__MEMBER_CHANGE__KIND__LEARNER, node, -1};

	meet(cluster, node, (uint8_t)node, "p:1");
	cluster_send_change(cluster, 1, 1, id, &change, 1);
	cluster_settle(cluster);
	assert_int_equal(cluster_take_status(cluster, 1, id), LOCKD_OK);
}

/* Nobody knows whether the member or the other folder is the later one, unless the folder says so. */
static void test_candidate__with_a_members_number_stays_only_in_its_place(void **unused) {
	const struct node_uuid past[] = {{{9}}, {{4}}};
	struct node_met met = {.node = 4, .store = {{5}}, .peer_address = "p:4", .client_address = "c:1"};

	(void)unused;
	for (size_t n = 0; n <= 2; n++) {
		struct cluster cluster;

		begin(&cluster);
		cluster.n = 5;
		add_learner(&cluster, 1, 4);
		met.replaces = past;
		met.n_replaces = n;
		cluster_post(&cluster, 1, &(struct node_event){.kind = NODE_PEER_MET, .met = &met});
		cluster_settle(&cluster);
		assert_true(knows(&cluster, 4, 5, 0));
		add_learner(&cluster, 2, 5);
		assert_int_equal(knows(&cluster, 4, 5, 10), n == 2);
		cluster_deinit(&cluster);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_candidate__is_no_member_and_has_an_address_that_fits),
		cmocka_unit_test(test_candidate__is_not_remembered_by_a_blank_node),
		cmocka_unit_test(test_candidate__that_calls_again_is_the_same),
		cmocka_unit_test(test_candidate__that_called_longest_ago_is_forgotten),
		cmocka_unit_test(test_candidate__that_was_added_is_forgotten),
		cmocka_unit_test(test_candidate__with_a_members_number_stays_only_in_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
