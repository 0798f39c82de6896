/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include "admission.h"
#include "api/frame.h"
#include "api/limits.h"
#include "backup.h"
#include "field.h"
#include "hello.h"
#include "memory.h"
#include "read.h"
#include "replica.h"
#include "watch.h"

#include <lockd/status.h>

/* A request on its way through this file. */
struct request {
	struct replica *replica;
	struct client *client;
	uint64_t id;
	const Client__Request *body;
	const uint8_t *bytes;
	size_t n;
};

static void request_reply(const struct request *request, int status, const char *text) {
	if (status == LOCKD_NOT_LEADER)
		client_redirect(request->replica, request->client->connection, request->id, text);
	else
		client_reply_status(request->replica->node, request->client->connection, request->id, status, text);
}

/* ---- Commands -----------------------------------------------------------------------------------------------------
 */

/* The bodies of both protocols, side by side; what a command points to is borrowed from the request. */
struct request_command {
	Command__Command command;
	Command__SessionId session;
	union {
		Command__Open open;
		Command__Close close;
		Command__Acquire acquire;
		Command__Cancel cancel;
		Command__Release release;
	} body;
};

static void request_fill_open(const Client__Open *from, struct request_command *ret) {
	command__open__init(&ret->body.open);
	ret->body.open.nonce = from->nonce;
	ret->body.open.ttl_ms = from->ttl_ms;
	ret->body.open.owner = from->owner;
	ret->body.open.host = from->host;
	ret->body.open.pid = from->pid;
	ret->body.open.label = from->label;
	ret->command.body_case = COMMAND__COMMAND__BODY_OPEN;
	ret->command.open = &ret->body.open;
}

static void request_fill_acquire(const Client__Acquire *from, struct request_command *ret) {
	command__acquire__init(&ret->body.acquire);
	ret->body.acquire.name = from->name;
	ret->body.acquire.wait_ms = from->wait_ms;
	ret->body.acquire.value = from->value;
	ret->command.body_case = COMMAND__COMMAND__BODY_ACQUIRE;
	ret->command.acquire = &ret->body.acquire;
}

static void request_fill_cancel(const Client__Cancel *from, struct request_command *ret) {
	command__cancel__init(&ret->body.cancel);
	ret->body.cancel.target = from->target;
	ret->command.body_case = COMMAND__COMMAND__BODY_CANCEL;
	ret->command.cancel = &ret->body.cancel;
}

static void request_fill_release(const Client__Release *from, struct request_command *ret) {
	command__release__init(&ret->body.release);
	ret->body.release.name = from->name;
	ret->body.release.token = from->token;
	ret->command.body_case = COMMAND__COMMAND__BODY_RELEASE;
	ret->command.release = &ret->body.release;
}

static void request_fill_close(struct request_command *ret) {
	command__close__init(&ret->body.close);
	ret->command.body_case = COMMAND__COMMAND__BODY_CLOSE;
	ret->command.close = &ret->body.close;
}

static void request_fill_body(const Client__Request *from, struct request_command *ret) {
	switch (from->body_case) {
	case CLIENT__REQUEST__BODY_OPEN: request_fill_open(from->open, ret); break;
	case CLIENT__REQUEST__BODY_ACQUIRE: request_fill_acquire(from->acquire, ret); break;
	case CLIENT__REQUEST__BODY_CANCEL: request_fill_cancel(from->cancel, ret); break;
	case CLIENT__REQUEST__BODY_RELEASE: request_fill_release(from->release, ret); break;
	default: request_fill_close(ret); break;
	}
}

static void request_fill(const Client__Request *from, struct request_command *ret) {
	command__command__init(&ret->command);
	if (from->session) {
		command__session_id__init(&ret->session);
		ret->session.epoch = from->session->epoch;
		ret->session.group = from->session->group;
		ret->session.opened = from->session->opened;
		ret->command.session = &ret->session;
	}
	ret->command.sequence = from->sequence;
	ret->command.floor = from->floor;
	request_fill_body(from, ret);
}

/* The lock that an acquire is ready to wait for while another session holds it; empty: anything else. */
static struct node_bytes request_waits_for(const struct request *request) {
	const Client__Acquire *acquire = request->body->acquire;
	struct state_lock lock;

	if (request->body->body_case != CLIENT__REQUEST__BODY_ACQUIRE ||
	    acquire->wait_ms < PENDING_PATIENT_WAIT_MS_MIN ||
	    !state_get_lock(request->replica->state, acquire->name.data, acquire->name.len, &lock) ||
	    lock.holder == request->body->session->opened)
		return (struct node_bytes){0};
	return (struct node_bytes){.bytes = acquire->name.data, .n = acquire->name.len};
}

static void request_propose(const struct request *request) {
	bool open = request->body->body_case == CLIENT__REQUEST__BODY_OPEN;
	struct request_command command;
	uint8_t batch[PENDING_REQUEST_BYTES_MAX];
	struct asker asker;
	size_t bytes;
	int status;

	request_fill(request->body, &command);
	bytes = pending_pack(&command.command, batch);
	status = admission_check_command(request->replica, request->client, bytes);
	if (status != LOCKD_OK) {
		request_reply(request, status, NULL);
		return;
	}
	asker = asker_admit(request->replica->node, request->client, request->id, bytes);
	pending_push_request(request->replica, open ? PENDING_OPEN : PENDING_REQUEST, &asker,
			     (struct node_bytes){.bytes = batch, .n = bytes}, request_waits_for(request));
}

/* ---- Reads --------------------------------------------------------------------------------------------------------
 */

