/* SPDX-License-Identifier: Apache-2.0 */
#include "field.h"

#include "api/limits.h"
#include "api/text.h"

#include <raft/raft.h>
#include <stdio.h>

#define FIELD_FAULT(fault, ...) ((void)snprintf((fault)->text, sizeof(fault)->text, __VA_ARGS__), true)

static bool field_size(const char *name, size_t n, size_t min, size_t max, struct field_fault *ret) {
	if (n >= min && n <= max)
		return false;
	return FIELD_FAULT(ret, "%s: %zu bytes, must be %zu to %zu", name, n, min, max);
}

static bool field_text(const char *name, const ProtobufCBinaryData *text, size_t min, size_t max,
		       struct field_fault *ret) {
	if (field_size(name, text->len, min, max, ret))
		return true;
	return !text_is_valid(text->data, text->len) &&
	       FIELD_FAULT(ret, "%s: must be UTF-8 without control characters", name);
}

static bool field_name(const ProtobufCBinaryData *name, struct field_fault *ret) {
	return field_text("name", name, 1, LIMIT_NAME_BYTES_MAX, ret);
}

static bool field_positive(const char *name, uint64_t value, struct field_fault *ret) {
	return value == 0 && FIELD_FAULT(ret, "%s: 0, must be 1 or more", name);
}

/* What every command of a session carries. */
static bool field_session(const Client__Request *request, struct field_fault *ret) {
	if (!request->session || request->session->opened == 0)
		return FIELD_FAULT(ret, "session: missing");
	return field_positive("sequence", request->sequence, ret);
}

/* A holder that sends keep-alives every third of its TTL survives an election, of which the first vote was split, and
 * a round trip on top. A heartbeat is the bound that the configured times set to a round trip. */
uint32_t field_ttl_ms_min(const struct raft_timing *timing) {
	raft_usec election_ms = (timing->election_max / 2 + 999) / 1000, round_trip_ms = timing->heartbeat / 1000;
	raft_usec ttl_ms = 3 * (2 * election_ms + round_trip_ms);

	if (ttl_ms > LIMIT_TTL_MS_MAX)
		return LIMIT_TTL_MS_MAX;
	return ttl_ms < LIMIT_TTL_MS_MIN ? LIMIT_TTL_MS_MIN : (uint32_t)ttl_ms;
}

static bool field_open(const Client__Open *open, const struct raft_timing *timing, struct field_fault *ret) {
	uint32_t min = field_ttl_ms_min(timing);

	if (open->ttl_ms < min || open->ttl_ms > LIMIT_TTL_MS_MAX)
		return FIELD_FAULT(ret, "ttl_ms: %u, must be %u to %d", open->ttl_ms, min, LIMIT_TTL_MS_MAX);
	return field_size("nonce", open->nonce.len, LIMIT_NONCE_BYTES, LIMIT_NONCE_BYTES, ret) ||
	       field_text("owner", &open->owner, 0, LIMIT_OWNER_BYTES_MAX, ret) ||
	       field_text("host", &open->host, 0, LIMIT_HOST_BYTES_MAX, ret) ||
	       field_text("label", &open->label, 0, LIMIT_LABEL_BYTES_MAX, ret);
}

static bool field_keep_alive(const Client__KeepAlive *keep_alive, struct field_fault *ret) {
	size_t n = keep_alive->n_sessions;

	return (n == 0 || n > LIMIT_SESSIONS_PER_KEEP_ALIVE) &&
	       FIELD_FAULT(ret, "sessions: %zu, must be 1 to %d", n, LIMIT_SESSIONS_PER_KEEP_ALIVE);
}

static bool field_acquire(const Client__Request *request, struct field_fault *ret) {
	return field_session(request, ret) || field_name(&request->acquire->name, ret) ||
	       field_text("value", &request->acquire->value, 0, LIMIT_VALUE_BYTES_MAX, ret);
}

static bool field_cancel(const Client__Request *request, struct field_fault *ret) {
	return field_session(request, ret) || field_positive("target", request->cancel->target, ret);
}

static bool field_release(const Client__Request *request, struct field_fault *ret) {
	return field_session(request, ret) || field_name(&request->release->name, ret) ||
	       field_positive("token", request->release->token, ret);
}

/* A prefix may end within a character, so only its size counts. */
static bool field_list(const Client__List *list, struct field_fault *ret) {
	return field_size("prefix", list->prefix.len, 0, LIMIT_NAME_BYTES_MAX, ret) ||
	       field_size("after", list->after.len, 0, LIMIT_NAME_BYTES_MAX, ret);
}

