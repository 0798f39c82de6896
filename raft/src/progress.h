/* SPDX-License-Identifier: Apache-2.0 */
/* What the leader knows of one member.
 *
 *     PROBE      one append at a time, until the member says where the logs agree
 *     REPLICATE  the logs agree up to match: appends are pipelined, next runs ahead of match
 *     SNAPSHOT   next lies below the retained log; nothing is sent until the member has entries of it
 *
 *           success                        reject, loss
 *     PROBE ───────► REPLICATE ────────────────────────► PROBE
 *     any, next ≤ base ──► SNAPSHOT ── success with match ≥ base, transfer ended ──► REPLICATE, PROBE
 *
 * `next` is a guess and may be wrong in either direction at the price of messages; `match` comes from replies alone and
 * only grows, since commit rests on it. */
#ifndef RAFT_PROGRESS_H
#define RAFT_PROGRESS_H

#include "trail.h"

enum raft__progress_state { RAFT__PROBE, RAFT__REPLICATE, RAFT__SNAPSHOT };

struct raft__inflight {
	raft_index last;
	uint64_t round; /* the latest heartbeat round when it was sent */
	uint32_t bytes;
};

/* A read index that the member has asked for. */
struct raft__question {
	uint64_t number; /* 0: none */
	uint64_t round;  /* started after it came */
};

struct raft__progress {
	uint32_t node; /* 0: unused */
	struct raft_uuid store;
	enum raft__progress_state state;
	raft_index match, next; /* match < next */
	bool probing;           /* PROBE: a message is out and neither answered nor given up */
	uint64_t probe_round;   /* the latest heartbeat round when it was sent */
	uint64_t round;         /* highest heartbeat round answered in this term */
	raft_usec contact;      /* of its last answer in this term; 0: none */
	raft_usec rtt;          /* of heartbeats, smoothed; 0: not known */
	raft_usec lease_end;    /* boot clock: bound by its promise until then; 0: not at all */
	bool unfit;             /* says that it could not lead */
	raft_index goal;        /* catching up: the round ends when it has this; 0: no round */
	raft_usec goal_since;
	bool quick;                         /* the last round that has ended was short */
	uint32_t goals;                     /* rounds that have ended */
	struct raft__question questions[2]; /* the second waits behind the first */
	uint16_t head, n;                   /* REPLICATE: appends that are out, oldest first */
	uint32_t bytes;                     /* of all of them */
	struct raft__inflight *inflight;
};

void raft__progress_init(struct raft__progress *progress, const struct raft_member *member, raft_index next);

/* Room and work for an append: next may be sent. */
bool raft__progress_ready(const struct raft__progress *progress, const struct raft_limits *limits, raft_index last);

/* An append of entries [next, next + n) goes out. */
void raft__progress_sent(struct raft__progress *progress, const struct raft_limits *limits, uint32_t n, uint32_t bytes,
			 uint64_t round);

/* The member has everything up to `index`. */
void raft__progress_matched(struct raft__progress *progress, const struct raft_limits *limits, raft_index index,
			    raft_index base);

/* The member refused the entries behind `index`; `agree` is the best guess where the logs agree. */
void raft__progress_rejected(struct raft__progress *progress, raft_index index, raft_index agree, raft_index base);

/* The member has answered heartbeat `round` and then held `held`: an append that was sent before that round began and
 * that it does not hold was lost. */
void raft__progress_heard(struct raft__progress *progress, uint64_t round, raft_index held, raft_index base);

/* A `next` that cannot be right, for whatever reason, neither harms nor stalls the member: it is asked anew behind
 * match.
 */
void raft__progress_heal(struct raft__progress *progress, raft_index base, raft_index last);

/* A snapshot transfer up to `index` has arrived. */
void raft__progress_transferred(struct raft__progress *progress, raft_index index, raft_index base);

/* The log was compacted up to `base`. */
void raft__progress_compacted(struct raft__progress *progress, raft_index base);

/* Rounds of catching up (dissertation §4.2.1): ends the present one if the member has reached its end, and begins one
 * if the log has grown beyond that. A round of up to `quick` is short. */
void raft__progress_catch_up(struct raft__progress *progress, raft_index last, raft_usec now, raft_usec quick);

/* The last round was short, and the present one is not long already. */
bool raft__progress_caught_up(const struct raft__progress *progress, raft_usec now, raft_usec quick);

void raft__progress_check(const struct raft__progress *progress, const struct raft_limits *limits, raft_index base,
			  raft_index last);

#endif
