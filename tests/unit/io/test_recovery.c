/* SPDX-License-Identifier: Apache-2.0 */
/* Forced recovery of a folder that a real node has written: what is refused, what is said, what is there afterwards. */
#include "lockd/io/recovery.h"

#include "lockd/io/clock.h"
#include "lockd/io/founding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

enum { EPOCH = 3 };

static const struct raft_timing timing = {
	.heartbeat = 50000, .election_min = 400000, .election_max = 800000, .check_quorum = 400000, .stagger = 25000};
static char base[64], folder[96];
static struct recovery_config config;
static struct recovery_error error;
static char *said;

static struct node *load(struct store **ret_store) {
	struct node_config node_config = {.node = 1, .timing = timing};
	struct raft_clocks clocks = {.mono = 1000000, .boot = 1000000};
	struct store_error store_error;
	struct node *node;

	assert_int_equal(store_open(folder, ret_store, &store_error), 0);
	store_get_uuid(*ret_store, &node_config.store);
	assert_int_equal(node_new(&node_config, &node), 0);
	if (store_load(*ret_store, node, &store_error) != 0)
		fail_msg("%s", store_error.text);
	assert_int_equal(node_start(node, &clocks), 0);
	return node;
}

static void unload(struct node *node, struct store *store) {
	node_free(node);
	store_close(store, true);
}

/* What the first entry says, of nodes 1 (this one), 2 and 3. */
static void found_cluster(void) {
	struct peers peers = {.own = {.blank = true, .node = 1, .peer_address = "a:1", .client_address = "b:1"}};
	struct raft_clocks clocks = {.mono = 2000000, .boot = 2000000};
	struct founding founding;
	struct node_effects effects;
	struct store_error store_error;
	struct events events = {0};
	struct store *store;
	struct node *node = load(&store);

	store_get_uuid(store, &peers.own.store);
	peer_table_init(&peers.table);
	for (uint32_t i = 2; i <= 3; i++) {
		struct peer *peer = peer_table_add(&peers.table, i, PEER_LISTED, "a:2", "b:2");

		peer->met = peer->hello.blank = true;
		peer->hello.store.bytes[0] = (uint8_t)i;
	}
	founding_init(&founding, 200, 100000);
	founding_tick(&founding, &peers, &events);
	events.all[0].epoch = EPOCH;
	node_step(node, &clocks, events.all, events.n, &effects);
	assert_true(effects.n_saves > 0);
	assert_int_equal(store_write(store, effects.saves, effects.n_saves, &store_error), 0);
	founding_deinit(&founding);
	events_deinit(&events);
	peer_table_deinit(&peers.table);
	unload(node, store);
}

static int set_up(void **state) {
	(void)state;
	snprintf(base, sizeof base, "%s/lockd-recovery-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(base));
	snprintf(folder, sizeof folder, "%s/data", base);
	config = (struct recovery_config){.node = 1,
					  .data = folder,
					  .peer_address = "a:9",
					  .client_address = "b:9",
					  .timing = timing,
					  .confirmed = true};
	found_cluster();
	return 0;
}

static int tear_down(void **state) {
	char command[128];

	(void)state;
	free(said);
	said = NULL;
	snprintf(command, sizeof command, "rm -rf %s", base);
	return system(command);
}

static int run(void) {
	size_t n;
	FILE *out;
	int r;

	free(said);
	error.text[0] = '\0';
	out = open_memstream(&said, &n);
	r = recovery_run(&config, out, &error);
	assert_int_equal(fclose(out), 0);
	return r;
}

static void assert_refused(int status, const char *why) {
	int r = run();

	if (r != status || !strstr(error.text, why))
		fail_msg("%d '%s' instead of %d '%s'", r, error.text, status, why);
}

/* Members and epoch as they are on the disk. */
static void assert_folder(size_t n_members, uint32_t epoch) {
	struct node_uuid incarnation;
	struct node_member member;
	struct store *store;
	struct node *node = load(&store);
	uint32_t found;
	size_t n = 0;

	while (node_get_member(node, n, &member))
		n++;
	node_get_identity(node, &incarnation, &found);
	assert_int_equal(n, n_members);
	assert_int_equal(found, epoch);
	unload(node, store);
}

static void test_recovery__refuses_what_is_no_folder_of_a_member(void **state) {
	char elsewhere[128];
	struct store_error store_error;
	struct store *store;

	(void)state;
	snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", base);
	config.data = elsewhere;
	assert_refused(EX_DATAERR, "is no data folder of a node");
	assert_int_not_equal(access(elsewhere, F_OK), 0);

	assert_int_equal(store_open(elsewhere, &store, &store_error), 0);
	store_close(store, true);
	assert_refused(EX_DATAERR, "belongs to no cluster");

	config.data = folder;
	config.node = 2;
	assert_refused(EX_USAGE, "belongs to node 1, not to node 2");
	config.node = 1;
	assert_folder(3, EPOCH);
}

static void test_recovery__refuses_a_folder_that_a_process_has(void **state) {
	struct store *store;
	struct node *node = load(&store);

	(void)state;
	assert_refused(EX_IOERR, folder);
	unload(node, store);
	assert_folder(3, EPOCH);
}

static void test_recovery__refuses_addresses_that_nobody_can_dial(void **state) {
	(void)state;
	config.peer_address = "0.0.0.0:7601";
	assert_refused(EX_USAGE, "others cannot dial 0.0.0.0:7601");
	config.peer_address = "a:9";
	config.client_address = "b:0";
	assert_refused(EX_USAGE, "others cannot dial");
}

static void test_recovery__refuses_an_epoch_that_is_not_larger(void **state) {
	(void)state;
	config.epoch = EPOCH;
	assert_refused(EX_USAGE, "epoch");
	assert_folder(3, EPOCH);
}

static void test_recovery__refuses_a_damaged_folder(void **state) {
	char path[128];

	(void)state;
	snprintf(path, sizeof path, "%s/superblock", folder);
	assert_int_equal(truncate(path, 0), 0);
	assert_refused(EX_DATAERR, "superblock");
}

static void test_recovery__says_what_it_would_do_and_changes_nothing(void **state) {
	static const char *const lines[] = {
		"last entry     1\n",
		"term           1\n",
		"epoch          3\n",
		"  node 1     voter, a:9, this node\n",
		"  node 3     voter, a:2\n",
		"sessions       0\n",
		"locks          0\n",
		"Node 1 alone becomes the cluster, with epoch ",
		"reached at a:9 by nodes and at b:9 by clients",
		"The other members must never be started again with their old data folders"};

	(void)state;
	config.confirmed = false;
	assert_refused(EX_USAGE, "nothing was changed: give --yes to do it");
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		if (!strstr(said, lines[i]))
			fail_msg("'%s' is not said in:\n%s", lines[i], said);
	}
	assert_folder(3, EPOCH);
}