static bool field_is_read(const Client__Request *request) {
	return request->body_case == CLIENT__REQUEST__BODY_LIST || request->body_case == CLIENT__REQUEST__BODY_SHOW ||
	       request->body_case == CLIENT__REQUEST__BODY_SESSIONS;
}

static bool field_read_level(const Client__Request *request, struct field_fault *ret) {
	int level = (int)request->read_level, max = CLIENT__READ_LEVEL__STALE;

	if (level == CLIENT__READ_LEVEL__LINEARIZABLE)
		return false;
	if (!field_is_read(request))
		return FIELD_FAULT(ret, "read_level: %d, must be 0 but for List, Show and Sessions", level);
	return (level < 0 || level > max) && FIELD_FAULT(ret, "read_level: %d, must be 0 to %d", level, max);
}

/* "host:port", or nothing. */
static bool field_address(const char *name, const ProtobufCBinaryData *address, struct field_fault *ret) {
	size_t digits = 0, port = 0;

	if (address->len == 0)
		return false;
	if (field_text(name, address, 3, LIMIT_ADDRESS_BYTES_MAX, ret))
		return true;
	for (size_t at = address->len; at-- > 0 && address->data[at] >= '0' && address->data[at] <= '9'; digits++)
		;
	for (size_t i = address->len - digits; i < address->len && port <= UINT16_MAX; i++)
		port = 10 * port + (size_t)(address->data[i] - '0');
	return (digits == 0 || address->len < digits + 2 || address->data[address->len - digits - 1] != ':' ||
		port == 0 || port > UINT16_MAX) &&
	       FIELD_FAULT(ret, "%s: must be host:port", name);
}

static bool field_member_change(const Client__MemberChange *change, struct field_fault *ret) {
	if (change->kind < CLIENT__MEMBER_CHANGE__KIND__VOTER || change->kind > CLIENT__MEMBER_CHANGE__KIND__SAME)
		return FIELD_FAULT(ret, "kind: %d is unknown to this version", (int)change->kind);
	if (change->priority > UINT8_MAX)
		return FIELD_FAULT(ret, "priority: %u, must be 0 to %d", change->priority, UINT8_MAX);
	return field_positive("node", change->node, ret) || field_address("peer_address", &change->peer_address, ret) ||
	       field_address("client_address", &change->client_address, ret);
}

static bool field_change_members(const Client__ChangeMembers *change, struct field_fault *ret) {
	size_t n = change->n_changes;

	if (n == 0 || n > RAFT_MEMBERS_MAX)
		return FIELD_FAULT(ret, "changes: %zu, must be 1 to %d", n, RAFT_MEMBERS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (field_member_change(change->changes[i], ret))
			return true;
		for (size_t j = 0; j < i; j++) {
			if (change->changes[j]->node == change->changes[i]->node)
				return FIELD_FAULT(ret, "changes: node %u stands there twice",
						   change->changes[i]->node);
		}
	}
	return false;
}

static bool field_backup(const Client__Backup *backup, struct field_fault *ret) {
	return backup->backup == 0 && backup->offset > 0 &&
	       FIELD_FAULT(ret, "offset: %llu, must be 0 for a backup that begins", (unsigned long long)backup->offset);
}

bool field_find_fault(const Client__Request *request, const struct raft_timing *timing, struct field_fault *ret) {
	if (field_read_level(request, ret))
		return true;
	switch (request->body_case) {
	case CLIENT__REQUEST__BODY_OPEN: return field_open(request->open, timing, ret);
	case CLIENT__REQUEST__BODY_KEEP_ALIVE: return field_keep_alive(request->keep_alive, ret);
	case CLIENT__REQUEST__BODY_CLOSE: return field_session(request, ret);
	case CLIENT__REQUEST__BODY_ACQUIRE: return field_acquire(request, ret);
	case CLIENT__REQUEST__BODY_CANCEL: return field_cancel(request, ret);
	case CLIENT__REQUEST__BODY_RELEASE: return field_release(request, ret);
	case CLIENT__REQUEST__BODY_LIST: return field_list(request->list, ret);
	case CLIENT__REQUEST__BODY_SHOW: return field_name(&request->show->name, ret);
	case CLIENT__REQUEST__BODY_OBSERVE: return field_name(&request->observe->name, ret);
	case CLIENT__REQUEST__BODY_CHANGE_MEMBERS: return field_change_members(request->change_members, ret);
	case CLIENT__REQUEST__BODY_BACKUP: return field_backup(request->backup, ret);
	default: return false;
	}
}
