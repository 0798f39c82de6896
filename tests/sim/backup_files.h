/* SPDX-License-Identifier: Apache-2.0 */
/* What the nodes of a simulation hand backups out from: copies of the checkpoints of their disks. Cutting and reading
 * take their time, in which the disk goes on; a cut finds the disk full or fails; a crash leaves nothing of them. */
#ifndef TESTS_SIM_BACKUP_FILES_H
#define TESTS_SIM_BACKUP_FILES_H

#include "api/archive.h"
#include "api/limits.h"
#include "lockd/node/node.h"
#include "tests/sim/prng.h"

struct sim;

struct backup_file {
	uint64_t number; /* 0: free */
	bool busy;       /* a cut or a part is under way */
	bool cut;        /* what is below is there */
	struct archive_lead lead;
	raft_index index;
	uint8_t *header, *run; /* owned */
	uint8_t digest[ARCHIVE_DIGEST_BYTES];
};

struct backup_files {
	struct prng prng;
	struct backup_file files[LIMIT_BACKUPS_MAX];
};

void backup_files_init(struct backup_files *files, struct prng prng);
void backup_files_execute(struct sim *sim, uint32_t node, const struct node_backup *backup);
/* The process is gone, and its files with it. */
void backup_files_crash(struct backup_files *files);

#endif
