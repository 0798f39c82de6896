/* SPDX-License-Identifier: Apache-2.0 */
/* Who should lead: handing over on request (dissertation §3.10), before a stop, from a node whose disk stalls, and to a
 * voter that the configuration prefers; and telling the core whether this node could lead at all. */
#ifndef LOCKD_NODE_LEADERSHIP_H
#define LOCKD_NODE_LEADERSHIP_H

#include "client.h"

struct replica;

enum {
	/* A preferred voter takes over once it has been healthy for this many longest election time-outs, and the
	 * leader tries again no sooner than after the second number of them: a node that fails under the load of a
	 * leader must not be made one over and over. */
	LEADERSHIP_HEALTHY_ELECTIONS = 10,
	LEADERSHIP_RETRY_ELECTIONS = 30,
	LEADERSHIP_LAG_ENTRIES_MAX = 1000,
	LEADERSHIP_CONTACT_HEARTBEATS = 2,
	/* Longest election time-outs within which whoever asked wants to hear who leads. */
	LEADERSHIP_ANSWER_ELECTIONS = 2,
};

enum leadership_ask {
	LEADERSHIP_ASK_NONE,
	LEADERSHIP_ASK_WAITING, /* for this leader's first entry */
	LEADERSHIP_ASK_RUNNING,
	LEADERSHIP_ASK_ENDED, /* this leader has resigned, and does not know yet who has taken over */
};

struct leadership {
	/* A client's TransferLeader. */
	enum leadership_ask ask;
	struct asker asker;
	uint32_t target; /* 0: the core chooses */
	raft_term term;  /* RUNNING: the one that is to end; ENDED: the one that has */
	raft_usec ended; /* mono */

	bool unfit;           /* as the core was told */
	bool gave_up;         /* this leader cannot stay, and has tried to hand over */
	raft_usec disk_quiet; /* mono: a save is outstanding and none has become durable since */
	raft_usec preferred;  /* mono: the last try to hand over to a preferred voter; 0: none */
	struct leadership_health {
		uint32_t node;
		raft_usec since;    /* mono; 0: not healthy */
	} health[RAFT_MEMBERS_MAX]; /* by position in the latest configuration */
};

/* TransferLeader; at most one at a time. */
void leadership_ask(struct replica *replica, const struct asker *asker, uint32_t target);
bool leadership_is_asked(const struct replica *replica);

/* A save has been handed out, or has become durable. */
void leadership_note_save(struct replica *replica);
void leadership_note_saved(struct replica *replica);
/* The disk takes longer than a turn of heartbeats: keep-alives wait for what it holds up, so silence means nothing. */
bool leadership_disk_is_late(const struct replica *replica);
/* Neither blocked, stalled nor stopping. */
bool leadership_is_fit(const struct replica *replica);

/* Tells the core when that has changed. */
void leadership_tell_fitness(struct replica *replica);
/* Leader: hands over if it should. Anybody: says who has taken over. */
void leadership_advance(struct replica *replica);
void leadership_resign(struct replica *replica);
/* Pulls *deadline forward to the time by which the disk would count as stalled, or an answer is due. */
void leadership_get_deadline(const struct replica *replica, raft_usec *deadline);

#endif
