/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load/floor_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
	HEADER_BYTES = 24,
	PAGE_BYTES = 4096,
	FRAME_BYTES = HEADER_BYTES + PAGE_BYTES,
	FRAMES = 1000, /* the log starts over behind so many */
	MARK_BYTES = 512,
};

static const char zeros[FRAME_BYTES];

static int write_whole(int fd, size_t n, off_t at) {
	ssize_t written = pwrite(fd, zeros, n, at);

	if (written >= 0 && (size_t)written < n)
		errno = ENOSPC;
	return written == (ssize_t)n ? 0 : -1;
}

static int fill(struct floor_disk *disk) {
	for (int i = 0; i < FRAMES; i++)
		if (write_whole(disk->log, FRAME_BYTES, (off_t)i * FRAME_BYTES) < 0)
			return -1;
	if (write_whole(disk->mark, MARK_BYTES, 0) < 0 || fsync(disk->log) < 0 || fsync(disk->mark) < 0)
		return -1;
	return 0;
}

int floor_disk_open(struct floor_disk *disk, const char *folder, int number) {
	int error;

	*disk = (struct floor_disk){.log = -1, .mark = -1};
	(void)snprintf(disk->log_path, sizeof disk->log_path, "%s/floor.%d.%d.log", folder, (int)getpid(), number);
	(void)snprintf(disk->mark_path, sizeof disk->mark_path, "%s/floor.%d.%d.mark", folder, (int)getpid(), number);
	disk->log = open(disk->log_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (disk->log >= 0)
		disk->mark = open(disk->mark_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (disk->mark >= 0 && fill(disk) == 0)
		return 0;
	error = errno;
	floor_disk_close(disk);
	errno = error;
	return -1;
}

void floor_disk_close(struct floor_disk *disk) {
	if (disk->log >= 0) {
		(void)close(disk->log);
		(void)unlink(disk->log_path);
	}
	if (disk->mark >= 0) {
		(void)close(disk->mark);
		(void)unlink(disk->mark_path);
	}
	disk->log = disk->mark = -1;
}

int floor_disk_sync(struct floor_disk *disk) {
	if (write_whole(disk->log, HEADER_BYTES, disk->at) < 0 ||
	    write_whole(disk->log, PAGE_BYTES, disk->at + HEADER_BYTES) < 0 || fdatasync(disk->log) < 0)
		return -1;
	disk->at = (disk->at + FRAME_BYTES) % ((off_t)FRAMES * FRAME_BYTES);
	return write_whole(disk->mark, MARK_BYTES, 0);
}
