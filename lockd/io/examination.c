/* SPDX-License-Identifier: Apache-2.0 */
#include "examination.h"

#include "failure.h"
#include "lockd/state/state.h"
#include "peers.h"
#include "relations.h"
#include "twin.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

enum {
	/* Enough to see what kind of damage it is; the rest is counted. */
	FINDINGS_MAX = 1000,
};

struct examiner {
	struct examination *result;
	struct twin twin;
	struct folder folder; /* the twin */
	const char *part;     /* that is being looked at */
	struct superblock superblock;
	struct logdb log;
	struct statedb state;
	int failure; /* of this program, which says nothing about the folder */
};

/* ---- Findings -----------------------------------------------------------------------------------------------------
 */

static void *must(void *memory) {
	if (!memory) {
		fprintf(stderr, "lockd: out of memory\n");
		exit(EX_OSERR);
	}
	return memory;
}

static bool is_known(const struct examination *result, const char *sentence) {
	for (size_t i = 0; i < result->n_findings; i++)
		if (strcmp(result->findings[i].sentence, sentence) == 0)
			return true;
	return false;
}

static void find(struct examiner *examiner, bool damage, const char *sentence) {
	struct examination *result = examiner->result;
	char text[sizeof(struct store_error)];

	(void)snprintf(text, sizeof text, "%s", sentence);
	twin_rename(&examiner->twin, text, sizeof text);
	if (is_known(result, text))
		return;
	result->n_damages += damage;
	if (result->n_findings == FINDINGS_MAX)
		return;
	result->findings = must(realloc(result->findings, (result->n_findings + 1) * sizeof *result->findings));
	result->findings[result->n_findings++] =
		(struct examination_finding){.damage = damage, .part = examiner->part, .sentence = must(strdup(text))};
}

static void find_damage(void *context, const char *sentence) {
	find(context, true, sentence);
}

__attribute__((format(printf, 2, 3))) static void note(struct examiner *examiner, const char *format, ...) {
	char sentence[sizeof(struct store_error)];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof sentence, format, arguments);
	va_end(arguments);
	find(examiner, false, sentence);
}

static bool is_our_fault(int r) {
	return r == STORE_FULL || r == -ENOSPC || r == -ENOMEM;
}

/* A part that cannot be used at all is damage here, unless it is our own fault: nothing is there that could try again.
 */
static bool is_usable(struct examiner *examiner, int r, const struct store_error *error) {
	if (is_our_fault(r))
		examiner->failure = r;
	else if (r != 0)
		find(examiner, true, error->text);
	return r == 0;
}

/* ---- Superblock ---------------------------------------------------------------------------------------------------
 */

static void look_at_slots(struct examiner *examiner) {
	struct examination *result = examiner->result;
	const struct superblock_slot *slots = result->superblock.slots;

	for (int i = 0; i < 2; i++)
		if (slots[i].state == SUPERBLOCK_VALID &&
		    (result->newest_slot < 0 ||
		     slots[i].content.generation > slots[result->newest_slot].content.generation))
			result->newest_slot = i;
	for (int i = 0; i < 2 && result->newest_slot >= 0; i++)
		if (slots[i].state == SUPERBLOCK_INVALID)
			note(examiner,
			     "slot %d has no valid checksum: a power cut may have left it so, and the other one "
			     "counts; if "
			     "this one was the newer one, the log knows more than the other, which is checked",
			     i);
}

/* Of two good sectors the newer one counts; a bad one beside a good one costs one update of a lower bound. */
static void look_at_mark(struct examiner *examiner, size_t position, const struct superblock_sector *sector,
			 const struct superblock_sector *twin) {
	char sentence[sizeof(struct store_error)];

	if (sector->state != SUPERBLOCK_INVALID)
		return;
	if (twin->state == SUPERBLOCK_VALID) {
		note(examiner,
		     "watermark %zu: one sector has no valid checksum; its twin says that entries up to %llu of group "
		     "%u "
		     "were acknowledged",
		     position, (unsigned long long)twin->mark.index, twin->mark.group);
		return;
	}
	/* In the words of superblock_open(), which ends at the first one. */
	(void)snprintf(sentence, sizeof sentence,
		       "%s/superblock is damaged: watermark %zu has no valid checksum, so the log cannot be judged",
		       examiner->twin.of, position);
	find(examiner, true, sentence);
}

