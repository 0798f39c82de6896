/* SPDX-License-Identifier: Apache-2.0 */
#include "admission.h"

#include "replica.h"

#include <lockd/status.h>

/* A connection may have as much under way as there is room left for all others together: one that floods gets half, two
 * a third each, and whoever asks for little is let in (dynamic thresholds; Choudhury and Hahne, 1998). */
static int admission_check_bounds(const struct replica *replica, const struct client *client, size_t bytes) {
	const struct node *node = replica->node;
	size_t room = node->pending_requests_max - node->pending_requests;
	size_t room_bytes = LIMIT_PENDING_BYTES_MAX - node->pending_bytes;

	if (room == 0 || client->requests > room || client->requests >= LIMIT_REQUESTS_PER_CONNECTION_MAX)
		return LOCKD_BUSY;
	if (bytes > room_bytes || client->bytes > room_bytes)
		return LOCKD_BUSY;
	return LOCKD_OK;
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
