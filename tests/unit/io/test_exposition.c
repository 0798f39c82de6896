/* SPDX-License-Identifier: Apache-2.0 */
/* The text of the metrics, read by a strict reader; first that reader, by what it must refuse. */
#include "exposition_fault.h"
#include "lockd/io/exposition.h"

#include <lockd/status.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The text begins and ends a family of its own. */
#define GAUGE "# HELP a_b About b.\n# TYPE a_b gauge\n"
#define HISTOGRAM "# HELP h About h.\n# TYPE h histogram\n"

static void test_exposition_fault__names_what_is_wrong(void **state) {
	static const char *const wrong[] = {
		"",
		"a_b 1\n",
		"# TYPE a_b gauge\na_b 1\n",
		"# HELP a_b\n# TYPE a_b gauge\na_b 1\n",
		"# HELP a_b About b.\na_b 1\n",
		"# HELP a_b About b.\n# TYPE a_c gauge\na_c 1\n",
		"# HELP a_b About b.\n# TYPE a_b number\na_b 1\n",
		"# HELP a_b About b.\n# TYPE a_b counter\na_b 1\n",
		"# HELP a_total About a.\n# TYPE a_total gauge\na_total 1\n",
		GAUGE "a_b 1",
		GAUGE "\na_b 1\n",
		GAUGE "a_b\n",
		GAUGE "a_b one\n",
		GAUGE "a_b 1 2 3\n",
		GAUGE "a_c 1\n",
		GAUGE "a_bc 1\n",
		GAUGE "a_b 1\na_b 2\n",
		GAUGE "a_b{x=\"1\"} 1\na_b{x=\"1\"} 2\n",
		GAUGE "a_b{x=1} 1\n",
		GAUGE "a_b{x=\"1} 1\n",
		GAUGE "a_b{x=\"1\" 1\n",
		GAUGE "a_b{x=\"\"\"} 1\n",
		GAUGE "a_b{x=\"\\q\"} 1\n",
		GAUGE "a_b{} 1\n",
		GAUGE "a_b 1\n" GAUGE "a_b{x=\"1\"} 1\n",
		HISTOGRAM "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
		HISTOGRAM "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
		HISTOGRAM "h_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
		HISTOGRAM "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
		HISTOGRAM "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n",
		HISTOGRAM "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n" GAUGE "a_b 1\n",
		HISTOGRAM "h 1\n",
	};
	char fault[EXPOSITION_FAULT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		if (!exposition_fault(wrong[i], fault))
			fail_msg("nothing is found wrong with:\n%s", wrong[i]);
	}
}

static void test_exposition_fault__lets_pass_what_is_right(void **state) {
	static const char *const right[] = {
		GAUGE "a_b 1\n",
		GAUGE "a_b -1.5e3\n",
		GAUGE,
		GAUGE "a_b{x=\"a \\\"b\\\" \\\\ \\n,}\",y=\"2\"} 1\na_b{x=\"2\"} 1\n",
		GAUGE "a_b 1\n# HELP c_total About c.\n# TYPE c_total counter\nc_total 1\n",
		HISTOGRAM
		"h_bucket{le=\"0.1\"} 0\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 1.5\nh_count 4\n",
	};
	char fault[EXPOSITION_FAULT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
		if (exposition_fault(right[i], fault))
			fail_msg("%s\nin:\n%s", fault, right[i]);
	}
}

/* ---- The endpoint's text ---- */

static struct exposition leader(void) {
	struct exposition of = {.version = "1.2.3", .now = 50 * 1000000, .process_started = 1700000000ull * 1000000};
	struct survey *survey = &of.survey;

