/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include "api/limits.h"
#include "fatal.h"
#include "log.h"
#include "peer_snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct link *link_new(struct peers *peers, enum link_kind kind, struct peer *peer, raft_usec deadline) {
	struct link *link = fatal_alloc(sizeof *link);

	link->kind = kind;
	link->purpose = PEER_PURPOSE_RAFT;
	link->peer = peer;
	link->deadline = deadline;
	LIST_INSERT_HEAD(&peers->links, link, next);
	return link;
}

void link_free(struct link *link) {
	LIST_REMOVE(link, next);
	free(link);
}

int link_connect(struct peers *peers, struct link *link, nng_stream *stream) {
	struct connection_config config = {.kind = FRAME_PEER,
					   .inbox = peers->inbox,
					   .owner = link,
					   .frame_bytes_max = LIMIT_FRAME_BYTES_MAX_UNGREETED,
					   .output_bytes_high = SIZE_MAX,
					   .inbox_bytes_high = SIZE_MAX};

	return connection_new(&config, stream, &link->connection);
}

void link_replace(struct peers *peers, struct link *link) {
	link->kind = LINK_REPLACED;
	link->deadline = peers_after_ms(peers, PEERS_FINISH_MS);
	connection_finish(link->connection);
}

void link_complain_of_stranger(struct peers *peers, const struct link *link, const char *why) {
	unsigned unreported;

	if (throttle_pass(&peers->complaints, peers->now, &unreported))
		log_warning("refused a node: from=%s reason=\"%s\" unreported=%u", connection_remote(link->connection),
			    why, unreported);
}

void link_violate(struct link *link, const char *what) {
	log_info("closed a peer connection: peer=%u from=%s reason=\"%s\"", link->peer->node,
		 connection_remote(link->connection), what);
	link->deaf = true;
	connection_close(link->connection, what);
}

void link_complain(struct peer *peer, const char *why) {
	if (strcmp(peer->complaint, why) == 0)
		return;
	snprintf(peer->complaint, sizeof peer->complaint, "%s", why);
	log_warning("peer cannot be reached: peer=%u address=%s reason=\"%s\"", peer->node, peer->peer_address, why);
	peer->reachable = false;
}

void link_dial_later(struct peers *peers, struct peer *peer) {
	peer->dial_at = peers->now + arc4random_uniform(peer->backoff_ms * 1000);
	peer->backoff_ms = peer->backoff_ms * 2 < PEER_BACKOFF_MS_MAX ? peer->backoff_ms * 2 : PEER_BACKOFF_MS_MAX;
}

struct link *link_dial(struct peers *peers, struct peer *peer, enum peer_purpose purpose) {
	struct link *link = link_new(peers, LINK_DIALLING, peer, peers_after_ms(peers, PEERS_DIAL_MS_MAX));
	int r;

	link->purpose = purpose;
	r = dialler_start(peer->peer_address, peers->inbox, link, &link->dialler);
	if (r == 0)
		return link;
	link_complain(peer, nng_strerror(r));
	link_free(link);
	return NULL;
}

void link_fail(struct peers *peers, struct link *link) {
	if (link->purpose == PEER_PURPOSE_SNAPSHOT) {
		peer_snapshots_fail(peers, link->send);
	} else {
		link->peer->attempt = NULL;
		link_dial_later(peers, link->peer);
	}
}
