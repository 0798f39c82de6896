/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include "client.h"
#include "clock.h"

#include "api/frame.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const char *parsed(const char *text) {
	static char address[LOCKD__ADDRESS_BYTES_MAX];

	return lockd__endpoint_parse(text, strlen(text), address) == 0 ? address : NULL;
}

static void test_endpoint__refuses_what_is_no_address(void **test) {
	static const char *const malformed[] = {
		"",        ":",          ":7600",      "host:",     "host:0", "host:65536", "host:76000",
		"host:-1", "host:7600x", "host:76 00", "ho st",     " host",  "host/path",  "tcp://host:7600",
		"::1",     "[::1",       "[]:7600",    "[::1]7600", "[::1]:", "[host]:1",   "a:1:2",
		"h\x01st",
	};
	char long_host[LIMIT_HOST_BYTES_MAX + 2];

	(void)test;
	for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
		if (parsed(malformed[i]))
			fail_msg("\"%s\" was taken as %s", malformed[i], parsed(malformed[i]));
	memset(long_host, 'a', sizeof long_host);
	long_host[sizeof long_host - 1] = '\0';
	assert_null(parsed(long_host));
}

static void test_endpoint__adds_the_default_port(void **test) {
	(void)test;
	assert_string_equal(parsed("10.0.0.1"), "10.0.0.1:7600");
	assert_string_equal(parsed("node-1.example.org:1"), "node-1.example.org:1");
	assert_null(parsed("node_1:065535"));
}

static void test_endpoint__takes_v6_in_brackets(void **test) {
	(void)test;
	assert_string_equal(parsed("[::1]:9"), "[::1]:9");
	assert_string_equal(parsed("[fe80::1%eth0]"), "[fe80::1%eth0]:7600");
}

static void test_endpoint__refuses_malformed_lists(void **test) {
	static const char *const malformed[] = {"", ",", "a,", ",a", "a,,b", "a;b", "a:1,b:x"};
	struct lockd_client *client = NULL;
	char many[LOCKD__ENDPOINTS_GIVEN_MAX * 8 + 16] = "h0";

	(void)test;
	for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
		assert_int_equal(lockd_open(&(struct lockd_options){.endpoints = malformed[i]}, &client), LOCKD_MISUSE);
	for (int i = 1; i <= LOCKD__ENDPOINTS_GIVEN_MAX; i++)
		snprintf(many + strlen(many), sizeof many - strlen(many), ",h%d", i);
	assert_int_equal(lockd_open(&(struct lockd_options){.endpoints = many}, &client), LOCKD_MISUSE);
	assert_null(client);
}

static void test_endpoint__counts_an_address_once(void **test) {
	struct lockd__endpoint endpoints[LOCKD__ENDPOINTS_MAX] = {0};

	(void)test;
	assert_int_equal(lockd__endpoint_parse_list("a,b:7600,a:7600,b", endpoints), 0);
	assert_string_equal(endpoints[0].address, "a:7600");
	assert_string_equal(endpoints[1].address, "b:7600");
	assert_false(endpoints[2].used);
}

/* Tries to open a session with a node of that manner; returns what the handle says about it. */
static const char *refusal(const struct fake_manner *manner) {
	static char text[512];
	struct fake *fake = fake_new(manner);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_session *session;

	assert_int_equal(lockd_session_open(client, NULL, 300, &session), LOCKD_UNREACHABLE);
	lockd_last_error(client, text, sizeof text);
	assert_int_equal(fake_opens(fake), 0);
	lockd_close(client);
	fake_free(fake);
	return text;
}

static void test_endpoint__refuses_another_protocol(void **test) {
	struct fake_manner manner = fake_leader;

	(void)test;
	manner.hello_status = LOCKD_PROTOCOL;
	assert_non_null(strstr(refusal(&manner), "refused: no common protocol version"));
	manner.hello_status = LOCKD_OK;
	manner.protocol = 9;
	assert_non_null(strstr(refusal(&manner), "no common protocol version: the node chose version 9"));
}

static void test_endpoint__refuses_a_node_that_says_wrong_cluster(void **test) {
	struct fake_manner manner = fake_leader;

	(void)test;
	manner.hello_status = LOCKD_WRONG_CLUSTER;
	assert_non_null(strstr(refusal(&manner), "refused: the node belongs to another cluster"));
	manner.hello_status = LOCKD_OK;
	manner.node = 0;
	assert_non_null(strstr(refusal(&manner), "malformed"));
}

