/* SPDX-License-Identifier: Apache-2.0 */
/* One replica, whole and pure: consensus, sessions, locks, admission, replies.
 *
 * node_step() takes the clocks and all inputs of one turn of the loop and returns effects: saves, frames to peers,
 * frames to clients, a checkpoint, a snapshot to send. Bytes in, bytes out: the real driver (lockd/io) and the
 * simulator are small loops around it and cannot get an order wrong, since a frame is only handed out once the saves it
 * depends on were reported durable.
 *
 * The retained log (above the last checkpoint, plus what trails for lagging followers) lives in memory as well; its
 * bounds are in api/limits.h. */
#ifndef LOCKD_NODE_NODE_H
#define LOCKD_NODE_NODE_H

#include <raft/raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

struct node_uuid {
	uint8_t bytes[16];
};

/* A client connection, numbered by the driver; never reused within a process. */
typedef uint64_t node_connection;

struct node_address {
	uint32_t node;
	const char *peer_address, *client_address; /* may be NULL for a member that this node was not told of */
};

struct node_config {
	uint32_t node;
	struct node_uuid store;
	uint64_t seed;
	struct raft_timing timing;
	const struct node_address *addresses; /* of all nodes, this one included; copied */
	size_t n_addresses;
	const char *version; /* shown in status; copied */
	/* 0: the value of api/limits.h. Tests set smaller ones to meet every bound. */
	size_t checkpoint_log_bytes, checkpoint_log_entries;
	size_t trailing_log_bytes, trailing_log_entries;
	size_t pending_requests_max;
	size_t checkpoint_rows_per_turn;
	size_t append_entries_max; /* that one append carries */
	bool leader_lease;         /* serve reads and keep-alives by the leader's lease while it is valid */
	uint32_t machine_version_max; /* that this node applies and tells of; 0: STATE_MACHINE_VERSION_MAX */
	uint32_t state_hash_interval; /* LIMIT_STATE_HASH_INTERVAL */
	raft_usec stall; /* a save that takes longer makes a leader hand over; 0: the longest election time-out */
	/* The store stands in the place of one that was found damaged: while it is blank it joins only the cluster that
	 * this one belonged to, and founds none. Zero: it may join any. */
	struct node_uuid past_incarnation;
	uint32_t repairs;   /* how often that has happened; shown in status, like … */
	const char *damage; /* … what was found; NULL: nothing ever; copied */
};

/* ---- Life: new, restore (or nothing on a blank store), start, step…, free -----------------------------------------
 */

int node_new(const struct node_config *config, struct node **ret);
struct node *node_free(struct node *node);

/* What the store holds, in this order. All bytes are copied. 0, or with a sentence in node_error() -EBADMSG: it cannot be, or
 * -ENOTSUP: this version does not know it. */
struct node_hard {
	uint32_t group;
	raft_term term;
	uint32_t vote;
	uint32_t promise_ms; /* the largest ever stored */
};
int node_restore_identity(struct node *node, const struct node_uuid *incarnation, uint32_t epoch);
int node_restore_hard(struct node *node, const struct node_hard *hard);
/* The checkpoint of a group: packed record.Header, then its rows in order of id. Absent while there is none. */
int node_restore_header(struct node *node, uint32_t group, const void *header, size_t n);
int node_restore_row(struct node *node, uint32_t group, uint64_t id, const void *record, size_t n);
/* The log: first its base (index and term of the entry before the first one retained), then every entry. */
int node_restore_base(struct node *node, uint32_t group, raft_index index, raft_term term);
struct node_entry {
	raft_index index;
	raft_term term;
	uint8_t type;
	uint64_t checksum;
	const uint8_t *data;
	size_t n;
};
int node_restore_entry(struct node *node, uint32_t group, const struct node_entry *entry);
int node_start(struct node *node, const struct raft_clocks *clocks);

/* Instead of node_start(), after the majority of a cluster is lost for good or with what a backup holds: makes this node
 * the only voter of a new incarnation. Everything in its log counts as committed; sessions stay and expire after their
 * TTL, since no client can keep them alive under the new incarnation; tokens go on above `epoch` << 40. `epoch` must be
 * larger than the present one. *ret is the one save that does it, borrowed until node_free(). 0, or -EBADMSG / -EINVAL with a sentence in
 * node_error(). */
