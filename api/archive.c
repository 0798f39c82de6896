/* SPDX-License-Identifier: Apache-2.0 */
#include "api/archive.h"

#include "api/arena.h"
#include "api/bytes.h"
#include "api/limits.h"
#include "api/record.pb-c.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
	MAGIC_BYTES = 8,
	LENGTH_BYTES = 4,
	CHECKSUM_AT = ARCHIVE_LEAD_BYTES - 8,
};

static const uint8_t magic[MAGIC_BYTES] = {'l', 'o', 'c', 'k', 'd', 'b', 'a', 'k'};

void archive_pack_lead(const struct archive_lead *lead, uint8_t out[ARCHIVE_LEAD_BYTES]) {
	memcpy(out, magic, sizeof magic);
	bytes_put_u32(out + 8, ARCHIVE_VERSION);
	bytes_put_u32(out + 12, lead->header_bytes);
	bytes_put_u64(out + 16, lead->rows);
	bytes_put_u64(out + 24, lead->bytes);
	bytes_put_u64(out + 32, lead->made_ms);
	bytes_put_u64(out + CHECKSUM_AT, XXH3_64bits(out, CHECKSUM_AT));
}

int archive_init(struct archive *archive) {
	XXH3_state_t *hash = XXH3_createState();

	*archive = (struct archive){.hash = hash};
	if (!hash)
		return -ENOMEM;
	(void)XXH3_128bits_reset(hash);
	return 0;
}

void archive_deinit(struct archive *archive) {
	(void)XXH3_freeState(archive->hash);
	free(archive->header);
	*archive = (struct archive){0};
}

static int refuse(struct archive *archive, const char *fault) {
	archive->fault = fault;
	return -EBADMSG;
}

/* Fills `piece` up to `want`. true: it is complete, and empty for the next one. */
static bool gather(struct archive *archive, size_t want, const uint8_t **bytes, size_t *n) {
	size_t take = want - archive->n_piece < *n ? want - archive->n_piece : *n;

	memcpy(archive->piece + archive->n_piece, *bytes, take);
	archive->n_piece += take;
	*bytes += take;
	*n -= take;
	if (archive->n_piece < want)
		return false;
	archive->n_piece = 0;
	return true;
}

/* ---- Lead and header ----------------------------------------------------------------------------------------------
 */

static int take_lead(struct archive *archive) {
	const uint8_t *piece = archive->piece;
	struct archive_lead *lead = &archive->lead;

	if (memcmp(piece, magic, sizeof magic) != 0)
		return refuse(archive, "it is no backup of lockd");
	if (bytes_get_u64(piece + CHECKSUM_AT) != XXH3_64bits(piece, CHECKSUM_AT))
		return refuse(archive, "it is damaged: the checksum of its beginning is wrong");
	if (bytes_get_u32(piece + 8) != ARCHIVE_VERSION)
		return refuse(archive, "it has a layout that this version does not know");
	*lead = (struct archive_lead){.header_bytes = bytes_get_u32(piece + 12),
				      .rows = bytes_get_u64(piece + 16),
				      .bytes = bytes_get_u64(piece + 24),
				      .made_ms = bytes_get_u64(piece + 32)};
	if (lead->header_bytes == 0 || lead->header_bytes > ARCHIVE_HEADER_BYTES_MAX ||
	    lead->bytes > LIMIT_SNAPSHOT_BYTES_MAX || lead->rows > lead->bytes / LENGTH_BYTES)
		return refuse(archive, "it announces sizes that no backup has");
	archive->header = malloc(lead->header_bytes);
	if (!archive->header)
		return -ENOMEM;
	archive->stage = ARCHIVE_HEADER;
	return 0;
}

static bool fill_info(const Record__Header *header, struct archive_info *ret) {
	if (!header || header->format != 1 || header->incarnation.len != sizeof ret->incarnation ||
	    header->hash.len != sizeof ret->hash || header->index == 0 || header->term == 0 ||
	    header->machine_version == 0 || header->index > UINT64_MAX >> 16)
		return false;
	memcpy(ret->incarnation, header->incarnation.data, sizeof ret->incarnation);
	memcpy(ret->hash, header->hash.data, sizeof ret->hash);
	ret->epoch = header->epoch;
	ret->group = header->group;
	ret->machine_version = header->machine_version;
	ret->index = header->index;
	ret->term = header->term;
	return true;
}

