/* SPDX-License-Identifier: Apache-2.0 */
#include "audit.h"

#include "configuration.h"
#include "replica.h"

static bool audit_hash_is_equal(struct state_hash a, struct state_hash b) {
	return a.low == b.low && a.high == b.high;
}

/* ---- What this replica remembers ----------------------------------------------------------------------------------
 */

static const struct audit_mark *audit_mark_at(const struct audit *audit, size_t position) {
	return &audit->marks[(audit->first + position) % AUDIT_MARKS_MAX];
}

static const struct audit_mark *audit_find(const struct audit *audit, raft_index index) {
	for (size_t i = 0; i < audit->n; i++) {
		if (audit_mark_at(audit, i)->index == index)
			return audit_mark_at(audit, i);
	}
	return NULL;
}

void audit_note(struct replica *replica) {
	struct audit *audit = &replica->audit;
	struct audit_mark mark = {.index = state_applied(replica->state)};

	if (mark.index % replica->node->state_hash_interval != 0 ||
	    state_get_version(replica->state).current < STATE_MACHINE_VERSION_VERDICT)
		return;
	mark.hash = state_get_hash(replica->state);
	if (audit->n == AUDIT_MARKS_MAX)
		audit->first = (audit->first + 1) % AUDIT_MARKS_MAX;
	else
		audit->n++;
	audit->marks[(audit->first + audit->n - 1) % AUDIT_MARKS_MAX] = mark;
}

void audit_forget(struct replica *replica) {
	replica->audit = (struct audit){0};
}

/* ---- Verdicts -----------------------------------------------------------------------------------------------------
 */

void audit_judge(struct replica *replica, const struct state_outcome *outcome) {
	const struct audit_mark *own = audit_find(&replica->audit, outcome->index);
	char text[NODE_ERROR_BYTES_MAX];

	if (outcome->index > replica->audit.settled)
		replica->audit.settled = outcome->index;
	if (!own || audit_hash_is_equal(own->hash, outcome->hash))
		return;
	(void)snprintf(
		text, sizeof text,
		"state at index %llu differs from the majority's: %016llx%016llx here, %016llx%016llx there; this "
		"data folder must not be used any more",
		(unsigned long long)outcome->index, (unsigned long long)own->hash.high,
		(unsigned long long)own->hash.low, (unsigned long long)outcome->hash.high,
		(unsigned long long)outcome->hash.low);
	node_fail(replica->node, text);
}

/* ---- Asking -------------------------------------------------------------------------------------------------------
 */

void audit_begin(struct replica *replica) {
	replica->audit.question = 0;
}

void audit_hear_question(struct replica *replica, raft_index index) {
	if (!replica->leading)
		replica->audit.question = index;
}

bool audit_answer(const struct replica *replica, raft_index *ret_index, struct state_hash *ret_hash) {
	const struct audit_mark *mark = audit_find(&replica->audit, replica->audit.question);

	if (!mark)
		return false;
	*ret_index = mark->index;
	*ret_hash = mark->hash;
	return true;
}

static struct audit_answer *audit_find_answer(struct audit *audit, uint32_t node) {
	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		if (audit->answers[i].node == node)
			return &audit->answers[i];
	}
	return NULL;
}

/* Only members that vote are counted. Members that left make room with the next question. */
void audit_hear_answer(struct replica *replica, uint32_t node, raft_index index, struct state_hash hash) {
	struct audit *audit = &replica->audit;
	struct audit_answer *answer;

	if (!replica->leading || index == 0 || index != audit->question)
		return;
	answer = audit_find_answer(audit, node);
	if (!answer)
		answer = audit_find_answer(audit, 0);
	if (answer)
		*answer = (struct audit_answer){.node = node, .hash = hash};
}

/* ---- Counting -----------------------------------------------------------------------------------------------------
 */

enum audit_half { AUDIT_HALF_NEW = RAFT_ROLE_VOTER, AUDIT_HALF_OLD = RAFT_ROLE_VOTER_OUTGOING };

struct audit_count {
	uint32_t voters, lost, answers, equal; /* equal: to the hash in question */
};