struct node_save;
struct node_recovery {
	struct node_uuid incarnation; /* random */
	uint32_t epoch;
	const char *peer_address, *client_address;
	bool end_sessions; /* restored from a backup: sessions end at once, and with them what they hold and wait for */
	uint64_t token;    /* every slot goes on above this one, too; 0: above `epoch` << 40 is enough */
};
int node_recover(struct node *node, const struct node_recovery *recovery, const struct node_save **ret);

/* Sentence about the last failure of the functions above. Valid until the next call. */
const char *node_error(const struct node *node);

/* ---- Step ---------------------------------------------------------------------------------------------------------
 */

enum node_event_kind {
	NODE_PEER_FRAME = 1, /* FOUND or MESSAGE frame from `peer`, already identified by HELLO: store, type, body */
	NODE_PEER_DOWN,      /* the connection that `peer` dialled has closed and was not replaced */
	NODE_PEER_MET,       /* the HELLO of a node that is no member and belongs to no cluster: `met` */
	NODE_CLIENT_FRAME,   /* `connection`: type, id, body */
	NODE_CLIENT_GONE,    /* `connection` has closed */
	NODE_CLIENT_STALLED, /* `connection` does not take what it is sent: its reads wait from now on, until … */
	NODE_CLIENT_DRAINED, /* … it does again */
	NODE_SAVED,          /* all saves of `group` up to `seq` are durable */
	NODE_SAVE_BLOCKED,   /* the disk is full: lead nothing, admit nothing, vote for nobody. What is handed out is still
				saved, as long as a reserve lasts, and reported: the node follows. Also before the first step */
	NODE_SAVE_UNBLOCKED, /* there is space again, for the reserve too */
	NODE_CHECKPOINTED,    /* the checkpoint handed out for `group` is durable (`ok`), or could not be written */
	NODE_SNAPSHOT_SENT,   /* the transfer to `peer` of `group` up to `index` has ended, well if `ok` */
	NODE_SNAPSHOT_STAGED, /* a whole, digest-checked snapshot from `peer`, sent in `term`: header, rows */
	NODE_BACKUP_DONE,     /* what effects.backups asked for: `backup` */
	NODE_FOUND, /* blank node: found a cluster from `configuration` (packed command.Configuration), `incarnation`,
		       `epoch` */
	NODE_STOP,  /* graceful stop: give up leadership, admit nothing more */
};

struct node_bytes {
	const uint8_t *bytes;
	size_t n;
};

/* Who has called. Borrowed during the step. */
struct node_met {
	uint32_t node;
	struct node_uuid store;
	const char *peer_address, *client_address;
	/* The stores that the node had before they were found damaged: none of them ever opens again. A member with one of
	 * them is given this one, by the leader, without being asked. */
	const struct node_uuid *replaces;
	size_t n_replaces;
};

enum node_backup_result {
	NODE_BACKUP_OK,
	NODE_BACKUP_FULL,   /* the disk has no room for the cut */
	NODE_BACKUP_FAILED, /* it could not be written or read */
};

/* Borrowed during the step. */
struct node_backup_report {
	uint64_t number;
	enum node_backup_result result;
	/* Of a cut: what the file holds, and what it covers. */
	raft_index index;
	const uint8_t *header; /* packed record.Header */
	size_t header_bytes;
	uint64_t rows, bytes; /* a run of (u32 length, record bytes) in order of kind */
	uint8_t digest[16];   /* XXH3-128 of header and run, canonical form */
	/* Of a part that was read. */
	const uint8_t *data;
	size_t n;
};

