/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Parts --------------------------------------------------------------------------------------------------------
 */

struct image_file *image_get(const struct medium *medium, int file) {
	assert(file >= 0 && (size_t)file < medium->n);
	assert(medium->files[file]);
	return medium->files[file];
}

int image_add(struct medium *medium, bool is_folder) {
	struct image_file *file = calloc(1, sizeof *file);

	assert(file);
	file->is_folder = is_folder;
	medium->files = realloc(medium->files, (medium->n + 1) * sizeof(struct image_file *));
	assert(medium->files);
	medium->files[medium->n] = file;
	return (int)medium->n++;
}

static struct image_file *image_file_free(struct image_file *file) {
	if (!file)
		return NULL;
	image_settle(file);
	free(file->changes);
	content_deinit(&file->seen);
	content_deinit(&file->durable);
	content_deinit(&file->before);
	free(file);
	return NULL;
}

static bool image_names_hold(const struct image_names *names, int file) {
	for (size_t i = 0; i < names->n; i++)
		if (names->list[i].file == file)
			return true;
	return false;
}

void image_sweep(struct medium *medium, int file) {
	if (file == MEDIUM_ROOT || medium->files[file]->opens > 0 || image_names_hold(&medium->seen, file) ||
	    image_names_hold(&medium->durable, file))
		return;
	for (size_t i = 0; i < medium->n_renamings; i++)
		if (medium->renamings[i].to.file == file)
			return;
	medium->files[file] = image_file_free(medium->files[file]);
}

struct image_change *image_change_new(uint64_t point, const void *bytes, size_t n, uint64_t offset) {
	struct image_change *change = malloc(sizeof *change + n);

	assert(change);
	*change = (struct image_change){.owners = 1, .point = point, .offset = offset, .n = n};
	if (n)
		memcpy(change->bytes, bytes, n);
	return change;
}

struct image_change *image_resize_new(uint64_t point, uint64_t bytes) {
	struct image_change *change = image_change_new(point, NULL, 0, bytes);

	change->resize = true;
	return change;
}

void image_push(struct image_file *file, struct image_change *change) {
	file->changes = realloc(file->changes, (file->n + 1) * sizeof(struct image_change *));
	assert(file->changes);
	file->changes[file->n++] = change;
}

void image_apply(struct content *content, const struct image_change *change) {
	if (change->resize)
		content_resize(content, change->offset);
	else
		content_write(content, change->bytes, change->n, change->offset);
}

