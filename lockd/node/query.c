/* SPDX-License-Identifier: Apache-2.0 */
#include "query.h"

#include "api/limits.h"
#include "keepalive.h"
#include "memory.h"
#include "read.h"
#include "replica.h"

#include <assert.h>
#include <lockd/status.h>

static int query_compare_revision(const struct query *a, const struct query *b) {
	if (a->at_least != b->at_least)
		return a->at_least < b->at_least ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

RB_GENERATE_INTERNAL(queries_by_revision, query, by_revision, query_compare_revision, __attribute__((unused)) static)

void queries_init(struct queries *queries) {
	TAILQ_INIT(&queries->reads);
	TAILQ_INIT(&queries->keep_alives);
	TAILQ_INIT(&queries->behind);
	TAILQ_INIT(&queries->due);
	TAILQ_INIT(&queries->held);
	TAILQ_INIT(&queries->renewing);
	RB_INIT(&queries->by_revision);
}

static void query_list_free(struct query_list *list) {
	struct query *query;

	while ((query = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, query, link);
		free(query);
	}
}

void queries_deinit(struct replica *replica) {
	query_list_free(&replica->queries.reads);
	query_list_free(&replica->queries.keep_alives);
	query_list_free(&replica->queries.behind);
	query_list_free(&replica->queries.due);
	query_list_free(&replica->queries.held);
	query_list_free(&replica->queries.renewing);
}

void query_free(struct replica *replica, struct query_list *list, struct query *query) {
	struct client *client = client_find(replica->node, query->asker.connection);

	TAILQ_REMOVE(list, query, link);
	if (list == &replica->queries.behind)
		RB_REMOVE(queries_by_revision, &replica->queries.by_revision, query);
	if (list == &replica->queries.held && client)
		client->held--;
	if (query->kind == QUERY_READ || query->kind == QUERY_OBSERVE)
		asker_settle(replica->node, &query->asker);
	if (query->kind == QUERY_KEEP_ALIVE) {
		replica->queries.sessions -= query->sessions;
		if (client)
			client->keep_alives--;
	}
	free(query);
}

/* ---- In -----------------------------------------------------------------------------------------------------------
 */

/* The oldest keep-alive of the list; client NULL: of any. */
static struct query *query_find_oldest(struct query_list *list, const struct client *client) {
	struct query *query;

	TAILQ_FOREACH (query, list, link) {
		if (query->kind == QUERY_KEEP_ALIVE && (!client || query->asker.connection == client->connection))
			return query;
	}
	return NULL;
}

/* Those that wait for a RENEWED came before those that wait for a proof. */
static bool query_evict(struct replica *replica, const struct client *client) {
	struct query_list *lists[] = {&replica->queries.renewing, &replica->queries.keep_alives};

	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		struct query *oldest = query_find_oldest(lists[i], client);

		if (oldest) {
			query_free(replica, lists[i], oldest);
			return true;
		}
	}
	return false;
}

/* Room for one more keep-alive, at the cost of the oldest: of this connection, then of all. */
static void query_make_room(struct replica *replica, struct client *client, uint32_t sessions) {
	struct queries *queries = &replica->queries;

	if (client->keep_alives >= QUERY_KEEP_ALIVES_PER_CONNECTION_MAX)
		(void)query_evict(replica, client);
	while (queries->sessions + sessions > LIMIT_SESSIONS_MAX && query_evict(replica, NULL))
		;
}

static struct query *query_new(struct replica *replica, enum query_kind kind, const struct asker *asker,
			       struct node_bytes body) {
	struct query *query = memory_new(sizeof *query + body.n);

	query->kind = kind;
	query->asker = *asker;
	query->arrived = leases_clock(replica);
	query->round = QUERY_ROUND_NONE;
	query->n = body.n;
	memcpy(query->body, body.bytes, body.n);
	return query;
}

void query_push_read(struct replica *replica, const struct asker *asker, const Client__Request *request,
		     struct node_bytes body) {
	enum query_kind kind = request->body_case == CLIENT__REQUEST__BODY_OBSERVE ? QUERY_OBSERVE : QUERY_READ;
	struct query *query = query_new(replica, kind, asker, body);
	struct queries *queries = &replica->queries;

	query->level = request->read_level;
	switch (query->level) {
	case CLIENT__READ_LEVEL__SESSION:
		query->at_least = request->at_least;
		query->number = ++queries->number;
		TAILQ_INSERT_TAIL(&queries->behind, query, link);
		RB_INSERT(queries_by_revision, &queries->by_revision, query);
		break;
	case CLIENT__READ_LEVEL__STALE: TAILQ_INSERT_TAIL(&queries->due, query, link); break;
	default: TAILQ_INSERT_TAIL(&queries->reads, query, link); break;
	}
}

