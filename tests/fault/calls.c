/* SPDX-License-Identifier: Apache-2.0 */
/* System calls and their near relations, as the linker hands them over (-Wl,--wrap): those on a medium are answered
 * from it, all others go on to the C library. calls.list names them; calls.sh fails when the store begins to use
 * another. */
#include "mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The linker's names: what is called, and what stands behind it. */
#define CALL(type, name, ...)                                                                                          \
	type __real_##name(__VA_ARGS__);                                                                               \
	type __wrap_##name(__VA_ARGS__);                                                                               \
	type __wrap_##name(__VA_ARGS__)

/* The result of a call from what a medium answers. */
static int answer(int r) {
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

static ssize_t answer_bytes(ssize_t n) {
	if (n >= 0)
		return n;
	errno = (int)-n;
	return -1;
}

/* ---- Names --------------------------------------------------------------------------------------------------------
 */

static mode_t mode_of(int flags, va_list arguments) {
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

int __real_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...) {
	struct mount_place place;
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_of(flags, arguments);
	va_end(arguments);
	if (mount_resolve(fd, path, &place))
		return answer(mount_open(&place, flags));
	return __real_openat(fd, path, flags, mode);
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_of(flags, arguments);
	va_end(arguments);
	return __wrap_openat(AT_FDCWD, path, flags, mode);
}

int __wrap___openat_2(int fd, const char *path, int flags);
int __wrap___openat_2(int fd, const char *path, int flags) {
	return __wrap_openat(fd, path, flags);
}

int __wrap___open_2(const char *path, int flags);
int __wrap___open_2(const char *path, int flags) {
	return __wrap_openat(AT_FDCWD, path, flags);
}

CALL(int, mkostemp, char *path, int flags) {
	static unsigned number;
	struct mount_place place;
	char digits[16];
	size_t n = strlen(path);

	if (!mount_resolve(AT_FDCWD, path, &place))
		return __real_mkostemp(path, flags);
	(void)snprintf(digits, sizeof digits, "%06u", number++ % 1000000);
	memcpy(path + n - 6, digits, 6);
	return answer(mount_open(&place, flags | O_RDWR | O_CREAT | O_EXCL));
}

CALL(int, mkdirat, int fd, const char *path, mode_t mode) {
	struct mount_place place;

	if (mount_resolve(fd, path, &place))
		return answer(medium_make_folder(place.medium, place.folder, place.path));
	return __real_mkdirat(fd, path, mode);
}

CALL(int, mkdir, const char *path, mode_t mode) {
	struct mount_place place;

	if (mount_resolve(AT_FDCWD, path, &place))
		return answer(medium_make_folder(place.medium, place.folder, place.path));
	return __real_mkdir(path, mode);
}

CALL(int, unlinkat, int fd, const char *path, int flags) {
	struct mount_place place;

	if (mount_resolve(fd, path, &place))
		return answer(medium_remove(place.medium, place.folder, place.path, (flags & AT_REMOVEDIR) != 0));
	return __real_unlinkat(fd, path, flags);
}

CALL(int, unlink, const char *path) {
	struct mount_place place;

	if (mount_resolve(AT_FDCWD, path, &place))
		return answer(medium_remove(place.medium, place.folder, place.path, false));
	return __real_unlink(path);
}

CALL(int, renameat, int fd, const char *path, int to_fd, const char *to_path) {
	struct mount_place from, to;
	bool is_ours = mount_resolve(fd, path, &from), goes_to_us = mount_resolve(to_fd, to_path, &to);

	if (!is_ours && !goes_to_us)
		return __real_renameat(fd, path, to_fd, to_path);
	if (!is_ours || !goes_to_us || from.medium != to.medium)
		return answer(-EXDEV);
	return answer(medium_rename(from.medium, from.folder, from.path, to.folder, to.path));
}

CALL(int, faccessat, int fd, const char *path, int mode, int flags) {
	struct mount_place place;
	int file;

	if (!mount_resolve(fd, path, &place))
		return __real_faccessat(fd, path, mode, flags);
	file = medium_find(place.medium, place.folder, place.path);
	return answer(file < 0 ? file : 0);
}

/* ---- What a file is -----------------------------------------------------------------------------------------------
 */

static int answer_stat(const struct medium *medium, int file, struct stat *ret) {
	if (file < 0)
		return answer(file);
	*ret = (struct stat){
		.st_mode = medium_is_folder(medium, file) ? S_IFDIR | 0700 : S_IFREG | 0600,
		.st_ino = (ino_t)file + 1,
		.st_nlink = 1,
		.st_uid = geteuid(),
		.st_gid = getegid(),
		.st_size = (off_t)medium_get_bytes(medium, file),
		.st_blksize = 4096,
		.st_blocks = (blkcnt_t)((medium_get_bytes(medium, file) + 511) / 512),
	};
	return 0;
}

CALL(int, fstatat, int fd, const char *path, struct stat *ret, int flags) {
	struct mount_place place;

	if (!mount_resolve(fd, path, &place))
		return __real_fstatat(fd, path, ret, flags);
	return answer_stat(place.medium, medium_find(place.medium, place.folder, place.path), ret);
}

CALL(int, fstat, int fd, struct stat *ret) {
	struct mount_file *file = mount_get(fd);

	return file ? answer_stat(file->medium, file->file, ret) : __real_fstat(fd, ret);
}

CALL(int, fstatvfs, int fd, struct statvfs *ret) {
	struct mount_file *file = mount_get(fd);

	if (!file)
		return __real_fstatvfs(fd, ret);
	*ret = (struct statvfs){
		.f_bsize = 4096,
		.f_frsize = 1,
		.f_blocks = (fsblkcnt_t)(medium_get_used(file->medium) + medium_get_room(file->medium)),
		.f_bfree = (fsblkcnt_t)medium_get_room(file->medium),
		.f_bavail = (fsblkcnt_t)medium_get_room(file->medium),
		.f_namemax = 63,
	};
	return 0;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...) {
	struct mount_file *file = mount_get(fd);
	va_list arguments;
	void *argument;

	va_start(arguments, command);
	argument = va_arg(arguments, void *); /* an int, or nothing, comes through as well, as in the C library */
	va_end(arguments);
	if (!file)
		return __real_fcntl(fd, command, argument);
	if (command == F_OFD_SETLK && ((struct flock *)argument)->l_type == F_UNLCK)
		mount_unlock(fd);
	else if (command == F_OFD_SETLK && !mount_lock(fd))
		return answer(-EAGAIN);
	return 0;
}

/* ---- Bytes --------------------------------------------------------------------------------------------------------
 */

CALL(int, close, int fd) {
	if (!mount_get(fd))
		return __real_close(fd);
	mount_close(fd);
	return 0;
}

CALL(ssize_t, pread, int fd, void *ret, size_t n, off_t offset) {
	struct mount_file *file = mount_get(fd);

	if (!file)
		return __real_pread(fd, ret, n, offset);
	return answer_bytes(medium_read(file->medium, file->file, ret, n, (uint64_t)offset));
}

CALL(ssize_t, read, int fd, void *ret, size_t n) {
	struct mount_file *file = mount_get(fd);
	ssize_t got;

	if (!file)
		return __real_read(fd, ret, n);
	got = medium_read(file->medium, file->file, ret, n, file->offset);
	if (got > 0)
		file->offset += (uint64_t)got;
	return answer_bytes(got);
}

ssize_t __wrap___pread_chk(int fd, void *ret, size_t n, off_t offset, size_t room);
ssize_t __wrap___pread_chk(int fd, void *ret, size_t n, off_t offset, size_t room) {
	if (n > room)
		abort();
	return __wrap_pread(fd, ret, n, offset);
}

ssize_t __wrap___read_chk(int fd, void *ret, size_t n, size_t room);
ssize_t __wrap___read_chk(int fd, void *ret, size_t n, size_t room) {
	if (n > room)
		abort();
	return __wrap_read(fd, ret, n);
}

CALL(ssize_t, pwrite, int fd, const void *bytes, size_t n, off_t offset) {
	struct mount_file *file = mount_get(fd);

	if (!file)
		return __real_pwrite(fd, bytes, n, offset);
	return answer_bytes(medium_write(file->medium, file->file, bytes, n, (uint64_t)offset));
}

CALL(ssize_t, write, int fd, const void *bytes, size_t n) {
	struct mount_file *file = mount_get(fd);
	ssize_t done;

	if (!file)
		return __real_write(fd, bytes, n);
	if (file->append)
		file->offset = medium_get_bytes(file->medium, file->file);
	done = medium_write(file->medium, file->file, bytes, n, file->offset);
	if (done > 0)
		file->offset += (uint64_t)done;
	return answer_bytes(done);
}

static int print(int fd, const char *format, va_list arguments) {
	char *text;
	int n = vasprintf(&text, format, arguments), done = 0;

	if (n < 0)
		return -1;
	while (done < n) {
		ssize_t part = __wrap_write(fd, text + done, (size_t)(n - done));
		if (part < 0)
			break;
		done += (int)part;
	}
	free(text);
	return done < n ? -1 : n;
}

int __wrap_dprintf(int fd, const char *format, ...);
int __wrap_dprintf(int fd, const char *format, ...) {
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = print(fd, format, arguments);
	va_end(arguments);
	return n;
}

int __wrap___dprintf_chk(int fd, int flag, const char *format, ...);
int __wrap___dprintf_chk(int fd, int flag, const char *format, ...) {
	va_list arguments;
	int n;

	(void)flag;
	va_start(arguments, format);
	n = print(fd, format, arguments);
	va_end(arguments);
	return n;
}

CALL(int, ftruncate, int fd, off_t bytes) {
	struct mount_file *file = mount_get(fd);

	return file ? answer(medium_truncate(file->medium, file->file, (uint64_t)bytes)) : __real_ftruncate(fd, bytes);
}

CALL(int, posix_fallocate, int fd, off_t offset, off_t n) {
	struct mount_file *file = mount_get(fd);

	if (!file)
		return __real_posix_fallocate(fd, offset, n);
	return -medium_allocate(file->medium, file->file, (uint64_t)offset, (uint64_t)n);
}

CALL(int, fallocate, int fd, int mode, off_t offset, off_t n) {
	struct mount_file *file = mount_get(fd);

	if (!file)
		return __real_fallocate(fd, mode, offset, n);
	return mode ? answer(-EOPNOTSUPP)
		    : answer(medium_allocate(file->medium, file->file, (uint64_t)offset, (uint64_t)n));
}

CALL(int, fsync, int fd) {
	struct mount_file *file = mount_get(fd);

	return file ? answer(medium_sync(file->medium, file->file)) : __real_fsync(fd);
}

CALL(int, fdatasync, int fd) {
	struct mount_file *file = mount_get(fd);

	return file ? answer(medium_sync(file->medium, file->file)) : __real_fdatasync(fd);
}

CALL(ssize_t, getrandom, void *ret, size_t n, unsigned flags) {
	if (mount_is_random())
		return __real_getrandom(ret, n, flags);
	mount_random(ret, n);
	return (ssize_t)n;
}

/* ---- Folders ------------------------------------------------------------------------------------------------------
 */

enum { STREAMS_MAX = 8 };

/* A DIR is opaque: ours is the address of one of these. */
static struct stream {
	bool open;
	int fd;
	size_t position;
	struct dirent entry;
} streams[STREAMS_MAX];

static struct stream *stream_of(DIR *folder) {
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if ((void *)folder == (void *)&streams[i])
			return &streams[i];
	return NULL;
}

CALL(DIR *, fdopendir, int fd) {
	if (!mount_get(fd))
		return __real_fdopendir(fd);
	for (size_t i = 0; i < STREAMS_MAX; i++) {
		if (streams[i].open)
			continue;
		streams[i] = (struct stream){.open = true, .fd = fd};
		return (DIR *)(void *)&streams[i];
	}
	errno = EMFILE;
	return NULL;
}

CALL(struct dirent *, readdir, DIR *folder) {
	struct stream *stream = stream_of(folder);
	struct mount_file *file;
	const char *name;

	if (!stream)
		return __real_readdir(folder);
	file = mount_get(stream->fd);
	name = medium_get_name(file->medium, file->file, stream->position++);
	if (!name)
		return NULL;
	(void)snprintf(stream->entry.d_name, sizeof stream->entry.d_name, "%s", name);
	stream->entry.d_type = DT_UNKNOWN;
	return &stream->entry;
}

CALL(int, closedir, DIR *folder) {
	struct stream *stream = stream_of(folder);

	if (!stream)
		return __real_closedir(folder);
	stream->open = false;
	return __wrap_close(stream->fd);
}
