/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: opened once per nonce, ended by CLOSE or EXPIRE with all they hold and wait for. */
#include "machine.h"
#include "memory.h"

#include <lockd/status.h>
#include <string.h>

static int session_compare_id(const struct session *a, const struct session *b) {
	return (a->id > b->id) - (a->id < b->id);
}

static int session_compare_nonce(const struct session *a, const struct session *b) {
	return memcmp(a->nonce, b->nonce, sizeof(a->nonce));
}

RB_GENERATE(session_ids, session, by_id, session_compare_id)
RB_GENERATE(session_nonces, session, by_nonce, session_compare_nonce)

struct session *session_find(const struct state *state, state_session_id id) {
	return roster_find(&state->roster, id);
}

static struct session *session_find_nonce(const struct state *state, const uint8_t *nonce) {
	struct session key;

	memcpy(key.nonce, nonce, sizeof(key.nonce));
	return RB_FIND(session_nonces, (struct session_nonces *)&state->nonces, &key);
}

static struct state_text session_text(uint8_t **at, struct state_text text) {
	struct state_text copy = {.bytes = *at, .n = text.n};

	if (text.n > 0)
		memcpy(*at, text.bytes, text.n);
	*at += text.n;
	return copy;
}

/* With copies of the texts, in no tree yet. */
struct session *session_new(const uint8_t *nonce, struct state_text owner, struct state_text host,
			    struct state_text label) {
	struct session *session = memory_new(sizeof(*session) + owner.n + host.n + label.n);
	uint8_t *texts = (uint8_t *)(session + 1);

	memcpy(session->nonce, nonce, sizeof(session->nonce));
	session->owner = session_text(&texts, owner);
	session->host = session_text(&texts, host);
	session->label = session_text(&texts, label);
	RB_INIT(&session->results);
	RB_INIT(&session->seats);
	RB_INIT(&session->held);
	return session;
}

/* false: id or nonce are taken. */
bool session_insert(struct state *state, struct session *session) {
	if (RB_INSERT(session_ids, &state->sessions, session))
		return false;
	if (RB_INSERT(session_nonces, &state->nonces, session)) {
		RB_REMOVE(session_ids, &state->sessions, session);
		return false;
	}
	roster_add(&state->roster, session->id, session);
	return true;
}

void session_open(struct state *state, const Command__Open *open) {
	struct session *session = session_find_nonce(state, open->nonce.data);
	bool inserted;

	if (session) {
		outcome_answer(state, session->id, 0, LOCKD_OK, session->id);
		return;
	}
	if (state->tables[STATE_SESSION].n_rows >= state->config.sessions_max) {
		outcome_answer(state, 0, 0, LOCKD_LIMIT, state->revision);
		return;
	}

	session = session_new(open->nonce.data, text_of(open->owner), text_of(open->host), text_of(open->label));
	session->id = state->revision;
	session->epoch = state->config.epoch;
	session->group = state->config.group;
	session->ttl_ms = open->ttl_ms;
	session->pid = open->pid;
	session->floor = 1;
	inserted = session_insert(state, session);
	assert(inserted);
	row_add(state, STATE_SESSION, &session->row);
	outcome_answer(state, session->id, 0, LOCKD_OK, session->id);
	outcome_session(state, STATE_OPENED, session);
}

/* First half of an end. The seats of all sessions that end in one command go before any of their locks is passed on:
 * nothing is granted to a session that is about to end. */
static void session_leave_queues(struct state *state, struct session *session) {
	struct seat *seat;

	session->ending = true;
	while ((seat = RB_MIN(seat_sequence, &session->seats)))
		seat_end(state, seat, LOCKD_SESSION_EXPIRED);
}

/* Second half: locks go to their next waiters in the order of the session's own sequences. */
static void session_end(struct state *state, struct session *session) {
	struct lock *lock;
	struct result *result;

	while ((lock = RB_MIN(lock_sequence, &session->held)))
		lock_pass(state, lock);
	while ((result = RB_MIN(result_tree, &session->results)))
		result_remove(state, result);
	outcome_session(state, STATE_ENDED, session);
	RB_REMOVE(session_ids, &state->sessions, session);
	RB_REMOVE(session_nonces, &state->nonces, session);
	roster_remove(&state->roster, session->id);
	row_remove(state, &session->row);
	free(session);
}

void session_close(struct state *state, struct session *session, uint64_t sequence) {
	outcome_answer(state, session->id, sequence, LOCKD_OK, state->revision);
	session_leave_queues(state, session);
	session_end(state, session);
}

void session_expire(struct state *state, const Command__Expire *expire) {
	struct session *session;

	for (size_t i = 0; i < expire->n_opened; i++) {
		session = session_find(state, expire->opened[i]);
		if (session && !session->ending)
			session_leave_queues(state, session);
	}
	for (size_t i = 0; i < expire->n_opened; i++) {
		session = session_find(state, expire->opened[i]);
		if (session)
			session_end(state, session);
	}
}

/* So many quarters of the TTL without a sign of life are on record; 0: it has been heard again. */
void session_mark(struct state *state, state_session_id id, uint32_t quarters) {
	struct session *session = session_find(state, id);

	if (!session)
		return;
	if (quarters > 0 && quarters < session->late_quarters)
		quarters = session->late_quarters;
	if (quarters != session->late_quarters) {
		row_change(state, &session->row);
		session->late_quarters = quarters;
	}
	outcome_session(state, STATE_MARKED, session);
}

/* Only upwards, and never past a waiting seat: its result has yet to be given. */
void session_raise_floor(struct state *state, struct session *session, uint64_t floor) {
	const struct seat *first = RB_MIN(seat_sequence, &session->seats);
	struct result *result;

	if (first && floor > first->sequence)
		floor = first->sequence;
	if (floor <= session->floor)
		return;
	row_change(state, &session->row);
	session->floor = floor;
	while ((result = RB_MIN(result_tree, &session->results)) && result->sequence < floor)
		result_remove(state, result);
}

void session_free_all(struct state *state) {
	struct session *session, *next;

	RB_FOREACH_SAFE (session, session_ids, &state->sessions, next) {
		struct result *result;
		RB_REMOVE(session_ids, &state->sessions, session);
		while ((result = RB_ROOT(&session->results))) {
			RB_REMOVE(result_tree, &session->results, result);
			free(result);
		}
		free(session);
	}
	roster_deinit(&state->roster);
	pool_deinit(&state->results_pool, sizeof(struct result));
}

static void session_describe(const struct session *session, struct state_session *ret) {
	*ret = (struct state_session){
		.id = session->id,
		.epoch = session->epoch,
		.group = session->group,
		.ttl_ms = session->ttl_ms,
		.pid = session->pid,
		.quarters = session->late_quarters,
		.owner = session->owner,
		.host = session->host,
		.label = session->label,
		.floor = session->floor,
		.held = session->n_held,
		.waiting = session->n_waiting,
	};
}

bool state_get_session(const struct state *state, state_session_id id, struct state_session *ret) {
	const struct session *session = session_find(state, id);

	if (!session)
		return false;
	session_describe(session, ret);
	return true;
}

state_session_id state_find_nonce(const struct state *state, const uint8_t *nonce) {
	const struct session *session = session_find_nonce(state, nonce);

	return session ? session->id : 0;
}

bool state_next_session(const struct state *state, state_session_id after, struct state_session *ret) {
	const struct session *session;
	struct session key;

	if (after == UINT64_MAX)
		return false;
	key.id = after + 1;
	session = RB_NFIND(session_ids, (struct session_ids *)&state->sessions, &key);
	if (!session)
		return false;
	session_describe(session, ret);
	return true;
}
