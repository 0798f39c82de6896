/* SPDX-License-Identifier: Apache-2.0 */
/* What is handed to the core loop, and who runs its turns.
 *
 * A list under a mutex that the turn swaps for an empty one: everything that gathered is taken at once. One thread at a
 * time runs turns. Whoever brings work while nobody does, runs them itself (inbox_serve()): waking another thread costs
 * about 30 µs, and an acquire has eight such hand-overs on its way. What comes in the course of a turn is taken along
 * by the next one of the same thread. The loop's own thread (inbox_attend()) keeps the deadline and does the rest.
 *
 * Bounded in bytes (LIMIT_INBOX_BYTES_MAX): a connection that posts beyond the bound stops reading until the loop has
 * taken the list, which it learns from `ret_overfull`. Reports from our own threads are few and always accepted. */
#ifndef LOCKD_IO_INBOX_H
#define LOCKD_IO_INBOX_H

#include "lockd/io/blocks.h"

#include <pthread.h>
#include <raft/raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

enum inbox_kind {
	INBOX_ACCEPTED,      /* struct listener_accept */
	INBOX_DIALLED,       /* struct dialler */
	INBOX_FRAMES,        /* struct connection_batch */
	INBOX_DRAINED,       /* struct connection, member `drained` */
	INBOX_CLOSED,        /* struct connection, member `closed` */
	INBOX_SAVED,         /* struct storage_report */
	INBOX_CHECKPOINTED,  /* struct checkpointer_job */
	INBOX_SNAPSHOT_CUT,  /* struct checkpointer_job */
	INBOX_SNAPSHOT_READ, /* struct checkpointer_job */
	INBOX_BACKUP_CUT,    /* struct checkpointer_job */
	INBOX_BACKUP_READ,   /* struct checkpointer_job */
	INBOX_STOP,          /* a bare item */
};

/* Embedded in what is handed over. Whoever posts gives the whole up until the loop has handled it. */
struct inbox_item {
	STAILQ_ENTRY(inbox_item) next;
	enum inbox_kind kind;
	size_t bytes; /* counted against the bound */
};

STAILQ_HEAD(inbox_list, inbox_item);

/* One turn. Returns when the next one is due at the latest; false: this was the last one. */
typedef bool inbox_turn_fn(void *arg, raft_usec *ret_deadline);

struct inbox {
	struct blocks blocks; /* memory of batches; with a lock of its own */
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t wake;  /* on CLOCK_MONOTONIC; of inbox_wait() and inbox_attend() */
	struct inbox_list list;
	size_t bytes, bytes_max;
	bool overfull; /* some connection was told to stop reading */
	inbox_turn_fn *turn;
	void *arg;
	bool running;        /* some thread is in a turn, and will look at the list again */
	bool ended;          /* the last turn has run */
	bool sleeping;       /* somebody waits for `wake` … */
	raft_usec sleeps_to; /* … until then */
	raft_usec deadline;  /* of the next turn */
};

void inbox_init(struct inbox *inbox, size_t bytes_max);
/* The list must be empty. */
void inbox_deinit(struct inbox *inbox);

/* Any thread. false: taken as well, but there is too much: post nothing more until the loop says so. */
bool inbox_post(struct inbox *inbox, struct inbox_item *item);
/* The same without waking anybody: the caller calls inbox_serve() as soon as it holds no lock. */
bool inbox_leave(struct inbox *inbox, struct inbox_item *item);

/* Holding no lock that a turn takes, nor inside the callback of an aio that a turn waits for: runs turns in this
 * thread, at most `turns_max`, until the list is empty. What is left then is the loop's own thread's. While another
 * thread runs them, that one sees to it. */
void inbox_serve(struct inbox *inbox, unsigned turns_max);

/* The loop's own thread: returns behind the last turn. The first one is run at once. */
void inbox_attend(struct inbox *inbox, inbox_turn_fn *turn, void *arg);

/* Waits until there is something or `deadline` has come. Where nobody attends. */
void inbox_wait(struct inbox *inbox, raft_usec deadline);
/* Moves everything to *ret_list. */
void inbox_take(struct inbox *inbox, struct inbox_list *ret_list, bool *ret_overfull);

#endif
