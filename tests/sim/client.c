/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/client.h"

#include "api/client.pb-c.h"
#include "api/frame.h"
#include "tests/sim/client_wire.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <lockd/status.h>
#include <stdio.h>
#include <string.h>

enum {
	ANSWER_US = 1500000, /* a node that answers no keep-alive for so long is given up */
	WAIT_FOREVER = 0xffffffff,
	WINDOW_ACQUIRE = 40, /* sequences above the floor that new requests may use; the rest is for giving back */
	WINDOW_RELEASE = 60,
};

static bool chance(struct client *client, uint32_t ppm) {
	return prng_chance(&client->prng, ppm);
}

sim_usec client_deadline(const struct sim *sim, const struct client *client) {
	return client->acked_at + (sim_usec)client->ttl_ms * 1000 * 1000000 / (1000000 + sim->plan.drift_ppm_real);
}

/* ---- Requests ------------------------------------------------------------------------------------------------------
 */

static struct client_request *request_new(struct sim *sim, struct client *client, enum client_kind kind) {
	for (uint32_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
		if (client->requests[i].kind)
			continue;
		client->requests[i] = (struct client_request){.kind = kind, .slot = i, .begun = sim->now};
		return &client->requests[i];
	}
	return NULL;
}

static uint64_t window(const struct client *client) {
	uint64_t floor = client->next_sequence;
	for (size_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
		const struct client_request *request = &client->requests[i];
		if (request->kind && request->sequence && request->sequence < floor)
			floor = request->sequence;
	}
	return client->next_sequence - floor;
}

static struct client_request *sequenced_new(struct sim *sim, struct client *client, enum client_kind kind) {
	if (window(client) >= (kind == CLIENT_ACQUIRE ? WINDOW_ACQUIRE : WINDOW_RELEASE))
		return NULL;
	struct client_request *request = request_new(sim, client, kind);
	if (request) {
		request->session = client->session;
		request->sequence = client->next_sequence++;
	}
	return request;
}

static size_t count_kind(const struct client *client, enum client_kind kind) {
	size_t n = 0;
	for (size_t i = 0; i < CLIENT_REQUESTS_MAX; i++)
		n += client->requests[i].kind == kind;
	return n;
}

static void send(struct sim *sim, struct client *client, struct client_request *request) {
	client_wire_send(sim, client, request);
	if (!sim->healed && chance(client, sim->plan.duplicate_request_ppm))
		client_wire_send(sim, client, request);
}

/* What was asked over another connection is asked again, and sometimes what was asked long ago. */
static void send_waiting(struct sim *sim, struct client *client) {
	for (size_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
		struct client_request *request = &client->requests[i];
		if (!request->kind)
			continue;
		bool impatient = sim->now - request->sent > ANSWER_US && chance(client, 100000);
		if (request->connection != client->connection || impatient)
			send(sim, client, request);
	}
}

/* ---- Connection ----------------------------------------------------------------------------------------------------
 */

static void disconnect(struct sim *sim, struct client *client) {
	network_hang_up(sim, client->connection, chance(client, 200000));
	client->connection = 0;
	client->greeted = false;
	client->observation.active = false;
}

static bool is_walled_off(const struct sim *sim, const struct client *client, uint32_t node) {
	return client->wall.until > sim->now && !(client->wall.nodes >> node & 1);
}

static bool is_inside(const struct sim *sim, const struct client *client) {
	return client->wall.until > sim->now && client->wall.inside;
}

static void connect_somewhere(struct sim *sim, struct client *client) {
	uint32_t node = client->hint ? client->hint : (uint32_t)prng_range(&client->prng, 1, sim->plan.nodes);
	client->hint = 0;
	if (is_walled_off(sim, client, node))
		return;
	client->connection = network_connect(sim, client->id, node);
	client->node = node;
	client->greeted = false;
	client->connected_at = sim->now;
	client->keep_sent = client->unanswered_since = 0;
	client->observation.active = false;
	if (client->connection)
		client_wire_hello(sim, client);
}

