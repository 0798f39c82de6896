/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay.h"

#include "failure.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096 };

/* What has been written hides the file, block by block. */
struct overlay_file {
	sqlite3_file base; /* first: SQLite knows nothing else of it */
	int fd;
	sqlite3_int64 bytes, bytes_below; /* the length that SQLite sees; how much of the file is still visible */
	uint8_t **blocks;                 /* NULL: as in the file */
	size_t n_blocks;
};

static sqlite3_vfs overlay, *beneath;

static struct overlay_file *file_of(sqlite3_file *file) {
	return (struct overlay_file *)file;
}

static int overlay_close(sqlite3_file *base) {
	struct overlay_file *file = file_of(base);

	for (size_t i = 0; i < file->n_blocks; i++)
		free(file->blocks[i]);
	free(file->blocks);
	close(file->fd);
	return SQLITE_OK;
}

/* What the file has of a range; zeros where it has nothing. */
static int overlay_read_below(struct overlay_file *file, uint8_t *out, size_t n, sqlite3_int64 offset) {
	size_t visible = 0;

	if (offset < file->bytes_below)
		visible = (sqlite3_int64)n < file->bytes_below - offset ? n : (size_t)(file->bytes_below - offset);
	memset(out + visible, 0, n - visible);
	for (size_t done = 0; done < visible;) {
		ssize_t got = pread(file->fd, out + done, visible - done, offset + (off_t)done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) /* as SQLite's own files do: what the disk has lost is told from what may pass */
			return got == 0 || errno == EIO ? SQLITE_IOERR_CORRUPTFS : SQLITE_IOERR_READ;
		done += (size_t)got;
	}
	return SQLITE_OK;
}

static uint8_t *block_at(const struct overlay_file *file, size_t number) {
	return number < file->n_blocks ? file->blocks[number] : NULL;
}

static int overlay_read(sqlite3_file *base, void *out, int n, sqlite3_int64 offset) {
	struct overlay_file *file = file_of(base);
	uint8_t *to = out;
	int r = SQLITE_OK, left = n;

	if (offset + n > file->bytes) { /* SQLite wants the rest zeroed, and told */
		int there = offset < file->bytes ? (int)(file->bytes - offset) : 0;

		memset(to + there, 0, (size_t)(n - there));
		left = there;
		r = SQLITE_IOERR_SHORT_READ;
	}
	while (left > 0) {
		size_t number = (size_t)(offset / BLOCK_BYTES), at = (size_t)(offset % BLOCK_BYTES);
		size_t part = BLOCK_BYTES - at < (size_t)left ? BLOCK_BYTES - at : (size_t)left;
		const uint8_t *block = block_at(file, number);
		int failed = SQLITE_OK;

		if (block)
			memcpy(to, block + at, part);
		else
			failed = overlay_read_below(file, to, part, offset);
		if (failed != SQLITE_OK)
			return failed;
		to += part;
		offset += (sqlite3_int64)part;
		left -= (int)part;
	}
	return r;
}

static int overlay_own_block(struct overlay_file *file, size_t number, uint8_t **ret) {
	if (number >= file->n_blocks) {
		size_t n = number + 1 + file->n_blocks / 2;
		uint8_t **blocks = realloc(file->blocks, n * sizeof *blocks);

		if (!blocks)
			return SQLITE_IOERR_NOMEM;
		memset(blocks + file->n_blocks, 0, (n - file->n_blocks) * sizeof *blocks);
		file->blocks = blocks;
		file->n_blocks = n;
	}
	if (!file->blocks[number]) {
		uint8_t *block = malloc(BLOCK_BYTES);
		int r;

		if (!block)
			return SQLITE_IOERR_NOMEM;
		r = overlay_read_below(file, block, BLOCK_BYTES, (sqlite3_int64)number * BLOCK_BYTES);
		if (r != SQLITE_OK) {
			free(block);
			return r;
		}
		file->blocks[number] = block;
	}
	*ret = file->blocks[number];
	return SQLITE_OK;
}

static int overlay_write(sqlite3_file *base, const void *bytes, int n, sqlite3_int64 offset) {
	struct overlay_file *file = file_of(base);
	const uint8_t *from = bytes;

	for (int left = n; left > 0;) {
		size_t at = (size_t)(offset % BLOCK_BYTES);
		size_t part = BLOCK_BYTES - at < (size_t)left ? BLOCK_BYTES - at : (size_t)left;
		uint8_t *block;
		int r = overlay_own_block(file, (size_t)(offset / BLOCK_BYTES), &block);

		if (r != SQLITE_OK)
			return r;
		memcpy(block + at, from, part);
		from += part;
		offset += (sqlite3_int64)part;
		left -= (int)part;
	}
	if (offset > file->bytes)
		file->bytes = offset;
	return SQLITE_OK;
}

