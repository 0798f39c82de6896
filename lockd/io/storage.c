/* SPDX-License-Identifier: Apache-2.0 */
#include "storage.h"

#include "clock.h"
#include "fatal.h"
#include "log.h"
#include "metrics.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct queued {
	STAILQ_ENTRY(queued) next;
	struct node_save save; /* points into `memory` */
	size_t bytes;
	uint8_t memory[] __attribute__((aligned(16)));
};

STAILQ_HEAD(queue, queued);

struct storage {
	struct store *store;
	struct inbox *inbox;
	pthread_mutex_t *state_db;
	pthread_t thread;
	struct blocks blocks; /* memory of what is queued; has a lock of its own */

	/* Of the thread. */
	struct node_save *batch;
	size_t batch_max;
	bool blocked;       /* the loop was told so */
	raft_usec retry_at; /* while blocked: the next look for space */

	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t wake;
	struct queue queue; /* not taken yet */
	raft_usec waits_since;
	bool stopping, lost;
	bool state_full; /* the last checkpoint found the disk full */
};

/* ---- Copying ------------------------------------------------------------------------------------------------------
 */

static bool is_within(const uint8_t *bytes, const uint8_t *from, size_t n) {
	return n > 0 && (uintptr_t)bytes >= (uintptr_t)from && (uintptr_t)bytes < (uintptr_t)from + n;
}

/* A save is copied twice by the same walk: with `at` NULL it only counts the bytes. */
struct copier {
	uint8_t *at;
	size_t bytes;
};

static void *copy(struct copier *copier, const void *from, size_t n) {
	uint8_t *to = copier->at ? copier->at + copier->bytes : NULL;

	copier->bytes += (n + 15) & ~(size_t)15;
	if (to && n > 0)
		memcpy(to, from, n);
	return to;
}

static void copy_entries(struct copier *copier, const struct node_save *from, struct node_save *to) {
	struct node_entry *entries = copy(copier, from->entries, from->n_entries * sizeof *entries);

	to->entries = entries;
	for (size_t i = 0; i < from->n_entries; i++) {
		uint8_t *data = copy(copier, from->entries[i].data, from->entries[i].n);

		if (entries)
			entries[i].data = data;
	}
}

static void copy_rows(struct copier *copier, const struct node_save *from, struct node_save *to,
		      const uint8_t *borrowed, size_t borrowed_bytes) {
	struct node_bytes *rows = copy(copier, from->rows, from->n_rows * sizeof *rows);

	to->header = copy(copier, from->header, from->header_bytes);
	to->row_ids = copy(copier, from->row_ids, from->n_rows * sizeof *from->row_ids);
	to->rows = rows;
	for (size_t i = 0; i < from->n_rows; i++) {
		uint8_t *bytes;

		if (is_within(from->rows[i].bytes, borrowed, borrowed_bytes))
			continue;
		bytes = copy(copier, from->rows[i].bytes, from->rows[i].n);
		if (rows)
			rows[i].bytes = bytes;
	}
}

static size_t copy_save(const struct node_save *from, struct node_save *to, uint8_t *memory, const uint8_t *borrowed,
			size_t borrowed_bytes) {
	struct copier copier = {.at = memory};

	*to = *from;
	copy_entries(&copier, from, to);
	if (from->install)
		copy_rows(&copier, from, to, borrowed, borrowed_bytes);
	return copier.bytes;
}

void storage_save(struct storage *storage, const struct node_save *save, const uint8_t *borrowed, size_t borrowed_bytes,
		  raft_usec now) {
	struct node_save sized;
	size_t bytes = copy_save(save, &sized, NULL, borrowed, borrowed_bytes);
	struct queued *queued = blocks_take(&storage->blocks, sizeof *queued + bytes);
	bool was_empty;

	if (!queued)
		fatal_stop("reason=\"out of memory\" bytes=%zu", bytes);
	copy_save(save, &queued->save, queued->memory, borrowed, borrowed_bytes);
	queued->bytes = bytes;

	pthread_mutex_lock(&storage->lock);
	was_empty = STAILQ_EMPTY(&storage->queue);
	STAILQ_INSERT_TAIL(&storage->queue, queued, next);
	if (storage->waits_since == UINT64_MAX)
		storage->waits_since = now;
	pthread_mutex_unlock(&storage->lock);
	if (was_empty)
		pthread_cond_signal(&storage->wake);
}

