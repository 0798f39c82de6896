/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold between any two steps. */
#include "invariant.h"

#include "core.h"

static void check_log(const struct raft *raft) {
	raft__trail_check(&raft->trail);
	raft__saves_check(&raft->saves, raft->trail.last);
	RAFT_ASSERT(raft->trail.base <= raft->commit);
	RAFT_ASSERT(raft->commit <= raft->trail.last);
	RAFT_ASSERT(raft->trail.base <= raft->saves.durable);
	RAFT_ASSERT(raft->verified <= raft->trail.last);
	RAFT_ASSERT(raft__trail_last_term(&raft->trail) <= raft->term);
}

static void check_history(const struct raft *raft) {
	const struct raft__history *history = &raft->history;

	RAFT_ASSERT(history->n < history->max);
	RAFT_ASSERT(history->n > 0 || raft->trail.base == 0);
	for (uint16_t i = 0; i < history->n; i++) {
		RAFT_ASSERT(raft__configuration_valid(&history->items[i].configuration));
		RAFT_ASSERT(history->items[i].index <= raft->trail.last);
		RAFT_ASSERT(i == 0 || history->items[i - 1].index < history->items[i].index);
		RAFT_ASSERT(i == 0 || history->items[i].index > raft->trail.base);
	}
}

static void check_hard(const struct raft *raft) {
	RAFT_ASSERT(raft->saves.term <= raft->term);
	RAFT_ASSERT(raft->saves.term < raft->term || raft->saves.vote == 0 || raft->saves.vote == raft->vote);
	if (raft->saves.saved_seq == raft->saves.last_seq) {
		RAFT_ASSERT(raft->saves.term == raft->term);
		RAFT_ASSERT(raft->saves.vote == raft->vote);
		RAFT_ASSERT(raft->saves.durable == raft->trail.last);
	}
}

/* Promises count from a moment that has been, so none of them reaches further than P. */
static void check_lease(const struct raft *raft) {
	const struct raft_configuration *members = raft__members(raft);
	raft_usec promise = (raft_usec)members->promise_ms * 1000;

	RAFT_ASSERT(raft->lease_from >= raft->term_start);
	RAFT_ASSERT(raft__lease_until(raft) == 0 || raft->commit >= raft->term_start);
	RAFT_ASSERT(raft__lease_until(raft) == 0 || raft->transfer_to == 0);
	for (uint64_t i = 1; i < raft->n_rounds && i < RAFT__ROUNDS_MAX; i++) {
		const struct raft__round *round = &raft->rounds[(raft->n_rounds - i) % RAFT__ROUNDS_MAX];
		const struct raft__round *before = &raft->rounds[(raft->n_rounds - i - 1) % RAFT__ROUNDS_MAX];

		RAFT_ASSERT(before->number < round->number);
		RAFT_ASSERT(before->boot <= round->boot);
	}
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++)
		RAFT_ASSERT(raft->progress[i].node == 0 ||
			    raft->progress[i].lease_end <= raft__later(raft->boot, promise));
}

/* Nothing is appended while leadership is handed over, and no lease comes back before the fence. */
static void check_transfer(const struct raft *raft) {
	RAFT_ASSERT(raft->transfer_to == 0 || raft->lease_from == RAFT__NEVER);
	RAFT_ASSERT(raft->transfer_to == 0 || !raft->fence_due);
	RAFT_ASSERT(!raft->fence_due || raft->lease_from == RAFT__NEVER);
	RAFT_ASSERT(raft->transfer_to != raft->node);
	RAFT_ASSERT(raft->transfer_to == 0 || raft__progress_find(raft, raft->transfer_to));
}

static void check_leader(const struct raft *raft) {
	const struct raft_configuration *members = raft__members(raft);

	RAFT_ASSERT(raft->leader == raft->node);
	RAFT_ASSERT(raft->saves.term == raft->term);
	RAFT_ASSERT(raft__trail_term_at(&raft->trail, raft->term_start) == raft->term ||
		    raft->term_start < raft->trail.base);
	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft__progress *progress = raft__progress_find(raft, members->members[i].node);

		RAFT_ASSERT((progress == NULL) == (members->members[i].node == raft->node));
		if (progress)
			raft__progress_check(progress, &raft->limits, raft->trail.base, raft->trail.last);
	}
}

void raft_check(const struct raft *raft) {
	RAFT_ASSERT(raft->started);
	check_log(raft);
	check_history(raft);
	check_hard(raft);
	RAFT_ASSERT(raft->leader == 0 || raft->leader == raft->term_leader);
	RAFT_ASSERT(raft->promise_term <= raft->term);
	RAFT_ASSERT(raft->read_answered <= raft->read_asked);
	RAFT_ASSERT(!raft->asked_to_lead || raft->role == RAFT_CANDIDATE);
	RAFT_ASSERT(raft->role == RAFT_LEADER || (raft->transfer_to == 0 && !raft->fence_due));
	RAFT_ASSERT(!raft->unfit || raft->role == RAFT_FOLLOWER || raft->role == RAFT_LEADER);
	switch (raft->role) {
	case RAFT_FOLLOWER: break;
	case RAFT_PRECANDIDATE: RAFT_ASSERT(raft->leader == 0); break;
	case RAFT_CANDIDATE:
		RAFT_ASSERT(raft->vote == raft->node);
		RAFT_ASSERT(raft->leader == 0);
		break;
	case RAFT_LEADER:
		check_leader(raft);
		check_lease(raft);
		check_transfer(raft);
		break;
	}
}
