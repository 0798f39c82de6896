/* SPDX-License-Identifier: Apache-2.0 */
/* A new incarnation out of what one node has: after the majority of a cluster is lost for good, or from a backup. It
 * becomes the checkpoint of a cluster whose only voter is this node. An entry that was never committed counts as
 * committed, and one that was may be missing here: that is the price, and why the incarnation is another one. No node
 * and no client of the old cluster talks to it by mistake, and no token of the old cluster is as large as those that
 * follow.
 *
 * Sessions stay after a recovery: their clients may still run, and must have stopped before another gets their locks.
 * In a backup they are as old as the backup is. They end by the state machine's own EXPIRE, as if a leader had waited.
 *
 * The checkpoint stands one index and one term behind the log, so that it is no prefix of any log of the old cluster.
 */
#include "boot.h"
#include "configuration.h"
#include "members.h"
#include "memory.h"
#include "replica.h"

#include <errno.h>

#define RECOVER_FAIL(node, r, ...) (snprintf((node)->error, sizeof(node)->error, __VA_ARGS__), (r))

static int recover_check(struct node *node, const struct node_recovery *recovery) {
	if (!node->identified)
		return RECOVER_FAIL(node, -EINVAL, "this node belongs to no cluster: there is nothing to recover");
	if (recovery->epoch <= node->epoch)
		return RECOVER_FAIL(node, -EINVAL, "the new epoch %u is not above the present one, %u", recovery->epoch,
				    node->epoch);
	if (recovery->epoch > STATE_EPOCH_MAX)
		return RECOVER_FAIL(node, -EINVAL, "the new epoch %u is above %d", recovery->epoch, STATE_EPOCH_MAX);
	if (memcmp(recovery->incarnation.bytes, node->incarnation.bytes, sizeof node->incarnation.bytes) == 0)
		return RECOVER_FAIL(node, -EINVAL, "the new incarnation is the present one");
	return 0;
}

static int recover_apply_entry(struct replica *replica, const struct node_entry *entry) {
	const struct state_outcome *outcomes;
	size_t n;

	if (entry->type == RAFT_ENTRY_COMMANDS)
		return state_apply(replica->state, entry->index, entry->term, entry->data, entry->n, &outcomes, &n);
	state_skip(replica->state, entry->index, entry->term);
	return 0;
}

static int recover_apply(struct replica *replica) {
	for (raft_index index = replica->cache.base + 1; index <= cache_last(&replica->cache); index++) {
		int r = recover_apply_entry(replica, cache_get(&replica->cache, index));

		if (r < 0) {
			upgrade_explain(replica, index, r, replica->node->error, sizeof replica->node->error);
			return -EBADMSG;
		}
	}
	return 0;
}

/* ---- Sessions of a backup -----------------------------------------------------------------------------------------
 */

static size_t recover_gather(const struct state *state, uint64_t ret_opened[LIMIT_SESSIONS_PER_COMMAND]) {
	struct state_session session = {0};
	size_t n = 0;

	while (n < LIMIT_SESSIONS_PER_COMMAND && state_next_session(state, session.id, &session))
		ret_opened[n++] = session.id;
	return n;
}

static int recover_expire(struct replica *replica, uint64_t *opened, size_t n, raft_term term) {
	Command__Expire expire = COMMAND__EXPIRE__INIT;
	Command__Command command = COMMAND__COMMAND__INIT, *commands[1] = {&command};
	Command__Batch batch = COMMAND__BATCH__INIT;
	const struct state_outcome *outcomes;
	size_t n_outcomes, bytes;
	uint8_t *packed;
	int r;

	expire.term = term;
	expire.opened = opened;
	expire.n_opened = n;
	command.body_case = COMMAND__COMMAND__BODY_EXPIRE;
	command.expire = &expire;
	batch.commands = commands;
	batch.n_commands = 1;
	bytes = command__batch__get_packed_size(&batch);
	packed = memory_new(bytes);
	(void)command__batch__pack(&batch, packed);
	r = state_apply(replica->state, state_applied(replica->state) + 1, term, packed, bytes, &outcomes, &n_outcomes);
	free(packed);
	return r;
}

