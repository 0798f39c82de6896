/* SPDX-License-Identifier: Apache-2.0 */
#include "replica.h"

#include "api/bytes.h"
#include "api/checksum.h"
#include "boot.h"
#include "memory.h"

#include <assert.h>
#include <lockd/status.h>

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

struct state *replica_new_state(const struct replica *replica) {
	struct state_config config = {.group = replica->group,
				      .epoch = replica->node->epoch,
				      .machine_version_max = replica->node->machine_version_max};

	return memory_have(state_new(&config));
}

struct replica *replica_new(struct node *node, uint32_t group) {
	struct replica *replica = memory_new(sizeof *replica);

	replica->node = node;
	replica->group = group;
	replica->boot = boot_new();
	replica->state = replica_new_state(replica);
	outbox_init(&replica->outbox);
	pendings_init(&replica->pendings);
	queries_init(&replica->queries);
	return replica;
}

struct replica *replica_free(struct replica *replica) {
	outbox_deinit(&replica->outbox);
	membership_deinit(replica);
	members_deinit(&replica->members);
	pendings_deinit(replica);
	queries_deinit(replica);
	leases_clear(&replica->leases);
	seats_clear(&replica->seats);
	watches_clear(&replica->watches);
	snapshot_deinit(&replica->snapshot);
	checkpoint_deinit(&replica->checkpoint);
	cache_deinit(&replica->cache);
	(void)boot_free(replica->boot);
	(void)state_free(replica->state);
	free((void *)replica->founding.bytes);
	free(replica->raft);
	free(replica);
	return NULL;
}

struct node_bytes replica_get_founding(const struct replica *replica) {
	const struct node_entry *first = cache_get(&replica->cache, 1);

	return first ? (struct node_bytes){.bytes = first->data, .n = first->n} : replica->founding;
}

void replica_keep_founding(struct replica *replica, struct node_bytes data) {
	if (!replica->founding.bytes)
		replica->founding = (struct node_bytes){.bytes = memory_copy(data.bytes, data.n), .n = data.n};
}

void replica_found_state(struct replica *replica) {
	(void)state_free(replica->state);
	replica->state = replica_new_state(replica);
}

bool replica_is_blank(const struct replica *replica) {
	return raft_members(replica->raft, NULL) == NULL;
}

state_revision replica_revision(const struct replica *replica) {
	return state_applied(replica->state) << 16 | 0xffff;
}

void replica_pack_hash(struct state_hash hash, uint8_t out[16]) {
	bytes_put_u64(out, hash.low);
	bytes_put_u64(out + 8, hash.high);
}

/* ---- One raft step and its effects --------------------------------------------------------------------------------
 */

static bool replica_brings_entries(const struct raft_event *event) {
	return event->kind == RAFT_PROPOSE || event->kind == RAFT_FOUND || event->kind == RAFT_JOIN ||
	       (event->kind == RAFT_RECV && event->message->type == RAFT_APPEND);
}

/* Puts the entries of the save into the cache. A save of a step that brought none is the no-op of a new leader. */
static void replica_append(struct replica *replica, const struct raft_event *event, const struct node_entry *incoming) {
	const struct raft_save *save = &replica->effects.save;
	bool brought = replica_brings_entries(event);

	for (uint32_t i = 0; i < save->n; i++) {
		struct node_entry entry = {.type = RAFT_ENTRY_NOOP};

		if (brought)
			entry = incoming[save->entries_at + i];
		entry.index = save->first + i;
		entry.term = raft_term_at(replica->raft, entry.index);
		/* Made by whoever proposes the entry; a received one was verified against its own. */
		if (event->kind != RAFT_RECV || !brought)
			entry.checksum = checksum_entry(replica->group, entry.index, entry.term, entry.type, entry.data,
							entry.n);
		cache_append(&replica->cache, &entry);
		if (entry.type == RAFT_ENTRY_CONFIGURATION)
			members_append(&replica->members, entry.index,
				       (struct node_bytes){.bytes = entry.data, .n = entry.n});
	}
}

