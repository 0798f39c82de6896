/* SPDX-License-Identifier: Apache-2.0 */
/* Forced recovery: after the majority of a cluster is lost for good, the folder of one node that is left becomes a
 * cluster of its own, under a new incarnation and a larger epoch. Nodes are then added to it, with empty folders.
 *
 * The one save that does it can be interrupted anywhere: opening the folder finishes it when the checkpoint was
 * written, or else asks for the recovery to be run again. */
#ifndef LOCKD_IO_RECOVERY_H
#define LOCKD_IO_RECOVERY_H

#include "lockd/io/store.h"

#include <stdio.h>

struct recovery_config {
	uint32_t node;
	const char *data;                          /* folder */
	const char *peer_address, *client_address; /* under which the node will be reached */
	struct raft_timing timing;
	uint32_t epoch; /* 0: the next one, at least that of this day */
	bool confirmed; /* otherwise nothing is changed */
};

struct recovery_error {
	char text[768];
};

/* Writes to `out` what the folder holds and what becomes of it. 0, or an exit status of sysexits.h with a sentence that
 * says what failed, why, and what to do: EX_USAGE, EX_DATAERR, EX_IOERR. */
int recovery_run(const struct recovery_config *config, FILE *out, struct recovery_error *ret_error);

#endif
