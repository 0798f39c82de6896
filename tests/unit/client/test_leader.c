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
#include <unistd.h>

static void nothing(void *user, const struct lockd_event *event) {
	(void)user;
	(void)event;
}

/* Two nodes; node 1 leads at first. */
struct scene {
	struct fake *nodes[2];
	struct lockd_client *client;
	struct lockd_session *session;
	struct fake_result result;
	struct fake_request request;
};

static struct fake_manner manner_of(uint32_t node, uint32_t leader) {
	struct fake_manner manner = fake_leader;

	manner.node = node;
	manner.leader = leader;
	return manner;
}

static void begin(struct scene *scene) {
	char endpoints[80], text[256];

	*scene = (struct scene){0};
	for (uint32_t i = 0; i < 2; i++) {
		struct fake_manner manner = manner_of(i + 1, 1);
		scene->nodes[i] = fake_new(&manner);
	}
	snprintf(endpoints, sizeof endpoints, "%s,%s", fake_address(scene->nodes[0]), fake_address(scene->nodes[1]));
	scene->client = fake_client(endpoints);
	scene->session = fake_session(scene->client, 0);
	while (fake_hellos(scene->nodes[1]) == 0)
		;
	/* A greeting that arrived behind the news of a test would name the leader of before. */
	do
		lockd_last_error(scene->client, text, sizeof text);
	while (*text);
	assert_int_equal(lockd_acquire_async(scene->session, "a", NULL, LOCKD_FOREVER, fake_done, &scene->result, NULL),
			 LOCKD_OK);
	scene->request = fake_take_kind(scene->nodes[0], CLIENT__REQUEST__BODY_ACQUIRE);
	assert_false(fake_has(scene->nodes[1], 0));
}

static void elect(struct scene *scene, uint32_t leader, uint64_t term) {
	for (uint32_t i = 0; i < 2; i++) {
		struct fake_manner manner = manner_of(i + 1, leader);
		manner.term = term;
		fake_set(scene->nodes[i], &manner);
	}
}

/* The acquire comes to node 2, and its grant counts. */
static void end_at_second(struct scene *scene) {
	struct fake_request again = fake_take_kind(scene->nodes[1], CLIENT__REQUEST__BODY_ACQUIRE);

	assert_int_equal(again.message->sequence, scene->request.message->sequence);
	fake_reply_status(scene->nodes[1], &again, LOCKD_OK);
	fake_await(&scene->result);
	assert_int_equal(scene->result.status, LOCKD_OK);
	fake_request_free(&again);
	fake_request_free(&scene->request);
	lockd_close(scene->client);
	for (unsigned i = 0; i < 2; i++)
		fake_free(scene->nodes[i]);
}

static void test_leader__hint_is_followed(void **test) {
	Client__Reply reply = CLIENT__REPLY__INIT;
	struct scene scene;

	(void)test;
	begin(&scene);
	elect(&scene, 2, 2);
	reply.status = LOCKD_NOT_LEADER;
	reply.leader = 2;
	fake_reply(scene.nodes[0], &scene.request, &reply);
	end_at_second(&scene);
}

static void test_leader__is_asked_for_without_a_hint(void **test) {
	struct scene scene;

	(void)test;
	begin(&scene);
	elect(&scene, 0, 2);
	fake_reply_status(scene.nodes[0], &scene.request, LOCKD_NOT_LEADER);
	/* Nobody leads: nothing is sent. */
	assert_false(fake_has(scene.nodes[0], 100));
	assert_false(fake_has(scene.nodes[1], 0));
	elect(&scene, 2, 3);
	end_at_second(&scene);
}

/* The connection with the old leader lives, nothing was refused, nobody was asked. */
static void test_leader__that_says_so_is_used_at_once(void **test) {
	struct scene scene;

	(void)test;
	begin(&scene);
	elect(&scene, 2, 2);
	fake_greet_again(scene.nodes[1], 0);
	assert_true(fake_has(scene.nodes[1], 200));
	assert_int_equal(fake_hellos(scene.nodes[0]), 1);
	end_at_second(&scene);
}

static void test_leader__that_says_it_leads_no_more_gets_nothing(void **test) {
	char text[256] = "";
	struct lockd_grant grant;
	struct scene scene;

	(void)test;
	begin(&scene);
	elect(&scene, 0, 2);
	fake_greet_again(scene.nodes[0], 0);
	while (!strstr(text, "no node leads"))
		lockd_last_error(scene.client, text, sizeof text);
	assert_int_equal(lockd_acquire(scene.session, "b", NULL, LOCKD_TRY, 100, &grant), LOCKD_UNREACHABLE);
	assert_false(fake_has(scene.nodes[0], 0));
	elect(&scene, 2, 3);
	fake_greet_again(scene.nodes[1], 0);
	end_at_second(&scene);
}

