/* SPDX-License-Identifier: Apache-2.0 */
/* Log replication and commit (paper §5.3, §5.4.2), heartbeats and quorum contact (dissertation §6.2, §6.4).
 *
 * Entries travel when the embedder says so (RAFT_REPLICATE), since it knows how many fit into a frame; heartbeats,
 * rounds and probes without entries are the core's own. The two answers of a follower are apart on purpose: a heartbeat
 * is answered as soon as the term is durable, an append only when its entries are, so a slow disk costs commit latency
 * but not the lease. */
#include "core.h"
#include "invariant.h"

#include <string.h>

const struct raft__progress *raft__progress_find(const struct raft *raft, uint32_t node) {
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++)
		if (node != 0 && raft->progress[i].node == node)
			return &raft->progress[i];
	return NULL;
}

struct raft__progress *raft__progress_of(struct raft *raft, uint32_t node) {
	return (struct raft__progress *)raft__progress_find(raft, node);
}

static bool same_member(const struct raft__progress *progress, const struct raft_member *member) {
	return progress->node == member->node && memcmp(&progress->store, &member->store, sizeof(member->store)) == 0;
}

static void forget_strangers(struct raft *raft, const struct raft_configuration *members) {
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		int at = raft__configuration_find(members, raft->progress[i].node);

		if (at < 0 || !same_member(&raft->progress[i], &members->members[at]))
			raft->progress[i].node = 0;
	}
}

/* One progress per member but ourselves; what is known of a member survives a change of configuration. */
static void track_members(struct raft *raft, raft_index next) {
	const struct raft_configuration *members = raft__members(raft);

	forget_strangers(raft, members);
	for (uint16_t i = 0; i < members->n; i++) {
		int free_slot = 0;

		if (members->members[i].node == raft->node || raft__progress_find(raft, members->members[i].node))
			continue;
		while (raft->progress[free_slot].node != 0)
			free_slot++;
		raft__progress_init(&raft->progress[free_slot], &members->members[i], next);
	}
}

void raft__lead(struct raft *raft, struct raft_effects *fx) {
	RAFT_ASSERT(raft->role == RAFT_CANDIDATE);
	RAFT_ASSERT(raft->term_leader == 0);
	/* The vote was asked for with the whole log, and is durable: so is the log. */
	RAFT_ASSERT(raft->saves.durable == raft->trail.last);

	raft->role = RAFT_LEADER;
	raft->leader = raft->term_leader = raft->node;
	raft->led_since = raft->now;
	raft->asked_to_lead = false;
	raft->retry_at = RAFT__NEVER;
	raft->n_rounds = 0;
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++)
		raft->progress[i].node = 0;
	track_members(raft, raft->trail.last + 1);

	/* Entries of earlier terms are committed by one of our own behind them (paper §5.4.2, §8). */
	raft__trail_append(&raft->trail, raft->term);
	raft->term_start = raft->lease_from = raft->trail.last;
	raft__save(raft, fx)->first = raft->term_start;
	raft__save(raft, fx)->n = 1;
	raft__start_round(raft, fx);
}

/* ---- Majorities of the leader ---------------------------------------------------------------------------------------
 */

enum quantity { MATCH, ROUND, CONTACT, LEASE };

static uint64_t quantity_of(const struct raft__progress *progress, enum quantity quantity, raft_usec led_since) {
	switch (quantity) {
	case MATCH: return progress->match;
	case ROUND: return progress->round;
	case CONTACT: return progress->contact > led_since ? progress->contact : led_since;
	/* Who has nothing of the log yet has not stored P either, and would promise nothing after a restart. */
	case LEASE: return progress->match > 0 ? progress->lease_end : 0;
	}
	return 0;
}

/* `own` is what this node contributes if it is a voter at all: a leader that is being removed does not count itself. */
static uint64_t majority(const struct raft *raft, enum quantity quantity, uint64_t own) {
	const struct raft_configuration *members = raft__members(raft);
	uint64_t values[RAFT_MEMBERS_MAX] = {0};

	for (uint16_t i = 0; i < members->n; i++) {
		uint32_t node = members->members[i].node;

		values[i] = node == raft->node
				    ? own
				    : quantity_of(raft__progress_find(raft, node), quantity, raft->led_since);
	}
	return raft__quorum(members, values);
}

