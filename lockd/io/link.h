/* SPDX-License-Identifier: Apache-2.0 */
/* One connection with another node, from dialling or accepting to its end. Links belong to struct peers and to the
 * loop's thread.
 *
 *     dialled:   DIALLING → GREETING → OUTBOUND or OUTBOUND_SNAPSHOT
 *     accepted:  STRANGER → INBOUND or INBOUND_SNAPSHOT
 *
 * and from anywhere to REPLACED, or to its end by INBOX_CLOSED. */
#ifndef LOCKD_IO_LINK_H
#define LOCKD_IO_LINK_H

#include "lockd/io/peers.h"

enum link_kind {
	LINK_DIALLING, /* no connection yet */
	LINK_GREETING, /* dialled by us, HELLO sent */
	LINK_OUTBOUND,
	LINK_OUTBOUND_SNAPSHOT,
	LINK_STRANGER, /* accepted, no HELLO yet, or refused */
	LINK_INBOUND,
	LINK_INBOUND_SNAPSHOT,
	LINK_REPLACED, /* on its way out */
};

struct link {
	LIST_ENTRY(link) next;
	enum link_kind kind;
	enum peer_purpose purpose;
	struct peer *peer;             /* NULL: a stranger */
	struct node_uuid store;        /* of whoever dialled us, once it is welcome */
	struct dialler *dialler;       /* while LINK_DIALLING */
	struct connection *connection; /* afterwards */
	raft_usec deadline;            /* UINT64_MAX: none */
	bool found_sent;
	bool deaf; /* refused: nothing more is taken from it */
	struct snapshot_send *send;
	bool header_taken; /* of the snapshot that comes on it */
};

struct link *link_new(struct peers *peers, enum link_kind kind, struct peer *peer, raft_usec deadline);
void link_free(struct link *link);
/* Takes the stream. 0 or -ENOMEM. Reading has not begun. */
int link_connect(struct peers *peers, struct link *link, nng_stream *stream);

/* A link that dials the peer; NULL: it cannot even begin, and that was reported. */
struct link *link_dial(struct peers *peers, struct peer *peer, enum peer_purpose purpose);
/* After a pause that doubles with every call until a connection stands. */
void link_dial_later(struct peers *peers, struct peer *peer);
/* Reports why the peer cannot be reached; each failure once: a peer that is down for a day is one line. */
void link_complain(struct peer *peer, const char *why);
/* A connection to a peer could not be made, or was refused. */
void link_fail(struct peers *peers, struct link *link);

/* What is queued may still leave; then it closes, at the latest when its time is over. */
void link_replace(struct peers *peers, struct link *link);
/* Reports why a connection is closed or refused that may be anybody's. */
void link_complain_of_stranger(struct peers *peers, const struct link *link, const char *why);
/* The other end broke the protocol: closed, and nothing more is taken from it. */
void link_violate(struct link *link, const char *what);

#endif