void client_closed(struct sim *sim, uint32_t id, node_connection connection) {
	struct client *client = &sim->clients[id - 1];
	if (client->connection != connection)
		return;
	TRACE("c%u connection to n%u closed", id, client->node);
	client->connection = 0;
	client->greeted = false;
	client->observation.active = false;
	if (client->script)
		client->script->closed(sim, client);
}

/* ---- Session -------------------------------------------------------------------------------------------------------
 */

static void forget_session(struct client *client) {
	client->session = 0;
	client->opening = client->leaving = false;
	memset(client->holds, 0, sizeof(client->holds));
	for (size_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
		struct client_request *request = &client->requests[i];
		if (request->sequence || request->kind == CLIENT_OPEN)
			request->kind = 0;
	}
}

static void open_session(struct sim *sim, struct client *client) {
	struct client_request *request = request_new(sim, client, CLIENT_OPEN);
	if (!request)
		return;
	for (size_t i = 0; i < sizeof(client->nonce); i++)
		client->nonce[i] = (uint8_t)prng_next(&client->prng);
	client->opening = true;
	client->ttl_ms = sim->plan.ttl_ms + (uint32_t)prng_range(&client->prng, 0, sim->plan.ttl_spread_ms);
	/* From careful to hardly in time, so that marks of silence and their renewals are common. */
	client->keep_every = (sim_usec)client->ttl_ms * prng_range(&client->prng, 160, 700);
	client->opening_since = sim->now;
	client->next_sequence = 1;
}

static void keep_alive(struct sim *sim, struct client *client) {
	if (client->keep_sent && sim->now - client->keep_sent < client->keep_every && !is_inside(sim, client))
		return;
	if (!client->unanswered_since)
		client->unanswered_since = sim->now;
	struct client_request request = {.kind = CLIENT_KEEP_ALIVE, .session = client->session, .begun = sim->now};
	client->keep_sent = sim->now;
	client_wire_send(sim, client, &request);
}

static bool is_unanswered(const struct sim *sim, const struct client *client) {
	if (!client->greeted)
		return sim->now - client->connected_at > ANSWER_US;
	if (client->opening)
		return sim->now - client->opening_since > ANSWER_US && sim->now - client->connected_at > ANSWER_US;
	return client->session && client->unanswered_since && sim->now - client->unanswered_since > ANSWER_US &&
	       sim->now - client->connected_at > ANSWER_US;
}

void client_crash(struct sim *sim, uint32_t id) {
	struct client *client = &sim->clients[id - 1];
	TRACE("c%u crashes", id);
	sim->totals.client_crashes++;
	if (client->connection)
		network_hang_up(sim, client->connection, chance(client, 300000));
	client->connection = 0;
	client->greeted = false;
	forget_session(client);
	memset(client->requests, 0, sizeof(client->requests));
	client->observation = (struct client_observation){0};
	client->dead_until = sim->now + prng_range(&client->prng, 10000, 3000000);
}

void client_stop(struct sim *sim, uint32_t id, sim_usec until) {
	TRACE("c%u stops until %.6f", id, (double)until / 1e6);
	sim->clients[id - 1].dead_until = until;
}

void client_wall(struct sim *sim, uint32_t id, uint32_t nodes, bool inside, sim_usec until) {
	struct client *client = &sim->clients[id - 1];
	client->wall.until = until;
	client->wall.nodes = nodes;
	client->wall.inside = inside;
	if (client->connection && is_walled_off(sim, client, client->node))
		disconnect(sim, client);
}

/* The machine that was cut off with the leader is often lost with it. */
static void leave_wall(struct sim *sim, struct client *client) {
	if (!client->wall.inside || client->wall.until > sim->now)
		return;
	client->wall.inside = false;
	if (!sim->healed && chance(client, 500000))
		client_stop(sim, client->id, sim->now + 2 * (sim_usec)sim->plan.ttl_ms * 1000);
}

