/* SPDX-License-Identifier: Apache-2.0 */
/* HELLO and its answer on a connection between nodes: before both ends are known to each other nothing else is taken.
 */
#ifndef LOCKD_IO_GREETING_H
#define LOCKD_IO_GREETING_H

#include "lockd/io/link.h"

/* We have dialled: says HELLO. */
void greeting_begin(struct peers *peers, struct link *link);
/* The first frame of whoever dialled us. One that is refused and could be added is told to the node. */
void greeting_on_hello(struct peers *peers, struct link *link, const struct frame *frame, struct events *events);
/* HELLO again from whoever dialled us: it has found that our data folder is an older copy of itself. */
void greeting_on_accusation(struct peers *peers, struct link *link, const struct frame *frame);
/* The first frame of whom we have dialled. */
void greeting_on_reply(struct peers *peers, struct link *link, const struct frame *frame, struct events *events);
/* Whether the peer, which has called before, would be let in again. */
bool greeting_would_welcome(const struct peers *peers, const struct peer *peer);

#endif
