/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "api/command.pb-c.h"
#include "lockd/node/configuration.h"

#include <errno.h>
#include <string.h>

/* Two members; a test spoils a field of the second. */
struct sample {
	Command__Configuration configuration;
	Command__Member members[2], *list[2];
	uint8_t stores[2][16];
	struct node *node;
};

static void sample_init(struct sample *sample) {
	struct node_config config = {.node = 1};

	assert_int_equal(node_new(&config, &sample->node), 0);
	command__configuration__init(&sample->configuration);
	for (uint32_t i = 0; i < 2; i++) {
		Command__Member *member = sample->list[i] = &sample->members[i];

		command__member__init(member);
		memset(sample->stores[i], (int)i + 1, 16);
		member->node = i + 1;
		member->store = (ProtobufCBinaryData){.len = 16, .data = sample->stores[i]};
		member->roles = RAFT_ROLE_VOTER;
		member->priority = 7 * i;
		member->peer_address = cluster_bytes("peer:1");
	}
	sample->configuration.promise_ms = 200;
	sample->configuration.drift_ppm = 100000;
	sample->configuration.n_members = 2;
	sample->configuration.members = sample->list;
}

static int sample_read(struct sample *sample, struct configuration *ret) {
	uint8_t bytes[4096];
	size_t n = command__configuration__pack(&sample->configuration, bytes);

	return configuration_read(sample->node, (struct node_bytes){.bytes = bytes, .n = n}, ret);
}

static void sample_refuse(struct sample *sample) {
	struct configuration configuration;

	assert_int_equal(sample_read(sample, &configuration), -EBADMSG);
	node_free(sample->node);
	sample_init(sample);
}

static void test_configuration__refuses_what_no_leader_makes(void **unused) {
	static char address[LIMIT_ADDRESS_BYTES_MAX + 2];
	struct sample sample;

	(void)unused;
	memset(address, 'a', sizeof address - 1);
	sample_init(&sample);
	sample.members[1].node = 1;
	sample_refuse(&sample);
	sample.members[1].node = 0;
	sample_refuse(&sample);
	sample.members[1].roles = 0;
	sample_refuse(&sample);
	sample.members[1].roles = RAFT_ROLE_LOST;
	sample_refuse(&sample);
	sample.members[1].roles = RAFT_ROLE_LOST | RAFT_ROLE_VOTER;
	sample_refuse(&sample);
	sample.members[1].roles = RAFT_ROLE_LOST | RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LEARNER;
	sample_refuse(&sample);
	sample.members[1].priority = 256;
	sample_refuse(&sample);
	sample.members[1].store.len = 15;
	sample_refuse(&sample);
	sample.members[1].client_address = cluster_bytes(address);
	sample_refuse(&sample);
	sample.configuration.n_members = 0;
	sample_refuse(&sample);
	sample.configuration.promise_ms = 0;
	sample_refuse(&sample);
	node_free(sample.node);
}

/* No damage, so the folder that holds it is kept for the program that knows it. */
static void test_configuration__tells_a_later_version_from_damage(void **unused) {
	const struct node_config older = {.node = 1, .machine_version_max = STATE_MACHINE_VERSION_REPLACEMENT - 1};
	struct raft_configuration core;
	struct sample sample;
	uint8_t bytes[4096];
	struct node *node;
	size_t n;

	(void)unused;
	sample_init(&sample);
	sample.members[1].roles = 16;
	n = command__configuration__pack(&sample.configuration, bytes);
	assert_int_equal(configuration_unpack(sample.node, bytes, n, &core), -ENOTSUP);
	sample.members[1].roles = RAFT_ROLE_VOTER | RAFT_ROLE_VOTER_OUTGOING | RAFT_ROLE_LOST;
	n = command__configuration__pack(&sample.configuration, bytes);
	assert_int_equal(configuration_unpack(sample.node, bytes, n, &core), 0);
	assert_int_equal(node_new(&older, &node), 0);
	assert_int_equal(configuration_unpack(node, bytes, n, &core), -ENOTSUP);
	(void)node_free(node);
	node_free(sample.node);
}

static void test_configuration__is_the_same_bytes_when_packed_again(void **unused) {
	struct sample sample;
	struct configuration configuration;
	struct node_bytes packed;
	uint8_t bytes[4096];
	size_t n;

	(void)unused;
	sample_init(&sample);
	n = command__configuration__pack(&sample.configuration, bytes);
	assert_int_equal(sample_read(&sample, &configuration), 0);
	assert_int_equal(configuration.core.members[1].priority, 7);
	assert_string_equal(configuration.addresses[1].peer_address, "peer:1");
	assert_null(configuration.addresses[1].client_address);
	packed = configuration_pack(sample.node, &configuration);
	assert_int_equal(packed.n, n);
	assert_memory_equal(packed.bytes, bytes, n);
	node_free(sample.node);
}

static void test_configuration__finds_and_counts(void **unused) {
	struct sample sample;
	struct configuration configuration;
	struct raft_member learner = {.node = 9, .roles = RAFT_ROLE_LEARNER};

	(void)unused;
	sample_init(&sample);
	assert_int_equal(sample_read(&sample, &configuration), 0);
	configuration_add(&configuration, &learner);
	assert_int_equal(configuration_position(&configuration.core, 9), 2);
	assert_int_equal(configuration_position(&configuration.core, 3), -1);
	assert_null(configuration_find(&configuration.core, 3));
	assert_int_equal(configuration_count(&configuration.core, RAFT_ROLE_VOTER), 2);
	assert_int_equal(configuration_count(&configuration.core, RAFT_ROLE_VOTER | RAFT_ROLE_LEARNER), 3);
	assert_null(configuration.addresses[2].peer_address);
	node_free(sample.node);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration__refuses_what_no_leader_makes),
		cmocka_unit_test(test_configuration__tells_a_later_version_from_damage),
		cmocka_unit_test(test_configuration__is_the_same_bytes_when_packed_again),
		cmocka_unit_test(test_configuration__finds_and_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
