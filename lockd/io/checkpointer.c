/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpointer.h"

#include "clock.h"
#include "fatal.h"
#include "log.h"
#include "metrics.h"
#include "storage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct checkpointer {
	struct store *store;
	struct storage *storage;
	struct inbox *inbox;
	pthread_mutex_t *state_db;
	pthread_t thread;
	bool full; /* of the thread: the disk was for the last snapshot, and that was reported */

	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t wake;
	struct inbox_list jobs;
	bool stopping;
};

/* It is tried again and again, but told once. */
static void report_full(struct checkpointer *checkpointer, bool full) {
	if (full && !checkpointer->full)
		log_error("the disk is full: snapshots for other nodes wait for space");
	else if (!full && checkpointer->full)
		log_warning("the disk has space again: snapshots for other nodes are made");
	checkpointer->full = full;
}

static void write_checkpoint(struct checkpointer *checkpointer, struct checkpointer_job *job) {
	struct store_error error;
	raft_usec began;

	pthread_mutex_lock(checkpointer->state_db);
	began = clock_mono();
	job->result = store_checkpoint(checkpointer->store, &job->checkpoint, &error);
	if (job->result == 0)
		metrics_time(METRICS_CHECKPOINT, clock_mono() - began);
	/* Before an install takes the lock: it does away with what found the disk full. */
	storage_note_checkpoint(checkpointer->storage, job->result == STORE_FULL);
	pthread_mutex_unlock(checkpointer->state_db);

	if (job->result < 0) {
		store_note_failure(checkpointer->store, job->result, &error);
		fatal_stop("reason=\"a checkpoint could not be written\" error=\"%s\"", error.text);
	}
}

static void cut_snapshot(struct checkpointer *checkpointer, struct checkpointer_job *job) {
	struct store_error error;

	pthread_mutex_lock(checkpointer->state_db);
	job->unchanged = job->have > 0 && store_get_checkpoint_index(checkpointer->store, job->group) == job->have;
	job->result = job->unchanged ? 0 : store_snapshot(checkpointer->store, job->group, &job->snapshot, &error);
	pthread_mutex_unlock(checkpointer->state_db);

	if (job->result == -EBADMSG) {
		store_note_failure(checkpointer->store, job->result, &error);
		fatal_stop("reason=\"the checkpoint on disk is damaged\" error=\"%s\"", error.text);
	}
	report_full(checkpointer, job->result == STORE_FULL);
	if (job->result < 0)
		log_error("no snapshot was made: group=%u error=\"%s\"", job->group, error.text);
}

static void read_snapshot(struct checkpointer_job *job) {
	size_t done = 0;

	while (done < job->n) {
		ssize_t r = pread(job->fd, job->bytes + done, job->n - done, (off_t)(job->offset + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			job->result = r < 0 ? -errno : -EIO;
			log_error("a snapshot file could not be read: error=\"%s\"", strerror(-job->result));
			return;
		}
		done += (size_t)r;
	}
	job->result = 0;
}

static void execute(struct checkpointer *checkpointer, struct checkpointer_job *job) {
	switch (job->item.kind) {
	case INBOX_CHECKPOINTED: write_checkpoint(checkpointer, job); break;
	case INBOX_SNAPSHOT_CUT:
	case INBOX_BACKUP_CUT: cut_snapshot(checkpointer, job); break;
	default: read_snapshot(job); break;
	}
}

static void *run(void *arg) {
	struct checkpointer *checkpointer = arg;
	struct inbox_item *item;
	bool stopping;

	for (;;) {
		pthread_mutex_lock(&checkpointer->lock);
		while (STAILQ_EMPTY(&checkpointer->jobs) && !checkpointer->stopping)
			pthread_cond_wait(&checkpointer->wake, &checkpointer->lock);
		item = STAILQ_FIRST(&checkpointer->jobs);
		if (item)
			STAILQ_REMOVE_HEAD(&checkpointer->jobs, next);
		stopping = checkpointer->stopping;
		pthread_mutex_unlock(&checkpointer->lock);

		if (!item)
			return NULL;
		if (stopping)
			checkpointer_job_of(item)->result = -ECANCELED;
		else
			execute(checkpointer, checkpointer_job_of(item));
		inbox_post(checkpointer->inbox, item);
	}
}

struct checkpointer *checkpointer_start(struct store *store, struct storage *storage, struct inbox *inbox,
					pthread_mutex_t *state_db) {
	struct checkpointer *checkpointer = fatal_alloc(sizeof *checkpointer);
	int r;

	checkpointer->store = store;
	checkpointer->storage = storage;
	checkpointer->inbox = inbox;
	checkpointer->state_db = state_db;
	STAILQ_INIT(&checkpointer->jobs);
	pthread_mutex_init(&checkpointer->lock, NULL);
	pthread_cond_init(&checkpointer->wake, NULL);
	r = pthread_create(&checkpointer->thread, NULL, run, checkpointer);
	if (r != 0)
		fatal_stop("reason=\"the checkpoint thread could not be started\" error=\"%s\"", strerror(r));
	return checkpointer;
}

void checkpointer_add(struct checkpointer *checkpointer, struct checkpointer_job *job) {
	pthread_mutex_lock(&checkpointer->lock);
	STAILQ_INSERT_TAIL(&checkpointer->jobs, &job->item, next);
	pthread_mutex_unlock(&checkpointer->lock);
	pthread_cond_signal(&checkpointer->wake);
}

void checkpointer_stop(struct checkpointer *checkpointer) {
	pthread_mutex_lock(&checkpointer->lock);
	checkpointer->stopping = true;
	pthread_mutex_unlock(&checkpointer->lock);
	pthread_cond_signal(&checkpointer->wake);
	pthread_join(checkpointer->thread, NULL);
	pthread_cond_destroy(&checkpointer->wake);
	pthread_mutex_destroy(&checkpointer->lock);
	free(checkpointer);
}

struct checkpointer_job *checkpointer_job_of(struct inbox_item *item) {
	return (struct checkpointer_job *)((char *)item - offsetof(struct checkpointer_job, item));
}
