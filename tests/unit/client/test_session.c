/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void test_session__refuses_bad_arguments(void **test) {
	struct lockd_client *client = fake_client("127.0.0.1:1");
	struct lockd_session *session = NULL;
	char label[LIMIT_LABEL_BYTES_MAX + 2];

	(void)test;
	memset(label, 'a', sizeof label);
	label[sizeof label - 1] = '\0';
	assert_int_equal(lockd_session_open(NULL, NULL, 0, &session), LOCKD_MISUSE);
	assert_int_equal(lockd_session_open(client, NULL, 0, NULL), LOCKD_MISUSE);
	assert_int_equal(lockd_session_open(client, NULL, -2, &session), LOCKD_MISUSE);
	assert_int_equal(lockd_session_open(client, &(struct lockd_session_options){.label = label}, 0, &session),
			 LOCKD_MISUSE);
	assert_int_equal(lockd_session_open(client, &(struct lockd_session_options){.label = "\t"}, 0, &session),
			 LOCKD_MISUSE);
	assert_null(session);
	assert_int_equal(lockd_session_close(NULL, 0), LOCKD_OK);
	assert_int_equal(lockd_session_get_state(NULL), LOCKD_EXPIRED);
	assert_int_equal(lockd_session_remaining_ms(NULL), 0);
	lockd_close(client);
}

struct opening {
	struct lockd_client *client;
	int timeout_ms;
	enum lockd_status status;
	struct lockd_session *session;
};

static void *open_session(void *arg) {
	struct opening *opening = arg;
	struct lockd_session_options options = {.ttl_ms = 3000, .label = "night"};

	opening->status = lockd_session_open(opening->client, &options, opening->timeout_ms, &opening->session);
	return NULL;
}

static void reply_open(struct fake *fake, const struct fake_request *request, uint64_t opened, uint32_t ttl_ms) {
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__SessionId id = CLIENT__SESSION_ID__INIT;

	id.epoch = 2;
	id.group = 1;
	id.opened = opened;
	reply.session = &id;
	reply.ttl_ms = ttl_ms;
	fake_reply(fake, request, &reply);
}

static void test_session__passes_the_refusal_of_a_ttl_on(void **test) {
	struct fake_manner manner = fake_leader;
	struct opening opening = {.timeout_ms = FAKE_PATIENCE_MS};
	struct fake_request request;
	struct fake *fake;
	pthread_t thread;

	(void)test;
	manner.takes_open = true;
	fake = fake_new(&manner);
	opening.client = fake_client(fake_address(fake));
	pthread_create(&thread, NULL, open_session, &opening);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_OPEN);
	fake_reply_status(fake, &request, LOCKD_INVALID);
	pthread_join(thread, NULL);
	assert_int_equal(opening.status, LOCKD_INVALID);
	assert_null(opening.session);
	fake_request_free(&request);
	lockd_close(opening.client);
	fake_free(fake);
}

static void test_session__open_without_answer_may_have_happened(void **test) {
	struct fake_manner manner = fake_leader;
	struct lockd_session *session = NULL;
	struct lockd_client *client;
	struct fake_request request;
	struct fake *fake;

	(void)test;
	manner.takes_open = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	assert_int_equal(lockd_session_open(client, NULL, 300, &session), LOCKD_DEADLINE);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_OPEN);
	/* The late answer finds nobody. */
	reply_open(fake, &request, 9, 10000);
	fake_request_free(&request);
	assert_null(session);
	lockd_close(client);
	fake_free(fake);
}

