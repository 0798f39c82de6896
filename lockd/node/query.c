/* SPDX-License-Identifier: Apache-2.0 */
#include "query.h"

#include "api/limits.h"
#include "keepalive.h"
#include "memory.h"
#include "read.h"
#include "replica.h"

#include <assert.h>
#include <lockd/status.h>

void queries_init(struct queries *queries) {
	TAILQ_INIT(&queries->reads);
	TAILQ_INIT(&queries->keep_alives);
	TAILQ_INIT(&queries->renewing);
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
	query_list_free(&replica->queries.renewing);
}

void query_free(struct replica *replica, struct query_list *list, struct query *query) {
	struct client *client = client_find(replica->node, query->asker.connection);

	TAILQ_REMOVE(list, query, link);
	if (query->kind == QUERY_READ)
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

void query_push(struct replica *replica, enum query_kind kind, const struct asker *asker, uint32_t sessions,
		const uint8_t *body, size_t n) {
	struct queries *queries = &replica->queries;
	struct query *query = memory_new(sizeof *query + n);

	query->kind = kind;
	query->asker = *asker;
	query->arrived = leases_clock(replica);
	query->n = n;
	memcpy(query->body, body, n);

	if (kind == QUERY_KEEP_ALIVE) {
		struct client *client = client_find(replica->node, asker->connection);

		query_make_room(replica, client, sessions);
		client->keep_alives++;
		query->sessions = sessions;
		queries->sessions += sessions;
		TAILQ_INSERT_TAIL(&queries->keep_alives, query, link);
	} else {
		TAILQ_INSERT_TAIL(&queries->reads, query, link);
	}
}

bool query_cancel(struct replica *replica, node_connection connection, uint64_t id) {
	struct query *query;

	TAILQ_FOREACH (query, &replica->queries.reads, link) {
		if (query->asker.connection != connection || query->asker.id != id)
			continue;
		client_reply_status(replica->node, connection, id, LOCKD_CANCELLED, NULL);
		query_free(replica, &replica->queries.reads, query);
		return true;
	}
	return false;
}

/* ---- Proof --------------------------------------------------------------------------------------------------------
 */

static bool query_list_wants_round(const struct query_list *list) {
	const struct query *newest = TAILQ_LAST(list, query_list);

	return newest && newest->round == 0;
}

/* From the newest back to the first that has a round already. */
static void query_list_assign(struct query_list *list, uint64_t round, raft_index commit) {
	struct query *query;

	TAILQ_FOREACH_REVERSE(query, list, query_list, link) {
		if (query->round > 0)
			return;
		query->round = round;
		query->commit = commit;
	}
}

void queries_prove(struct replica *replica) {
	struct queries *queries = &replica->queries;
	struct raft_event event = {.kind = RAFT_PROVE};

	if (!replica->leading || queries->round > replica->effects.proved_round)
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

static bool query_is_proved(const struct replica *replica, const struct query *query) {
	return replica->ready && query->round > 0 && query->round <= replica->effects.proved_round &&
	       query->commit <= state_applied(replica->state);
}

void queries_serve(struct replica *replica) {
	struct queries *queries = &replica->queries;
	struct query *query;

	leases_prove(&replica->leases, replica->effects.proved_round);
	while ((query = TAILQ_FIRST(&queries->keep_alives)) && query_is_proved(replica, query))
		keepalive_serve(replica, query);
	while ((query = TAILQ_FIRST(&queries->renewing)) && query->ticket <= replica->pendings.applied)
		keepalive_answer(replica, query);
	while ((query = TAILQ_FIRST(&queries->reads)) && query_is_proved(replica, query) &&
	       replica->node->turn.bytes < QUERY_TURN_BYTES_MAX) {
		/* Nobody reads the answer of a connection that is gone, and others wait for their turn. */
		if (client_find(replica->node, query->asker.connection))
			read_serve(replica, query);
		query_free(replica, &queries->reads, query);
	}
}

bool queries_are_left(const struct replica *replica) {
	const struct query *query = TAILQ_FIRST(&replica->queries.reads);

	return query && query_is_proved(replica, query);
}

static void query_list_resign(struct replica *replica, struct query_list *list) {
	struct query *query;

	while ((query = TAILQ_FIRST(list))) {
		/* An Open that is applied has happened, whoever leads: the client asks the next leader with its nonce.
		 */
		if (query->kind == QUERY_OPENED)
			client_reply_status(replica->node, query->asker.connection, query->asker.id,
					    LOCKD_LEADER_CHANGED, NULL);
		else
			client_redirect(replica, query->asker.connection, query->asker.id);
		query_free(replica, list, query);
	}
}

void queries_resign(struct replica *replica) {
	query_list_resign(replica, &replica->queries.reads);
	query_list_resign(replica, &replica->queries.keep_alives);
	query_list_resign(replica, &replica->queries.renewing);
	replica->queries.round = 0;
}
