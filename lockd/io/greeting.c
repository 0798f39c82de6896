/* SPDX-License-Identifier: Apache-2.0 */
#include "greeting.h"

#include "api/limits.h"
#include "fatal.h"
#include "log.h"
#include "metrics.h"
#include "peer_snapshots.h"

#include <lockd/status.h>
#include <stdio.h>
#include <string.h>

static void send_hello(struct link *link, uint8_t type, const struct hello *hello) {
	uint8_t body[HELLO_BYTES_MAX];
	size_t n = hello_pack(hello, body);

	connection_send(link->connection, type, 0, body, n);
	connection_flush(link->connection);
}

void greeting_begin(struct peers *peers, struct link *link) {
	struct hello hello = peers->own;

	hello.to = link->peer->node;
	hello.purpose = link->purpose;
	link->kind = LINK_GREETING;
	link->deadline = peers_after_ms(peers, LIMIT_HELLO_MS);
	send_hello(link, FRAME_HELLO, &hello);
	connection_start(link->connection);
}

/* ---- Judging ------------------------------------------------------------------------------------------------------
 */

static void judge(const struct peers *peers, const struct hello *theirs, struct hello_verdict *ret) {
	struct hello_view view = {.listed = peer_table_find(&peers->table, theirs->node) != NULL};
	struct raft_status status;
	raft_index index;

	if (!peers->own.blank) {
		const struct raft *raft = node_raft(peers->node, PEERS_GROUP);

		view.members = raft_members(raft, &index);
		raft_get_status(raft, &status);
		view.leader = status.leader;
		if (status.role == RAFT_LEADER)
			view.leader = peers->own.node;
		if (status.role == RAFT_LEADER && status.commit >= status.term_start && status.commit >= index)
			view.standing = HELLO_LEADS;
		else
			view.standing = view.leader > 0 ? HELLO_FOLLOWS : HELLO_LOST;
	}
	hello_judge(&peers->own, theirs, &view, ret);
}

bool greeting_would_welcome(const struct peers *peers, const struct peer *peer) {
	struct hello_verdict verdict;

	judge(peers, &peer->hello, &verdict);
	return verdict.status == LOCKD_OK;
}

/* What the process before has sent and nobody has taken yet: heard behind the judgement it would never be held against
 * the disk. */
static void forget_process(struct peers *peers, const struct hello *theirs, struct events *events) {
	struct peer *peer = peer_table_find(&peers->table, theirs->node);

	if (!peer || peer->hello.memory.boot == theirs->memory.boot)
		return;
	events_drop_frames(events, peer->node);
	if (peer->inbound) {
		peer->inbound->deaf = true;
		connection_close(peer->inbound->connection, "its process has ended");
	}
}

/* Before anything else of that process is heard. */
static void judge_memory(struct peers *peers, const struct hello *theirs, struct hello_verdict *verdict,
			 struct events *events) {
	const char *loss;

	if (verdict->status != LOCKD_OK)
		return;
	loss = node_judge_memory(peers->node, theirs->node, &theirs->store, &theirs->memory);
	if (!loss) {
		forget_process(peers, theirs, events);
		return;
	}
	verdict->status = LOCKD_WRONG_CLUSTER;
	verdict->forgetful = true;
	metrics_add(METRICS_OLD_COPIES, 1);
	snprintf(verdict->text, sizeof verdict->text, "node %u's data folder is an older copy of itself: %s",
		 theirs->node, loss);
}

static void accept_accusation(struct peers *peers, const struct hello *hello) {
	snprintf(peers->accusation, sizeof peers->accusation, "%s", hello->text);
}

static void meet(const struct peers *peers, struct peer *peer, const struct hello *hello) {
	peer->hello = *hello;
	peer->met_at = peers->now;
	peer->met = true;
}

/* Whoever is refused has not been met, and says all the same that there is a cluster. */
static void note_cluster(struct peers *peers, const struct hello *hello) {
	const struct peer *peer = peer_table_find(&peers->table, hello->node);

	if (peers->own.blank && peer && peer->standing == PEER_LISTED &&
	    (!hello->blank || hello_waits_for_its_cluster(hello)))
		peers->cluster_seen = true;
}

