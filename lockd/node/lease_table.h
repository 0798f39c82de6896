/* SPDX-License-Identifier: Apache-2.0 */
/* The leases of a leader, made for signs of life: there may be a million of them, each heard several times in its TTL.
 *
 * They stand in blocks and are found by a hash of their session. Nothing is kept in order of time: a block only knows
 * an instant before which none of its leases wants a mark. Hearing of a session moves its mark away from there, so it
 * is one store and nothing else; once the instant has come, the block is gone through and knows a later one. A session
 * that is heard is passed over about twice in its TTL for that, in a row with its neighbours.
 *
 * The order of the blocks is that in which places were taken and left: the same on every run of the same inputs. */
#ifndef LOCKD_NODE_LEASE_TABLE_H
#define LOCKD_NODE_LEASE_TABLE_H

#include "lockd/state/state.h"

#include <raft/raft.h>

enum {
	LEASE_QUARTERS = 4,
	LEASE_BLOCK_LEASES = 512,
};

#define LEASE_NEVER UINT64_MAX

struct lease {
	state_session_id session; /* 0: the place is vacant */
	uint32_t epoch, group;    /* of its id: a session keeps them for life */
	raft_usec ttl_us;
	raft_usec heard;  /* arrival of the last keep-alive that was acknowledged, or will be */
	uint64_t renewal; /* ticket of the last RENEWED, 0: none */
	uint32_t place;
	uint8_t quarters; /* last mark put into the log, applied or not: LATE 1–3, EXPIRE 4, RENEWED 0 */
};

struct lease_block {
	struct lease *leases; /* LEASE_BLOCK_LEASES; NULL: all are vacant */
	uint32_t n;
	raft_usec due; /* none of them is due before */
};

struct lease_table {
	struct lease_block *blocks;
	size_t n_blocks, blocks_max;
	size_t roomy;    /* no block before this one has a vacant place */
	uint32_t *index; /* place + 1 at the hash of its session, or at the next free one behind; 0: none */
	size_t index_size, n;
	raft_usec due; /* no lease is due before */
};

/* A table of zeroes is empty. */
void lease_table_clear(struct lease_table *table);

/* NULL: there is none. The pointer is good until leases are removed or the table is cleared. */
struct lease *lease_table_find(const struct lease_table *table, state_session_id session);
/* A zeroed one for a session that has none. Filled in, it is to be scheduled. */
struct lease *lease_table_add(struct lease_table *table, state_session_id session);
void lease_table_remove(struct lease_table *table, struct lease *lease);

/* When its next mark is due; LEASE_NEVER: an EXPIRE is on its way. */
raft_usec lease_due(const struct lease *lease);
/* It may be due earlier than before. */
void lease_table_schedule(struct lease_table *table, const struct lease *lease);
/* Takes the earliest of its blocks. */
void lease_table_settle(struct lease_table *table);

#endif