static void test_endpoint__refuses_a_second_cluster(void **test) {
	struct fake *ours = fake_new(&fake_leader), *foreign;
	struct fake_manner manner = fake_leader;
	char endpoints[80], text[512] = "";
	struct lockd_client *client;
	struct lockd_node_list *list;

	(void)test;
	manner.node = 2;
	manner.cluster = 8;
	manner.mute = true;
	foreign = fake_new(&manner);
	snprintf(endpoints, sizeof endpoints, "%s,%s", fake_address(ours), fake_address(foreign));
	client = fake_client(endpoints);
	lockd_session_close(fake_session(client, 0), FAKE_PATIENCE_MS);
	/* Ours was met first; the other one greets behind it. */
	manner.mute = false;
	fake_set(foreign, &manner);
	fake_cut(foreign);
	while (!strstr(text, "belongs to another cluster")) {
		if (lockd_nodes(client, FAKE_PATIENCE_MS, &list) == LOCKD_OK)
			lockd_node_list_free(list);
		lockd_last_error(client, text, sizeof text);
	}
	lockd_close(client);
	fake_free(ours);
	fake_free(foreign);
}

static void test_endpoint__says_which_address_refuses_connections(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client;
	struct lockd_session *session;
	char text[512];

	(void)test;
	fake_stop(fake);
	client = fake_client(fake_address(fake));
	assert_int_equal(lockd_session_open(client, NULL, 100, &session), LOCKD_UNREACHABLE);
	lockd_last_error(client, text, sizeof text);
	assert_ptr_equal(strstr(text, fake_address(fake)), text);
	assert_non_null(strstr(text, "cannot connect: Connection refused"));
	/* Cut to the room there is. */
	lockd_last_error(client, text, 10);
	assert_int_equal(strlen(text), 9);
	lockd_close(client);
	fake_free(fake);
}

static void test_endpoint__is_dialled_until_it_answers(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client;
	struct lockd_session *session;

	(void)test;
	fake_stop(fake);
	client = fake_client(fake_address(fake));
	assert_int_equal(lockd_session_open(client, NULL, 50, &session), LOCKD_UNREACHABLE);
	fake_start(fake);
	session = fake_session(client, 0);
	assert_int_equal(lockd_session_close(session, FAKE_PATIENCE_MS), LOCKD_OK);
	lockd_close(client);
	fake_free(fake);
}

static void test_endpoint__drops_a_node_that_speaks_nonsense(void **test) {
	struct fake *fake = fake_new(&fake_leader);
	struct lockd_client *client = fake_client(fake_address(fake));
	struct lockd_session *session = fake_session(client, 0);
	static const unsigned char too_long[] = {255, 255, 255, 127, 4, 0, 0, 0, 0, 0, 0, 0, 0};
	static const unsigned char no_reply[] = {10, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 255};

	(void)test;
	for (unsigned i = 0; i < 2; i++) {
		unsigned hellos = fake_hellos(fake);
		int64_t deadline_us = lockd__clock_us() + FAKE_PATIENCE_MS * 1000;
		fake_write(fake, i ? no_reply : too_long, i ? sizeof no_reply : sizeof too_long);
		while (fake_hellos(fake) == hellos)
			assert_true(lockd__clock_us() < deadline_us);
	}
	assert_int_equal(lockd_session_get_state(session), LOCKD_SAFE);
	lockd_close(client);
	fake_free(fake);
}

static void test_endpoint__learns_the_other_nodes(void **test) {
	struct fake_manner manner = fake_leader;
	struct fake *second, *first;
	struct lockd_client *client;

	(void)test;
	manner.node = manner.leader = 2;
	second = fake_new(&manner);
	manner.node = 1;
	manner.nodes[0] = 1;
	manner.addresses[0] = "127.0.0.1:1"; /* the one we are connected with: not dialled a second time */
	manner.nodes[1] = 2;
	manner.addresses[1] = fake_address(second);
	first = fake_new(&manner);
	client = fake_client(fake_address(first));
	lockd_session_close(fake_session(client, 0), FAKE_PATIENCE_MS);
	assert_int_equal(fake_opens(first), 0);
	assert_int_equal(fake_opens(second), 1);
	lockd_close(client);
	fake_free(first);
	fake_free(second);
}

/* ---- News ------------------------------------------------------------------------------------------------------- */

static void await(unsigned (*count)(struct fake *), struct fake *fake, unsigned want) {
	int64_t deadline_us = lockd__clock_us() + FAKE_PATIENCE_MS * 1000;

	while (count(fake) != want)
		if (lockd__clock_us() > deadline_us)
			fail_msg("%s: %u instead of %u", fake_address(fake), count(fake), want);
}

/* Two nodes that know each other; the handle is given the first one, which leads. */
struct pair {
	struct fake *first, *second;
	struct fake_manner manner; /* of the first */
	struct lockd_client *client;
	struct lockd_session *session;
};

