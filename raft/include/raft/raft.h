/* SPDX-License-Identifier: Apache-2.0 */
/* raft: a consensus core without I/O.
 *
 * raft_step() is the only function that changes a core: it takes the clocks and one event and fills in effects. The
 * core reads no clock, owns no payload, allocates nothing and calls nothing back. Whoever embeds it keeps the bytes of
 * the entries, executes saves in order, sends messages when their save is durable, and applies what is committed.
 *
 * Four duties of the embedder, and the only ones:
 *  1. Execute saves in the order of their `seq`, completely, and report the highest durable one with RAFT_SAVED.
 *  2. Send a message only once every save up to its `after_seq` is durable (0: at once). Messages may be lost, repeated
 * and reordered; they must not be altered, nor come from another store than the configuration names for their sender.
 *  3. Apply entries in index order up to `effects.apply_to`, never beyond.
 *  4. Call raft_step() with RAFT_TIME no later than raft_deadline() says; a late call costs availability, never safety.
 *
 * Sources: Ongaro & Ousterhout 2014 (the paper), Ongaro's dissertation 2014 (§ numbers in the comments). */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t raft_index; /* of a log entry; the first is 1 */
typedef uint64_t raft_term;
typedef uint64_t raft_usec; /* a duration or a point on one local clock, in microseconds */

enum {
	RAFT_MEMBERS_MAX = 16,
	RAFT_OUT_MESSAGES_MAX = 2 * RAFT_MEMBERS_MAX,
};

struct raft_uuid {
	uint8_t bytes[16];
};

/* ---- Configuration ------------------------------------------------------------------------------------------------
 */

/* Flags. A joint configuration has members that vote in the outgoing half; majorities are then needed in both halves.
 */
enum raft_member_role {
	RAFT_ROLE_VOTER = 1,          /* votes in C-new, or in the only configuration there is */
	RAFT_ROLE_VOTER_OUTGOING = 2, /* votes in C-old while the configuration is joint */
	RAFT_ROLE_LEARNER = 4,        /* receives the log, is counted nowhere */
	/* With VOTER_OUTGOING: the store that voted in C-old is gone, and `store` is the one that stands in its place in
	 * C-new. The old half keeps its size, and nobody can speak for that member in it. */
	RAFT_ROLE_LOST = 8,
};

struct raft_member {
	uint32_t node; /* > 0, unique in a configuration */
	struct raft_uuid store;
	uint8_t roles;
	uint8_t priority; /* whom the others would rather follow: the highest; it ranks quick elections */
};

struct raft_configuration {
	uint32_t promise_ms; /* P: how long a voter that heard its leader grants no (pre-)vote and does not campaign */
	uint32_t drift_ppm;  /* ρ */
	uint16_t n;
	struct raft_member members[RAFT_MEMBERS_MAX];
};

/* ---- Messages -----------------------------------------------------------------------------------------------------
 */

enum raft_message_type {
	RAFT_PREVOTE = 1,
	RAFT_PREVOTE_REPLY,
	RAFT_VOTE,
	RAFT_VOTE_REPLY,
	RAFT_APPEND,
	RAFT_APPEND_REPLY,
	RAFT_HEARTBEAT,
	RAFT_HEARTBEAT_REPLY,
	RAFT_TIMEOUT_NOW, /* of a leader that hands over: campaign at once (dissertation §3.10) */
	RAFT_READ,        /* to the leader: up to where must I have applied to read now? (dissertation §6.4) */
	RAFT_READ_REPLY,
};

enum raft_message_flag {
	RAFT_FLAG_REJECT = 1,   /* in replies: the vote is refused, the append did not match */
	RAFT_FLAG_TRANSFER = 2, /* in VOTE: the leader of term − 1 itself asked for this election, so promises to it or
				 * to an older one do not count */
	RAFT_FLAG_UNFIT = 4,    /* in HEARTBEAT_REPLY: the sender could not lead (RAFT_FITNESS) */
};

