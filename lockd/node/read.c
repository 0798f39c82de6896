/* SPDX-License-Identifier: Apache-2.0 */
#include "read.h"

#include "api/bytes.h"
#include "api/limits.h"
#include "field.h"
#include "memory.h"
#include "replica.h"
#include "watch.h"

#include <assert.h>
#include <lockd/status.h>

ProtobufCBinaryData read_text(struct state_text text) {
	return (ProtobufCBinaryData){.len = text.n, .data = (uint8_t *)text.bytes};
}

static void read_fill(const struct state_session *from, struct read_session *ret) {
	client__session__init(&ret->session);
	client__session_id__init(&ret->id);
	ret->id.epoch = from->epoch;
	ret->id.group = from->group;
	ret->id.opened = from->id;
	ret->session.id = &ret->id;
	ret->session.ttl_ms = from->ttl_ms;
	ret->session.owner = read_text(from->owner);
	ret->session.host = read_text(from->host);
	ret->session.pid = from->pid;
	ret->session.label = read_text(from->label);
	ret->session.held = from->held;
	ret->session.waiting = from->waiting;
}

Client__Session *read_fill_session(struct replica *replica, state_session_id id, struct read_session *ret) {
	struct state_session session;

	if (!state_get_session(replica->state, id, &session))
		session = (struct state_session){.id = id, .epoch = replica->node->epoch, .group = replica->group};
	read_fill(&session, ret);
	return &ret->session;
}

static size_t read_limit(uint32_t asked) {
	return asked == 0 || asked > LIMIT_LIST_ROWS_MAX ? LIMIT_LIST_ROWS_MAX : asked;
}

static size_t read_session_bytes(const Client__Session *session) {
	return client__session__get_packed_size(session);
}

/* How old the state may be: since the leader was heard of, or a quorum by the leader itself. By the clock that goes on
 * while the machine sleeps. */
static uint32_t read_age_ms(const struct replica *replica) {
	raft_usec age = (replica->node->clocks.boot - replica->contact) / 1000;

	if (queries_lease_left(replica) > 0)
		return 0;
	if (replica->contact == 0)
		return UINT32_MAX;
	return age < UINT32_MAX ? (uint32_t)age : UINT32_MAX - 1;
}

/* What every answer to a read says about itself. */
static Client__Reply read_reply(const struct replica *replica, Client__ReadLevel level) {
	Client__Reply reply = CLIENT__REPLY__INIT;

	reply.revision = replica_revision(replica);
	reply.read_level = level;
	reply.node_id = replica->node->id;
	if (level != CLIENT__READ_LEVEL__LINEARIZABLE)
		reply.age_ms = read_age_ms(replica);
	return reply;
}

/* ---- Locks --------------------------------------------------------------------------------------------------------
 */

struct read_lock {
	Client__Lock lock;
	struct read_session holder;
};

static void read_fill_lock(struct replica *replica, const struct state_lock *from, struct read_lock *ret) {
	raft_usec now = replica->node->clocks.mono;
	raft_usec seen = sightings_find(&replica->sightings, from->granted >> 16, now);

	client__lock__init(&ret->lock);
	ret->lock.name = read_text(from->name);
	ret->lock.value = read_text(from->value);
	ret->lock.token = from->token;
	ret->lock.granted = from->granted;
	ret->lock.waiting = from->waiting;
	ret->lock.holder = read_fill_session(replica, from->holder, &ret->holder);
	ret->lock.held_ms = (now - seen) / 1000;
}

static bool read_has_prefix(const struct state_lock *lock, const Client__List *list) {
	return lock->name.n >= list->prefix.len &&
	       (list->prefix.len == 0 || memcmp(lock->name.bytes, list->prefix.data, list->prefix.len) == 0);
}

static bool read_is_before(ProtobufCBinaryData a, ProtobufCBinaryData b) {
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.data, b.data, n) : 0;

	return order < 0 || (order == 0 && a.len < b.len);
}

