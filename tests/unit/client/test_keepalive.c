/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

static void reply_all(struct fake *fake, const struct fake_request *request, size_t n, enum lockd_status status) {
	Client__Reply reply = CLIENT__REPLY__INIT;
	uint32_t statuses[8] = {0};

	for (size_t i = 0; i < n; i++)
		statuses[i] = status;
	reply.keep_alives = statuses;
	reply.n_keep_alives = n;
	fake_reply(fake, request, &reply);
}

static void test_keepalive__lies_well_inside_a_quarter(void **test) {
	(void)test;
	assert_int_equal(lockd__keepalive_interval_us(3000), 500000);
	assert_true(lockd__keepalive_interval_us(86400000) < 86400000 * 1000LL / 5);
}

/* The first keep-alive that names so many: a session that was opened meanwhile may have missed some. */
static struct fake_request take_naming(struct fake *fake, size_t n) {
	struct fake_request request = fake_take(fake);

	while (request.message->keep_alive->n_sessions < n) {
		fake_request_free(&request);
		request = fake_take(fake);
	}
	return request;
}

static void test_keepalive__names_all_sessions_in_one_frame(void **test) {
	struct fake_manner manner = fake_leader;
	struct lockd_session *sessions[3];
	struct fake_request request;
	struct lockd_client *client;
	struct fake *fake;

	(void)test;
	manner.takes_keep_alive = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	for (unsigned i = 0; i < 3; i++)
		sessions[i] = fake_session(client, 3000);
	request = take_naming(fake, 3);
	assert_int_equal(request.message->keep_alive->n_sessions, 3);
	assert_int_equal(request.message->keep_alive->epoch, 1);
	assert_int_equal(request.message->keep_alive->group, 1);
	for (unsigned i = 0; i < 3; i++) /* each one's distance from the one before */
		assert_int_equal(request.message->keep_alive->sessions[i], 1 << 16);
	fake_request_free(&request);
	/* A closed one is named no more. */
	assert_int_equal(lockd_session_close(sessions[1], FAKE_PATIENCE_MS), LOCKD_OK);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_KEEP_ALIVE);
	assert_int_equal(request.message->keep_alive->n_sessions, 2);
	fake_request_free(&request);
	lockd_close(client);
	fake_free(fake);
}

static void test_keepalive__renews_from_the_sending_of_what_was_answered(void **test) {
	struct fake_manner manner = fake_leader;
	struct fake_request first, second;
	struct lockd_session *session;
	struct lockd_client *client;
	struct fake *fake;
	int64_t lease_ms;

	(void)test;
	manner.takes_keep_alive = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	session = fake_session(client, 3000);
	first = fake_take_kind(fake, CLIENT__REQUEST__BODY_KEEP_ALIVE);
	second = fake_take_kind(fake, CLIENT__REQUEST__BODY_KEEP_ALIVE);
	assert_true(second.received_us - first.received_us > 400000);
	/* The answer to the first comes last: the lease counts from the sending of the first. */
	reply_all(fake, &first, 1, LOCKD_OK);
	while ((lease_ms = lockd__clock_us() / 1000 + lockd_session_remaining_ms(session)) <
	       first.received_us / 1000 + 2400)
		;
	assert_true(lease_ms <= first.received_us / 1000 + 2444 + 1);
	fake_request_free(&first);
	fake_request_free(&second);
	lockd_close(client);
	fake_free(fake);
}

static void test_keepalive__ends_a_session_that_the_cluster_does_not_know(void **test) {
	struct fake_manner manner = fake_leader;
	struct lockd_session *session;
	struct fake_request request;
	struct lockd_client *client;
	struct fake *fake;

	(void)test;
	manner.takes_keep_alive = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	session = fake_session(client, 3000);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_KEEP_ALIVE);
	reply_all(fake, &request, 1, LOCKD_SESSION_EXPIRED);
	while (lockd_session_get_state(session) != LOCKD_EXPIRED)
		assert_true(lockd_session_remaining_ms(session) < 2500);
	fake_request_free(&request);
	/* Nobody is left to be named. */
	assert_false(fake_has(fake, 700));
	lockd_close(client);
	fake_free(fake);
}

