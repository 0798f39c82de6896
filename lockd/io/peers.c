/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include "api/bytes.h"
#include "api/limits.h"
#include "fatal.h"
#include "log.h"

#include <assert.h>
#include <lockd/status.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum link_kind {
	LINK_DIALLING, /* no connection yet */
	LINK_GREETING, /* dialled by us, HELLO sent */
	LINK_OUTBOUND,
	LINK_OUTBOUND_SNAPSHOT,
	LINK_STRANGER, /* accepted, no HELLO yet, or refused */
	LINK_INBOUND,
	LINK_INBOUND_SNAPSHOT,
	LINK_REPLACED, /* on its way out */
};

struct link {
	LIST_ENTRY(link) next;
	enum link_kind kind;
	enum peer_purpose purpose;
	struct peer *peer;             /* NULL: a stranger */
	struct dialler *dialler;       /* while LINK_DIALLING */
	struct connection *connection; /* afterwards */
	raft_usec deadline;            /* UINT64_MAX: none */
	bool found_sent;
	bool deaf; /* refused: nothing more is taken from it */
	struct snapshot_send *send;
	struct snapshot_receive *receive;
};

/* ---- Table and links ----------------------------------------------------------------------------------------------
 */

void peers_init(struct peers *peers, const struct peers_config *config) {
	*peers = (struct peers){.inbox = config->inbox,
				.node = config->node,
				.checkpointer = config->checkpointer,
				.own = {.protocol_min = PROTOCOL_VERSION_MIN,
					.protocol_max = PROTOCOL_VERSION_MAX,
					.blank = true,
					.node = config->self,
					.store = config->store}};
	if (getrandom(&peers->own.boot, sizeof peers->own.boot, 0) != sizeof peers->own.boot)
		fatal_stop("reason=\"no random numbers\"");
	LIST_INIT(&peers->links);
	LIST_INIT(&peers->sends);
	arena_init(&peers->arena);
	peers->all = fatal_alloc(config->n_addresses * sizeof *peers->all);
	for (size_t i = 0; i < config->n_addresses; i++) {
		const struct node_address *address = &config->addresses[i];

		if (address->node == config->self) {
			peers->peer_address = address->peer_address;
			peers->client_address = address->client_address;
		} else {
			peers->all[peers->n++] = (struct peer){.node = address->node,
							       .peer_address = address->peer_address,
							       .client_address = address->client_address,
							       .reachable = true,
							       .backoff_ms = PEERS_BACKOFF_MS_MIN};
		}
	}
}

void peers_deinit(struct peers *peers) {
	assert(peers_are_gone(peers));
	for (size_t i = 0; i < peers->n; i++)
		urgent_clear(&peers->all[i].urgent);
	peers->staged = snapshot_receive_free(peers->staged);
	arena_deinit(&peers->arena);
	free(peers->all);
	*peers = (struct peers){0};
}

static struct peer *find(const struct peers *peers, uint32_t node) {
	for (size_t i = 0; i < peers->n; i++) {
		if (peers->all[i].node == node)
			return &peers->all[i];
	}
	return NULL;
}

static struct link *link_new(struct peers *peers, enum link_kind kind, struct peer *peer, raft_usec deadline) {
	struct link *link = fatal_alloc(sizeof *link);

	link->kind = kind;
	link->purpose = PEER_PURPOSE_RAFT;
	link->peer = peer;
	link->deadline = deadline;
	LIST_INSERT_HEAD(&peers->links, link, next);
	return link;
}

static void link_free(struct link *link) {
	LIST_REMOVE(link, next);
	snapshot_receive_free(link->receive);
	free(link);
}

static raft_usec after_ms(const struct peers *peers, uint32_t ms) {
	return peers->now + (raft_usec)ms * 1000;
}

/* What is queued may still leave; then it closes, at the latest when its time is over. */
static void link_replace(struct peers *peers, struct link *link) {
	link->kind = LINK_REPLACED;
	link->deadline = after_ms(peers, PEERS_FINISH_MS);
	connection_finish(link->connection);
}