/* ---- Reports ------------------------------------------------------------------------------------------------------
 */

static struct storage_report *report_new(enum storage_outcome outcome, size_t n_max) {
	struct storage_report *report = fatal_alloc(sizeof *report + n_max * sizeof report->durable[0]);

	report->item.kind = INBOX_SAVED;
	report->outcome = outcome;
	return report;
}

static void report_outcome(struct storage *storage, enum storage_outcome outcome) {
	inbox_post(storage->inbox, &report_new(outcome, 0)->item);
}

static bool nothing_waits(struct storage *storage) {
	bool empty;

	pthread_mutex_lock(&storage->lock);
	empty = STAILQ_EMPTY(&storage->queue);
	pthread_mutex_unlock(&storage->lock);
	return empty;
}

/* With nothing to write this thread runs the turn that makes use of what it has written, and most often brings the next
 * save. Otherwise it goes on writing. */
static void hand_over(struct storage *storage, struct storage_report *report) {
	if (!nothing_waits(storage)) {
		inbox_post(storage->inbox, &report->item);
		return;
	}
	inbox_leave(storage->inbox, &report->item);
	inbox_serve(storage->inbox, 1);
}

static void report_saved(struct storage *storage, size_t n) {
	struct storage_report *report = report_new(STORAGE_SAVED, n);

	for (size_t i = 0; i < n; i++) {
		const struct node_save *save = &storage->batch[i];
		uint32_t g = 0;

		while (g < report->n && report->durable[g].group != save->group)
			g++;
		report->durable[g] = (struct storage_durable){.group = save->group, .seq = save->seq};
		if (g == report->n)
			report->n++;
	}
	hand_over(storage, report);
}

/* ---- The thread ---------------------------------------------------------------------------------------------------
 */

/* Under the lock. What fits into one transaction; a save that installs a snapshot goes alone. */
static size_t take_batch(struct storage *storage, struct queue *ret_taken) {
	struct queued *queued;
	size_t n = 0, bytes = 0;

	STAILQ_INIT(ret_taken);
	while ((queued = STAILQ_FIRST(&storage->queue))) {
		if (n > 0 && (queued->save.install || bytes + queued->bytes > STORAGE_TRANSACTION_BYTES_MAX))
			break;
		if (n == storage->batch_max) {
			storage->batch_max = storage->batch_max ? 2 * storage->batch_max : 16;
			storage->batch = fatal_realloc(storage->batch, storage->batch_max * sizeof *storage->batch);
		}
		STAILQ_REMOVE_HEAD(&storage->queue, next);
		STAILQ_INSERT_TAIL(ret_taken, queued, next);
		storage->batch[n++] = queued->save;
		bytes += queued->bytes;
		if (queued->save.install)
			break;
	}
	return n;
}

/* ---- A full disk --------------------------------------------------------------------------------------------------
 */

static void block(struct storage *storage, const char *why) {
	if (storage->blocked)
		return;
	storage->blocked = true;
	storage->retry_at = clock_mono() + STORAGE_RETRY_MS * 1000;
	log_error("%s retry_ms=%d", why, STORAGE_RETRY_MS);
	report_outcome(storage, STORAGE_BLOCKED);
}

/* true: there is space now that was not there before. */
static bool give_up_reserve(struct storage *storage) {
	struct store_error error;
	bool had = store_has_reserve(storage->store);
	int r = had ? store_give_up_reserve(storage->store, &error) : 0;

	if (r < 0)
		fatal_stop("reason=\"the reserve could not be given up\" error=\"%s\"", error.text);
	return had && !store_has_reserve(storage->store);
}

