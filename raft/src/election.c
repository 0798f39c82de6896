/* SPDX-License-Identifier: Apache-2.0 */
/* Elections (paper §5.2, §5.4.1) with pre-vote (dissertation §9.6) and the live-leader promise (dissertation §4.2.3,
 * §6.4.1).
 *
 *                time-out, leader lost              majority of pre-votes,
 *                                                   own promise over               majority, own vote durable
 *     FOLLOWER ────────────────────► PRECANDIDATE ─────────────────► CANDIDATE ─────────────────► LEADER
 *        ▲                            │   ▲                           │   │                         │
 *        └── leader heard, higher term┴───┼──── leader, higher term ──┘   │      higher term,       │
 *        ▲                                └──────── time-out ─────────────┘      no majority heard  │
 *        └──────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * A voter that heard its leader promises to elect nobody else for a while. The promise is what the leader's lease rests
 * on and what keeps a badly connected member from deposing a good leader. It is bound to the clock and to that leader,
 * not to a term: the leader itself may be voted for again, everybody else waits. A refusal says how long, and the asker
 * comes back then.
 *
 * What a promise must not do is hide a higher term for ever: it is not consulted when a leader speaks or when a leader
 * is answered, it ends by itself, and a leader without a majority falls silent and so stops renewing it. */
#include "core.h"
#include "invariant.h"

void raft__restart_election_timer(struct raft *raft) {
	raft_usec wait = raft__random_between(&raft->random, raft->timing.election_min, raft->timing.election_max);

	raft->election_at = raft__later(raft->now, wait);
}

static void follow(struct raft *raft) {
	if (raft->role == RAFT_LEADER)
		raft__restart_election_timer(raft);
	raft->role = RAFT_FOLLOWER;
	raft->leader = 0;
	raft->retry_at = RAFT__NEVER;
	raft->not_before = 0;
	raft->granted = 0;
	raft->asked_to_lead = false;
	raft->transfer_to = 0;
	raft->fence_due = false;
}

void raft__adopt(struct raft *raft, struct raft_effects *fx, raft_term term) {
	RAFT_ASSERT(term > raft->term);

	follow(raft);
	raft->term = term;
	raft->vote = 0;
	raft->term_leader = 0;
	raft->verified = 0;
	raft->read_answered = raft->read_asked;
	raft__save_hard(raft, fx);
}

void raft__step_down(struct raft *raft) {
	follow(raft);
	raft__restart_election_timer(raft);
}

void raft__hear(struct raft *raft, uint32_t leader, raft_usec promise) {
	if (raft->role == RAFT_LEADER || (raft->term_leader != 0 && raft->term_leader != leader))
		raft_panic(__FILE__, __LINE__, "two leaders in one term");

	follow(raft);
	raft->leader = raft->term_leader = leader;
	raft->lost_leader = 0;
	raft__restart_election_timer(raft);

	/* Never shortened: an older promise may rest on a larger window. */
	promise = raft__later(raft->now, promise);
	if (promise > raft->promise_until)
		raft->promise_until = promise;
	raft->promise_leader = leader;
	raft->promise_term = raft->term;
}

/* How long we may not vote for this candidate. A leader is bound by its own majority: it would depose itself. Neither
 * binds against a candidate that a leader has asked to take over, as far as it is that leader or an older one that
 * would be protected: it has given up its lease before. */
static raft_usec bound_for(const struct raft *raft, const struct raft_message *message) {
	bool asked = message->flags & RAFT_FLAG_TRANSFER;

	if (raft->role == RAFT_LEADER)
		return asked && raft->term < message->term ? 0 : raft__quorum_contact_left(raft);
	if (raft->now >= raft->promise_until || message->from == raft->promise_leader)
		return 0;
	return asked && raft->promise_term < message->term ? 0 : raft->promise_until - raft->now;
}

/* Paper §5.4.1: the term of the last entry decides, then the length. Our whole log counts, durable or not. */
static bool up_to_date(const struct raft *raft, const struct raft_message *message) {
	raft_term term = raft__trail_last_term(&raft->trail);

	return message->index_term > term || (message->index_term == term && message->index >= raft->trail.last);
}

