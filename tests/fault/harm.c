/* SPDX-License-Identifier: Apache-2.0 */
/* Which fault strikes, and what it does. */
#include "image.h"

#include "tests/sim/prng.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void medium_arm(struct medium *medium, struct medium_fault *fault) {
	fault->met = fault->bit = 0;
	fault->next = medium->faults;
	medium->faults = fault;
}

void medium_disarm(struct medium *medium, struct medium_fault *fault) {
	for (struct medium_fault **at = &medium->faults; *at; at = &(*at)->next)
		if (*at == fault) {
			*at = fault->next;
			return;
		}
}

static bool fault_strikes(struct medium_fault *fault, enum medium_kind kind, const char *name) {
	uint64_t number;

	if (!(fault->kinds & kind) || (fault->file && strcmp(fault->file, name) != 0))
		return false;
	number = fault->met++;
	return number >= fault->first && number - fault->first < fault->times;
}

static uint64_t image_price(const struct medium *medium, enum medium_kind kind, size_t n) {
	const struct medium_latency *latency = &medium->latency;

	switch (kind) {
	case MEDIUM_READ: return latency->read_usec + n / 1024 * latency->kib_usec;
	case MEDIUM_SYNC: return latency->sync_usec;
	default: return latency->write_usec + n / 1024 * latency->kib_usec;
	}
}

static bool fault_fails(const struct medium_fault *fault) {
	return fault->harm == MEDIUM_EIO || fault->harm == MEDIUM_ENOSPC;
}

static struct medium_fault *image_meet(struct medium *medium, enum medium_kind kind, const char *name) {
	struct medium_fault *strikes = NULL;

	for (struct medium_fault *fault = medium->faults; fault && !medium->harmless; fault = fault->next) {
		if (!fault_strikes(fault, kind, name))
			continue;
		if (fault->harm == MEDIUM_SLOW) {
			fault->bit++;
			medium->elapsed_usec += fault->usec;
		} else if (!strikes) {
			strikes = fault;
		}
	}
	return strikes;
}

int image_begin(struct medium *medium, enum medium_kind kind, const char *name, uint64_t offset, size_t n,
		struct medium_fault **ret_fault) {
	struct medium_operation operation = {.kind = kind, .file = name, .offset = offset, .n = n};
	struct medium_fault *fault;

	if (kind != MEDIUM_READ)
		operation.point = ++medium->points;
	if (medium->watch)
		medium->watch(medium->context, medium, &operation);
	medium->elapsed_usec += image_price(medium, kind, n);
	*ret_fault = fault = image_meet(medium, kind, name);
	if (!fault || !fault_fails(fault))
		return 0;
	fault->bit++;
	return fault->harm == MEDIUM_EIO ? -EIO : -ENOSPC;
}

/* ---- Writes -------------------------------------------------------------------------------------------------------
 */

/* The device takes bytes that nobody meant to be there. */
static bool device_overwrites(struct image_file *file, const void *bytes, size_t n, uint64_t offset) {
	uint8_t *old = malloc(n);
	bool differs;

	assert(old);
	content_read(&file->durable, old, n, offset);
	differs = memcmp(old, bytes, n) != 0;
	free(old);
	content_write(&file->durable, bytes, n, offset);
	return differs;
}

static bool harm_flip(struct medium *medium, struct prng *prng, struct image_file *file, const void *bytes, size_t n,
		      uint64_t offset) {
	struct image_change *change = image_change_new(medium->points, bytes, n, offset);
	uint64_t bit = prng_range(prng, 0, n * 8 - 1);

	change->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	image_push(file, change);
	return true;
}

/* Aligned as the write was, so that what comes to lie there looks right to whoever does not check where it is from. */
static bool harm_misdirect(struct prng *prng, struct image_file *file, const void *bytes, size_t n, uint64_t offset) {
	uint64_t places = file->durable.bytes / n, to;

	if (places == 0)
		return false;
	to = prng_range(prng, 0, places - 1) * n + offset % n;
	return to != offset && to + n <= file->durable.bytes && device_overwrites(file, bytes, n, to);
}

static bool harm_misdirect_file(struct medium *medium, struct prng *prng, int file, const void *bytes, size_t n,
				uint64_t offset) {
	size_t start = prng_range(prng, 0, medium->n - 1);

	for (size_t i = 0; i < medium->n; i++) {
		size_t other = (start + i) % medium->n;
		struct image_file *at = medium->files[other];

		if (at && other != (size_t)file && !at->is_folder && at->durable.bytes > n)
			return device_overwrites(at, bytes, n, offset % (at->durable.bytes - n));
	}
	return false;
}

