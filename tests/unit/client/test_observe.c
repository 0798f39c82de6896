/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* Events as they were called back, one line. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	char text[65536];
	unsigned n;
	bool blocked;                   /* the callback waits while this is set */
	struct lockd_observation *stop; /* to be stopped by the callback */
} heard = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void on_event(void *user, const struct lockd_event *event) {
	static const char *const kinds[] = {"leader", "vacant", "gap"};
	size_t n;

	(void)user;
	pthread_mutex_lock(&heard.mutex);
	while (heard.blocked)
		pthread_cond_wait(&heard.changed, &heard.mutex);
	n = strlen(heard.text);
	snprintf(heard.text + n, sizeof heard.text - n, "%s %llu %llu %s%s%s ", kinds[event->kind],
		 (unsigned long long)event->revision, (unsigned long long)event->token, event->value, event->owner,
		 event->host);
	heard.n++;
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.mutex);
	lockd_observe_stop(heard.stop);
}

static void await_events(unsigned n, const char *text) {
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FAKE_PATIENCE_MS / 1000;
	pthread_mutex_lock(&heard.mutex);
	while (heard.n < n && r == 0)
		r = pthread_cond_timedwait(&heard.changed, &heard.mutex, &until);
	pthread_mutex_unlock(&heard.mutex);
	assert_int_equal(heard.n, n);
	if (text)
		assert_string_equal(heard.text, text);
}

static void tell(struct fake *fake, const struct fake_request *observe, Client__Event__Kind kind, uint64_t revision) {
	Client__Event event = CLIENT__EVENT__INIT;
	Client__Session holder = CLIENT__SESSION__INIT;

	event.kind = kind;
	event.revision = revision;
	if (kind == CLIENT__EVENT__KIND__LEADER) {
		event.token = revision + 100;
		event.value = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)"v"};
		holder.owner = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)"o"};
		holder.host = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)"h"};
		event.holder = &holder;
	}
	fake_event(fake, observe, &event);
}

struct scene {
	struct fake *fake;
	struct lockd_client *client;
	struct lockd_observation *observation;
	struct fake_request observe;
};

static struct scene begin(uint64_t after) {
	struct scene scene = {.fake = fake_new(&fake_leader)};

	heard.text[0] = '\0';
	heard.n = 0;
	heard.stop = NULL;
	scene.client = fake_client(fake_address(scene.fake));
	assert_int_equal(lockd_observe(scene.client, "e", after, on_event, NULL, &scene.observation), LOCKD_OK);
	scene.observe = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_OBSERVE);
	assert_int_equal(scene.observe.message->observe->after, after);
	assert_memory_equal(scene.observe.message->observe->name.data, "e", 1);
	fake_reply_status(scene.fake, &scene.observe, LOCKD_OK);
	return scene;
}

static void end(struct scene *scene) {
	fake_request_free(&scene->observe);
	lockd_close(scene->client);
	fake_free(scene->fake);
}

/* The subscription is taken up again, behind `after`. */
static void take_again(struct scene *scene, uint64_t after) {
	fake_request_free(&scene->observe);
	scene->observe = fake_take_kind(scene->fake, CLIENT__REQUEST__BODY_OBSERVE);
	assert_int_equal(scene->observe.message->observe->after, after);
}

static void test_observe__refuses_bad_arguments(void **test) {
	struct lockd_client *client = fake_client("127.0.0.1:1");
	struct lockd_observation *observation;

	(void)test;
	assert_int_equal(lockd_observe(NULL, "e", 0, on_event, NULL, &observation), LOCKD_MISUSE);
	assert_int_equal(lockd_observe(client, NULL, 0, on_event, NULL, &observation), LOCKD_MISUSE);
	assert_int_equal(lockd_observe(client, "", 0, on_event, NULL, &observation), LOCKD_MISUSE);
	assert_int_equal(lockd_observe(client, "\x7f", 0, on_event, NULL, &observation), LOCKD_MISUSE);
	assert_int_equal(lockd_observe(client, "e", 0, NULL, NULL, &observation), LOCKD_MISUSE);
	assert_int_equal(lockd_observe(client, "e", 0, on_event, NULL, NULL), LOCKD_MISUSE);
	lockd_observe_stop(NULL);
	lockd_close(client);
}

static void test_observe__tells_in_order(void **test) {
	struct scene scene = begin(0);

	(void)test;
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__VACANT, 5);
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 6);
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__VACANT, 7);
	await_events(3, "vacant 5 0  leader 6 106 voh vacant 7 0  ");
	end(&scene);
}

