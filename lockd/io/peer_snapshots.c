/* SPDX-License-Identifier: Apache-2.0 */
#include "peer_snapshots.h"

#include "api/limits.h"
#include "log.h"
#include "metrics.h"

#include <errno.h>
#include <stdlib.h>

/* ---- Sending ------------------------------------------------------------------------------------------------------
 */

static void peer_snapshots_end(struct peers *peers, struct snapshot_send *send, bool ok, struct events *events) {
	struct node_event *event = events_add(events, NODE_SNAPSHOT_SENT);

	event->peer = send->peer;
	event->group = send->group;
	event->ok = ok;
	if (send->cut) {
		event->index = send->cut->snapshot.index;
		send->cut->used_at = peers->now;
	}
	LIST_REMOVE(send, next);
	snapshot_send_free(send);
}

static void end_later(struct peers *peers, struct snapshot_send *send, uint32_t ms) {
	send->ended = true;
	send->waiting = false;
	send->connection = NULL;
	send->report_at = peers_after_ms(peers, ms);
}

void peer_snapshots_fail(struct peers *peers, struct snapshot_send *send) {
	end_later(peers, send, PEERS_SNAPSHOT_RETRY_MS);
}

void peer_snapshots_put_off(struct peers *peers, struct snapshot_send *send) {
	log_info("a snapshot has to wait: peer=%u reason=\"it is busy with another one\" pause_ms=%d", send->peer,
		 PEERS_SNAPSHOT_BUSY_MS);
	end_later(peers, send, PEERS_SNAPSHOT_BUSY_MS);
}

static bool still_leads(const struct peers *peers, const struct snapshot_send *send) {
	struct raft_status status;

	raft_get_status(node_raft(peers->node, send->group), &status);
	return status.role == RAFT_LEADER && status.term == send->term;
}

/* A peer that is away costs nothing: its snapshot is cut when it comes back, from the checkpoint of that day. */
static void tick_waiting(struct peers *peers, struct snapshot_send *send) {
	const struct peer *peer = peer_table_find(&peers->table, send->peer);

	if (peers->finishing || !peer || !still_leads(peers, send))
		peer_snapshots_fail(peers, send);
	else if (peer->outbound)
		snapshot_send_cut(send, peers->cut);
}

static void tick_cut(struct peers *peers) {
	const struct snapshot_cut *cut = peers->cut;

	if (cut && cut->users == 1 && peers->now >= cut->used_at + PEERS_SNAPSHOT_MS_MAX * 1000ull)
		peers->cut = snapshot_cut_unref(peers->cut);
}

static void tick_sends(struct peers *peers, struct events *events) {
	struct snapshot_send *send, *next;

	for (send = LIST_FIRST(&peers->sends); send; send = next) {
		next = LIST_NEXT(send, next);
		if (send->waiting)
			tick_waiting(peers, send);
		if (send->ended && !send->busy && (send->report_at <= peers->now || peers->finishing))
			peer_snapshots_end(peers, send, false, events);
	}
}

void peers_send_snapshot(struct peers *peers, const struct node_snapshot *snapshot) {
	struct snapshot_send *send = snapshot_send_new(peers->checkpointer, snapshot);

	LIST_INSERT_HEAD(&peers->sends, send, next);
	tick_waiting(peers, send);
}

static void keep_cut(struct peers *peers, struct snapshot_cut *cut) {
	if (peers->cut == cut)
		return;
	snapshot_cut_unref(peers->cut);
	peers->cut = snapshot_cut_ref(cut);
}

/* It would not be taken; a later checkpoint may be smaller. */
static bool is_too_large(struct peers *peers, const struct snapshot_send *send) {
	bool large = send->cut->snapshot.bytes > LIMIT_SNAPSHOT_BYTES_MAX;

	if (large && !peers->cut_too_large)
		log_error("a snapshot is too large to be sent, nodes that lag cannot catch up: peer=%u group=%u "
			  "index=%llu "
			  "bytes=%llu bytes_max=%d",
			  send->peer, send->group, (unsigned long long)send->cut->snapshot.index,
			  (unsigned long long)send->cut->snapshot.bytes, LIMIT_SNAPSHOT_BYTES_MAX);
	peers->cut_too_large = large;
	return large;
}

