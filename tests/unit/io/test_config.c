/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration may say, and how it is told off otherwise. */
#include "lockd/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "test_config.conf"

static struct config config;
static struct config_error error;

static int parse(const char *const *flags) {
	char name[] = "lockd", *argv[16] = {name};
	int argc = 1;

	memset(&config, 0xee, sizeof config);
	memset(&error, 0, sizeof error);
	while (*flags)
		argv[argc++] = (char *)*flags++;
	return config_parse(argc, argv, &config, &error);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void write_file(const char *text, size_t n) {
	FILE *file = fopen(FILE_NAME, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

static void write_text(const char *text) {
	write_file(text, strlen(text));
}

static void assert_file_error(const char *text, const char *expected) {
	write_text(text);
	assert_int_equal(PARSE("--config", FILE_NAME), -1);
	assert_string_equal(error.text, expected);
}

static void assert_flag_error(const char *flag, const char *value, const char *expected) {
	assert_int_equal(PARSE(flag, value), -1);
	assert_string_equal(error.text, expected);
}

static void test_config__rejects_unknown_keys_with_the_nearest_one(void **state) {
	(void)state;
	assert_flag_error("--hartbeat-ms", "50", "there is no flag --hartbeat-ms; did you mean --heartbeat-ms?");
	assert_flag_error("--colour", "blue", "there is no flag --colour");
	assert_file_error("node = 1\nlisten-clients = 1.2.3.4:5\n",
			  FILE_NAME ":2: there is no key listen-clients; did you mean listen-client?");
}

static void test_config__rejects_what_is_no_flag(void **state) {
	(void)state;
	assert_int_equal(PARSE("node"), -1);
	assert_string_equal(error.text, "node: expected --KEY VALUE; --help lists the keys");
	assert_int_equal(PARSE("--node"), -1);
	assert_string_equal(error.text, "--node: needs a value");
	assert_int_equal(PARSE("--"), -1);
	assert_string_equal(error.text, "--: expected --KEY VALUE; --help lists the keys");
}

static void test_config__rejects_numbers_out_of_range(void **state) {
	(void)state;
	assert_flag_error("--node", "0", "--node 0: must be a whole number from 1 to 65535");
	assert_flag_error("--node", "65536", "--node 65536: must be a whole number from 1 to 65535");
	assert_flag_error("--node", "-1", "--node -1: must be a whole number from 1 to 65535");
	assert_flag_error("--node", "1x", "--node 1x: must be a whole number from 1 to 65535");
	assert_flag_error("--node", "", "--node : must be a whole number from 1 to 65535");
	assert_flag_error("--node", "18446744073709551617",
			  "--node 18446744073709551617: must be a whole number from 1 to 65535");
	assert_file_error("\n\ndrift-ppm = 300001\n",
			  FILE_NAME ":3: drift-ppm = 300001: must be a whole number from 0 to 300000");
}

static void test_config__rejects_addresses(void **state) {
	static const char *const bad[] = {"7600",  "host",  ":7600", "host:", "host:65536",
					  "a b:1", "a/b:1", "[]:1",  "[::1:1"};
	char expected[128];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(expected, sizeof expected, "--listen-client %s: must be host:port with a port from 0 to 65535",
			 bad[i]);
		assert_flag_error("--listen-client", bad[i], expected);
	}
}

static void test_config__serves_metrics_only_where_it_is_told(void **state) {
	(void)state;
	assert_flag_error("--listen-metrics", "",
			  "--listen-metrics : must be off, or host:port with a port from 0 to 65535");
	assert_flag_error("--listen-metrics", "7602",
			  "--listen-metrics 7602: must be off, or host:port with a port from 0 to 65535");
	assert_int_equal(PARSE("--node", "1"), 0);
	assert_string_equal(config.listen_metrics, "");
	write_text("listen-metrics = 127.0.0.1:7602\n");
	assert_int_equal(PARSE("--config", FILE_NAME), 0);
	assert_string_equal(config.listen_metrics, "127.0.0.1:7602");
	assert_int_equal(PARSE("--config", FILE_NAME, "--listen-metrics", "off"), 0);
	assert_string_equal(config.listen_metrics, "");
}

static void test_config__rejects_peers(void **state) {
	(void)state;
	assert_flag_error(
		"--peer", "1 a:1",
		"--peer 1 a:1: must be ID PEER_ADDRESS CLIENT_ADDRESS, such as 2 10.0.0.2:7601 10.0.0.2:7600");
	assert_flag_error(
		"--peer", "1 a:1 b:2 c",
		"--peer 1 a:1 b:2 c: must be ID PEER_ADDRESS CLIENT_ADDRESS, such as 2 10.0.0.2:7601 10.0.0.2:7600");
	assert_flag_error(
		"--peer", "0 a:1 b:2",
		"--peer 0 a:1 b:2: must be ID PEER_ADDRESS CLIENT_ADDRESS, such as 2 10.0.0.2:7601 10.0.0.2:7600");
	assert_flag_error("--peer", "1 a b:2", "--peer 1 a b:2: must have two addresses of the form host:port");
	assert_file_error("peer = 1 a:1 b:2\npeer = 1 c:1 d:2\n",
			  FILE_NAME ":2: peer = 1 c:1 d:2: this id is listed twice");
	assert_file_error("peer = 1 a:1 b:2\npeer = 2 a:1 d:2\n",
			  FILE_NAME ":2: peer = 2 a:1 d:2: this peer address is listed twice");
	assert_file_error("node = 3\npeer = 1 a:1 b:2\npeer = 2 c:1 d:2\n",
			  FILE_NAME ":1: node = 3: the list of peers does not name this node");
}

static void test_config__rejects_more_peers_than_a_cluster_has(void **state) {
	char text[1024] = "";
	size_t n = 0;

	(void)state;
	for (int i = 1; i <= LIMIT_NODES_MAX + 1; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "peer = %d a:%d b:%d\n", i, i, i);
	assert_file_error(text, FILE_NAME ":10: peer = 10 a:10 b:10: a cluster has at most 9 nodes");
}

static void test_config__rejects_broken_relations_of_timing(void **state) {
	(void)state;
	assert_flag_error(
		"--heartbeat-ms", "101",
		"--heartbeat-ms 101: must be at most half of promise-ms; compare promise-ms = 200 (the default)");
	assert_flag_error("--promise-ms", "328",
			  "--promise-ms 328: must be at most check-quorum-ms × (1 − drift) / (1 + drift); compare "
			  "check-quorum-ms = 400 (the default)");
	assert_file_error("election-ms-min = 399\n",
			  "check-quorum-ms = 400 (the default): must be at most election-ms-min; "
			  "compare " FILE_NAME ":1: election-ms-min = 399");
	assert_int_equal(PARSE("--election-ms-min", "800"), -1);
	assert_string_equal(error.text,
			    "--election-ms-min 800: must be less than election-ms-max; compare election-ms-max = "
			    "800 (the default)");
	assert_flag_error("--heartbeat-ms", "81",
			  "--heartbeat-ms 81: must be at most a fifth of election-ms-min; compare election-ms-min = "
			  "400 (the default)");
}

static void test_config__rejects_profiles_and_switches(void **state) {
	(void)state;
	assert_flag_error("--profile", "moon", "--profile moon: must be lan or wan");
	assert_flag_error("--leader-lease", "true", "--leader-lease true: must be yes or no");
	assert_flag_error("--repair", "never", "--repair never: must be yes or no");
	assert_flag_error("--reserve-mib", "1025", "--reserve-mib 1025: must be a whole number from 0 to 1024");
	assert_flag_error("--stall-ms", "240001", "--stall-ms 240001: must be a whole number from 0 to 240000");
	assert_int_equal(PARSE("--profile", "wan", "--heartbeat-ms", "751"), -1);
	assert_string_equal(error.text, "--heartbeat-ms 751: must be at most half of promise-ms; compare promise-ms = "
					"1500 (the default of the profile wan)");
}

static void test_config__rejects_the_flags_of_recovery_elsewhere(void **state) {
	(void)state;
	assert_flag_error("--epoch", "7", "there is no flag --epoch");
	assert_int_equal(PARSE("--yes"), -1);
	assert_int_equal(PARSE("recover", "--epoch", "0"), -1);
	assert_string_equal(error.text, "--epoch 0: must be a whole number from 1 to 4294967295");
	assert_int_equal(PARSE("recover", "--epoch", "4294967296"), -1);
	assert_int_equal(PARSE("--yes", "recover"), -1);
}

static void test_config__accepts_the_edge_of_each_relation(void **state) {
	(void)state;
	assert_int_equal(PARSE("--heartbeat-ms", "80"), 0);
	assert_int_equal(PARSE("--heartbeat-ms", "100", "--election-ms-min", "500"), 0);
	assert_int_equal(PARSE("--promise-ms", "327"), 0);
	assert_int_equal(PARSE("--check-quorum-ms", "400", "--election-ms-min", "799"), 0);
	assert_int_equal(PARSE("--drift-ppm", "300000", "--promise-ms", "215"), 0);
}

static void test_config__rejects_what_is_no_pair(void **state) {
	char line[512] = "data = ";

	(void)state;
	assert_file_error("node = 1\nwhat\n", FILE_NAME ":2: expected KEY = VALUE");
	assert_file_error("[cluster]\nnode = 1\n", FILE_NAME ":2: sections are not used, leave out [cluster]");
	assert_file_error("node = 1\nnode = 2\n", FILE_NAME ":2: node = 2: is given twice");
	assert_flag_error("--config", "no/such/file", "no/such/file: cannot be read: No such file or directory");

	memset(line + strlen(line), 'x', 300);
	line[strlen(line)] = '\n';
	write_text(line);
	assert_int_equal(PARSE("--config", FILE_NAME), -1);
	assert_memory_equal(error.text, FILE_NAME ":1: the line is longer than ",
			    strlen(FILE_NAME ":1: the line is longer than "));

	write_file("node = 1\nno\0de = 2\n", 19);
	assert_int_equal(PARSE("--config", FILE_NAME), -1);
	assert_string_equal(error.text, FILE_NAME ":2: the line holds a zero byte");
}

static void test_config__rejects_a_flag_given_twice(void **state) {
	(void)state;
	assert_int_equal(PARSE("--node", "1", "--node=2"), -1);
	assert_string_equal(error.text, "--node 2: is given twice");
}

static void test_config__is_a_cluster_of_one_without_arguments(void **state) {
	char name[] = "lockd", *argv[] = {name, NULL};

	(void)state;
	assert_int_equal(config_parse(1, argv, &config, &error), 0);
	assert_int_equal(config.node, 1);
	assert_int_equal(config.n_peers, 0);
	assert_string_equal(config.data, "./lockd-data");
	assert_string_equal(config.listen_client, "127.0.0.1:7600");
	assert_string_equal(config.listen_peer, "127.0.0.1:7601");
	assert_int_equal(config.heartbeat_ms, 50);
	assert_int_equal(config.promise_ms, 200);
	assert_int_equal(config.check_quorum_ms, 400);
	assert_int_equal(config.election_ms_min, 400);
	assert_int_equal(config.election_ms_max, 800);
	assert_int_equal(config.drift_ppm, 100000);
	assert_int_equal(config.log_level, LOG_LEVEL_INFO);
	assert_true(config.leader_lease);
	assert_true(config.repair);
	assert_int_equal(config.stall_ms, 0);
	assert_int_equal(config.reserve_mib, 16);
}

static void test_config__lets_the_profile_choose_what_is_not_given(void **state) {
	(void)state;
	write_text("heartbeat-ms = 200\nprofile = wan\nleader-lease = no\nrepair = no\nstall-ms = 2500\nreserve-mib = 0\n");
	assert_int_equal(PARSE("--config", FILE_NAME, "--election-ms-max", "9000"), 0);
	assert_int_equal(config.heartbeat_ms, 200);
	assert_int_equal(config.promise_ms, 1500);
	assert_int_equal(config.check_quorum_ms, 3000);
	assert_int_equal(config.election_ms_min, 3000);
	assert_int_equal(config.election_ms_max, 9000);
	assert_false(config.leader_lease);
	assert_false(config.repair);
	assert_int_equal(config.stall_ms, 2500);
	assert_int_equal(config.reserve_mib, 0);
	assert_int_equal(PARSE("--profile", "wan"), 0);
	assert_int_equal(config.heartbeat_ms, 250);
	assert_int_equal(PARSE("--config", FILE_NAME, "--profile", "lan"), -1); /* 200 ms are too long for it */
}

static void test_config__takes_the_word_recover_first(void **state) {
	(void)state;
	assert_int_equal(PARSE("recover", "--node", "3"), CONFIG_RECOVER);
	assert_int_equal(config.node, 3);
	assert_int_equal(config.recovery_epoch, 0);
	assert_false(config.recovery_confirmed);
	assert_int_equal(PARSE("recover", "--yes", "--epoch=77"), CONFIG_RECOVER);
	assert_int_equal(config.recovery_epoch, 77);
	assert_true(config.recovery_confirmed);
}

static void test_config__takes_the_word_check_with_a_folder(void **state) {
	(void)state;
	assert_int_equal(PARSE("check"), -1);
	assert_int_equal(PARSE("check", "a", "b"), -1);
	assert_int_equal(PARSE("check", "--node", "a"), -1);
	assert_non_null(strstr(error.text, "there is no flag --node"));
	assert_int_equal(PARSE("check", ""), -1);
	assert_int_equal(PARSE("check", "--help"), CONFIG_HELP);
	assert_int_equal(PARSE("check", "/a/b"), CONFIG_EXAMINE);
	assert_string_equal(config.data, "/a/b");
	assert_false(config.examination_json);
	assert_int_equal(PARSE("check", "/a/b", "--json"), CONFIG_EXAMINE);
	assert_true(config.examination_json);
}

static void test_config__reads_a_file_and_lets_flags_override_it(void **state) {
	(void)state;
	write_text("# three nodes\nnode = 2\n  peer = 1 10.0.0.1:7601 10.0.0.1:7600\n"
		   "peer = 2 [::1]:7601 [::1]:7600 ; this one\nlog-level = debug\nheartbeat-ms = 40\n");
	assert_int_equal(PARSE("--heartbeat-ms=30", "--config", FILE_NAME), 0);
	assert_int_equal(config.node, 2);
	assert_int_equal(config.heartbeat_ms, 30);
	assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(config.n_peers, 2);
	assert_int_equal(config.peers[0].node, 1);
	assert_string_equal(config.peers[0].client_address, "10.0.0.1:7600");
	assert_string_equal(config.listen_client, "[::1]:7600");
	assert_string_equal(config.listen_peer, "[::1]:7601");
}

static void test_config__replaces_the_list_of_the_file_as_a_whole(void **state) {
	(void)state;
	write_text("peer = 1 a:1 b:1\npeer = 2 c:1 d:1\n");
	assert_int_equal(PARSE("--config", FILE_NAME, "--peer", "1 e:1 f:1"), 0);
	assert_int_equal(config.n_peers, 1);
	assert_string_equal(config.peers[0].peer_address, "e:1");
}

static void test_config__tells_what_was_asked_for(void **state) {
	(void)state;
	assert_int_equal(PARSE("--help"), CONFIG_HELP);
	assert_int_equal(PARSE("--version"), CONFIG_VERSION);
	assert_int_equal(PARSE("--check-config"), CONFIG_CHECK);
	assert_int_equal(PARSE("--check-config", "--node", "0"), -1);
}

static int clean(void **state) {
	(void)state;
	unsetenv("STATE_DIRECTORY");
	(void)unlink(FILE_NAME); /* most tests write none */
	return 0;
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_config__rejects_unknown_keys_with_the_nearest_one, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_what_is_no_flag, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_numbers_out_of_range, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_addresses, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__serves_metrics_only_where_it_is_told, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_peers, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_more_peers_than_a_cluster_has, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_broken_relations_of_timing, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_profiles_and_switches, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_the_flags_of_recovery_elsewhere, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__lets_the_profile_choose_what_is_not_given, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__takes_the_word_recover_first, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__takes_the_word_check_with_a_folder, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__accepts_the_edge_of_each_relation, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_what_is_no_pair, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__rejects_a_flag_given_twice, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__is_a_cluster_of_one_without_arguments, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__reads_a_file_and_lets_flags_override_it, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__replaces_the_list_of_the_file_as_a_whole, clean, clean),
		cmocka_unit_test_setup_teardown(test_config__tells_what_was_asked_for, clean, clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
