/* SPDX-License-Identifier: Apache-2.0 */
#include "superblock.h"

#include "api/bytes.h"
#include "failure.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	SLOT_BYTES = 4096,
	SECTOR_BYTES = 512,
	MARKS_OFFSET = 2 * SLOT_BYTES,
	MARKS_BYTES = LIMIT_GROUPS_MAX * SECTOR_BYTES,
	FILE_BYTES = MARKS_OFFSET + 2 * MARKS_BYTES,
	CHECKSUM_BYTES = 8,

	/* A slot. Every format keeps the place of magic, format and, at the end, the checksum. */
	SLOT_MAGIC = 0,
	SLOT_FORMAT = 8,
	SLOT_N_GROUPS = 12,
	SLOT_GENERATION = 16,
	SLOT_UUID = 24,
	SLOT_INCARNATION = 40,
	SLOT_EPOCH = 56,
	SLOT_CLEAN = 60,
	SLOT_BOOT_COUNT = 64,
	SLOT_GROUPS = 128,
	SLOT_GROUP_BYTES = 24,

	/* A sector. */
	MARK_GROUP = 0,
	MARK_GENERATION = 8,
	MARK_INDEX = 16,
	MARK_TERM = 24,
	MARK_CHAIN = 32,
};

_Static_assert(SLOT_GROUPS + LIMIT_GROUPS_MAX * SLOT_GROUP_BYTES <= SLOT_BYTES - CHECKSUM_BYTES, "all groups fit");

static const uint64_t slot_magic = 0x31626c736b636f6c; /* "lockslb1" */

static void seal(uint8_t *bytes, size_t n) {
	bytes_put_u64(bytes + n - CHECKSUM_BYTES, XXH3_64bits(bytes, n - CHECKSUM_BYTES));
}

static bool is_sealed(const uint8_t *bytes, size_t n) {
	return bytes_get_u64(bytes + n - CHECKSUM_BYTES) == XXH3_64bits(bytes, n - CHECKSUM_BYTES);
}

static bool is_zero(const uint8_t *bytes, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (bytes[i])
			return false;
	return true;
}

static int superblock_pwrite(struct superblock *superblock, const uint8_t *bytes, size_t n, off_t offset,
			     struct store_error *error) {
	ssize_t written = pwrite(superblock->fd, bytes, n, offset);

	if (written < 0)
		return failure_errno(error, "write", superblock->path);
	if ((size_t)written < n)
		return failure(error, STORE_FULL, "cannot write %s: the disk is full", superblock->path);
	return 0;
}

/* ---- Slots --------------------------------------------------------------------------------------------------------
 */

static void slot_pack(const struct superblock *superblock, uint64_t generation, uint8_t *out) {
	memset(out, 0, SLOT_BYTES);
	bytes_put_u64(out + SLOT_MAGIC, slot_magic);
	bytes_put_u32(out + SLOT_FORMAT, FOLDER_FORMAT);
	bytes_put_u32(out + SLOT_N_GROUPS, (uint32_t)superblock->n_groups);
	bytes_put_u64(out + SLOT_GENERATION, generation);
	memcpy(out + SLOT_UUID, superblock->uuid.bytes, sizeof superblock->uuid);
	memcpy(out + SLOT_INCARNATION, superblock->incarnation.bytes, sizeof superblock->incarnation);
	bytes_put_u32(out + SLOT_EPOCH, superblock->epoch);
	bytes_put_u32(out + SLOT_CLEAN, superblock->clean);
	bytes_put_u64(out + SLOT_BOOT_COUNT, superblock->boot_count);
	for (size_t i = 0; i < superblock->n_groups; i++) {
		const struct superblock_group *group = &superblock->groups[i];
		uint8_t *at = out + SLOT_GROUPS + i * SLOT_GROUP_BYTES;

		bytes_put_u32(at, group->group);
		bytes_put_u32(at + 4, group->vote);
		bytes_put_u64(at + 8, group->term);
		bytes_put_u32(at + 16, group->promise_ms);
	}
	seal(out, SLOT_BYTES);
}

