/* SPDX-License-Identifier: Apache-2.0 */
/* Programs without a session: readers, the administrator and who takes backups. Each has one connection, asks one question at a time in
 * the bytes of the real protocol, and goes to another node when it gets no answer. */
#ifndef TESTS_SIM_CALLER_H
#define TESTS_SIM_CALLER_H

#include "api/client.pb-c.h"
#include "lockd/node/node.h"
#include "tests/sim/plan.h"

struct sim;

enum {
	/* Owners of connections behind the clients. */
	CALLER_READER = SIM_CLIENTS_MAX + 1,
	CALLER_ADMIN = CALLER_READER + SIM_READERS_MAX,
	CALLER_ARCHIVIST,
	CALLER_PATIENCE_US = 1500000, /* without an answer it goes elsewhere */
};

struct caller {
	uint32_t id; /* as the owner of connections */
	struct prng prng;
	node_connection connection;
	uint32_t node, hint;
	bool greeted;
	uint64_t frame; /* last one sent */
	bool waiting;   /* for the answer to it */
	sim_usec since; /* it was sent, or the connection was begun */
	uint64_t floor; /* highest log index acknowledged to anybody when it was sent */
};

/* Connects to `hint`, or to any machine, and greets it; hangs up where no answer comes in `patience`. True: a question
 * can be asked. */
bool caller_is_ready(struct sim *sim, struct caller *caller, sim_usec patience);
void caller_ask(struct sim *sim, struct caller *caller, const Client__Request *request);
void caller_hang_up(struct sim *sim, struct caller *caller);

/* From the network, for connections that belong to no client. */
void caller_received(struct sim *sim, uint32_t owner, node_connection connection, uint8_t type, uint64_t frame,
		     const uint8_t *body, size_t n);
void caller_closed(struct sim *sim, uint32_t owner, node_connection connection);

#endif
