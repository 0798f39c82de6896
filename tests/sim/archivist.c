/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/archivist.h"

#include "api/bytes.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <lockd/status.h>
#include <stdlib.h>
#include <string.h>

enum {
	TICK_MIN_US = 10000,
	TICK_MAX_US = 100000,
	PATIENCE_US = 4000000, /* a checkpoint that fails is tried again, on a disk that may be slow */
	ABANDON_PPM = 20000,   /* of ticks: it hangs up */
	ANEW_PPM = 20000,      /* of ticks: it begins another one on the same connection */
	STAY_PPM = 500000,     /* of backups: the next one comes from the same node */
};

static struct prng *prng_of(struct sim *sim) {
	return &sim->archivist.caller.prng;
}

static void forget(struct archivist *archivist) {
	free(archivist->header);
	free(archivist->run);
	archivist->header = archivist->run = NULL;
	archivist->stage = ARCHIVIST_IDLE;
}

static void again(struct sim *sim) {
	sim->archivist.again_at = sim->now + prng_exponential(prng_of(sim), sim->plan.backup_every);
}

static void break_off(struct sim *sim) {
	if (sim->archivist.stage == ARCHIVIST_IDLE)
		return;
	sim->totals.backups_broken++;
	forget(&sim->archivist);
	again(sim);
}

void archivist_closed(struct sim *sim) {
	break_off(sim);
}

static void hang_up(struct sim *sim) {
	break_off(sim);
	caller_hang_up(sim, &sim->archivist.caller);
}

/* ---- Asking --------------------------------------------------------------------------------------------------------
 */

static void ask(struct sim *sim, uint64_t number, uint64_t offset) {
	Client__Request request = CLIENT__REQUEST__INIT;
	Client__Backup backup = CLIENT__BACKUP__INIT;

	backup.backup = number;
	backup.offset = offset;
	request.body_case = CLIENT__REQUEST__BODY_BACKUP;
	request.backup = &backup;
	TRACE("archivist > n%u backup=%" PRIu64 " offset=%" PRIu64, sim->archivist.caller.node, number, offset);
	caller_ask(sim, &sim->archivist.caller, &request);
}

static void begin(struct sim *sim) {
	struct archivist *archivist = &sim->archivist;

	ask(sim, 0, 0);
	archivist->stage = ARCHIVIST_BEGUN;
	archivist->connection = archivist->caller.connection;
	archivist->floor = archivist->caller.floor;
}

static void ask_part(struct sim *sim) {
	struct archivist *archivist = &sim->archivist;

	archivist->offset = archivist->stage == ARCHIVIST_END ? archivist->end : 0;
	ask(sim, archivist->number, archivist->offset);
}

static void disturb(struct sim *sim) {
	struct archivist *archivist = &sim->archivist;

	if (archivist->stage == ARCHIVIST_IDLE || !archivist->caller.connection)
		return;
	if (prng_chance(prng_of(sim), ABANDON_PPM)) {
		hang_up(sim);
	} else if (prng_chance(prng_of(sim), ANEW_PPM)) {
		break_off(sim);
		begin(sim);
	}
}

/* Without faults what was begun is read to its end. */
static void tick(struct sim *sim, void *item) {
	struct archivist *archivist = &sim->archivist;
	(void)item;

	if (!sim->healed && sim->nemesis.begun) {
		disturb(sim);
		bool ready = sim->now >= archivist->again_at && caller_is_ready(sim, &archivist->caller, PATIENCE_US);
		if (archivist->caller.connection != archivist->connection)
			break_off(sim); /* out of patience: what was begun there is gone with the connection */
		if (ready && archivist->stage == ARCHIVIST_IDLE)
			begin(sim);
	}
	if (archivist->stage > ARCHIVIST_BEGUN && !archivist->caller.waiting)
		ask_part(sim);
	queue_push(&sim->queue, sim->now + prng_range(prng_of(sim), TICK_MIN_US, TICK_MAX_US), tick, NULL);
}

