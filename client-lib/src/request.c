/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "clock.h"

#include "api/frame.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <lockd/admin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	RETRY_US_MIN = 10 * 1000,
	RETRY_US_MAX = 1000 * 1000,
	/* A node that has not answered a read for so long, which any other can answer too, hangs or lags. Since all
	   of them may be slow, or the way to them is, the next one has twice as long, up to so many times. */
	READ_US = 1000 * 1000,
	READ_DOUBLINGS_MAX = 3,
	/* How many more requests may be under way once all that are have been answered. */
	ROOM_PER_ROUND = 16,
};

int lockd__request_compare(const struct lockd__request *a, const struct lockd__request *b);
int lockd__request_compare(const struct lockd__request *a, const struct lockd__request *b) {
	return (a->frame_id > b->frame_id) - (a->frame_id < b->frame_id);
}

RB_GENERATE(lockd__sent, lockd__request, node, lockd__request_compare)

static int compare_waiting(const struct lockd__request *a, const struct lockd__request *b) {
	if (a->retry_us != b->retry_us)
		return a->retry_us < b->retry_us ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

RB_GENERATE_INTERNAL(lockd__waiting, lockd__request, node, compare_waiting, __attribute__((unused)) static)

/* ---- Making ----------------------------------------------------------------------------------------------------- */

/* With its texts in one piece of memory. */
struct lockd__request *lockd__request_new(struct lockd_client *client, struct lockd_session *session,
					  enum lockd__request_kind kind, const char *name, const char *value) {
	size_t name_bytes = (name ? strlen(name) : 0) + 1, value_bytes = (value ? strlen(value) : 0) + 1;
	/* Not by calloc(), which passes by what the thread has just freed: a request like this one. */
	struct lockd__request *request = malloc(sizeof *request + name_bytes + value_bytes);

	if (!request)
		return NULL;
	*request = (struct lockd__request){
		.kind = kind,
		.session = session,
		.order = client->next_order++,
		.name = request->texts,
		.value = request->texts + name_bytes,
	};
	memcpy(request->texts, name ? name : "", name_bytes);
	memcpy(request->texts + name_bytes, value ? value : "", value_bytes);
	if (kind == LOCKD__ACQUIRE) {
		request->spare = lockd__request_new(client, session, LOCKD__CANCEL, NULL, NULL);
		if (!request->spare) {
			lockd__request_free(request);
			return NULL;
		}
	}
	return request;
}

void lockd__request_free(struct lockd__request *request) {
	if (request->spare)
		lockd__request_free(request->spare);
	free(request->after);
	free(request);
}

static void wait_again(struct lockd_client *client, struct lockd__request *request, int64_t retry_us) {
	request->state = LOCKD__WAITING;
	request->connection = NULL;
	request->retry_us = retry_us;
	RB_INSERT(lockd__waiting, &client->waiting, request);
}

/* Lets those be sent again whose time has come. When the next one's comes. */
static int64_t take_due(struct lockd_client *client, int64_t now_us) {
	struct lockd__request key = {.retry_us = 1}, *request;

	while ((request = RB_NFIND(lockd__waiting, &client->waiting, &key))) {
		if (request->retry_us > now_us)
			return request->retry_us;
		RB_REMOVE(lockd__waiting, &client->waiting, request);
		wait_again(client, request, 0);
	}
	return LOCKD__NEVER;
}

static bool needs_leader(const struct lockd__request *request) {
	return !request->endpoint && !request->anywhere;
}

bool lockd__request_is_patient(const struct lockd__request *request) {
	return request->kind == LOCKD__CHANGE_MEMBERS || request->kind == LOCKD__TRANSFER_LEADER ||
	       request->kind == LOCKD__BACKUP;
}

/* Whether a leader that is well answers without waiting for anybody else. */
static bool is_prompt(const struct lockd__request *request) {
	return needs_leader(request) && !lockd__request_is_patient(request) &&
	       (request->kind != LOCKD__ACQUIRE || request->wait_ms == 0);
}

/* It becomes one more, or one fewer, of what the client counts. */
static void count(struct lockd_client *client, const struct lockd__request *request, unsigned one) {
	client->requests += one;
	if (!needs_leader(request))
		client->leaderless += one;
	if (lockd__request_is_patient(request))
		client->patient += one;
	if (request->endpoint)
		request->endpoint->pinned += one;
}

void lockd__request_submit(struct lockd_client *client, struct lockd__request *request) {
	if (request->session)
		TAILQ_INSERT_TAIL(&request->session->requests, request, member);
	wait_again(client, request, 0);
	count(client, request, 1);
	/* A call of several requests may come to its next one while the handle is being closed. */
	if (client->closing) {
		lockd__request_finish(client, request, LOCKD_CLOSED, 0, 0);
		return;
	}
	if (client->leader.node == 0 || !needs_leader(request))
		lockd__client_kick(client);
	(void)lockd__request_flush(client, lockd__clock_us());
}

/* ---- Waiting for the window ------------------------------------------------------------------------------------- */
/* What the window has no room for stands aside, so that sending costs no more with many requests than with few. */

static struct lockd__requests *blocked_queue(struct lockd__request *request) {
	return &request->session->blocked[request->kind == LOCKD__RELEASE];
}

static bool is_admitted(const struct lockd__request *request) {
	if (!request->session || request->kind == LOCKD__OPEN || request->sequence)
		return true;
	return lockd__session_admits(request->session, request);
}

static void stop_waiting(struct lockd_client *client, struct lockd__request *request) {
	if (request->blocked)
		TAILQ_REMOVE(blocked_queue(request), request, link);
	else
		RB_REMOVE(lockd__waiting, &client->waiting, request);
}

static void block(struct lockd_client *client, struct lockd__request *request) {
	struct lockd__requests *queue = blocked_queue(request);
	struct lockd__request *last = TAILQ_LAST(queue, lockd__requests), *behind;

	RB_REMOVE(lockd__waiting, &client->waiting, request);
	request->blocked = true;
	if (!last || last->order < request->order) {
		TAILQ_INSERT_TAIL(queue, request, link);
		return;
	}
	/* It was among the first before. */
	behind = TAILQ_FIRST(queue);
	while (behind->order < request->order)
		behind = TAILQ_NEXT(behind, link);
	TAILQ_INSERT_BEFORE(behind, request, link);
}

/* Takes the first ones back if there is room. false: there is not. */
static bool unblock(struct lockd_client *client, struct lockd_session *session) {
	struct lockd__request *request;
	bool moved = false;

	if (session->closing || client->closing || session->state == LOCKD_EXPIRED)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		request = TAILQ_FIRST(&session->blocked[i]);
		if (!request || !lockd__session_admits(session, request))
			continue;
		TAILQ_REMOVE(&session->blocked[i], request, link);
		request->blocked = false;
		wait_again(client, request, 0);
		moved = true;
	}
	if (moved)
		lockd__client_kick(client);
	return moved;
}

