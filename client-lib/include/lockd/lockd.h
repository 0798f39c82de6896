/* SPDX-License-Identifier: Apache-2.0 */
/* liblockd: locks, leases and elections from a lockd cluster.
 *
 * A client handle (struct lockd_client) keeps one warm connection to each node and follows the leader by itself.
 * Sessions (struct lockd_session) are leases: while one is kept alive, which happens in the background, what it holds
 * stays held. A lock is granted to a session together with a token that is greater than every earlier token of that
 * lock; hand the token to the resource that the lock protects and let it refuse smaller ones (<lockd/fence.h>): nothing
 * else protects it from a holder that was paused past its deadline.
 *
 * Every blocking call takes a time-out in milliseconds (LOCKD_FOREVER: none) and is built on the call of the same name
 * ending in _async. Results are enum lockd_status: 0 is success, and lockd_status_outcome() says of any other whether
 * the request was done, was not done, or may have been. UNKNOWN is resolved by lockd_resolve() with the same sequence:
 * the library goes on asking in the background (an acquire that was given up is cancelled).
 *
 * Threads: all calls may be made from any thread at any time, except that a handle must not be used after or while it
 * is closed. Callbacks run on threads of the library, one at a time per client; they may call _async functions and
 * queries, and must not block nor call a blocking function: the same few threads bring the answers to all handles of
 * the program. What a callback asks for is sent when it has returned.
 *
 * Fork: a handle belongs to the process that opened it; in a child every call returns LOCKD_FORKED.
 *
 * Times are CLOCK_BOOTTIME; strings are UTF-8 without control characters. */
#ifndef LOCKD_LOCKD_H
#define LOCKD_LOCKD_H

#include <lockd/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lockd_client;
struct lockd_session;
struct lockd_observation;

enum { LOCKD_FOREVER = -1, LOCKD_TRY = 0 };

/* ---- Client ----------------------------------------------------------------------------------------------------- */

struct lockd_options {
	const char *endpoints; /* "host:port,host:port"; a bare host means port 7600. NULL: LOCKD_ENDPOINTS or
				  127.0.0.1:7600 */
	const char *owner;     /* shown with every session; NULL: the user's name */
	const char *host;      /* NULL: the host's name */
};

/* Opens a handle. Does not wait for the cluster: an unreachable one shows in the first call that needs it. `options`
 * may be NULL and is not kept. MISUSE: malformed endpoints. NO_MEMORY. */
LOCKD_PUBLIC enum lockd_status lockd_open(const struct lockd_options *options, struct lockd_client **ret);

/* Ends the handle, its sessions and observations: outstanding calls get LOCKD_CLOSED, sessions are left to expire
 * unless lockd_session_close() was called. Returns when all callbacks have run. NULL is ignored. Not from a callback.
 */
LOCKD_PUBLIC void lockd_close(struct lockd_client *client);

/* A sentence about the most recent failure to reach or to speak with the cluster ("10.0.0.1:7600: connection refused;
 * …"), for people. What the cluster said when it refused a request stands in front. Copied into `text`, cut to `n`
 * bytes, always terminated; empty when there was none. */
LOCKD_PUBLIC void lockd_last_error(struct lockd_client *client, char *text, size_t n);

/* ---- Sessions --------------------------------------------------------------------------------------------------- */

enum lockd_session_state {
	LOCKD_SAFE,     /* the lease is running; nobody else is granted what the session holds */
	LOCKD_JEOPARDY, /* keep-alives go unanswered for a third of the TTL; the lease still runs, prepare to stop */
	LOCKD_EXPIRED,  /* the lease has run out here, or the cluster has ended the session. Final: stop using what it
			   held */
};

typedef void lockd_session_fn(void *user, struct lockd_session *session, enum lockd_session_state state);

struct lockd_session_options {
	uint32_t ttl_ms;            /* 0: 10000. The cluster refuses less than 3000 */
	const char *label;          /* shown with the session; NULL: none */
	lockd_session_fn *on_state; /* every change of state; NULL: none */
	void *user;
};

/* Opens a session and keeps it alive until it is closed. `options` may be NULL. DEADLINE leaves nothing behind: if
 * the session was opened after all, it expires after its TTL. */
LOCKD_PUBLIC enum lockd_status lockd_session_open(struct lockd_client *client,
						  const struct lockd_session_options *options, int timeout_ms,
						  struct lockd_session **ret);

