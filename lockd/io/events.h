/* SPDX-License-Identifier: Apache-2.0 */
/* The events of one turn, gathered while the inbox is emptied and handed to node_step() together. */
#ifndef LOCKD_IO_EVENTS_H
#define LOCKD_IO_EVENTS_H

#include "lockd/node/node.h"

struct events {
	struct node_event *all;
	size_t n, max;
};

enum {
	EVENTS_KEPT = 4096, /* room that stays for the next turn; what a burst took beyond goes back */
};

/* A zeroed event at the end of the turn; valid until the next call. */
struct node_event *events_add(struct events *events, enum node_event_kind kind);
/* Takes back the frames of a peer, as if they had been lost. */
void events_drop_frames(struct events *events, uint32_t peer);
/* The turn is over. */
void events_clear(struct events *events);
void events_deinit(struct events *events);

#endif
