/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/checker_lock.h"

#include "api/frame.h"
#include "lockd/state/state.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <lockd/status.h>
#include <stdlib.h>
#include <string.h>

/* ---- The node's tables and the model's -----------------------------------------------------------------------------
 */

static void compare_waiters(uint32_t node, const struct state *state, uint32_t at, const struct model_lock *lock) {
	char name[16] = {0}; /* for messages: a name does not end itself */
	size_t n = model_name_of(at, name, sizeof(name)), count = 0;
	struct state_seat seat = {0};

	for (; state_next_waiter(state, name, n, seat.enqueued, &seat); count++) {
		if (count >= lock->n_queue || lock->queue[count].session->id != seat.session ||
		    lock->queue[count].sequence != seat.sequence || lock->queue[count].enqueued != seat.enqueued)
			verdict_fail(VERDICT_SAFETY, "P7 queue-differs",
				     "node %u, %s: seat %zu belongs to session %" PRIx64 " sequence %" PRIu64, node,
				     name, count, seat.session, seat.sequence);
	}
	if (count != lock->n_queue)
		verdict_fail(VERDICT_SAFETY, "P7 queue-differs", "node %u, %s: %zu wait, %zu should", node, name, count,
			     lock->n_queue);
}

static void compare_lock(uint32_t node, const struct state *state, uint32_t at, const struct model_lock *lock) {
	char name[16] = {0};
	size_t n = model_name_of(at, name, sizeof(name));
	struct state_lock held;
	bool exists = state_get_lock(state, name, n, &held);

	if (exists != (lock->holder != NULL))
		verdict_fail(VERDICT_SAFETY, "P1 holder-differs", "node %u, %s: %s, should be %s", node, name,
			     exists ? "held" : "free", lock->holder ? "held" : "free");
	if (!exists)
		return;
	if (held.granted == lock->granted && held.token != lock->token)
		verdict_fail(VERDICT_SAFETY, "P2 token-not-greater",
			     "node %u, %s: the grant at %" PRIx64 " has token %" PRIu64 ", should be %" PRIu64, node,
			     name, held.granted, held.token, lock->token);
	if (held.holder != lock->holder->id || held.sequence != lock->sequence || held.granted != lock->granted)
		verdict_fail(VERDICT_SAFETY, "P1 holder-differs",
			     "node %u, %s: session %" PRIx64 " sequence %" PRIu64 ", should be %" PRIx64
			     " sequence %" PRIu64,
			     node, name, held.holder, held.sequence, lock->holder->id, lock->sequence);
	compare_waiters(node, state, at, lock);
}

static void compare_sessions(const struct sim *sim, uint32_t node, const struct state *state) {
	struct state_session session = {0};
	for (size_t i = 0; i < sim->model.n_sessions; i++) {
		const struct model_session *model = sim->model.sessions[i];
		if (!model->live)
			continue;
		if (!state_next_session(state, session.id, &session) || session.id != model->id)
			verdict_fail(VERDICT_SAFETY, "P8 sessions-differ", "node %u lacks session %" PRIx64, node,
				     model->id);
		if (session.floor != model->floor)
			verdict_fail(VERDICT_SAFETY, "P8 floor-differs",
				     "node %u, session %" PRIx64 ": %" PRIu64 ", should be %" PRIu64, node, model->id,
				     session.floor, model->floor);
	}
	if (state_next_session(state, session.id, &session))
		verdict_fail(VERDICT_SAFETY, "P8 sessions-differ", "node %u keeps session %" PRIx64 ", which has ended",
			     node, session.id);
}

/* What a retry would get, for all sequences at or above the floor. */
static void compare_results(const struct sim *sim, uint32_t node, const struct state *state) {
	for (size_t i = 0; i < sim->model.n_sessions; i++) {
		const struct model_session *session = sim->model.sessions[i];
		for (uint64_t sequence = session->floor; session->live && sequence < session->results_size;
		     sequence++) {
			const struct model_result *model = &session->results[sequence];
			const struct model_answer *last = model->known ? &model->answers[model->n - 1] : NULL;
			struct state_result result;
			bool known = state_get_result(state, session->id, sequence, &result);
			if (known != model->known ||
			    (known && (result.status != last->status || result.token != last->token)))
				verdict_fail(VERDICT_SAFETY, "P8 results-differ",
					     "node %u, session %" PRIx64 " sequence %" PRIu64
					     ": a retry would get %s, should get %s",
					     node, session->id, sequence,
					     known ? lockd_status_name(result.status) : "a second run",
					     last ? lockd_status_name(last->status) : "its first");
		}
	}
}

static void compare(const struct sim *sim, uint32_t node, const struct state *state) {
	for (uint32_t l = 0; l < SIM_LOCKS_MAX; l++)
		compare_lock(node, state, l, &sim->model.locks[l]);
	compare_results(sim, node, state);
	compare_sessions(sim, node, state);
}

