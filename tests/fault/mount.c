/* SPDX-License-Identifier: Apache-2.0 */
#include "mount.h"

#include "tests/sim/prng.h"
#include "vfs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MOUNTS_MAX = 64,
	DESCRIPTOR_FIRST = 1 << 20, /* beyond what the system ever hands out */
	DESCRIPTORS_MAX = 4096,
};

static struct mount {
	char path[48];
	size_t n;
	struct medium *medium;
} mounts[MOUNTS_MAX];

static struct mount_file files[DESCRIPTORS_MAX];
static bool seeded;
static struct prng prng;

void mount_add(const char *path, struct medium *medium) {
	assert(strncmp(path, MOUNT_ROOT, strlen(MOUNT_ROOT)) == 0);
	assert(!strchr(path + strlen(MOUNT_ROOT), '/'));
	for (size_t i = 0; i < MOUNTS_MAX; i++) {
		if (mounts[i].medium)
			continue;
		(void)snprintf(mounts[i].path, sizeof mounts[i].path, "%s", path);
		mounts[i].n = strlen(mounts[i].path);
		mounts[i].medium = medium;
		vfs_register();
		return;
	}
	assert(!"room for another mount");
}

void mount_remove(struct medium *medium) {
	for (int i = 0; i < DESCRIPTORS_MAX; i++)
		if (files[i].medium == medium)
			mount_close(DESCRIPTOR_FIRST + i);
	for (size_t i = 0; i < MOUNTS_MAX; i++)
		if (mounts[i].medium == medium)
			mounts[i] = (struct mount){0};
}

void mount_seed(uint64_t seed) {
	seeded = true;
	prng_init(&prng, seed);
	vfs_forget_chance();
}

bool mount_is_random(void) {
	return !seeded;
}

void mount_random(void *ret, size_t n) {
	uint8_t *out = ret;

	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)prng_next(&prng);
}

/* ---- Paths --------------------------------------------------------------------------------------------------------
 */

bool mount_resolve(int fd, const char *path, struct mount_place *ret) {
	struct mount_file *folder;

	if (*path != '/') {
		folder = mount_get(fd);
		if (!folder)
			return false;
		*ret = (struct mount_place){.medium = folder->medium, .folder = folder->file, .path = path};
		return true;
	}
	for (size_t i = 0; i < MOUNTS_MAX; i++) {
		const struct mount *mount = &mounts[i];

		if (!mount->medium || strncmp(path, mount->path, mount->n) != 0)
			continue;
		if (path[mount->n] != '/' && path[mount->n] != '\0')
			continue;
		*ret = (struct mount_place){.medium = mount->medium, .folder = MEDIUM_ROOT, .path = path + mount->n};
		return true;
	}
	return false;
}

/* ---- Descriptors --------------------------------------------------------------------------------------------------
 */

struct mount_file *mount_get(int fd) {
	int i = fd - DESCRIPTOR_FIRST;

	return i >= 0 && i < DESCRIPTORS_MAX && files[i].medium ? &files[i] : NULL;
}

int mount_open(const struct mount_place *place, int flags) {
	int i = 0, file;

	while (i < DESCRIPTORS_MAX && files[i].medium)
		i++;
	if (i == DESCRIPTORS_MAX)
		return -EMFILE;
	file = medium_open(place->medium, place->folder, place->path, flags);
	if (file < 0)
		return file;
	files[i] = (struct mount_file){.medium = place->medium, .file = file, .append = (flags & O_APPEND) != 0};
	return DESCRIPTOR_FIRST + i;
}

void mount_close(int fd) {
	struct mount_file *file = mount_get(fd);

	medium_close(file->medium, file->file);
	*file = (struct mount_file){0};
}

bool mount_lock(int fd) {
	struct mount_file *file = mount_get(fd);

	for (size_t i = 0; i < DESCRIPTORS_MAX; i++)
		if (&files[i] != file && files[i].medium == file->medium && files[i].file == file->file &&
		    files[i].locked)
			return false;
	file->locked = true;
	return true;
}

void mount_unlock(int fd) {
	mount_get(fd)->locked = false;
}
