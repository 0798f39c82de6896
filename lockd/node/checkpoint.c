/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint.h"

#include "api/bytes.h"
#include "api/limits.h"
#include "configuration.h"
#include "members.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>
#include <errno.h>

/* ---- Header -------------------------------------------------------------------------------------------------------
 */

const uint8_t *checkpoint_pack_header(struct replica *replica, size_t *ret_n) {
	const struct state_cut *cut = &replica->checkpoint.cut;
	struct node *node = replica->node;
	Record__Header header = RECORD__HEADER__INIT;
	const struct members_item *members = members_at(&replica->members, cut->index);
	uint8_t hash[16], *bytes;

	replica_pack_hash(cut->hash, hash);
	header.format = CHECKPOINT_FORMAT;
	header.incarnation = (ProtobufCBinaryData){.len = sizeof node->incarnation, .data = node->incarnation.bytes};
	header.epoch = node->epoch;
	header.group = replica->group;
	header.index = cut->index;
	header.term = cut->term;
	header.configuration = (ProtobufCBinaryData){.len = members->bytes.n, .data = (uint8_t *)members->bytes.bytes};
	header.configuration_index = members->index;
	header.machine_version = cut->machine_version;
	header.rows = cut->rows;
	header.hash = (ProtobufCBinaryData){.len = sizeof hash, .data = hash};
	header.founding = (ProtobufCBinaryData){.len = replica->founding.n, .data = (uint8_t *)replica->founding.bytes};

	*ret_n = record__header__get_packed_size(&header);
	bytes = memory_new(*ret_n);
	(void)record__header__pack(&header, bytes);
	return bytes;
}

static const char *checkpoint_find_fault(const Record__Header *header) {
	if (header->format != CHECKPOINT_FORMAT || header->machine_version == 0 ||
	    header->incarnation.len != LIMIT_UUID_BYTES || header->hash.len != 16 || header->founding.len == 0)
		return "its header lacks a field, or has one of wrong size";
	if (header->index == 0 || header->term == 0 || header->configuration_index == 0 ||
	    header->configuration_index > header->index)
		return "its indices contradict each other";
	return NULL;
}

int checkpoint_unpack_header(struct node *node, const uint8_t *bytes, size_t n, struct checkpoint_header *ret,
			     const char **ret_fault) {
	Record__Header *header;
	const char *fault;

	node_arena_reset(&node->arena, n);
	header = record__header__unpack(&node->arena.allocator, n, bytes);
	if (header && header->format > CHECKPOINT_FORMAT) {
		*ret_fault = "it has a later format: upgrade this node";
		return -ENOTSUP;
	}
	fault = header ? checkpoint_find_fault(header) : "its header does not decode";
	if (!fault && configuration_unpack(node, header->configuration.data, header->configuration.len,
					   &ret->configuration) < 0) {
		*ret_fault = "its configuration does not decode";
		return header->machine_version > node->machine_version_max ? -ENOTSUP : -EBADMSG;
	}
	if (fault) {
		*ret_fault = fault;
		return -EBADMSG;
	}

	memcpy(ret->incarnation.bytes, header->incarnation.data, sizeof ret->incarnation.bytes);
	ret->epoch = header->epoch;
	ret->group = header->group;
	ret->configuration_index = header->configuration_index;
	ret->configuration_bytes =
		(struct node_bytes){.bytes = header->configuration.data, .n = header->configuration.len};
	ret->founding = (struct node_bytes){.bytes = header->founding.data, .n = header->founding.len};
	ret->cut = (struct state_cut){
		.index = header->index,
		.term = header->term,
		.rows = header->rows,
		.hash = {.low = bytes_get_u64(header->hash.data), .high = bytes_get_u64(header->hash.data + 8)},
		.machine_version = header->machine_version,
	};
	return 0;
}

/* ---- Making -------------------------------------------------------------------------------------------------------
 */

static void checkpoint_free_out(struct checkpoint *checkpoint) {
	free((void *)checkpoint->out.header);
	free((void *)checkpoint->out.row_ids);
	free((void *)checkpoint->out.rows);
	checkpoint->out = (struct node_checkpoint){0};
}

void checkpoint_deinit(struct checkpoint *checkpoint) {
	checkpoint_free_out(checkpoint);
	checkpoint->replaced = state_free(checkpoint->replaced);
}

void checkpoint_count(struct checkpoint *checkpoint, size_t bytes) {
	checkpoint->log_bytes += bytes;
	checkpoint->log_entries++;
}

/* One at a time per node, and none while a snapshot is about to replace the state. */
static bool checkpoint_may_begin(const struct replica *replica) {
	const struct node *node = replica->node;

	for (size_t i = 0; i < node->n_replicas; i++) {
		if (node->replicas[i]->checkpoint.phase != CHECKPOINT_IDLE)
			return false;
	}
	return !replica->snapshot.staged && state_applied(replica->state) > replica->checkpoint.durable &&
	       node->clocks.mono >= replica->checkpoint.retry_at;
}

static bool checkpoint_is_due(const struct replica *replica) {
	const struct checkpoint *checkpoint = &replica->checkpoint;

	return checkpoint->wanted || checkpoint->log_bytes >= replica->node->checkpoint_log_bytes ||
	       checkpoint->log_entries >= replica->node->checkpoint_log_entries;
}

static void checkpoint_begin(struct replica *replica) {
	struct checkpoint *checkpoint = &replica->checkpoint;

	state_cut(replica->state, &checkpoint->cut);
	replica_keep_founding(replica, replica_get_founding(replica));
	checkpoint->phase = CHECKPOINT_COPYING;
	checkpoint->wanted = false;
	checkpoint->log_bytes = checkpoint->log_entries = 0;
}

