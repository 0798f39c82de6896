/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include "api/peer.pb-c.h"

#include <string.h>

/* Frames to peers of one step, by message type. */
struct sent {
	unsigned votes, vote_replies;
};

static struct sent step(struct node *node, raft_usec now, const struct node_event *event, uint64_t *last_seq) {
	struct raft_clocks clocks = {.mono = now, .boot = now};
	struct node_effects effects;
	struct sent sent = {0};

	node_step(node, &clocks, event, event ? 1 : 0, &effects);
	for (size_t i = 0; i < effects.n_saves; i++)
		*last_seq = effects.saves[i].seq;
	for (size_t i = 0; i < effects.n_peer_frames; i++) {
		Peer__Message *message =
			peer__message__unpack(NULL, effects.peer_frames[i].body_bytes, effects.peer_frames[i].body);

		sent.votes += message->type == RAFT_PREVOTE || message->type == RAFT_VOTE;
		sent.vote_replies += message->type == RAFT_VOTE_REPLY;
		peer__message__free_unpacked(message, NULL);
	}
	return sent;
}

/* A voter must not answer before its vote is on disk: after a crash it could vote twice. */
static void test_outbox__withholds_a_vote_until_it_is_durable(void **unused) {
	struct cluster cluster;
	struct raft_status status;
	struct node_event event = {.kind = NODE_PEER_FRAME, .peer = 2, .type = FRAME_PEER_MESSAGE};
	struct node_event saved = {.kind = NODE_SAVED, .group = 1};
	Peer__Message vote = PEER__MESSAGE__INIT;
	struct node *node;
	uint8_t body[128];
	struct sent sent;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	node = cluster_node(&cluster, 1)->node;
	for (uint32_t id = 1; id <= 3; id++)
		cluster_node(&cluster, id)->cut = true;
	/* Long enough for a leader to step down and for every promise to end. */
	cluster_advance(&cluster, 1000 * CLUSTER_MS);
	raft_get_status(node_raft(node, 1), &status);

	vote.group = 1;
	vote.type = RAFT_VOTE;
	vote.from = 2;
	vote.to = 1;
	vote.term = status.term + 1;
	vote.index = status.last + 10;
	vote.index_term = status.term;
	vote.round = 1;
	event.body = body;
	event.body_bytes = peer__message__pack(&vote, body);
	saved.seq = 0;
	sent = step(node, cluster.now, &event, &saved.seq);
	assert_int_equal(sent.vote_replies, 0);
	assert_int_not_equal(saved.seq, 0);
	sent = step(node, cluster.now, NULL, &saved.seq);
	assert_int_equal(sent.vote_replies, 0);
	sent = step(node, cluster.now, &saved, &saved.seq);
	assert_int_equal(sent.vote_replies, 1);
	cluster_deinit(&cluster);
}

static void test_outbox__asks_for_no_votes_while_a_save_is_blocked(void **unused) {
	struct cluster cluster;
	struct node_event blocked = {.kind = NODE_SAVE_BLOCKED};
	struct node *node;
	struct sent sent;
	uint64_t seq = 0;

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	node = cluster_node(&cluster, 1)->node;
	cluster_advance(&cluster, 10 * CLUSTER_MS);
	(void)step(node, cluster.now, &blocked, &seq);
	for (int i = 1; i <= 10; i++) {
		sent = step(node, cluster.now + (raft_usec)i * 1000 * CLUSTER_MS, NULL, &seq);
		assert_int_equal(sent.votes, 0);
	}
	assert_int_equal(seq, 0);
	cluster_deinit(&cluster);
}

/* A damaged entry is dropped with a trace and sent again. */
static void test_outbox__frames_with_damaged_entries_are_dropped_by_the_receiver(void **unused) {
	struct cluster cluster;
	uint32_t leader, follower;
	struct raft_status status;
	struct node_event event = {.kind = NODE_PEER_FRAME, .type = FRAME_PEER_MESSAGE};
	Peer__Message append = PEER__MESSAGE__INIT;
	Peer__Entry entry = PEER__ENTRY__INIT, *entries[] = {&entry};
	uint8_t body[256];

	(void)unused;
	cluster_init(&cluster, 3);
	cluster_found(&cluster);
	leader = cluster_leader(&cluster);
	follower = leader == 1 ? 2 : 1;
	raft_get_status(node_raft(cluster_node(&cluster, follower)->node, 1), &status);
	append.group = 1;
	append.type = RAFT_APPEND;
	append.from = leader;
	append.to = follower;
	append.term = status.term;
	append.index = status.last;
	append.index_term = raft_term_at(node_raft(cluster_node(&cluster, follower)->node, 1), status.last);
	append.wait_us = 200000;
	entry.term = status.term;
	entry.type = RAFT_ENTRY_COMMANDS;
	entry.data = cluster_bytes("damaged");
	entry.checksum = 1;
	append.n_entries = 1;
	append.entries = entries;
	event.peer = leader;
	event.body = body;
	event.body_bytes = peer__message__pack(&append, body);
	cluster_post(&cluster, follower, &event);
	cluster_settle(&cluster);
	assert_non_null(strstr(cluster_node(&cluster, follower)->traces, "checksum"));
	assert_false(
		node_get_entry(cluster_node(&cluster, follower)->node, 1, status.last + 1, &(struct node_entry){0}));
	/* Garbage and messages for somebody else likewise. */
	event.body = (const uint8_t *)"\xff\xff\xff";
	event.body_bytes = 3;
	cluster_post(&cluster, follower, &event);
	append.to = 3;
	event.body = body;
	event.body_bytes = peer__message__pack(&append, body);
	cluster_post(&cluster, 3 - follower, &event);
	cluster_settle(&cluster);
	assert_int_equal(cluster_leader(&cluster), leader);
	cluster_deinit(&cluster);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outbox__withholds_a_vote_until_it_is_durable),
		cmocka_unit_test(test_outbox__asks_for_no_votes_while_a_save_is_blocked),
		cmocka_unit_test(test_outbox__frames_with_damaged_entries_are_dropped_by_the_receiver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