/* ---- What it does all day ------------------------------------------------------------------------------------------
 */

static bool has_lock(const struct client *client, uint32_t lock) {
	for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
		if (client->holds[i].held && client->holds[i].lock == lock)
			return true;
	}
	for (size_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
		const struct client_request *request = &client->requests[i];
		if (request->kind && request->sequence && request->lock == lock)
			return true;
	}
	return false;
}

static uint32_t draw_wait(struct client *client) {
	uint64_t die = prng_range(&client->prng, 0, 9);
	if (die < 4)
		return 0;
	return die < 7 ? (uint32_t)prng_range(&client->prng, 20, 2000) : (uint32_t)WAIT_FOREVER;
}

static void acquire(struct sim *sim, struct client *client) {
	uint32_t lock = (uint32_t)prng_range(&client->prng, 0, sim->plan.locks - 1);
	if (has_lock(client, lock) || count_kind(client, CLIENT_ACQUIRE) >= 3)
		return;
	struct client_request *request = sequenced_new(sim, client, CLIENT_ACQUIRE);
	if (request) {
		request->lock = lock;
		request->wait_ms = draw_wait(client);
	}
}

static void begin_read(struct sim *sim, struct client *client) {
	if (count_kind(client, CLIENT_SHOW) + count_kind(client, CLIENT_LIST) >= 2)
		return;
	struct client_request *request = request_new(sim, client, chance(client, 700000) ? CLIENT_SHOW : CLIENT_LIST);
	if (request) {
		request->lock = (uint32_t)prng_range(&client->prng, 0, sim->plan.locks - 1);
		request->read_floor = sim->acknowledged;
	}
}

/* What it gives up on is cancelled until that has an answer: afterwards it neither holds nor waits. */
static void cancel(struct sim *sim, struct client *client) {
	for (size_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
		const struct client_request *target = &client->requests[i];
		if (target->kind != CLIENT_ACQUIRE || !target->wait_ms || sim->now - target->begun < 100000)
			continue;
		for (size_t j = 0; j < CLIENT_REQUESTS_MAX; j++) {
			if (client->requests[j].kind == CLIENT_CANCEL &&
			    client->requests[j].argument == target->sequence)
				return;
		}
		struct client_request *request = sequenced_new(sim, client, CLIENT_CANCEL);
		if (request) {
			request->argument = target->sequence;
			request->lock = target->lock;
		}
		return;
	}
}

static void release_due(struct sim *sim, struct client *client) {
	for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
		struct client_hold *hold = &client->holds[i];
		if (!hold->held || !hold->believed || (hold->release_at > sim->now && !sim->healed))
			continue;
		struct client_request *request = sequenced_new(sim, client, CLIENT_RELEASE);
		if (!request)
			return;
		request->lock = hold->lock;
		request->argument = hold->token;
		hold->believed = false;
	}
}

static bool holds_or_asks(const struct client *client) {
	for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
		if (client->holds[i].held)
			return true;
	}
	for (size_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
		if (client->requests[i].kind)
			return true;
	}
	return false;
}

static void close_session(struct sim *sim, struct client *client) {
	if (holds_or_asks(client) || !sequenced_new(sim, client, CLIENT_CLOSE))
		return;
	client->leaving = true;
}

/* Gives back a grant that it never had: refused, and what it holds stays held. */
static void release_wrongly(struct sim *sim, struct client *client) {
	for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
		const struct client_hold *hold = &client->holds[i];
		if (!hold->held || !hold->believed)
			continue;
		struct client_request *request = sequenced_new(sim, client, CLIENT_RELEASE);
		if (request) {
			request->lock = hold->lock;
			request->argument = hold->token - 1;
		}
		return;
	}
}

