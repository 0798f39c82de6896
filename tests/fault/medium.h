/* SPDX-License-Identifier: Apache-2.0 */
/* A disk in memory, with the faults of real ones.
 *
 * For every file it keeps what is read back (the page cache), what is durable, and the changes in between, in order; for names
 * likewise. A sync of a file makes its bytes and its size durable, not its name; a sync of a folder makes the names in it
 * durable, and nothing else does. A rename is one step, durable when both folders are synced. This is what POSIX allows, and
 * more than the usual file systems do.
 *
 * Whatever changes something is a point, numbered from 1, and a watcher is called before it. The usual watcher takes a
 * copy, to be cut and opened later: a copy shares what has not changed since. medium_cut() says what a power cut may leave.
 *
 * Faults are armed for the n-th operation that they fit and count where they bit: a run in which none did shows nothing.
 * What a device does wrong (a flipped bit, a lost or misdirected write, a sync that lies) shows only when the
 * page cache is gone, that is in a copy or a cut.
 *
 * Files are numbers here. How programs get at them: mount.h, for descriptors and paths, and vfs.h, for SQLite. One thread. */
#ifndef TESTS_FAULT_MEDIUM_H
#define TESTS_FAULT_MEDIUM_H

#include "content.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
	MEDIUM_SECTOR_BYTES = 512, /* written whole or not at all */
	MEDIUM_ROOT = 0,           /* the file that is the topmost folder */
};

enum medium_kind {
	MEDIUM_READ = 1 << 0,
	MEDIUM_WRITE = 1 << 1,
	MEDIUM_SYNC = 1 << 2, /* of a file or a folder */
	MEDIUM_TRUNCATE = 1 << 3,
	MEDIUM_CREATE = 1 << 4, /* of a file or a folder */
	MEDIUM_REMOVE = 1 << 5,
	MEDIUM_RENAME = 1 << 6,
};

struct medium_operation {
	enum medium_kind kind;
	uint64_t point; /* 0: changes nothing */
	const char *file; /* its last name */
	uint64_t offset;
	size_t n;
};

enum medium_harm {
	/* Errors. Nothing is done, but for the first sectors of a short write. */
	MEDIUM_EIO,
	MEDIUM_ENOSPC,
	MEDIUM_SHORT, /* a write, whose rest finds the disk full */
	/* Success is reported. */
	MEDIUM_FLIP,          /* a write: one bit is stored wrong; a read: one bit has turned since, for good */
	MEDIUM_MISDIRECT,     /* a write lands in another place of the file */
	MEDIUM_MISDIRECT_FILE, /* … or of another file */
	MEDIUM_LOST,          /* a write or sync is not done */
	MEDIUM_STALE,         /* a read sees sectors as they were before their latest write, this once */
	MEDIUM_SLOW,          /* takes `usec` longer */
};

/* Owned by who arms it; armed until medium_disarm(). */
struct medium_fault {
	enum medium_harm harm;
	unsigned kinds;         /* of operations, or'ed */
	const char *file;       /* last name; NULL: all */
	uint64_t first, times;  /* fitting operations to let pass, then to harm; UINT64_MAX: all that follow */
	uint64_t seed, usec;
	uint64_t met, bit;      /* fitting operations so far, and those that did come out differently */
	struct medium_fault *next;
};

/* What an operation costs, in virtual time. */
struct medium_latency {
	uint64_t read_usec, write_usec, sync_usec, kib_usec;
};

struct medium;
typedef void medium_watch(void *context, struct medium *medium, const struct medium_operation *operation);

struct medium *medium_new(void);
struct medium *medium_free(struct medium *medium);
/* As the end of the process would leave it: no open files, faults or watcher; unsynced changes stay unsynced. */
struct medium *medium_copy(const struct medium *medium);

enum medium_policy {
	MEDIUM_LOSE_ALL,    /* that was not synced */
	MEDIUM_KEEP_ALL,
	MEDIUM_KEEP_PREFIX, /* changes up to a random one, over all files and names */
	MEDIUM_KEEP_SUBSET, /* each change whole or not at all */
	MEDIUM_TEAR,        /* each sector, size and name for itself */
	MEDIUM_POLICIES,
};
/* As a power cut would leave it. A sector that is kept holds all that was written to it before, since the page cache has it
 * once; what a file has gained in size without bytes is zeros. */
struct medium *medium_cut(const struct medium *medium, enum medium_policy policy, uint64_t seed);
/* Of names and bytes that are read back, to tell equal ones. */
uint64_t medium_hash(const struct medium *medium);

void medium_set_watch(struct medium *medium, medium_watch *watch, void *context);
uint64_t medium_get_points(const struct medium *medium);
void medium_arm(struct medium *medium, struct medium_fault *fault);
void medium_disarm(struct medium *medium, struct medium_fault *fault);
/* While true, faults neither strike nor count: the test itself has a look. */
void medium_set_harmless(struct medium *medium, bool harmless);
void medium_set_latency(struct medium *medium, const struct medium_latency *latency);
uint64_t medium_get_elapsed_usec(const struct medium *medium);
/* Room for the bytes of all files together; 0: endless. */
void medium_set_capacity(struct medium *medium, uint64_t bytes);
uint64_t medium_get_used(const struct medium *medium);
uint64_t medium_get_room(const struct medium *medium); /* what is left of it */

/* ---- Files: 0 or a number if it went well, otherwise a negative errno ------------------------------------------------ */

/* Paths are relative to `folder`. `flags` as for open(2); the file stays until it is closed as often. */
int medium_open(struct medium *medium, int folder, const char *path, int flags);
void medium_close(struct medium *medium, int file);
int medium_find(const struct medium *medium, int folder, const char *path);
bool medium_is_folder(const struct medium *medium, int file);
uint64_t medium_get_bytes(const struct medium *medium, int file);
/* The names in a folder, by position; NULL: no more. Borrowed until a name changes. */
const char *medium_get_name(const struct medium *medium, int folder, size_t position);

ssize_t medium_read(struct medium *medium, int file, void *ret, size_t n, uint64_t offset);
ssize_t medium_write(struct medium *medium, int file, const void *bytes, size_t n, uint64_t offset);
int medium_truncate(struct medium *medium, int file, uint64_t bytes);
/* Room for n bytes from `offset`, as fallocate(2) without flags. */
int medium_allocate(struct medium *medium, int file, uint64_t offset, uint64_t n);
int medium_sync(struct medium *medium, int file);
int medium_make_folder(struct medium *medium, int folder, const char *path);
int medium_remove(struct medium *medium, int folder, const char *path, bool is_folder);
int medium_rename(struct medium *medium, int folder, const char *path, int to_folder, const char *to_path);

/* One file's bytes changed behind everybody's back: a bit that turns while nobody looks. */
void medium_rot(struct medium *medium, int file, uint64_t offset, uint8_t mask);

#endif
