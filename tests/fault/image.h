/* SPDX-License-Identifier: Apache-2.0 */
/* What a medium is made of, for the files that make it up: medium.c (files), names.c (folders), cut.c (what survives),
 * harm.c (faults). */
#ifndef TESTS_FAULT_IMAGE_H
#define TESTS_FAULT_IMAGE_H

#include "medium.h"

enum { IMAGE_NAME_BYTES = 64 };

/* Bytes, or a new size, on their way to the device. */
struct image_change {
	size_t owners;
	uint64_t point;
	bool resize;
	uint64_t offset; /* resize: the size */
	size_t n;
	uint8_t bytes[];
};

struct image_file {
	bool is_folder;
	size_t opens;
	char name[IMAGE_NAME_BYTES]; /* the last one it had */
	struct content seen, durable;
	struct content before; /* every sector as it was before its latest write */
	struct image_change **changes;
	size_t n;
};

struct image_name {
	int folder, file;
	char text[IMAGE_NAME_BYTES];
};

struct image_names {
	struct image_name *list;
	size_t n;
};

/* `from` loses the name, `to` gains it; a folder of −1 does not take part. */
struct image_renaming {
	uint64_t point;
	struct image_name from, to;
	bool from_due, to_due; /* that folder has not been synced since */
};

struct medium {
	struct image_file **files; /* NULL: gone */
	size_t n;
	struct image_names seen, durable;
	struct image_renaming *renamings;
	size_t n_renamings;
	uint64_t points, elapsed_usec, capacity;
	struct medium_latency latency;
	medium_watch *watch;
	void *context;
	struct medium_fault *faults;
	bool harmless;
	int cut_short;       /* file whose last write was short; −1: none */
	uint64_t cut_offset; /* where its rest would go */
};

struct image_file *image_get(const struct medium *medium, int file);
int image_add(struct medium *medium, bool is_folder);
/* Drops the file if nothing names it or holds it open. */
void image_sweep(struct medium *medium, int file);

struct image_change *image_change_new(uint64_t point, const void *bytes, size_t n, uint64_t offset);
struct image_change *image_resize_new(uint64_t point, uint64_t bytes);
/* Takes over one owner's share. */
void image_push(struct image_file *file, struct image_change *change);
void image_apply(struct content *content, const struct image_change *change);
void image_settle(struct image_file *file); /* forgets all changes */

const struct image_name *image_names_find(const struct image_names *names, int folder, const char *text);
void image_names_copy(const struct image_names *names, struct image_names *ret);
void image_names_apply(struct image_names *names, const struct image_renaming *renaming);
void image_sync_folder(struct medium *medium, int folder);

/* Counts the operation and calls the watcher. ret_fault is what strikes it, or NULL; if that fails it, the errno is returned,
 * negative. */
int image_begin(struct medium *medium, enum medium_kind kind, const char *name, uint64_t offset, size_t n,
                struct medium_fault **ret_fault);

/* What a fault makes of a write whose bytes are in `seen` already, of a read that is answered already, of a sync, and of
 * one that has failed. `grown` is the size that the write has given to the file; 0: it had it before. */
void harm_write(struct medium *medium, struct medium_fault *fault, int file, const void *bytes, size_t n,
                uint64_t offset, uint64_t grown);
void harm_read(struct medium_fault *fault, struct image_file *file, uint8_t *answer, size_t n, uint64_t offset);
void harm_sync(struct medium *medium, struct medium_fault *fault, int file);
void harm_failed_sync(const struct medium_fault *fault, struct image_file *file);

#endif
