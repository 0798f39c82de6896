/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots to and from other nodes: what happens when one comes beside another, when an end goes away, when the leader
 * is deposed. Connections, links and the checkpoint thread are played by this test. */
#define XXH_STATIC_LINKING_ONLY
#include "lockd/io/peer_snapshots.h"

#include "api/peer.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

enum { SECOND = 1000000 };

struct connection {
	struct link *link;
	const char *closed;
	unsigned chunks, ends;
	bool awaited;
};

static struct peer all[2];
static struct peers peers;
static struct events events;
static struct raft_status raft;
static struct checkpointer_job *job; /* the last one that was asked for */
static struct link *dialled;
static const struct node_uuid incarnation = {{7}};

/* ---- What the test plays ------------------------------------------------------------------------------------------
 */

struct peer *peers_find(const struct peers *p, uint32_t node) {
	for (size_t i = 0; i < p->n; i++)
		if (p->all[i].node == node)
			return &p->all[i];
	return NULL;
}
raft_usec peers_after_ms(const struct peers *p, uint32_t ms) {
	return p->now + ms * 1000ull;
}
const struct raft *node_raft(const struct node *node, uint32_t group) {
	(void)node;
	return group == 1 ? (const struct raft *)&raft : NULL;
}
void raft_get_status(const struct raft *r, struct raft_status *ret) {
	(void)r;
	*ret = raft;
}
void checkpointer_add(struct checkpointer *checkpointer, struct checkpointer_job *added) {
	(void)checkpointer;
	assert_null(job);
	job = added;
}
void connection_close(struct connection *c, const char *reason) {
	if (!c->closed)
		c->closed = reason;
}
void *connection_owner(const struct connection *c) {
	return c->link;
}
void connection_send(struct connection *c, uint8_t type, uint64_t id, const void *body, size_t n) {
	(void)id;
	(void)body;
	(void)n;
	c->chunks += type == FRAME_PEER_SNAPSHOT_CHUNK;
	c->ends += type == FRAME_PEER_SNAPSHOT_END;
}
void connection_flush(struct connection *c) {
	(void)c;
}
void connection_await_drained(struct connection *c, size_t bytes) {
	(void)bytes;
	c->awaited = true;
}
void connection_take_drained(struct connection *c) {
	c->awaited = false;
}

static struct link *link_make(uint32_t node, enum link_kind kind) {
	struct link *link = calloc(1, sizeof *link);

	link->kind = kind;
	link->peer = peers_find(&peers, node);
	link->connection = calloc(1, sizeof *link->connection);
	link->connection->link = link;
	LIST_INSERT_HEAD(&peers.links, link, next);
	return link;
}
struct link *link_dial(struct peers *p, struct peer *peer, enum peer_purpose purpose) {
	(void)p;
	dialled = link_make(peer->node, LINK_DIALLING);
	dialled->purpose = purpose;
	return dialled;
}
void link_violate(struct link *link, const char *what) {
	link->deaf = true;
	connection_close(link->connection, what);
}
void link_replace(struct peers *p, struct link *link) {
	(void)p;
	link->kind = LINK_REPLACED;
	connection_close(link->connection, "replaced");
}

/* INBOX_CLOSED of a link has come. */
static void gone(struct link *link) {
	if (link->kind == LINK_INBOUND_SNAPSHOT)
		peer_snapshots_inbound_closed(&peers, link);
	if (link->kind == LINK_OUTBOUND_SNAPSHOT)
		peer_snapshots_outbound_closed(&peers, link, &events);
	LIST_REMOVE(link, next);
	snapshot_receive_free(link->receive);
	free(link->connection);
	free(link);
}

/* ---- The story ----------------------------------------------------------------------------------------------------
 */

static int set_up(void **state) {
	(void)state;
	memset(all, 0, sizeof all);
	all[0].node = 2;
	all[1].node = 3;
	peers = (struct peers){.all = all, .n = 2, .own = {.node = 1, .incarnation = incarnation}, .now = SECOND};
	LIST_INIT(&peers.links);
	LIST_INIT(&peers.sends);
	arena_init(&peers.arena);
	raft = (struct raft_status){.role = RAFT_LEADER, .term = 5};
	job = NULL;
	events.n = 0;
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	assert_true(LIST_EMPTY(&peers.links));
	assert_true(LIST_EMPTY(&peers.sends));
	assert_null(peers.staged);
	assert_null(job);
	arena_deinit(&peers.arena);
	events_deinit(&events);
	return 0;
}

