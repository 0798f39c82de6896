/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include "api/bytes.h"
#include "api/limits.h"
#include "fatal.h"
#include "greeting.h"
#include "log.h"
#include "peer_snapshots.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- Table --------------------------------------------------------------------------------------------------------
 */

/* While this node had no vote it may have taken another machine for a member of that number; from now on votes count.
 * Whoever is no member stays only if it has called and would be let in today: it may be a leader that was added while
 * this node was away. */
static void follow_members(struct peers *peers) {
	struct peer *peer;

	peer_table_follow(&peers->table, peers->node, peers->own.node, peers->now);
	TAILQ_FOREACH (peer, &peers->table.all, next) {
		if (peer->standing == PEER_LEAVING && peer->inbound && greeting_would_welcome(peers, peer))
			peer->standing = PEER_GUEST;
		peer->mistaken = peer->standing == PEER_MEMBER && peer->met && !greeting_would_welcome(peers, peer);
	}
}

static void refresh_identity(struct peers *peers) {
	bool was_blank = peers->own.blank;

	peers->own.blank = node_is_blank(peers->node);
	if (was_blank && !peers->own.blank) {
		peers->founded_at = peers->now;
		follow_members(peers);
	}
	if (!peers->own.blank)
		node_get_identity(peers->node, &peers->own.incarnation, &peers->own.epoch);
}

static void take_past(struct peers *peers, const struct store_past *past) {
	_Static_assert((int)STORE_PAST_MAX == (int)LIMIT_PAST_STORES_MAX, "what a store remembers is what can be said");

	memcpy(peers->own.replaces, past->stores, sizeof peers->own.replaces);
	peers->own.n_replaces = past->n;
	peers->own.past_incarnation = past->incarnation;
}

static void take_own_addresses(struct peers *peers, const struct node_address *address) {
	snprintf(peers->own.peer_address, ADDRESS_BYTES_MAX, "%s", address->peer_address);
	snprintf(peers->own.client_address, ADDRESS_BYTES_MAX, "%s", address->client_address);
}

void peers_init(struct peers *peers, const struct peers_config *config) {
	*peers = (struct peers){.inbox = config->inbox,
				.node = config->node,
				.checkpointer = config->checkpointer,
				.own = {.protocol_min = PROTOCOL_VERSION_MIN,
					.protocol_max = PROTOCOL_VERSION_MAX,
					.blank = true,
					.node = config->self,
					.store = config->store}};
	node_get_memory(config->node, &peers->own.memory);
	peers->own.memory.boot_count = config->boot_count;
	if (getrandom(&peers->own.memory.boot, sizeof peers->own.memory.boot, 0) != sizeof peers->own.memory.boot)
		fatal_stop("reason=\"no random numbers\"");
	take_past(peers, &config->past);
	LIST_INIT(&peers->links);
	LIST_INIT(&peers->sends);
	LIST_INIT(&peers->callers);
	arena_init(&peers->arena);
	peer_table_init(&peers->table);
	refresh_identity(peers);
	for (size_t i = 0; i < config->n_addresses; i++) {
		const struct node_address *address = &config->addresses[i];

		if (address->node == config->self)
			take_own_addresses(peers, address);
		else if (peers->own.blank)
			peer_table_add(&peers->table, address->node, PEER_LISTED, address->peer_address,
				       address->client_address);
	}
}

void peers_follow_members(struct peers *peers) {
	refresh_identity(peers);
	if (!peers->own.blank)
		follow_members(peers);
}

static void forget_callers(struct peers *peers) {
	struct caller *caller;

	while ((caller = LIST_FIRST(&peers->callers))) {
		LIST_REMOVE(caller, next);
		free(caller);
	}
}

void peers_deinit(struct peers *peers) {
	assert(peers_are_gone(peers));
	forget_callers(peers);
	peer_table_deinit(&peers->table);
	peer_snapshots_deinit(peers);
	arena_deinit(&peers->arena);
	*peers = (struct peers){0};
}

raft_usec peers_after_ms(const struct peers *peers, uint32_t ms) {
	return peers->now + (raft_usec)ms * 1000;
}

/* ---- Dialling -----------------------------------------------------------------------------------------------------
 */

static void dial_raft(struct peers *peers, struct peer *peer) {
	peer->dial_at = UINT64_MAX;
	peer->attempt = link_dial(peers, peer, PEER_PURPOSE_RAFT);
	if (!peer->attempt)
		link_dial_later(peers, peer);
}

static const char *why_not_dialled(const struct link *link, const struct dialler *dialler) {
	if (link->deadline == UINT64_MAX)
		return "no connection in time";
	return nng_strerror(dialler->error ? dialler->error : NNG_ENOMEM);
}

