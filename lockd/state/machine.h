/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the state machine and what hangs them together. Everything here is private to lockd/state; README.md says
 * which relations hold between the rows.
 *
 * A field that stands in the row's record may only be changed after row_change(); the rest (trees, counters, flags) is
 * derived and free to change. */
#ifndef LOCKD_STATE_MACHINE_H
#define LOCKD_STATE_MACHINE_H

#include "chunk.h"
#include "pool.h"
#include "roster.h"
#include "state.h"

#include "api/arena.h"
#include "api/command.pb-c.h"
#include "api/limits.h"

#include <bsd/sys/tree.h>
#include <sys/queue.h>

enum {
	STATE_ROW_KINDS = STATE_RESULT + 1,
	/* Locks with names of up to so many bytes are pooled, each length by itself. */
	STATE_POOLED_NAME_BYTES_MAX = 64,
	/* Digest of a result that answers any request: left by a CANCEL that came before its target. */
	RESULT_DIGEST_ANY = 0,
};

/* ---- Rows ---- */

/* First member of every kind of row. There are millions, so it is kept small. */
struct row {
	struct state_hash hash; /* its part of the state hash, once settled */
	state_row_id id;
};

/* What a local id stands for. */
struct row_cell {
	struct row *row; /* NULL: the id is free */
	/* 1 + position in state.lists[side]: of the dirty set for one side, of the cut for the other. A mark of the cut
	 * means that the row must be copied before it is touched. */
	uint32_t mark[2];
	uint32_t free_next; /* 1 + next free id */
	bool unsettled;     /* the id stands in state.unsettled, and its row, if any, has no part in the hash */
};

struct row_table {
	struct row_cell *cells;
	uint32_t n_cells, cells_max;
	uint32_t n_rows;
	uint32_t free_first; /* 1 + first free id */
};

struct row_list {
	struct state_row *rows;
	size_t n, max;
};

/* Ids whose rows changed since the last settling, each once; one whose row has gone since is passed over. */
struct row_queue {
	state_row_id *ids;
	size_t n, max;
};

struct counter {
	struct row row; /* exists once the slot has granted */
	uint32_t slot;
	uint64_t last; /* token of the last grant; 0: none */
};

struct result {
	struct row row;
	RB_ENTRY(result) by_sequence;
	struct session *session;
	uint64_t sequence, digest;
	uint64_t token;
	state_revision revision;
	int status; /* QUEUED exactly while a seat of this session and sequence waits */
	uint32_t slot;
};
RB_HEAD(result_tree, result);

struct seat {
	struct row row;
	RB_ENTRY(seat) in_queue, in_state, in_session;
	struct lock *lock;
	struct session *session;
	uint64_t sequence;
	state_revision enqueued; /* unique: a command takes at most one seat */
	uint32_t wait_ms;
	struct state_text value; /* owned */
};
RB_HEAD(seat_queue, seat);    /* of a lock, by `enqueued` */
RB_HEAD(seat_all, seat);      /* of the state, by `enqueued` */
RB_HEAD(seat_sequence, seat); /* of a session, by `sequence` */

struct lock {
	struct row row;
	RB_ENTRY(lock) by_sequence;
	struct session *holder; /* NULL only in the middle of a hand-over */
	uint64_t sequence, token;
	state_revision granted;
	uint8_t *value; /* owned */
	struct seat_queue queue;
	/* A search by name passes twenty locks that nothing else has touched for long: it reads what follows only. */
	RB_ENTRY(lock) by_name;
	uint32_t n_waiting;
	uint16_t value_n, name_n;
	uint8_t name[];
};
RB_HEAD(lock_names, lock);
RB_HEAD(lock_sequence, lock); /* what a session holds, by the sequence of the Acquire */

