/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include "api/limits.h"
#include "members.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>
#include <errno.h>

struct staged {
	struct state *state;
	struct checkpoint_header header;
	uint8_t *header_copy;
	size_t header_bytes;
	struct node_bytes configuration; /* as it stands in the log */
	uint64_t *row_ids;
	const struct node_bytes *rows; /* the driver's, until staged_done */
	size_t n_rows;
};

static struct staged *staged_free(struct staged *staged) {
	if (!staged)
		return NULL;
	(void)state_free(staged->state);
	free(staged->header_copy);
	free((void *)staged->configuration.bytes);
	free(staged->row_ids);
	free(staged);
	return NULL;
}

void snapshot_deinit(struct snapshot *snapshot) {
	snapshot->staged = staged_free(snapshot->staged);
}

/* ---- Sending ------------------------------------------------------------------------------------------------------
 */

static struct snapshot_transfer *snapshot_find(struct snapshot *snapshot, uint32_t peer) {
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		if (snapshot->transfers[i].peer == peer)
			return &snapshot->transfers[i];
	}
	return NULL;
}

static void snapshot_send(struct replica *replica, uint32_t peer) {
	struct snapshot *snapshot = &replica->snapshot;
	struct snapshot_transfer *transfer = snapshot_find(snapshot, peer);
	struct node_snapshot *out;

	/* Under way, or over for too short a time. */
	if (transfer && (transfer->retry_at == 0 || transfer->retry_at > replica->node->clocks.mono))
		return;
	if (replica->checkpoint.durable == 0) {
		replica->checkpoint.wanted = true;
		return;
	}
	if (!transfer)
		transfer = snapshot_find(snapshot, 0);
	if (!transfer)
		return;

	*transfer = (struct snapshot_transfer){.peer = peer, .index = replica->checkpoint.durable};
	out = turn_snapshot(&replica->node->turn);
	out->group = replica->group;
	out->peer = peer;
	out->term = replica->status.term;
	TURN_TRACE(&replica->node->turn, replica->group, "event=snapshot-sending peer=%u index=%llu", peer,
		   (unsigned long long)transfer->index);
}

void snapshots_send(struct replica *replica) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);

	if (!replica->leading || replica->effects.need_snapshot == 0)
		return;
	for (uint16_t i = 0; i < members->n; i++) {
		if (replica->effects.need_snapshot & (UINT32_C(1) << i))
			snapshot_send(replica, members->members[i].node);
	}
}

void snapshot_sent(struct replica *replica, const struct node_event *event) {
	struct snapshot_transfer *transfer = snapshot_find(&replica->snapshot, event->peer);
	struct raft_event step = {
		.kind = RAFT_SNAPSHOT_SENT, .peer = event->peer, .index = event->index, .ok = event->ok};

	TURN_TRACE(&replica->node->turn, replica->group, "event=snapshot-sent peer=%u index=%llu ok=%d", event->peer,
		   (unsigned long long)event->index, event->ok);
	if (transfer) {
		transfer->ended = event->ok;
		transfer->index = event->index;
		transfer->retry_at = replica->node->clocks.mono + SNAPSHOT_RETRY_US;
	}
	(void)replica_raft(replica, &step, NULL);
}

void snapshots_resign(struct replica *replica) {
	memset(replica->snapshot.transfers, 0, sizeof replica->snapshot.transfers);
}

/* A follower that has just installed the snapshot needs the entries behind it, or it would need the next snapshot at
 * once. One that never gets there must not hold the log for ever: beyond half of what may be retained it is given up,
 * and when configurations gather: the change that would remove it must find room. */
raft_index snapshot_hold(struct replica *replica) {
	raft_index hold = UINT64_MAX;
	bool crowded = replica->cache.bytes > LIMIT_RETAINED_LOG_BYTES_MAX / 2 || members_are_many(&replica->members);

	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		struct snapshot_transfer *transfer = &replica->snapshot.transfers[i];
		struct raft_peer peer;

		if (transfer->peer == 0 || (transfer->retry_at > 0 && !transfer->ended))
			continue;
		if (transfer->ended &&
		    (crowded || !raft_get_peer(replica->raft, transfer->peer, &peer) || peer.match > transfer->index))
			*transfer = (struct snapshot_transfer){0};
		else if (!crowded && transfer->index < hold)
			hold = transfer->index;
	}
	return hold;
}

/* ---- Receiving ----------------------------------------------------------------------------------------------------
 */

static const char *snapshot_find_fault(const struct replica *replica, const struct checkpoint_header *header) {
	const struct node *node = replica->node;

	if (memcmp(header->incarnation.bytes, node->incarnation.bytes, sizeof node->incarnation.bytes) != 0 ||
	    header->epoch != node->epoch || header->group != replica->group)
		return "it belongs to another cluster, epoch or group";
	return NULL;
}