static void slot_unpack(struct superblock *superblock, const uint8_t *in) {
	superblock->n_groups = bytes_get_u32(in + SLOT_N_GROUPS);
	superblock->generation = bytes_get_u64(in + SLOT_GENERATION);
	memcpy(superblock->uuid.bytes, in + SLOT_UUID, sizeof superblock->uuid);
	memcpy(superblock->incarnation.bytes, in + SLOT_INCARNATION, sizeof superblock->incarnation);
	superblock->epoch = bytes_get_u32(in + SLOT_EPOCH);
	superblock->clean = bytes_get_u32(in + SLOT_CLEAN) != 0;
	superblock->boot_count = bytes_get_u64(in + SLOT_BOOT_COUNT);
	for (size_t i = 0; i < superblock->n_groups; i++) {
		const uint8_t *at = in + SLOT_GROUPS + i * SLOT_GROUP_BYTES;

		superblock->groups[i] = (struct superblock_group){
			.group = bytes_get_u32(at),
			.vote = bytes_get_u32(at + 4),
			.term = bytes_get_u64(at + 8),
			.promise_ms = bytes_get_u32(at + 16),
		};
	}
}

static bool slot_is_valid(const uint8_t *slot) {
	return bytes_get_u64(slot + SLOT_MAGIC) == slot_magic && is_sealed(slot, SLOT_BYTES);
}

static void slot_look(const uint8_t *slot, struct superblock_slot *ret) {
	ret->state = slot_is_valid(slot)          ? SUPERBLOCK_VALID
		     : is_zero(slot, SLOT_BYTES) ? SUPERBLOCK_EMPTY
						 : SUPERBLOCK_INVALID;
	ret->format = bytes_get_u32(slot + SLOT_FORMAT);
	if (ret->state == SUPERBLOCK_VALID && ret->format == FOLDER_FORMAT &&
	    bytes_get_u32(slot + SLOT_N_GROUPS) <= LIMIT_GROUPS_MAX)
		slot_unpack(&ret->content, slot);
}

/* One bad slot may be what a power cut left of a write that nobody was told of. If it was damaged later, the other one
 * is too old, and the hard states of raft.db give that away. */
static int slots_read(struct superblock *superblock, const uint8_t *file, struct store_error *error) {
	const uint8_t *newest = NULL;

	for (int i = 0; i < 2; i++) {
		const uint8_t *slot = file + i * SLOT_BYTES;

		if (!slot_is_valid(slot))
			continue;
		if (bytes_get_u32(slot + SLOT_FORMAT) != FOLDER_FORMAT)
			return failure(error, -ENOTSUP, "%s has format %u, this program reads format %d",
				       superblock->path, bytes_get_u32(slot + SLOT_FORMAT), FOLDER_FORMAT);
		if (bytes_get_u32(slot + SLOT_N_GROUPS) > LIMIT_GROUPS_MAX)
			return failure(error, -EBADMSG, "%s names more than %d groups", superblock->path,
				       LIMIT_GROUPS_MAX);
		if (!newest || bytes_get_u64(slot + SLOT_GENERATION) > bytes_get_u64(newest + SLOT_GENERATION))
			newest = slot;
	}
	if (!newest)
		return failure(error, -EBADMSG, "%s is damaged: neither of its slots has a valid checksum",
			       superblock->path);
	slot_unpack(superblock, newest);
	return 0;
}

/* ---- Marks --------------------------------------------------------------------------------------------------------
 */

static off_t mark_offset(size_t position, uint64_t generation) {
	return MARKS_OFFSET + (off_t)(generation & 1) * MARKS_BYTES + (off_t)position * SECTOR_BYTES;
}

static void mark_unpack(struct superblock_mark *mark, const uint8_t *in) {
	*mark = (struct superblock_mark){
		.group = bytes_get_u32(in + MARK_GROUP),
		.generation = bytes_get_u64(in + MARK_GENERATION),
		.index = bytes_get_u64(in + MARK_INDEX),
		.term = bytes_get_u64(in + MARK_TERM),
		.chain = bytes_get_u64(in + MARK_CHAIN),
	};
}

