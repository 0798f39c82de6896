/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"

#include <lockd/admin.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const struct lockd_member_change adds_four = {.kind = LOCKD_MEMBER_VOTER, .node = 4};

/* A call that waits, on a thread of its own. */
struct call {
	struct lockd_client *client;
	const struct lockd_member_change *changes;
	size_t n;
	uint32_t node;
	int timeout_ms;
	enum lockd_status status;
	pthread_t thread;
};

static void *run_change(void *arg) {
	struct call *call = arg;

	call->status = lockd_change_members(call->client, call->changes, call->n, call->timeout_ms);
	return NULL;
}

static void *run_transfer(void *arg) {
	struct call *call = arg;

	call->status = lockd_transfer_leader(call->client, call->node, call->timeout_ms);
	return NULL;
}

/* Two nodes; node 1 leads at first. */
struct scene {
	struct fake *nodes[2];
	struct lockd_client *client;
};

static void elect(struct scene *scene, uint32_t leader) {
	for (uint32_t i = 0; i < 2; i++) {
		struct fake_manner manner = fake_leader;
		manner.node = i + 1;
		manner.leader = leader;
		manner.term = leader;
		if (scene->nodes[i])
			fake_set(scene->nodes[i], &manner);
		else
			scene->nodes[i] = fake_new(&manner);
	}
}

static void begin_with(struct scene *scene) {
	char endpoints[80];

	snprintf(endpoints, sizeof endpoints, "%s,%s", fake_address(scene->nodes[0]), fake_address(scene->nodes[1]));
	scene->client = fake_client(endpoints);
	while (fake_hellos(scene->nodes[0]) == 0 || fake_hellos(scene->nodes[1]) == 0)
		;
}

static void begin(struct scene *scene) {
	*scene = (struct scene){0};
	elect(scene, 1);
	begin_with(scene);
}

static void end(struct scene *scene) {
	lockd_close(scene->client);
	for (unsigned i = 0; i < 2; i++)
		fake_free(scene->nodes[i]);
}

static void begin_change(struct scene *scene, struct call *call, const struct lockd_member_change *changes, size_t n) {
	*call = (struct call){.client = scene->client, .changes = changes, .n = n, .timeout_ms = FAKE_PATIENCE_MS};
	pthread_create(&call->thread, NULL, run_change, call);
}

static void begin_transfer(struct scene *scene, struct call *call, uint32_t node) {
	*call = (struct call){.client = scene->client, .node = node, .timeout_ms = FAKE_PATIENCE_MS};
	pthread_create(&call->thread, NULL, run_transfer, call);
}

