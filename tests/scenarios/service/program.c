/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenarios/service/program.h"

#include "api/frame.h"
#include "tests/scenarios/service/world.h"
#include "tests/sim/client_wire.h"

#include <assert.h>
#include <inttypes.h>
#include <lockd/status.h>
#include <stdio.h>
#include <string.h>

static const char *const VERBS[] = {
	[CLIENT_OPEN] = "OPEN",       [CLIENT_KEEP_ALIVE] = "KEEP_ALIVE",
	[CLIENT_ACQUIRE] = "ACQUIRE", [CLIENT_RELEASE] = "RELEASE",
	[CLIENT_SHOW] = "SHOW",
};

static struct program *program_of(const struct client *client) {
	return (struct program *)client->script;
}

/* ---- Hearing -------------------------------------------------------------------------------------------------------
 */

static void forget_session(struct client *client) {
	client->session = 0;
	memset(client->holds, 0, sizeof(client->holds));
}

/* So that the checker of P3 knows what this program believes. */
static void believe(struct sim *sim, struct client *client, const struct client_request *request, uint64_t token) {
	struct client_hold *hold = &client->holds[0];

	for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
		if (client->holds[i].held && client->holds[i].sequence == request->sequence)
			return;
		if (!client->holds[i].held)
			hold = &client->holds[i];
	}
	*hold = (struct client_hold){
		.held = true, .believed = true, .lock = request->lock, .token = token, .sequence = request->sequence};
	checker_lock_granted(sim, client->id, request->lock);
}

static void believe_no_more(struct client *client, uint32_t lock) {
	for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
		if (client->holds[i].lock == lock)
			client->holds[i].held = client->holds[i].believed = false;
	}
}

static void take_in(struct sim *sim, struct client *client, const struct client_frame *frame,
		    const Client__Reply *reply) {
	const struct client_request *request = &frame->request;

	if (reply->status == LOCKD_SESSION_EXPIRED)
		forget_session(client);
	if (reply->status != LOCKD_OK)
		return;
	switch (request->kind) {
	case CLIENT_OPEN:
		client->session = reply->session->opened;
		client->opening = false;
		client->acked_at = request->begun;
		break;
	case CLIENT_KEEP_ALIVE:
		if (reply->keep_alives[0] != LOCKD_OK)
			forget_session(client);
		else if (client->acked_at < frame->sent)
			client->acked_at = frame->sent;
		break;
	case CLIENT_ACQUIRE: believe(sim, client, request, reply->token); break;
	default: break;
	}
}

/* A token is epoch << 40 | counter; both in sight are easier to read. */
static void tell_answer(struct world *world, const struct client *client, const struct client_frame *frame,
			const struct program_answer *answer) {
	char more[64] = "";

	if (answer->status == LOCKD_OK && frame->request.kind == CLIENT_ACQUIRE)
		snprintf(more, sizeof(more), ", token %" PRIu64 ".%" PRIu64, answer->token >> 40,
			 answer->token & ((UINT64_C(1) << 40) - 1));
	else if (answer->status == LOCKD_OK && frame->request.kind == CLIENT_SHOW && answer->seen_token)
		snprintf(more, sizeof(more), ", held under token %" PRIu64 ".%" PRIu64, answer->seen_token >> 40,
			 answer->seen_token & ((UINT64_C(1) << 40) - 1));
	else if (answer->status == LOCKD_OK && frame->request.kind == CLIENT_SHOW)
		snprintf(more, sizeof(more), ", free");
	world_tell(world, WORLD_TELL_REQUESTS, "c%u hears from n%u: %s, to %s%s", client->id, answer->node,
		   lockd_status_name(answer->status), VERBS[frame->request.kind], more);
}

static int status_of(const struct client_frame *frame, const Client__Reply *reply) {
	if (frame->request.kind == CLIENT_KEEP_ALIVE && reply->status == LOCKD_OK)
		return (int)reply->keep_alives[0];
	return (int)reply->status;
}

static void heard(struct sim *sim, struct client *client, const struct client_frame *frame,
		  const Client__Reply *reply) {
	struct program *program = program_of(client);
	struct program_answer *answer = &program->answers[frame->id % PROGRAM_ANSWERS_MAX];

	checker_lock_told(sim, reply);
	if (reply->status == LOCKD_QUEUED)
		return;
	*answer = (struct program_answer){.frame = frame->id,
					  .status = status_of(frame, reply),
					  .token = reply->token,
					  .revision = reply->revision,
					  .leader = reply->leader,
					  .age_ms = reply->age_ms,
					  .node = client->node,
					  .asked = frame->sent,
					  .given = sim->now};
	if (reply->n_locks > 0 && reply->locks[0]->holder)
		answer->seen_token = reply->locks[0]->token;
	program->answered++;
	if (program->revision < reply->revision)
		program->revision = reply->revision;
	take_in(sim, client, frame, reply);
	tell_answer(program->world, client, frame, answer);
}

