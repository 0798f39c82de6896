/* SPDX-License-Identifier: Apache-2.0 */
/* Who founds the cluster, and when. */
#include "lockd/io/founding.h"

#include "api/command.pb-c.h"
#include "lockd/io/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void urgent_clear(struct urgent *urgent) {
	assert_int_equal(urgent->n, 0);
}
bool node_get_member(const struct node *node, size_t position, struct node_member *ret) {
	(void)node;
	(void)position;
	(void)ret;
	return false;
}

static struct founding founding;
static struct events events;
static struct peer *all[2];
static struct peers peers;

/* Node 1 of three, blank; nobody has shown itself. */
static int set_up(void **state) {
	(void)state;
	founding_init(&founding, 200, 100000);
	peers = (struct peers){.own = {.blank = true,
				       .node = 1,
				       .store = {{1}},
				       .peer_address = "192.0.2.1:7601",
				       .client_address = "192.0.2.1:7600"}};
	peer_table_init(&peers.table);
	for (uint32_t i = 0; i < 2; i++) {
		all[i] = peer_table_add(&peers.table, i + 2, PEER_LISTED, "192.0.2.9:7601",
					i == 0 ? "192.0.2.9:7600" : NULL);
		all[i]->hello = (struct hello){.blank = true, .node = i + 2, .store = {{(uint8_t)(i + 2)}}};
	}
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	founding_deinit(&founding);
	events_deinit(&events);
	peer_table_deinit(&peers.table);
	return 0;
}

static bool founds(void) {
	events.n = 0;
	founding_tick(&founding, &peers, &events);
	assert_in_range(events.n, 0, 1);
	return events.n == 1;
}

static void meet_all(void) {
	all[0]->met = all[1]->met = true;
}

static void test_founding__waits_for_every_listed_node(void **state) {
	(void)state;
	assert_false(founds());
	all[0]->met = true;
	assert_false(founds());
	all[0]->met = false; /* it went away again */
	all[1]->met = true;
	assert_false(founds());
	all[0]->met = true;
	assert_true(founds());
}

static void test_founding__is_left_to_the_lowest_node(void **state) {
	(void)state;
	meet_all();
	peers.own.node = 3;
	all[1]->node = 1;
	assert_false(founds());
}

static void test_founding__never_happens_once_a_cluster_was_seen(void **state) {
	(void)state;
	meet_all();
	all[1]->hello.blank = false;
	assert_false(founds());
	/* Not even if that node comes back with an empty folder: the cluster may live on elsewhere. */
	all[1]->hello.blank = true;
	assert_false(founds());
}

/* The cluster would not let this node in, so they never met. */
static void test_founding__never_happens_once_a_listed_node_has_refused_in_the_name_of_a_cluster(void **state) {
	(void)state;
	meet_all();
	peers.cluster_seen = true;
	assert_false(founds());
}

/* It would be an empty cluster beside the one that its node has forgotten. */
static void test_founding__never_happens_with_a_node_that_waits_for_its_cluster(void **state) {
	(void)state;
	meet_all();
	all[1]->hello.past_incarnation.bytes[0] = 7;
	assert_false(founds());
	all[1]->hello.past_incarnation.bytes[0] =
		0; /* it was given an empty folder: the cluster may live on all the same */
	assert_false(founds());
}

static void test_founding__never_happens_where_a_node_waits_for_its_cluster(void **state) {
	(void)state;
	meet_all();
	peers.own.past_incarnation.bytes[0] = 7;
	assert_false(founds());
	assert_false(founding.orphaned); /* the others may be about to be let in */
}

static void test_founding__is_left_to_an_operator_when_all_wait(void **state) {
	(void)state;
	peers.own.past_incarnation.bytes[0] = 7;
	all[0]->hello.past_incarnation.bytes[0] = all[1]->hello.past_incarnation.bytes[0] = 7;
	all[0]->met = true;
	assert_false(founds());
	assert_false(founding.orphaned);
	meet_all();
	for (uint32_t node = 1; node <= 3; node++) { /* each says so, whoever would found */
		founding.orphaned = false;
		peers.own.node = node;
		assert_false(founds());
		assert_true(founding.orphaned);
	}
}

/* Its folder was damaged before it belonged to anybody. */
static void test_founding__happens_with_a_node_that_has_lost_nothing(void **state) {
	(void)state;
	meet_all();
	all[0]->hello.n_replaces = peers.own.n_replaces = 1;
	assert_true(founds());
}

static void test_founding__does_not_count_guests(void **state) {
	struct peer *guest = peer_table_add(&peers.table, 9, PEER_GUEST, "192.0.2.7:7601", NULL);

	(void)state;
	guest->met = true; /* of another cluster, since it is not blank */
	assert_false(founds());
	meet_all();
	assert_true(founds());
	assert_null(memmem(events.all[0].body, events.all[0].body_bytes, "192.0.2.7", 9));
}

static void test_founding__is_not_for_who_belongs_to_a_cluster(void **state) {
	(void)state;
	meet_all();
	peers.own.blank = false;
	assert_false(founds());
}

static void test_founding__happens_once(void **state) {
	(void)state;
	meet_all();
	assert_true(founds());
	assert_false(founds());
}

static void test_founding__names_every_node_with_its_store(void **state) {
	static const struct node_uuid zero;
	Command__Configuration *configuration;

	(void)state;
	meet_all();
	assert_true(founds());
	assert_int_equal(events.all[0].kind, NODE_FOUND);
	assert_int_equal(events.all[0].group, PEERS_GROUP);
	assert_int_equal(events.all[0].epoch, clock_epoch());
	assert_memory_not_equal(events.all[0].incarnation, &zero, sizeof zero);
	assert_true(peers.founder);

	configuration = command__configuration__unpack(NULL, events.all[0].body_bytes, events.all[0].body);
	assert_non_null(configuration);
	assert_int_equal(configuration->promise_ms, 200);
	assert_int_equal(configuration->drift_ppm, 100000);
	assert_int_equal(configuration->n_members, 3);
	for (uint32_t i = 0; i < 3; i++) {
		const Command__Member *member = configuration->members[i];

		assert_int_equal(member->node, i + 1);
		assert_int_equal(member->roles, RAFT_ROLE_VOTER);
		assert_int_equal(member->store.len, 16);
		assert_int_equal(member->store.data[0], i + 1);
	}
	assert_int_equal(configuration->members[2]->client_address.len, 0);
	command__configuration__free_unpacked(configuration, NULL);
}

static void test_founding__of_one_node_needs_nobody(void **state) {
	(void)state;
	peer_table_deinit(&peers.table);
	assert_true(founds());
}

#define test(name) cmocka_unit_test_setup_teardown(test_founding__##name, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(waits_for_every_listed_node),
		test(is_left_to_the_lowest_node),
		test(never_happens_once_a_cluster_was_seen),
		test(never_happens_once_a_listed_node_has_refused_in_the_name_of_a_cluster),
		test(never_happens_with_a_node_that_waits_for_its_cluster),
		test(never_happens_where_a_node_waits_for_its_cluster),
		test(is_left_to_an_operator_when_all_wait),
		test(happens_with_a_node_that_has_lost_nothing),
		test(does_not_count_guests),
		test(is_not_for_who_belongs_to_a_cluster),
		test(happens_once),
		test(names_every_node_with_its_store),
		test(of_one_node_needs_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
