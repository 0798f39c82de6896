/* SPDX-License-Identifier: Apache-2.0 */
/* What the node's backups are handed out from: one file without a name per backup, cut and read by the checkpoint
 * thread. The node says when to cut, to read and to forget, and has at most LIMIT_BACKUPS_MAX of them. Belongs to the
 * loop's thread. */
#ifndef LOCKD_IO_BACKUP_FILES_H
#define LOCKD_IO_BACKUP_FILES_H

#include "api/limits.h"
#include "lockd/io/checkpointer.h"
#include "lockd/io/events.h"

struct backup_file {
	uint64_t number;                /* 0: free */
	struct store_snapshot snapshot; /* once it is cut */
	struct checkpointer_job *job;   /* that came back in this turn: the report points into it */
	struct node_backup_report report;
};

struct backup_files {
	struct checkpointer *checkpointer;
	struct backup_file files[LIMIT_BACKUPS_MAX];
};

void backup_files_init(struct backup_files *files, struct checkpointer *checkpointer);
void backup_files_execute(struct backup_files *files, const struct node_backup *backup);
/* Takes the job. */
void backup_files_job(struct backup_files *files, struct checkpointer_job *job, struct events *events);
/* The step that got the reports is over. */
void backup_files_end_turn(struct backup_files *files);
/* A job that comes back behind the last turn. */
void backup_files_drop(struct checkpointer_job *job);
void backup_files_deinit(struct backup_files *files);

#endif