static void work(struct sim *sim, struct client *client) {
	release_due(sim, client);
	if (sim->healed || chance(client, 2000)) {
		if (!client->leaving)
			close_session(sim, client);
		return;
	}
	if (client->leaving)
		return;
	if (chance(client, is_inside(sim, client) ? 800000 : sim->plan.read_ppm))
		begin_read(sim, client);
	else if (chance(client, 600000))
		acquire(sim, client);
	if (chance(client, 10000))
		release_wrongly(sim, client);
	if (chance(client, window(client) >= WINDOW_ACQUIRE ? 1000000 : 15000))
		cancel(sim, client);
}

/* Whether the next change of the lock came with the same log entry: to resume between the two is easy to get wrong. */
static bool is_halfway(const struct model_lock *lock, size_t change) {
	return change + 1 < lock->n_changes &&
	       lock->changes[change].revision >> 16 == lock->changes[change + 1].revision >> 16;
}

/* Sometimes an observer goes on from an earlier change than the last one it saw: it has forgotten the rest. */
static void rewind_observation(const struct sim *sim, struct client *client) {
	struct client_observation *observation = &client->observation;
	const struct model_lock *lock = &sim->model.locks[observation->lock];
	uint64_t back = prng_range(&client->prng, 1, 20);
	size_t seen = lock->n_changes;

	while (seen > 0 && lock->changes[seen - 1].revision > observation->after)
		seen--;
	if (seen <= back || !chance(client, 400000))
		return;
	size_t from = seen - back;
	for (size_t i = 0; i < 20 && from > 0 && !is_halfway(lock, from); i++)
		from--;
	observation->after = lock->changes[from].revision;
}

/* The first half of the clients observes one lock each, through every change of leader. */
static void observe(struct sim *sim, struct client *client) {
	struct client_observation *observation = &client->observation;
	if (client->id * 2 > sim->plan.clients + 1)
		return;
	if (observation->active && observation->connection == client->connection)
		return;
	observation->lock = client->id % sim->plan.locks;
	if (observation->begun)
		rewind_observation(sim, client);
	struct client_request request = {.kind = CLIENT_OBSERVE,
					 .lock = observation->lock,
					 .argument = observation->begun ? observation->after : 0,
					 .begun = sim->now,
					 .read_floor = sim->acknowledged};
	observation->active = true;
	observation->connection = client->connection;
	observation->after_gap = false;
	if (!request.argument)
		observation->begun = false;
	client_wire_send(sim, client, &request);
}

static void live(struct sim *sim, struct client *client) {
	if (!sim->healed && chance(client, sim->plan.client_crash_ppm)) {
		client_crash(sim, client->id);
		return;
	}
	if (!sim->healed && chance(client, sim->plan.client_crash_ppm / 4))
		client_stop(sim, client->id, sim->now + prng_range(&client->prng, 100000, 5000000));
	if (client->connection && is_unanswered(sim, client))
		disconnect(sim, client);
	if (!client->connection)
		connect_somewhere(sim, client);
	if (!client->connection || !client->greeted)
		return;
	if (!client->session && !client->opening && !sim->healed)
		open_session(sim, client);
	observe(sim, client);
	if (client->session) {
		keep_alive(sim, client);
		work(sim, client);
	}
	send_waiting(sim, client);
}

static void tick(struct sim *sim, void *item) {
	uint32_t id = *(uint32_t *)item;
	struct client *client = &sim->clients[id - 1];
	sim_usec next = prng_range(&client->prng, sim->plan.client_tick / 2, sim->plan.client_tick * 3 / 2);

	leave_wall(sim, client);
	if (client->dead_until <= sim->now)
		live(sim, client);
	queue_push(&sim->queue, sim->now + next, tick, memory_copy(&id, sizeof(id)));
}

void client_start(struct sim *sim, uint32_t id, struct prng prng) {
	struct client *client = &sim->clients[id - 1];
	client->id = id;
	client->prng = prng;
	queue_push(&sim->queue, sim->now + prng_range(&client->prng, 0, 500000), tick, memory_copy(&id, sizeof(id)));
}