void archivist_start(struct sim *sim, struct prng prng) {
	sim->archivist.caller = (struct caller){.id = CALLER_ARCHIVIST, .prng = prng};
	for (uint32_t node = 1; node <= sim->plan.nodes; node++)
		backup_files_init(&sim->backup_files[node - 1], prng_fork(prng_of(sim)));
	if (!sim->plan.backup_every)
		return;
	again(sim);
	tick(sim, NULL);
}

void archivist_deinit(struct archivist *archivist) {
	forget(archivist);
}

bool archivist_is_idle(const struct archivist *archivist) {
	return archivist->stage == ARCHIVIST_IDLE && !archivist->caller.waiting;
}

/* ---- What it gets --------------------------------------------------------------------------------------------------
 */

/* Lead and digest around what came, as in a file. */
static void check_file(struct archivist *archivist, struct archive *archive) {
	uint8_t lead[ARCHIVE_LEAD_BYTES];
	int r;

	archive_pack_lead(&archivist->lead, lead);
	if (archive_init(archive) < 0)
		abort();
	r = archive_read(archive, lead, sizeof(lead));
	if (r == 0)
		r = archive_read(archive, archivist->header, archivist->lead.header_bytes);
	if (r == 0)
		r = archive_read(archive, archivist->run, archivist->lead.bytes);
	if (r == 0)
		r = archive_read(archive, archivist->digest, sizeof(archivist->digest));
	if (r == 0)
		r = archive_end(archive);
	if (r < 0)
		verdict_fail(VERDICT_SAFETY, "P2 backup-damaged", "of n%u at index %" PRIu64 ": %s",
			     archivist->caller.node, archivist->index, archive->fault);
}

static void check_content(struct sim *sim, const struct archive_info *info) {
	const struct archivist *archivist = &sim->archivist;
	const struct checker_raft *checker = &sim->checker_raft;
	const struct checker_place *place = info->index < checker->places_size ? &checker->places[info->index] : NULL;

	if (info->index != archivist->index || info->group != SIM_GROUP || info->epoch != sim->epoch ||
	    memcmp(info->incarnation, sim->incarnation.bytes, sizeof(info->incarnation)) != 0)
		verdict_fail(VERDICT_SAFETY, "P2 backup-mislabelled",
			     "n%u calls it index %" PRIu64 ", its header index %" PRIu64 " epoch %u",
			     archivist->caller.node, archivist->index, info->index, info->epoch);
	if (info->index < archivist->floor)
		verdict_fail(VERDICT_SAFETY, "P9 backup-incomplete",
			     "of n%u at index %" PRIu64 ", index %" PRIu64 " had been acknowledged before it was begun",
			     archivist->caller.node, info->index, archivist->floor);
	if (!place || place->committed != info->term)
		verdict_fail(VERDICT_SAFETY, "P9 backup-uncommitted",
			     "of n%u at index %" PRIu64 " term %" PRIu64 ": that entry is not committed",
			     archivist->caller.node, info->index, info->term);
	if (!place->hashed || place->hash.low != bytes_get_u64(info->hash) ||
	    place->hash.high != bytes_get_u64(info->hash + 8))
		verdict_fail(VERDICT_SAFETY, "P9 backup-differs",
			     "of n%u from the state of the cluster at index %" PRIu64, archivist->caller.node,
			     info->index);
}

/* Rows that do not have the hash of the header are refused. */
static void check_rows(struct sim *sim, const struct archive_info *info) {
	const struct archivist *archivist = &sim->archivist;
	struct node_config config = {.node = archivist->caller.node, .timing = sim->plan.timing};
	struct node_hard hard = {.group = info->group, .term = info->term};
	struct raft_clocks clocks = {0};
	const uint8_t *at = archivist->run;
	struct node *node;
	int r;

	if (node_new(&config, &node) < 0)
		abort();
	r = node_restore_identity(node, &sim->incarnation, info->epoch);
	if (r == 0)
		r = node_restore_hard(node, &hard);
	if (r == 0)
		r = node_restore_header(node, info->group, archivist->header, archivist->lead.header_bytes);
	for (uint64_t i = 0; r == 0 && i < archivist->lead.rows; i++, at += 4 + bytes_get_u32(at))
		r = node_restore_row(node, info->group, 0, at + 4, bytes_get_u32(at));
	if (r == 0)
		r = node_restore_base(node, info->group, info->index, info->term);
	if (r == 0)
		r = node_start(node, &clocks);
	if (r < 0)
		verdict_fail(VERDICT_SAFETY, "P2 backup-refused", "of n%u at index %" PRIu64 ": %s",
			     archivist->caller.node, info->index, node_error(node));
	(void)node_free(node);
}

