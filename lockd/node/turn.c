/* SPDX-License-Identifier: Apache-2.0 */
#include "turn.h"

#include "memory.h"

#include <stdalign.h>

enum {
	TURN_CHUNK_BYTES_MIN = 64 << 10,
	/* A burst may need more; it is given back instead of being kept for ever. */
	TURN_CHUNK_BYTES_KEPT = 4 << 20,
};

struct turn_chunk {
	struct turn_chunk *next;
	size_t bytes, used;
	alignas(max_align_t) uint8_t memory[];
};

static struct turn_chunk *turn_chunk_new(size_t bytes, struct turn_chunk *next) {
	struct turn_chunk *chunk = memory_have(malloc(sizeof *chunk + bytes));

	chunk->next = next;
	chunk->bytes = bytes;
	chunk->used = 0;
	return chunk;
}

/* Frees all chunks; the sum of their sizes. */
static size_t turn_chunks_free(struct turn *turn) {
	size_t bytes = 0;

	while (turn->chunks) {
		struct turn_chunk *chunk = turn->chunks;

		turn->chunks = chunk->next;
		bytes += chunk->bytes;
		free(chunk);
	}
	return bytes;
}

static void turn_bury(struct turn *turn) {
	for (size_t i = 0; i < turn->n_retired; i++)
		free(turn->retired[i]);
	turn->n_retired = 0;
}

void turn_begin(struct turn *turn) {
	turn_bury(turn);
	turn->scratch = NULL;
	turn->scratch_bytes = turn->client_bytes = 0;
	turn->n_saves = turn->n_peer_frames = turn->n_client_frames = turn->n_snapshots = turn->n_traces = 0;
	turn->n_backups = 0;

	if (turn->chunks && !turn->chunks->next) {
		turn->chunks->used = 0;
		return;
	}
	/* One chunk as large as the last turn's together serves the next turn of that kind without growing. */
	size_t bytes = turn_chunks_free(turn);

	if (bytes < TURN_CHUNK_BYTES_MIN)
		bytes = TURN_CHUNK_BYTES_MIN;
	if (bytes > TURN_CHUNK_BYTES_KEPT)
		bytes = TURN_CHUNK_BYTES_KEPT;
	turn->chunks = turn_chunk_new(bytes, NULL);
}

void turn_deinit(struct turn *turn) {
	turn_bury(turn);
	(void)turn_chunks_free(turn);
	free(turn->saves);
	free(turn->peer_frames);
	free(turn->client_frames);
	free(turn->snapshots);
	free(turn->backups);
	free(turn->traces);
	free(turn->retired);
	*turn = (struct turn){0};
}

void *turn_alloc(struct turn *turn, size_t bytes) {
	size_t rounded = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	struct turn_chunk *chunk = turn->chunks;

	if (!chunk || rounded > chunk->bytes - chunk->used) {
		size_t fresh = rounded > TURN_CHUNK_BYTES_MIN ? rounded : TURN_CHUNK_BYTES_MIN;

		chunk = turn->chunks = turn_chunk_new(fresh, turn->chunks);
	}
	chunk->used += rounded;
	return chunk->memory + chunk->used - rounded;
}

void *turn_scratch(struct turn *turn, size_t bytes) {
	if (bytes > turn->scratch_bytes) {
		turn->scratch = turn_alloc(turn, bytes);
		turn->scratch_bytes = bytes;
	}
	return turn->scratch;
}

void turn_retire(struct turn *turn, void *memory) {
	turn->retired = memory_grow(turn->retired, &turn->retired_max, turn->n_retired + 1, sizeof *turn->retired);
	turn->retired[turn->n_retired++] = memory;
}

struct node_save *turn_save(struct turn *turn) {
	turn->saves = memory_grow(turn->saves, &turn->saves_max, turn->n_saves + 1, sizeof *turn->saves);
	turn->saves[turn->n_saves] = (struct node_save){0};
	return &turn->saves[turn->n_saves++];
}

struct node_peer_frame *turn_peer_frame(struct turn *turn) {
	turn->peer_frames = memory_grow(turn->peer_frames, &turn->peer_frames_max, turn->n_peer_frames + 1,
					sizeof *turn->peer_frames);
	turn->peer_frames[turn->n_peer_frames] = (struct node_peer_frame){0};
	return &turn->peer_frames[turn->n_peer_frames++];
}

struct node_client_frame *turn_client_frame(struct turn *turn) {
	turn->client_frames = memory_grow(turn->client_frames, &turn->client_frames_max, turn->n_client_frames + 1,
					  sizeof *turn->client_frames);
	turn->client_frames[turn->n_client_frames] = (struct node_client_frame){0};
	return &turn->client_frames[turn->n_client_frames++];
}

struct node_snapshot *turn_snapshot(struct turn *turn) {
	turn->snapshots =
		memory_grow(turn->snapshots, &turn->snapshots_max, turn->n_snapshots + 1, sizeof *turn->snapshots);
	turn->snapshots[turn->n_snapshots] = (struct node_snapshot){0};
	return &turn->snapshots[turn->n_snapshots++];
}

struct node_backup *turn_backup(struct turn *turn) {
	turn->backups = memory_grow(turn->backups, &turn->backups_max, turn->n_backups + 1, sizeof *turn->backups);
	turn->backups[turn->n_backups] = (struct node_backup){0};
	return &turn->backups[turn->n_backups++];
}

void turn_trace(struct turn *turn, uint32_t group, const char *text) {
	size_t n = strlen(text) + 1;
	char *copy = turn_alloc(turn, n);

	memcpy(copy, text, n);
	turn->traces = memory_grow(turn->traces, &turn->traces_max, turn->n_traces + 1, sizeof *turn->traces);
	turn->traces[turn->n_traces++] = (struct node_trace){.group = group, .text = copy};
}