struct node_event {
	enum node_event_kind kind;
	uint32_t peer;
	struct node_uuid store; /* PEER_FRAME: of the sender, as its HELLO said */
	node_connection connection;
	uint8_t type; /* enum frame_type */
	uint64_t id;
	const uint8_t *body; /* borrowed during the step */
	size_t body_bytes;
	uint32_t group;
	uint64_t seq;
	raft_index index;
	raft_term term;
	bool ok;
	const uint8_t *header; /* SNAPSHOT_STAGED: packed record.Header */
	size_t header_bytes;
	const struct node_bytes *rows; /* SNAPSHOT_STAGED: packed records in order of kind; must stay until the save
					* that installs them is durable or the node drops it (effects.staged_done) */
	size_t n_rows;
	const struct node_uuid *incarnation;
	uint32_t epoch;
	const struct node_met *met;
	const struct node_backup_report *backup;
};

/* A durable write. Execute saves in order and completely, one report of NODE_SAVED may cover several. What belongs
 * together after a crash: everything in one save. (term, vote) goes to the superblock, synced, before the log rows. */
struct node_save {
	uint32_t group;
	uint64_t seq;  /* consecutive per group */
	bool identity; /* store incarnation and epoch: the node is blank no longer */
	struct node_uuid incarnation;
	uint32_t epoch;
	bool hard;
	raft_term term;
	uint32_t vote;
	uint32_t promise_ms;      /* with hard: the largest ever stored */
	raft_index truncate_from; /* 0: none */
	const struct node_entry *entries;
	size_t n_entries;
	raft_index trim_to;  /* delete entries up to here, they lie below a durable checkpoint; 0: none. May be done
				lazily */
	raft_term trim_term; /* of the entry trim_to: the new base */
	/* Install a snapshot: replace the group's checkpoint by header and rows, then the log's base; entries behind
	 * the base stay if keep_suffix. */
	bool install, keep_suffix;
	raft_index base;
	raft_term base_term;
	const uint8_t *header;
	size_t header_bytes;
	const uint64_t *row_ids;
	const struct node_bytes *rows;
	size_t n_rows;
};

struct node_peer_frame {
	uint32_t peer;
	uint8_t type;
	const uint8_t *body;
	size_t body_bytes;
	bool append; /* may be dropped when the peer's queue is full; anything else replaces an older one of its kind */
};

struct node_client_frame {
	node_connection connection;
	uint8_t type;
	uint64_t id;
	const uint8_t *body;
	size_t body_bytes;
	bool close; /* after this frame (body_bytes may be 0: no frame): the client broke the protocol */
};

/* Rows that changed since the last checkpoint, to be written in one transaction with the header. At most one is out. */
struct node_checkpoint {
	uint32_t group;
	raft_index index;
	const uint8_t *header; /* packed record.Header */
	size_t header_bytes;
	const uint64_t *row_ids;
	const struct node_bytes *rows; /* bytes NULL: delete the row */
	size_t n_rows;
};

/* Send the group's last durable checkpoint to the peer, on a connection of its own; end it with NODE_SNAPSHOT_SENT. */
struct node_snapshot {
	uint32_t group;
	uint32_t peer;
	raft_term term;
};

/* A backup for a client. CUT: copy the group's last durable checkpoint, as it is now, to where it stays unchanged; READ: `n`
 * bytes of its run at `offset`; each is answered by NODE_BACKUP_DONE, one at a time for a number. DROP: forget it; it is not
 * answered. Nothing is left of a cut that failed. */
enum node_backup_kind { NODE_BACKUP_CUT = 1, NODE_BACKUP_READ, NODE_BACKUP_DROP };
struct node_backup {
	enum node_backup_kind kind;
	uint64_t number;
	uint32_t group;
	uint64_t offset;
	size_t n;
};

/* Something worth a log line; the driver writes it. */
struct node_trace {
	uint32_t group;
	const char *text; /* "key=value key=value" */
};

struct node_effects {
	const struct node_save *saves;
	size_t n_saves;
	const struct node_peer_frame *peer_frames;
	size_t n_peer_frames;
	const struct node_client_frame *client_frames;
	size_t n_client_frames;
	const struct node_checkpoint *checkpoint; /* NULL: none; borrowed until NODE_CHECKPOINTED */
	const struct node_snapshot *snapshots;
	size_t n_snapshots;
	const struct node_backup *backups;
	size_t n_backups;
	const struct node_trace *traces;
	size_t n_traces;
	bool staged_done;     /* the rows of SNAPSHOT_STAGED are not needed any more */
	bool members_changed; /* node_get_member() says something else than before the step */
	raft_usec deadline;   /* call again by then (monotonic clock), even without events */
	bool stopped;         /* NODE_STOP is complete: nothing pending, nothing to save */
	const char *fatal; /* not NULL: the process must stop with this reason (an entry that cannot be applied, …) */
};

