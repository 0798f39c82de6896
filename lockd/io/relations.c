/* SPDX-License-Identifier: Apache-2.0 */
#include "relations.h"

#include "failure.h"
#include "wal.h"

#include <errno.h>
#include <string.h>

static bool is_set(const struct node_uuid *uuid) {
	static const struct node_uuid zero;

	return memcmp(uuid, &zero, sizeof zero) != 0;
}

int relations_check_wal(const struct folder *folder, const struct superblock *superblock, struct store_error *error) {
	uint64_t frames;
	int r = wal_scan(folder, "raft.db-wal", &frames, error);

	if (r == 0 && frames == 0 && !superblock->clean && !folder_file_bytes(folder, "raft.db-wal"))
		return failure(error, -EBADMSG,
			       "%s/raft.db-wal is missing, and the node was not stopped cleanly: what was committed "
			       "there is lost",
			       folder->path);
	return r;
}

int relations_check_identity(const struct relations *relations, struct store_error *error) {
	const struct superblock *superblock = relations->superblock;
	const struct logdb_identity *log = &relations->log->identity;
	const char *path = relations->log->database.path;

	if (memcmp(&superblock->uuid, &log->uuid, sizeof log->uuid) != 0)
		return failure(error, -EBADMSG, "%s belongs to another data folder", path);
	if (log->boot_count != superblock->boot_count && log->boot_count != superblock->boot_count + 1)
		return failure(error, -EBADMSG, "%s and %s are of different ages: they count %llu and %llu starts",
			       superblock->path, path, (unsigned long long)superblock->boot_count,
			       (unsigned long long)log->boot_count);
	if (log->epoch > superblock->epoch ||
	    (is_set(&log->incarnation) && log->epoch == superblock->epoch &&
	     memcmp(&log->incarnation, &superblock->incarnation, sizeof log->incarnation) != 0))
		return failure(error, -EBADMSG, "%s is damaged: it names another incarnation of the cluster than %s",
			       superblock->path, path);
	return 0;
}

/* The superblock is written first, so it may be ahead, and its vote may be cast where the log does not know of it yet.
 */
int relations_check_hard(const struct relations *relations, const struct logdb_group *log, struct store_error *error) {
	const struct superblock *superblock = relations->superblock;
	const struct superblock_group *hard = superblock_find_group(superblock, log->group);
	const char *path = relations->log->database.path;
	raft_term term = hard ? hard->term : 0;
	uint32_t vote = hard ? hard->vote : 0;

	if (log->term > term)
		return failure(error, -EBADMSG, "%s is damaged: it knows term %llu of group %u, %s knows term %llu",
			       superblock->path, (unsigned long long)term, log->group, path,
			       (unsigned long long)log->term);
	if (log->promise_ms > (hard ? hard->promise_ms : 0))
		return failure(error, -EBADMSG,
			       "%s is damaged: it has forgotten a promise of group %u, %s knows of %u ms",
			       superblock->path, log->group, path, log->promise_ms);
	if (log->term == term && log->vote && log->vote != vote)
		return failure(error, -EBADMSG,
			       "%s is damaged: in term %llu of group %u it knows a vote for node %u, %s one for node "
			       "%u",
			       superblock->path, (unsigned long long)term, log->group, vote, path, log->vote);
	return 0;
}

int relations_check_mark(const struct relations *relations, const struct superblock_mark *mark,
			 struct store_error *error) {
	const struct logdb_group *log = logdb_find(relations->log, mark->group);
	raft_index last = log ? log->last.index : 0;

	if (last >= mark->index)
		return 0;
	return failure(error, -EBADMSG,
		       "the log of group %u in %s ends at %llu, but entries up to %llu were acknowledged: it has lost "
		       "some, and the node must not vote with it",
		       mark->group, relations->log->database.path, (unsigned long long)last,
		       (unsigned long long)mark->index);
}

int relations_check_checkpoint(const struct relations *relations, const struct logdb_group *log,
			       struct store_error *error) {
	const struct statedb_group *state = statedb_find(relations->state, log->group);
	const char *log_path = relations->log->database.path, *state_path = relations->state->database.path;
	raft_index index = state ? state->index : 0;

	if (log->base.index > index)
		return failure(error, -EBADMSG,
			       "the log of group %u in %s begins behind %llu, but the checkpoint in %s ends at %llu",
			       log->group, log_path, (unsigned long long)log->base.index, state_path,
			       (unsigned long long)index);
	if (log->last.index < index)
		return failure(
			error, -EBADMSG,
			"the log of group %u in %s ends at %llu, but the checkpoint in %s covers entries up to %llu: "
			"it has lost some, and the node must not vote with it",
			log->group, log_path, (unsigned long long)log->last.index, state_path,
			(unsigned long long)index);
	return 0;
}

int relations_check_log(const struct relations *relations, const struct statedb_group *state,
			struct store_error *error) {
	if (logdb_find(relations->log, state->group))
		return 0;
	return failure(error, -EBADMSG, "%s has no log for group %u, of which %s holds a checkpoint",
		       relations->log->database.path, state->group, relations->state->database.path);
}

bool relations_are_half_recovered(const struct relations *relations) {
	const struct node_uuid *log = &relations->log->identity.incarnation;

	return is_set(log) && memcmp(log, &relations->superblock->incarnation, sizeof *log) != 0;
}
