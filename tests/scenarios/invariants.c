/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenarios/invariants.h"

#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"
#include "tests/sim/memory.h"
#include "tests/sim/verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool named(const char *name, const char *invariant) {
	return invariant && strncmp(name, invariant, strlen(invariant)) == 0;
}

/* An invariant that the script means to break ends the play instead of the process. */
__attribute__((format(printf, 3, 4))) static void broken(struct stage *stage, const char *name, const char *format,
							 ...) {
	char text[256];
	va_list arguments;

	if (stage->over)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (!named(name, stage->tolerated) && !named(name, stage->forgiven))
		verdict_fail(VERDICT_SAFETY, name, "%.3f ms: %s", (double)stage->now / 1000, text);
	stage_tell(stage, STAGE_TELL_DEEDS, "*** %s is broken: %s", name, text);
	stage->over = named(name, stage->forgiven);
}

static struct invariants_node *checked(struct stage *stage, uint32_t node) {
	return &stage->invariants.nodes[node];
}

static struct invariants_place *place_at(struct stage *stage, raft_index index) {
	struct invariants *invariants = &stage->invariants;
	invariants->places = memory_fit(invariants->places, &invariants->places_size, (size_t)index + 1,
					sizeof(*invariants->places));
	return &invariants->places[index];
}

raft_term invariants_committed(const struct stage *stage, raft_index index) {
	return index < stage->invariants.places_size ? stage->invariants.places[index].committed : 0;
}

void invariants_deinit(struct stage *stage) {
	struct invariants *invariants = &stage->invariants;
	for (size_t i = 0; i < invariants->places_size; i++)
		free(invariants->places[i].entries);
	free(invariants->places);
	free(invariants->leaders);
	for (uint32_t node = 1; node <= stage->n; node++)
		free(invariants->nodes[node].votes);
}

/* ---- I2: (index, term) names an entry and, by induction, all that stands before it ---------------------------------
 */

void invariants_entry(struct stage *stage, uint32_t node, raft_index index) {
	const struct stage_log *log = &stage_node(stage, node)->log;
	const struct stage_entry *entry = &log->entries[index];
	raft_term previous = index > 1 ? log->entries[index - 1].term : 0;
	struct invariants_place *place = place_at(stage, index);

	if (entry->term < previous)
		broken(stage, "I2 terms-decrease", "S%u: entry %" PRIu64 " of term %" PRIu64 " behind %" PRIu64, node,
		       index, entry->term, previous);
	for (size_t i = 0; i < place->n; i++) {
		const struct invariants_entry *known = &place->entries[i];
		if (known->term != entry->term)
			continue;
		if (known->previous_term != previous || strcmp(known->text, entry->text) != 0)
			broken(stage, "I2 log-matching",
			       "S%u: entry %" PRIu64 " of term %" PRIu64 " differs from another's", node, index,
			       entry->term);
		return;
	}
	place->entries = memory_fit(place->entries, &place->size, place->n + 1, sizeof(*place->entries));
	struct invariants_entry *added = &place->entries[place->n++];
	*added = (struct invariants_entry){.term = entry->term, .previous_term = previous};
	memcpy(added->text, entry->text, sizeof(added->text));
}

void invariants_truncate(struct stage *stage, uint32_t node, raft_index from) {
	if (from <= checked(stage, node)->commit)
		broken(stage, "I5 committed-truncated", "S%u drops entries from %" PRIu64 ", committed are %" PRIu64,
		       node, from, checked(stage, node)->commit);
}

/* ---- I5: nothing goes back; I6: one vote ---------------------------------------------------------------------------
 */

static void vote(struct stage *stage, uint32_t node, raft_term term, uint32_t candidate, const char *how) {
	struct invariants_node *of = checked(stage, node);
	of->votes = memory_fit(of->votes, &of->votes_size, (size_t)term + 1, sizeof(*of->votes));
	if (of->votes[term] && of->votes[term] != candidate)
		broken(stage, "I6 vote-twice", "S%u in term %" PRIu64 ": S%u first, then %s S%u", node, term,
		       of->votes[term], how, candidate);
	of->votes[term] = candidate;
}

void invariants_durable(struct stage *stage, uint32_t node) {
	const struct stage_node *actor = stage_node(stage, node);
	struct invariants_node *of = checked(stage, node);

	if (actor->disk_term < of->durable_term)
		broken(stage, "I5 durable-term-regressed", "S%u: %" PRIu64 " after %" PRIu64, node, actor->disk_term,
		       of->durable_term);
	if (actor->disk_term == of->durable_term && of->durable_vote && !actor->disk_vote)
		broken(stage, "I5 durable-vote-cleared", "S%u in term %" PRIu64 ": no vote after S%u", node,
		       actor->disk_term, of->durable_vote);
	of->durable_term = actor->disk_term;
	of->durable_vote = actor->disk_vote;
	if (actor->disk_vote)
		vote(stage, node, actor->disk_term, actor->disk_vote, "on disk");
}