struct session {
	struct row row;
	RB_ENTRY(session) by_id, by_nonce;
	state_session_id id;
	uint32_t epoch, group;
	uint8_t nonce[LIMIT_NONCE_BYTES];
	uint32_t ttl_ms, pid;
	struct state_text owner, host, label; /* stand behind the struct */
	uint64_t floor;                       /* > 0; never above the sequence of a waiting seat */
	uint32_t late_quarters;
	bool ending; /* its seats are gone, its locks follow within the same command */
	struct result_tree results;
	struct seat_sequence seats;
	struct lock_sequence held;
	struct lock *newest; /* of those held, by sequence */
	uint32_t n_held, n_waiting;
};
RB_HEAD(session_ids, session);
RB_HEAD(session_nonces, session);

RB_PROTOTYPE(result_tree, result, by_sequence, )
RB_PROTOTYPE(seat_queue, seat, in_queue, )
RB_PROTOTYPE(seat_all, seat, in_state, )
RB_PROTOTYPE(seat_sequence, seat, in_session, )
RB_PROTOTYPE(lock_names, lock, by_name, )
RB_PROTOTYPE(lock_sequence, lock, by_sequence, )
RB_PROTOTYPE(session_ids, session, by_id, )
RB_PROTOTYPE(session_nonces, session, by_nonce, )

/* ---- History and outcomes ---- */

struct change {
	state_revision revision;
	uint64_t name_hash; /* skips strangers when one name's changes are looked for */
	uint64_t token;
	state_session_id holder;
	const uint8_t *text; /* name, then value; stands in one of the pages */
	uint32_t name_n, value_n;
};

struct history_page;

struct history {
	struct change *ring; /* LIMIT_HISTORY_CHANGES_MAX */
	size_t first, n;
	size_t bytes;                         /* of all texts */
	struct history_page *oldest, *newest; /* of texts; as many as needed */
	state_revision complete_from;         /* changes with a greater revision are all here */
};

struct outcome_list {
	struct state_outcome *outcomes;
	size_t n, max;
	struct chunk_list texts;
};

/* ---- State ---- */

struct state {
	struct state_config config; /* limits filled in */
	uint64_t index, term;       /* applied */
	uint32_t version;           /* what the next entry may hold */
	uint32_t refused;           /* as in struct state_version */
	state_revision revision;    /* of the command that is being applied */
	uint32_t position;

	struct state_hash hash; /* sum over the settled rows; of all of them after row_settle() */
	struct row_table tables[STATE_ROW_KINDS];
	struct row_queue unsettled;
	struct row_list lists[2];
	int side; /* lists[side] is the dirty set, lists[!side] the cut */
	bool cutting;
	size_t copied; /* rows of the cut that state_copy() has passed */
	struct chunk_list cut_records;

	struct counter counters[LIMIT_SLOTS];
	struct session_ids sessions;
	struct roster roster; /* the same */
	struct session_nonces nonces;
	struct lock_names locks;
	struct seat_all seats;
	struct pool results_pool, locks_pools[STATE_POOLED_NAME_BYTES_MAX + 1];

	struct history history;
	struct outcome_list outcomes;
	struct arena arena;
};

/* row.c */
void row_add(struct state *state, enum state_row_kind kind, struct row *row);
int row_restore(struct state *state, enum state_row_kind kind, state_row_id id, struct row *row);
void row_restored(struct state *state);
void row_change(struct state *state, struct row *row);
void row_remove(struct state *state, struct row *row);
void row_settle(struct state *state);
void row_settle_many(struct state *state);
void row_dirty(struct state *state, state_row_id id);
struct row_cell *row_cell(const struct state *state, state_row_id id);
enum state_row_kind row_kind(state_row_id id);
struct state_hash row_hash(const struct row *row);
struct state_hash hash_add(struct state_hash a, struct state_hash b);

/* checkpoint.c */
void checkpoint_copy(struct state *state, size_t position);

/* counter.c */
uint64_t counter_next(struct state *state, uint32_t slot);

