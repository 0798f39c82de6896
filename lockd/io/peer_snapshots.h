/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots on their way to and from other nodes, each on a connection of its own. Sending: wait for the peer, cut,
 * dial, send, report. Receiving: gather whole, hand to the node, keep the bytes until it is done with them. */
#ifndef LOCKD_IO_PEER_SNAPSHOTS_H
#define LOCKD_IO_PEER_SNAPSHOTS_H

#include "lockd/io/link.h"

/* The other node has answered HELLO, or has said it. */
void peer_snapshots_begin(struct peers *peers, struct link *link);
void peer_snapshots_expect(struct peers *peers, struct link *link);
void peer_snapshots_frame(struct peers *peers, struct link *link, const struct frame *frame, struct events *events);
/* A transfer cannot go on; it is reported after a pause. */
void peer_snapshots_fail(struct peers *peers, struct snapshot_send *send);
void peer_snapshots_outbound_closed(struct peers *peers, struct link *link, struct events *events);
void peer_snapshots_inbound_closed(struct peers *peers, struct link *link);

void peer_snapshots_tick(struct peers *peers, struct events *events);
raft_usec peer_snapshots_deadline(const struct peers *peers);

#endif