/* Fixed size, no pointers: it can be traced, compared and replayed. The bytes of the entries travel beside it. */
struct raft_message {
	uint8_t type;
	uint8_t flags;
	uint32_t group;
	uint32_t from, to;
	raft_term term;   /* of the sender; in PREVOTE the term it would campaign in, echoed by a granting reply */
	raft_index index; /* APPEND: the entry before the first; VOTE, PREVOTE: last durable entry; APPEND_REPLY: match,
			   * or the refused `index` with REJECT; HEARTBEAT_REPLY: match; TIMEOUT_NOW: the leader's last
			   * entry; READ_REPLY: apply up to here, then read */
	raft_term index_term; /* term of `index`, where `index` is a position in the sender's log */
	raft_index commit; /* APPEND, HEARTBEAT: the leader's commit index, not above what it knows the peer to hold */
	uint32_t n;        /* APPEND: entries attached */
	uint64_t
		round; /* HEARTBEAT, echoed by its reply; PREVOTE, VOTE, READ: number of the attempt, echoed likewise */
	raft_index hint_index; /* APPEND_REPLY with REJECT: where the logs may still agree; HEARTBEAT_REPLY: how far the
				* follower holds the log of this leader, durable or not */
	raft_term hint_term;
	raft_usec wait_us; /* HEARTBEAT, APPEND: the promise asked for; refused votes: how long the refuser's promise
			      lasts */
};

/* ---- Log entries, as far as the core cares ------------------------------------------------------------------------
 */

enum raft_entry_type { RAFT_ENTRY_NOOP = 1, RAFT_ENTRY_COMMANDS = 2, RAFT_ENTRY_CONFIGURATION = 3 };

struct raft_entry {
	raft_term term;
	uint8_t type;
	const struct raft_configuration *configuration; /* decoded, for type CONFIGURATION; borrowed during the call */
};

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

struct raft_clocks {
	raft_usec mono; /* CLOCK_MONOTONIC: promises, time-outs */
	raft_usec boot; /* CLOCK_BOOTTIME: what a holder counts on (leader lease) */
};

/* The validated relations, at drift ρ: 2·heartbeat ≤ P; P/(1−ρ) ≤ check_quorum/(1+ρ); check_quorum ≤ election_min;
 * election_min < election_max. */
struct raft_timing {
	raft_usec heartbeat;
	raft_usec election_min, election_max; /* the election time-out is drawn from [min, max) */
	raft_usec check_quorum;               /* a leader that has not heard a majority for this long steps down */
	raft_usec stagger; /* rank × this delays a quick election, so that two followers do not split it */
};

/* Sizes fixed at init. */
struct raft_limits {
	uint16_t term_runs;      /* distinct stretches of equal term in the retained log */
	uint16_t saves;          /* outstanding */
	uint16_t configurations; /* in the retained log, uncommitted ones included */
	uint16_t inflight;       /* appends on their way to one peer */
	uint32_t inflight_bytes;
};

struct raft_boot {
	uint32_t group;
	uint32_t node;
	struct raft_uuid store;
	raft_term term;  /* durable hard state */
	uint32_t vote;   /* 0: none in `term` */
	raft_index base; /* the log holds entries from base + 1; everything up to base is applied in the checkpoint */
	raft_term base_term;
	const struct raft_configuration *base_configuration; /* the committed one as of base; NULL on a blank node */
	raft_index base_configuration_index;
	uint32_t promise_ms; /* the largest P ever stored: a restarted voter promises from boot on */
	bool leader_lease;   /* answer READ, and say lease_until, by the lease; otherwise every read takes a round */
	uint64_t seed;
	struct raft_timing timing;
	struct raft_limits limits;
};

struct raft;

/* Bytes that a core with these limits needs, and its initialisation in memory of that size, aligned as malloc aligns.
 * The core never allocates; freeing the memory ends it. */
size_t raft_size(const struct raft_limits *limits);
struct raft *raft_init(void *memory, const struct raft_boot *boot);

/* Hands over the durable log above the base, one entry after the other, between raft_init() and raft_start().
 * 0, or RAFT_E_FULL when term runs or configurations exceed the limits. */
int raft_restore(struct raft *raft, const struct raft_entry *entry);

/* Begins as a follower (dissertation §3.8: a restart never starts as candidate). */
void raft_start(struct raft *raft, const struct raft_clocks *clocks);

/* ---- Step ---------------------------------------------------------------------------------------------------------
 */

