/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on their way into the log and out of it again: in the backlog until the leader's disk is free and the entry
 * before is applied, then proposed together as one entry, then answered when that is applied. What arrives meanwhile is
 * the next entry: entries grow with the load, and no timer is needed. Fewer entries are less work for everybody: on
 * machines that are busy, an entry that did not wait for the one before would cost more time than it saves. Where a
 * majority is far away entries follow each other as the leader's own disk allows.
 *
 * Commands of the leader's own get a ticket; tickets are applied in order.
 *
 * An acquire that would only queue for a lock that is held is patient: by itself it brings about no entry for a while.
 * Its grant does not come later for that, since whatever frees the lock is a command of this leader, too, and takes
 * along what is queued. Where one session hands a lock to the next and queues again, this saves every second commit.
 *
 * When leadership ends first, nobody here can know what becomes of a proposed command: it is answered LEADER_CHANGED at
 * once, and the client learns the outcome from the next leader by sending the same sequence again. LOST would need the
 * index to be applied under another term, and a replica that sees this has ceased to lead, and has answered, before. */
#ifndef LOCKD_NODE_PENDING_H
#define LOCKD_NODE_PENDING_H

#include "api/command.pb-c.h"
#include "api/limits.h"
#include "client.h"

#include <bsd/sys/queue.h>

struct replica;
struct state_outcome;

enum {
	/* An Acquire has the longest texts; the rest is room for numbers, tags and lengths. */
	PENDING_REQUEST_BYTES_MAX = LIMIT_NAME_BYTES_MAX + LIMIT_VALUE_BYTES_MAX + 256,
	PENDING_PATIENCE_US = 10 * 1000,
	PENDING_PATIENT_MAX = 16, /* more of them are an entry by themselves: they are looked at in every turn */
	/* A wait that is short against the patience begins at once. */
	PENDING_PATIENT_WAIT_MS_MIN = 100,
	/* An entry that took longer than that to be applied went a long way. */
	PENDING_NEAR_US_MAX = 5 * 1000,
	/* Commands that are proposed and not applied: who comes next waits for all of them. */
	PENDING_AHEAD_MAX = 2048,
};
_Static_assert(LIMIT_NONCE_BYTES + LIMIT_OWNER_BYTES_MAX + LIMIT_HOST_BYTES_MAX + LIMIT_LABEL_BYTES_MAX <=
		       LIMIT_NAME_BYTES_MAX + LIMIT_VALUE_BYTES_MAX,
	       "an Open is shorter");
_Static_assert((int)PENDING_AHEAD_MAX <= (int)LIMIT_COMMANDS_PER_ENTRY_MAX, "one entry may hold them all");

enum pending_kind {
	PENDING_REQUEST, /* of a client */
	PENDING_OPEN,    /* of a client, and its answer restarts the session's timer */
	PENDING_OWN,     /* the leader's own: nobody waits for an answer */
};

struct pending {
	STAILQ_ENTRY(pending) link;
	enum pending_kind kind;
	struct asker asker;
	raft_usec arrived;  /* on the session clock */
	uint64_t ticket;    /* of the leader's own; 0: none */
	raft_usec proposed; /* on the monotonic clock, and where: */
	raft_index index;
	raft_term term;
	uint32_t position;
	raft_usec patient_to; /* on the monotonic clock; 0: impatient */
	size_t n, name_n;
	/* A packed command.Batch of this one command: batches are joined by joining their bytes. If it is patient, the
	 * name of the lock behind it. */
	uint8_t batch[];
};

STAILQ_HEAD(pending_list, pending);

struct backlog_flow;
STAILQ_HEAD(backlog_flows, backlog_flow);

/* See backlog.h. */
struct backlog {
	struct pending_list own;    /* commands of the leader's own */
	struct backlog_flows flows; /* connections, in turn */
	struct backlog_flow *by_connection;
};

struct pendings {
	struct backlog backlog;
	struct pending_list chosen; /* for the next entry */
	uint32_t n_chosen;
	size_t chosen_bytes;
	struct pending_list proposed;
	uint32_t n_proposed;
	raft_usec took;       /* from its proposal until the last entry was applied */
	raft_usec patient_to; /* when what is chosen is proposed by itself; 0: not a matter of time */
	uint64_t issued;      /* last ticket given */
	uint64_t applied;     /* all tickets up to here are applied or void */
};

void pendings_init(struct pendings *pendings);
void pendings_deinit(struct replica *replica);

/* Packs a client's command, whose texts are as long as they may be at most, as it will stand in the log. */
size_t pending_pack(const Command__Command *command, uint8_t out[PENDING_REQUEST_BYTES_MAX]);

/* Queues a packed command of a client. `lock`: the name of the one that it is ready to wait for; empty: none. */
void pending_push_request(struct replica *replica, enum pending_kind kind, const struct asker *asker,
			  struct node_bytes batch, struct node_bytes lock);
/* Queues one that nobody waits for; the ticket. */
uint64_t pending_push_own(struct replica *replica, const Command__Command *command);

/* Leader: proposes the next entry, unless a save of its own is still on its way to the disk, or the entry before on its
 * way to be applied. What is patient waits for company. */
void pendings_propose(struct replica *replica);
/* Lowers *deadline to when patience ends. */
void pendings_get_deadline(const struct replica *replica, raft_usec *deadline);

/* The entry is being applied: answers one of its commands … */
void pending_answer(struct replica *replica, const struct node_entry *entry, const struct state_outcome *outcome);
/* … and forgets the rest of them, which nobody waits for. */
void pendings_pass(struct replica *replica, const struct node_entry *entry);

/* Leadership has ended: whatever is proposed may or may not happen, whatever is queued never will. */
void pendings_resign(struct replica *replica);

#endif