static void dial_for(struct peers *peers, struct snapshot_send *send, struct peer *peer) {
	struct link *link = link_dial(peers, peer, PEER_PURPOSE_SNAPSHOT);

	if (link)
		link->send = send;
	else
		peer_snapshots_fail(peers, send);
}

static void on_cut(struct peers *peers, struct snapshot_send *send, const struct checkpointer_job *job) {
	struct peer *peer = peer_table_find(&peers->table, send->peer);
	int r = snapshot_send_on_cut(send, job);

	if (r == 0)
		keep_cut(peers, send->cut);
	if (r < 0 || !peer || peers->finishing)
		peer_snapshots_fail(peers, send);
	else if (is_too_large(peers, send))
		end_later(peers, send, PEERS_SNAPSHOT_LARGE_MS);
	else
		dial_for(peers, send, peer);
}

void peers_snapshot_job(struct peers *peers, struct checkpointer_job *job) {
	struct snapshot_send *send = job->owner;

	if (job->item.kind == INBOX_SNAPSHOT_CUT)
		on_cut(peers, send, job);
	else if (snapshot_send_on_read(send, job) < 0 && !send->ended)
		connection_close(send->connection, "the snapshot file cannot be read");
	free(job->bytes);
	free(job);
}

void peer_snapshots_begin(struct peers *peers, struct link *link, const struct hello *theirs) {
	const struct snapshot_send *send = link->send;

	link->kind = LINK_OUTBOUND_SNAPSHOT;
	link->deadline = peers_after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
	snapshot_send_begin(link->send, link->connection, &peers->own, theirs);
	log_info("sending a snapshot: peer=%u group=%u index=%llu rows=%llu bytes=%llu offset=%llu", send->peer,
		 send->group, (unsigned long long)send->cut->snapshot.index,
		 (unsigned long long)send->cut->snapshot.rows, (unsigned long long)send->cut->snapshot.bytes,
		 (unsigned long long)send->offset);
}

void peers_drained(struct peers *peers, struct connection *connection) {
	struct link *link = connection_owner(connection);

	connection_take_drained(connection);
	if (link->kind == LINK_OUTBOUND_SNAPSHOT) {
		link->deadline = peers_after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
		snapshot_send_on_drained(link->send);
	}
}

void peer_snapshots_outbound_closed(struct peers *peers, struct link *link, struct events *events) {
	struct snapshot_send *send = link->send;

	if (!send->end_sent) {
		peer_snapshots_fail(peers, send);
		return;
	}
	metrics_add(METRICS_SNAPSHOTS_SENT, 1);
	peer_snapshots_end(peers, send, true, events);
}

/* ---- Receiving ----------------------------------------------------------------------------------------------------
 */

bool peer_snapshots_are_busy(const struct peers *peers, const struct peer *from) {
	if (peers->staged)
		return true;
	return peers->gathering_link && peers->gathering_link->peer != from &&
	       peers->now < peers->gathered_at + PEERS_SNAPSHOT_STALL_MS * 1000ull;
}

/* Whoever comes now has given its older transfer up, or takes the place of one that stands still. */
void peer_snapshots_expect(struct peers *peers, struct link *link) {
	if (peers->gathering_link)
		link_replace(peers, peers->gathering_link);
	peers->gathering_link = link;
	peers->gathered_at = peers->now;
	link->kind = LINK_INBOUND_SNAPSHOT;
	link->deadline = peers_after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
}

/* The core takes a snapshot from the leader of the present term. If the sender has been deposed meanwhile, the leader
 * that we follow stands for it: it has all that is committed. false: none is known. */
static bool find_sender(const struct peers *peers, const struct snapshot_receive *receive, struct node_event *event) {
	struct raft_status status;

	raft_get_status(node_raft(peers->node, receive->group), &status);
	event->peer = receive->from;
	event->term = receive->term;
	if (receive->term >= status.term)
		return true;
	event->peer = status.leader;
	event->term = status.term;
	return status.role == RAFT_FOLLOWER && status.leader > 0;
}

