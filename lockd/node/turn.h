/* SPDX-License-Identifier: Apache-2.0 */
/* The effects of one turn and the memory they stand in. Everything here is valid until the next turn begins; what the
 * effects of a turn point into must not be freed before, so whoever drops such memory retires it here. */
#ifndef LOCKD_NODE_TURN_H
#define LOCKD_NODE_TURN_H

#include "lockd/node/node.h"

#include <stdio.h>

struct turn_chunk;

struct turn {
	struct turn_chunk *chunks; /* the last one allocated first */
	struct node_save *saves;
	struct node_peer_frame *peer_frames;
	struct node_client_frame *client_frames;
	struct node_snapshot *snapshots;
	struct node_backup *backups;
	struct node_trace *traces;
	void **retired;
	uint8_t *scratch;
	size_t scratch_bytes;
	size_t client_bytes; /* in the frames to clients */
	size_t n_saves, saves_max;
	size_t n_peer_frames, peer_frames_max;
	size_t n_client_frames, client_frames_max;
	size_t n_snapshots, snapshots_max;
	size_t n_backups, backups_max;
	size_t n_traces, traces_max;
	size_t n_retired, retired_max;
};

/* Takes back all memory of the turn before and begins with no effects. */
void turn_begin(struct turn *turn);
void turn_deinit(struct turn *turn);

void *turn_alloc(struct turn *turn, size_t bytes);
/* Good until the next call: for what is packed before anybody else wants some, so that many large answers in a turn
 * cost the room of one. */
void *turn_scratch(struct turn *turn, size_t bytes);
/* Frees heap memory when the next turn begins. */
void turn_retire(struct turn *turn, void *memory);

/* Each appends one effect. The pointer is good until the next effect of its kind. */
struct node_save *turn_save(struct turn *turn);
struct node_peer_frame *turn_peer_frame(struct turn *turn);
struct node_client_frame *turn_client_frame(struct turn *turn);
struct node_snapshot *turn_snapshot(struct turn *turn);
struct node_backup *turn_backup(struct turn *turn);
void turn_trace(struct turn *turn, uint32_t group, const char *text);

enum { TURN_TRACE_BYTES_MAX = 256 }; /* a longer text is cut */

#define TURN_TRACE(turn, group, ...)                                                                                   \
	do {                                                                                                           \
		char turn_trace_text[TURN_TRACE_BYTES_MAX];                                                            \
		(void)snprintf(turn_trace_text, sizeof turn_trace_text, __VA_ARGS__);                                  \
		turn_trace((turn), (group), turn_trace_text);                                                          \
	} while (0)

#endif
