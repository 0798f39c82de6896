/* SPDX-License-Identifier: Apache-2.0 */
#include "outbox.h"

#include "api/frame.h"
#include "memory.h"
#include "peer.h"
#include "replica.h"

#include <assert.h>

struct outbox_frame {
	STAILQ_ENTRY(outbox_frame) link;
	struct raft_out out;
	size_t n;
	uint8_t body[];
};

void outbox_init(struct outbox *outbox) {
	STAILQ_INIT(&outbox->frames);
	outbox->n = 0;
}

static void outbox_pop(struct outbox *outbox) {
	struct outbox_frame *frame = STAILQ_FIRST(&outbox->frames);

	STAILQ_REMOVE_HEAD(&outbox->frames, link);
	outbox->n--;
	free(frame);
}

void outbox_deinit(struct outbox *outbox) {
	while (outbox->n > 0)
		outbox_pop(outbox);
}

/* The term of a pre-vote is one that its sender does not have yet, and promises nothing. */
static bool outbox_names_own_term(const struct raft_message *message) {
	return message->type != RAFT_PREVOTE && message->type != RAFT_PREVOTE_REPLY;
}

/* The one place where a message leaves a replica: whatever went wrong above, no term is spoken of before it is durable.
 */
static void outbox_send(struct replica *replica, const struct raft_out *out, const uint8_t *body, size_t n) {
	const struct raft_message *message = &out->message;
	struct node_peer_frame *frame;

	assert(out->after_seq <= replica->saved_seq);
	if (outbox_names_own_term(message))
		assert(message->term <= replica->status.durable_term);

	frame = turn_peer_frame(&replica->node->turn);
	frame->peer = message->to;
	frame->type = FRAME_PEER_MESSAGE;
	frame->body = body;
	frame->body_bytes = n;
	frame->append = message->type == RAFT_APPEND && message->n > 0;
}

/* Whoever cannot write cannot lead: it asks for no votes. */
static bool outbox_is_muted(const struct replica *replica, const struct raft_message *message) {
	return node_is_refusing(replica->node) && (message->type == RAFT_PREVOTE || message->type == RAFT_VOTE);
}

void outbox_push(struct replica *replica, const struct raft_out *out) {
	struct outbox *outbox = &replica->outbox;
	struct outbox_frame *frame;
	struct node_bytes body;

	if (outbox_is_muted(replica, &out->message))
		return;

	body = peer_pack(replica, &out->message);
	if (out->after_seq <= replica->saved_seq) {
		outbox_send(replica, out, body.bytes, body.n);
		return;
	}

	if (outbox->n == OUTBOX_FRAMES_MAX)
		outbox_pop(outbox);
	frame = memory_new(sizeof *frame + body.n);
	frame->out = *out;
	frame->n = body.n;
	memcpy(frame->body, body.bytes, body.n);
	STAILQ_INSERT_TAIL(&outbox->frames, frame, link);
	outbox->n++;
}

void outbox_release(struct replica *replica) {
	struct outbox *outbox = &replica->outbox;
	struct outbox_frame *frame;

	while ((frame = STAILQ_FIRST(&outbox->frames)) && frame->out.after_seq <= replica->saved_seq) {
		uint8_t *body = turn_alloc(&replica->node->turn, frame->n);

		memcpy(body, frame->body, frame->n);
		outbox_send(replica, &frame->out, body, frame->n);
		outbox_pop(outbox);
	}
}