static void test_recovery__leaves_this_node_alone(void **state) {
	struct node_member member;
	struct store *store;
	struct node *node;

	(void)state;
	assert_int_equal(run(), 0);
	assert_non_null(strstr(said, "Done."));
	assert_folder(1, clock_epoch());
	node = load(&store);
	assert_true(node_get_member(node, 0, &member));
	assert_int_equal(member.node, 1);
	assert_int_equal(member.roles, RAFT_ROLE_VOTER);
	assert_string_equal(member.peer_address, "a:9");
	assert_string_equal(member.client_address, "b:9");
	unload(node, store);
}

static void test_recovery__takes_the_epoch_that_is_given_and_can_be_run_again(void **state) {
	(void)state;
	config.epoch = clock_epoch() + 1000;
	assert_int_equal(run(), 0);
	assert_folder(1, config.epoch);
	config.epoch = 0;
	assert_int_equal(run(), 0);
	assert_folder(1, clock_epoch() + 1001);
}

/* The slots of the superblock alone have heard of it: as a crash behind their sync leaves it. */
static void test_recovery__goes_on_where_one_was_interrupted(void **state) {
	struct node_recovery change = {
		.incarnation = {{0xee}}, .epoch = 7000000, .peer_address = "a:9", .client_address = "b:9"};
	struct node_config node_config = {.node = 1, .timing = timing};
	struct store_error store_error;
	const struct node_save *save;
	char command[640];
	struct store *store;
	struct node *node;

	(void)state;
	assert_int_equal(store_open(folder, &store, &store_error), 0);
	store_get_uuid(store, &node_config.store);
	assert_int_equal(node_new(&node_config, &node), 0);
	assert_int_equal(store_load(store, node, &store_error), 0);
	snprintf(command, sizeof command, "cp -r %s %s/kept", folder, base);
	assert_int_equal(system(command), 0);
	assert_int_equal(node_recover(node, &change, &save), 0);
	assert_int_equal(store_write(store, save, 1, &store_error), 0);
	node_free(node);
	store_close(store, false);
	snprintf(command, sizeof command,
		 "dd if=%s/superblock of=%s/kept/superblock bs=8192 count=1 conv=notrunc status=none && rm -r %s && "
		 "mv %s/kept %s",
		 folder, base, folder, base, folder);
	assert_int_equal(system(command), 0);

	assert_int_equal(store_open(folder, &store, &store_error), 0);
	assert_int_equal(node_new(&node_config, &node), 0);
	assert_true(store_load(store, node, &store_error) < 0);
	assert_non_null(strstr(store_error.text, "was interrupted: run `lockd recover` again"));
	node_free(node);
	store_close(store, false);

	config.epoch = 7000000;
	assert_refused(EX_USAGE, "an earlier recovery was given 7000000");
	config.epoch = 0;
	assert_int_equal(run(), 0);
	assert_folder(1, 7000001);
}

#define test(name) cmocka_unit_test_setup_teardown(test_recovery__##name, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(refuses_what_is_no_folder_of_a_member),
		test(refuses_a_folder_that_a_process_has),
		test(refuses_addresses_that_nobody_can_dial),
		test(refuses_an_epoch_that_is_not_larger),
		test(refuses_a_damaged_folder),
		test(says_what_it_would_do_and_changes_nothing),
		test(leaves_this_node_alone),
		test(takes_the_epoch_that_is_given_and_can_be_run_again),
		test(goes_on_where_one_was_interrupted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