static void feed(struct sim *sim, uint32_t node, uint64_t applied) {
	while (sim->model.applied < applied) {
		uint64_t index = sim->model.applied + 1;
		struct node_entry entry;
		if (!node_get_entry(sim_host(sim, node)->node, SIM_GROUP, index, &entry))
			verdict_fail(VERDICT_SAFETY, "I4 applied-unseen",
				     "node %u applied up to %" PRIu64 ", but entry %" PRIu64 " is in no log", node,
				     applied, index);
		if (entry.type == RAFT_ENTRY_COMMANDS)
			model_apply(sim, index, entry.term, entry.data, entry.n);
		else
			model_skip(sim, index);
	}
}

/* Comparing is cheap as long as locks and sessions are few; state_check() walks everything and comes now and then. */
void checker_lock_step(struct sim *sim, uint32_t node) {
	const struct state *state = node_state(sim_host(sim, node)->node, SIM_GROUP);

	if (sim->unchecked)
		return;
	if (!state)
		return;
	uint64_t applied = state_applied(state);
	if (applied == sim->compared[node - 1])
		return;
	sim->compared[node - 1] = applied;
	feed(sim, node, applied);
	if (applied == sim->model.applied)
		compare(sim, node, state);
	if (applied % 16 == 0)
		state_check(state);
}

void checker_lock_boot(struct sim *sim, uint32_t node) {
	sim->compared[node - 1] = 0;
}

/* ---- Answers to requests -------------------------------------------------------------------------------------------
 */

static bool is_of_model(uint32_t status) {
	return status == LOCKD_OK || status == LOCKD_HELD || status == LOCKD_WAIT_EXPIRED ||
	       status == LOCKD_CANCELLED || status == LOCKD_NOT_HOLDER || status == LOCKD_NOT_FOUND;
}

static void check_result(struct sim *sim, const struct client_request *request, const Client__Reply *reply) {
	struct model_session *session = model_find(&sim->model, request->session);
	if (!session)
		verdict_fail(VERDICT_SAFETY, "P9 acknowledged-unknown", "session %" PRIx64 " is in no log",
			     request->session);
	const struct model_result *result = model_result(session, request->sequence);
	if (!result->known)
		verdict_fail(VERDICT_SAFETY, "P9 acknowledged-unknown",
			     "session %" PRIx64 " sequence %" PRIu64 " is answered %s, but is in no log", session->id,
			     request->sequence, lockd_status_name((int)reply->status));
	for (uint32_t i = 0; i < result->n; i++) {
		const struct model_answer *answer = &result->answers[i];
		if (answer->status == (int)reply->status && answer->token == reply->token)
			return;
	}
	const struct model_answer *last = &result->answers[result->n - 1];
	verdict_fail(VERDICT_SAFETY, "P8 other-answer",
		     "session %" PRIx64 " sequence %" PRIu64 ": %s token %" PRIu64 ", should be %s token %" PRIu64,
		     session->id, request->sequence, lockd_status_name((int)reply->status), reply->token,
		     lockd_status_name(last->status), last->token);
}

static void check_expired(const struct sim *sim, uint64_t id) {
	const struct model_session *session = model_find(&sim->model, id);
	if (session && session->live)
		verdict_fail(VERDICT_SAFETY, "P8 expired-while-live",
			     "session %" PRIx64 " lives, its client hears otherwise", id);
}

/* An acknowledgement of something sent at `sent` keeps the session for a TTL from then, on the fastest clock allowed.
 */
static void promise(struct sim *sim, uint64_t id, sim_usec sent) {
	struct model_session *session = model_find(&sim->model, id);
	if (!session)
		verdict_fail(VERDICT_SAFETY, "P9 acknowledged-unknown", "session %" PRIx64 " is in no log", id);
	sim_usec until = sent + (sim_usec)session->ttl_ms * 1000 * 1000000 / (1000000 + sim->plan.drift_ppm_real);
	if (session->expired && session->ended_at < until)
		verdict_fail(VERDICT_SAFETY, "P4 kept-yet-expired",
			     "session %" PRIx64 " expired at %.6f, and a keep-alive sent at %.6f is acknowledged", id,
			     (double)session->ended_at / 1e6, (double)sent / 1e6);
	if (session->keep_until < until)
		session->keep_until = until;
}

static void check_keep_alive(struct sim *sim, const struct client *client, const struct client_frame *frame,
			     const Client__Reply *reply) {
	if (reply->n_keep_alives != 1)
		verdict_fail(VERDICT_SAFETY, "P4 keep-alive-count", "one session asked for, %zu answered",
			     reply->n_keep_alives);
	if (reply->keep_alives[0] == LOCKD_SESSION_EXPIRED) {
		check_expired(sim, frame->request.session);
		return;
	}
	sim->totals.keep_alives++;
	promise(sim, frame->request.session, frame->sent);
	nemesis_tempt_ack(sim, client->node, client->id,
			  frame->sent - client->acked_at > (sim_usec)client->ttl_ms * 250);
}