static int link_connect(struct peers *peers, struct link *link, nng_stream *stream) {
	struct connection_config config = {.kind = FRAME_PEER,
					   .inbox = peers->inbox,
					   .owner = link,
					   .frame_bytes_max = LIMIT_FRAME_BYTES_MAX_UNGREETED,
					   .output_bytes_high = SIZE_MAX};

	return connection_new(&config, stream, &link->connection);
}

/* ---- Dialling -----------------------------------------------------------------------------------------------------
 */

/* Each failure once: a peer that is down for a day is one line. */
static void complain(struct peer *peer, const char *why) {
	if (strcmp(peer->complaint, why) == 0)
		return;
	snprintf(peer->complaint, sizeof peer->complaint, "%s", why);
	log_warning("peer cannot be reached: peer=%u address=%s reason=\"%s\"", peer->node, peer->peer_address, why);
	peer->reachable = false;
}

static void dial_later(struct peers *peers, struct peer *peer) {
	peer->dial_at = peers->now + arc4random_uniform(peer->backoff_ms * 1000);
	peer->backoff_ms = peer->backoff_ms * 2 < PEERS_BACKOFF_MS_MAX ? peer->backoff_ms * 2 : PEERS_BACKOFF_MS_MAX;
}

static struct link *dial(struct peers *peers, struct peer *peer, enum peer_purpose purpose) {
	struct link *link = link_new(peers, LINK_DIALLING, peer, after_ms(peers, PEERS_DIAL_MS_MAX));
	int r;

	link->purpose = purpose;
	r = dialler_start(peer->peer_address, peers->inbox, link, &link->dialler);
	if (r == 0)
		return link;
	complain(peer, nng_strerror(r));
	link_free(link);
	return NULL;
}

static void dial_raft(struct peers *peers, struct peer *peer) {
	peer->dial_at = UINT64_MAX;
	peer->attempt = dial(peers, peer, PEER_PURPOSE_RAFT);
	if (!peer->attempt)
		dial_later(peers, peer);
}

static void send_end(struct snapshot_send *send, bool ok, struct events *events) {
	struct node_event *event = events_add(events, NODE_SNAPSHOT_SENT);

	event->peer = send->peer;
	event->group = send->group;
	event->index = send->snapshot.index;
	event->ok = ok;
	LIST_REMOVE(send, next);
	snapshot_send_free(send);
}

/* The next attempt of the leader comes no sooner than a pause from here. */
static void send_fail(struct peers *peers, struct snapshot_send *send) {
	send->ended = true;
	send->waiting = false;
	send->connection = NULL;
	send->report_at = after_ms(peers, PEERS_SNAPSHOT_RETRY_MS);
}

/* A connection to a peer could not be made, or was refused. */
static void attempt_failed(struct peers *peers, struct link *link) {
	if (link->purpose == PEER_PURPOSE_SNAPSHOT) {
		send_fail(peers, link->send);
	} else {
		link->peer->attempt = NULL;
		dial_later(peers, link->peer);
	}
}

static void send_hello(struct peers *peers, struct link *link, uint8_t type, const struct hello *hello) {
	uint8_t body[HELLO_BYTES_MAX];
	size_t n = hello_pack(hello, peers->peer_address, peers->client_address, body);

	connection_send(link->connection, type, 0, body, n);
	connection_flush(link->connection);
}

static void greet(struct peers *peers, struct link *link) {
	struct hello hello = peers->own;

	hello.to = link->peer->node;
	hello.purpose = link->purpose;
	link->kind = LINK_GREETING;
	link->deadline = after_ms(peers, LIMIT_HELLO_MS);
	send_hello(peers, link, FRAME_HELLO, &hello);
	connection_start(link->connection);
}

void peers_dialled(struct peers *peers, struct dialler *dialler) {
	struct link *link = dialler->owner;
	nng_stream *stream = dialler->stream;

	dialler->stream = NULL;
	link->dialler = NULL;
	if (stream && link_connect(peers, link, stream) == 0) {
		greet(peers, link);
		if (peers->finishing)
			connection_close(link->connection, "the node stops");
	} else {
		complain(link->peer, link->deadline == UINT64_MAX
					     ? "no connection in time"
					     : nng_strerror(dialler->error ? dialler->error : NNG_ENOMEM));
		attempt_failed(peers, link);
		link_free(link);
	}
	dialler_free(dialler);
}

