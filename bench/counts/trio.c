/* SPDX-License-Identifier: Apache-2.0 */
#include "trio.h"

#include "api/command.pb-c.h"
#include "api/limits.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TRIO_MS = 1000,
	/* Half a millisecond: about a round trip and a sync, so that heartbeats weigh what they weigh in a real node.
	 */
	TRIO_TURN_US = 500,
	TRIO_LEADER_TURNS_MAX = 20000,
	TRIO_SMALL_LOG_ENTRIES = 16,
};

/* What has been sent to one node and not yet been read: frames back to back. */
struct parcel {
	enum frame_kind kind;
	uint32_t peer;
	node_connection connection;
	size_t at, n;
};

struct mailbox {
	uint8_t *bytes;
	size_t n, max;
	struct parcel *parcels;
	size_t n_parcels, parcels_max;
	/* Reports of its own disk. */
	uint64_t saved;
	bool checkpointed;
};

struct trio_node {
	uint32_t id;
	struct node *node;
	struct mailbox boxes[2]; /* one is filled while the other one is read */
	int filling;
	struct node_event *events;
	size_t events_max;
};

struct trio {
	size_t n;
	struct trio_node nodes[TRIO_NODES_MAX];
	uint32_t leader;
	raft_usec now;
	trio_reply reply;
	void *context;
	struct trio_totals totals;
};

static const struct node_uuid trio_incarnation = {.bytes = "counted-cluster"};