void peers_dialled(struct peers *peers, struct dialler *dialler) {
	struct link *link = dialler->owner;
	nng_stream *stream = dialler->stream;

	dialler->stream = NULL;
	link->dialler = NULL;
	if (stream && link_connect(peers, link, stream) == 0) {
		greeting_begin(peers, link);
		if (peers->finishing)
			connection_close(link->connection, "the node stops");
	} else {
		if (!peers->finishing && link->peer->standing != PEER_LEAVING)
			link_complain(link->peer, why_not_dialled(link, dialler));
		link_fail(peers, link);
		link_free(link);
	}
	dialler_free(dialler);
}

/* ---- Frames -------------------------------------------------------------------------------------------------------
 */

static uint64_t incarnation_tag(const struct hello *own) {
	return own->blank ? 0 : bytes_get_u64(own->incarnation.bytes);
}

static void on_raft_frame(struct peers *peers, struct link *link, const struct frame *frame, struct events *events) {
	struct node_event *event;

	link->peer->unanswered_at = 0;
	if (frame->type == FRAME_HELLO) {
		greeting_on_accusation(peers, link, frame);
		return;
	}
	if (frame->type != FRAME_PEER_MESSAGE && frame->type != FRAME_PEER_FOUND) {
		link_violate(link, "a frame that does not belong here");
		return;
	}
	if (frame->type == FRAME_PEER_MESSAGE && frame->id != incarnation_tag(&peers->own)) {
		if (!peers->own.blank)
			link_violate(link, "a message of another cluster");
		return;
	}
	if (frame->type == FRAME_PEER_MESSAGE)
		link->peer->hello.blank = false;
	event = events_add(events, NODE_PEER_FRAME);
	event->peer = link->peer->node;
	event->store = link->store;
	event->type = frame->type;
	event->body = frame->body;
	event->body_bytes = frame->body_bytes;
}

static void on_frame(struct peers *peers, struct link *link, const struct frame *frame, struct events *events) {
	if (link->deaf)
		return;
	switch (link->kind) {
	case LINK_STRANGER: greeting_on_hello(peers, link, frame, events); break;
	case LINK_GREETING: greeting_on_reply(peers, link, frame, events); break;
	case LINK_INBOUND: on_raft_frame(peers, link, frame, events); break;
	case LINK_INBOUND_SNAPSHOT: peer_snapshots_frame(peers, link, frame, events); break;
	case LINK_OUTBOUND:
	case LINK_OUTBOUND_SNAPSHOT: link_violate(link, "the listening end sends nothing but its HELLO"); break;
	case LINK_DIALLING: /* has no connection */
	case LINK_REPLACED: break;
	}
}

void peers_frames(struct peers *peers, const struct connection_batch *batch, struct events *events) {
	for (uint32_t i = 0; i < batch->n; i++)
		on_frame(peers, connection_owner(batch->connection), &batch->frames[i], events);
}

/* ---- The end of a connection --------------------------------------------------------------------------------------
 */

static void part(struct peer *peer) {
	peer->met = peer->inbound || peer->outbound;
}

static void outbound_closed(struct peers *peers, struct link *link) {
	struct peer *peer = link->peer;

	peer->outbound = NULL;
	peer->unanswered_at = 0;
	urgent_clear(&peer->urgent);
	part(peer);
	if (!peer->attempt)
		link_dial_later(peers, peer);
}

static void inbound_closed(struct link *link, struct events *events) {
	struct peer *peer = link->peer;

	peer->inbound = NULL;
	part(peer);
	events_add(events, NODE_PEER_DOWN)->peer = peer->node;
}

void peers_closed(struct peers *peers, struct connection *connection, struct events *events) {
	struct link *link = connection_owner(connection);

	if (connection_is_malformed(connection))
		link_complain_of_stranger(peers, link, connection_reason(connection));
	else
		log_debug("peer connection ended: peer=%u from=%s reason=\"%s\"", link->peer ? link->peer->node : 0,
			  connection_remote(connection), connection_reason(connection));

	switch (link->kind) {
	case LINK_GREETING:
		if (link->peer->standing != PEER_LEAVING)
			link_complain(link->peer, "it closes the connection before its HELLO");
		link_fail(peers, link);
		break;
	case LINK_OUTBOUND: outbound_closed(peers, link); break;
	case LINK_OUTBOUND_SNAPSHOT: peer_snapshots_outbound_closed(peers, link, events); break;
	case LINK_STRANGER: peers->n_strangers--; break;
	case LINK_INBOUND: inbound_closed(link, events); break;
	case LINK_INBOUND_SNAPSHOT: peer_snapshots_inbound_closed(peers, link); break;
	case LINK_DIALLING:
	case LINK_REPLACED: break;
	}
	link_free(link);
	connection_free(connection);
}