static void reply_text(struct fake *fake, const struct fake_request *request, enum lockd_status status,
		       const char *text) {
	Client__Reply reply = CLIENT__REPLY__INIT;

	reply.status = status;
	reply.text = (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
	fake_reply(fake, request, &reply);
}

/* Takes the next request of that kind from the node and answers it. */
static void answer(struct fake *fake, Client__Request__BodyCase kind, enum lockd_status status) {
	struct fake_request request = fake_take_kind(fake, kind);

	fake_reply_status(fake, &request, status);
	fake_request_free(&request);
}

static void test_admin__refuses_bad_arguments(void **test) {
	const struct lockd_member_change bad[] = {
		{.kind = LOCKD_MEMBER_VOTER},
		{.kind = (enum lockd_member_kind)4, .node = 4},
		{.kind = LOCKD_MEMBER_SAME, .node = 4, .set_priority = 1, .priority = 256},
		{.kind = LOCKD_MEMBER_SAME, .node = 4, .peer_address = "a\nb:1"},
	};
	struct lockd_member_change many[LOCKD_MEMBER_CHANGES_MAX + 1] = {{0}};
	const struct lockd_member_change twice[] = {adds_four, {.kind = LOCKD_MEMBER_ABSENT, .node = 4}};
	char address[LOCKD__ADDRESS_BYTES_MAX + 1] = "";
	struct lockd_member_change distant = {.kind = LOCKD_MEMBER_SAME, .node = 4, .client_address = address};
	struct lockd_client *client = fake_client("127.0.0.1:1");

	(void)test;
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(lockd_change_members(client, &bad[i], 1, 0), LOCKD_MISUSE);
	for (unsigned i = 0; i < LOCKD_MEMBER_CHANGES_MAX + 1; i++)
		many[i].node = i + 1;
	memset(address, 'a', LOCKD__ADDRESS_BYTES_MAX);
	assert_int_equal(lockd_change_members(client, &distant, 1, 0), LOCKD_MISUSE);
	assert_int_equal(lockd_change_members(client, many, LOCKD_MEMBER_CHANGES_MAX + 1, 0), LOCKD_MISUSE);
	assert_int_equal(lockd_change_members(client, twice, 2, 0), LOCKD_MISUSE);
	assert_int_equal(lockd_change_members(client, NULL, 1, 0), LOCKD_MISUSE);
	assert_int_equal(lockd_change_members(client, many, 0, 0), LOCKD_MISUSE);
	assert_int_equal(lockd_change_members(NULL, many, 1, 0), LOCKD_MISUSE);
	assert_int_equal(lockd_change_members(client, many, 1, -2), LOCKD_MISUSE);
	assert_int_equal(lockd_transfer_leader(NULL, 0, 0), LOCKD_MISUSE);
	assert_int_equal(lockd_transfer_leader(client, 0, -2), LOCKD_MISUSE);
	/* What is allowed gets as far as the network. */
	assert_int_equal(lockd_change_members(client, many, LOCKD_MEMBER_CHANGES_MAX, 20), LOCKD_UNREACHABLE);
	assert_int_equal(lockd_transfer_leader(client, 0, 20), LOCKD_UNREACHABLE);
	lockd_close(client);
}

static void test_admin__sends_all_changes_as_they_are(void **test) {
	const struct lockd_member_change changes[] = {
		{.kind = LOCKD_MEMBER_VOTER,
		 .node = 4,
		 .set_priority = 1,
		 .peer_address = "a:1",
		 .client_address = "b:2"},
		{.kind = LOCKD_MEMBER_ABSENT, .node = 1, .priority = 9},
		{.kind = LOCKD_MEMBER_SAME, .node = 3, .set_priority = 1, .priority = 255},
	};
	struct fake_request request;
	Client__MemberChange **got;
	struct scene scene;
	struct call call;

	(void)test;
	begin(&scene);
	begin_change(&scene, &call, changes, 3);
	request = fake_take_kind(scene.nodes[0], CLIENT__REQUEST__BODY_CHANGE_MEMBERS);
	assert_null(request.message->session);
	assert_int_equal(request.message->change_members->n_changes, 3);
	got = request.message->change_members->changes;
	assert_int_equal(got[0]->kind, CLIENT__MEMBER_CHANGE__KIND__VOTER);
	assert_int_equal(got[0]->node, 4);
	assert_true(got[0]->set_priority);
	assert_int_equal(got[0]->priority, 0);
	assert_memory_equal(got[0]->peer_address.data, "a:1", 3);
	assert_memory_equal(got[0]->client_address.data, "b:2", 3);
	assert_int_equal(got[1]->kind, CLIENT__MEMBER_CHANGE__KIND__ABSENT);
	assert_int_equal(got[1]->node, 1);
	assert_false(got[1]->set_priority);
	assert_int_equal(got[1]->peer_address.len, 0);
	assert_int_equal(got[2]->kind, CLIENT__MEMBER_CHANGE__KIND__SAME);
	assert_int_equal(got[2]->priority, 255);
	fake_reply_status(scene.nodes[0], &request, LOCKD_OK);
	fake_request_free(&request);
	pthread_join(call.thread, NULL);
	assert_int_equal(call.status, LOCKD_OK);
	end(&scene);
}

static void test_admin__a_refusal_is_told_with_the_leaders_words(void **test) {
	static const enum lockd_status statuses[] = {LOCKD_UNSETTLED, LOCKD_NOT_READY, LOCKD_INVALID, LOCKD_LIMIT};
	struct fake_request request;
	char text[512], want[128];
	struct scene scene;
	struct call call;

	(void)test;
	begin(&scene);
	for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		begin_change(&scene, &call, &adds_four, 1);
		request = fake_take_kind(scene.nodes[0], CLIENT__REQUEST__BODY_CHANGE_MEMBERS);
		reply_text(scene.nodes[0], &request, statuses[i], "node 4 has not called");
		fake_request_free(&request);
		pthread_join(call.thread, NULL);
		assert_int_equal(call.status, statuses[i]);
		lockd_last_error(scene.client, text, sizeof text);
		snprintf(want, sizeof want, "%s: node 4 has not called", lockd_status_text(statuses[i]));
		assert_string_equal(text, want);
	}
	/* The words of one call are not told of the next. */
	begin_change(&scene, &call, &adds_four, 1);
	answer(scene.nodes[0], CLIENT__REQUEST__BODY_CHANGE_MEMBERS, LOCKD_OK);
	pthread_join(call.thread, NULL);
	lockd_last_error(scene.client, text, sizeof text);
	assert_string_equal(text, "");
	end(&scene);
}

