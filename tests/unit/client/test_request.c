/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A handle with a session at one node, and the first transmission of an acquire. */
struct scene {
	struct fake *fake;
	struct lockd_client *client;
	struct lockd_session *session;
	struct fake_result result;
	uint64_t number;
	struct fake_request first;
};

static void begin(struct scene *scene, const struct fake_manner *manner) {
	*scene = (struct scene){.fake = fake_new(manner)};
	scene->client = fake_client(fake_address(scene->fake));
	scene->session = fake_session(scene->client, 0);
	assert_int_equal(
		lockd_acquire_async(scene->session, "a", "v", LOCKD_FOREVER, fake_done, &scene->result, &scene->number),
		LOCKD_OK);
	scene->first = fake_take_kind(scene->fake, CLIENT__REQUEST__BODY_ACQUIRE);
}

static void end(struct scene *scene) {
	fake_request_free(&scene->first);
	lockd_close(scene->client);
	fake_free(scene->fake);
}

static void grant(struct fake *fake, const struct fake_request *request, uint64_t token, uint64_t revision) {
	Client__Reply reply = CLIENT__REPLY__INIT;

	reply.token = token;
	reply.revision = revision;
	fake_reply(fake, request, &reply);
}

/* The request comes again under another frame id, and is otherwise the same. */
static struct fake_request take_repetition(struct scene *scene) {
	struct fake_request again = fake_take_kind(scene->fake, CLIENT__REQUEST__BODY_ACQUIRE);

	assert_int_not_equal(again.id, scene->first.id);
	assert_int_equal(again.message->sequence, scene->first.message->sequence);
	assert_int_equal(again.message->session->opened, scene->first.message->session->opened);
	assert_int_equal(again.message->acquire->wait_ms, UINT32_MAX);
	assert_memory_equal(again.message->acquire->name.data, "a", 1);
	assert_memory_equal(again.message->acquire->value.data, "v", 1);
	return again;
}

static void finish(struct scene *scene, struct fake_request *again) {
	assert_false(fake_is_done(&scene->result));
	grant(scene->fake, again, 42, 7);
	fake_await(&scene->result);
	assert_int_equal(scene->result.status, LOCKD_OK);
	assert_int_equal(scene->result.grant.token, 42);
	assert_int_equal(scene->result.grant.revision, 7);
	assert_int_equal(scene->result.grant.sequence, scene->number);
	fake_request_free(again);
	end(scene);
}

static void test_request__is_not_taken_for_an_answer_to_another(void **test) {
	struct scene scene;
	struct fake_request again, other;

	(void)test;
	begin(&scene, &fake_leader);
	other = scene.first;
	other.id += 1000;
	grant(scene.fake, &other, 1, 1);
	fake_cut(scene.fake);
	again = take_repetition(&scene);
	/* The frame id of the earlier transmission is void. */
	other = again;
	other.id = scene.first.id;
	grant(scene.fake, &other, 1, 1);
	finish(&scene, &again);
}

static void test_request__is_repeated_when_the_connection_is_lost(void **test) {
	struct scene scene;
	struct fake_request again;

	(void)test;
	begin(&scene, &fake_leader);
	fake_cut(scene.fake);
	again = take_repetition(&scene);
	finish(&scene, &again);
}

static void test_request__is_repeated_when_the_leader_changed(void **test) {
	struct scene scene;
	struct fake_request again;

	(void)test;
	begin(&scene, &fake_leader);
	fake_reply_status(scene.fake, &scene.first, LOCKD_LEADER_CHANGED);
	again = take_repetition(&scene);
	finish(&scene, &again);
}

static void test_request__backs_off_when_the_node_is_busy(void **test) {
	struct scene scene;
	struct fake_request again;
	int64_t last_us;

	(void)test;
	begin(&scene, &fake_leader);
	last_us = lockd__clock_us();
	again = scene.first;
	for (unsigned i = 0; i < 4; i++) {
		fake_reply_status(scene.fake, &again, i % 2 ? LOCKD_BUSY : LOCKD_DISK_FULL);
		if (i > 0)
			fake_request_free(&again);
		again = take_repetition(&scene);
		assert_true(again.received_us - last_us >= 10000);
		last_us = lockd__clock_us();
	}
	finish(&scene, &again);
}