static void begin(struct pair *pair, bool both_given) {
	struct fake_manner second = fake_leader;
	char endpoints[80];

	second.node = 2;
	pair->second = fake_new(&second);
	pair->manner = fake_leader;
	pair->first = fake_new(&pair->manner);
	snprintf(endpoints, sizeof endpoints, "%s,%s", fake_address(pair->first), fake_address(pair->second));
	pair->client = fake_client(both_given ? endpoints : fake_address(pair->first));
	pair->session = fake_session(pair->client, 0);
	if (both_given)
		await(fake_hellos, pair->second, 1);
	assert_int_equal(fake_hellos(pair->second), both_given);
}

static void end(struct pair *pair) {
	lockd_close(pair->client);
	fake_free(pair->first);
	fake_free(pair->second);
}

/* The first node names itself and, maybe, the second one. */
static void name_members(struct pair *pair, bool second) {
	pair->manner.nodes[0] = 1;
	pair->manner.addresses[0] = fake_address(pair->first);
	pair->manner.nodes[1] = second ? 2 : 0;
	pair->manner.addresses[1] = second ? fake_address(pair->second) : NULL;
	fake_set(pair->first, &pair->manner);
	fake_greet_again(pair->first, 0);
}

static void test_endpoint__malformed_news_close_the_connection(void **test) {
	for (unsigned i = 0; i < 4; i++) {
		struct fake_manner bad, good;
		struct pair pair;

		(void)test;
		begin(&pair, false);
		bad = good = pair.manner;
		if (i == 0)
			bad.node = bad.leader = 7;
		else if (i == 1)
			bad.cluster = 8;
		else if (i == 2)
			bad.hello_status = LOCKD_WRONG_CLUSTER;
		fake_set(pair.first, &bad);
		fake_greet_again(pair.first, i == 3 ? 1 : 0);
		fake_set(pair.first, &good);
		await(fake_hellos, pair.first, 2);
		assert_int_equal(lockd_session_get_state(pair.session), LOCKD_SAFE);
		end(&pair);
	}
}

static void test_endpoint__news_of_a_node_bring_a_connection(void **test) {
	struct pair pair;

	(void)test;
	begin(&pair, false);
	name_members(&pair, true);
	await(fake_hellos, pair.second, 1);
	/* The same news again change nothing. */
	name_members(&pair, true);
	lockd_session_close(pair.session, FAKE_PATIENCE_MS);
	assert_int_equal(fake_hellos(pair.first), 1);
	assert_int_equal(fake_hellos(pair.second), 1);
	end(&pair);
}

static void test_endpoint__a_node_that_left_is_let_go_when_nothing_is_outstanding(void **test) {
	const struct lockd_read at_second = {.node = 2};
	struct fake_request request;
	struct lockd_lock_list *list;
	struct pair pair;

	(void)test;
	for (unsigned given = 0; given < 2; given++) {
		begin(&pair, given);
		name_members(&pair, true);
		await(fake_hellos, pair.second, 1);
		name_members(&pair, false);
		await(fake_connections, pair.second, 0);
		/* It is not dialled again, nor asked: one that was given is, if somebody wants just that one. */
		if (given) {
			assert_int_equal(lockd_list(pair.client, NULL, &at_second, 50, &list), LOCKD_DEADLINE);
			request = fake_take_kind(pair.second, CLIENT__REQUEST__BODY_LIST);
			fake_request_free(&request);
			await(fake_connections, pair.second, 0);
		} else {
			assert_int_equal(lockd_list(pair.client, NULL, &at_second, 50, &list), LOCKD_UNREACHABLE);
		}
		assert_int_equal(fake_hellos(pair.second), 1 + given);
		end(&pair);
	}
}

static void *list_at_second(void *arg) {
	struct lockd_lock_list *list;

	if (lockd_list(arg, NULL, &(struct lockd_read){.node = 2}, FAKE_PATIENCE_MS, &list) != LOCKD_OK)
		return NULL;
	lockd_lock_list_free(list);
	return arg;
}

static void test_endpoint__a_node_that_left_answers_what_it_was_asked(void **test) {
	struct fake_request request;
	struct pair pair;
	pthread_t thread;
	void *result;

	(void)test;
	begin(&pair, false);
	name_members(&pair, true);
	await(fake_connections, pair.second, 1);
	pthread_create(&thread, NULL, list_at_second, pair.client);
	request = fake_take_kind(pair.second, CLIENT__REQUEST__BODY_LIST);
	name_members(&pair, false);
	/* Longer than it takes to look whether something is outstanding. */
	assert_false(fake_has(pair.second, 250));
	assert_int_equal(fake_connections(pair.second), 1);
	fake_reply_status(pair.second, &request, LOCKD_OK);
	fake_request_free(&request);
	pthread_join(thread, &result);
	assert_non_null(result);
	await(fake_connections, pair.second, 0);
	end(&pair);
}

