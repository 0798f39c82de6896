/* SPDX-License-Identifier: Apache-2.0 */
/* An endpoint is an address at which a node is, or was, reachable: given by the user or named by a node's HELLO_REPLY.
 * Each has at most one connection, dialled again with back-off for as long as the handle lives. */
#ifndef CLIENT_ENDPOINT_H
#define CLIENT_ENDPOINT_H

#include "api/client.pb-c.h"
#include "api/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lockd_client;
struct lockd__connection;

enum {
	LOCKD__PORT_DEFAULT = 7600,
	/* Addresses a user may give; more are MISUSE. */
	LOCKD__ENDPOINTS_GIVEN_MAX = 32,
	/* Given and learned ones. A learned one beyond it takes the place of a learned one that is not connected, or is
	 * not dialled. */
	LOCKD__ENDPOINTS_MAX = LOCKD__ENDPOINTS_GIVEN_MAX + LIMIT_NODES_MAX,
	LOCKD__ADDRESS_BYTES_MAX = LIMIT_HOST_BYTES_MAX + sizeof "[]:65535",
	/* Old and new members while they change. Of a longer list none is believed to be complete. */
	LOCKD__MEMBERS_MAX = 2 * LIMIT_NODES_MAX,
	LOCKD__ERROR_BYTES_MAX = 160,
	LOCKD__REFUSAL_BYTES_MAX = 512,
};

struct lockd__endpoint {
	bool used;                              /* an unused one is a free place in the client's array */
	bool learned;                           /* named by a node rather than by the user */
	bool greeted;                           /* HELLO_REPLY said OK on `connection` */
	bool left;                              /* its node is no member any more: a last resort, if configured */
	bool tried;                             /* an attempt has ended, well or not */
	bool disk_full;                         /* its node said so, and leads nothing until there is space */
	char address[LOCKD__ADDRESS_BYTES_MAX]; /* "host:port", or "[v6]:port" */
	uint32_t node;                          /* which node answers there; 0: not known yet */
	uint32_t drift_ppm;
	struct lockd__connection *connection; /* being dialled, or open */
	int64_t dial_us;                      /* not before, while there is no connection */
	unsigned failures;                    /* in a row */
	unsigned pinned;                      /* requests for just this one */
	char error[LOCKD__ERROR_BYTES_MAX];   /* why the last attempt ended; empty while all is well */
};

/* Normalises one address of a list: "host" → "host:7600". 0, or -EINVAL: no host, no such port, blanks. */
int lockd__endpoint_parse(const char *text, size_t n, char ret_address[LOCKD__ADDRESS_BYTES_MAX]);

/* Fills the array from "host:port,host:port". 0, -EINVAL: malformed, empty or too many. An address that is
 * named twice counts once. */
int lockd__endpoint_parse_list(const char *list, struct lockd__endpoint *endpoints);

/* All below: with the client's mutex held. */

struct lockd__endpoint *lockd__endpoint_of_node(struct lockd_client *client, uint32_t node);

/* The same, as soon as it is known, and it is dialled. NULL: nobody names it, or there is no time left. Waits. */
struct lockd__endpoint *lockd__endpoint_await(struct lockd_client *client, uint32_t node, int64_t deadline_us);

/* Every endpoint has been dialled, well or in vain: who is not known by now is named by nobody. */
bool lockd__endpoint_all_tried(const struct lockd_client *client);

/* Whom to ask what any member can answer: `rather` if it is connected, else a follower, each in turn, else the leader;
 * NULL: no member is connected. */
struct lockd__endpoint *lockd__endpoint_for_read(struct lockd_client *client, uint32_t rather);

/* Dials what is due and gives up attempts that take too long, lets go of nodes that left. Returns when to come again.
 */
int64_t lockd__endpoint_tick(struct lockd_client *client, int64_t now_us);

/* The endpoint's connection is gone, for that reason; it is dialled again after a back-off. */
void lockd__endpoint_failed(struct lockd_client *client, struct lockd__endpoint *endpoint, const char *reason);

/* Its node has been named as leader, or is being asked for: dial as soon as possible. */
void lockd__endpoint_hurry(struct lockd_client *client, struct lockd__endpoint *endpoint);

/* The first frame of a connection. */
void lockd__endpoint_greet(struct lockd_client *client, struct lockd__endpoint *endpoint,
			   const Client__HelloReply *reply);

/* The node says it again, since it knows another leader or other members, or since its disk is full or is not any
 * more. */
void lockd__endpoint_news(struct lockd_client *client, struct lockd__endpoint *endpoint,
			  const Client__HelloReply *reply);

#endif