/* Others that are under way make room by being answered: until then what was refused waits, and what is new. */
static void test_request__has_no_more_under_way_than_a_busy_node_takes(void **test) {
	enum { TRIES = 6, REFUSED = 2 };
	struct fake_result results[TRIES + 1] = {0};
	struct fake_request requests[TRIES], again;
	struct scene scene;

	(void)test;
	begin(&scene, &fake_leader);
	for (unsigned i = 0; i < TRIES; i++) {
		assert_int_equal(lockd_acquire_async(scene.session, "b", NULL, LOCKD_TRY, fake_done, &results[i], NULL),
				 LOCKD_OK);
		requests[i] = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_ACQUIRE);
	}
	for (unsigned i = TRIES - REFUSED; i < TRIES; i++)
		fake_reply_status(scene.fake, &requests[i], LOCKD_BUSY);
	assert_false(fake_has(scene.fake, 100));
	assert_int_equal(lockd_acquire_async(scene.session, "b", NULL, LOCKD_TRY, fake_done, &results[TRIES], NULL),
			 LOCKD_OK);
	assert_false(fake_has(scene.fake, 0));

	/* With so few each answer makes room for its own successor and for one more: the oldest first. */
	fake_reply_status(scene.fake, &requests[0], LOCKD_HELD);
	for (unsigned i = TRIES - REFUSED; i < TRIES; i++) {
		again = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_ACQUIRE);
		assert_int_equal(again.message->sequence, requests[i].message->sequence);
		fake_request_free(&again);
	}
	assert_false(fake_has(scene.fake, 100));
	for (unsigned i = 0; i < TRIES; i++)
		fake_request_free(&requests[i]);
	end(&scene);
}

static void test_request__waits_on_when_it_is_queued(void **test) {
	struct scene scene;
	struct fake_request same;

	(void)test;
	begin(&scene, &fake_leader);
	fake_reply_status(scene.fake, &scene.first, LOCKD_QUEUED);
	same = scene.first;
	grant(scene.fake, &same, 42, 7);
	fake_await(&scene.result);
	assert_int_equal(scene.result.status, LOCKD_OK);
	end(&scene);
}

static void test_request__passes_definite_refusals_on(void **test) {
	static const enum lockd_status statuses[] = {LOCKD_HELD,  LOCKD_WAIT_EXPIRED, LOCKD_INVALID, LOCKD_LIMIT,
						     LOCKD_STALE, LOCKD_MISMATCH,     LOCKD_WINDOW};
	struct scene scene;

	(void)test;
	for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
		begin(&scene, &fake_leader);
		fake_reply_status(scene.fake, &scene.first, statuses[i]);
		fake_await(&scene.result);
		assert_int_equal(scene.result.status, statuses[i]);
		end(&scene);
	}
}

static void test_request__keeps_the_order_of_making_when_repeated(void **test) {
	enum { N = 20 };
	struct fake_result results[N] = {0};
	struct fake_request request;
	struct scene scene;

	(void)test;
	begin(&scene, &fake_leader);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(lockd_release_async(scene.session, "a", i, fake_done, &results[i], NULL), LOCKD_OK);
		request = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_RELEASE);
		fake_request_free(&request);
	}
	fake_cut(scene.fake);
	request = take_repetition(&scene);
	fake_request_free(&request);
	for (unsigned i = 0; i < N; i++) {
		request = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_RELEASE);
		assert_int_equal(request.message->sequence, i + 2);
		assert_int_equal(request.message->release->token, i);
		fake_request_free(&request);
	}
	end(&scene);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(results[i].status, LOCKD_CLOSED);
}

/* A program that goes on asking while the cluster is down is told so before memory is. */
static void test_request__beyond_the_limit_is_refused(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_session *session = fake_session(client, 0);
	static struct fake_result results[LOCKD__REQUESTS_MAX];
	struct lockd_grant grant;

	(void)test;
	fake_stop(fake);
	for (unsigned i = 0; i < LOCKD__REQUESTS_MAX; i++)
		assert_int_equal(lockd_acquire_async(session, "a", NULL, LOCKD_TRY, fake_done, &results[i], NULL),
				 LOCKD_OK);
	assert_int_equal(lockd_acquire(session, "a", NULL, LOCKD_TRY, LOCKD_FOREVER, &grant), LOCKD_LIMIT);
	assert_int_equal(lockd_release(session, "a", 1, LOCKD_FOREVER), LOCKD_LIMIT);
	assert_int_equal(lockd_cancel(session, LOCKD__REQUESTS_MAX), LOCKD_OK);
	fake_await(&results[LOCKD__REQUESTS_MAX - 1]);
	assert_int_equal(results[LOCKD__REQUESTS_MAX - 1].status, LOCKD_CANCELLED);
	assert_int_equal(lockd_release(session, "a", 1, 0), LOCKD_UNREACHABLE);
	lockd_close(client);
	fake_free(fake);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request__is_not_taken_for_an_answer_to_another),
		cmocka_unit_test(test_request__is_repeated_when_the_connection_is_lost),
		cmocka_unit_test(test_request__is_repeated_when_the_leader_changed),
		cmocka_unit_test(test_request__backs_off_when_the_node_is_busy),
		cmocka_unit_test(test_request__has_no_more_under_way_than_a_busy_node_takes),
		cmocka_unit_test(test_request__waits_on_when_it_is_queued),
		cmocka_unit_test(test_request__passes_definite_refusals_on),
		cmocka_unit_test(test_request__keeps_the_order_of_making_when_repeated),
		cmocka_unit_test(test_request__beyond_the_limit_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
