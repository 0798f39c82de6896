/* SPDX-License-Identifier: Apache-2.0 */
/* What a script may ask of a stage, and expect of it. */
#include "tests/scenarios/stage.h"
#include "tests/sim/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint32_t stage_leader(struct stage *stage) {
	uint32_t leader = 0;
	raft_term term = 0;

	for (uint32_t n = 1; n <= stage->n; n++) {
		const struct stage_node *node = stage_node(stage, n);
		if (node->raft && node->status.role == RAFT_LEADER && node->status.term > term) {
			leader = n;
			term = node->status.term;
		}
	}
	return leader;
}

raft_term stage_term(struct stage *stage, uint32_t n) {
	return stage_node(stage, n)->status.term;
}

raft_term stage_term_max(struct stage *stage) {
	raft_term max = 0;
	for (uint32_t n = 1; n <= stage->n; n++) {
		if (stage_node(stage, n)->raft && stage_term(stage, n) > max)
			max = stage_term(stage, n);
	}
	return max;
}

uint32_t stage_count(struct stage *stage, uint32_t node, enum stage_outcome outcome) {
	uint32_t n = 0;
	for (uint32_t i = 0; i < stage->n_proposals; i++)
		n += (node == 0 || stage->proposals[i].node == node) && stage->proposals[i].outcome == outcome;
	return n;
}

static bool same_log(const struct stage_log *a, const struct stage_log *b) {
	if (a->last != b->last)
		return false;
	for (raft_index i = 1; i <= a->last; i++) {
		if (a->entries[i].term != b->entries[i].term || strcmp(a->entries[i].text, b->entries[i].text) != 0)
			return false;
	}
	return true;
}

bool stage_converged(struct stage *stage) {
	const struct stage_node *first = NULL;

	for (uint32_t n = 1; n <= stage->n; n++) {
		const struct stage_node *node = stage_node(stage, n);
		if (!node->raft)
			continue;
		if (!first)
			first = node;
		if (node->applied != node->log.last || !same_log(&node->log, &first->log))
			return false;
	}
	return true;
}

_Noreturn static void fail(const char *name, const char *text) {
	char what[64];

	snprintf(what, sizeof(what), "expected %s", name);
	verdict_fail(VERDICT_LIVENESS, what, "%s", text);
}

void stage_expect(struct stage *stage, bool holds, const char *name, const char *format, ...) {
	char text[256];
	va_list arguments;
	int n;

	if (holds || stage->over)
		return;
	n = snprintf(text, sizeof(text), "%.3f ms: ", (double)stage->now / 1000);
	va_start(arguments, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, arguments);
	va_end(arguments);
	fail(name, text);
}

_Noreturn void stage_fail(const char *name, const char *format, ...) {
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	fail(name, text);
}
