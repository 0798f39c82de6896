/* SPDX-License-Identifier: Apache-2.0 */
#include "greeting.h"

#include "api/limits.h"
#include "log.h"
#include "peer_snapshots.h"

#include <lockd/status.h>
#include <stdio.h>
#include <string.h>

static void send_hello(struct peers *peers, struct link *link, uint8_t type, const struct hello *hello) {
	uint8_t body[HELLO_BYTES_MAX];
	size_t n = hello_pack(hello, peers->peer_address, peers->client_address, body);

	connection_send(link->connection, type, 0, body, n);
	connection_flush(link->connection);
}

void greeting_begin(struct peers *peers, struct link *link) {
	struct hello hello = peers->own;

	hello.to = link->peer->node;
	hello.purpose = link->purpose;
	link->kind = LINK_GREETING;
	link->deadline = peers_after_ms(peers, LIMIT_HELLO_MS);
	send_hello(peers, link, FRAME_HELLO, &hello);
	connection_start(link->connection);
}

static const struct raft_configuration *members_of(const struct peers *peers) {
	raft_index index;

	return peers->own.blank ? NULL : raft_members(node_raft(peers->node, PEERS_GROUP), &index);
}

static int judge(const struct peers *peers, const struct hello *theirs, char text[160]) {
	return hello_judge(&peers->own, theirs, members_of(peers), peers_find(peers, theirs->node) != NULL, text);
}

static void meet(const struct peers *peers, struct peer *peer, const struct hello *hello) {
	peer->hello = *hello;
	peer->met_at = peers->now;
	peer->met = true;
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
		link_complain_of_stranger(peers, link, text);
	if (peer)
		snprintf(peer->refusal, sizeof peer->refusal, "%s", text);
	answer_hello(peers, link, status, text);
	link->deaf = true;
	connection_finish(link->connection);
}

static void welcome(struct peers *peers, struct link *link, struct peer *peer, const struct hello *hello) {
	answer_hello(peers, link, LOCKD_OK, "");
	peer->refusal[0] = '\0';
	connection_set_frame_bytes_max(link->connection, LIMIT_FRAME_BYTES_MAX);
	peers->n_strangers--;
	link->peer = peer;
	link->purpose = hello->purpose;
	if (hello->purpose == PEER_PURPOSE_SNAPSHOT) {
		peer_snapshots_expect(peers, link);
		return;
	}
	meet(peers, peer, hello);
	if (peer->inbound)
		link_replace(peers, peer->inbound);
	link->kind = LINK_INBOUND;
	link->deadline = UINT64_MAX;
	peer->inbound = link;
	/* It is up, so there is no reason to wait out a long pause. */
	if (!peer->outbound && !peer->attempt) {
		peer->backoff_ms = PEERS_BACKOFF_MS_MIN;
		link_dial_later(peers, peer);
	}
}

void greeting_on_hello(struct peers *peers, struct link *link, const struct frame *frame) {
	struct hello hello;
	struct peer *peer;
	char text[160];
	int status;

	if (frame->type != FRAME_HELLO || hello_unpack(frame->body, frame->body_bytes, &peers->arena, &hello) < 0) {
		link_complain_of_stranger(peers, link, "no HELLO");
		link->deaf = true;
		connection_close(link->connection, "no HELLO");
		return;
	}
	status = judge(peers, &hello, text);
	peer = peers_find(peers, hello.node);
	if (status == LOCKD_OK &&
	    (!peer || (hello.purpose != PEER_PURPOSE_RAFT && hello.purpose != PEER_PURPOSE_SNAPSHOT))) {
		status = LOCKD_PROTOCOL;
		snprintf(text, sizeof text, "node %u comes without a known address or purpose", hello.node);
	}
	if (status == LOCKD_OK)
		welcome(peers, link, peer, &hello);
	else
		refuse(peers, link, peer, status, text);
}

static void go_outbound(struct peers *peers, struct link *link, const struct hello *hello) {
	struct peer *peer = link->peer;

	connection_set_frame_bytes_max(link->connection, LIMIT_FRAME_BYTES_MAX);
	if (link->purpose == PEER_PURPOSE_SNAPSHOT) {
		peer_snapshots_begin(peers, link);
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

void greeting_on_reply(struct peers *peers, struct link *link, const struct frame *frame) {
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
	link_complain(link->peer, text);
	link_fail(peers, link);
	link->kind = LINK_REPLACED;
	connection_close(link->connection, "refused");
}