/* The oldest stranger gives way to the newest: an honest node greets within milliseconds. */
static void drop_oldest_stranger(struct peers *peers) {
	struct link *link, *oldest = NULL;

	LIST_FOREACH (link, &peers->links, next) {
		if (link->kind == LINK_STRANGER && (!oldest || link->deadline < oldest->deadline))
			oldest = link;
	}
	oldest->deadline = UINT64_MAX;
	oldest->deaf = true;
	connection_close(oldest->connection, "too many connections without HELLO");
}

void peers_accept(struct peers *peers, nng_stream *stream) {
	struct link *link;

	if (peers->finishing) {
		nng_stream_free(stream);
		return;
	}
	if (peers->n_strangers >= LIMIT_UNGREETED_CONNECTIONS_MAX)
		drop_oldest_stranger(peers);
	link = link_new(peers, LINK_STRANGER, NULL, peers_after_ms(peers, LIMIT_HELLO_MS));
	if (link_connect(peers, link, stream) < 0) {
		link_free(link);
		return;
	}
	peers->n_strangers++;
	connection_start(link->connection);
}

/* ---- Time ---------------------------------------------------------------------------------------------------------
 */

static void expire_links(struct peers *peers) {
	struct link *link;

	LIST_FOREACH (link, &peers->links, next) {
		if (link->deadline > peers->now)
			continue;
		link->deadline = UINT64_MAX;
		if (link->kind == LINK_DIALLING)
			dialler_cancel(link->dialler);
		else
			connection_close(link->connection, "its time is over");
	}
}

/* A single frame proves nothing: answers are not answered. A run of them does. */
static bool is_silent(const struct peer *peer) {
	return peer->outbound && peer->unanswered_at > 0 &&
	       peer->sent_at >= peer->unanswered_at + PEERS_SILENCE_MS_MAX * 1000;
}

/* Blank nodes look for those that are listed, and there is nothing to tell somebody who is leaving. */
static bool is_wanted(const struct peer *peer) {
	return peer->standing != PEER_LEAVING && peer->peer_address[0];
}

static void tick_peer(struct peers *peers, struct peer *peer) {
	if (peer->attempt || peers->finishing || !is_wanted(peer))
		return;
	if (is_silent(peer)) {
		if (peer->reachable)
			log_warning("peer is silent, dialling anew: peer=%u silence_ms=%d", peer->node,
				    PEERS_SILENCE_MS_MAX);
		peer->unanswered_at = 0;
		peer->reachable = false;
		dial_raft(peers, peer);
	} else if ((!peer->outbound && peer->dial_at <= peers->now) || peer->moved) {
		peer->moved = false;
		dial_raft(peers, peer);
	}
}

static bool has_links(const struct peers *peers, const struct peer *peer) {
	const struct link *link;

	LIST_FOREACH (link, &peers->links, next) {
		if (link->peer == peer)
			return true;
	}
	return false;
}

/* Snapshots on their way are left to their end: their content is committed, whoever sends it. */
static void close_links(struct peers *peers, struct peer *peer, struct events *events) {
	if (peer->attempt && peer->attempt->kind == LINK_DIALLING)
		dialler_cancel(peer->attempt->dialler);
	else if (peer->attempt)
		connection_close(peer->attempt->connection, "it is no member");
	if (peer->outbound)
		link_replace(peers, peer->outbound);
	if (peer->inbound) {
		link_replace(peers, peer->inbound);
		events_add(events, NODE_PEER_DOWN)->peer = peer->node;
	}
	peer->outbound = peer->inbound = NULL;
	peer->met = peer->mistaken = false;
	peer->dial_at = peers->now;
}

/* true: it is gone. */
static bool tick_leaving(struct peers *peers, struct peer *peer, struct events *events) {
	if (peer->standing == PEER_GUEST && !peer->inbound)
		peer_table_leave(peer, peers->now);
	if (peer->standing != PEER_LEAVING)
		return false;
	if (peer->leave_at <= peers->now) {
		peer->leave_at = UINT64_MAX;
		close_links(peers, peer, events);
	}
	if (peer->leave_at != UINT64_MAX || has_links(peers, peer))
		return false;
	peer_table_drop(&peers->table, peer);
	return true;
}

void peers_tick(struct peers *peers, raft_usec now, struct events *events) {
	struct peer *peer, *next;

	peers->now = now;
	forget_callers(peers);
	refresh_identity(peers);
	expire_links(peers);
	peer_snapshots_tick(peers, events);
	for (peer = TAILQ_FIRST(&peers->table.all); peer; peer = next) {
		next = TAILQ_NEXT(peer, next);
		if (tick_leaving(peers, peer, events))
			continue;
		if (peer->mistaken)
			close_links(peers, peer, events);
		tick_peer(peers, peer);
	}
}

