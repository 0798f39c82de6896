/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog.h"

#include "memory.h"

#include <assert.h>

/* Of one connection that has something in the backlog. */
struct backlog_flow {
	node_connection connection;
	struct pending_list list;
	STAILQ_ENTRY(backlog_flow) link;
	UT_hash_handle hh;
};

static struct backlog_flow *backlog_flow_have(struct backlog *backlog, node_connection connection) {
	struct backlog_flow *flow;

	HASH_FIND(hh, backlog->by_connection, &connection, sizeof connection, flow);
	if (flow)
		return flow;
	flow = memory_new(sizeof *flow);
	flow->connection = connection;
	STAILQ_INIT(&flow->list);
	HASH_ADD(hh, backlog->by_connection, connection, sizeof flow->connection, flow);
	STAILQ_INSERT_TAIL(&backlog->flows, flow, link);
	return flow;
}

void backlog_add(struct backlog *backlog, struct pending *pending) {
	struct pending_list *list = &backlog->own;

	if (pending->kind != PENDING_OWN)
		list = &backlog_flow_have(backlog, pending->asker.connection)->list;
	STAILQ_INSERT_TAIL(list, pending, link);
}

struct pending *backlog_next(const struct backlog *backlog) {
	const struct backlog_flow *flow = STAILQ_FIRST(&backlog->flows);

	if (!STAILQ_EMPTY(&backlog->own))
		return STAILQ_FIRST(&backlog->own);
	return flow ? STAILQ_FIRST(&flow->list) : NULL;
}

/* The first connection's turn is over. */
static struct pending *backlog_rotate(struct backlog *backlog) {
	struct backlog_flow *flow = STAILQ_FIRST(&backlog->flows);
	struct pending *pending = STAILQ_FIRST(&flow->list);

	STAILQ_REMOVE_HEAD(&flow->list, link);
	STAILQ_REMOVE_HEAD(&backlog->flows, link);
	if (!STAILQ_EMPTY(&flow->list)) {
		STAILQ_INSERT_TAIL(&backlog->flows, flow, link);
		return pending;
	}
	HASH_DELETE(hh, backlog->by_connection, flow);
	free(flow);
	return pending;
}

struct pending *backlog_take(struct backlog *backlog) {
	struct pending *pending = STAILQ_FIRST(&backlog->own);

	assert(backlog_next(backlog));
	if (!pending)
		return backlog_rotate(backlog);
	STAILQ_REMOVE_HEAD(&backlog->own, link);
	return pending;
}
