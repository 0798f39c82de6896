/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the data folder and the order between them.
 *
 * A save: (term, vote) and lowered watermarks into the superblock, one sync; then the log, one sync; then the
 * watermarks without a sync. So the superblock is never behind the log in terms, and the watermarks are never ahead of
 * it: whichever way round it is found at the start, something that was acknowledged is gone.
 *
 * An install: state.db with a mark, then the log's base, then the mark is taken away. A crash before the second step
 * leaves a committed state that the log does not start from; opening the folder repeats that step.
 *
 * An older copy of the whole folder is sound in itself. Only peers can tell, and the file `old-copy` then keeps what
 * they said; deleting it is the way to recover by force from such a folder when there is no better one.
 *
 * A damaged folder is never repaired in place: its files are set aside, and an empty store takes its place (past.h).
 *
 * A restore from a backup is a creation and an install. From before the first until after the last of it the file
 * `restoring` is there, and only another restore opens the folder.
 *
 * Creation: superblock with boot count 0, databases, boot count 1. With boot count 0 nothing was ever stored, and what
 * is there of the databases is thrown away. */
#include "store.h"

#include "api/bytes.h"
#include "failure.h"
#include "folder.h"
#include "logdb.h"
#include "relations.h"
#include "past.h"
#include "reserve.h"
#include "statedb.h"
#include "superblock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	/* Frames in the log's WAL that start copying it back: busy, and when the storage thread has nothing to do.
	 * Fewer raise the p99 of commits, more their maximum (docs/adr/0003). */
	WAL_FRAMES_BUSY = 1000,
	WAL_FRAMES_IDLE = 250,

	SNAPSHOT_BUFFER_BYTES = 256 << 10,
};

struct store {
	struct folder folder;
	struct reserve reserve;
	struct store_past past;
	struct superblock superblock;
	struct logdb log;
	struct statedb state;
	bool loaded;
	bool restoring; /* the folder is being filled from a backup */
};

static const char old_copy[] = "old-copy", found_damaged[] = "found-damaged", restoring[] = "restoring";

static bool is_set(const struct node_uuid *uuid) {
	static const struct node_uuid zero;

	return memcmp(uuid, &zero, sizeof zero) != 0;
}

static struct relations store_get_relations(const struct store *store) {
	return (struct relations){.superblock = &store->superblock, .log = &store->log, .state = &store->state};
}

/* While a folder is opened and loaded there is nobody who would try again. */
static int no_space_is_fatal(int r) {
	return r == STORE_FULL ? -ENOSPC : r;
}

/* ---- Opening ------------------------------------------------------------------------------------------------------
 */

/* What is thrown away must never have been used: a superblock that has lost its last slots looks as if it were young. */
static int store_check_unused(struct store *store, struct store_error *error) {
	struct logdb_identity log;

	if (!logdb_salvage(&store->folder, &log) || (log.boot_count <= 1 && !is_set(&log.incarnation)))
		return 0;
	return failure(error, -EBADMSG, "%s is damaged: it says that nothing was ever stored, but raft.db was in use",
		       store->superblock.path);
}

static int store_create_databases(struct store *store, struct store_error *error) {
	static const char *const names[] = {"raft.db",  "raft.db-wal",  "raft.db-journal",
					    "state.db", "state.db-wal", "state.db-journal"};
	struct logdb_identity identity = {.uuid = store->superblock.uuid};
	int r = store_check_unused(store, error);

	for (size_t i = 0; r == 0 && i < sizeof names / sizeof *names; i++)
		r = folder_remove(&store->folder, names[i], error);
	if (r != 0)
		return r;
	r = logdb_open(&store->log, &store->folder, true, &identity, error);
	if (r == 0)
		r = statedb_open(&store->state, &store->folder, true, &identity.uuid, error);
	if (r == 0)
		r = folder_sync(&store->folder, error);
	if (r == 0)
		r = folder_sync_name(&store->folder, error);
	return r;
}

static int store_open_databases(struct store *store, struct store_error *error) {
	struct relations relations = store_get_relations(store);
	int r = relations_check_wal(&store->folder, &store->superblock, error);

	if (r == 0)
		r = logdb_open(&store->log, &store->folder, false, NULL, error);
	if (r == 0)
		r = relations_check_identity(&relations, error);
	if (r == 0)
		r = statedb_open(&store->state, &store->folder, false, &store->superblock.uuid, error);
	return r;
}

