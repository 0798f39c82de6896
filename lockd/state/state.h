/* SPDX-License-Identifier: Apache-2.0 */
/* The replicated state machine of one group: sessions, locks, queues, tokens, results.
 *
 * state_apply() is the only function that changes it, and it is a function of (state, entry) alone: no clock, no
 * randomness, no order that depends on addresses. Equal logs give equal state_get_hash() on every replica.
 *
 * Rows. Every session, lock, seat, result and slot counter is a row with a local id (state_row_id). Rows that changed
 * since the last cut are dirty; state_cut() freezes the dirty set between two entries, and state_copy() hands the
 * frozen rows out bit by bit while applying goes on (a frozen row is copied before it is changed or freed). Local ids
 * are reused and differ between replicas: they appear in no record and no hash.
 *
 * Running out of memory ends the process: a replica that skipped an effect would differ from the others for ever. */
#ifndef LOCKD_STATE_STATE_H
#define LOCKD_STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state;

struct state_hash {
	uint64_t low, high;
};

/* Session.opened of the wire: the revision of the OPEN, unique within the group. 0 is no session. */
typedef uint64_t state_session_id;
typedef uint64_t state_revision; /* log index << 16 | position in the entry */
typedef uint64_t state_row_id;   /* enum state_row_kind << 40 | local id */

enum state_row_kind { STATE_SLOT = 1, STATE_SESSION, STATE_LOCK, STATE_SEAT, STATE_RESULT };

enum {
	STATE_WAIT_FOREVER = 0xffffffffu,
	/* What this build can apply: 1 sessions and locks, 2 verdicts on state hashes, 3 members whose store is lost
	 * (in configurations). A state has one of these versions, raised by a Version command only; it stands in every
	 * checkpoint header. */
	STATE_MACHINE_VERSION_MAX = 3,
	STATE_MACHINE_VERSION_VERDICT = 2,
	STATE_MACHINE_VERSION_REPLACEMENT = 3,
	/* 63-bit tokens leave the epoch this much; of seconds/256 it lasts for 68 years. */
	STATE_EPOCH_MAX = (1 << 23) - 1,
};

/* Text of a row: borrowed from the state until the next apply. */
struct state_text {
	const uint8_t *bytes;
	uint32_t n;
};

struct state_config {
	uint32_t group;
	uint32_t epoch; /* upper bits of every token: epoch << 40; up to STATE_EPOCH_MAX */
	/* 0: the value of api/limits.h. Part of the state machine, so equal on all replicas; tests set smaller ones to
	 * meet every bound. */
	uint32_t sessions_max, locks_max, seats_max;
	/* The latest machine version that this replica applies; 0: STATE_MACHINE_VERSION_MAX. The one thing here that
	 * may differ between replicas: one that knows less stops where the others go on. */
	uint32_t machine_version_max;
};

/* NULL when out of memory. */
struct state *state_new(const struct state_config *config);
struct state *state_free(struct state *state);

/* ---- Applying ---- */

enum state_outcome_kind {
	/* The command at `position` has this result; QUEUED: its seat waits. Every command of a client (OPEN, CLOSE,
	 * ACQUIRE, CANCEL, RELEASE) is answered once; what leaders propose shows by its effects only. */
	STATE_ANSWERED,
	STATE_RESOLVED, /* a request that had been QUEUED has its result */
	STATE_OPENED,   /* `session` exists from now on */
	STATE_ENDED,    /* `session` is gone, with all it held and waited for */
	STATE_CHANGED,  /* the lock `name` has another holder, `session` with `sequence`; `token` 0: none */
	STATE_MARKED,   /* LATE or RENEWED named `session`, which lives: `quarters` of silence are on record */
	STATE_RAISED,   /* the machine version is another one from the next entry on */
	STATE_JUDGED,   /* a majority had the state hash `hash` behind entry `index` */
};

struct state_outcome {
	enum state_outcome_kind kind;
	uint32_t position; /* ANSWERED */
	int status;        /* ANSWERED, RESOLVED: enum lockd_status */
	state_session_id session;
	uint64_t sequence; /* ANSWERED, RESOLVED */
	uint64_t token;
	state_revision revision;       /* of the effect; for a replayed result that of the original effect */
	uint32_t wait_ms;              /* ANSWERED with QUEUED: how long the seat wants to wait */
	uint32_t quarters;             /* MARKED */
	struct state_text name, value; /* CHANGED; borrowed until the next apply */
	uint64_t index;                /* JUDGED */
	struct state_hash hash;        /* JUDGED */
};

/* Applies one COMMANDS entry. 0: *ret_outcomes (borrowed until the next call) in the order of their effects.
 * Negative errno, nothing changed: -EBADMSG when the bytes are no Batch, -ENOTSUP when a command or field is unknown to
 * the machine version of the state, or raises it above what this replica knows: the process must stop. An index that is
 * not applied + 1 is our own mistake and asserts. */
int state_apply(struct state *state, uint64_t index, uint64_t term, const void *bytes, size_t n,
		const struct state_outcome **ret_outcomes, size_t *ret_n);

/* An entry without commands (NOOP, CONFIGURATION) moves the applied index only. */
void state_skip(struct state *state, uint64_t index, uint64_t term);

/* A new incarnation begins with a greater epoch: every token and session id from here on is of that epoch, what was
 * granted and opened before keeps its own. All rows count as dirty, so that the next cut is a whole checkpoint. */