static void replica_fill_entries(struct replica *replica, struct node_save *out) {
	const struct raft_save *save = &replica->effects.save;
	struct node_entry *entries = turn_alloc(&replica->node->turn, save->n * sizeof *entries);

	for (uint32_t i = 0; i < save->n; i++)
		entries[i] = *cache_get(&replica->cache, save->first + i);
	out->entries = entries;
	out->n_entries = save->n;
}

/* A restarted voter promises for the largest P it ever stored, so a larger one goes to the disk with the entry that
 * brings it. */
static void replica_fill_hard(struct replica *replica, struct node_save *out) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);
	const struct raft_save *save = &replica->effects.save;
	bool raised = members && members->promise_ms > replica->promise_ms;

	if (raised)
		replica->promise_ms = members->promise_ms;
	out->hard = save->hard || raised;
	out->term = replica->status.term;
	out->vote = replica->status.vote;
	out->promise_ms = replica->promise_ms;
}

static void replica_fill_trim(struct replica *replica, struct node_save *out) {
	out->trim_to = replica->trim_to;
	out->trim_term = replica->trim_term;
	replica->trim_to = 0;
}

static void replica_save(struct replica *replica, const struct raft_event *event, const struct node_entry *incoming) {
	const struct raft_save *save = &replica->effects.save;
	struct node *node = replica->node;
	struct node_save *out;

	assert(save->seq == replica->last_seq + 1);
	leadership_note_save(replica);
	replica->last_seq = save->seq;

	if (save->truncate_from > 0) {
		cache_truncate(&replica->cache, &node->turn, save->truncate_from);
		members_truncate(&replica->members, save->truncate_from);
	}
	replica_append(replica, event, incoming);

	out = turn_save(&node->turn);
	out->group = replica->group;
	out->seq = save->seq;
	out->truncate_from = save->truncate_from;
	out->keep_suffix = save->keep_suffix;
	replica_fill_entries(replica, out);
	replica_fill_hard(replica, out);
	if (save->install)
		snapshot_save(replica, out);
	else
		replica_fill_trim(replica, out);
	if (save->seq == replica->founding_seq) {
		out->identity = true;
		out->incarnation = node->incarnation;
		out->epoch = node->epoch;
	}
}

static void replica_resign(struct replica *replica) {
	replica->leading = false;
	replica->ready = false;
	membership_resign(replica);
	leadership_resign(replica);
	pendings_resign(replica);
	queries_resign(replica);
	seats_resign(replica);
	watches_resign(replica);
	leases_clear(&replica->leases);
	snapshots_resign(replica);
}

/* One line when a leader is known that was not known before. */
static void replica_trace_leader(struct replica *replica) {
	const struct raft_status *status = &replica->status;

	if (status->leader == 0 || (status->leader == replica->known_leader && status->term == replica->known_term))
		return;
	replica->known_leader = status->leader;
	replica->node->tally.leaders++;
	replica->known_term = status->term;
	TURN_TRACE(&replica->node->turn, replica->group, "event=role role=%s term=%llu leader=%u",
		   status->role == RAFT_LEADER ? "leader" : "follower", (unsigned long long)status->term,
		   status->leader);
}

static void replica_change_role(struct replica *replica) {
	const struct raft_status *status = &replica->status;
	bool leader = status->role == RAFT_LEADER;

	if (replica->leading && (!leader || status->term != replica->leading_term)) {
		TURN_TRACE(&replica->node->turn, replica->group, "event=resigned term=%llu leader=%u",
			   (unsigned long long)replica->leading_term, status->leader);
		replica_resign(replica);
	}
	if (leader && !replica->leading) {
		replica->leading = true;
		replica->leading_term = status->term;
		upgrade_begin(replica);
		replacement_begin(replica);
		audit_begin(replica);
	}
	queries_restart(replica);
	replica_trace_leader(replica);
}

