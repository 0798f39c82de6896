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

/* A call that waits, on a thread of its own. */
struct call {
	struct lockd_client *client;
	const char *name;
	const struct lockd_read *read;
	enum lockd_status status;
	struct lockd_lock_list *locks;
	struct lockd_session_list *sessions;
	struct lockd_node_list *nodes;
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

static void *list_nodes(void *arg) {
	struct call *call = arg;

	call->status = lockd_nodes(call->client, FAKE_PATIENCE_MS, &call->nodes);
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

/* ---- Reads at other levels and nodes ---------------------------------------------------------------------------- */

enum { NODES = 3 };

/* Node 1 leads. */
struct scene {
	struct fake *nodes[NODES];
	struct lockd_client *client;
	struct call call;
	pthread_t thread;
};

static void begin(struct scene *scene) {
	char endpoints[120];

	*scene = (struct scene){0};
	for (uint32_t i = 0; i < NODES; i++) {
		struct fake_manner manner = fake_leader;
		manner.node = i + 1;
		scene->nodes[i] = fake_new(&manner);
	}
	snprintf(endpoints, sizeof endpoints, "%s,%s,%s", fake_address(scene->nodes[0]), fake_address(scene->nodes[1]),
		 fake_address(scene->nodes[2]));
	scene->client = fake_client(endpoints);
	lockd_session_close(fake_session(scene->client, 0), FAKE_PATIENCE_MS);
	for (unsigned i = 0; i < NODES; i++)
		while (fake_hellos(scene->nodes[i]) == 0)
			;
}

static void end(struct scene *scene) {
	lockd_close(scene->client);
	for (unsigned i = 0; i < NODES; i++)
		fake_free(scene->nodes[i]);
}

static void begin_list(struct scene *scene, const struct lockd_read *read) {
	scene->call = (struct call){.client = scene->client, .read = read};
	pthread_create(&scene->thread, NULL, list, &scene->call);
}

static void end_list(struct scene *scene, enum lockd_status status) {
	pthread_join(scene->thread, NULL);
	assert_int_equal(scene->call.status, status);
	lockd_lock_list_free(scene->call.locks);
}

/* Which node got the read that is under way. */
static unsigned asked_node(struct scene *scene) {
	int64_t deadline_us = lockd__clock_us() + FAKE_PATIENCE_MS * 1000;

	while (lockd__clock_us() < deadline_us)
		for (unsigned i = 0; i < NODES; i++)
			if (fake_has(scene->nodes[i], 1))
				return i + 1;
	fail_msg("nobody was asked");
	return 0;
}

static void answer_list(struct fake *fake, Client__ReadLevel level, uint32_t node, uint64_t revision, uint32_t age_ms) {
	struct fake_request request = fake_take_kind(fake, CLIENT__REQUEST__BODY_LIST);
	Client__Reply reply = CLIENT__REPLY__INIT;

	assert_int_equal(request.message->read_level, level);
	reply.read_level = level;
	reply.node_id = node;
	reply.revision = revision;
	reply.age_ms = age_ms;
	fake_reply(fake, &request, &reply);
	fake_request_free(&request);
}

static void test_look__weak_reads_go_to_followers_in_turn(void **test) {
	const struct lockd_read stale = {.level = LOCKD_READ_STALE};
	bool asked[NODES + 1] = {false};
	struct scene scene;

	(void)test;
	begin(&scene);
	for (unsigned i = 0; i < 4; i++) {
		unsigned node;
		begin_list(&scene, &stale);
		node = asked_node(&scene);
		asked[node] = true;
		answer_list(scene.nodes[node - 1], CLIENT__READ_LEVEL__STALE, node, 70 + i, i ? 1500 : UINT32_MAX);
		pthread_join(scene.thread, NULL);
		assert_int_equal(scene.call.status, LOCKD_OK);
		assert_int_equal(scene.call.locks->answer.level, LOCKD_READ_STALE);
		assert_int_equal(scene.call.locks->answer.node, node);
		assert_int_equal(scene.call.locks->answer.revision, 70 + i);
		assert_int_equal(scene.call.locks->answer.age_ms, i ? 1500 : -1);
		lockd_lock_list_free(scene.call.locks);
	}
	assert_false(asked[1]);
	assert_true(asked[2]);
	assert_true(asked[3]);
	end(&scene);
}

static void test_look__weak_reads_go_to_the_leader_if_nobody_else_is_there(void **test) {
	const struct lockd_read stale = {.level = LOCKD_READ_STALE};
	struct scene scene;

	(void)test;
	begin(&scene);
	fake_stop(scene.nodes[1]);
	fake_stop(scene.nodes[2]);
	begin_list(&scene, &stale);
	answer_list(scene.nodes[0], CLIENT__READ_LEVEL__STALE, 1, 70, 0);
	end_list(&scene, LOCKD_OK);
	end(&scene);
}

static void test_look__session_reads_ask_for_all_that_was_seen(void **test) {
	const struct lockd_read session = {.level = LOCKD_READ_SESSION}, low = {LOCKD_READ_SESSION, 87, 0},
				high = {LOCKD_READ_SESSION, 89, 0};
	const struct lockd_read *const reads[] = {&session, &low, &high};
	const uint64_t at_least[] = {88, 88, 89};
	struct fake_request request;
	struct scene scene;
	unsigned node;

	(void)test;
	begin(&scene);
	begin_list(&scene, NULL);
	answer_list(scene.nodes[0], CLIENT__READ_LEVEL__LINEARIZABLE, 1, 88, 0);
	end_list(&scene, LOCKD_OK);
	for (unsigned i = 0; i < 3; i++) {
		begin_list(&scene, reads[i]);
		node = asked_node(&scene);
		request = fake_take_kind(scene.nodes[node - 1], CLIENT__REQUEST__BODY_LIST);
		assert_int_equal(request.message->at_least, at_least[i]);
		fake_reply_status(scene.nodes[node - 1], &request, LOCKD_OK);
		fake_request_free(&request);
		end_list(&scene, LOCKD_OK);
	}
	end(&scene);
}

static void test_look__a_node_that_keeps_a_weak_read_waiting_is_passed_over(void **test) {
	const struct lockd_read stale = {.level = LOCKD_READ_STALE};
	struct fake_request late;
	struct scene scene;
	unsigned first;

	(void)test;
	begin(&scene);
	begin_list(&scene, &stale);
	first = asked_node(&scene);
	late = fake_take_kind(scene.nodes[first - 1], CLIENT__REQUEST__BODY_LIST);
	answer_list(scene.nodes[first == 2 ? 2 : 1], CLIENT__READ_LEVEL__STALE, 5 - first, 70, 0);
	pthread_join(scene.thread, NULL);
	assert_int_equal(scene.call.locks->answer.node, 5 - first);
	lockd_lock_list_free(scene.call.locks);
	fake_request_free(&late);
	end(&scene);
}

/* Over a slow line everybody seems to hang: an answer that takes longer than the first one had time must get through.
 */
static void test_look__the_next_node_has_longer_to_answer_a_weak_read(void **test) {
	const struct lockd_read stale = {.level = LOCKD_READ_STALE};
	struct fake_request late;
	struct scene scene;
	unsigned first;

	(void)test;
	begin(&scene);
	begin_list(&scene, &stale);
	first = asked_node(&scene);
	late = fake_take_kind(scene.nodes[first - 1], CLIENT__REQUEST__BODY_LIST);
	fake_request_free(&late);
	assert_true(fake_has(scene.nodes[4 - first], FAKE_PATIENCE_MS));
	assert_false(fake_has(scene.nodes[first - 1], 1500));
	answer_list(scene.nodes[4 - first], CLIENT__READ_LEVEL__STALE, 5 - first, 70, 0);
	end_list(&scene, LOCKD_OK);
	end(&scene);
}

static void test_look__pages_of_a_weak_list_come_from_one_node(void **test) {
	const struct lockd_read stale = {.level = LOCKD_READ_STALE};
	struct fake_request request;
	struct scene scene;
	unsigned node = 0;

	(void)test;
	begin(&scene);
	begin_list(&scene, &stale);
	for (unsigned i = 0; i < 4; i++) {
		Client__Reply reply = CLIENT__REPLY__INIT;
		Client__Lock lock = CLIENT__LOCK__INIT, *locks[] = {&lock};

		if (i == 0)
			node = asked_node(&scene);
		request = fake_take_kind(scene.nodes[node - 1], CLIENT__REQUEST__BODY_LIST);
		lock.name = bytes("a");
		reply.locks = locks;
		reply.n_locks = 1;
		reply.more = i < 3;
		reply.node_id = node;
		reply.read_level = CLIENT__READ_LEVEL__STALE;
		reply.revision = 70 + i;
		reply.age_ms = i == 1 ? 900 : 100;
		fake_reply(scene.nodes[node - 1], &request, &reply);
		fake_request_free(&request);
	}
	pthread_join(scene.thread, NULL);
	assert_int_equal(scene.call.locks->n, 4);
	assert_int_equal(scene.call.locks->answer.revision, 73);
	assert_int_equal(scene.call.locks->answer.age_ms, 900);
	lockd_lock_list_free(scene.call.locks);
	end(&scene);
}

static void test_look__a_read_of_one_node_goes_nowhere_else(void **test) {
	const struct lockd_read at_third = {.node = 3};
	struct fake_request request;
	struct scene scene;
	char text[512];

	(void)test;
	begin(&scene);
	begin_list(&scene, &at_third);
	/* A follower without a leader cannot know what is new: it is asked again. */
	for (unsigned i = 0; i < 2; i++) {
		request = fake_take_kind(scene.nodes[2], CLIENT__REQUEST__BODY_LIST);
		fake_reply_status(scene.nodes[2], &request, i ? LOCKD_LEADER_CHANGED : LOCKD_NOT_LEADER);
		fake_request_free(&request);
	}
	answer_list(scene.nodes[2], CLIENT__READ_LEVEL__LINEARIZABLE, 3, 70, 0);
	end_list(&scene, LOCKD_OK);

	begin_list(&scene, &at_third);
	request = fake_take_kind(scene.nodes[2], CLIENT__REQUEST__BODY_LIST);
	fake_stop(scene.nodes[2]);
	fake_request_free(&request);
	end_list(&scene, LOCKD_UNREACHABLE);
	assert_false(fake_has(scene.nodes[0], 0));
	assert_false(fake_has(scene.nodes[1], 0));

	begin_list(&scene, &(struct lockd_read){.node = 9});
	end_list(&scene, LOCKD_UNREACHABLE);
	lockd_last_error(scene.client, text, sizeof text);
	assert_ptr_equal(strstr(text, "node 9 is not known here"), text);
	end(&scene);
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------ */

static void test_look__nodes_says_all_that_a_node_knows(void **test) {
	struct fake_manner manner = fake_leader;
	Client__Peer peer = CLIENT__PEER__INIT, *peers[] = {&peer};
	Client__Candidate candidate = CLIENT__CANDIDATE__INIT, *candidates[] = {&candidate};
	Client__NodeStatus status = CLIENT__NODE_STATUS__INIT;
	Client__Reply reply = CLIENT__REPLY__INIT;
	uint8_t uuid[] = {0xab, 0x01};
	struct fake_request request;
	const struct lockd_node_info *node;
	struct fake *fake;
	pthread_t thread;
	struct call call;

	(void)test;
	manner.takes_status = true;
	fake = fake_new(&manner);
	call = (struct call){.client = fake_client(fake_address(fake))};
	pthread_create(&thread, NULL, list_nodes, &call);
	request = fake_take_kind(fake, CLIENT__REQUEST__BODY_STATUS);
	peer.node = 3;
	peer.store = candidate.store = (ProtobufCBinaryData){.len = sizeof uuid, .data = uuid};
	peer.roles = LOCKD_ROLE_VOTER | LOCKD_ROLE_OUTGOING;
	peer.priority = 200;
	peer.rtt_us = 850;
	peer.caught_up = peer.unfit = peer.snapshot = true;
	peer.contact_ms = UINT32_MAX;
	candidate.node = 4;
	candidate.peer_address = bytes("d:1");
	candidate.age_ms = 30;
	status.node = status.leader = 1;
	status.configuration_index = 1 << 20;
	status.joint = status.fit = true;
	status.transfer_to = 3;
	status.lease_ms = 140;
	status.promise_ms = 200;
	status.drift_ppm = 100000;
	status.heartbeat_ms = 50;
	status.election_ms_min = 400;
	status.election_ms_max = 800;
	status.ttl_ms_min = 3000;
	status.machine_version = 1;
	status.machine_version_max = 2;
	status.disk_full = status.restoring = true;
	status.repairs = 5;
	status.damage = bytes("raft.db is damaged");
	status.peers = peers;
	status.candidates = candidates;
	status.n_peers = status.n_candidates = 1;
	reply.node = &status;
	fake_reply(fake, &request, &reply);
	fake_request_free(&request);
	pthread_join(thread, NULL);
	assert_int_equal(call.status, LOCKD_OK);
	assert_int_equal(call.nodes->n, 1);
	node = call.nodes->nodes;
	assert_int_equal(node->configuration_index, 1 << 20);
	assert_true(node->joint);
	assert_true(node->fit);
	assert_int_equal(node->transfer_to, 3);
	assert_int_equal(node->lease_ms, 140);
	assert_int_equal(node->promise_ms, 200);
	assert_int_equal(node->drift_ppm, 100000);
	assert_int_equal(node->heartbeat_ms, 50);
	assert_int_equal(node->election_ms_min, 400);
	assert_int_equal(node->election_ms_max, 800);
	assert_int_equal(node->ttl_ms_min, 3000);
	assert_int_equal(node->machine_version, 1);
	assert_int_equal(node->machine_version_max, 2);
	assert_true(node->disk_full && node->restoring);
	assert_int_equal(node->repairs, 5);
	assert_string_equal(node->damage, "raft.db is damaged");
	assert_int_equal(node->n_peers, 1);
	assert_string_equal(node->peers[0].store, "ab01");
	assert_int_equal(node->peers[0].roles, LOCKD_ROLE_VOTER | LOCKD_ROLE_OUTGOING);
	assert_int_equal(node->peers[0].priority, 200);
	assert_int_equal(node->peers[0].rtt_us, 850);
	assert_int_equal(node->peers[0].contact_ms, -1);
	assert_true(node->peers[0].caught_up && node->peers[0].unfit && node->peers[0].snapshot);
	assert_int_equal(node->n_candidates, 1);
	assert_int_equal(node->candidates[0].node, 4);
	assert_string_equal(node->candidates[0].store, "ab01");
	assert_string_equal(node->candidates[0].peer_address, "d:1");
	assert_int_equal(node->candidates[0].age_ms, 30);
	lockd_node_list_free(call.nodes);
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

/* One node answers; of the two that hang one does not even greet. The time-out is far longer than the test may take. */
static void test_look__nodes_gives_a_node_that_hangs_little_time(void **test) {
	struct fake_manner hung = fake_leader, deaf = fake_leader;
	struct fake *fakes[3];
	struct lockd_node_list *nodes;
	struct lockd_client *client;
	char endpoints[80];
	int64_t begin_us;

	(void)test;
	hung.node = 2;
	hung.silent = true;
	deaf.mute = true;
	fakes[0] = fake_new(&hung);
	fakes[1] = fake_new(&fake_leader);
	fakes[2] = fake_new(&deaf);
	snprintf(endpoints, sizeof endpoints, "%s,%s,%s", fake_address(fakes[0]), fake_address(fakes[1]),
		 fake_address(fakes[2]));
	client = fake_client(endpoints);
	begin_us = lockd__clock_us();
	assert_int_equal(lockd_nodes(client, 60 * 1000, &nodes), LOCKD_OK);
	assert_in_range(lockd__clock_us() - begin_us, 900 * 1000, FAKE_PATIENCE_MS * 1000);
	assert_int_equal(nodes->n, 3);
	assert_int_equal(nodes->nodes[0].status, LOCKD_UNREACHABLE);
	assert_int_equal(nodes->nodes[0].node, 2);
	assert_string_equal(nodes->nodes[0].reason, "no answer in time");
	assert_int_equal(nodes->nodes[1].status, LOCKD_OK);
	assert_int_equal(nodes->nodes[2].status, LOCKD_UNREACHABLE);
	assert_string_equal(nodes->nodes[2].reason, "no answer in time");
	lockd_node_list_free(nodes);
	lockd_close(client);
	for (unsigned i = 0; i < 3; i++)
		fake_free(fakes[i]);
}

static void test_look__nodes_waits_for_a_node_while_the_others_answer(void **test) {
	struct fake_manner slow = fake_leader, quick = fake_leader;
	struct fake_request request;
	struct fake *fakes[2];
	char endpoints[80];
	pthread_t thread;
	struct call call;

	(void)test;
	slow.takes_status = quick.takes_status = true;
	slow.node = 2;
	fakes[0] = fake_new(&slow);
	fakes[1] = fake_new(&quick);
	snprintf(endpoints, sizeof endpoints, "%s,%s", fake_address(fakes[0]), fake_address(fakes[1]));
	call = (struct call){.client = fake_client(endpoints)};
	pthread_create(&thread, NULL, list_nodes, &call);
	for (unsigned i = 2; i-- > 0;) {
		Client__NodeStatus status = CLIENT__NODE_STATUS__INIT;
		Client__Reply reply = CLIENT__REPLY__INIT;

		request = fake_take_kind(fakes[i], CLIENT__REQUEST__BODY_STATUS);
		status.node = i ? 1 : 2;
		reply.node = &status;
		fake_reply(fakes[i], &request, &reply);
		fake_request_free(&request);
	}
	pthread_join(thread, NULL);
	assert_int_equal(call.status, LOCKD_OK);
	assert_int_equal(call.nodes->n, 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(call.nodes->nodes[i].status, LOCKD_OK);
	lockd_node_list_free(call.nodes);
	lockd_close(call.client);
	for (unsigned i = 0; i < 2; i++)
		fake_free(fakes[i]);
}

/* Neither is a silence beside nodes that cannot be reached cut short, nor is it waited out beyond the time-out. */
static void test_look__nodes_without_any_answer_takes_the_whole_time(void **test) {
	struct fake_manner hung = fake_leader;
	struct lockd_node_list *nodes;
	struct lockd_client *client;
	char endpoints[80];
	struct fake *fake;
	int64_t begin_us;

	(void)test;
	hung.silent = true;
	fake = fake_new(&hung);
	snprintf(endpoints, sizeof endpoints, "%s,127.0.0.1:1", fake_address(fake));
	client = fake_client(endpoints);
	begin_us = lockd__clock_us();
	assert_int_equal(lockd_nodes(client, 1500, &nodes), LOCKD_UNREACHABLE);
	assert_in_range(lockd__clock_us() - begin_us, 1500 * 1000, FAKE_PATIENCE_MS * 1000);
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
		cmocka_unit_test(test_look__weak_reads_go_to_followers_in_turn),
		cmocka_unit_test(test_look__weak_reads_go_to_the_leader_if_nobody_else_is_there),
		cmocka_unit_test(test_look__session_reads_ask_for_all_that_was_seen),
		cmocka_unit_test(test_look__a_node_that_keeps_a_weak_read_waiting_is_passed_over),
		cmocka_unit_test(test_look__the_next_node_has_longer_to_answer_a_weak_read),
		cmocka_unit_test(test_look__pages_of_a_weak_list_come_from_one_node),
		cmocka_unit_test(test_look__a_read_of_one_node_goes_nowhere_else),
		cmocka_unit_test(test_look__nodes_says_all_that_a_node_knows),
		cmocka_unit_test(test_look__nodes_lists_the_unreachable),
		cmocka_unit_test(test_look__nodes_gives_a_node_that_hangs_little_time),
		cmocka_unit_test(test_look__nodes_waits_for_a_node_while_the_others_answer),
		cmocka_unit_test(test_look__nodes_without_any_answer_takes_the_whole_time),
		cmocka_unit_test(test_look__nodes_lists_a_node_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
