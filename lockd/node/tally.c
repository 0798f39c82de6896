/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include "read.h"
#include "replica.h"

#include <assert.h>

void tally_request(struct node *node, uint32_t verb) {
	assert(verb < NODE_VERBS_MAX);
	node->tally.requests[verb]++;
}

void tally_reply(struct node *node, uint32_t status) {
	assert(status < NODE_STATUSES_MAX);
	node->tally.replies[status]++;
}

void node_get_tally(const struct node *node, struct node_tally *ret) {
	const struct replica *replica = node_find_replica(node, NODE_GROUP_DEFAULT);

	*ret = node->tally;
	ret->pending = node->pending_requests + replica->seats.asked;
	ret->log_bytes = replica->cache.bytes;
	ret->checkpoint = replica->checkpoint.durable;
	ret->refusing = node_is_refusing(node);
	ret->restoring = read_is_restoring(replica);
	ret->repairs = node->repairs;
}
