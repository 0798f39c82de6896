/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the cluster itself: who its members are and who leads it. lockd_nodes() shows both, and what came of a call.
 *
 * Calls are made of the leader, wherever it is, may take minutes, and hold up nothing else that the handle does. When
 * one is refused, lockd_last_error() begins with what the leader said. Blocking: not from a callback. */
#ifndef LOCKD_ADMIN_H
#define LOCKD_ADMIN_H

#include <lockd/lockd.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lockd_member_kind {
	LOCKD_MEMBER_VOTER,   /* becomes a voter, if it is none */
	LOCKD_MEMBER_LEARNER, /* receives the log, is counted nowhere */
	LOCKD_MEMBER_ABSENT,  /* is no member */
	LOCKD_MEMBER_SAME,    /* keeps its role: for priority and addresses */
};

/* What one node shall be. */
struct lockd_member_change {
	enum lockd_member_kind kind;
	uint32_t node;
	int set_priority;  /* not 0: `priority` holds; otherwise it keeps the one it has, or has 0 */
	uint32_t priority; /* 0 to 255: whom the others would rather follow */
	const char *peer_address, *client_address; /* NULL or empty: keeps it, or as the node itself says */
};

enum { LOCKD_MEMBER_CHANGES_MAX = 18 }; /* all members of the largest cluster replaced by others */

/* Makes all of the changes, each of another node, effective together. A node that is added must run and have called
 * (lockd_candidate_info); it receives the log first and votes once it has caught up.
 *
 * OK: the members are as asked for, also when they were before. Since the request says what shall be, the library
 * repeats it to the next leader where one is lost on the way, until `timeout_ms`.
 *
 * UNSETTLED: another change of members or leader is under way. NOT_READY: a node has not called, does not answer, or
 * too few voters would be left that answer. INVALID, LIMIT: no cluster could be like that. Whatever the refusal, nobody
 * has got or lost a vote; a node that did not catch up may stay as a learner. DEADLINE: not known; it goes on, or ends
 * half-way with a learner too many; the same call again completes it. UNREACHABLE: nothing was asked for. MISUSE: no
 * changes or more than LOCKD_MEMBER_CHANGES_MAX, node 0, a node twice, a priority above 255, an address too long. */
LOCKD_PUBLIC enum lockd_status
lockd_change_members(struct lockd_client *client, const struct lockd_member_change *changes, size_t n, int timeout_ms);

/* Hands leadership to `node`; 0: to the voter that is closest to taking over. Operations wait meanwhile, usually for a
 * few milliseconds; none is lost.
 *
 * OK: that node leads, or, with 0, another one than before. NOT_READY: it is no voter, says that it cannot lead, or did
 * not take over in time; the present leader goes on. UNSETTLED: another transfer or change of members is under way.
 * DEADLINE: not known. UNREACHABLE: not asked for. MISUSE: a time-out below LOCKD_FOREVER. */
LOCKD_PUBLIC enum lockd_status lockd_transfer_leader(struct lockd_client *client, uint32_t node, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