static bool self_votes(const struct raft *raft) {
	const struct raft_configuration *members = raft__members(raft);

	return members && raft__configuration_votes(members, raft->node, &raft->store);
}

/* Not on a blank node. Anybody else votes, whatever the own log says of this node: it may be the outdated one. If it
 * names a store that was lost, the present one is a voter by an entry that is still to come, and the vote may be the
 * one that the cluster needs to send it. Whoever does not know of that entry counts no vote of this store (raft.h). */
static bool may_vote(const struct raft *raft) {
	return raft__members(raft) != NULL;
}

/* A leader that removes itself replicates the configuration without it until that is committed; if it could not stand
 * again after a crash in between, a cluster whose other members lack that entry would be stuck (dissertation §4.2.2).
 * Not so if another store has its number by then: votes are cast for numbers, so both might get those of a majority in
 * one term. Neither half of that configuration needs it. */
bool raft__promotable(const struct raft *raft) {
	const struct raft__history_item *latest = raft__history_latest(&raft->history), *committed;

	if (!latest || raft->install_seq != 0 || raft->unfit)
		return false;
	if (self_votes(raft))
		return true;
	if (latest->index <= raft->commit ||
	    raft__configuration_replaces(&latest->configuration, raft->node, &raft->store))
		return false;
	committed = raft__history_at(&raft->history, latest->index - 1);
	return committed && raft__configuration_votes(&committed->configuration, raft->node, &raft->store);
}

static void grant_from(struct raft *raft, uint32_t node) {
	int i = raft__configuration_find(raft__members(raft), node);

	if (i >= 0)
		raft->granted |= 1u << i;
}

static bool majority_granted(const struct raft *raft) {
	const struct raft_configuration *members = raft__members(raft);
	uint64_t values[RAFT_MEMBERS_MAX] = {0};

	for (uint16_t i = 0; i < members->n; i++)
		values[i] = raft->granted >> i & 1;
	return raft__quorum(members, values) == 1;
}

/* Requests go to all voters that have not granted yet. */
static void ask(struct raft *raft, struct raft_effects *fx, enum raft_message_type type) {
	const struct raft_configuration *members = raft__members(raft);

	for (uint16_t i = 0; i < members->n; i++) {
		const struct raft_member *member = &members->members[i];
		struct raft_out *out;

		if (member->node == raft->node || !(member->roles & RAFT__ROLES_VOTING) || raft->granted >> i & 1)
			continue;
		out = raft__emit(raft, fx, type, member->node);
		out->message.round = raft->attempt;
		if (type == RAFT_PREVOTE) {
			/* Leaves at once, hence speaks of nothing that a crash could take back. */
			out->message.term = raft->term + 1;
			out->message.index = raft->saves.durable;
		} else {
			/* Behind the save of (term, vote) all earlier saves are durable too, so the whole log is. */
			out->message.flags = raft->asked_to_lead ? RAFT_FLAG_TRANSFER : 0;
			out->message.index = raft->trail.last;
			out->after_seq = raft__after_hard(raft, fx);
		}
		out->message.index_term = raft__trail_term_at(&raft->trail, out->message.index);
	}
}

static raft_usec stagger(const struct raft *raft) {
	return raft__configuration_rank(raft__members(raft), raft->node, raft->lost_leader) * raft->timing.stagger;
}

static raft_usec campaign_from(const struct raft *raft) {
	return raft->promise_until > raft->not_before ? raft->promise_until : raft->not_before;
}

/* The no-op of the term to come needs a run of its own; it is made sure of here, since a candidate's log does not grow.
 */
static bool campaign_fits(const struct raft *raft) {
	return !raft__saves_full(&raft->saves) && raft->trail.n < raft->trail.max;
}

static void become_candidate(struct raft *raft, struct raft_effects *fx) {
	RAFT_ASSERT(raft__promotable(raft));

	raft__adopt(raft, fx, raft->term + 1);
	raft->role = RAFT_CANDIDATE;
	raft->vote = raft->node;
	raft->attempt++;
	raft__restart_election_timer(raft);
}

