/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

struct scene {
	struct fake *fake;
	struct lockd_client *client;
	struct lockd_session *session;
};

static struct scene begin(void) {
	struct fake_manner manner = fake_leader;
	struct scene scene;

	manner.takes_cancel = true;
	scene.fake = fake_new(&manner);
	scene.client = fake_client(fake_address(scene.fake));
	scene.session = fake_session(scene.client, 0);
	return scene;
}

static void end(struct scene *scene) {
	lockd_close(scene->client);
	fake_free(scene->fake);
}

static void test_lock__refuses_bad_arguments(void **test) {
	struct scene scene = begin();
	struct lockd_grant grant;
	char name[LIMIT_NAME_BYTES_MAX + 2], value[LIMIT_VALUE_BYTES_MAX + 2];

	(void)test;
	memset(name, 'a', sizeof name);
	name[sizeof name - 1] = '\0';
	memset(value, 'a', sizeof value);
	value[sizeof value - 1] = '\0';
	assert_int_equal(lockd_acquire(NULL, "a", NULL, 0, 0, &grant), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire(scene.session, NULL, NULL, 0, 0, &grant), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire(scene.session, "", NULL, 0, 0, &grant), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire(scene.session, name, NULL, 0, 0, &grant), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire(scene.session, "a\n", NULL, 0, 0, &grant), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire(scene.session, "\xc0\x80", NULL, 0, 0, &grant), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire(scene.session, "a", value, 0, 0, &grant), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire(scene.session, "a", NULL, -2, 0, &grant), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire(scene.session, "a", NULL, 0, -2, &grant), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire(scene.session, "a", NULL, 0, 0, NULL), LOCKD_MISUSE);
	assert_int_equal(lockd_acquire_async(scene.session, "a", NULL, 0, NULL, NULL, NULL), LOCKD_MISUSE);
	assert_int_equal(lockd_release(scene.session, "", 1, 0), LOCKD_MISUSE);
	assert_int_equal(lockd_release_async(scene.session, "a", 1, NULL, NULL, NULL), LOCKD_MISUSE);
	assert_int_equal(lockd_cancel(scene.session, 0), LOCKD_MISUSE);
	assert_int_equal(lockd_cancel(scene.session, 1), LOCKD_MISUSE);
	assert_int_equal(lockd_resolve(scene.session, 1, 0, &grant), LOCKD_MISUSE);
	assert_false(fake_has(scene.fake, 20));
	end(&scene);
}

static void test_lock__that_was_never_asked_for_is_unreachable(void **test) {
	struct scene scene = begin();
	struct lockd_grant grant;

	(void)test;
	fake_stop(scene.fake);
	/* Whether the node was noticed to be gone before or behind the sending is chance; then it is unknown. */
	while (lockd_acquire(scene.session, "a", NULL, LOCKD_FOREVER, 50, &grant) != LOCKD_UNREACHABLE)
		;
	assert_true(grant.sequence >= 1);
	assert_int_equal(lockd_resolve(scene.session, grant.sequence, 0, NULL), LOCKD_UNREACHABLE);
	assert_int_equal(lockd_release(scene.session, "a", 1, 50), LOCKD_UNREACHABLE);
	end(&scene);
}

static void test_lock__deadline_cancels_until_the_outcome_is_known(void **test) {
	struct scene scene = begin();
	struct fake_request acquire, cancel, again;
	struct lockd_grant grant;

	(void)test;
	assert_int_equal(lockd_acquire(scene.session, "a", NULL, LOCKD_FOREVER, 100, &grant), LOCKD_DEADLINE);
	assert_int_equal(grant.sequence, 1);
	acquire = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_ACQUIRE);
	cancel = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_CANCEL);
	assert_int_equal(cancel.message->cancel->target, acquire.message->sequence);
	assert_int_equal(cancel.message->sequence, acquire.message->sequence + 1);
	assert_int_equal(cancel.message->floor, acquire.message->sequence);
	assert_int_equal(lockd_resolve(scene.session, 1, 20, &grant), LOCKD_DEADLINE);

	/* The cancellation is repeated; the acquire is not: it would only be granted for a moment. */
	fake_cut(scene.fake);
	again = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_CANCEL);
	assert_int_equal(again.message->sequence, cancel.message->sequence);
	assert_int_equal(again.message->cancel->target, acquire.message->sequence);
	fake_reply_status(scene.fake, &again, LOCKD_OK);
	assert_int_equal(lockd_resolve(scene.session, 1, FAKE_PATIENCE_MS, &grant), LOCKD_CANCELLED);
	assert_int_equal(grant.sequence, 1);
	assert_int_equal(lockd_resolve(scene.session, 1, 0, NULL), LOCKD_CANCELLED);
	fake_request_free(&acquire);
	fake_request_free(&cancel);
	fake_request_free(&again);
	end(&scene);
}

static void test_lock__grant_behind_the_deadline_is_given_back(void **test) {
	struct scene scene = begin();
	struct fake_request acquire, cancel;
	struct lockd_grant grant;

	(void)test;
	assert_int_equal(lockd_acquire(scene.session, "a", NULL, LOCKD_FOREVER, 100, &grant), LOCKD_DEADLINE);
	acquire = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_ACQUIRE);
	cancel = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_CANCEL);
	fake_reply_status(scene.fake, &acquire, LOCKD_OK);
	assert_int_equal(lockd_resolve(scene.session, 1, 50, &grant), LOCKD_DEADLINE);
	fake_reply_status(scene.fake, &cancel, LOCKD_OK);
	assert_int_equal(lockd_resolve(scene.session, 1, FAKE_PATIENCE_MS, &grant), LOCKD_CANCELLED);
	fake_request_free(&acquire);
	fake_request_free(&cancel);
	end(&scene);
}

