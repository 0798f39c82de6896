/* SPDX-License-Identifier: Apache-2.0 */
#include "page.h"

#include <stdlib.h>

void lockd__page_deinit(struct lockd__page *page) {
	free(page->waiter.body);
	arena_deinit(&page->arena);
}

enum lockd_status lockd__page_decode(struct lockd__page *page) {
	struct lockd__waiter *waiter = &page->waiter;

	arena_init(&page->arena);
	if (waiter->status != LOCKD_OK || !waiter->body)
		return waiter->status;
	if (arena_reset(&page->arena, waiter->body_bytes) < 0)
		return LOCKD_NO_MEMORY;
	page->reply = client__reply__unpack(&page->arena.allocator, waiter->body_bytes, waiter->body);
	/* It was decoded once when it came; only memory can be missing. */
	return page->reply ? LOCKD_OK : LOCKD_NO_MEMORY;
}

enum lockd_status lockd__page_fetch(struct lockd_client *client, struct lockd__request *request, int64_t deadline_us,
				    struct lockd__page *page) {
	*page = (struct lockd__page){0};
	if (lockd__waiter_init(&page->waiter) < 0) {
		lockd__request_free(request);
		return LOCKD_NO_MEMORY;
	}
	request->waiter = &page->waiter;
	lockd__request_submit(client, request);
	(void)lockd__waiter_wait(client, &page->waiter, request, deadline_us);
	return lockd__page_decode(page);
}
