/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include "api/bytes.h"
#include "api/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES_MAX = 1024, ROWS_MAX = 64 };

#define must(condition) ((condition) ? (void)0 : scene_abort(__LINE__, #condition))

static void scene_abort(int line, const char *condition) {
	fprintf(stderr, "scene.c:%d: %s: %s\n", line, condition, strerror(errno));
	abort();
}

__attribute__((format(printf, 1, 2))) static void scene_shell(const char *format, ...) {
	char command[512];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(command, sizeof command, format, arguments);
	va_end(arguments);
	must(system(command) == 0);
}

void scene_init(struct scene *scene) {
	*scene = (struct scene){0};
	/* Memory, where there is some: the tests are about what is written, not about how fast. */
	(void)snprintf(scene->base, sizeof scene->base, "%s/lockd-store-XXXXXX",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(scene->base) != NULL);
	(void)scene_choose(scene, "data");
}

const char *scene_choose(struct scene *scene, const char *name) {
	(void)snprintf(scene->folder, sizeof scene->folder, "%s/%s", scene->base, name);
	return scene->folder;
}

void scene_deinit(struct scene *scene) {
	store_close(scene->store, false);
	scene_shell("rm -rf %s", scene->base);
}

int scene_open(struct scene *scene) {
	const char *refuse = scene->node.refuse;
	int r = store_open(scene->folder, &scene->store, &scene->error);

	scene->node = (struct node){.refuse = refuse};
	if (r != 0)
		return r;
	r = store_load(scene->store, &scene->node, &scene->error);
	if (r != 0)
		scene->store = store_close(scene->store, false);
	return r;
}

void scene_must_open(struct scene *scene) {
	int r = scene_open(scene);

	if (r != 0)
		fprintf(stderr, "%s\n", scene->error.text);
	must(r == 0);
}

void scene_stop(struct scene *scene) {
	scene->store = store_close(scene->store, true);
}

void scene_crash(struct scene *scene) {
	scene->store = store_close(scene->store, false);
}

void scene_reopen(struct scene *scene) {
	scene_crash(scene);
	scene_must_open(scene);
}

const struct node_entry *scene_entries(uint32_t group, raft_index first, size_t n, raft_term term) {
	static struct node_entry entries[ENTRIES_MAX];
	static char texts[ENTRIES_MAX][48];

	must(n <= ENTRIES_MAX);
	for (size_t i = 0; i < n; i++) {
		raft_index index = first + i;
		size_t bytes = (size_t)snprintf(texts[i], sizeof texts[i], "e%llu.%llu", (unsigned long long)index,
						(unsigned long long)term);

		entries[i] = (struct node_entry){
			.index = index,
			.term = term,
			.type = RAFT_ENTRY_COMMANDS,
			.checksum = checksum_entry(group, index, term, RAFT_ENTRY_COMMANDS, texts[i], bytes),
			.data = (const uint8_t *)texts[i],
			.n = bytes,
		};
	}
	return entries;
}

int scene_write(struct scene *scene, const struct node_save *save) {
	return store_write(scene->store, save, 1, &scene->error);
}

void scene_must_write(struct scene *scene, const struct node_save *save) {
	int r = scene_write(scene, save);

	if (r != 0)
		fprintf(stderr, "%s\n", scene->error.text);
	must(r == 0);
}

void scene_must_append(struct scene *scene, uint32_t group, raft_index first, size_t n, raft_term term) {
	scene_must_write(
		scene,
		&(struct node_save){.group = group, .entries = scene_entries(group, first, n, term), .n_entries = n});
}

static struct node_bytes row_bytes[ROWS_MAX];
static uint64_t row_ids[ROWS_MAX];

static void scene_lay_out(const struct scene_row *rows, size_t n) {
	must(n <= ROWS_MAX);
	for (size_t i = 0; i < n; i++) {
		row_ids[i] = rows[i].id;
		row_bytes[i] = (struct node_bytes){.bytes = (const uint8_t *)rows[i].text,
						   .n = rows[i].text ? strlen(rows[i].text) : 0};
	}
}

int scene_checkpoint(struct scene *scene, uint32_t group, raft_index index, const char *header,
		     const struct scene_row *rows, size_t n) {
	scene_lay_out(rows, n);
	return store_checkpoint(scene->store,
				&(struct node_checkpoint){
					.group = group,
					.index = index,
					.header = (const uint8_t *)header,
					.header_bytes = strlen(header),
					.row_ids = row_ids,
					.rows = row_bytes,
					.n_rows = n,
				},
				&scene->error);
}

struct node_save scene_install(uint32_t group, raft_index base, raft_term term, bool keep_suffix, const char *header,
			       const struct scene_row *rows, size_t n) {
	scene_lay_out(rows, n);
	return (struct node_save){
		.group = group,
		.install = true,
		.keep_suffix = keep_suffix,
		.base = base,
		.base_term = term,
		.header = (const uint8_t *)header,
		.header_bytes = strlen(header),
		.row_ids = row_ids,
		.rows = row_bytes,
		.n_rows = n,
	};
}

/* ---- Files --------------------------------------------------------------------------------------------------------
 */

