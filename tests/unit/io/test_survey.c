/* SPDX-License-Identifier: Apache-2.0 */
/* When a node is healthy, and when it is ready. */
#include "lockd/io/survey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const raft_usec NOW = 100 * 1000000;

/* A follower that nothing ails. */
static struct survey follower(void) {
	return (struct survey){
		.node = 2, .taken = NOW, .member = true, .raft = {.role = RAFT_FOLLOWER, .term = 3, .leader = 1}};
}

static void test_survey__finds_a_follower_without_a_leader_unready(void **state) {
	struct survey survey = follower();

	(void)state;
	survey.raft.leader = 0;
	assert_string_equal(survey_why_not_ready(&survey, NOW), "no leader is known");
	assert_null(survey_why_not_healthy(&survey, NOW));
}

static void test_survey__finds_a_leader_unready_before_its_first_commit(void **state) {
	struct survey survey = follower();

	(void)state;
	survey.raft = (struct raft_status){.role = RAFT_LEADER, .term = 4, .leader = 2, .commit = 9, .term_start = 10};
	assert_string_equal(survey_why_not_ready(&survey, NOW), "the leader has not committed anything yet");
	survey.raft.commit = 10;
	assert_null(survey_why_not_ready(&survey, NOW));
}

static void test_survey__finds_a_node_without_cluster_unready_and_healthy(void **state) {
	struct survey survey = follower();

	(void)state;
	survey.member = false;
	assert_string_equal(survey_why_not_ready(&survey, NOW), "the node is no member of the cluster");
	survey.blank = true;
	assert_string_equal(survey_why_not_ready(&survey, NOW), "the node belongs to no cluster yet");
	assert_null(survey_why_not_healthy(&survey, NOW));
}

static void test_survey__finds_a_node_that_stops_unready_and_healthy(void **state) {
	struct survey survey = follower();

	(void)state;
	survey.stopping = true;
	assert_string_equal(survey_why_not_ready(&survey, NOW), "the node stops");
	assert_null(survey_why_not_healthy(&survey, NOW));
}

static void test_survey__finds_a_full_disk_neither_healthy_nor_ready(void **state) {
	struct survey survey = follower();

	(void)state;
	survey.full_since = 1;
	assert_string_equal(survey_why_not_healthy(&survey, NOW), "the disk is full");
	assert_string_equal(survey_why_not_ready(&survey, NOW), "the disk is full");
}

static void test_survey__finds_a_node_unwell_until_it_is_restored(void **state) {
	struct survey survey = follower();

	(void)state;
	survey.tally.repairs = 1;
	assert_null(survey_why_not_healthy(&survey, NOW));
	survey.tally.restoring = true;
	assert_string_equal(survey_why_not_healthy(&survey, NOW),
			    "the data folder was damaged, and the other nodes have not caught this one up yet");
	assert_ptr_equal(survey_why_not_ready(&survey, NOW), survey_why_not_healthy(&survey, NOW));
}

static void test_survey__finds_a_node_that_stands_still(void **state) {
	struct survey survey = follower();

	(void)state;
	survey.taken = NOW - SURVEY_STALE_MS * 1000ull;
	assert_null(survey_why_not_healthy(&survey, NOW));
	survey.taken--;
	assert_string_equal(survey_why_not_healthy(&survey, NOW), "the node stands still");
	assert_string_equal(survey_why_not_ready(&survey, NOW), "the node stands still");
}

static void test_survey__finds_a_follower_with_a_leader_ready(void **state) {
	struct survey survey = follower();

	(void)state;
	assert_null(survey_why_not_healthy(&survey, NOW));
	assert_null(survey_why_not_ready(&survey, NOW));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_survey__finds_a_follower_without_a_leader_unready),
		cmocka_unit_test(test_survey__finds_a_leader_unready_before_its_first_commit),
		cmocka_unit_test(test_survey__finds_a_node_without_cluster_unready_and_healthy),
		cmocka_unit_test(test_survey__finds_a_node_that_stops_unready_and_healthy),
		cmocka_unit_test(test_survey__finds_a_full_disk_neither_healthy_nor_ready),
		cmocka_unit_test(test_survey__finds_a_node_unwell_until_it_is_restored),
		cmocka_unit_test(test_survey__finds_a_node_that_stands_still),
		cmocka_unit_test(test_survey__finds_a_follower_with_a_leader_ready),
	};

	return cmocka_run_group_tests_name("survey", tests, NULL, NULL);
}
