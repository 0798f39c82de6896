/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken from SQLite's os_unix.c, since durability hangs on it: writes are repeated until all is written or
 * nothing more goes, a full disk is SQLITE_FULL; the first sync of a WAL or journal that was created also syncs the
 * folder, and so does the removal of a journal. The size of a sector and the promise that a write leaves its neighbours
 * alone are those of Linux, too, or SQLite would pad the WAL. */
#include "vfs.h"

#include "mount.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VFS_SECTOR_BYTES = 4096 };

struct vfs_file {
	sqlite3_file base;
	int fd;
	char *path;
	bool sync_folder; /* its name is not durable */
	bool persist_wal;
};

static sqlite3_vfs *below;
static int last_errno;

static int vfs_fail(int code, int cause) {
	last_errno = -cause;
	return code;
}

static struct mount_file *vfs_at(sqlite3_file *file) {
	return mount_get(((struct vfs_file *)file)->fd);
}

/* ---- A file -------------------------------------------------------------------------------------------------------
 */

static int vfs_close(sqlite3_file *base) {
	struct vfs_file *file = (struct vfs_file *)base;

	mount_close(file->fd);
	free(file->path);
	return SQLITE_OK;
}

static int vfs_read(sqlite3_file *base, void *ret, int n, sqlite3_int64 offset) {
	struct mount_file *at = vfs_at(base);
	ssize_t got = medium_read(at->medium, at->file, ret, (size_t)n, (uint64_t)offset);

	if (got < 0)
		return vfs_fail(got == -EIO ? SQLITE_IOERR_CORRUPTFS : SQLITE_IOERR_READ, (int)got);
	if (got == n)
		return SQLITE_OK;
	memset((uint8_t *)ret + got, 0, (size_t)(n - got));
	return vfs_fail(SQLITE_IOERR_SHORT_READ, 0);
}

static int vfs_write(sqlite3_file *base, const void *bytes, int n, sqlite3_int64 offset) {
	struct mount_file *at = vfs_at(base);

	for (int done = 0; done < n;) {
		ssize_t part = medium_write(at->medium, at->file, (const uint8_t *)bytes + done, (size_t)(n - done),
					    (uint64_t)(offset + done));
		if (part < 0)
			return vfs_fail(part == -ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE, (int)part);
		done += (int)part;
	}
	return SQLITE_OK;
}

static int vfs_truncate(sqlite3_file *base, sqlite3_int64 bytes) {
	struct mount_file *at = vfs_at(base);
	int r = medium_truncate(at->medium, at->file, (uint64_t)bytes);

	return r < 0 ? vfs_fail(SQLITE_IOERR_TRUNCATE, r) : SQLITE_OK;
}

static int vfs_sync_folder_of(const char *path) {
	char *folder = strdup(path);
	struct mount_place place;
	int r;

	assert(folder);
	*strrchr(folder, '/') = '\0';
	r = mount_resolve(AT_FDCWD, folder, &place) ? medium_find(place.medium, place.folder, place.path) : -ENOENT;
	if (r >= 0)
		r = medium_sync(place.medium, r);
	free(folder);
	return r;
}

static int vfs_sync(sqlite3_file *base, int flags) {
	struct vfs_file *file = (struct vfs_file *)base;
	struct mount_file *at = vfs_at(base);
	int r = medium_sync(at->medium, at->file);

	(void)flags;
	if (r < 0)
		return vfs_fail(SQLITE_IOERR_FSYNC, r);
	if (file->sync_folder) {
		(void)vfs_sync_folder_of(file->path); /* os_unix.c ignores a failure as well */
		file->sync_folder = false;
	}
	return SQLITE_OK;
}

static int vfs_file_size(sqlite3_file *base, sqlite3_int64 *ret) {
	struct mount_file *at = vfs_at(base);

	*ret = (sqlite3_int64)medium_get_bytes(at->medium, at->file);
	return SQLITE_OK;
}

/* The lock of the folder keeps others out. */
static int vfs_lock(sqlite3_file *base, int level) {
	(void)base;
	(void)level;
	return SQLITE_OK;
}

static int vfs_check_reserved_lock(sqlite3_file *base, int *ret) {
	(void)base;
	*ret = 0;
	return SQLITE_OK;
}

static int vfs_file_control(sqlite3_file *base, int operation, void *argument) {
	struct vfs_file *file = (struct vfs_file *)base;
	int *flag = argument;

	if (operation == SQLITE_FCNTL_MMAP_SIZE) {
		*(sqlite3_int64 *)argument = 0; /* never mapped: faults would pass by unseen */
		return SQLITE_OK;
	}
	if (operation != SQLITE_FCNTL_PERSIST_WAL)
		return SQLITE_NOTFOUND;
	if (*flag < 0)
		*flag = file->persist_wal;
	else
		file->persist_wal = *flag != 0;
	return SQLITE_OK;
}

