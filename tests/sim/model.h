/* SPDX-License-Identifier: Apache-2.0 */
/* The reference model: what the committed log means, written once more in the plainest way, from the schema's comments
 * and the promises in README.md rather than from lockd/state. It forgets nothing: results and changes of the past stay,
 * so that what clients were told can be looked up. */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "api/limits.h"
#include "tests/sim/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;

/* What stood in a request. Two with the same sequence must be equal. */
struct model_request {
	int kind; /* command.Command's body case; 0: any, left by a CANCEL that came first */
	uint32_t lock, wait_ms;
	uint64_t argument; /* token or target */
};

struct model_answer {
	int status;
	uint64_t token, revision;
};

enum { MODEL_ANSWERS_MAX = 3 }; /* QUEUED, then granted, then cancelled */

struct model_result {
	bool known, abandoned; /* abandoned: a client was told that it never takes effect */
	struct model_request request;
	struct model_answer answers[MODEL_ANSWERS_MAX]; /* in order; the last one stands */
	uint32_t n;
};

struct model_session {
	uint64_t id;
	uint8_t nonce[LIMIT_NONCE_BYTES];
	uint32_t ttl_ms;
	bool live, expired;
	uint64_t floor;
	uint32_t marks;        /* quarters of its TTL without a sign of life, as recorded by LATE */
	uint32_t silent_marks; /* marks when checker_session began to count … */
	sim_usec silent_since; /* … there, on its own clock */
	uint64_t heard_in;     /* term of the leader that heard its client last */
	sim_usec keep_until;   /* no EXPIRE may be applied before that */
	sim_usec ended_at;
	struct model_result *results; /* by sequence */
	size_t results_size;
};

struct model_seat {
	struct model_session *session; /* stable: sessions are allocated one by one */
	uint64_t sequence, enqueued;
};

struct model_change {
	uint64_t revision, token; /* token 0: vacant from here on */
	uint64_t session;
};

struct model_lock {
	struct model_session *holder; /* NULL: free */
	uint64_t sequence, token, granted;
	struct model_seat *queue;
	size_t n_queue, queue_size;
	struct model_change *changes;
	size_t n_changes, changes_size;
};

struct model {
	uint64_t applied;
	uint32_t epoch;
	struct model_session **sessions; /* in order of id */
	size_t n_sessions, sessions_size;
	struct model_lock locks[SIM_LOCKS_MAX];
	uint64_t counters[LIMIT_SLOTS];
	uint64_t revision; /* of the command being applied */
};

void model_init(struct model *model, uint32_t epoch);
void model_deinit(struct model *model);

void model_apply(struct sim *sim, uint64_t index, uint64_t term, const void *bytes, size_t n);
/* An entry without commands. */
void model_skip(struct sim *sim, uint64_t index);

/* NULL: never existed. */
struct model_session *model_find(const struct model *model, uint64_t id);
/* Room for that sequence. */
struct model_result *model_result(struct model_session *session, uint64_t sequence);
/* The last change of a lock not later than `revision`; NULL: none. */
const struct model_change *model_change_at(const struct model *model, uint32_t lock, uint64_t revision);

/* The lock behind a name of the simulation ("lock-3"); asserts on any other. */
uint32_t model_lock_of(const void *name, size_t n);
size_t model_name_of(uint32_t lock, char *ret, size_t size);

#endif
