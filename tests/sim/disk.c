/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/disk.h"

#include "api/arena.h"
#include "api/record.pb-c.h"
#include "tests/sim/backing.h"
#include "tests/sim/memory.h"
#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SPACE_LOOK_US = 200000 };

/* A save with everything it points to in one block. */
struct disk_save {
	struct disk_save *next;
	struct node_save save;
	_Alignas(16) uint8_t block[];
};

/* Hands out pieces of a block, 8-aligned. */
static void *carve(uint8_t **at, const void *bytes, size_t n) {
	void *piece = *at;
	if (n > 0)
		memcpy(piece, bytes, n);
	*at += (n + 7) & ~(size_t)7;
	return piece;
}

static size_t rounded(size_t n) {
	return (n + 7) & ~(size_t)7;
}

static size_t save_bytes(const struct node_save *save) {
	size_t n = rounded(save->n_entries * sizeof(*save->entries));
	for (size_t i = 0; i < save->n_entries; i++)
		n += rounded(save->entries[i].n);
	if (save->install) {
		n += rounded(save->header_bytes) + save->n_rows * (sizeof(uint64_t) + sizeof(struct node_bytes));
		for (size_t i = 0; i < save->n_rows; i++)
			n += rounded(save->rows[i].n);
	}
	return n;
}

static struct disk_save *save_copy(const struct node_save *save) {
	struct disk_save *copy = memory_new(sizeof(*copy) + save_bytes(save));
	uint8_t *at = copy->block;
	copy->save = *save;

	struct node_entry *entries = carve(&at, save->entries, save->n_entries * sizeof(*entries));
	for (size_t i = 0; i < save->n_entries; i++)
		entries[i].data = carve(&at, save->entries[i].data, save->entries[i].n);
	copy->save.entries = entries;
	if (save->install) {
		copy->save.header = carve(&at, save->header, save->header_bytes);
		copy->save.row_ids = carve(&at, save->row_ids, save->n_rows * sizeof(uint64_t));
		struct node_bytes *rows = carve(&at, save->rows, save->n_rows * sizeof(*rows));
		for (size_t i = 0; i < save->n_rows; i++)
			rows[i].bytes = carve(&at, save->rows[i].bytes, save->rows[i].n);
		copy->save.rows = rows;
	}
	return copy;
}

/* ---- The durable image ---------------------------------------------------------------------------------------------
 */

raft_index disk_last(const struct disk *disk) {
	return disk->base + disk->n;
}

raft_term disk_term_at(const struct disk *disk, raft_index index) {
	if (index == disk->base)
		return disk->base_term;
	return index > disk->base && index <= disk_last(disk) ? disk->entries[index - disk->base - 1].term : 0;
}

static void cut_tail(struct disk *disk, size_t keep) {
	for (size_t i = keep; i < disk->n; i++)
		free((void *)disk->entries[i].data);
	disk->n = keep;
}

static void cut_head(struct disk *disk, raft_index to, raft_term term) {
	size_t count = (size_t)(to - disk->base);
	for (size_t i = 0; i < count; i++)
		free((void *)disk->entries[i].data);
	memmove(disk->entries, disk->entries + count, (disk->n - count) * sizeof(*disk->entries));
	disk->n -= count;
	disk->base = to;
	disk->base_term = term;
}

static void put_hard(struct disk *disk, const struct node_save *save) {
	disk->has_hard = true;
	disk->hard = (struct node_hard){
		.group = save->group, .term = save->term, .vote = save->vote, .promise_ms = save->promise_ms};
}

static void apply_hard(struct sim *sim, struct disk *disk, const struct node_save *save) {
	if (disk->has_hard && (save->term < disk->hard.term ||
			       (save->term == disk->hard.term && disk->hard.vote && save->vote != disk->hard.vote)))
		verdict_fail(VERDICT_SAFETY, "I5 hard-state-regressed",
			     "term %" PRIu64 " vote %" PRIu32 " after term %" PRIu64 " vote %" PRIu32, save->term,
			     save->vote, disk->hard.term, disk->hard.vote);
	if (save->vote)
		checker_raft_vote(sim, (uint32_t)(disk - sim->disks) + 1, save->term, save->vote, "saved for");
	put_hard(disk, save);
}

