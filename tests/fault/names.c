/* SPDX-License-Identifier: Apache-2.0 */
/* Folders: names that are seen, names that are durable, and what a sync of a folder makes of the difference. */
#include "image.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct image_name *image_names_find(const struct image_names *names, int folder, const char *text) {
	for (size_t i = 0; i < names->n; i++)
		if (names->list[i].folder == folder && strcmp(names->list[i].text, text) == 0)
			return &names->list[i];
	return NULL;
}

void image_names_copy(const struct image_names *names, struct image_names *ret) {
	ret->n = names->n;
	ret->list = calloc(names->n + 1, sizeof *ret->list);
	assert(ret->list);
	if (names->n)
		memcpy(ret->list, names->list, names->n * sizeof *ret->list);
}

static void image_names_drop(struct image_names *names, const struct image_name *name) {
	size_t i = (size_t)(name - names->list);

	memmove(names->list + i, names->list + i + 1, (names->n - i - 1) * sizeof *names->list);
	names->n--;
}

void image_names_apply(struct image_names *names, const struct image_renaming *renaming) {
	const struct image_name *old;

	if (renaming->from.folder >= 0) {
		old = image_names_find(names, renaming->from.folder, renaming->from.text);
		if (old && old->file == renaming->from.file)
			image_names_drop(names, old);
	}
	if (renaming->to.folder < 0)
		return;
	old = image_names_find(names, renaming->to.folder, renaming->to.text);
	if (old)
		image_names_drop(names, old);
	names->list = realloc(names->list, (names->n + 1) * sizeof *names->list);
	assert(names->list);
	names->list[names->n++] = renaming->to;
}

void image_sync_folder(struct medium *medium, int folder) {
	size_t kept = 0;

	for (size_t i = 0; i < medium->n_renamings; i++) {
		struct image_renaming *renaming = &medium->renamings[i];

		if (renaming->from.folder == folder)
			renaming->from_due = false;
		if (renaming->to.folder == folder)
			renaming->to_due = false;
		if (renaming->from_due || renaming->to_due)
			medium->renamings[kept++] = *renaming;
		else
			image_names_apply(&medium->durable, renaming);
	}
	medium->n_renamings = kept;
}

static void image_rename(struct medium *medium, const struct image_name *from, const struct image_name *to) {
	struct image_renaming renaming = {
		.point = medium->points,
		.from = from ? *from : (struct image_name){.folder = -1, .file = -1},
		.to = to ? *to : (struct image_name){.folder = -1, .file = -1},
		.from_due = from != NULL,
		.to_due = to != NULL,
	};

	image_names_apply(&medium->seen, &renaming);
	medium->renamings = realloc(medium->renamings, (medium->n_renamings + 1) * sizeof *medium->renamings);
	assert(medium->renamings);
	medium->renamings[medium->n_renamings++] = renaming;
	if (to)
		memcpy(image_get(medium, to->file)->name, to->text, sizeof to->text);
}

static int image_above(const struct medium *medium, int folder) {
	for (size_t i = 0; i < medium->seen.n; i++)
		if (medium->seen.list[i].file == folder)
			return medium->seen.list[i].folder;
	return MEDIUM_ROOT;
}

/* The folder that holds the last name of a path, and that name: empty for the folder itself. */
static int image_walk(const struct medium *medium, int folder, const char *path, struct image_name *ret) {
	*ret = (struct image_name){.folder = folder, .file = folder};
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n >= sizeof ret->text)
			return -ENAMETOOLONG;
		if (n == 2 && strncmp(path, "..", 2) == 0) {
			if (ret->file < 0)
				return -ENOENT;
			ret->file = image_above(medium, ret->file);
			ret->text[0] = '\0';
		} else if (n > 0 && !(n == 1 && *path == '.')) {
			const struct image_name *found;

			if (ret->file < 0)
				return -ENOENT;
			if (!image_get(medium, ret->file)->is_folder)
				return -ENOTDIR;
			ret->folder = ret->file;
			(void)snprintf(ret->text, sizeof ret->text, "%.*s", (int)n, path);
			found = image_names_find(&medium->seen, ret->folder, ret->text);
			ret->file = found ? found->file : -ENOENT;
		}
		if (!path[n])
			return 0;
		path += n + 1;
	}
}