/* What a leader asked before it led may arrive late and says nothing. */
static bool replica_heard_leader(const struct replica *replica, const struct raft_event *event) {
	const struct raft_message *message = event->message;

	return event->kind == RAFT_RECV && (message->type == RAFT_APPEND || message->type == RAFT_HEARTBEAT) &&
	       message->from == replica->status.leader && message->term == replica->status.term;
}

static void replica_note_contact(struct replica *replica, const struct raft_event *event) {
	bool heard = replica_heard_leader(replica, event);

	if (heard || replica->effects.proved_round > replica->contact_round)
		replica->contact = replica->node->clocks.boot;
	replica->contact_round = replica->effects.proved_round;
}

int replica_raft(struct replica *replica, const struct raft_event *event, const struct node_entry *incoming) {
	struct raft_effects *effects = &replica->effects;
	int r = raft_step(replica->raft, &replica->node->clocks, event, effects);

	raft_get_status(replica->raft, &replica->status);
	if (effects->apply_to > replica->apply_to)
		replica->apply_to = effects->apply_to;
	if (effects->save.seq > 0)
		replica_save(replica, event, incoming);
	for (uint32_t i = 0; i < effects->n_messages; i++)
		outbox_push(replica, &effects->messages[i]);
	if (effects->installed)
		snapshot_install(replica);
	if (effects->members_changed || effects->installed)
		members_refresh(replica);
	if (effects->role_changed) {
		/* What is committed is applied first: some requests are done. */
		replica_apply(replica);
		replica_change_role(replica);
	}
	if (effects->members_changed)
		replica->node->news.members = true;
	replica_note_contact(replica, event);
	if (effects->read_round > 0)
		queries_hear(replica);
	return r;
}

void replica_saved(struct replica *replica, uint64_t seq) {
	struct raft_event event = {.kind = RAFT_SAVED, .seq = seq};

	assert(seq <= replica->last_seq);
	if (seq <= replica->saved_seq)
		return;
	replica->saved_seq = seq;
	leadership_note_saved(replica);
	(void)replica_raft(replica, &event, NULL);
	outbox_release(replica);
}

/* ---- Applying -----------------------------------------------------------------------------------------------------
 */

/* Timers and requesters exist on a leader only; elsewhere all of this finds nothing to do. MARKED tells the leader
 * nothing: its lease took note when the mark was proposed. */
static void replica_route(struct replica *replica, const struct node_entry *entry,
			  const struct state_outcome *outcome) {
	switch (outcome->kind) {
	case STATE_ANSWERED: pending_answer(replica, entry, outcome); break;
	case STATE_RESOLVED: seat_resolve(replica, outcome); break;
	case STATE_OPENED:
		if (replica->ready)
			lease_open(replica, outcome->session);
		break;
	case STATE_ENDED:
		lease_end(replica, outcome->session);
		seats_end_session(replica, outcome->session);
		break;
	case STATE_CHANGED: watches_push(replica, outcome); break;
	case STATE_MARKED: break;
	case STATE_RAISED:
		TURN_TRACE(&replica->node->turn, replica->group, "event=machine-version version=%u",
			   state_get_version(replica->state).current);
		break;
	case STATE_JUDGED: audit_judge(replica, outcome); break;
	}
}