static struct audit_count audit_count(struct replica *replica, enum audit_half half, struct state_hash hash) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);
	struct audit_count count = {0};

	for (uint16_t i = 0; i < members->n; i++) {
		const struct audit_answer *answer;

		if (!(members->members[i].roles & half))
			continue;
		count.voters++;
		/* Nobody answers for a store that is lost; what stands in its place answers in the new half. */
		if (half == AUDIT_HALF_OLD && (members->members[i].roles & RAFT_ROLE_LOST)) {
			count.lost++;
			continue;
		}
		answer = audit_find_answer(&replica->audit, members->members[i].node);
		count.answers += answer != NULL;
		count.equal += answer && audit_hash_is_equal(answer->hash, hash);
	}
	return count;
}

static bool audit_has_majority(struct replica *replica, struct state_hash hash) {
	struct audit_count fresh = audit_count(replica, AUDIT_HALF_NEW, hash);
	struct audit_count old = audit_count(replica, AUDIT_HALF_OLD, hash);

	return fresh.equal > fresh.voters / 2 && (old.voters == 0 || old.equal > old.voters / 2);
}

static bool audit_all_have_answered(struct replica *replica) {
	struct audit_count fresh = audit_count(replica, AUDIT_HALF_NEW, (struct state_hash){0});
	struct audit_count old = audit_count(replica, AUDIT_HALF_OLD, (struct state_hash){0});

	return fresh.answers == fresh.voters && old.answers + old.lost == old.voters;
}

static bool audit_answers_differ(const struct audit *audit) {
	for (int i = 1; i < RAFT_MEMBERS_MAX; i++) {
		if (audit->answers[i].node > 0 && !audit_hash_is_equal(audit->answers[i].hash, audit->answers[0].hash))
			return true;
	}
	return false;
}

static void audit_propose(struct replica *replica, struct state_hash hash) {
	Command__Command command = COMMAND__COMMAND__INIT;
	Command__Verdict verdict = COMMAND__VERDICT__INIT;
	uint8_t bytes[AUDIT_HASH_BYTES];

	replica_pack_hash(hash, bytes);
	verdict.term = replica->status.term;
	verdict.index = replica->audit.question;
	verdict.hash = (ProtobufCBinaryData){.len = sizeof bytes, .data = bytes};
	command.body_case = COMMAND__COMMAND__BODY_VERDICT;
	command.verdict = &verdict;
	(void)pending_push_own(replica, &command);
}

/* Whether some hash has a majority; if so, it is proposed. */
static bool audit_decide(struct replica *replica) {
	struct audit *audit = &replica->audit;

	for (int i = 0; i < RAFT_MEMBERS_MAX; i++) {
		if (audit->answers[i].node > 0 && audit_has_majority(replica, audit->answers[i].hash)) {
			audit_propose(replica, audit->answers[i].hash);
			return true;
		}
	}
	return false;
}

/* Replicas differ and none is known to be right: an operator must look, no process can. */
static void audit_give_up(struct replica *replica) {
	if (audit_answers_differ(&replica->audit))
		TURN_TRACE(&replica->node->turn, replica->group,
			   "event=states-differ index=%llu reason=\"no state hash has a majority: compare the nodes' "
			   "data before anything else\"",
			   (unsigned long long)replica->audit.question);
}

static void audit_ask(struct replica *replica) {
	struct audit *audit = &replica->audit;
	const struct audit_mark *latest = audit->n > 0 ? audit_mark_at(audit, audit->n - 1) : NULL;

	if (!latest || latest->index <= audit->settled)
		return;
	audit->question = latest->index;
	memset(audit->answers, 0, sizeof audit->answers);
	audit_hear_answer(replica, replica->node->id, latest->index, latest->hash);
}

void audit_advance(struct replica *replica) {
	struct audit *audit = &replica->audit;

	if (!replica->ready)
		return;
	if (audit->question > 0) {
		bool forgotten = !audit_find(audit, audit->question);

		if (!audit_decide(replica)) {
			if (!forgotten && !audit_all_have_answered(replica))
				return;
			audit_give_up(replica);
		}
		if (audit->question > audit->settled)
			audit->settled = audit->question;
		audit->question = 0;
	}
	audit_ask(replica);
}