/* Without a valid slot, and without a database, creation was interrupted before it had stored anything. */
static int store_open_superblock(struct store *store, struct store_error *error) {
	bool has_superblock = false, has_log = false, has_state = false;
	const char *database;
	int r = folder_find(&store->folder, "superblock", &has_superblock, error);

	if (r == 0)
		r = folder_find(&store->folder, "raft.db", &has_log, error);
	if (r == 0)
		r = folder_find(&store->folder, "state.db", &has_state, error);
	if (r != 0)
		return r;
	database = has_log ? "raft.db" : has_state ? "state.db" : NULL;
	if (has_superblock) {
		r = superblock_open(&store->superblock, &store->folder, error);
		if (r != -EBADMSG || database)
			return r;
	} else if (database) {
		return failure(error, -EBADMSG, "%s is damaged: it holds a %s but no superblock", store->folder.path,
			       database);
	}
	return superblock_create(&store->superblock, &store->folder, error);
}

/* raft.db counts first: a superblock that is ahead of it proves that raft.db is an old copy. */
static int store_count_boot(struct store *store, struct store_error *error) {
	uint64_t boot_count = store->superblock.boot_count + 1;
	int r = logdb_set_boot_count(&store->log, boot_count, error);

	if (r != 0)
		return r;
	superblock_set_boot(&store->superblock, boot_count, false);
	return superblock_write(&store->superblock, error);
}

static int store_check_age(struct store *store, struct store_error *error) {
	char sentence[160];
	bool marked;
	int r = folder_find(&store->folder, old_copy, &marked, error);

	if (r != 0 || !marked)
		return r;
	folder_read_line(&store->folder, old_copy, sentence, sizeof sentence);
	return failure(error, -ESTALE,
		       "data folder %s is an old copy and must not be used (%s): delete it and add the node anew: "
		       "lockctl cluster "
		       "remove, then add. If it is all that is left, delete %s/%s and run lockd recover",
		       store->folder.path, sentence, store->folder.path, old_copy);
}

int store_condemn(const struct store *store, const char *sentence, struct store_error *error) {
	return folder_write_line(&store->folder, old_copy, sentence, error);
}

/* What the start reads may be sound while what a write needs is not. */
static int store_check_condition(struct store *store, struct store_error *error) {
	char sentence[400];
	bool marked;
	int r = folder_find(&store->folder, found_damaged, &marked, error);

	if (r != 0 || !marked)
		return r;
	folder_read_line(&store->folder, found_damaged, sentence, sizeof sentence);
	return failure(error, -EBADMSG, "%s was found damaged while it was in use: %s", store->folder.path, sentence);
}

void store_note_failure(const struct store *store, int r, const struct store_error *failure) {
	struct store_error error;

	if (r == -EBADMSG)
		(void)folder_write_line(&store->folder, found_damaged, failure->text, &error);
}

/* A restore that was interrupted leaves a folder that has forgotten what the backup knows. */
static int store_check_restore(struct store *store, struct store_error *error) {
	bool marked;
	int r;

	if (store->restoring)
		return folder_claim(&store->folder, restoring, error);
	r = folder_find(&store->folder, restoring, &marked, error);
	if (r != 0 || !marked)
		return r;
	return failure(error, -ECANCELED, "a restore of %s from a backup was interrupted: run `lockd restore` again",
		       store->folder.path);
}

static int store_try_open(struct store *store, const char *path, struct store_error *error) {
	int r = folder_open(&store->folder, path, error);

	if (r == 0)
		r = store_check_restore(store, error);
	if (r == 0)
		r = store_check_age(store, error);
	if (r == 0)
		r = past_open(&store->folder, &store->past, error);
	if (r == 0)
		r = store_check_condition(store, error);
	if (r == 0)
		r = store_open_superblock(store, error);
	if (r == 0)
		r = store->superblock.boot_count == 0 ? store_create_databases(store, error)
						      : store_open_databases(store, error);
	if (r == 0)
		r = store_count_boot(store, error);
	return r;
}

static int store_open_once(const char *path, struct store **ret, bool *ret_given, struct store_error *error) {
	struct store *store = calloc(1, sizeof *store);
	int r;

	if (!store)
		return failure(error, -ENOMEM, "out of memory");
	r = store_try_open(store, path, error);
	if (r == 0) {
		*ret = store;
		return 0;
	}
	*ret_given = r == STORE_FULL && store->folder.path && reserve_give_up_unopened(&store->folder);
	store_close(store, false);
	return r;
}

