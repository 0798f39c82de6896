/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/caller.h"

#include "api/frame.h"
#include "tests/sim/sim.h"

#include <assert.h>
#include <lockd/status.h>

static void hello(struct sim *sim, struct caller *caller) {
	Client__Hello hello = CLIENT__HELLO__INIT;
	uint8_t packed[64];

	hello.protocol_min = PROTOCOL_VERSION_MIN;
	hello.protocol_max = PROTOCOL_VERSION_MAX;
	network_client_to_node(sim, caller->connection, FRAME_HELLO, ++caller->frame, packed,
			       client__hello__pack(&hello, packed));
}

void caller_hang_up(struct sim *sim, struct caller *caller) {
	network_hang_up(sim, caller->connection, prng_chance(&caller->prng, 100000));
	caller->connection = 0;
	caller->greeted = caller->waiting = false;
}

static void connect(struct sim *sim, struct caller *caller) {
	caller->node = caller->hint ? caller->hint : (uint32_t)prng_range(&caller->prng, 1, sim->plan.nodes);
	caller->hint = 0;
	caller->since = sim->now;
	caller->connection = network_connect(sim, caller->id, caller->node);
	if (caller->connection)
		hello(sim, caller);
}

bool caller_is_ready(struct sim *sim, struct caller *caller, sim_usec patience) {
	if (caller->connection && (caller->waiting || !caller->greeted) && sim->now - caller->since > patience)
		caller_hang_up(sim, caller);
	if (!caller->connection)
		connect(sim, caller);
	return caller->connection && caller->greeted && !caller->waiting;
}

void caller_ask(struct sim *sim, struct caller *caller, const Client__Request *request) {
	uint8_t packed[512];
	size_t n = client__request__get_packed_size(request);

	assert(n <= sizeof(packed));
	client__request__pack(request, packed);
	caller->waiting = true;
	caller->since = sim->now;
	caller->floor = sim->acknowledged;
	network_client_to_node(sim, caller->connection, FRAME_REQUEST, ++caller->frame, packed, n);
}

static struct caller *caller_of(struct sim *sim, uint32_t owner) {
	switch (owner) {
	case CALLER_ADMIN: return &sim->admin.caller;
	case CALLER_ARCHIVIST: return &sim->archivist.caller;
	default: return &sim->readers[owner - CALLER_READER].caller;
	}
}

void caller_received(struct sim *sim, uint32_t owner, node_connection connection, uint8_t type, uint64_t frame,
		     const uint8_t *body, size_t n) {
	struct caller *caller = caller_of(sim, owner);
	struct arena *arena = &sim->client_arena;

	if (caller->connection != connection || frame != caller->frame || arena_reset(arena, n) < 0)
		return;
	if (type == FRAME_HELLO_REPLY) {
		caller->greeted = true;
		return;
	}
	const Client__Reply *reply = client__reply__unpack(&arena->allocator, n, body);
	assert(reply);
	caller->waiting = false;
	if (reply->status == LOCKD_NOT_LEADER && reply->leader <= sim->plan.nodes)
		caller->hint = reply->leader;
	if (owner == CALLER_ADMIN)
		admin_answered(sim, reply);
	else if (owner == CALLER_ARCHIVIST)
		archivist_answered(sim, reply);
	else
		reader_answered(sim, &sim->readers[owner - CALLER_READER], reply);
}

void caller_closed(struct sim *sim, uint32_t owner, node_connection connection) {
	struct caller *caller = caller_of(sim, owner);
	if (caller->connection != connection)
		return;
	caller->connection = 0;
	caller->greeted = caller->waiting = false;
	if (owner == CALLER_ARCHIVIST)
		archivist_closed(sim);
}