static void test_observe__goes_on_behind_the_last_revision(void **test) {
	struct scene scene = begin(0);

	(void)test;
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 6);
	await_events(1, NULL);
	fake_cut(scene.fake);
	take_again(&scene, 6);
	/* What is told again is not heard again. */
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 6);
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__VACANT, 9);
	await_events(2, "leader 6 106 voh vacant 9 0  ");
	fake_reply_status(scene.fake, &scene.observe, LOCKD_LEADER_CHANGED);
	take_again(&scene, 9);
	end(&scene);
}

static void test_observe__resumes_where_the_caller_says(void **test) {
	struct scene scene = begin(50);

	(void)test;
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 50);
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 51);
	await_events(1, "leader 51 151 voh ");
	end(&scene);
}

static void test_observe__passes_gaps_on_with_the_state_of_affairs(void **test) {
	struct scene scene = begin(10);

	(void)test;
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__GAP, 90);
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 70); /* granted before the gap's end */
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 80); /* only one event is exempt */
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__VACANT, 91);
	await_events(3, "gap 90 0  leader 70 170 voh vacant 91 0  ");
	fake_cut(scene.fake);
	take_again(&scene, 91);
	end(&scene);
}

static void test_observe__tries_again_when_refused(void **test) {
	struct scene scene = begin(0);

	(void)test;
	fake_cut(scene.fake);
	take_again(&scene, 0);
	fake_reply_status(scene.fake, &scene.observe, LOCKD_BUSY);
	take_again(&scene, 0);
	fake_reply_status(scene.fake, &scene.observe, LOCKD_NOT_LEADER);
	take_again(&scene, 0);
	end(&scene);
}

/* A callback that does not keep up costs a new subscription, not an event. */
static void test_observe__loses_nothing_when_the_callback_is_slow(void **test) {
	enum { N = LOCKD__EVENTS_MAX + 50 };
	struct scene scene = begin(0);
	uint64_t after;

	(void)test;
	pthread_mutex_lock(&heard.mutex);
	heard.blocked = true;
	pthread_mutex_unlock(&heard.mutex);
	for (unsigned i = 1; i <= N; i++)
		tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__VACANT, i);
	assert_false(fake_has(scene.fake, 100));
	pthread_mutex_lock(&heard.mutex);
	heard.blocked = false;
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.mutex);
	fake_request_free(&scene.observe);
	scene.observe = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_OBSERVE);
	after = scene.observe.message->observe->after;
	assert_in_range(after, LOCKD__EVENTS_MAX, LOCKD__EVENTS_MAX + 1);
	for (uint64_t i = after + 1; i <= N; i++)
		tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__VACANT, i);
	await_events(N, NULL);
	end(&scene);
}

static void test_observe__is_quiet_when_stopped(void **test) {
	struct scene scene = begin(0);

	(void)test;
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 6);
	await_events(1, NULL);
	lockd_observe_stop(scene.observation);
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 7);
	lockd_session_close(fake_session(scene.client, 0),
			    FAKE_PATIENCE_MS); /* behind the event on the same connection */
	await_events(1, "leader 6 106 voh ");
	end(&scene);
}

static void test_observe__may_be_stopped_by_another_ones_callback(void **test) {
	struct scene scene = begin(0);
	struct lockd_observation *other;
	struct fake_request request;

	(void)test;
	assert_int_equal(lockd_observe(scene.client, "f", 0, on_event, NULL, &other), LOCKD_OK);
	request = fake_take_kind(scene.fake, CLIENT__REQUEST__BODY_OBSERVE);
	heard.stop = other;
	tell(scene.fake, &scene.observe, CLIENT__EVENT__KIND__LEADER, 6);
	await_events(1, NULL);
	fake_request_free(&request);
	end(&scene);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_observe__refuses_bad_arguments),
		cmocka_unit_test(test_observe__tells_in_order),
		cmocka_unit_test(test_observe__goes_on_behind_the_last_revision),
		cmocka_unit_test(test_observe__resumes_where_the_caller_says),
		cmocka_unit_test(test_observe__passes_gaps_on_with_the_state_of_affairs),
		cmocka_unit_test(test_observe__tries_again_when_refused),
		cmocka_unit_test(test_observe__loses_nothing_when_the_callback_is_slow),
		cmocka_unit_test(test_observe__is_quiet_when_stopped),
		cmocka_unit_test(test_observe__may_be_stopped_by_another_ones_callback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
