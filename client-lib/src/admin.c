/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of members and of the leader. Both say what shall be, so that a request whose answer was lost with its leader
 * goes to the next one. */
#include "client.h"
#include "clock.h"

#include "api/text.h"

#include <lockd/admin.h>
#include <string.h>

_Static_assert((int)LOCKD_MEMBER_CHANGES_MAX == 2 * (int)LIMIT_NODES_MAX, "all members may be replaced at once");

static bool is_address(const char *text) {
	size_t n = text ? strlen(text) : 0;

	return n < LOCKD__ADDRESS_BYTES_MAX && text_is_valid(text, n);
}

static bool is_change(const struct lockd_member_change *change) {
	return (unsigned)change->kind <= LOCKD_MEMBER_SAME && change->node != 0 && change->priority <= UINT8_MAX &&
	       is_address(change->peer_address) && is_address(change->client_address);
}

static bool are_changes(const struct lockd_member_change *changes, size_t n) {
	if (!changes || n == 0 || n > LOCKD_MEMBER_CHANGES_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_change(&changes[i]))
			return false;
		for (size_t j = 0; j < i; j++)
			if (changes[j].node == changes[i].node)
				return false;
	}
	return true;
}

/* Sends it and waits. Takes the request. */
static enum lockd_status run(struct lockd_client *client, struct lockd__request *request, int64_t deadline_us) {
	struct lockd__waiter waiter;

	if (lockd__waiter_init(&waiter) < 0) {
		lockd__request_free(request);
		return LOCKD_NO_MEMORY;
	}
	client->error[0] = '\0'; /* whatever stands there behind the call is about this request, or a later one */
	request->waiter = &waiter;
	lockd__request_submit(client, request);
	return lockd__waiter_wait(client, &waiter, request, deadline_us);
}

enum lockd_status lockd_change_members(struct lockd_client *client, const struct lockd_member_change *changes, size_t n,
				       int timeout_ms) {
	int64_t deadline_us = lockd__clock_deadline_us(lockd__clock_us(), timeout_ms);
	struct lockd__request *request;
	enum lockd_status status;

	if (!client || timeout_ms < LOCKD_FOREVER || !are_changes(changes, n))
		return LOCKD_MISUSE;
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	request = lockd__request_new(client, NULL, LOCKD__CHANGE_MEMBERS, NULL, NULL);
	status = LOCKD_NO_MEMORY;
	if (request) {
		request->changes = changes;
		request->n_changes = n;
		status = run(client, request, deadline_us);
	}
	lockd__client_leave_blocking(client);
	return status;
}

enum lockd_status lockd_transfer_leader(struct lockd_client *client, uint32_t node, int timeout_ms) {
	int64_t deadline_us = lockd__clock_deadline_us(lockd__clock_us(), timeout_ms);
	struct lockd__request *request;
	enum lockd_status status;

	if (!client || timeout_ms < LOCKD_FOREVER)
		return LOCKD_MISUSE;
	status = lockd__client_enter_blocking(client);
	if (status != LOCKD_OK)
		return status;
	request = lockd__request_new(client, NULL, LOCKD__TRANSFER_LEADER, NULL, NULL);
	status = LOCKD_NO_MEMORY;
	if (request) {
		request->target_node = node;
		status = run(client, request, deadline_us);
	}
	lockd__client_leave_blocking(client);
	return status;
}