static void apply_entries(struct disk *disk, const struct node_save *save) {
	if (save->truncate_from) {
		if (save->truncate_from <= disk->base)
			verdict_fail(VERDICT_SAFETY, "I5 truncated-below-base", "from %" PRIu64 ", base %" PRIu64,
				     save->truncate_from, disk->base);
		if (save->truncate_from <= disk_last(disk))
			cut_tail(disk, (size_t)(save->truncate_from - disk->base - 1));
	}
	for (size_t i = 0; i < save->n_entries; i++) {
		const struct node_entry *entry = &save->entries[i];
		if (entry->index != disk_last(disk) + 1)
			verdict_fail(VERDICT_SAFETY, "I5 log-with-a-hole", "entry %" PRIu64 " behind %" PRIu64,
				     entry->index, disk_last(disk));
		disk->entries = memory_fit(disk->entries, &disk->size, disk->n + 1, sizeof(*disk->entries));
		disk->entries[disk->n] = *entry;
		disk->entries[disk->n++].data = memory_copy(entry->data, entry->n);
	}
}

static size_t row_position(const struct disk_checkpoint *checkpoint, uint64_t id) {
	size_t low = 0, high = checkpoint->n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (checkpoint->rows[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void put_row(struct disk_checkpoint *checkpoint, uint64_t id, struct node_bytes record) {
	size_t at = row_position(checkpoint, id);
	bool exists = at < checkpoint->n && checkpoint->rows[at].id == id;
	if (exists) {
		free((void *)checkpoint->rows[at].record.bytes);
	} else if (record.bytes) {
		checkpoint->rows =
			memory_fit(checkpoint->rows, &checkpoint->size, checkpoint->n + 1, sizeof(struct disk_row));
		memmove(checkpoint->rows + at + 1, checkpoint->rows + at,
			(checkpoint->n - at) * sizeof(struct disk_row));
		checkpoint->n++;
	}
	if (record.bytes) {
		checkpoint->rows[at] = (struct disk_row){id, {memory_copy(record.bytes, record.n), record.n}};
	} else if (exists) {
		checkpoint->n--;
		memmove(checkpoint->rows + at, checkpoint->rows + at + 1,
			(checkpoint->n - at) * sizeof(struct disk_row));
	}
}

static void put_header(struct disk_checkpoint *checkpoint, const uint8_t *bytes, size_t n) {
	struct arena arena;
	arena_init(&arena);
	if (arena_reset(&arena, n) < 0)
		abort();
	Record__Header *header = record__header__unpack(&arena.allocator, n, bytes);
	if (!header)
		verdict_fail(VERDICT_SAFETY, "S1 checkpoint-header", "%zu bytes that are no record.Header", n);
	if (header->index < checkpoint->index)
		verdict_fail(VERDICT_SAFETY, "S2 checkpoint-regressed", "index %" PRIu64 " after %" PRIu64,
			     header->index, checkpoint->index);
	free((void *)checkpoint->header.bytes);
	checkpoint->header = (struct node_bytes){memory_copy(bytes, n), n};
	checkpoint->index = header->index;
	checkpoint->term = header->term;
	if (header->rows != checkpoint->n)
		verdict_fail(VERDICT_SAFETY, "S3 checkpoint-rows", "header says %" PRIu64 ", %zu are stored",
			     header->rows, checkpoint->n);
	arena_deinit(&arena);
}

static void clear_rows(struct disk_checkpoint *checkpoint) {
	for (size_t i = 0; i < checkpoint->n; i++)
		free((void *)checkpoint->rows[i].record.bytes);
	checkpoint->n = 0;
}

static void apply_install(struct disk *disk, const struct node_save *save) {
	clear_rows(&disk->checkpoint);
	for (size_t i = 0; i < save->n_rows; i++)
		put_row(&disk->checkpoint, save->row_ids[i], save->rows[i]);
	put_header(&disk->checkpoint, save->header, save->header_bytes);

	bool keep =
		save->keep_suffix && disk_term_at(disk, save->base) == save->base_term && save->base <= disk_last(disk);
	if (save->keep_suffix && !keep)
		verdict_fail(VERDICT_SAFETY, "S4 suffix-kept", "the log has no entry %" PRIu64 " of term %" PRIu64,
			     save->base, save->base_term);
	if (keep && save->base >= disk->base) {
		cut_head(disk, save->base, save->base_term);
	} else {
		cut_tail(disk, 0);
		disk->base = save->base;
		disk->base_term = save->base_term;
	}
	disk->trim_to = 0;
}

/* A trim may be done lazily: half of the plans postpone each by one. */
static void apply_trim(struct sim *sim, struct disk *disk, const struct node_save *save) {
	if (save->trim_to > disk->checkpoint.index)
		verdict_fail(VERDICT_SAFETY, "S5 trimmed-above-checkpoint", "to %" PRIu64 ", checkpoint %" PRIu64,
			     save->trim_to, disk->checkpoint.index);
	raft_index to = save->trim_to;
	raft_term term = save->trim_term;
	if (prng_chance(&disk->prng, sim->plan.lazy_trim_ppm)) {
		to = disk->trim_to;
		term = disk->trim_term;
	}
	disk->trim_to = save->trim_to;
	disk->trim_term = save->trim_term;
	if (to > disk->base && to <= disk_last(disk)) {
		if (disk_term_at(disk, to) != term)
			verdict_fail(VERDICT_SAFETY, "S6 trim-term", "entry %" PRIu64 " has another term than %" PRIu64,
				     to, term);
		cut_head(disk, to, term);
		sim->totals.trims++;
	}
}

static void apply_identity(struct disk *disk, const struct node_save *save) {
	disk->has_identity = true;
	disk->incarnation = save->incarnation;
	disk->epoch = save->epoch;
}

static void apply_save(struct sim *sim, struct disk *disk, const struct node_save *save) {
	if (save->identity)
		apply_identity(disk, save);
	if (save->hard)
		apply_hard(sim, disk, save);
	if (save->install)
		apply_install(disk, save);
	apply_entries(disk, save);
	if (save->trim_to)
		apply_trim(sim, disk, save);
}

/* ---- Writing -------------------------------------------------------------------------------------------------------
 */

struct completion {
	uint32_t node;
	uint64_t boot, hurry;
};

static void start_write(struct sim *sim, uint32_t node);

static struct completion *completion_new(uint32_t node, const struct disk *disk) {
	struct completion *completion = memory_new(sizeof(*completion));
	*completion = (struct completion){.node = node, .boot = disk->boot, .hurry = disk->hurry};
	return completion;
}

static bool is_void(const struct disk *disk, const struct completion *completion) {
	return completion->boot != disk->boot || completion->hurry != disk->hurry;
}

/* A machine that is suspended writes nothing. */
static bool is_put_off(struct sim *sim, const struct completion *completion, queue_function *end) {
	const struct host *host = sim_host(sim, completion->node);
	if (host->suspended_until <= sim->now)
		return false;
	queue_push(&sim->queue, host->suspended_until + 1, end, memory_copy(completion, sizeof(*completion)));
	return true;
}

static size_t in_flight_bytes(const struct disk *disk) {
	const struct disk_save *save = disk->first;
	size_t bytes = 0;
	for (size_t i = 0; i < disk->in_flight; i++, save = save->next)
		bytes += save_bytes(&save->save);
	return bytes;
}

/* When everything fits again; the node looks for space every now and then. */
static void refilled(struct sim *sim, void *item) {
	const struct completion *completion = item;
	struct disk *disk = sim_disk(sim, completion->node);
	if (completion->boot != disk->boot || !disk->blocked || is_put_off(sim, completion, refilled))
		return;
	if (disk->full_until > sim->now || disk->waiting) {
		sim_usec since = disk->full_until > sim->now ? disk->full_until : sim->now;
		queue_push(&sim->queue, since + SPACE_LOOK_US, refilled, completion_new(completion->node, disk));
		return;
	}
	disk->reserve = disk->reserve_max;
	disk->blocked = false;
	TRACE("n%u disk has space", completion->node);
	host_post(sim, completion->node, &(struct node_event){.kind = NODE_SAVE_UNBLOCKED});
}

static void block(struct sim *sim, uint32_t node) {
	struct disk *disk = sim_disk(sim, node);
	if (disk->blocked)
		return;
	disk->blocked = true;
	host_post(sim, node, &(struct node_event){.kind = NODE_SAVE_BLOCKED});
	queue_push(&sim->queue, disk->full_until, refilled, completion_new(node, disk));
}

static bool has_space(struct sim *sim, struct disk *disk) {
	size_t bytes = in_flight_bytes(disk);
	if (disk->full_until <= sim->now)
		return true;
	if (bytes > disk->reserve)
		return false;
	disk->reserve -= bytes;
	sim->totals.saves_reserved++;
	return true;
}

static void written(struct sim *sim, void *item) {
	const struct completion *completion = item;
	struct disk *disk = sim_disk(sim, completion->node);
	if (is_void(disk, completion) || is_put_off(sim, completion, written))
		return;
	if (disk->failing) {
		disk->failing = false;
		nemesis_disk_failed(sim, completion->node);
		return;
	}
	disk->waiting = !has_space(sim, disk);
	if (disk->waiting) {
		block(sim, completion->node);
		queue_push(&sim->queue, disk->full_until, written, completion_new(completion->node, disk));
		return;
	}

	struct node_event saved = {.kind = NODE_SAVED};
	backing_write(sim, completion->node);
	for (; disk->in_flight > 0; disk->in_flight--) {
		struct disk_save *save = disk->first;
		apply_save(sim, disk, &save->save);
		saved.group = save->save.group;
		saved.seq = save->save.seq;
		disk->first = save->next;
		free(save);
	}
	disk->writing = false;
	if (!disk->first)
		disk->last = NULL;
	TRACE("n%u disk saved seq=%" PRIu64 " last=%" PRIu64, completion->node, saved.seq, disk_last(disk));
	host_post(sim, completion->node, &saved);
	checker_raft_saved(sim, completion->node);
	if (disk->full_until > sim->now)
		block(sim, completion->node);
	start_write(sim, completion->node);
}

static sim_usec write_delay(struct sim *sim, struct disk *disk) {
	sim_usec delay = sim->plan.save_min + prng_exponential(&disk->prng, sim->plan.save_mean);
	if (!sim->healed && prng_chance(&disk->prng, sim->plan.stall_ppm)) {
		delay += sim->plan.stall;
		disk->late_until = sim->now + delay;
	}
	if (sim->now + delay < disk->stalled_until)
		delay = disk->stalled_until - sim->now;
	return delay;
}

static sim_usec slowed(struct sim *sim, uint32_t node) {
	struct disk *disk = sim_disk(sim, node);
	if (disk->slow_until <= sim->now)
		return 0;
	sim->totals.saves_slowed++;
	sim->totals.saves_slowed_leading += host_leads(sim_host(sim, node));
	disk->late_until = sim->now + disk->slow_by;
	return disk->slow_by;
}

/* One write covers all that waits, or by chance only a part; a save that installs goes alone, while no checkpoint is
 * being written. */
static void start_write(struct sim *sim, uint32_t node) {
	struct disk *disk = sim_disk(sim, node);
	if (disk->writing || !disk->first || (disk->first->save.install && disk->checkpointing))
		return;
	size_t n = 1;
	if (!disk->first->save.install) {
		for (struct disk_save *save = disk->first->next; save && !save->save.install; save = save->next) {
			if (prng_chance(&disk->prng, 100000))
				break;
			n++;
		}
	}
	disk->writing = true;
	disk->in_flight = n;
	sim_usec delay = write_delay(sim, disk) + slowed(sim, node) + in_flight_bytes(disk) * disk->kib_us / 1024;
	if (disk->first->save.hard)
		nemesis_tempt(sim, node, delay);
	queue_push(&sim->queue, sim->now + delay, written, completion_new(node, disk));
}

void disk_submit(struct sim *sim, uint32_t node, const struct node_save *save) {
	struct disk *disk = sim_disk(sim, node);
	struct disk_save *copy = save_copy(save);
	if (disk->last)
		disk->last->next = copy;
	else
		disk->first = copy;
	disk->last = copy;
	sim->totals.saves++;
	start_write(sim, node);
}

static void apply_checkpoint(struct disk *disk, const struct node_checkpoint *checkpoint) {
	for (size_t i = 0; i < checkpoint->n_rows; i++)
		put_row(&disk->checkpoint, checkpoint->row_ids[i], checkpoint->rows[i]);
	put_header(&disk->checkpoint, checkpoint->header, checkpoint->header_bytes);
}

static void checkpointed(struct sim *sim, void *item) {
	const struct completion *completion = item;
	struct disk *disk = sim_disk(sim, completion->node);
	if (is_void(disk, completion) || is_put_off(sim, completion, checkpointed))
		return;
	const struct node_checkpoint *checkpoint = disk->checkpointing;
	bool full = disk->full_until > sim->now && !disk->blocked; /* later it has what was the reserve */
	bool failed = full || (!sim->healed && prng_chance(&disk->prng, sim->plan.checkpoint_failure_ppm));

	if (!failed)
		backing_checkpoint(sim, completion->node);
	disk->checkpointing = NULL;
	if (failed)
		sim->totals.checkpoints_failed++;
	else
		apply_checkpoint(disk, checkpoint);
	sim->totals.checkpoints += !failed;
	TRACE("n%u disk checkpoint index=%" PRIu64 " ok=%d", completion->node, checkpoint->index, !failed);
	host_post(sim, completion->node,
		  &(struct node_event){.kind = NODE_CHECKPOINTED, .group = checkpoint->group, .ok = !failed});
	if (full)
		block(sim, completion->node);
	start_write(sim, completion->node);
}

void disk_start_checkpoint(struct sim *sim, uint32_t node, const struct node_checkpoint *checkpoint) {
	struct disk *disk = sim_disk(sim, node);
	if (disk->checkpointing)
		verdict_fail(VERDICT_SAFETY, "S7 two-checkpoints", "node %u hands out a second checkpoint", node);
	disk->checkpointing = checkpoint;
	queue_push(&sim->queue, sim->now + 3 * write_delay(sim, disk) + slowed(sim, node), checkpointed,
		   completion_new(node, disk));
}

/* What is under way ends later, or at once: its completion is planned anew. */
static void plan_again(struct sim *sim, uint32_t node, sim_usec delay) {
	struct disk *disk = sim_disk(sim, node);
	disk->hurry++;
	if (disk->writing)
		queue_push(&sim->queue, sim->now + delay, written, completion_new(node, disk));
	if (disk->checkpointing)
		queue_push(&sim->queue, sim->now + delay, checkpointed, completion_new(node, disk));
}

void disk_slow(struct sim *sim, uint32_t node, sim_usec by, sim_usec until) {
	struct disk *disk = sim_disk(sim, node);
	disk->slow_by = by;
	disk->slow_until = until;
	if (disk->writing || disk->checkpointing)
		plan_again(sim, node, slowed(sim, node));
}

void disk_mend(struct sim *sim, uint32_t node) {
	struct disk *disk = sim_disk(sim, node);
	disk->full_until = disk->slow_until = 0;
	disk->failing = false;
	plan_again(sim, node, write_delay(sim, disk));
	if (disk->blocked)
		queue_push(&sim->queue, sim->now, refilled, completion_new(node, disk));
}

/* ---- Crash and boot ------------------------------------------------------------------------------------------------
 */

/* What a power cut in the middle of a write leaves behind. A founding save holds the identity, which only counts
 * together with the first entry and is forgotten without it: the model never tears one. */
static enum disk_outcome draw_outcome(struct disk *disk) {
	enum disk_outcome outcome =
		disk->writing ? (enum disk_outcome)prng_range(&disk->prng, DISK_NOTHING, DISK_ALL) : DISK_NOTHING;
	for (size_t i = 0; i < disk->in_flight && outcome == DISK_HARD; i++) {
		if (disk_under_way(disk, i)->identity)
			outcome = DISK_NOTHING;
	}
	return outcome;
}

static void tear(struct sim *sim, struct disk *disk, enum disk_outcome outcome) {
	for (size_t i = 0; i < disk->in_flight; i++) {
		struct disk_save *save = disk->first;
		if (outcome == DISK_ALL)
			apply_save(sim, disk, &save->save);
		else if (outcome == DISK_HARD && save->save.hard)
			apply_hard(sim, disk, &save->save);
		sim->totals.saves_torn += outcome == DISK_HARD && save->save.hard;
		sim->totals.saves_lost += outcome != DISK_ALL;
		disk->first = save->next;
		free(save);
	}
}

void disk_crash(struct sim *sim, uint32_t node) {
	struct disk *disk = sim_disk(sim, node);
	enum disk_outcome outcome = draw_outcome(disk);
	bool checkpoint = disk->checkpointing && prng_chance(&disk->prng, 500000);

	backing_crash(sim, node, outcome, checkpoint);
	if (disk->writing)
		tear(sim, disk, outcome);
	while (disk->first) {
		struct disk_save *save = disk->first;
		disk->first = save->next;
		sim->totals.saves_lost++;
		free(save);
	}
	if (checkpoint)
		apply_checkpoint(disk, disk->checkpointing);
	disk->last = NULL;
	disk->in_flight = 0;
	disk->writing = disk->waiting = disk->blocked = false;
	disk->checkpointing = NULL;
	disk->boot++;
}

void disk_boot(struct sim *sim, uint32_t node) {
	struct disk *disk = sim_disk(sim, node);
	if (disk->full_until <= sim->now)
		disk->reserve = disk->reserve_max;
	if (disk->reserve < disk->reserve_max)
		block(sim, node);
}

static void must(const struct node *node, int r, const char *what) {
	if (r < 0)
		verdict_fail(VERDICT_SAFETY, "S8 restore-refused", "%s: %d %s", what, r, node_error(node));
}

void disk_restore(const struct disk *disk, struct node *node) {
	if (disk->has_identity)
		must(node, node_restore_identity(node, &disk->incarnation, disk->epoch), "identity");
	if (disk->has_hard)
		must(node, node_restore_hard(node, &disk->hard), "hard state");
	if (disk->checkpoint.header.bytes) {
		const struct node_bytes *header = &disk->checkpoint.header;
		must(node, node_restore_header(node, SIM_GROUP, header->bytes, header->n), "header");
		for (size_t i = 0; i < disk->checkpoint.n; i++) {
			const struct disk_row *row = &disk->checkpoint.rows[i];
			must(node, node_restore_row(node, SIM_GROUP, row->id, row->record.bytes, row->record.n), "row");
		}
	}
	if (!disk->has_identity)
		return;
	must(node, node_restore_base(node, SIM_GROUP, disk->base, disk->base_term), "base");
	for (size_t i = 0; i < disk->n; i++)
		must(node, node_restore_entry(node, SIM_GROUP, &disk->entries[i]), "entry");
}

void disk_init(struct disk *disk, struct prng prng) {
	struct prng draw = prng;

	/* A quarter of the disks has none. */
	*disk = (struct disk){.prng = prng};
	if (prng_range(&draw, 0, 3))
		disk->reserve = disk->reserve_max = prng_range(&draw, 256, 16384);
}

static struct node_bytes copy_bytes(const struct node_bytes *bytes) {
	return (struct node_bytes){bytes->bytes ? memory_copy(bytes->bytes, bytes->n) : NULL, bytes->n};
}

static void copy_content(const struct disk *disk, struct disk *ret) {
	const struct disk_checkpoint *checkpoint = &disk->checkpoint;

	*ret = (struct disk){
		.has_identity = disk->has_identity,
		.has_hard = disk->has_hard,
		.incarnation = disk->incarnation,
		.epoch = disk->epoch,
		.hard = disk->hard,
		.base = disk->base,
		.base_term = disk->base_term,
		.entries = memory_copy(disk->entries, disk->n * sizeof(*disk->entries)),
		.n = disk->n,
		.size = disk->n,
		.checkpoint = {.header = copy_bytes(&checkpoint->header),
			       .index = checkpoint->index,
			       .term = checkpoint->term,
			       .rows = memory_copy(checkpoint->rows, checkpoint->n * sizeof(*checkpoint->rows)),
			       .n = checkpoint->n,
			       .size = checkpoint->n},
		.trim_to = disk->trim_to,
		.trim_term = disk->trim_term,
		.boot_count = disk->boot_count};
	for (size_t i = 0; i < disk->n; i++)
		ret->entries[i].data = memory_copy(disk->entries[i].data, disk->entries[i].n);
	for (size_t i = 0; i < checkpoint->n; i++)
		ret->checkpoint.rows[i].record = copy_bytes(&checkpoint->rows[i].record);
}

void disk_copy(const struct disk *disk, struct disk *ret) {
	copy_content(disk, ret);
	ret->backing = backing_copy(disk->backing);
}

/* ---- Foreseeing ----------------------------------------------------------------------------------------------------
 */

const struct node_save *disk_under_way(const struct disk *disk, size_t i) {
	const struct disk_save *save = disk->first;
	while (save && i-- > 0)
		save = save->next;
	return save ? &save->save : NULL;
}

static void foresee_trim(struct disk *disk, raft_index to) {
	if (to > disk->base && to <= disk_last(disk))
		cut_head(disk, to, disk_term_at(disk, to));
}

static void foresee_save(struct disk *disk, const struct node_save *save, enum disk_outcome outcome) {
	if (save->identity)
		apply_identity(disk, save);
	if (save->hard)
		put_hard(disk, save);
	if (outcome == DISK_HARD)
		return;
	if (save->install)
		apply_install(disk, save);
	apply_entries(disk, save);
	foresee_trim(disk, save->trim_to);
}

void disk_foresee(const struct disk *disk, enum disk_outcome outcome, bool checkpoint, struct disk *ret) {
	copy_content(disk, ret);
	foresee_trim(ret, ret->trim_to);
	if (checkpoint)
		apply_checkpoint(ret, disk->checkpointing);
	for (size_t i = 0; i < disk->in_flight && outcome != DISK_NOTHING; i++)
		foresee_save(ret, disk_under_way(disk, i), outcome);
}

void disk_put_back(struct disk *disk, const struct disk *copy) {
	struct prng prng = disk->prng;
	uint64_t boot = disk->boot;
	sim_usec kib_us = disk->kib_us;
	size_t reserve_max = disk->reserve_max;

	disk_deinit(disk);
	disk_copy(copy, disk);
	disk->prng = prng;
	disk->boot = boot;
	disk->kib_us = kib_us;
	disk->reserve = disk->reserve_max = reserve_max;
}

void disk_deinit(struct disk *disk) {
	while (disk->first) {
		struct disk_save *save = disk->first;
		disk->first = save->next;
		free(save);
	}
	cut_tail(disk, 0);
	disk->backing = backing_free(disk->backing);
	free(disk->entries);
	clear_rows(&disk->checkpoint);
	free(disk->checkpoint.rows);
	free((void *)disk->checkpoint.header.bytes);
	*disk = (struct disk){0};
}
