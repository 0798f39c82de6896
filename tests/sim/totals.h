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
	X(damages, "damaged data folders")                                                                             \
	X(damages_leading, "of them a leader's")                                                                       \
	X(damages_again, "of them before the node was back")                                                           \
	X(replacements, "damaged nodes taken back")                                                                    \
	X(false_calls, "false calls in the name of a store")                                                           \
	X(disk_full, "full disks")                                                                                     \
	X(saves_reserved, "saves into the reserve of one")                                                             \
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
	X(backups, "backups taken")                                                                                    \
	X(backups_following, "of them of followers")                                                                   \
	X(backups_broken, "backups broken off")                                                                        \
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

/* Of lockd-sim-store alone. X(name, text) */
#define TOTALS_STORE_MAP(X)                                                                                            \
	X(store_boots, "boots compared")                                                                               \
	X(store_hashes, "state hashes compared")                                                                       \
	X(store_writes, "writes")                                                                                      \
	X(store_checkpoints, "checkpoints")                                                                            \
	X(store_snapshots, "snapshots compared")                                                                       \
	X(store_stops, "clean stops")                                                                                  \
	X(store_crashes, "crashes settled by a cut")                                                                   \
	X(points_opening, "points cut at while opening")                                                               \
	X(points_closing, "closing")                                                                                   \
	X(points_voting, "saving term and vote")                                                                       \
	X(points_truncating, "truncating")                                                                             \
	X(points_installing, "installing a snapshot")                                                                  \
	X(points_keeping, "installing one and keeping what follows")                                                   \
	X(points_trimming, "trimming")                                                                                 \
	X(points_founding, "founding")                                                                                 \
	X(points_writing, "writing anything else")                                                                     \
	X(points_idling, "copying the log back when idle")                                                             \
	X(points_checkpointing, "writing a checkpoint")                                                                \
	X(points_sending, "copying one")                                                                               \
	X(points_aside, "setting a folder aside")                                                                      \
	X(images, "images opened")                                                                                     \
	X(images_before, "of them as before the call")                                                                 \
	X(images_first, "with term and vote alone")                                                                    \
	X(images_after, "as after it")                                                                                 \
	X(flips, "bits turned")                                                                                        \
	X(flips_refused, "of them found")                                                                              \
	X(flips_harmless, "harmless")                                                                                  \
	X(flips_lagging, "paid for with an older checkpoint or base")                                                  \
	X(asides, "folders set aside")

struct totals {
#define TOTALS_FIELD(name, text) uint64_t name;
	TOTALS_MAP(TOTALS_FIELD)
	TOTALS_STORE_MAP(TOTALS_FIELD)
#undef TOTALS_FIELD
	uint64_t seeds;
	uint64_t virtual_us;
};

void totals_add(struct totals *sum, const struct totals *more);
void totals_print(const struct totals *totals);
/* Name of a count that is zero, or NULL. */
const char *totals_find_zero(const struct totals *totals);

#endif