enum raft_event_kind {
	RAFT_TIME = 1, /* time has passed */
	RAFT_FOUND,    /* blank node only: `entry` is the founding configuration and becomes index 1, term 1 */
	RAFT_JOIN, /* blank node only: like FOUND, on a node that the founding configuration does not name; it follows
		    * and votes, but cannot campaign before the log says that this store is a voter */
	RAFT_CAMPAIGN,   /* do not wait for the election time-out; promises are still honoured */
	RAFT_RECV,       /* `message`, with `entries` for an append */
	RAFT_PROPOSE,    /* leader: append `entry` (its term is ignored) */
	RAFT_PROVE,      /* leader: start a heartbeat round now; effects.round is its number */
	RAFT_READ_INDEX, /* follower: ask the leader for a read index; effects.round is the number of the question. It
			  * may be lost: ask again after a while, the number will be another one */
	RAFT_TRANSFER,   /* leader: hand over to `peer`, 0: to the voter that is closest to taking over. Until it ends,
			  * well or with the shortest election time-out, nothing can be proposed and the lease is given
			  * up; if it ends ill, the core appends a no-op with a RAFT_TIME, and the lease comes back when
			  * that is committed */
	RAFT_FITNESS,   /* `ok`: this node could lead. While it could not, it neither campaigns nor is handed leadership
			 */
	RAFT_REPLICATE, /* leader: send `n` entries of `bytes` together to `peer`, from raft_next() on */
	RAFT_SAVED,     /* all saves up to `seq` are durable */
	RAFT_COMPACTED, /* entries up to `index` will not be needed any more; `index` ≤ applied */
	RAFT_PEER_DOWN, /* the connection that `peer` dialled has closed */
	RAFT_SNAPSHOT_STAGED, /* a whole verified snapshot of a leader (`peer`, `term`) up to (`index`, `index_term`)
			       * with `configuration` waits to be installed */
	RAFT_SNAPSHOT_SENT,   /* leader: the transfer to `peer` up to `index` has ended, well if `ok` */
	RAFT_STEP_DOWN,       /* leader: give up leadership (full disk, graceful stop); a candidate gives up too */
};

struct raft_event {
	enum raft_event_kind kind;
	const struct raft_message *message;
	const struct raft_entry *entries; /* RECV: message->n of them; PROPOSE, FOUND: one */
	uint32_t peer;
	uint32_t n;
	uint32_t bytes;
	uint64_t seq;
	raft_term term;
	raft_index index;
	raft_term index_term;
	const struct raft_configuration *configuration;
	raft_index configuration_index;
	bool ok;
};

enum {
	RAFT_E_NOT_LEADER =
		1,     /* PROPOSE, PROVE, REPLICATE, TRANSFER; READ_INDEX: this is the leader, or none is known */
	RAFT_E_FULL,   /* the save ring, the term runs or the configurations are full: nothing has changed, try after
			* the next SAVED or COMPACTED. An append that fits in part is taken in part */
	RAFT_E_STALE,  /* SNAPSHOT_STAGED: older term, or not beyond what is committed here or being installed */
	RAFT_E_MISFIT, /* FOUND on a node that is not blank or whose store the configuration does not name; JOIN on one
			* that is not blank; either with a configuration without voters or with a node or store twice;
			* PROPOSE of a configuration that the present one may not be followed by, or
			* with another P or ρ; TRANSFER to a node that is no voter of the new half, or could not lead */
	RAFT_E_UNSETTLED,    /* PROPOSE of a configuration while an earlier one, or the first entry of this term, is not
			      * committed; TRANSFER while another one is under way */
	RAFT_E_TRANSFERRING, /* PROPOSE while leadership is being handed over */
};

/* One durable write. The parts belong together: a crash leaves all or nothing of what one report of durability covers.
 */
struct raft_save {
	uint64_t seq; /* > 0, consecutive; 0: this step saves nothing */
	bool hard;    /* (term, vote) changed and must be durable before entries of that term are */
	raft_term term;
	uint32_t vote;
	raft_index truncate_from; /* delete entries from here on, before appending; 0: none */
	raft_index first;         /* append entries [first, first + n) */
	uint32_t n;
	uint32_t entries_at; /* RECV: the first appended entry is event.entries[entries_at] */
	bool install; /* replace state and log by the staged snapshot (event.index); the log restarts behind it unless
		       * keep_suffix */
	bool keep_suffix; /* the log holds the snapshot's last entry: keep what follows it */
};

