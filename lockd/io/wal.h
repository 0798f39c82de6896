/* SPDX-License-Identifier: Apache-2.0 */
/* A look at a SQLite WAL before SQLite sees it.
 *
 * SQLite reads a WAL up to the first frame whose checksum fails and takes that for the end: right for a torn last
 * transaction, but one flipped bit further up silently drops every commit behind it. The two can be told apart. With synchronous=FULL a
 * transaction is begun only when the one before it is durable, so no power cut leaves a bad frame in front of a commit frame that is
 * itself followed by a frame of a later transaction. Frames of an earlier round of the file do not deceive: they carry
 * other salts, and a frame counts as following only if its checksum continues its predecessor's.
 *
 * Undecidable here, and left to the watermark: damage to exactly the last transaction. Format: sqlite.org/fileformat2.html §4. */
#ifndef LOCKD_IO_WAL_H
#define LOCKD_IO_WAL_H

#include "lockd/io/folder.h"

/* 0: whole, torn at its end, empty or missing; ret_frames counts what SQLite will read as valid. -EBADMSG: damaged. */
int wal_scan(const struct folder *folder, const char *name, uint64_t *ret_frames, struct store_error *error);

#endif
