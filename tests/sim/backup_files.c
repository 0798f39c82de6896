/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/backup_files.h"

#include "api/bytes.h"
#include "tests/sim/backing.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
	WORK_MEAN_US = 5000,
	FAILURE_PPM = 50000, /* of cuts and parts */
};

/* The driver's work for one of them. */
struct backup_work {
	uint32_t node;
	uint64_t boot;
	struct node_backup backup;
	enum node_backup_result result;
};

void backup_files_init(struct backup_files *files, struct prng prng) {
	*files = (struct backup_files){.prng = prng};
}

static void forget(struct backup_file *file) {
	free(file->header);
	free(file->run);
	*file = (struct backup_file){0};
}

void backup_files_crash(struct backup_files *files) {
	for (size_t i = 0; i < LIMIT_BACKUPS_MAX; i++)
		forget(&files->files[i]);
}

/* The file of that number; 0: a free one. */
static struct backup_file *find(struct sim *sim, uint32_t node, uint64_t number) {
	struct backup_files *files = &sim->backup_files[node - 1];

	for (size_t i = 0; i < LIMIT_BACKUPS_MAX; i++) {
		if (files->files[i].number == number)
			return &files->files[i];
	}
	verdict_fail(VERDICT_SAFETY, "S17 backup-unknown", "n%u asks its driver for backup %" PRIu64, node, number);
}

/* ---- The driver's work ---------------------------------------------------------------------------------------------
 */

static void fill_run(struct backup_file *file, const struct disk_checkpoint *checkpoint) {
	uint8_t *at;

	for (size_t i = 0; i < checkpoint->n; i++)
		file->lead.bytes += 4 + checkpoint->rows[i].record.n;
	at = file->run = memory_new(file->lead.bytes + 1);
	for (size_t i = 0; i < checkpoint->n; i++) {
		const struct node_bytes *record = &checkpoint->rows[i].record;

		bytes_put_u32(at, (uint32_t)record->n);
		memcpy(at + 4, record->bytes, record->n);
		at += 4 + record->n;
	}
}

static void fill_digest(struct backup_file *file) {
	XXH3_state_t *hash = XXH3_createState();
	XXH128_canonical_t canonical;

	if (!hash)
		abort();
	(void)XXH3_128bits_reset(hash);
	(void)XXH3_128bits_update(hash, file->header, file->lead.header_bytes);
	(void)XXH3_128bits_update(hash, file->run, file->lead.bytes);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
	memcpy(file->digest, canonical.digest, sizeof(file->digest));
	(void)XXH3_freeState(hash);
}

static void cut(struct sim *sim, uint32_t node, struct backup_file *file) {
	const struct disk_checkpoint *checkpoint = &sim_disk(sim, node)->checkpoint;

	if (!checkpoint->header.bytes)
		verdict_fail(VERDICT_SAFETY, "S9 backup-of-nothing", "n%u has no checkpoint to cut", node);
	backing_send(sim, node);
	file->cut = true;
	file->index = checkpoint->index;
	file->lead = (struct archive_lead){.header_bytes = (uint32_t)checkpoint->header.n, .rows = checkpoint->n};
	file->header = memory_copy(checkpoint->header.bytes, checkpoint->header.n);
	fill_run(file, checkpoint);
	fill_digest(file);
	TRACE("n%u cuts backup %" PRIu64 " index=%" PRIu64, node, file->number, file->index);
}

static void report(struct sim *sim, const struct backup_work *work, const struct backup_file *file) {
	struct node_backup_report report = {.number = work->backup.number, .result = work->result};

	if (work->result == NODE_BACKUP_OK && work->backup.kind == NODE_BACKUP_CUT) {
		report.index = file->index;
		report.header = file->header;
		report.header_bytes = file->lead.header_bytes;
		report.rows = file->lead.rows;
		report.bytes = file->lead.bytes;
		memcpy(report.digest, file->digest, sizeof(report.digest));
	} else if (work->result == NODE_BACKUP_OK) {
		report.data = file->run + work->backup.offset;
		report.n = work->backup.n;
	}
	host_report_backup(sim, work->node, &report);
}

/* The process is another one, or the machine sleeps until later. */
static bool is_put_off(struct sim *sim, const struct backup_work *work, queue_function *function, bool *ret_void) {
	const struct host *host = sim_host(sim, work->node);

	*ret_void = !host->up || host->boot != work->boot;
	if (*ret_void || host->suspended_until <= sim->now)
		return false;
	queue_push(&sim->queue, host->suspended_until + 1, function, memory_copy(work, sizeof(*work)));
	return true;
}

static void done(struct sim *sim, void *item) {
	const struct backup_work *work = item;
	struct backup_file *file;
	bool is_void;

	if (is_put_off(sim, work, done, &is_void) || is_void)
		return;
	file = find(sim, work->node, work->backup.number);
	file->busy = false;
	report(sim, work, file);
	if (!file->cut)
		forget(file);
}

static sim_usec draw_delay(struct backup_files *files) {
	return 1 + prng_exponential(&files->prng, WORK_MEAN_US);
}

static enum node_backup_result draw_result(struct sim *sim, const struct backup_work *work) {
	if (sim->healed)
		return NODE_BACKUP_OK;
	if (work->backup.kind == NODE_BACKUP_CUT && sim_disk(sim, work->node)->full_until > sim->now)
		return NODE_BACKUP_FULL;
	return prng_chance(&sim->backup_files[work->node - 1].prng, FAILURE_PPM) ? NODE_BACKUP_FAILED : NODE_BACKUP_OK;
}

/* The report follows later: the disk may have gone on by then. */
static void execute(struct sim *sim, void *item) {
	struct backup_work *work = item;
	bool is_void;

	if (is_put_off(sim, work, execute, &is_void) || is_void)
		return;
	work->result = draw_result(sim, work);
	if (work->backup.kind == NODE_BACKUP_CUT && work->result == NODE_BACKUP_OK)
		cut(sim, work->node, find(sim, work->node, work->backup.number));
	queue_push(&sim->queue, sim->now + draw_delay(&sim->backup_files[work->node - 1]), done,
		   memory_copy(work, sizeof(*work)));
}

/* ---- Asked for -----------------------------------------------------------------------------------------------------
 */

static void check(uint32_t node, const struct backup_file *file, const struct node_backup *backup) {
	if (file->busy)
		verdict_fail(VERDICT_SAFETY, "S17 backup-busy", "n%u asks for two things of backup %" PRIu64 " at once",
			     node, backup->number);
	if (backup->kind == NODE_BACKUP_READ &&
	    (backup->n == 0 || backup->n > LIMIT_BACKUP_PART_BYTES || backup->offset > file->lead.bytes ||
	     backup->n > file->lead.bytes - backup->offset))
		verdict_fail(VERDICT_SAFETY, "S17 backup-part", "n%u reads %zu bytes at %" PRIu64 " of %" PRIu64, node,
			     backup->n, backup->offset, file->lead.bytes);
}

void backup_files_execute(struct sim *sim, uint32_t node, const struct node_backup *backup) {
	struct backup_file *file = find(sim, node, backup->kind == NODE_BACKUP_CUT ? 0 : backup->number);
	struct backup_work *work;

	check(node, file, backup);
	if (backup->kind == NODE_BACKUP_DROP) {
		forget(file);
		return;
	}
	file->number = backup->number;
	file->busy = true;
	work = memory_new(sizeof(*work));
	*work = (struct backup_work){.node = node, .boot = sim_host(sim, node)->boot, .backup = *backup};
	queue_push(&sim->queue, sim->now + draw_delay(&sim->backup_files[node - 1]), execute, work);
}