static void checkpoint_hand_out(struct replica *replica) {
	struct checkpoint *checkpoint = &replica->checkpoint;
	size_t n;
	const struct state_row *rows = state_cut_rows(replica->state, &n);
	uint64_t *ids = memory_new(n * sizeof *ids);
	struct node_bytes *bytes = memory_new(n * sizeof *bytes);

	for (size_t i = 0; i < n; i++) {
		ids[i] = rows[i].id;
		bytes[i] = (struct node_bytes){.bytes = rows[i].record, .n = rows[i].n};
	}
	checkpoint->out = (struct node_checkpoint){
		.group = replica->group, .index = checkpoint->cut.index, .row_ids = ids, .rows = bytes, .n_rows = n};
	checkpoint->out.header = checkpoint_pack_header(replica, &checkpoint->out.header_bytes);
	checkpoint->phase = CHECKPOINT_WRITING;
	checkpoint->fresh = true;
}

void checkpoint_advance(struct replica *replica) {
	struct checkpoint *checkpoint = &replica->checkpoint;

	checkpoint->fresh = false;
	if (checkpoint->phase == CHECKPOINT_IDLE && checkpoint_is_due(replica) && checkpoint_may_begin(replica))
		checkpoint_begin(replica);
	/* While a snapshot waits for its install, what is being copied is about to be replaced: written behind the
	 * install, it would put old rows among the new ones. */
	if (checkpoint->phase == CHECKPOINT_COPYING && !replica->snapshot.staged &&
	    state_copy(replica->state, replica->node->checkpoint_rows_per_turn))
		checkpoint_hand_out(replica);
}

void checkpoint_get_deadline(const struct replica *replica, raft_usec *deadline) {
	const struct checkpoint *checkpoint = &replica->checkpoint;

	if (checkpoint->phase == CHECKPOINT_COPYING && !replica->snapshot.staged)
		*deadline = replica->node->clocks.mono;
	else if (checkpoint->phase == CHECKPOINT_IDLE && checkpoint_is_due(replica) &&
		 checkpoint->retry_at > replica->node->clocks.mono && checkpoint->retry_at < *deadline)
		*deadline = checkpoint->retry_at;
}

/* ---- Ending -------------------------------------------------------------------------------------------------------
 */

void checkpoint_written(struct replica *replica, bool ok) {
	struct checkpoint *checkpoint = &replica->checkpoint;

	if (checkpoint->phase == CHECKPOINT_VOID) {
		checkpoint_deinit(checkpoint);
		checkpoint->phase = CHECKPOINT_IDLE;
		return;
	}
	assert(checkpoint->phase == CHECKPOINT_WRITING);

	checkpoint->phase = CHECKPOINT_IDLE;
	checkpoint_free_out(checkpoint);
	if (!ok) {
		state_cut_failed(replica->state);
		checkpoint->wanted = true;
		checkpoint->retry_at = replica->node->clocks.mono + CHECKPOINT_RETRY_US;
		TURN_TRACE(&replica->node->turn, replica->group, "event=checkpoint-failed index=%llu",
			   (unsigned long long)checkpoint->cut.index);
		backups_fail(replica);
		return;
	}
	state_cut_done(replica->state);
	checkpoint->retry_at = 0;
	checkpoint->durable = checkpoint->cut.index;
	checkpoint->durable_term = checkpoint->cut.term;
	TURN_TRACE(&replica->node->turn, replica->group, "event=checkpoint index=%llu rows=%llu",
		   (unsigned long long)checkpoint->cut.index, (unsigned long long)checkpoint->cut.rows);
	checkpoint_trim(replica);
}

void checkpoint_replace(struct replica *replica, raft_index index, raft_term term, struct state *replaced) {
	struct checkpoint *checkpoint = &replica->checkpoint;

	checkpoint->durable = index;
	checkpoint->durable_term = term;
	checkpoint->wanted = false;
	checkpoint->log_bytes = checkpoint->log_entries = 0;
	/* The writer may still be reading the rows. */
	if (checkpoint->phase == CHECKPOINT_WRITING) {
		checkpoint->phase = CHECKPOINT_VOID;
		checkpoint->replaced = replaced;
		return;
	}
	if (checkpoint->phase == CHECKPOINT_COPYING)
		checkpoint->phase = CHECKPOINT_IDLE;
	(void)state_free(replaced);
}

/* ---- Trimming -----------------------------------------------------------------------------------------------------
 */

/* Where the tail that stays for laggards begins: as much as fits the bounds in front of the checkpoint. */
static raft_index checkpoint_find_tail(const struct replica *replica) {
	const struct node *node = replica->node;
	raft_index index = replica->checkpoint.durable, floor = members_floor(&replica->members);
	size_t bytes = 0, entries = 0;

	while (index > replica->cache.base && index > floor && entries < node->trailing_log_entries) {
		bytes += cache_get(&replica->cache, index)->n;
		if (bytes > node->trailing_log_bytes)
			break;
		entries++;
		index--;
	}
	return index;
}

void checkpoint_trim(struct replica *replica) {
	raft_index to = checkpoint_find_tail(replica), held = snapshot_hold(replica);
	struct raft_event event = {.kind = RAFT_COMPACTED};
	raft_term term;

	if (held < to)
		to = held;
	if (to <= replica->cache.base || replica->snapshot.staged)
		return;

	term = raft_term_at(replica->raft, to);
	event.index = to;
	if (replica_raft(replica, &event, NULL) != 0)
		return;
	cache_trim(&replica->cache, &replica->node->turn, to);
	members_trim(&replica->members, to);
	replica->trim_to = to;
	replica->trim_term = term;
}