static void test_lock__refusal_behind_the_deadline_stands(void **test) {
	struct scene scene = begin();
	struct fake_request acquire, cancel;
	struct lockd_grant grant;

	(void)test;
	assert_int_equal(lockd_acquire(scene.session, "a", NULL, LOCKD_TRY, 100, &grant), LOCKD_DEADLINE);
	acquire = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_ACQUIRE);
	cancel = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_CANCEL);
	fake_reply_status(scene.fake, &acquire, LOCKD_HELD);
	assert_int_equal(lockd_resolve(scene.session, 1, FAKE_PATIENCE_MS, &grant), LOCKD_HELD);
	fake_reply_status(scene.fake, &cancel, LOCKD_OK);
	fake_request_free(&acquire);
	fake_request_free(&cancel);
	end(&scene);
}

static void test_lock__release_goes_on_behind_its_deadline(void **test) {
	struct scene scene = begin();
	struct fake_request first, again;

	(void)test;
	assert_int_equal(lockd_release(scene.session, "a", 9, 50), LOCKD_DEADLINE);
	first = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_RELEASE);
	fake_cut(scene.fake);
	again = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_RELEASE);
	assert_int_equal(again.message->sequence, first.message->sequence);
	assert_int_equal(again.message->release->token, 9);
	fake_reply_status(scene.fake, &again, LOCKD_NOT_HOLDER);
	assert_int_equal(lockd_resolve(scene.session, 1, FAKE_PATIENCE_MS, NULL), LOCKD_NOT_HOLDER);
	fake_request_free(&first);
	fake_request_free(&again);
	end(&scene);
}

static void test_lock__cancel_ends_a_waiting_acquire(void **test) {
	struct scene scene = begin();
	struct fake_result result = {0};
	struct fake_request acquire, cancel;
	uint64_t number;

	(void)test;
	assert_int_equal(lockd_acquire_async(scene.session, "a", NULL, LOCKD_FOREVER, fake_done, &result, &number),
			 LOCKD_OK);
	acquire = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_ACQUIRE);
	assert_int_equal(lockd_cancel(scene.session, number), LOCKD_OK);
	assert_int_equal(lockd_cancel(scene.session, number), LOCKD_OK);
	cancel = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_CANCEL);
	/* A grant that crosses the cancellation is none. */
	fake_reply_status(scene.fake, &acquire, LOCKD_OK);
	fake_reply_status(scene.fake, &cancel, LOCKD_OK);
	fake_await(&result);
	assert_int_equal(result.status, LOCKD_CANCELLED);
	assert_false(fake_has(scene.fake, 20));
	/* It is over: nothing is left to cancel. */
	assert_int_equal(lockd_cancel(scene.session, number), LOCKD_OK);
	assert_false(fake_has(scene.fake, 20));
	fake_request_free(&acquire);
	fake_request_free(&cancel);
	end(&scene);
}

static void test_lock__cancel_of_an_unsent_acquire_needs_no_cluster(void **test) {
	struct fake_result result = {0};
	struct scene scene = begin();
	struct fake_manner manner = fake_leader;
	uint64_t number;

	(void)test;
	manner.leader = 0;
	fake_set(scene.fake, &manner);
	fake_cut(scene.fake);
	while (lockd_release(scene.session, "a", 1, 20) != LOCKD_UNREACHABLE)
		;
	assert_int_equal(lockd_acquire_async(scene.session, "a", NULL, LOCKD_FOREVER, fake_done, &result, &number),
			 LOCKD_OK);
	assert_int_equal(lockd_cancel(scene.session, number), LOCKD_OK);
	fake_await(&result);
	assert_int_equal(result.status, LOCKD_CANCELLED);
	end(&scene);
}

static void test_lock__outcomes_are_forgotten_in_the_end(void **test) {
	struct scene scene = begin();
	struct fake_request request;
	struct fake_result result;

	(void)test;
	for (unsigned i = 0; i <= LOCKD__OUTCOMES; i++) {
		result.done = false;
		assert_int_equal(lockd_release_async(scene.session, "a", i, fake_done, &result, NULL), LOCKD_OK);
		request = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_RELEASE);
		/* One at a time: each floor is the sequence itself. */
		assert_int_equal(request.message->sequence, i + 1);
		assert_int_equal(request.message->floor, i + 1);
		fake_reply_status(scene.fake, &request, LOCKD_NOT_HOLDER);
		fake_request_free(&request);
		fake_await(&result);
	}
	assert_int_equal(lockd_resolve(scene.session, 1, 0, NULL), LOCKD_STALE);
	assert_int_equal(lockd_resolve(scene.session, 2, 0, NULL), LOCKD_NOT_HOLDER);
	end(&scene);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lock__refuses_bad_arguments),
		cmocka_unit_test(test_lock__that_was_never_asked_for_is_unreachable),
		cmocka_unit_test(test_lock__deadline_cancels_until_the_outcome_is_known),
		cmocka_unit_test(test_lock__grant_behind_the_deadline_is_given_back),
		cmocka_unit_test(test_lock__refusal_behind_the_deadline_stands),
		cmocka_unit_test(test_lock__release_goes_on_behind_its_deadline),
		cmocka_unit_test(test_lock__cancel_ends_a_waiting_acquire),
		cmocka_unit_test(test_lock__cancel_of_an_unsent_acquire_needs_no_cluster),
		cmocka_unit_test(test_lock__outcomes_are_forgotten_in_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