static raft_usec earlier(raft_usec a, raft_usec b) {
	return a < b ? a : b;
}

raft_usec peers_deadline(const struct peers *peers) {
	raft_usec deadline = peer_snapshots_deadline(peers);
	const struct link *link;
	const struct peer *peer;

	LIST_FOREACH (link, &peers->links, next)
		deadline = earlier(deadline, link->deadline);
	TAILQ_FOREACH (peer, &peers->table.all, next) {
		if (peer->standing == PEER_LEAVING)
			deadline = earlier(deadline, peer->leave_at);
		else if (!peers->finishing && is_wanted(peer) && !peer->attempt && (!peer->outbound || peer->moved))
			deadline = earlier(deadline, peer->moved ? peers->now : peer->dial_at);
	}
	return deadline;
}

/* ---- Effects ------------------------------------------------------------------------------------------------------
 */

void peers_send(struct peers *peers, const struct node_peer_frame *frame) {
	struct peer *peer = peer_table_find(&peers->table, frame->peer);
	uint64_t id;

	/* Messages are lossy by contract: Raft sends again. */
	if (!peer || !peer->outbound)
		return;
	id = frame->type == FRAME_PEER_MESSAGE ? incarnation_tag(&peers->own) : 0;
	if (peer->unanswered_at == 0 || peers->now - peer->sent_at > PEERS_SILENCE_MS_MAX * 1000)
		peer->unanswered_at = peers->now;
	peer->sent_at = peers->now;
	if (connection_output_bytes(peer->outbound->connection) + frame->body_bytes <= LIMIT_PEER_OUTPUT_BYTES_MAX)
		connection_send(peer->outbound->connection, frame->type, id, frame->body, frame->body_bytes);
	else if (!frame->append && frame->type == FRAME_PEER_MESSAGE)
		urgent_put(&peer->urgent, id, frame->body, frame->body_bytes, &peers->arena);
}

/* Its HELLO tells, if it came when we were founded. One from before is old news: the founder brings in everybody, and
 * the others step in only if that failed, which shows by silence. */
static bool is_blank(const struct peers *peers, const struct peer *peer) {
	if (peers->own.blank || !peer->hello.blank)
		return false;
	if (peers->founder || peer->met_at > peers->founded_at)
		return true;
	return peer->unanswered_at > 0 && peers->now - peer->unanswered_at >= PEERS_BLANK_MS_MAX * 1000;
}

/* A blank peer that our configuration names gets the first entry, once that configuration is committed. */
static void bring_in(struct peers *peers, struct peer *peer) {
	struct node_bytes body;

	if (!peer->outbound || peer->outbound->found_sent || !is_blank(peers, peer))
		return;
	if (node_found_body(peers->node, peer->node, &peer->hello.store, &body) != 0)
		return;
	peer->outbound->found_sent = true;
	connection_send(peer->outbound->connection, FRAME_PEER_FOUND, 0, body.bytes, body.n);
}

void peers_flush(struct peers *peers) {
	struct peer *peer;

	refresh_identity(peers);
	TAILQ_FOREACH (peer, &peers->table.all, next) {
		bring_in(peers, peer);
		if (!peer->outbound)
			continue;
		if (peer->urgent.n > 0 &&
		    connection_output_bytes(peer->outbound->connection) <= LIMIT_PEER_OUTPUT_BYTES_MAX / 2)
			urgent_send(&peer->urgent, peer->outbound->connection);
		connection_flush(peer->outbound->connection);
	}
}

/* ---- All of them --------------------------------------------------------------------------------------------------
 */

static void for_each(struct peers *peers, void (*act)(struct connection *)) {
	struct link *link;

	LIST_FOREACH (link, &peers->links, next) {
		if (link->connection)
			act(link->connection);
		else if (peers->finishing)
			dialler_cancel(link->dialler);
	}
}

static void close_at_stop(struct connection *connection) {
	connection_close(connection, "the node stops");
}

void peers_resume(struct peers *peers) {
	for_each(peers, connection_resume);
}

void peers_finish(struct peers *peers) {
	peers->finishing = true;
	for_each(peers, connection_finish);
}

void peers_close(struct peers *peers) {
	peers->finishing = true;
	for_each(peers, close_at_stop);
}

bool peers_are_gone(const struct peers *peers) {
	return LIST_EMPTY(&peers->links) && LIST_EMPTY(&peers->sends);
}