/* Each command is an entry of its own, of the new term. */
static int recover_end_sessions(struct replica *replica) {
	uint64_t *opened = memory_new(LIMIT_SESSIONS_PER_COMMAND * sizeof *opened);
	int r = 0;
	size_t n;

	while (r == 0 && (n = recover_gather(replica->state, opened)) > 0)
		r = recover_expire(replica, opened, n, replica->status.term + 1);
	free(opened);
	return r == 0 ? 0 : RECOVER_FAIL(replica->node, -EBADMSG, "the sessions of the backup cannot be ended");
}

/* ---- The new incarnation ------------------------------------------------------------------------------------------
 */

/* This node alone, with the times that the cluster had. */
static struct node_bytes recover_pack_configuration(struct replica *replica, const struct node_recovery *recovery) {
	const struct raft_configuration *last = raft_members(replica->raft, NULL);
	const struct raft_member *before = configuration_find(last, replica->node->id);
	struct configuration *alone = turn_alloc(&replica->node->turn, sizeof *alone);
	struct raft_member self = {
		.node = replica->node->id, .roles = RAFT_ROLE_VOTER, .priority = before ? before->priority : 0};

	*alone = (struct configuration){.core = {.promise_ms = last->promise_ms, .drift_ppm = last->drift_ppm}};
	memcpy(self.store.bytes, replica->node->store.bytes, sizeof self.store.bytes);
	configuration_add(alone, &self);
	alone->addresses[0].peer_address = recovery->peer_address;
	alone->addresses[0].client_address = recovery->client_address;
	return configuration_pack(replica->node, alone);
}

/* The configuration is the founding one of the new incarnation as well: it brings in whoever joins. */
static void recover_begin_incarnation(struct replica *replica, const struct node_recovery *recovery) {
	struct node_bytes packed = recover_pack_configuration(replica, recovery);
	raft_index index = state_applied(replica->state) + 1;
	struct node *node = replica->node;

	node->incarnation = recovery->incarnation;
	node->epoch = recovery->epoch;
	state_raise_epoch(replica->state, recovery->epoch);
	if (recovery->token > 0)
		state_raise_tokens(replica->state, recovery->token);
	state_skip(replica->state, index, replica->status.term + 1);
	members_install(&replica->members, index, index, packed);
	free((void *)replica->founding.bytes);
	replica->founding = (struct node_bytes){0};
	replica_keep_founding(replica, packed);
}

static void recover_fill_rows(struct replica *replica, struct node_save *save) {
	size_t n;
	const struct state_row *rows = state_cut_rows(replica->state, &n);
	uint64_t *ids = turn_alloc(&replica->node->turn, n * sizeof *ids);
	struct node_bytes *bytes = turn_alloc(&replica->node->turn, n * sizeof *bytes);

	for (size_t i = 0; i < n; i++) {
		if (!rows[i].record)
			continue;
		ids[save->n_rows] = rows[i].id;
		bytes[save->n_rows++] = (struct node_bytes){.bytes = rows[i].record, .n = rows[i].n};
	}
	save->row_ids = ids;
	save->rows = bytes;
}

static const struct node_save *recover_save(struct replica *replica) {
	struct state_cut *cut = &replica->checkpoint.cut;
	struct node_save *save = turn_save(&replica->node->turn);

	state_cut(replica->state, cut);
	while (!state_copy(replica->state, SIZE_MAX))
		;
	replica->checkpoint.out.header = checkpoint_pack_header(replica, &replica->checkpoint.out.header_bytes);
	*save = (struct node_save){
		.group = replica->group,
		.seq = 1,
		.identity = true,
		.incarnation = replica->node->incarnation,
		.epoch = replica->node->epoch,
		.hard = true,
		.term = cut->term,
		.promise_ms = replica->promise_ms,
		.install = true,
		.base = cut->index,
		.base_term = cut->term,
		.header = replica->checkpoint.out.header,
		.header_bytes = replica->checkpoint.out.header_bytes,
	};
	recover_fill_rows(replica, save);
	return save;
}

int node_recover(struct node *node, const struct node_recovery *recovery, const struct node_save **ret) {
	struct replica *replica = node_find_replica(node, NODE_GROUP_DEFAULT);
	struct raft_clocks epoch = {0};
	int r;

	r = node_start(node, &epoch);
	if (r < 0)
		return r;
	r = recover_check(node, recovery);
	if (r < 0)
		return r;
	r = recover_apply(replica);
	if (r == 0 && recovery->end_sessions)
		r = recover_end_sessions(replica);
	if (r < 0)
		return r;
	recover_begin_incarnation(replica, recovery);
	*ret = recover_save(replica);
	return 0;
}
