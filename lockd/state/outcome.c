/* SPDX-License-Identifier: Apache-2.0 */
/* What an entry did, in the order in which it happened. Texts are copied: a lock that changed may be gone before the
 * entry ends. */
#include "machine.h"
#include "memory.h"

#include <lockd/status.h>

void outcome_reset(struct outcome_list *list) {
	list->n = 0;
	chunk_reset(&list->texts);
}

void outcome_deinit(struct outcome_list *list) {
	chunk_deinit(&list->texts);
	free(list->outcomes);
}

static struct state_outcome *outcome_append(struct state *state, enum state_outcome_kind kind) {
	struct outcome_list *list = &state->outcomes;
	struct state_outcome *outcome;

	if (list->n == list->max) {
		list->max = list->max ? 2 * list->max : 64;
		list->outcomes = memory_grow(list->outcomes, list->max * sizeof(*list->outcomes));
	}
	outcome = &list->outcomes[list->n++];
	*outcome = (struct state_outcome){.kind = kind, .revision = state->revision};
	return outcome;
}

void outcome_answer(struct state *state, state_session_id session, uint64_t sequence, int status,
		    state_revision revision) {
	struct state_outcome *outcome = outcome_append(state, STATE_ANSWERED);

	outcome->position = state->position;
	outcome->session = session;
	outcome->sequence = sequence;
	outcome->status = status;
	outcome->revision = revision;
}

static void outcome_result(struct state_outcome *outcome, const struct result *result) {
	outcome->session = result->session->id;
	outcome->sequence = result->sequence;
	outcome->status = result->status;
	outcome->token = result->token;
	outcome->revision = result->revision;
}

void outcome_answer_result(struct state *state, const struct result *result) {
	struct state_outcome *outcome = outcome_append(state, STATE_ANSWERED);

	outcome->position = state->position;
	outcome_result(outcome, result);
	if (result->status == LOCKD_QUEUED)
		outcome->wait_ms = seat_find(result->session, result->sequence)->wait_ms;
}

void outcome_resolve(struct state *state, const struct result *result) {
	outcome_result(outcome_append(state, STATE_RESOLVED), result);
}

void outcome_session(struct state *state, enum state_outcome_kind kind, const struct session *session) {
	struct state_outcome *outcome = outcome_append(state, kind);

	outcome->session = session->id;
	if (kind == STATE_MARKED)
		outcome->quarters = session->late_quarters;
}

void outcome_raise(struct state *state) {
	(void)outcome_append(state, STATE_RAISED);
}

void outcome_judge(struct state *state, uint64_t index, struct state_hash hash) {
	struct state_outcome *outcome = outcome_append(state, STATE_JUDGED);

	outcome->index = index;
	outcome->hash = hash;
}

static struct state_text outcome_text(struct state *state, struct state_text text) {
	return (struct state_text){.bytes = chunk_copy(&state->outcomes.texts, text.bytes, text.n), .n = text.n};
}

void outcome_change(struct state *state, const struct lock *lock) {
	struct state_outcome *outcome = outcome_append(state, STATE_CHANGED);

	outcome->session = lock->holder ? lock->holder->id : 0;
	outcome->sequence = lock->holder ? lock->sequence : 0;
	outcome->token = lock->holder ? lock->token : 0;
	outcome->name = outcome_text(state, lock_name(lock));
	outcome->value = outcome_text(state, lock_value(lock));
}