/* Places are taken in order, so the first one that was never written is behind the last mark. */
static void look_at_marks(struct examiner *examiner) {
	bool used = true;

	for (size_t i = 0; i < LIMIT_GROUPS_MAX; i++) {
		const struct superblock_sector *pair = examiner->result->superblock.sectors[i];

		used = used && (pair[0].state != SUPERBLOCK_EMPTY || pair[1].state != SUPERBLOCK_EMPTY);
		if (used) {
			look_at_mark(examiner, i, &pair[0], &pair[1]);
			look_at_mark(examiner, i, &pair[1], &pair[0]);
		} else if (pair[0].state != SUPERBLOCK_EMPTY || pair[1].state != SUPERBLOCK_EMPTY) {
			note(examiner, "watermark %zu is of no group, and yet something stands there: nobody reads it",
			     i);
		}
	}
}

static bool examine_superblock(struct examiner *examiner) {
	struct examination *result = examiner->result;
	struct store_error error;

	examiner->part = "superblock";
	result->has_superblock = folder_has(&examiner->folder, "superblock");
	if (!result->has_superblock)
		return false;
	if (is_usable(examiner, superblock_look(&examiner->folder, &result->superblock, &error), &error)) {
		look_at_slots(examiner);
		look_at_marks(examiner);
	}
	return is_usable(examiner, superblock_open(&examiner->superblock, &examiner->folder, &error), &error);
}

/* ---- Databases ----------------------------------------------------------------------------------------------------
 */

static uint64_t bytes_of(const struct examiner *examiner, const char *name) {
	char path[PATH_MAX];
	struct stat stat_buffer;

	(void)snprintf(path, sizeof path, "%s/%s", examiner->twin.of, name);
	return stat(path, &stat_buffer) == 0 ? (uint64_t)stat_buffer.st_size : 0;
}

/* Frames behind the last commit are of a transaction that nobody was told of. */
static void describe_wal_tail(struct examiner *examiner, const char *name, const struct wal_facts *wal) {
	if (wal->current > wal->committed && !wal->damaged)
		note(examiner,
		     "%s ends in a transaction that was never completed (%llu frames): it was not acknowledged, and "
		     "the next start drops it",
		     name, (unsigned long long)(wal->current - wal->committed));
}

static void examine_wal(struct examiner *examiner, const char *name, struct examination_database *database) {
	struct store_error error;

	examiner->part = name;
	if (!is_usable(examiner, wal_examine(&examiner->folder, name, &database->wal, &error), &error))
		return;
	describe_wal_tail(examiner, name, &database->wal);
}

static void examine_log_wal(struct examiner *examiner, bool has_superblock) {
	struct store_error error;
	uint64_t frames;

	examine_wal(examiner, "raft.db-wal", &examiner->result->log);
	if (has_superblock)
		(void)is_usable(examiner, relations_check_wal(&examiner->folder, &examiner->superblock, &error),
				&error);
	else
		(void)is_usable(examiner, wal_scan(&examiner->folder, "raft.db-wal", &frames, &error), &error);
}

/* What its WAL has lost of state.db is an older checkpoint, which is as good while the log reaches back to it; that is
 * checked. */
static void examine_state_wal(struct examiner *examiner) {
	const struct wal_facts *wal = &examiner->result->state.wal;

	examine_wal(examiner, "state.db-wal", &examiner->result->state);
	if (wal->bad_header)
		note(examiner, "state.db-wal has no valid header: what stood in it alone is gone");
	else if (wal->damaged)
		note(examiner,
		     "frame %llu of %llu in state.db-wal has no valid checksum: the checkpoints behind it are gone",
		     (unsigned long long)wal->damaged, (unsigned long long)wal->frames);
}

static void examine_entries(struct examiner *examiner, const struct logdb_group *group) {
	const struct superblock_mark *mark =
		examiner->superblock.path ? superblock_find_mark(&examiner->superblock, group->group) : NULL;
	bool comparable = mark && mark->term && mark->index >= group->base.index;
	struct store_error error;

	(void)is_usable(examiner,
			logdb_load(&examiner->log, group, comparable ? mark->index : 0, comparable ? mark->chain : 0,
				   NULL, &error),
			&error);
}

static bool examine_log(struct examiner *examiner, const struct audit *audit) {
	struct examination *result = examiner->result;
	struct store_error error;

	examiner->part = "raft.db";
	result->log.exists = folder_has(&examiner->folder, "raft.db");
	result->log.bytes = bytes_of(examiner, "raft.db");
	result->log.open =
		is_usable(examiner, logdb_open_audited(&examiner->log, &examiner->folder, audit, &error), &error);
	if (!result->log.open)
		return false;
	result->log_identity = examiner->log.identity;
	result->n_log_groups = examiner->log.n_groups;
	memcpy(result->log_groups, examiner->log.groups, sizeof result->log_groups);
	for (size_t i = 0; i < examiner->log.n_groups; i++)
		examine_entries(examiner, &examiner->log.groups[i]);
	return true;
}