/* ---- HELLO --------------------------------------------------------------------------------------------------------
 */

static const struct raft_configuration *members_of(const struct peers *peers) {
	raft_index index;

	return peers->own.blank ? NULL : raft_members(node_raft(peers->node, PEERS_GROUP), &index);
}

static int judge(const struct peers *peers, const struct hello *theirs, char text[160]) {
	return hello_judge(&peers->own, theirs, members_of(peers), find(peers, theirs->node) != NULL, text);
}

static void meet(const struct peers *peers, struct peer *peer, const struct hello *hello) {
	peer->hello = *hello;
	peer->met_at = peers->now;
	peer->met = true;
}

static void part(struct peer *peer) {
	peer->met = peer->inbound || peer->outbound;
}

static void answer_hello(struct peers *peers, struct link *link, int status, const char *text) {
	struct hello answer = peers->own;

	answer.status = (uint32_t)status;
	snprintf(answer.text, sizeof answer.text, "%s", text);
	send_hello(peers, link, FRAME_HELLO_REPLY, &answer);
}

/* `peer` is whom it claims to be, NULL: nobody we know. A node that keeps calling is reported once. */
static void refuse(struct peers *peers, struct link *link, struct peer *peer, int status, const char *text) {
	if (!peer || strcmp(peer->refusal, text) != 0)
		log_warning("refused a node: from=%s reason=\"%s\"", connection_remote(link->connection), text);
	if (peer)
		snprintf(peer->refusal, sizeof peer->refusal, "%s", text);
	answer_hello(peers, link, status, text);
	link->deaf = true;
	connection_finish(link->connection);
}

static void welcome(struct peers *peers, struct link *link, struct peer *peer, const struct hello *hello,
		    struct events *events) {
	answer_hello(peers, link, LOCKD_OK, "");
	peer->refusal[0] = '\0';
	connection_set_frame_bytes_max(link->connection, LIMIT_FRAME_BYTES_MAX);
	peers->n_strangers--;
	link->peer = peer;
	link->purpose = hello->purpose;
	if (hello->purpose == PEER_PURPOSE_SNAPSHOT) {
		link->kind = LINK_INBOUND_SNAPSHOT;
		link->deadline = after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
		return;
	}
	meet(peers, peer, hello);
	if (peer->inbound)
		link_replace(peers, peer->inbound);
	link->kind = LINK_INBOUND;
	link->deadline = UINT64_MAX;
	peer->inbound = link;
	events_add(events, NODE_PEER_CONNECTED)->peer = peer->node;
	/* It is up, so there is no reason to wait out a long pause. */
	if (!peer->outbound && !peer->attempt) {
		peer->backoff_ms = PEERS_BACKOFF_MS_MIN;
		dial_later(peers, peer);
	}
}

static void on_hello(struct peers *peers, struct link *link, const struct frame *frame, struct events *events) {
	struct hello hello;
	struct peer *peer;
	char text[160];
	int status;

	if (frame->type != FRAME_HELLO || hello_unpack(frame->body, frame->body_bytes, &peers->arena, &hello) < 0) {
		log_info("closed a peer connection: from=%s reason=\"no HELLO\"", connection_remote(link->connection));
		link->deaf = true;
		connection_close(link->connection, "no HELLO");
		return;
	}
	status = judge(peers, &hello, text);
	peer = find(peers, hello.node);
	if (status == LOCKD_OK &&
	    (!peer || (hello.purpose != PEER_PURPOSE_RAFT && hello.purpose != PEER_PURPOSE_SNAPSHOT))) {
		status = LOCKD_PROTOCOL;
		snprintf(text, sizeof text, "node %u comes without a known address or purpose", hello.node);
	}
	if (status == LOCKD_OK)
		welcome(peers, link, peer, &hello, events);
	else
		refuse(peers, link, peer, status, text);
}