static void scene_copy_file(const char *from, const char *to, const char *name) {
	static uint8_t bytes[1 << 22];
	char path[160];
	int in, out;
	ssize_t n;

	(void)snprintf(path, sizeof path, "%s/%s", from, name);
	in = open(path, O_RDONLY);
	(void)snprintf(path, sizeof path, "%s/%s", to, name);
	if (in < 0) {
		(void)unlink(path); /* may be missing on both sides */
		return;
	}
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	n = read(in, bytes, sizeof bytes);
	must(n >= 0 && n < (ssize_t)sizeof bytes);
	must(write(out, bytes, (size_t)n) == n);
	close(in);
	close(out);
}

static void scene_copy(const char *from, const char *to) {
	static const char *const names[] = {"superblock", "raft.db", "raft.db-wal", "state.db", "state.db-wal"};

	must(mkdir(to, 0700) == 0 || errno == EEXIST);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		scene_copy_file(from, to, names[i]);
}

void scene_keep(struct scene *scene, const char *name) {
	char copy[128];

	(void)snprintf(copy, sizeof copy, "%s/%s", scene->base, name);
	scene_copy(scene->folder, copy);
}

void scene_return(struct scene *scene, const char *name) {
	char copy[128];

	(void)snprintf(copy, sizeof copy, "%s/%s", scene->base, name);
	scene_copy(copy, scene->folder);
}

static int scene_open_file(const struct scene *scene, const char *file) {
	char path[160];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", scene->folder, file);
	fd = open(path, O_RDWR);
	must(fd >= 0);
	return fd;
}

void scene_lose_newest_mark(struct scene *scene, const char *name) {
	static const off_t sectors[2] = {8192, 8192 + 32768};
	uint8_t ours[2][512], theirs[512];
	char path[160];
	int fd = scene_open_file(scene, "superblock"), newest;

	for (int i = 0; i < 2; i++)
		must(pread(fd, ours[i], 512, sectors[i]) == 512);
	close(fd);
	newest = bytes_get_u64(ours[1] + 8) > bytes_get_u64(ours[0] + 8); /* their generations */

	(void)snprintf(path, sizeof path, "%s/%s/superblock", scene->base, name);
	fd = open(path, O_RDONLY);
	must(pread(fd, theirs, 512, sectors[newest]) == 512);
	close(fd);
	scene_overwrite(scene, "superblock", (size_t)sectors[newest], theirs, 512);
}

size_t scene_file_bytes(const struct scene *scene, const char *file) {
	int fd = scene_open_file(scene, file);
	off_t end = lseek(fd, 0, SEEK_END);

	close(fd);
	return (size_t)end;
}

void scene_flip(const struct scene *scene, const char *file, size_t offset, uint8_t mask) {
	int fd = scene_open_file(scene, file);
	uint8_t byte;

	must(pread(fd, &byte, 1, (off_t)offset) == 1);
	byte ^= mask;
	must(pwrite(fd, &byte, 1, (off_t)offset) == 1);
	close(fd);
}

void scene_flip_text(const struct scene *scene, const char *file, const char *text) {
	size_t bytes = scene_file_bytes(scene, file), n = strlen(text), found = bytes;
	uint8_t *content = malloc(bytes);
	int fd = scene_open_file(scene, file);

	must(read(fd, content, bytes) == (ssize_t)bytes);
	for (size_t i = 0; i + n <= bytes; i++)
		if (memcmp(content + i, text, n) == 0)
			found = i;
	must(found < bytes);
	close(fd);
	free(content);
	scene_flip(scene, file, found + n - 1, 1);
}

void scene_overwrite(const struct scene *scene, const char *file, size_t offset, const void *bytes, size_t n) {
	int fd = scene_open_file(scene, file);

	must(pwrite(fd, bytes, n, (off_t)offset) == (ssize_t)n);
	close(fd);
}

void scene_truncate(const struct scene *scene, const char *file, size_t bytes) {
	int fd = scene_open_file(scene, file);

	must(ftruncate(fd, (off_t)bytes) == 0);
	close(fd);
}

void scene_remove(const struct scene *scene, const char *file) {
	char path[160];

	(void)snprintf(path, sizeof path, "%s/%s", scene->folder, file);
	must(unlink(path) == 0);
}

/* ---- Failing writes -----------------------------------------------------------------------------------------------
 */

static int writes_left, write_code;
static bool write_failed;

static ssize_t failing_pwrite(int fd, const void *bytes, size_t n, off_t offset) {
	if (writes_left-- > 0)
		return pwrite(fd, bytes, n, offset);
	writes_left = 0;
	write_failed = true;
	errno = write_code;
	return -1;
}

static void scene_hook(sqlite3_syscall_ptr call) {
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	must(vfs->xSetSystemCall(vfs, "pwrite", call) == SQLITE_OK);
	must(vfs->xSetSystemCall(vfs, "pwrite64", call) == SQLITE_OK);
}

void scene_fail_writes(int n, int code) {
	writes_left = n;
	write_code = code;
	write_failed = false;
	scene_hook((sqlite3_syscall_ptr)failing_pwrite);
}

bool scene_heal(void) {
	scene_hook(NULL); /* the default */
	return write_failed;
}