int store_open(const char *path, struct store **ret, struct store_error *error) {
	bool given = false;
	int r = store_open_once(path, ret, &given, error);

	if (given)
		r = store_open_once(path, ret, &given, error);
	return no_space_is_fatal(r);
}

int store_open_to_restore(const char *path, struct store **ret, struct store_error *error) {
	struct store *store = calloc(1, sizeof *store);
	int r;

	if (!store)
		return failure(error, -ENOMEM, "out of memory");
	store->restoring = true;
	r = store_try_open(store, path, error);
	if (r == 0)
		*ret = store;
	else
		store_close(store, false);
	return no_space_is_fatal(r);
}

int store_check_to_restore(const char *path, struct store_error *error) {
	return folder_check_claim(path, restoring, error);
}

/* The names of the files must be durable before the mark goes. */
int store_restored(const struct store *store, struct store_error *error) {
	int r = folder_sync(&store->folder, error);

	if (r == 0)
		r = folder_remove(&store->folder, restoring, error);
	return r == 0 ? folder_sync(&store->folder, error) : r;
}

static int store_move_away(struct store *store, const char *reason, struct store_error *error) {
	int r = store_check_age(store, error);

	if (r == 0)
		r = past_set_aside(&store->folder, reason, error);
	if (r == STORE_FULL && reserve_give_up_unopened(&store->folder))
		r = past_set_aside(&store->folder, reason, error);
	return r;
}

int store_set_aside(const char *path, const char *reason, struct store_error *error) {
	struct store store = {0};
	int r = folder_open(&store.folder, path, error);

	if (r == 0)
		r = store_move_away(&store, reason, error);
	folder_close(&store.folder);
	return r;
}

void store_get_past(const struct store *store, struct store_past *ret) {
	*ret = store->past;
}

struct store *store_close(struct store *store, bool clean) {
	struct store_error error;

	if (!store)
		return NULL;
	if (clean && superblock_sync(&store->superblock, &error) != 0)
		clean = false;
	logdb_close(&store->log, clean);
	statedb_close(&store->state, clean);
	if (clean) {
		superblock_set_boot(&store->superblock, store->superblock.boot_count, true);
		(void)superblock_write(&store->superblock, &error); /* the next start then takes the stop for a crash */
	}
	superblock_close(&store->superblock);
	reserve_close(&store->reserve);
	folder_close(&store->folder);
	free(store);
	return NULL;
}

void store_get_uuid(const struct store *store, struct node_uuid *ret) {
	*ret = store->superblock.uuid;
}

uint64_t store_get_boot_count(const struct store *store) {
	return store->superblock.boot_count;
}

void store_get_sizes(const struct store *store, struct store_sizes *ret) {
	*ret = (struct store_sizes){
		.log_bytes =
			folder_file_bytes(&store->folder, "raft.db") + folder_file_bytes(&store->folder, "raft.db-wal"),
		.state_bytes = folder_file_bytes(&store->folder, "state.db") +
			       folder_file_bytes(&store->folder, "state.db-wal"),
		.reserve_bytes = folder_file_bytes(&store->folder, "reserve"),
	};
}

/* ---- Reserve ------------------------------------------------------------------------------------------------------
 */

int store_keep_reserve(struct store *store, uint64_t bytes, struct store_error *error) {
	return reserve_open(&store->reserve, &store->folder, bytes, error);
}

bool store_has_reserve(const struct store *store) {
	return store->reserve.whole;
}

int store_give_up_reserve(struct store *store, struct store_error *error) {
	return reserve_give_up(&store->reserve, error);
}

int store_refill_reserve(struct store *store, struct store_error *error) {
	return reserve_refill(&store->reserve, error);
}

/* ---- Loading ------------------------------------------------------------------------------------------------------
 */

/* The second step of an install that a crash has interrupted, unless it had been made. */
static int store_finish_install(struct store *store, const struct statedb_group *state, struct store_error *error) {
	const struct logdb_group *log = logdb_find(&store->log, state->group);
	struct node_save save = {
		.group = state->group,
		.install = true,
		.keep_suffix = state->install == STATEDB_INSTALL_SUFFIX,
		.base = state->index,
		.base_term = state->term,
		.identity = is_set(&store->superblock.incarnation), /* that of a recovery is in the superblock alone */
		.incarnation = store->superblock.incarnation,
		.epoch = store->superblock.epoch,
	};
	int r = 0;

	if (state->install == STATEDB_SETTLED)
		return 0;
	if (!log || log->base.index < state->index)
		r = logdb_write(&store->log, &save, 1, error);
	if (r == 0)
		r = statedb_settle(&store->state, state->group, error);
	return r;
}