static void go_outbound(struct peers *peers, struct link *link, const struct hello *hello) {
	struct peer *peer = link->peer;

	connection_set_frame_bytes_max(link->connection, LIMIT_FRAME_BYTES_MAX);
	if (link->purpose == PEER_PURPOSE_SNAPSHOT) {
		link->kind = LINK_OUTBOUND_SNAPSHOT;
		link->deadline = after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
		snapshot_send_begin(link->send, link->connection, peers->own.node, &peers->own.incarnation,
				    peers->own.epoch);
		return;
	}
	if (peer->outbound)
		link_replace(peers, peer->outbound);
	link->kind = LINK_OUTBOUND;
	link->deadline = UINT64_MAX;
	peer->outbound = link;
	peer->attempt = NULL;
	peer->backoff_ms = PEERS_BACKOFF_MS_MIN;
	peer->unanswered_at = 0;
	meet(peers, peer, hello);
	if (!peer->reachable)
		log_info("peer reached: peer=%u address=%s", peer->node, peer->peer_address);
	peer->reachable = true;
	peer->complaint[0] = '\0';
}

static void on_hello_reply(struct peers *peers, struct link *link, const struct frame *frame) {
	struct hello hello;
	char text[160] = "its answer to HELLO is malformed";

	if (frame->type == FRAME_HELLO_REPLY &&
	    hello_unpack(frame->body, frame->body_bytes, &peers->arena, &hello) == 0) {
		hello.to = 0;
		if (hello.status != LOCKD_OK)
			snprintf(text, sizeof text, "%s", hello.text);
		else if (hello.node != link->peer->node)
			snprintf(text, sizeof text, "node %u answers there", hello.node);
		else if (judge(peers, &hello, text) == LOCKD_OK) {
			go_outbound(peers, link, &hello);
			return;
		}
	}
	/* What is refused is misconfigured: no use in asking often. */
	link->peer->backoff_ms = PEERS_BACKOFF_MS_MAX;
	complain(link->peer, text);
	attempt_failed(peers, link);
	link->kind = LINK_REPLACED;
	connection_close(link->connection, "refused");
}

/* ---- Frames -------------------------------------------------------------------------------------------------------
 */

static uint64_t incarnation_tag(const struct hello *own) {
	return own->blank ? 0 : bytes_get_u64(own->incarnation.bytes);
}

static void violate(struct link *link, const char *what) {
	log_info("closed a peer connection: peer=%u from=%s reason=\"%s\"", link->peer->node,
		 connection_remote(link->connection), what);
	link->deaf = true;
	connection_close(link->connection, what);
}