static void sector_look(const uint8_t *sector, struct superblock_sector *ret) {
	*ret = (struct superblock_sector){.state = is_zero(sector, SECTOR_BYTES)     ? SUPERBLOCK_EMPTY
						   : is_sealed(sector, SECTOR_BYTES) ? SUPERBLOCK_VALID
										     : SUPERBLOCK_INVALID};
	if (ret->state == SUPERBLOCK_VALID)
		mark_unpack(&ret->mark, sector);
}

/* A sector is written whole or not at all, so a bad one is damage; with a good twin its loss costs one update at most.
 */
static int marks_read(struct superblock *superblock, const uint8_t *file, struct store_error *error) {
	for (size_t position = 0; position < LIMIT_GROUPS_MAX; position++) {
		struct superblock_mark newest = {0};
		int written = 0, valid = 0;

		for (uint32_t parity = 0; parity < 2; parity++) {
			struct superblock_sector sector;

			sector_look(file + mark_offset(position, parity), &sector);
			written += sector.state != SUPERBLOCK_EMPTY;
			if (sector.state != SUPERBLOCK_VALID)
				continue;
			if (!valid++ || sector.mark.generation > newest.generation)
				newest = sector.mark;
		}
		if (written == 0)
			break;
		if (valid == 0)
			return failure(error, -EBADMSG,
				       "%s is damaged: watermark %zu has no valid checksum, so the log cannot be "
				       "judged",
				       superblock->path, position);
		superblock->marks[superblock->n_marks++] = newest;
	}
	return 0;
}

static int mark_write(struct superblock *superblock, struct superblock_mark *mark, struct store_error *error) {
	uint8_t sector[SECTOR_BYTES] = {0};
	uint64_t generation = mark->generation + 1;
	int r;

	bytes_put_u32(sector + MARK_GROUP, mark->group);
	bytes_put_u64(sector + MARK_GENERATION, generation);
	bytes_put_u64(sector + MARK_INDEX, mark->index);
	bytes_put_u64(sector + MARK_TERM, mark->term);
	bytes_put_u64(sector + MARK_CHAIN, mark->chain);
	seal(sector, sizeof sector);
	r = superblock_pwrite(superblock, sector, sizeof sector,
			      mark_offset((size_t)(mark - superblock->marks), generation), error);
	if (r == 0)
		mark->generation = generation;
	return r;
}

static struct superblock_mark *mark_of(struct superblock *superblock, uint32_t group) {
	for (size_t i = 0; i < superblock->n_marks; i++)
		if (superblock->marks[i].group == group)
			return &superblock->marks[i];
	return NULL;
}

int superblock_mark(struct superblock *superblock, const struct superblock_mark *acknowledged,
		    struct store_error *error) {
	struct superblock_mark *mark = mark_of(superblock, acknowledged->group);
	int r;

	if (!mark) {
		assert(superblock->n_marks < LIMIT_GROUPS_MAX);
		mark = &superblock->marks[superblock->n_marks++];
		*mark = (struct superblock_mark){.group = acknowledged->group};
	}
	mark->index = acknowledged->index;
	mark->term = acknowledged->term;
	mark->chain = acknowledged->chain;
	r = mark_write(superblock, mark, error);
	if (r != 0)
		return r;
	/* The first mark of a group takes a place in the file. Synced at once, places are durable in their order and
	 * the file never has a hole. */
	return mark->generation == 1 ? superblock_sync(superblock, error) : 0;
}

int superblock_lower(struct superblock *superblock, uint32_t group, raft_index index, struct store_error *error) {
	struct superblock_mark *mark = mark_of(superblock, group), before;
	int r;

	if (!mark || mark->index < index || (mark->index == index && mark->term == 0))
		return 0;
	before = *mark;
	mark->index = index;
	mark->term = 0;
	mark->chain = 0;
	r = mark_write(superblock, mark, error);
	if (r != 0) {
		*mark = before; /* or the next attempt would find nothing to do */
		return r;
	}
	superblock->sync_due = true;
	return 0;
}

