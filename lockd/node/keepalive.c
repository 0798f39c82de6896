/* SPDX-License-Identifier: Apache-2.0 */
#include "keepalive.h"

#include "api/limits.h"
#include "memory.h"
#include "replica.h"

#include <assert.h>
#include <lockd/status.h>

static const Client__KeepAlive *keepalive_unpack(struct replica *replica, const struct query *query) {
	const Client__Request *request = node_unpack_request(replica->node, query->body, query->n);

	assert(request && request->body_case == CLIENT__REQUEST__BODY_KEEP_ALIVE);
	return request->keep_alive;
}

/* The lease of a session that a client names; NULL: it has ended or never was. */
static struct lease *keepalive_find(const struct replica *replica, const Client__KeepAlive *request,
				    state_session_id session) {
	struct lease *lease = lease_find(&replica->leases, session);

	return lease && lease->epoch == request->epoch && lease->group == request->group ? lease : NULL;
}

/* What it says of the sessions, in their order. */
static uint32_t *keepalive_statuses(struct replica *replica, const Client__KeepAlive *request) {
	return turn_alloc(&replica->node->turn, request->n_sessions * sizeof(uint32_t));
}

static void keepalive_reply(struct replica *replica, const struct query *query, uint32_t *statuses) {
	Client__Reply reply = CLIENT__REPLY__INIT;

	reply.status = LOCKD_OK;
	reply.n_keep_alives = query->sessions;
	reply.keep_alives = statuses;
	for (size_t i = 0; i < query->sessions; i++)
		replica->node->tally.kept_alive += statuses[i] == LOCKD_OK;
	client_reply(replica->node, query->asker.connection, query->asker.id, &reply);
}

/* Some may have ended while it waited. */
static void keepalive_reply_renewed(struct replica *replica, const struct query *query) {
	const Client__KeepAlive *request = keepalive_unpack(replica, query);
	uint32_t *statuses = keepalive_statuses(replica, request);
	state_session_id session = 0;

	for (size_t i = 0; i < request->n_sessions; i++) {
		session += request->sessions[i];
		statuses[i] = keepalive_find(replica, request, session) ? LOCKD_OK : LOCKD_SESSION_EXPIRED;
	}
	keepalive_reply(replica, query, statuses);
}

static uint64_t keepalive_propose_renewed(struct replica *replica, uint64_t *opened, size_t n) {
	Command__Command command = COMMAND__COMMAND__INIT;
	Command__Renewed renewed = COMMAND__RENEWED__INIT;

	renewed.term = replica->status.term;
	renewed.n_opened = n;
	renewed.opened = opened;
	command.body_case = COMMAND__COMMAND__BODY_RENEWED;
	command.renewed = &renewed;
	return pending_push_own(replica, &command);
}

/* Sessions that need a RENEWED, gathered until a command is full. */
struct keepalive_renewals {
	uint64_t *opened; /* room for LIMIT_SESSIONS_PER_COMMAND; NULL: none was needed so far */
	size_t n;
	uint64_t ticket; /* the last one that must be applied before the answer; 0: none */
};

static void keepalive_flush(struct replica *replica, struct keepalive_renewals *renewals) {
	if (renewals->n == 0)
		return;
	renewals->ticket = keepalive_propose_renewed(replica, renewals->opened, renewals->n);
	renewals->n = 0;
}

static void keepalive_hear(struct replica *replica, struct lease *lease, raft_usec arrived,
			   struct keepalive_renewals *renewals) {
	const struct pendings *pendings = &replica->pendings;

	if (!lease_is_marked(lease, pendings->applied)) {
		lease_hear(lease, arrived);
		return;
	}
	if (lease->quarters == 0) {
		/* A RENEWED that another keep-alive caused is on its way. */
		if (lease->renewal > renewals->ticket)
			renewals->ticket = lease->renewal;
		lease_hear(lease, arrived);
		return;
	}
	/* The ticket that the command gets when it is flushed: nothing else is queued before. */
	lease_renew(&replica->leases, lease, arrived, pendings->issued + 1);
	if (!renewals->opened)
		renewals->opened =
			turn_alloc(&replica->node->turn, LIMIT_SESSIONS_PER_COMMAND * sizeof *renewals->opened);
	renewals->opened[renewals->n++] = lease->session;
	if (renewals->n == LIMIT_SESSIONS_PER_COMMAND)
		keepalive_flush(replica, renewals);
}