/* session.c */
struct session *session_find(const struct state *state, state_session_id id);
void session_open(struct state *state, const Command__Open *open);
void session_close(struct state *state, struct session *session, uint64_t sequence);
void session_expire(struct state *state, const Command__Expire *expire);
void session_mark(struct state *state, state_session_id id, uint32_t quarters);
void session_raise_floor(struct state *state, struct session *session, uint64_t floor);
struct session *session_new(const uint8_t *nonce, struct state_text owner, struct state_text host,
			    struct state_text label);
bool session_insert(struct state *state, struct session *session);
void session_free_all(struct state *state);

/* lock.c */
struct lock *lock_find(const struct state *state, struct state_text name);
struct lock *lock_held_as(const struct session *session, uint64_t sequence);
struct lock *lock_new(struct state *state, struct state_text name);
void lock_set_value(struct lock *lock, struct state_text value);
bool lock_insert(struct state *state, struct lock *lock);
void lock_free_all(struct state *state);
void lock_pass(struct state *state, struct lock *lock);
void lock_acquire(struct state *state, struct session *session, uint64_t sequence, uint64_t digest,
		  const Command__Acquire *acquire);
void lock_release(struct state *state, struct session *session, uint64_t sequence, uint64_t digest,
		  const Command__Release *release);

/* seat.c */
struct seat *seat_find(const struct session *session, uint64_t sequence);
struct seat *seat_first(const struct lock *lock);
void seat_append(struct state *state, struct lock *lock, struct session *session, uint64_t sequence, uint32_t wait_ms,
		 struct state_text value);
bool seat_insert(struct state *state, struct seat *seat);
struct state_text seat_leave(struct state *state, struct seat *seat);
void seat_end(struct state *state, struct seat *seat, int status);
void seat_cancel(struct state *state, struct session *session, uint64_t sequence, uint64_t digest, uint64_t target);
void seat_expire(struct state *state, const Command__Timer *timer);

/* result.c */
struct result *result_find(const struct session *session, uint64_t sequence);
struct result *result_add(struct state *state, struct session *session, uint64_t sequence, uint64_t digest, int status,
			  uint64_t token, uint32_t slot);
bool result_insert(struct result *result);
void result_set(struct state *state, struct result *result, int status, uint64_t token);
void result_remove(struct state *state, struct result *result);
bool result_admit(struct state *state, struct session *session, uint64_t sequence, uint64_t floor, uint64_t digest);

/* outcome.c */
void outcome_reset(struct outcome_list *list);
void outcome_deinit(struct outcome_list *list);
void outcome_answer(struct state *state, state_session_id session, uint64_t sequence, int status,
		    state_revision revision);
void outcome_answer_result(struct state *state, const struct result *result);
void outcome_resolve(struct state *state, const struct result *result);
void outcome_session(struct state *state, enum state_outcome_kind kind, const struct session *session);
void outcome_change(struct state *state, const struct lock *lock);
void outcome_raise(struct state *state);
void outcome_judge(struct state *state, uint64_t index, struct state_hash hash);

/* history.c */
void history_append(struct state *state, const struct lock *lock);
void history_begin(struct history *history, state_revision complete_from);
void history_deinit(struct history *history);

/* command.c */
int command_decode(struct state *state, const void *bytes, size_t n, Command__Batch **ret_batch);
void command_apply(struct state *state, uint64_t term, const Command__Command *command);

static inline struct state_text lock_name(const struct lock *lock) {
	return (struct state_text){.bytes = lock->name, .n = lock->name_n};
}

static inline struct state_text lock_value(const struct lock *lock) {
	return (struct state_text){.bytes = lock->value, .n = lock->value_n};
}

/* Borrowed text of a decoded field. */
static inline struct state_text text_of(ProtobufCBinaryData data) {
	return (struct state_text){.bytes = data.data, .n = (uint32_t)data.len};
}

#endif