bool client_is_idle(const struct client *client) {
	return !client->session && !client->opening && !holds_or_asks(client);
}

/* ---- Answers -------------------------------------------------------------------------------------------------------
 */

const struct client_frame *client_find_frame(const struct client *client, node_connection connection, uint64_t frame) {
	const struct client_frame *found = &client->frames[frame % CLIENT_FRAMES_MAX];
	return found->id == frame && found->connection == connection ? found : NULL;
}

static struct client_hold *hold_of(struct client *client, uint64_t sequence) {
	for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
		if (client->holds[i].held && client->holds[i].sequence == sequence)
			return &client->holds[i];
	}
	return NULL;
}

static bool is_cancelling(const struct client *client, uint64_t sequence) {
	for (size_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
		if (client->requests[i].kind == CLIENT_CANCEL && client->requests[i].argument == sequence)
			return true;
	}
	return false;
}

static void granted(struct sim *sim, struct client *client, const struct client_request *request,
		    const Client__Reply *reply) {
	for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
		struct client_hold *hold = &client->holds[i];
		if (hold->held)
			continue;
		*hold = (struct client_hold){
			.held = true,
			.believed = !is_cancelling(client, request->sequence),
			.lock = request->lock,
			.token = reply->token,
			.sequence = request->sequence,
			.release_at = sim->now + prng_exponential(&client->prng, sim->plan.hold_mean),
		};
		if (hold->believed)
			checker_lock_granted(sim, client->id, request->lock);
		return;
	}
	assert(false);
}

static void drop_hold(struct client *client, uint64_t sequence) {
	struct client_hold *hold = hold_of(client, sequence);
	if (hold)
		hold->held = hold->believed = false;
}

/* Tokens are unique within a lock's slot only. */
static void drop_released(struct client *client, uint32_t lock, uint64_t token) {
	for (size_t i = 0; i < CLIENT_HOLDS_MAX; i++) {
		if (client->holds[i].lock == lock && client->holds[i].token == token)
			client->holds[i].held = client->holds[i].believed = false;
	}
}

/* The lock that a CANCEL gave back is not held from its sending on; the hold itself goes with the answer. */
static void finish(struct sim *sim, struct client *client, struct client_request *request,
		   const struct client_frame *frame, const Client__Reply *reply) {
	enum client_kind kind = request->kind;

	sim->totals.answers++;
	request->kind = 0;
	if (kind == CLIENT_OPEN && reply->status == LOCKD_OK) {
		client->session = reply->session->opened;
		client->opening = false;
		client->acked_at = request->begun;
		client->keep_sent = 0;
	} else if (kind == CLIENT_ACQUIRE && reply->status == LOCKD_OK) {
		granted(sim, client, &frame->request, reply);
	} else if (kind == CLIENT_RELEASE) {
		drop_released(client, request->lock, request->argument);
	} else if (kind == CLIENT_CANCEL) {
		drop_hold(client, request->argument);
	} else if (kind == CLIENT_CLOSE) {
		forget_session(client);
	}
}

/* NOT_DONE promises that a request has had no effect and never will. One that was sent only once is sometimes given up
 * on the strength of that. */
static void refused(struct sim *sim, struct client *client, struct client_request *request, uint32_t status) {
	request->connection = 0;
	if (lockd_status_outcome((int)status) != LOCKD_OUTCOME_NOT_DONE || request->sends > 1 ||
	    request->kind != CLIENT_ACQUIRE)
		return;
	if (sim->healed || chance(client, 300000)) {
		checker_lock_abandoned(sim, request->session, request->sequence);
		request->kind = 0;
	}
}

