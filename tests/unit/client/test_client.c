/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_client__refuses_bad_arguments(void **test) {
	char owner[LIMIT_OWNER_BYTES_MAX + 2];
	struct lockd_client *client = NULL;

	(void)test;
	memset(owner, 'a', sizeof owner);
	owner[sizeof owner - 1] = '\0';
	assert_int_equal(lockd_open(NULL, NULL), LOCKD_MISUSE);
	assert_int_equal(lockd_open(&(struct lockd_options){.owner = owner}, &client), LOCKD_MISUSE);
	assert_int_equal(lockd_open(&(struct lockd_options){.owner = "a\nb"}, &client), LOCKD_MISUSE);
	assert_int_equal(lockd_open(&(struct lockd_options){.host = "\xff"}, &client), LOCKD_MISUSE);
	assert_null(client);
	lockd_close(NULL);
}

static void test_client__takes_endpoints_from_the_environment(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client;
	struct lockd_session *session;

	(void)test;
	setenv("LOCKD_ENDPOINTS", fake_address(fake), 1);
	assert_int_equal(lockd_open(NULL, &client), LOCKD_OK);
	session = fake_session(client, 0);
	assert_string_equal(lockd_session_id(session), "1.1.65536");
	assert_int_equal(lockd_session_close(session, FAKE_PATIENCE_MS), LOCKD_OK);
	lockd_close(client);
	setenv("LOCKD_ENDPOINTS", "", 1); /* as if it were not set */
	assert_int_equal(lockd_open(NULL, &client), LOCKD_OK);
	lockd_close(client);
	setenv("LOCKD_ENDPOINTS", "no where", 1);
	assert_int_equal(lockd_open(NULL, &client), LOCKD_MISUSE);
	unsetenv("LOCKD_ENDPOINTS");
	fake_free(fake);
}

/* What every call says in a child of the process that opened the handle; 0: all FORKED. */
static int child(struct lockd_client *client, struct lockd_session *session) {
	struct lockd_client *another;
	struct lockd_session *ret_session;
	struct lockd_lock_list *list;
	struct lockd_grant grant;
	char text[8] = "x";

	lockd_last_error(client, text, sizeof text);
	lockd_close(client); /* the parent's: nothing happens */
	if (lockd_open(NULL, &another) != LOCKD_FORKED)
		return 1;
	if (lockd_session_open(client, NULL, 100, &ret_session) != LOCKD_FORKED)
		return 2;
	if (lockd_acquire(session, "a", NULL, LOCKD_TRY, 100, &grant) != LOCKD_FORKED)
		return 3;
	if (lockd_list(client, NULL, NULL, 100, &list) != LOCKD_FORKED)
		return 4;
	if (lockd_session_remaining_ms(session) != 0 || lockd_session_get_state(session) != LOCKD_EXPIRED)
		return 5;
	if (lockd_session_close(session, 100) != LOCKD_FORKED)
		return 6;
	return text[0] == '\0' ? 0 : 7;
}

static void test_client__is_of_no_use_in_a_child(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_session *session = fake_session(client, 0);
	int status;
	pid_t pid = fork();

	(void)test;
	if (pid == 0)
		_exit(child(client, session));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(lockd_session_remaining_ms(session) > 0);
	lockd_close(client);
	fake_free(fake);
}

/* Calls that wait, made where they must not be. */
struct misuse {
	struct lockd_client *client;
	struct lockd_session *session;
	enum lockd_status statuses[3];
	struct fake_result result;
};

static void wait_in_callback(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	struct misuse *misuse = user;
	struct lockd_session *session;
	struct lockd_grant another;

	misuse->statuses[0] = lockd_acquire(misuse->session, "b", NULL, LOCKD_TRY, 100, &another);
	misuse->statuses[1] = lockd_session_open(misuse->client, NULL, 100, &session);
	misuse->statuses[2] = lockd_resolve(misuse->session, 1, 100, &another);
	lockd_close(misuse->client);
	fake_done(&misuse->result, status, grant);
}

static void test_client__does_not_wait_in_callbacks(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct misuse misuse = {.client = client, .session = fake_session(client, 0)};
	struct fake_request request;

	(void)test;
	assert_int_equal(lockd_acquire_async(misuse.session, "a", NULL, LOCKD_TRY, wait_in_callback, &misuse, NULL),
			 LOCKD_OK);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
	fake_reply_status(fake, &request, LOCKD_HELD);
	fake_await(&misuse.result);
	assert_int_equal(misuse.result.status, LOCKD_HELD);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(misuse.statuses[i], LOCKD_MISUSE);
	fake_request_free(&request);
	lockd_close(client);
	fake_free(fake);
}