/* Builds the state that the rows describe. */
static const char *snapshot_build(struct replica *replica, struct staged *staged) {
	staged->state = replica_new_state(replica);
	staged->row_ids = memory_new(staged->n_rows * sizeof *staged->row_ids);
	for (size_t i = 0; i < staged->n_rows; i++) {
		const struct node_bytes *row = &staged->rows[i];

		if (state_restore(staged->state, 0, row->bytes, row->n, &staged->row_ids[i]) < 0)
			return "a record contradicts the others";
	}
	if (state_restored(staged->state, &staged->header.cut) < 0)
		return "rows or hash differ from its header";
	return NULL;
}

static const char *snapshot_unpack(struct replica *replica, const struct node_event *event, struct staged *staged) {
	char text[NODE_ERROR_BYTES_MAX];
	const char *fault;
	int r;

	r = checkpoint_unpack_header(replica->node, event->header, event->header_bytes, &staged->header, &fault);
	if (r == -ENOTSUP) {
		(void)snprintf(
			text, sizeof text,
			"a checkpoint of group %u was made by a later version than this node's: upgrade this node",
			replica->group);
		node_fail(replica->node, text);
	}
	if (r < 0)
		return fault;
	fault = snapshot_find_fault(replica, &staged->header);
	if (fault)
		return fault;
	/* The cluster has gone where this node cannot follow. */
	if (!upgrade_check_checkpoint(replica, staged->header.cut.machine_version, text, sizeof text)) {
		node_fail(replica->node, text);
		return "it was made by a later version";
	}
	replica_keep_founding(replica, staged->header.founding);
	staged->configuration.n = staged->header.configuration_bytes.n;
	staged->configuration.bytes = memory_copy(staged->header.configuration_bytes.bytes, staged->configuration.n);
	staged->header_copy = memory_copy(event->header, event->header_bytes);
	staged->header_bytes = event->header_bytes;
	staged->rows = event->rows;
	staged->n_rows = event->n_rows;
	return snapshot_build(replica, staged);
}

static void snapshot_drop(struct replica *replica, const struct node_event *event, struct staged *staged,
			  const char *fault) {
	TURN_TRACE(&replica->node->turn, replica->group, "event=snapshot-dropped peer=%u reason=\"%s\"", event->peer,
		   fault);
	(void)staged_free(staged);
	replica->node->staged_done = true;
}

void snapshot_stage(struct replica *replica, const struct node_event *event) {
	struct staged *staged = memory_new(sizeof *staged);
	struct raft_event step = {.kind = RAFT_SNAPSHOT_STAGED, .peer = event->peer, .term = event->term};
	const char *fault = replica_is_blank(replica) ? "this node is blank" : snapshot_unpack(replica, event, staged);

	/* The driver stages the next one only when it was told that this one is done. */
	assert(!replica->snapshot.staged);
	if (fault) {
		snapshot_drop(replica, event, staged, fault);
		return;
	}

	step.index = staged->header.cut.index;
	step.index_term = staged->header.cut.term;
	step.configuration = &staged->header.configuration;
	step.configuration_index = staged->header.configuration_index;
	replica->snapshot.staged = staged;
	if (replica_raft(replica, &step, NULL) == 0 && replica->effects.save.install)
		return;
	replica->snapshot.staged = NULL;
	snapshot_drop(replica, event, staged, "it is older than what is committed here, or its leader is");
}

void snapshot_save(struct replica *replica, struct node_save *save) {
	const struct staged *staged = replica->snapshot.staged;

	assert(staged);
	save->install = true;
	save->base = staged->header.cut.index;
	save->base_term = staged->header.cut.term;
	save->header = staged->header_copy;
	save->header_bytes = staged->header_bytes;
	save->row_ids = staged->row_ids;
	save->rows = staged->rows;
	save->n_rows = staged->n_rows;
}

void snapshot_install(struct replica *replica) {
	struct staged *staged = replica->snapshot.staged;
	struct state *replaced;
	raft_index index;

	assert(staged);
	index = staged->header.cut.index;
	replaced = replica->state;
	replica->state = staged->state;
	staged->state = NULL;
	audit_forget(replica);
	/* What the core kept behind the snapshot stays; the rest of the old log is gone. */
	if (replica->status.last > index && cache_last(&replica->cache) == replica->status.last) {
		cache_trim(&replica->cache, &replica->node->turn, index);
	} else {
		cache_reset(&replica->cache, &replica->node->turn, index);
		members_truncate(&replica->members, index + 1);
	}
	members_install(&replica->members, index, staged->header.configuration_index, staged->configuration);
	if (replica->promise_ms < staged->header.configuration.promise_ms)
		replica->promise_ms = staged->header.configuration.promise_ms;
	checkpoint_replace(replica, index, staged->header.cut.term, replaced);
	replica->trim_to = 0;
	TURN_TRACE(&replica->node->turn, replica->group, "event=snapshot-installed index=%llu",
		   (unsigned long long)index);
	replica->snapshot.staged = staged_free(staged);
	replica->node->staged_done = true;
}
