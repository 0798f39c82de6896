/* SPDX-License-Identifier: Apache-2.0 */
/* Life, the table of events, and what every step ends with. */
#include "core.h"
#include "invariant.h"

#include <string.h>

/* ---- Memory ---------------------------------------------------------------------------------------------------------
 */

/* One configuration more than the log may hold for the base, and one so that a snapshot always finds room. */
static uint16_t history_max(const struct raft_limits *limits) {
	return (uint16_t)(limits->configurations + 2);
}

static size_t aligned(size_t bytes) {
	return (bytes + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

static size_t runs_size(const struct raft_limits *limits) {
	return aligned(limits->term_runs * sizeof(struct raft__run));
}

static size_t history_size(const struct raft_limits *limits) {
	return aligned(history_max(limits) * sizeof(struct raft__history_item));
}

static size_t saves_size(const struct raft_limits *limits) {
	return aligned(limits->saves * sizeof(struct raft__save_slot));
}

static size_t inflight_size(const struct raft_limits *limits) {
	return aligned(limits->inflight * sizeof(struct raft__inflight));
}

size_t raft_size(const struct raft_limits *limits) {
	return aligned(sizeof(struct raft)) + runs_size(limits) + history_size(limits) + saves_size(limits) +
	       RAFT_MEMBERS_MAX * inflight_size(limits);
}

static void lay_out(struct raft *raft) {
	const struct raft_limits *limits = &raft->limits;
	uint8_t *at = (uint8_t *)raft + aligned(sizeof(struct raft));

	raft__trail_init(&raft->trail, (struct raft__run *)at, limits->term_runs);
	at += runs_size(limits);
	raft__history_init(&raft->history, (struct raft__history_item *)at, history_max(limits));
	at += history_size(limits);
	raft__saves_init(&raft->saves, (struct raft__save_slot *)at, limits->saves);
	at += saves_size(limits);
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		raft->progress[i].inflight = (struct raft__inflight *)at;
		at += inflight_size(limits);
	}
}

/* ---- Life -----------------------------------------------------------------------------------------------------------
 */

static void check_boot(const struct raft_boot *boot) {
	RAFT_ASSERT(boot->node > 0);
	RAFT_ASSERT(boot->timing.heartbeat > 0);
	RAFT_ASSERT(boot->timing.check_quorum > boot->timing.heartbeat);
	RAFT_ASSERT(boot->timing.check_quorum <= boot->timing.election_min);
	RAFT_ASSERT(boot->timing.election_min < boot->timing.election_max);
	RAFT_ASSERT(boot->limits.term_runs > 0);
	RAFT_ASSERT(boot->limits.saves > 0);
	RAFT_ASSERT(boot->limits.configurations > 0);
	RAFT_ASSERT(boot->limits.inflight > 0);
	RAFT_ASSERT(boot->limits.inflight_bytes > 0);
	RAFT_ASSERT(boot->base_term <= boot->term);
	RAFT_ASSERT(boot->base == 0 || boot->base_configuration);
	RAFT_ASSERT(boot->vote == 0 || boot->term > 0);
}

struct raft *raft_init(void *memory, const struct raft_boot *boot) {
	struct raft *raft = memory;

	check_boot(boot);
	memset(raft, 0, sizeof(*raft));
	raft->group = boot->group;
	raft->node = boot->node;
	raft->store = boot->store;
	raft->timing = boot->timing;
	raft->limits = boot->limits;
	raft->boot_promise = (raft_usec)boot->promise_ms * 1000;
	raft->promise_term = boot->term;
	raft->leader_lease = boot->leader_lease;
	raft->term = boot->term;
	raft->vote = boot->vote;
	raft->role = RAFT_FOLLOWER;
	raft->retry_at = RAFT__NEVER;
	raft__random_init(&raft->random, boot->seed, boot->group, boot->node);
	lay_out(raft);

	raft__trail_reset(&raft->trail, boot->base, boot->base_term);
	if (boot->base_configuration)
		raft__history_push(&raft->history, boot->base_configuration_index, boot->base_configuration);
	raft->commit = boot->base;
	raft->saves.term = boot->term;
	raft->saves.vote = boot->vote;
	return raft;
}

int raft_restore(struct raft *raft, const struct raft_entry *entry) {
	bool configuration = entry->type == RAFT_ENTRY_CONFIGURATION;

	RAFT_ASSERT(!raft->started);
	/* The term is made durable before entries of it are. */
	RAFT_ASSERT(entry->term <= raft->term);

	if (raft->trail.n == raft->trail.max && entry->term != raft__trail_last_term(&raft->trail))
		return RAFT_E_FULL;
	if (configuration && raft->history.n + 1 >= raft->history.max)
		return RAFT_E_FULL;
	raft__trail_append(&raft->trail, entry->term);
	if (configuration)
		raft__history_push(&raft->history, raft->trail.last, entry->configuration);
	return 0;
}

/* The committed configuration says that nobody else votes; nobody else can have been promised anything. The founding
 * entry is the same in every log, so it is as good as committed from the start. */
static bool alone(const struct raft *raft) {
	const struct raft__history_item *latest = raft__history_latest(&raft->history);

	return latest && (latest->index <= raft->commit || latest->index == 1) &&
	       raft__configuration_sole(&latest->configuration, raft->node, &raft->store);
}

/* Questions of one life must not be taken for those of the one before: the seed differs, and if it should not, the time
 * does, unless a question was asked in every microsecond. */
static uint64_t first_question(const struct raft *raft) {
	struct raft__random random = raft->random;

	return raft__random_between(&random, 0, UINT64_MAX / 4) + raft->boot % (UINT64_MAX / 4);
}

void raft_start(struct raft *raft, const struct raft_clocks *clocks) {
	RAFT_ASSERT(!raft->started);

	raft->started = true;
	raft->now = clocks->mono;
	raft->boot = clocks->boot;
	raft->read_asked = raft->read_answered = first_question(raft);
	raft->saves.durable = raft->trail.last;
	raft__restart_election_timer(raft);
	/* What was promised before the restart is forgotten, so the worst is assumed. */
	if (alone(raft))
		raft->election_at = raft->now;
	else
		raft->promise_until = raft__later(raft->now, raft->boot_promise);
}

/* ---- Parts of a step ------------------------------------------------------------------------------------------------
 */

raft_usec raft__later(raft_usec at, raft_usec by) {
	return by < RAFT__NEVER - at ? at + by : RAFT__NEVER - 1;
}

const struct raft_configuration *raft__members(const struct raft *raft) {
	const struct raft__history_item *latest = raft__history_latest(&raft->history);

	return latest ? &latest->configuration : NULL;
}

struct raft_out *raft__emit(struct raft *raft, struct raft_effects *fx, enum raft_message_type type, uint32_t to) {
	struct raft_out *out;

	RAFT_ASSERT(fx->n_messages < RAFT_OUT_MESSAGES_MAX);
	out = &fx->messages[fx->n_messages++];
	memset(out, 0, sizeof(*out));
	out->message.type = (uint8_t)type;
	out->message.group = raft->group;
	out->message.from = raft->node;
	out->message.to = to;
	out->message.term = raft->term;
	return out;
}

struct raft_save *raft__save(struct raft *raft, struct raft_effects *fx) {
	if (fx->save.seq == 0) {
		RAFT_ASSERT(!raft__saves_full(&raft->saves));
		fx->save.seq = raft->saves.last_seq + 1;
	}
	return &fx->save;
}

void raft__save_hard(struct raft *raft, struct raft_effects *fx) {
	raft__save(raft, fx)->hard = true;
}

uint64_t raft__after_hard(const struct raft *raft, const struct raft_effects *fx) {
	return fx->save.hard ? fx->save.seq : raft__saves_after_hard(&raft->saves);
}

uint64_t raft__after_log(const struct raft *raft, const struct raft_effects *fx) {
	return fx->save.seq != 0 ? fx->save.seq : raft__saves_after_log(&raft->saves);
}

/* ---- Events ---------------------------------------------------------------------------------------------------------
 */

static bool entries_in_order(const struct raft_event *event) {
	const struct raft_message *message = event->message;
	raft_term term = message->index_term;

	for (uint32_t i = 0; i < message->n; i++) {
		const struct raft_entry *entry = &event->entries[i];

		if (entry->term < term || entry->term == 0 || entry->term > message->term)
			return false;
		if (entry->type == RAFT_ENTRY_CONFIGURATION &&
		    (!entry->configuration || !raft__configuration_valid(entry->configuration)))
			return false;
		term = entry->term;
	}
	return true;
}

/* What no correct node sends is dropped like a message the network has lost. */
static bool sane(const struct raft *raft, const struct raft_event *event) {
	const struct raft_message *message = event->message;

	if (message->group != raft->group || message->to != raft->node)
		return false;
	if (message->from == 0 || message->from == raft->node || message->term == 0)
		return false;
	if (message->index > UINT64_MAX / 2 || message->index_term > message->term)
		return false;
	return message->type != RAFT_APPEND || entries_in_order(event);
}

/* Whether what a message may make us save will fit. A message that is refused for want of room is sent again by the
 * peer. */
static bool fits(const struct raft *raft, const struct raft_event *event) {
	const struct raft_message *message = event->message;
	bool full = raft__saves_full(&raft->saves);

	if (full && message->term > raft->term && message->type != RAFT_PREVOTE)
		return false;
	switch (message->type) {
	case RAFT_APPEND: return raft__append_fits(raft, event);
	case RAFT_VOTE: return !full;
	case RAFT_VOTE_REPLY: return !full || raft->role != RAFT_CANDIDATE;
	default: return true;
	}
}

static int recv(struct raft *raft, const struct raft_event *event, struct raft_effects *fx) {
	const struct raft_message *message = event->message;

	if (!sane(raft, event))
		return 0;
	if (!fits(raft, event))
		return RAFT_E_FULL;
	switch (message->type) {
	case RAFT_PREVOTE: raft__recv_prevote(raft, message, fx); break;
	case RAFT_PREVOTE_REPLY: raft__recv_prevote_reply(raft, message, fx); break;
	case RAFT_VOTE: raft__recv_vote(raft, message, fx); break;
	case RAFT_VOTE_REPLY: raft__recv_vote_reply(raft, message, fx); break;
	case RAFT_APPEND: raft__recv_append(raft, event, fx); break;
	case RAFT_APPEND_REPLY: raft__recv_append_reply(raft, message, fx); break;
	case RAFT_HEARTBEAT: raft__recv_heartbeat(raft, message, fx); break;
	case RAFT_HEARTBEAT_REPLY: raft__recv_heartbeat_reply(raft, message, fx); break;
	case RAFT_TIMEOUT_NOW: raft__recv_timeout_now(raft, message, fx); break;
	case RAFT_READ: raft__recv_read(raft, message, fx); break;
	case RAFT_READ_REPLY: raft__recv_read_reply(raft, message, fx); break;
	default: break;
	}
	return 0;
}

static bool blank(const struct raft *raft) {
	return raft->term == 0 && raft->trail.last == 0 && raft->history.n == 0 && raft->install_seq == 0;
}

/* Every founding member appends the same entry, so index 1 agrees everywhere from the beginning. */
static int found(struct raft *raft, const struct raft_entry *entry, struct raft_effects *fx) {
	struct raft_save *save;

	RAFT_ASSERT(entry->type == RAFT_ENTRY_CONFIGURATION && entry->configuration);
	if (!blank(raft) || !raft__configuration_valid(entry->configuration))
		return RAFT_E_MISFIT;

	raft->term = 1;
	raft__trail_append(&raft->trail, 1);
	raft__history_push(&raft->history, 1, entry->configuration);
	raft__save_hard(raft, fx);
	save = raft__save(raft, fx);
	save->first = 1;
	save->n = 1;
	raft__restart_election_timer(raft);
	return 0;
}

static void saved(struct raft *raft, uint64_t seq, struct raft_effects *fx) {
	raft__saves_done(&raft->saves, seq);
	raft__install(raft, fx);
	raft__count_votes(raft, fx);
	raft__advance_commit(raft, fx);
	raft__transfer_ask(raft, fx);
	raft__answer_reads(raft, fx);
}

static void time_passed(struct raft *raft, struct raft_effects *fx) {
	if (raft->role == RAFT_LEADER)
		raft__leader_time(raft, fx);
	else
		raft__election_time(raft, fx);
}

static int dispatch(struct raft *raft, const struct raft_event *event, struct raft_effects *fx) {
	switch (event->kind) {
	case RAFT_TIME: time_passed(raft, fx); return 0;
	case RAFT_FOUND:
		if (!raft__configuration_votes(event->entries->configuration, raft->node, &raft->store))
			return RAFT_E_MISFIT;
		return found(raft, event->entries, fx);
	case RAFT_JOIN: return found(raft, event->entries, fx);
	case RAFT_CAMPAIGN:
		if ((raft->role == RAFT_FOLLOWER || raft->role == RAFT_PRECANDIDATE) && raft__promotable(raft))
			raft__start_prevote(raft, fx, raft->leader);
		return 0;
	case RAFT_RECV: return recv(raft, event, fx);
	case RAFT_PROPOSE: return raft__propose(raft, event->entries, fx);
	case RAFT_PROVE:
		if (raft->role != RAFT_LEADER)
			return RAFT_E_NOT_LEADER;
		raft__start_round(raft, fx);
		fx->round = raft->round;
		return 0;
	case RAFT_REPLICATE:
		if (raft->role != RAFT_LEADER)
			return RAFT_E_NOT_LEADER;
		raft__replicate(raft, event, fx);
		return 0;
	case RAFT_SAVED: saved(raft, event->seq, fx); return 0;
	case RAFT_COMPACTED: raft__compacted(raft, event->index); return 0;
	case RAFT_PEER_DOWN: raft__peer_down(raft, fx, event->peer); return 0;
	case RAFT_SNAPSHOT_STAGED: return raft__stage(raft, event, fx);
	case RAFT_SNAPSHOT_SENT: raft__snapshot_sent(raft, event, fx); return 0;
	case RAFT_STEP_DOWN:
		if (raft->role != RAFT_FOLLOWER)
			raft__step_down(raft);
		return 0;
	case RAFT_READ_INDEX: return raft__read_ask(raft, fx);
	case RAFT_TRANSFER: return raft__transfer(raft, event->peer, fx);
	case RAFT_FITNESS: raft__set_fitness(raft, event->ok); return 0;
	}
	raft_panic(__FILE__, __LINE__, "unknown event");
}

static raft_index apply_to(const struct raft *raft) {
	return raft->commit < raft->saves.durable ? raft->commit : raft->saves.durable;
}

static void close_save(struct raft *raft, struct raft_save *save) {
	if (save->seq == 0)
		return;
	save->term = raft->term;
	save->vote = raft->vote;
	raft__saves_push(&raft->saves, save, save->n > 0 ? raft->trail.last : 0);
}

static raft_index members_index(const struct raft *raft) {
	const struct raft__history_item *latest = raft__history_latest(&raft->history);

	return latest ? latest->index : 0;
}

/* Another configuration may stand at the same index, after a truncation or from a snapshot; not if it was committed. */
static bool members_changed(const struct raft *raft, raft_index before, bool settled, const struct raft_effects *fx) {
	raft_index after = members_index(raft);

	if (after != before)
		return true;
	if (settled)
		return false;
	return (fx->installed && after <= raft->trail.base) ||
	       (fx->save.truncate_from != 0 && fx->save.truncate_from <= after);
}

/* The messages are not cleared: n_messages says how many are meant. */
static void clear(struct raft_effects *fx) {
	fx->save = (struct raft_save){0};
	fx->n_messages = 0;
	memset(&fx->appended, 0, sizeof(*fx) - offsetof(struct raft_effects, appended));
}

int raft_step(struct raft *raft, const struct raft_clocks *clocks, const struct raft_event *event,
	      struct raft_effects *effects) {
	enum raft_role role = raft->role;
	raft_term term = raft->term;
	uint32_t leader = raft->leader;
	raft_index members = members_index(raft);
	bool settled = members <= raft->commit;
	int r;

	RAFT_ASSERT(raft->started);
	RAFT_ASSERT(clocks->mono >= raft->now);
	RAFT_ASSERT(clocks->boot >= raft->boot);

	clear(effects);
	raft->now = clocks->mono;
	raft->boot = clocks->boot;
	r = dispatch(raft, event, effects);
	RAFT_ASSERT(r == 0 || (effects->save.seq == 0 && effects->n_messages == 0));

	if (raft->role == RAFT_LEADER)
		raft__catch_up(raft);
	close_save(raft, &effects->save);
	effects->apply_to = apply_to(raft);
	effects->proved_round = raft__proved_round(raft);
	effects->lease_until = raft__lease_until(raft);
	effects->role_changed = role != raft->role || term != raft->term || leader != raft->leader;
	effects->members_changed = members_changed(raft, members, settled, effects);
	raft__replication_effects(raft, effects);
	return r;
}

/* ---- Queries --------------------------------------------------------------------------------------------------------
 */

void raft_get_status(const struct raft *raft, struct raft_status *ret) {
	*ret = (struct raft_status){
		.role = raft->role,
		.term = raft->term,
		.vote = raft->vote,
		.leader = raft->leader,
		.first = raft->trail.base + 1,
		.last = raft->trail.last,
		.durable = raft->saves.durable,
		.commit = raft->commit,
		.term_start = raft->role == RAFT_LEADER ? raft->term_start : 0,
		.lease_until = raft__lease_until(raft),
		.transfer_to = raft->transfer_to,
		.installing = raft->install_seq != 0,
		.promise_until = raft->promise_until,
		.durable_term = raft->saves.term,
		.durable_vote = raft->saves.vote,
	};
}

raft_usec raft_deadline(const struct raft *raft) {
	return raft->role == RAFT_LEADER ? raft__leader_deadline(raft) : raft__election_deadline(raft);
}

const struct raft_configuration *raft_members(const struct raft *raft, raft_index *ret_index) {
	const struct raft__history_item *latest = raft__history_latest(&raft->history);

	if (!latest)
		return NULL;
	if (ret_index)
		*ret_index = latest->index;
	return &latest->configuration;
}

const struct raft_configuration *raft_configuration_at(const struct raft *raft, raft_index index,
						       raft_index *ret_index) {
	const struct raft__history_item *item = raft__history_at(&raft->history, index);

	if (!item)
		return NULL;
	*ret_index = item->index;
	return &item->configuration;
}

raft_term raft_term_at(const struct raft *raft, raft_index index) {
	return raft__trail_term_at(&raft->trail, index);
}

raft_index raft_next(const struct raft *raft, uint32_t peer) {
	const struct raft__progress *progress;

	if (raft->role != RAFT_LEADER)
		return 0;
	progress = raft__progress_find(raft, peer);
	return progress && raft__progress_ready(progress, &raft->limits, raft->trail.last) ? progress->next : 0;
}

bool raft_get_peer(const struct raft *raft, uint32_t peer, struct raft_peer *ret) {
	const struct raft__progress *progress;

	if (raft->role != RAFT_LEADER)
		return false;
	progress = raft__progress_find(raft, peer);
	if (!progress)
		return false;
	*ret = (struct raft_peer){.match = progress->match,
				  .next = progress->next,
				  .contact = progress->contact,
				  .snapshot = progress->state == RAFT__SNAPSHOT,
				  .unfit = progress->unfit,
				  .rtt = progress->rtt,
				  .catch_up_rounds = progress->goals,
				  .caught_up =
					  raft__progress_caught_up(progress, raft->now, raft->timing.election_min)};
	return true;
}