/* The node gets it, or it stays whole until there is a leader to stand for its sender. */
static void hand_over_snapshot(struct peers *peers, struct events *events) {
	struct snapshot_receive *receive = peers->gathering;
	struct node_event staged = {.kind = NODE_SNAPSHOT_STAGED}, *event;

	if (!find_sender(peers, receive, &staged))
		return;
	peers->gathering = NULL;
	peers->staged = receive;
	peers->staged_link = peers->gathering_link;
	peers->gathering_link = NULL;
	event = events_add(events, NODE_SNAPSHOT_STAGED);
	*event = staged;
	event->group = receive->group;
	event->header = receive->header;
	event->header_bytes = receive->header_bytes;
	event->rows = receive->rows;
	event->n_rows = receive->n_rows;
}

static void forget_gathered(struct peers *peers) {
	peers->gathering = snapshot_receive_free(peers->gathering);
}

static int take_header(struct peers *peers, struct link *link, const struct frame *frame) {
	int r = snapshot_receive_begin(frame, &peers->own.incarnation, &peers->arena, &peers->gathering);

	if (r < 0)
		return r;
	link->header_taken = true;
	peers->gathering->from = link->peer->node;
	return node_raft(peers->node, peers->gathering->group) ? 0 : -EBADMSG;
}

static void refuse_snapshot(struct peers *peers, struct link *link, int r) {
	forget_gathered(peers);
	if (r == -EFBIG && !peers->offer_too_large)
		log_error("a snapshot is too large to be received, this node cannot catch up: peer=%u bytes_max=%d",
			  link->peer->node, LIMIT_SNAPSHOT_BYTES_MAX);
	peers->offer_too_large = r == -EFBIG;
	link_violate(link, r == -EFBIG ? "a snapshot that is too large"
				       : "a snapshot that is damaged, foreign or not expected");
}

/* The node takes one snapshot at a time. */
void peer_snapshots_frame(struct peers *peers, struct link *link, const struct frame *frame, struct events *events) {
	int r;

	link->deadline = peers_after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
	if (link != peers->gathering_link || (link->header_taken && peers->gathering->rows)) {
		link_violate(link, "more than one snapshot on a connection");
		return;
	}
	peers->gathered_at = peers->now;
	r = link->header_taken ? snapshot_receive_frame(peers->gathering, frame, &peers->arena)
			       : take_header(peers, link, frame);
	if (r < 0) {
		refuse_snapshot(peers, link, r);
	} else if (r == SNAPSHOT_COMPLETE) {
		metrics_add(METRICS_SNAPSHOTS_RECEIVED, 1);
		hand_over_snapshot(peers, events);
	}
}

void peer_snapshots_inbound_closed(struct peers *peers, struct link *link) {
	if (peers->staged_link == link)
		peers->staged_link = NULL;
	if (peers->gathering_link == link)
		peers->gathering_link = NULL;
}

static raft_usec gathered_until(const struct peers *peers) {
	return peers->gathered_at + PEERS_SNAPSHOT_MS_MAX * 1000ull;
}

static void tick_gathering(struct peers *peers, struct events *events) {
	const struct snapshot_receive *receive = peers->gathering;
	struct raft_status status;

	if (!receive)
		return;
	raft_get_status(node_raft(peers->node, receive->group), &status);
	if (!peers->gathering_link && (receive->index <= status.commit || gathered_until(peers) <= peers->now))
		forget_gathered(peers);
	else if (receive->rows)
		hand_over_snapshot(peers, events);
}

void peers_staged_done(struct peers *peers) {
	peers->staged = snapshot_receive_free(peers->staged);
	if (peers->staged_link)
		connection_close(peers->staged_link->connection, "the snapshot is taken");
	peers->staged_link = NULL;
}

/* ---- Both ---------------------------------------------------------------------------------------------------------
 */

void peer_snapshots_tick(struct peers *peers, struct events *events) {
	tick_sends(peers, events);
	tick_cut(peers);
	tick_gathering(peers, events);
}

raft_usec peer_snapshots_deadline(const struct peers *peers) {
	raft_usec deadline = UINT64_MAX;
	const struct snapshot_send *send;

	LIST_FOREACH (send, &peers->sends, next) {
		if (send->ended && !send->busy && send->report_at < deadline)
			deadline = send->report_at;
	}
	if (peers->gathering && !peers->gathering_link && gathered_until(peers) < deadline)
		deadline = gathered_until(peers);
	return deadline;
}

void peer_snapshots_deinit(struct peers *peers) {
	forget_gathered(peers);
	peers->staged = snapshot_receive_free(peers->staged);
	peers->cut = snapshot_cut_unref(peers->cut);
}
