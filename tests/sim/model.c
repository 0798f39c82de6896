/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/model.h"

#include "api/arena.h"
#include "api/command.pb-c.h"
#include "api/slot.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <lockd/status.h>
#include <stdlib.h>
#include <string.h>

void model_init(struct model *model, uint32_t epoch) {
	*model = (struct model){.epoch = epoch};
	for (size_t i = 0; i < LIMIT_SLOTS; i++)
		model->counters[i] = (uint64_t)epoch << 40;
}

void model_deinit(struct model *model) {
	for (size_t i = 0; i < model->n_sessions; i++) {
		free(model->sessions[i]->results);
		free(model->sessions[i]);
	}
	free(model->sessions);
	for (size_t i = 0; i < SIM_LOCKS_MAX; i++) {
		free(model->locks[i].queue);
		free(model->locks[i].changes);
	}
}

size_t model_name_of(uint32_t lock, char *ret, size_t size) {
	const char name[] = {'l', 'o', 'c', 'k', '-', (char)('0' + lock)};
	assert(lock < 10 && size >= sizeof(name));
	memcpy(ret, name, sizeof(name));
	return sizeof(name);
}

uint32_t model_lock_of(const void *name, size_t n) {
	const char *text = name;
	assert(n == 6 && memcmp(text, "lock-", 5) == 0);
	return (uint32_t)(text[5] - '0');
}

