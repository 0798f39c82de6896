/* SPDX-License-Identifier: Apache-2.0 */
/* What really happened in a run. A run of many seeds in which a fault never struck proves nothing about that fault, so
 * lockd-sim calls such a run void and fails. */
#ifndef TESTS_SIM_TOTALS_H
#define TESTS_SIM_TOTALS_H

#include <stdint.h>

/* X(name, text) */
#define TOTALS_MAP(X)                                                                                                  \
	X(crashes, "crashes")                                                                                          \
	X(restarts, "restarts")                                                                                        \
	X(stops, "graceful stops")                                                                                     \
	X(pauses, "pauses")                                                                                            \
	X(suspensions, "machines suspended")                                                                           \
	X(suspensions_leading, "of them leaders")                                                                      \
	X(saves, "saves")                                                                                              \
	X(saves_lost, "saves lost in crashes")                                                                         \
	X(saves_torn, "hard state kept, rows lost")                                                                    \
	X(saves_slowed, "saves slowed down")                                                                           \
	X(saves_slowed_leading, "of them a leader's")                                                                  \
	X(disk_failures, "failed disks")                                                                               \
	X(old_copies, "data folders put back to older copies")                                                         \
	X(old_copies_found, "of them found out")                                                                       \
	X(disk_full, "full disks")                                                                                     \
	X(cuts_one_way, "one-way cuts")                                                                                \
	X(cuts_two_way, "two-way cuts")                                                                                \
	X(strandings, "leaders cut off with clients")                                                                  \
	X(deserters, "clients lost together")                                                                          \
	X(crashes_on_ack, "crashes behind a keep-alive")                                                               \
	X(isolations, "isolations")                                                                                    \
	X(frames, "peer frames")                                                                                       \
	X(drops, "peer frames lost")                                                                                   \
	X(duplicates, "peer frames doubled")                                                                           \
	X(reorders, "peer frames delayed")                                                                             \
	X(breaks, "client connections broken")                                                                         \
	X(elections, "elections won")                                                                                  \
	X(elections_beside, "elections beside an older leader")                                                        \
	X(elections_transferred, "of them handed over")                                                                \
	X(configurations, "configurations committed")                                                                  \
	X(configurations_joint, "of them joint")                                                                       \
	X(changes, "changes of members made")                                                                          \
	X(changes_refused, "changes of members refused")                                                               \
	X(transfers, "transfers of leadership made")                                                                   \
	X(transfers_refused, "transfers of leadership refused")                                                        \
	X(wishes_repeated, "wishes asked for again")                                                                   \
	X(wipes, "removed machines installed anew")                                                                    \
	X(leases, "leases begun")                                                                                      \
	X(leases_lost, "leases that ran out on a leader")                                                              \
	X(truncations, "log truncations")                                                                              \
	X(checkpoints, "checkpoints")                                                                                  \
	X(checkpoints_failed, "checkpoints failed")                                                                    \
	X(trims, "log trims")                                                                                          \
	X(snapshots_sent, "snapshots sent")                                                                            \
	X(snapshots_failed, "snapshots failed")                                                                        \
	X(snapshots_installed, "snapshots installed")                                                                  \
	X(entries, "entries committed")                                                                                \
	X(requests, "client requests")                                                                                 \
	X(retries, "requests sent again")                                                                              \
	X(answers, "requests answered")                                                                                \
	X(grants, "grants")                                                                                            \
	X(waits, "grants after a wait")                                                                                \
	X(reads, "reads checked")                                                                                      \
	X(reads_following, "linearizable reads of followers")                                                          \
	X(reads_session, "session reads")                                                                              \
	X(reads_stale, "stale reads")                                                                                  \
	X(reads_refused, "reads refused")                                                                              \
	X(keep_alives, "keep-alives acknowledged")                                                                     \
	X(client_crashes, "client crashes")                                                                            \
	X(expiries, "sessions expired")                                                                                \
	X(expiries_inherited, "sessions expired by the leader before")                                                 \
	X(crashes_in_saves, "crashes in the middle of a vote")                                                         \
	X(wait_timeouts, "waits expired")                                                                              \
	X(lates, "lates on record")                                                                                    \
	X(events, "observer events")                                                                                   \
	X(gaps, "observer gaps")                                                                                       \
	X(busy, "BUSY answers")                                                                                        \
	X(raises, "machine versions raised")                                                                           \
	X(verdicts, "verdicts on state hashes")                                                                        \
	X(steps, "node steps")

struct totals {
#define TOTALS_FIELD(name, text) uint64_t name;
	TOTALS_MAP(TOTALS_FIELD)
#undef TOTALS_FIELD
	uint64_t seeds;
	uint64_t virtual_us;
};

void totals_add(struct totals *sum, const struct totals *more);
void totals_print(const struct totals *totals);
/* Name of a count that is zero, or NULL. */
const char *totals_find_zero(const struct totals *totals);

#endif