static int count_row(void *context, uint64_t id, const void *record, size_t n, struct store_error *error) {
	(void)id;
	(void)record;
	(void)n;
	(void)error;
	++*(uint64_t *)context;
	return 0;
}

static void examine_rows(struct examiner *examiner, size_t i) {
	const struct statedb_group *group = &examiner->state.groups[i];
	struct store_error error;

	if (group->install != STATEDB_SETTLED)
		note(examiner,
		     "the installation of a snapshot of group %u at entry %llu was interrupted: the next start "
		     "completes it",
		     group->group, (unsigned long long)group->index);
	(void)is_usable(examiner,
			statedb_walk(&examiner->state, group, count_row, &examiner->result->state_rows[i], &error),
			&error);
}

static bool examine_state(struct examiner *examiner, const struct audit *audit) {
	struct examination *result = examiner->result;
	const struct node_uuid *uuid = examiner->superblock.path ? &examiner->superblock.uuid : NULL;
	struct store_error error;

	examiner->part = "state.db";
	result->state.exists = folder_has(&examiner->folder, "state.db");
	result->state.bytes = bytes_of(examiner, "state.db");
	result->state.open = is_usable(
		examiner, statedb_open_audited(&examiner->state, &examiner->folder, uuid, audit, &error), &error);
	if (!result->state.open)
		return false;
	result->n_state_groups = examiner->state.n_groups;
	memcpy(result->state_groups, examiner->state.groups, sizeof result->state_groups);
	for (size_t i = 0; i < examiner->state.n_groups; i++)
		examine_rows(examiner, i);
	return true;
}

/* ---- Between the parts --------------------------------------------------------------------------------------------
 */

/* The log is not based on the checkpoint yet; the trial says how it goes on. */
static bool is_being_installed(const struct examiner *examiner, uint32_t group) {
	const struct statedb_group *state = statedb_find(&examiner->state, group);

	return state && state->install != STATEDB_SETTLED;
}

static void relate_superblock(struct examiner *examiner, const struct relations *relations) {
	const struct logdb *log = relations->log;
	struct store_error error;

	(void)is_usable(examiner, relations_check_identity(relations, &error), &error);
	for (size_t i = 0; i < log->n_groups; i++)
		(void)is_usable(examiner, relations_check_hard(relations, &log->groups[i], &error), &error);
	for (size_t i = 0; i < relations->superblock->n_marks; i++)
		if (!is_being_installed(examiner, relations->superblock->marks[i].group))
			(void)is_usable(examiner,
					relations_check_mark(relations, &relations->superblock->marks[i], &error),
					&error);
}

static void relate_databases(struct examiner *examiner, const struct relations *relations) {
	struct store_error error;

	for (size_t i = 0; i < relations->log->n_groups; i++)
		if (!is_being_installed(examiner, relations->log->groups[i].group))
			(void)is_usable(examiner,
					relations_check_checkpoint(relations, &relations->log->groups[i], &error),
					&error);
	for (size_t i = 0; i < relations->state->n_groups; i++)
		if (!is_being_installed(examiner, relations->state->groups[i].group))
			(void)is_usable(examiner, relations_check_log(relations, &relations->state->groups[i], &error),
					&error);
}

/* A database of which rows are gone contradicts everything; to say that again for each of them helps nobody. */
static void examine_relations(struct examiner *examiner, size_t damages_of_log) {
	struct relations relations = {
		.superblock = &examiner->superblock, .log = &examiner->log, .state = &examiner->state};

	examiner->part = "relations";
	if (!examiner->result->log.open || (damages_of_log > 0 && examiner->log.n_groups == 0))
		return;
	if (examiner->superblock.path)
		relate_superblock(examiner, &relations);
	if (examiner->result->state.open)
		relate_databases(examiner, &relations);
}

/* With boot count 0 nothing was ever stored, and the next start creates everything anew. */
static bool is_half_created(const struct examiner *examiner) {
	return examiner->superblock.path && examiner->superblock.boot_count == 0;
}