/* Ends the session: releases all it holds, gives up all it waits for; outstanding calls get CLOSED. Whatever the
 * result, the handle is freed, its keep-alives stop and none of its callbacks will run; on any status but OK and
 * SESSION_EXPIRED the cluster ends it after its TTL. NULL is ignored. Not from a callback. */
LOCKD_PUBLIC enum lockd_status lockd_session_close(struct lockd_session *session, int timeout_ms);

LOCKD_PUBLIC enum lockd_session_state lockd_session_get_state(struct lockd_session *session);

/* Milliseconds of lease left, by the clock of the holder: until t_send + TTL·(1−ρ)/(1+ρ) − margin of the last
 * keep-alive that was answered. 0: none, stop. The answer ages: ask again behind every wait. */
LOCKD_PUBLIC int64_t lockd_session_remaining_ms(struct lockd_session *session);

/* "epoch.group.opened" as lockctl shows it; lives as long as the session. */
LOCKD_PUBLIC const char *lockd_session_id(struct lockd_session *session);

/* ---- Locks ------------------------------------------------------------------------------------------------------ */

struct lockd_grant {
	uint64_t token;    /* for the protected resource */
	uint64_t revision; /* of the grant */
	uint64_t sequence; /* of the request in its session; 0 if it was refused at once. For lockd_resolve() */
};

typedef void lockd_grant_fn(void *user, enum lockd_status status, const struct lockd_grant *grant);

/* Acquires the lock `name` for the session.
 *
 * wait_ms: LOCKD_TRY: only if it is free and nobody waits (else HELD); LOCKD_FOREVER: as long as it takes; otherwise
 * how long the seat stays in the queue (then WAIT_EXPIRED). The cluster counts it; a leader change restarts it.
 *
 * value: carried by the holder and shown to observers; NULL: empty.
 *
 * timeout_ms: how long this call waits for the answer; DEADLINE cancels the seat in the background. Give it more than
 * wait_ms, or LOCKD_FOREVER.
 *
 * OK: ret_grant says with which token. Waiters are served in the order in which they queued.
 *
 * A session has at most 32 acquires on their way, and while one of its requests is unanswered, 30 younger acquires with
 * their releases can be answered; further ones wait in the library. A program that uses other locks while it waits long
 * for one does so in another session. A handle that has 65536 requests under way takes no more: LIMIT. What a busy node
 * refuses is asked again, with no more under way than the node took; a program hears nothing of it but that it takes
 * longer. */
LOCKD_PUBLIC enum lockd_status lockd_acquire(struct lockd_session *session, const char *name, const char *value,
					     int wait_ms, int timeout_ms, struct lockd_grant *ret_grant);
LOCKD_PUBLIC enum lockd_status lockd_acquire_async(struct lockd_session *session, const char *name, const char *value,
						   int wait_ms, lockd_grant_fn *done, void *user,
						   uint64_t *ret_sequence);

/* Gives the lock back. NOT_HOLDER: it was not held under this token any more. After DEADLINE the library goes on
 * asking; the same release again finds out: OK or NOT_HOLDER, either way it is not held under this token. UNREACHABLE,
 * DISK_FULL: not asked for, the lock is still held. */
LOCKD_PUBLIC enum lockd_status lockd_release(struct lockd_session *session, const char *name, uint64_t token,
					     int timeout_ms);
LOCKD_PUBLIC enum lockd_status lockd_release_async(struct lockd_session *session, const char *name, uint64_t token,
						   lockd_grant_fn *done, void *user, uint64_t *ret_sequence);

/* Gives up an acquire that was started with this sequence: once `done` of the acquire has run (CANCELLED, or any other
 * result that came first) it neither waits nor holds, unless that result was OK. */
LOCKD_PUBLIC enum lockd_status lockd_cancel(struct lockd_session *session, uint64_t sequence);

/* Waits until the request with this sequence has a definite outcome and returns it. After an acquire that ended in
 * DEADLINE: CANCELLED, also if it had been granted and the cancellation gave it back, or the refusal that came first.
 * After a release: what it came to. DEADLINE: not known yet. STALE: finished long ago and forgotten. */
LOCKD_PUBLIC enum lockd_status lockd_resolve(struct lockd_session *session, uint64_t sequence, int timeout_ms,
					     struct lockd_grant *ret_grant);