uint64_t raft__proved_round(const struct raft *raft) {
	return raft->role == RAFT_LEADER ? majority(raft, ROUND, raft->round) : 0;
}

raft_usec raft__lease_end(const struct raft *raft) {
	return majority(raft, LEASE, RAFT__NEVER - 1);
}

raft_usec raft__quorum_contact_left(const struct raft *raft) {
	raft_usec until = raft__later(majority(raft, CONTACT, raft->now), raft->timing.check_quorum);

	return until > raft->now ? until - raft->now : 0;
}

/* Paper §5.4.2: only entries of our own term are committed by counting; those before them follow. What is not durable
 * here does not count for us. A leader that the committed configuration does not name any more has done its duty. */
void raft__advance_commit(struct raft *raft, struct raft_effects *fx) {
	const struct raft__history_item *latest = raft__history_latest(&raft->history);
	raft_index index;

	if (raft->role != RAFT_LEADER)
		return;
	index = majority(raft, MATCH, raft->saves.durable);
	if (index <= raft->commit || raft__trail_term_at(&raft->trail, index) != raft->term)
		return;
	raft->commit = index;
	if (latest->index <= raft->commit &&
	    !raft__configuration_votes(&latest->configuration, raft->node, &raft->store)) {
		raft__transfer_leave(raft, fx);
		raft__step_down(raft);
	}
}

void raft__catch_up(struct raft *raft) {
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++)
		if (raft->progress[i].node != 0)
			raft__progress_catch_up(&raft->progress[i], raft->trail.last, raft->now,
						raft->timing.election_min);
}

/* ---- Sending --------------------------------------------------------------------------------------------------------
 */

static raft_usec promise_asked(const struct raft *raft) {
	return (raft_usec)raft__members(raft)->promise_ms * 1000;
}

static raft_index min_index(raft_index a, raft_index b) {
	return a < b ? a : b;
}

void raft__start_round(struct raft *raft, struct raft_effects *fx) {
	raft->round++;
	raft->heartbeat_at = raft__later(raft->now, raft->timing.heartbeat);
	raft__lease_sent(raft);
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		const struct raft__progress *progress = &raft->progress[i];
		struct raft_out *out;

		if (progress->node == 0)
			continue;
		out = raft__emit(raft, fx, RAFT_HEARTBEAT, progress->node);
		out->message.round = raft->round;
		/* A commit beyond match would be taken for a statement about entries that nobody has compared. */
		out->message.commit = min_index(raft->commit, progress->match);
		out->message.wait_us = promise_asked(raft);
	}
	raft__transfer_repeat(raft, fx);
}

static void emit_append(struct raft *raft, uint32_t to, raft_index prev, uint32_t n, struct raft_effects *fx) {
	struct raft_out *out = raft__emit(raft, fx, RAFT_APPEND, to);

	out->message.index = prev;
	out->message.index_term = raft__trail_term_at(&raft->trail, prev);
	out->message.commit = min_index(raft->commit, prev + n);
	out->message.n = n;
	out->message.wait_us = promise_asked(raft);
}

static void send_append(struct raft *raft, struct raft__progress *progress, uint32_t n, uint32_t bytes,
			struct raft_effects *fx) {
	emit_append(raft, progress->node, progress->next - 1, n, fx);
	raft__progress_sent(progress, &raft->limits, n, bytes, raft->round);
}

void raft__replicate(struct raft *raft, const struct raft_event *event, struct raft_effects *fx) {
	struct raft__progress *progress = raft__progress_of(raft, event->peer);

	RAFT_ASSERT(progress);
	RAFT_ASSERT(raft__progress_ready(progress, &raft->limits, raft->trail.last));
	RAFT_ASSERT(event->n > 0);
	RAFT_ASSERT(event->n <= raft->trail.last - progress->next + 1);

	send_append(raft, progress, event->n, event->bytes, fx);
}

void raft__probe_idle(struct raft *raft, struct raft__progress *progress, struct raft_effects *fx) {
	if (progress->state == RAFT__PROBE && !progress->probing && progress->next > raft->trail.last)
		send_append(raft, progress, 0, 0, fx);
}

/* A follower that restarted within our term still has what it acknowledged, but cannot know that it agrees with us, and
 * so does not take our commit index from heartbeats. If no append is due to tell it, one without entries does. */