void state_raise_epoch(struct state *state, uint32_t epoch);
/* The next token of every slot is larger than this one. Not while a cut is being copied. */
void state_raise_tokens(struct state *state, uint64_t token);

uint64_t state_applied(const struct state *state);
uint64_t state_applied_term(const struct state *state);
struct state_hash state_get_hash(const struct state *state);

struct state_version {
	uint32_t current; /* 1 in a new cluster */
	uint32_t max;     /* that this replica knows */
	uint32_t refused; /* that a Version command raises to, for which the last state_apply() gave -ENOTSUP; 0: other
			     cause */
};
struct state_version state_get_version(const struct state *state);

/* Walks everything and asserts: queues sorted, holders and waiters live, hash equal to a recount, counters equal a
 * recount, tokens not above their slot's counter. For tests and the simulator. */
void state_check(const struct state *state);

/* ---- Queries: text is borrowed until the next apply ---- */

struct state_session {
	state_session_id id;
	uint32_t epoch, group; /* of the OPEN: with the id they are the SessionId of the wire */
	uint32_t ttl_ms, pid;
	uint32_t quarters; /* of silence on record */
	struct state_text owner, host, label;
	uint64_t floor;
	uint32_t held, waiting;
};

struct state_lock {
	struct state_text name, value;
	state_session_id holder;
	uint64_t sequence, token;
	state_revision granted;
	uint32_t waiting;
};

struct state_seat {
	struct state_text name;
	state_session_id session;
	uint64_t sequence;
	state_revision enqueued;
	uint32_t wait_ms;
};

struct state_counts {
	uint64_t sessions, locks, seats, results;
};

struct state_counts state_get_counts(const struct state *state);

/* Of the session with that id; false: none. */
bool state_get_session(const struct state *state, state_session_id id, struct state_session *ret);
/* The live session that was opened with this nonce (LIMIT_NONCE_BYTES); 0: none. */
state_session_id state_find_nonce(const struct state *state, const uint8_t *nonce);
/* First session with an id > after, in order of id; false: no more. */
bool state_next_session(const struct state *state, state_session_id after, struct state_session *ret);

bool state_get_lock(const struct state *state, const void *name, size_t n, struct state_lock *ret);
/* First held lock with a name > (after, after_n) in byte order; after NULL: the first of all. false: no more. */
bool state_next_lock(const struct state *state, const void *after, size_t after_n, struct state_lock *ret);

/* First waiter of the lock whose seat has a revision > after, in queue order; false: no more. */
bool state_next_waiter(const struct state *state, const void *name, size_t n, state_revision after,
		       struct state_seat *ret);
/* First seat of the group with a revision > after, in order of revision: a new leader starts the waits from here. */
bool state_next_seat(const struct state *state, state_revision after, struct state_seat *ret);

/* The stored result of (session, sequence). */
struct state_result {
	int status; /* QUEUED while the seat waits */
	uint64_t digest;
	uint64_t token;
	state_revision revision;
};
bool state_get_result(const struct state *state, state_session_id session, uint64_t sequence, struct state_result *ret);

/* ---- History of holder changes ---- */
/* Local, bounded (LIMIT_HISTORY_*), begins empty after a restore. */

struct state_change {
	state_revision revision;
	struct state_text name, value;
	uint64_t token; /* 0: the lock is vacant from here on */
	state_session_id holder;
};

/* First change of the lock with a revision > after; 0: *ret is filled, borrowed until the next apply. 1: none. 2:
 * changes after `after` may be lost, it is older than the history reaches; *ret_complete_from, if not NULL, gets the
 * least revision that can be asked for without a gap. */
int state_next_change(const struct state *state, const void *name, size_t n, state_revision after,
		      struct state_change *ret, state_revision *ret_complete_from);

/* ---- Checkpoints ---- */

struct state_row {
	state_row_id id;
	const uint8_t *record; /* packed record.Record; NULL: the row is gone */
	size_t n;
};

/* What the checkpoint header says about the state at the cut. */
struct state_cut {
	uint64_t index, term;
	uint64_t rows; /* existing rows, changed or not */
	struct state_hash hash;
	uint32_t machine_version;
};

/* Freezes the dirty set. Only one cut at a time. */
void state_cut(struct state *state, struct state_cut *ret);
/* Copies up to `rows_max` more frozen rows. false: some are left. */
bool state_copy(struct state *state, size_t rows_max);
/* After state_copy() returned true: all rows of the cut, each id once, borrowed until state_cut_done() or
 * state_cut_failed(). */
const struct state_row *state_cut_rows(const struct state *state, size_t *ret_n);
/* The checkpoint is durable: forget the cut. */
void state_cut_done(struct state *state);
/* It could not be written (full disk): its rows count as dirty again. */
void state_cut_failed(struct state *state);

/* Rebuilding a fresh state from a checkpoint (with the row's own id) or a snapshot (id 0: an id is chosen); never both
 * ways in one state. Records come in the order of their kinds. 0 and the id in *ret_id, or -EBADMSG for a record that
 * is malformed or contradicts the others; after that the state can only be freed. A restored row is clean.
 * state_restored() ends it: -EBADMSG when rows or hash differ from the header's. Whether its machine version is known
 * here was asked before. */
int state_restore(struct state *state, state_row_id id, const void *record, size_t n, state_row_id *ret_id);
int state_restored(struct state *state, const struct state_cut *cut);

#endif