/* First lock of the page: the prefix itself is a name, too. */
static bool read_first_lock(const struct state *state, const Client__List *list, struct state_lock *ret) {
	if (!read_is_before(list->after, list->prefix))
		return state_next_lock(state, list->after.len > 0 ? list->after.data : NULL, list->after.len, ret);
	return state_get_lock(state, list->prefix.data, list->prefix.len, ret) ||
	       state_next_lock(state, list->prefix.data, list->prefix.len, ret);
}

static void read_list(struct replica *replica, const struct query *query, const Client__List *list) {
	Client__Reply reply = read_reply(replica, query->level);
	struct turn *turn = &replica->node->turn;
	size_t max = read_limit(list->limit), bytes = 0;
	struct read_lock *rows = turn_scratch(turn, max * (sizeof *rows + sizeof *reply.locks));
	struct state_lock lock;
	bool found = read_first_lock(replica->state, list, &lock);

	reply.locks = (Client__Lock **)(rows + max);
	while (found && read_has_prefix(&lock, list)) {
		struct read_lock *row = &rows[reply.n_locks];

		if (reply.n_locks == max || bytes > READ_PAGE_BYTES_MAX) {
			reply.more = true;
			break;
		}
		read_fill_lock(replica, &lock, row);
		bytes += client__lock__get_packed_size(&row->lock);
		reply.locks[reply.n_locks++] = &row->lock;
		found = state_next_lock(replica->state, lock.name.bytes, lock.name.n, &lock);
	}
	client_reply(replica->node, query->asker.connection, query->asker.id, &reply);
}

static void read_fill_waiters(struct replica *replica, const Client__Show *show, Client__Lock *lock) {
	struct turn *turn = &replica->node->turn;
	struct read_session *rows = turn_scratch(turn, LIMIT_LIST_ROWS_MAX * (sizeof *rows + sizeof *lock->waiters));
	struct state_seat seat = {0};
	size_t bytes = 0;

	lock->waiters = (Client__Session **)(rows + LIMIT_LIST_ROWS_MAX);
	while (lock->n_waiters < LIMIT_LIST_ROWS_MAX && bytes <= READ_PAGE_BYTES_MAX &&
	       state_next_waiter(replica->state, show->name.data, show->name.len, seat.enqueued, &seat)) {
		Client__Session *waiter = read_fill_session(replica, seat.session, &rows[lock->n_waiters]);

		bytes += read_session_bytes(waiter);
		lock->waiters[lock->n_waiters++] = waiter;
	}
}

static void read_show(struct replica *replica, const struct query *query, const Client__Show *show) {
	Client__Reply reply = read_reply(replica, query->level);
	Client__Lock *locks[1];
	struct read_lock row;
	struct state_lock lock;

	if (!state_get_lock(replica->state, show->name.data, show->name.len, &lock)) {
		reply.status = LOCKD_NOT_FOUND;
		client_reply(replica->node, query->asker.connection, query->asker.id, &reply);
		return;
	}
	read_fill_lock(replica, &lock, &row);
	read_fill_waiters(replica, show, &row.lock);
	locks[0] = &row.lock;
	reply.token = lock.token;
	reply.locks = locks;
	reply.n_locks = 1;
	client_reply(replica->node, query->asker.connection, query->asker.id, &reply);
}

/* ---- Sessions -----------------------------------------------------------------------------------------------------
 */

static void read_sessions(struct replica *replica, const struct query *query, const Client__Sessions *sessions) {
	Client__Reply reply = read_reply(replica, query->level);
	struct turn *turn = &replica->node->turn;
	size_t max = read_limit(sessions->limit), bytes = 0;
	struct read_session *rows = turn_scratch(turn, max * (sizeof *rows + sizeof *reply.sessions));
	struct state_session session = {.id = sessions->after};

	reply.sessions = (Client__Session **)(rows + max);
	while (state_next_session(replica->state, session.id, &session)) {
		struct read_session *row = &rows[reply.n_sessions];

		if (reply.n_sessions == max || bytes > READ_PAGE_BYTES_MAX) {
			reply.more = true;
			break;
		}
		read_fill(&session, row);
		bytes += read_session_bytes(&row->session);
		reply.sessions[reply.n_sessions++] = &row->session;
	}
	client_reply(replica->node, query->asker.connection, query->asker.id, &reply);
}

