/* SPDX-License-Identifier: Apache-2.0 */
/* node_step() is the table of contents of this folder. A turn: the events in the order of the inbox, then what follows
 * from them for each group (replica_flush), then the effects.
 *
 *   frames of clients   hello, request → field, admission → pending (commands) or query (reads, keep-alives)
 *   frames of peers     peer → consensus core, found (blank nodes)
 *   the disk            replica_saved → outbox (frames that waited), checkpoint, snapshot
 *   time                consensus core, lease (silent sessions), seat (waits), leadership (handing over)
 *   versions, hashes    peer → upgrade (raising the machine version), audit (replicas that differ)
 *   members             request → membership (steps of a change); candidate (who waits to be added) → replacement
 *   applied entries     pending, seat, watch → client (replies, events) */
#include "found.h"
#include "memory.h"
#include "peer.h"
#include "replica.h"
#include "request.h"

#include "api/frame.h"

#include <assert.h>

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

static char *node_copy_text(const char *text) {
	return text ? memory_copy(text, strlen(text) + 1) : NULL;
}

static void node_copy_addresses(struct node *node, const struct node_config *config) {
	node->configured = memory_new(config->n_addresses * sizeof *node->configured);
	while (node->n_configured < config->n_addresses) {
		node->configured[node->n_configured] = members_copy_address(&config->addresses[node->n_configured]);
		node->n_configured++;
	}
}

static void node_free_addresses(struct node *node) {
	for (size_t i = 0; i < node->n_addresses; i++)
		members_free_address(&node->addresses[i]);
	free(node->addresses);
	for (size_t i = 0; i < node->n_configured; i++)
		members_free_address(&node->configured[i]);
	free(node->configured);
}

static size_t node_choose(size_t configured, size_t limit) {
	return configured > 0 ? configured : limit;
}

int node_new(const struct node_config *config, struct node **ret) {
	struct node *node = memory_new(sizeof *node);

	node->id = config->node;
	node->store = config->store;
	node->seed = config->seed;
	node->timing = config->timing;
	node->version = node_copy_text(config->version);
	node->checkpoint_log_bytes = node_choose(config->checkpoint_log_bytes, LIMIT_CHECKPOINT_LOG_BYTES);
	node->checkpoint_log_entries = node_choose(config->checkpoint_log_entries, LIMIT_CHECKPOINT_LOG_ENTRIES);
	node->trailing_log_bytes = node_choose(config->trailing_log_bytes, LIMIT_TRAILING_LOG_BYTES);
	node->append_entries_max = node_choose(config->append_entries_max, LIMIT_APPEND_ENTRIES_MAX);
	node->checkpoint_rows_per_turn = node_choose(config->checkpoint_rows_per_turn, LIMIT_CHECKPOINT_ROWS_PER_TURN);
	node->trailing_log_entries = node_choose(config->trailing_log_entries, LIMIT_TRAILING_LOG_ENTRIES);
	node->pending_requests_max = node_choose(config->pending_requests_max, LIMIT_PENDING_REQUESTS_MAX);
	node->machine_version_max = (uint32_t)node_choose(config->machine_version_max, STATE_MACHINE_VERSION_MAX);
	node->state_hash_interval = (uint32_t)node_choose(config->state_hash_interval, LIMIT_STATE_HASH_INTERVAL);
	node->leader_lease = config->leader_lease;
	node->stall = config->stall > 0 ? config->stall : config->timing.election_max;
	node->past_incarnation = config->past_incarnation;
	node->repairs = config->repairs;
	node->damage = node_copy_text(config->damage);
	node_copy_addresses(node, config);
	arena_init(&node->arena);
	arena_init(&node->configuration_arena);
	node->replicas[node->n_replicas++] = replica_new(node, NODE_GROUP_DEFAULT);
	members_collect_addresses(node);
	*ret = node;
	return 0;
}

struct node *node_free(struct node *node) {
	if (!node)
		return NULL;
	clients_deinit(node);
	for (size_t i = 0; i < node->n_replicas; i++)
		(void)replica_free(node->replicas[i]);
	turn_deinit(&node->turn);
	arena_deinit(&node->arena);
	arena_deinit(&node->configuration_arena);
	node_free_addresses(node);
	candidates_deinit(&node->candidates);
	free(node->version);
	free(node->damage);
	free(node->found_body);
	free(node);
	return NULL;
}

