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
 * Who the others are says the peer table, which follows the members of the latest configuration.
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
#include "lockd/io/peer_table.h"
#include "lockd/io/snapshot_send.h"
#include "lockd/io/throttle.h"

enum {
	PEERS_GROUP = 1, /* the group whose configuration says who is a member */
	PEERS_DIAL_MS_MAX = 2000,
	PEERS_BLANK_MS_MAX = 200,        /* silent for so long: a peer that was blank may be so still */
	PEERS_SILENCE_MS_MAX = 2000,     /* unanswered for so long: dial anew */
	PEERS_FINISH_MS = 1000,          /* for the rest of a replaced connection's output */
	PEERS_REFUSALS_MAX = 16,         /* callers whose refusal is remembered, so that it is reported once */
	PEERS_SNAPSHOT_MS_MAX = 60000,   /* a transfer without progress is given up, what has gathered is forgotten */
	PEERS_SNAPSHOT_STALL_MS = 10000, /* without progress for so long: another sender may take its place */
	PEERS_SNAPSHOT_RETRY_MS = 1000,  /* a failed transfer is reported only after this pause … */
	PEERS_SNAPSHOT_BUSY_MS = 5000,   /* … or after this one, if the receiver is busy with another one … */
	PEERS_SNAPSHOT_LARGE_MS = 60000, /* … or this one, if the snapshot is too large to be sent */
};

struct link;

LIST_HEAD(link_list, link);
LIST_HEAD(snapshot_send_list, snapshot_send);

/* A node that called and is no member. Lives until the next turn, which the event that borrows it does not outlive. */
struct caller {
	LIST_ENTRY(caller) next;
	struct node_met met;
	char peer_address[ADDRESS_BYTES_MAX], client_address[ADDRESS_BYTES_MAX];
	struct node_uuid replaces[LIMIT_PAST_STORES_MAX];
};

LIST_HEAD(caller_list, caller);

struct peers {
	struct inbox *inbox;
	struct node *node;
	struct checkpointer *checkpointer;
	struct peer_table table;
	struct hello own; /* identity as of the last tick; what the disk held when this process began */
	char accusation[160]; /* what a peer says of our data folder, that is an older copy of itself; empty: nothing */
	struct caller_list callers;
	struct refusal {
		uint32_t node;
		char text[160];
	} refusals[PEERS_REFUSALS_MAX]; /* why who was refused when it last called; the oldest gives way */
	uint32_t next_refusal;
	char refused_with[2][160]; /* what peers last said when they refused us: the leader and the others differ */
	uint32_t next_refused_with;
	struct arena arena;
	struct link_list links;
	uint32_t n_strangers;
	struct throttle complaints; /* about strangers */
	struct snapshot_send_list sends;
	struct snapshot_cut *cut;            /* the newest one, for whoever needs it next; NULL: none */
	bool cut_too_large, offer_too_large; /* was reported */
	struct snapshot_receive *gathering;  /* unfinished, or finished and not yet with the node; NULL: none */
	struct link *gathering_link;         /* where it comes from; NULL: it has broken off */
	raft_usec gathered_at;               /* its last progress */
	struct snapshot_receive *staged;     /* with the node, until it says that it is done */
	struct link *staged_link;            /* where it came from; NULL: gone */
	raft_usec now;                       /* of the last tick */
	raft_usec founded_at;                /* when this node ceased to be blank, if in this process */
	bool founder;                        /* it founded the cluster itself */
	bool cluster_seen;                   /* a listed node belongs to one already, or waits for its own */
	bool finishing;
};

struct peers_config {
	struct inbox *inbox;
	struct node *node;
	struct checkpointer *checkpointer;
	uint32_t self;
	struct node_uuid store;
	uint64_t boot_count; /* of the data folder, durable */
	struct store_past past;
	const struct node_address
		*addresses; /* of this node, and of others as far as the configuration file knows them */
	size_t n_addresses;
};

/* The node is restored and started. */
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
void peers_follow_members(struct peers *peers);
void peers_send(struct peers *peers, const struct node_peer_frame *frame);
void peers_send_snapshot(struct peers *peers, const struct node_snapshot *snapshot);
void peers_staged_done(struct peers *peers);
/* Once per turn, when all frames are appended: brings in blank members, then writes. */
void peers_flush(struct peers *peers);

void peers_resume(struct peers *peers);
/* Dials nothing more, sends what is queued, then closes. */
void peers_finish(struct peers *peers);
void peers_close(struct peers *peers);
bool peers_are_gone(const struct peers *peers);

/* For links, greeting and peer_snapshots: a time from the last tick. */
raft_usec peers_after_ms(const struct peers *peers, uint32_t ms);

#endif
