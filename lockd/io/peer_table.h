/* SPDX-License-Identifier: Apache-2.0 */
/* Which other nodes there are. A blank node knows those that its configuration file lists; from the founding on the
 * members of the latest configuration count, and the list is forgotten. */
#ifndef LOCKD_IO_PEER_TABLE_H
#define LOCKD_IO_PEER_TABLE_H

#include "lockd/io/address.h"
#include "lockd/io/hello.h"
#include "lockd/io/urgent.h"

#include <sys/queue.h>

struct link;

enum {
	PEER_BACKOFF_MS_MIN = 20,
	PEER_BACKOFF_MS_MAX = 1000,
	PEER_TABLE_GUESTS_MAX = RAFT_MEMBERS_MAX, /* and as many that we were told of; no more are taken */
	PEER_TABLE_LEAVE_MS = 1000,               /* for the last entries: a node that was removed should learn of it */
};

enum peer_standing {
	PEER_LISTED, /* in the configuration file of a blank node */
	PEER_TOLD,   /* leads the cluster that a blank node wants to join, as one of those it called says */
	PEER_MEMBER,
	PEER_GUEST,   /* it has called, and may know more than we do; only as long as its call stands */
	PEER_LEAVING, /* none of these any more: closed at `leave_at`, freed with its last link */
};

struct peer {
	TAILQ_ENTRY(peer) next;
	uint32_t node;
	enum peer_standing standing;
	raft_usec leave_at; /* LEAVING: when its connections are closed; UINT64_MAX: they are */
	/* Empty where nobody has told. */
	char peer_address[ADDRESS_BYTES_MAX], client_address[ADDRESS_BYTES_MAX];
	bool moved;            /* it has another peer address than the one that was dialled */
	bool mistaken;         /* who calls under this number is not the member: its connections are closed */
	struct link *outbound; /* dialled by us and greeted */
	struct link *attempt;  /* dialling, or waiting for the answer to HELLO */
	struct link *inbound;  /* the newest one that the peer dialled */
	bool met;              /* `hello` comes from a connection that still stands */
	struct hello hello;
	raft_usec met_at;
	raft_usec dial_at; /* UINT64_MAX: not due */
	uint32_t backoff_ms;
	raft_usec sent_at;       /* the last frame */
	raft_usec unanswered_at; /* the first of a run of frames since the peer was heard; 0: none */
	struct urgent urgent;
	bool reachable;      /* a change is reported once */
	char complaint[200]; /* the last failure that was reported */
};

TAILQ_HEAD(peer_list, peer);

struct peer_table {
	struct peer_list all;
	size_t n;
};

void peer_table_init(struct peer_table *table);
void peer_table_deinit(struct peer_table *table);

/* NULL: there is none. */
struct peer *peer_table_find(const struct peer_table *table, uint32_t node);
/* Due to be dialled at once. Addresses that are no addresses, or NULL, count as unknown. */
struct peer *peer_table_add(struct peer_table *table, uint32_t node, enum peer_standing standing,
			    const char *peer_address, const char *client_address);
void peer_table_drop(struct peer_table *table, struct peer *peer);

size_t peer_table_count(const struct peer_table *table, enum peer_standing standing);
void peer_table_set_addresses(struct peer *peer, const char *peer_address, const char *client_address);
void peer_table_leave(struct peer *peer, raft_usec now);
/* The node is founded: its configuration says who is a member; everybody else is leaving. */
void peer_table_follow(struct peer_table *table, const struct node *node, uint32_t self, raft_usec now);

#endif
