/* SPDX-License-Identifier: Apache-2.0 */
#include "events.h"

#include "fatal.h"

#include <stdlib.h>

struct node_event *events_add(struct events *events, enum node_event_kind kind) {
	if (events->n == events->max) {
		events->max = events->max ? 2 * events->max : 64;
		events->all = fatal_realloc(events->all, events->max * sizeof *events->all);
	}
	events->all[events->n] = (struct node_event){.kind = kind};
	return &events->all[events->n++];
}

void events_drop_frames(struct events *events, uint32_t peer) {
	size_t n = 0;

	for (size_t i = 0; i < events->n; i++) {
		if (events->all[i].kind != NODE_PEER_FRAME || events->all[i].peer != peer)
			events->all[n++] = events->all[i];
	}
	events->n = n;
}

void events_clear(struct events *events) {
	if (events->max > EVENTS_KEPT)
		events_deinit(events);
	events->n = 0;
}

void events_deinit(struct events *events) {
	free(events->all);
	*events = (struct events){0};
}
