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

/* ---- What every way to a new incarnation has in common (restoration.c) ----------------------------------------------
 */

/* All return 0, or an exit status with a sentence in *ret_error. */
int recovery_fail(struct recovery_error *ret_error, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int recovery_fail_store(struct recovery_error *ret_error, int r, const struct store_error *error);
int recovery_check_addresses(const struct recovery_config *config, struct recovery_error *ret_error);
/* A node with what the store holds, not started. */
int recovery_load_node(const struct recovery_config *config, struct store *store, struct node **ret,
		       struct recovery_error *ret_error);
int recovery_draw(struct node_uuid *ret_incarnation, struct recovery_error *ret_error);
int recovery_write(const struct recovery_config *config, struct store *store, const struct node_save *save,
		   struct recovery_error *ret_error);

#endif
