/* SPDX-License-Identifier: Apache-2.0 */
#include "twin.h"

#include "failure.h"
#include "overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	/* More than any file of a data folder has that is not SQLite's. */
	COPY_BYTES_MAX = 1 << 20,
	/* The folder, and within it what was set aside. */
	DEPTH = 2,
};

static bool ends_with(const char *name, const char *end) {
	size_t n = strlen(name), n_end = strlen(end);

	return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

static bool is_database(const char *name) {
	return ends_with(name, ".db") || ends_with(name, ".db-wal") || ends_with(name, ".db-journal");
}

bool twin_knows(const char *name) {
	static const char *const names[] = {"superblock", "raft.db",      "raft.db-wal",      "raft.db-journal",
					    "state.db",   "state.db-wal", "state.db-journal", "lock",
					    "past",       "past.new",     "old-copy",         "found-damaged",
					    "restoring",  "reserve",      "restoring"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return strncmp(name, "damaged-", 8) == 0;
}

static char *join(const char *folder, const char *name) {
	char *path;

	return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

static int copy_bytes(const char *from, int in, const char *to, int out, struct store_error *error) {
	static uint8_t bytes[COPY_BYTES_MAX];
	ssize_t n = read(in, bytes, sizeof bytes);

	if (n < 0)
		return failure_errno(error, "read", from);
	if (write(out, bytes, (size_t)n) != n)
		return failure_errno(error, "write", to);
	return 0;
}

static int copy_file(const char *from, const char *to, struct store_error *error) {
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), out, r;

	if (in < 0)
		return failure_errno(error, "read", from);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = out < 0 ? failure_errno(error, "create", to) : copy_bytes(from, in, to, out, error);
	if (out >= 0)
		close(out);
	close(in);
	return r;
}

static int link_file(const char *from, const char *to, struct store_error *error) {
	if (access(from, R_OK) < 0)
		return failure_errno(error, "read", from);
	return symlink(from, to) < 0 ? failure_errno(error, "create", to) : 0;
}

static int stand_in(const char *from, const char *to, int depth, struct store_error *error);

/* What a node never touches has no place in the twin: it could only be touched there, and need not be readable, as
 * lost+found is not. */
static int stand_in_entry(const char *from, const char *to, const char *name, int depth, struct store_error *error) {
	char *source = join(from, name), *target = join(to, name);
	struct stat stat;
	int r = 0;

	if (!source || !target)
		r = failure(error, -ENOMEM, "out of memory");
	else if (lstat(source, &stat) < 0)
		r = failure_errno(error, "examine", source);
	else if (S_ISDIR(stat.st_mode) && depth > 1)
		r = mkdir(target, 0700) < 0 ? failure_errno(error, "create", target)
					    : stand_in(source, target, depth - 1, error);
	else if (S_ISREG(stat.st_mode) && is_database(name) && stat.st_size > 0)
		r = link_file(source, target, error);
	else if (S_ISREG(stat.st_mode) && stat.st_size <= COPY_BYTES_MAX && strcmp(name, "lock") != 0)
		r = copy_file(source, target, error);
	free(source);
	free(target);
	return r;
}

static int stand_in(const char *from, const char *to, int depth, struct store_error *error) {
	DIR *dir = opendir(from);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return failure_errno(error, "read the folder", from);
	while (r == 0 && (errno = 0, entry = readdir(dir)))
		if (twin_knows(entry->d_name))
			r = stand_in_entry(from, to, entry->d_name, depth, error);
	if (r == 0 && errno != 0)
		r = failure_errno(error, "read the folder", from);
	closedir(dir);
	return r;
}

static int refuse_running(struct twin *twin, struct store_error *error) {
	char pid[32] = "";
	ssize_t n = pread(twin->lock_fd, pid, sizeof pid - 1, 0);

	pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
	return failure(error, -EBUSY, "the data folder %s is in use by process %s: stop it first, or examine a copy",
		       twin->of, *pid ? pid : "(unknown)");
}

/* A folder that was set aside, or copied, may have no lock; nobody uses it then. */
static int lock_folder(struct twin *twin, struct store_error *error) {
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	char *path = join(twin->of, "lock");
	int r = 0;

	if (!path)
		return failure(error, -ENOMEM, "out of memory");
	twin->lock_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (twin->lock_fd < 0)
		r = errno == ENOENT ? 0 : failure_errno(error, "open", path);
	else if (fcntl(twin->lock_fd, F_OFD_SETLK, &lock) < 0)
		r = errno == EAGAIN || errno == EACCES ? refuse_running(twin, error)
						       : failure_errno(error, "lock", path);
	free(path);
	return r;
}

static int make_place(struct twin *twin, struct store_error *error) {
	const char *base = getenv("TMPDIR");

	twin->path = join(base && *base == '/' ? base : "/tmp", "lockd-check-XXXXXX");
	if (!twin->path)
		return failure(error, -ENOMEM, "out of memory");
	if (!mkdtemp(twin->path)) {
		int r = failure_errno(error, "create (TMPDIR names another place)", twin->path);

		free(twin->path);
		twin->path = NULL;
		return r;
	}
	return 0;
}

static int try_open(struct twin *twin, struct store_error *error) {
	struct stat stat;
	int r;

	if (lstat(twin->of, &stat) < 0)
		return failure_errno(error, "examine", twin->of);
	if (!S_ISDIR(stat.st_mode))
		return failure(error, -ENOTDIR, "%s is no folder", twin->of);
	r = lock_folder(twin, error);
	if (r == 0)
		r = make_place(twin, error);
	if (r == 0)
		r = stand_in(twin->of, twin->path, DEPTH, error);
	return r;
}

/* Ctrl-C leaves nothing behind either. */
static void hold_signals(struct twin *twin) {
	sigset_t held;

	(void)sigemptyset(&held);
	(void)sigaddset(&held, SIGHUP);
	(void)sigaddset(&held, SIGINT);
	(void)sigaddset(&held, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &held, &twin->signals);
}

static void leave(struct twin *twin) {
	sigset_t signals = twin->signals;

	free(twin->path);
	free(twin->of);
	*twin = (struct twin){0};
	(void)pthread_sigmask(SIG_SETMASK, &signals, NULL);
}

int twin_open(struct twin *twin, const char *folder, struct store_error *error) {
	int r;

	*twin = (struct twin){.of = realpath(folder, NULL), .lock_fd = -1};
	if (!twin->of)
		return failure_errno(error, "find", folder);
	hold_signals(twin);
	r = overlay_begin(error);
	if (r != 0) {
		leave(twin);
		return r;
	}
	r = try_open(twin, error);
	if (r != 0)
		twin_close(twin);
	return r;
}

static void remove_place(const char *path) {
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *inner = join(path, entry->d_name);

		if (inner && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && unlink(inner) < 0)
			remove_place(inner);
		free(inner);
	}
	if (dir)
		closedir(dir);
	(void)rmdir(path); /* a name in the folder for temporary files is all that could stay */
}

void twin_close(struct twin *twin) {
	if (!twin->of)
		return;
	overlay_end();
	if (twin->path)
		remove_place(twin->path);
	if (twin->lock_fd >= 0)
		close(twin->lock_fd);
	leave(twin);
}

void twin_rename(const struct twin *twin, char *sentence, size_t bytes) {
	size_t n = strlen(twin->path), n_of = strlen(twin->of);

	for (char *at = sentence; (at = strstr(at, twin->path)); at += n_of) {
		size_t rest = strlen(at + n), room = bytes - (size_t)(at - sentence);

		if (n_of + 1 > room)
			return; /* cut off anyway */
		if (n_of + rest + 1 > room)
			rest = room - n_of - 1;
		memmove(at + n_of, at + n, rest);
		memcpy(at, twin->of, n_of);
		at[n_of + rest] = '\0';
	}
}