static void test_session__open_is_repeated_with_the_same_nonce(void **test) {
	struct fake_manner manner = fake_leader;
	struct opening opening = {.timeout_ms = FAKE_PATIENCE_MS};
	struct fake_request first, second;
	struct fake *fake;
	pthread_t thread;

	(void)test;
	manner.takes_open = true;
	fake = fake_new(&manner);
	opening.client = fake_client(fake_address(fake));
	pthread_create(&thread, NULL, open_session, &opening);
	first = fake_take_kind(fake, CLIENT__REQUEST__BODY_OPEN);
	assert_int_equal(first.message->open->nonce.len, LIMIT_NONCE_BYTES);
	assert_int_equal(first.message->open->ttl_ms, 3000);
	assert_memory_equal(first.message->open->owner.data, "ann", 3);
	assert_memory_equal(first.message->open->host.data, "here", 4);
	assert_memory_equal(first.message->open->label.data, "night", 5);
	assert_null(first.message->session);
	fake_cut(fake);
	second = fake_take_kind(fake, CLIENT__REQUEST__BODY_OPEN);
	assert_int_not_equal(second.id, first.id);
	assert_memory_equal(second.message->open->nonce.data, first.message->open->nonce.data, LIMIT_NONCE_BYTES);
	reply_open(fake, &second, 77, 3000);
	pthread_join(thread, NULL);
	assert_int_equal(opening.status, LOCKD_OK);
	assert_string_equal(lockd_session_id(opening.session), "2.1.77");
	/* Whichever transmission opened it: the lease counts from the first one. */
	assert_true(lockd_session_remaining_ms(opening.session) <=
		    2444 - (second.received_us - first.received_us) / 1000);
	fake_request_free(&first);
	fake_request_free(&second);
	lockd_close(opening.client);
	fake_free(fake);
}

static void test_session__open_takes_another_nonce_when_the_lease_has_passed(void **test) {
	struct fake_manner manner = fake_leader;
	struct opening opening = {.timeout_ms = FAKE_PATIENCE_MS};
	struct fake_request first, second;
	struct fake *fake;
	pthread_t thread;

	(void)test;
	manner.takes_open = true;
	fake = fake_new(&manner);
	opening.client = fake_client(fake_address(fake));
	pthread_create(&thread, NULL, open_session, &opening);
	first = fake_take_kind(fake, CLIENT__REQUEST__BODY_OPEN);
	reply_open(fake, &first, 77, 1); /* 1 ms: over by the time it is read */
	second = fake_take_kind(fake, CLIENT__REQUEST__BODY_OPEN);
	assert_memory_not_equal(second.message->open->nonce.data, first.message->open->nonce.data, LIMIT_NONCE_BYTES);
	reply_open(fake, &second, 78, 3000);
	pthread_join(thread, NULL);
	assert_int_equal(opening.status, LOCKD_OK);
	assert_string_equal(lockd_session_id(opening.session), "2.1.78");
	fake_request_free(&first);
	fake_request_free(&second);
	lockd_close(opening.client);
	fake_free(fake);
}

static void test_session__remaining_counts_from_the_sending(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client = fake_client(fake_address(fake));
	int64_t before_us = lockd__clock_us(), after_us, remaining_ms;
	struct lockd_session *session = fake_session(client, 10000);

	(void)test;
	remaining_ms = lockd_session_remaining_ms(session);
	after_us = lockd__clock_us();
	/* 10 s · 0.9 / 1.1 − 10 ms, less what has passed */
	assert_true(remaining_ms <= 8171);
	assert_true(remaining_ms >= 8171 - (after_us - before_us) / 1000 - 1);
	assert_int_equal(lockd_session_get_state(session), LOCKD_SAFE);
	lockd_close(client);
	fake_free(fake);
}

