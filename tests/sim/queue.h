/* SPDX-License-Identifier: Apache-2.0 */
/* What happens when, in virtual time. Equal times run in the order they were planned, so a run is a function of its
 * seed. */
#ifndef TESTS_SIM_QUEUE_H
#define TESTS_SIM_QUEUE_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t sim_usec; /* true time since the start of the run, in microseconds */

struct sim;

/* `item` is the block given to queue_push(); the queue frees it after the call. */
typedef void queue_function(struct sim *sim, void *item);

struct queue_event {
	sim_usec at;
	uint64_t order;
	queue_function *run;
	void *item;
};

struct queue {
	struct queue_event *heap;
	size_t n, size;
	uint64_t order;
};

void queue_init(struct queue *queue);
/* Frees all items that have not run. */
void queue_deinit(struct queue *queue);
/* Takes over `item`, one malloc'd block or NULL. */
void queue_push(struct queue *queue, sim_usec at, queue_function *run, void *item);
/* The earliest event, taken out. The queue must not be empty; the caller frees the item. */
struct queue_event queue_pop(struct queue *queue);

#endif
