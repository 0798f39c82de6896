/* SPDX-License-Identifier: Apache-2.0 */
/* Read index for followers (dissertation §6.4).
 *
 * A follower may serve a read once it has applied what was committed when the read came. Only the leader knows that,
 * and only if it still leads: it answers with its commit index once leadership is proved by something later than the
 * question, the lease or a majority's answers to a round that was started after it.
 *
 * Questions are numbered by the asking core. A number never comes twice in the life of a process, and the first one
 * differs from life to life: an answer that was given to an earlier question, or to a process that is gone, would name
 * an index that is too low. */
#include "core.h"
#include "invariant.h"

int raft__read_ask(struct raft *raft, struct raft_effects *fx) {
	struct raft_out *out;

	if (raft->role == RAFT_LEADER || raft->leader == 0)
		return RAFT_E_NOT_LEADER;
	out = raft__emit(raft, fx, RAFT_READ, raft->leader);
	out->message.round = ++raft->read_asked;
	out->after_seq = raft__after_hard(raft, fx);
	fx->round = raft->read_asked;
	return 0;
}

/* The index is one that the leader has committed. As far as our log is known to be like its own we commit, too, since
 * the next append or heartbeat, which would say the same, may be an interval away. */
void raft__recv_read_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	raft_index commit = message->index < raft->verified ? message->index : raft->verified;

	if (raft->role != RAFT_FOLLOWER || message->from != raft->leader || message->term != raft->term)
		return;
	if (message->round <= raft->read_answered || message->round > raft->read_asked)
		return;
	raft->read_answered = message->round;
	if (raft->install_seq == 0 && commit > raft->commit)
		raft->commit = commit;
	fx->read_round = message->round;
	fx->read_index = message->index;
}

/* ---- Leader ---------------------------------------------------------------------------------------------------------
 */

/* A question that waits is not pushed out by the next one: somebody who asks faster than rounds are answered would
 * never be. Of those behind it only the latest matters, since its answer serves them all. */
void raft__recv_read(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	struct raft__progress *progress;
	struct raft__question *question;

	if (raft->role != RAFT_LEADER || message->term != raft->term || message->round == 0)
		return;
	progress = raft__progress_of(raft, message->from);
	if (!progress)
		return;
	if (!raft__lease_valid(raft))
		raft__start_round(raft, fx);
	question = progress->questions[0].number == 0 ? &progress->questions[0] : &progress->questions[1];
	*question = (struct raft__question){.number = message->round, .round = raft->round};
	raft__answer_reads(raft, fx);
}

/* The latest question that leadership is proved for, up to this round; 0: none. */
static uint64_t take_answerable(struct raft__progress *progress, uint64_t proved) {
	uint64_t number = 0;

	while (progress->questions[0].number != 0 && progress->questions[0].round <= proved) {
		number = progress->questions[0].number;
		progress->questions[0] = progress->questions[1];
		progress->questions[1] = (struct raft__question){0};
	}
	return number;
}

/* Before an entry of its own term is committed a leader does not know what is committed. */
void raft__answer_reads(struct raft *raft, struct raft_effects *fx) {
	uint64_t proved;

	if (raft->role != RAFT_LEADER || raft->commit < raft->term_start)
		return;
	proved = raft__lease_valid(raft) ? raft->round : raft__proved_round(raft);
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		struct raft__progress *progress = &raft->progress[i];
		uint64_t number = progress->node != 0 ? take_answerable(progress, proved) : 0;
		struct raft_out *out;

		if (number == 0)
			continue;
		out = raft__emit(raft, fx, RAFT_READ_REPLY, progress->node);
		out->message.round = number;
		out->message.index = raft->commit;
		out->message.index_term = raft__trail_term_at(&raft->trail, raft->commit);
	}
}