/* A node that has just been dialled has nothing to do with it. */
static void test_admin__a_refusal_stands_alone_where_the_cluster_has_answered(void **test) {
	struct fake_manner mute = fake_leader;
	struct fake_request request;
	char text[512], want[128];
	struct scene scene;
	struct call call;

	(void)test;
	mute.node = 2;
	mute.mute = true;
	scene.nodes[0] = fake_new(&fake_leader);
	scene.nodes[1] = fake_new(&mute);
	begin_with(&scene);
	begin_change(&scene, &call, &adds_four, 1);
	request = fake_take_kind(scene.nodes[0], CLIENT__REQUEST__BODY_CHANGE_MEMBERS);
	reply_text(scene.nodes[0], &request, LOCKD_INVALID, "no");
	fake_request_free(&request);
	pthread_join(call.thread, NULL);
	lockd_last_error(scene.client, text, sizeof text);
	snprintf(want, sizeof want, "%s: no", lockd_status_text(LOCKD_INVALID));
	assert_string_equal(text, want);
	end(&scene);
}

static void test_admin__a_change_goes_to_the_next_leader(void **test) {
	struct scene scene;
	struct call call;

	(void)test;
	for (unsigned i = 0; i < 3; i++) {
		begin(&scene);
		begin_change(&scene, &call, &adds_four, 1);
		if (i == 0) {
			elect(&scene, 2);
			answer(scene.nodes[0], CLIENT__REQUEST__BODY_CHANGE_MEMBERS, LOCKD_NOT_LEADER);
		} else if (i == 1) {
			elect(&scene, 2);
			answer(scene.nodes[0], CLIENT__REQUEST__BODY_CHANGE_MEMBERS, LOCKD_LEADER_CHANGED);
		} else {
			struct fake_request lost = fake_take_kind(scene.nodes[0], CLIENT__REQUEST__BODY_CHANGE_MEMBERS);
			elect(&scene, 2);
			fake_stop(scene.nodes[0]);
			fake_request_free(&lost);
		}
		if (i > 0) {
			/* What stands in the way is what the first leader began, until it is settled. */
			answer(scene.nodes[1], CLIENT__REQUEST__BODY_CHANGE_MEMBERS, LOCKD_UNSETTLED);
			answer(scene.nodes[1], CLIENT__REQUEST__BODY_CHANGE_MEMBERS, LOCKD_NOT_READY);
		}
		answer(scene.nodes[1], CLIENT__REQUEST__BODY_CHANGE_MEMBERS, LOCKD_OK);
		pthread_join(call.thread, NULL);
		assert_int_equal(call.status, LOCKD_OK);
		end(&scene);
	}
}

static void test_admin__the_deadline_leaves_the_outcome_open(void **test) {
	struct fake_request request;
	struct scene scene;
	struct call call;

	(void)test;
	begin(&scene);
	call = (struct call){.client = scene.client, .changes = &adds_four, .n = 1, .timeout_ms = 50};
	pthread_create(&call.thread, NULL, run_change, &call);
	request = fake_take_kind(scene.nodes[0], CLIENT__REQUEST__BODY_CHANGE_MEMBERS);
	pthread_join(call.thread, NULL);
	assert_int_equal(call.status, LOCKD_DEADLINE);
	/* An answer that comes too late is nobody's. */
	fake_reply_status(scene.nodes[0], &request, LOCKD_OK);
	fake_request_free(&request);
	begin_transfer(&scene, &call, 2);
	request = fake_take_kind(scene.nodes[0], CLIENT__REQUEST__BODY_TRANSFER_LEADER);
	lockd_close(scene.client);
	pthread_join(call.thread, NULL);
	assert_int_equal(call.status, LOCKD_CLOSED);
	fake_request_free(&request);
	for (unsigned i = 0; i < 2; i++)
		fake_free(scene.nodes[i]);
}

