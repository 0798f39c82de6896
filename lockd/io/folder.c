/* SPDX-License-Identifier: Apache-2.0 */
#include "folder.h"

#include "failure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int folder_refuse_second(const struct folder *folder, struct store_error *error) {
	char pid[32] = "";
	ssize_t n = pread(folder->lock_fd, pid, sizeof pid - 1, 0);

	pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
	return failure(error, -EBUSY, "the data folder %s is in use by process %s: one process at a time may have it",
		       folder->path, *pid ? pid : "(unknown)");
}

/* For the message above alone: where a full disk has no room for it, it is left out. Written over what is there, it
 * needs no room. */
static int folder_write_pid(const struct folder *folder, struct store_error *error) {
	char pid[32];
	int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());

	if (pwrite(folder->lock_fd, pid, (size_t)n, 0) < 0 && errno != ENOSPC)
		return failure_errno(error, "write the file 'lock' in", folder->path);
	if (ftruncate(folder->lock_fd, n) < 0)
		return failure_errno(error, "shorten the file 'lock' in", folder->path);
	return 0;
}

/* An open file description lock: it goes with the process however it dies, and, other than a classic POSIX lock, is not
 * lost when some library closes another descriptor of the same file. */
static int folder_lock(struct folder *folder, struct store_error *error) {
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	folder->lock_fd = openat(folder->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (folder->lock_fd < 0)
		return failure_errno(error, "open the file 'lock' in", folder->path);

	if (fcntl(folder->lock_fd, F_OFD_SETLK, &lock) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			return folder_refuse_second(folder, error);
		return failure_errno(error, "lock", folder->path);
	}
	return folder_write_pid(folder, error);
}

static int folder_try_open(struct folder *folder, struct store_error *error) {
	if (mkdir(folder->path, 0700) < 0 && errno != EEXIST)
		return failure_errno(error, "create the data folder", folder->path);

	folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd < 0)
		return failure_errno(error, "open the data folder", folder->path);
	return folder_lock(folder, error);
}

int folder_open(struct folder *folder, const char *path, struct store_error *error) {
	int r;

	*folder = (struct folder){.path = strdup(path), .fd = -1, .lock_fd = -1};
	if (!folder->path)
		return failure(error, -ENOMEM, "out of memory");

	r = folder_try_open(folder, error);
	if (r != 0)
		folder_close(folder);
	return r;
}

void folder_close(struct folder *folder) {
	if (!folder->path)
		return;
	if (folder->fd >= 0)
		close(folder->fd);
	if (folder->lock_fd >= 0)
		close(folder->lock_fd);
	free(folder->path);
	*folder = (struct folder){0};
}

char *folder_path(const struct folder *folder, const char *name) {
	char *path;

	return asprintf(&path, "%s/%s", folder->path, name) < 0 ? NULL : path;
}

int folder_find(const struct folder *folder, const char *name, bool *ret, struct store_error *error) {
	char what[64];

	*ret = faccessat(folder->fd, name, F_OK, 0) == 0;
	if (*ret || errno == ENOENT)
		return 0;
	(void)snprintf(what, sizeof what, "look for the file '%s' in", name);
	return failure_errno(error, what, folder->path);
}

bool folder_has(const struct folder *folder, const char *name) {
	struct store_error error;
	bool has;

	return folder_find(folder, name, &has, &error) == 0 && has;
}

uint64_t folder_file_bytes(const struct folder *folder, const char *name) {
	struct stat stat;

	return fstatat(folder->fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)stat.st_size : 0;
}