void image_settle(struct image_file *file) {
	for (size_t i = 0; i < file->n; i++)
		if (--file->changes[i]->owners == 0)
			free(file->changes[i]);
	file->n = 0;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------
 */

struct medium *medium_new(void) {
	struct medium *medium = calloc(1, sizeof *medium);

	assert(medium);
	medium->cut_short = -1;
	(void)image_add(medium, true); /* MEDIUM_ROOT, the first */
	return medium;
}

struct medium *medium_free(struct medium *medium) {
	if (!medium)
		return NULL;
	for (size_t i = 0; i < medium->n; i++)
		image_file_free(medium->files[i]);
	free(medium->files);
	free(medium->seen.list);
	free(medium->durable.list);
	free(medium->renamings);
	free(medium);
	return NULL;
}

static void image_file_copy(const struct image_file *from, struct image_file *to) {
	memcpy(to->name, from->name, sizeof to->name);
	content_copy(&from->seen, &to->seen);
	content_copy(&from->durable, &to->durable);
	content_copy(&from->before, &to->before);
	for (size_t i = 0; i < from->n; i++) {
		from->changes[i]->owners++;
		image_push(to, from->changes[i]);
	}
}

struct medium *medium_copy(const struct medium *medium) {
	struct medium *copy = calloc(1, sizeof *copy);

	assert(copy);
	copy->cut_short = -1;
	for (size_t i = 0; i < medium->n; i++) {
		int file = image_add(copy, medium->files[i] && medium->files[i]->is_folder);

		if (medium->files[i])
			image_file_copy(medium->files[i], copy->files[file]);
	}
	image_names_copy(&medium->seen, &copy->seen);
	image_names_copy(&medium->durable, &copy->durable);
	copy->renamings = calloc(medium->n_renamings + 1, sizeof *copy->renamings);
	assert(copy->renamings);
	memcpy(copy->renamings, medium->renamings, medium->n_renamings * sizeof *copy->renamings);
	copy->n_renamings = medium->n_renamings;
	copy->capacity = medium->capacity;
	copy->latency = medium->latency;
	for (size_t i = 0; i < copy->n; i++)
		image_sweep(copy, (int)i); /* what only the process held */
	return copy;
}

void medium_set_watch(struct medium *medium, medium_watch *watch, void *context) {
	medium->watch = watch;
	medium->context = context;
}

uint64_t medium_get_points(const struct medium *medium) {
	return medium->points;
}

void medium_set_harmless(struct medium *medium, bool harmless) {
	medium->harmless = harmless;
}

void medium_set_latency(struct medium *medium, const struct medium_latency *latency) {
	medium->latency = *latency;
}

uint64_t medium_get_elapsed_usec(const struct medium *medium) {
	return medium->elapsed_usec;
}

void medium_set_capacity(struct medium *medium, uint64_t bytes) {
	medium->capacity = bytes;
}

uint64_t medium_get_used(const struct medium *medium) {
	uint64_t used = 0;

	for (size_t i = 0; i < medium->n; i++)
		if (medium->files[i])
			used += medium->files[i]->seen.bytes;
	return used;
}

uint64_t medium_get_room(const struct medium *medium) {
	uint64_t used = medium_get_used(medium);

	if (medium->capacity == 0)
		return UINT64_C(1) << 40;
	return used < medium->capacity ? medium->capacity - used : 0;
}

uint64_t medium_hash(const struct medium *medium) {
	uint64_t sum = 0;

	for (size_t i = 0; i < medium->seen.n; i++) {
		const struct image_name *name = &medium->seen.list[i];
		struct content text = {0};

		/* The order of names says nothing, hence a sum. */
		content_write(&text, name->text, strlen(name->text), 0);
		sum += content_hash(&image_get(medium, name->file)->seen, content_hash(&text, (uint64_t)name->folder));
		content_deinit(&text);
	}
	return sum;
}

/* ---- Files --------------------------------------------------------------------------------------------------------
 */

void medium_close(struct medium *medium, int file) {
	assert(image_get(medium, file)->opens > 0);
	medium->files[file]->opens--;
	image_sweep(medium, file);
}

bool medium_is_folder(const struct medium *medium, int file) {
	return image_get(medium, file)->is_folder;
}

uint64_t medium_get_bytes(const struct medium *medium, int file) {
	return image_get(medium, file)->seen.bytes;
}

ssize_t medium_read(struct medium *medium, int file, void *ret, size_t n, uint64_t offset) {
	struct image_file *at = image_get(medium, file);
	struct medium_fault *fault;
	int r = at->is_folder ? -EISDIR : image_begin(medium, MEDIUM_READ, at->name, offset, n, &fault);

	if (r < 0)
		return r;
	if (offset >= at->seen.bytes)
		return 0;
	if (n > at->seen.bytes - offset)
		n = at->seen.bytes - offset;
	content_read(&at->seen, ret, n, offset);
	if (fault)
		harm_read(fault, at, ret, n, offset);
	return (ssize_t)n;
}

/* Bytes of a write that find room; none: the disk is full. */
static size_t image_room(struct medium *medium, const struct image_file *file, size_t n, uint64_t offset) {
	uint64_t end;

	if (medium->capacity == 0 || offset + n <= file->seen.bytes)
		return n;
	end = file->seen.bytes + medium_get_room(medium);
	if (end >= offset + n)
		return n;
	return end > offset ? end - offset : 0;
}

static void image_remember(struct image_file *file, size_t n, uint64_t offset) {
	uint8_t sector[MEDIUM_SECTOR_BYTES];

	for (uint64_t at = offset - offset % sizeof sector; at < offset + n; at += sizeof sector) {
		content_read(&file->seen, sector, sizeof sector, at);
		content_write(&file->before, sector, sizeof sector, at);
	}
}

/* Of a write that was cut short: who goes on there finds the disk full. */
static bool image_is_rest(struct medium *medium, int file, uint64_t offset) {
	bool is_rest = medium->cut_short == file && medium->cut_offset == offset;

	medium->cut_short = -1;
	return is_rest;
}

/* Up to a sector in the middle: the page cache takes no less at once. */
static size_t image_half(size_t n, uint64_t offset) {
	uint64_t end = offset + n / 2;

	end -= end % MEDIUM_SECTOR_BYTES;
	return end > offset ? end - offset : 0;
}

ssize_t medium_write(struct medium *medium, int file, const void *bytes, size_t n, uint64_t offset) {
	struct image_file *at = image_get(medium, file);
	struct medium_fault *fault;
	uint64_t before = at->seen.bytes;
	size_t wanted = n;
	int r = image_begin(medium, MEDIUM_WRITE, at->name, offset, n, &fault);

	if (r < 0)
		return r;
	if (image_is_rest(medium, file, offset))
		return -ENOSPC;
	if (fault && fault->harm == MEDIUM_SHORT) {
		fault->bit++;
		n = image_half(n, offset);
		medium->cut_short = n > 0 ? file : -1;
		medium->cut_offset = offset + n;
	}
	if (n > 0)
		n = image_room(medium, at, n, offset);
	if (n == 0)
		return wanted ? -ENOSPC : 0;

	image_remember(at, n, offset);
	content_write(&at->seen, bytes, n, offset);
	if (fault && fault->harm != MEDIUM_SHORT)
		harm_write(medium, fault, file, bytes, n, offset, at->seen.bytes > before ? at->seen.bytes : 0);
	else
		image_push(at, image_change_new(medium->points, bytes, n, offset));
	return (ssize_t)n;
}

static int image_resize(struct medium *medium, int file, uint64_t bytes) {
	struct image_file *at = image_get(medium, file);
	struct medium_fault *fault;
	int r = image_begin(medium, MEDIUM_TRUNCATE, at->name, bytes, 0, &fault);

	if (r < 0)
		return r;
	if (bytes > at->seen.bytes && image_room(medium, at, bytes - at->seen.bytes, at->seen.bytes) == 0)
		return -ENOSPC;
	content_resize(&at->seen, bytes);
	image_push(at, image_resize_new(medium->points, bytes));
	return 0;
}

int medium_truncate(struct medium *medium, int file, uint64_t bytes) {
	return image_resize(medium, file, bytes);
}

int medium_allocate(struct medium *medium, int file, uint64_t offset, uint64_t n) {
	uint64_t end = offset + n, bytes = image_get(medium, file)->seen.bytes;

	if (end > bytes && image_room(medium, image_get(medium, file), end - bytes, bytes) < end - bytes)
		return -ENOSPC;
	return image_resize(medium, file, end > bytes ? end : bytes);
}

static void image_sync_bytes(struct image_file *file) {
	for (size_t i = 0; i < file->n; i++)
		image_apply(&file->durable, file->changes[i]);
	image_settle(file);
}

int medium_sync(struct medium *medium, int file) {
	struct image_file *at = image_get(medium, file);
	struct medium_fault *fault;
	int r = image_begin(medium, MEDIUM_SYNC, at->name, 0, 0, &fault);

	if (r < 0) {
		harm_failed_sync(fault, at);
		return r;
	}
	if (fault) {
		harm_sync(medium, fault, file);
		return 0;
	}
	if (at->is_folder)
		image_sync_folder(medium, file);
	image_sync_bytes(at);
	return 0;
}