uint32_t store_take_back_identity(struct store *store) {
	struct relations relations = store_get_relations(store);
	uint32_t epoch = store->superblock.epoch;

	for (size_t i = 0; i < store->state.n_groups; i++)
		if (store->state.groups[i].install != STATEDB_SETTLED)
			return 0; /* the rest can be done, and will be when the folder is loaded */
	if (!relations_are_half_recovered(&relations))
		return 0;
	superblock_take_back_identity(&store->superblock, &store->log.identity.incarnation, store->log.identity.epoch);
	return epoch;
}

static int store_check(struct store *store, struct store_error *error) {
	struct relations relations = store_get_relations(store);
	int r = 0;

	for (size_t i = 0; r == 0 && i < store->log.n_groups; i++)
		r = relations_check_hard(&relations, &store->log.groups[i], error);
	for (size_t i = 0; r == 0 && i < store->state.n_groups; i++)
		r = store_finish_install(store, &store->state.groups[i], error);
	if (r == 0 && relations_are_half_recovered(&relations))
		r = failure(error, -ECANCELED, "a forced recovery of %s was interrupted: run `lockd recover` again",
			    store->folder.path);
	for (size_t i = 0; r == 0 && i < store->superblock.n_marks; i++)
		r = relations_check_mark(&relations, &store->superblock.marks[i], error);
	for (size_t i = 0; r == 0 && i < store->log.n_groups; i++)
		r = relations_check_checkpoint(&relations, &store->log.groups[i], error);
	for (size_t i = 0; r == 0 && i < store->state.n_groups; i++)
		r = relations_check_log(&relations, &store->state.groups[i], error);
	return r;
}

struct target {
	struct node *node;
	uint32_t group;
};

static int refused_by_node(struct node *node, int r, const char *what, uint32_t group, struct store_error *error) {
	return r == 0 ? 0
		      : failure(error, r, "the stored %s of group %u cannot be used: %s", what, group,
				node_error(node));
}

static int store_load_row(void *context, uint64_t id, const void *record, size_t n, struct store_error *error) {
	struct target *target = context;
	int r = node_restore_row(target->node, target->group, id, record, n);

	return refused_by_node(target->node, r, "row", target->group, error);
}

static int store_load_checkpoint(struct store *store, const struct statedb_group *state, struct node *node,
				 struct store_error *error) {
	struct target target = {.node = node, .group = state->group};
	uint8_t *header;
	size_t n;
	int r = statedb_header(&store->state, state, &header, &n, error);

	if (r != 0)
		return r;
	r = node_restore_header(node, state->group, header, n);
	free(header);
	if (r != 0)
		return refused_by_node(node, r, "header", state->group, error);
	return statedb_walk(&store->state, state, store_load_row, &target, error);
}

static int store_load_log(struct store *store, const struct logdb_group *log, struct node *node,
			  struct store_error *error) {
	const struct superblock_mark *mark = superblock_find_mark(&store->superblock, log->group);
	bool comparable = mark && mark->term && mark->index >= log->base.index;
	int r = node_restore_base(node, log->group, log->base.index, log->base.term);

	if (r != 0)
		return refused_by_node(node, r, "log base", log->group, error);
	return logdb_load(&store->log, log, comparable ? mark->index : 0, comparable ? mark->chain : 0, node, error);
}

static int store_load_hard(const struct superblock_group *hard, struct node *node, struct store_error *error) {
	struct node_hard stored = {
		.group = hard->group, .term = hard->term, .vote = hard->vote, .promise_ms = hard->promise_ms};

	return refused_by_node(node, node_restore_hard(node, &stored), "term and vote", hard->group, error);
}

static int store_load_all(struct store *store, struct node *node, struct store_error *error) {
	const struct superblock *superblock = &store->superblock;
	int r = store_check(store, error);

	if (r == STORE_FULL && store->reserve.whole && store_give_up_reserve(store, error) == 0)
		r = store_check(store, error);
	if (r == 0 && is_set(&superblock->incarnation))
		r = refused_by_node(node, node_restore_identity(node, &superblock->incarnation, superblock->epoch),
				    "identity", 0, error);
	for (size_t i = 0; r == 0 && i < superblock->n_groups; i++)
		r = store_load_hard(&superblock->groups[i], node, error);
	for (size_t i = 0; r == 0 && i < store->state.n_groups; i++)
		r = store_load_checkpoint(store, &store->state.groups[i], node, error);
	for (size_t i = 0; r == 0 && i < store->log.n_groups; i++)
		r = store_load_log(store, &store->log.groups[i], node, error);
	return r;
}

