/* SPDX-License-Identifier: Apache-2.0 */
/* Who may talk to whom. */
#include "lockd/io/hello.h"

#include <lockd/status.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct hello own, theirs;
static struct raft_configuration members;
static char text[160];

static int set_up(void **state) {
	(void)state;
	own = (struct hello){.protocol_min = 1, .protocol_max = 1, .incarnation = {{7}}, .node = 1, .store = {{1}}};
	theirs = (struct hello){
		.protocol_min = 1, .protocol_max = 1, .incarnation = {{7}}, .node = 2, .store = {{2}}, .to = 1};
	members = (struct raft_configuration){.n = 2,
					      .members = {{.node = 1, .store = {{1}}, .roles = RAFT_ROLE_VOTER},
							  {.node = 2, .store = {{2}}, .roles = RAFT_ROLE_VOTER}}};
	text[0] = '\0';
	return 0;
}

static void assert_refused(bool listed, int status, const char *expected) {
	assert_int_equal(hello_judge(&own, &theirs, own.blank ? NULL : &members, listed, text), status);
	assert_string_equal(text, expected);
}

static void test_hello__refuses_another_protocol(void **state) {
	(void)state;
	theirs.protocol_min = theirs.protocol_max = 2;
	assert_refused(true, LOCKD_PROTOCOL, "node 2 speaks protocol versions 2 to 2, node 1 speaks 1 to 1");
}

static void test_hello__refuses_its_own_number(void **state) {
	(void)state;
	theirs.node = 1;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "both ends are configured as node 1");
}

static void test_hello__refuses_a_call_for_somebody_else(void **state) {
	(void)state;
	theirs.to = 3;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 1 was called under the address of node 3");
}

static void test_hello__refuses_an_unknown_node(void **state) {
	(void)state;
	theirs.node = 9;
	assert_refused(false, LOCKD_WRONG_CLUSTER, "node 1 does not know a node 9");
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 9 is not a member of the cluster");
}

static void test_hello__refuses_another_incarnation(void **state) {
	(void)state;
	theirs.incarnation.bytes[15] = 1;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 1 and node 2 belong to different clusters: one of them has another cluster's data folder");
}

static void test_hello__refuses_a_member_with_another_data_folder(void **state) {
	(void)state;
	theirs.store.bytes[15] = 1;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 2 is a member with another data folder");
	theirs.blank = true;
	assert_refused(true, LOCKD_WRONG_CLUSTER, "node 2 is a member with another data folder");
}

static void test_hello__welcomes_members_and_listed_blanks(void **state) {
	(void)state;
	assert_int_equal(hello_judge(&own, &theirs, &members, true, text), LOCKD_OK);
	theirs.blank = true; /* to be let in */
	assert_int_equal(hello_judge(&own, &theirs, &members, true, text), LOCKD_OK);
	own.blank = true; /* both: a founding */
	assert_int_equal(hello_judge(&own, &theirs, NULL, true, text), LOCKD_OK);
	theirs.blank = false; /* we are to be let in */
	theirs.to = 0;        /* the answer names nobody */
	assert_int_equal(hello_judge(&own, &theirs, NULL, true, text), LOCKD_OK);
}

static void test_hello__comes_back_as_it_was_packed(void **state) {
	uint8_t body[HELLO_BYTES_MAX];
	struct hello back;
	struct arena arena;
	size_t n;

	(void)state;
	own.boot = 42;
	own.epoch = 5;
	own.purpose = PEER_PURPOSE_SNAPSHOT;
	own.status = LOCKD_WRONG_CLUSTER;
	snprintf(own.text, sizeof own.text, "no\nway");
	n = hello_pack(&own, "a:1", NULL, body);
	arena_init(&arena);
	assert_int_equal(hello_unpack(body, n, &arena, &back), 0);
	assert_memory_equal(&back.store, &own.store, sizeof own.store);
	assert_memory_equal(&back.incarnation, &own.incarnation, sizeof own.incarnation);
	assert_false(back.blank);
	assert_int_equal(back.boot, 42);
	assert_int_equal(back.epoch, 5);
	assert_int_equal(back.purpose, PEER_PURPOSE_SNAPSHOT);
	assert_int_equal(back.status, LOCKD_WRONG_CLUSTER);
	assert_string_equal(back.text, "no?way");
	arena_deinit(&arena);
}

static void test_hello__rejects_what_is_malformed(void **state) {
	uint8_t body[HELLO_BYTES_MAX];
	struct hello back;
	struct arena arena;
	size_t n;

	(void)state;
	arena_init(&arena);
	assert_true(hello_unpack((const uint8_t *)"\xff\xff", 2, &arena, &back) < 0);
	assert_true(hello_unpack(NULL, 0, &arena, &back) < 0); /* no store */
	own.node = 0;
	n = hello_pack(&own, NULL, NULL, body);
	assert_true(hello_unpack(body, n, &arena, &back) < 0);
	arena_deinit(&arena);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_hello__refuses_another_protocol, set_up),
		cmocka_unit_test_setup(test_hello__refuses_its_own_number, set_up),
		cmocka_unit_test_setup(test_hello__refuses_a_call_for_somebody_else, set_up),
		cmocka_unit_test_setup(test_hello__refuses_an_unknown_node, set_up),
		cmocka_unit_test_setup(test_hello__refuses_another_incarnation, set_up),
		cmocka_unit_test_setup(test_hello__refuses_a_member_with_another_data_folder, set_up),
		cmocka_unit_test_setup(test_hello__welcomes_members_and_listed_blanks, set_up),
		cmocka_unit_test_setup(test_hello__comes_back_as_it_was_packed, set_up),
		cmocka_unit_test_setup(test_hello__rejects_what_is_malformed, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
