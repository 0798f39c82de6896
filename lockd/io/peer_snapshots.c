/* SPDX-License-Identifier: Apache-2.0 */
#include "peer_snapshots.h"

#include "api/limits.h"
#include "log.h"

#include <stdlib.h>

/* ---- Sending ------------------------------------------------------------------------------------------------------
 */

static void peer_snapshots_end(struct snapshot_send *send, bool ok, struct events *events) {
	struct node_event *event = events_add(events, NODE_SNAPSHOT_SENT);

	event->peer = send->peer;
	event->group = send->group;
	event->index = send->snapshot.index;
	event->ok = ok;
	LIST_REMOVE(send, next);
	snapshot_send_free(send);
}

void peer_snapshots_fail(struct peers *peers, struct snapshot_send *send) {
	send->ended = true;
	send->waiting = false;
	send->connection = NULL;
	send->report_at = peers_after_ms(peers, PEERS_SNAPSHOT_RETRY_MS);
}

static bool still_leads(const struct peers *peers, const struct snapshot_send *send) {
	struct raft_status status;

	raft_get_status(node_raft(peers->node, send->group), &status);
	return status.role == RAFT_LEADER && status.term == send->term;
}

/* A peer that is away costs nothing: its snapshot is cut when it comes back, from the checkpoint of that day. */
static void tick_waiting(struct peers *peers, struct snapshot_send *send) {
	const struct peer *peer = peers_find(peers, send->peer);

	if (peers->finishing || !peer || !still_leads(peers, send))
		peer_snapshots_fail(peers, send);
	else if (peer->outbound)
		snapshot_send_cut(send);
}

void peer_snapshots_tick(struct peers *peers, struct events *events) {
	struct snapshot_send *send, *next;

	for (send = LIST_FIRST(&peers->sends); send; send = next) {
		next = LIST_NEXT(send, next);
		if (send->waiting)
			tick_waiting(peers, send);
		if (send->ended && !send->busy && (send->report_at <= peers->now || peers->finishing))
			peer_snapshots_end(send, false, events);
	}
}

raft_usec peer_snapshots_deadline(const struct peers *peers) {
	raft_usec deadline = UINT64_MAX;
	const struct snapshot_send *send;

	LIST_FOREACH (send, &peers->sends, next) {
		if (send->ended && !send->busy && send->report_at < deadline)
			deadline = send->report_at;
	}
	return deadline;
}

void peers_send_snapshot(struct peers *peers, const struct node_snapshot *snapshot) {
	struct snapshot_send *send = snapshot_send_new(peers->checkpointer, snapshot);

	LIST_INSERT_HEAD(&peers->sends, send, next);
	tick_waiting(peers, send);
}

static void on_cut(struct peers *peers, struct snapshot_send *send, const struct checkpointer_job *job) {
	struct peer *peer = peers_find(peers, send->peer);
	struct link *link;

	if (snapshot_send_on_cut(send, job) < 0 || !peer || peers->finishing) {
		peer_snapshots_fail(peers, send);
		return;
	}
	log_info("sending a snapshot: peer=%u group=%u index=%llu rows=%llu bytes=%llu", send->peer, send->group,
		 (unsigned long long)send->snapshot.index, (unsigned long long)send->snapshot.rows,
		 (unsigned long long)send->snapshot.bytes);
	link = link_dial(peers, peer, PEER_PURPOSE_SNAPSHOT);
	if (link)
		link->send = send;
	else
		peer_snapshots_fail(peers, send);
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

void peer_snapshots_begin(struct peers *peers, struct link *link) {
	link->kind = LINK_OUTBOUND_SNAPSHOT;
	link->deadline = peers_after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
	snapshot_send_begin(link->send, link->connection, peers->own.node, &peers->own.incarnation, peers->own.epoch);
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

	if (!send->end_sent)
		peer_snapshots_fail(peers, send);
	else
		peer_snapshots_end(send, true, events);
}

/* ---- Receiving ----------------------------------------------------------------------------------------------------
 */

/* A sender begins anew only when it has given the older transfer up, so what that one has gathered goes. */
void peer_snapshots_expect(struct peers *peers, struct link *link) {
	struct link *older;

	LIST_FOREACH (older, &peers->links, next) {
		if (older->kind == LINK_INBOUND_SNAPSHOT && older->peer == link->peer && older != peers->staged_link) {
			older->receive = snapshot_receive_free(older->receive);
			link_replace(peers, older);
		}
	}
	link->kind = LINK_INBOUND_SNAPSHOT;
	link->deadline = peers_after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
}

static void hand_over_snapshot(struct peers *peers, struct link *link, struct events *events) {
	struct node_event *event = events_add(events, NODE_SNAPSHOT_STAGED);
	struct snapshot_receive *receive = link->receive;

	link->receive = NULL;
	peers->staged = receive;
	peers->staged_link = link;
	event->peer = link->peer->node;
	event->group = receive->group;
	event->term = receive->term;
	event->header = receive->header;
	event->header_bytes = receive->header_bytes;
	event->rows = receive->rows;
	event->n_rows = receive->n_rows;
}

/* 0, SNAPSHOT_COMPLETE, or negative. */
static int take_snapshot_frame(struct peers *peers, struct link *link, const struct frame *frame) {
	int r;

	if (link->receive)
		return snapshot_receive_frame(link->receive, frame, &peers->arena);
	r = snapshot_receive_new(frame, &peers->own.incarnation, &peers->arena, &link->receive);
	return r == 0 && !node_raft(peers->node, link->receive->group) ? -1 : r;
}

/* The node takes one snapshot at a time. Whoever finds it busy, be it in the middle of a transfer from a new leader
 * that began beside the old one's, comes again later. */
void peer_snapshots_frame(struct peers *peers, struct link *link, const struct frame *frame, struct events *events) {
	int r;

	link->deadline = peers_after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
	if (link == peers->staged_link) {
		link_violate(link, "more than one snapshot on a connection");
		return;
	}
	if (peers->staged) {
		link_violate(link, "another snapshot is being installed");
		return;
	}
	r = take_snapshot_frame(peers, link, frame);
	if (r < 0)
		link_violate(link, "a snapshot that is damaged, foreign or not expected");
	else if (r == SNAPSHOT_COMPLETE)
		hand_over_snapshot(peers, link, events);
}

void peer_snapshots_inbound_closed(struct peers *peers, struct link *link) {
	if (peers->staged_link == link)
		peers->staged_link = NULL;
}

void peers_staged_done(struct peers *peers) {
	peers->staged = snapshot_receive_free(peers->staged);
	if (peers->staged_link)
		connection_close(peers->staged_link->connection, "the snapshot is taken");
	peers->staged_link = NULL;
}
