/* SPDX-License-Identifier: Apache-2.0 */
/* The data folder of a node: superblock, raft.db (log of all groups), state.db (checkpoints of all groups), a lock that
 * keeps a second process out. Who may call what: the storage thread calls store_write(), the checkpoint thread the
 * store_checkpoint*() functions; opening, loading and closing happen before and after those threads exist. One connection
 * per database file, used by one thread (SQLite 3.7.0–3.51.2 can corrupt a WAL that two connections write). */
#ifndef LOCKD_IO_STORE_H
#define LOCKD_IO_STORE_H

#include "lockd/node/node.h"

struct store;

/* A failure, in one sentence that names file, operation and cause. */
struct store_error {
	char text[512];
};

enum {
	STORE_FULL = 1, /* disk full: the same call may be made again, and only then is it done */
};

/* Opens or creates the folder. Negative errno with *error filled in: in use by another process (-EBUSY), damaged (-EBADMSG),
 * of another format version (-ENOTSUP), an older copy of itself (-ESTALE), not writable, … Creates a random store uuid on
 * first use. */
int store_open(const char *folder, struct store **ret, struct store_error *error);
/* The same for a restore from a backup: the folder must be missing or empty, or be what an interrupted restore has left,
 * which is thrown away; otherwise -EEXIST. Until store_restored() every store_open() refuses it with -ECANCELED. */
int store_open_to_restore(const char *folder, struct store **ret, struct store_error *error);
/* Whether it would refuse the folder for what it holds; changes nothing. */
int store_check_to_restore(const char *folder, struct store_error *error);
/* All is written: from now on it is the folder of a node. */
int store_restored(const struct store *store, struct store_error *error);
/* Marks the folder as cleanly closed, if `clean`, and frees everything. After a failure `clean` must be false: the files
 * then stay as a crash would leave them. */
struct store *store_close(struct store *store, bool clean);

void store_get_uuid(const struct store *store, struct node_uuid *ret);
/* Durable, and larger with every store_open(). */
uint64_t store_get_boot_count(const struct store *store);

/* The folder is an older copy of itself: from now on store_open() refuses it, and says so in this sentence. Any thread.
 * 0, STORE_FULL or negative errno: it may not be marked. */
int store_condemn(const struct store *store, const char *sentence, struct store_error *error);

/* A call has failed, and the process is about to end for that. If the failure was damage (`r` is -EBADMSG), the next
 * store_open() refuses the folder with this sentence, even if it does not come across the place again. Best effort: the disk
 * may be beyond that. Any thread. */
void store_note_failure(const struct store *store, int r, const struct store_error *failure);

/* The folder cannot be used: store_open() or store_load() has refused it with -EBADMSG, for `reason`. Moves the files of
 * the store to the folder `damaged-<n>` within, where nothing opens it again; the next store_open() finds an empty store under a uuid of
 * its own that knows in whose place it stands. A crash in the middle is completed by that, too. 0; -ENODATA: nothing that can
 * be read says which store this was, so nothing was moved; -EDQUOT: nor was it because enough damaged folders are kept there; -ESTALE: the folder is an older copy of itself; STORE_FULL; other
 * negative errno. The folder must be closed. */
int store_set_aside(const char *folder, const char *reason, struct store_error *error);

/* In whose place the store stands. */
enum { STORE_PAST_MAX = 8 }; /* of more than these the latest are remembered, and the one that was a member */
struct store_past {
	struct node_uuid stores[STORE_PAST_MAX]; /* the latest first */
	size_t n;                                /* 0: in nobody's */
	struct node_uuid incarnation;            /* of their cluster; zero: they belonged to none */
	uint32_t epoch;
	uint32_t repairs; /* so many have been set aside; the last one's files are in `damaged-<repairs>` */
	char reason[256]; /* of the latest */
};
void store_get_past(const struct store *store, struct store_past *ret);

/* Space on the disk that is the folder's own, so that it can be written when the disk is full. A full disk at store_open() and
 * store_load() takes it by itself; later it is up to the storage thread, the only one that calls the other three.
 * store_keep_reserve() comes between store_open() and store_load(), with 0 for none. 0, also on a full disk: then
 * store_has_reserve() says false; or negative errno. */
int store_keep_reserve(struct store *store, uint64_t bytes, struct store_error *error);
bool store_has_reserve(const struct store *store);
/* 0, STORE_FULL: not now; or negative errno, as store_write(). */
int store_give_up_reserve(struct store *store, struct store_error *error);
int store_refill_reserve(struct store *store, struct store_error *error);

/* Feeds everything stored into a new node: identity, hard states, checkpoints, logs (node_restore_*); verifies checksums, chains, sums and the
 * watermark on the way. -EBADMSG: damaged. -ECANCELED: a forced recovery was interrupted. A blank folder feeds nothing. Ends before node_start(). */
int store_load(struct store *store, struct node *node, struct store_error *error);

/* A forced recovery begins with a new identity in the superblock. If it went no further, this takes the identity back, so
 * that store_load() does not refuse and the recovery can be run again. Returns the epoch that it had taken; 0: there is
 * nothing of the kind. */
uint32_t store_take_back_identity(struct store *store);

/* Executes saves in one transaction: (term, vote) synced to the superblock first, then one COMMIT of raft.db. 0: all are
 * durable. STORE_FULL: (term, vote) may be, and of the rest nothing is. Negative: the process must stop (a failed COMMIT is
 * indeterminate). A save that installs a snapshot must come alone and additionally writes state.db, before raft.db: on
 * STORE_FULL it may be half done, and is then completed by the same call or by the next start. The caller keeps the
 * checkpoint thread idle meanwhile. */
int store_write(struct store *store, const struct node_save *saves, size_t n, struct store_error *error);

/* The storage thread has run out of saves: a good moment for what may wait but must not wait for ever (the log's WAL is
 * copied back into its file). Optional for correctness; without it the work falls into a busy moment. 0, or negative as
 * store_write(); a full disk is no failure here. */
int store_idle(struct store *store, struct store_error *error);

/* Writes one checkpoint in one transaction of state.db; one that an installed snapshot has overtaken is dropped. Results as
 * store_write(). */
int store_checkpoint(struct store *store, const struct node_checkpoint *checkpoint, struct store_error *error);

/* Copies a group's last durable checkpoint, as SNAPSHOT frames need it, into a new file: a run of (u32 length, record
 * bytes) in order of row id. ret_header (malloc'd) is the packed record.Header; the digest covers header and file. 0,
 * STORE_FULL, or negative. The file is unlinked already: closing the descriptor frees it. */
struct store_snapshot {
	int fd;
	uint64_t bytes, rows;
	uint8_t *header;
	size_t header_bytes;
	raft_index index;
	uint8_t digest[16];
};
int store_snapshot(struct store *store, uint32_t group, struct store_snapshot *ret, struct store_error *error);
/* Index of that checkpoint; 0: there is none. */
raft_index store_get_checkpoint_index(const struct store *store, uint32_t group);

/* Sizes for the log line at start and for status. */
struct store_sizes {
	uint64_t log_bytes, state_bytes; /* files of raft.db and state.db with their WALs */
	uint64_t reserve_bytes;          /* 0: it is in use, or there is none */
};
/* Any thread. */
void store_get_sizes(const struct store *store, struct store_sizes *ret);

#endif
