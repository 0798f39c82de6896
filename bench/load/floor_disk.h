/* SPDX-License-Identifier: Apache-2.0 */
/* What a commit of lockd costs the disk, and nothing else: the log's frame of 24 and 4096 bytes in a preallocated file
 * that is written round and round, one fdatasync, and 512 bytes in another file that nobody waits for. */
#ifndef BENCH_LOAD_FLOOR_DISK_H
#define BENCH_LOAD_FLOOR_DISK_H

#include <limits.h>
#include <sys/types.h>

struct floor_disk {
	int log, mark;
	off_t at;
	char log_path[PATH_MAX], mark_path[PATH_MAX];
};

/* Makes the files in `folder`, written and synced to their full length. -1: errno says why; nothing is left. */
int floor_disk_open(struct floor_disk *disk, const char *folder, int number);
/* Removes them. */
void floor_disk_close(struct floor_disk *disk);

/* -1: errno says why. */
int floor_disk_sync(struct floor_disk *disk);

#endif