static void campaign(struct raft *raft, struct raft_effects *fx) {
	RAFT_ASSERT(raft->now >= raft->promise_until);

	become_candidate(raft, fx);
	ask(raft, fx, RAFT_VOTE);
}

/* Only while we follow the leader that asks, and with the very log that it had when it asked: a request that comes late
 * must find a fence in the way. What we have promised, we have promised to this leader. */
void raft__recv_timeout_now(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	if (message->term != raft->term || raft->leader != message->from)
		return;
	if (message->index != raft->trail.last || message->index_term != raft__trail_last_term(&raft->trail))
		return;
	if (!raft__promotable(raft) || !campaign_fits(raft))
		return;
	become_candidate(raft, fx);
	raft->asked_to_lead = true;
	ask(raft, fx, RAFT_VOTE);
}

void raft__set_fitness(struct raft *raft, bool fit) {
	raft->unfit = !fit;
	if (!fit && (raft->role == RAFT_PRECANDIDATE || raft->role == RAFT_CANDIDATE))
		raft__step_down(raft);
}

static bool may_campaign(const struct raft *raft) {
	return raft->role == RAFT_PRECANDIDATE && majority_granted(raft) && campaign_fits(raft);
}

static void campaign_if_due(struct raft *raft, struct raft_effects *fx) {
	if (may_campaign(raft) && raft->now >= campaign_from(raft))
		campaign(raft, fx);
}

void raft__start_prevote(struct raft *raft, struct raft_effects *fx, uint32_t lost) {
	RAFT_ASSERT(raft->role != RAFT_LEADER);
	RAFT_ASSERT(raft__promotable(raft));

	raft->role = RAFT_PRECANDIDATE;
	raft->leader = 0;
	raft->asked_to_lead = false;
	if (lost != 0)
		raft->lost_leader = lost;
	raft->attempt++;
	raft->granted = 0;
	raft->retry_at = RAFT__NEVER;
	if (self_votes(raft))
		grant_from(raft, raft->node);
	raft__restart_election_timer(raft);
	ask(raft, fx, RAFT_PREVOTE);
	campaign_if_due(raft, fx);
}

/* A closed connection is a hint, not a proof: the pre-vote costs nobody anything, and the campaign waits for our own
 * promise to run out. The rank keeps two followers that saw the same loss from splitting the vote. */
void raft__peer_down(struct raft *raft, struct raft_effects *fx, uint32_t peer) {
	if (raft->role != RAFT_FOLLOWER || peer == 0 || raft->leader != peer || !raft__promotable(raft))
		return;
	raft->lost_leader = peer;
	raft->not_before = raft->promise_until > raft->now ? raft->promise_until : raft->now;
	raft->not_before = raft__later(raft->not_before, stagger(raft));
	raft__start_prevote(raft, fx, peer);
}

void raft__election_time(struct raft *raft, struct raft_effects *fx) {
	if (!raft__promotable(raft))
		return;
	if (may_campaign(raft) && raft->now >= campaign_from(raft)) {
		campaign(raft, fx);
	} else if (raft->now >= raft->election_at) {
		raft__start_prevote(raft, fx, raft->leader);
	} else if (raft->now >= raft->retry_at) {
		raft->retry_at = RAFT__NEVER;
		if (raft->role == RAFT_CANDIDATE)
			ask(raft, fx, RAFT_VOTE);
		else
			raft__start_prevote(raft, fx, 0);
	}
}

raft_usec raft__election_deadline(const struct raft *raft) {
	raft_usec at = raft->election_at;

	if (!raft__promotable(raft))
		return RAFT__NEVER;
	if (raft->retry_at < at)
		at = raft->retry_at;
	if (may_campaign(raft) && campaign_from(raft) < at)
		at = campaign_from(raft);
	return at;
}

/* Bound by a promise, a voter says for how long; we ask again then instead of waiting for a whole election time-out. */
static void refused(struct raft *raft, const struct raft_message *message) {
	raft_usec wait = message->wait_us, at;

	if (wait == 0)
		return;
	if (wait > raft->timing.election_max)
		wait = raft->timing.election_max;
	at = raft__later(raft->now, wait + stagger(raft));
	if (raft->retry_at == RAFT__NEVER || at > raft->retry_at)
		raft->retry_at = at;
}