/* ---- Elections -------------------------------------------------------------------------------------------------- */
/* An election is a lock that carries its holder's value. */

/* Waits to be leader: lockd_acquire() with the candidate's value (an address, say). */
static inline enum lockd_status lockd_campaign(struct lockd_session *session, const char *election, const char *value,
					       int wait_ms, int timeout_ms, struct lockd_grant *ret_grant) {
	return lockd_acquire(session, election, value, wait_ms, timeout_ms, ret_grant);
}

/* Gives leadership up. */
static inline enum lockd_status lockd_resign(struct lockd_session *session, const char *election, uint64_t token,
					     int timeout_ms) {
	return lockd_release(session, election, token, timeout_ms);
}

enum lockd_event_kind {
	LOCKD_EVENT_LEADER, /* there is a (new) leader */
	LOCKD_EVENT_VACANT, /* there is none */
	LOCKD_EVENT_GAP,    /* changes up to `revision` were lost; the state of affairs follows as the next event */
};

struct lockd_event {
	enum lockd_event_kind kind;
	uint64_t revision; /* pass the last one to lockd_observe() to go on from there */
	uint64_t token;
	const char *value, *owner, *host; /* valid during the callback; empty when VACANT or GAP */
	uint32_t pid;
};

typedef void lockd_event_fn(void *user, const struct lockd_event *event);

/* Calls back for every change of the election's leader, in order, each once, across leader changes and reconnects of
 * the cluster; where that is not possible a GAP says so. after_revision 0: begin with the state of affairs. */
LOCKD_PUBLIC enum lockd_status lockd_observe(struct lockd_client *client, const char *election, uint64_t after_revision,
					     lockd_event_fn *on_event, void *user, struct lockd_observation **ret);
/* Ends it; when it returns, no callback runs or will run. Not from its own callback. NULL is ignored. */
LOCKD_PUBLIC void lockd_observe_stop(struct lockd_observation *observation);

/* ---- Looking ---------------------------------------------------------------------------------------------------- */
/* Results are freed by their own free function; all strings belong to them. */

enum lockd_read_level {
	LOCKD_READ_LINEARIZABLE, /* sees every operation that was answered before the call */
	LOCKD_READ_SESSION,      /* never goes back: sees at least what this handle has been answered so far */
	LOCKD_READ_STALE,        /* what the asked node has applied, however old: see `age_ms` */
};

/* How to read. NULL, and {0}: linearizable, at the leader. */
struct lockd_read {
	enum lockd_read_level level;
	uint64_t at_least; /* SESSION: a revision that must have been applied, from another handle or process */
	uint32_t node;     /* ask this one only (UNREACHABLE when it does not answer). 0: the leader; for SESSION and
			      STALE any connected node, rather a follower, so that the leader has less to do */
};

/* What a result is worth. */
struct lockd_answer {
	enum lockd_read_level level;
	uint32_t node;     /* who answered */
	uint64_t revision; /* of the state that was read; of a long list: of its last page */
	int64_t age_ms;    /* STALE: since the node last heard of its leader, 0: it leads, -1: it never has. Else 0 */
};

struct lockd_session_info {
	const char *id, *owner, *host, *label;
	uint32_t pid, ttl_ms, held, waiting;
};

struct lockd_lock_info {
	const char *name, *value;
	uint64_t token, granted_revision;
	uint64_t held_ms; /* for display, by the leader's clock since it saw the grant */
	uint32_t waiting;
	struct lockd_session_info holder;
	const struct lockd_session_info *waiters; /* lockd_show() only, in queue order */
	size_t n_waiters;
};

struct lockd_lock_list {
	const struct lockd_lock_info *locks;
	size_t n;
	struct lockd_answer answer;
};

struct lockd_session_list {
	const struct lockd_session_info *sessions;
	size_t n;
	struct lockd_answer answer;
};

/* Flags. A member with VOTER alone keeps its vote; while a change is under way (`joint`), one with VOTER and without
 * OUTGOING is coming to vote, and one with OUTGOING and without VOTER is losing its vote. */
enum lockd_role {
	LOCKD_ROLE_VOTER = 1,
	LOCKD_ROLE_OUTGOING = 2, /* votes in the configuration that is being left */
	LOCKD_ROLE_LEARNER = 4,  /* receives the log, is counted nowhere */
	LOCKD_ROLE_LOST = 8,     /* its data folder was lost: it is being given `store` in the place of the old one */
};

