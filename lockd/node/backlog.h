/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that wait for their entry. Connections take turns, one command each, so that whoever sends a thousand at
 * once delays another one's by one of them. What comes by one connection keeps its order. The leader's own commands go
 * first: they are few, and leases hang on them. */
#ifndef LOCKD_NODE_BACKLOG_H
#define LOCKD_NODE_BACKLOG_H

#include "pending.h"

#include <stddef.h>

/* Takes the pending over. */
void backlog_add(struct backlog *backlog, struct pending *pending);
/* Whose turn it is; NULL: nobody waits. It stays there until it is taken. */
struct pending *backlog_next(const struct backlog *backlog);
/* Gives the one whose turn it is away. */
struct pending *backlog_take(struct backlog *backlog);

#endif
