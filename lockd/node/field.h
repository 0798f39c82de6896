/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of requests: what may stand in them. */
#ifndef LOCKD_NODE_FIELD_H
#define LOCKD_NODE_FIELD_H

#include "api/client.pb-c.h"

#include <raft/raft.h>
#include <stdbool.h>

/* The smallest TTL that leaves time to miss an election and ask anew, three times over. */
uint32_t field_ttl_ms_min(const struct raft_timing *timing);

/* Names the field and the range that it misses. */
struct field_fault {
	char text[128];
};

/* true: *ret says what is wrong. */
bool field_find_fault(const Client__Request *request, const struct raft_timing *timing, struct field_fault *ret);

#endif