/* The leader alone can add a node, and has to have been called by it. */
static void name_leader(const struct peers *peers, struct hello *answer) {
	const struct peer *leader;
	struct raft_status status;

	raft_get_status(node_raft(peers->node, PEERS_GROUP), &status);
	leader = peer_table_find(&peers->table, status.leader);
	if (!leader)
		return;
	answer->leader = leader->node;
	memcpy(answer->leader_address, leader->peer_address, sizeof answer->leader_address);
}

static void answer_hello(struct peers *peers, struct link *link, const struct hello_verdict *verdict) {
	struct hello answer = peers->own;

	if (verdict->candidate)
		name_leader(peers, &answer);
	answer.status = (uint32_t)verdict->status;
	answer.forgetful = verdict->forgetful;
	snprintf(answer.text, sizeof answer.text, "%s", verdict->text);
	if (verdict->status == LOCKD_OK && link->purpose == PEER_PURPOSE_SNAPSHOT && peers->gathering) {
		answer.snapshot = peers->gathering->digest;
		answer.snapshot_offset = peers->gathering->n;
	}
	send_hello(link, FRAME_HELLO_REPLY, &answer);
}

/* ---- Whoever dials us ---------------------------------------------------------------------------------------------
 */

static struct refusal *find_refusal(struct peers *peers, uint32_t node) {
	for (size_t i = 0; i < PEERS_REFUSALS_MAX; i++) {
		if (peers->refusals[i].node == node)
			return &peers->refusals[i];
	}
	return NULL;
}

/* A node that keeps calling is reported once, and again when the reason is another one. */
static bool is_news(struct peers *peers, uint32_t node, const char *text) {
	struct refusal *refusal = find_refusal(peers, node);
	bool known = refusal && strcmp(refusal->text, text) == 0;

	if (!refusal)
		refusal = &peers->refusals[peers->next_refusal++ % PEERS_REFUSALS_MAX];
	refusal->node = node;
	snprintf(refusal->text, sizeof refusal->text, "%s", text);
	return !known;
}

static void tell_of_candidate(struct peers *peers, const struct hello *hello, struct events *events) {
	struct caller *caller = fatal_alloc(sizeof *caller);

	memcpy(caller->peer_address, hello->peer_address, sizeof caller->peer_address);
	memcpy(caller->client_address, hello->client_address, sizeof caller->client_address);
	caller->met = (struct node_met){.node = hello->node,
					.store = hello->store,
					.peer_address = caller->peer_address,
					.client_address = caller->client_address,
					.replaces = caller->replaces,
					.n_replaces = hello->n_replaces};
	memcpy(caller->replaces, hello->replaces, sizeof caller->replaces);
	LIST_INSERT_HEAD(&peers->callers, caller, next);
	events_add(events, NODE_PEER_MET)->met = &caller->met;
}

static void refuse(struct peers *peers, struct link *link, const struct hello *hello,
		   const struct hello_verdict *verdict) {
	if (verdict->status != LOCKD_BUSY && is_news(peers, hello->node, verdict->text))
		link_complain_of_stranger(peers, link, verdict->text);
	answer_hello(peers, link, verdict);
	link->deaf = true;
	connection_finish(link->connection);
}

static void welcome(struct peers *peers, struct link *link, struct peer *peer, const struct hello *hello,
		    const struct hello_verdict *verdict) {
	struct refusal *refusal = find_refusal(peers, peer->node);

	if (refusal)
		*refusal = (struct refusal){0};
	connection_set_frame_bytes_max(link->connection, LIMIT_FRAME_BYTES_MAX);
	peers->n_strangers--;
	link->peer = peer;
	link->store = hello->store;
	link->purpose = hello->purpose;
	if (hello->purpose == PEER_PURPOSE_SNAPSHOT) {
		peer_snapshots_expect(peers, link);
		answer_hello(peers, link, verdict);
		return;
	}
	answer_hello(peers, link, verdict);
	meet(peers, peer, hello);
	if (peer->inbound)
		link_replace(peers, peer->inbound);
	link->kind = LINK_INBOUND;
	link->deadline = UINT64_MAX;
	peer->inbound = link;
	/* It is up, so there is no reason to wait out a long pause. */
	if (!peer->outbound && !peer->attempt) {
		peer->backoff_ms = PEER_BACKOFF_MS_MIN;
		link_dial_later(peers, peer);
	}
}