void query_push_keep_alive(struct replica *replica, const struct asker *asker, uint32_t sessions,
			   struct node_bytes body) {
	struct query *query = query_new(replica, QUERY_KEEP_ALIVE, asker, body);
	struct client *client = client_find(replica->node, asker->connection);

	query_make_room(replica, client, sessions);
	client->keep_alives++;
	query->sessions = sessions;
	replica->queries.sessions += sessions;
	TAILQ_INSERT_TAIL(&replica->queries.keep_alives, query, link);
}

/* An Observe is never among those that wait for a revision. */
bool query_cancel(struct replica *replica, node_connection connection, uint64_t id) {
	struct query_list *lists[] = {&replica->queries.held, &replica->queries.due, &replica->queries.reads};
	struct query *query;

	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		TAILQ_FOREACH (query, lists[i], link) {
			if (query->kind != QUERY_OBSERVE || query->asker.connection != connection ||
			    query->asker.id != id)
				continue;
			client_reply_status(replica->node, connection, id, LOCKD_CANCELLED, NULL);
			query_free(replica, lists[i], query);
			return true;
		}
	}
	return false;
}

/* ---- Proof --------------------------------------------------------------------------------------------------------
 */

raft_usec queries_lease_left(const struct replica *replica) {
	raft_usec now = replica->node->clocks.boot, until = replica->effects.lease_until;

	return replica->ready && now < until ? until - now : 0;
}

static bool query_list_wants_proof(const struct query_list *list) {
	const struct query *newest = TAILQ_LAST(list, query_list);

	return newest && !newest->proved;
}

static bool query_list_wants_round(const struct query_list *list) {
	const struct query *newest = TAILQ_LAST(list, query_list);

	return newest && !newest->proved && newest->round == QUERY_ROUND_NONE;
}

/* From the newest back to the first that has a round already. */
static void query_list_assign(struct query_list *list, uint64_t round, raft_index index) {
	struct query *query;

	TAILQ_FOREACH_REVERSE(query, list, query_list, link) {
		if (query->proved || query->round != QUERY_ROUND_NONE)
			return;
		query->round = round;
		query->index = index;
	}
}

/* Those whose round is not above `round`, back to the first that is proved already. */
static void query_list_prove(struct query_list *list, uint64_t round, raft_index index) {
	struct query *query;

	TAILQ_FOREACH_REVERSE(query, list, query_list, link) {
		if (query->proved)
			return;
		if (query->round > round)
			continue;
		query->proved = true;
		if (query->index < index)
			query->index = index;
	}
}

/* The lease proves all that came before the clock was read, whatever round they wait for. */
static void queries_prove_by_lease(struct replica *replica) {
	struct queries *queries = &replica->queries;

	query_list_prove(&queries->reads, QUERY_ROUND_NONE, replica->status.commit);
	query_list_prove(&queries->keep_alives, QUERY_ROUND_NONE, replica->status.commit);
	leases_trust(&replica->leases);
}

static void queries_begin_round(struct replica *replica) {
	struct queries *queries = &replica->queries;
	struct raft_event event = {.kind = RAFT_PROVE};

	if (queries->round > queries->proved)
		return;
	if (!query_list_wants_round(&queries->reads) && !query_list_wants_round(&queries->keep_alives) &&
	    !leases_want_round(&replica->leases))
		return;
	if (replica_raft(replica, &event, NULL) != 0)
		return;

	queries->round = replica->effects.round;
	query_list_assign(&queries->reads, queries->round, replica->status.commit);
	query_list_assign(&queries->keep_alives, queries->round, replica->status.commit);
	leases_assign_round(&replica->leases, queries->round);
}

/* Questions and answers may be lost; an answer to any of them serves all that came before it. */
static bool queries_is_overdue(const struct replica *replica) {
	const struct queries *queries = &replica->queries;

	return replica->node->clocks.mono - queries->asked >= replica->node->timing.heartbeat;
}

