/* SPDX-License-Identifier: Apache-2.0 */
/* HELLO between nodes: who each end is, and whether they may talk. Judged before anything else is parsed. */
#ifndef LOCKD_IO_HELLO_H
#define LOCKD_IO_HELLO_H

#include "api/arena.h"
#include "lockd/node/node.h"

/* What the dialler sends on a connection. On the wire: frozen. */
enum peer_purpose { PEER_PURPOSE_RAFT = 1, PEER_PURPOSE_SNAPSHOT = 2 };

struct hello {
	uint32_t protocol_min, protocol_max;
	bool blank; /* it belongs to no cluster yet */
	struct node_uuid incarnation;
	uint32_t epoch;
	uint32_t node;
	struct node_uuid store;
	uint64_t boot; /* random per process start */
	uint32_t to;   /* 0 in the answer */
	uint32_t purpose;
	uint32_t status; /* in the answer */
	char text[160];  /* why it refuses, fit for a log line */
};

/* 0 or -EBADMSG. */
int hello_unpack(const uint8_t *body, size_t n, struct arena *arena, struct hello *ret);
/* Bytes written to `out`; enough room is HELLO_BYTES_MAX. The addresses may be NULL. */
enum { HELLO_BYTES_MAX = 1024 };
size_t hello_pack(const struct hello *hello, const char *peer_address, const char *client_address, uint8_t *out);

/* LOCKD_OK, LOCKD_PROTOCOL or LOCKD_WRONG_CLUSTER with a sentence about `theirs` in `text`. `members` is the
 * configuration of our cluster, NULL while we are blank; `listed` says whether our configuration file names the node.
 */
int hello_judge(const struct hello *own, const struct hello *theirs, const struct raft_configuration *members,
		bool listed, char text[160]);

#endif