static int take_header(struct archive *archive) {
	const Record__Header *header;
	struct arena arena;
	bool good;

	arena_init(&arena);
	if (arena_reset(&arena, archive->lead.header_bytes) < 0)
		return -ENOMEM;
	header = record__header__unpack(&arena.allocator, archive->lead.header_bytes, archive->header);
	good = fill_info(header, &archive->info) && header->rows == archive->lead.rows;
	arena_deinit(&arena);
	if (!good)
		return refuse(archive, "its header is not one of a checkpoint");
	archive->stage = archive->lead.bytes > 0 ? ARCHIVE_RUN : ARCHIVE_DIGEST;
	return 0;
}

static int read_header(struct archive *archive, const uint8_t **bytes, size_t *n) {
	size_t left = archive->lead.header_bytes - archive->n_header, take = left < *n ? left : *n;

	memcpy(archive->header + archive->n_header, *bytes, take);
	(void)XXH3_128bits_update(archive->hash, *bytes, take);
	archive->n_header += take;
	*bytes += take;
	*n -= take;
	return archive->n_header == archive->lead.header_bytes ? take_header(archive) : 0;
}

/* ---- Run and digest -----------------------------------------------------------------------------------------------
 */

/* Of the piece, which lies in the run whole. */
static int take_run(struct archive *archive, const uint8_t *bytes, size_t n) {
	while (n > 0) {
		size_t take = archive->record_left < n ? archive->record_left : n;

		if (archive->record_left == 0) {
			if (!gather(archive, LENGTH_BYTES, &bytes, &n))
				return 0;
			archive->record_left = bytes_get_u32(archive->piece);
			if (archive->record_left == 0 || ++archive->n_rows > archive->lead.rows)
				return refuse(archive, "its rows do not add up");
			continue;
		}
		archive->record_left -= (uint32_t)take;
		bytes += take;
		n -= take;
	}
	return 0;
}

static int end_run(struct archive *archive) {
	if (archive->record_left > 0 || archive->n_piece > 0 || archive->n_rows != archive->lead.rows)
		return refuse(archive, "its rows do not add up");
	archive->stage = ARCHIVE_DIGEST;
	return 0;
}

static int read_run(struct archive *archive, const uint8_t **bytes, size_t *n) {
	uint64_t left = archive->lead.bytes - archive->n_run;
	size_t take = left < *n ? (size_t)left : *n;
	int r = take_run(archive, *bytes, take);

	if (r < 0)
		return r;
	(void)XXH3_128bits_update(archive->hash, *bytes, take);
	archive->n_run += take;
	*bytes += take;
	*n -= take;
	return archive->n_run == archive->lead.bytes ? end_run(archive) : 0;
}

void archive_get_digest(const struct archive *archive, uint8_t out[ARCHIVE_DIGEST_BYTES]) {
	XXH128_canonical_t canonical;

	assert(archive->stage >= ARCHIVE_DIGEST);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(archive->hash));
	memcpy(out, canonical.digest, ARCHIVE_DIGEST_BYTES);
}

static int take_digest(struct archive *archive) {
	uint8_t digest[ARCHIVE_DIGEST_BYTES];

	archive_get_digest(archive, digest);
	if (memcmp(archive->piece, digest, sizeof digest) != 0)
		return refuse(archive, "it is damaged: header and rows do not have the digest that it ends with");
	archive->stage = ARCHIVE_END;
	return 0;
}

/* ---- Whole --------------------------------------------------------------------------------------------------------
 */

static int read_some(struct archive *archive, const uint8_t **bytes, size_t *n) {
	switch (archive->stage) {
	case ARCHIVE_LEAD: return gather(archive, ARCHIVE_LEAD_BYTES, bytes, n) ? take_lead(archive) : 0;
	case ARCHIVE_HEADER: return read_header(archive, bytes, n);
	case ARCHIVE_RUN: return read_run(archive, bytes, n);
	case ARCHIVE_DIGEST: return gather(archive, ARCHIVE_DIGEST_BYTES, bytes, n) ? take_digest(archive) : 0;
	default: return refuse(archive, "something stands behind its end");
	}
}

int archive_read(struct archive *archive, const void *bytes, size_t n) {
	const uint8_t *at = bytes;
	int r = archive->fault ? -EBADMSG : 0;

	while (r == 0 && n > 0)
		r = read_some(archive, &at, &n);
	return r;
}

int archive_end(struct archive *archive) {
	if (archive->fault)
		return -EBADMSG;
	if (archive->stage == ARCHIVE_LEAD && archive->n_piece < MAGIC_BYTES)
		return refuse(archive, "it is no backup of lockd");
	return archive->stage == ARCHIVE_END ? 0 : refuse(archive, "it ends too early");
}
