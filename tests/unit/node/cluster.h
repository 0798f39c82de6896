/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster of nodes in memory with one clock, for tests: frames are carried, saves executed, clients played. A test
 * holds back the disk of a node, cuts nodes off, stops and restarts them. */
#ifndef TESTS_NODE_CLUSTER_H
#define TESTS_NODE_CLUSTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/client.pb-c.h"
#include "api/frame.h"
#include "api/limits.h"
#include "lockd/node/node.h"
#include "lockd/state/state.h"

#include <lockd/status.h>

enum {
	CLUSTER_NODES_MAX = 6,
	CLUSTER_GROUP = 1,
	CLUSTER_MS = 1000,
};

struct cluster_row {
	uint64_t id;
	uint8_t *bytes;
	size_t n;
};

/* What is durable. */
struct cluster_disk {
	bool identity;
	struct node_uuid incarnation;
	uint32_t epoch;
	struct node_hard hard;
	raft_index base;
	raft_term base_term;
	struct node_entry *entries; /* base + 1 … */
	size_t n_entries;
	uint8_t *header;
	size_t header_bytes;
	struct cluster_row *rows;
	size_t n_rows;
};

struct cluster_event {
	struct node_event event;
	uint8_t *body;
};

struct cluster_save {
	struct node_save save; /* entries copied */
};

enum { CLUSTER_BACKUPS_MAX = 64 };

struct cluster_backup {
	uint64_t number; /* 0: free */
	uint8_t *header, *run;
	size_t n;
};

struct cluster_node {
	uint32_t id;
	uint32_t wipes; /* how often it has got an empty data folder; each has another store uuid */
	struct node_uuid past[LIMIT_PAST_STORES_MAX]; /* in whose place the present store stands, the latest first */
	size_t n_past;
	struct node_uuid past_incarnation;
	struct node *node; /* NULL: stopped */
	struct cluster_disk disk;
	struct cluster_save *saves;
	size_t n_saves;
	struct cluster_event *inbox;
	size_t n_inbox;
	raft_usec deadline;
	raft_usec suspended;                      /* so far the machine slept: only the boot clock went on */
	bool hold_saves;                          /* the disk is slow */
	bool calling;                             /* while it is blank it dials all others */
	bool cut;                                 /* no frame to or from other nodes */
	bool paused;                              /* the process does not run */
	bool full;                                /* checkpoints fail */
	bool stopped;                             /* effects.stopped was seen */
	bool members_changed;                     /* effects.members_changed likewise */
	bool may_fail;                            /* effects.fatal stops it; everybody else's fails the test */
	char fatal[512];                          /* why it has stopped; empty: it has not */
	uint32_t machine_version_max;             /* from its next start on; 0: that of the cluster's config */
	bool hold_checkpoints;                    /* they are begun and not ended */
	const struct node_checkpoint *checkpoint; /* held */
	unsigned checkpoints, snapshots;
	size_t turn_frames_max, turn_bytes_max; /* most that a turn has sent to clients; a test may reset them */
	struct cluster_backup backups[CLUSTER_BACKUPS_MAX];   /* cut, by number */
	struct node_backup held_backups[CLUSTER_BACKUPS_MAX]; /* what the driver was asked to do, while … */
	size_t n_held_backups;
	bool hold_backups; /* … it does not come to that */
	enum node_backup_result backup_result;
	uint64_t backup_bytes; /* that a cut claims to have; 0: as it is */
	unsigned backups_cut, backups_dropped;
	char traces[16384];
};

struct cluster_frame {
	uint32_t node;
	node_connection connection;
	uint8_t type;
	uint64_t id;
	uint8_t *body;
	size_t n;
	bool close;
	bool taken;
};

struct cluster {
	raft_usec now;
	size_t n;
	uint32_t epoch;  /* of the sessions that are opened */
	size_t founders; /* nodes 1 … founders begin as members */
	struct cluster_node nodes[CLUSTER_NODES_MAX];
	struct node_config config; /* of every node but its identity */
	struct cluster_frame *frames;
	size_t n_frames;
	struct node_bytes *staged; /* rows on their way; one snapshot at a time */
	size_t n_staged;
	uint8_t *staged_header;
	uint32_t staged_for;
};

/* Blank nodes 1 … n. */
void cluster_init(struct cluster *cluster, size_t n);
void cluster_init_with(struct cluster *cluster, size_t n, const struct node_config *config);
void cluster_deinit(struct cluster *cluster);

/* Founds the cluster from node 1 and lets it elect a leader. */
void cluster_found(struct cluster *cluster);
void cluster_post_found(struct cluster *cluster, uint32_t node);
/* Blank nodes 1 … n, of which only the first ones are to be members at first. */
void cluster_init_spare(struct cluster *cluster, size_t founders, size_t n, const struct node_config *config);
/* Passes the founding on, as a driver does for a blank peer. */
void cluster_bring_in(struct cluster *cluster, uint32_t from, uint32_t to);