	survey->node = 1;
	survey->taken = of.now;
	survey->owed_since = UINT64_MAX;
	survey->member = true;
	survey->raft = (struct raft_status){.role = RAFT_LEADER, .term = 7, .leader = 1, .last = 120, .commit = 118};
	survey->applied = 117;
	survey->counts = (struct state_counts){.sessions = 3, .locks = 2, .seats = 1};
	survey->n_peers = 2;
	survey->peers[0] = (struct survey_peer){.node = 2,
						.connected = true,
						.followed = true,
						.progress = {.match = 100, .contact = 48500000, .rtt = 1234}};
	survey->peers[1] = (struct survey_peer){.node = 3, .followed = true};
	return of;
}

/* The caller frees it. */
static char *write_text(const struct exposition *of) {
	char fault[EXPOSITION_FAULT_BYTES], *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	exposition_write(of, out);
	assert_int_equal(fclose(out), 0);
	if (exposition_fault(text, fault))
		fail_msg("%s", fault);
	return text;
}

static void expect_line(const char *text, const char *line) {
	char between[256];

	snprintf(between, sizeof between, "\n%s\n", line);
	if (!strstr(text, between))
		fail_msg("the text lacks: %s\n%s", line, text);
}

static void test_exposition__says_how_a_leader_sees_the_others(void **state) {
	struct exposition of = leader();
	char *text = write_text(&of);

	(void)state;
	expect_line(text, "lockd_raft_is_leader 1");
	expect_line(text, "lockd_build_info{version=\"1.2.3\"} 1");
	expect_line(text, "lockd_peer_connected{peer=\"2\"} 1");
	expect_line(text, "lockd_peer_connected{peer=\"3\"} 0");
	expect_line(text, "lockd_peer_lag_entries{peer=\"2\"} 20");
	expect_line(text, "lockd_peer_lag_entries{peer=\"3\"} 120");
	expect_line(text, "lockd_peer_contact_seconds{peer=\"2\"} 1.500000");
	expect_line(text, "lockd_peer_rtt_seconds{peer=\"2\"} 0.001234");
	assert_null(strstr(text, "lockd_peer_contact_seconds{peer=\"3\"}"));
	assert_null(strstr(text, "lockd_peer_rtt_seconds{peer=\"3\"}"));
	free(text);
}

static void test_exposition__leaves_out_what_a_follower_does_not_know(void **state) {
	struct exposition of = leader();
	char *text;

	(void)state;
	of.survey.raft.role = RAFT_FOLLOWER;
	of.survey.peers[0].followed = of.survey.peers[1].followed = false;
	text = write_text(&of);
	expect_line(text, "lockd_raft_is_leader 0");
	expect_line(text, "lockd_peer_connected{peer=\"2\"} 1");
	assert_null(strstr(text, "lockd_peer_lag_entries{"));
	free(text);
}

static void test_exposition__cumulates_buckets(void **state) {
	struct exposition of = leader();
	struct metrics_distribution *timing = &of.metrics.timings[METRICS_STORE_WRITE];
	char *text;

	(void)state;
	timing->buckets[0] = 5;
	timing->buckets[3] = 2;
	timing->buckets[METRICS_BOUNDS] = 1;
	timing->sum = 12003456;
	text = write_text(&of);
	expect_line(text, "lockd_store_write_seconds_bucket{le=\"0.0001\"} 5");
	expect_line(text, "lockd_store_write_seconds_bucket{le=\"0.0005\"} 5");
	expect_line(text, "lockd_store_write_seconds_bucket{le=\"0.001\"} 7");
	expect_line(text, "lockd_store_write_seconds_bucket{le=\"10\"} 7");
	expect_line(text, "lockd_store_write_seconds_bucket{le=\"+Inf\"} 8");
	expect_line(text, "lockd_store_write_seconds_sum 12.003456");
	expect_line(text, "lockd_store_write_seconds_count 8");
	expect_line(text, "lockd_checkpoint_seconds_count 0");
	free(text);
}

