/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack, as xxhash.h asks for it */
#include "snapshot_receive.h"

#include "api/bytes.h"
#include "api/limits.h"
#include "api/peer.pb-c.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

static bool is_acceptable(const Peer__SnapshotHeader *header, const struct node_uuid *incarnation) {
	return header->format == SNAPSHOT_FORMAT && header->incarnation.len == LIMIT_UUID_BYTES &&
	       memcmp(header->incarnation.data, incarnation->bytes, LIMIT_UUID_BYTES) == 0 && header->header.len > 0 &&
	       header->bytes <= LIMIT_SNAPSHOT_BYTES_MAX && header->rows <= header->bytes / 4;
}

int snapshot_receive_new(const struct frame *frame, const struct node_uuid *incarnation, struct arena *arena,
			 struct snapshot_receive **ret) {
	struct snapshot_receive *receive;
	Peer__SnapshotHeader *header;

	if (frame->type != FRAME_PEER_SNAPSHOT_HEADER)
		return -EBADMSG;
	if (arena_reset(arena, frame->body_bytes) < 0)
		return -ENOMEM;
	header = peer__snapshot_header__unpack(&arena->allocator, frame->body_bytes, frame->body);
	if (!header || !is_acceptable(header, incarnation))
		return -EBADMSG;

	receive = calloc(1, sizeof *receive);
	if (!receive)
		return -ENOMEM;
	receive->group = header->group;
	receive->term = header->sender_term;
	receive->n_max = header->bytes;
	receive->n_rows = header->rows;
	receive->header_bytes = header->header.len;
	receive->header = malloc(header->header.len);
	receive->bytes = mmap(NULL, receive->n_max + 1, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!receive->header || receive->bytes == MAP_FAILED) {
		snapshot_receive_free(receive);
		return -ENOMEM;
	}
	memcpy(receive->header, header->header.data, header->header.len);
	*ret = receive;
	return 0;
}

struct snapshot_receive *snapshot_receive_free(struct snapshot_receive *receive) {
	if (!receive)
		return NULL;
	if (receive->bytes && receive->bytes != MAP_FAILED)
		munmap(receive->bytes, receive->n_max + 1);
	free(receive->header);
	free(receive->rows);
	free(receive);
	return NULL;
}

static int take_chunk(struct snapshot_receive *receive, const struct frame *frame, struct arena *arena) {
	Peer__SnapshotChunk *chunk = peer__snapshot_chunk__unpack(&arena->allocator, frame->body_bytes, frame->body);

	if (!chunk || chunk->offset != receive->n || chunk->data.len > receive->n_max - receive->n)
		return -EBADMSG;
	if (chunk->data.len > 0)
		memcpy(receive->bytes + receive->n, chunk->data.data, chunk->data.len);
	receive->n += chunk->data.len;
	return 0;
}

static bool digest_matches(const struct snapshot_receive *receive, const ProtobufCBinaryData *digest) {
	XXH3_state_t state;
	XXH128_canonical_t canonical;

	XXH3_128bits_reset(&state);
	XXH3_128bits_update(&state, receive->header, receive->header_bytes);
	XXH3_128bits_update(&state, receive->bytes, receive->n);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
	return digest->len == sizeof canonical.digest &&
	       memcmp(digest->data, canonical.digest, sizeof canonical.digest) == 0;
}

static int split_rows(struct snapshot_receive *receive) {
	size_t at = 0, n = 0;

	receive->rows = calloc(receive->n_rows ? receive->n_rows : 1, sizeof *receive->rows);
	if (!receive->rows)
		return -ENOMEM;
	while (at < receive->n) {
		size_t bytes;

		if (receive->n - at < 4 || n == receive->n_rows)
			return -EBADMSG;
		bytes = bytes_get_u32(receive->bytes + at);
		at += 4;
		if (bytes > receive->n - at)
			return -EBADMSG;
		receive->rows[n++] = (struct node_bytes){.bytes = receive->bytes + at, .n = bytes};
		at += bytes;
	}
	return n == receive->n_rows ? 0 : -EBADMSG;
}

static int take_end(struct snapshot_receive *receive, const struct frame *frame, struct arena *arena) {
	Peer__SnapshotEnd *end = peer__snapshot_end__unpack(&arena->allocator, frame->body_bytes, frame->body);
	int r;

	if (!end || receive->n != receive->n_max || !digest_matches(receive, &end->digest))
		return -EBADMSG;
	r = split_rows(receive);
	return r < 0 ? r : SNAPSHOT_COMPLETE;
}

int snapshot_receive_frame(struct snapshot_receive *receive, const struct frame *frame, struct arena *arena) {
	assert(!receive->rows);
	if (arena_reset(arena, frame->body_bytes) < 0)
		return -ENOMEM;
	switch (frame->type) {
	case FRAME_PEER_SNAPSHOT_CHUNK: return take_chunk(receive, frame, arena);
	case FRAME_PEER_SNAPSHOT_END: return take_end(receive, frame, arena);
	default: return -EBADMSG;
	}
}
