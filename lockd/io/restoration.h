/* SPDX-License-Identifier: Apache-2.0 */
/* A new cluster out of a backup: an empty folder becomes that of a node that is alone, under a new incarnation and a
 * larger epoch. Every session of the backup has ended and every lock is free, since nobody knows what has become of
 * them. Nodes are then added to it, with empty folders.
 *
 * The file is checked to its last byte before anything is written. An interrupted restore leaves a folder that nothing
 * opens but the next restore (store_open_to_restore()). */
#ifndef LOCKD_IO_RESTORATION_H
#define LOCKD_IO_RESTORATION_H

#include "lockd/io/recovery.h"

/* What --epoch may be left away for: the epoch of the clock, or one that is a few units ahead of it, as after several
 * restores in a short time. */
enum { RESTORATION_AHEAD_MAX = 16 };

/* Like recovery_run(), with the file `backup`. `config->data` must be empty or missing. */
int restoration_run(const struct recovery_config *config, const char *backup, FILE *out,
		    struct recovery_error *ret_error);

/* The token above which every slot goes on. The same backup may be restored twice within one unit of the epoch: the
 * later time gives the larger token, by more than was granted in between. `wall` is that time, in µs since 1970; it is
 * not beyond the unit of that epoch. */
uint64_t restoration_token(uint32_t epoch, raft_usec wall);

#endif
