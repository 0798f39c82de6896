/* SPDX-License-Identifier: Apache-2.0 */
/* What a stage tells by itself. */
#include "tests/scenarios/stage.h"
#include "tests/scenarios/story.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { COLUMNS = 20 };

void stage_tell(struct stage *stage, enum stage_tell level, const char *format, ...) {
	char text[256];
	va_list arguments;

	if (stage->tell < level)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	story_event(stage->now, "%s", text);
}

/* ---- Messages ------------------------------------------------------------------------------------------------------
 */

static void describe_request(const struct raft_message *message, char *text, size_t size) {
	snprintf(text, size, "%s term %" PRIu64 " last (%" PRIu64 ",%" PRIu64 ")",
		 message->type == RAFT_PREVOTE ? "PREVOTE for" : "VOTE", message->term, message->index,
		 message->index_term);
}

static void describe_answer(const struct raft_message *message, char *text, size_t size) {
	const char *name = message->type == RAFT_PREVOTE_REPLY ? "PREVOTE" : "VOTE";

	if (!(message->flags & RAFT_FLAG_REJECT))
		snprintf(text, size, "%s granted, term %" PRIu64, name, message->term);
	else if (message->wait_us > 0)
		snprintf(text, size, "%s refused, term %" PRIu64 ": bound to a leader for %.3f ms", name, message->term,
			 (double)message->wait_us / 1000);
	else
		snprintf(text, size, "%s refused, term %" PRIu64, name, message->term);
}

static void describe_append(const struct raft_message *message, char *text, size_t size) {
	int n = snprintf(text, size, "APPEND term %" PRIu64 " behind (%" PRIu64 ",%" PRIu64 "): ", message->term,
			 message->index, message->index_term);

	if (message->n == 0)
		n += snprintf(text + n, size - (size_t)n, "nothing");
	else if (message->n == 1)
		n += snprintf(text + n, size - (size_t)n, "entry %" PRIu64, message->index + 1);
	else
		n += snprintf(text + n, size - (size_t)n, "entries %" PRIu64 " to %" PRIu64, message->index + 1,
			      message->index + message->n);
	snprintf(text + n, size - (size_t)n, ", committed %" PRIu64, message->commit);
}

static void describe_append_reply(const struct raft_message *message, char *text, size_t size) {
	if (!(message->flags & RAFT_FLAG_REJECT))
		snprintf(text, size, "APPEND taken, term %" PRIu64 ": holds up to %" PRIu64, message->term,
			 message->index);
	else if (message->hint_index == 0)
		snprintf(text, size, "APPEND refused, term %" PRIu64, message->term);
	else
		snprintf(text, size,
			 "APPEND refused, term %" PRIu64 ": not behind %" PRIu64 ", perhaps (%" PRIu64 ",%" PRIu64 ")",
			 message->term, message->index, message->hint_index, message->hint_term);
}

void stage_tell_message(struct stage *stage, const struct stage_message *told) {
	const struct raft_message *message = &told->message;
	char text[160] = "";

	switch (message->type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE: describe_request(message, text, sizeof(text)); break;
	case RAFT_PREVOTE_REPLY:
	case RAFT_VOTE_REPLY: describe_answer(message, text, sizeof(text)); break;
	case RAFT_APPEND: describe_append(message, text, sizeof(text)); break;
	case RAFT_APPEND_REPLY: describe_append_reply(message, text, sizeof(text)); break;
	case RAFT_TIMEOUT_NOW:
		snprintf(text, sizeof(text), "TIMEOUT_NOW term %" PRIu64 ": stand for election", message->term);
		break;
	case RAFT_HEARTBEAT: stage->heartbeats++; return;
	default: return;
	}
	if (stage->tell_about != 0 && stage->tell_about != message->from && stage->tell_about != message->to)
		return;
	stage_tell(stage, STAGE_TELL_MESSAGES, "S%u → S%u  %s", message->from, message->to, text);
}

void stage_tell_heartbeats(struct stage *stage) {
	if (stage->heartbeats >= 10)
		stage_tell(stage, STAGE_TELL_MESSAGES, "(%" PRIu64 " heartbeats arrived meanwhile)", stage->heartbeats);
	stage->heartbeats = 0;
}

/* ---- Steps ---------------------------------------------------------------------------------------------------------
 */

