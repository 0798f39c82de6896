/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions by id. Every command names its session, and a tree of a hundred thousand sessions misses the cache at each
 * of its seventeen steps; this is a table with open addressing, which misses once. It has no order: who lists sessions
 * walks the tree. */
#ifndef LOCKD_STATE_ROSTER_H
#define LOCKD_STATE_ROSTER_H

#include "state.h"

struct session;

struct roster_place {
	state_session_id id;
	struct session *session; /* NULL: nobody */
};

/* All zero: empty. */
struct roster {
	struct roster_place *places;
	uint32_t n, max; /* max: a power of two, or 0 */
};

void roster_deinit(struct roster *roster);

/* NULL: nobody has that id. */
struct session *roster_find(const struct roster *roster, state_session_id id);
/* The id is not in it. */
void roster_add(struct roster *roster, state_session_id id, struct session *session);
/* The id is in it. */
void roster_remove(struct roster *roster, state_session_id id);

#endif