/* States as they were called back. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	enum lockd_session_state states[8];
	unsigned n;
} heard = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void on_state(void *user, struct lockd_session *session, enum lockd_session_state state) {
	assert_ptr_equal(user, &heard);
	assert_non_null(session);
	pthread_mutex_lock(&heard.mutex);
	heard.states[heard.n++ % 8] = state;
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.mutex);
}

static void await_states(unsigned n) {
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FAKE_PATIENCE_MS / 1000;
	pthread_mutex_lock(&heard.mutex);
	while (heard.n < n && r == 0)
		r = pthread_cond_timedwait(&heard.changed, &heard.mutex, &until);
	pthread_mutex_unlock(&heard.mutex);
	assert_true(heard.n >= n);
}

static struct lockd_session *heard_session(struct lockd_client *client, uint32_t ttl_ms) {
	struct lockd_session_options options = {.ttl_ms = ttl_ms, .on_state = on_state, .user = &heard};
	struct lockd_session *session = NULL;

	heard.n = 0;
	assert_int_equal(lockd_session_open(client, &options, FAKE_PATIENCE_MS, &session), LOCKD_OK);
	return session;
}

static void test_session__expires_by_its_own_clock(void **test) {
	struct fake_manner manner = fake_leader;
	struct fake *fake = fake_new(&manner);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct fake_result result = {0};
	struct lockd_session *session;
	struct lockd_grant grant;

	(void)test;
	session = heard_session(client, 600);
	manner.silent = true;
	fake_set(fake, &manner);
	assert_int_equal(lockd_acquire_async(session, "a", NULL, LOCKD_FOREVER, fake_done, &result, NULL), LOCKD_OK);
	await_states(1);
	assert_int_equal(heard.states[0], LOCKD_JEOPARDY);
	await_states(2);
	assert_int_equal(heard.states[1], LOCKD_EXPIRED);
	assert_int_equal(lockd_session_get_state(session), LOCKD_EXPIRED);
	assert_int_equal(lockd_session_remaining_ms(session), 0);
	fake_await(&result);
	assert_int_equal(result.status, LOCKD_SESSION_EXPIRED);

	/* It is final, although the node answers again. */
	fake_set(fake, &fake_leader);
	assert_int_equal(lockd_acquire(session, "a", NULL, LOCKD_TRY, 1000, &grant), LOCKD_SESSION_EXPIRED);
	assert_int_equal(lockd_release(session, "a", 1, 1000), LOCKD_SESSION_EXPIRED);
	assert_int_equal(lockd_session_close(session, 1000), LOCKD_SESSION_EXPIRED);
	assert_int_equal(heard.n, 2);
	assert_false(fake_has(fake, 0));
	lockd_close(client);
	fake_free(fake);
}

static void test_session__is_safe_again_when_the_cluster_answers(void **test) {
	struct fake_manner manner = fake_leader;
	struct fake *fake = fake_new(&manner);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_session *session = heard_session(client, 1500);

	(void)test;
	manner.silent = true;
	fake_set(fake, &manner);
	await_states(1);
	assert_int_equal(lockd_session_get_state(session), LOCKD_JEOPARDY);
	assert_true(lockd_session_remaining_ms(session) > 0);
	fake_set(fake, &fake_leader);
	await_states(2);
	assert_int_equal(heard.states[0], LOCKD_JEOPARDY);
	assert_int_equal(heard.states[1], LOCKD_SAFE);
	assert_int_equal(lockd_session_close(session, FAKE_PATIENCE_MS), LOCKD_OK);
	lockd_close(client);
	fake_free(fake);
}

static void test_session__ends_when_the_cluster_says_so(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_session *session = heard_session(client, 10000);
	struct fake_result results[2] = {0};
	struct fake_request requests[2];

	(void)test;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(lockd_acquire_async(session, "a", NULL, LOCKD_FOREVER, fake_done, &results[i], NULL),
				 LOCKD_OK);
	for (unsigned i = 0; i < 2; i++)
		requests[i] = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
	fake_reply_status(fake, &requests[1], LOCKD_SESSION_EXPIRED);
	for (unsigned i = 0; i < 2; i++) {
		fake_await(&results[i]);
		assert_int_equal(results[i].status, LOCKD_SESSION_EXPIRED);
		fake_request_free(&requests[i]);
	}
	await_states(1);
	assert_int_equal(heard.states[0], LOCKD_EXPIRED);
	lockd_close(client);
	fake_free(fake);
}

