/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* A call that waits, on a thread of its own. */
struct call {
	struct lockd_client *client;
	const char *name;
	const struct lockd_read *read;
	enum lockd_status status;
	struct lockd_lock_list *locks;
	struct lockd_session_list *sessions;
};

static void *list(void *arg) {
	struct call *call = arg;

	call->status = lockd_list(call->client, call->name, call->read, FAKE_PATIENCE_MS, &call->locks);
	return NULL;
}

static void *show(void *arg) {
	struct call *call = arg;

	call->status = lockd_show(call->client, call->name, call->read, FAKE_PATIENCE_MS, &call->locks);
	return NULL;
}

static void *list_sessions(void *arg) {
	struct call *call = arg;

	call->status = lockd_sessions(call->client, call->read, FAKE_PATIENCE_MS, &call->sessions);
	return NULL;
}

static ProtobufCBinaryData bytes(const char *text) {
	return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

static void reply_lock(struct fake *fake, const struct fake_request *request, const char *name, bool more) {
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__Lock lock = CLIENT__LOCK__INIT, *locks[] = {&lock};
	Client__Session holder = CLIENT__SESSION__INIT, waiter = CLIENT__SESSION__INIT, *waiters[] = {&waiter, &waiter};
	Client__SessionId id = CLIENT__SESSION_ID__INIT;

	id.epoch = 1;
	id.group = 2;
	id.opened = 3;
	holder.id = waiter.id = &id;
	holder.owner = bytes("ann");
	holder.host = bytes("here");
	holder.pid = 9;
	waiter.label = bytes("second");
	lock.name = bytes(name);
	lock.value = bytes("v");
	lock.token = 5;
	lock.granted = 6;
	lock.held_ms = 7;
	lock.holder = &holder;
	lock.waiting = 2;
	lock.waiters = waiters;
	lock.n_waiters = 2;
	reply.locks = locks;
	reply.n_locks = 1;
	reply.more = more;
	reply.revision = 88;
	fake_reply(fake, request, &reply);
}

static void test_look__refuses_bad_arguments(void **test) {
	static const struct lockd_read no_level = {.level = (enum lockd_read_level)3};
	static const struct lockd_read idle_revision = {.level = LOCKD_READ_STALE, .at_least = 1};
	struct lockd_client *client = fake_client("127.0.0.1:1");
	struct lockd_session_list *sessions;
	struct lockd_lock_list *locks;
	struct lockd_node_list *nodes;

	(void)test;
	assert_int_equal(lockd_list(NULL, NULL, NULL, 0, &locks), LOCKD_MISUSE);
	assert_int_equal(lockd_list(client, NULL, NULL, 0, NULL), LOCKD_MISUSE);
	assert_int_equal(lockd_list(client, NULL, NULL, -2, &locks), LOCKD_MISUSE);
	assert_int_equal(lockd_show(client, NULL, NULL, 0, &locks), LOCKD_MISUSE);
	assert_int_equal(lockd_show(client, "", NULL, 0, &locks), LOCKD_MISUSE);
	assert_int_equal(lockd_sessions(client, NULL, 0, NULL), LOCKD_MISUSE);
	assert_int_equal(lockd_list(client, NULL, &no_level, 0, &locks), LOCKD_MISUSE);
	assert_int_equal(lockd_show(client, "a", &idle_revision, 0, &locks), LOCKD_MISUSE);
	assert_int_equal(lockd_sessions(client, &idle_revision, 0, &sessions), LOCKD_MISUSE);
	assert_int_equal(lockd_nodes(client, 0, NULL), LOCKD_MISUSE);
	assert_int_equal(lockd_list(client, NULL, NULL, 50, &locks), LOCKD_UNREACHABLE);
	assert_int_equal(lockd_sessions(client, NULL, 50, &sessions), LOCKD_UNREACHABLE);
	assert_int_equal(lockd_nodes(client, 1000, &nodes), LOCKD_UNREACHABLE);
	lockd_lock_list_free(NULL);
	lockd_session_list_free(NULL);
	lockd_node_list_free(NULL);
	lockd_close(client);
}

static void test_look__list_reads_all_pages(void **test) {
	static const char *const names[] = {"p/a", "p/b", "p/c"};
	struct fake *fake = fake_new(&fake_leader);
	struct call call = {.client = fake_client(fake_address(fake)), .name = "p/"};
	struct fake_request request;
	pthread_t thread;

	(void)test;
	pthread_create(&thread, NULL, list, &call);
	for (unsigned i = 0; i < 3; i++) {
		request = fake_take_kind(fake, CLIENT__REQUEST__BODY_LIST);
		assert_null(request.message->session);
		assert_int_equal(request.message->list->prefix.len, 2);
		assert_int_equal(request.message->list->after.len, i ? 3 : 0);
		if (i)
			assert_memory_equal(request.message->list->after.data, names[i - 1], 3);
		reply_lock(fake, &request, names[i], i < 2);
		fake_request_free(&request);
	}
	pthread_join(thread, NULL);
	assert_int_equal(call.status, LOCKD_OK);
	assert_int_equal(call.locks->n, 3);
	assert_int_equal(call.locks->answer.revision, 88);
	for (unsigned i = 0; i < 3; i++) {
		assert_string_equal(call.locks->locks[i].name, names[i]);
		assert_string_equal(call.locks->locks[i].value, "v");
		assert_int_equal(call.locks->locks[i].token, 5);
		assert_int_equal(call.locks->locks[i].granted_revision, 6);
		assert_int_equal(call.locks->locks[i].held_ms, 7);
		assert_int_equal(call.locks->locks[i].waiting, 2);
		assert_string_equal(call.locks->locks[i].holder.id, "1.2.3");
		assert_string_equal(call.locks->locks[i].holder.owner, "ann");
		assert_int_equal(call.locks->locks[i].holder.pid, 9);
		assert_string_equal(call.locks->locks[i].waiters[1].label, "second");
	}
	lockd_lock_list_free(call.locks);
	lockd_close(call.client);
	fake_free(fake);
}

static void test_look__show_says_that_a_lock_is_not_held(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct call call = {.client = fake_client(fake_address(fake)), .name = "a"};
	struct fake_request request;
	pthread_t thread;

	(void)test;
	pthread_create(&thread, NULL, show, &call);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_SHOW);
	/* Reads are repeated like everything else. */
	fake_cut(fake);
	fake_request_free(&request);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_SHOW);
	fake_reply_status(fake, &request, LOCKD_NOT_FOUND);
	fake_request_free(&request);
	pthread_join(thread, NULL);
	assert_int_equal(call.status, LOCKD_NOT_FOUND);
	assert_null(call.locks);
	lockd_close(call.client);
	fake_free(fake);
}

