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
	switch (raft->role) {
	case RAFT_FOLLOWER: break;
	case RAFT_PRECANDIDATE: RAFT_ASSERT(raft->leader == 0); break;
	case RAFT_CANDIDATE:
		RAFT_ASSERT(raft->vote == raft->node);
		RAFT_ASSERT(raft->leader == 0);
		break;
	case RAFT_LEADER: check_leader(raft); break;
	}
}