static void test_session__close_raises_the_floor_above_all(void **test) {
	struct fake_manner manner = fake_leader;
	struct fake_result result = {0};
	struct fake_request acquire, close;
	struct lockd_session *session;
	struct lockd_client *client;
	struct fake *fake;

	(void)test;
	manner.takes_close = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	session = fake_session(client, 0);
	assert_int_equal(lockd_acquire_async(session, "a", NULL, LOCKD_FOREVER, fake_done, &result, NULL), LOCKD_OK);
	acquire = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
	assert_int_equal(lockd_session_close(session, 100), LOCKD_DEADLINE);
	close = fake_take_kind(fake, CLIENT__REQUEST__BODY_CLOSE);
	assert_int_equal(close.message->session->opened, 1 << 16);
	assert_int_equal(close.message->sequence, 2);
	assert_int_equal(close.message->floor, 2);
	fake_await(&result);
	assert_int_equal(result.status, LOCKD_CLOSED);
	fake_request_free(&acquire);
	fake_request_free(&close);
	lockd_close(client);
	fake_free(fake);
}

/* 64 sequences, of which each acquire keeps one for its cancellation: nothing that was given up stays in the queue
 * because an older request goes unanswered. */
static void test_session__keeps_to_the_window(void **test) {
	enum { N = 2 * LIMIT_SEQUENCE_WINDOW, OPEN = LIMIT_SEQUENCE_WINDOW / 2 };
	static struct fake_result results[N];
	static struct fake_request requests[OPEN + 2], cancels[OPEN];
	struct fake_manner manner = fake_leader;
	struct lockd_session *session;
	struct lockd_client *client;
	struct fake *fake;
	unsigned n = 0;

	(void)test;
	manner.takes_cancel = true;
	fake = fake_new(&manner);
	client = fake_client(fake_address(fake));
	session = fake_session(client, 0);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(lockd_acquire_async(session, "a", NULL, LOCKD_FOREVER, fake_done, &results[i], NULL),
				 LOCKD_OK);
	for (unsigned i = 0; i < OPEN; i++) {
		requests[i] = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
		assert_int_equal(requests[i].message->sequence, i + 1);
		assert_int_equal(requests[i].message->floor, 1);
	}
	assert_false(fake_has(fake, 50));

	/* Answers above the floor free the places of cancellations, two of which make room for an acquire. */
	fake_reply_status(fake, &requests[OPEN - 1], LOCKD_OK);
	fake_await(&results[OPEN - 1]);
	assert_false(fake_has(fake, 50));
	fake_reply_status(fake, &requests[OPEN - 2], LOCKD_OK);
	requests[OPEN] = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
	assert_int_equal(requests[OPEN].message->sequence, OPEN + 1);
	assert_int_equal(requests[OPEN].message->floor, 1);

	/* All that wait can be given up, the oldest last. */
	for (unsigned i = OPEN + 1; i > 0; i--) {
		if (i == OPEN || i == OPEN - 1)
			continue;
		assert_int_equal(lockd_cancel(session, i), LOCKD_OK);
		cancels[n] = fake_take_kind(fake, CLIENT__REQUEST__BODY_CANCEL);
		assert_int_equal(cancels[n].message->sequence, OPEN + 2 + n);
		assert_int_equal(cancels[n].message->cancel->target, i);
		assert_int_equal(cancels[n].message->floor, 1);
		n++;
	}
	assert_int_equal(OPEN + 1 + n, LIMIT_SEQUENCE_WINDOW);
	assert_false(fake_has(fake, 50));
	for (unsigned i = 0; i < n; i++) {
		fake_reply_status(fake, &cancels[i], LOCKD_OK);
		fake_request_free(&cancels[i]);
	}
	fake_await(&results[0]);
	assert_int_equal(results[0].status, LOCKD_CANCELLED);
	requests[OPEN + 1] = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
	assert_int_equal(requests[OPEN + 1].message->sequence, LIMIT_SEQUENCE_WINDOW + 1);
	assert_int_equal(requests[OPEN + 1].message->floor, LIMIT_SEQUENCE_WINDOW + 1);
	for (unsigned i = 0; i < OPEN + 2; i++)
		fake_request_free(&requests[i]);
	lockd_close(client);
	fake_free(fake);
}