int medium_find(const struct medium *medium, int folder, const char *path) {
	struct image_name name;
	int r = image_walk(medium, folder, path, &name);

	return r < 0 ? r : name.file;
}

const char *medium_get_name(const struct medium *medium, int folder, size_t position) {
	for (size_t i = 0; i < medium->seen.n; i++)
		if (medium->seen.list[i].folder == folder && position-- == 0)
			return medium->seen.list[i].text;
	return NULL;
}

static int image_create(struct medium *medium, struct image_name *name, bool is_folder) {
	struct medium_fault *fault;
	int r = image_begin(medium, MEDIUM_CREATE, name->text, 0, 0, &fault);

	if (r < 0)
		return r;
	name->file = image_add(medium, is_folder);
	image_rename(medium, NULL, name);
	return name->file;
}

static int image_open_nameless(struct medium *medium) {
	struct medium_fault *fault;
	int r = image_begin(medium, MEDIUM_CREATE, "", 0, 0, &fault), file;

	if (r < 0)
		return r;
	file = image_add(medium, false);
	medium->files[file]->opens++;
	return file;
}

int medium_open(struct medium *medium, int folder, const char *path, int flags) {
	struct image_name name;
	int r = image_walk(medium, folder, path, &name);

	if (r < 0)
		return r;
	if (name.file >= 0 && (flags & O_TMPFILE) == O_TMPFILE)
		return image_open_nameless(medium);
	if (name.file < 0 && !(flags & O_CREAT))
		return name.file;
	if (name.file >= 0 && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (name.file < 0)
		r = image_create(medium, &name, false);
	else if ((flags & O_DIRECTORY) && !image_get(medium, name.file)->is_folder)
		r = -ENOTDIR;
	else if (image_get(medium, name.file)->is_folder && (flags & O_ACCMODE) != O_RDONLY)
		r = -EISDIR;
	else if ((flags & O_TRUNC) && image_get(medium, name.file)->seen.bytes > 0)
		r = medium_truncate(medium, name.file, 0);
	if (r < 0)
		return r;
	image_get(medium, name.file)->opens++;
	return name.file;
}

int medium_make_folder(struct medium *medium, int folder, const char *path) {
	struct image_name name;
	int r = image_walk(medium, folder, path, &name);

	if (r < 0)
		return r;
	if (name.file >= 0)
		return -EEXIST;
	r = image_create(medium, &name, true);
	return r < 0 ? r : 0;
}

int medium_remove(struct medium *medium, int folder, const char *path, bool is_folder) {
	struct image_name name;
	struct medium_fault *fault;
	int r = image_walk(medium, folder, path, &name);

	if (r < 0 || name.file < 0)
		return r < 0 ? r : name.file;
	if (image_get(medium, name.file)->is_folder != is_folder)
		return is_folder ? -ENOTDIR : -EISDIR;
	if (is_folder && medium_get_name(medium, name.file, 0))
		return -ENOTEMPTY;
	r = image_begin(medium, MEDIUM_REMOVE, name.text, 0, 0, &fault);
	if (r < 0)
		return r;
	image_rename(medium, &name, NULL);
	image_sweep(medium, name.file);
	return 0;
}

int medium_rename(struct medium *medium, int folder, const char *path, int to_folder, const char *to_path) {
	struct image_name from, to;
	struct medium_fault *fault;
	int r = image_walk(medium, folder, path, &from), replaced;

	if (r == 0)
		r = from.file < 0 ? from.file : image_walk(medium, to_folder, to_path, &to);
	if (r < 0)
		return r;
	r = image_begin(medium, MEDIUM_RENAME, from.text, 0, 0, &fault);
	if (r < 0)
		return r;
	replaced = to.file;
	to.file = from.file;
	image_rename(medium, &from, &to);
	if (replaced >= 0 && replaced != to.file)
		image_sweep(medium, replaced);
	return 0;
}
