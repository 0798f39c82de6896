/* SPDX-License-Identifier: Apache-2.0 */
/* How a node stands at the end of a turn: plain numbers that another thread may read at leisure. */
#ifndef LOCKD_IO_SURVEY_H
#define LOCKD_IO_SURVEY_H

#include "lockd/io/client_connections.h"
#include "lockd/io/peers.h"
#include "lockd/node/node.h"
#include "lockd/state/state.h"

enum {
	/* An older survey says that the loop stands still: while anybody may ask it takes one every second, busy or
	   not. */
	SURVEY_STALE_MS = 10000,
};

struct survey_peer {
	uint32_t node;
	bool connected; /* in both directions */
	bool followed;  /* this node leads, and knows: */
	struct raft_peer progress;
};

struct survey {
	uint32_t node;
	bool blank;           /* belongs to no cluster */
	bool member;          /* the latest configuration names it */
	bool stopping;        /* SIGTERM has come */
	raft_usec taken;      /* mono, as all times here */
	raft_usec full_since; /* 0: the log's disk has room */
	raft_usec owed_since; /* the disk owes an answer (storage_waits_since()); UINT64_MAX: it owes none */
	struct raft_status raft;
	raft_index applied;
	struct state_counts counts;
	struct node_tally tally;
	uint32_t connections; /* of clients */
	size_t n_peers;
	struct survey_peer peers[RAFT_MEMBERS_MAX];
};

/* Fills in what node, peers and clients know; the rest is the caller's. */
void survey_take(uint32_t self, const struct node *node, const struct peers *peers,
		 const struct client_connections *clients, struct survey *ret);

/* NULL: requests are served, here or by the leader that this node knows. Otherwise why not, in a few words. */
const char *survey_why_not_ready(const struct survey *survey, raft_usec now);
/* NULL: the node does what it can. Otherwise what ails it: not that the others are away. */
const char *survey_why_not_healthy(const struct survey *survey, raft_usec now);

#endif
