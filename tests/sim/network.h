/* SPDX-License-Identifier: Apache-2.0 */
/* The network: one connection per ordered pair of nodes, dialled by the first and read by the second, and connections
 * of clients.
 *
 * Frames between nodes may be lost, doubled and reordered, which is worse than a byte stream does; what the HELLO
 * of a connection fixes still holds: a frame reaches only the boot it was meant for, and none arrives behind a newer
 * connection of the same dialler. Client connections are reliable and in order until they break, and a break is noticed
 * late. A cut drops what is on its way; a long one breaks the connection. */
#ifndef TESTS_SIM_NETWORK_H
#define TESTS_SIM_NETWORK_H

#include "lockd/node/node.h"
#include "tests/sim/plan.h"

struct sim;

struct link {
	sim_usec cut_until;  /* frames from → to are lost until then */
	sim_usec busy_until; /* by frames on their way */
	bool connected;
	uint64_t from_boot, to_boot; /* of the connection */
	uint64_t newest_boot;        /* of the dialler, as the reader has seen it */
	sim_usec append_lost_at;     /* the last one */
	sim_usec transfers_since;    /* snapshots, counted second by second */
	uint32_t transfers;
};

enum { SIM_CONNECTIONS_MAX = 256 };

struct connection {
	node_connection id; /* 0: free */
	uint32_t client, node;
	uint64_t boot;
	bool open_at_client, open_at_node;
	sim_usec to_node_at, to_client_at; /* last arrival, for order */
};

struct network {
	struct prng prng;
	struct link links[SIM_NODES_MAX][SIM_NODES_MAX]; /* [from − 1][to − 1] */
	sim_usec kib_us; /* that a link takes for 1024 bytes, one frame behind the other; 0: no time */
	sim_usec distance[SIM_NODES_MAX][SIM_NODES_MAX]; /* added to what frames take from … to, the same both ways */
	struct connection connections[SIM_CONNECTIONS_MAX];
	node_connection last_connection;
};

/* Begins dialling between all pairs. */
void network_start(struct sim *sim, struct prng prng);

void network_send_peer(struct sim *sim, uint32_t from, const struct node_peer_frame *frame, bool of_leader);
/* Moves a checkpoint on a connection of its own; the sender learns the end as NODE_SNAPSHOT_SENT. */
void network_send_snapshot(struct sim *sim, uint32_t from, const struct node_snapshot *snapshot);
void network_cut(struct sim *sim, uint32_t from, uint32_t to, sim_usec until);
/* Cut in both directions; the second hears at once that the first is gone, the first hears nothing. */
void network_sever(struct sim *sim, uint32_t lost, uint32_t other, sim_usec until);
void network_heal(struct sim *sim);
/* The process of that node is gone: its connections break. */
void network_crash(struct sim *sim, uint32_t node);

/* A new connection of a client, or 0 when the node is down. */
node_connection network_connect(struct sim *sim, uint32_t client, uint32_t node);
/* The client closes its end; the node hears of it, unless `silent` (the client's machine is lost). */
void network_hang_up(struct sim *sim, node_connection id, bool silent);
/* Something between the two fails. */
void network_break(struct sim *sim, node_connection id);
void network_client_to_node(struct sim *sim, node_connection id, uint8_t type, uint64_t frame_id, const void *body,
			    size_t n);
void network_node_to_client(struct sim *sim, uint32_t node, const struct node_client_frame *frame);
/* NULL: broken and forgotten by both ends. */
struct connection *network_get(struct sim *sim, node_connection id);

#endif