void read_serve(struct replica *replica, const struct query *query) {
	const Client__Request *request = node_unpack_request(replica->node, query->body, query->n);

	assert(request);
	switch (request->body_case) {
	case CLIENT__REQUEST__BODY_LIST: read_list(replica, query, request->list); break;
	case CLIENT__REQUEST__BODY_SHOW: read_show(replica, query, request->show); break;
	case CLIENT__REQUEST__BODY_SESSIONS: read_sessions(replica, query, request->sessions); break;
	case CLIENT__REQUEST__BODY_OBSERVE: watch_observe(replica, &query->asker, request->observe); break;
	case CLIENT__REQUEST__BODY_BACKUP: backup_begin(replica, query); break;
	default: assert(!"a request that is no read waits to be served");
	}
}

/* ---- The node itself ----------------------------------------------------------------------------------------------
 */

static const char *read_role(const struct replica *replica) {
	static const char *const names[] = {
		[RAFT_FOLLOWER] = "follower",
		[RAFT_PRECANDIDATE] = "pre-candidate",
		[RAFT_CANDIDATE] = "candidate",
		[RAFT_LEADER] = "leader",
	};

	return replica_is_blank(replica) ? "blank" : names[replica->status.role];
}

static ProtobufCBinaryData read_string(const char *text) {
	return (ProtobufCBinaryData){.len = text ? strlen(text) : 0, .data = (uint8_t *)text};
}

static uint32_t read_since_ms(const struct replica *replica, raft_usec at) {
	raft_usec ms = (replica->node->clocks.mono - at) / 1000;

	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX - 1;
}

static void read_fill_progress(const struct replica *replica, Client__Peer *ret) {
	struct raft_peer peer;

	ret->contact_ms = UINT32_MAX;
	if (!raft_get_peer(replica->raft, ret->node, &peer))
		return;
	ret->match = peer.match;
	if (peer.contact > 0)
		ret->contact_ms = read_since_ms(replica, peer.contact);
	ret->rtt_us = peer.rtt < UINT32_MAX ? (uint32_t)peer.rtt : UINT32_MAX;
	ret->caught_up = peer.caught_up;
	ret->unfit = peer.unfit;
	ret->snapshot = peer.snapshot;
}

static void read_fill_peer(const struct replica *replica, const struct raft_member *member, Client__Peer *ret) {
	const struct node_address *address = members_find_address(replica->node, member->node);

	client__peer__init(ret);
	ret->node = member->node;
	ret->voter = (member->roles & RAFT_ROLE_VOTER) != 0;
	ret->roles = member->roles;
	ret->priority = member->priority;
	ret->store = (ProtobufCBinaryData){.len = sizeof member->store.bytes, .data = (uint8_t *)member->store.bytes};
	if (address) {
		ret->peer_address = read_string(address->peer_address);
		ret->client_address = read_string(address->client_address);
	}
	read_fill_progress(replica, ret);
}

static void read_fill_members(const struct replica *replica, Client__NodeStatus *ret) {
	raft_index index;
	const struct raft_configuration *members = raft_members(replica->raft, &index);
	struct turn *turn = &replica->node->turn;
	Client__Peer *peers;

	ret->transfer_to = replica->status.transfer_to;
	if (!members)
		return;
	ret->configuration_index = index;
	ret->joint = raft_configuration_is_joint(members);
	ret->promise_ms = members->promise_ms;
	ret->drift_ppm = members->drift_ppm;
	peers = turn_alloc(turn, members->n * sizeof *peers);
	ret->peers = turn_alloc(turn, members->n * sizeof *ret->peers);
	for (uint16_t i = 0; i < members->n; i++) {
		read_fill_peer(replica, &members->members[i], &peers[i]);
		ret->peers[ret->n_peers++] = &peers[i];
	}
}

