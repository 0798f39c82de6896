/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for a data folder, to try out what a node would do with it. It lies in the folder for temporary files:
 * databases are links that overlay.h keeps from being written to, everything else is a copy. The folder itself is only
 * read, and its lock is only held for reading, which keeps a node out just as well. */
#ifndef LOCKD_IO_TWIN_H
#define LOCKD_IO_TWIN_H

#include "lockd/io/store.h"

#include <signal.h>

struct twin {
	char *of;         /* the data folder: absolute */
	char *path;       /* where it stands in for it */
	int lock_fd;      /* < 0: there was no file `lock` */
	sigset_t signals; /* that were blocked before: an interruption waits for twin_close() */
};

/* -EBUSY names the process that has the folder. Other negative errno: it cannot be read, or there is no place for a
 * twin. */
int twin_open(struct twin *twin, const char *folder, struct store_error *error);
/* Leaves nothing behind. Closing twice, or a zeroed struct, is fine. */
void twin_close(struct twin *twin);

/* Whether a node, or an administrator on its advice, gives files or folders this name. */
bool twin_knows(const char *name);

/* In a sentence about the twin, names the folder in its place. */
void twin_rename(const struct twin *twin, char *sentence, size_t bytes);

#endif