static void *acquire_forever(void *arg) {
	struct lockd_grant grant;

	return (void *)(intptr_t)lockd_acquire(arg, "a", NULL, LOCKD_FOREVER, LOCKD_FOREVER, &grant);
}

static void test_client__close_ends_what_is_outstanding(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_session *session = fake_session(client, 0);
	struct fake_result result = {0};
	struct fake_request requests[2];
	pthread_t thread;
	void *status;

	(void)test;
	assert_int_equal(lockd_acquire_async(session, "b", NULL, LOCKD_FOREVER, fake_done, &result, NULL), LOCKD_OK);
	pthread_create(&thread, NULL, acquire_forever, session);
	for (unsigned i = 0; i < 2; i++)
		requests[i] = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
	lockd_close(client);
	pthread_join(thread, &status);
	assert_int_equal((intptr_t)status, LOCKD_CLOSED);
	assert_true(fake_is_done(&result));
	assert_int_equal(result.status, LOCKD_CLOSED);
	for (unsigned i = 0; i < 2; i++)
		fake_request_free(&requests[i]);
	fake_free(fake);
}

static void test_client__closes_while_dialling(void **test) {
	struct fake_manner manner = fake_leader;
	struct fake *fake;

	(void)test;
	manner.mute = true;
	fake = fake_new(&manner);
	for (unsigned i = 0; i < 50; i++)
		lockd_close(fake_client(fake_address(fake)));
	fake_free(fake);
}

/* A node that hangs refuses nothing; the message names it all the same. */
static void test_client__names_who_does_not_answer(void **test) {
	struct fake_manner manner = fake_leader;
	char text[256], expected[256];
	struct lockd_lock_list *list;
	struct lockd_client *client;
	struct fake *fake;

	(void)test;
	manner.mute = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	assert_int_equal(lockd_list(client, NULL, NULL, 100, &list), LOCKD_UNREACHABLE);
	lockd_last_error(client, text, sizeof text);
	snprintf(expected, sizeof expected, "%s: no answer yet", fake_address(fake));
	assert_string_equal(text, expected);
	lockd_close(client);

	manner.mute = false;
	manner.silent = true;
	fake_set(fake, &manner);
	client = fake_client(fake_address(fake));
	assert_int_equal(lockd_list(client, NULL, NULL, 1000, &list), LOCKD_DEADLINE);
	lockd_last_error(client, text, sizeof text);
	snprintf(expected, sizeof expected, "%s: the leader does not answer", fake_address(fake));
	assert_string_equal(text, expected);
	lockd_close(client);
	fake_free(fake);
}

static void *ask_nodes(void *arg) {
	struct lockd_node_list *list;

	return (void *)(intptr_t)lockd_nodes(arg, LOCKD_FOREVER, &list);
}

/* A call that is between two of its requests ends, too. */
static void test_client__close_ends_a_call_of_several_requests(void **test) {
	struct fake_manner manner = fake_leader;
	struct lockd_client *client;
	struct fake *fake;
	pthread_t thread;
	void *status;

	(void)test;
	manner.mute = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	pthread_create(&thread, NULL, ask_nodes, client);
	pthread_mutex_lock(&client->mutex);
	while (client->callers == 0) {
		pthread_mutex_unlock(&client->mutex);
		sched_yield();
		pthread_mutex_lock(&client->mutex);
	}
	pthread_mutex_unlock(&client->mutex);
	lockd_close(client);
	pthread_join(thread, &status);
	assert_int_equal((intptr_t)status, LOCKD_CLOSED);
	fake_free(fake);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client__refuses_bad_arguments),
		cmocka_unit_test(test_client__takes_endpoints_from_the_environment),
		cmocka_unit_test(test_client__is_of_no_use_in_a_child),
		cmocka_unit_test(test_client__does_not_wait_in_callbacks),
		cmocka_unit_test(test_client__close_ends_what_is_outstanding),
		cmocka_unit_test(test_client__closes_while_dialling),
		cmocka_unit_test(test_client__close_ends_a_call_of_several_requests),
		cmocka_unit_test(test_client__names_who_does_not_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