void invariants_boot(struct stage *stage, uint32_t node) {
	struct stage_node *actor = stage_node(stage, node);
	struct invariants_node *of = checked(stage, node);

	of->term = of->commit = of->applied = of->led = 0;
	if (actor->status.term < of->durable_term)
		broken(stage, "I5 forgot-at-boot", "S%u starts in term %" PRIu64 ", durable was %" PRIu64, node,
		       actor->status.term, of->durable_term);
	for (raft_index index = 1; index <= actor->log.last; index++)
		invariants_entry(stage, node, index);
}

static void check_monotone(struct stage *stage, uint32_t node, const struct invariants_node *of) {
	const struct stage_node *actor = stage_node(stage, node);
	if (actor->status.term < of->term)
		broken(stage, "I5 term-decreased", "S%u: %" PRIu64 " after %" PRIu64, node, actor->status.term,
		       of->term);
	if (actor->status.commit < of->commit)
		broken(stage, "I5 commit-decreased", "S%u: %" PRIu64 " after %" PRIu64, node, actor->status.commit,
		       of->commit);
	if (actor->applied < of->applied || actor->applied > actor->status.commit)
		broken(stage, "I5 applied", "S%u: %" PRIu64 " after %" PRIu64 ", committed %" PRIu64, node,
		       actor->applied, of->applied, actor->status.commit);
}

/* ---- I1 and I3: leaders --------------------------------------------------------------------------------------------
 */

static void check_complete(struct stage *stage, uint32_t node, raft_index from, raft_index to) {
	const struct stage_node *actor = stage_node(stage, node);
	for (raft_index index = from; index <= to; index++) {
		const struct invariants_place *place = place_at(stage, index);
		if (place->committed && place->committed_term < actor->status.term &&
		    raft_term_at(actor->raft, index) != place->committed)
			broken(stage, "I3 leader-completeness",
			       "S%u leads term %" PRIu64 " without entry %" PRIu64 " of term %" PRIu64
			       ", committed in term %" PRIu64,
			       node, actor->status.term, index, place->committed, place->committed_term);
	}
}

static void check_leader(struct stage *stage, uint32_t node) {
	struct invariants *invariants = &stage->invariants;
	raft_term term = stage_node(stage, node)->status.term;

	invariants->leaders = memory_fit(invariants->leaders, &invariants->leaders_size, (size_t)term + 1,
					 sizeof(*invariants->leaders));
	if (invariants->leaders[term] == node)
		return;
	if (invariants->leaders[term])
		broken(stage, "I1 two-leaders", "S%u and S%u lead term %" PRIu64, invariants->leaders[term], node,
		       term);
	invariants->leaders[term] = node;
	check_complete(stage, node, 1, invariants->commit);
}

/* ---- I13: the lease -------------------------------------------------------------------------------------------------
 */

static bool leads(struct stage *stage, uint32_t node) {
	return stage_node(stage, node)->raft && stage_node(stage, node)->status.role == RAFT_LEADER;
}

/* A lease that is valid after a step of its leader, or when somebody else comes to lead. */
static void check_lease(struct stage *stage, uint32_t node) {
	for (uint32_t other = 1; other <= stage->n; other++) {
		uint32_t older = node, newer = other;

		if (!leads(stage, node) || !leads(stage, other) || other == node)
			continue;
		if (stage_term(stage, node) > stage_term(stage, other)) {
			older = other;
			newer = node;
		}
		if (stage_has_lease(stage, older))
			broken(stage, "I13 lease",
			       "S%u leads term %" PRIu64 ", and the lease of S%u goes on for %.3f ms", newer,
			       stage_term(stage, newer), older,
			       (double)(stage_node(stage, older)->status.lease_until - stage_clock(stage, older)) /
				       1000);
	}
}

/* ---- I3, I4, I8, I9: commit ----------------------------------------------------------------------------------------
 */

static bool on_disk(struct stage *stage, uint32_t node, raft_index index, raft_term term) {
	const struct stage_log *disk = &stage_node(stage, node)->disk;
	return index <= disk->last && disk->entries[index].term == term;
}

static bool on_majority(struct stage *stage, const struct raft_configuration *members, uint8_t role, raft_index index,
			raft_term term) {
	uint32_t voters = 0, holders = 0;
	for (uint16_t i = 0; i < members->n; i++) {
		if (!(members->members[i].roles & role))
			continue;
		voters++;
		holders += on_disk(stage, members->members[i].node, index, term);
	}
	return voters == 0 || holders > voters / 2;
}