static struct link *come(uint32_t node) {
	struct link *link = link_make(node, LINK_STRANGER);

	peer_snapshots_expect(&peers, link);
	return link;
}

static void feed(struct link *link, uint8_t type, const uint8_t *body, size_t n) {
	struct frame frame = {.type = type, .body = body, .body_bytes = n};

	if (!link->deaf)
		peer_snapshots_frame(&peers, link, &frame, &events);
}

static void feed_header(struct link *link, uint32_t group) {
	Peer__SnapshotHeader header = PEER__SNAPSHOT_HEADER__INIT;
	uint8_t body[256];

	header.format = SNAPSHOT_FORMAT;
	header.incarnation = (ProtobufCBinaryData){.data = (uint8_t *)incarnation.bytes, .len = 16};
	header.group = group;
	header.sender_term = 5;
	header.header = (ProtobufCBinaryData){.data = (uint8_t *)"head", .len = 4};
	feed(link, FRAME_PEER_SNAPSHOT_HEADER, body, peer__snapshot_header__pack(&header, body));
}

/* A snapshot of no rows. */
static void feed_end(struct link *link) {
	Peer__SnapshotEnd end = PEER__SNAPSHOT_END__INIT;
	XXH128_canonical_t digest;
	uint8_t body[64];

	XXH128_canonicalFromHash(&digest, XXH3_128bits("head", 4));
	end.digest = (ProtobufCBinaryData){.data = digest.digest, .len = sizeof digest.digest};
	feed(link, FRAME_PEER_SNAPSHOT_END, body, peer__snapshot_end__pack(&end, body));
}

static unsigned staged(void) {
	unsigned n = 0;

	for (size_t i = 0; i < events.n; i++)
		n += events.all[i].kind == NODE_SNAPSHOT_STAGED;
	return n;
}

static void test_peer_snapshots__refuses_a_group_that_the_node_does_not_have(void **state) {
	struct link *link = come(2);

	(void)state;
	feed_header(link, 9);
	assert_string_equal(link->connection->closed, "a snapshot that is damaged, foreign or not expected");
	assert_int_equal(staged(), 0);
	gone(link);
}

static void test_peer_snapshots__hands_over_one_of_two_that_come_side_by_side(void **state) {
	struct link *old_leader = come(2), *new_leader = come(3), *again;

	(void)state;
	feed_header(old_leader, 1);
	feed_header(new_leader, 1);
	feed_end(old_leader);
	assert_int_equal(staged(), 1);
	feed_end(new_leader);
	assert_int_equal(staged(), 1);
	assert_string_equal(new_leader->connection->closed, "another snapshot is being installed");
	gone(new_leader);

	peers_staged_done(&peers);
	assert_string_equal(old_leader->connection->closed, "the snapshot is taken");
	gone(old_leader);
	again = come(3);
	feed_header(again, 1);
	feed_end(again);
	assert_int_equal(staged(), 2);
	peers_staged_done(&peers);
	gone(again);
}

static void test_peer_snapshots__refuses_a_second_one_on_a_connection(void **state) {
	struct link *link = come(2);

	(void)state;
	feed_header(link, 1);
	feed_end(link);
	feed_header(link, 1);
	assert_string_equal(link->connection->closed, "more than one snapshot on a connection");
	assert_int_equal(staged(), 1);
	peers_staged_done(&peers);
	gone(link);
}

static void test_peer_snapshots__forgets_a_transfer_that_its_sender_began_anew(void **state) {
	struct link *first = come(2), *other = come(3), *second;

	(void)state;
	feed_header(first, 1);
	feed_header(other, 1);
	second = come(2);
	assert_int_equal(first->kind, LINK_REPLACED);
	assert_null(first->receive);
	assert_null(other->connection->closed);
	feed_header(second, 1);
	feed_end(second);
	assert_int_equal(staged(), 1);
	gone(first);
	gone(other);
	peers_staged_done(&peers);
	gone(second);
}

static void test_peer_snapshots__keeps_what_the_node_has_when_the_sender_goes_away(void **state) {
	struct link *link = come(2);

	(void)state;
	feed_header(link, 1);
	feed_end(link);
	gone(link);
	assert_non_null(peers.staged);
	assert_null(peers.staged_link);
	assert_memory_equal(events.all[0].header, "head", 4);
	peers_staged_done(&peers);
}

/* ---- Sending ------------------------------------------------------------------------------------------------------
 */

