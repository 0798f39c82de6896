/* SPDX-License-Identifier: Apache-2.0 */
/* The storage thread: the only one that writes raft.db. Saves are copied into a queue; the thread takes what has
 * gathered, writes it in one transaction (natural group commit) and reports it through the inbox.
 *
 * A full disk is the only failure it survives. It gives up the reserve (docs/adr/0012) and tries the same transaction
 * again until it fits; nothing overtakes it. The node is told, so that it leads nothing and admits nothing, and follows on
 * what is left of the reserve, until everything fits again, the reserve included. Any other failure ends the process: a
 * failed COMMIT may be there after a restart or not, so it can be neither acknowledged nor treated as absent. */
#ifndef LOCKD_IO_STORAGE_H
#define LOCKD_IO_STORAGE_H

#include "lockd/io/inbox.h"
#include "lockd/io/store.h"

enum {
	STORAGE_TRANSACTION_BYTES_MAX = 1 << 20, /* what gathers beyond goes into the next one */
	STORAGE_RETRY_MS = 200,                  /* between two looks for space on a full disk */
};

struct storage;

enum storage_outcome { STORAGE_SAVED, STORAGE_BLOCKED, STORAGE_UNBLOCKED };

/* Through the inbox as INBOX_SAVED; freed by the loop with free(). */
struct storage_report {
	struct inbox_item item;
	enum storage_outcome outcome;
	uint32_t n;
	struct storage_durable {
		uint32_t group;
		uint64_t seq; /* all saves of the group up to this one */
	} durable[];
};

/* `state_db` is held while state.db is written: a save that installs a snapshot writes it too, and the checkpoint
 * thread must be idle then. Without a whole reserve the first report, posted by this call, is STORAGE_BLOCKED. */
struct storage *storage_start(struct store *store, struct inbox *inbox, pthread_mutex_t *state_db);

/* Copies the save and queues it, except rows whose bytes lie in [borrowed, borrowed + borrowed_bytes): those stay where
 * they are until the save is durable. */
void storage_save(struct storage *storage, const struct node_save *save, const uint8_t *borrowed, size_t borrowed_bytes,
		  raft_usec now);

/* A checkpoint has found the disk full, or has been written. Any thread. */
void storage_note_checkpoint(struct storage *storage, bool full);

/* Since when the disk has owed an answer: a save was queued and none was before it, or the disk answered, if only that it
 * is full, and there are more. UINT64_MAX: nothing is owed. */
raft_usec storage_waits_since(struct storage *storage);

/* Writes what is queued, then ends the thread. false: the disk was full, saves are lost that nobody was told of. */
bool storage_stop(struct storage *storage);

struct storage_report *storage_report_of(struct inbox_item *item);

#endif