static void examine_parts(struct examiner *examiner) {
	const struct audit audit = {.damage = find_damage, .context = examiner};
	bool has_superblock = examine_superblock(examiner);
	size_t before;

	if (has_superblock && is_half_created(examiner)) {
		note(examiner, "the folder was being created and holds nothing yet: the next start begins anew");
		return;
	}
	if (!folder_has(&examiner->folder, "raft.db") && !folder_has(&examiner->folder, "state.db") && !has_superblock)
		return;
	examine_log_wal(examiner, has_superblock);
	before = examiner->result->n_damages;
	(void)examine_log(examiner, &audit);
	before = examiner->result->n_damages - before;
	examine_state_wal(examiner);
	(void)examine_state(examiner, &audit);
	examine_relations(examiner, before);
	logdb_close(&examiner->log, false);
	statedb_close(&examiner->state, false);
}

static void examine_names(struct examiner *examiner) {
	DIR *names = opendir(examiner->twin.of);
	struct dirent *entry;

	examiner->part = "folder";
	examiner->result->reserve_bytes = bytes_of(examiner, "reserve");
	while (names && (entry = readdir(names))) {
		if (strncmp(entry->d_name, "damaged-", 8) == 0)
			note(examiner,
			     "%s holds files that were found damaged and set aside: evidence, which can be deleted "
			     "when the "
			     "node has been let in again",
			     entry->d_name);
		else if (!twin_knows(entry->d_name) && strcmp(entry->d_name, ".") != 0 &&
			 strcmp(entry->d_name, "..") != 0)
			note(examiner, "%s is no file of lockd's", entry->d_name);
	}
	if (names)
		closedir(names);
}

/* ---- The trial ----------------------------------------------------------------------------------------------------
 */

static int load_node(struct store *store, uint32_t number, struct node **ret, struct store_error *error) {
	struct node_config config = {.node = number,
				     .timing = {.heartbeat = 50000,
						.election_min = 400000,
						.election_max = 800000,
						.check_quorum = 400000,
						.stagger = 25000}};
	int r;

	store_get_uuid(store, &config.store);
	r = node_new(&config, ret);
	if (r < 0)
		return failure(error, r, "out of memory");
	r = store_load(store, *ret, error);
	if (r != 0)
		*ret = node_free(*ret);
	return r;
}

static char *copy_text(const char *text) {
	return text ? must(strdup(text)) : NULL;
}

static void list_members(struct examination *result, struct store *store, const struct node *node) {
	struct node_member member;
	struct node_uuid store_uuid;

	store_get_uuid(store, &store_uuid);
	for (size_t i = 0; i < LIMIT_NODES_MAX && node_get_member(node, i, &member); i++) {
		bool self = memcmp(&member.store, &store_uuid, sizeof store_uuid) == 0;

		member.peer_address = copy_text(member.peer_address);
		member.client_address = copy_text(member.client_address);
		result->members[result->n_members++] = (struct examination_member){.member = member, .self = self};
		if (self)
			result->node = member.node;
	}
}

static void count_state(struct examination *result, const struct node *node, raft_index applied) {
	struct state_counts counts = state_get_counts(node_state(node, PEERS_GROUP));

	result->applied = applied;
	result->sessions = counts.sessions;
	result->locks = counts.locks;
}

/* A started node has applied its checkpoint. The save of a recovery, which nobody writes, has applied the whole log. */
static void count_everything(struct examination *result, struct store *store) {
	struct node_recovery recovery = {.incarnation = {{1}}, .peer_address = "-:1", .client_address = "-:1"};
	const struct node_save *save;
	struct node_uuid incarnation;
	struct store_error error;
	struct node *node;

	if (result->node == 0 || load_node(store, result->node, &node, &error) != 0)
		return;
	node_get_identity(node, &incarnation, &recovery.epoch);
	recovery.epoch++;
	if (node_recover(node, &recovery, &save) == 0)
		count_state(result, node, result->last);
	node_free(node);
}

static int load_content(struct examination *result, struct store *store, struct store_error *error) {
	struct raft_clocks clocks = {0};
	struct raft_status status;
	struct node *node;
	int r = load_node(store, 1, &node, error);

	if (r != 0)
		return r;
	r = node_start(node, &clocks);
	if (r < 0) {
		r = failure(error, -EPROTO, "%s", node_error(node)); /* sound, and of no use to this program */
	} else if (node_is_blank(node)) {
		result->verdict = EXAMINATION_BLANK;
	} else {
		raft_get_status(node_raft(node, PEERS_GROUP), &status);
		result->loaded = true;
		result->term = status.term;
		result->last = status.last;
		list_members(result, store, node);
		count_state(result, node, store_get_checkpoint_index(store, PEERS_GROUP));
		count_everything(result, store);
	}
	node_free(node);
	return r;
}