/* Another one was closed, and another one opened, since they were named. */
static void test_keepalive__means_whom_it_named(void **test) {
	struct fake_manner manner = fake_leader;
	struct lockd_session *sessions[4];
	Client__Reply reply = CLIENT__REPLY__INIT;
	uint32_t statuses[] = {LOCKD_OK, LOCKD_OK, LOCKD_SESSION_EXPIRED};
	struct fake_request request;
	struct lockd_client *client;
	struct fake *fake;

	(void)test;
	manner.takes_keep_alive = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	for (unsigned i = 0; i < 3; i++)
		sessions[i] = fake_session(client, 3000);
	request = take_naming(fake, 3);
	assert_int_equal(lockd_session_close(sessions[0], FAKE_PATIENCE_MS), LOCKD_OK);
	sessions[3] = fake_session(client, 3000);
	reply.keep_alives = statuses;
	reply.n_keep_alives = 3;
	fake_reply(fake, &request, &reply);
	fake_request_free(&request);
	while (lockd_session_get_state(sessions[2]) != LOCKD_EXPIRED)
		assert_true(lockd_session_remaining_ms(sessions[2]) < 2500);
	assert_int_not_equal(lockd_session_get_state(sessions[1]), LOCKD_EXPIRED);
	assert_int_not_equal(lockd_session_get_state(sessions[3]), LOCKD_EXPIRED);
	/* Those that are left are named as they were. */
	for (request = fake_take(fake); request.message->keep_alive->n_sessions != 2; request = fake_take(fake))
		fake_request_free(&request);
	assert_int_equal(request.message->keep_alive->sessions[0], 2 << 16);
	assert_int_equal(request.message->keep_alive->sessions[1], 2 << 16);
	fake_request_free(&request);
	lockd_close(client);
	fake_free(fake);
}

static void test_keepalive__takes_no_answer_of_another_size(void **test) {
	struct fake_manner manner = fake_leader;
	struct lockd_session *session;
	struct fake_request request;
	struct lockd_client *client;
	struct fake *fake;

	(void)test;
	manner.takes_keep_alive = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	session = fake_session(client, 3000);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_KEEP_ALIVE);
	reply_all(fake, &request, 2, LOCKD_OK);
	fake_request_free(&request);
	/* It is sent again, soon. */
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_KEEP_ALIVE);
	assert_true(lockd_session_remaining_ms(session) < 2444 - 400);
	fake_request_free(&request);
	lockd_close(client);
	fake_free(fake);
}

static void test_keepalive__goes_to_a_new_connection_at_once(void **test) {
	struct fake_manner manner = fake_leader;
	struct fake_request request;
	struct lockd_client *client;
	struct fake *fake;
	int64_t cut_us;

	(void)test;
	manner.takes_keep_alive = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	(void)fake_session(client, 60000); /* due only after 10 s */
	cut_us = lockd__clock_us();
	fake_cut(fake);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_KEEP_ALIVE);
	assert_true(request.received_us - cut_us < 2000000);
	fake_request_free(&request);
	lockd_close(client);
	fake_free(fake);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keepalive__lies_well_inside_a_quarter),
		cmocka_unit_test(test_keepalive__names_all_sessions_in_one_frame),
		cmocka_unit_test(test_keepalive__renews_from_the_sending_of_what_was_answered),
		cmocka_unit_test(test_keepalive__ends_a_session_that_the_cluster_does_not_know),
		cmocka_unit_test(test_keepalive__means_whom_it_named),
		cmocka_unit_test(test_keepalive__takes_no_answer_of_another_size),
		cmocka_unit_test(test_keepalive__goes_to_a_new_connection_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
