/* SPDX-License-Identifier: Apache-2.0 */
/* In whose place a store stands: the file `past`, in a folder whose earlier files were found damaged and set aside.
 *
 * It is written before the first of those files is moved to `damaged-<n>`, and says that they are being moved; so
 * whoever opens the folder after a crash moves the rest, and nothing of the old store is ever taken for the new one.
 * Only then is it written again, without that word, and only then is a new store created. */
#ifndef LOCKD_IO_PAST_H
#define LOCKD_IO_PAST_H

#include "lockd/io/folder.h"

enum {
	/* Folders `damaged-<n>`. A disk that loses whatever is written to it must not be filled with evidence, nor cost the others a
	 * snapshot at every start: with so many the next one waits until somebody has looked. */
	PAST_KEPT_MAX = 8,
};

/* Reads the file, and completes what a crash has interrupted. A folder without one has a past of no stores. 0,
 * STORE_FULL or negative errno; -EBADMSG: the file is damaged. */
int past_open(const struct folder *folder, struct store_past *ret, struct store_error *error);

/* Moves all files of the store, and nothing else that lies in the folder, to damaged-<repairs>. Results of
 * store_set_aside(). */
int past_set_aside(const struct folder *folder, const char *reason, struct store_error *error);

#endif
