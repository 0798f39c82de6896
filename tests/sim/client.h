/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated program: one session, a few requests at a time, in the bytes of the real protocol. It retries under the
 * same sequence over whatever node it finds, holds locks for a while, reads, observes, and sometimes dies without a
 * word. */
#ifndef TESTS_SIM_CLIENT_H
#define TESTS_SIM_CLIENT_H

#include "api/limits.h"
#include "lockd/node/node.h"
#include "tests/sim/plan.h"

struct sim;

enum client_kind {
	CLIENT_HELLO = 1,
	CLIENT_OPEN,
	CLIENT_KEEP_ALIVE,
	CLIENT_ACQUIRE,
	CLIENT_RELEASE,
	CLIENT_CANCEL,
	CLIENT_CLOSE,
	CLIENT_SHOW,
	CLIENT_LIST,
	CLIENT_OBSERVE,
};

/* A request until its answer is final. */
struct client_request {
	enum client_kind kind;      /* 0: free */
	uint32_t slot;              /* where it stands in client.requests */
	uint64_t session, sequence; /* 0 for those without */
	uint32_t lock, wait_ms;
	uint64_t argument;    /* token, or target of a CANCEL, or where an OBSERVE resumes */
	sim_usec begun, sent; /* first and last sending */
	uint64_t read_floor;  /* reads: highest log index acknowledged to anybody when it began */
	node_connection connection;
	uint32_t sends;
};

/* A frame on its way, to understand the reply. */
struct client_frame {
	uint64_t id;
	node_connection connection;
	sim_usec sent;
	struct client_request request; /* as of the sending */
};

enum { CLIENT_REQUESTS_MAX = 8, CLIENT_FRAMES_MAX = 4096, CLIENT_HOLDS_MAX = 8 };

struct client_hold {
	bool held, believed; /* believed: until a release is begun */
	uint32_t lock;
	uint64_t token, sequence;
	sim_usec release_at;
};

struct client_observation {
	bool active;
	uint32_t lock;
	uint64_t frame; /* of the OBSERVE in force */
	node_connection connection;
	uint64_t after; /* revision of the last event */
	bool begun;     /* the state of affairs has been seen */
	bool after_gap; /* the state of affairs follows */
	sim_usec asked;
};

struct client;

/* Hears in the place of a program that lives its own life, which sends nothing then. */
struct client_script {
	void (*received)(struct sim *sim, struct client *client, uint8_t type, uint64_t frame, const uint8_t *body,
			 size_t n);
	void (*closed)(struct sim *sim, struct client *client);
};

struct client {
	uint32_t id;
	const struct client_script *script; /* NULL: none */
	struct prng prng;
	node_connection connection;
	uint32_t node, hint;
	bool greeted;
	sim_usec connected_at;
	sim_usec dead_until; /* crashed or stopped until then */
	bool leaving;        /* has begun to CLOSE */
	struct {
		sim_usec until;
		uint32_t nodes; /* mask of those that can be reached */
		bool inside;    /* with a leader that is cut off */
	} wall;
	uint64_t next_frame;
	struct client_frame frames[CLIENT_FRAMES_MAX];

	uint64_t session; /* 0: none */
	bool opening;
	uint8_t nonce[LIMIT_NONCE_BYTES];
	sim_usec opening_since;
	sim_usec acked_at; /* sending of the last acknowledged keep-alive or OPEN */
	sim_usec keep_every;
	sim_usec keep_sent;
	sim_usec unanswered_since; /* 0: every keep-alive has its answer */
	uint32_t ttl_ms;
	uint64_t next_sequence;
	struct client_request requests[CLIENT_REQUESTS_MAX];
	struct client_hold holds[CLIENT_HOLDS_MAX];
	struct client_observation observation;
};

void client_start(struct sim *sim, uint32_t id, struct prng prng);
void client_received(struct sim *sim, uint32_t id, node_connection connection, uint8_t type, uint64_t frame,
		     const uint8_t *body, size_t n);
void client_closed(struct sim *sim, uint32_t id, node_connection connection);
/* Dies: its session is left to expire, and another program takes its place. */
void client_crash(struct sim *sim, uint32_t id);
/* Stands still, as a stopped process does. */
void client_stop(struct sim *sim, uint32_t id, sim_usec until);
/* Reaches only some nodes for a while. Whoever is walled in with a leader that is cut off asks it all the time, and may
 * never be heard again afterwards. */
void client_wall(struct sim *sim, uint32_t id, uint32_t nodes, bool inside, sim_usec until);
/* Nothing is asked and no session is open. */
bool client_is_idle(const struct client *client);
/* What was asked by that frame; NULL: forgotten. */
const struct client_frame *client_find_frame(const struct client *client, node_connection connection, uint64_t frame);
/* True time until which the session is believed in, by the slowest clock that the promises allow. */
sim_usec client_deadline(const struct sim *sim, const struct client *client);

#endif
