/* SPDX-License-Identifier: Apache-2.0 */
/* A look at a SQLite WAL before SQLite sees it.
 *
 * SQLite reads a WAL up to the first frame whose checksum fails and takes that for the end: right for a torn last
 * transaction, but one flipped bit further up silently drops every commit behind it. The two can be told apart. With synchronous=FULL a
 * transaction is begun only when the one before it is durable, so no power cut leaves a bad frame in front of a commit frame that is
 * itself followed by a frame of a later transaction. Frames of an earlier round of the file do not deceive: they carry
 * other salts, and a frame counts as following only if its checksum continues its predecessor's.
 *
 * Undecidable here, and left to the watermark: damage to the last transaction, or to the last frame in front of it if it is one
 * frame long: without the header of that frame the two look like one transaction that was torn. So does damage to the body of such a
 * frame, if a sector ends between its commit field and its salts (one frame in 64): a power cut may have joined those two. Format:
 * sqlite.org/fileformat2.html §4. */
#ifndef LOCKD_IO_WAL_H
#define LOCKD_IO_WAL_H

#include "lockd/io/folder.h"

struct wal_facts {
	bool missing;
	uint64_t bytes;
	bool bad_header; /* has no valid checksum, although frames follow; the rest is unknown then */
	/* Frames that fit into the file; of them, those of this round of the file (behind them, what is left of earlier ones);
	 * of those, the first ones that SQLite will read as valid. */
	uint64_t frames, current, valid;
	uint64_t commits;   /* among the valid ones */
	uint64_t committed; /* valid frames up to the last commit: what is behind it was never acknowledged */
	uint64_t damaged;   /* number of a bad frame, counted from 1, that commits follow; 0: none does */
};

/* 0: all that can be said of it; or negative errno: it cannot be read. */
int wal_examine(const struct folder *folder, const char *name, struct wal_facts *ret, struct store_error *error);

/* 0: whole, torn at its end, empty or missing; ret_frames counts what SQLite will read as valid. -EBADMSG: damaged. */
int wal_scan(const struct folder *folder, const char *name, uint64_t *ret_frames, struct store_error *error);

#endif
