/* SPDX-License-Identifier: Apache-2.0 */
#include "wal.h"

#include "failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	HEADER_BYTES = 32,
	FRAME_HEADER_BYTES = 24,
	FRAME_SALTS = 8, /* behind page number and commit field */
	SECTOR_BYTES = 512,
	PAGE_BYTES_MAX = 65536,
};

static const uint32_t wal_magic = 0x377f0682; /* lowest bit: checksums over big-endian words */

struct sum {
	uint32_t a, b;
};

struct wal {
	const char *path;
	int fd;
	bool big_endian;
	uint32_t page_bytes;
	uint8_t salts[8];
	struct sum sum; /* stored in the frame before the next one */
};

static uint32_t get_big(const uint8_t *in) {
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static uint32_t get_little(const uint8_t *in) {
	return (uint32_t)in[3] << 24 | (uint32_t)in[2] << 16 | (uint32_t)in[1] << 8 | in[0];
}

static struct sum sum_add(const struct wal *wal, struct sum sum, const uint8_t *bytes, size_t n) {
	for (size_t i = 0; i < n; i += 8) {
		sum.a += (wal->big_endian ? get_big(bytes + i) : get_little(bytes + i)) + sum.b;
		sum.b += (wal->big_endian ? get_big(bytes + i + 4) : get_little(bytes + i + 4)) + sum.a;
	}
	return sum;
}

static struct sum sum_stored(const uint8_t *in) {
	return (struct sum){get_big(in), get_big(in + 4)};
}

static bool sum_equal(struct sum x, struct sum y) {
	return x.a == y.a && x.b == y.b;
}

static int wal_pread(const struct wal *wal, uint8_t *out, size_t n, uint64_t offset, struct store_error *error) {
	ssize_t got = pread(wal->fd, out, n, (off_t)offset);

	if (got < 0)
		return failure_read(error, wal->path);
	if ((size_t)got < n)
		return failure(error, -EIO, "cannot read %s: it became shorter meanwhile", wal->path);
	return 0;
}

/* The header is synced before the first frame is written: with frames behind it a bad one is damage. */
static int wal_read_header(struct wal *wal, struct wal_facts *facts, struct store_error *error) {
	uint8_t header[HEADER_BYTES];
	int r = wal_pread(wal, header, sizeof header, 0, error);

	if (r != 0)
		return r;

	wal->big_endian = header[3] & 1;
	wal->page_bytes = get_big(header + 8);
	memcpy(wal->salts, header + 16, sizeof wal->salts);
	wal->sum = sum_stored(header + 24);
	facts->bad_header = (get_big(header) & ~1u) != wal_magic ||
			    !sum_equal(sum_add(wal, (struct sum){0}, header, 24), wal->sum) || wal->page_bytes < 512 ||
			    wal->page_bytes > PAGE_BYTES_MAX;
	if (!facts->bad_header)
		facts->frames = (facts->bytes - HEADER_BYTES) / (FRAME_HEADER_BYTES + wal->page_bytes);
	return 0;
}

struct frame_state {
	bool ours;      /* of this round of the file */
	bool commit;    /* ends a transaction */
	bool continues; /* its checksum is right, given what its predecessor stores */
};

/* Of a frame that a power cut has torn, page number and commit field may be those of an older one while its salts are
 * its own: where a sector ends between them. The checksum alone tells then whether they belong together. */
static bool wal_tears_header(uint64_t offset) {
	return (offset + FRAME_SALTS) % SECTOR_BYTES == 0;
}

static int wal_read_frame(struct wal *wal, uint64_t number, uint8_t *buffer, struct frame_state *ret,
			  struct store_error *error) {
	size_t bytes = FRAME_HEADER_BYTES + wal->page_bytes;
	uint64_t offset = HEADER_BYTES + number * bytes;
	struct sum sum;
	int r = wal_pread(wal, buffer, bytes, offset, error);

	if (r != 0)
		return r;

	sum = sum_add(wal, wal->sum, buffer, 8);
	sum = sum_add(wal, sum, buffer + FRAME_HEADER_BYTES, wal->page_bytes);
	ret->ours = memcmp(buffer + FRAME_SALTS, wal->salts, sizeof wal->salts) == 0;
	wal->sum = sum_stored(buffer + 16);
	ret->continues = ret->ours && sum_equal(sum, wal->sum);
	ret->commit = ret->ours && get_big(buffer + 4) != 0 && (ret->continues || !wal_tears_header(offset));
	return 0;
}

static void wal_count_frame(struct wal_facts *facts, uint64_t number, const struct frame_state *before,
			    const struct frame_state *frame) {
	bool torn = facts->valid < number - 1;

	facts->current += frame->ours;
	if (torn) {
		if (before->commit && frame->continues && !facts->damaged)
			facts->damaged = facts->valid + 1;
		return;
	}
	if (!frame->continues)
		return;
	facts->valid = number;
	if (frame->commit) {
		facts->commits++;
		facts->committed = number;
	}
}

static int wal_examine_frames(struct wal *wal, struct wal_facts *facts, struct store_error *error) {
	struct frame_state frame, before = {0};
	uint8_t *buffer = malloc(FRAME_HEADER_BYTES + wal->page_bytes);
	int r = buffer ? 0 : failure(error, -ENOMEM, "out of memory");

	for (uint64_t i = 0; r == 0 && i < facts->frames; i++, before = frame) {
		r = wal_read_frame(wal, i, buffer, &frame, error);
		if (r == 0)
			wal_count_frame(facts, i + 1, &before, &frame);
	}
	free(buffer);
	return r;
}

static int wal_examine_file(struct wal *wal, struct wal_facts *facts, struct store_error *error) {
	struct stat stat;
	int r;

	if (fstat(wal->fd, &stat) < 0)
		return failure_errno(error, "examine", wal->path);
	facts->bytes = (uint64_t)stat.st_size;
	if (stat.st_size <= HEADER_BYTES)
		return 0;
	r = wal_read_header(wal, facts, error);
	return r == 0 && !facts->bad_header ? wal_examine_frames(wal, facts, error) : r;
}

static int wal_open(struct wal *wal, const struct folder *folder, const char *name, struct wal_facts *facts,
		    struct store_error *error) {
	wal->fd = openat(folder->fd, name, O_RDONLY | O_CLOEXEC);
	if (wal->fd >= 0)
		return wal_examine_file(wal, facts, error);
	facts->missing = errno == ENOENT;
	return facts->missing ? 0 : failure_errno(error, "open", wal->path);
}

int wal_examine(const struct folder *folder, const char *name, struct wal_facts *ret, struct store_error *error) {
	char *path = folder_path(folder, name);
	struct wal wal = {.path = path, .fd = -1};
	struct wal_facts facts = {0};
	int r = path ? wal_open(&wal, folder, name, &facts, error) : failure(error, -ENOMEM, "out of memory");

	if (wal.fd >= 0)
		close(wal.fd);
	free(path);
	if (r == 0)
		*ret = facts;
	return r;
}

int wal_scan(const struct folder *folder, const char *name, uint64_t *ret_frames, struct store_error *error) {
	struct wal_facts facts;
	int r = wal_examine(folder, name, &facts, error);

	if (r != 0)
		return r;
	if (facts.bad_header)
		return failure(error, -EBADMSG,
			       "%s/%s is damaged: its header has no valid checksum, so what was committed is lost",
			       folder->path, name);
	if (facts.damaged)
		return failure(error, -EBADMSG,
			       "%s/%s is damaged: frame %llu of %llu has no valid checksum, yet commits follow it",
			       folder->path, name, (unsigned long long)facts.damaged, (unsigned long long)facts.frames);
	*ret_frames = facts.valid;
	return 0;
}
