/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap ordered by (time, order of planning). */
#include "tests/sim/queue.h"

#include "tests/sim/memory.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

void queue_init(struct queue *queue) {
	*queue = (struct queue){0};
}

void queue_deinit(struct queue *queue) {
	for (size_t i = 0; i < queue->n; i++)
		free(queue->heap[i].item);
	free(queue->heap);
	*queue = (struct queue){0};
}

static bool earlier(const struct queue_event *a, const struct queue_event *b) {
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void queue_push(struct queue *queue, sim_usec at, queue_function *run, void *item) {
	struct queue_event event = {.at = at, .order = queue->order++, .run = run, .item = item};
	size_t i = queue->n++;

	queue->heap = memory_fit(queue->heap, &queue->size, queue->n, sizeof(*queue->heap));
	for (; i > 0 && earlier(&event, &queue->heap[(i - 1) / 2]); i = (i - 1) / 2)
		queue->heap[i] = queue->heap[(i - 1) / 2];
	queue->heap[i] = event;
}

struct queue_event queue_pop(struct queue *queue) {
	assert(queue->n > 0);
	struct queue_event first = queue->heap[0], moved = queue->heap[--queue->n];

	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= queue->n)
			break;
		if (child + 1 < queue->n && earlier(&queue->heap[child + 1], &queue->heap[child]))
			child++;
		if (earlier(&moved, &queue->heap[child]))
			break;
		queue->heap[i] = queue->heap[child];
		i = child;
	}
	queue->heap[i] = moved;
	return first;
}
