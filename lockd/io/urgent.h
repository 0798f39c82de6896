/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer must still hear when its output queue is full: the newest heartbeat, vote and answer of each group, one
 * of each kind. Appends are not kept, since Raft sends them again. */
#ifndef LOCKD_IO_URGENT_H
#define LOCKD_IO_URGENT_H

#include "api/arena.h"
#include "lockd/io/connection.h"

enum { URGENT_KINDS = 8 }; /* enum raft_message_type */

struct urgent {
	struct urgent_frame {
		uint32_t group, type; /* of the message; type 0: none */
		uint64_t id;
		uint8_t *body;
		size_t n;
	} * frames;
	size_t n, n_max;
};

/* Keeps a copy of a MESSAGE frame's body in place of an older one of its kind. */
void urgent_put(struct urgent *urgent, uint64_t id, const uint8_t *body, size_t n, struct arena *arena);
/* Appends all to the connection's output and forgets them. */
void urgent_send(struct urgent *urgent, struct connection *connection);
void urgent_clear(struct urgent *urgent);

#endif
