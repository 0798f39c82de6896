/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoint thread: the only one that writes state.db and reads snapshot files. Jobs are done in order, one after
 * the other, and come back through the inbox. */
#ifndef LOCKD_IO_CHECKPOINTER_H
#define LOCKD_IO_CHECKPOINTER_H

#include "lockd/io/inbox.h"
#include "lockd/io/store.h"

struct checkpointer;

/* Made with malloc; the loop frees it when it comes back. What it does follows from item.kind. */
struct checkpointer_job {
	struct inbox_item item;
	void *owner;
	int result; /* 0; STORE_FULL, which for a snapshot is logged already, or negative errno of a snapshot, likewise
		     */
	/* INBOX_CHECKPOINTED: write `checkpoint`, whose bytes belong to the node until it is told of the end. */
	struct node_checkpoint checkpoint;
	/* INBOX_SNAPSHOT_CUT and INBOX_BACKUP_CUT: copy the group's checkpoint into `snapshot`, unless it still is the
	 * one at `have`. */
	uint32_t group;
	raft_index have; /* 0: none */
	bool unchanged;
	struct store_snapshot snapshot;
	/* INBOX_SNAPSHOT_READ and INBOX_BACKUP_READ: read `n` bytes of `fd` at `offset` into `bytes`. */
	int fd;
	uint64_t offset;
	size_t n;
	uint8_t *bytes;
};

struct storage;

/* `state_db` is held during every write of state.db. `storage` is told whether a checkpoint has found the disk full. */
struct checkpointer *checkpointer_start(struct store *store, struct storage *storage, struct inbox *inbox,
					pthread_mutex_t *state_db);
void checkpointer_add(struct checkpointer *checkpointer, struct checkpointer_job *job);
/* Ends after the job at hand; what is queued comes back undone, with a negative result. */
void checkpointer_stop(struct checkpointer *checkpointer);

struct checkpointer_job *checkpointer_job_of(struct inbox_item *item);

#endif