int folder_require(const struct folder *folder, const char *name, struct store_error *error) {
	struct stat stat;

	if (fstatat(folder->fd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? failure(error, -EBADMSG, "%s/%s is missing", folder->path, name)
				       : failure_errno(error, "examine the files of", folder->path);
	if (stat.st_size == 0)
		return failure(error, -EBADMSG, "%s/%s is damaged: it is empty", folder->path, name);
	return 0;
}

int folder_sync(const struct folder *folder, struct store_error *error) {
	if (fsync(folder->fd) < 0)
		return failure_errno(error, "sync the data folder", folder->path);
	return 0;
}

int folder_sync_name(const struct folder *folder, struct store_error *error) {
	int fd = openat(folder->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0) /* closed to us: then somebody else has made our folder, and had time to sync it */
		return errno == EACCES ? 0 : failure_errno(error, "open the folder above", folder->path);
	if (fsync(fd) < 0)
		r = failure_errno(error, "sync the folder above", folder->path);
	close(fd);
	return r;
}

int folder_write_line(const struct folder *folder, const char *name, const char *line, struct store_error *error) {
	int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r = 0;

	if (fd < 0)
		return failure_errno(error, "create a file in", folder->path);
	if (dprintf(fd, "%s\n", line) < 0 || fsync(fd) < 0)
		r = failure_errno(error, "write a file in", folder->path);
	close(fd);
	return fsync(folder->fd) < 0 && r == 0 ? failure_errno(error, "sync the data folder", folder->path) : r;
}

void folder_read_line(const struct folder *folder, const char *name, char *ret, size_t ret_bytes) {
	int fd = openat(folder->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? 0 : read(fd, ret, ret_bytes - 1);

	if (fd >= 0)
		close(fd);
	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

int folder_remove(const struct folder *folder, const char *name, struct store_error *error) {
	if (unlinkat(folder->fd, name, 0) < 0 && errno != ENOENT)
		return failure_errno(error, "remove a file of an unfinished creation in", folder->path);
	return 0;
}

/* ---- Claiming -----------------------------------------------------------------------------------------------------
 */

/* What may be in a folder that counts as empty: the lock that says whose it is, and what ext4 puts into the root of a
 * file system. */
static bool folder_is_part(const char *name, const char *mark) {
	static const char *const parts[] = {".", "..", "lock", "lost+found"};

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (strcmp(name, parts[i]) == 0)
			return true;
	return strcmp(name, mark) == 0;
}

/* A name of something else; malloc'd, NULL: there is nothing else. Takes the descriptor. */
static int folder_find_other(int fd, const char *path, const char *mark, char **ret, struct store_error *error) {
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		int r = failure_errno(error, "list the folder", path);

		if (fd >= 0)
			close(fd);
		return r;
	}
	do
		entry = readdir(dir);
	while (entry && folder_is_part(entry->d_name, mark));
	*ret = entry ? strdup(entry->d_name) : NULL;
	closedir(dir);
	return 0;
}

static int folder_refuse_other(const char *path, const char *name, struct store_error *error) {
	return failure(error, -EEXIST, "%s is not empty: it holds %s; name a folder that is empty or does not exist",
		       path, name);
}

int folder_check_claim(const char *path, const char *mark, struct store_error *error) {
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	bool marked = fd >= 0 && faccessat(fd, mark, F_OK, 0) == 0;
	char *other = NULL;

	if (fd < 0 && errno == ENOENT)
		return 0;
	r = folder_find_other(fd, path, mark, &other, error);
	if (r == 0 && other && !marked)
		r = folder_refuse_other(path, other, error);
	free(other);
	return r;
}

/* Of the folder itself, for a list of its names from the first one on. */
static int folder_reopen(const struct folder *folder) {
	return openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int folder_empty(const struct folder *folder, const char *mark, struct store_error *error) {
	char *other = NULL;
	int r;

	do {
		free(other);
		other = NULL;
		r = folder_find_other(folder_reopen(folder), folder->path, mark, &other, error);
		if (r == 0 && other)
			r = folder_remove(folder, other, error);
	} while (r == 0 && other);
	free(other);
	return r;
}

int folder_claim(const struct folder *folder, const char *mark, struct store_error *error) {
	char *other = NULL;
	int r;

	if (folder_has(folder, mark))
		return folder_empty(folder, mark, error);
	r = folder_find_other(folder_reopen(folder), folder->path, mark, &other, error);
	if (r == 0 && other)
		r = folder_refuse_other(folder->path, other, error);
	free(other);
	return r == 0 ? folder_write_line(folder, mark, "unfinished", error) : r;
}

/* For file systems without O_TMPFILE (overlayfs before Linux 6.1, NFS). */
static int folder_scratch_unlinked(const struct folder *folder, int *ret_fd, struct store_error *error) {
	char *path = folder_path(folder, "scratch-XXXXXX");
	int fd;

	if (!path)
		return failure(error, -ENOMEM, "out of memory");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path); /* what stays behind is an empty name, and the next start ignores it */
	free(path);
	if (fd < 0)
		return failure_errno(error, "create a scratch file in", folder->path);
	*ret_fd = fd;
	return 0;
}

int folder_scratch(const struct folder *folder, int *ret_fd, struct store_error *error) {
	int fd = openat(folder->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
		return folder_scratch_unlinked(folder, ret_fd, error);
	if (fd < 0)
		return failure_errno(error, "create a scratch file in", folder->path);
	*ret_fd = fd;
	return 0;
}