static bool device_lacks(const struct image_file *file, const void *bytes, size_t n, uint64_t offset) {
	struct content device;
	uint8_t *old = malloc(n);
	bool differs;

	assert(old);
	content_copy(&file->durable, &device);
	for (size_t i = 0; i < file->n; i++)
		image_apply(&device, file->changes[i]);
	content_read(&device, old, n, offset);
	differs = memcmp(old, bytes, n) != 0;
	content_deinit(&device);
	free(old);
	return differs;
}

void harm_write(struct medium *medium, struct medium_fault *fault, int file, const void *bytes, size_t n,
		uint64_t offset, uint64_t grown) {
	struct image_file *at = image_get(medium, file);
	struct prng prng;
	bool bit = device_lacks(at, bytes, n, offset);

	prng_init(&prng, fault->seed);
	if (fault->harm == MEDIUM_FLIP)
		bit = harm_flip(medium, &prng, at, bytes, n, offset);
	else if (grown) /* the file system keeps the size elsewhere */
		image_push(at, image_resize_new(medium->points, grown));
	if (fault->harm == MEDIUM_MISDIRECT)
		bit = harm_misdirect(&prng, at, bytes, n, offset) || bit;
	else if (fault->harm == MEDIUM_MISDIRECT_FILE)
		bit = harm_misdirect_file(medium, &prng, file, bytes, n, offset) || bit;
	fault->bit += bit;
}

/* ---- Reads --------------------------------------------------------------------------------------------------------
 */

static void content_flip(struct content *content, uint64_t offset, uint8_t mask) {
	uint8_t byte;

	content_read(content, &byte, 1, offset);
	byte ^= mask;
	content_write(content, &byte, 1, offset);
}

void medium_rot(struct medium *medium, int file, uint64_t offset, uint8_t mask) {
	struct image_file *at = image_get(medium, file);

	assert(offset < at->seen.bytes && offset < at->durable.bytes);
	content_flip(&at->seen, offset, mask);
	content_flip(&at->durable, offset, mask);
}

static bool harm_stale(struct image_file *file, uint8_t *answer, size_t n, uint64_t offset) {
	uint8_t *old = malloc(n);
	uint64_t end = file->before.bytes;
	bool differs;

	assert(old);
	if (offset >= end)
		n = 0;
	else if (n > end - offset)
		n = end - offset;
	content_read(&file->before, old, n, offset);
	differs = n && memcmp(old, answer, n) != 0;
	if (differs)
		memcpy(answer, old, n);
	free(old);
	return differs;
}

static void harm_turn_bit(struct medium_fault *fault, struct image_file *file, uint8_t *answer, size_t n,
			  uint64_t offset) {
	struct prng prng;
	uint64_t bit;
	uint8_t mask;

	prng_init(&prng, fault->seed);
	bit = prng_range(&prng, 0, n * 8 - 1);
	mask = (uint8_t)(1u << bit % 8);
	answer[bit / 8] ^= mask;
	content_flip(&file->seen, offset + bit / 8, mask);
	if (offset + bit / 8 < file->durable.bytes)
		content_flip(&file->durable, offset + bit / 8, mask);
}

void harm_read(struct medium_fault *fault, struct image_file *file, uint8_t *answer, size_t n, uint64_t offset) {
	if (n == 0)
		return;
	if (fault->harm == MEDIUM_STALE)
		fault->bit += harm_stale(file, answer, n, offset);
	if (fault->harm == MEDIUM_FLIP) {
		harm_turn_bit(fault, file, answer, n, offset);
		fault->bit++;
	}
}

/* ---- Syncs --------------------------------------------------------------------------------------------------------
 */

/* The device says that it is done, and keeps everything where a power cut takes it: until an honest sync. */
void harm_sync(struct medium *medium, struct medium_fault *fault, int file) {
	bool due = image_get(medium, file)->n > 0;

	for (size_t i = 0; i < medium->n_renamings; i++)
		due = due || medium->renamings[i].from.folder == file || medium->renamings[i].to.folder == file;
	fault->bit += due;
}

/* The pages count as clean afterwards, whatever became of them: a later sync does not write them again. */
void harm_failed_sync(const struct medium_fault *fault, struct image_file *file) {
	struct prng prng;

	if (fault->harm != MEDIUM_EIO || file->is_folder)
		return;
	prng_init(&prng, fault->seed);
	for (size_t i = 0; i < file->n; i++)
		if (fault->seed == 1 || (fault->seed > 1 && prng_chance(&prng, 500000)))
			image_apply(&file->durable, file->changes[i]);
	content_resize(&file->durable, file->seen.bytes);
	image_settle(file);
}
