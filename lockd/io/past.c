/* SPDX-License-Identifier: Apache-2.0 */
#include "past.h"

#include "api/bytes.h"
#include "failure.h"
#include "logdb.h"
#include "superblock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	FILE_BYTES = 512,
	CHECKSUM_BYTES = 8,

	AT_MAGIC = 0,
	AT_FORMAT = 8,
	AT_N = 12,
	AT_INCARNATION = 16,
	AT_EPOCH = 32,
	AT_REPAIRS = 36,
	AT_MOVING = 40,
	AT_STORES = 48,
	AT_REASON = AT_STORES + STORE_PAST_MAX * 16,
	REASON_BYTES = 256,
};

_Static_assert(AT_REASON + REASON_BYTES <= FILE_BYTES - CHECKSUM_BYTES, "everything fits before the checksum");
_Static_assert(sizeof((struct store_past *)0)->reason == REASON_BYTES, "the reason is stored whole");

static const uint64_t past_magic = 0x3174736170636b6c; /* "lkcpast1" */
static const char past_name[] = "past", past_new_name[] = "past.new";

static bool is_set(const struct node_uuid *uuid) {
	static const struct node_uuid zero;

	return memcmp(uuid, &zero, sizeof zero) != 0;
}

static bool is_same(const struct node_uuid *a, const struct node_uuid *b) {
	return memcmp(a, b, sizeof *a) == 0;
}

/* ---- The file -----------------------------------------------------------------------------------------------------
 */

static void past_pack(const struct store_past *past, bool moving, uint8_t out[FILE_BYTES]) {
	memset(out, 0, FILE_BYTES);
	bytes_put_u64(out + AT_MAGIC, past_magic);
	bytes_put_u32(out + AT_FORMAT, FOLDER_FORMAT);
	bytes_put_u32(out + AT_N, (uint32_t)past->n);
	memcpy(out + AT_INCARNATION, past->incarnation.bytes, sizeof past->incarnation);
	bytes_put_u32(out + AT_EPOCH, past->epoch);
	bytes_put_u32(out + AT_REPAIRS, past->repairs);
	bytes_put_u32(out + AT_MOVING, moving);
	for (size_t i = 0; i < past->n; i++)
		memcpy(out + AT_STORES + i * sizeof past->stores[i], past->stores[i].bytes, sizeof past->stores[i]);
	memcpy(out + AT_REASON, past->reason, REASON_BYTES);
	bytes_put_u64(out + FILE_BYTES - CHECKSUM_BYTES, XXH3_64bits(out, FILE_BYTES - CHECKSUM_BYTES));
}

static void past_unpack(struct store_past *past, bool *ret_moving, const uint8_t in[FILE_BYTES]) {
	*past = (struct store_past){
		.n = bytes_get_u32(in + AT_N),
		.epoch = bytes_get_u32(in + AT_EPOCH),
		.repairs = bytes_get_u32(in + AT_REPAIRS),
	};
	memcpy(past->incarnation.bytes, in + AT_INCARNATION, sizeof past->incarnation);
	for (size_t i = 0; i < past->n; i++)
		memcpy(past->stores[i].bytes, in + AT_STORES + i * sizeof past->stores[i], sizeof past->stores[i]);
	memcpy(past->reason, in + AT_REASON, REASON_BYTES);
	past->reason[REASON_BYTES - 1] = '\0';
	*ret_moving = bytes_get_u32(in + AT_MOVING) != 0;
}

static int past_check(const struct folder *folder, const uint8_t in[FILE_BYTES], struct store_error *error) {
	if (bytes_get_u64(in + AT_MAGIC) != past_magic ||
	    bytes_get_u64(in + FILE_BYTES - CHECKSUM_BYTES) != XXH3_64bits(in, FILE_BYTES - CHECKSUM_BYTES) ||
	    bytes_get_u32(in + AT_N) > STORE_PAST_MAX)
		return failure(error, -EBADMSG, "%s/%s is damaged: it has no valid checksum", folder->path, past_name);
	if (bytes_get_u32(in + AT_FORMAT) != FOLDER_FORMAT)
		return failure(error, -ENOTSUP, "%s/%s has format %u, this program reads format %d", folder->path,
			       past_name, bytes_get_u32(in + AT_FORMAT), FOLDER_FORMAT);
	return 0;
}