/* ---- The whole ----------------------------------------------------------------------------------------------------
 */

static int superblock_open_file(struct superblock *superblock, const struct folder *folder, int flags,
				struct store_error *error) {
	*superblock = (struct superblock){.fd = -1, .path = folder_path(folder, "superblock")};
	if (!superblock->path)
		return failure(error, -ENOMEM, "out of memory");

	superblock->fd = openat(folder->fd, "superblock", O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (superblock->fd < 0)
		return failure_errno(error, "open", superblock->path);
	return 0;
}

/* Every byte is written once: later writes then need no new blocks, and a sync of them no metadata. */
static int superblock_fill(struct superblock *superblock, struct store_error *error) {
	uint8_t zeros[FILE_BYTES] = {0};
	int r;

	if (getrandom(superblock->uuid.bytes, sizeof superblock->uuid, 0) != sizeof superblock->uuid)
		return failure_errno(error, "draw a random uuid for", superblock->path);

	r = superblock_pwrite(superblock, zeros, sizeof zeros, 0, error);
	if (r != 0)
		return r;
	superblock->slot_due = true;
	r = superblock_write(superblock, error);
	if (r != 0)
		return r;
	if (fsync(superblock->fd) < 0)
		return failure_errno(error, "sync", superblock->path);
	return 0;
}

int superblock_create(struct superblock *superblock, const struct folder *folder, struct store_error *error) {
	int r = superblock_open_file(superblock, folder, O_CREAT | O_TRUNC, error);

	if (r == 0)
		r = superblock_fill(superblock, error);
	if (r == 0)
		r = folder_sync(folder, error);
	if (r != 0)
		superblock_close(superblock);
	return r;
}

static int superblock_read(struct superblock *superblock, struct store_error *error) {
	uint8_t file[FILE_BYTES] = {0};
	ssize_t n = pread(superblock->fd, file, sizeof file, 0);
	int r;

	if (n < 0)
		return failure_read(error, superblock->path);
	r = slots_read(superblock, file, error);
	if (r != 0)
		return r;
	if ((size_t)n < sizeof file)
		return failure(error, -EBADMSG, "%s is damaged: it has %zd bytes instead of %d", superblock->path, n,
			       FILE_BYTES);
	return marks_read(superblock, file, error);
}

int superblock_open(struct superblock *superblock, const struct folder *folder, struct store_error *error) {
	int r = superblock_open_file(superblock, folder, 0, error);

	if (r == 0)
		r = superblock_read(superblock, error);
	if (r != 0)
		superblock_close(superblock);
	return r;
}

int superblock_salvage(struct superblock *superblock, const struct folder *folder) {
	int fd = openat(folder->fd, "superblock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW), n = 0;
	uint8_t slot[SLOT_BYTES];

	*superblock = (struct superblock){.fd = -1};
	for (int i = 0; fd >= 0 && i < 2; i++) {
		if (pread(fd, slot, sizeof slot, (off_t)i * SLOT_BYTES) != sizeof slot || !slot_is_valid(slot) ||
		    bytes_get_u32(slot + SLOT_FORMAT) != FOLDER_FORMAT ||
		    bytes_get_u32(slot + SLOT_N_GROUPS) > LIMIT_GROUPS_MAX)
			continue;
		if (n++ == 0 || bytes_get_u64(slot + SLOT_GENERATION) > superblock->generation)
			slot_unpack(superblock, slot);
	}
	if (fd >= 0)
		close(fd);
	return n;
}

int superblock_look(const struct folder *folder, struct superblock_view *ret, struct store_error *error) {
	uint8_t file[FILE_BYTES] = {0};
	struct superblock superblock;
	ssize_t n = 0;
	int r = superblock_open_file(&superblock, folder, 0, error);

	if (r == 0) {
		n = pread(superblock.fd, file, sizeof file, 0);
		r = n < 0 ? failure_read(error, superblock.path) : 0;
	}
	superblock_close(&superblock);
	if (r != 0)
		return r;
	*ret = (struct superblock_view){.bytes = (uint64_t)n, .bytes_expected = FILE_BYTES};
	for (uint32_t i = 0; i < 2; i++)
		slot_look(file + i * SLOT_BYTES, &ret->slots[i]);
	for (size_t position = 0; position < LIMIT_GROUPS_MAX; position++)
		for (uint32_t parity = 0; parity < 2; parity++)
			sector_look(file + mark_offset(position, parity), &ret->sectors[position][parity]);
	return 0;
}

void superblock_close(struct superblock *superblock) {
	if (!superblock->path)
		return;
	if (superblock->fd >= 0)
		close(superblock->fd);
	free(superblock->path);
	*superblock = (struct superblock){0};
}

void superblock_set_identity(struct superblock *superblock, const struct node_uuid *incarnation, uint32_t epoch) {
	if (superblock->epoch == epoch && memcmp(&superblock->incarnation, incarnation, sizeof *incarnation) == 0)
		return;
	assert(epoch >= superblock->epoch);
	superblock->incarnation = *incarnation;
	superblock->epoch = epoch;
	superblock->slot_due = true;
}

void superblock_take_back_identity(struct superblock *superblock, const struct node_uuid *incarnation, uint32_t epoch) {
	assert(epoch < superblock->epoch);
	superblock->incarnation = *incarnation;
	superblock->epoch = epoch;
	superblock->slot_due = true;
}

void superblock_set_hard(struct superblock *superblock, const struct superblock_group *hard) {
	struct superblock_group *group = (struct superblock_group *)superblock_find_group(superblock, hard->group);

	if (!group) {
		assert(superblock->n_groups < LIMIT_GROUPS_MAX);
		group = &superblock->groups[superblock->n_groups++];
		*group = (struct superblock_group){.group = hard->group};
		superblock->slot_due = true;
	}
	assert(hard->term >= group->term);
	assert(hard->term > group->term || group->vote == 0 || hard->vote == group->vote);
	if (hard->term == group->term && hard->vote == group->vote && hard->promise_ms <= group->promise_ms)
		return;
	group->term = hard->term;
	group->vote = hard->vote;
	if (hard->promise_ms > group->promise_ms)
		group->promise_ms = hard->promise_ms;
	superblock->slot_due = true;
}

void superblock_set_boot(struct superblock *superblock, uint64_t boot_count, bool clean) {
	superblock->boot_count = boot_count;
	superblock->clean = clean;
	superblock->slot_due = true;
}

static int superblock_write_slot(struct superblock *superblock, struct store_error *error) {
	uint8_t slot[SLOT_BYTES];
	uint64_t generation = superblock->generation + 1;
	int r;

	slot_pack(superblock, generation, slot);
	r = superblock_pwrite(superblock, slot, sizeof slot, (off_t)(generation & 1) * SLOT_BYTES, error);
	if (r != 0)
		return r;
	superblock->generation = generation;
	superblock->slot_due = false;
	superblock->sync_due = true;
	return 0;
}

int superblock_write(struct superblock *superblock, struct store_error *error) {
	if (superblock->slot_due) {
		int r = superblock_write_slot(superblock, error);
		if (r != 0)
			return r;
	}
	return superblock->sync_due ? superblock_sync(superblock, error) : 0;
}

/* After a failed sync the kernel may have dropped the pages, and a second one that succeeds would prove nothing: any
 * failure here ends the process, a full disk included. */
int superblock_sync(struct superblock *superblock, struct store_error *error) {
	if (fdatasync(superblock->fd) < 0) {
		(void)failure_errno(error, "sync", superblock->path);
		return -EIO;
	}
	superblock->sync_due = false;
	return 0;
}

const struct superblock_group *superblock_find_group(const struct superblock *superblock, uint32_t group) {
	for (size_t i = 0; i < superblock->n_groups; i++)
		if (superblock->groups[i].group == group)
			return &superblock->groups[i];
	return NULL;
}

const struct superblock_mark *superblock_find_mark(const struct superblock *superblock, uint32_t group) {
	return mark_of((struct superblock *)superblock, group);
}