static void send_to(uint32_t node) {
	peers_send_snapshot(&peers, &(struct node_snapshot){.group = 1, .peer = node, .term = 5});
}

static void give_back(int result) {
	struct checkpointer_job *done = job;

	assert_non_null(done);
	job = NULL;
	done->result = result;
	done->snapshot.fd = -1; /* of a cut */
	done->snapshot.bytes = 10;
	done->snapshot.index = 42;
	peers_snapshot_job(&peers, done);
}

/* The only event: the end of the transfer. */
static void expect_end(bool ok) {
	assert_int_equal(events.n, 1);
	assert_int_equal(events.all[0].kind, NODE_SNAPSHOT_SENT);
	assert_int_equal(events.all[0].ok, ok);
	assert_int_equal(events.all[0].peer, 2);
}

static void expect_failure_after_a_pause(void) {
	raft_usec end = peers.now + PEERS_SNAPSHOT_RETRY_MS * 1000;

	assert_int_equal(peer_snapshots_deadline(&peers), end);
	peers.now = end - 1;
	peer_snapshots_tick(&peers, &events);
	assert_int_equal(events.n, 0);
	peers.now = end;
	peer_snapshots_tick(&peers, &events);
	expect_end(false);
}

static void test_peer_snapshots__are_not_cut_for_a_peer_that_is_away(void **state) {
	struct link *outbound;

	(void)state;
	send_to(2);
	peer_snapshots_tick(&peers, &events);
	assert_null(job);
	outbound = link_make(2, LINK_OUTBOUND);
	all[0].outbound = outbound;
	peer_snapshots_tick(&peers, &events);
	assert_non_null(job);
	give_back(STORE_FULL);
	expect_failure_after_a_pause();
	gone(outbound);
}

static void test_peer_snapshots__end_with_the_leadership_while_they_wait(void **state) {
	(void)state;
	send_to(2);
	raft.term = 6;
	peer_snapshots_tick(&peers, &events);
	expect_failure_after_a_pause();
}

static struct link *begin_sending(struct link **ret_outbound) {
	all[0].outbound = *ret_outbound = link_make(2, LINK_OUTBOUND);
	send_to(2);
	give_back(0);
	assert_int_equal(dialled->purpose, PEER_PURPOSE_SNAPSHOT);
	peer_snapshots_begin(&peers, dialled);
	return dialled;
}

static void test_peer_snapshots__wait_for_the_read_at_hand_when_the_receiver_goes_away(void **state) {
	struct link *outbound, *link = begin_sending(&outbound);

	(void)state;
	assert_non_null(job); /* reads the first chunk */
	gone(link);
	peers.now += 2 * PEERS_SNAPSHOT_RETRY_MS * 1000;
	peer_snapshots_tick(&peers, &events);
	assert_int_equal(events.n, 0);
	give_back(0);
	peer_snapshots_tick(&peers, &events);
	expect_end(false);
	gone(outbound);
}

static void test_peer_snapshots__are_sent_whole_and_ended_by_the_receiver(void **state) {
	struct link *outbound, *link = begin_sending(&outbound);

	(void)state;
	give_back(0);
	assert_int_equal(link->connection->chunks, 1);
	assert_true(link->connection->awaited);
	peers_drained(&peers, link->connection);
	assert_int_equal(link->connection->ends, 1);
	assert_int_equal(events.n, 0);
	gone(link);
	expect_end(true);
	assert_int_equal(events.all[0].index, 42);
	gone(outbound);
}

static void test_peer_snapshots__fail_when_their_file_cannot_be_read(void **state) {
	struct link *outbound, *link = begin_sending(&outbound);

	(void)state;
	give_back(-5);
	assert_string_equal(link->connection->closed, "the snapshot file cannot be read");
	gone(link);
	expect_failure_after_a_pause();
	gone(outbound);
}

#define test(name) cmocka_unit_test_setup_teardown(test_peer_snapshots__##name, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
		test(refuses_a_group_that_the_node_does_not_have),
		test(hands_over_one_of_two_that_come_side_by_side),
		test(refuses_a_second_one_on_a_connection),
		test(forgets_a_transfer_that_its_sender_began_anew),
		test(keeps_what_the_node_has_when_the_sender_goes_away),
		test(are_not_cut_for_a_peer_that_is_away),
		test(end_with_the_leadership_while_they_wait),
		test(wait_for_the_read_at_hand_when_the_receiver_goes_away),
		test(are_sent_whole_and_ended_by_the_receiver),
		test(fail_when_their_file_cannot_be_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