static void remind(struct raft *raft, const struct raft__progress *progress, raft_index held, struct raft_effects *fx) {
	if (held < progress->match && progress->state == RAFT__REPLICATE && progress->n == 0 &&
	    progress->match >= raft->trail.base)
		emit_append(raft, progress->node, progress->match, 0, fx);
}

void raft__leader_time(struct raft *raft, struct raft_effects *fx) {
	/* Silence matters as much as stepping down: heartbeats of a leader without a majority would keep promises alive
	 * that block the election of one with a majority. */
	if (raft__quorum_contact_left(raft) == 0) {
		raft__step_down(raft);
		return;
	}
	raft__transfer_time(raft, fx);
	if (raft->now >= raft->heartbeat_at)
		raft__start_round(raft, fx);
}

raft_usec raft__leader_deadline(const struct raft *raft) {
	raft_usec until = raft__later(raft->now, raft__quorum_contact_left(raft));
	raft_usec transfer = raft__transfer_deadline(raft);

	if (transfer < until)
		until = transfer;
	return raft->heartbeat_at < until ? raft->heartbeat_at : until;
}

void raft__replication_effects(const struct raft *raft, struct raft_effects *fx) {
	const struct raft_configuration *members = raft__members(raft);

	if (raft->role != RAFT_LEADER)
		return;
	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft__progress *progress = raft__progress_find(raft, members->members[i].node);

		if (!progress)
			continue;
		if (raft__progress_ready(progress, &raft->limits, raft->trail.last))
			fx->replicate |= 1u << i;
		if (progress->state == RAFT__SNAPSHOT)
			fx->need_snapshot |= 1u << i;
	}
}

/* ---- Proposing ------------------------------------------------------------------------------------------------------
 */

/* One change at a time, and none before something of this term is committed: otherwise two leaders may count on
 * majorities of configurations that do not intersect (dissertation §4.1 and its erratum). */
static int may_change(const struct raft *raft, const struct raft_configuration *to) {
	const struct raft__history_item *latest = raft__history_latest(&raft->history);

	if (raft->commit < raft->term_start || raft->commit < latest->index)
		return RAFT_E_UNSETTLED;
	if (!raft__configuration_valid(to) || !raft__configuration_follows(&latest->configuration, to))
		return RAFT_E_MISFIT;
	return raft->history.n + 1 < raft->history.max ? 0 : RAFT_E_FULL;
}

int raft__propose(struct raft *raft, const struct raft_entry *entry, struct raft_effects *fx) {
	struct raft_save *save;

	if (raft->role != RAFT_LEADER)
		return RAFT_E_NOT_LEADER;
	if (raft->transfer_to != 0)
		return RAFT_E_TRANSFERRING;
	if (raft__saves_full(&raft->saves))
		return RAFT_E_FULL;
	if (entry->type == RAFT_ENTRY_CONFIGURATION) {
		int r = may_change(raft, entry->configuration);

		if (r != 0)
			return r;
	}

	raft__trail_append(&raft->trail, raft->term);
	if (entry->type == RAFT_ENTRY_CONFIGURATION) {
		raft__history_push(&raft->history, raft->trail.last, entry->configuration);
		track_members(raft, raft->trail.last);
	}
	save = raft__save(raft, fx);
	save->first = raft->trail.last;
	save->n = 1;
	fx->appended = raft->trail.last;
	return 0;
}

/* ---- Following ------------------------------------------------------------------------------------------------------
 */

/* The entry in front of the message's first one is in our log. Below the base everything is committed, hence common. */
static bool matches(const struct raft *raft, const struct raft_message *message) {
	if (message->index < raft->trail.base)
		return true;
	return message->index <= raft->trail.last &&
	       raft__trail_term_at(&raft->trail, message->index) == message->index_term;
}

/* How many leading entries of the message the log has already. A message that is shorter than the log says nothing
 * about the rest, and an entry is in conflict only if its term differs (paper §5.3). */
static uint32_t known_entries(const struct raft *raft, const struct raft_event *event) {
	const struct raft_message *message = event->message;
	uint32_t k = 0;

	while (k < message->n) {
		raft_index index = message->index + 1 + k;

		if (index > raft->trail.base && raft__trail_term_at(&raft->trail, index) != event->entries[k].term)
			break;
		k++;
	}
	return k;
}

