/* SPDX-License-Identifier: Apache-2.0 */
#include "panic.h"
#include "replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct raft_configuration four;

static struct raft_event staged(raft_index index, raft_term index_term, raft_term term) {
	four = replica_configuration(4);
	return (struct raft_event){.kind = RAFT_SNAPSHOT_STAGED,
				   .peer = 2,
				   .term = term,
				   .index = index,
				   .index_term = index_term,
				   .configuration = &four,
				   .configuration_index = 3};
}

static struct raft_message append(raft_index index, raft_term index_term, raft_term term, raft_index commit) {
	return (struct raft_message){.type = RAFT_APPEND,
				     .from = 2,
				     .term = term,
				     .index = index,
				     .index_term = index_term,
				     .commit = commit};
}

static void test_snapshot__refuses_old_ones(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "1122"});

	(void)state;
	assert_int_equal(replica_step(&replica, staged(9, 3, 3)), RAFT_E_STALE);
	replica_append(&replica, append(4, 2, 4, 3), "");
	assert_int_equal(replica_step(&replica, staged(3, 2, 4)), RAFT_E_STALE);
	assert_false(replica_status(&replica).installing);
	replica_free(&replica);
}

static void test_snapshot__replaces_a_log_that_lacks_its_last_entry(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .vote = 3, .log = "1122"});
	struct raft_status status;
	raft_index index;

	(void)state;
	assert_int_equal(replica_step(&replica, staged(9, 3, 4)), 0);
	assert_true(replica.fx.save.install);
	assert_false(replica.fx.save.keep_suffix);
	assert_true(replica_status(&replica).installing);
	assert_int_equal(replica_status(&replica).last, 4);
	replica_saved(&replica);
	assert_true(replica.fx.installed);
	assert_int_equal(replica.fx.apply_to, 9);
	status = replica_status(&replica);
	assert_int_equal(status.first, 10);
	assert_int_equal(status.last, 9);
	assert_int_equal(status.commit, 9);
	assert_int_equal(status.term, 4);
	assert_int_equal(status.vote, 3);
	assert_int_equal(raft_term_at(replica.raft, 9), 3);
	assert_true(replica.fx.members_changed);
	assert_int_equal(raft_members(replica.raft, &index)->n, 4);
	assert_int_equal(index, 3);
	assert_int_equal(replica_sent(&replica, 2)->message.index, 9);
	assert_int_equal(replica_sent(&replica, 2)->message.type, RAFT_APPEND_REPLY);
	replica_free(&replica);
}

static void test_snapshot__keeps_what_follows_its_last_entry(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "112234"});

	(void)state;
	assert_int_equal(replica_step(&replica, staged(4, 2, 4)), 0);
	assert_true(replica.fx.save.keep_suffix);
	replica_saved(&replica);
	assert_int_equal(replica_status(&replica).first, 5);
	assert_int_equal(replica_status(&replica).last, 6);
	assert_int_equal(replica_status(&replica).durable, 6);
	assert_int_equal(raft_term_at(replica.raft, 6), 4);
	replica_free(&replica);
}

/* Until the save is durable the old log stands; a commit index that belongs to the one to come must not touch it. */
static void test_snapshot__nothing_moves_while_it_is_installed(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "1122"});

	(void)state;
	replica_step(&replica, staged(9, 3, 4));
	replica_append(&replica, append(4, 2, 4, 9), "444");
	assert_int_equal(replica.fx.n_messages, 0);
	assert_int_equal(replica_status(&replica).last, 4);
	replica_recv(&replica,
		     (struct raft_message){.type = RAFT_HEARTBEAT, .from = 2, .term = 4, .round = 3, .commit = 9});
	assert_int_equal(replica_sent(&replica, 2)->message.round, 3);
	assert_int_equal(replica_status(&replica).commit, 0);
	assert_int_equal(replica_step(&replica, staged(12, 3, 4)), RAFT_E_FULL);
	assert_true(raft_deadline(replica.raft) == UINT64_MAX);
	replica_pass(&replica, 2000 * MS);
	assert_int_equal(replica_status(&replica).role, RAFT_FOLLOWER);
	replica_free(&replica);
}