/* Three nodes, none of which leads; so many of them say that their disk is full. */
static enum lockd_status open_without_leader(unsigned full, char *text, size_t n) {
	struct fake *nodes[3];
	struct lockd_client *client;
	struct lockd_session *session = NULL;
	enum lockd_status status;
	char endpoints[120];

	for (uint32_t i = 0; i < 3; i++) {
		struct fake_manner manner = manner_of(i + 1, 0);
		manner.disk_full = i < full;
		nodes[i] = fake_new(&manner);
	}
	snprintf(endpoints, sizeof endpoints, "%s,%s,%s", fake_address(nodes[0]), fake_address(nodes[1]),
		 fake_address(nodes[2]));
	client = fake_client(endpoints);
	status = lockd_session_open(client, NULL, 300, &session);
	lockd_last_error(client, text, n);
	lockd_close(client);
	for (unsigned i = 0; i < 3; i++)
		fake_free(nodes[i]);
	return status;
}

static void test_leader__is_missing_for_full_disks_only_if_they_stand_in_the_way(void **test) {
	char text[256];

	(void)test;
	assert_int_equal(open_without_leader(0, text, sizeof text), LOCKD_UNREACHABLE);
	assert_null(strstr(text, "disk is full"));
	assert_int_equal(open_without_leader(1, text, sizeof text), LOCKD_UNREACHABLE);
	assert_int_equal(open_without_leader(2, text, sizeof text), LOCKD_DISK_FULL);
	assert_non_null(strstr(text, "its disk is full; 127.0.0.1:"));
	assert_non_null(strstr(text, "no node leads"));
}

/* What the node says later counts, in either direction; and a full disk beside a leader is nobody's business. */
static void test_leader__lacks_space_for_as_long_as_a_node_says_so(void **test) {
	struct fake_manner manner = manner_of(1, 0);
	struct lockd_grant grant;
	struct scene scene;
	char text[256] = "";

	(void)test;
	begin(&scene);
	elect(&scene, 0, 2);
	manner.disk_full = true;
	manner.term = 2;
	fake_set(scene.nodes[0], &manner);
	fake_greet_again(scene.nodes[0], 0);
	while (!strstr(text, "its disk is full; no node leads"))
		lockd_last_error(scene.client, text, sizeof text);
	assert_int_equal(lockd_acquire(scene.session, "b", NULL, LOCKD_TRY, 100, &grant), LOCKD_DISK_FULL);
	manner.disk_full = false;
	fake_set(scene.nodes[0], &manner);
	fake_greet_again(scene.nodes[0], 0);
	while (strstr(text, "its disk is full"))
		lockd_last_error(scene.client, text, sizeof text);
	assert_int_equal(lockd_acquire(scene.session, "b", NULL, LOCKD_TRY, 100, &grant), LOCKD_UNREACHABLE);
	manner.disk_full = true;
	fake_set(scene.nodes[0], &manner);
	fake_greet_again(scene.nodes[0], 0);
	manner = manner_of(2, 2);
	manner.term = 3;
	fake_set(scene.nodes[1], &manner);
	fake_greet_again(scene.nodes[1], 0);
	end_at_second(&scene);
}

/* A follower heard of the next leader before the handle had a connection there. */
static void test_leader__that_was_named_is_used_once_it_is_connected(void **test) {
	struct fake_manner manner = manner_of(1, 1);
	struct scene scene;

	(void)test;
	begin(&scene);
	fake_stop(scene.nodes[1]);
	while (fake_connections(scene.nodes[1]) > 0)
		;
	manner.leader = 2;
	manner.term = 2;
	manner.silent = true;
	fake_set(scene.nodes[0], &manner);
	fake_greet_again(scene.nodes[0], 0);
	manner = manner_of(2, 2);
	manner.term = 2;
	fake_set(scene.nodes[1], &manner);
	fake_start(scene.nodes[1]);
	end_at_second(&scene);
}

static void test_leader__that_is_gone_is_replaced(void **test) {
	struct scene scene;

	(void)test;
	begin(&scene);
	elect(&scene, 2, 2);
	fake_stop(scene.nodes[0]);
	end_at_second(&scene);
}

/* It keeps its connections, but answers nothing: keep-alives are overdue after a second. */
static void test_leader__that_hangs_is_replaced(void **test) {
	struct fake_manner manner = manner_of(1, 1);
	struct scene scene;
	struct lockd_session *impatient;

	(void)test;
	begin(&scene);
	impatient = fake_session(scene.client, 3000);
	elect(&scene, 2, 2);
	manner.silent = true;
	fake_set(scene.nodes[0], &manner);
	end_at_second(&scene);
	(void)impatient;
}