/* How many entries of the message the trail and the history have room for, given that the log has the first k. */
static uint32_t storable_entries(const struct raft *raft, const struct raft_event *event, uint32_t k) {
	raft_index from = event->message->index + 1 + k;
	uint32_t runs = raft__trail_runs_before(&raft->trail, from);
	uint32_t configurations = raft__history_before(&raft->history, from);
	/* The first run never continues the base's: the base keeps its term for itself. */
	raft_term term = from > raft->trail.base + 1 ? raft__trail_term_at(&raft->trail, from - 1) : 0;

	for (; k < event->message->n; k++) {
		runs += event->entries[k].term != term;
		configurations += event->entries[k].type == RAFT_ENTRY_CONFIGURATION;
		if (runs > raft->trail.max || configurations >= raft->history.max)
			break;
		term = event->entries[k].term;
	}
	return k;
}

/* An append that fits in part is taken in part: what it verifies may be just what lets this node commit, compact, and
 * so make room for the rest. */
bool raft__append_fits(const struct raft *raft, const struct raft_event *event) {
	const struct raft_message *message = event->message;
	uint32_t k, storable;

	if (message->term < raft->term || raft->install_seq != 0 || !matches(raft, message))
		return true;
	k = known_entries(raft, event);
	if (k == message->n)
		return true;
	if (raft__saves_full(&raft->saves))
		return false;
	storable = storable_entries(raft, event, k);
	return storable > k || message->term > raft->term || message->index + k > raft->verified;
}

static void truncate(struct raft *raft, raft_index from, struct raft_effects *fx) {
	if (from <= raft->commit)
		raft_panic(__FILE__, __LINE__, "a committed entry is contradicted by the leader");
	RAFT_ASSERT(from > raft->verified);

	raft__trail_truncate(&raft->trail, from);
	raft__history_truncate(&raft->history, from);
	raft__saves_clamp(&raft->saves, from);
	raft__save(raft, fx)->truncate_from = from;
}

static void append_from(struct raft *raft, const struct raft_event *event, uint32_t k, uint32_t n,
			struct raft_effects *fx) {
	const struct raft_message *message = event->message;
	struct raft_save *save = raft__save(raft, fx);

	if (message->index + 1 + k <= raft->trail.last)
		truncate(raft, message->index + 1 + k, fx);
	save->first = raft->trail.last + 1;
	save->n = n - k;
	save->entries_at = k;
	for (; k < n; k++) {
		raft__trail_append(&raft->trail, event->entries[k].term);
		if (event->entries[k].type == RAFT_ENTRY_CONFIGURATION)
			raft__history_push(&raft->history, raft->trail.last, event->entries[k].configuration);
	}
}

static void accept(struct raft *raft, const struct raft_event *event, struct raft_effects *fx) {
	const struct raft_message *message = event->message;
	uint32_t k = known_entries(raft, event);
	uint32_t n = storable_entries(raft, event, k);
	raft_index match = message->index + n;
	struct raft_out *out;

	if (k < n)
		append_from(raft, event, k, n, fx);
	if (match > raft->verified)
		raft->verified = match;
	/* Not min(commit, our last index): behind `match` our log may hold entries that this leader has never seen. */
	if (min_index(message->commit, match) > raft->commit)
		raft->commit = min_index(message->commit, match);

	out = raft__emit(raft, fx, RAFT_APPEND_REPLY, message->from);
	out->message.index = match;
	out->after_seq = match <= raft->saves.durable ? raft__after_hard(raft, fx) : raft__after_log(raft, fx);
}

/* The refusal names the last position at which our log may agree with the leader's; both sides skip whole terms, so
 * there is at most one refusal per term (paper §5.3, end). Whatever is committed agrees. */
static void refuse(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	struct raft_out *out = raft__emit(raft, fx, RAFT_APPEND_REPLY, message->from);
	raft_index hint = raft__trail_agree(&raft->trail, message->index, message->index_term);

	if (hint < raft->commit)
		hint = raft->commit;
	out->message.flags = RAFT_FLAG_REJECT;
	out->message.index = message->index;
	out->message.hint_index = hint;
	out->message.hint_term = raft__trail_term_at(&raft->trail, hint);
	out->after_seq = raft__after_hard(raft, fx);
}

