/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that the leader answers from its state once it has proved its leadership later than their arrival: reads,
 * observations, keep-alives (dissertation §6.4). A heartbeat round started after the arrival, answered by a quorum,
 * proves it; one round serves all that came before it was started, and at most one is under way. */
#ifndef LOCKD_NODE_QUERY_H
#define LOCKD_NODE_QUERY_H

#include "client.h"
#include "lockd/state/state.h"

struct replica;

enum query_kind {
	QUERY_READ, /* List, Show, Sessions, Observe */
	QUERY_KEEP_ALIVE,
	QUERY_OPENED, /* an Open that found its session again, waiting for a RENEWED */
};

struct query {
	TAILQ_ENTRY(query) link;
	enum query_kind kind;
	struct asker asker;
	raft_usec arrived;        /* on the session clock */
	uint64_t round;           /* of the proof; 0: not started yet */
	raft_index commit;        /* applied must have reached it: the commit index when the round was started */
	uint64_t ticket;          /* of the RENEWED that it waits for, once it does */
	state_session_id session; /* QUERY_OPENED */
	uint32_t sessions;        /* named by a keep-alive */
	size_t n;
	uint8_t body[]; /* packed client.Request */
};

TAILQ_HEAD(query_list, query);

enum {
	/* Keep-alives of one connection that wait for a proof. They never get BUSY: the oldest gives way without an
	 * answer, since the answer to a newer one says more. Beyond LIMIT_SESSIONS_MAX sessions named in a group
	 * likewise. */
	QUERY_KEEP_ALIVES_PER_CONNECTION_MAX = 64,
	/* Once a turn has used this much memory, the reads that are left are answered in the next. */
	QUERY_TURN_BYTES_MAX = 16 << 20,
};

struct queries {
	struct query_list reads, keep_alives; /* in order of arrival, so in order of round */
	struct query_list renewing;           /* in order of ticket */
	uint64_t round;                       /* the last one started; 0: none in this term */
	uint64_t sessions;                    /* named in keep_alives and renewing */
};

void queries_init(struct queries *queries);
void queries_deinit(struct replica *replica);

/* The body is copied. A read's asker was admitted; that of a keep-alive is not counted as pending. */
void query_push(struct replica *replica, enum query_kind kind, const struct asker *asker, uint32_t sessions,
		const uint8_t *body, size_t n);
/* Makes a waiting Observe of that connection and id go away; false: there is none. */
bool query_cancel(struct replica *replica, node_connection connection, uint64_t id);
/* Takes the query out of `list` and frees it. */
void query_free(struct replica *replica, struct query_list *list, struct query *query);

/* Leader: starts a round if somebody waits for one and none is under way. */
void queries_prove(struct replica *replica);
/* Leader: answers all whose proof has come. */
void queries_serve(struct replica *replica);
/* Whether a proved read was left for the next turn. */
bool queries_are_left(const struct replica *replica);
/* Leadership has ended: none of them can be answered here. */
void queries_resign(struct replica *replica);

#endif
