/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_node.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static int fake_node_note(struct node *node, const char *format, ...) {
	const char *line = node->trace + node->n;
	va_list arguments;

	va_start(arguments, format);
	node->n += (size_t)vsnprintf(node->trace + node->n, sizeof node->trace - node->n, format, arguments);
	va_end(arguments);
	assert(node->n < sizeof node->trace);
	return node->refuse && strncmp(line, node->refuse, strlen(node->refuse)) == 0 ? -EBADMSG : 0;
}

int node_restore_identity(struct node *node, const struct node_uuid *incarnation, uint32_t epoch) {
	return fake_node_note(node, "identity %02x epoch %u\n", incarnation->bytes[0], epoch);
}

int node_restore_hard(struct node *node, const struct node_hard *hard) {
	return fake_node_note(node, "hard %u: term %llu vote %u promise %u\n", hard->group,
			      (unsigned long long)hard->term, hard->vote, hard->promise_ms);
}

int node_restore_header(struct node *node, uint32_t group, const void *header, size_t n) {
	return fake_node_note(node, "header %u: %.*s\n", group, (int)n, (const char *)header);
}

int node_restore_row(struct node *node, uint32_t group, uint64_t id, const void *record, size_t n) {
	return fake_node_note(node, "row %u: %llu %.*s\n", group, (unsigned long long)id, (int)n, (const char *)record);
}

int node_restore_base(struct node *node, uint32_t group, raft_index index, raft_term term) {
	return fake_node_note(node, "base %u: %llu/%llu\n", group, (unsigned long long)index, (unsigned long long)term);
}

int node_restore_entry(struct node *node, uint32_t group, const struct node_entry *entry) {
	return fake_node_note(node, "entry %u: %llu/%llu %.*s\n", group, (unsigned long long)entry->index,
			      (unsigned long long)entry->term, (int)entry->n, (const char *)entry->data);
}

const char *node_error(const struct node *node) {
	(void)node;
	return "the fake node refuses it";
}