/* The node leads on, but its end of the connection is gone without a word. */
static void test_leader__that_gives_no_sign_of_life_is_dialled_anew(void **test) {
	struct fake_manner manner = manner_of(1, 1);
	struct scene scene;

	(void)test;
	begin(&scene);
	manner.silent = true;
	fake_set(scene.nodes[0], &manner);
	assert_int_equal(lockd_release(scene.session, "b", 1, 700), LOCKD_DEADLINE);
	for (int i = 0; i < 100 && fake_hellos(scene.nodes[0]) == 1; i++)
		(void)usleep(FAKE_PATIENCE_MS * 1000 / 100);
	assert_int_equal(fake_hellos(scene.nodes[0]), 2);
	assert_int_equal(fake_hellos(scene.nodes[1]), 1);
	elect(&scene, 2, 2);
	end_at_second(&scene);
}

/* The silence of an observation says nothing, so the leader is asked now and then. */
static void test_leader__that_is_only_observed_is_dialled_anew(void **test) {
	struct fake_manner manner = fake_leader;
	struct fake *fake = fake_new(&manner);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_observation *observation;
	struct fake_request observe;

	(void)test;
	assert_int_equal(lockd_observe(client, "a", 7, nothing, NULL, &observation), LOCKD_OK);
	observe = fake_take_kind(fake, CLIENT__REQUEST__BODY_OBSERVE);
	manner.silent = true;
	fake_set(fake, &manner);
	for (int i = 0; i < 100 && fake_hellos(fake) == 1; i++)
		(void)usleep(FAKE_PATIENCE_MS * 1000 / 100);
	assert_int_equal(fake_hellos(fake), 2);
	manner.silent = false;
	fake_set(fake, &manner);
	fake_request_free(&observe);
	lockd_observe_stop(observation);
	lockd_close(client);
	fake_free(fake);
}

/* A leader that answers other things is slow, not gone: its connection stays. */
static void test_leader__that_is_slow_keeps_its_connection(void **test) {
	struct scene scene;

	(void)test;
	begin(&scene);
	assert_int_equal(lockd_release(scene.session, "b", 1, 2500), LOCKD_DEADLINE);
	assert_int_equal(fake_hellos(scene.nodes[0]), 1);
	elect(&scene, 2, 2);
	fake_cut(scene.nodes[0]);
	end_at_second(&scene);
}

/* Waits until node n + 1 is asked; what the other one is asked stays without answer. */
static void answer_question(struct scene *scene, unsigned n, const Client__Reply *reply) {
	struct fake_request question;
	bool answered = false;

	while (!answered) {
		if (fake_has(scene->nodes[1 - n], 0)) {
			question = fake_take_kind(scene->nodes[1 - n], CLIENT__REQUEST__BODY_STATUS);
			fake_request_free(&question);
		}
		if (!fake_has(scene->nodes[n], 20))
			continue;
		question = fake_take_kind(scene->nodes[n], CLIENT__REQUEST__BODY_STATUS);
		fake_reply(scene->nodes[n], &question, reply);
		fake_request_free(&question);
		answered = true;
	}
}

/* Node 1 leads in term 5; node 2, cut off from it, believes in itself and term 4. Observations make the client ask. */
static void test_leader__of_a_term_that_is_over_is_not_believed(void **test) {
	struct fake_manner manner = manner_of(1, 1);
	struct lockd_observation *observation;
	struct fake_request observe;
	struct scene scene;
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__NodeStatus status = CLIENT__NODE_STATUS__INIT;

	(void)test;
	begin(&scene);
	manner.takes_status = true;
	fake_set(scene.nodes[0], &manner);
	manner.node = 2;
	fake_set(scene.nodes[1], &manner);
	assert_int_equal(lockd_observe(scene.client, "a", 0, nothing, NULL, &observation), LOCKD_OK);
	observe = fake_take_kind(scene.nodes[0], CLIENT__REQUEST__BODY_OBSERVE);
	reply.node = &status;
	status.leader = 1;
	status.term = 5;
	answer_question(&scene, 0, &reply);
	status.leader = 2;
	status.term = 4;
	answer_question(&scene, 1, &reply);
	assert_false(fake_has(scene.nodes[1], 100));
	fake_reply_status(scene.nodes[0], &scene.request, LOCKD_OK);
	fake_await(&scene.result);
	fake_request_free(&observe);
	fake_request_free(&scene.request);
	lockd_close(scene.client);
	for (unsigned i = 0; i < 2; i++)
		fake_free(scene.nodes[i]);
}