int store_load(struct store *store, struct node *node, struct store_error *error) {
	int r = no_space_is_fatal(store_load_all(store, node, error));

	store->loaded = r == 0;
	return r;
}

/* ---- Writing ------------------------------------------------------------------------------------------------------
 */

/* Of several hard states of a group the last one counts, with the largest promise of all. To write the earlier ones
 * would go backwards when the same saves come again after the disk was full. */
static void store_set_hard(struct store *store, const struct node_save *save, const struct node_save *end) {
	struct superblock_group hard = {.group = save->group};

	for (; save < end; save++) {
		if (!save->hard || save->group != hard.group)
			continue;
		hard.term = save->term;
		hard.vote = save->vote;
		if (save->promise_ms > hard.promise_ms)
			hard.promise_ms = save->promise_ms;
	}
	superblock_set_hard(&store->superblock, &hard);
}

/* A founding that was interrupted leaves an identity without an entry, by which the node is blank all the same. Whoever lets
 * it in then may be of an older cluster. */
static void store_set_identity(struct store *store, const struct node_save *save) {
	const struct logdb_identity *log = &store->log.identity;

	if (!is_set(&log->incarnation) && save->epoch < store->superblock.epoch)
		superblock_take_back_identity(&store->superblock, &log->incarnation, log->epoch);
	superblock_set_identity(&store->superblock, &save->incarnation, save->epoch);
}

/* What must be true of the superblock before the log changes. */
static int store_prepare_superblock(struct store *store, const struct node_save *save, const struct node_save *end,
				    struct store_error *error) {
	int r = 0;

	if (save->identity)
		store_set_identity(store, save);
	if (save->hard)
		store_set_hard(store, save, end);
	if (save->truncate_from)
		r = superblock_lower(&store->superblock, save->group, save->truncate_from - 1, error);
	if (r == 0 && save->install && !save->keep_suffix)
		r = superblock_lower(&store->superblock, save->group, save->base, error);
	return r;
}

/* A full disk costs nothing here: the mark stays where it was, and is a lower bound all the same. */
static int store_mark(struct store *store, uint32_t group, struct store_error *error) {
	const struct logdb_place *last = &logdb_find(&store->log, group)->last;
	int r = superblock_mark(&store->superblock,
				&(struct superblock_mark){
					.group = group, .index = last->index, .term = last->term, .chain = last->chain},
				error);

	return r == STORE_FULL ? 0 : r;
}

static bool moves_end(const struct node_save *save) {
	return save->n_entries || save->truncate_from || save->install;
}

/* The watermarks first: once the WAL starts over, they alone tell how far the log went. */
static int store_shorten_wal(struct store *store, uint32_t frames, struct store_error *error) {
	int r;

	if (store->log.database.wal_frames < frames)
		return 0;
	r = superblock_sync(&store->superblock, error);
	if (r == 0)
		r = database_checkpoint(&store->log.database, error);
	return r == STORE_FULL ? 0 : r; /* the commits stand in the WAL, and the next call tries again */
}

static int store_write_log(struct store *store, const struct node_save *saves, size_t n, struct store_error *error) {
	int r = logdb_write(&store->log, saves, n, error);

	for (size_t i = 0; r == 0 && i < n; i++)
		if (moves_end(&saves[i]))
			r = store_mark(store, saves[i].group, error);
	return r;
}

static int store_install(struct store *store, const struct node_save *save, struct store_error *error) {
	int r = statedb_install(&store->state, save, error);

	if (r == 0)
		r = store_write_log(store, save, 1, error);
	if (r != 0)
		return r;
	r = statedb_settle(&store->state, save->group, error);
	return r == STORE_FULL ? 0 : r; /* the next checkpoint, or the next start, settles it */
}

int store_write(struct store *store, const struct node_save *saves, size_t n, struct store_error *error) {
	/* Before the commit, so that what is durable is reported at once. */
	int r = store_shorten_wal(store, WAL_FRAMES_BUSY, error);

	assert(store->loaded);
	for (size_t i = 0; r == 0 && i < n; i++) {
		assert(!saves[i].install || n == 1);
		r = store_prepare_superblock(store, &saves[i], saves + n, error);
	}
	if (r == 0)
		r = superblock_write(&store->superblock, error);
	if (r != 0)
		return r;
	return n == 1 && saves->install ? store_install(store, saves, error) : store_write_log(store, saves, n, error);
}