static void test_look__sessions_reads_all_pages(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct call call = {.client = fake_client(fake_address(fake))};
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__SessionId id = CLIENT__SESSION_ID__INIT;
	Client__Session session = CLIENT__SESSION__INIT, *sessions[] = {&session};
	struct fake_request request;
	pthread_t thread;

	(void)test;
	session.id = &id;
	session.ttl_ms = 3000;
	session.held = 4;
	session.label = bytes("night");
	reply.sessions = sessions;
	reply.n_sessions = 1;
	pthread_create(&thread, NULL, list_sessions, &call);
	for (unsigned i = 0; i < 2; i++) {
		request = fake_take_kind(fake, CLIENT__REQUEST__BODY_SESSIONS);
		assert_int_equal(request.message->sessions->after, i * 10);
		id.opened = (i + 1) * 10;
		reply.more = i == 0;
		fake_reply(fake, &request, &reply);
		fake_request_free(&request);
	}
	pthread_join(thread, NULL);
	assert_int_equal(call.status, LOCKD_OK);
	assert_int_equal(call.sessions->n, 2);
	assert_string_equal(call.sessions->sessions[0].id, "0.0.10");
	assert_string_equal(call.sessions->sessions[1].id, "0.0.20");
	assert_string_equal(call.sessions->sessions[1].label, "night");
	assert_int_equal(call.sessions->sessions[1].held, 4);
	lockd_session_list_free(call.sessions);
	lockd_close(call.client);
	fake_free(fake);
}

static void test_look__nodes_lists_the_unreachable(void **test) {
	struct fake_manner manner = fake_leader;
	struct lockd_node_list *nodes;
	struct lockd_client *client;
	char endpoints[80];
	struct fake *fake;

	(void)test;
	manner.nodes[0] = 2;
	manner.addresses[0] = "127.0.0.1:2";
	manner.nodes[1] = 1; /* another address of the node itself */
	manner.addresses[1] = "localhost:9";
	fake = fake_new(&manner);
	snprintf(endpoints, sizeof endpoints, "%s,127.0.0.1:1", fake_address(fake));
	client = fake_client(endpoints);
	assert_int_equal(lockd_nodes(client, FAKE_PATIENCE_MS, &nodes), LOCKD_OK);
	assert_int_equal(nodes->n, 3);
	assert_string_equal(nodes->nodes[0].endpoint, fake_address(fake));
	assert_int_equal(nodes->nodes[0].status, LOCKD_OK);
	assert_string_equal(nodes->nodes[0].reason, "");
	assert_int_equal(nodes->nodes[0].node, 1);
	assert_int_equal(nodes->nodes[0].leader, 1);
	assert_string_equal(nodes->nodes[1].endpoint, "127.0.0.1:1");
	assert_string_equal(nodes->nodes[2].endpoint, "127.0.0.1:2");
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(nodes->nodes[i].status, LOCKD_UNREACHABLE);
		assert_string_equal(nodes->nodes[i].reason, "cannot connect: Connection refused");
		assert_string_equal(nodes->nodes[i].role, "");
		assert_int_equal(nodes->nodes[i].n_peers, 0);
	}
	lockd_node_list_free(nodes);
	lockd_close(client);
	fake_free(fake);
}

static void test_look__nodes_lists_a_node_once(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	const char *port = strchr(fake_address(fake), ':');
	struct lockd_node_list *nodes;
	struct lockd_client *client;
	char endpoints[80];

	(void)test;
	for (unsigned i = 0; i < 2; i++) {
		snprintf(endpoints, sizeof endpoints, i ? "localhost%s,127.0.0.1%s" : "127.0.0.1%s,localhost%s", port,
			 port);
		client = fake_client(endpoints);
		assert_int_equal(lockd_nodes(client, FAKE_PATIENCE_MS, &nodes), LOCKD_OK);
		assert_int_equal(nodes->n, 1);
		assert_int_equal(nodes->nodes[0].status, LOCKD_OK);
		lockd_node_list_free(nodes);
		lockd_close(client);
	}
	fake_free(fake);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_look__refuses_bad_arguments),
		cmocka_unit_test(test_look__list_reads_all_pages),
		cmocka_unit_test(test_look__show_says_that_a_lock_is_not_held),
		cmocka_unit_test(test_look__sessions_reads_all_pages),
		cmocka_unit_test(test_look__nodes_lists_the_unreachable),
		cmocka_unit_test(test_look__nodes_lists_a_node_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