/* Takes the acquire of lock `i` and grants it. */
static void grant_next(struct fake *fake, unsigned i) {
	struct fake_request request = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
	char name[16];

	snprintf(name, sizeof name, "%u", i);
	assert_int_equal(request.message->acquire->name.len, strlen(name));
	assert_memory_equal(request.message->acquire->name.data, name, strlen(name));
	fake_reply_status(fake, &request, LOCKD_OK);
	fake_request_free(&request);
}

/* Behind a request without answer the window fills up. What it has no room for keeps its order, a release that fits
 * passes the acquires, and all go on when the answer comes. */
static void test_session__queues_for_the_window_in_order(void **test) {
	enum { N = 150, FITTING = LIMIT_SEQUENCE_WINDOW - 2 };
	static struct fake_result results[N];
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_session *session = fake_session(client, 0);
	struct fake_request first, release;
	struct fake_result released = {0};
	char name[16];

	(void)test;
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof name, "%u", i);
		assert_int_equal(lockd_acquire_async(session, name, NULL, LOCKD_FOREVER, fake_done, &results[i], NULL),
				 LOCKD_OK);
	}
	first = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
	for (unsigned i = 1; i < FITTING; i++)
		grant_next(fake, i);
	assert_false(fake_has(fake, 50));
	assert_int_equal(lockd_release_async(session, "1", 1, fake_done, &released, NULL), LOCKD_OK);
	release = fake_take_kind(fake, CLIENT__REQUEST__BODY_RELEASE);
	assert_int_equal(release.message->sequence, FITTING + 1);
	fake_reply_status(fake, &release, LOCKD_OK);
	fake_await(&released);
	assert_false(fake_has(fake, 50));
	fake_reply_status(fake, &first, LOCKD_OK);
	for (unsigned i = FITTING; i < N; i++)
		grant_next(fake, i);
	fake_await(&results[N - 1]);
	fake_request_free(&first);
	fake_request_free(&release);
	lockd_close(client);
	fake_free(fake);
}

static void take_long(void *user, enum lockd_status status, const struct lockd_grant *grant) {
	const struct timespec while_ = {.tv_nsec = 50 * 1000 * 1000};

	(void)nanosleep(&while_, NULL);
	fake_done(user, status, grant);
}

/* What the callback uses may be freed behind the close. */
static void test_session__close_waits_for_callbacks(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_session *session = fake_session(client, 0);
	struct fake_request requests[2];
	struct fake_result results[2] = {0};

	(void)test;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(lockd_acquire_async(session, "a", NULL, LOCKD_FOREVER, take_long, &results[i], NULL),
				 LOCKD_OK);
	for (unsigned i = 0; i < 2; i++)
		requests[i] = fake_take_kind(fake, CLIENT__REQUEST__BODY_ACQUIRE);
	assert_int_equal(lockd_session_close(session, FAKE_PATIENCE_MS), LOCKD_OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(fake_is_done(&results[i]));
		assert_int_equal(results[i].status, LOCKD_CLOSED);
		fake_request_free(&requests[i]);
	}
	lockd_close(client);
	fake_free(fake);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session__refuses_bad_arguments),
		cmocka_unit_test(test_session__passes_the_refusal_of_a_ttl_on),
		cmocka_unit_test(test_session__open_without_answer_may_have_happened),
		cmocka_unit_test(test_session__open_is_repeated_with_the_same_nonce),
		cmocka_unit_test(test_session__open_takes_another_nonce_when_the_lease_has_passed),
		cmocka_unit_test(test_session__remaining_counts_from_the_sending),
		cmocka_unit_test(test_session__expires_by_its_own_clock),
		cmocka_unit_test(test_session__is_safe_again_when_the_cluster_answers),
		cmocka_unit_test(test_session__ends_when_the_cluster_says_so),
		cmocka_unit_test(test_session__close_raises_the_floor_above_all),
		cmocka_unit_test(test_session__keeps_to_the_window),
		cmocka_unit_test(test_session__queues_for_the_window_in_order),
		cmocka_unit_test(test_session__close_waits_for_callbacks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
