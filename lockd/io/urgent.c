/* SPDX-License-Identifier: Apache-2.0 */
#include "urgent.h"

#include "api/limits.h"
#include "api/peer.pb-c.h"
#include "fatal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct urgent_frame *slot_of(struct urgent *urgent, uint32_t group, uint32_t type) {
	for (size_t i = 0; i < urgent->n; i++) {
		if (urgent->frames[i].group == group && urgent->frames[i].type == type)
			return &urgent->frames[i];
	}
	if (urgent->n == urgent->n_max) {
		urgent->n_max = urgent->n_max ? 2 * urgent->n_max : URGENT_KINDS;
		assert(urgent->n_max <= LIMIT_GROUPS_MAX * URGENT_KINDS);
		urgent->frames = fatal_realloc(urgent->frames, urgent->n_max * sizeof *urgent->frames);
	}
	urgent->frames[urgent->n] = (struct urgent_frame){.group = group, .type = type};
	return &urgent->frames[urgent->n++];
}

void urgent_put(struct urgent *urgent, uint64_t id, const uint8_t *body, size_t n, struct arena *arena) {
	struct urgent_frame *frame;
	Peer__Message *message;

	if (arena_reset(arena, n) < 0)
		return;
	message = peer__message__unpack(&arena->allocator, n, body);
	assert(message); /* our own node packed it */

	frame = slot_of(urgent, message->group, message->type);
	frame->body = fatal_realloc(frame->body, n);
	memcpy(frame->body, body, n);
	frame->n = n;
	frame->id = id;
}

void urgent_send(struct urgent *urgent, struct connection *connection) {
	for (size_t i = 0; i < urgent->n; i++)
		connection_send(connection, FRAME_PEER_MESSAGE, urgent->frames[i].id, urgent->frames[i].body,
				urgent->frames[i].n);
	urgent_clear(urgent);
}

void urgent_clear(struct urgent *urgent) {
	for (size_t i = 0; i < urgent->n; i++)
		free(urgent->frames[i].body);
	free(urgent->frames);
	*urgent = (struct urgent){0};
}