/* One turn. Take the inbox first, then read the clocks, then call: a clock read before draining would start promises
 * too early. `events` may be empty. Effects are borrowed until the next step, except where a field says otherwise. */
void node_step(struct node *node, const struct raft_clocks *clocks, const struct node_event *events, size_t n,
	       struct node_effects *effects);

/* ---- Queries for the driver's HELLO, for tests and the simulator --------------------------------------------------
 */

bool node_is_blank(const struct node *node);
void node_get_identity(const struct node *node, struct node_uuid *ret_incarnation, uint32_t *ret_epoch);
const struct raft *node_raft(const struct node *node, uint32_t group);
struct state;
const struct state *node_state(const struct node *node, uint32_t group);
/* What raft_get_status() and state_get_counts() do not say. */
enum {
	NODE_VERBS_MAX = 32,    /* numbers of the fields of Request.body (api/proto/client.proto) */
	NODE_STATUSES_MAX = 64, /* numbers of statuses that go over the wire (lockd/status.h) */
};
struct node_tally {
	/* Counted since the node was made. */
	uint64_t requests[NODE_VERBS_MAX];   /* by verb, whatever became of them; 0: of no verb that this version knows */
	uint64_t replies[NODE_STATUSES_MAX]; /* by status; those whose client had gone are left out */
	uint64_t kept_alive;                 /* leader: sessions that it told that they were heard, one by one */
	uint64_t expired;                    /* leader: sessions that it gave up for their silence */
	uint64_t leaders;                    /* another leader, or the same one in another term, became known */
	/* As it is at the moment. */
	uint64_t pending;   /* requests admitted and not yet answered */
	uint64_t log_bytes; /* of the retained log */
	raft_index checkpoint;
	bool refusing;    /* admits nothing and votes for nobody: the disk is full, or the node stops */
	bool restoring;   /* as in status */
	uint32_t repairs; /* node_config.repairs */
};
void node_get_tally(const struct node *node, struct node_tally *ret);
/* An entry of the retained log; false: not there. Borrowed until the next step. */
bool node_get_entry(const struct node *node, uint32_t group, raft_index index, struct node_entry *ret);
/* The members of the latest configuration, by position, with the addresses that it gives them; those that this node was
 * configured with come first where there are any. false: no more. Strings are borrowed until the next step. */
struct node_member {
	uint32_t node;
	struct node_uuid store;
	uint8_t roles; /* enum raft_member_role */
	const char *peer_address, *client_address;
};
bool node_get_member(const struct node *node, size_t position, struct node_member *ret);
/* What a node says in every HELLO of its disk, as this process found it: a later one would hide what was forgotten behind
 * what whoever knows nothing of that has taught it since. */
struct node_memory {
	uint64_t boot_count; /* how often the folder was opened, this time included; the driver knows it */
	uint64_t boot;       /* random per process; likewise */
	raft_term term;
	uint32_t vote;
	raft_index last;
};
/* Behind node_start(), before the first step: term, vote, last. */
void node_get_memory(const struct node *node, struct node_memory *ret);
/* Holds the HELLO of a peer against what its store has said so far, and remembers its process: before any other frame of that
 * process. NULL: nothing speaks against it; otherwise a sentence: the data folder is an older copy of itself, and whoever
 * uses it must neither be heard nor go on. */
const char *node_judge_memory(struct node *node, uint32_t peer, const struct node_uuid *store,
                              const struct node_memory *memory);
/* The FOUND frame body for a blank peer whose store the committed configuration names; 0: *ret borrowed until the next
 * call, 1: it does not (the peer must be added first), or not yet: ask again. */
int node_found_body(struct node *node, uint32_t peer, const struct node_uuid *store, struct node_bytes *ret);

#endif
