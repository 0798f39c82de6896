/* SPDX-License-Identifier: Apache-2.0 */
/* The status map: every answer that a request can get, with its number on the wire and what it says about the effect.
 * The numbers are frozen; a new status gets a new number. */
#ifndef LOCKD_STATUS_H
#define LOCKD_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* What a status says about the effect of the request.
 *   DONE      it has taken effect, once.
 *   NOT_DONE  it has had no effect and never will: safe to send again.
 *   UNKNOWN   it may have taken effect, or may still: ask again with the same sequence. */
enum lockd_outcome { LOCKD_OUTCOME_DONE, LOCKD_OUTCOME_NOT_DONE, LOCKD_OUTCOME_UNKNOWN };

/* X(name, number, outcome, text) */
#define LOCKD_STATUS_MAP(X)                                                                                           \
	X(OK, 0, DONE, "done")                                                                                         \
	X(QUEUED, 1, DONE, "waiting in the queue")                                                                     \
	X(HELD, 2, NOT_DONE, "the lock is held or waited for by another session")                                      \
	X(WAIT_EXPIRED, 3, NOT_DONE, "the wait ended before the lock was granted")                                     \
	X(CANCELLED, 4, NOT_DONE, "the request was cancelled")                                                         \
	X(NOT_HOLDER, 5, NOT_DONE, "the session does not hold the lock under this token")                              \
	X(NOT_FOUND, 6, NOT_DONE, "no such lock")                                                                      \
	X(SESSION_EXPIRED, 7, NOT_DONE, "the session has expired or never existed")                                    \
	X(STALE, 8, UNKNOWN, "the sequence is below the session's floor: its result is forgotten")                     \
	X(MISMATCH, 9, NOT_DONE, "the sequence was used for another request")                                          \
	X(WINDOW, 10, NOT_DONE, "the sequence is too far above the session's floor")                                   \
	X(INVALID, 11, NOT_DONE, "the request is malformed")                                                           \
	X(LIMIT, 12, NOT_DONE, "a limit of the service is reached")                                                    \
	X(BUSY, 13, NOT_DONE, "the node is overloaded")                                                                \
	X(NOT_LEADER, 14, NOT_DONE, "this node is not the leader")                                                     \
	X(LEADER_CHANGED, 15, UNKNOWN, "the leader changed before the request was committed")                          \
	X(PROTOCOL, 17, NOT_DONE, "no common protocol version")                                                        \
	X(WRONG_CLUSTER, 18, NOT_DONE, "the node belongs to another cluster")                                          \
	X(DISK_FULL, 19, NOT_DONE, "the node's disk is full")                                                          \
	X(UNSETTLED, 20, NOT_DONE, "another change of members or leader is under way")                                 \
	X(NOT_READY, 21, NOT_DONE, "the members are not ready for this change")                                        \
	/* Below: given by the client library, never on the wire. */                                                   \
	X(DEADLINE, 64, UNKNOWN, "the deadline passed before an answer came")                                          \
	X(UNREACHABLE, 65, NOT_DONE, "no node of the cluster could be reached")                                        \
	X(CLOSED, 66, UNKNOWN, "the client handle was closed before an answer came")                                   \
	X(NO_MEMORY, 67, NOT_DONE, "out of memory")                                                                    \
	X(FORKED, 68, NOT_DONE, "the client handle belongs to the parent process")                                     \
	X(MISUSE, 69, NOT_DONE, "an argument is missing or out of range")                                              \
	X(DAMAGED, 70, NOT_DONE, "the backup is damaged")

enum lockd_status {
#define LOCKD_STATUS_ENUM(name, number, outcome, text) LOCKD_##name = (number),
	LOCKD_STATUS_MAP(LOCKD_STATUS_ENUM)
#undef LOCKD_STATUS_ENUM
};

/* The name without its prefix ("WAIT_EXPIRED"), a sentence without full stop, and the outcome class. A number outside the
 * map gives "UNKNOWN_STATUS", "a status that this version does not know" and LOCKD_OUTCOME_UNKNOWN. The strings are
 * static. Any thread. */
#if defined(__GNUC__)
#define LOCKD_PUBLIC __attribute__((visibility("default")))
#else
#define LOCKD_PUBLIC
#endif
LOCKD_PUBLIC const char *lockd_status_name(int status);
LOCKD_PUBLIC const char *lockd_status_text(int status);
LOCKD_PUBLIC enum lockd_outcome lockd_status_outcome(int status);

#ifdef __cplusplus
}
#endif

#endif
