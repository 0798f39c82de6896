/* SPDX-License-Identifier: Apache-2.0 */
#include "lockd/node/field.h"

#include "cluster.h"

#include <string.h>

static const struct raft_timing usual = {.heartbeat = 50 * CLUSTER_MS, .election_max = 800 * CLUSTER_MS};
static const struct raft_timing wide = {.heartbeat = 300 * CLUSTER_MS, .election_max = 6000 * CLUSTER_MS};

static const char *fault_of_open(uint32_t ttl_ms, const struct raft_timing *timing) {
	static struct field_fault fault;
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Open open = CLIENT__OPEN__INIT;
	uint8_t nonce[16] = {0};

	open.nonce = (ProtobufCBinaryData){.len = sizeof nonce, .data = nonce};
	open.ttl_ms = ttl_ms;
	request.body_case = CLIENT__REQUEST__BODY_OPEN;
	request.open = &open;
	return field_find_fault(&request, timing, &fault) ? fault.text : "";
}

static void test_field__asks_for_a_ttl_that_outlives_elections(void **unused) {
	struct raft_timing odd = {.heartbeat = 50 * CLUSTER_MS, .election_max = 2001 * CLUSTER_MS};

	(void)unused;
	assert_string_equal(fault_of_open(2999, &usual), "ttl_ms: 2999, must be 3000 to 86400000");
	assert_string_equal(fault_of_open(3000, &usual), "");
	assert_string_equal(fault_of_open(LIMIT_TTL_MS_MAX, &usual), "");
	assert_string_equal(fault_of_open(LIMIT_TTL_MS_MAX + 1, &usual), "ttl_ms: 86400001, must be 3000 to 86400000");

	/* 3 · (2 · 3000 + 300) */
	assert_string_equal(fault_of_open(18899, &wide), "ttl_ms: 18899, must be 18900 to 86400000");
	assert_string_equal(fault_of_open(18900, &wide), "");
	assert_int_equal(field_ttl_ms_min(&usual), 3000);
	assert_int_equal(field_ttl_ms_min(&wide), 18900);
	/* Half of 2001 ms is rounded up. */
	assert_int_equal(field_ttl_ms_min(&odd), 3 * (2 * 1001 + 50));
}

static const char *fault_of_level(int level, Client__Request__BodyCase body) {
	static struct field_fault fault;
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__List list = CLIENT__LIST__INIT;
	Client__Show show = CLIENT__SHOW__INIT;
	Client__Sessions sessions = CLIENT__SESSIONS__INIT;
	Client__Observe observe = CLIENT__OBSERVE__INIT;
	Client__Status status = CLIENT__STATUS__INIT;

	request.read_level = level;
	request.body_case = body;
	show.name = observe.name = cluster_bytes("lock");
	switch (body) {
	case CLIENT__REQUEST__BODY_LIST: request.list = &list; break;
	case CLIENT__REQUEST__BODY_SHOW: request.show = &show; break;
	case CLIENT__REQUEST__BODY_SESSIONS: request.sessions = &sessions; break;
	case CLIENT__REQUEST__BODY_OBSERVE: request.observe = &observe; break;
	default: request.status = &status; break;
	}
	return field_find_fault(&request, &usual, &fault) ? fault.text : "";
}

static void test_field__takes_a_read_level_for_reads_only(void **unused) {
	Client__Request__BodyCase reads[] = {CLIENT__REQUEST__BODY_LIST, CLIENT__REQUEST__BODY_SHOW,
					     CLIENT__REQUEST__BODY_SESSIONS};

	(void)unused;
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(fault_of_level(3, reads[i]), "read_level: 3, must be 0 to 2");
		assert_string_equal(fault_of_level(-1, reads[i]), "read_level: -1, must be 0 to 2");
		for (int level = 0; level <= 2; level++)
			assert_string_equal(fault_of_level(level, reads[i]), "");
	}
	assert_string_equal(fault_of_level(1, CLIENT__REQUEST__BODY_OBSERVE),
			    "read_level: 1, must be 0 but for List, Show and Sessions");
	assert_string_equal(fault_of_level(2, CLIENT__REQUEST__BODY_STATUS),
			    "read_level: 2, must be 0 but for List, Show and Sessions");
	assert_string_equal(fault_of_level(0, CLIENT__REQUEST__BODY_OBSERVE), "");
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_field__asks_for_a_ttl_that_outlives_elections),
		cmocka_unit_test(test_field__takes_a_read_level_for_reads_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