static bool wait_for_space(struct storage *storage) {
	struct timespec pause = {.tv_nsec = STORAGE_RETRY_MS * 1000000L};
	bool stopping;

	nanosleep(&pause, NULL);
	pthread_mutex_lock(&storage->lock);
	stopping = storage->stopping;
	pthread_mutex_unlock(&storage->lock);
	return !stopping;
}

static bool is_state_full(struct storage *storage) {
	bool full;

	pthread_mutex_lock(&storage->lock);
	full = storage->state_full;
	pthread_mutex_unlock(&storage->lock);
	return full;
}

/* Requests are admitted again when everything fits: what was to be written, and the reserve for the next time. */
static void look_for_space(struct storage *storage) {
	struct store_error error;
	int r;

	if (!storage->blocked || clock_mono() < storage->retry_at)
		return;
	storage->retry_at = clock_mono() + STORAGE_RETRY_MS * 1000;
	r = is_state_full(storage) ? STORE_FULL : store_refill_reserve(storage->store, &error);
	if (r < 0)
		fatal_stop("reason=\"the reserve could not be allocated\" error=\"%s\"", error.text);
	if (r == STORE_FULL)
		return;
	storage->blocked = false;
	log_warning("the disk has space again: requests are admitted");
	report_outcome(storage, STORAGE_UNBLOCKED);
}

/* The checkpoint is tried again, by then with the space of the reserve. */
static void help_checkpoint(struct storage *storage) {
	if (!is_state_full(storage))
		return;
	(void)give_up_reserve(storage);
	block(storage, "the disk is full: a checkpoint waits, and nothing is admitted until there is space");
}

void storage_note_checkpoint(struct storage *storage, bool full) {
	pthread_mutex_lock(&storage->lock);
	storage->state_full = full;
	pthread_mutex_unlock(&storage->lock);
	if (full)
		pthread_cond_signal(&storage->wake);
}

/* ---- Writing ------------------------------------------------------------------------------------------------------
 */

static void count_durable(const struct storage *storage, size_t n, raft_usec took) {
	uint64_t entries = 0;

	for (size_t i = 0; i < n; i++)
		entries += storage->batch[i].n_entries;
	metrics_time(METRICS_STORE_WRITE, took);
	metrics_add(METRICS_STORE_ENTRIES, entries);
}

static _Noreturn void stop_for(const struct storage *storage, int r, const struct store_error *error) {
	store_note_failure(storage->store, r, error);
	fatal_stop("reason=\"the log could not be written\" error=\"%s\"", error->text);
}

static int write_batch(struct storage *storage, size_t n) {
	struct store_error error;
	bool install = storage->batch[0].install;
	raft_usec began;
	int r;

	if (install)
		pthread_mutex_lock(storage->state_db);
	began = clock_mono();
	r = store_write(storage->store, storage->batch, n, &error);
	if (r == 0)
		count_durable(storage, n, clock_mono() - began);
	if (install)
		pthread_mutex_unlock(storage->state_db);
	if (r < 0)
		stop_for(storage, r, &error);
	if (r == STORE_FULL)
		metrics_add(METRICS_STORE_REFUSED, 1);
	return r;
}

static void note_answer(struct storage *storage) {
	pthread_mutex_lock(&storage->lock);
	storage->waits_since = clock_mono();
	pthread_mutex_unlock(&storage->lock);
}

/* false: stopped with the disk still full. */
static bool write_until_durable(struct storage *storage, size_t n) {
	while (write_batch(storage, n) == STORE_FULL) {
		note_answer(storage);
		if (give_up_reserve(storage))
			continue;
		block(storage, "the disk is full: saves wait, and nothing is admitted until there is space");
		if (!wait_for_space(storage))
			return false;
	}
	return true;
}

static bool execute_batch(struct storage *storage, size_t n) {
	if (!write_until_durable(storage, n))
		return false;
	if (storage->batch[0].install)
		storage_note_checkpoint(storage, false);
	report_saved(storage, n);
	if (!store_has_reserve(storage->store))
		block(storage, "the disk is full: its reserve is in use, and nothing is admitted until there is space");
	return true;
}

