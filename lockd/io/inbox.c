/* SPDX-License-Identifier: Apache-2.0 */
#include "inbox.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <time.h>

void inbox_init(struct inbox *inbox, size_t bytes_max) {
	pthread_condattr_t attributes;

	*inbox = (struct inbox){.bytes_max = bytes_max};
	STAILQ_INIT(&inbox->list);
	pthread_mutex_init(&inbox->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&inbox->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	blocks_init(&inbox->blocks);
}

void inbox_deinit(struct inbox *inbox) {
	assert(STAILQ_EMPTY(&inbox->list));
	blocks_deinit(&inbox->blocks);
	pthread_cond_destroy(&inbox->wake);
	pthread_mutex_destroy(&inbox->lock);
}

/* Under the lock. */
static bool add(struct inbox *inbox, struct inbox_item *item) {
	STAILQ_INSERT_TAIL(&inbox->list, item, next);
	inbox->bytes += item->bytes;
	if (inbox->bytes > inbox->bytes_max)
		inbox->overfull = true;
	return inbox->bytes <= inbox->bytes_max;
}

/* Under the lock, which is given up: the sleeper wants it next. */
static void unlock_and_wake(struct inbox *inbox, bool wake) {
	wake = wake && inbox->sleeping;
	if (wake)
		inbox->sleeping = false;
	pthread_mutex_unlock(&inbox->lock);
	if (wake)
		pthread_cond_signal(&inbox->wake);
}

bool inbox_post(struct inbox *inbox, struct inbox_item *item) {
	bool room;

	pthread_mutex_lock(&inbox->lock);
	room = add(inbox, item);
	unlock_and_wake(inbox, !inbox->running);
	return room;
}

bool inbox_leave(struct inbox *inbox, struct inbox_item *item) {
	bool room;

	pthread_mutex_lock(&inbox->lock);
	room = add(inbox, item);
	pthread_mutex_unlock(&inbox->lock);
	return room;
}

/* Under the lock, which is released during the turns. */
static void run_turns(struct inbox *inbox, unsigned turns_max) {
	raft_usec deadline;
	bool going;

	inbox->running = true;
	do {
		pthread_mutex_unlock(&inbox->lock);
		going = inbox->turn(inbox->arg, &deadline);
		pthread_mutex_lock(&inbox->lock);
		inbox->deadline = deadline;
	} while (going && !STAILQ_EMPTY(&inbox->list) && --turns_max > 0);
	inbox->running = false;
	inbox->ended = !going;
}

void inbox_serve(struct inbox *inbox, unsigned turns_max) {
	pthread_mutex_lock(&inbox->lock);
	if (inbox->turn && !inbox->running && !inbox->ended && !STAILQ_EMPTY(&inbox->list))
		run_turns(inbox, turns_max);
	unlock_and_wake(inbox, !inbox->running && (inbox->ended || !STAILQ_EMPTY(&inbox->list) ||
						   inbox->deadline < inbox->sleeps_to));
}

/* Under the lock, which is released meanwhile. */
static int sleep_to(struct inbox *inbox, raft_usec deadline) {
	struct timespec until = {.tv_sec = (time_t)(deadline / 1000000), .tv_nsec = (long)(deadline % 1000000) * 1000};
	int r;

	inbox->sleeping = true;
	inbox->sleeps_to = deadline;
	r = pthread_cond_timedwait(&inbox->wake, &inbox->lock, &until);
	inbox->sleeping = false;
	return r;
}

void inbox_attend(struct inbox *inbox, inbox_turn_fn *turn, void *arg) {
	bool due = true;

	pthread_mutex_lock(&inbox->lock);
	inbox->turn = turn;
	inbox->arg = arg;
	while (!inbox->ended) {
		if (!inbox->running && (due || !STAILQ_EMPTY(&inbox->list))) {
			run_turns(inbox, UINT_MAX);
			due = false;
			continue;
		}
		/* Who runs turns now says when the next one is due. */
		due = sleep_to(inbox, inbox->running ? UINT64_MAX : inbox->deadline) == ETIMEDOUT &&
		      inbox->deadline <= inbox->sleeps_to;
	}
	pthread_mutex_unlock(&inbox->lock);
}

void inbox_wait(struct inbox *inbox, raft_usec deadline) {
	int r = 0;

	pthread_mutex_lock(&inbox->lock);
	while (STAILQ_EMPTY(&inbox->list) && r == 0)
		r = sleep_to(inbox, deadline);
	pthread_mutex_unlock(&inbox->lock);
}

void inbox_take(struct inbox *inbox, struct inbox_list *ret_list, bool *ret_overfull) {
	pthread_mutex_lock(&inbox->lock);
	STAILQ_INIT(ret_list);
	STAILQ_CONCAT(ret_list, &inbox->list);
	*ret_overfull = inbox->overfull;
	inbox->overfull = false;
	inbox->bytes = 0;
	pthread_mutex_unlock(&inbox->lock);
}