static void test_exposition__has_every_verb_and_every_status_of_the_wire(void **state) {
	struct exposition of = leader();
	char *text;

	(void)state;
	of.survey.tally.requests[0] = 1;
	of.survey.tally.requests[13] = 4;
	of.survey.tally.replies[LOCKD_BUSY] = 3;
	of.survey.tally.kept_alive = 9;
	text = write_text(&of);
	expect_line(text, "lockd_requests_total{verb=\"unknown\"} 1");
	expect_line(text, "lockd_requests_total{verb=\"acquire\"} 4");
	expect_line(text, "lockd_requests_total{verb=\"open\"} 0");
	expect_line(text, "lockd_requests_total{verb=\"transfer_leader\"} 0");
	assert_null(strstr(text, "verb=\"session\""));
	expect_line(text, "lockd_replies_total{status=\"BUSY\"} 3");
	expect_line(text, "lockd_replies_total{status=\"OK\"} 0");
	expect_line(text, "lockd_sessions_kept_alive_total 9");
	expect_line(text, "lockd_replies_total{status=\"NOT_READY\"} 0");
	assert_null(strstr(text, "status=\"DEADLINE\""));
	free(text);
}

static void test_exposition__says_that_the_disk_is_full_or_silent(void **state) {
	struct exposition of = leader();
	char *text = write_text(&of);

	(void)state;
	expect_line(text, "lockd_disk_full 0");
	expect_line(text, "lockd_ready 1");
	expect_line(text, "lockd_store_waiting_seconds 0.000000");
	free(text);
	of.survey.owed_since = 49900000;
	of.survey.full_since = 20 * 1000000;
	text = write_text(&of);
	expect_line(text, "lockd_disk_full 1");
	expect_line(text, "lockd_ready 0");
	expect_line(text, "lockd_store_waiting_seconds 0.100000");
	free(text);
}

/* ---- The manual ---- */

static char *read_page(void) {
	FILE *stream = fopen(SOURCE_DIR "/docs/man/lockd.8.scd", "re");
	char *page = calloc(1, 1 << 18);
	size_t n;

	assert_non_null(stream);
	assert_non_null(page);
	n = fread(page, 1, (1 << 18) - 1, stream);
	assert_true(n > 0 && n < (1 << 18) - 1);
	assert_int_equal(fclose(stream), 0);
	return page;
}

static size_t count(const char *page, const char *part) {
	size_t n = 0;

	while ((page = strstr(page, part))) {
		n++;
		page++;
	}
	return n;
}

/* A row of the table begins with name and type. */
static void test_exposition__has_every_family_in_the_manual_and_no_other(void **state) {
	struct exposition of = leader();
	char *text = write_text(&of), *page = read_page(), row[256], name[128], type[16];
	size_t n = 0;

	(void)state;
	for (const char *at = text; (at = strstr(at, "# TYPE ")); at++, n++) {
		assert_int_equal(sscanf(at, "# TYPE %127s %15s", name, type), 2);
		snprintf(row, sizeof row, "*%s* (%s)\n", name, type);
		if (count(page, row) != 1)
			fail_msg("lockd(8) has no row, or more than one: %s", row);
	}
	assert_int_equal(count(page, "* (counter)\n") + count(page, "* (gauge)\n") + count(page, "* (histogram)\n"), n);
	free(page);
	free(text);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exposition_fault__names_what_is_wrong),
		cmocka_unit_test(test_exposition_fault__lets_pass_what_is_right),
		cmocka_unit_test(test_exposition__says_how_a_leader_sees_the_others),
		cmocka_unit_test(test_exposition__leaves_out_what_a_follower_does_not_know),
		cmocka_unit_test(test_exposition__cumulates_buckets),
		cmocka_unit_test(test_exposition__has_every_verb_and_every_status_of_the_wire),
		cmocka_unit_test(test_exposition__says_that_the_disk_is_full_or_silent),
		cmocka_unit_test(test_exposition__has_every_family_in_the_manual_and_no_other),
	};

	return cmocka_run_group_tests_name("exposition", tests, NULL, NULL);
}