static void commit_entry(struct stage *stage, uint32_t node, raft_index index) {
	const struct stage_node *actor = stage_node(stage, node);
	const struct raft_configuration *members = raft_members(actor->raft, NULL);
	struct invariants_place *place = place_at(stage, index);
	raft_term term = raft_term_at(actor->raft, index);

	if (place->committed && place->committed != term)
		broken(stage, "I4 committed-twice",
		       "S%u commits entry %" PRIu64 " of term %" PRIu64 ", term %" PRIu64 " was committed", node, index,
		       term, place->committed);
	if (place->committed)
		return;
	place->committed = term;
	place->committed_term = actor->status.term;
	if (stage->invariants.commit < index)
		stage->invariants.commit = index;
	if (!on_majority(stage, members, RAFT_ROLE_VOTER, index, term) ||
	    !on_majority(stage, members, RAFT_ROLE_VOTER_OUTGOING, index, term))
		broken(stage, "I8 committed-not-durable",
		       "S%u commits entry %" PRIu64 " of term %" PRIu64 " that no majority has on disk", node, index,
		       term);
}

static void check_commit(struct stage *stage, uint32_t node, const struct invariants_node *of) {
	raft_index known = stage->invariants.commit;

	for (raft_index index = of->commit + 1; index <= stage_node(stage, node)->status.commit; index++)
		commit_entry(stage, node, index);
	if (known == stage->invariants.commit)
		return;
	for (uint32_t other = 1; other <= stage->n; other++) {
		const struct stage_node *actor = stage_node(stage, other);
		if (actor->raft && actor->status.role == RAFT_LEADER)
			check_complete(stage, other, known + 1, stage->invariants.commit);
	}
}

static void check_own_term(struct stage *stage, uint32_t node, const struct invariants_node *of) {
	const struct stage_node *actor = stage_node(stage, node);
	const struct raft_status *status = &actor->status;

	if (of->led != status->term || status->role != RAFT_LEADER || status->commit == of->commit)
		return;
	if (raft_term_at(actor->raft, status->commit) != status->term)
		broken(stage, "I9 old-term-committed",
		       "S%u, leader of term %" PRIu64 ", commits entry %" PRIu64 " of term %" PRIu64 " by counting",
		       node, status->term, status->commit, raft_term_at(actor->raft, status->commit));
}

void invariants_applied(struct stage *stage, uint32_t node, raft_index index) {
	const struct stage_log *log = &stage_node(stage, node)->log;
	raft_term committed = invariants_committed(stage, index);
	if (index > log->last || log->entries[index].term != committed)
		broken(stage, "I4 applied-differs",
		       "S%u applies entry %" PRIu64 ", of term %" PRIu64 " is what was committed", node, index,
		       committed);
}

void invariants_step(struct stage *stage, uint32_t node) {
	struct invariants_node *of = checked(stage, node);
	const struct stage_node *actor = stage_node(stage, node);
	const struct raft_status *status = &actor->status;

	check_monotone(stage, node, of);
	check_commit(stage, node, of);
	check_own_term(stage, node, of);
	if (status->role == RAFT_LEADER) {
		check_leader(stage, node);
		check_lease(stage, node);
	}
	of->led = status->role == RAFT_LEADER ? status->term : 0;
	of->term = status->term;
	of->commit = status->commit;
	of->applied = actor->applied;
}

/* ---- I7: nothing is said that a crash could take back --------------------------------------------------------------
 */

static void check_durable(struct stage *stage, uint32_t node, bool holds, const struct raft_message *message,
			  const char *what) {
	if (!holds)
		broken(stage, "I7 beyond-durable",
		       "S%u sends type %u of term %" PRIu64 ", index %" PRIu64 ": %s is not durable", node,
		       message->type, message->term, message->index, what);
}

/* In an older term, or after a candidacy that is over, what was spoken of may have been overwritten since, rightly. */
void invariants_leave(struct stage *stage, uint32_t node, const struct raft_message *message) {
	const struct stage_node *actor = stage_node(stage, node);
	bool grant = !(message->flags & RAFT_FLAG_REJECT);
	bool logged = message->index <= actor->disk.last || actor->disk_term > message->term;

	if (message->type != RAFT_PREVOTE && message->type != RAFT_PREVOTE_REPLY)
		check_durable(stage, node, message->term <= actor->disk_term, message, "the term");
	switch (message->type) {
	case RAFT_PREVOTE: check_durable(stage, node, message->index <= actor->disk.last, message, "the log"); break;
	case RAFT_VOTE:
		vote(stage, node, message->term, node, "asking as");
		check_durable(stage, node, actor->disk_term > message->term || actor->disk_vote == node, message,
			      "its vote");
		if (actor->status.role == RAFT_CANDIDATE)
			check_durable(stage, node, logged, message, "the log");
		break;
	case RAFT_VOTE_REPLY:
		if (!grant)
			break;
		vote(stage, node, message->term, message->to, "told");
		check_durable(stage, node, actor->disk_term > message->term || actor->disk_vote == message->to, message,
			      "the vote");
		break;
	case RAFT_APPEND_REPLY:
	case RAFT_HEARTBEAT_REPLY:
		if (grant)
			check_durable(stage, node, logged, message, "the acknowledged entry");
		break;
	default: break;
	}
}