/* What was sent by hand, and is unknown to the simulator's client. */
static void heard_by_hand(struct sim *sim, struct client *client, uint64_t frame_id, const Client__Reply *reply) {
	struct program *program = program_of(client);
	struct program_answer *answer = &program->answers[frame_id % PROGRAM_ANSWERS_MAX];

	if (answer->expected != frame_id)
		return;
	answer->frame = frame_id;
	answer->status = (int)reply->status;
	answer->revision = reply->revision;
	answer->leader = reply->leader;
	answer->age_ms = reply->age_ms;
	answer->node = client->node;
	answer->given = sim->now;
	answer->seen_token = reply->n_locks > 0 && reply->locks[0]->holder ? reply->locks[0]->token : 0;
	if (program->revision < reply->revision)
		program->revision = reply->revision;
	program->answered++;
}

static void received(struct sim *sim, struct client *client, uint8_t type, uint64_t frame_id, const uint8_t *body,
		     size_t n) {
	const struct client_frame *frame = client_find_frame(client, client->connection, frame_id);

	if (type == FRAME_HELLO_REPLY) {
		const Client__HelloReply *reply = client__hello_reply__unpack(&sim->client_arena.allocator, n, body);

		assert(reply);
		client->greeted = reply->status == LOCKD_OK;
		program_of(client)->hello = (int)reply->status;
	} else if (type == FRAME_REPLY) {
		const Client__Reply *reply = client__reply__unpack(&sim->client_arena.allocator, n, body);

		assert(reply);
		if (frame)
			heard(sim, client, frame, reply);
		else
			heard_by_hand(sim, client, frame_id, reply);
	}
}

static void closed(struct sim *sim, struct client *client) {
	(void)sim;
	world_tell(program_of(client)->world, WORLD_TELL_REQUESTS, "c%u's connection to n%u is closed", client->id,
		   client->node);
}

void program_init(struct program *program, struct world *world, uint32_t id) {
	struct client *client = &world->sim->clients[id - 1];

	program->script = (struct client_script){received, closed};
	program->world = world;
	program->client = client;
	client->id = id;
	client->ttl_ms = world->ttl_ms;
	client->next_sequence = 1;
	client->script = &program->script;
	memset(client->nonce, (int)id, sizeof(client->nonce));
}

/* ---- Asking --------------------------------------------------------------------------------------------------------
 */

void program_disconnect(struct program *program) {
	struct client *client = program->client;

	if (client->connection)
		network_hang_up(program->world->sim, client->connection, false);
	client->connection = 0;
	client->greeted = false;
}

bool program_connect(struct program *program, uint32_t node) {
	struct world *world = program->world;
	struct client *client = program->client;
	sim_usec until = world->sim->now + 1 * SECOND;

	program_disconnect(program);
	client->connection = network_connect(world->sim, client->id, node);
	client->node = node;
	if (!client->connection)
		return false;
	client_wire_hello(world->sim, client);
	while (client->connection && !client->greeted && world->sim->now < until)
		world_step(world);
	return client->greeted;
}

int program_hello(struct program *program, uint32_t node, const struct node_uuid *incarnation) {
	struct world *world = program->world;
	struct client *client = program->client;
	Client__Hello hello = CLIENT__HELLO__INIT;
	sim_usec until = world->sim->now + 1 * SECOND;
	uint8_t packed[64];

	program_disconnect(program);
	program->hello = -1;
	client->connection = network_connect(world->sim, client->id, node);
	client->node = node;
	hello.protocol_min = PROTOCOL_VERSION_MIN;
	hello.protocol_max = PROTOCOL_VERSION_MAX;
	hello.incarnation = (ProtobufCBinaryData){sizeof(incarnation->bytes), (uint8_t *)incarnation->bytes};
	network_client_to_node(world->sim, client->connection, FRAME_HELLO, ++client->next_frame, packed,
			       client__hello__pack(&hello, packed));
	while (program->hello < 0 && world->sim->now < until)
		world_step(world);
	return program->hello;
}

/* The request that program_repeat() sends again: it stays in its place, and so the session's floor below it, until the
 * next one is begun. */
static struct client_request *begin(struct program *program, enum client_kind kind) {
	struct client *client = program->client;
	struct client_request *request = &client->requests[0];

	*request = (struct client_request){
		.kind = kind, .begun = program->world->sim->now, .read_floor = program->world->sim->acknowledged};
	if (kind == CLIENT_ACQUIRE || kind == CLIENT_RELEASE)
		request->sequence = client->next_sequence++;
	if (kind != CLIENT_OPEN)
		request->session = client->session;
	return request;
}

static uint64_t send(struct program *program, struct client_request *request) {
	struct client *client = program->client;
	char what[64] = "";

	if (request->sequence)
		snprintf(what, sizeof(what), " lock-%u, sequence %" PRIu64, request->lock, request->sequence);
	else if (request->kind == CLIENT_SHOW)
		snprintf(what, sizeof(what), " lock-%u", request->lock);
	world_tell(program->world, WORLD_TELL_REQUESTS, "c%u asks n%u: %s%s%s", client->id, client->node,
		   VERBS[request->kind], what, request->sends > 0 ? ", again" : "");
	client_wire_send(program->world->sim, client, request);
	return client->next_frame;
}

