/* SPDX-License-Identifier: Apache-2.0 */
/* The data folder as a place: it exists, is ours alone, and remembers its names. */
#ifndef LOCKD_IO_FOLDER_H
#define LOCKD_IO_FOLDER_H

#include "lockd/io/store.h"

enum {
	/* Of every file in the folder together: a build reads exactly one. */
	FOLDER_FORMAT = 1,
};

struct folder {
	char *path;
	int fd;
	int lock_fd; /* holds the lock on the file `lock` for as long as it is open; the file names our pid */
};

/* Creates the folder (0700) when it is missing, and locks it. -EBUSY names the process that has it. */
int folder_open(struct folder *folder, const char *path, struct store_error *error);
/* Closing twice is fine, and so is closing a zeroed struct. */
void folder_close(struct folder *folder);

/* A file's path; malloc'd. */
char *folder_path(const struct folder *folder, const char *name);
/* A name that cannot be looked up may be there: what follows from its absence must not follow from an error. */
int folder_find(const struct folder *folder, const char *name, bool *ret, struct store_error *error);
/* For reports, and for what is tried anyway: such a name counts as missing. */
bool folder_has(const struct folder *folder, const char *name);
/* Bytes of a file; 0 when it is missing. */
uint64_t folder_file_bytes(const struct folder *folder, const char *name);
/* SQLite takes an empty file for a new database, and removes the WAL beside it. -EBADMSG: it is empty, or missing. */
int folder_require(const struct folder *folder, const char *name, struct store_error *error);
/* Makes names durable that were created or removed. */
int folder_sync(const struct folder *folder, struct store_error *error);
/* Makes the folder's own name durable, in the folder above. */
int folder_sync_name(const struct folder *folder, struct store_error *error);
/* A small file for people, durable with its name. A full disk may take the name without the line. */
int folder_write_line(const struct folder *folder, const char *name, const char *line, struct store_error *error);
/* Its line, fit for a message; empty if it cannot be read. */
void folder_read_line(const struct folder *folder, const char *name, char *ret, size_t ret_bytes);
int folder_remove(const struct folder *folder, const char *name, struct store_error *error);

/* Whether folder_claim() would refuse the folder, which may be missing; changes nothing. */
int folder_check_claim(const char *path, const char *mark, struct store_error *error);
/* For whoever fills a folder in several steps and may be interrupted: an empty one gets the mark, a durable file of that
 * name; one that has it is emptied up to the mark, since all that is in it was put there behind the mark. -EEXIST: it
 * holds something else. */
int folder_claim(const struct folder *folder, const char *mark, struct store_error *error);

/* A file without a name, for reading and writing; it is gone when closed. */
int folder_scratch(const struct folder *folder, int *ret_fd, struct store_error *error);

#endif
