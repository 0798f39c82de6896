/* SPDX-License-Identifier: Apache-2.0 */
/* Life and the edges of a step. */
#include "panic.h"
#include "replica.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int begin(struct replica *replica, enum raft_event_kind kind, const struct raft_configuration *configuration) {
	return replica_step(replica,
			    (struct raft_event){.kind = kind,
						.entries = &(struct raft_entry){.type = RAFT_ENTRY_CONFIGURATION,
										.configuration = configuration}});
}

static int found(struct replica *replica, const struct raft_configuration *configuration) {
	return begin(replica, RAFT_FOUND, configuration);
}

static void test_raft__founding_needs_a_blank_node_that_is_named(void **state) {
	struct replica old = replica_new((struct replica_boot){.term = 1}),
		       blank = replica_new((struct replica_boot){.blank = true});
	struct raft_configuration configuration = replica_configuration(3);

	(void)state;
	assert_int_equal(found(&old, &configuration), RAFT_E_MISFIT);
	configuration.members[0].store.bytes[0] = 77;
	assert_int_equal(found(&blank, &configuration), RAFT_E_MISFIT);
	assert_int_equal(blank.fx.save.seq, 0);
	replica_free(&old);
	replica_free(&blank);
}

static void test_raft__founding_writes_index_one(void **state) {
	struct replica replica = replica_new((struct replica_boot){.blank = true});
	struct raft_configuration configuration = replica_configuration(3);
	raft_index index;

	(void)state;
	assert_int_equal(found(&replica, &configuration), 0);
	assert_true(replica.fx.save.hard);
	assert_int_equal(replica.fx.save.term, 1);
	assert_int_equal(replica.fx.save.vote, 0);
	assert_int_equal(replica.fx.save.first, 1);
	assert_true(replica.fx.members_changed);
	assert_int_equal(raft_members(replica.raft, &index)->n, 3);
	assert_int_equal(index, 1);
	assert_int_equal(found(&replica, &configuration), RAFT_E_MISFIT);
	replica_saved(&replica);
	replica_step(&replica, (struct raft_event){.kind = RAFT_CAMPAIGN});
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	replica_free(&replica);
}

static void test_raft__joining_needs_a_blank_node(void **state) {
	struct replica old = replica_new((struct replica_boot){.term = 1}),
		       blank = replica_new((struct replica_boot){.blank = true});
	struct raft_configuration configuration = replica_configuration(3);

	(void)state;
	assert_int_equal(begin(&old, RAFT_JOIN, &configuration), RAFT_E_MISFIT);
	assert_false(old.fx.members_changed);
	configuration.members[1].node = 1;
	assert_int_equal(begin(&blank, RAFT_JOIN, &configuration), RAFT_E_MISFIT);
	assert_int_equal(blank.fx.save.seq, 0);
	replica_free(&old);
	replica_free(&blank);
}

/* It votes for candidates of the cluster that it does not know, and stands for election once the log names its store.
 */
static void test_raft__joined_node_votes_and_does_not_campaign(void **state) {
	struct replica replica = replica_new((struct replica_boot){.blank = true});
	struct raft_configuration configuration = replica_configuration(4);
	struct raft_entry entry = {.term = 5, .type = RAFT_ENTRY_CONFIGURATION, .configuration = &configuration};
	struct raft_message append = {
		.type = RAFT_APPEND, .group = 1, .from = 8, .to = 1, .term = 5, .index = 1, .index_term = 1, .n = 1};
	struct raft_configuration founding = configuration;

	(void)state;
	memmove(founding.members, founding.members + 1, 3 * sizeof(founding.members[0]));
	founding.n = 3;
	assert_int_equal(begin(&replica, RAFT_JOIN, &founding), 0);
	assert_true(replica.fx.members_changed);
	assert_int_equal(replica.fx.save.first, 1);
	assert_int_equal(replica.fx.save.n, 1);
	assert_int_equal(replica.fx.save.term, 1);
	replica_saved(&replica);
	assert_false(replica.fx.members_changed);
	assert_true(raft_deadline(replica.raft) == UINT64_MAX);
	replica_step(&replica, (struct raft_event){.kind = RAFT_CAMPAIGN});
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_VOTE, .from = 8, .term = 4, .index = 3, .index_term = 2});
	assert_int_equal(replica_status(&replica).vote, 8);

	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &append, .entries = &entry});
	assert_true(replica.fx.members_changed);
	replica_saved(&replica);
	replica_step(&replica, (struct raft_event){.kind = RAFT_CAMPAIGN});
	assert_int_equal(replica_status(&replica).role, RAFT_PRECANDIDATE);
	replica_free(&replica);
}

/* It is a voter by an entry that its log lacks yet, and may have to vote for whoever is to send it. Before that entry
 * it does not stand itself. */