void raft_panic(const char *file, int line, const char *what) {
	(void)fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static void *grow(void *items, size_t *capacity, size_t need, size_t item_bytes) {
	if (need <= *capacity)
		return items;
	*capacity = 2 * need;
	items = realloc(items, *capacity * item_bytes);
	assert(items);
	return items;
}

/* ---- Mail ---------------------------------------------------------------------------------------------------------
 */

static struct mailbox *mailbox_of(struct trio_node *at) {
	return &at->boxes[at->filling];
}

/* Room for a frame at the end of the box; it is not posted before mailbox_post(). */
static uint8_t *mailbox_reserve(struct mailbox *box, size_t bytes) {
	box->bytes = grow(box->bytes, &box->max, box->n + bytes, 1);
	return box->bytes + box->n;
}

static void mailbox_post(struct mailbox *box, struct parcel parcel) {
	parcel.at = box->n;
	box->parcels = grow(box->parcels, &box->parcels_max, box->n_parcels + 1, sizeof *box->parcels);
	box->parcels[box->n_parcels++] = parcel;
	box->n += parcel.n;
}

static struct node_uuid store_of(uint32_t id) {
	struct node_uuid store;

	memset(store.bytes, (int)id, sizeof store.bytes);
	return store;
}

static void carry_peer_frame(struct trio *trio, const struct trio_node *from, const struct node_peer_frame *frame) {
	size_t bytes = frame_bytes(FRAME_PEER, frame->body_bytes);
	struct mailbox *box = mailbox_of(&trio->nodes[frame->peer - 1]);
	uint8_t *out = mailbox_reserve(box, bytes);

	memcpy(out + FRAME_HEADER_BYTES, frame->body, frame->body_bytes);
	frame_seal(FRAME_PEER, frame->type, 0, frame->body_bytes, out);
	mailbox_post(box, (struct parcel){.kind = FRAME_PEER, .peer = from->id, .n = bytes});
	trio->totals.peer_frames++;
	trio->totals.peer_bytes += bytes;
}

static void carry_client_frame(struct trio *trio, const struct node_client_frame *out) {
	struct frame frame = {.type = out->type, .id = out->id, .body = out->body, .body_bytes = out->body_bytes};

	assert(!out->close);
	trio->totals.client_frames++;
	trio->totals.client_bytes += frame_bytes(FRAME_CLIENT, out->body_bytes);
	trio->reply(trio->context, out->connection, &frame);
}

uint8_t *trio_begin_frame(struct trio *trio, size_t body_bytes) {
	struct mailbox *box = mailbox_of(&trio->nodes[trio->leader - 1]);

	return mailbox_reserve(box, frame_bytes(FRAME_CLIENT, body_bytes)) + FRAME_HEADER_BYTES;
}

void trio_end_frame(struct trio *trio, node_connection connection, uint8_t type, uint64_t id, size_t body_bytes) {
	struct mailbox *box = mailbox_of(&trio->nodes[trio->leader - 1]);
	size_t bytes = frame_bytes(FRAME_CLIENT, body_bytes);

	frame_seal(FRAME_CLIENT, type, id, body_bytes, box->bytes + box->n);
	mailbox_post(box, (struct parcel){.kind = FRAME_CLIENT, .connection = connection, .n = bytes});
	trio->totals.client_frames++;
	trio->totals.client_bytes += bytes;
}

/* ---- Turns --------------------------------------------------------------------------------------------------------
 */

static struct node_event open_parcel(const struct mailbox *box, const struct parcel *parcel) {
	struct frame frame;
	size_t taken;
	int r = frame_parse(parcel->kind, box->bytes + parcel->at, parcel->n, LIMIT_FRAME_BYTES_MAX, &frame, &taken);

	assert(r == 0);
	assert(taken == parcel->n);
	return (struct node_event){
		.kind = parcel->kind == FRAME_PEER ? NODE_PEER_FRAME : NODE_CLIENT_FRAME,
		.peer = parcel->peer,
		.store = store_of(parcel->peer),
		.connection = parcel->connection,
		.type = frame.type,
		.id = frame.id,
		.body = frame.body,
		.body_bytes = frame.body_bytes,
	};
}

static size_t read_box(struct trio_node *at, struct mailbox *box) {
	size_t n = 0;

	at->events = grow(at->events, &at->events_max, box->n_parcels + 2, sizeof *at->events);
	if (box->saved > 0)
		at->events[n++] = (struct node_event){.kind = NODE_SAVED, .group = TRIO_GROUP, .seq = box->saved};
	if (box->checkpointed)
		at->events[n++] = (struct node_event){.kind = NODE_CHECKPOINTED, .group = TRIO_GROUP, .ok = true};
	for (size_t i = 0; i < box->n_parcels; i++)
		at->events[n++] = open_parcel(box, &box->parcels[i]);
	box->n = box->n_parcels = 0;
	box->saved = 0;
	box->checkpointed = false;
	return n;
}

static void carry_saves(struct trio *trio, struct trio_node *at, const struct node_effects *effects) {
	for (size_t i = 0; i < effects->n_saves; i++) {
		const struct node_save *save = &effects->saves[i];

		mailbox_of(at)->saved = save->seq;
		if (at->id != trio->leader)
			continue;
		trio->totals.saves++;
		trio->totals.entries += save->n_entries;
		for (size_t j = 0; j < save->n_entries; j++)
			trio->totals.log_bytes += save->entries[j].n;
	}
}

static void step(struct trio *trio, struct trio_node *at, const struct node_event *events, size_t n) {
	struct raft_clocks clocks = {.mono = trio->now, .boot = trio->now};
	struct node_effects effects;

	node_step(at->node, &clocks, events, n, &effects);
	if (effects.fatal)
		raft_panic(__FILE__, __LINE__, effects.fatal);
	carry_saves(trio, at, &effects);
	if (effects.checkpoint)
		mailbox_of(at)->checkpointed = true;
	for (size_t i = 0; i < effects.n_peer_frames; i++)
		carry_peer_frame(trio, at, &effects.peer_frames[i]);
	for (size_t i = 0; i < effects.n_client_frames; i++)
		carry_client_frame(trio, &effects.client_frames[i]);
}

void trio_turn(struct trio *trio) {
	struct mailbox *boxes[TRIO_NODES_MAX];

	trio->now += TRIO_TURN_US;
	trio->totals.turns++;
	for (size_t i = 0; i < trio->n; i++) {
		boxes[i] = mailbox_of(&trio->nodes[i]);
		trio->nodes[i].filling = !trio->nodes[i].filling;
	}
	for (size_t i = 0; i < trio->n; i++) {
		size_t n = read_box(&trio->nodes[i], boxes[i]);

		step(trio, &trio->nodes[i], trio->nodes[i].events, n);
	}
}

struct trio_totals trio_get_totals(const struct trio *trio) {
	return trio->totals;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

static void make_node(struct trio *trio, uint32_t id, const struct node_address *addresses, bool small_log) {
	struct trio_node *at = &trio->nodes[id - 1];
	struct raft_clocks clocks = {.mono = trio->now, .boot = trio->now};
	struct node_config config = {
		.node = id,
		.store = store_of(id),
		.seed = id,
		.timing = {.heartbeat = 50 * TRIO_MS,
			   .election_min = 400 * TRIO_MS,
			   .election_max = 800 * TRIO_MS,
			   .check_quorum = 400 * TRIO_MS,
			   .stagger = 10 * TRIO_MS},
		.addresses = addresses,
		.n_addresses = trio->n,
		.version = "counted",
		.leader_lease = true,
	};
	int r;

	if (small_log)
		config.checkpoint_log_entries = config.trailing_log_entries = TRIO_SMALL_LOG_ENTRIES;
	at->id = id;
	r = node_new(&config, &at->node);
	assert(r == 0);
	r = node_start(at->node, &clocks);
	assert(r == 0);
}

static void found(struct trio *trio) {
	Command__Configuration configuration = COMMAND__CONFIGURATION__INIT;
	Command__Member members[TRIO_NODES_MAX], *list[TRIO_NODES_MAX];
	struct node_uuid stores[TRIO_NODES_MAX];
	struct node_event event = {.kind = NODE_FOUND, .incarnation = &trio_incarnation, .epoch = TRIO_EPOCH};
	uint8_t body[1024];

	configuration.promise_ms = 200;
	configuration.drift_ppm = 100000;
	for (size_t i = 0; i < trio->n; i++) {
		command__member__init(&members[i]);
		stores[i] = store_of((uint32_t)i + 1);
		members[i].node = (uint32_t)i + 1;
		members[i].store = (ProtobufCBinaryData){.len = sizeof stores[i].bytes, .data = stores[i].bytes};
		members[i].roles = RAFT_ROLE_VOTER;
		list[i] = &members[i];
	}
	configuration.n_members = trio->n;
	configuration.members = list;
	event.body = body;
	event.body_bytes = command__configuration__pack(&configuration, body);
	step(trio, &trio->nodes[0], &event, 1);
	trio_turn(trio);
}

/* The founder tells the other ones what their first entry is. */
static void bring_in(struct trio *trio, uint32_t to) {
	struct node_uuid store = store_of(to);
	struct node_bytes body;
	int r = node_found_body(trio->nodes[0].node, to, &store, &body);

	assert(r == 0);
	carry_peer_frame(trio, &trio->nodes[0],
			 &(struct node_peer_frame){
				 .peer = to, .type = FRAME_PEER_FOUND, .body = body.bytes, .body_bytes = body.n});
}

static void await_leader(struct trio *trio) {
	for (int turn = 0; turn < TRIO_LEADER_TURNS_MAX; turn++) {
		trio_turn(trio);
		for (size_t i = 0; i < trio->n; i++) {
			struct raft_status status;

			raft_get_status(node_raft(trio->nodes[i].node, TRIO_GROUP), &status);
			if (status.role != RAFT_LEADER || status.commit < status.term_start)
				continue;
			trio->leader = trio->nodes[i].id;
			return;
		}
	}
	raft_panic(__FILE__, __LINE__, "nobody was elected");
}

struct trio *trio_new(size_t n, bool small_log, trio_reply reply, void *context) {
	static const struct node_address addresses[TRIO_NODES_MAX] = {
		{.node = 1, .peer_address = "p1:1", .client_address = "c1:1"},
		{.node = 2, .peer_address = "p2:1", .client_address = "c2:1"},
		{.node = 3, .peer_address = "p3:1", .client_address = "c3:1"},
	};
	struct trio *trio = calloc(1, sizeof *trio);

	assert(trio);
	assert(n <= TRIO_NODES_MAX);
	trio->n = n;
	trio->now = 1000 * TRIO_MS;
	trio->reply = reply;
	trio->context = context;
	for (uint32_t id = 1; id <= n; id++)
		make_node(trio, id, addresses, small_log);
	found(trio);
	for (uint32_t to = 2; to <= n; to++)
		bring_in(trio, to);
	await_leader(trio);
	return trio;
}

void trio_free(struct trio *trio) {
	for (size_t i = 0; i < trio->n; i++) {
		struct trio_node *at = &trio->nodes[i];

		at->node = node_free(at->node);
		for (int box = 0; box < 2; box++) {
			free(at->boxes[box].bytes);
			free(at->boxes[box].parcels);
		}
		free(at->events);
	}
	free(trio);
}
