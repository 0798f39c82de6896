/* SPDX-License-Identifier: Apache-2.0 */
/* What a power cut may leave.
 *
 * A file is rebuilt from its durable bytes by going through its changes in order. Beside the image runs the content as
 * the page cache would write it out at that moment; a kept sector is copied from there, so that it never holds a later
 * write without an earlier one to the same sector. The size is one that the file has had since the last sync. */
#include "image.h"

#include "tests/sim/prng.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct cut {
	enum medium_policy policy;
	struct prng prng;
	uint64_t last; /* KEEP_PREFIX: of the kept points */
};

static bool cut_keeps(struct cut *cut, uint64_t point) {
	switch (cut->policy) {
	case MEDIUM_LOSE_ALL: return false;
	case MEDIUM_KEEP_ALL: return true;
	case MEDIUM_KEEP_PREFIX: return point <= cut->last;
	default: return prng_chance(&cut->prng, 500000);
	}
}

/* How many of the changes the size knows of: all up to a kept one, or any number where sectors go their own way. */
static size_t cut_sized(struct cut *cut, const struct image_file *file, const bool *kept) {
	size_t sized = 0;

	if (cut->policy == MEDIUM_TEAR)
		return prng_range(&cut->prng, 0, file->n);
	for (size_t i = 0; i < file->n; i++)
		if (kept[i])
			sized = i + 1;
	return sized;
}

static void cut_write(struct cut *cut, const struct image_change *change, bool kept, const struct content *cache,
		      struct content *image) {
	uint8_t sector[MEDIUM_SECTOR_BYTES];
	uint64_t at = change->offset - change->offset % sizeof sector;

	for (; at < change->offset + change->n; at += sizeof sector) {
		if (cut->policy == MEDIUM_TEAR ? !prng_chance(&cut->prng, 500000) : !kept)
			continue;
		content_read(cache, sector, sizeof sector, at);
		content_write(image, sector, sizeof sector, at);
	}
}

static void cut_file(struct cut *cut, const struct image_file *file, struct content *ret) {
	bool *kept = calloc(file->n + 1, sizeof *kept);
	struct content cache;
	uint64_t bytes = file->durable.bytes;
	size_t sized;

	assert(kept);
	for (size_t i = 0; i < file->n; i++)
		kept[i] = cut_keeps(cut, file->changes[i]->point);
	sized = cut_sized(cut, file, kept);
	content_copy(&file->durable, &cache);
	content_copy(&file->durable, ret);
	for (size_t i = 0; i < file->n; i++) {
		const struct image_change *change = file->changes[i];

		image_apply(&cache, change);
		if (!change->resize)
			cut_write(cut, change, kept[i], &cache, ret);
		else if (i < sized)
			content_resize(ret, change->offset);
		if (i < sized)
			bytes = cache.bytes;
	}
	content_resize(ret, bytes);
	content_deinit(&cache);
	free(kept);
}

static void cut_begin(struct cut *cut, const struct medium *medium, enum medium_policy policy, uint64_t seed) {
	uint64_t first = medium->points;

	*cut = (struct cut){.policy = policy};
	prng_init(&cut->prng, seed);
	for (size_t i = 0; i < medium->n_renamings; i++)
		first = medium->renamings[i].point < first ? medium->renamings[i].point : first;
	for (size_t i = 0; i < medium->n; i++)
		if (medium->files[i] && medium->files[i]->n && medium->files[i]->changes[0]->point < first)
			first = medium->files[i]->changes[0]->point;
	cut->last = prng_range(&cut->prng, first ? first - 1 : 0, medium->points);
}

static void cut_names(struct cut *cut, const struct medium *medium, struct medium *image) {
	image_names_copy(&medium->durable, &image->durable);
	for (size_t i = 0; i < medium->n_renamings; i++)
		if (cut_keeps(cut, medium->renamings[i].point))
			image_names_apply(&image->durable, &medium->renamings[i]);
	image_names_copy(&image->durable, &image->seen);
}

struct medium *medium_cut(const struct medium *medium, enum medium_policy policy, uint64_t seed) {
	struct medium *image = calloc(1, sizeof *image);
	struct cut cut;

	assert(image);
	cut_begin(&cut, medium, policy, seed);
	image->cut_short = -1;
	image->capacity = medium->capacity;
	image->latency = medium->latency;
	for (size_t i = 0; i < medium->n; i++) {
		const struct image_file *from = medium->files[i];
		struct image_file *to = image_get(image, image_add(image, from && from->is_folder));

		if (!from)
			continue;
		memcpy(to->name, from->name, sizeof to->name);
		cut_file(&cut, from, &to->durable);
		content_copy(&to->durable, &to->seen);
		content_copy(&from->before, &to->before);
	}
	cut_names(&cut, medium, image);
	for (size_t i = 0; i < image->n; i++)
		image_sweep(image, (int)i);
	return image;
}
