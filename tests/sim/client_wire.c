/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/client_wire.h"

#include "api/client.pb-c.h"
#include "api/frame.h"
#include "tests/sim/model.h"
#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* All that a request may point to while it is packed. */
struct wire {
	Client__Request request;
	Client__SessionId session;
	Client__Open open;
	Client__KeepAlive keep_alive;
	Client__Close close;
	Client__Acquire acquire;
	Client__Cancel cancel;
	Client__Release release;
	Client__List list;
	Client__Show show;
	Client__Observe observe;
	char name[16], value[32];
	ProtobufCBinaryData name_bytes, value_bytes;
};

static void wire_init(const struct sim *sim, const struct client *client, const struct client_request *request,
		      struct wire *wire) {
	client__request__init(&wire->request);
	client__session_id__init(&wire->session);
	wire->session.epoch = sim->epoch;
	wire->session.group = SIM_GROUP;
	wire->session.opened = request->session;
	wire->name_bytes = (ProtobufCBinaryData){model_name_of(request->lock, wire->name, sizeof(wire->name)),
						 (uint8_t *)wire->name};
	size_t n = (size_t)snprintf(wire->value, sizeof(wire->value), "c%u-%" PRIu64, client->id, request->sequence);
	wire->value_bytes = (ProtobufCBinaryData){n, (uint8_t *)wire->value};
}

/* The first sequence whose result the client still wants. */
static uint64_t floor_of(const struct client *client) {
	uint64_t floor = client->next_sequence;
	for (size_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
		const struct client_request *request = &client->requests[i];
		if (request->kind && request->sequence && request->sequence < floor)
			floor = request->sequence;
	}
	return floor;
}

static void wire_open(struct client *client, struct wire *wire) {
	client__open__init(&wire->open);
	wire->open.nonce = (ProtobufCBinaryData){LIMIT_NONCE_BYTES, client->nonce};
	wire->open.ttl_ms = client->ttl_ms;
	wire->open.owner = wire->value_bytes;
	wire->request.body_case = CLIENT__REQUEST__BODY_OPEN;
	wire->request.open = &wire->open;
}

static void wire_session_request(const struct client *client, const struct client_request *request, struct wire *wire) {
	wire->request.session = &wire->session;
	wire->request.sequence = request->sequence;
	wire->request.floor = floor_of(client);
	switch (request->kind) {
	case CLIENT_ACQUIRE:
		client__acquire__init(&wire->acquire);
		wire->acquire.name = wire->name_bytes;
		wire->acquire.value = wire->value_bytes;
		wire->acquire.wait_ms = request->wait_ms;
		wire->request.body_case = CLIENT__REQUEST__BODY_ACQUIRE;
		wire->request.acquire = &wire->acquire;
		break;
	case CLIENT_RELEASE:
		client__release__init(&wire->release);
		wire->release.name = wire->name_bytes;
		wire->release.token = request->argument;
		wire->request.body_case = CLIENT__REQUEST__BODY_RELEASE;
		wire->request.release = &wire->release;
		break;
	case CLIENT_CANCEL:
		client__cancel__init(&wire->cancel);
		wire->cancel.target = request->argument;
		wire->request.body_case = CLIENT__REQUEST__BODY_CANCEL;
		wire->request.cancel = &wire->cancel;
		break;
	default:
		client__close__init(&wire->close);
		wire->request.body_case = CLIENT__REQUEST__BODY_CLOSE;
		wire->request.close = &wire->close;
		break;
	}
}

static void wire_read(const struct client_request *request, struct wire *wire) {
	switch (request->kind) {
	case CLIENT_SHOW:
		client__show__init(&wire->show);
		wire->show.name = wire->name_bytes;
		wire->request.body_case = CLIENT__REQUEST__BODY_SHOW;
		wire->request.show = &wire->show;
		break;
	case CLIENT_LIST:
		client__list__init(&wire->list);
		wire->request.body_case = CLIENT__REQUEST__BODY_LIST;
		wire->request.list = &wire->list;
		break;
	case CLIENT_OBSERVE:
		client__observe__init(&wire->observe);
		wire->observe.name = wire->name_bytes;
		wire->observe.after = request->argument;
		wire->request.body_case = CLIENT__REQUEST__BODY_OBSERVE;
		wire->request.observe = &wire->observe;
		break;
	default:
		client__keep_alive__init(&wire->keep_alive);
		wire->keep_alive.epoch = wire->session.epoch;
		wire->keep_alive.group = wire->session.group;
		wire->keep_alive.n_sessions = 1;
		wire->keep_alive.sessions = &wire->session.opened;
		wire->request.body_case = CLIENT__REQUEST__BODY_KEEP_ALIVE;
		wire->request.keep_alive = &wire->keep_alive;
		break;
	}
}

const char *client_kind_name(enum client_kind kind) {
	static const char *const names[] = {
		[CLIENT_HELLO] = "hello",     [CLIENT_OPEN] = "open",       [CLIENT_KEEP_ALIVE] = "keep-alive",
		[CLIENT_ACQUIRE] = "acquire", [CLIENT_RELEASE] = "release", [CLIENT_CANCEL] = "cancel",
		[CLIENT_CLOSE] = "close",     [CLIENT_SHOW] = "show",       [CLIENT_LIST] = "list",
		[CLIENT_OBSERVE] = "observe",
	};
	return names[kind] ? names[kind] : "nothing";
}

static uint64_t remember(struct sim *sim, struct client *client, const struct client_request *request) {
	uint64_t id = ++client->next_frame;
	client->frames[id % CLIENT_FRAMES_MAX] = (struct client_frame){
		.id = id, .connection = client->connection, .sent = sim->now, .request = *request};
	return id;
}

void client_wire_send(struct sim *sim, struct client *client, struct client_request *request) {
	struct wire wire;
	uint8_t packed[512];

	request->sends++;
	request->sent = sim->now;
	request->connection = client->connection;
	sim->totals.requests++;
	sim->totals.retries += request->sends > 1;

	wire_init(sim, client, request, &wire);
	if (request->kind == CLIENT_OPEN)
		wire_open(client, &wire);
	else if (request->sequence)
		wire_session_request(client, request, &wire);
	else
		wire_read(request, &wire);
	assert(client__request__get_packed_size(&wire.request) <= sizeof(packed));
	size_t n = client__request__pack(&wire.request, packed);
	uint64_t id = remember(sim, client, request);
	if (request->kind == CLIENT_OBSERVE)
		client->observation.frame = id;
	TRACE("c%u > n%u %s id=%" PRIu64 " session=%" PRIx64 " seq=%" PRIu64 " floor=%" PRIu64 " lock=%u arg=%" PRIu64,
	      client->id, client->node, client_kind_name(request->kind), id, request->session, request->sequence,
	      wire.request.floor, request->lock, request->argument);
	network_client_to_node(sim, client->connection, FRAME_REQUEST, id, packed, n);
}

void client_wire_hello(struct sim *sim, struct client *client) {
	Client__Hello hello = CLIENT__HELLO__INIT;
	uint8_t packed[64];

	hello.protocol_min = PROTOCOL_VERSION_MIN;
	hello.protocol_max = PROTOCOL_VERSION_MAX;
	size_t n = client__hello__pack(&hello, packed);
	uint64_t id = remember(sim, client, &(struct client_request){.kind = CLIENT_HELLO});
	network_client_to_node(sim, client->connection, FRAME_HELLO, id, packed, n);
}