static int vfs_sector_size(sqlite3_file *base) {
	(void)base;
	return VFS_SECTOR_BYTES;
}

static int vfs_device_characteristics(sqlite3_file *base) {
	(void)base;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1, /* without shared memory: databases are opened exclusively */
	.xClose = vfs_close,
	.xRead = vfs_read,
	.xWrite = vfs_write,
	.xTruncate = vfs_truncate,
	.xSync = vfs_sync,
	.xFileSize = vfs_file_size,
	.xLock = vfs_lock,
	.xUnlock = vfs_lock,
	.xCheckReservedLock = vfs_check_reserved_lock,
	.xFileControl = vfs_file_control,
	.xSectorSize = vfs_sector_size,
	.xDeviceCharacteristics = vfs_device_characteristics,
};

/* ---- The file system ----------------------------------------------------------------------------------------------
 */

static int vfs_open_here(const struct mount_place *place, const char *path, struct vfs_file *file, int flags) {
	bool exists = medium_find(place->medium, place->folder, place->path) >= 0;

	*file = (struct vfs_file){.path = strdup(path)};
	assert(file->path);
	file->fd = mount_open(place, ((flags & SQLITE_OPEN_READONLY) ? O_RDONLY : O_RDWR) |
					     ((flags & SQLITE_OPEN_CREATE) ? O_CREAT : 0) |
					     ((flags & SQLITE_OPEN_EXCLUSIVE) ? O_EXCL : 0));
	if (file->fd < 0) {
		free(file->path);
		return vfs_fail(SQLITE_CANTOPEN, file->fd);
	}
	file->sync_folder =
		!exists && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL));
	file->base.pMethods = &methods;
	return SQLITE_OK;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret_flags) {
	struct mount_place place;
	int r;

	(void)vfs;
	file->pMethods = NULL;
	if (!path || !mount_resolve(AT_FDCWD, path, &place))
		return below->xOpen(below, path, file, flags, ret_flags);
	r = vfs_open_here(&place, path, (struct vfs_file *)file, flags);
	if (r == SQLITE_OK && ret_flags)
		*ret_flags = flags;
	return r;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_folder) {
	struct mount_place place;
	int r;

	(void)vfs;
	if (!mount_resolve(AT_FDCWD, path, &place))
		return below->xDelete(below, path, sync_folder);
	r = medium_remove(place.medium, place.folder, place.path, false);
	if (r < 0)
		return vfs_fail(r == -ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE, r);
	if (sync_folder && vfs_sync_folder_of(path) < 0)
		return vfs_fail(SQLITE_IOERR_DIR_FSYNC, -EIO);
	return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret) {
	struct mount_place place;
	int file;

	(void)vfs;
	if (!mount_resolve(AT_FDCWD, path, &place))
		return below->xAccess(below, path, flags, ret);
	file = medium_find(place.medium, place.folder, place.path);
	*ret = file >= 0 && (flags != SQLITE_ACCESS_EXISTS || medium_get_bytes(place.medium, file) > 0);
	return SQLITE_OK;
}

static int vfs_full_pathname(sqlite3_vfs *vfs, const char *path, int n, char *ret) {
	struct mount_place place;

	(void)vfs;
	if (!mount_resolve(AT_FDCWD, path, &place))
		return below->xFullPathname(below, path, n, ret);
	return snprintf(ret, (size_t)n, "%s", path) < n ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *vfs, int n, char *ret) {
	(void)vfs;
	if (mount_is_random())
		return below->xRandomness(below, n, ret);
	mount_random(ret, (size_t)n);
	return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int usec) {
	(void)vfs;
	return below->xSleep(below, usec);
}

static int vfs_current_time(sqlite3_vfs *vfs, double *ret) {
	(void)vfs;
	return below->xCurrentTime(below, ret);
}

static int vfs_get_last_error(sqlite3_vfs *vfs, int n, char *ret) {
	(void)vfs;
	(void)n;
	(void)ret;
	return last_errno;
}

static sqlite3_vfs vfs_medium = {
	.iVersion = 1,
	.mxPathname = 512,
	.zName = "medium",
	.xOpen = vfs_open,
	.xDelete = vfs_delete,
	.xAccess = vfs_access,
	.xFullPathname = vfs_full_pathname,
	.xRandomness = vfs_randomness,
	.xSleep = vfs_sleep,
	.xCurrentTime = vfs_current_time,
	.xGetLastError = vfs_get_last_error,
};

void vfs_register(void) {
	if (below)
		return;
	below = sqlite3_vfs_find(NULL);
	assert(below);
	vfs_medium.szOsFile =
		below->szOsFile > (int)sizeof(struct vfs_file) ? below->szOsFile : (int)sizeof(struct vfs_file);
	(void)sqlite3_vfs_register(&vfs_medium,
				   1); /* fails only without memory, and then opening a path of ours fails */
}

void vfs_forget_chance(void) {
	sqlite3_randomness(0, NULL);
}
