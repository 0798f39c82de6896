/* SPDX-License-Identifier: Apache-2.0 */
/* Installing a snapshot (paper §7), and making room by compaction.
 *
 * The embedder receives and checks the whole snapshot first; then one save replaces state and log together. Until that
 * save is durable the old log stands, unchanged: no appends, no commit, no campaign. Term and vote are no part of a
 * snapshot. */
#include "core.h"
#include "invariant.h"

/* A later snapshot may be staged while one is being installed; it has to wait for the save in front of it. */
int raft__stage(struct raft *raft, const struct raft_event *event, struct raft_effects *fx) {
	struct raft_save *save;

	RAFT_ASSERT(event->configuration && raft__configuration_valid(event->configuration));
	RAFT_ASSERT(event->configuration_index <= event->index);

	if (event->term < raft->term || event->index <= raft->commit || event->peer == raft->node)
		return RAFT_E_STALE;
	if (raft->install_seq != 0)
		return event->index > raft->install_index ? RAFT_E_FULL : RAFT_E_STALE;
	if (raft__saves_full(&raft->saves))
		return RAFT_E_FULL;

	if (event->term > raft->term)
		raft__adopt(raft, fx, event->term);
	raft__hear(raft, event->peer, (raft_usec)event->configuration->promise_ms * 1000);

	save = raft__save(raft, fx);
	save->install = true;
	save->keep_suffix = raft__trail_term_at(&raft->trail, event->index) == event->index_term;
	raft->install_seq = save->seq;
	raft->install_keep_suffix = save->keep_suffix;
	raft->install_index = event->index;
	raft->install_term = event->index_term;
	raft->install_configuration = *event->configuration;
	raft->install_configuration_index = event->configuration_index;
	return 0;
}

static void replace_log(struct raft *raft) {
	if (raft->install_keep_suffix) {
		RAFT_ASSERT(raft->saves.durable >= raft->install_index);
		raft__trail_compact(&raft->trail, raft->install_index);
	} else {
		raft__trail_reset(&raft->trail, raft->install_index, raft->install_term);
		raft__history_truncate(&raft->history, 0);
		raft->saves.durable = raft->install_index;
		raft->verified = 0;
	}
	raft__history_install(&raft->history, raft->install_index, &raft->install_configuration,
			      raft->install_configuration_index);
}

/* The acknowledgement goes to the leader of the present term, whoever sent the snapshot: its content is committed, so
 * every later leader has it. */
void raft__install(struct raft *raft, struct raft_effects *fx) {
	if (raft->install_seq == 0 || raft->install_seq > raft->saves.saved_seq)
		return;
	RAFT_ASSERT(raft->role == RAFT_FOLLOWER);

	replace_log(raft);
	raft->install_seq = 0;
	raft->commit = raft->install_index;
	if (raft->leader != 0 && raft->verified < raft->commit)
		raft->verified = raft->commit;
	raft__restart_election_timer(raft);
	fx->installed = true;
	if (raft->leader != 0) {
		struct raft_out *out = raft__emit(raft, fx, RAFT_APPEND_REPLY, raft->leader);

		out->message.index = raft->commit;
		out->after_seq = raft__after_hard(raft, fx);
	}
}

void raft__snapshot_sent(struct raft *raft, const struct raft_event *event, struct raft_effects *fx) {
	struct raft__progress *progress;

	if (raft->role != RAFT_LEADER || !event->ok)
		return;
	progress = raft__progress_of(raft, event->peer);
	if (!progress)
		return;
	RAFT_ASSERT(event->index <= raft->commit);
	raft__progress_transferred(progress, event->index, raft->trail.base);
	raft__probe_idle(raft, progress, fx);
}

void raft__compacted(struct raft *raft, raft_index index) {
	if (index <= raft->trail.base)
		return;
	RAFT_ASSERT(index <= raft->commit);
	RAFT_ASSERT(index <= raft->saves.durable);

	raft__trail_compact(&raft->trail, index);
	raft__history_compact(&raft->history, index);
	if (raft->role != RAFT_LEADER)
		return;
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++)
		if (raft->progress[i].node != 0)
			raft__progress_compacted(&raft->progress[i], index);
}
