/* SPDX-License-Identifier: Apache-2.0 */
/* One answer that is more than a status, as it came: a page of a list, a node's view of itself, a part of a backup. */
#ifndef CLIENT_PAGE_H
#define CLIENT_PAGE_H

#include "request.h"

#include "api/arena.h"

struct lockd__page {
	struct lockd__waiter waiter;
	struct arena arena;
	const Client__Reply *reply; /* after OK */
};

/* All with the client's mutex held. */

/* Sends a request and waits for its answer. Takes the request. */
enum lockd_status lockd__page_fetch(struct lockd_client *client, struct lockd__request *request, int64_t deadline_us,
				    struct lockd__page *page);
/* Decodes what the waiter got; a part of lockd__page_fetch() for who waits for several. */
enum lockd_status lockd__page_decode(struct lockd__page *page);
void lockd__page_deinit(struct lockd__page *page);

#endif