static void free_queue(struct storage *storage, struct queue *queue) {
	struct queued *queued;

	while ((queued = STAILQ_FIRST(queue))) {
		STAILQ_REMOVE_HEAD(queue, next);
		blocks_give(&storage->blocks, queued);
	}
}

static void use_pause(struct storage *storage) {
	struct store_error error;
	int r = store_idle(storage->store, &error);

	if (r < 0)
		stop_for(storage, r, &error);
}

/* Under the lock. While the disk is full the thread looks for space between the saves. */
static void wait_for_work(struct storage *storage) {
	struct timespec until = {.tv_sec = (time_t)(storage->retry_at / 1000000),
				 .tv_nsec = (long)(storage->retry_at % 1000000) * 1000};

	while (STAILQ_EMPTY(&storage->queue) && !storage->stopping && !(storage->state_full && !storage->blocked)) {
		if (!storage->blocked) {
			pthread_cond_wait(&storage->wake, &storage->lock);
			continue;
		}
		if (pthread_cond_timedwait(&storage->wake, &storage->lock, &until) == ETIMEDOUT)
			break;
	}
}

static bool execute_queue(struct storage *storage, struct queue *taken, size_t n) {
	bool written = n == 0 || execute_batch(storage, n);

	free_queue(storage, taken);
	if (n > 0 && written && nothing_waits(storage))
		use_pause(storage);
	if (written) {
		help_checkpoint(storage);
		look_for_space(storage);
	}
	return written;
}

static void *run(void *arg) {
	struct storage *storage = arg;
	struct queue taken;
	bool written;
	size_t n;

	pthread_mutex_lock(&storage->lock);
	while (!storage->lost) {
		wait_for_work(storage);
		n = take_batch(storage, &taken);
		if (n == 0 && storage->stopping)
			break;
		pthread_mutex_unlock(&storage->lock);
		written = execute_queue(storage, &taken, n);
		pthread_mutex_lock(&storage->lock);
		storage->lost = !written;
		storage->waits_since = STAILQ_EMPTY(&storage->queue) ? UINT64_MAX : clock_mono();
	}
	pthread_mutex_unlock(&storage->lock);
	return NULL;
}

struct storage *storage_start(struct store *store, struct inbox *inbox, pthread_mutex_t *state_db) {
	struct storage *storage = fatal_alloc(sizeof *storage);
	pthread_condattr_t attributes;
	int r;

	storage->store = store;
	storage->inbox = inbox;
	storage->state_db = state_db;
	storage->waits_since = UINT64_MAX;
	STAILQ_INIT(&storage->queue);
	blocks_init(&storage->blocks);
	pthread_mutex_init(&storage->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&storage->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	if (!store_has_reserve(store))
		block(storage, "the disk is full: the node follows, and admits nothing until there is space");
	r = pthread_create(&storage->thread, NULL, run, storage);
	if (r != 0)
		fatal_stop("reason=\"the storage thread could not be started\" error=\"%s\"", strerror(r));
	return storage;
}

raft_usec storage_waits_since(struct storage *storage) {
	raft_usec since;

	pthread_mutex_lock(&storage->lock);
	since = storage->waits_since;
	pthread_mutex_unlock(&storage->lock);
	return since;
}

bool storage_stop(struct storage *storage) {
	bool complete;

	pthread_mutex_lock(&storage->lock);
	storage->stopping = true;
	pthread_mutex_unlock(&storage->lock);
	pthread_cond_signal(&storage->wake);
	pthread_join(storage->thread, NULL);

	complete = !storage->lost;
	free_queue(storage, &storage->queue);
	blocks_deinit(&storage->blocks);
	pthread_cond_destroy(&storage->wake);
	pthread_mutex_destroy(&storage->lock);
	free(storage->batch);
	free(storage);
	return complete;
}

struct storage_report *storage_report_of(struct inbox_item *item) {
	assert(item->kind == INBOX_SAVED);
	return (struct storage_report *)((char *)item - offsetof(struct storage_report, item));
}
