/* SPDX-License-Identifier: Apache-2.0 */
/* Boot: what the store holds becomes a replica again. The checkpoint gives the state; log entries behind it go to the
 * consensus core and the cache. Entries that the checkpoint covers are passed over, so the core's base is the
 * checkpoint, whose configuration is known exactly; a follower that lags behind it gets a snapshot. */
#ifndef LOCKD_NODE_BOOT_H
#define LOCKD_NODE_BOOT_H

#include "checkpoint.h"
#include "lockd/node/node.h"

struct boot {
	struct node_hard hard;
	bool have_header, have_base, restored; /* restored: all rows agree with the header */
	struct checkpoint_header header;
	raft_index last; /* of the stored log so far */
	raft_term last_term;
};

struct boot *boot_new(void);
struct boot *boot_free(struct boot *boot);

#endif
