/* SPDX-License-Identifier: Apache-2.0 */
/* Exactly once. A session numbers its requests; a request that has run leaves its result under its number, and a copy
 * of it gets that result again. The client's floor says which results it will never ask for again. RIFL (Lee et al.,
 * SOSP 2015) is the model; our window replaces its per-client garbage collection.
 *
 * A refusal that a client is told of must hold for later copies of the same request as well. INVALID and MISMATCH
 * follow from its content, STALE from a floor that only rises, and WINDOW is therefore judged by the floor that the
 * command itself carries too. Everything else is stored. */
#include "machine.h"
#include "memory.h"

#include <lockd/status.h>

static int result_compare(const struct result *a, const struct result *b) {
	return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

RB_GENERATE(result_tree, result, by_sequence, result_compare)

struct result *result_find(const struct session *session, uint64_t sequence) {
	struct result key;

	key.sequence = sequence;
	return RB_FIND(result_tree, (struct result_tree *)&session->results, &key);
}

/* false: the session has a result of that sequence. */
bool result_insert(struct result *result) {
	return !RB_INSERT(result_tree, &result->session->results, result);
}

struct result *result_add(struct state *state, struct session *session, uint64_t sequence, uint64_t digest, int status,
			  uint64_t token, uint32_t slot) {
	struct result *result = pool_take(&state->results_pool, sizeof(*result));
	bool inserted;

	*result = (struct result){
		.session = session,
		.sequence = sequence,
		.digest = digest,
		.token = token,
		.revision = state->revision,
		.status = status,
		.slot = slot,
	};
	inserted = result_insert(result);
	assert(inserted);
	row_add(state, STATE_RESULT, &result->row);
	return result;
}

void result_set(struct state *state, struct result *result, int status, uint64_t token) {
	row_change(state, &result->row);
	result->status = status;
	result->token = token;
	result->revision = state->revision;
}

void result_remove(struct state *state, struct result *result) {
	RB_REMOVE(result_tree, &result->session->results, result);
	row_remove(state, &result->row);
	pool_give(&state->results_pool, result, sizeof(*result));
}

/* The status of a sequence without a result; OK: it may run. */
static int result_admission(const struct session *session, uint64_t sequence, uint64_t floor) {
	if (sequence < session->floor)
		return LOCKD_STALE;
	if (sequence - session->floor >= LIMIT_SEQUENCE_WINDOW)
		return LOCKD_WINDOW;
	if (floor > 0 && sequence - floor >= LIMIT_SEQUENCE_WINDOW)
		return LOCKD_WINDOW;
	return LOCKD_OK;
}

/* true: the request has not run and shall. false: it is answered. `floor` is that of the command, 0 < floor ≤ sequence,
 * or 0 if it carries none. */
bool result_admit(struct state *state, struct session *session, uint64_t sequence, uint64_t floor, uint64_t digest) {
	struct result *result = result_find(session, sequence);
	int status;

	if (result && (result->digest == digest || result->digest == RESULT_DIGEST_ANY)) {
		outcome_answer_result(state, result);
		return false;
	}
	status = result ? LOCKD_MISMATCH : result_admission(session, sequence, floor);
	if (status != LOCKD_OK)
		outcome_answer(state, session->id, sequence, status, state->revision);
	return status == LOCKD_OK;
}

bool state_get_result(const struct state *state, state_session_id id, uint64_t sequence, struct state_result *ret) {
	const struct session *session = session_find(state, id);
	const struct result *result = session ? result_find(session, sequence) : NULL;

	if (!result)
		return false;
	*ret = (struct state_result){
		.status = result->status,
		.digest = result->digest,
		.token = result->token,
		.revision = result->revision,
	};
	return true;
}