static void tell_role(struct stage *stage, uint32_t n, const struct raft_status *before,
		      const struct raft_status *after) {
	if (before->role == RAFT_LEADER && (after->role != RAFT_LEADER || after->term != before->term))
		stage_tell(stage, STAGE_TELL_ROLES, "S%u no longer leads term %" PRIu64, n, before->term);
	if (before->role == after->role && before->term == after->term)
		return;
	switch (after->role) {
	case RAFT_FOLLOWER: break;
	case RAFT_PRECANDIDATE:
		if (before->role != RAFT_PRECANDIDATE)
			stage_tell(stage, STAGE_TELL_ROLES, "S%u asks who would elect it in term %" PRIu64, n,
				   after->term + 1);
		break;
	case RAFT_CANDIDATE:
		stage_tell(stage, STAGE_TELL_ROLES, "S%u stands for election in term %" PRIu64, n, after->term);
		break;
	case RAFT_LEADER: stage_tell(stage, STAGE_TELL_ROLES, "S%u leads term %" PRIu64, n, after->term); break;
	}
}

void stage_tell_step(struct stage *stage, uint32_t n, const struct raft_status *before, raft_index last_before) {
	struct stage_node *node = stage_node(stage, n);
	raft_index from = node->fx.save.truncate_from;

	tell_role(stage, n, before, &node->status);
	if (from != 0 && from == last_before)
		stage_tell(stage, STAGE_TELL_ROLES, "S%u drops its entry %" PRIu64, n, from);
	else if (from != 0)
		stage_tell(stage, STAGE_TELL_ROLES, "S%u drops its entries %" PRIu64 " to %" PRIu64, n, from,
			   last_before);
	if (node->status.role == RAFT_LEADER && node->status.commit > before->commit)
		stage_tell(stage, STAGE_TELL_ROLES, "S%u commits up to %" PRIu64 " (term %" PRIu64 ")", n,
			   node->status.commit, raft_term_at(node->raft, node->status.commit));
}

static const char *set_of(uint32_t mask, char *text, size_t size) {
	size_t n = 0;

	for (uint32_t node = 1; node <= STAGE_NODES_MAX; node++) {
		if (mask >> node & 1)
			n += (size_t)snprintf(text + n, size - n, "%sS%u", n > 0 ? " " : "", node);
	}
	return text;
}

void stage_tell_change(struct stage *stage, uint32_t node, uint32_t voters, uint32_t outgoing) {
	char in[64], out[64];

	set_of(voters, in, sizeof(in));
	if (outgoing == 0 && (stage->learners & ~voters) != 0)
		stage_tell(stage, STAGE_TELL_ROLES, "S%u appends the configuration {%s} with {%s} as learners", node,
			   in, set_of(stage->learners & ~voters, out, sizeof(out)));
	else if (outgoing == 0)
		stage_tell(stage, STAGE_TELL_ROLES, "S%u appends the configuration {%s}", node, in);
	else
		stage_tell(stage, STAGE_TELL_ROLES, "S%u appends the joint configuration {%s} and {%s}", node,
			   set_of(outgoing, out, sizeof(out)), in);
}

/* ---- Logs ----------------------------------------------------------------------------------------------------------
 */

static void show_log(struct stage *stage, uint32_t n, raft_index first, raft_index last) {
	const struct stage_node *node = stage_node(stage, n);
	const struct stage_log *log = node->raft ? &node->log : &node->disk;

	printf("    S%u   ", n);
	for (raft_index i = first; i <= last; i++) {
		if (i > log->last)
			printf("    ");
		else
			printf("%3" PRIu64 "%c", log->entries[i].term, i <= node->status.commit ? ' ' : '?');
	}
	if (!node->raft)
		printf("  down, this is its disk\n");
	else
		printf("  term %" PRIu64 "%s\n", node->status.term, node->status.role == RAFT_LEADER ? ", leads" : "");
}

void stage_show_logs(struct stage *stage) {
	raft_index last = 0, first;

	if (stage->tell == STAGE_TELL_NOTHING)
		return;
	for (uint32_t n = 1; n <= stage->n; n++) {
		const struct stage_node *node = stage_node(stage, n);
		const struct stage_log *log = node->raft ? &node->log : &node->disk;
		if (log->last > last)
			last = log->last;
	}
	first = last > COLUMNS ? last - COLUMNS + 1 : 1;
	printf("    index");
	for (raft_index i = first; i <= last; i++)
		printf("%3" PRIu64 " ", i);
	printf("\n");
	for (uint32_t n = 1; n <= stage->n; n++)
		show_log(stage, n, first, last);
	printf("    (the term of each entry; '?': the node does not know it committed)\n");
}
