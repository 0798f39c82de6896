/* SPDX-License-Identifier: Apache-2.0 */
/* Where media stand in the tree of files, and the descriptors of what is open on them.
 *
 * A program that is linked with the library `medium` finds a mounted medium under its path with the calls listed in
 * calls.list, and with SQLite; everything else goes to the system. Copies of one medium may be mounted side by side. */
#ifndef TESTS_FAULT_MOUNT_H
#define TESTS_FAULT_MOUNT_H

#include "medium.h"

#define MOUNT_ROOT "/medium/" /* of all paths; nothing of the kind exists on the machine */

/* `path` begins with MOUNT_ROOT and has one more name. */
void mount_add(const char *path, struct medium *medium);
/* Open descriptors are closed: the process that held them has died. */
void mount_remove(struct medium *medium);

/* Chance (store uuids, salts of the WAL) comes from the seed from now on. */
void mount_seed(uint64_t seed);

/* ---- For calls.c and vfs.c -------------------------------------------------------------------------------------------
 */

struct mount_place {
	struct medium *medium;
	int folder;
	const char *path; /* below the folder */
};
/* Where a path leads; false: not to a medium. `fd` as for openat(2). */
bool mount_resolve(int fd, const char *path, struct mount_place *ret);

struct mount_file {
	struct medium *medium; /* NULL: free */
	int file;
	uint64_t offset;
	bool append, locked;
};
/* NULL: not one of ours. */
struct mount_file *mount_get(int fd);
/* Opens and returns a descriptor, or a negative errno. */
int mount_open(const struct mount_place *place, int flags);
void mount_close(int fd);
/* false: another descriptor has it. */
bool mount_lock(int fd);
void mount_unlock(int fd);
void mount_random(void *ret, size_t n);
/* No seed was given: ask the system. */
bool mount_is_random(void);

#endif