static void read_fill_candidates(const struct replica *replica, Client__NodeStatus *ret) {
	const struct candidates *candidates = &replica->node->candidates;
	struct turn *turn = &replica->node->turn;
	Client__Candidate *rows = turn_alloc(turn, candidates->n * sizeof *rows);

	ret->candidates = turn_alloc(turn, candidates->n * sizeof *ret->candidates);
	for (size_t i = 0; i < candidates->n; i++) {
		const struct candidate *candidate = &candidates->items[i];
		Client__Candidate *row = &rows[i];

		client__candidate__init(row);
		row->node = candidate->address.node;
		row->store = (ProtobufCBinaryData){.len = sizeof candidate->store.bytes,
						   .data = (uint8_t *)candidate->store.bytes};
		row->peer_address = read_string(candidate->address.peer_address);
		row->client_address = read_string(candidate->address.client_address);
		row->age_ms = read_since_ms(replica, candidate->met);
		ret->candidates[ret->n_candidates++] = row;
	}
}

static void read_fill_times(const struct replica *replica, Client__NodeStatus *ret) {
	raft_usec lease_ms = queries_lease_left(replica) / 1000;

	ret->lease_ms = lease_ms < UINT32_MAX ? (uint32_t)lease_ms : UINT32_MAX;
	ret->ttl_ms_min = field_ttl_ms_min(&replica->node->timing);
	ret->heartbeat_ms = (uint32_t)(replica->node->timing.heartbeat / 1000);
	ret->election_ms_min = (uint32_t)(replica->node->timing.election_min / 1000);
	ret->election_ms_max = (uint32_t)(replica->node->timing.election_max / 1000);
}

static void read_fill_log(const struct replica *replica, Client__NodeStatus *ret) {
	const struct raft_status *status = &replica->status;

	ret->term = status->term;
	ret->leader = status->leader;
	ret->commit = status->commit;
	ret->applied = state_applied(replica->state);
	ret->log_first = status->first;
	ret->log_last = status->last;
	ret->log_bytes = replica->cache.bytes;
	ret->checkpoint = replica->checkpoint.durable;
}

static void read_fill_counts(const struct replica *replica, Client__NodeStatus *ret) {
	struct state_counts counts = state_get_counts(replica->state);

	ret->sessions = counts.sessions;
	ret->locks = counts.locks;
	ret->seats = counts.seats;
	ret->pending = replica->node->pending_requests + replica->seats.asked;
}

/* What is committed names the present store once the node has got everything up to its return: the configuration that
 * names it is made when it has called. */
bool read_is_restoring(const struct replica *replica) {
	raft_index index;
	const struct raft_configuration *committed =
		raft_configuration_at(replica->raft, replica->status.commit, &index);

	return replica->node->repairs > 0 && (!committed || !members_name_us(replica->node, committed));
}

static void read_fill_storage(const struct replica *replica, Client__NodeStatus *ret) {
	ret->disk_full = replica->node->blocked;
	ret->repairs = replica->node->repairs;
	ret->damage = read_string(replica->node->damage);
	ret->restoring = read_is_restoring(replica);
}

void read_status(struct replica *replica, node_connection connection, uint64_t id) {
	struct node *node = replica->node;
	Client__Reply reply = CLIENT__REPLY__INIT;
	Client__NodeStatus status = CLIENT__NODE_STATUS__INIT;
	uint8_t hash[16];

	replica_pack_hash(state_get_hash(replica->state), hash);
	status.node = node->id;
	status.group = replica->group;
	status.epoch = node->epoch;
	status.role = read_string(read_role(replica));
	status.version = read_string(node->version);
	status.uptime_ms = (node->clocks.mono - node->started) / 1000;
	status.state_hash = (ProtobufCBinaryData){.len = sizeof hash, .data = hash};
	if (!node_is_blank(node))
		status.incarnation =
			(ProtobufCBinaryData){.len = sizeof node->incarnation, .data = node->incarnation.bytes};
	read_fill_log(replica, &status);
	read_fill_times(replica, &status);
	read_fill_counts(replica, &status);
	read_fill_members(replica, &status);
	read_fill_candidates(replica, &status);
	status.fit = leadership_is_fit(replica);
	read_fill_storage(replica, &status);
	status.machine_version = state_get_version(replica->state).current;
	status.machine_version_max = node->machine_version_max;
	reply.node = &status;
	client_reply(node, connection, id, &reply);
}
