/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines that a stranger can cause as often as it likes: a few per second pass, the rest is counted. */
#ifndef LOCKD_IO_THROTTLE_H
#define LOCKD_IO_THROTTLE_H

#include <raft/raft.h>
#include <stdbool.h>

enum { THROTTLE_PER_SECOND = 10 };

/* Begins zeroed. */
struct throttle {
	raft_usec since; /* of the second at hand */
	unsigned passed; /* in it */
	unsigned held;   /* since the last one that passed */
};

/* true: write the line; *ret_held have been left out before it. */
bool throttle_pass(struct throttle *throttle, raft_usec now, unsigned *ret_held);

#endif
