/* SPDX-License-Identifier: Apache-2.0 */
/* Answers from the state: locks, sessions, the node's own status. */
#ifndef LOCKD_NODE_READ_H
#define LOCKD_NODE_READ_H

#include "client.h"
#include "lockd/state/state.h"
#include "query.h"

/* A page ends before it grows beyond this many bytes of text, so that it fits into a frame. */
enum { READ_PAGE_BYTES_MAX = 512 << 10 };

/* A session on the wire and the id that it points to. */
struct read_session {
	Client__Session session;
	Client__SessionId id;
};

ProtobufCBinaryData read_text(struct state_text text);
/* Fills *ret and returns &ret->session. Of a session that has ended only the id is known. */
Client__Session *read_fill_session(struct replica *replica, state_session_id id, struct read_session *ret);

/* A read that may be answered; the answer says at what level, by whom and how old it may be. */
void read_serve(struct replica *replica, const struct query *query);
/* Needs no proof: what this node knows, whether or not it leads. */
void read_status(struct replica *replica, node_connection connection, uint64_t id);

/* The store stands in the place of a damaged one, and the others have not caught it up yet. */
bool read_is_restoring(const struct replica *replica);

#endif
