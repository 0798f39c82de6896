/* SPDX-License-Identifier: Apache-2.0 */
/* Leadership transfer (dissertation §3.10).
 *
 * The leader takes no more proposals, waits until the target holds its whole log, and asks it to campaign at once. The
 * target needs no pre-vote and its votes are cast in spite of the promises to this leader, which has given up the lease
 * for that. The request is repeated with every round of heartbeats, for it may be lost.
 *
 * Whatever ends the leadership ends the transfer. If nothing does within the shortest election time-out, the leader
 * goes on, and appends a no-op as a fence: the request may arrive even later, but the log that the target would stand
 * for election with then lacks an entry that is committed, so it is refused by a majority and the lease may come back.
 */
#include "core.h"
#include "invariant.h"

static bool is_candidate(const struct raft *raft, const struct raft_member *member) {
	const struct raft__progress *progress = raft__progress_find(raft, member->node);

	return progress && (member->roles & RAFT_ROLE_VOTER) && !progress->unfit;
}

static bool in_contact(const struct raft *raft, const struct raft__progress *progress) {
	return progress->contact != 0 && raft->now - progress->contact < raft->timing.check_quorum;
}

static bool rather(const struct raft__progress *a, const struct raft_member *member_a, const struct raft__progress *b,
		   const struct raft_member *member_b) {
	if (a->match != b->match)
		return a->match > b->match;
	if (member_a->priority != member_b->priority)
		return member_a->priority > member_b->priority;
	return member_a->node < member_b->node;
}

/* The voter that is closest to taking over; 0: nobody could. */
static uint32_t closest(const struct raft *raft) {
	const struct raft_configuration *members = raft__members(raft);
	const struct raft_member *best = NULL;
	const struct raft__progress *best_progress = NULL;

	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft_member *member = &members->members[i];
		const struct raft__progress *progress = raft__progress_find(raft, member->node);

		if (!is_candidate(raft, member) || !in_contact(raft, progress))
			continue;
		if (best && !rather(progress, member, best_progress, best))
			continue;
		best = member;
		best_progress = progress;
	}
	return best ? best->node : 0;
}

static bool can_take_over(const struct raft *raft, uint32_t node) {
	const struct raft_configuration *members = raft__members(raft);
	int at = raft__configuration_find(members, node);

	return at >= 0 && is_candidate(raft, &members->members[at]);
}

/* On its disk, that is; on ours it need not be, since a disk that hangs is a reason to hand over. */
static bool holds_all(const struct raft *raft, uint32_t node) {
	return raft__progress_find(raft, node)->match == raft->trail.last;
}

static void emit_timeout_now(struct raft *raft, uint32_t to, struct raft_effects *fx) {
	struct raft_out *out = raft__emit(raft, fx, RAFT_TIMEOUT_NOW, to);

	out->message.index = raft->trail.last;
	out->message.index_term = raft__trail_last_term(&raft->trail);
}

int raft__transfer(struct raft *raft, uint32_t peer, struct raft_effects *fx) {
	if (raft->role != RAFT_LEADER)
		return RAFT_E_NOT_LEADER;
	if (raft->transfer_to != 0)
		return RAFT_E_UNSETTLED;
	if (peer == 0)
		peer = closest(raft);
	if (peer == 0 || !can_take_over(raft, peer))
		return RAFT_E_MISFIT;

	raft->transfer_to = peer;
	raft->transfer_until = raft__later(raft->now, raft->timing.election_min);
	raft->transfer_asked = false;
	raft->lease_from = RAFT__NEVER;
	raft->fence_due = false;
	raft__transfer_ask(raft, fx);
	return 0;
}

void raft__transfer_ask(struct raft *raft, struct raft_effects *fx) {
	if (raft->role == RAFT_LEADER && raft->transfer_to != 0 && !raft->transfer_asked)
		raft__transfer_repeat(raft, fx);
}

void raft__transfer_repeat(struct raft *raft, struct raft_effects *fx) {
	if (raft->transfer_to == 0 || !holds_all(raft, raft->transfer_to))
		return;
	raft->transfer_asked = true;
	emit_timeout_now(raft, raft->transfer_to, fx);
}

static void append_fence(struct raft *raft, struct raft_effects *fx) {
	raft__trail_append(&raft->trail, raft->term);
	raft->lease_from = raft->trail.last;
	raft->fence_due = false;
	raft__save(raft, fx)->first = raft->trail.last;
	raft__save(raft, fx)->n = 1;
}

static bool given_up(const struct raft *raft) {
	return raft->transfer_to != 0 && (raft->now >= raft->transfer_until || !can_take_over(raft, raft->transfer_to));
}

void raft__transfer_time(struct raft *raft, struct raft_effects *fx) {
	if (given_up(raft)) {
		raft->transfer_to = 0;
		raft->fence_due = true;
	}
	if (raft->fence_due && !raft__saves_full(&raft->saves))
		append_fence(raft, fx);
}

raft_usec raft__transfer_deadline(const struct raft *raft) {
	if (given_up(raft) || (raft->fence_due && !raft__saves_full(&raft->saves)))
		return raft->now;
	return raft->transfer_to != 0 ? raft->transfer_until : RAFT__NEVER;
}

/* The configuration that is committed names this leader no more. Who has that whole log need not wait for a time-out.
 */
void raft__transfer_leave(struct raft *raft, struct raft_effects *fx) {
	uint32_t heir = closest(raft);

	if (heir != 0 && holds_all(raft, heir))
		emit_timeout_now(raft, heir, fx);
}