/* True if the message is of the present leader. A deposed one learns the term that has replaced its own. */
static bool from_leader(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	if (message->term >= raft->term) {
		if (message->term > raft->term)
			raft__adopt(raft, fx, message->term);
		raft__hear(raft, message->from, message->wait_us);
		return true;
	}
	struct raft_out *out = raft__emit(
		raft, fx, message->type == RAFT_APPEND ? RAFT_APPEND_REPLY : RAFT_HEARTBEAT_REPLY, message->from);
	out->message.flags = RAFT_FLAG_REJECT;
	out->message.index = message->type == RAFT_APPEND ? message->index : 0;
	out->message.round = message->round;
	out->after_seq = raft__after_hard(raft, fx);
	return false;
}

void raft__recv_append(struct raft *raft, const struct raft_event *event, struct raft_effects *fx) {
	const struct raft_message *message = event->message;

	if (!from_leader(raft, message, fx))
		return;
	if (raft->install_seq != 0)
		return;
	if (matches(raft, message)) {
		accept(raft, event, fx);
	} else {
		if (message->index <= raft->commit)
			raft_panic(__FILE__, __LINE__, "the leader lacks a committed entry");
		refuse(raft, message, fx);
	}
}

void raft__recv_heartbeat(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	struct raft_out *out;
	raft_index commit;

	if (!from_leader(raft, message, fx))
		return;
	commit = min_index(message->commit, raft->verified);
	if (raft->install_seq == 0 && commit > raft->commit)
		raft->commit = commit;
	out = raft__emit(raft, fx, RAFT_HEARTBEAT_REPLY, message->from);
	out->message.flags = raft->unfit ? RAFT_FLAG_UNFIT : 0;
	out->message.round = message->round;
	out->message.index = min_index(raft->verified, raft->saves.durable);
	out->message.hint_index = raft->verified;
	out->after_seq = raft__after_hard(raft, fx);
}

/* ---- Answers --------------------------------------------------------------------------------------------------------
 */

/* The member a reply of our own term is from; NULL if the reply is of no concern. Only members may depose us: a node
 * that was removed is not asked, so what it says is old. */
static struct raft__progress *answering(struct raft *raft, const struct raft_message *message,
					struct raft_effects *fx) {
	struct raft__progress *progress;

	if (raft->role != RAFT_LEADER)
		return NULL;
	progress = raft__progress_of(raft, message->from);
	if (!progress)
		return NULL;
	if (message->term > raft->term)
		raft__adopt(raft, fx, message->term);
	if (message->term != raft->term || raft->role != RAFT_LEADER)
		return NULL;
	progress->contact = raft->now;
	return progress;
}

void raft__recv_append_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	struct raft__progress *progress = answering(raft, message, fx);

	if (!progress || message->index > raft->trail.last)
		return;
	if (message->flags & RAFT_FLAG_REJECT) {
		raft_index agree = raft__trail_agree(&raft->trail, message->hint_index, message->hint_term);

		raft__progress_rejected(progress, message->index, agree, raft->trail.base);
	} else {
		raft__progress_matched(progress, &raft->limits, message->index, raft->trail.base);
		raft__advance_commit(raft, fx);
		raft__transfer_ask(raft, fx);
		raft__answer_reads(raft, fx);
	}
}

void raft__recv_heartbeat_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	struct raft__progress *progress = answering(raft, message, fx);

	if (!progress || message->round > raft->round || message->index > raft->trail.last)
		return;
	/* Heals a lost acknowledgement. */
	if (message->index > progress->match) {
		raft__progress_matched(progress, &raft->limits, message->index, raft->trail.base);
		raft__advance_commit(raft, fx);
	}
	if (message->round >= progress->round)
		progress->unfit = message->flags & RAFT_FLAG_UNFIT;
	raft__lease_answered(raft, progress, message->round);
	raft__progress_heard(progress, message->round, message->hint_index, raft->trail.base);
	if (raft->role != RAFT_LEADER)
		return;
	raft__progress_heal(progress, raft->trail.base, raft->trail.last);
	raft__probe_idle(raft, progress, fx);
	remind(raft, progress, message->hint_index, fx);
	raft__transfer_ask(raft, fx);
	raft__answer_reads(raft, fx);
}
