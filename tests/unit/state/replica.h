/* SPDX-License-Identifier: Apache-2.0 */
/* A state machine and the log that feeds it. Every call appends one entry with one command, applies it, audits the
 * state and keeps the outcomes for the expectations below. */
#ifndef TESTS_UNIT_STATE_REPLICA_H
#define TESTS_UNIT_STATE_REPLICA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/command.pb-c.h"
#include "lockd/state/state.h"

#include <lockd/status.h>

enum { REPLICA_GROUP = 1, REPLICA_EPOCH = 7 };

struct replica {
	struct state *state;
	uint64_t index, term;
	const struct state_outcome *outcomes;
	size_t n;
	uint64_t floor; /* sent with every request; 0 at first */
};

void replica_init(struct replica *replica);
/* Two sessions, two locks, two seats at most. */
void replica_init_narrow(struct replica *replica);
void replica_deinit(struct replica *replica);

/* A command as a test writes it: the fields of its kind, in protobuf's own struct. */
struct script {
	Command__Command command;
	Command__SessionId session;
	union {
		Command__Open open;
		Command__Close close;
		Command__Acquire acquire;
		Command__Cancel cancel;
		Command__Release release;
		Command__Expire expire;
		Command__Timer timer;
		Command__Late late;
		Command__Renewed renewed;
		Command__Version version;
		Command__Verdict verdict;
	} body;
};

void script_open(struct script *script, const uint8_t *nonce, uint32_t ttl_ms);
void script_close(struct script *script, state_session_id session, uint64_t sequence);
void script_acquire(struct script *script, state_session_id session, uint64_t sequence, const char *name,
		    uint32_t wait_ms, const char *value);
void script_cancel(struct script *script, state_session_id session, uint64_t sequence, uint64_t target);
void script_release(struct script *script, state_session_id session, uint64_t sequence, const char *name,
		    uint64_t token);
void script_expire(struct script *script, uint64_t term, uint64_t *ids, size_t n);
void script_timer(struct script *script, uint64_t term, state_session_id session, uint64_t sequence);
void script_late(struct script *script, uint64_t term, uint64_t *ids, uint32_t *quarters, size_t n);
void script_renewed(struct script *script, uint64_t term, uint64_t *ids, size_t n);
void script_version(struct script *script, uint64_t term, uint32_t version);
/* `hash`: 16 bytes, borrowed. */
void script_verdict(struct script *script, uint64_t term, uint64_t index, uint8_t *hash);

/* The packed Batch; the caller frees it. */
uint8_t *script_pack(struct script *scripts, size_t n, size_t *ret_n);

/* One entry with these commands. */
void replica_apply(struct replica *replica, struct script *scripts, size_t n);

/* One entry with one command; `id` seeds the nonce. Requests return the status of their answer. */
state_session_id replica_open(struct replica *replica, uint8_t id);
int replica_close(struct replica *replica, state_session_id session, uint64_t sequence);
int replica_acquire(struct replica *replica, state_session_id session, uint64_t sequence, const char *name,
		    uint32_t wait_ms);
int replica_cancel(struct replica *replica, state_session_id session, uint64_t sequence, uint64_t target);
int replica_release(struct replica *replica, state_session_id session, uint64_t sequence, const char *name,
		    uint64_t token);
void replica_expire(struct replica *replica, state_session_id session);
void replica_timer(struct replica *replica, state_session_id session, uint64_t sequence);

/* The only outcome of that kind in the last entry; fails if there is none or more than one. */
const struct state_outcome *replica_only(const struct replica *replica, enum state_outcome_kind kind);
size_t replica_count(const struct replica *replica, enum state_outcome_kind kind);
/* Fails unless `session` got this result for `sequence` as STATE_RESOLVED of the last entry. */
const struct state_outcome *replica_resolved(const struct replica *replica, state_session_id session, uint64_t sequence,
					     int status);

/* Token under which the lock is held; 0: it is free. */
uint64_t replica_token(const struct replica *replica, const char *name);
state_session_id replica_holder(const struct replica *replica, const char *name);

/* A second machine from the rows of a whole checkpoint of the first: keep_ids as after a restart, otherwise as from a
 * snapshot. */
enum replica_ids { REPLICA_KEEP_IDS, REPLICA_CHOOSE_IDS };
void replica_copy(struct replica *replica, enum replica_ids ids, struct replica *ret);

#define assert_hash_equal(a, b)                                                                                        \
	do {                                                                                                           \
		assert_int_equal((a).low, (b).low);                                                                    \
		assert_int_equal((a).high, (b).high);                                                                  \
	} while (0)

#endif
