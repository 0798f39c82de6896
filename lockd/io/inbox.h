/* SPDX-License-Identifier: Apache-2.0 */
/* What other threads hand to the core loop. A list under a mutex that the loop swaps for an empty one: everything that
 * gathered is taken at once, and only a sleeping loop is woken, since a wake-up costs about 30 µs and a post 36 ns.
 *
 * Bounded in bytes (LIMIT_INBOX_BYTES_MAX): a connection that posts beyond the bound stops reading until the loop has
 * taken the list, which it learns from `ret_overfull`. Reports from our own threads are few and always accepted. */
#ifndef LOCKD_IO_INBOX_H
#define LOCKD_IO_INBOX_H

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

struct inbox {
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t wake;  /* on CLOCK_MONOTONIC */
	struct inbox_list list;
	size_t bytes, bytes_max;
	bool sleeping; /* the loop waits for `wake` */
	bool overfull; /* some connection was told to stop reading */
};

void inbox_init(struct inbox *inbox, size_t bytes_max);
/* The list must be empty. */
void inbox_deinit(struct inbox *inbox);

/* Any thread. false: taken as well, but there is too much: post nothing more until the loop says so. */
bool inbox_post(struct inbox *inbox, struct inbox_item *item);

/* Waits until there is something or `deadline` has come, then moves everything to *ret_list. */
void inbox_take(struct inbox *inbox, raft_usec deadline, struct inbox_list *ret_list, bool *ret_overfull);

#endif