static bool is_final(uint32_t status) {
	switch (status) {
	case LOCKD_OK:
	case LOCKD_HELD:
	case LOCKD_WAIT_EXPIRED:
	case LOCKD_CANCELLED:
	case LOCKD_NOT_HOLDER:
	case LOCKD_NOT_FOUND: return true;
	default: return false;
	}
}

static void redirected(struct sim *sim, struct client *client, uint32_t leader) {
	client->hint = leader <= sim->plan.nodes && leader != client->node ? leader : 0;
	disconnect(sim, client);
}

static void answered_keep_alive(struct client *client, const struct client_frame *frame, const Client__Reply *reply) {
	if (frame->request.session != client->session || reply->n_keep_alives != 1)
		return;
	if (reply->keep_alives[0] == LOCKD_SESSION_EXPIRED)
		forget_session(client);
	else if (client->acked_at < frame->sent)
		client->acked_at = frame->sent;
	client->unanswered_since = 0;
}

static struct client_request *request_of(struct client *client, const struct client_frame *frame) {
	struct client_request *request = &client->requests[frame->request.slot];
	bool same = request->kind == frame->request.kind && request->sequence == frame->request.sequence &&
		    request->session == frame->request.session && request->begun == frame->request.begun;
	return same ? request : NULL;
}

static void answered(struct sim *sim, struct client *client, const struct client_frame *frame,
		     const Client__Reply *reply) {
	struct client_request *request = request_of(client, frame);

	if (reply->status == LOCKD_NOT_LEADER) {
		if (request)
			refused(sim, client, request, reply->status);
		redirected(sim, client, reply->leader);
		return;
	}
	if (frame->request.kind == CLIENT_KEEP_ALIVE && reply->status == LOCKD_OK) {
		answered_keep_alive(client, frame, reply);
	} else if (frame->request.kind == CLIENT_OBSERVE && reply->status != LOCKD_OK) {
		if (client->observation.frame == frame->id)
			client->observation.active = false;
	} else if (!request) {
		return;
	} else if (reply->status == LOCKD_SESSION_EXPIRED) {
		forget_session(client);
	} else if (is_final(reply->status)) {
		finish(sim, client, request, frame, reply);
	} else if (reply->status != LOCKD_QUEUED) {
		refused(sim, client, request, reply->status);
	}
}

static void greeted(struct sim *sim, struct client *client, const Client__HelloReply *reply) {
	client->greeted = true;
	if (reply->leader && reply->leader != client->node && chance(client, 800000))
		redirected(sim, client, reply->leader);
}

void client_received(struct sim *sim, uint32_t id, node_connection connection, uint8_t type, uint64_t frame_id,
		     const uint8_t *body, size_t n) {
	struct client *client = &sim->clients[id - 1];
	const struct client_frame *frame = client_find_frame(client, connection, frame_id);
	struct arena *arena = &sim->client_arena;

	if (client->connection != connection || arena_reset(arena, n) < 0)
		return;
	if (client->script) {
		client->script->received(sim, client, type, frame_id, body, n);
		return;
	}
	if (type == FRAME_EVENT) {
		const Client__Event *event = client__event__unpack(&arena->allocator, n, body);
		assert(event);
		checker_lock_event(sim, id, frame_id, event);
	} else if (frame && type == FRAME_HELLO_REPLY) {
		const Client__HelloReply *reply = client__hello_reply__unpack(&arena->allocator, n, body);
		assert(reply);
		greeted(sim, client, reply);
	} else if (frame && type == FRAME_REPLY) {
		const Client__Reply *reply = client__reply__unpack(&arena->allocator, n, body);
		assert(reply);
		TRACE("c%u < n%u %s id=%" PRIu64 " %s seq=%" PRIu64 " token=%" PRIu64 " revision=%" PRIx64, id,
		      client->node, client_kind_name(frame->request.kind), frame_id,
		      lockd_status_name((int)reply->status), frame->request.sequence, reply->token, reply->revision);
		checker_lock_told(sim, reply);
		answered(sim, client, frame, reply);
	}
}