/* Steps everybody until nothing is left to do at this moment. */
void cluster_settle(struct cluster *cluster);
void cluster_advance(struct cluster *cluster, raft_usec duration);
/* The node that leads and may be reached, 0: none. */
uint32_t cluster_leader(struct cluster *cluster);
/* Advances until a node other than `not` leads. */
uint32_t cluster_await_leader(struct cluster *cluster, uint32_t not_node);

struct cluster_node *cluster_node(struct cluster *cluster, uint32_t id);
void cluster_stop(struct cluster *cluster, uint32_t node);
void cluster_restart(struct cluster *cluster, uint32_t node);
void cluster_post(struct cluster *cluster, uint32_t node, const struct node_event *event);

/* Changes a session's row in the checkpoint on the disk of a node that is stopped, as if it had always been like that:
 * every sum is right. */
void cluster_corrupt(struct cluster *cluster, uint32_t node);

/* Comes back with an empty data folder. */
void cluster_wipe(struct cluster *cluster, uint32_t node);

/* Comes back with an empty data folder that stands in the place of the one before, which was found damaged. */
void cluster_damage(struct cluster *cluster, uint32_t node);

/* node_recover() on what the disk holds, and its save onto that disk; the node stays stopped. 0, or its error with the
 * sentence in `error`. */
int cluster_recover(struct cluster *cluster, uint32_t node, const struct node_recovery *recovery, char *error,
		    size_t error_bytes);
/* Of the checkpoint on the disk; 0: none. */
raft_index cluster_header_index(const struct cluster_disk *disk);
/* Writes the checkpoint that is held. */
void cluster_end_checkpoint(struct cluster *cluster, uint32_t node);

/* ---- Clients ---- */

void cluster_send(struct cluster *cluster, uint32_t node, node_connection connection, uint8_t type, uint64_t id,
		  const void *body, size_t n);
void cluster_hello(struct cluster *cluster, uint32_t node, node_connection connection);
void cluster_request(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
		     const Client__Request *request);
/* The first frame of that type not yet taken; NULL: none came. */
struct cluster_frame *cluster_take(struct cluster *cluster, node_connection connection, uint8_t type, uint64_t id);
/* The reply, or NULL; free with client__reply__free_unpacked(). */
Client__Reply *cluster_take_reply(struct cluster *cluster, node_connection connection, uint64_t id);
/* Status of the reply; -1: none came. */
int cluster_take_status(struct cluster *cluster, node_connection connection, uint64_t id);
/* The last HELLO_REPLY of all those that the connection got and that were not taken, or NULL; *ret_n: their number. */
Client__HelloReply *cluster_take_news(struct cluster *cluster, node_connection connection, size_t *ret_n);
Client__Event *cluster_take_event(struct cluster *cluster, node_connection connection, uint64_t id);

void cluster_send_open(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
		       const char *nonce, uint32_t ttl_ms);
void cluster_send_acquire(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			  uint64_t opened, uint64_t sequence, const char *name, uint32_t wait_ms);
void cluster_send_release(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			  uint64_t opened, uint64_t sequence, const char *name, uint64_t token);
void cluster_send_keep_alive(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			     uint64_t opened);
void cluster_send_show(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
		       const char *name);
/* The same at a level other than LINEARIZABLE. */
void cluster_send_read(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
		       const char *name, Client__ReadLevel level, uint64_t at_least);
void cluster_send_observe(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			  const char *name, uint64_t after);

void cluster_send_backup(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			 uint64_t number, uint64_t offset);
/* The driver does what it was asked for. */
void cluster_end_backup(struct cluster *cluster, uint32_t node);

/* One change of one node; several go into one request. */
struct cluster_change {
	Client__MemberChange__Kind kind;
	uint32_t node;
	int priority; /* < 0: not set */
};
void cluster_send_change(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			 const struct cluster_change *changes, size_t n);
void cluster_send_transfer(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t id,
			   uint32_t target);
/* What the node says of itself; free the reply. */
Client__Reply *cluster_status(struct cluster *cluster, uint32_t node, node_connection connection);

/* Opens a session and waits for it; SessionId.opened. */
uint64_t cluster_open(struct cluster *cluster, uint32_t node, node_connection connection, const char *nonce,
		      uint32_t ttl_ms);
/* Acquires at once and returns the token; 0: not granted. */
uint64_t cluster_acquire(struct cluster *cluster, uint32_t node, node_connection connection, uint64_t opened,
			 uint64_t sequence, const char *name);

ProtobufCBinaryData cluster_bytes(const char *text);

#endif
