/* SPDX-License-Identifier: Apache-2.0 */
/* What a node is made of: replicas, one per group, and what they share. Private to lockd/node. */
#ifndef LOCKD_NODE_REPLICA_H
#define LOCKD_NODE_REPLICA_H

#include "api/arena.h"
#include "api/limits.h"
#include "audit.h"
#include "backup.h"
#include "cache.h"
#include "candidate.h"
#include "checkpoint.h"
#include "client.h"
#include "hello.h"
#include "leadership.h"
#include "lease.h"
#include "lockd/node/node.h"
#include "lockd/state/state.h"
#include "members.h"
#include "membership.h"
#include "outbox.h"
#include "pending.h"
#include "query.h"
#include "replacement.h"
#include "seat.h"
#include "sighting.h"
#include "snapshot.h"
#include "tally.h"
#include "testimony.h"
#include "turn.h"
#include "upgrade.h"
#include "watch.h"

enum {
	/* Owns every slot of a cluster that was not split. 0 is kept for the shard controller. */
	NODE_GROUP_DEFAULT = 1,
	NODE_ERROR_BYTES_MAX = 256,
};

struct boot;

/* One group: consensus core, state machine, log bytes, and whoever waits for any of them. */
struct replica {
	struct node *node;
	uint32_t group;
	struct boot *boot; /* what node_restore_*() gathers; NULL once started */

	struct raft *raft;           /* NULL before node_start() */
	struct raft_effects effects; /* of the latest raft step */
	struct raft_status status;   /* behind it */
	struct state *state;
	struct cache cache;
	struct members members;
	struct node_bytes founding; /* data of entry 1, owned; kept from the first checkpoint on */
	raft_index apply_to;
	uint32_t promise_ms; /* the largest P ever stored or about to be */

	uint64_t last_seq, saved_seq; /* saves handed out, saves durable; equal: the disk is idle */
	raft_index trim_to;           /* rides on the next save; 0: none */
	raft_term trim_term;
	uint64_t founding_seq; /* the save that makes this node no longer blank; 0: none on the way */
	bool founder;          /* campaigns once that is durable */

	bool leading; /* and `leading_term` is the term: requests are admitted */
	raft_term leading_term;
	bool ready;            /* leading, and its own no-op is applied: timers run, the state may be read */
	uint32_t known_leader; /* last one traced, with its term */
	raft_term known_term;
	raft_usec contact; /* boot clock, when the leader was last heard, or by the leader a quorum; 0: never yet */
	uint64_t contact_round; /* leader: the round of that */

	struct membership membership;
	struct replacement replacement;
	struct leadership leadership;
	struct outbox outbox;
	struct pendings pendings;
	struct queries queries;
	struct leases leases;
	struct seats seats;
	struct watches watches;
	struct checkpoint checkpoint;
	struct snapshot snapshot;
	struct sightings sightings;
	struct upgrade upgrade;
	struct audit audit;
};

struct node {
	uint32_t id;
	struct node_uuid store;
	uint64_t seed;
	struct raft_timing timing;
	struct node_address *configured; /* by the configuration file; strings owned, like those of `addresses` */
	size_t n_configured;
	struct node_address *addresses; /* those, and what the latest configuration adds */
	size_t n_addresses, addresses_max;
	struct candidates candidates;
	char *version;
	size_t checkpoint_log_bytes, checkpoint_log_entries;
	size_t trailing_log_bytes, trailing_log_entries;
	size_t pending_requests_max;
	size_t checkpoint_rows_per_turn;
	size_t append_entries_max;
	uint32_t machine_version_max, state_hash_interval;
	raft_usec stall;
	bool leader_lease;
	struct node_uuid past_incarnation; /* see struct node_config, like the two below */
	uint32_t repairs;
	char *damage;

	bool identified; /* incarnation and epoch are set, if not yet durable */
	struct node_uuid incarnation;
	uint32_t epoch;

	struct replica *replicas[LIMIT_GROUPS_MAX];
	size_t n_replicas;

	struct client *clients; /* hash by connection */
	struct hello_news news;
	size_t pending_requests, pending_bytes;
	struct backups backups;

	bool blocked; /* a save is being retried: the disk is full */
	bool stopping;

	struct raft_clocks clocks; /* of this turn */
	raft_usec started;
	raft_usec deadline; /* asked for by the last turn; 0: none yet */
	struct turn turn;
	bool staged_done, members_changed;
	struct arena arena;               /* of the frame or header being read */
	struct arena configuration_arena; /* a configuration is read while a message is */
	const char *fatal;
	char fatal_text[NODE_ERROR_BYTES_MAX];
	char error[NODE_ERROR_BYTES_MAX];
	struct testimonies testimonies;
	struct node_tally tally; /* its counters */
	uint8_t *found_body;     /* of node_found_body() */
};

/* ---- Node ---------------------------------------------------------------------------------------------------------
 */

/* NULL: the node has no such group. */
struct replica *node_find_replica(const struct node *node, uint32_t group);
/* Neither admits requests nor asks for votes: disk full, or stopping. */
bool node_is_refusing(const struct node *node);
/* The process must stop; the first reason counts. */
void node_fail(struct node *node, const char *reason);
void node_arena_reset(struct arena *arena, size_t body_bytes);
/* NULL when it does not decode. In node->arena. */
const Client__Request *node_unpack_request(struct node *node, const uint8_t *body, size_t n);

/* ---- Replica ------------------------------------------------------------------------------------------------------
 */

struct replica *replica_new(struct node *node, uint32_t group);
struct replica *replica_free(struct replica *replica);

/* Knows no configuration: it takes part in nothing. */
bool replica_is_blank(const struct replica *replica);

/* The only caller of raft_step(): carries out its effects and returns its outcome. `incoming`: the bytes of the entries
 * that the event carries, borrowed; index, term and checksum of what is proposed here are filled in by this call. */
int replica_raft(struct replica *replica, const struct raft_event *event, const struct node_entry *incoming);

/* An empty state of the group. */
struct state *replica_new_state(const struct replica *replica);

/* A cluster is being founded with the node's epoch: the state begins anew. */
void replica_found_state(struct replica *replica);

/* The founding configuration as entry 1 carries it. The log forgets that entry; checkpoints keep its data, which is
 * copied here once. */
struct node_bytes replica_get_founding(const struct replica *replica);
void replica_keep_founding(struct replica *replica, struct node_bytes data);

/* The disk reports all saves up to `seq`. */
void replica_saved(struct replica *replica, uint64_t seq);
/* Applies what is committed and durable. */
void replica_apply(struct replica *replica);
/* What follows from the events of a turn: time, proofs, answers, proposals, appends, checkpoints. */
void replica_flush(struct replica *replica);
/* Pulls *deadline forward to the time by which this replica wants to be called again. */
void replica_get_deadline(const struct replica *replica, raft_usec *deadline);

/* Not below any effect that has been applied, and below every later one. */
state_revision replica_revision(const struct replica *replica);
void replica_pack_hash(struct state_hash hash, uint8_t out[16]);

#endif
