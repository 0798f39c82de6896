/* SPDX-License-Identifier: Apache-2.0 */
/* Client connections, the requests that wait on them, and the frames that go out to them. */
#ifndef LOCKD_NODE_CLIENT_H
#define LOCKD_NODE_CLIENT_H

#include "api/client.pb-c.h"
#include "lockd/node/node.h"

#include <bsd/sys/queue.h>

/* Running out of memory ends the process here as well. */
#define uthash_fatal(text) raft_panic(__FILE__, __LINE__, text)
#include <uthash.h>

struct node;
struct replica;
struct seat;
struct state_outcome;

struct client {
	node_connection connection;
	bool greeted;
	uint32_t protocol;                   /* spoken since it was greeted */
	uint64_t news;                       /* the latest that it was told (node.news) */
	bool closing;                        /* it broke the protocol: nothing it sends is looked at any more */
	bool stalled;                        /* it does not take what it is sent: its reads are held */
	uint32_t held;                       /* such reads */
	uint32_t requests;                   /* admitted and not yet answered */
	uint32_t keep_alives;                /* waiting for a proof of leadership */
	LIST_HEAD(client_seats, seat) seats; /* whose requester it is */
	UT_hash_handle hh;
};

/* Of a frame's connection: makes it known. */
struct client *client_open(struct node *node, node_connection connection);
/* NULL when it has gone. */
struct client *client_find(struct node *node, node_connection connection);
void client_gone(struct node *node, node_connection connection);
/* It does not take what it is sent, or does again. */
void client_stall(struct node *node, node_connection connection, bool stalled);
void clients_deinit(struct node *node);

/* Who waits for an answer, and the bytes that the wait costs. */
struct asker {
	node_connection connection;
	uint64_t id;
	size_t bytes;
};
/* Counts the request as pending until asker_settle(), whether or not the client is still there by then. */
struct asker asker_admit(struct node *node, struct client *client, uint64_t id, size_t bytes);
void asker_settle(struct node *node, const struct asker *asker);

/* All of them do nothing for a connection that has gone or is being closed. */
void client_reply(struct node *node, node_connection connection, uint64_t id, const Client__Reply *reply);
/* What came of a command: most answers are of this kind, so it is packed by hand. */
void client_reply_outcome(struct node *node, const struct asker *asker, const struct state_outcome *outcome);
void client_reply_status(struct node *node, node_connection connection, uint64_t id, int status, const char *text);
/* NOT_LEADER with the leader that the replica knows of; `text` may be NULL. */
void client_redirect(struct replica *replica, node_connection connection, uint64_t id, const char *text);
/* The body, a packed client.Event, stands in memory of the turn; several frames may share it. */
void client_event(struct node *node, node_connection connection, uint64_t id, const struct node_bytes *body);
void client_greet(struct node *node, struct client *client, uint64_t id, const Client__HelloReply *reply);
/* INVALID with a reason, then close. */
void client_refuse(struct node *node, struct client *client, uint64_t id, const char *text);
/* Close without a word. */
void client_close(struct node *node, struct client *client);

#endif