/* A change may take minutes: its silence must not make the leader look dead, nor hold up others. */
static void test_admin__a_long_change_holds_up_nothing(void **test) {
	struct fake_request request;
	struct lockd_session *session;
	struct lockd_grant grant;
	struct scene scene;
	struct call call;

	(void)test;
	begin(&scene);
	session = fake_session(scene.client, 3000);
	begin_change(&scene, &call, &adds_four, 1);
	request = fake_take_kind(scene.nodes[0], CLIENT__REQUEST__BODY_CHANGE_MEMBERS);
	/* Long enough for a silent leader to be given up: asked after 500 ms, dialled anew after 1 s more. */
	assert_false(fake_has(scene.nodes[0], 2500));
	assert_int_equal(fake_hellos(scene.nodes[0]), 1);
	assert_int_equal(lockd_session_get_state(session), LOCKD_SAFE);
	assert_int_equal(lockd_acquire(session, "a", NULL, LOCKD_TRY, 0, &grant), LOCKD_DEADLINE);
	answer(scene.nodes[0], CLIENT__REQUEST__BODY_ACQUIRE, LOCKD_OK);
	assert_false(fake_has(scene.nodes[1], 0));
	fake_reply_status(scene.nodes[0], &request, LOCKD_OK);
	fake_request_free(&request);
	pthread_join(call.thread, NULL);
	assert_int_equal(call.status, LOCKD_OK);
	end(&scene);
}

static void test_admin__transfer_is_done_when_that_node_leads(void **test) {
	struct fake_request request;
	struct scene scene;
	struct call call;

	(void)test;
	for (unsigned i = 0; i < 2; i++) {
		begin(&scene);
		begin_transfer(&scene, &call, i ? 0 : 2);
		request = fake_take_kind(scene.nodes[0], CLIENT__REQUEST__BODY_TRANSFER_LEADER);
		assert_int_equal(request.message->transfer_leader->node, i ? 0 : 2);
		/* The old leader is gone before it can say so; the next one is not asked to hand over again. */
		elect(&scene, 2);
		fake_stop(scene.nodes[0]);
		fake_request_free(&request);
		pthread_join(call.thread, NULL);
		assert_int_equal(call.status, LOCKD_OK);
		assert_false(fake_has(scene.nodes[1], 50));
		end(&scene);
	}
}

static void test_admin__transfer_to_another_node_than_leads_is_repeated(void **test) {
	struct scene scene;
	struct call call;

	(void)test;
	begin(&scene);
	begin_transfer(&scene, &call, 3);
	elect(&scene, 2);
	answer(scene.nodes[0], CLIENT__REQUEST__BODY_TRANSFER_LEADER, LOCKD_LEADER_CHANGED);
	answer(scene.nodes[1], CLIENT__REQUEST__BODY_TRANSFER_LEADER, LOCKD_NOT_READY);
	pthread_join(call.thread, NULL);
	assert_int_equal(call.status, LOCKD_NOT_READY);
	end(&scene);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_admin__refuses_bad_arguments),
		cmocka_unit_test(test_admin__sends_all_changes_as_they_are),
		cmocka_unit_test(test_admin__a_refusal_is_told_with_the_leaders_words),
		cmocka_unit_test(test_admin__a_refusal_stands_alone_where_the_cluster_has_answered),
		cmocka_unit_test(test_admin__a_change_goes_to_the_next_leader),
		cmocka_unit_test(test_admin__the_deadline_leaves_the_outcome_open),
		cmocka_unit_test(test_admin__a_long_change_holds_up_nothing),
		cmocka_unit_test(test_admin__transfer_is_done_when_that_node_leads),
		cmocka_unit_test(test_admin__transfer_to_another_node_than_leads_is_repeated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
