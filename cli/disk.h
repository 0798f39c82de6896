/* SPDX-License-Identifier: Apache-2.0 */
/* How the disks of the nodes are. People see it where there is something to see; programs always. */
#ifndef CLI_DISK_H
#define CLI_DISK_H

#include "cli/table.h"

#include <lockd/lockd.h>

#define DISK_COLUMN                                                                                                    \
	{ "DISK", "disk", COLUMN_TEXT }

/* Whether all that answered have space, and none was ever damaged. */
bool disk_is_plain(const struct lockd_node_list *list);

/* NULL: the node did not answer. */
void disk_put(struct table *table, const struct lockd_node_info *node);

/* Members for the node's object. */
json_t *disk_document(const struct lockd_node_info *node);

#endif
