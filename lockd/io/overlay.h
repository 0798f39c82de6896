/* SPDX-License-Identifier: Apache-2.0 */
/* A SQLite VFS that never writes to a file behind a symbolic link: the file is opened for reading, and what SQLite writes to it
 * stays in memory until it is closed. So a database can be opened just as a node would open it, its WAL replayed and
 * transactions committed, while not one byte of it changes. All other files are those of the default VFS. */
#ifndef LOCKD_IO_OVERLAY_H
#define LOCKD_IO_OVERLAY_H

#include "lockd/io/store.h"

/* Makes it the VFS of every database that the process opens from then on. -ENOMEM. */
int overlay_begin(struct store_error *error);
/* Takes that back. All databases must be closed. */
void overlay_end(void);

#endif