/* Says, by the first node, where the second one is, at a moment when it is asked for and not being dialled. */
static void move_while_asked_for(struct pair *pair) {
	Client__Node node = CLIENT__NODE__INIT, *nodes[] = {&node};
	Client__HelloReply news = CLIENT__HELLO_REPLY__INIT;
	struct lockd_client *client = pair->client;
	struct lockd__endpoint *endpoint;
	struct lockd__request *request;

	node.node = 2;
	node.client_address = (ProtobufCBinaryData){.len = strlen(fake_address(pair->second)),
						    .data = (uint8_t *)fake_address(pair->second)};
	news.node = news.leader = 1;
	news.protocol = PROTOCOL_VERSION_MAX;
	news.nodes = nodes;
	news.n_nodes = 1;
	pthread_mutex_lock(&client->mutex);
	while (!(endpoint = lockd__endpoint_of_node(client, 2)) || endpoint->connection) {
		pthread_mutex_unlock(&client->mutex);
		sched_yield();
		pthread_mutex_lock(&client->mutex);
	}
	request = lockd__request_new(client, NULL, LOCKD__STATUS, NULL, NULL);
	request->endpoint = endpoint;
	lockd__request_submit(client, request);
	lockd__endpoint_news(client, lockd__endpoint_of_node(client, 1), &news);
	assert_ptr_equal(lockd__endpoint_of_node(client, 2), endpoint);
	assert_string_equal(endpoint->address, fake_address(pair->second));
	assert_int_equal(endpoint->pinned, 1);
	pthread_mutex_unlock(&client->mutex);
}

static void test_endpoint__who_asks_a_node_that_moves_asks_it_where_it_is(void **test) {
	struct fake_manner second = fake_leader;
	struct fake_request request;
	struct pair pair;

	(void)test;
	begin(&pair, false);
	second.node = 2;
	second.takes_status = true;
	fake_set(pair.second, &second);
	pair.manner.nodes[0] = 1;
	pair.manner.addresses[0] = fake_address(pair.first);
	pair.manner.nodes[1] = 2;
	pair.manner.addresses[1] = "127.0.0.1:1"; /* nobody there */
	fake_set(pair.first, &pair.manner);
	fake_greet_again(pair.first, 0);
	move_while_asked_for(&pair);
	request = fake_take_kind(pair.second, CLIENT__REQUEST__BODY_STATUS);
	fake_reply_status(pair.second, &request, LOCKD_OK);
	fake_request_free(&request);
	/* Nobody asks for it any more: it can be let go. */
	name_members(&pair, false);
	await(fake_connections, pair.second, 0);
	end(&pair);
}

static void test_endpoint__a_configured_node_that_left_is_the_last_resort(void **test) {
	struct fake_manner second = fake_leader;
	struct pair pair;

	(void)test;
	begin(&pair, true);
	name_members(&pair, false);
	await(fake_connections, pair.second, 0);
	/* It has become the leader of what is left, or of something that the handle has not heard of. */
	second.node = second.leader = 2;
	fake_set(pair.second, &second);
	fake_stop(pair.first);
	await(fake_connections, pair.second, 1);
	(void)fake_session(pair.client, 0);
	assert_true(fake_opens(pair.second) > 0);
	end(&pair);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoint__refuses_what_is_no_address),
		cmocka_unit_test(test_endpoint__adds_the_default_port),
		cmocka_unit_test(test_endpoint__takes_v6_in_brackets),
		cmocka_unit_test(test_endpoint__refuses_malformed_lists),
		cmocka_unit_test(test_endpoint__counts_an_address_once),
		cmocka_unit_test(test_endpoint__refuses_another_protocol),
		cmocka_unit_test(test_endpoint__refuses_a_node_that_says_wrong_cluster),
		cmocka_unit_test(test_endpoint__refuses_a_second_cluster),
		cmocka_unit_test(test_endpoint__says_which_address_refuses_connections),
		cmocka_unit_test(test_endpoint__is_dialled_until_it_answers),
		cmocka_unit_test(test_endpoint__drops_a_node_that_speaks_nonsense),
		cmocka_unit_test(test_endpoint__learns_the_other_nodes),
		cmocka_unit_test(test_endpoint__malformed_news_close_the_connection),
		cmocka_unit_test(test_endpoint__news_of_a_node_bring_a_connection),
		cmocka_unit_test(test_endpoint__a_node_that_left_is_let_go_when_nothing_is_outstanding),
		cmocka_unit_test(test_endpoint__a_node_that_left_answers_what_it_was_asked),
		cmocka_unit_test(test_endpoint__who_asks_a_node_that_moves_asks_it_where_it_is),
		cmocka_unit_test(test_endpoint__a_configured_node_that_left_is_the_last_resort),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
