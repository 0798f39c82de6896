/* SPDX-License-Identifier: Apache-2.0 */
/* HELLO between nodes: who each end is, and whether they may talk. Judged before anything else is parsed. */
#ifndef LOCKD_IO_HELLO_H
#define LOCKD_IO_HELLO_H

#include "api/arena.h"
#include "api/limits.h"
#include "lockd/io/address.h"
#include "lockd/io/snapshot_receive.h"

/* What the dialler sends on a connection. On the wire: frozen. */
enum peer_purpose { PEER_PURPOSE_RAFT = 1, PEER_PURPOSE_SNAPSHOT = 2 };

struct hello {
	uint32_t protocol_min, protocol_max;
	bool blank; /* it belongs to no cluster yet */
	struct node_uuid incarnation;
	uint32_t epoch;
	uint32_t node;
	struct node_uuid store;
	struct node_memory memory;
	uint32_t to; /* 0 in the answer */
	uint32_t purpose;
	uint32_t status; /* in the answer */
	char text[160];  /* why it refuses, fit for a log line */
	bool forgetful;  /* it refuses since our data folder is an older copy of itself */
	/* Where others reach it; empty if it does not say, or says what nobody can dial. */
	char peer_address[ADDRESS_BYTES_MAX], client_address[ADDRESS_BYTES_MAX];
	/* In the answer to a candidate: whom it should call too, since only the leader can add it. 0: nobody known. */
	uint32_t leader;
	char leader_address[ADDRESS_BYTES_MAX];
	/* In the answer on a snapshot connection: how much of which snapshot is there already. 0: nothing. */
	struct snapshot_digest snapshot;
	uint64_t snapshot_offset;
	/* Of a blank node: the stores that it had before they were found damaged, and the cluster that they belonged
	 * to; zero: to none, or it has lost nothing. */
	struct node_uuid replaces[LIMIT_PAST_STORES_MAX];
	size_t n_replaces;
	struct node_uuid past_incarnation;
};

/* It is blank, and waits for the cluster that the store before belonged to. */
bool hello_waits_for_its_cluster(const struct hello *hello);

/* 0 or -EBADMSG. */
int hello_unpack(const uint8_t *body, size_t n, struct arena *arena, struct hello *ret);
/* Bytes written to `out`; enough room is HELLO_BYTES_MAX. */
enum { HELLO_BYTES_MAX = 1536 };
size_t hello_pack(const struct hello *hello, uint8_t *out);

/* How sure we are of our own configuration. A node that was away may know of an old one, and must not refuse whoever
 * leads by now; only the leader can say that somebody is a member no more. */
enum hello_standing {
	HELLO_LOST,    /* no leader is known */
	HELLO_FOLLOWS, /* `leader` is */
	HELLO_LEADS,   /* and its configuration is committed */
};

struct hello_view {
	const struct raft_configuration *members; /* NULL while we are blank */
	bool listed;                              /* our configuration file names the node */
	enum hello_standing standing;
	uint32_t leader;
};

struct hello_verdict {
	int status;     /* LOCKD_OK, LOCKD_PROTOCOL or LOCKD_WRONG_CLUSTER */
	char text[160]; /* a sentence about the other node, when it is refused */
	bool candidate; /* it is refused, and could be added to the cluster */
	bool forgetful; /* it is refused, and must not go on */
};

void hello_judge(const struct hello *own, const struct hello *theirs, const struct hello_view *view,
		 struct hello_verdict *ret);

#endif
