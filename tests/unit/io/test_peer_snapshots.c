/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots to and from other nodes: what happens when one comes beside another, when an end goes away, when the leader
 * is deposed. Connections, links and the checkpoint thread are played by this test. */
#define XXH_STATIC_LINKING_ONLY
#include "lockd/io/peer_snapshots.h"

#include "api/limits.h"
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
	unsigned headers, chunks, ends;
	uint64_t offset; /* of the last header */
	uint64_t at;     /* of the last chunk */
	bool awaited;
};

static struct peer *all[2]; /* nodes 2 and 3 */
static struct peers peers;
static struct events events;
static struct raft_status raft;
static struct checkpointer_job *job; /* the last one that was asked for */
static struct link *dialled;
static const struct node_uuid incarnation = {{7}};
static uint64_t cut_bytes; /* of the snapshots that are cut here */

/* ---- What the test plays ------------------------------------------------------------------------------------------
 */

void urgent_clear(struct urgent *urgent) {
	assert_int_equal(urgent->n, 0);
}
bool node_get_member(const struct node *node, size_t position, struct node_member *ret) {
	(void)node;
	(void)position;
	(void)ret;
	return false;
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
	if (type == FRAME_PEER_SNAPSHOT_HEADER) {
		Peer__SnapshotHeader *header = peer__snapshot_header__unpack(NULL, n, body);

		c->headers++;
		c->offset = header->offset;
		assert_int_equal(header->digest.len, SNAPSHOT_DIGEST_BYTES);
		peer__snapshot_header__free_unpacked(header, NULL);
	}
	if (type == FRAME_PEER_SNAPSHOT_CHUNK) {
		Peer__SnapshotChunk *chunk = peer__snapshot_chunk__unpack(NULL, n, body);

		c->at = chunk->offset;
		peer__snapshot_chunk__free_unpacked(chunk, NULL);
	}
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
	link->peer = peer_table_find(&peers.table, node);
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
	free(link->connection);
	free(link);
}

/* ---- The story ----------------------------------------------------------------------------------------------------
 */

static int set_up(void **state) {
	(void)state;
	peers = (struct peers){.own = {.node = 1, .incarnation = incarnation}, .now = SECOND};
	peer_table_init(&peers.table);
	all[0] = peer_table_add(&peers.table, 2, PEER_MEMBER, "a:2", NULL);
	all[1] = peer_table_add(&peers.table, 3, PEER_MEMBER, "a:3", NULL);
	LIST_INIT(&peers.links);
	LIST_INIT(&peers.sends);
	arena_init(&peers.arena);
	raft = (struct raft_status){.role = RAFT_LEADER, .term = 5};
	cut_bytes = 10;
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
	peer_snapshots_deinit(&peers);
	peer_table_deinit(&peers.table);
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

static const uint8_t head42[] = {5 << 3, 42}; /* record.Header.index */
static const uint8_t row[] = {3, 0, 0, 0, 'a', 'b', 'c'};

static XXH128_canonical_t digest_of(const uint8_t *bytes, size_t n) {
	XXH128_canonical_t digest;
	XXH3_state_t xxh;

	XXH3_128bits_reset(&xxh);
	XXH3_128bits_update(&xxh, head42, sizeof head42);
	XXH3_128bits_update(&xxh, bytes, n);
	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(&xxh));
	return digest;
}

static void feed_header_at(struct link *link, uint32_t group, const uint8_t *bytes, size_t n, uint64_t offset) {
	Peer__SnapshotHeader header = PEER__SNAPSHOT_HEADER__INIT;
	XXH128_canonical_t digest = digest_of(bytes, n);
	uint8_t body[256];

	header.format = SNAPSHOT_FORMAT;
	header.incarnation = (ProtobufCBinaryData){.data = (uint8_t *)incarnation.bytes, .len = 16};
	header.group = group;
	header.sender_term = 5;
	header.header = (ProtobufCBinaryData){.data = (uint8_t *)head42, .len = sizeof head42};
	header.digest = (ProtobufCBinaryData){.data = digest.digest, .len = sizeof digest.digest};
	header.rows = n > 0;
	header.bytes = n;
	header.offset = offset;
	feed(link, FRAME_PEER_SNAPSHOT_HEADER, body, peer__snapshot_header__pack(&header, body));
}

