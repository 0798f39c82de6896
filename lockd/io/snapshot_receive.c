/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack, as xxhash.h asks for it */
#include "snapshot_receive.h"

#include "api/bytes.h"
#include "api/limits.h"
#include "api/peer.pb-c.h"
#include "api/record.pb-c.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

static bool is_acceptable(const Peer__SnapshotHeader *header, const struct node_uuid *incarnation) {
	return header->format == SNAPSHOT_FORMAT && header->incarnation.len == LIMIT_UUID_BYTES &&
	       memcmp(header->incarnation.data, incarnation->bytes, LIMIT_UUID_BYTES) == 0 && header->header.len > 0 &&
	       header->digest.len == SNAPSHOT_DIGEST_BYTES && header->rows <= header->bytes / 4;
}

/* Same digest: same header and same rows. The sizes are compared because nothing has proved the digest yet. */
static bool goes_on(const struct snapshot_receive *receive, const Peer__SnapshotHeader *header) {
	return receive && memcmp(receive->digest.bytes, header->digest.data, SNAPSHOT_DIGEST_BYTES) == 0 &&
	       receive->group == header->group && receive->n == header->offset && receive->n_max == header->bytes &&
	       receive->n_rows == header->rows && receive->header_bytes == header->header.len &&
	       memcmp(receive->header, header->header.data, header->header.len) == 0;
}

static int allocate(struct snapshot_receive *receive) {
	receive->header = malloc(receive->header_bytes);
	receive->bytes = mmap(NULL, receive->n_max + 1, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return receive->header && receive->bytes != MAP_FAILED ? 0 : -ENOMEM;
}

static int begin_anew(const Peer__SnapshotHeader *header, raft_index index, struct snapshot_receive **ret) {
	struct snapshot_receive *receive = calloc(1, sizeof *receive);

	if (!receive)
		return -ENOMEM;
	receive->group = header->group;
	receive->term = header->sender_term;
	receive->index = index;
	receive->n_max = header->bytes;
	receive->n_rows = header->rows;
	receive->header_bytes = header->header.len;
	memcpy(receive->digest.bytes, header->digest.data, SNAPSHOT_DIGEST_BYTES);
	if (allocate(receive) < 0) {
		snapshot_receive_free(receive);
		return -ENOMEM;
	}
	memcpy(receive->header, header->header.data, header->header.len);
	*ret = receive;
	return 0;
}

/* A record that cannot be read ends at 0: the node, which takes it apart, will say what is wrong with it. */
static raft_index index_of(const Peer__SnapshotHeader *header) {
	Record__Header *record = record__header__unpack(NULL, header->header.len, header->header.data);
	raft_index index = record ? record->index : 0;

	record__header__free_unpacked(record, NULL);
	return index;
}

static int take_header(const Peer__SnapshotHeader *header, struct snapshot_receive **receive) {
	if (goes_on(*receive, header)) {
		(*receive)->term = header->sender_term;
		free((*receive)->rows); /* complete already: the end comes once more */
		(*receive)->rows = NULL;
		return 0;
	}
	*receive = snapshot_receive_free(*receive);
	if (header->bytes > LIMIT_SNAPSHOT_BYTES_MAX)
		return -EFBIG;
	return header->offset == 0 ? begin_anew(header, index_of(header), receive) : -EBADMSG;
}

int snapshot_receive_begin(const struct frame *frame, const struct node_uuid *incarnation, struct arena *arena,
			   struct snapshot_receive **receive) {
	Peer__SnapshotHeader *header = NULL;

	if (frame->type == FRAME_PEER_SNAPSHOT_HEADER && arena_reset(arena, frame->body_bytes) == 0)
		header = peer__snapshot_header__unpack(&arena->allocator, frame->body_bytes, frame->body);
	if (header && is_acceptable(header, incarnation))
		return take_header(header, receive);
	*receive = snapshot_receive_free(*receive);
	return -EBADMSG;
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

	if (!end || receive->n != receive->n_max || !digest_matches(receive, &end->digest) ||
	    memcmp(receive->digest.bytes, end->digest.data, SNAPSHOT_DIGEST_BYTES) != 0)
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