static void on_raft_frame(struct peers *peers, struct link *link, const struct frame *frame, struct events *events) {
	struct node_event *event;

	link->peer->unanswered_at = 0;
	if (frame->type != FRAME_PEER_MESSAGE && frame->type != FRAME_PEER_FOUND) {
		violate(link, "a frame that does not belong here");
		return;
	}
	if (frame->type == FRAME_PEER_MESSAGE && frame->id != incarnation_tag(&peers->own)) {
		if (!peers->own.blank)
			violate(link, "a message of another cluster");
		return;
	}
	if (frame->type == FRAME_PEER_MESSAGE)
		link->peer->hello.blank = false;
	event = events_add(events, NODE_PEER_FRAME);
	event->peer = link->peer->node;
	event->type = frame->type;
	event->body = frame->body;
	event->body_bytes = frame->body_bytes;
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
static void on_snapshot_frame(struct peers *peers, struct link *link, const struct frame *frame,
			      struct events *events) {
	int r;

	link->deadline = after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
	if (link == peers->staged_link) {
		violate(link, "more than one snapshot on a connection");
		return;
	}
	if (peers->staged) {
		violate(link, "another snapshot is being installed");
		return;
	}
	r = take_snapshot_frame(peers, link, frame);
	if (r < 0)
		violate(link, "a snapshot that is damaged, foreign or not expected");
	else if (r == SNAPSHOT_COMPLETE)
		hand_over_snapshot(peers, link, events);
}

static void on_frame(struct peers *peers, struct link *link, const struct frame *frame, struct events *events) {
	if (link->deaf)
		return;
	switch (link->kind) {
	case LINK_STRANGER: on_hello(peers, link, frame, events); break;
	case LINK_GREETING: on_hello_reply(peers, link, frame); break;
	case LINK_INBOUND: on_raft_frame(peers, link, frame, events); break;
	case LINK_INBOUND_SNAPSHOT: on_snapshot_frame(peers, link, frame, events); break;
	case LINK_OUTBOUND:
	case LINK_OUTBOUND_SNAPSHOT: violate(link, "the listening end sends nothing but its HELLO"); break;
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

static void outbound_closed(struct peers *peers, struct link *link) {
	struct peer *peer = link->peer;

	peer->outbound = NULL;
	peer->unanswered_at = 0;
	urgent_clear(&peer->urgent);
	part(peer);
	if (!peer->attempt)
		dial_later(peers, peer);
}

static void outbound_snapshot_closed(struct peers *peers, struct link *link, struct events *events) {
	struct snapshot_send *send = link->send;

	if (!send->end_sent)
		send_fail(peers, send);
	else
		send_end(send, true, events);
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
		log_info("closed a peer connection: from=%s reason=\"%s\"", connection_remote(connection),
			 connection_reason(connection));
	else
		log_debug("peer connection ended: peer=%u from=%s reason=\"%s\"", link->peer ? link->peer->node : 0,
			  connection_remote(connection), connection_reason(connection));

	switch (link->kind) {
	case LINK_GREETING:
		complain(link->peer, "it closes the connection before its HELLO");
		attempt_failed(peers, link);
		break;
	case LINK_OUTBOUND: outbound_closed(peers, link); break;
	case LINK_OUTBOUND_SNAPSHOT: outbound_snapshot_closed(peers, link, events); break;
	case LINK_STRANGER: peers->n_strangers--; break;
	case LINK_INBOUND: inbound_closed(link, events); break;
	case LINK_INBOUND_SNAPSHOT:
		if (peers->staged_link == link)
			peers->staged_link = NULL;
		break;
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
	link = link_new(peers, LINK_STRANGER, NULL, after_ms(peers, LIMIT_HELLO_MS));
	if (link_connect(peers, link, stream) < 0) {
		link_free(link);
		return;
	}
	peers->n_strangers++;
	connection_start(link->connection);
}

/* ---- Time ---------------------------------------------------------------------------------------------------------
 */

static void refresh_identity(struct peers *peers) {
	bool was_blank = peers->own.blank;

	peers->own.blank = node_is_blank(peers->node);
	if (was_blank && !peers->own.blank)
		peers->founded_at = peers->now;
	if (!peers->own.blank)
		node_get_identity(peers->node, &peers->own.incarnation, &peers->own.epoch);
}

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

static void tick_peer(struct peers *peers, struct peer *peer) {
	if (peer->attempt || peers->finishing)
		return;
	if (is_silent(peer)) {
		if (peer->reachable)
			log_warning("peer is silent, dialling anew: peer=%u silence_ms=%d", peer->node,
				    PEERS_SILENCE_MS_MAX);
		peer->unanswered_at = 0;
		peer->reachable = false;
		dial_raft(peers, peer);
	} else if (!peer->outbound && peer->dial_at <= peers->now) {
		dial_raft(peers, peer);
	}
}

static bool still_leads(const struct peers *peers, const struct snapshot_send *send) {
	struct raft_status status;

	raft_get_status(node_raft(peers->node, send->group), &status);
	return status.role == RAFT_LEADER && status.term == send->term;
}

/* A peer that is away costs nothing: its snapshot is cut when it comes back, from the checkpoint of that day. */
static void tick_waiting(struct peers *peers, struct snapshot_send *send) {
	const struct peer *peer = find(peers, send->peer);

	if (peers->finishing || !peer || !still_leads(peers, send))
		send_fail(peers, send);
	else if (peer->outbound)
		snapshot_send_cut(send);
}

static void tick_sends(struct peers *peers, struct events *events) {
	struct snapshot_send *send, *next;

	for (send = LIST_FIRST(&peers->sends); send; send = next) {
		next = LIST_NEXT(send, next);
		if (send->waiting)
			tick_waiting(peers, send);
		if (send->ended && !send->busy && (send->report_at <= peers->now || peers->finishing))
			send_end(send, false, events);
	}
}

void peers_tick(struct peers *peers, raft_usec now, struct events *events) {
	peers->now = now;
	refresh_identity(peers);
	expire_links(peers);
	tick_sends(peers, events);
	for (size_t i = 0; i < peers->n; i++)
		tick_peer(peers, &peers->all[i]);
}

static raft_usec earlier(raft_usec a, raft_usec b) {
	return a < b ? a : b;
}

raft_usec peers_deadline(const struct peers *peers) {
	raft_usec deadline = UINT64_MAX;
	const struct snapshot_send *send;
	const struct link *link;

	LIST_FOREACH (link, &peers->links, next)
		deadline = earlier(deadline, link->deadline);
	LIST_FOREACH (send, &peers->sends, next) {
		if (send->ended && !send->busy)
			deadline = earlier(deadline, send->report_at);
	}
	for (size_t i = 0; i < peers->n && !peers->finishing; i++) {
		const struct peer *peer = &peers->all[i];

		if (!peer->attempt && !peer->outbound)
			deadline = earlier(deadline, peer->dial_at);
	}
	return deadline;
}

/* ---- Effects ------------------------------------------------------------------------------------------------------
 */

void peers_send(struct peers *peers, const struct node_peer_frame *frame) {
	struct peer *peer = find(peers, frame->peer);
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

/* A blank peer that our founding configuration names gets the first entry. */
static void bring_in(struct peers *peers, struct peer *peer) {
	struct node_bytes body;
	int r;

	if (!peer->outbound || peer->outbound->found_sent || !is_blank(peers, peer))
		return;
	peer->outbound->found_sent = true;
	r = node_found_body(peers->node, peer->node, &peer->hello.store, &body);
	if (r == 0)
		connection_send(peer->outbound->connection, FRAME_PEER_FOUND, 0, body.bytes, body.n);
	else
		log_warning("a blank node cannot be let in: peer=%u reason=\"its data folder is not the one the "
			    "cluster was "
			    "founded with, or the log no longer reaches back\"",
			    peer->node);
}

void peers_flush(struct peers *peers) {
	refresh_identity(peers);
	for (size_t i = 0; i < peers->n; i++) {
		struct peer *peer = &peers->all[i];

		bring_in(peers, peer);
		if (!peer->outbound)
			continue;
		if (peer->urgent.n > 0 &&
		    connection_output_bytes(peer->outbound->connection) <= LIMIT_PEER_OUTPUT_BYTES_MAX / 2)
			urgent_send(&peer->urgent, peer->outbound->connection);
		connection_flush(peer->outbound->connection);
	}
}

void peers_send_snapshot(struct peers *peers, const struct node_snapshot *snapshot) {
	struct snapshot_send *send = snapshot_send_new(peers->checkpointer, snapshot);

	LIST_INSERT_HEAD(&peers->sends, send, next);
	tick_waiting(peers, send);
}

static void on_cut(struct peers *peers, struct snapshot_send *send, const struct checkpointer_job *job) {
	struct peer *peer = find(peers, send->peer);
	struct link *link;

	if (snapshot_send_on_cut(send, job) < 0 || !peer || peers->finishing) {
		send_fail(peers, send);
		return;
	}
	log_info("sending a snapshot: peer=%u group=%u index=%llu rows=%llu bytes=%llu", send->peer, send->group,
		 (unsigned long long)send->snapshot.index, (unsigned long long)send->snapshot.rows,
		 (unsigned long long)send->snapshot.bytes);
	link = dial(peers, peer, PEER_PURPOSE_SNAPSHOT);
	if (link)
		link->send = send;
	else
		send_fail(peers, send);
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

void peers_drained(struct peers *peers, struct connection *connection) {
	struct link *link = connection_owner(connection);

	connection_take_drained(connection);
	if (link->kind == LINK_OUTBOUND_SNAPSHOT) {
		link->deadline = after_ms(peers, PEERS_SNAPSHOT_MS_MAX);
		snapshot_send_on_drained(link->send);
	}
}

void peers_staged_done(struct peers *peers) {
	peers->staged = snapshot_receive_free(peers->staged);
	if (peers->staged_link)
		connection_close(peers->staged_link->connection, "the snapshot is taken");
	peers->staged_link = NULL;
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
