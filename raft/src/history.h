/* SPDX-License-Identifier: Apache-2.0 */
/* The configurations of the retained log, oldest first. The latest is in force from the moment it is appended
 * (dissertation §4.1); truncation takes it back to the one before; compaction keeps the latest one at or below the
 * base. */
#ifndef RAFT_HISTORY_H
#define RAFT_HISTORY_H

#include <raft/raft.h>

struct raft__history_item {
	raft_index index;
	struct raft_configuration configuration;
};

struct raft__history {
	uint16_t n, max;
	struct raft__history_item *items;
};

void raft__history_init(struct raft__history *history, struct raft__history_item *items, uint16_t max);

/* There must be room. */
void raft__history_push(struct raft__history *history, raft_index index,
			const struct raft_configuration *configuration);

/* Items that would remain if the log were cut from `index` on. */
uint16_t raft__history_before(const struct raft__history *history, raft_index index);
void raft__history_truncate(struct raft__history *history, raft_index from);

/* Drops what a newer one at or below `base` has replaced. */
void raft__history_compact(struct raft__history *history, raft_index base);

/* What a snapshot says is in force at `index`, in front of what remains of the log behind it. A configuration of the
 * old log at or below `index` is superseded even if the snapshot's own has a smaller index. */
void raft__history_install(struct raft__history *history, raft_index index,
			   const struct raft_configuration *configuration, raft_index configuration_index);

/* The latest; the latest at or below an index. NULL if there is none. */
const struct raft__history_item *raft__history_latest(const struct raft__history *history);
const struct raft__history_item *raft__history_at(const struct raft__history *history, raft_index index);

#endif
