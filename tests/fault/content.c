/* SPDX-License-Identifier: Apache-2.0 */
#include "content.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { CHUNK_BYTES = 4096 };

struct content_chunk {
	size_t owners;
	uint8_t bytes[CHUNK_BYTES];
};

static void chunk_release(struct content_chunk *chunk) {
	if (chunk && --chunk->owners == 0)
		free(chunk);
}

static void content_cut_chunks(struct content *content, size_t n) {
	while (content->n > n)
		chunk_release(content->chunks[--content->n]);
}

void content_deinit(struct content *content) {
	content_cut_chunks(content, 0);
	free(content->chunks);
	*content = (struct content){0};
}

void content_copy(const struct content *content, struct content *ret) {
	*ret = *content;
	ret->chunks = calloc(content->n + 1, sizeof *ret->chunks);
	assert(ret->chunks);
	for (size_t i = 0; i < content->n; i++) {
		ret->chunks[i] = content->chunks[i];
		if (ret->chunks[i])
			ret->chunks[i]->owners++;
	}
}

/* The chunk as one that may be changed. */
static uint8_t *content_own(struct content *content, size_t number) {
	struct content_chunk *shared, *own;

	if (number >= content->n) {
		content->chunks = realloc(content->chunks, (number + 1) * sizeof *content->chunks);
		assert(content->chunks);
		while (content->n <= number)
			content->chunks[content->n++] = NULL;
	}
	shared = content->chunks[number];
	if (shared && shared->owners == 1)
		return shared->bytes;
	own = calloc(1, sizeof *own);
	assert(own);
	own->owners = 1;
	if (shared)
		memcpy(own->bytes, shared->bytes, CHUNK_BYTES);
	chunk_release(shared);
	content->chunks[number] = own;
	return own->bytes;
}

static size_t part_of_chunk(uint64_t offset, size_t n) {
	size_t room = CHUNK_BYTES - offset % CHUNK_BYTES;

	return n < room ? n : room;
}

void content_read(const struct content *content, void *ret, size_t n, uint64_t offset) {
	uint8_t *out = ret;

	while (n > 0) {
		size_t number = offset / CHUNK_BYTES, part = part_of_chunk(offset, n);

		if (number < content->n && content->chunks[number])
			memcpy(out, content->chunks[number]->bytes + offset % CHUNK_BYTES, part);
		else
			memset(out, 0, part);
		out += part;
		offset += part;
		n -= part;
	}
}

void content_write(struct content *content, const void *bytes, size_t n, uint64_t offset) {
	const uint8_t *in = bytes;

	if (offset + n > content->bytes)
		content->bytes = offset + n;
	while (n > 0) {
		size_t part = part_of_chunk(offset, n);

		memcpy(content_own(content, offset / CHUNK_BYTES) + offset % CHUNK_BYTES, in, part);
		in += part;
		offset += part;
		n -= part;
	}
}

void content_resize(struct content *content, uint64_t bytes) {
	size_t last = bytes / CHUNK_BYTES, kept = bytes % CHUNK_BYTES;

	if (bytes < content->bytes) {
		content_cut_chunks(content, last + (kept > 0));
		if (kept > 0 && last < content->n && content->chunks[last])
			memset(content_own(content, last) + kept, 0, CHUNK_BYTES - kept);
	}
	content->bytes = bytes;
}

uint64_t content_hash(const struct content *content, uint64_t seed) {
	uint64_t hash = XXH3_64bits_withSeed(&content->bytes, sizeof content->bytes, seed);

	for (size_t i = 0; i < content->n; i++)
		if (content->chunks[i])
			hash = XXH3_64bits_withSeed(content->chunks[i]->bytes, CHUNK_BYTES, hash + i);
	return hash;
}