static void request_query(const struct request *request) {
	const char *text = NULL;
	int status = admission_check_read(request->replica, request->client, request->body, request->n, &text);
	struct asker asker;

	if (status != LOCKD_OK) {
		request_reply(request, status, text);
		return;
	}
	asker = asker_admit(request->replica->node, request->client, request->id, request->n);
	query_push_read(request->replica, &asker, request->body,
			(struct node_bytes){.bytes = request->bytes, .n = request->n});
}

/* One that begins waits like a read for the proof that it will hold all that was answered. */
static void request_backup(const struct request *request) {
	struct node *node = request->replica->node;

	if (request->body->backup->backup > 0)
		backup_read(node, request->client, request->id, request->body->backup);
	else if (node->blocked)
		request_reply(request, LOCKD_DISK_FULL, NULL);
	else
		request_query(request);
}

/* Ending what does not exist is done already. */
static void request_unobserve(const struct request *request) {
	node_connection connection = request->client->connection;
	uint64_t observation = request->body->unobserve->observation;

	if (!watch_unobserve(request->replica, connection, observation))
		(void)query_cancel(request->replica, connection, observation);
	request_reply(request, LOCKD_OK, NULL);
}

static void request_keep_alive(const struct request *request) {
	struct asker asker = {.connection = request->client->connection, .id = request->id};
	uint32_t sessions = (uint32_t)request->body->keep_alive->n_sessions;

	if (!request->replica->leading) {
		request_reply(request, LOCKD_NOT_LEADER, NULL);
		return;
	}
	query_push_keep_alive(request->replica, &asker, sessions,
			      (struct node_bytes){.bytes = request->bytes, .n = request->n});
}

/* ---- Members and leadership ---------------------------------------------------------------------------------------
 */

static bool request_is_admitted(const struct request *request, bool busy) {
	int status = admission_check_command(request->replica, request->client, request->n);

	if (status == LOCKD_OK && busy)
		status = LOCKD_UNSETTLED;
	if (status != LOCKD_OK)
		request_reply(request, status, NULL);
	return status == LOCKD_OK;
}

static void request_change_members(const struct request *request) {
	struct asker asker;

	if (!request_is_admitted(request, membership_is_busy(request->replica)))
		return;
	asker = asker_admit(request->replica->node, request->client, request->id, request->n);
	membership_begin(request->replica, &asker, request->bytes, request->n);
}

static void request_transfer_leader(const struct request *request) {
	struct asker asker;

	if (!request_is_admitted(request, leadership_is_asked(request->replica)))
		return;
	asker = asker_admit(request->replica->node, request->client, request->id, request->n);
	leadership_ask(request->replica, &asker, request->body->transfer_leader->node);
}

/* ---- Frames -------------------------------------------------------------------------------------------------------
 */

/* A node that was removed, or is not yet a member, speaks for no cluster. Its status is its own. */
static bool request_is_for_us(const struct request *request) {
	return request->body->body_case == CLIENT__REQUEST__BODY_STATUS || members_have_us(request->replica);
}

static void request_dispatch(const struct request *request) {
	switch (request->body->body_case) {
	case CLIENT__REQUEST__BODY_OPEN:
	case CLIENT__REQUEST__BODY_CLOSE:
	case CLIENT__REQUEST__BODY_ACQUIRE:
	case CLIENT__REQUEST__BODY_CANCEL:
	case CLIENT__REQUEST__BODY_RELEASE: request_propose(request); break;
	case CLIENT__REQUEST__BODY_KEEP_ALIVE: request_keep_alive(request); break;
	case CLIENT__REQUEST__BODY_LIST:
	case CLIENT__REQUEST__BODY_SHOW:
	case CLIENT__REQUEST__BODY_SESSIONS:
	case CLIENT__REQUEST__BODY_OBSERVE: request_query(request); break;
	case CLIENT__REQUEST__BODY_UNOBSERVE: request_unobserve(request); break;
	case CLIENT__REQUEST__BODY_BACKUP: request_backup(request); break;
	case CLIENT__REQUEST__BODY_STATUS:
		read_status(request->replica, request->client->connection, request->id);
		break;
	case CLIENT__REQUEST__BODY_CHANGE_MEMBERS: request_change_members(request); break;
	case CLIENT__REQUEST__BODY_TRANSFER_LEADER: request_transfer_leader(request); break;
	default: request_reply(request, LOCKD_INVALID, "body: missing, or unknown to this version"); break;
	}
}

static void request_handle(struct node *node, struct client *client, const struct node_event *event) {
	struct request request = {
		/* The default group owns every slot. */
		.replica = node_find_replica(node, NODE_GROUP_DEFAULT),
		.client = client,
		.id = event->id,
		.bytes = event->body,
		.n = event->body_bytes,
	};
	struct field_fault fault;

	request.body = node_unpack_request(node, event->body, event->body_bytes);
	if (!request.body) {
		client_refuse(node, client, event->id, "the request does not decode");
		return;
	}
	tally_request(node, request.body->body_case);
	if (field_find_fault(request.body, &node->timing, &fault)) {
		request_reply(&request, LOCKD_INVALID, fault.text);
		return;
	}
	if (request_is_for_us(&request))
		request_dispatch(&request);
	else
		request_reply(&request, LOCKD_NOT_LEADER, "the node is no member of the cluster");
}

void request_recv(struct node *node, const struct node_event *event) {
	struct client *client = client_open(node, event->connection);

	if (client->closing)
		return;
	if (!client->greeted)
		hello_recv(node, client, event);
	else if (event->type == FRAME_REQUEST)
		request_handle(node, client, event);
	else
		client_refuse(node, client, event->id, "a frame of this type is not expected here");
}
