/* SPDX-License-Identifier: Apache-2.0 */
/* Locks. A lock exists while it is held; a release and the grant that follows are one command, so nobody can slip in
 * between, and a free lock never has a queue. */
#include "machine.h"
#include "memory.h"

#include "api/slot.h"

#include <lockd/status.h>
#include <string.h>

_Static_assert(LIMIT_NAME_BYTES_MAX <= UINT16_MAX && LIMIT_VALUE_BYTES_MAX <= UINT16_MAX,
	       "a lock counts both in 16 bits");

static int lock_order(struct state_text name, const struct lock *lock) {
	uint32_t n = name.n < lock->name_n ? name.n : lock->name_n;
	int order = memcmp(name.bytes, lock->name, n);

	if (order != 0)
		return order;
	return (name.n > lock->name_n) - (name.n < lock->name_n);
}

static int lock_compare_name(const struct lock *a, const struct lock *b) {
	return lock_order(lock_name(a), b);
}

static int lock_compare_sequence(const struct lock *a, const struct lock *b) {
	return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

RB_GENERATE(lock_names, lock, by_name, lock_compare_name)
RB_GENERATE(lock_sequence, lock, by_sequence, lock_compare_sequence)

/* Where a search by name ended without success: a lock of that name belongs below `parent`. A walk down the tree misses
 * the cache at every step, so whoever looks before inserting does not walk twice. */
struct lock_place {
	struct lock *parent; /* NULL: the tree is empty */
	int order;           /* of the name to the parent's */
};

/* *place is filled if there is none. */
static struct lock *lock_seek(const struct state *state, struct state_text name, struct lock_place *place) {
	struct lock *lock = RB_ROOT(&state->locks);

	*place = (struct lock_place){0};
	while (lock) {
		int order = lock_order(name, lock);
		if (order == 0)
			break;
		*place = (struct lock_place){.parent = lock, .order = order};
		lock = order < 0 ? RB_LEFT(lock, by_name) : RB_RIGHT(lock, by_name);
	}
	return lock;
}

struct lock *lock_find(const struct state *state, struct state_text name) {
	struct lock_place place;

	return lock_seek(state, name, &place);
}

static void lock_enter_at(struct state *state, struct lock *lock, const struct lock_place *place) {
	RB_SET(lock, place->parent, by_name);
	if (!place->parent)
		RB_ROOT(&state->locks) = lock;
	else if (place->order < 0)
		RB_LEFT(place->parent, by_name) = lock;
	else
		RB_RIGHT(place->parent, by_name) = lock;
	lock_names_RB_INSERT_COLOR(&state->locks, lock);
}

/* Like lock_find(). A session mostly gives back what it took last, which is found without a walk. */
static struct lock *lock_find_for(const struct state *state, const struct session *session, struct state_text name) {
	struct lock *newest = session->newest;

	return newest && lock_order(name, newest) == 0 ? newest : lock_find(state, name);
}

/* The first lock with a greater name. */
static struct lock *lock_find_after(const struct state *state, struct state_text name) {
	struct lock *lock = RB_ROOT(&state->locks), *found = NULL;

	while (lock) {
		bool greater = lock_order(name, lock) < 0;
		if (greater)
			found = lock;
		lock = greater ? RB_LEFT(lock, by_name) : RB_RIGHT(lock, by_name);
	}
	return found;
}

/* What the session holds by the Acquire with that sequence. */
struct lock *lock_held_as(const struct session *session, uint64_t sequence) {
	struct lock key;

	key.sequence = sequence;
	return RB_FIND(lock_sequence, (struct lock_sequence *)&session->held, &key);
}

/* A session's next lock has almost always its greatest sequence, and one that holds thousands need not be searched for
 * the place. false: the sequence is taken. */
static bool lock_join(struct session *session, struct lock *lock) {
	struct lock *newest = session->newest;

	if (newest && newest->sequence < lock->sequence) {
		RB_SET(lock, newest, by_sequence);
		RB_RIGHT(newest, by_sequence) = lock;
		lock_sequence_RB_INSERT_COLOR(&session->held, lock);
		session->newest = lock;
	} else if (RB_INSERT(lock_sequence, &session->held, lock)) {
		return false;
	} else if (!newest) {
		session->newest = lock;
	}
	session->n_held++;
	return true;
}

static void lock_part(struct session *session, struct lock *lock) {
	if (session->newest == lock)
		session->newest = RB_PREV(lock_sequence, NULL, lock);
	RB_REMOVE(lock_sequence, &session->held, lock);
	session->n_held--;
}

/* Without holder, in no tree yet. */
struct lock *lock_new(struct state *state, struct state_text name) {
	size_t bytes = sizeof(struct lock) + name.n;
	struct lock *lock = name.n <= STATE_POOLED_NAME_BYTES_MAX ? pool_take(&state->locks_pools[name.n], bytes)
								  : memory_grow(NULL, bytes);

	*lock = (struct lock){.queue = RB_INITIALIZER(&lock->queue), .name_n = (uint16_t)name.n};
	memcpy(lock->name, name.bytes, name.n);
	return lock;
}

static void lock_free(struct state *state, struct lock *lock) {
	if (lock->name_n <= STATE_POOLED_NAME_BYTES_MAX)
		pool_give(&state->locks_pools[lock->name_n], lock, sizeof(*lock) + lock->name_n);
	else
		free(lock);
}

/* Owned from now on. */
void lock_set_value(struct lock *lock, struct state_text value) {
	lock->value = (uint8_t *)value.bytes;
	lock->value_n = (uint16_t)value.n;
}

/* With holder, sequence and name. false: the name or the holder's sequence are taken. */
bool lock_insert(struct state *state, struct lock *lock) {
	if (RB_INSERT(lock_names, &state->locks, lock))
		return false;
	if (!lock_join(lock->holder, lock)) {
		RB_REMOVE(lock_names, &state->locks, lock);
		return false;
	}
	return true;
}

static void lock_hold(struct state *state, struct lock *lock, struct session *session, uint64_t sequence,
		      struct state_text value, uint32_t slot) {
	bool joined;

	lock->holder = session;
	lock->sequence = sequence;
	lock->token = counter_next(state, slot);
	lock->granted = state->revision;
	lock_set_value(lock, value);
	joined = lock_join(session, lock);
	assert(joined);
}

static void lock_announce(struct state *state, const struct lock *lock) {
	history_append(state, lock);
	outcome_change(state, lock);
}

/* Its row has been told. */
static void lock_take_back(struct lock *lock) {
	lock_part(lock->holder, lock);
	lock->holder = NULL;
	free(lock->value);
	lock_set_value(lock, (struct state_text){0});
}

static void lock_vacate(struct state *state, struct lock *lock) {
	row_remove(state, &lock->row);
	lock_take_back(lock);
	lock_announce(state, lock);
	RB_REMOVE(lock_names, &state->locks, lock);
	lock_free(state, lock);
}

static void lock_hand_over(struct state *state, struct lock *lock, struct seat *seat) {
	struct session *session = seat->session;
	struct result *result = result_find(session, seat->sequence);

	row_change(state, &lock->row);
	lock_take_back(lock);
	lock_hold(state, lock, session, result->sequence, seat_leave(state, seat),
		  slot_of_name(lock->name, lock->name_n));
	lock_announce(state, lock);
	result_set(state, result, LOCKD_OK, lock->token);
	outcome_resolve(state, result);
}

/* Takes the lock from its holder and gives it to the first waiter; without one it ceases to exist. */
void lock_pass(struct state *state, struct lock *lock) {
	struct seat *first = seat_first(lock);

	if (first)
		lock_hand_over(state, lock, first);
	else
		lock_vacate(state, lock);
}

static void lock_grant(struct state *state, struct session *session, uint64_t sequence, uint64_t digest,
		       const Command__Acquire *acquire, uint32_t slot, const struct lock_place *place) {
	struct lock *lock = lock_new(state, text_of(acquire->name));

	lock_hold(state, lock, session, sequence, value_copy(text_of(acquire->value)), slot);
	lock_enter_at(state, lock, place);
	row_add(state, STATE_LOCK, &lock->row);
	outcome_answer_result(state, result_add(state, session, sequence, digest, LOCKD_OK, lock->token, slot));
	lock_announce(state, lock);
}

/* What becomes of an Acquire. A held lock may have a queue, a free one has none: a try that finds the lock held, or
 * waited for, is answered HELD and overtakes nobody. */
static int lock_acquire_status(const struct state *state, const struct lock *lock, uint32_t wait_ms) {
	if (!lock)
		return state->tables[STATE_LOCK].n_rows < state->config.locks_max ? LOCKD_OK : LOCKD_LIMIT;
	if (wait_ms == 0)
		return LOCKD_HELD;
	return state->tables[STATE_SEAT].n_rows < state->config.seats_max ? LOCKD_QUEUED : LOCKD_LIMIT;
}

void lock_acquire(struct state *state, struct session *session, uint64_t sequence, uint64_t digest,
		  const Command__Acquire *acquire) {
	struct lock_place place;
	struct lock *lock = lock_seek(state, text_of(acquire->name), &place);
	uint32_t slot = slot_of_name(acquire->name.data, acquire->name.len);
	int status = lock_acquire_status(state, lock, acquire->wait_ms);

	if (status == LOCKD_OK) {
		lock_grant(state, session, sequence, digest, acquire, slot, &place);
		return;
	}
	if (status == LOCKD_QUEUED)
		seat_append(state, lock, session, sequence, acquire->wait_ms, text_of(acquire->value));
	outcome_answer_result(state, result_add(state, session, sequence, digest, status, 0, slot));
}

void lock_release(struct state *state, struct session *session, uint64_t sequence, uint64_t digest,
		  const Command__Release *release) {
	struct lock *lock = lock_find_for(state, session, text_of(release->name));
	uint32_t slot = slot_of_name(release->name.data, release->name.len);
	bool holds = lock && lock->holder == session && lock->token == release->token;
	int status = holds ? LOCKD_OK : LOCKD_NOT_HOLDER;

	outcome_answer_result(state,
			      result_add(state, session, sequence, digest, status, holds ? release->token : 0, slot));
	if (holds)
		lock_pass(state, lock);
}

void lock_free_all(struct state *state) {
	struct lock *lock, *next;

	RB_FOREACH_SAFE (lock, lock_names, &state->locks, next) {
		struct seat *seat;
		RB_REMOVE(lock_names, &state->locks, lock);
		while ((seat = RB_ROOT(&lock->queue))) {
			RB_REMOVE(seat_queue, &lock->queue, seat);
			value_free(seat->value);
			free(seat);
		}
		free(lock->value);
		free(lock);
	}
	for (size_t n = 0; n <= STATE_POOLED_NAME_BYTES_MAX; n++)
		pool_deinit(&state->locks_pools[n], sizeof(*lock) + n);
}

static void lock_describe(const struct lock *lock, struct state_lock *ret) {
	*ret = (struct state_lock){
		.name = lock_name(lock),
		.value = lock_value(lock),
		.holder = lock->holder->id,
		.sequence = lock->sequence,
		.token = lock->token,
		.granted = lock->granted,
		.waiting = lock->n_waiting,
	};
}

bool state_get_lock(const struct state *state, const void *name, size_t n, struct state_lock *ret) {
	const struct lock *lock = lock_find(state, (struct state_text){name, (uint32_t)n});

	if (!lock)
		return false;
	lock_describe(lock, ret);
	return true;
}

bool state_next_lock(const struct state *state, const void *after, size_t after_n, struct state_lock *ret) {
	const struct lock *lock = after ? lock_find_after(state, (struct state_text){after, (uint32_t)after_n})
					: RB_MIN(lock_names, (struct lock_names *)&state->locks);

	if (!lock)
		return false;
	lock_describe(lock, ret);
	return true;
}
