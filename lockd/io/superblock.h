/* SPDX-License-Identifier: Apache-2.0 */
/* What must not be lost together with a database: who this store is, how it was closed, and for every group (term, vote)
 * and the watermark, the highest entry that was acknowledged.
 *
 * SQLite's WAL takes one flipped bit for the end of the log and drops every later commit without a word; a record of terms
 * and indices inside the database would vanish with them. Hence a file of our own:
 *
 *     0      slot 0    4 KiB   identity and hard states, written alternately with slot 1 and synced each time:
 *     4096   slot 1    4 KiB   a torn write leaves the older one. The higher generation counts.
 *     8192   marks 0   64 × 512 bytes, one sector per group, written alternately with marks 1: the watermarks.
 *     40960  marks 1
 *
 * Watermarks are written after each commit without a sync, so that they cost no time: what a power cut leaves of them is a lower
 * bound of what was acknowledged, never more than the log holds. superblock_sync() makes them durable. Before entries are
 * deleted from the end of a log its mark is lowered and synced, or the mark would accuse the log after a crash. */
#ifndef LOCKD_IO_SUPERBLOCK_H
#define LOCKD_IO_SUPERBLOCK_H

#include "lockd/io/folder.h"

#include "api/limits.h"

struct superblock_group {
	uint32_t group;
	raft_term term;
	uint32_t vote;
	uint32_t promise_ms;
};

/* The mark of a group. term 0: only the index is known, the log may hold either history there. */
struct superblock_mark {
	uint32_t group;
	uint64_t generation; /* of its sector; the parity says where it stands */
	raft_index index;
	raft_term term;
	uint64_t chain; /* chain value of the log at `index` */
};

struct superblock {
	int fd;
	char *path;
	/* The content of the newest slot, but for changes that wait for superblock_write(). */
	uint64_t generation;
	struct node_uuid uuid, incarnation;
	uint32_t epoch;
	uint64_t boot_count; /* 0: the folder is still being created and holds nothing */
	bool clean;
	struct superblock_group groups[LIMIT_GROUPS_MAX];
	size_t n_groups;
	struct superblock_mark marks[LIMIT_GROUPS_MAX];
	size_t n_marks;
	bool slot_due, sync_due;
};

/* Writes the first slot of a new file, with a random store uuid and boot count 0. */
int superblock_create(struct superblock *superblock, const struct folder *folder, struct store_error *error);
/* -EBADMSG when neither slot, or neither sector of a mark, can be believed; -ENOTSUP for another format. */
int superblock_open(struct superblock *superblock, const struct folder *folder, struct store_error *error);
/* Who the store is, of a file that need not be whole: uuid, incarnation and epoch of the newest slot that can be read.
 * Returns how many of the two can: with one alone there may have been a newer one. */
int superblock_salvage(struct superblock *superblock, const struct folder *folder);
/* Closing a zeroed struct is fine. */
void superblock_close(struct superblock *superblock);

/* Changes wait in memory; superblock_write() makes them durable, together with lowered marks. Nothing to do costs nothing.
 * STORE_FULL: they still wait. */
void superblock_set_identity(struct superblock *superblock, const struct node_uuid *incarnation, uint32_t epoch);
/* Back to an older one, that of the log. */
void superblock_take_back_identity(struct superblock *superblock, const struct node_uuid *incarnation, uint32_t epoch);
void superblock_set_hard(struct superblock *superblock, const struct superblock_group *hard);
void superblock_set_boot(struct superblock *superblock, uint64_t boot_count, bool clean);
int superblock_write(struct superblock *superblock, struct store_error *error);

/* The entry was acknowledged. */
int superblock_mark(struct superblock *superblock, const struct superblock_mark *mark, struct store_error *error);
/* Entries behind `index` are about to be deleted, or replaced together with it; synced by superblock_write(). */
int superblock_lower(struct superblock *superblock, uint32_t group, raft_index index, struct store_error *error);
int superblock_sync(struct superblock *superblock, struct store_error *error);

/* What the file holds, whether it can be believed or not, for people. */
enum superblock_piece_state { SUPERBLOCK_EMPTY, SUPERBLOCK_INVALID, SUPERBLOCK_VALID };
struct superblock_slot {
	enum superblock_piece_state state;
	uint32_t format;
	struct superblock content; /* if the format is ours; no marks */
};
struct superblock_sector {
	enum superblock_piece_state state;
	struct superblock_mark mark;
};
struct superblock_view {
	uint64_t bytes, bytes_expected;
	struct superblock_slot slots[2];
	struct superblock_sector sectors[LIMIT_GROUPS_MAX][2]; /* the two of each mark */
};
int superblock_look(const struct folder *folder, struct superblock_view *ret, struct store_error *error);

/* NULL: none stored. */
const struct superblock_group *superblock_find_group(const struct superblock *superblock, uint32_t group);
const struct superblock_mark *superblock_find_mark(const struct superblock *superblock, uint32_t group);

#endif