/* ---- Shared by the rest of the folder -----------------------------------------------------------------------------
 */

struct replica *node_find_replica(const struct node *node, uint32_t group) {
	for (size_t i = 0; i < node->n_replicas; i++) {
		if (node->replicas[i]->group == group)
			return node->replicas[i];
	}
	return NULL;
}

bool node_is_refusing(const struct node *node) {
	return node->blocked || node->stopping;
}

void node_fail(struct node *node, const char *reason) {
	if (node->fatal)
		return;
	(void)snprintf(node->fatal_text, sizeof node->fatal_text, "%s", reason);
	node->fatal = node->fatal_text;
}

void node_arena_reset(struct arena *arena, size_t body_bytes) {
	if (arena_reset(arena, body_bytes) < 0)
		raft_panic(__FILE__, __LINE__, "out of memory");
}

const Client__Request *node_unpack_request(struct node *node, const uint8_t *body, size_t n) {
	node_arena_reset(&node->arena, n);
	return client__request__unpack(&node->arena.allocator, n, body);
}

/* ---- Step ---------------------------------------------------------------------------------------------------------
 */

static void node_step_down(struct node *node) {
	struct raft_event event = {.kind = RAFT_STEP_DOWN};

	for (size_t i = 0; i < node->n_replicas; i++)
		(void)replica_raft(node->replicas[i], &event, NULL);
}

/* At once: what follows in this turn must not make it stand for election. */
static void node_tell_fitness(struct node *node) {
	for (size_t i = 0; i < node->n_replicas; i++)
		leadership_tell_fitness(node->replicas[i]);
}

static void node_peer_down(struct node *node, uint32_t peer) {
	struct raft_event event = {.kind = RAFT_PEER_DOWN, .peer = peer};

	for (size_t i = 0; i < node->n_replicas; i++)
		(void)replica_raft(node->replicas[i], &event, NULL);
}

static void node_recv_peer(struct node *node, const struct node_event *event) {
	if (event->type == FRAME_PEER_MESSAGE)
		peer_recv(node, event);
	else if (event->type == FRAME_PEER_FOUND)
		found_recv(node, event->peer, event->body, event->body_bytes);
}

static void node_saved(struct node *node, struct replica *replica, uint64_t seq) {
	replica_saved(replica, seq);
	found_saved(node);
}

/* What the driver reports of a group. */
static void node_handle_report(struct node *node, const struct node_event *event) {
	struct replica *replica = node_find_replica(node, event->group);

	assert(replica);
	switch (event->kind) {
	case NODE_SAVED: node_saved(node, replica, event->seq); break;
	case NODE_CHECKPOINTED: checkpoint_written(replica, event->ok); break;
	case NODE_SNAPSHOT_SENT: snapshot_sent(replica, event); break;
	case NODE_SNAPSHOT_STAGED: snapshot_stage(replica, event); break;
	default: assert(!"an event that names no group");
	}
}

static void node_handle(struct node *node, const struct node_event *event) {
	switch (event->kind) {
	case NODE_PEER_FRAME: node_recv_peer(node, event); break;
	case NODE_PEER_DOWN: node_peer_down(node, event->peer); break;
	case NODE_CLIENT_FRAME: request_recv(node, event); break;
	case NODE_CLIENT_GONE: client_gone(node, event->connection); break;
	case NODE_CLIENT_STALLED: client_stall(node, event->connection, true); break;
	case NODE_CLIENT_DRAINED: client_stall(node, event->connection, false); break;
	case NODE_BACKUP_DONE: backup_done(node, event->backup); break;
	case NODE_SAVED:
	case NODE_CHECKPOINTED:
	case NODE_SNAPSHOT_SENT:
	case NODE_SNAPSHOT_STAGED: node_handle_report(node, event); break;
	case NODE_SAVE_BLOCKED:
		node->blocked = true;
		node_tell_fitness(node);
		node_step_down(node);
		break;
	case NODE_SAVE_UNBLOCKED: node->blocked = false; break;
	case NODE_PEER_MET: candidate_meet(node, event->met); break;
	case NODE_FOUND: found_begin(node, event); break;
	case NODE_STOP:
		/* A leader hands over before it steps down (leadership_advance). */
		node->stopping = true;
		node_tell_fitness(node);
		break;
	}
}

