/* SPDX-License-Identifier: Apache-2.0 */
/* A data folder to be written, broken and read again. Failures of what a scene needs abort the test. */
#ifndef TESTS_UNIT_IO_SCENE_H
#define TESTS_UNIT_IO_SCENE_H

#include "fake_node.h"
#include "lockd/io/store.h"

struct scene {
	char base[64];    /* holds `folder` and its copies; removed by scene_deinit() */
	char folder[96];
	struct store *store;
	struct store_error error;
	struct node node; /* what the last scene_open() loaded */
};

void scene_init(struct scene *scene);
void scene_deinit(struct scene *scene);
/* Another folder in the same place: what is opened from then on. */
const char *scene_choose(struct scene *scene, const char *name);

/* store_open() and store_load(); on failure nothing stays open. */
int scene_open(struct scene *scene);
void scene_must_open(struct scene *scene);
void scene_stop(struct scene *scene);  /* cleanly */
void scene_crash(struct scene *scene); /* as kill -9 would leave it */
/* Crash and open again; the trace is then in scene->node. */
void scene_reopen(struct scene *scene);

/* Entries first … first + n - 1 of a term, with the content "e<index>.<term>". The array is borrowed until the next call. */
const struct node_entry *scene_entries(uint32_t group, raft_index first, size_t n, raft_term term);
int scene_write(struct scene *scene, const struct node_save *save);
void scene_must_write(struct scene *scene, const struct node_save *save);
/* Appends in a transaction of their own. */
void scene_must_append(struct scene *scene, uint32_t group, raft_index first, size_t n, raft_term term);

/* Rows "id" → text; NULL deletes. */
struct scene_row {
	uint64_t id;
	const char *text;
};
int scene_checkpoint(struct scene *scene, uint32_t group, raft_index index, const char *header,
                     const struct scene_row *rows, size_t n);
/* A save that installs a snapshot made of such rows. Borrowed until the next call. */
struct node_save scene_install(uint32_t group, raft_index base, raft_term term, bool keep_suffix, const char *header,
                               const struct scene_row *rows, size_t n);

/* Copies folder → base/name, and back. */
void scene_keep(struct scene *scene, const char *name);
void scene_return(struct scene *scene, const char *name);
/* The newest watermark of the first group never reached the disk: its sector is as in the copy. */
void scene_lose_newest_mark(struct scene *scene, const char *name);

size_t scene_file_bytes(const struct scene *scene, const char *file);
void scene_flip(const struct scene *scene, const char *file, size_t offset, uint8_t mask);
/* Flips a bit of the last occurrence of the text. */
void scene_flip_text(const struct scene *scene, const char *file, const char *text);
void scene_overwrite(const struct scene *scene, const char *file, size_t offset, const void *bytes, size_t n);
void scene_truncate(const struct scene *scene, const char *file, size_t bytes);
void scene_remove(const struct scene *scene, const char *file);

/* From the n-th write that SQLite makes, counted from 0, every write fails with `code`; scene_heal() ends it and says
 * whether one has failed. */
void scene_fail_writes(int n, int code);
bool scene_heal(void);

#endif
