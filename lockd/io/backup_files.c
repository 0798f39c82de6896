/* SPDX-License-Identifier: Apache-2.0 */
#include "backup_files.h"

#include "fatal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void backup_files_init(struct backup_files *files, struct checkpointer *checkpointer) {
	*files = (struct backup_files){.checkpointer = checkpointer};
}

/* The file of that number; 0: a free one. */
static struct backup_file *find(struct backup_files *files, uint64_t number) {
	struct backup_file *file = files->files;

	while (file < files->files + LIMIT_BACKUPS_MAX && file->number != number)
		file++;
	assert(file < files->files + LIMIT_BACKUPS_MAX);
	return file;
}

static void free_job(struct checkpointer_job *job) {
	free(job->bytes);
	free(job);
}

/* The report of this turn stays. */
static void forget(struct backup_file *file) {
	if (file->snapshot.header)
		close(file->snapshot.fd);
	free(file->snapshot.header);
	file->snapshot = (struct store_snapshot){0};
	file->number = 0;
}

/* ---- Asked for ----------------------------------------------------------------------------------------------------
 */

static struct checkpointer_job *new_job(struct backup_file *file, enum inbox_kind kind) {
	struct checkpointer_job *job = fatal_alloc(sizeof *job);

	job->item.kind = kind;
	job->owner = file;
	return job;
}

static void cut(struct backup_files *files, const struct node_backup *backup) {
	struct backup_file *file = find(files, 0);
	struct checkpointer_job *job = new_job(file, INBOX_BACKUP_CUT);

	file->number = backup->number;
	job->group = backup->group;
	checkpointer_add(files->checkpointer, job);
}

static void read_part(struct backup_files *files, const struct node_backup *backup) {
	struct backup_file *file = find(files, backup->number);
	struct checkpointer_job *job = new_job(file, INBOX_BACKUP_READ);

	assert(backup->n <= file->snapshot.bytes - backup->offset);
	job->fd = file->snapshot.fd;
	job->offset = backup->offset;
	job->n = backup->n;
	job->bytes = fatal_alloc(backup->n);
	checkpointer_add(files->checkpointer, job);
}

void backup_files_execute(struct backup_files *files, const struct node_backup *backup) {
	switch (backup->kind) {
	case NODE_BACKUP_CUT: cut(files, backup); break;
	case NODE_BACKUP_READ: read_part(files, backup); break;
	case NODE_BACKUP_DROP: forget(find(files, backup->number)); break;
	}
}

/* ---- Done ---------------------------------------------------------------------------------------------------------
 */

static void fill_cut(struct backup_file *file, const struct store_snapshot *snapshot) {
	struct node_backup_report *report = &file->report;

	file->snapshot = *snapshot;
	report->index = snapshot->index;
	report->header = snapshot->header;
	report->header_bytes = snapshot->header_bytes;
	report->rows = snapshot->rows;
	report->bytes = snapshot->bytes;
	memcpy(report->digest, snapshot->digest, sizeof report->digest);
}

void backup_files_job(struct backup_files *files, struct checkpointer_job *job, struct events *events) {
	struct backup_file *file = job->owner;

	(void)files;
	assert(!file->job);
	file->job = job;
	file->report = (struct node_backup_report){.number = file->number, .data = job->bytes, .n = job->n};
	if (job->result == STORE_FULL)
		file->report.result = NODE_BACKUP_FULL;
	else if (job->result < 0)
		file->report.result = NODE_BACKUP_FAILED;
	else if (job->item.kind == INBOX_BACKUP_CUT)
		fill_cut(file, &job->snapshot);
	if (job->result != 0 && job->item.kind == INBOX_BACKUP_CUT)
		forget(file); /* the node takes the number back, too: the next one may come in the same turn */
	events_add(events, NODE_BACKUP_DONE)->backup = &file->report;
}

void backup_files_end_turn(struct backup_files *files) {
	for (struct backup_file *file = files->files; file < files->files + LIMIT_BACKUPS_MAX; file++) {
		if (file->job)
			free_job(file->job);
		file->job = NULL;
	}
}

void backup_files_drop(struct checkpointer_job *job) {
	if (job->item.kind == INBOX_BACKUP_CUT && job->result == 0) {
		close(job->snapshot.fd);
		free(job->snapshot.header);
	}
	free_job(job);
}

void backup_files_deinit(struct backup_files *files) {
	backup_files_end_turn(files);
	for (struct backup_file *file = files->files; file < files->files + LIMIT_BACKUPS_MAX; file++)
		forget(file);
}