struct lockd_peer_info {
	uint32_t node;
	const char *peer_address, *client_address;
	const char *store; /* uuid of its data folder, hexadecimal */
	int voter;
	unsigned roles;    /* of enum lockd_role */
	uint32_t priority; /* 0 to 255: whom the others would rather follow */
	/* Known to the leader only. */
	uint64_t match;     /* highest index known to be on its disk; else 0 */
	int64_t contact_ms; /* since its last answer; -1: none */
	uint32_t rtt_us;    /* of heartbeats, smoothed; 0: not known */
	int caught_up;      /* follows closely enough to vote */
	int unfit;          /* says that it could not lead */
	int snapshot;       /* needs a snapshot */
};

/* A node that has called and is no member: lockd_change_members() can add it. */
struct lockd_candidate_info {
	uint32_t node;
	const char *store; /* uuid of its data folder, hexadecimal */
	const char *peer_address, *client_address;
	uint32_t age_ms; /* since it called */
};

struct lockd_node_info {
	const char *endpoint;
	enum lockd_status status; /* of asking this node: OK, or why the rest is empty */
	const char *reason;       /* for people, when it is not OK; else "" */
	uint32_t node, leader, group, epoch;
	const char *role, *version, *incarnation, *state_hash;
	uint64_t term, commit, applied, log_first, log_last, log_bytes, checkpoint;
	uint64_t sessions, locks, seats, pending, uptime_ms;
	uint64_t configuration_index; /* of the latest configuration */
	int joint;                    /* a change of members is under way: two majorities are needed */
	uint32_t transfer_to;         /* leader only: who is to take over */
	uint32_t lease_ms; /* leader only: what is left of its lease; UINT32_MAX: it never ends (sole voter) */
	int fit;           /* could lead: its disk keeps up, and it is not stopping */
	/* Of the state machine: the version that the log may use, and the latest that this node's program knows. The
	 * first rises to the lowest of the second among all members. 0: its program is too old to say. */
	uint32_t machine_version, machine_version_max;
	uint32_t heartbeat_ms, promise_ms, drift_ppm, election_ms_min, election_ms_max;
	uint32_t ttl_ms_min;                 /* smallest TTL that suits these times */
	const struct lockd_peer_info *peers; /* the members, itself included */
	size_t n_peers;
	const struct lockd_candidate_info *candidates;
	size_t n_candidates;
	int disk_full;    /* admits nothing, leads nothing and votes for nobody until there is space */
	int restoring;    /* its data folder was found damaged: it gets everything from the others, and has not caught up */
	uint32_t repairs; /* how often that has happened */
	const char *damage; /* what was found the last time, for people; "" */
};

struct lockd_node_list {
	const struct lockd_node_info *nodes;
	size_t n;
};

/* Held locks whose name begins with prefix (NULL: all), in order of name. Each page of a long list is read by itself,
 * at the level asked for, and those of one list from one node as long as it is connected. */
LOCKD_PUBLIC enum lockd_status lockd_list(struct lockd_client *client, const char *prefix,
					  const struct lockd_read *read, int timeout_ms, struct lockd_lock_list **ret);
/* One lock with its waiters, as a list of one; NOT_FOUND: it is not held. Also the way to ask who leads an election. */
LOCKD_PUBLIC enum lockd_status lockd_show(struct lockd_client *client, const char *name, const struct lockd_read *read,
					  int timeout_ms, struct lockd_lock_list **ret);
LOCKD_PUBLIC void lockd_lock_list_free(struct lockd_lock_list *list);

/* In order of opening; pages as with lockd_list(). */
LOCKD_PUBLIC enum lockd_status lockd_sessions(struct lockd_client *client, const struct lockd_read *read,
					      int timeout_ms, struct lockd_session_list **ret);
LOCKD_PUBLIC void lockd_session_list_free(struct lockd_session_list *list);

/* Asks every node that it knows of, members and the configured endpoints, for its own view; not linearizable, by
 * nature. OK if at least one answered. Once one has, the silent ones are waited for until a second after the latest
 * answer, and at most until the time-out. */
LOCKD_PUBLIC enum lockd_status lockd_nodes(struct lockd_client *client, int timeout_ms, struct lockd_node_list **ret);
LOCKD_PUBLIC void lockd_node_list_free(struct lockd_node_list *list);

#ifdef __cplusplus
}
#endif

#endif
