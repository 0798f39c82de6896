/* SPDX-License-Identifier: Apache-2.0 */
#include "inbox.h"

#include <assert.h>
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
}

void inbox_deinit(struct inbox *inbox) {
	assert(STAILQ_EMPTY(&inbox->list));
	pthread_cond_destroy(&inbox->wake);
	pthread_mutex_destroy(&inbox->lock);
}

bool inbox_post(struct inbox *inbox, struct inbox_item *item) {
	bool wake, room;

	pthread_mutex_lock(&inbox->lock);
	STAILQ_INSERT_TAIL(&inbox->list, item, next);
	inbox->bytes += item->bytes;
	room = inbox->bytes <= inbox->bytes_max;
	if (!room)
		inbox->overfull = true;
	wake = inbox->sleeping;
	inbox->sleeping = false;
	pthread_mutex_unlock(&inbox->lock);

	if (wake)
		pthread_cond_signal(&inbox->wake);
	return room;
}

void inbox_take(struct inbox *inbox, raft_usec deadline, struct inbox_list *ret_list, bool *ret_overfull) {
	struct timespec until = {.tv_sec = (time_t)(deadline / 1000000), .tv_nsec = (long)(deadline % 1000000) * 1000};
	int r = 0;

	pthread_mutex_lock(&inbox->lock);
	while (STAILQ_EMPTY(&inbox->list) && r == 0) {
		inbox->sleeping = true;
		r = pthread_cond_timedwait(&inbox->wake, &inbox->lock, &until);
	}
	inbox->sleeping = false;
	STAILQ_INIT(ret_list);
	STAILQ_CONCAT(ret_list, &inbox->list);
	*ret_overfull = inbox->overfull;
	inbox->overfull = false;
	inbox->bytes = 0;
	pthread_mutex_unlock(&inbox->lock);
}