/* A member of that number has another store, but this node has no vote yet and hears whoever knows more. */
static bool is_another_machine(const struct peers *peers, const struct hello *hello) {
	struct node_member member;

	for (size_t i = 0; node_get_member(peers->node, i, &member); i++) {
		if (member.node == hello->node)
			return memcmp(member.store.bytes, hello->store.bytes, sizeof member.store.bytes) != 0;
	}
	return false;
}

/* The peer that it claims to be; somebody whom the table does not have becomes a guest. NULL: not possible. */
static struct peer *seat(struct peers *peers, const struct hello *hello) {
	struct peer *peer = peer_table_find(&peers->table, hello->node);

	if (peer && peer->standing == PEER_MEMBER && hello->peer_address[0] && is_another_machine(peers, hello))
		peer_table_set_addresses(peer, hello->peer_address, hello->client_address);
	if (peer && peer->standing != PEER_LEAVING && peer->standing != PEER_GUEST)
		return peer;
	if (!hello->peer_address[0])
		return NULL;
	if (!peer) {
		if (peer_table_count(&peers->table, PEER_GUEST) >= PEER_TABLE_GUESTS_MAX)
			return NULL;
		return peer_table_add(&peers->table, hello->node, PEER_GUEST, hello->peer_address,
				      hello->client_address);
	}
	peer->standing = PEER_GUEST;
	peer_table_set_addresses(peer, hello->peer_address, hello->client_address);
	return peer;
}

static void refuse_unseated(const struct hello *hello, struct hello_verdict *verdict) {
	verdict->status = LOCKD_PROTOCOL;
	snprintf(verdict->text, sizeof verdict->text, "node %u comes without a known address or purpose", hello->node);
}

static void refuse_beside_another(struct hello_verdict *verdict) {
	verdict->status = LOCKD_BUSY;
	snprintf(verdict->text, sizeof verdict->text, "another snapshot is being received");
}

void greeting_on_hello(struct peers *peers, struct link *link, const struct frame *frame, struct events *events) {
	struct hello_verdict verdict;
	struct peer *peer = NULL;
	struct hello hello;

	if (frame->type != FRAME_HELLO || hello_unpack(frame->body, frame->body_bytes, &peers->arena, &hello) < 0) {
		link_complain_of_stranger(peers, link, "no HELLO");
		link->deaf = true;
		connection_close(link->connection, "no HELLO");
		return;
	}
	judge(peers, &hello, &verdict);
	judge_memory(peers, &hello, &verdict, events);
	note_cluster(peers, &hello);
	if (verdict.candidate)
		tell_of_candidate(peers, &hello, events);
	if (verdict.status == LOCKD_OK) {
		if (hello.purpose == PEER_PURPOSE_RAFT || hello.purpose == PEER_PURPOSE_SNAPSHOT)
			peer = seat(peers, &hello);
		if (!peer)
			refuse_unseated(&hello, &verdict);
		else if (hello.purpose == PEER_PURPOSE_SNAPSHOT && peer_snapshots_are_busy(peers, peer))
			refuse_beside_another(&verdict);
	}
	if (verdict.status == LOCKD_OK)
		welcome(peers, link, peer, &hello, &verdict);
	else
		refuse(peers, link, &hello, &verdict);
}

void greeting_on_accusation(struct peers *peers, struct link *link, const struct frame *frame) {
	struct hello hello;

	if (hello_unpack(frame->body, frame->body_bytes, &peers->arena, &hello) < 0 || !hello.forgetful)
		link_violate(link, "a second HELLO");
	else
		accept_accusation(peers, &hello);
}

/* ---- Whom we have dialled -----------------------------------------------------------------------------------------
 */

static void go_outbound(struct peers *peers, struct link *link, const struct hello *hello) {
	struct peer *peer = link->peer;

	connection_set_frame_bytes_max(link->connection, LIMIT_FRAME_BYTES_MAX);
	if (link->purpose == PEER_PURPOSE_SNAPSHOT) {
		peer_snapshots_begin(peers, link, hello);
		return;
	}
	memset(peers->refused_with, 0, sizeof peers->refused_with);
	if (peer->outbound)
		link_replace(peers, peer->outbound);
	link->kind = LINK_OUTBOUND;
	link->deadline = UINT64_MAX;
	peer->outbound = link;
	peer->attempt = NULL;
	peer->backoff_ms = PEER_BACKOFF_MS_MIN;
	peer->unanswered_at = 0;
	meet(peers, peer, hello);
	if (!peer->reachable)
		log_info("peer reached: peer=%u address=%s", peer->node, peer->peer_address);
	peer->reachable = true;
	peer->complaint[0] = '\0';
}

