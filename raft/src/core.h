/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a core, and what its files offer each other. raft.c dispatches events, election.c and replication.c hold
 * the two halves of the protocol, transfer.c the handing over of leadership, lease.c and read.c what reads rest on,
 * snapshot.c the installation of a snapshot, invariant.c what must hold between steps.
 */
#ifndef RAFT_CORE_H
#define RAFT_CORE_H

#include "configuration.h"
#include "history.h"
#include "progress.h"
#include "random.h"
#include "save.h"
#include "trail.h"

#include <raft/raft.h>

#define RAFT__NEVER UINT64_MAX

enum { RAFT__ROUNDS_MAX = 64 };

/* A round of heartbeats, for the lease. */
struct raft__round {
	uint64_t number;
	raft_usec mono, boot; /* when it was sent */
	raft_usec worth;      /* how long an answer counts from then on */
};

struct raft {
	uint32_t group, node;
	struct raft_uuid store;
	struct raft_timing timing;
	struct raft_limits limits;
	struct raft__random random;
	raft_usec now, boot; /* of the step that runs; neither goes back */
	raft_usec boot_promise;
	bool started;
	bool leader_lease;
	bool unfit; /* could not lead: neither campaigns nor takes over */

	raft_term term;
	uint32_t vote;
	enum raft_role role;
	uint32_t leader;      /* whom we follow; 0: nobody */
	uint32_t term_leader; /* the leader ever seen in `term`, remembered after we gave up on it: a second one is
				 fatal */

	struct raft__trail trail;
	struct raft__history history;
	struct raft__saves saves;
	raft_index commit;
	raft_index verified; /* the log agrees up to here with that of the leader of `term` */

	/* The live-leader promise. It outlives terms: what it protects is the lease of the leader it was given to. */
	raft_usec promise_until;
	uint32_t promise_leader; /* 0: given before the last restart, to nobody knows whom */
	raft_term promise_term;  /* no promise was given to a leader of a later term */

	/* Elections. */
	raft_usec election_at; /* the election time-out of anybody but the leader */
	raft_usec retry_at;    /* ask again those who were bound by a promise */
	raft_usec not_before;  /* no real campaign before; the rank's share of a quick election */
	uint64_t attempt;      /* numbers rounds of (pre-)vote requests */
	uint32_t granted;      /* bit per member of the latest configuration */
	uint32_t lost_leader;  /* whose loss the attempts are about, for the rank */
	bool asked_to_lead;    /* candidate: at the wish of the leader before */

	/* Questions to the leader (read.c). Those of earlier terms count as answered. */
	uint64_t read_asked, read_answered;

	/* Leader. */
	raft_index term_start; /* its no-op */
	raft_usec led_since;
	raft_usec heartbeat_at;
	uint64_t round; /* of heartbeats; never repeated by this process */
	struct raft__progress progress[RAFT_MEMBERS_MAX];
	struct raft__round rounds[RAFT__ROUNDS_MAX]; /* of this term; number i is in rounds[i % max] */
	uint64_t n_rounds;
	raft_index lease_from; /* no lease before this is committed; NEVER: before a fence is appended */
	uint32_t transfer_to;  /* 0: leadership is not being handed over */
	raft_usec transfer_until;
	bool transfer_asked; /* TIMEOUT_NOW was sent */
	bool fence_due;      /* a transfer has failed, and there was no room for the no-op behind it */

	/* A staged snapshot whose save is outstanding. */
	uint64_t install_seq; /* 0: none */
	bool install_keep_suffix;
	raft_index install_index, install_configuration_index;
	raft_term install_term;
	struct raft_configuration install_configuration;
};

/* ---- raft.c -------------------------------------------------------------------------------------------------------
 */

/* A message of this type to `to` in the present term, leaving at once; the caller completes it. */
struct raft_out *raft__emit(struct raft *raft, struct raft_effects *fx, enum raft_message_type type, uint32_t to);

/* The save of this step, opened on first use. */
struct raft_save *raft__save(struct raft *raft, struct raft_effects *fx);
void raft__save_hard(struct raft *raft, struct raft_effects *fx);

/* What a message of this step waits for if it speaks of the term or vote; of the log. */
uint64_t raft__after_hard(const struct raft *raft, const struct raft_effects *fx);
uint64_t raft__after_log(const struct raft *raft, const struct raft_effects *fx);

/* The latest configuration; NULL on a blank node. */
const struct raft_configuration *raft__members(const struct raft *raft);

/* The end of time is NEVER, so that sums of times cannot wrap. */
raft_usec raft__later(raft_usec at, raft_usec by);

/* ---- election.c ---------------------------------------------------------------------------------------------------
 */

/* Moves to a higher term: nobody is voted for, nobody leads. */
void raft__adopt(struct raft *raft, struct raft_effects *fx, raft_term term);

/* Follows nobody in the same term; the vote stays. */
void raft__step_down(struct raft *raft);

/* A valid message of the leader of our term has come. */
void raft__hear(struct raft *raft, uint32_t leader, raft_usec promise);