static void test_leader__circles_are_left(void **test) {
	Client__Reply reply = CLIENT__REPLY__INIT;
	struct fake_manner manner;
	struct fake_request again;
	struct scene scene;
	int64_t begun_us;

	(void)test;
	begin(&scene);
	begun_us = lockd__clock_us();
	/* Each node names the other one, and nobody answers as leader. */
	for (unsigned i = 0; i < 20; i++) {
		reply.status = LOCKD_NOT_LEADER;
		reply.leader = i % 2 ? 1 : 2;
		for (uint32_t j = 0; j < 2; j++) {
			manner = manner_of(j + 1, reply.leader);
			manner.drops_keep_alive = true;
			fake_set(scene.nodes[j], &manner);
		}
		fake_reply(scene.nodes[i % 2], &scene.request, &reply);
		again = fake_take_kind(scene.nodes[1 - i % 2], CLIENT__REQUEST__BODY_ACQUIRE);
		fake_request_free(&scene.request);
		scene.request = again;
	}
	/* All but the first hops wait for a question of at least 10 ms. */
	assert_true(lockd__clock_us() - begun_us > 16 * 10000);
	fake_reply_status(scene.nodes[0], &scene.request, LOCKD_OK);
	fake_await(&scene.result);
	fake_request_free(&scene.request);
	lockd_close(scene.client);
	for (unsigned i = 0; i < 2; i++)
		fake_free(scene.nodes[i]);
}

/* The next question to either node, answered: nobody leads. When it came. */
static int64_t deny_leader(struct scene *scene) {
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__NodeStatus status = CLIENT__NODE_STATUS__INIT;
	struct fake_request question;
	uint32_t i = 0;
	int64_t received_us;

	while (!fake_has(scene->nodes[i], 1))
		i = 1 - i;
	question = fake_take_kind(scene->nodes[i], CLIENT__REQUEST__BODY_STATUS);
	received_us = question.received_us;
	status.node = i + 1;
	status.term = 2;
	reply.node = &status;
	fake_reply(scene->nodes[i], &question, &reply);
	fake_request_free(&question);
	return received_us;
}

/* The pause is 10 to 50 ms. An answer that did not wake the library was followed by a question only when an answer
 * would have been overdue, 500 ms later; most of several pauses tell that apart on a busy machine too. */
static void test_leader__is_asked_for_again_soon_after_an_answer(void **test) {
	enum { PAUSES = 7, OVERDUE_US = 400 * 1000 };
	struct scene scene;
	unsigned soon = 0;
	int64_t last_us, next_us;

	(void)test;
	begin(&scene);
	for (uint32_t i = 0; i < 2; i++) {
		struct fake_manner manner = manner_of(i + 1, 0);
		manner.term = 2;
		manner.takes_status = true;
		fake_set(scene.nodes[i], &manner);
	}
	fake_reply_status(scene.nodes[0], &scene.request, LOCKD_NOT_LEADER);
	last_us = deny_leader(&scene);
	for (unsigned i = 0; i < PAUSES; i++) {
		next_us = deny_leader(&scene);
		soon += next_us - last_us < OVERDUE_US;
		last_us = next_us;
	}
	assert_in_range(soon, PAUSES / 2 + 1, PAUSES);
	elect(&scene, 2, 3);
	end_at_second(&scene);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leader__hint_is_followed),
		cmocka_unit_test(test_leader__is_asked_for_without_a_hint),
		cmocka_unit_test(test_leader__is_asked_for_again_soon_after_an_answer),
		cmocka_unit_test(test_leader__that_says_so_is_used_at_once),
		cmocka_unit_test(test_leader__that_says_it_leads_no_more_gets_nothing),
		cmocka_unit_test(test_leader__is_missing_for_full_disks_only_if_they_stand_in_the_way),
		cmocka_unit_test(test_leader__lacks_space_for_as_long_as_a_node_says_so),
		cmocka_unit_test(test_leader__that_was_named_is_used_once_it_is_connected),
		cmocka_unit_test(test_leader__that_is_gone_is_replaced),
		cmocka_unit_test(test_leader__that_hangs_is_replaced),
		cmocka_unit_test(test_leader__that_gives_no_sign_of_life_is_dialled_anew),
		cmocka_unit_test(test_leader__that_is_only_observed_is_dialled_anew),
		cmocka_unit_test(test_leader__that_is_slow_keeps_its_connection),
		cmocka_unit_test(test_leader__of_a_term_that_is_over_is_not_believed),
		cmocka_unit_test(test_leader__circles_are_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
