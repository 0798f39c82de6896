/* SPDX-License-Identifier: Apache-2.0 */
/* The disk of one node: what is durable, and what would be lost by a power cut at this moment.
 *
 * Saves become durable in batches, in order, after a delay. A crash in the middle of a batch leaves all of it, none of
 * it, or only the highest (term, vote) in it, since the superblock is synced before the log rows. A checkpoint is one
 * transaction.
 *
 * A disk may be slow for a while, or full, which the node survives, or fail: then the process stops as lockd/io does,
 * and the failed write leaves what a crash in its middle would. While it is full, saves go into a reserve until that is
 * used up; the node is blocked until there is space for all of it again. */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "lockd/node/node.h"
#include "tests/sim/prng.h"
#include "tests/sim/queue.h"

struct sim;
struct backing;
struct disk_save;

/* What a power cut leaves of a write: all of it, or of its hard states and identity the last ones, or nothing. */
enum disk_outcome { DISK_NOTHING, DISK_HARD, DISK_ALL };

struct disk_row {
	uint64_t id;
	struct node_bytes record; /* owned */
};

struct disk_checkpoint {
	struct node_bytes header; /* owned; bytes NULL: none yet */
	raft_index index;
	raft_term term;
	struct disk_row *rows; /* in order of id */
	size_t n, size;
};

struct disk {
	struct prng prng;
	/* Durable. */
	bool has_identity, has_hard;
	struct node_uuid incarnation;
	uint32_t epoch;
	struct node_hard hard;
	raft_index base;
	raft_term base_term;
	struct node_entry *entries; /* base + 1 … base + n; data owned */
	size_t n, size;
	struct disk_checkpoint checkpoint;
	raft_index trim_to; /* postponed */
	raft_term trim_term;

	uint64_t boot_count; /* of the processes that it was opened by */
	struct backing *backing; /* what must hold the same; NULL: nothing */

	/* Not durable. */
	struct disk_save *first, *last;          /* waiting, oldest first */
	size_t in_flight;                        /* how many of them the write under way covers */
	bool writing, waiting, blocked, failing; /* waiting: the write under way, for space */
	sim_usec full_until;
	size_t reserve, reserve_max;  /* bytes of saves that go to a full disk */
	sim_usec kib_us;              /* that a write takes longer for 1024 bytes of entries; 0: no time */
	sim_usec stalled_until;       /* a write that begins before ends no earlier */
	sim_usec slow_until, slow_by; /* writes that begin before then take that much longer */
	sim_usec late_until;          /* when the last one that stalled or was slow has ended */
	const struct node_checkpoint *checkpointing; /* borrowed from the node */
	uint64_t boot;                               /* completions of an earlier boot are void … */
	uint64_t hurry;                              /* … and those that have been planned anew */
};

void disk_init(struct disk *disk, struct prng prng);
void disk_deinit(struct disk *disk);
/* Its durable part; the other one must be empty. */
void disk_copy(const struct disk *disk, struct disk *ret);
/* While the node is down. */
void disk_put_back(struct disk *disk, const struct disk *copy);

void disk_submit(struct sim *sim, uint32_t node, const struct node_save *save);
void disk_start_checkpoint(struct sim *sim, uint32_t node, const struct node_checkpoint *checkpoint);
/* Loses what is not durable. The node must still exist: a checkpoint under way may become durable at the last moment.
 */
void disk_crash(struct sim *sim, uint32_t node);
/* Feeds a new node; asserts on what the node refuses. */
void disk_restore(const struct disk *disk, struct node *node);

/* The process has come up: without a whole reserve it begins blocked. */
void disk_boot(struct sim *sim, uint32_t node);

/* Writes take that much longer for a while, the one under way included. */
void disk_slow(struct sim *sim, uint32_t node, sim_usec by, sim_usec until);
/* Takes all faults away; what is being written ends as if there had been none. */
void disk_mend(struct sim *sim, uint32_t node);

/* The i-th of the saves that wait, those of the write under way first; NULL: there are no more. */
const struct node_save *disk_under_way(const struct disk *disk, size_t i);
/* What it would hold if the power failed now, with that much left of the write under way and, if `checkpoint`, with the
 * checkpoint under way; trims are not postponed. */
void disk_foresee(const struct disk *disk, enum disk_outcome outcome, bool checkpoint, struct disk *ret);

raft_index disk_last(const struct disk *disk);
/* Term of a durable entry or of the base; 0: not there. */
raft_term disk_term_at(const struct disk *disk, raft_index index);

#endif