static int replica_apply_commands(struct replica *replica, const struct node_entry *entry) {
	const struct state_outcome *outcomes;
	size_t n;
	int r = state_apply(replica->state, entry->index, entry->term, entry->data, entry->n, &outcomes, &n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		replica_route(replica, entry, &outcomes[i]);
	return 0;
}

/* A leader's first own entry is applied: it knows all that was ever committed. */
static void replica_take_over(struct replica *replica) {
	leases_take_over(replica);
	seats_take_over(replica);
	replica->ready = true;
}

static int replica_apply_entry(struct replica *replica, const struct node_entry *entry) {
	int r = 0;

	if (entry->type == RAFT_ENTRY_COMMANDS)
		r = replica_apply_commands(replica, entry);
	else
		state_skip(replica->state, entry->index, entry->term);
	if (r < 0)
		return r;
	audit_note(replica);
	pendings_pass(replica, entry);
	checkpoint_count(&replica->checkpoint, entry->n);
	if (replica->leading && !replica->ready && entry->term == replica->leading_term)
		replica_take_over(replica);
	return 0;
}

static void replica_fail_entry(struct replica *replica, raft_index index, int r) {
	char text[NODE_ERROR_BYTES_MAX];

	upgrade_explain(replica, index, r, text, sizeof text);
	node_fail(replica->node, text);
}

void replica_apply(struct replica *replica) {
	raft_index first = state_applied(replica->state) + 1, index = first;

	for (; index <= replica->apply_to && !replica->node->fatal; index++) {
		const struct node_entry *entry = cache_get(&replica->cache, index);

		int r;

		assert(entry);
		r = replica_apply_entry(replica, entry);
		if (r < 0)
			replica_fail_entry(replica, index, r);
	}
	if (index > first)
		sightings_add(&replica->sightings, index - 1, replica->node->clocks.mono);
}

/* ---- The rest of a turn -------------------------------------------------------------------------------------------
 */

/* How many entries from `first` on go into one append. */
static uint32_t replica_measure_append(const struct replica *replica, raft_index first, uint32_t *ret_bytes) {
	const struct node_entry *entry;
	size_t bytes = 0;
	uint32_t n = 0;

	while (n < replica->node->append_entries_max && (entry = cache_get(&replica->cache, first + n))) {
		if (n > 0 && bytes + entry->n > LIMIT_APPEND_BYTES_MAX)
			break;
		bytes += entry->n;
		n++;
	}
	*ret_bytes = (uint32_t)bytes;
	return n;
}

/* Sends all that the peer has room for. */
static void replica_replicate_to(struct replica *replica, uint32_t peer) {
	struct raft_event event = {.kind = RAFT_REPLICATE, .peer = peer};
	raft_index first;

	while (replica->leading && (first = raft_next(replica->raft, peer)) > 0) {
		event.n = replica_measure_append(replica, first, &event.bytes);
		assert(event.n > 0);
		if (replica_raft(replica, &event, NULL) != 0)
			return;
	}
}

static void replica_replicate(struct replica *replica) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);

	for (uint16_t i = 0; replica->leading && i < members->n; i++) {
		if (members->members[i].node != replica->node->id)
			replica_replicate_to(replica, members->members[i].node);
	}
}

static void replica_time(struct replica *replica) {
	struct raft_event event = {.kind = RAFT_TIME};

	if (raft_deadline(replica->raft) <= replica->node->clocks.mono)
		(void)replica_raft(replica, &event, NULL);
}

void replica_flush(struct replica *replica) {
	leadership_tell_fitness(replica);
	replica_time(replica);
	replica_apply(replica);
	queries_prove(replica);
	queries_serve(replica);
	if (replica->ready) {
		leases_mark(replica);
		seats_expire(replica);
	}
	replacement_advance(replica);
	membership_advance(replica);
	leadership_advance(replica);
	upgrade_advance(replica);
	audit_advance(replica);
	pendings_propose(replica);
	replica_replicate(replica);
	backups_advance(replica);
	checkpoint_advance(replica);
	snapshots_send(replica);
}

void replica_get_deadline(const struct replica *replica, raft_usec *deadline) {
	raft_usec due = raft_deadline(replica->raft);

	if (due < *deadline)
		*deadline = due;
	if (leases_due(replica, &due) && due < *deadline)
		*deadline = due;
	if (replica->ready && seats_due(replica, &due) && due < *deadline)
		*deadline = due;
	if (queries_due(replica, &due) && due < *deadline)
		*deadline = due;
	pendings_get_deadline(replica, deadline);
	checkpoint_get_deadline(replica, deadline);
	leadership_get_deadline(replica, deadline);
}