/* The list is in order of ticket; a ticket is rarely older than one that waits already. */
static void keepalive_wait(struct replica *replica, struct query *query, uint64_t ticket) {
	struct query_list *list = &replica->queries.renewing;
	struct query *before = TAILQ_LAST(list, query_list);

	query->ticket = ticket;
	while (before && before->ticket > ticket)
		before = TAILQ_PREV(before, query_list, link);
	if (before)
		TAILQ_INSERT_AFTER(list, before, query, link);
	else
		TAILQ_INSERT_HEAD(list, query, link);
}

static void keepalive_reply_opened(struct replica *replica, const struct asker *asker, state_session_id id) {
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__SessionId wire = CLIENT__SESSION_ID__INIT;
	struct state_session session;

	/* Ended meanwhile: an expired session is never silently opened again. */
	if (!state_get_session(replica->state, id, &session)) {
		client_reply_status(replica->node, asker->connection, asker->id, LOCKD_SESSION_EXPIRED, NULL);
		return;
	}
	wire.epoch = session.epoch;
	wire.group = session.group;
	wire.opened = id;
	reply.status = LOCKD_OK;
	reply.session = &wire;
	reply.ttl_ms = session.ttl_ms;
	reply.revision = id;
	client_reply(replica->node, asker->connection, asker->id, &reply);
}

void keepalive_serve(struct replica *replica, struct query *query) {
	const Client__KeepAlive *request = keepalive_unpack(replica, query);
	struct queries *queries = &replica->queries;
	uint32_t *statuses = keepalive_statuses(replica, request);
	struct keepalive_renewals renewals = {0};
	state_session_id session = 0;

	for (size_t i = 0; i < request->n_sessions; i++) {
		struct lease *lease = keepalive_find(replica, request, session += request->sessions[i]);

		statuses[i] = lease ? LOCKD_OK : LOCKD_SESSION_EXPIRED;
		if (lease)
			keepalive_hear(replica, lease, query->arrived, &renewals);
	}
	keepalive_flush(replica, &renewals);

	if (renewals.ticket == 0) {
		keepalive_reply(replica, query, statuses);
		query_free(replica, &queries->keep_alives, query);
		return;
	}
	TAILQ_REMOVE(&queries->keep_alives, query, link);
	keepalive_wait(replica, query, renewals.ticket);
}

void keepalive_opened(struct replica *replica, const struct pending *pending, state_session_id session) {
	struct lease *lease = lease_find(&replica->leases, session);
	struct keepalive_renewals renewals = {0};
	struct query *query;

	if (!lease) {
		/* Not ready yet, or closed again by the same entry. */
		keepalive_reply_opened(replica, &pending->asker, session);
		return;
	}
	keepalive_hear(replica, lease, pending->arrived, &renewals);
	keepalive_flush(replica, &renewals);
	if (renewals.ticket == 0) {
		keepalive_reply_opened(replica, &pending->asker, session);
		return;
	}
	query = memory_new(sizeof *query);
	query->kind = QUERY_OPENED;
	query->asker = pending->asker;
	query->session = session;
	keepalive_wait(replica, query, renewals.ticket);
}

void keepalive_answer(struct replica *replica, struct query *query) {
	if (query->kind == QUERY_OPENED)
		keepalive_reply_opened(replica, &query->asker, query->session);
	else
		keepalive_reply_renewed(replica, query);
	query_free(replica, &replica->queries.renewing, query);
}