static void check_open(struct sim *sim, const struct client *client, const struct client_frame *frame,
		       const Client__Reply *reply) {
	const struct model_session *session = reply->session ? model_find(&sim->model, reply->session->opened) : NULL;
	if (!session)
		verdict_fail(VERDICT_SAFETY, "P9 acknowledged-unknown",
			     "an OPEN is answered with a session that is in no log");
	if (client->opening && client->opening_since == frame->request.begun &&
	    memcmp(session->nonce, client->nonce, LIMIT_NONCE_BYTES) != 0)
		verdict_fail(VERDICT_SAFETY, "P8 other-session",
			     "an OPEN is answered with session %" PRIx64 " of another nonce", session->id);
	promise(sim, session->id, frame->request.begun);
}

/* ---- Reads ---------------------------------------------------------------------------------------------------------
 */

static void check_lock_read(const struct sim *sim, uint32_t at, uint64_t index, const Client__Lock *read) {
	const struct model_change *change = model_change_at(&sim->model, at, index << 16 | 0xffff);
	uint64_t token = change ? change->token : 0, seen = read && read->holder ? read->token : 0;
	if (token != seen)
		verdict_fail(VERDICT_SAFETY, "P6 read-differs",
			     "lock-%u at index %" PRIu64 ": token %" PRIu64 " is read, should be %" PRIu64, at, index,
			     seen, token);
}

void checker_lock_read(struct sim *sim, uint32_t lock, const Client__Reply *reply) {
	const Client__Lock *seen[SIM_LOCKS_MAX] = {0};

	sim->totals.reads++;
	for (size_t i = 0; i < reply->n_locks; i++)
		seen[model_lock_of(reply->locks[i]->name.data, reply->locks[i]->name.len)] = reply->locks[i];
	for (uint32_t l = 0; l < SIM_LOCKS_MAX; l++) {
		if (lock == SIM_LOCKS_MAX || l == lock)
			check_lock_read(sim, l, reply->revision >> 16, seen[l]);
	}
}

static void check_read(struct sim *sim, const struct client_frame *frame, const Client__Reply *reply) {
	uint64_t index = reply->revision >> 16;
	if (index < frame->request.read_floor)
		verdict_fail(VERDICT_SAFETY, "P6 stale-read",
			     "a read at index %" PRIu64 " began after index %" PRIu64 " had been acknowledged", index,
			     frame->request.read_floor);
	checker_lock_read(sim, frame->request.kind == CLIENT_LIST ? SIM_LOCKS_MAX : frame->request.lock, reply);
}

/* ---- Frames --------------------------------------------------------------------------------------------------------
 */

static void check_unexpected(const struct client_request *request, uint32_t status) {
	switch (status) {
	case LOCKD_BUSY:
	case LOCKD_NOT_LEADER:
	case LOCKD_LEADER_CHANGED:
	case LOCKD_DISK_FULL:
	case LOCKD_QUEUED: return;
	default:
		verdict_fail(VERDICT_SAFETY, "P8 unexpected-status",
			     "kind %u, session %" PRIx64 ", sequence %" PRIu64 ": %s", request->kind, request->session,
			     request->sequence, lockd_status_name((int)status));
	}
}

static void check_reply(struct sim *sim, const struct client *client, const struct client_frame *frame,
			const Client__Reply *reply) {
	const struct client_request *request = &frame->request;

	sim->totals.busy += reply->status == LOCKD_BUSY;
	if (reply->status == LOCKD_SESSION_EXPIRED)
		check_expired(sim, request->session);
	else if (!is_of_model(reply->status))
		check_unexpected(request, reply->status);
	else if (request->kind == CLIENT_OPEN)
		check_open(sim, client, frame, reply);
	else if (request->kind == CLIENT_KEEP_ALIVE)
		check_keep_alive(sim, client, frame, reply);
	else if (request->kind == CLIENT_SHOW || request->kind == CLIENT_LIST)
		check_read(sim, frame, reply);
	else if (request->sequence)
		check_result(sim, request, reply);
}

