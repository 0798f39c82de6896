/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster itself: who its members are and who leads it, and copies of all that it knows. lockd_nodes() shows the
 * first two, and what came of a call.
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
 * half-way with a learner too many; the same call again completes it. UNREACHABLE, DISK_FULL: nothing was asked for.
 * MISUSE: no changes or more than LOCKD_MEMBER_CHANGES_MAX, node 0, a node twice, a priority above 255, an address too
 * long. */
LOCKD_PUBLIC enum lockd_status
lockd_change_members(struct lockd_client *client, const struct lockd_member_change *changes, size_t n, int timeout_ms);

/* Hands leadership to `node`; 0: to the voter that is closest to taking over. Operations wait meanwhile, usually for a
 * few milliseconds; none is lost.
 *
 * OK: that node leads, or, with 0, another one than before. NOT_READY: it is no voter, says that it cannot lead, or did
 * not take over in time; the present leader goes on. UNSETTLED: another transfer or change of members is under way.
 * DEADLINE: not known. UNREACHABLE, DISK_FULL: not asked for. MISUSE: a time-out below LOCKD_FOREVER. */
LOCKD_PUBLIC enum lockd_status lockd_transfer_leader(struct lockd_client *client, uint32_t node, int timeout_ms);

/* ---- Backups ---- */

/* What a backup holds. */
struct lockd_backup_info {
	uint64_t index;       /* the last log entry that is in it */
	uint64_t revision;    /* no effect in it has a greater one */
	uint64_t rows, bytes; /* records; bytes of the file */
	uint64_t made_ms;     /* since 1970, UTC, by the clock of whoever asked for it */
	uint32_t epoch;       /* upper bits of the tokens of its cluster */
	uint32_t machine_version;
	uint32_t node;        /* who made it; 0 from lockd_backup_check() */
	char incarnation[33]; /* of its cluster, in hexadecimal, like … */
	char digest[33];      /* … the digest that the file ends with */
};

/* A piece of the file. */
struct lockd_backup_part {
	uint64_t offset, total; /* where it stands; bytes of the whole file */
	const void *bytes;      /* borrowed during the call */
	size_t n;
};

/* Takes the file piece by piece, in order. A piece at offset 0 that is not the first one: the backup broke off with its
 * node, and what came so far is void. Not 0: stop. On the thread that called lockd_backup(), without any lock. */
typedef int lockd_backup_fn(void *user, const struct lockd_backup_part *part);

/* Makes a backup while the cluster serves: all that was answered to anybody before the call is in it, tokens, locks,
 * sessions and results, as the state was behind one log entry. `node` makes it, 0: the leader. What arrives is checked;
 * the file is good once the call returns OK. `lockd restore` makes a new cluster of it.
 *
 * Where node or connection are lost on the way it begins again, until `timeout_ms`. DISK_FULL: of the node, which needs
 * room for a copy of its state. DAMAGED: what the node sends is not what it announced; lockd_last_error() says more.
 * CANCELLED: `write` said stop. LIMIT: the state is larger than what a node takes back. DEADLINE, UNREACHABLE: as they
 * say. MISUSE: an argument is missing. */
LOCKD_PUBLIC enum lockd_status lockd_backup(struct lockd_client *client, uint32_t node, lockd_backup_fn *write,
					    void *user, int timeout_ms, struct lockd_backup_info *ret);

/* Reads a backup from a descriptor to its end, without a cluster. OK: every byte is what it was when it was written.
 * DAMAGED: it is no backup, not whole, or changed; *ret_fault, static, says what is wrong ("it ends too early").
 * NO_MEMORY, MISUSE: an argument is missing. */
LOCKD_PUBLIC enum lockd_status lockd_backup_check(int fd, struct lockd_backup_info *ret, const char **ret_fault);

#ifdef __cplusplus
}
#endif

#endif