void raft__restart_election_timer(struct raft *raft);

/* May stand for election at all: fit, and a voter of the latest configuration, or of the committed one while the latest
 * is not. */
bool raft__promotable(const struct raft *raft);

/* Asks for pre-votes at once; `lost` is the leader whose loss is the reason, 0 if there is none. */
void raft__start_prevote(struct raft *raft, struct raft_effects *fx, uint32_t lost);
void raft__peer_down(struct raft *raft, struct raft_effects *fx, uint32_t peer);
void raft__election_time(struct raft *raft, struct raft_effects *fx);
raft_usec raft__election_deadline(const struct raft *raft);

/* Takes office if a majority and our own durable vote are there. */
void raft__count_votes(struct raft *raft, struct raft_effects *fx);

void raft__recv_prevote(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);
void raft__recv_prevote_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);
void raft__recv_vote(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);
void raft__recv_vote_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);
void raft__recv_timeout_now(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);
void raft__set_fitness(struct raft *raft, bool fit);

/* ---- replication.c ------------------------------------------------------------------------------------------------
 */

/* Begins leadership of the present term: progress of all members, a no-op, a first round of heartbeats. */
void raft__lead(struct raft *raft, struct raft_effects *fx);
void raft__leader_time(struct raft *raft, struct raft_effects *fx);
raft_usec raft__leader_deadline(const struct raft *raft);

/* A round of heartbeats to all members. */
void raft__start_round(struct raft *raft, struct raft_effects *fx);
uint64_t raft__proved_round(const struct raft *raft);

/* Boot clock: until when a majority is bound by what it has answered. Without regard to what suspends the lease. */
raft_usec raft__lease_end(const struct raft *raft);

/* How much longer the leader counts as in contact with a majority. */
raft_usec raft__quorum_contact_left(const struct raft *raft);

int raft__propose(struct raft *raft, const struct raft_entry *entry, struct raft_effects *fx);
void raft__replicate(struct raft *raft, const struct raft_event *event, struct raft_effects *fx);
void raft__advance_commit(struct raft *raft, struct raft_effects *fx);

/* Notes how far each member has come in its round of catching up. */
void raft__catch_up(struct raft *raft);
void raft__replication_effects(const struct raft *raft, struct raft_effects *fx);

struct raft__progress *raft__progress_of(struct raft *raft, uint32_t node);
const struct raft__progress *raft__progress_find(const struct raft *raft, uint32_t node);

/* An append without entries, if the member's position is unknown and nothing else will ask for it. */
void raft__probe_idle(struct raft *raft, struct raft__progress *progress, struct raft_effects *fx);

/* The save ring, the trail and the history hold what an append would add. */
bool raft__append_fits(const struct raft *raft, const struct raft_event *event);

void raft__recv_append(struct raft *raft, const struct raft_event *event, struct raft_effects *fx);
void raft__recv_append_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);
void raft__recv_heartbeat(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);
void raft__recv_heartbeat_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);

/* ---- transfer.c ---------------------------------------------------------------------------------------------------
 */

int raft__transfer(struct raft *raft, uint32_t peer, struct raft_effects *fx);

/* Asks the target to campaign, if it is ready to: unless that was done before; again. */
void raft__transfer_ask(struct raft *raft, struct raft_effects *fx);
void raft__transfer_repeat(struct raft *raft, struct raft_effects *fx);

/* Gives the transfer up when it is time to, and appends the fence. */
void raft__transfer_time(struct raft *raft, struct raft_effects *fx);
raft_usec raft__transfer_deadline(const struct raft *raft);

/* A leader that is no voter any more hands over before it steps down. */
void raft__transfer_leave(struct raft *raft, struct raft_effects *fx);

/* ---- lease.c ------------------------------------------------------------------------------------------------------
 */

/* The round raft->round goes out now; a member has answered one. */
void raft__lease_sent(struct raft *raft);
void raft__lease_answered(struct raft *raft, struct raft__progress *progress, uint64_t number);

/* Boot clock; 0: no lease. */
raft_usec raft__lease_until(const struct raft *raft);
bool raft__lease_valid(const struct raft *raft);

/* ---- read.c -------------------------------------------------------------------------------------------------------
 */

int raft__read_ask(struct raft *raft, struct raft_effects *fx);
void raft__recv_read(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);
void raft__recv_read_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx);

/* Answers what can be answered by now. */
void raft__answer_reads(struct raft *raft, struct raft_effects *fx);

/* ---- snapshot.c ---------------------------------------------------------------------------------------------------
 */

int raft__stage(struct raft *raft, const struct raft_event *event, struct raft_effects *fx);

/* Moves log, commit and configurations behind the snapshot once its save is durable. */
void raft__install(struct raft *raft, struct raft_effects *fx);
void raft__snapshot_sent(struct raft *raft, const struct raft_event *event, struct raft_effects *fx);
void raft__compacted(struct raft *raft, raft_index index);

#endif