/* What is cut off must read as zeros when the file grows again. */
static int overlay_truncate(sqlite3_file *base, sqlite3_int64 bytes) {
	struct overlay_file *file = file_of(base);
	size_t number = (size_t)(bytes / BLOCK_BYTES), at = (size_t)(bytes % BLOCK_BYTES);

	if (bytes < file->bytes_below)
		file->bytes_below = bytes;
	if (block_at(file, number))
		memset(file->blocks[number] + at, 0, BLOCK_BYTES - at);
	for (size_t i = number + 1; i < file->n_blocks; i++) {
		free(file->blocks[i]);
		file->blocks[i] = NULL;
	}
	file->bytes = bytes;
	return SQLITE_OK;
}

static int overlay_sync(sqlite3_file *base, int flags) {
	(void)base;
	(void)flags;
	return SQLITE_OK;
}

static int overlay_size(sqlite3_file *base, sqlite3_int64 *ret) {
	*ret = file_of(base)->bytes;
	return SQLITE_OK;
}

/* Whoever examines a folder holds its lock; there is nobody else. */
static int overlay_lock(sqlite3_file *base, int level) {
	(void)base;
	(void)level;
	return SQLITE_OK;
}

static int overlay_is_reserved(sqlite3_file *base, int *ret) {
	(void)base;
	*ret = 0;
	return SQLITE_OK;
}

static int overlay_control(sqlite3_file *base, int what, void *arg) {
	(void)base;
	if (what == SQLITE_FCNTL_MMAP_SIZE)
		*(sqlite3_int64 *)arg = 0; /* none, whatever was asked for */
	return what == SQLITE_FCNTL_PERSIST_WAL || what == SQLITE_FCNTL_MMAP_SIZE ? SQLITE_OK : SQLITE_NOTFOUND;
}

static int overlay_sector_bytes(sqlite3_file *base) {
	(void)base;
	return BLOCK_BYTES;
}

static int overlay_characteristics(sqlite3_file *base) {
	(void)base;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as SQLite assumes of every disk */
}

/* Version 1: without shared memory, of which a database in exclusive mode has no need. */
static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = overlay_close,
	.xRead = overlay_read,
	.xWrite = overlay_write,
	.xTruncate = overlay_truncate,
	.xSync = overlay_sync,
	.xFileSize = overlay_size,
	.xLock = overlay_lock,
	.xUnlock = overlay_lock,
	.xCheckReservedLock = overlay_is_reserved,
	.xFileControl = overlay_control,
	.xSectorSize = overlay_sector_bytes,
	.xDeviceCharacteristics = overlay_characteristics,
};

static int overlay_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *ret_flags) {
	struct overlay_file *file = file_of(base);
	struct stat stat;

	(void)vfs;
	if (!path || lstat(path, &stat) < 0 || !S_ISLNK(stat.st_mode))
		return beneath->xOpen(beneath, path, base, flags, ret_flags);

	*file = (struct overlay_file){.fd = open(path, O_RDONLY | O_CLOEXEC)};
	if (file->fd < 0)
		return SQLITE_CANTOPEN;
	if (fstat(file->fd, &stat) < 0) {
		close(file->fd);
		return SQLITE_IOERR_FSTAT;
	}
	file->bytes = stat.st_size;
	file->bytes_below = stat.st_size;
	file->base.pMethods = &methods;
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

/* Leaves links in the path as they are: they tell which files to spare. */
static int overlay_full_path(sqlite3_vfs *vfs, const char *path, int n, char *out) {
	size_t bytes = strlen(path) + 1;

	(void)vfs;
	assert(path[0] == '/');
	if (bytes > (size_t)n)
		return SQLITE_CANTOPEN;
	memcpy(out, path, bytes);
	return SQLITE_OK;
}

int overlay_begin(struct store_error *error) {
	beneath = sqlite3_vfs_find(NULL);
	if (!beneath)
		return failure(error, -ENOMEM, "out of memory");
	overlay = *beneath;
	overlay.zName = "lockd-overlay";
	overlay.pNext = NULL;
	overlay.xOpen = overlay_open;
	overlay.xFullPathname = overlay_full_path;
	if (overlay.szOsFile < (int)sizeof(struct overlay_file))
		overlay.szOsFile = sizeof(struct overlay_file);
	if (sqlite3_vfs_register(&overlay, 1) != SQLITE_OK)
		return failure(error, -ENOMEM, "out of memory");
	return 0;
}

void overlay_end(void) {
	(void)sqlite3_vfs_unregister(&overlay); /* cannot fail */
	(void)sqlite3_vfs_register(beneath, 1); /* fails only before SQLite is initialised */
}
