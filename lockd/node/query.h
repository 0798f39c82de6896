/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that are answered from the state, once it is known to be new enough.
 *
 * Linearizable reads and keep-alives wait for a proof that this state held all that was answered before they came
 * (dissertation §6.4). A leader has it at once by its lease, otherwise by a heartbeat round that began after they
 * arrived. A follower asks the leader, which proves itself and says up to where the follower must have applied. One
 * round or question serves all that came before it was begun.
 *
 * Session reads wait until the revision is applied that their client has seen, stale reads for nothing.
 *
 * A page may be a megabyte and costs its client nothing to ask for. So a turn answers a bounded part of the reads that
 * are due, and none of a client that has too much output unsent: its reads are held until it takes some of it.
 *
 * Keep-alives and Observes are answered by leaders only. Reads stay when the role changes and are proved anew, but no
 * read waits for longer than two election time-outs for its proof or revision: then its client is sent elsewhere. */
#ifndef LOCKD_NODE_QUERY_H
#define LOCKD_NODE_QUERY_H

#include "client.h"
#include "lockd/state/state.h"

#include <bsd/sys/tree.h>

struct replica;

enum query_kind {
	QUERY_READ, /* List, Show, Sessions, the beginning of a Backup */
	QUERY_OBSERVE,
	QUERY_KEEP_ALIVE,
	QUERY_OPENED, /* an Open that found its session again, waiting for a RENEWED */
};

struct query {
	TAILQ_ENTRY(query) link;
	RB_ENTRY(query) by_revision;
	enum query_kind kind;
	Client__ReadLevel level;
	struct asker asker;
	raft_usec arrived;        /* on the session clock */
	uint64_t round;           /* of the proof: leader's round or follower's question; QUERY_ROUND_NONE: not begun */
	bool proved;              /* the proof has come, the answer may go once `index` is applied */
	raft_index index;         /* committed when the proof was begun by a leader, or given to a follower */
	state_revision at_least;  /* session read: applied must have reached it */
	uint64_t number;          /* session read: among those that wait for the same revision */
	uint64_t ticket;          /* of the RENEWED that it waits for, once it does */
	state_session_id session; /* QUERY_OPENED */
	uint32_t sessions;        /* named by a keep-alive */
	size_t n;
	uint8_t body[]; /* packed client.Request */
};

#define QUERY_ROUND_NONE UINT64_MAX

TAILQ_HEAD(query_list, query);
RB_HEAD(queries_by_revision, query);

enum {
	/* Keep-alives of one connection that wait for a proof. They never get BUSY: the oldest gives way without an
	 * answer, since the answer to a newer one says more. Beyond LIMIT_SESSIONS_MAX sessions named in a group
	 * likewise. */
	QUERY_KEEP_ALIVES_PER_CONNECTION_MAX = 64,
	/* Reads that are held for one connection. Beyond it: BUSY, or a few that read nothing would take the room for
	 * the requests of all. */
	QUERY_HELD_PER_CONNECTION_MAX = 64,
	/* Election time-outs that a read waits for. */
	QUERY_ELECTIONS_MAX = 2,
};

struct queries {
	struct query_list reads, keep_alives;   /* wait for a proof; in order of arrival, so in order of round */
	struct query_list behind;               /* session reads that wait for a revision, in order of arrival */
	struct queries_by_revision by_revision; /* the same */
	struct query_list due;                  /* reads that may be answered, whatever happens */
	struct query_list held;                 /* the same, of clients that do not take what they have been sent */
	struct query_list renewing;             /* in order of ticket */
	uint64_t round;                         /* the last one begun in this role; 0: none */
	uint64_t proved;                        /* the last one that has brought its proof */
	raft_usec asked;                        /* when a follower began it */
	uint64_t number;                        /* of the last session read */
	uint64_t sessions;                      /* named in keep_alives and renewing */
};

void queries_init(struct queries *queries);
void queries_deinit(struct replica *replica);

/* The body is copied. A read's asker was admitted; that of a keep-alive is not counted as pending. */
void query_push_read(struct replica *replica, const struct asker *asker, const Client__Request *request,
		     struct node_bytes body);
void query_push_keep_alive(struct replica *replica, const struct asker *asker, uint32_t sessions,
			   struct node_bytes body);
/* Makes a waiting Observe of that connection and id go away; false: there is none. */
bool query_cancel(struct replica *replica, node_connection connection, uint64_t id);
/* Takes the query out of `list` and frees it. */
void query_free(struct replica *replica, struct query_list *list, struct query *query);

/* What is left of the leader's lease by the boot clock of this turn, which was read after everything in the inbox had
 * arrived. 0: no lease, or the state is not yet the one to read. */
raft_usec queries_lease_left(const struct replica *replica);

/* Takes the proof from the lease; otherwise begins a round, or a question of a follower, if somebody waits for one and
 * none is under way. */
void queries_prove(struct replica *replica);
/* The leader has answered a question of this follower (effects.read_round). */
void queries_hear(struct replica *replica);
/* Answers all that may be answered, and sends those elsewhere that have waited for too long. */
void queries_serve(struct replica *replica);
/* By when queries_prove() and queries_serve() want to be called again; false: nobody waits. */
bool queries_due(const struct replica *replica, raft_usec *ret);
/* Role, term or leader have changed: proofs under way are lost. */
void queries_restart(struct replica *replica);
/* The client takes what it is sent again, or is gone: its reads are held no longer. */
void queries_release(struct replica *replica, node_connection connection);
/* Leadership has ended: keep-alives and Observes cannot be answered here. */
void queries_resign(struct replica *replica);

#endif