static void queries_ask(struct replica *replica) {
	struct queries *queries = &replica->queries;
	struct raft_event event = {.kind = RAFT_READ_INDEX};

	if (replica->status.leader == 0 || !query_list_wants_proof(&queries->reads) ||
	    (queries->round > queries->proved && !queries_is_overdue(replica)))
		return;
	queries->asked = replica->node->clocks.mono;
	if (replica_raft(replica, &event, NULL) != 0)
		return;

	queries->round = replica->effects.round;
	query_list_assign(&queries->reads, queries->round, 0);
}

static void queries_take_rounds(struct replica *replica) {
	struct queries *queries = &replica->queries;

	if (replica->effects.proved_round <= queries->proved)
		return;
	queries->proved = replica->effects.proved_round;
	query_list_prove(&queries->reads, queries->proved, 0);
	query_list_prove(&queries->keep_alives, queries->proved, 0);
	leases_prove(&replica->leases, queries->proved);
}

void queries_prove(struct replica *replica) {
	queries_take_rounds(replica);
	if (queries_lease_left(replica) > 0)
		queries_prove_by_lease(replica);
	else if (replica->leading)
		queries_begin_round(replica);
	else
		queries_ask(replica);
}

void queries_hear(struct replica *replica) {
	struct queries *queries = &replica->queries;

	if (replica->effects.read_round > queries->proved)
		queries->proved = replica->effects.read_round;
	query_list_prove(&queries->reads, replica->effects.read_round, replica->effects.read_index);
}

/* ---- Out ----------------------------------------------------------------------------------------------------------
 */

/* A leader that has not applied its no-op may not know all that is committed (paper §8). */
static bool query_is_due(const struct replica *replica, const struct query *query) {
	if (replica->leading && !replica->ready)
		return false;
	return query->proved && query->index <= state_applied(replica->state);
}

static void queries_gather(struct replica *replica) {
	struct queries *queries = &replica->queries;
	struct query *query;

	while ((query = TAILQ_FIRST(&queries->reads)) && query_is_due(replica, query)) {
		TAILQ_REMOVE(&queries->reads, query, link);
		TAILQ_INSERT_TAIL(&queries->due, query, link);
	}
	while ((query = RB_MIN(queries_by_revision, &queries->by_revision)) &&
	       query->at_least <= replica_revision(replica)) {
		RB_REMOVE(queries_by_revision, &queries->by_revision, query);
		TAILQ_REMOVE(&queries->behind, query, link);
		TAILQ_INSERT_TAIL(&queries->due, query, link);
	}
}

static raft_usec query_expires(const struct replica *replica, const struct query *query) {
	return query->arrived + QUERY_ELECTIONS_MAX * replica->node->timing.election_max;
}

static void query_redirect(struct replica *replica, struct query_list *list, struct query *query) {
	client_redirect(replica, query->asker.connection, query->asker.id, NULL);
	query_free(replica, list, query);
}

static void query_list_expire(struct replica *replica, struct query_list *list) {
	struct query *query;

	while ((query = TAILQ_FIRST(list)) && query_expires(replica, query) <= leases_clock(replica))
		query_redirect(replica, list, query);
}

/* A node that stops waits neither for a leader nor for its clients. */
static bool queries_is_stopping(const struct replica *replica) {
	return replica->node->stopping && !replica->leading;
}

static void queries_stop(struct replica *replica) {
	struct query_list *lists[] = {&replica->queries.reads, &replica->queries.behind, &replica->queries.held};
	struct query *query;

	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		while ((query = TAILQ_FIRST(lists[i])))
			query_redirect(replica, lists[i], query);
	}
}

/* It is due. */
static void query_hold(struct replica *replica, struct client *client, struct query *query) {
	struct queries *queries = &replica->queries;

	if (client->held >= QUERY_HELD_PER_CONNECTION_MAX) {
		client_reply_status(replica->node, query->asker.connection, query->asker.id, LOCKD_BUSY, NULL);
		query_free(replica, &queries->due, query);
		return;
	}
	TAILQ_REMOVE(&queries->due, query, link);
	TAILQ_INSERT_TAIL(&queries->held, query, link);
	client->held++;
}

static bool queries_may_answer(const struct replica *replica, size_t n, size_t bytes) {
	size_t answered = replica->node->turn.client_bytes - bytes;

	return n < LIMIT_READS_PER_TURN && answered < LIMIT_READ_BYTES_PER_TURN;
}