uint64_t program_open(struct program *program) {
	program->client->opening = true;
	program->client->opening_since = program->world->sim->now;
	program->client->next_sequence = 1;
	return send(program, begin(program, CLIENT_OPEN));
}

/* Beside the others: it is never sent again. */
uint64_t program_keep_alive(struct program *program) {
	struct client *client = program->client;
	struct client_request request = {
		.kind = CLIENT_KEEP_ALIVE, .session = client->session, .begun = program->world->sim->now};

	return send(program, &request);
}

uint64_t program_acquire(struct program *program, uint32_t lock, uint32_t wait_ms) {
	struct client_request *request = begin(program, CLIENT_ACQUIRE);

	request->lock = lock;
	request->wait_ms = wait_ms;
	return send(program, request);
}

uint64_t program_release(struct program *program, uint32_t lock, uint64_t token) {
	struct client_request *request = begin(program, CLIENT_RELEASE);

	request->lock = lock;
	request->argument = token;
	believe_no_more(program->client, lock);
	return send(program, request);
}

uint64_t program_show(struct program *program, uint32_t lock) {
	struct client_request *request = begin(program, CLIENT_SHOW);

	request->lock = lock;
	return send(program, request);
}

static uint64_t send_by_hand(struct program *program, const Client__Request *request, Client__ReadLevel level) {
	struct client *client = program->client;
	struct sim *sim = program->world->sim;
	uint64_t frame = ++client->next_frame;
	uint8_t packed[128];

	assert(client__request__get_packed_size(request) <= sizeof(packed));
	program->answers[frame % PROGRAM_ANSWERS_MAX] = (struct program_answer){.expected = frame,
										.asked = sim->now,
										.level = level,
										.floor = sim->acknowledged,
										.at_least = request->at_least};
	network_client_to_node(sim, client->connection, FRAME_REQUEST, frame, packed,
			       client__request__pack(request, packed));
	return frame;
}

uint64_t program_read(struct program *program, uint32_t lock, Client__ReadLevel level) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Show show = CLIENT__SHOW__INIT;
	char name[16];

	show.name = (ProtobufCBinaryData){model_name_of(lock, name, sizeof(name)), (uint8_t *)name};
	request.read_level = level;
	request.at_least = level == CLIENT__READ_LEVEL__SESSION ? program->revision : 0;
	request.body_case = CLIENT__REQUEST__BODY_SHOW;
	request.show = &show;
	return send_by_hand(program, &request, level);
}

uint64_t program_transfer(struct program *program, uint32_t to) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__TransferLeader transfer = CLIENT__TRANSFER_LEADER__INIT;

	transfer.node = to;
	request.body_case = CLIENT__REQUEST__BODY_TRANSFER_LEADER;
	request.transfer_leader = &transfer;
	return send_by_hand(program, &request, CLIENT__READ_LEVEL__LINEARIZABLE);
}

uint64_t program_repeat(struct program *program) {
	return send(program, &program->client->requests[0]);
}

/* ---- Answers -------------------------------------------------------------------------------------------------------
 */

const struct program_answer *program_answer(const struct program *program, uint64_t frame) {
	const struct program_answer *answer = &program->answers[frame % PROGRAM_ANSWERS_MAX];

	return answer->frame == frame ? answer : NULL;
}

const struct program_answer *program_await(struct program *program, uint64_t frame, sim_usec limit) {
	struct world *world = program->world;
	sim_usec until = world->sim->now + limit;

	while (!program_answer(program, frame) && program->client->connection && world->sim->now < until)
		world_step(world);
	return program_answer(program, frame);
}

static bool is_definite(const struct program_answer *answer) {
	return answer && answer->status != LOCKD_NOT_LEADER && answer->status != LOCKD_LEADER_CHANGED &&
	       answer->status != LOCKD_BUSY && answer->status != LOCKD_DISK_FULL;
}

const struct program_answer *program_settle(struct program *program, uint64_t frame, sim_usec limit) {
	struct world *world = program->world;
	sim_usec until = world->sim->now + limit;
	sim_usec patience = 2 * world->sim->plan.timing.election_min;
	const struct program_answer *answer = program_await(program, frame, patience);
	uint32_t next = 0;

	while (!is_definite(answer)) {
		uint32_t to = answer && answer->leader ? answer->leader : next++ % world->sim->plan.nodes + 1;

		world_expect(world->sim->now < until, "answer", "c%u has none within %" PRIu64 " ms",
			     program->client->id, limit / MS);
		answer = NULL;
		if (program_connect(program, to))
			answer = program_await(program, program_repeat(program), patience);
		if (!answer || !answer->leader)
			world_run(world, 20 * MS);
	}
	return answer;
}

void program_begin(struct program *program) {
	const struct program_answer *answer;

	(void)program_connect(program, world_leader(program->world));
	answer = program_settle(program, program_open(program), 5 * SECOND);
	world_expect(answer->status == LOCKD_OK, "session", "OPEN is answered %s", lockd_status_name(answer->status));
}

sim_usec program_deadline(const struct program *program) {
	return client_deadline(program->world->sim, program->client);
}