/* What all peers say alike is reported once: that this node has to be added, or that it was removed. */
static void report_refusal(struct peers *peers, struct peer *peer, const struct hello *hello) {
	for (size_t i = 0; i < 2; i++) {
		if (strcmp(peers->refused_with[i], hello->text) == 0) {
			peer->reachable = false;
			snprintf(peer->complaint, sizeof peer->complaint, "%s", hello->text);
			return;
		}
	}
	snprintf(peers->refused_with[peers->next_refused_with++ % 2], sizeof peers->refused_with[0], "%s", hello->text);
	link_complain(peer, hello->text);
}

static void call_leader(struct peers *peers, const struct hello *hello) {
	struct peer *leader = peer_table_find(&peers->table, hello->leader);

	if (!peers->own.blank || hello->leader == 0 || hello->leader == peers->own.node || !hello->leader_address[0])
		return;
	if (!leader && peer_table_count(&peers->table, PEER_TOLD) < PEER_TABLE_GUESTS_MAX)
		peer_table_add(&peers->table, hello->leader, PEER_TOLD, hello->leader_address, NULL);
	else if (leader && leader->standing == PEER_TOLD)
		peer_table_set_addresses(leader, hello->leader_address, NULL);
}

static void give_up(struct peers *peers, struct link *link) {
	/* What is refused is misconfigured, or has to be allowed first: no use in asking often. */
	link->peer->backoff_ms = PEER_BACKOFF_MS_MAX;
	link_fail(peers, link);
	link->kind = LINK_REPLACED;
	connection_close(link->connection, "refused");
}

/* It learns the same by calling us, unless its folder is so old that it does not know us. */
static void accuse(struct peers *peers, struct link *link, const struct hello_verdict *verdict) {
	struct hello hello = peers->own;

	hello.to = link->peer->node;
	hello.purpose = link->purpose;
	hello.status = (uint32_t)verdict->status;
	hello.forgetful = true;
	snprintf(hello.text, sizeof hello.text, "%s", verdict->text);
	send_hello(link, FRAME_HELLO, &hello);
	link->peer->backoff_ms = PEER_BACKOFF_MS_MAX;
	link_fail(peers, link);
	link_replace(peers, link);
}

void greeting_on_reply(struct peers *peers, struct link *link, const struct frame *frame, struct events *events) {
	struct hello_verdict verdict = {.text = "its answer to HELLO is malformed"};
	struct peer *peer = link->peer;
	struct hello hello;

	if (frame->type != FRAME_HELLO_REPLY ||
	    hello_unpack(frame->body, frame->body_bytes, &peers->arena, &hello) < 0) {
		link_complain(peer, verdict.text);
	} else if (hello.status == LOCKD_BUSY && link->purpose == PEER_PURPOSE_SNAPSHOT) {
		peer_snapshots_put_off(peers, link->send);
		link->kind = LINK_REPLACED;
		connection_close(link->connection, "busy");
		return;
	} else if (hello.forgetful) {
		accept_accusation(peers, &hello);
	} else if (hello.status != LOCKD_OK) {
		note_cluster(peers, &hello);
		report_refusal(peers, peer, &hello);
		call_leader(peers, &hello);
	} else if (hello.node != peer->node) {
		snprintf(verdict.text, sizeof verdict.text, "node %u answers there", hello.node);
		link_complain(peer, verdict.text);
	} else {
		hello.to = 0;
		judge(peers, &hello, &verdict);
		judge_memory(peers, &hello, &verdict, events);
		if (verdict.status == LOCKD_OK) {
			go_outbound(peers, link, &hello);
			return;
		}
		link_complain(peer, verdict.text);
		if (verdict.forgetful && link->purpose == PEER_PURPOSE_RAFT) {
			accuse(peers, link, &verdict);
			return;
		}
	}
	give_up(peers, link);
}
