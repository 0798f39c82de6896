/* SPDX-License-Identifier: Apache-2.0 */
#include "admission.h"

#include "replica.h"

#include <lockd/status.h>

/* The last eighth is kept for connections with little under way: one that floods leaves room for whoever does not. */
static bool admission_has_room(size_t used, size_t more, size_t max, bool modest) {
	size_t end = modest ? max : max - max / 8;

	return used <= end && more <= end - used;
}

static int admission_check_bounds(const struct replica *replica, const struct client *client, size_t bytes) {
	const struct node *node = replica->node;
	bool modest = client->requests < LIMIT_REQUESTS_PER_CONNECTION_MODEST;

	if (client->requests < LIMIT_REQUESTS_PER_CONNECTION_MAX &&
	    admission_has_room(node->pending_requests, 1, node->pending_requests_max, modest) &&
	    admission_has_room(node->pending_bytes, bytes, LIMIT_PENDING_BYTES_MAX, modest))
		return LOCKD_OK;
	return LOCKD_BUSY;
}

/* What is applied here says nothing while the cluster goes on without this node, or does not count on it yet. */
static bool admission_is_member(const struct replica *replica) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);

	return members && !node_is_blank(replica->node) && members_name_us(replica->node, members);
}

int admission_check_read(const struct replica *replica, const struct client *client, const Client__Request *request,
			 size_t bytes, const char **ret_text) {
	if (replica->node->stopping)
		return LOCKD_NOT_LEADER;
	if (!replica->leading && request->body_case == CLIENT__REQUEST__BODY_OBSERVE)
		return LOCKD_NOT_LEADER;
	if (!replica->leading && !admission_is_member(replica)) {
		*ret_text = node_is_blank(replica->node) ? "the node belongs to no cluster yet"
							 : "the node is no member of the cluster";
		return LOCKD_NOT_LEADER;
	}
	return admission_check_bounds(replica, client, bytes);
}

int admission_check_command(const struct replica *replica, const struct client *client, size_t bytes) {
	if (replica->node->stopping)
		return LOCKD_NOT_LEADER;
	if (replica->node->blocked)
		return LOCKD_DISK_FULL;
	if (!replica->leading)
		return LOCKD_NOT_LEADER;
	/* The log is held in memory: until a checkpoint makes room, nothing is added. */
	if (replica->cache.bytes >= LIMIT_RETAINED_LOG_BYTES_MAX)
		return LOCKD_BUSY;
	return admission_check_bounds(replica, client, bytes);
}