/* ---- Sending ---------------------------------------------------------------------------------------------------- */

/* NULL: the empty one. */
static ProtobufCBinaryData text_of(const char *text) {
	if (!text)
		text = "";
	return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

/* A retry of OPEN finds the session that an earlier transmission opened, whose lease began as early as that one. When
 * too much of it may be gone, a session under another nonce is better; the first one expires, holding nothing. */
static void choose_nonce(struct lockd__request *request, int64_t now_us) {
	ssize_t n;

	if (request->nonce_us && now_us - request->nonce_us < (int64_t)request->session->ttl_ms * 1000 / 4)
		return;
	request->nonce_us = now_us;
	do
		n = getrandom(request->nonce, sizeof request->nonce, 0);
	while (n < 0 && errno == EINTR);
	assert(n == sizeof request->nonce);
}

static void send_open(struct lockd_client *client, struct lockd__request *request, Client__Request *message) {
	Client__Open open = CLIENT__OPEN__INIT;

	choose_nonce(request, request->sent_us);
	open.nonce = (ProtobufCBinaryData){.len = sizeof request->nonce, .data = request->nonce};
	open.ttl_ms = request->session->ttl_ms;
	open.owner = text_of(client->owner);
	open.host = text_of(client->host);
	open.pid = (uint32_t)client->pid;
	open.label = text_of(request->session->label);
	message->body_case = CLIENT__REQUEST__BODY_OPEN;
	message->open = &open;
	lockd__connection_send(request->connection, FRAME_REQUEST, request->frame_id, &message->base);
}

static void send_in_session(struct lockd__request *request, Client__Request *message) {
	struct lockd_session *session = request->session;
	Client__SessionId id = CLIENT__SESSION_ID__INIT;
	Client__Close close = CLIENT__CLOSE__INIT;
	Client__Acquire acquire = CLIENT__ACQUIRE__INIT;
	Client__Cancel cancel = CLIENT__CANCEL__INIT;
	Client__Release release = CLIENT__RELEASE__INIT;

	id.epoch = session->epoch;
	id.group = session->group;
	id.opened = session->opened;
	message->session = &id;
	message->sequence = request->sequence;
	message->floor = lockd__session_floor(session);
	switch (request->kind) {
	case LOCKD__CLOSE:
		message->body_case = CLIENT__REQUEST__BODY_CLOSE;
		message->close = &close;
		break;
	case LOCKD__ACQUIRE:
		message->body_case = CLIENT__REQUEST__BODY_ACQUIRE;
		message->acquire = &acquire;
		acquire.name = text_of(request->name);
		acquire.wait_ms = request->wait_ms;
		acquire.value = text_of(request->value);
		break;
	case LOCKD__CANCEL:
		message->body_case = CLIENT__REQUEST__BODY_CANCEL;
		message->cancel = &cancel;
		cancel.target = request->target->sequence;
		break;
	default:
		assert(request->kind == LOCKD__RELEASE);
		message->body_case = CLIENT__REQUEST__BODY_RELEASE;
		message->release = &release;
		release.name = text_of(request->name);
		release.token = request->token;
		break;
	}
	lockd__connection_send(request->connection, FRAME_REQUEST, request->frame_id, &message->base);
}

_Static_assert((int)LOCKD_MEMBER_VOTER == (int)CLIENT__MEMBER_CHANGE__KIND__VOTER, "kinds are those of the wire");
_Static_assert((int)LOCKD_MEMBER_LEARNER == (int)CLIENT__MEMBER_CHANGE__KIND__LEARNER, "kinds are those of the wire");
_Static_assert((int)LOCKD_MEMBER_ABSENT == (int)CLIENT__MEMBER_CHANGE__KIND__ABSENT, "kinds are those of the wire");
_Static_assert((int)LOCKD_MEMBER_SAME == (int)CLIENT__MEMBER_CHANGE__KIND__SAME, "kinds are those of the wire");

static void send_changes(struct lockd__request *request, Client__Request *message) {
	Client__MemberChange changes[LOCKD_MEMBER_CHANGES_MAX], *pointers[LOCKD_MEMBER_CHANGES_MAX];
	Client__ChangeMembers body = CLIENT__CHANGE_MEMBERS__INIT;

	for (size_t i = 0; i < request->n_changes; i++) {
		const struct lockd_member_change *change = &request->changes[i];
		client__member_change__init(&changes[i]);
		changes[i].kind = (Client__MemberChange__Kind)change->kind;
		changes[i].node = change->node;
		changes[i].set_priority = change->set_priority != 0;
		changes[i].priority = change->set_priority ? change->priority : 0;
		changes[i].peer_address = text_of(change->peer_address);
		changes[i].client_address = text_of(change->client_address);
		pointers[i] = &changes[i];
	}
	body.n_changes = request->n_changes;
	body.changes = pointers;
	message->body_case = CLIENT__REQUEST__BODY_CHANGE_MEMBERS;
	message->change_members = &body;
	lockd__connection_send(request->connection, FRAME_REQUEST, request->frame_id, &message->base);
}

static void send_transfer(struct lockd_client *client, struct lockd__request *request, Client__Request *message) {
	Client__TransferLeader body = CLIENT__TRANSFER_LEADER__INIT;

	if (!request->in_doubt)
		request->leader_node = client->leader.node;
	body.node = request->target_node;
	message->body_case = CLIENT__REQUEST__BODY_TRANSFER_LEADER;
	message->transfer_leader = &body;
	lockd__connection_send(request->connection, FRAME_REQUEST, request->frame_id, &message->base);
}

_Static_assert((int)LOCKD_READ_LINEARIZABLE == (int)CLIENT__READ_LEVEL__LINEARIZABLE, "levels are those of the wire");
_Static_assert((int)LOCKD_READ_SESSION == (int)CLIENT__READ_LEVEL__SESSION, "levels are those of the wire");
_Static_assert((int)LOCKD_READ_STALE == (int)CLIENT__READ_LEVEL__STALE, "levels are those of the wire");

static void send_read(struct lockd_client *client, struct lockd__request *request, Client__Request *message) {
	Client__List list = CLIENT__LIST__INIT;
	Client__Show show = CLIENT__SHOW__INIT;
	Client__Sessions sessions = CLIENT__SESSIONS__INIT;
	Client__Status status = CLIENT__STATUS__INIT;

	message->read_level = (Client__ReadLevel)request->level;
	if (request->level == LOCKD_READ_SESSION)
		message->at_least = request->at_least > client->seen ? request->at_least : client->seen;
	switch (request->kind) {
	case LOCKD__LIST:
		message->body_case = CLIENT__REQUEST__BODY_LIST;
		message->list = &list;
		list.prefix = text_of(request->name);
		list.after = text_of(request->after);
		break;
	case LOCKD__SHOW:
		message->body_case = CLIENT__REQUEST__BODY_SHOW;
		message->show = &show;
		show.name = text_of(request->name);
		break;
	case LOCKD__SESSIONS:
		message->body_case = CLIENT__REQUEST__BODY_SESSIONS;
		message->sessions = &sessions;
		sessions.after = request->after_opened;
		break;
	default:
		assert(request->kind == LOCKD__STATUS);
		message->body_case = CLIENT__REQUEST__BODY_STATUS;
		message->status = &status;
		break;
	}
	lockd__connection_send(request->connection, FRAME_REQUEST, request->frame_id, &message->base);
}

static void send_backup(struct lockd__request *request, Client__Request *message) {
	Client__Backup body = CLIENT__BACKUP__INIT;

	body.backup = request->backup;
	body.offset = request->offset;
	message->body_case = CLIENT__REQUEST__BODY_BACKUP;
	message->backup = &body;
	lockd__connection_send(request->connection, FRAME_REQUEST, request->frame_id, &message->base);
}

static void send_outside_session(struct lockd_client *client, struct lockd__request *request,
				 Client__Request *message) {
	switch (request->kind) {
	case LOCKD__CHANGE_MEMBERS: send_changes(request, message); break;
	case LOCKD__TRANSFER_LEADER: send_transfer(client, request, message); break;
	case LOCKD__BACKUP: send_backup(request, message); break;
	default: send_read(client, request, message); break;
	}
}

static void transmit(struct lockd_client *client, struct lockd__request *request, struct lockd__connection *connection,
		     int64_t now_us) {
	Client__Request message = CLIENT__REQUEST__INIT;
	struct lockd_session *session = request->session;

	RB_REMOVE(lockd__waiting, &client->waiting, request);
	request->state = LOCKD__SENT;
	request->frame_id = client->next_frame_id++;
	request->connection = connection;
	request->sent_us = now_us;
	RB_INSERT(lockd__sent, &client->sent, request);
	client->prompt += is_prompt(request);

	if (request->kind == LOCKD__OPEN) {
		send_open(client, request, &message);
		return;
	}
	if (!session) {
		send_outside_session(client, request, &message);
		return;
	}
	if (request->sequence == 0) {
		request->sequence = session->next_sequence++;
		TAILQ_INSERT_TAIL(&session->open, request, open);
	}
	send_in_session(request, &message);
}

/* What the connection or a busy leader has no room for waits. */
static bool has_room(const struct lockd_client *client, const struct lockd__connection *connection) {
	return lockd__connection_has_room(connection) && client->prompt < client->prompt_max;
}

static bool may_go(const struct lockd_client *client, const struct lockd__request *request,
		   const struct lockd__connection *connection) {
	/* The cancellation speaks for an acquire that is being given up. */
	if (request->kind == LOCKD__ACQUIRE && request->cancel)
		return false;
	if (!connection)
		return false;
	return is_prompt(request) ? has_room(client, connection) : lockd__connection_has_room(connection);
}

/* Where it can go, as things are; NULL: nowhere. */
static struct lockd__connection *destination(struct lockd_client *client, const struct lockd__request *request,
					     struct lockd__connection *leader) {
	const struct lockd__endpoint *endpoint = request->endpoint;

	if (needs_leader(request))
		return leader;
	if (request->anywhere)
		endpoint = lockd__endpoint_for_read(client, request->rather);
	return endpoint && endpoint->greeted ? endpoint->connection : NULL;
}

/* Whether what a transfer asked for has come about, as seen from here. To ask the next leader again, where any node
 * would do, would move the leadership once more. */
static bool is_transferred(const struct lockd_client *client, const struct lockd__request *request) {
	uint32_t leader = client->leader.node;

	if (request->kind != LOCKD__TRANSFER_LEADER || !request->in_doubt || leader == 0)
		return false;
	return request->target_node ? leader == request->target_node : leader != request->leader_node;
}

/* One pass. Returns whether it made others sendable. `leader` may be NULL. */
static bool flush_once(struct lockd_client *client, struct lockd__connection *leader, int64_t now_us) {
	struct lockd__connection *connection;
	struct lockd__request *request, *next;
	bool moved = false;

	RB_FOREACH_SAFE (request, lockd__waiting, &client->waiting, next) {
		/* None of the others can be sent either, however many one looks at. */
		if (request->retry_us > 0 ||
		    (client->leaderless == 0 && is_prompt(request) && !has_room(client, leader)))
			break;
		if (is_transferred(client, request)) {
			lockd__request_finish(client, request, LOCKD_OK, 0, 0);
			continue;
		}
		connection = destination(client, request, leader);
		if (!is_admitted(request)) {
			block(client, request);
		} else if (may_go(client, request, connection)) {
			transmit(client, request, connection, now_us);
			moved = (request->session && unblock(client, request->session)) || moved;
		}
	}
	return moved;
}

int64_t lockd__request_flush(struct lockd_client *client, int64_t now_us) {
	struct lockd__connection *leader = lockd__leader_connection(client);
	int64_t next_us;

	if (!leader && client->leaderless == 0)
		return LOCKD__NEVER;
	next_us = take_due(client, now_us);
	while (flush_once(client, leader, now_us))
		;
	return next_us;
}

/* ---- Answers ---------------------------------------------------------------------------------------------------- */

static void take_back(struct lockd_client *client, struct lockd__request *request) {
	RB_REMOVE(lockd__sent, &client->sent, request);
	client->prompt -= is_prompt(request);
}

static void send_again(struct lockd_client *client, struct lockd__request *request, int64_t delay_us) {
	take_back(client, request);
	wait_again(client, request, delay_us ? lockd__clock_us() + delay_us : 0);
	lockd__client_kick(client);
}

void lockd__request_put_back(struct lockd_client *client, const struct lockd__connection *connection) {
	const struct lockd__connection *leader = lockd__leader_connection(client);
	struct lockd__request *request, *next;

	RB_FOREACH_SAFE (request, lockd__sent, &client->sent, next) {
		if (request->endpoint || (!connection && request->anywhere))
			continue;
		if (connection ? request->connection != connection : request->connection == leader)
			continue;
		request->in_doubt = true;
		send_again(client, request, 0);
	}
}

static int64_t overdue_us(const struct lockd__request *read) {
	unsigned doublings = read->retries < READ_DOUBLINGS_MAX ? read->retries : READ_DOUBLINGS_MAX;

	return read->sent_us + ((int64_t)READ_US << doublings);
}

int64_t lockd__request_tick(struct lockd_client *client, int64_t now_us) {
	struct lockd__request *request, *next;
	int64_t next_us = LOCKD__NEVER;

	if (client->leaderless == 0)
		return LOCKD__NEVER;
	RB_FOREACH_SAFE (request, lockd__sent, &client->sent, next) {
		if (!request->anywhere)
			continue;
		if (overdue_us(request) > now_us) {
			next_us = overdue_us(request) < next_us ? overdue_us(request) : next_us;
			continue;
		}
		request->retries++;
		request->rather = 0;
		send_again(client, request, 0);
	}
	return next_us;
}

static int64_t retry_delay_us(struct lockd_client *client, struct lockd__request *request) {
	unsigned doublings = request->retries < 7 ? request->retries : 7;
	int64_t range_us = (int64_t)RETRY_US_MIN << doublings;

	request->retries++;
	if (range_us > RETRY_US_MAX)
		range_us = RETRY_US_MAX;
	return RETRY_US_MIN + lockd__client_jitter_us(client, range_us);
}

/* The leader has no room for as many as are under way. From here on no more of them are than were not refused, and one
 * more with every few answers (congestion avoidance; Jacobson 1988): a program that asks for more than it can have
 * would otherwise spend its time, and the leader's, on refusals. The answer to one of them makes room for this one. */
static void yield(struct lockd_client *client, struct lockd__request *request) {
	send_again(client, request, 0);
	if (client->prompt < client->prompt_max)
		client->prompt_max = client->prompt;
	client->answers = 0;
}

static void note_room(struct lockd_client *client) {
	if (client->prompt_max == UINT_MAX || ++client->answers < client->prompt_max / ROOM_PER_ROUND)
		return;
	client->prompt_max++;
	client->answers = 0;
}

/* Remembers a refusal that says something about the cluster or the program, rather than about a lock. */
static void note_error(struct lockd_client *client, const Client__Reply *reply) {
	switch (reply->status) {
	case LOCKD_OK:
	case LOCKD_HELD:
	case LOCKD_WAIT_EXPIRED:
	case LOCKD_CANCELLED:
	case LOCKD_NOT_HOLDER:
	case LOCKD_NOT_FOUND: return;
	default: break;
	}
	(void)snprintf(client->error, sizeof client->error, "%s%s%.*s", lockd_status_text((int)reply->status),
		       reply->text.len ? ": " : "", (int)reply->text.len, (const char *)reply->text.data);
}

static void answer_open(struct lockd_client *client, struct lockd__request *request, const Client__Reply *reply,
			uint32_t drift_ppm) {
	/* Of a retried OPEN it is not known which transmission opened the session: the first one is the safe guess. */
	if (lockd__session_begin(request->session, reply, request->nonce_us, drift_ppm)) {
		lockd__request_finish(client, request, LOCKD_OK, 0, reply->revision);
		return;
	}
	request->nonce_us = 0;
	send_again(client, request, 0);
}

static void answer_cancel(struct lockd_client *client, struct lockd__request *request, const Client__Reply *reply) {
	struct lockd__request *acquire = request->target;

	/* Whatever the status, it is the same for a retry; only OK says that the acquire is undone. */
	lockd__request_finish(client, acquire,
			      reply->status == LOCKD_OK ? LOCKD_CANCELLED : (enum lockd_status)reply->status, 0,
			      reply->revision);
	lockd__request_finish(client, request, (enum lockd_status)reply->status, 0, reply->revision);
}

static void answer_acquire(struct lockd_client *client, struct lockd__request *request, const Client__Reply *reply) {
	struct lockd__request *cancel = request->cancel;

	if (cancel && reply->status == LOCKD_OK && (cancel->sequence || !request->done)) {
		/* Granted, but the cancellation gives it back. Its answer ends the acquire, whose sequence stays open
		 * until then, since the cluster forgets results below the floor. */
		request->in_doubt = true;
		send_again(client, request, 0);
		return;
	}
	if (cancel)
		lockd__request_finish(client, cancel, LOCKD_CANCELLED, 0, 0);
	lockd__request_finish(client, request, (enum lockd_status)reply->status, reply->token, reply->revision);
}

static void answer_read(struct lockd_client *client, struct lockd__request *request, const Client__Reply *reply,
			const uint8_t *body, size_t body_bytes) {
	struct lockd__waiter *waiter = request->waiter;
	enum lockd_status status = (enum lockd_status)reply->status;

	if (waiter) {
		waiter->body = malloc(body_bytes ? body_bytes : 1);
		if (waiter->body) {
			memcpy(waiter->body, body, body_bytes);
			waiter->body_bytes = body_bytes;
		} else {
			status = LOCKD_NO_MEMORY;
		}
	}
	lockd__request_finish(client, request, status, 0, reply->revision);
}

static void answer(struct lockd_client *client, struct lockd__request *request, const Client__Reply *reply,
		   const uint8_t *body, size_t body_bytes) {
	uint32_t drift_ppm = request->connection->endpoint->drift_ppm;

	note_error(client, reply);
	note_room(client);
	switch (request->kind) {
	case LOCKD__OPEN:
		if (reply->status == LOCKD_OK && reply->session) {
			answer_open(client, request, reply, drift_ppm);
			return;
		}
		break;
	case LOCKD__CANCEL: answer_cancel(client, request, reply); return;
	case LOCKD__ACQUIRE: answer_acquire(client, request, reply); return;
	case LOCKD__LIST:
	case LOCKD__SHOW:
	case LOCKD__SESSIONS:
	case LOCKD__STATUS:
	case LOCKD__BACKUP: answer_read(client, request, reply, body, body_bytes); return;
	default: break;
	}
	lockd__request_finish(client, request, (enum lockd_status)reply->status, reply->token, reply->revision);
}

/* Whether what stands in the way may be what the request itself has begun at an earlier leader; or that the next leader
 * has not met the nodes yet. */
static bool may_be_own(const struct lockd__request *request, const Client__Reply *reply) {
	if (!request->in_doubt)
		return false;
	return request->kind == LOCKD__CHANGE_MEMBERS || reply->status == LOCKD_UNSETTLED;
}

bool lockd__request_answered(struct lockd_client *client, struct lockd__connection *connection, uint64_t frame_id,
			     const Client__Reply *reply, const uint8_t *body, size_t body_bytes) {
	struct lockd__request key = {.frame_id = frame_id};
	struct lockd__request *request = RB_FIND(lockd__sent, &client->sent, &key);

	if (!request || request->connection != connection)
		return false;
	if (request->session && request->kind != LOCKD__OPEN) {
		/* No grant is handed out whose lease is over already: that ends all requests of the session. */
		const struct lockd_session *session = request->session;

		(void)lockd__session_update(request->session, lockd__clock_us());
		if (session->state == LOCKD_EXPIRED)
			return true;
	}
	switch (reply->status) {
	case LOCKD_QUEUED: break;                            /* the seat is taken; the grant is what is waited for */
	case LOCKD_LEADER_CHANGED: request->in_doubt = true; /* fall through */
	case LOCKD_NOT_LEADER:
		/* A follower without a leader cannot read for others: it, or another one, may be able to soon. */
		send_again(client, request, needs_leader(request) ? 0 : retry_delay_us(client, request));
		lockd__leader_refused(client, connection, reply);
		break;
	case LOCKD_UNSETTLED:
	case LOCKD_NOT_READY:
		if (!may_be_own(request, reply)) {
			answer(client, request, reply, body, body_bytes);
			break;
		}
		/* fall through */
	case LOCKD_DISK_FULL:
		/* Whoever makes a backup is better told than kept waiting. */
		if (request->kind == LOCKD__BACKUP) {
			answer(client, request, reply, body, body_bytes);
			break;
		}
		/* fall through */
	case LOCKD_BUSY:
		note_error(client, reply);
		if (reply->status == LOCKD_BUSY && is_prompt(request) && client->prompt > 1)
			yield(client, request);
		else
			send_again(client, request, retry_delay_us(client, request));
		break;
	case LOCKD_SESSION_EXPIRED:
		if (request->session && request->kind != LOCKD__OPEN) {
			lockd__session_expire(request->session);
			break;
		}
		/* fall through */
	default: answer(client, request, reply, body, body_bytes); break;
	}
	return true;
}

/* ---- Ending ----------------------------------------------------------------------------------------------------- */

static void take_out(struct lockd_client *client, struct lockd__request *request) {
	if (request->state == LOCKD__WAITING)
		stop_waiting(client, request);
	else
		take_back(client, request);
	request->state = LOCKD__FINISHED;
	count(client, request, -1U);
	if (!request->session)
		return;
	TAILQ_REMOVE(&request->session->requests, request, member);
	if (request->sequence)
		TAILQ_REMOVE(&request->session->open, request, open);
	if (request->number)
		*lockd__session_outcome(request->session, request->number) = (struct lockd__outcome){
			.number = request->number,
			.status = request->status,
			.grant = request->grant,
		};
	pthread_cond_broadcast(&request->session->resolved);
	(void)unblock(client, request->session);
}

void lockd__request_finish(struct lockd_client *client, struct lockd__request *request, enum lockd_status status,
			   uint64_t token, uint64_t revision) {
	struct lockd__waiter *waiter = request->waiter;

	assert(request->state != LOCKD__FINISHED);
	request->status = status;
	request->grant = (struct lockd_grant){.token = token, .revision = revision, .sequence = request->number};
	take_out(client, request);
	if (request->cancel)
		request->cancel->target = NULL;
	if (request->target)
		request->target->cancel = NULL;
	request->cancel = request->target = NULL;
	if (waiter) {
		waiter->status = status;
		waiter->grant = request->grant;
		waiter->done = true;
		pthread_cond_signal(&waiter->cond);
		if (waiter->together)
			pthread_cond_signal(waiter->together);
	}
	if (request->done) {
		request->session->callbacks++;
		TAILQ_INSERT_TAIL(&client->finished, request, link);
		lockd__client_due(client);
		return;
	}
	lockd__request_free(request);
}

void lockd__requests_end(struct lockd_client *client, const struct lockd__endpoint *endpoint,
			 enum lockd_status status) {
	struct lockd__request *request, *next;

	RB_FOREACH_SAFE (request, lockd__waiting, &client->waiting, next)
		if (!endpoint || request->endpoint == endpoint)
			lockd__request_finish(client, request, status, 0, 0);
	RB_FOREACH_SAFE (request, lockd__sent, &client->sent, next)
		if (!endpoint || request->endpoint == endpoint)
			lockd__request_finish(client, request, status, 0, 0);
}

void lockd__request_cancel(struct lockd_client *client, struct lockd__request *acquire) {
	struct lockd__request *cancel = acquire->spare;

	assert(acquire->kind == LOCKD__ACQUIRE);
	if (acquire->cancel)
		return;
	if (acquire->state == LOCKD__WAITING && !acquire->in_doubt) {
		lockd__request_finish(client, acquire, LOCKD_CANCELLED, 0, 0);
		return;
	}
	acquire->spare = NULL;
	acquire->cancel = cancel;
	cancel->target = acquire;
	lockd__request_submit(client, cancel);
}

/* Why it has had no effect. Who asks just one node wants to hear of that one. */
static enum lockd_status why_not_done(const struct lockd_client *client, const struct lockd__request *request) {
	return !request->endpoint && lockd__leader_lacks_space(client) ? LOCKD_DISK_FULL : LOCKD_UNREACHABLE;
}

enum lockd_status lockd__request_abandon(struct lockd_client *client, struct lockd__request *request) {
	enum lockd_status status;

	request->waiter = NULL;
	if (request->state == LOCKD__WAITING && !request->in_doubt) {
		status = why_not_done(client, request);
		lockd__request_finish(client, request, status, 0, 0);
		return status;
	}
	if (request->kind == LOCKD__ACQUIRE)
		lockd__request_cancel(client, request);
	else if (request->kind != LOCKD__RELEASE)
		lockd__request_finish(client, request, LOCKD_DEADLINE, 0, 0);
	return LOCKD_DEADLINE;
}

/* ---- Waiting ---------------------------------------------------------------------------------------------------- */

int lockd__waiter_init(struct lockd__waiter *waiter) {
	*waiter = (struct lockd__waiter){0};
	return lockd__clock_cond_init(&waiter->cond);
}

enum lockd_status lockd__waiter_wait(struct lockd_client *client, struct lockd__waiter *waiter,
				     struct lockd__request *request, int64_t deadline_us) {
	while (!waiter->done && lockd__clock_us() < deadline_us)
		lockd__clock_wait(&waiter->cond, &client->mutex, deadline_us);
	if (!waiter->done) {
		waiter->grant.sequence = request->number;
		waiter->status = lockd__request_abandon(client, request);
	}
	(void)pthread_cond_destroy(&waiter->cond);
	return waiter->status;
}