/* Damage that only the trial has met stands in the reason alone, and belongs among the findings. Other refusals are no
 * damage. */
static void judge_refusal(struct examiner *examiner, int r, const struct store_error *refusal) {
	struct examination *result = examiner->result;
	struct store_error error = *refusal;

	examiner->part = "folder";
	result->verdict = EXAMINATION_REFUSED;
	result->mark_of_old_copy = r == -ESTALE;
	if (r == -EBADMSG) {
		find(examiner, true, refusal->text);
		r = store_set_aside(examiner->twin.path, refusal->text, &error);
	}
	if (is_our_fault(r))
		examiner->failure = r;
	if (r == 0) {
		result->verdict = EXAMINATION_SET_ASIDE;
		error = *refusal;
	}
	twin_rename(&examiner->twin, error.text, sizeof error.text);
	memcpy(result->reason, error.text, sizeof result->reason);
}

static void try_start(struct examiner *examiner) {
	struct store_error error;
	struct store *store = NULL;
	int r = store_open(examiner->twin.path, &store, &error);

	if (r == 0) {
		store_get_past(store, &examiner->result->past);
		r = load_content(examiner->result, store, &error);
	}
	store_close(store, false);
	if (r != 0)
		judge_refusal(examiner, r, &error);
}

/* ---- The whole ----------------------------------------------------------------------------------------------------
 */

static bool is_data_folder(const struct folder *folder) {
	static const char *const names[] = {"superblock", "raft.db", "state.db", "past", "restoring"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (folder_has(folder, names[i]))
			return true;
	return false;
}

/* The next restore throws away what stands behind the mark, and nobody else reads it. */
static bool is_being_restored(const struct folder *folder) {
	return folder_has(folder, "restoring");
}

static int examine(struct examiner *examiner, struct store_error *error) {
	int r = folder_open(&examiner->folder, examiner->twin.path, error);

	if (r != 0)
		return r;
	if (!is_data_folder(&examiner->folder))
		r = failure(error, -ENOENT, "%s is no data folder of a node: it holds none of its files",
			    examiner->twin.of);
	else if (!is_being_restored(&examiner->folder))
		examine_parts(examiner);
	superblock_close(&examiner->superblock);
	folder_close(&examiner->folder); /* the trial takes its lock again */
	if (r != 0)
		return r;
	try_start(examiner);
	examine_names(examiner);
	if (examiner->failure == STORE_FULL || examiner->failure == -ENOSPC)
		return failure(error, -ENOSPC,
			       "there is no space left for a stand-in for %s: TMPDIR names another place",
			       examiner->twin.of);
	return examiner->failure ? failure(error, examiner->failure, "out of memory") : 0;
}

int examination_run(const char *folder, struct examination *ret, struct store_error *error) {
	struct examiner examiner = {.result = ret};
	int r;

	*ret = (struct examination){.newest_slot = -1};
	r = twin_open(&examiner.twin, folder, error);
	if (r != 0)
		return r;
	ret->folder = must(strdup(examiner.twin.of));
	r = examine(&examiner, error);
	if (r != 0) {
		twin_rename(&examiner.twin, error->text, sizeof error->text);
		examination_deinit(ret);
	}
	twin_close(&examiner.twin);
	return r;
}

void examination_deinit(struct examination *examination) {
	for (size_t i = 0; i < examination->n_findings; i++)
		free(examination->findings[i].sentence);
	for (size_t i = 0; i < examination->n_members; i++) {
		free((char *)examination->members[i].member.peer_address);
		free((char *)examination->members[i].member.client_address);
	}
	free(examination->findings);
	free(examination->folder);
	*examination = (struct examination){0};
}

int examination_main(const char *folder, bool json) {
	struct examination examination;
	struct store_error error;
	int r = examination_run(folder, &examination, &error), status;

	if (r != 0) {
		fprintf(stderr, "lockd: %s\n", error.text);
		return r == -ENOENT || r == -ENOTDIR || r == -EACCES ? EX_NOINPUT : EX_IOERR;
	}
	status = examination.n_damages > 0 || examination.verdict == EXAMINATION_REFUSED ? EX_DATAERR : 0;
	if (json && examination_print_json(&examination, stdout) < 0)
		status = EX_IOERR;
	if (!json)
		examination_print(&examination, stdout);
	examination_deinit(&examination);
	return status;
}