static void test_snapshot__saves_in_front_of_it_vouch_for_nothing_behind_it(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "11"});

	(void)state;
	replica_append(&replica, append(2, 1, 4, 0), "2222");
	replica_step(&replica, staged(4, 3, 5));
	assert_false(replica.fx.save.keep_suffix);
	replica_step(&replica, (struct raft_event){.kind = RAFT_SAVED, .seq = 2});
	assert_int_equal(replica_status(&replica).last, 4);
	assert_int_equal(replica_status(&replica).durable, 4);
	replica_free(&replica);
}

static void test_snapshot__newer_term_is_taken_over_in_the_same_save(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 4, .log = "11"});

	(void)state;
	replica_step(&replica, staged(4, 3, 7));
	assert_true(replica.fx.save.hard);
	assert_true(replica.fx.save.install);
	assert_int_equal(replica.fx.save.term, 7);
	assert_int_equal(replica_status(&replica).leader, 2);
	replica_free(&replica);
}

/* ---- Leader ---------------------------------------------------------------------------------------------------------
 */

static void reject(struct replica *replica, raft_index index, raft_index hint) {
	replica_recv(replica, (struct raft_message){.type = RAFT_APPEND_REPLY,
						    .flags = RAFT_FLAG_REJECT,
						    .from = 3,
						    .term = 4,
						    .index = index,
						    .hint_index = hint,
						    .hint_term = 1});
}

static void test_snapshot__leader_asks_for_a_transfer_below_its_log(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "123"});
	struct raft_peer peer;

	(void)state;
	replica_lead(&replica);
	replica_recv(&replica, (struct raft_message){.type = RAFT_APPEND_REPLY, .from = 2, .term = 4, .index = 4});
	replica_step(&replica, (struct raft_event){.kind = RAFT_COMPACTED, .index = 3});
	assert_int_equal(replica.fx.need_snapshot, 0);
	replica_step(&replica, (struct raft_event){.kind = RAFT_REPLICATE, .peer = 3, .n = 1, .bytes = 1});
	reject(&replica, 3, 1);
	assert_int_equal(replica.fx.need_snapshot, 4);
	assert_int_equal(replica.fx.replicate, 2 * (raft_next(replica.raft, 2) != 0));
	assert_true(raft_get_peer(replica.raft, 3, &peer));
	assert_true(peer.snapshot);
	replica_step(&replica, (struct raft_event){.kind = RAFT_SNAPSHOT_SENT, .peer = 3, .index = 4});
	assert_int_equal(replica.fx.need_snapshot, 4);
	/* Everything is in the snapshot: an append without entries asks whether it has arrived. */
	replica_step(&replica, (struct raft_event){.kind = RAFT_SNAPSHOT_SENT, .peer = 3, .index = 4, .ok = true});
	assert_int_equal(replica.fx.need_snapshot, 0);
	assert_int_equal(replica_sent(&replica, 3)->message.index, 4);
	assert_int_equal(replica_sent(&replica, 3)->message.n, 0);
	replica_recv(&replica, (struct raft_message){.type = RAFT_APPEND_REPLY, .from = 3, .term = 4, .index = 4});
	assert_true(raft_get_peer(replica.raft, 3, &peer));
	assert_int_equal(peer.match, 4);
	replica_free(&replica);
}

static void test_snapshot__compaction_beyond_what_is_applied_is_a_mistake(void **state) {
	struct replica replica = replica_new((struct replica_boot){.term = 3, .log = "123"});

	(void)state;
	assert_panics(replica_step(&replica, (struct raft_event){.kind = RAFT_COMPACTED, .index = 1}));
	replica_free(&replica);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot__refuses_old_ones),
		cmocka_unit_test(test_snapshot__replaces_a_log_that_lacks_its_last_entry),
		cmocka_unit_test(test_snapshot__keeps_what_follows_its_last_entry),
		cmocka_unit_test(test_snapshot__nothing_moves_while_it_is_installed),
		cmocka_unit_test(test_snapshot__saves_in_front_of_it_vouch_for_nothing_behind_it),
		cmocka_unit_test(test_snapshot__newer_term_is_taken_over_in_the_same_save),
		cmocka_unit_test(test_snapshot__leader_asks_for_a_transfer_below_its_log),
		cmocka_unit_test(test_snapshot__compaction_beyond_what_is_applied_is_a_mistake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