static void queries_answer(struct replica *replica) {
	struct queries *queries = &replica->queries;
	size_t n = 0, bytes = replica->node->turn.client_bytes;
	struct query *query;

	while ((query = TAILQ_FIRST(&queries->due)) && queries_may_answer(replica, n, bytes)) {
		struct client *client = client_find(replica->node, query->asker.connection);

		if (client && client->stalled) {
			query_hold(replica, client, query);
			continue;
		}
		/* Nobody reads the answer of a connection that is gone, and others wait for their turn. */
		if (client) {
			read_serve(replica, query);
			n++;
		}
		query_free(replica, &queries->due, query);
	}
}

/* They came before those of the same client that are due. */
void queries_release(struct replica *replica, node_connection connection) {
	struct queries *queries = &replica->queries;
	struct query *query = TAILQ_LAST(&queries->held, query_list), *before;
	struct client *client = client_find(replica->node, connection);

	for (; query; query = before) {
		before = TAILQ_PREV(query, query_list, link);
		if (query->asker.connection != connection)
			continue;
		TAILQ_REMOVE(&queries->held, query, link);
		TAILQ_INSERT_HEAD(&queries->due, query, link);
		if (client)
			client->held--;
	}
}

void queries_serve(struct replica *replica) {
	struct queries *queries = &replica->queries;
	struct query *query;

	/* A leader without peers proves itself by beginning. */
	queries_take_rounds(replica);
	while ((query = TAILQ_FIRST(&queries->keep_alives)) && query_is_due(replica, query))
		keepalive_serve(replica, query);
	while ((query = TAILQ_FIRST(&queries->renewing)) && query->ticket <= replica->pendings.applied)
		keepalive_answer(replica, query);

	queries_gather(replica);
	queries_answer(replica);
	query_list_expire(replica, &queries->reads);
	query_list_expire(replica, &queries->behind);
	if (queries_is_stopping(replica))
		queries_stop(replica);
}

/* On the monotonic clock. */
static raft_usec query_list_due(const struct replica *replica, const struct query_list *list) {
	const struct query *oldest = TAILQ_FIRST(list);
	raft_usec left = oldest ? query_expires(replica, oldest) - leases_clock(replica) : 0;

	return oldest ? replica->node->clocks.mono + left : UINT64_MAX;
}

bool queries_due(const struct replica *replica, raft_usec *ret) {
	const struct queries *queries = &replica->queries;
	raft_usec due = query_list_due(replica, &queries->reads), behind = query_list_due(replica, &queries->behind);
	raft_usec again = queries->asked + replica->node->timing.heartbeat;

	if (behind < due)
		due = behind;
	if (!replica->leading && queries->round > queries->proved && query_list_wants_proof(&queries->reads) &&
	    again < due)
		due = again;
	if (!TAILQ_EMPTY(&queries->due) || (queries_is_stopping(replica) && !TAILQ_EMPTY(&queries->held)))
		due = replica->node->clocks.mono;
	*ret = due;
	return due < UINT64_MAX;
}

/* ---- Changes of role ----------------------------------------------------------------------------------------------
 */

void queries_restart(struct replica *replica) {
	struct queries *queries = &replica->queries;
	struct query *query;

	queries->round = queries->proved = 0;
	TAILQ_FOREACH (query, &queries->reads, link) {
		query->round = QUERY_ROUND_NONE;
		query->proved = false;
		query->index = 0;
	}
}

static void query_resign(struct replica *replica, struct query_list *list, struct query *query) {
	/* An Open that is applied has happened, whoever leads: the client asks the next leader with its nonce. */
	if (query->kind == QUERY_OPENED)
		client_reply_status(replica->node, query->asker.connection, query->asker.id, LOCKD_LEADER_CHANGED,
				    NULL);
	else
		client_redirect(replica, query->asker.connection, query->asker.id, NULL);
	query_free(replica, list, query);
}

/* Reads stay: any node answers them. */
static void query_list_resign(struct replica *replica, struct query_list *list) {
	struct query *query = TAILQ_FIRST(list), *next;

	for (; query; query = next) {
		next = TAILQ_NEXT(query, link);
		if (query->kind != QUERY_READ)
			query_resign(replica, list, query);
	}
}

void queries_resign(struct replica *replica) {
	query_list_resign(replica, &replica->queries.reads);
	query_list_resign(replica, &replica->queries.due);
	query_list_resign(replica, &replica->queries.held);
	query_list_resign(replica, &replica->queries.keep_alives);
	query_list_resign(replica, &replica->queries.renewing);
}
