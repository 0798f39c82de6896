/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine.h"

bool machine_is_settled(const struct lockd_node_list *list) {
	const struct lockd_node_info *first = NULL;

	for (size_t i = 0; i < list->n; i++) {
		const struct lockd_node_info *node = &list->nodes[i];

		if (node->status != LOCKD_OK)
			continue;
		if (!first)
			first = node;
		if (node->machine_version != first->machine_version ||
		    node->machine_version_max != first->machine_version)
			return false;
	}
	return true;
}

static void put_version(struct table *table, uint32_t version) {
	if (version)
		table_put_number(table, version);
	else
		table_put_text(table, NULL);
}

void machine_put(struct table *table, const struct lockd_node_info *node) {
	put_version(table, node ? node->machine_version : 0);
	put_version(table, node ? node->machine_version_max : 0);
}

json_t *machine_document(uint32_t version) {
	return version ? json_integer(version) : json_null();
}