static void feed_chunk(struct link *link, const uint8_t *bytes, uint64_t offset, size_t n) {
	Peer__SnapshotChunk chunk = PEER__SNAPSHOT_CHUNK__INIT;
	uint8_t body[64];

	chunk.offset = offset;
	chunk.data = (ProtobufCBinaryData){.data = (uint8_t *)bytes + offset, .len = n};
	feed(link, FRAME_PEER_SNAPSHOT_CHUNK, body, peer__snapshot_chunk__pack(&chunk, body));
}

static void feed_end_of(struct link *link, const uint8_t *bytes, size_t n) {
	Peer__SnapshotEnd end = PEER__SNAPSHOT_END__INIT;
	XXH128_canonical_t digest = digest_of(bytes, n);
	uint8_t body[64];

	end.digest = (ProtobufCBinaryData){.data = digest.digest, .len = sizeof digest.digest};
	feed(link, FRAME_PEER_SNAPSHOT_END, body, peer__snapshot_end__pack(&end, body));
}

/* Without rows. */
static void feed_header(struct link *link, uint32_t group) {
	feed_header_at(link, group, NULL, 0, 0);
}

static void feed_end(struct link *link) {
	feed_end_of(link, NULL, 0);
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

static void test_peer_snapshots__let_one_sender_through_at_a_time(void **state) {
	struct link *old_leader = come(2), *new_leader;

	(void)state;
	assert_true(peer_snapshots_are_busy(&peers, all[1])); /* even before the header */
	assert_false(peer_snapshots_are_busy(&peers, all[0]));
	feed_header(old_leader, 1);
	feed_end(old_leader);
	assert_int_equal(staged(), 1);
	assert_true(peer_snapshots_are_busy(&peers, all[0])); /* it is being installed */
	assert_true(peer_snapshots_are_busy(&peers, all[1]));

	peers_staged_done(&peers);
	assert_string_equal(old_leader->connection->closed, "the snapshot is taken");
	gone(old_leader);
	assert_false(peer_snapshots_are_busy(&peers, all[1]));
	new_leader = come(3);
	feed_header(new_leader, 1);
	feed_end(new_leader);
	assert_int_equal(staged(), 2);
	peers_staged_done(&peers);
	gone(new_leader);
}

static void test_peer_snapshots__replace_a_sender_that_stands_still(void **state) {
	struct link *stuck = come(2), *other;

	(void)state;
	feed_header_at(stuck, 1, row, sizeof row, 0);
	feed_chunk(stuck, row, 0, 3);
	peers.now += PEERS_SNAPSHOT_STALL_MS * 1000 - 1;
	assert_true(peer_snapshots_are_busy(&peers, all[1]));
	peers.now++;
	assert_false(peer_snapshots_are_busy(&peers, all[1]));
	other = come(3);
	assert_int_equal(stuck->kind, LINK_REPLACED);
	assert_int_equal(peers.gathering->n, 3);
	feed_header_at(other, 1, row, sizeof row, 3);
	feed_chunk(other, row, 3, sizeof row - 3);
	feed_end_of(other, row, sizeof row);
	assert_int_equal(staged(), 1);
	assert_int_equal(events.all[0].peer, 3);
	gone(stuck);
	peers_staged_done(&peers);
	gone(other);
}

static void break_off_after(size_t n) {
	struct link *link = come(2);

	feed_header_at(link, 1, row, sizeof row, 0);
	feed_chunk(link, row, 0, n);
	gone(link);
	assert_non_null(peers.gathering);
}

static void test_peer_snapshots__go_on_after_a_break(void **state) {
	struct link *link;

	(void)state;
	break_off_after(5);
	peers.now += PEERS_SNAPSHOT_MS_MAX * 1000 - 1;
	peer_snapshots_tick(&peers, &events);
	link = come(2);
	feed_header_at(link, 1, row, sizeof row, 5);
	feed_chunk(link, row, 5, sizeof row - 5);
	feed_end_of(link, row, sizeof row);
	assert_int_equal(staged(), 1);
	assert_memory_equal(events.all[0].rows[0].bytes, "abc", 3);
	peers_staged_done(&peers);
	gone(link);
}

static void test_peer_snapshots__begin_anew_with_another_digest(void **state) {
	static const uint8_t other[] = {3, 0, 0, 0, 'x', 'y', 'z'};
	struct link *link;

	(void)state;
	break_off_after(5);
	link = come(3);
	feed_header_at(link, 1, other, sizeof other, 0);
	feed_chunk(link, other, 0, sizeof other);
	feed_end_of(link, other, sizeof other);
	assert_int_equal(staged(), 1);
	assert_memory_equal(events.all[0].rows[0].bytes, "xyz", 3);
	peers_staged_done(&peers);
	gone(link);
}

static void test_peer_snapshots__drop_what_proves_to_be_damaged(void **state) {
	static const uint8_t damaged[] = {3, 0, 0, 0, 'a', '!', 'c'};
	struct link *link = come(2);

	(void)state;
	feed_header_at(link, 1, row, sizeof row, 0);
	feed_chunk(link, damaged, 0, sizeof damaged);
	feed_end_of(link, row, sizeof row);
	assert_string_equal(link->connection->closed, "a snapshot that is damaged, foreign or not expected");
	assert_null(peers.gathering);
	assert_int_equal(staged(), 0);
	gone(link);
}

static void test_peer_snapshots__forget_what_nobody_continues(void **state) {
	(void)state;
	break_off_after(5);
	assert_int_equal(peer_snapshots_deadline(&peers), peers.now + PEERS_SNAPSHOT_MS_MAX * 1000);
	peers.now += PEERS_SNAPSHOT_MS_MAX * 1000;
	peer_snapshots_tick(&peers, &events);
	assert_null(peers.gathering);
}

static void test_peer_snapshots__forget_what_is_committed_here(void **state) {
	(void)state;
	break_off_after(5);
	raft.commit = 41;
	peer_snapshots_tick(&peers, &events);
	assert_non_null(peers.gathering);
	raft.commit = 42;
	peer_snapshots_tick(&peers, &events);
	assert_null(peers.gathering);
}

static void test_peer_snapshots__of_a_deposed_leader_are_taken_for_the_present_one(void **state) {
	struct link *link = come(2);

	(void)state;
	raft = (struct raft_status){.role = RAFT_FOLLOWER, .term = 6};
	feed_header(link, 1);
	feed_end(link);
	assert_int_equal(staged(), 0); /* nobody leads */
	peer_snapshots_tick(&peers, &events);
	assert_int_equal(staged(), 0);
	raft.leader = 3;
	peer_snapshots_tick(&peers, &events);
	assert_int_equal(staged(), 1);
	assert_int_equal(events.all[0].peer, 3);
	assert_int_equal(events.all[0].term, 6);
	peers_staged_done(&peers);
	gone(link);
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

static void test_peer_snapshots__let_a_sender_begin_anew(void **state) {
	struct link *first = come(2), *second;

	(void)state;
	feed_header_at(first, 1, row, sizeof row, 0);
	feed_chunk(first, row, 0, 2);
	second = come(2);
	assert_int_equal(first->kind, LINK_REPLACED);
	feed_header(second, 1);
	feed_end(second);
	assert_int_equal(staged(), 1);
	gone(first);
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
	assert_memory_equal(events.all[0].header, head42, sizeof head42);
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
	if (done->item.kind == INBOX_SNAPSHOT_CUT && result == 0) {
		done->snapshot.fd = -1;
		done->snapshot.bytes = cut_bytes;
		done->snapshot.index = 42;
		done->snapshot.digest[0] = 1;
		done->unchanged = done->have == 42;
	}
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
	all[0]->outbound = outbound;
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

static void begin(const struct hello *answer) {
	assert_int_equal(dialled->purpose, PEER_PURPOSE_SNAPSHOT);
	peer_snapshots_begin(&peers, dialled, answer);
}

static struct link *begin_sending(struct link **ret_outbound) {
	all[0]->outbound = *ret_outbound = link_make(2, LINK_OUTBOUND);
	send_to(2);
	give_back(0);
	begin(&(struct hello){0});
	return dialled;
}

static void end_of_pause(void) {
	peers.now += PEERS_SNAPSHOT_RETRY_MS * 1000;
	peer_snapshots_tick(&peers, &events);
	expect_end(false);
	events.n = 0;
}

static void test_peer_snapshots__are_not_cut_again_for_another_attempt(void **state) {
	struct link *outbound, *link = begin_sending(&outbound);

	(void)state;
	give_back(0);
	assert_int_equal(link->connection->at, 0);
	gone(link); /* before the end was sent */
	end_of_pause();

	send_to(2);
	assert_int_equal(job->have, 42);
	give_back(0);
	begin(&(struct hello){.snapshot = {{1}}, .snapshot_offset = 4});
	assert_int_equal(dialled->connection->offset, 4);
	assert_int_equal(job->offset, 4);
	assert_int_equal(job->n, 6);
	give_back(0);
	assert_int_equal(dialled->connection->at, 4);
	peers_drained(&peers, dialled->connection);
	assert_int_equal(dialled->connection->ends, 1);
	gone(dialled);
	expect_end(true);
	gone(outbound);
}

static void test_peer_snapshots__begin_at_0_where_the_receiver_has_another_one(void **state) {
	static const struct hello answers[] = {{.snapshot = {{2}}, .snapshot_offset = 4},
					       {.snapshot = {{1}}, .snapshot_offset = 11}};
	struct link *outbound = link_make(2, LINK_OUTBOUND);

	(void)state;
	all[0]->outbound = outbound;
	for (size_t i = 0; i < 2; i++) {
		send_to(2);
		give_back(0);
		begin(&answers[i]);
		assert_int_equal(dialled->connection->offset, 0);
		give_back(0);
		gone(dialled);
		end_of_pause();
	}
	gone(outbound);
}

static void test_peer_snapshots__go_on_when_leadership_is_lost(void **state) {
	struct link *outbound, *link = begin_sending(&outbound);

	(void)state;
	raft = (struct raft_status){.role = RAFT_FOLLOWER, .term = 6, .leader = 3};
	peer_snapshots_tick(&peers, &events);
	give_back(0);
	peers_drained(&peers, link->connection);
	assert_int_equal(link->connection->ends, 1);
	gone(link);
	expect_end(true);
	gone(outbound);
}

static void test_peer_snapshots__come_later_where_the_receiver_is_busy(void **state) {
	struct link *outbound = link_make(2, LINK_OUTBOUND);

	(void)state;
	all[0]->outbound = outbound;
	send_to(2);
	give_back(0);
	peer_snapshots_put_off(&peers, dialled->send);
	dialled->kind = LINK_REPLACED;
	gone(dialled);
	assert_int_equal(peer_snapshots_deadline(&peers), peers.now + PEERS_SNAPSHOT_BUSY_MS * 1000);
	peers.now += PEERS_SNAPSHOT_BUSY_MS * 1000;
	peer_snapshots_tick(&peers, &events);
	expect_end(false);
	gone(outbound);
}

static void test_peer_snapshots__that_are_too_large_are_not_even_offered(void **state) {
	struct link *outbound = link_make(2, LINK_OUTBOUND);

	(void)state;
	all[0]->outbound = outbound;
	dialled = NULL;
	cut_bytes = (uint64_t)LIMIT_SNAPSHOT_BYTES_MAX + 1;
	send_to(2);
	give_back(0);
	assert_null(dialled);
	assert_int_equal(peer_snapshots_deadline(&peers), peers.now + PEERS_SNAPSHOT_LARGE_MS * 1000);
	peers.now += PEERS_SNAPSHOT_LARGE_MS * 1000;
	peer_snapshots_tick(&peers, &events);
	expect_end(false);
	gone(outbound);
}

/* An open file without a name takes room on the disk. */
static void test_peer_snapshots__forget_a_cut_that_nobody_needs(void **state) {
	struct link *outbound, *link = begin_sending(&outbound);

	(void)state;
	give_back(0);
	peers.now += 2 * PEERS_SNAPSHOT_MS_MAX * 1000ull;
	peer_snapshots_tick(&peers, &events);
	assert_non_null(peers.cut); /* in use */
	peers_drained(&peers, link->connection);
	gone(link);
	peer_snapshots_tick(&peers, &events);
	assert_non_null(peers.cut);
	peers.now += PEERS_SNAPSHOT_MS_MAX * 1000;
	peer_snapshots_tick(&peers, &events);
	assert_null(peers.cut);
	gone(outbound);
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
		test(refuses_a_second_one_on_a_connection),
		test(drop_what_proves_to_be_damaged),
		test(let_one_sender_through_at_a_time),
		test(replace_a_sender_that_stands_still),
		test(let_a_sender_begin_anew),
		test(go_on_after_a_break),
		test(begin_anew_with_another_digest),
		test(forget_what_nobody_continues),
		test(forget_what_is_committed_here),
		test(of_a_deposed_leader_are_taken_for_the_present_one),
		test(keeps_what_the_node_has_when_the_sender_goes_away),
		test(are_not_cut_for_a_peer_that_is_away),
		test(end_with_the_leadership_while_they_wait),
		test(wait_for_the_read_at_hand_when_the_receiver_goes_away),
		test(are_sent_whole_and_ended_by_the_receiver),
		test(fail_when_their_file_cannot_be_read),
		test(are_not_cut_again_for_another_attempt),
		test(begin_at_0_where_the_receiver_has_another_one),
		test(go_on_when_leadership_is_lost),
		test(come_later_where_the_receiver_is_busy),
		test(that_are_too_large_are_not_even_offered),
		test(forget_a_cut_that_nobody_needs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