static int past_read(const struct folder *folder, struct store_past *ret, bool *ret_moving, struct store_error *error) {
	int fd = openat(folder->fd, past_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r;
	uint8_t bytes[FILE_BYTES] = {0};

	*ret = (struct store_past){0};
	*ret_moving = false;
	if (fd < 0)
		return errno == ENOENT ? 0 : failure_errno(error, "open the file 'past' in", folder->path);
	r = pread(fd, bytes, sizeof bytes, 0) < 0 ? failure_read(error, folder->path)
						  : past_check(folder, bytes, error);
	close(fd);
	if (r == 0)
		past_unpack(ret, ret_moving, bytes);
	return r;
}

static int past_write_new(const struct folder *folder, const uint8_t bytes[FILE_BYTES], struct store_error *error) {
	int fd = openat(folder->fd, past_new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r = 0;
	ssize_t n;

	if (fd < 0)
		return failure_errno(error, "create the file 'past.new' in", folder->path);
	n = pwrite(fd, bytes, FILE_BYTES, 0);
	if (n >= 0 && n < FILE_BYTES)
		r = failure(error, STORE_FULL, "cannot write %s/%s: the disk is full", folder->path, past_new_name);
	else if (n < 0 || fsync(fd) < 0)
		r = failure_errno(error, "write the file 'past.new' in", folder->path);
	close(fd);
	return r;
}

static int past_write(const struct folder *folder, const struct store_past *past, bool moving,
		      struct store_error *error) {
	uint8_t bytes[FILE_BYTES];
	int r;

	past_pack(past, moving, bytes);
	r = past_write_new(folder, bytes, error);
	if (r == 0 && renameat(folder->fd, past_new_name, folder->fd, past_name) < 0)
		r = failure_errno(error, "replace the file 'past' in", folder->path);
	return r == 0 ? folder_sync(folder, error) : r;
}

/* ---- Moving -------------------------------------------------------------------------------------------------------
 */

/* The store itself with whatever SQLite puts beside a database, and the mark. `reserve` is nothing but space, and what
 * else lies there (a configuration, a backup) is not ours to move. */
static bool is_moved(const char *name) {
	static const char *const databases[] = {"raft.db", "state.db"};

	for (size_t i = 0; i < sizeof databases / sizeof *databases; i++)
		if (strncmp(name, databases[i], strlen(databases[i])) == 0)
			return true;
	return strcmp(name, "superblock") == 0 || strcmp(name, "found-damaged") == 0;
}

/* One pass over the names. A name that is moved while they are read may hide another one: hence more passes. */
static int past_move_some(const struct folder *folder, int into, bool *ret_any, struct store_error *error) {
	int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *names = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	*ret_any = false;
	if (!names) {
		r = failure_errno(error, "list the data folder", folder->path);
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, entry = readdir(names))) {
		if (!is_moved(entry->d_name))
			continue;
		*ret_any = true;
		if (renameat(folder->fd, entry->d_name, into, entry->d_name) < 0)
			r = failure_errno(error, "set aside a file of", folder->path);
	}
	if (r == 0 && errno != 0)
		r = failure_errno(error, "list the data folder", folder->path);
	closedir(names);
	return r;
}

static int past_move_all(const struct folder *folder, int into, struct store_error *error) {
	bool any = true;
	int r = 0;

	while (r == 0 && any)
		r = past_move_some(folder, into, &any, error);
	/* The names are durable there before they are gone here. */
	if (r == 0 && fsync(into) < 0)
		r = failure_errno(error, "sync a folder in", folder->path);
	return r == 0 ? folder_sync(folder, error) : r;
}

static void past_name_folder(uint32_t number, char out[32]) {
	(void)snprintf(out, 32, "damaged-%u", number);
}

static int past_finish(const struct folder *folder, const struct store_past *past, struct store_error *error) {
	char name[32];
	int into, r;

	past_name_folder(past->repairs, name);
	if (mkdirat(folder->fd, name, 0700) < 0 && errno != EEXIST)
		return failure_errno(error, "create a folder for the damaged files in", folder->path);
	r = folder_sync(folder, error);
	if (r != 0)
		return r;
	into = openat(folder->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (into < 0)
		return failure_errno(error, "open the folder for the damaged files in", folder->path);
	r = past_move_all(folder, into, error);
	close(into);
	return r == 0 ? past_write(folder, past, false, error) : r;
}

int past_open(const struct folder *folder, struct store_past *ret, struct store_error *error) {
	bool moving;
	int r = past_read(folder, ret, &moving, error);

	return r == 0 && moving ? past_finish(folder, ret, error) : r;
}

/* ---- Who it was ---------------------------------------------------------------------------------------------------
 */

/* Without room the last but one gives way: the very last is the one that was a member. */
static void past_add(struct store_past *past, const struct node_uuid *uuid) {
	for (size_t i = 0; i < past->n; i++)
		if (is_same(&past->stores[i], uuid))
			return;
	if (past->n == STORE_PAST_MAX)
		past->n--;
	past->stores[past->n++] = *uuid;
}

static void past_belong(struct store_past *past, const struct node_uuid *incarnation, uint32_t epoch) {
	if (!is_set(incarnation) || (is_set(&past->incarnation) && epoch <= past->epoch))
		return;
	past->incarnation = *incarnation;
	past->epoch = epoch;
}

/* The log says who it was as of some commit, a slot as of some write: each may have been followed by one that is lost.
 * Only a whole superblock proves that the store has never belonged to a cluster. */
static int past_identify(const struct folder *folder, const struct store_past *before, bool sure,
			 struct store_past *past, struct store_error *error) {
	struct superblock superblock;
	struct logdb_identity log;
	int slots = superblock_salvage(&superblock, folder);
	bool logged = logdb_salvage(folder, &log);

	if (slots > 0) {
		past_add(past, &superblock.uuid);
		past_belong(past, &superblock.incarnation, superblock.epoch);
	}
	if (logged && (slots == 0 || is_same(&log.uuid, &superblock.uuid))) {
		past_add(past, &log.uuid);
		past_belong(past, &log.incarnation, log.epoch);
	}
	/* Whom it stands in for has left the configuration when it was let in. */
	if (past->n > 0 && !is_set(&past->incarnation)) {
		past_belong(past, &before->incarnation, before->epoch);
		for (size_t i = 0; i < before->n; i++)
			past_add(past, &before->stores[i]);
	}
	if (past->n == 0 || (!is_set(&past->incarnation) && !(sure && slots == 2)))
		return failure(
			error, -ENODATA,
			"nothing that can be read in %s says which store of which cluster it was: move the folder "
			"away, take the node out by `lockctl cluster remove`, start it and add it anew by `lockctl "
			"cluster add`",
			folder->path);
	return 0;
}

/* What is set aside is evidence: a folder of that name stays as it is. */
static int past_choose_folder(const struct folder *folder, uint32_t number, uint32_t *ret, struct store_error *error) {
	bool taken = true;
	char name[32];
	int r = 0;

	for (*ret = number; r == 0 && taken; *ret += taken) {
		past_name_folder(*ret, name);
		r = folder_find(folder, name, &taken, error);
	}
	return r;
}

static int past_count_kept(const struct folder *folder, int *ret, struct store_error *error) {
	int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	uint32_t number;

	*ret = 0;
	if (!names) {
		int r = failure_errno(error, "list the data folder", folder->path);

		if (fd >= 0)
			close(fd);
		return r;
	}
	while ((entry = readdir(names)))
		*ret += sscanf(entry->d_name, "damaged-%u", &number) == 1;
	closedir(names);
	return 0;
}

static int past_check_kept(const struct folder *folder, struct store_error *error) {
	int n, r = past_count_kept(folder, &n, error);

	if (r != 0 || n < PAST_KEPT_MAX)
		return r;
	return failure(error, -EDQUOT,
		       "nothing was moved, since %s holds %d damaged folders already: the disk seems to lose what is "
		       "written to it; replace it, or delete %s/damaged-* to have this one repaired, too",
		       folder->path, n, folder->path);
}

static int past_is_all(const struct folder *folder, bool *ret, struct store_error *error) {
	static const char *const files[] = {"superblock", "raft.db", "state.db"};
	bool found = false;
	int r = 0;

	for (size_t i = 0; r == 0 && !found && i < sizeof files / sizeof *files; i++)
		r = folder_find(folder, files[i], &found, error);
	*ret = !found;
	return r;
}

int past_set_aside(const struct folder *folder, const char *reason, struct store_error *error) {
	struct store_past before, past = {0};
	bool moving, all;
	int r = past_read(folder, &before, &moving, error);
	bool sure = r == 0;

	if (r != 0 && r != -EBADMSG)
		return r;
	if (moving)
		return past_finish(folder, &before, error);
	r = past_is_all(folder, &all, error);
	if (r == 0 && before.n > 0 && all)
		return folder_sync(folder, error);
	if (r == 0)
		r = past_check_kept(folder, error);
	if (r == 0)
		r = past_identify(folder, &before, sure, &past, error);
	if (r == 0)
		r = past_choose_folder(folder, before.repairs + 1, &past.repairs, error);
	if (r != 0)
		return r;
	(void)snprintf(past.reason, sizeof past.reason, "%s", reason);
	r = past_write(folder, &past, true, error);
	return r == 0 ? past_finish(folder, &past, error) : r;
}
