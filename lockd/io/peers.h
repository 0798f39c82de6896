/* SPDX-License-Identifier: Apache-2.0 */
/* The other nodes and the connections to them. Belongs to the loop's thread.
 *
 * Each node dials every other node and sends only on what it dialled; what it accepted it only reads. HELLO and its
 * answer go both ways before anything else. A peer is *down* when the connection that it dialled closes and was not
 * replaced: that is seen in well under a millisecond. A newer HELLO of a node replaces its older connection.
 *
 * Dialling: a fresh dialler per attempt, a time limit of our own, a pause between attempts that doubles from 20 ms to 1
 * s, fully jittered. A peer that has answered nothing for a while gets a new connection while the old one still stands:
 * after a cut, TCP itself may wait for minutes before it tries again, and nng 1.5.2 gives no access to its timers.
 *
 * A MESSAGE frame carries the first eight bytes of its sender's incarnation as frame id; messages of another cluster
 * are dropped even if both ends were blank when they greeted. */
#ifndef LOCKD_IO_PEERS_H
#define LOCKD_IO_PEERS_H

#include "api/arena.h"
#include "lockd/io/checkpointer.h"
#include "lockd/io/connection.h"
#include "lockd/io/dialler.h"
#include "lockd/io/events.h"
#include "lockd/io/hello.h"
#include "lockd/io/snapshot_receive.h"
#include "lockd/io/snapshot_send.h"
#include "lockd/io/throttle.h"
#include "lockd/io/urgent.h"

#include <sys/queue.h>

enum {
	PEERS_GROUP = 1, /* the group whose configuration says who is a member */
	PEERS_DIAL_MS_MAX = 2000,
	PEERS_BACKOFF_MS_MIN = 20,
	PEERS_BACKOFF_MS_MAX = 1000,
	PEERS_BLANK_MS_MAX = 200,       /* silent for so long: a peer that was blank may be so still */
	PEERS_SILENCE_MS_MAX = 2000,    /* unanswered for so long: dial anew */
	PEERS_FINISH_MS = 1000,         /* for the rest of a replaced connection's output */
	PEERS_SNAPSHOT_MS_MAX = 60000,  /* a transfer without progress is given up */
	PEERS_SNAPSHOT_RETRY_MS = 1000, /* a failed transfer is reported only after this pause */
};

struct link;

LIST_HEAD(link_list, link);
LIST_HEAD(snapshot_send_list, snapshot_send);

struct peer {
	uint32_t node;
	const char *peer_address, *client_address; /* borrowed from the configuration */
	struct link *outbound;                     /* dialled by us and greeted */
	struct link *attempt;                      /* dialling, or waiting for the answer to HELLO */
	struct link *inbound;                      /* the newest one that the peer dialled */
	bool met;                                  /* `hello` comes from a connection that still stands */
	struct hello hello;
	raft_usec met_at;
	raft_usec dial_at; /* UINT64_MAX: not due */
	uint32_t backoff_ms;
	raft_usec sent_at;       /* the last frame */
	raft_usec unanswered_at; /* the first of a run of frames since the peer was heard; 0: none */
	struct urgent urgent;
	bool reachable;      /* a change is reported once */
	char complaint[200]; /* the last failure that was reported */
	char refusal[160];   /* why it was refused when it last called, if it has not been welcomed since */
};

struct peers {
	struct inbox *inbox;
	struct node *node;
	struct checkpointer *checkpointer;
	struct peer *all;
	size_t n;
	struct hello own; /* identity as of the last tick */
	const char *peer_address, *client_address;
	struct arena arena;
	struct link_list links;
	uint32_t n_strangers;
	struct throttle complaints; /* about strangers */
	struct snapshot_send_list sends;
	struct snapshot_receive *staged; /* with the node, until it says that it is done */
	struct link *staged_link;        /* where it came from; NULL: gone */
	raft_usec now;                   /* of the last tick */
	raft_usec founded_at;            /* when this node ceased to be blank, if in this process */
	bool founder;                    /* it founded the cluster itself */
	bool finishing;
};

struct peers_config {
	struct inbox *inbox;
	struct node *node;
	struct checkpointer *checkpointer;
	uint32_t self;
	struct node_uuid store;
	const struct node_address *addresses; /* of all nodes; borrowed */
	size_t n_addresses;
};

void peers_init(struct peers *peers, const struct peers_config *config);
/* All connections must be gone. */
void peers_deinit(struct peers *peers);

/* What comes out of the inbox. */
void peers_accept(struct peers *peers, nng_stream *stream);
void peers_dialled(struct peers *peers, struct dialler *dialler);
void peers_frames(struct peers *peers, const struct connection_batch *batch, struct events *events);
void peers_drained(struct peers *peers, struct connection *connection);
void peers_closed(struct peers *peers, struct connection *connection, struct events *events);
void peers_snapshot_job(struct peers *peers, struct checkpointer_job *job);

/* Once per turn, before the inbox is handled: deadlines. Returns the next one. */
void peers_tick(struct peers *peers, raft_usec now, struct events *events);
raft_usec peers_deadline(const struct peers *peers);

/* Effects. */
void peers_send(struct peers *peers, const struct node_peer_frame *frame);
void peers_send_snapshot(struct peers *peers, const struct node_snapshot *snapshot);
void peers_staged_done(struct peers *peers);
/* Once per turn, when all frames are appended: brings in blank peers, then writes. */
void peers_flush(struct peers *peers);

void peers_resume(struct peers *peers);
/* Dials nothing more, sends what is queued, then closes. */
void peers_finish(struct peers *peers);
void peers_close(struct peers *peers);
bool peers_are_gone(const struct peers *peers);

/* For links, greeting and peer_snapshots: the listed node, NULL if there is none; a time from the last tick. */
struct peer *peers_find(const struct peers *peers, uint32_t node);
raft_usec peers_after_ms(const struct peers *peers, uint32_t ms);

#endif
