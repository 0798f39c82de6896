/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOCKD_IO_FAILURE_H
#define LOCKD_IO_FAILURE_H

#include "lockd/io/store.h"

/* Writes the sentence and returns `r`, so that reporting a failure is one statement. */
int failure(struct store_error *error, int r, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A failed system call on `path`: "cannot <what> <path>: <cause>". STORE_FULL for ENOSPC, otherwise -errno. */
int failure_errno(struct store_error *error, const char *what, const char *path);
/* The same of a read. A sector that the disk does not give back is damage: -EBADMSG for EIO. */
int failure_read(struct store_error *error, const char *path);

#endif
