/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold between the parts of a data folder, whichever way a crash has left it. Where it does not hold, one of them
 * is damaged, lost or an older copy of itself: the table in docs/adr/0003-two-databases-and-a-superblock.md. */
#ifndef LOCKD_IO_RELATIONS_H
#define LOCKD_IO_RELATIONS_H

#include "lockd/io/logdb.h"
#include "lockd/io/statedb.h"
#include "lockd/io/superblock.h"

struct relations {
	const struct superblock *superblock;
	const struct logdb *log;
	const struct statedb *state;
};

/* 0, or -EBADMSG with a sentence about the first contradiction. */

/* A WAL that is gone took with it what was not copied back; only after a clean stop is there nothing in it. */
int relations_check_wal(const struct folder *folder, const struct superblock *superblock, struct store_error *error);
/* That superblock and log are of one folder, of one age, and of one incarnation; the checkpoints may not be open yet. */
int relations_check_identity(const struct relations *relations, struct store_error *error);
int relations_check_hard(const struct relations *relations, const struct logdb_group *log, struct store_error *error);
/* The following hold once an install that was interrupted is finished. */
int relations_check_mark(const struct relations *relations, const struct superblock_mark *mark,
                         struct store_error *error);
int relations_check_checkpoint(const struct relations *relations, const struct logdb_group *log,
                               struct store_error *error);
int relations_check_log(const struct relations *relations, const struct statedb_group *state,
                        struct store_error *error);

/* The superblock has been given an identity that the rest of the folder never got. A blank node that crashed while it
 * was being founded has none in its log. */
bool relations_are_half_recovered(const struct relations *relations);

#endif
