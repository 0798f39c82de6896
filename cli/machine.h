/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of the state machine, for who upgrades a cluster: the one that the log may use, and the latest that a node's
 * program knows. People see them while there is something to see; programs always. */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include "cli/table.h"

#include <lockd/lockd.h>

enum { N_MACHINE_COLUMNS = 2 };

#define MACHINE_COLUMNS                                                                                                \
	{"MACHINE", "machine_version", COLUMN_COUNT}, {                                                                \
		"KNOWN", "machine_version_max", COLUMN_COUNT                                                           \
	}

/* Whether all that answered use the same version, and it is the latest that any of them knows. */
bool machine_is_settled(const struct lockd_node_list *list);

/* Fills both columns. NULL: the node did not answer. */
void machine_put(struct table *table, const struct lockd_node_info *node);

/* Null where a program is too old to say. */
json_t *machine_document(uint32_t version);

#endif
