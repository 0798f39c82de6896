/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots on their way to and from other nodes, each on a connection of its own. Sending: wait for the peer, cut,
 * dial, send, report. Receiving: gather whole, hand to the node, keep the bytes until it is done with them.
 *
 * Of unfinished transfers this node keeps one. What has gathered when a connection breaks waits for
 * PEERS_SNAPSHOT_MS_MAX: the answer to the next HELLO names it, and a sender whose cut has that very digest goes on
 * from there. A snapshot's content is committed, so it does not matter who sends it, nor whether that node still leads.
 */
#ifndef LOCKD_IO_PEER_SNAPSHOTS_H
#define LOCKD_IO_PEER_SNAPSHOTS_H

#include "lockd/io/link.h"

/* The other node has answered HELLO, or has said it. */
void peer_snapshots_begin(struct peers *peers, struct link *link, const struct hello *theirs);
/* Whether `from` has to come later: another node's transfer makes progress, or a snapshot is being installed. */
bool peer_snapshots_are_busy(const struct peers *peers, const struct peer *from);
void peer_snapshots_expect(struct peers *peers, struct link *link);
void peer_snapshots_frame(struct peers *peers, struct link *link, const struct frame *frame, struct events *events);
/* A transfer cannot go on; it is reported after a pause. */
void peer_snapshots_fail(struct peers *peers, struct snapshot_send *send);
/* The receiver is busy with another one. */
void peer_snapshots_put_off(struct peers *peers, struct snapshot_send *send);
void peer_snapshots_outbound_closed(struct peers *peers, struct link *link, struct events *events);
void peer_snapshots_inbound_closed(struct peers *peers, struct link *link);

void peer_snapshots_tick(struct peers *peers, struct events *events);
raft_usec peer_snapshots_deadline(const struct peers *peers);
/* All transfers have ended. */
void peer_snapshots_deinit(struct peers *peers);

#endif
