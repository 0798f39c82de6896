/* SPDX-License-Identifier: Apache-2.0 */
#include "admission.h"

#include "configuration.h"
#include "replica.h"

#include <lockd/status.h>

static int admission_check_bounds(const struct replica *replica, const struct client *client, size_t bytes) {
	const struct node *node = replica->node;

	if (node->pending_requests >= node->pending_requests_max ||
	    client->requests >= LIMIT_REQUESTS_PER_CONNECTION_MAX ||
	    bytes > LIMIT_PENDING_BYTES_MAX - node->pending_bytes)
		return LOCKD_BUSY;
	return LOCKD_OK;
}

/* What this node has applied says nothing once the cluster goes on without it. */
static bool admission_is_member(const struct replica *replica) {
	const struct raft_configuration *members = raft_members(replica->raft, NULL);
	const struct raft_member *self = members ? configuration_find(members, replica->node->id) : NULL;

	return self && !node_is_blank(replica->node) &&
	       memcmp(self->store.bytes, replica->node->store.bytes, sizeof self->store.bytes) == 0;
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