static void finish(struct sim *sim) {
	struct archivist *archivist = &sim->archivist;
	struct archive archive;

	check_file(archivist, &archive);
	check_content(sim, &archive.info);
	check_rows(sim, &archive.info);
	archive_deinit(&archive);
	TRACE("archivist has a backup of n%u at index %" PRIu64, archivist->caller.node, archivist->index);
	sim->totals.backups++;
	sim->totals.backups_following += archivist->following;
	forget(archivist);
	again(sim);
	if (!prng_chance(prng_of(sim), STAY_PPM))
		caller_hang_up(sim, &archivist->caller);
}

static void take_description(struct sim *sim, const Client__BackupPart *part) {
	struct archivist *archivist = &sim->archivist;

	if (part->digest.len != sizeof(archivist->digest))
		verdict_fail(VERDICT_SAFETY, "P2 backup-damaged", "n%u gives a digest of %zu bytes",
			     archivist->caller.node, part->digest.len);
	archivist->following = !host_leads(sim_host(sim, archivist->caller.node));
	archivist->number = part->backup;
	archivist->index = part->index;
	archivist->lead = (struct archive_lead){
		.header_bytes = (uint32_t)part->header.len, .rows = part->rows, .bytes = part->bytes};
	archivist->header = memory_copy(part->header.data, part->header.len);
	archivist->run = memory_new(part->bytes + 1);
	memcpy(archivist->digest, part->digest.data, sizeof(archivist->digest));
	archivist->stage = ARCHIVIST_END;
	if (part->bytes == 0)
		finish(sim);
	else
		archivist->end = prng_range(prng_of(sim), 0, part->bytes - 1);
}

/* A simulated state fits into one part. What came of its end comes again. */
static void take_part(struct sim *sim, const Client__BackupPart *part) {
	struct archivist *archivist = &sim->archivist;
	uint8_t *end = archivist->run + archivist->end;

	if (part->backup != archivist->number || part->data.len != archivist->lead.bytes - archivist->offset)
		verdict_fail(VERDICT_SAFETY, "P2 backup-part", "n%u gives %zu bytes at %" PRIu64 " of %" PRIu64,
			     archivist->caller.node, part->data.len, archivist->offset, archivist->lead.bytes);
	if (archivist->stage == ARCHIVIST_END) {
		memcpy(end, part->data.data, part->data.len);
		archivist->stage = ARCHIVIST_WHOLE;
		return;
	}
	if (memcmp(end, part->data.data + archivist->end, archivist->lead.bytes - archivist->end) != 0)
		verdict_fail(VERDICT_SAFETY, "P2 backup-changed", "of n%u, while it is read", archivist->caller.node);
	memcpy(archivist->run, part->data.data, part->data.len);
	finish(sim);
}

void archivist_answered(struct sim *sim, const Client__Reply *reply) {
	struct archivist *archivist = &sim->archivist;

	TRACE("archivist < n%u %s %.*s", archivist->caller.node, lockd_status_name((int)reply->status),
	      (int)reply->text.len, (const char *)reply->text.data);
	switch (reply->status) {
	case LOCKD_OK:
		if (archivist->stage == ARCHIVIST_BEGUN)
			take_description(sim, reply->backup);
		else
			take_part(sim, reply->backup);
		break;
	case LOCKD_INVALID:
	case LOCKD_NOT_FOUND:
	case LOCKD_LIMIT:
	case LOCKD_CANCELLED:
		verdict_fail(VERDICT_SAFETY, "P8 unexpected-status", "n%u answers %s to who takes a backup: %.*s",
			     archivist->caller.node, lockd_status_name((int)reply->status), (int)reply->text.len,
			     (const char *)reply->text.data);
	default: hang_up(sim); break;
	}
}