void checker_lock_frame(struct sim *sim, uint32_t node, const struct node_client_frame *frame) {
	const struct connection *connection = network_get(sim, frame->connection);
	struct arena *arena = &sim->model_arena;

	if (sim->unchecked)
		return;
	if (!connection || connection->node != node || frame->type != FRAME_REPLY || frame->body_bytes == 0)
		return;
	bool reads = connection->client > SIM_CLIENTS_MAX;
	const struct client *client = reads ? NULL : &sim->clients[connection->client - 1];
	const struct client_frame *asked = reads ? NULL : client_find_frame(client, frame->connection, frame->id);
	if ((!asked && !reads) || connection->client >= CALLER_ADMIN || arena_reset(arena, frame->body_bytes) < 0)
		return;
	const Client__Reply *reply = client__reply__unpack(&arena->allocator, frame->body_bytes, frame->body);
	if (!reply)
		verdict_fail(VERDICT_SAFETY, "P8 no-reply", "node %u sends %zu bytes that are no Reply", node,
			     frame->body_bytes);
	if (reads)
		reader_frame(sim, node, reply);
	else
		check_reply(sim, client, asked, reply);
}

void checker_lock_told(struct sim *sim, const Client__Reply *reply) {
	if (sim->acknowledged < reply->revision >> 16)
		sim->acknowledged = reply->revision >> 16;
}

void checker_lock_abandoned(struct sim *sim, uint64_t id, uint64_t sequence) {
	struct model_session *session = model_find(&sim->model, id);
	if (!session)
		return;
	struct model_result *result = model_result(session, sequence);
	if (result->known && result->request.kind)
		verdict_fail(VERDICT_SAFETY, "P8 not-done-was-done",
			     "session %" PRIx64 " sequence %" PRIu64
			     " has taken effect, its client hears that it never will",
			     id, sequence);
	result->abandoned = true;
}

void checker_lock_granted(struct sim *sim, uint32_t id, uint32_t lock) {
	const struct client *granted = &sim->clients[id - 1];
	if (client_deadline(sim, granted) <= sim->now)
		return;
	for (uint32_t other = 1; other <= sim->plan.clients; other++) {
		const struct client *client = &sim->clients[other - 1];
		if (other == id || client_deadline(sim, client) <= sim->now)
			continue;
		for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
			const struct client_hold *hold = &client->holds[i];
			if (hold->held && hold->believed && hold->lock == lock)
				verdict_fail(VERDICT_SAFETY, "P3 two-believers",
					     "c%u and c%u believe that they hold lock-%u", id, other, lock);
		}
	}
}

/* ---- Observers -----------------------------------------------------------------------------------------------------
 */

static const struct model_change *next_change(const struct model_lock *lock, uint64_t after) {
	for (size_t i = 0; i < lock->n_changes; i++) {
		if (lock->changes[i].revision > after)
			return &lock->changes[i];
	}
	return NULL;
}

static void check_first_event(struct sim *sim, struct client_observation *observation, const Client__Event *event) {
	const struct model_change *change = model_change_at(&sim->model, observation->lock, event->revision);
	uint64_t token = change ? change->token : 0;
	if (token != event->token)
		verdict_fail(VERDICT_SAFETY, "P11 state-of-affairs",
			     "lock-%u at %" PRIx64 ": token %" PRIu64 " is told, should be %" PRIu64, observation->lock,
			     event->revision, event->token, token);
}

static void check_next_event(struct sim *sim, struct client_observation *observation, const Client__Event *event) {
	const struct model_change *change = next_change(&sim->model.locks[observation->lock], observation->after);
	if (!change || change->revision != event->revision || change->token != event->token)
		verdict_fail(VERDICT_SAFETY, "P11 event-out-of-order",
			     "lock-%u behind %" PRIx64 ": %" PRIx64 " token %" PRIu64 " is told, should be %" PRIx64
			     " token %" PRIu64,
			     observation->lock, observation->after, event->revision, event->token,
			     change ? change->revision : 0, change ? change->token : 0);
}

void checker_lock_event(struct sim *sim, uint32_t id, uint64_t frame, const Client__Event *event) {
	struct client_observation *observation = &sim->clients[id - 1].observation;
	if (!observation->active || observation->frame != frame)
		return;
	TRACE("c%u event %d revision=%" PRIx64 " token=%" PRIu64, id, (int)event->kind, event->revision, event->token);
	sim->totals.events++;
	if (event->kind == CLIENT__EVENT__KIND__GAP) {
		sim->totals.gaps++;
		observation->after_gap = true;
		return;
	}
	if (observation->begun && !observation->after_gap)
		check_next_event(sim, observation, event);
	else
		check_first_event(sim, observation, event);
	observation->begun = true;
	observation->after_gap = false;
	observation->after = event->revision;
}

bool checker_lock_observers_are_complete(const struct sim *sim) {
	for (uint32_t i = 0; i < sim->plan.clients; i++) {
		const struct client_observation *observation = &sim->clients[i].observation;
		const struct model_lock *lock = &sim->model.locks[observation->lock];
		if (!observation->active)
			continue;
		if (!observation->begun || observation->after_gap || next_change(lock, observation->after))
			return false;
	}
	return true;
}