/* A turn that comes much later than it was asked for: this process did not run. Keep-alives may have waited unread all
 * the while, and another leader may have been elected. */
static void node_notice_pause(struct node *node) {
	raft_usec late = node->clocks.mono - node->deadline;

	if (node->deadline == 0 || node->clocks.mono < node->deadline || late <= 2 * node->timing.heartbeat)
		return;
	for (size_t i = 0; i < node->n_replicas; i++)
		leases_pause(&node->replicas[i]->leases, late);
}

static bool node_is_idle(const struct node *node) {
	for (size_t i = 0; i < node->n_replicas; i++) {
		const struct replica *replica = node->replicas[i];

		if (replica->last_seq > replica->saved_seq || replica->leading ||
		    replica->checkpoint.phase == CHECKPOINT_WRITING || replica->checkpoint.phase == CHECKPOINT_VOID)
			return false;
	}
	return node->pending_requests == 0;
}

static void node_fill_effects(struct node *node, struct node_effects *effects) {
	const struct turn *turn = &node->turn;

	*effects = (struct node_effects){
		.saves = turn->saves,
		.n_saves = turn->n_saves,
		.peer_frames = turn->peer_frames,
		.n_peer_frames = turn->n_peer_frames,
		.client_frames = turn->client_frames,
		.n_client_frames = turn->n_client_frames,
		.snapshots = turn->snapshots,
		.n_snapshots = turn->n_snapshots,
		.backups = turn->backups,
		.n_backups = turn->n_backups,
		.traces = turn->traces,
		.n_traces = turn->n_traces,
		.staged_done = node->staged_done,
		.members_changed = node->members_changed,
		.deadline = UINT64_MAX,
		.stopped = node->stopping && node_is_idle(node),
		.fatal = node->fatal,
	};
	for (size_t i = 0; i < node->n_replicas; i++) {
		struct replica *replica = node->replicas[i];

		if (replica->checkpoint.fresh)
			effects->checkpoint = &replica->checkpoint.out;
		replica_get_deadline(replica, &effects->deadline);
	}
	backups_get_deadline(node, &effects->deadline);
	node->deadline = effects->deadline;
}

void node_step(struct node *node, const struct raft_clocks *clocks, const struct node_event *events, size_t n,
	       struct node_effects *effects) {
	assert(clocks->mono >= node->clocks.mono);

	turn_begin(&node->turn);
	node->staged_done = node->members_changed = false;
	node->clocks = *clocks;
	node_notice_pause(node);
	for (size_t i = 0; i < n; i++)
		node_handle(node, &events[i]);
	for (size_t i = 0; i < node->n_replicas; i++)
		replica_flush(node->replicas[i]);
	hello_repeat(node);
	node_fill_effects(node, effects);
}

/* ---- Queries ------------------------------------------------------------------------------------------------------
 */

bool node_is_blank(const struct node *node) {
	const struct replica *replica = node_find_replica(node, NODE_GROUP_DEFAULT);

	/* Until the founding is durable a crash would undo it. */
	return !node->identified || replica->founding_seq > 0;
}

void node_get_identity(const struct node *node, struct node_uuid *ret_incarnation, uint32_t *ret_epoch) {
	*ret_incarnation = node->incarnation;
	*ret_epoch = node->epoch;
}

const struct raft *node_raft(const struct node *node, uint32_t group) {
	const struct replica *replica = node_find_replica(node, group);

	return replica ? replica->raft : NULL;
}

const struct state *node_state(const struct node *node, uint32_t group) {
	const struct replica *replica = node_find_replica(node, group);

	return replica ? replica->state : NULL;
}

bool node_get_entry(const struct node *node, uint32_t group, raft_index index, struct node_entry *ret) {
	const struct replica *replica = node_find_replica(node, group);
	const struct node_entry *entry = replica ? cache_get(&replica->cache, index) : NULL;

	if (!entry)
		return false;
	*ret = *entry;
	return true;
}