static void reply_vote(struct raft *raft, const struct raft_message *request, bool grant, raft_usec wait,
		       struct raft_effects *fx) {
	bool prevote = request->type == RAFT_PREVOTE;
	struct raft_out *out = raft__emit(raft, fx, prevote ? RAFT_PREVOTE_REPLY : RAFT_VOTE_REPLY, request->from);

	out->message.round = request->round;
	if (!grant) {
		out->message.flags = RAFT_FLAG_REJECT;
		out->message.wait_us = wait;
	}
	/* A granted pre-vote echoes the term that was asked for and promises nothing: it need not wait. Anything else
	 * speaks of our own term. */
	if (prevote && grant)
		out->message.term = request->term;
	else
		out->after_seq = raft__after_hard(raft, fx);
}

void raft__recv_prevote(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	raft_usec wait = bound_for(raft, message);
	bool free_vote = message->term > raft->term ||
			 (message->term == raft->term && (raft->vote == 0 || raft->vote == message->from));

	/* Whom a leader has asked to take over needs no pre-vote. */
	if (!may_vote(raft) || (message->flags & RAFT_FLAG_TRANSFER))
		return;
	reply_vote(raft, message, wait == 0 && free_vote && up_to_date(raft, message), wait, fx);
}

void raft__recv_prevote_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	if (raft->role != RAFT_PRECANDIDATE || message->round != raft->attempt)
		return;
	if (!(message->flags & RAFT_FLAG_REJECT)) {
		if (message->term != raft->term + 1)
			return;
		grant_from(raft, message->from);
		campaign_if_due(raft, fx);
	} else if (message->term > raft->term && raft->now >= raft->promise_until) {
		/* Without this a node with the longer log and the lower term would be refused for ever. Under our own
		 * promise it can wait: the leader that we may still follow is worth more. */
		raft__adopt(raft, fx, message->term);
	} else {
		refused(raft, message);
	}
}

/* Candidates that our configuration does not name are judged like others: ours may be the outdated one, and a node that
 * takes itself for a learner may have been promoted by an entry it lacks (dissertation §4.2.3). A candidate that was
 * asked to take over and whose log is outdated comes too late; its term would only depose the leader that went on. */
void raft__recv_vote(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	bool asked = message->flags & RAFT_FLAG_TRANSFER, grant;
	raft_usec wait;

	if (!may_vote(raft))
		return;
	wait = message->term < raft->term ? 0 : bound_for(raft, message);
	if (message->term < raft->term || wait > 0 || (asked && !up_to_date(raft, message))) {
		reply_vote(raft, message, false, wait, fx);
		return;
	}
	if (message->term > raft->term)
		raft__adopt(raft, fx, message->term);

	grant = (raft->vote == 0 || raft->vote == message->from) && up_to_date(raft, message);
	if (grant && raft->vote == 0) {
		follow(raft);
		raft->vote = message->from;
		raft__save_hard(raft, fx);
	}
	if (grant)
		raft__restart_election_timer(raft);
	reply_vote(raft, message, grant, 0, fx);
}

void raft__recv_vote_reply(struct raft *raft, const struct raft_message *message, struct raft_effects *fx) {
	if (raft->role != RAFT_CANDIDATE || message->round != raft->attempt)
		return;
	if (message->term > raft->term) {
		raft__adopt(raft, fx, message->term);
	} else if (message->flags & RAFT_FLAG_REJECT) {
		/* From a lower term too: a voter bound by a promise does not take over ours. */
		refused(raft, message);
	} else if (message->term == raft->term) {
		grant_from(raft, message->from);
		raft__count_votes(raft, fx);
	}
}

/* Our own vote counts like any other: when it is on disk (otherwise a crash would let us vote twice). */
void raft__count_votes(struct raft *raft, struct raft_effects *fx) {
	if (raft->role != RAFT_CANDIDATE || raft->saves.term != raft->term || raft->saves.vote != raft->node)
		return;
	if (self_votes(raft))
		grant_from(raft, raft->node);
	if (majority_granted(raft))
		raft__lead(raft, fx);
}