int store_idle(struct store *store, struct store_error *error) {
	return store_shorten_wal(store, WAL_FRAMES_IDLE, error);
}

int store_checkpoint(struct store *store, const struct node_checkpoint *checkpoint, struct store_error *error) {
	assert(store->loaded);
	return statedb_checkpoint(&store->state, checkpoint, error);
}

/* ---- Snapshots ----------------------------------------------------------------------------------------------------
 */

struct copy {
	struct store_snapshot *snapshot;
	XXH3_state_t *digest;
	uint8_t *buffer;
	size_t used;
};

static int copy_flush(struct copy *copy, struct store_error *error) {
	for (size_t done = 0; done < copy->used;) {
		ssize_t n = write(copy->snapshot->fd, copy->buffer + done, copy->used - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure_errno(error, "write", "the scratch file of a snapshot");
		done += (size_t)n;
	}
	copy->used = 0;
	return 0;
}

static int copy_bytes(struct copy *copy, const void *bytes, size_t n, struct store_error *error) {
	const uint8_t *from = bytes;

	(void)XXH3_128bits_update(copy->digest, bytes, n); /* fails only for NULL */
	copy->snapshot->bytes += n;
	while (n > 0) {
		size_t room = SNAPSHOT_BUFFER_BYTES - copy->used, part = n < room ? n : room;

		memcpy(copy->buffer + copy->used, from, part);
		copy->used += part;
		from += part;
		n -= part;
		if (copy->used == SNAPSHOT_BUFFER_BYTES) {
			int r = copy_flush(copy, error);
			if (r != 0)
				return r;
		}
	}
	return 0;
}

static int copy_row(void *context, uint64_t id, const void *record, size_t n, struct store_error *error) {
	struct copy *copy = context;
	uint8_t length[4];
	int r;

	(void)id; /* local to this node, the receiver chooses its own */
	bytes_put_u32(length, (uint32_t)n);
	copy->snapshot->rows++;
	r = copy_bytes(copy, length, sizeof length, error);
	return r == 0 && n > 0 ? copy_bytes(copy, record, n, error) : r;
}

static int store_copy(struct store *store, const struct statedb_group *state, struct copy *copy,
		      struct store_error *error) {
	XXH128_canonical_t digest;
	int r = statedb_header(&store->state, state, &copy->snapshot->header, &copy->snapshot->header_bytes, error);

	if (r != 0)
		return r;
	(void)XXH3_128bits_reset(copy->digest);
	(void)XXH3_128bits_update(copy->digest, copy->snapshot->header, copy->snapshot->header_bytes);
	r = statedb_walk(&store->state, state, copy_row, copy, error);
	if (r == 0)
		r = copy_flush(copy, error);
	if (r != 0)
		return r;
	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(copy->digest));
	memcpy(copy->snapshot->digest, digest.digest, sizeof copy->snapshot->digest);
	return 0;
}

raft_index store_get_checkpoint_index(const struct store *store, uint32_t group) {
	const struct statedb_group *state = statedb_find(&store->state, group);

	return state ? state->index : 0;
}

int store_snapshot(struct store *store, uint32_t group, struct store_snapshot *ret, struct store_error *error) {
	const struct statedb_group *state = statedb_find(&store->state, group);
	struct store_snapshot snapshot = {.fd = -1};
	struct copy copy = {.snapshot = &snapshot};
	int r;

	if (!state)
		return failure(error, -ENOENT, "%s holds no checkpoint of group %u", store->state.database.path, group);
	snapshot.index = state->index;
	copy.digest = XXH3_createState();
	copy.buffer = malloc(SNAPSHOT_BUFFER_BYTES);
	r = copy.digest && copy.buffer ? folder_scratch(&store->folder, &snapshot.fd, error)
				       : failure(error, -ENOMEM, "out of memory");
	if (r == 0)
		r = store_copy(store, state, &copy, error);
	XXH3_freeState(copy.digest);
	free(copy.buffer);
	if (r != 0) {
		if (snapshot.fd >= 0)
			close(snapshot.fd);
		free(snapshot.header);
		return r;
	}
	*ret = snapshot;
	return 0;
}
