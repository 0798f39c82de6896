/* SPDX-License-Identifier: Apache-2.0 */
#include "reserve.h"

#include "failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ZEROS_BYTES = 64 << 10 };

static const char name[] = "reserve";

/* ---- Allocating ---------------------------------------------------------------------------------------------------
 */

/* For file systems without fallocate(): blocks are there once they were written. */
static int reserve_write_zeros(struct reserve *reserve, struct store_error *error) {
	static const uint8_t zeros[ZEROS_BYTES];

	for (uint64_t at = 0; at < reserve->bytes;) {
		size_t n = reserve->bytes - at < ZEROS_BYTES ? (size_t)(reserve->bytes - at) : ZEROS_BYTES;
		ssize_t written = pwrite(reserve->fd, zeros, n, (off_t)at);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return failure_errno(error, "write", reserve->path);
		at += (uint64_t)written;
	}
	return 0;
}

/* A copy of the folder may have the file with holes. */
static bool reserve_has_blocks(const struct reserve *reserve) {
	struct stat stat;

	return fstat(reserve->fd, &stat) == 0 && (uint64_t)stat.st_size == reserve->bytes &&
	       (uint64_t)stat.st_blocks * 512 >= reserve->bytes;
}

static int reserve_open_file(struct reserve *reserve, struct store_error *error) {
	if (reserve->fd >= 0)
		return 0;
	reserve->fd = openat(reserve->folder->fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (reserve->fd < 0)
		return failure_errno(error, "open", reserve->path);
	return folder_sync(reserve->folder, error);
}

static int reserve_take_blocks(struct reserve *reserve, struct store_error *error) {
	int r;

	do
		r = fallocate(reserve->fd, 0, 0, (off_t)reserve->bytes);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return 0;
	return errno == EOPNOTSUPP ? reserve_write_zeros(reserve, error)
				   : failure_errno(error, "allocate", reserve->path);
}

/* Emptied first: it may be of another size by an earlier configuration. */
static int reserve_allocate(struct reserve *reserve, struct store_error *error) {
	int r = reserve_open_file(reserve, error);

	if (r != 0 || reserve_has_blocks(reserve))
		return r;
	if (ftruncate(reserve->fd, 0) < 0)
		return failure_errno(error, "empty", reserve->path);
	r = reserve_take_blocks(reserve, error);
	if (r != 0)
		return r;
	return fsync(reserve->fd) < 0 ? failure_errno(error, "sync", reserve->path) : 0;
}

/* What was allocated before the disk was full goes back: the node needs it more. */
static int reserve_fill(struct reserve *reserve, struct store_error *error) {
	int r = reserve_allocate(reserve, error);
	struct store_error other; /* the first one counts */

	reserve->whole = r == 0;
	if (r == STORE_FULL && reserve_give_up(reserve, &other) < 0)
		return failure(error, -EIO, "%s", other.text);
	return r;
}

static bool reserve_has_room(const struct reserve *reserve) {
	struct statvfs fs;

	return fstatvfs(reserve->folder->fd, &fs) == 0 &&
	       (uint64_t)fs.f_bavail * fs.f_frsize >= reserve->bytes + RESERVE_HEADROOM_BYTES;
}

int reserve_refill(struct reserve *reserve, struct store_error *error) {
	if (reserve->whole)
		return 0;
	if (!reserve_has_room(reserve))
		return failure(error, STORE_FULL, "cannot allocate %s: the disk is full", reserve->path);
	return reserve_fill(reserve, error);
}

/* ---- Giving up ----------------------------------------------------------------------------------------------------
 */

/* Without the sync the blocks may stay taken until the file system commits for another reason. */
int reserve_give_up(struct reserve *reserve, struct store_error *error) {
	if (reserve->fd < 0)
		return 0;
	reserve->whole = false;
	if (ftruncate(reserve->fd, 0) < 0)
		return failure_errno(error, "give up", reserve->path);
	return fsync(reserve->fd) < 0 ? failure_errno(error, "sync", reserve->path) : 0;
}

bool reserve_give_up_unopened(const struct folder *folder) {
	int fd = openat(folder->fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat stat;
	bool given;

	if (fd < 0)
		return false;
	given = fstat(fd, &stat) == 0 && stat.st_size > 0 && ftruncate(fd, 0) == 0 && fsync(fd) == 0;
	close(fd);
	return given;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

static int reserve_remove(struct reserve *reserve, struct store_error *error) {
	if (unlinkat(reserve->folder->fd, name, 0) < 0 && errno != ENOENT)
		return failure_errno(error, "remove", reserve->path);
	reserve->whole = true;
	return 0;
}

int reserve_open(struct reserve *reserve, const struct folder *folder, uint64_t bytes, struct store_error *error) {
	int r;

	*reserve = (struct reserve){.folder = folder, .path = folder_path(folder, name), .fd = -1, .bytes = bytes};
	if (!reserve->path)
		return failure(error, -ENOMEM, "out of memory");
	r = bytes == 0 ? reserve_remove(reserve, error) : reserve_fill(reserve, error);
	if (r == STORE_FULL)
		return 0;
	if (r != 0)
		reserve_close(reserve);
	return r;
}

void reserve_close(struct reserve *reserve) {
	if (!reserve->path)
		return;
	if (reserve->fd >= 0)
		close(reserve->fd);
	free(reserve->path);
	*reserve = (struct reserve){0};
}