static void test_raft__successor_of_a_lost_store_votes_before_its_log_names_it(void **state) {
	struct replica replica = replica_new((struct replica_boot){.blank = true});
	struct raft_configuration founding = replica_configuration(3), named = replica_configuration(3);
	struct raft_entry entry = {.term = 5, .type = RAFT_ENTRY_CONFIGURATION, .configuration = &named};
	struct raft_message vote = {.type = RAFT_VOTE, .from = 2, .term = 4, .index = 3, .index_term = 2};
	struct raft_message append = {
		.type = RAFT_APPEND, .group = 1, .from = 2, .to = 1, .term = 5, .index = 1, .index_term = 1, .n = 1};

	(void)state;
	founding.members[0].store.bytes[0] = 77;
	assert_int_equal(begin(&replica, RAFT_JOIN, &founding), 0);
	replica_saved(&replica);
	replica_recv(&replica, vote);
	assert_int_equal(replica_sent(&replica, 2)->message.flags, 0);
	assert_int_equal(replica_status(&replica).vote, 2);
	vote.from = 3;
	replica_recv(&replica, vote);
	assert_int_equal(replica_sent(&replica, 3)->message.flags, RAFT_FLAG_REJECT);
	assert_true(raft_deadline(replica.raft) == UINT64_MAX);

	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &append, .entries = &entry});
	replica_saved(&replica);
	assert_true(raft_deadline(replica.raft) < UINT64_MAX);
	replica_free(&replica);
}

/* Another leader's configuration takes the place of one at the very same index. */
static void test_raft__replaced_configuration_is_a_change(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 1});
	struct raft_configuration four = replica_configuration(4), five = replica_configuration(5);
	struct raft_entry entry = {.term = 1, .type = RAFT_ENTRY_CONFIGURATION, .configuration = &four};
	struct raft_message append = {.type = RAFT_APPEND, .group = 1, .from = 2, .to = 1, .term = 1, .n = 1};

	(void)state;
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &append, .entries = &entry});
	assert_true(replica.fx.members_changed);
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &append, .entries = &entry});
	assert_false(replica.fx.members_changed);
	append.from = 3;
	append.term = entry.term = 2;
	entry.configuration = &five;
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &append, .entries = &entry});
	assert_true(replica.fx.members_changed);
	assert_int_equal(raft_members(replica.raft, NULL)->n, 5);
	/* Truncated without another one in its place: back to the one before. */
	append.from = 2;
	append.term = 3;
	entry = (struct raft_entry){.term = 3, .type = RAFT_ENTRY_COMMANDS};
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &append, .entries = &entry});
	assert_true(replica.fx.members_changed);
	assert_int_equal(raft_members(replica.raft, NULL)->n, 3);
	replica_free(&replica);
}

static void test_raft__time_does_not_go_back(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 1});

	(void)state;
	replica.clocks.mono--;
	assert_panics(replica_step(&replica, (struct raft_event){.kind = RAFT_TIME}));
	replica_free(&replica);
}

static void test_raft__restore_reports_what_does_not_fit(void **state) {
	struct raft_limits limits = {
		.term_runs = 2, .saves = 1, .configurations = 1, .inflight = 1, .inflight_bytes = 1};
	struct raft_boot boot = {.node = 1,
				 .term = 9,
				 .timing = {.heartbeat = 1, .check_quorum = 2, .election_min = 3, .election_max = 4},
				 .limits = limits};
	struct raft_configuration three = replica_configuration(3);
	_Alignas(max_align_t) static uint8_t memory[1 << 16];
	struct raft *raft;

	(void)state;
	assert_in_range(raft_size(&limits), 1, sizeof(memory));
	raft = raft_init(memory, &boot);
	assert_int_equal(raft_restore(raft, &(struct raft_entry){1, RAFT_ENTRY_CONFIGURATION, &three}), 0);
	assert_int_equal(raft_restore(raft, &(struct raft_entry){2, RAFT_ENTRY_CONFIGURATION, &three}), 0);
	assert_int_equal(raft_restore(raft, &(struct raft_entry){2, RAFT_ENTRY_CONFIGURATION, &three}), RAFT_E_FULL);
	assert_int_equal(raft_restore(raft, &(struct raft_entry){2, RAFT_ENTRY_COMMANDS, NULL}), 0);
	assert_int_equal(raft_restore(raft, &(struct raft_entry){3, RAFT_ENTRY_COMMANDS, NULL}), RAFT_E_FULL);
}

/* Messages that were meant for somebody else, or that no correct node sends. */
static void test_raft__strange_messages_are_dropped(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 1});
	struct raft_message message = {.type = RAFT_HEARTBEAT, .group = 1, .from = 2, .to = 1, .term = 5}, strange;

	(void)state;
	strange = message, strange.to = 3;
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &strange});
	strange = message, strange.group = 9;
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &strange});
	strange = message, strange.from = 1;
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &strange});
	strange = message, strange.type = 77;
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &strange});
	assert_int_equal(replica_status(&replica).term, 1);
	assert_int_equal(replica.fx.n_messages, 0);
	replica_step(&replica, (struct raft_event){.kind = RAFT_RECV, .message = &message});
	assert_int_equal(replica_status(&replica).term, 5);
	replica_free(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raft__founding_needs_a_blank_node_that_is_named),
		cmocka_unit_test(test_raft__founding_writes_index_one),
		cmocka_unit_test(test_raft__joining_needs_a_blank_node),
		cmocka_unit_test(test_raft__joined_node_votes_and_does_not_campaign),
		cmocka_unit_test(test_raft__successor_of_a_lost_store_votes_before_its_log_names_it),
		cmocka_unit_test(test_raft__replaced_configuration_is_a_change),
		cmocka_unit_test(test_raft__time_does_not_go_back),
		cmocka_unit_test(test_raft__restore_reports_what_does_not_fit),
		cmocka_unit_test(test_raft__strange_messages_are_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
