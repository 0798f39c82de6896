/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/disk.h"

#include "cli/document.h"

#include <inttypes.h>
#include <stdio.h>

bool disk_is_plain(const struct lockd_node_list *list) {
	for (size_t i = 0; i < list->n; i++) {
		const struct lockd_node_info *node = &list->nodes[i];

		if (node->status == LOCKD_OK && (node->disk_full || node->restoring || node->repairs))
			return false;
	}
	return true;
}

enum { WORDS_BYTES_MAX = 512 };

/* What keeps the node from its work comes first. */
static const char *words(const struct lockd_node_info *node, char out[WORDS_BYTES_MAX]) {
	const char *damage = *node->damage ? node->damage : "not told what";

	if (node->disk_full)
		return "full: requests are refused until there is space";
	if (node->restoring)
		(void)snprintf(out, WORDS_BYTES_MAX, "restoring from the others: %s", damage);
	else if (node->repairs)
		(void)snprintf(out, WORDS_BYTES_MAX, "ok, repaired %" PRIu32 " time%s, last: %s", node->repairs,
			       node->repairs == 1 ? "" : "s", damage);
	else
		return "ok";
	return out;
}

void disk_put(struct table *table, const struct lockd_node_info *node) {
	char text[WORDS_BYTES_MAX];

	table_put_text(table, node ? words(node, text) : NULL);
}

json_t *disk_document(const struct lockd_node_info *node) {
	return json_pack("{s:b, s:b, s:I, s:o}", "disk_full", node->disk_full, "restoring", node->restoring, "repairs",
			 (json_int_t)node->repairs, "damage", document_text(node->damage));
}