struct model_session *model_find(const struct model *model, uint64_t id) {
	size_t low = 0, high = model->n_sessions;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (model->sessions[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < model->n_sessions && model->sessions[low]->id == id ? model->sessions[low] : NULL;
}

struct model_result *model_result(struct model_session *session, uint64_t sequence) {
	session->results =
		memory_fit(session->results, &session->results_size, (size_t)sequence + 1, sizeof(*session->results));
	return &session->results[sequence];
}

const struct model_change *model_change_at(const struct model *model, uint32_t lock, uint64_t revision) {
	const struct model_lock *of = &model->locks[lock];
	const struct model_change *last = NULL;
	for (size_t i = of->n_changes; i > 0 && !last; i--) {
		if (of->changes[i - 1].revision <= revision)
			last = &of->changes[i - 1];
	}
	return last;
}

/* ---- Effects -------------------------------------------------------------------------------------------------------
 */

static void answer(struct model *model, struct model_result *result, int status, uint64_t token) {
	assert(result->n < MODEL_ANSWERS_MAX);
	result->known = true;
	result->answers[result->n++] = (struct model_answer){status, token, model->revision};
}

static void record_change(struct model *model, struct model_lock *lock) {
	lock->changes = memory_fit(lock->changes, &lock->changes_size, lock->n_changes + 1, sizeof(*lock->changes));
	lock->changes[lock->n_changes++] = (struct model_change){model->revision, lock->holder ? lock->token : 0,
								 lock->holder ? lock->holder->id : 0};
}

static void grant(struct sim *sim, uint32_t at, struct model_session *session, uint64_t sequence) {
	struct model *model = &sim->model;
	struct model_lock *lock = &model->locks[at];
	char name[16];
	size_t n = model_name_of(at, name, sizeof(name));

	lock->holder = session;
	lock->sequence = sequence;
	lock->granted = model->revision;
	lock->token = ++model->counters[slot_of_name(name, n)];
	sim->totals.grants++;
	record_change(model, lock);
	answer(model, model_result(session, sequence), LOCKD_OK, lock->token);
}

static void remove_seat(struct model_lock *lock, size_t at) {
	lock->n_queue--;
	memmove(lock->queue + at, lock->queue + at + 1, (lock->n_queue - at) * sizeof(*lock->queue));
}

static void pass_on(struct sim *sim, uint32_t at) {
	struct model_lock *lock = &sim->model.locks[at];
	if (lock->n_queue == 0) {
		lock->holder = NULL;
		lock->token = 0;
		record_change(&sim->model, lock);
		return;
	}
	struct model_seat first = lock->queue[0];
	remove_seat(lock, 0);
	sim->totals.waits++;
	grant(sim, at, first.session, first.sequence);
}

/* Takes the seats of (session, sequence) out of all queues; sequence 0: all of the session. */
static bool leave_queues(struct model *model, const struct model_session *session, uint64_t sequence, int status) {
	bool found = false;
	for (uint32_t l = 0; l < SIM_LOCKS_MAX; l++) {
		struct model_lock *lock = &model->locks[l];
		for (size_t i = lock->n_queue; i > 0; i--) {
			struct model_seat seat = lock->queue[i - 1];
			if (seat.session != session || (sequence && seat.sequence != sequence))
				continue;
			remove_seat(lock, i - 1);
			answer(model, model_result(seat.session, seat.sequence), status, 0);
			found = true;
		}
	}
	return found;
}

/* Locks pass on in the order in which the session asked for them. */
static void leave_locks(struct sim *sim, const struct model_session *session) {
	for (;;) {
		uint32_t first = SIM_LOCKS_MAX;
		for (uint32_t l = 0; l < SIM_LOCKS_MAX; l++) {
			const struct model_lock *lock = &sim->model.locks[l];
			if (lock->holder == session &&
			    (first == SIM_LOCKS_MAX || lock->sequence < sim->model.locks[first].sequence))
				first = l;
		}
		if (first == SIM_LOCKS_MAX)
			return;
		pass_on(sim, first);
	}
}

static void end_session(struct sim *sim, struct model_session *session) {
	session->live = false;
	session->ended_at = sim->now;
	leave_locks(sim, session);
}

/* ---- Requests ------------------------------------------------------------------------------------------------------
 */

static void apply_open(struct sim *sim, uint64_t term, const Command__Open *open) {
	struct model *model = &sim->model;
	for (size_t i = 0; i < model->n_sessions; i++) {
		const struct model_session *other = model->sessions[i];
		if (other->live && memcmp(other->nonce, open->nonce.data, LIMIT_NONCE_BYTES) == 0) {
			checker_session_opened(sim, term, other->id);
			return;
		}
	}
	struct model_session *session = memory_new(sizeof(*session));
	session->id = model->revision;
	session->ttl_ms = open->ttl_ms;
	session->live = true;
	session->floor = 1;
	memcpy(session->nonce, open->nonce.data, LIMIT_NONCE_BYTES);
	model->sessions = memory_fit(model->sessions, &model->sessions_size, model->n_sessions + 1,
				     sizeof(struct model_session *));
	model->sessions[model->n_sessions++] = session;
	checker_session_opened(sim, term, session->id);
}

static void run_acquire(struct sim *sim, struct model_session *session, uint64_t sequence,
			const struct model_request *request) {
	struct model *model = &sim->model;
	struct model_lock *lock = &model->locks[request->lock];
	struct model_result *result = model_result(session, sequence);

	if (!lock->holder) {
		grant(sim, request->lock, session, sequence);
	} else if (request->wait_ms == 0) {
		answer(model, result, LOCKD_HELD, 0);
	} else {
		lock->queue = memory_fit(lock->queue, &lock->queue_size, lock->n_queue + 1, sizeof(*lock->queue));
		lock->queue[lock->n_queue++] = (struct model_seat){session, sequence, model->revision};
		answer(model, result, LOCKD_QUEUED, 0);
	}
}

static void run_release(struct sim *sim, struct model_session *session, uint64_t sequence,
			const struct model_request *request) {
	const struct model_lock *lock = &sim->model.locks[request->lock];
	bool holds = lock->holder == session && lock->token == request->argument;

	answer(&sim->model, model_result(session, sequence), holds ? LOCKD_OK : LOCKD_NOT_HOLDER,
	       holds ? request->argument : 0);
	if (holds)
		pass_on(sim, request->lock);
}

static void run_cancel(struct sim *sim, struct model_session *session, uint64_t sequence, uint64_t target) {
	struct model *model = &sim->model;
	answer(model, model_result(session, sequence), LOCKD_OK, 0);
	if (leave_queues(model, session, target, LOCKD_CANCELLED))
		return;
	for (uint32_t l = 0; l < SIM_LOCKS_MAX; l++) {
		const struct model_lock *lock = &model->locks[l];
		if (lock->holder == session && lock->sequence == target) {
			pass_on(sim, l);
			answer(model, model_result(session, target), LOCKD_CANCELLED, 0);
			return;
		}
	}
	if (target >= session->floor && !model_result(session, target)->known)
		answer(model, model_result(session, target), LOCKD_CANCELLED, 0);
}

static struct model_request request_of(const Command__Command *command) {
	struct model_request request = {.kind = (int)command->body_case};
	switch (command->body_case) {
	case COMMAND__COMMAND__BODY_ACQUIRE:
		request.lock = model_lock_of(command->acquire->name.data, command->acquire->name.len);
		request.wait_ms = command->acquire->wait_ms;
		break;
	case COMMAND__COMMAND__BODY_RELEASE:
		request.lock = model_lock_of(command->release->name.data, command->release->name.len);
		request.argument = command->release->token;
		break;
	case COMMAND__COMMAND__BODY_CANCEL: request.argument = command->cancel->target; break;
	default: break;
	}
	return request;
}

static void raise_floor(struct model *model, struct model_session *session, uint64_t floor) {
	for (uint32_t l = 0; l < SIM_LOCKS_MAX; l++) {
		const struct model_lock *lock = &model->locks[l];
		for (size_t i = 0; i < lock->n_queue; i++) {
			if (lock->queue[i].session == session && lock->queue[i].sequence < floor)
				floor = lock->queue[i].sequence;
		}
	}
	if (session->floor < floor)
		session->floor = floor;
}

/* A repeated sequence, one below the floor and one beyond the window change nothing. */
static bool may_run(struct sim *sim, struct model_session *session, uint64_t sequence) {
	const struct model_result *result = model_result(session, sequence);
	if (result->known || sequence < session->floor || sequence - session->floor >= LIMIT_SEQUENCE_WINDOW)
		return false;
	if (result->abandoned)
		verdict_fail(VERDICT_SAFETY, "P8 not-done-was-done",
			     "session %" PRIx64 " sequence %" PRIu64 " takes effect at revision %" PRIx64
			     " after its client was told that it never would",
			     session->id, sequence, sim->model.revision);
	return true;
}

static void apply_request(struct sim *sim, const Command__Command *command) {
	struct model_session *session = command->session ? model_find(&sim->model, command->session->opened) : NULL;
	struct model_request request = request_of(command);
	uint64_t floor = command->floor < command->sequence ? command->floor : command->sequence;

	if (!session || !session->live)
		return;
	raise_floor(&sim->model, session, floor);
	if (!may_run(sim, session, command->sequence))
		return;
	model_result(session, command->sequence)->request = request;
	switch (command->body_case) {
	case COMMAND__COMMAND__BODY_ACQUIRE: run_acquire(sim, session, command->sequence, &request); break;
	case COMMAND__COMMAND__BODY_RELEASE: run_release(sim, session, command->sequence, &request); break;
	case COMMAND__COMMAND__BODY_CANCEL: run_cancel(sim, session, command->sequence, request.argument); break;
	case COMMAND__COMMAND__BODY_CLOSE:
		answer(&sim->model, model_result(session, command->sequence), LOCKD_OK, 0);
		leave_queues(&sim->model, session, 0, LOCKD_SESSION_EXPIRED);
		end_session(sim, session);
		break;
	default: break;
	}
}

/* ---- The leader's own commands -------------------------------------------------------------------------------------
 */

static void check_promise(struct sim *sim, const struct model_session *session) {
	if (sim->now < session->keep_until)
		verdict_fail(VERDICT_SAFETY, "P4 expired-early",
			     "session %" PRIx64 " of %u ms ends %.3f s before the end of what was promised",
			     session->id, session->ttl_ms, (double)(session->keep_until - sim->now) / 1e6);
}

static void apply_expire(struct sim *sim, uint64_t term, const Command__Expire *expire) {
	if (expire->term != term)
		return;
	for (size_t i = 0; i < expire->n_opened; i++) {
		struct model_session *session = model_find(&sim->model, expire->opened[i]);
		if (session && session->live)
			leave_queues(&sim->model, session, 0, LOCKD_SESSION_EXPIRED);
	}
	for (size_t i = 0; i < expire->n_opened; i++) {
		struct model_session *session = model_find(&sim->model, expire->opened[i]);
		if (!session || !session->live)
			continue;
		check_promise(sim, session);
		session->expired = true;
		sim->totals.expiries++;
		sim->totals.expiries_inherited += checker_raft_committed_in(sim, sim->model.revision >> 16) > term;
		end_session(sim, session);
	}
}

static void apply_timer(struct sim *sim, uint64_t term, const Command__Timer *timer) {
	struct model_session *session = model_find(&sim->model, timer->opened);
	if (timer->term != term || !session || !session->live)
		return;
	if (leave_queues(&sim->model, session, timer->sequence, LOCKD_WAIT_EXPIRED))
		sim->totals.wait_timeouts++;
}

static void apply_late(struct sim *sim, uint64_t term, const Command__Late *late) {
	sim->totals.lates++;
	for (size_t i = 0; late->term == term && i < late->n_opened && i < late->n_quarters; i++) {
		struct model_session *session = model_find(&sim->model, late->opened[i]);
		if (session && session->marks < late->quarters[i])
			session->marks = late->quarters[i];
	}
}

static void apply_renewed(struct sim *sim, uint64_t term, const Command__Renewed *renewed) {
	for (size_t i = 0; renewed->term == term && i < renewed->n_opened; i++) {
		struct model_session *session = model_find(&sim->model, renewed->opened[i]);
		if (session)
			session->marks = 0;
	}
}

static void apply_command(struct sim *sim, uint64_t term, const Command__Command *command) {
	switch (command->body_case) {
	case COMMAND__COMMAND__BODY_OPEN: apply_open(sim, term, command->open); break;
	case COMMAND__COMMAND__BODY_EXPIRE: apply_expire(sim, term, command->expire); break;
	case COMMAND__COMMAND__BODY_TIMER: apply_timer(sim, term, command->timer); break;
	case COMMAND__COMMAND__BODY_LATE: apply_late(sim, term, command->late); break;
	case COMMAND__COMMAND__BODY_RENEWED: apply_renewed(sim, term, command->renewed); break;
	/* No session, lock or seat changes. */
	case COMMAND__COMMAND__BODY_VERSION: sim->totals.raises++; break;
	case COMMAND__COMMAND__BODY_VERDICT: sim->totals.verdicts++; break;
	default: apply_request(sim, command); break;
	}
}

void model_apply(struct sim *sim, uint64_t index, uint64_t term, const void *bytes, size_t n) {
	struct arena *arena = &sim->model_arena;
	if (arena_reset(arena, n + 4096) < 0)
		abort();
	Command__Batch *batch = command__batch__unpack(&arena->allocator, n, bytes);
	if (!batch)
		verdict_fail(VERDICT_SAFETY, "I4 no-batch", "entry %" PRIu64 " holds no Batch", index);
	assert(index == sim->model.applied + 1);
	for (size_t i = 0; i < batch->n_commands; i++) {
		sim->model.revision = index << 16 | i;
		apply_command(sim, term, batch->commands[i]);
	}
	sim->model.applied = index;
}

void model_skip(struct sim *sim, uint64_t index) {
	assert(index == sim->model.applied + 1);
	sim->model.applied = index;
}
