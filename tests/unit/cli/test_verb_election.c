/* SPDX-License-Identifier: Apache-2.0 */
/* campaign, leader, observe, resign. */
#include "process.h"

#include "cli/report.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect(const char *line, int status, const char *out, const char *err) {
	struct process process;

	process_run(&process, line);
	assert_string_equal(process.err, err);
	assert_string_equal(process.out, out);
	assert_int_equal(process.status, status);
	process_free(&process);
}

static void test_verb_election__campaign_carries_its_value(void **state) {
	char *log;

	(void)state;
	expect("campaign db/primary 10.0.0.1:5432 -- sh -c 'echo $LOCKD_LOCK $LOCKD_TOKEN; exit 9'", 9,
	       "db/primary 41\n", "");
	log = process_log();
	assert_string_equal(log,
			    "open NULL\nsession ttl 10000 label sh\nacquire db/primary value 10.0.0.1:5432 wait -1\n"
			    "session close\nclose\n");
	free(log);
}

static void test_verb_election__leader_is_shown(void **state) {
	(void)state;
	expect("leader db/primary", 0,
	       "VALUE         TOKEN OWNER HOST    PID\n"
	       "10.0.0.1:5432    41 alice build1 4242\n",
	       "");
	expect("leader db/primary --json", 0,
	       "{\"name\":\"db/primary\",\"value\":\"10.0.0.1:5432\",\"token\":\"41\",\"revision\":\"655360\","
	       "\"owner\":\"alice\",\"host\":\"build1\",\"pid\":4242}\n",
	       "");
}

static void test_verb_election__vacant_seat_exits_1(void **state) {
	(void)state;
	setenv("FAKE_SHOW", "NOT_FOUND", 1);
	expect("leader db/primary", EXIT_NOTHING, "", "lockctl: leader: db/primary: vacant\n");
	expect("resign db/primary", EXIT_NOTHING, "", "lockctl: resign: db/primary: vacant\n");
}

static void test_verb_election__unreachable_cluster_exits_69(void **state) {
	static const char *const lines[] = {"leader x", "observe x", "resign x"};

	(void)state;
	setenv("FAKE_SHOW", "UNREACHABLE", 1);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct process process;

		process_run(&process, lines[i]);
		assert_string_equal(process.out, "");
		assert_int_equal(process.status, EXIT_UNREACHABLE);
		process_free(&process);
	}
}

static void test_verb_election__observe_prints_a_line_per_change(void **state) {
	char *log;

	(void)state;
	setenv("FAKE_EVENTS",
	       "leader:655360:41:10.0.0.1:5432 vacant:655361 gap:720896 leader:720897:9223372036854775807:b", 1);
	expect("observe db/primary --count 4 --since 655359", 0,
	       "655360 41 10.0.0.1:5432\n"
	       "655361 (vacant)\n"
	       "720896 gap\n"
	       "720897 9223372036854775807 b\n",
	       "");
	log = process_log();
	assert_non_null(strstr(log, "observe db/primary after 655359\nobserve stop\nclose\n"));
	free(log);
	expect("observe db/primary --count 3 --json", 0,
	       "{\"kind\":\"leader\",\"revision\":\"655360\",\"token\":\"41\",\"value\":\"10.0.0.1:5432\",\"owner\":"
	       "\"alice\","
	       "\"host\":\"build1\",\"pid\":4242}\n"
	       "{\"kind\":\"vacant\",\"revision\":\"655361\"}\n"
	       "{\"kind\":\"gap\",\"revision\":\"720896\"}\n",
	       "");
}

static void test_verb_election__observe_runs_until_interrupted(void **state) {
	struct process process;
	char *line;

	(void)state;
	setenv("FAKE_EVENTS", "vacant:655361", 1);
	process_start(&process, "observe db/primary");
	line = process_read_line(&process);
	assert_string_equal(line, "655361 (vacant)");
	free(line);
	kill(process.pid, SIGTERM);
	process_wait(&process);
	assert_int_equal(process.status, 0);
	process_free(&process);
}

static void test_verb_election__resign_leaves_another_host_alone(void **state) {
	(void)state;
	expect("resign db/primary", EXIT_OTHER, "",
	       "lockctl: resign: db/primary: the leader runs on host build1, pid 4242: resign there\n");
}

static void lead_from_here(pid_t pid) {
	char host[HOST_NAME_MAX + 1], number[16];

	assert_int_equal(gethostname(host, sizeof host), 0);
	snprintf(number, sizeof number, "%d", (int)pid);
	setenv("FAKE_HOST", host, 1);
	setenv("FAKE_PID", number, 1);
}

static void test_verb_election__resign_leaves_another_program_alone(void **state) {
	char message[160];

	(void)state;
	lead_from_here(getpid());
	snprintf(message, sizeof message,
		 "lockctl: resign: db/primary: the leader, pid %d on this host, is not lockctl: it must resign by "
		 "itself\n",
		 (int)getpid());
	expect("resign db/primary", EXIT_OTHER, "", message);
}

static void create_leads(void) {
	char path[256];
	FILE *stream;

	snprintf(path, sizeof path, "%s/leads", getenv("FOLDER"));
	setenv("FAKE_LEADS", path, 1);
	stream = fopen(path, "we");
	assert_non_null(stream);
	fclose(stream);
}

static void test_verb_election__resign_ends_the_campaign_on_this_host(void **state) {
	struct process campaign;
	char *line;

	(void)state;
	create_leads();
	/* The end of the leadership stands in a file that the command removes when it is told to stop. */
	process_start(&campaign, "campaign db/primary v -- sh -c 'trap \"rm $FAKE_LEADS; exit 5\" TERM; echo ready; "
				 "while :; do :; done'");
	line = process_read_line(&campaign);
	assert_string_equal(line, "ready");
	free(line);

	lead_from_here(campaign.pid);
	expect("resign db/primary --timeout 30s", 0, "", "");
	process_wait(&campaign);
	assert_int_equal(campaign.status, 5);
	process_free(&campaign);
}

static void test_verb_election__resign_says_when_the_leader_stays(void **state) {
	struct process campaign;
	char *line, message[160];

	(void)state;
	create_leads();
	process_start(&campaign, "campaign db/primary v");
	line = process_read_line(&campaign);
	free(line);

	lead_from_here(campaign.pid);
	snprintf(message, sizeof message, "lockctl: resign: db/primary: pid %d was sent SIGTERM and still leads\n",
		 (int)campaign.pid);
	expect("resign db/primary --timeout 50ms", EXIT_OTHER, "", message);
	process_wait(&campaign);
	assert_int_equal(campaign.status, 0);
	process_free(&campaign);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_verb_election__##name, process_setup, process_teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		TEST(campaign_carries_its_value),
		TEST(leader_is_shown),
		TEST(vacant_seat_exits_1),
		TEST(unreachable_cluster_exits_69),
		TEST(observe_prints_a_line_per_change),
		TEST(observe_runs_until_interrupted),
		TEST(resign_leaves_another_host_alone),
		TEST(resign_leaves_another_program_alone),
		TEST(resign_ends_the_campaign_on_this_host),
		TEST(resign_says_when_the_leader_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