struct raft_out {
	struct raft_message message;
	uint64_t after_seq;
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

/* Filled in by every step; valid until the next one. */
struct raft_effects {
	struct raft_save save;
	struct raft_out messages[RAFT_OUT_MESSAGES_MAX];
	uint32_t n_messages;
	raft_index appended;   /* PROPOSE: index of the entry */
	raft_index apply_to;   /* min(commit, durable): apply up to here */
	uint64_t round;        /* PROVE: the round that was started */
	uint64_t proved_round; /* leader: highest round that a quorum has answered in this term; 0 otherwise */
	raft_usec lease_until; /* leader: no other leader commits anything before this point on the boot clock: what is
				* applied may be read without a round while the clock, read after the request came,
				* shows less; 0: no lease; that of a sole voter never ends (UINT64_MAX − 1) */
	uint64_t read_round;   /* follower: the question that the leader has just answered … */
	raft_index read_index; /* … reads that came before it was asked may be served once this is applied; 0: none */
	bool role_changed;     /* role, term or leader differ from before the step */
	bool members_changed;  /* the latest configuration is another one than before the step */
	bool installed;        /* SAVED: the staged snapshot is durable; log and commit continue behind it */
	uint32_t replicate;    /* leader: bit i = member i of raft_members() has room and work for REPLICATE */
	uint32_t need_snapshot; /* leader: bit i = member i needs entries that are compacted; a transfer may start */
};

/* 0 or one of the outcomes above. The event and what it points to are borrowed; effects are the caller's memory. */
int raft_step(struct raft *raft, const struct raft_clocks *clocks, const struct raft_event *event,
	      struct raft_effects *effects);

/* ---- Queries: none of them changes anything -----------------------------------------------------------------------
 */

struct raft_status {
	enum raft_role role;
	raft_term term;
	uint32_t vote;
	uint32_t leader;                 /* 0: none known in `term` */
	raft_index first, last, durable; /* first = base + 1 */
	raft_index commit;
	raft_index term_start; /* leader: index of its own no-op; reads and leader's own commands wait for it to be
				  applied */
	raft_usec lease_until; /* as in the effects of the last step */
	uint32_t transfer_to;  /* leader: who is to take over; 0: nobody */
	bool installing;
	raft_usec promise_until; /* mono */
	raft_term durable_term;  /* of the last hard state reported durable */
	uint32_t durable_vote;
};
void raft_get_status(const struct raft *raft, struct raft_status *ret);

/* Point on the monotonic clock by which RAFT_TIME is due. */
raft_usec raft_deadline(const struct raft *raft);

/* A configuration is joint while members vote in its outgoing half; leaving drops that half, and who has no role left.
 */
bool raft_configuration_is_joint(const struct raft_configuration *configuration);
void raft_configuration_leave(const struct raft_configuration *joint, struct raft_configuration *ret);

/* Latest configuration in the log, committed or not, and its index (`ret_index` may be NULL); NULL on a blank node.
 * Bits of effects.replicate count its members. */
const struct raft_configuration *raft_members(const struct raft *raft, raft_index *ret_index);

/* Latest configuration at or below `index` (≥ base), for the checkpoint at that index. */
const struct raft_configuration *raft_configuration_at(const struct raft *raft, raft_index index,
						       raft_index *ret_index);

/* Term of an entry in [base, last]; 0 outside. */
raft_term raft_term_at(const struct raft *raft, raft_index index);

/* Leader: first entry that REPLICATE would send to the peer, or 0 when there is nothing or no room. */
raft_index raft_next(const struct raft *raft, uint32_t peer);

struct raft_peer {
	raft_index match, next;
	raft_usec contact; /* mono, of its last answer in this term; 0: none */
	bool snapshot;     /* waits for a snapshot transfer to end */
	bool unfit;        /* says that it could not lead */
	raft_usec rtt;     /* of heartbeats, smoothed; 0: not known yet */
	/* Rounds of catching up (dissertation §4.2.1): each ends when the peer has what the log held when the round
	 * began. A peer has caught up once a round took no longer than the shortest election time-out,
	 * or when it has all that there is. */
	uint32_t catch_up_rounds;
	bool caught_up;
};
/* Leader: progress of a peer. false: not leader, or no such member. */
bool raft_get_peer(const struct raft *raft, uint32_t peer, struct raft_peer *ret);

/* Aborts through raft_panic() when an internal invariant is broken. Cheap enough for every step of a simulation. */
void raft_check(const struct raft *raft);

/* The embedder defines it; it must not return. Called on broken invariants, and on evidence of two leaders in one term.
 */
__attribute__((noreturn)) void raft_panic(const char *file, int line, const char *what);

#ifdef __cplusplus
}
#endif

#endif
